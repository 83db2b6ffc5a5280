//! A JSON service: a POST with what is known, an answer with the fields that the configuration declares. `docs/analyzers.md` has the
//! format.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Serialize, Serializer};
use serde_json::Value as Json;
use tokio::time::Instant;

use super::client::{HttpTarget, Service};
use super::gate::Gate;
use super::{Subject, Trouble, trouble, within};
use crate::blocks::reading;
use crate::limits::HOOK_TEXTS_MAX;
use crate::message::{Analysis, FieldKind, FieldValue, MessageId, Original, Text, Verdict};

/// A JSON service.
#[derive(Clone, Debug, PartialEq)]
pub struct HookConfig {
    /// Where it is asked.
    pub target: HttpTarget,
    /// How much it is told.
    pub send: HookSends,
    /// What it answers.
    pub fields: BTreeMap<Arc<str>, FieldKind>,
    /// A larger message is not asked about; of no meaning unless the message is sent.
    pub message_bytes_max: u64,
}

/// How much an HTTP hook is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookSends {
    /// Session and envelope.
    Facts,
    /// The header fields too.
    Headers,
    /// The whole message too.
    Message,
}

#[derive(Debug)]
pub(super) struct Hook {
    config: HookConfig,
    client: Service,
    gate: Gate,
}

/// Version 1 of the request. Fields may be added to it; one that is there keeps its meaning.
#[derive(Serialize)]
struct Question<'a> {
    version: u32,
    stage: &'static str,
    gateway: &'a str,
    id: MessageId,
    client: Client<'a>,
    mail_from: &'a str,
    recipients: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message<'a>>,
}

#[derive(Serialize)]
struct Client<'a> {
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    helo: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
}

#[derive(Serialize)]
struct Tls<'a> {
    version: &'static str,
    cipher: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Vec<(Cow<'a, str>, String)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<Base64<'a>>,
}

/// Written as it is read: no second copy of the message.
struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

impl Hook {
    pub(super) fn new(config: HookConfig, timeout: Duration) -> Self {
        let gate = Gate::new(usize::try_from(config.target.connections).unwrap_or(usize::MAX), timeout);
        Self { client: Service::new(config.target.clone(), timeout), config, gate }
    }

    pub(super) async fn ask(&self, subject: &Subject<'_>, deadline: Instant) -> Result<Analysis, Trouble> {
        let send = self.config.send;
        match subject.original {
            None if send != HookSends::Facts => return Err(trouble("there is no message yet")),
            Some(original) if send == HookSends::Message => within(original, self.config.message_bytes_max)?,
            _ => {}
        }
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let answer = self.gate.pass(deadline, async {
            // Made when it is its turn, so that what waits holds no copy of its message.
            let whole = match subject.original {
                Some(original) if send == HookSends::Message => {
                    let data = original.data().clone();
                    Some(reading(move || data.whole()).await.map_err(|error| trouble(error.to_string()))?)
                }
                _ => None,
            };
            let question = serde_json::to_vec(&question(subject, send, whole.as_deref())).map_err(|error| trouble(error.to_string()))?;
            drop(whole);
            self.client.post(&self.config.target.url, &headers, Bytes::from(question).into()).await
        });
        read(&answer.await?, &self.config.fields)
    }
}

fn question<'a>(subject: &Subject<'a>, send: HookSends, whole: Option<&'a [u8]>) -> Question<'a> {
    let Subject { hostname, id, session, envelope, original } = *subject;
    Question {
        version: 1,
        stage: if original.is_some() { "message" } else { "recipient" },
        gateway: hostname,
        id,
        client: Client {
            ip: session.client_ip,
            host: subject.session.client_host.as_deref(),
            helo: &session.helo,
            login: session.login.as_deref(),
            tls: session.tls.as_ref().map(|tls| Tls { version: tls.version.as_str(), cipher: &tls.cipher }),
        },
        mail_from: envelope.reverse_path.as_str(),
        recipients: envelope.recipients.iter().map(|recipient| recipient.address.as_str()).collect(),
        message: original.map(|original| Message {
            size: original.len(),
            headers: (send != HookSends::Facts).then(|| header_fields(original)),
            raw_base64: whole.map(Base64),
        }),
    }
}

/// Names and values in order, unfolded (RFC 5322 §2.2.3); octets that are not UTF-8 are replaced.
fn header_fields(original: &Original) -> Vec<(Cow<'_, str>, String)> {
    let value = |value: &[u8]| String::from_utf8_lossy(value).replace(['\r', '\n'], "").trim().to_owned();
    let fields = original.fields().iter();
    fields.map(|field| (String::from_utf8_lossy(original.name(field)), value(original.value(field)))).collect()
}

fn read(answer: &[u8], declared: &BTreeMap<Arc<str>, FieldKind>) -> Result<Analysis, Trouble> {
    let answer: Json = serde_json::from_slice(answer).map_err(|error| trouble(format!("the answer is not JSON: {error}")))?;
    // `fields` cannot be declared, so there is no doubt what it is.
    let given = answer.get("fields").unwrap_or(&answer);
    let given = given.as_object().ok_or_else(|| trouble("the answer is not an object with fields"))?;
    let mut analysis = Analysis::default();
    for (name, kind) in declared {
        match given.get(&**name) {
            None | Some(Json::Null) => {}
            Some(json) => {
                let value = value(json, *kind).ok_or_else(|| trouble(format!("the field `{name}` is not {}", expected(*kind))))?;
                analysis.fields.insert((&**name).into(), value);
            }
        }
    }
    Ok(analysis)
}

fn value(json: &Json, kind: FieldKind) -> Option<FieldValue> {
    Some(match kind {
        FieldKind::Text => FieldValue::Texts(match json {
            Json::Array(texts) if texts.len() <= HOOK_TEXTS_MAX => {
                texts.iter().map(|text| text.as_str().map(Text::new)).collect::<Option<_>>()?
            }
            text => vec![Text::new(text.as_str()?)],
        }),
        FieldKind::Number => FieldValue::Number(json.as_f64()?),
        FieldKind::Boolean => FieldValue::Boolean(json.as_bool()?),
        FieldKind::Verdict => {
            let word = json.as_str()?;
            let verdicts = [Verdict::Pass, Verdict::Fail, Verdict::Gray, Verdict::ProcessingFailed];
            FieldValue::Verdict(verdicts.into_iter().find(|verdict| verdict.as_str().eq_ignore_ascii_case(word))?)
        }
    })
}

fn expected(kind: FieldKind) -> impl fmt::Display {
    match kind {
        FieldKind::Text => "a text or a list of at most 100 texts",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Verdict => "a verdict: pass, fail, gray or processing_failed",
    }
}
