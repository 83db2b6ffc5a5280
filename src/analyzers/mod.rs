//! Analyzers: a name and a subject in, fields out. DNS lists, Rspamd, ClamAV, HTTP hooks.
//!
//! Decides nothing: what a field means is for conditions to say, and what its absence means as well.
//!
//! - An answer or the reason why there is none, within the analyzer's `timeout`, whatever the other side does.
//! - What comes from outside is bounded in size and read strictly: an answer that is not understood is none.
//! - An analyzer that does not answer is left alone for a while (`gate.rs`), so that not every message waits for it.

mod clamav;
mod client;
mod config;
mod dnsbl;
mod gate;
mod hook;
mod rspamd;

pub use self::clamav::{ClamavConfig, ClamdAddress};
pub use self::client::HttpTarget;
pub use self::config::{AnalyzerConfig, AnalyzerKind};
pub use self::dnsbl::{Code, DnsblConfig, ListedIdentity, Zone};
pub use self::hook::{HookConfig, HookSends};
pub use self::rspamd::RspamdConfig;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use crate::dns::Dns;
use crate::limits::ANALYZER_REASON_CHARS_MAX;
use crate::message::{Analysis, Envelope, Fact, FieldValue, MessageId, Original, SessionFacts, one_line};

/// What is asked about. At RCPT there is no message yet.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The gateway's name.
    pub hostname: &'a str,
    /// The transaction.
    pub id: MessageId,
    /// Who brings it; with the client's name, if that was looked up.
    pub session: &'a SessionFacts,
    /// From whom and to whom; at RCPT without the recipient that is judged.
    pub envelope: &'a Envelope,
    /// The message, once it is there.
    pub original: Option<&'a Original>,
}

impl Subject<'_> {
    /// The client.
    pub fn client_ip(&self) -> IpAddr {
        self.session.client_ip
    }
}

/// The analyzers of a configuration, with their connections.
#[derive(Debug)]
pub struct Analyzers {
    analyzers: BTreeMap<Arc<str>, Arc<Analyzer>>,
}

impl Analyzers {
    /// Asks nobody yet.
    pub fn new(configs: BTreeMap<Arc<str>, AnalyzerConfig>) -> Self {
        Self::build(configs, |_, config| Arc::new(Analyzer::new(config)))
    }

    /// The analyzers of a new configuration; those that it does not change go on with their connections, and what is known of their health.
    pub fn renewed(&self, configs: BTreeMap<Arc<str>, AnalyzerConfig>) -> Self {
        Self::build(configs, |name, config| match self.analyzers.get(name) {
            Some(older) if older.config == config => Arc::clone(older),
            _ => Arc::new(Analyzer::new(config)),
        })
    }

    fn build(configs: BTreeMap<Arc<str>, AnalyzerConfig>, make: impl Fn(&str, AnalyzerConfig) -> Arc<Analyzer>) -> Self {
        let analyzers = configs.into_iter().map(|(name, config)| {
            let analyzer = make(&name, config);
            (name, analyzer)
        });
        Self { analyzers: analyzers.collect() }
    }

    /// Asks one analyzer, in its time. What it does not answer is [`Fact::Unknown`]; it never takes longer than its `timeout`.
    pub async fn ask(&self, name: &str, dns: &Dns, subject: &Subject<'_>) -> Fact<Arc<Analysis>> {
        let Some(analyzer) = self.analyzers.get(name) else { return Fact::Unknown("there is no such analyzer".into()) };
        match analyzer.ask(dns, subject).await {
            Ok(analysis) => Fact::Known(Arc::new(analysis)),
            Err(why) => Fact::Unknown(why),
        }
    }
}

/// Why there is no answer: one bounded line without control characters.
type Trouble = Arc<str>;

#[derive(Debug)]
struct Analyzer {
    config: AnalyzerConfig,
    asked: Asked,
}

/// Who is asked.
#[derive(Debug)]
enum Asked {
    Dnsbl(dnsbl::Dnsbl),
    Rspamd(rspamd::Rspamd),
    Clamav(clamav::Clamav),
    Hook(hook::Hook),
}

impl Analyzer {
    fn new(config: AnalyzerConfig) -> Self {
        let asked = match &config.kind {
            AnalyzerKind::Dnsbl(dnsbl) => Asked::Dnsbl(dnsbl::Dnsbl::new(dnsbl.clone(), config.timeout)),
            AnalyzerKind::Rspamd(rspamd) => Asked::Rspamd(rspamd::Rspamd::new(rspamd.clone(), config.timeout)),
            AnalyzerKind::Clamav(clamav) => Asked::Clamav(clamav::Clamav::new(clamav.clone(), config.timeout)),
            AnalyzerKind::Http(hook) => Asked::Hook(hook::Hook::new(hook.clone(), config.timeout)),
        };
        Self { config, asked }
    }

    async fn ask(&self, dns: &Dns, subject: &Subject<'_>) -> Result<Analysis, Trouble> {
        let began = Instant::now();
        let deadline = began.checked_add(self.config.timeout).unwrap_or(began);
        // Boxed, so that who waits for one kind does not hold the room of the largest.
        match &self.asked {
            Asked::Dnsbl(dnsbl) => Box::pin(dnsbl.ask(dns, subject, deadline)).await,
            Asked::Rspamd(rspamd) => Box::pin(rspamd.ask(subject, deadline)).await,
            Asked::Clamav(clamav) => Box::pin(clamav.ask(subject, deadline)).await,
            Asked::Hook(hook) => Box::pin(hook.ask(subject, deadline)).await,
        }
    }
}

fn analysis<const N: usize>(fields: [(&str, FieldValue); N]) -> Analysis {
    Analysis { fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect() }
}

/// A stranger's words as a line of the log.
fn trouble(text: impl AsRef<str>) -> Trouble {
    one_line(text.as_ref().trim(), ANALYZER_REASON_CHARS_MAX).into()
}

/// A message that is too large to ask about is not half asked about: what lies behind the limit is where things would be hidden.
fn within(original: &Original, bytes_max: u64) -> Result<(), Trouble> {
    if u64::try_from(original.len()).is_ok_and(|length| length <= bytes_max) {
        return Ok(());
    }
    Err(trouble(format!("the message has {} octets, `max_message_size` is {bytes_max}", original.len())))
}
