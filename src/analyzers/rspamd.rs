//! Rspamd over HTTP: the message as the body of `/checkv2`, what is known of the session in headers.
//! Protocol: <https://docs.rspamd.com/developers/protocol>.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;

use super::client::{HttpTarget, Service};
use super::gate::Gate;
use super::{Subject, Trouble, analysis, trouble, within};
use crate::limits::RSPAMD_RECIPIENTS_MAX;
use crate::message::{Analysis, FieldKind, FieldValue, Text};

pub(super) const FIELDS: [(&str, FieldKind); 5] = [
    ("action", FieldKind::Text),
    ("is_spam", FieldKind::Boolean),
    ("required_score", FieldKind::Number),
    ("score", FieldKind::Number),
    ("symbols", FieldKind::Text),
];

/// Actions that say spam. `greylist` and `soft reject` ask for time, and what an operator has defined has a meaning of his own.
const SPAM: [&str; 5] = ["add header", "rewrite subject", "quarantine", "reject", "discard"];

/// A Rspamd.
#[derive(Clone, Debug, PartialEq)]
pub struct RspamdConfig {
    /// Its normal worker or a proxy before it.
    pub target: HttpTarget,
    /// A larger message is not asked about.
    pub message_bytes_max: u64,
}

#[derive(Debug)]
pub(super) struct Rspamd {
    uri: String,
    message_bytes_max: u64,
    client: Service,
    gate: Gate,
}

/// What is read of an answer; more is there.
#[derive(Deserialize)]
struct Answer {
    action: Option<String>,
    score: Option<f64>,
    required_score: Option<f64>,
    #[serde(default)]
    symbols: BTreeMap<String, IgnoredAny>,
}

impl Rspamd {
    pub(super) fn new(config: RspamdConfig, timeout: Duration) -> Self {
        let base = config.target.url.trim_end_matches('/');
        let uri = if base.ends_with("/checkv2") { base.to_owned() } else { format!("{base}/checkv2") };
        let gate = Gate::new(usize::try_from(config.target.connections).unwrap_or(usize::MAX), timeout);
        Self { uri, message_bytes_max: config.message_bytes_max, client: Service::new(config.target, timeout), gate }
    }

    pub(super) async fn ask(&self, subject: &Subject<'_>, deadline: Instant) -> Result<Analysis, Trouble> {
        let original = subject.original.ok_or_else(|| trouble("there is no message yet"))?;
        within(original, self.message_bytes_max)?;
        let headers = headers(subject);
        let answer = self.gate.pass(deadline, self.client.post(&self.uri, &headers, original.data().into())).await?;
        read(&answer)
    }
}

fn headers(subject: &Subject<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // What HTTP cannot carry is left out: HELO is a stranger's word.
    let mut say = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    let session = subject.session;
    say("ip", &subject.client_ip().to_string());
    say("helo", &session.helo);
    if let Some(host) = &subject.session.client_host {
        say("hostname", host);
    }
    say("from", subject.envelope.reverse_path.as_str());
    for recipient in subject.envelope.recipients.iter().take(RSPAMD_RECIPIENTS_MAX) {
        say("rcpt", recipient.address.as_str());
    }
    if let Some(login) = &session.login {
        say("user", login);
    }
    say("queue-id", &subject.id.to_string());
    say("mta-name", subject.hostname);
    if let Some(tls) = &session.tls {
        say("tls-cipher", &tls.cipher);
        say("tls-version", tls.version.as_str());
    }
    headers
}

fn read(answer: &[u8]) -> Result<Analysis, Trouble> {
    let answer: Answer = serde_json::from_slice(answer).map_err(|error| trouble(format!("not an answer of Rspamd: {error}")))?;
    let (Some(action), Some(score)) = (answer.action, answer.score) else {
        return Err(trouble("not an answer of Rspamd: `action` or `score` is missing"));
    };
    let mut analysis = analysis([
        ("is_spam", FieldValue::Boolean(SPAM.contains(&action.as_str()))),
        ("action", FieldValue::Texts(vec![Text::new(action)])),
        ("score", FieldValue::Number(score)),
        ("symbols", FieldValue::Texts(answer.symbols.into_keys().map(Text::new).collect())),
    ]);
    if let Some(required) = answer.required_score {
        analysis.fields.insert("required_score".into(), FieldValue::Number(required));
    }
    Ok(analysis)
}
