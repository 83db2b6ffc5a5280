//! What a next hop's reply asks of us: tables of rows, one for each provider, and one for everybody.
//!
//! - Code and enhanced status say what a reply is; text decides only where providers use one code for many things. Lines are joined.
//! - The provider's own rows come first, then those for everybody. A reply without a row is what its first digit says.
//! - A refusal that only the operator can mend is never a bounce, whatever its first digit is.

mod everybody;
mod google;
mod microsoft;
mod ses;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::time::Duration;

use super::{Preset, Provider, RelayConfig};
use crate::failure::Class;
use crate::smtp::{Reply, Stage};

/// A reply with what it depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a> {
    pub(super) provider: Provider,
    pub(super) stage: Stage,
    pub(super) reply: &'a Reply,
    /// Over IPv6.
    pub(super) ipv6: bool,
    /// Over TLS.
    pub(super) tls: bool,
    /// The next hop should know the gateway by its address or certificate, not by a login, and not as just anybody.
    pub(super) known: bool,
    /// Other recipients of the recipient's domain were accepted a short time ago.
    pub(super) domain_accepted: bool,
    /// Recipients of the transaction.
    pub(super) recipients: usize,
}

impl<'a> Said<'a> {
    /// A reply of this relay, as far as it does not depend on recipients.
    pub(super) fn new(config: &RelayConfig, stage: Stage, reply: &'a Reply, address: Option<SocketAddr>, tls: bool) -> Self {
        let known = match config.preset {
            Some(Preset::Microsoft365DirectSend | Preset::Microsoft365Submission) => false,
            Some(_) => true,
            None => config.auth.is_none(),
        };
        let ipv6 = address.is_some_and(|address| address.ip().to_canonical().is_ipv6());
        Self { provider: config.provider, stage, reply, ipv6, tls, known, domain_accepted: false, recipients: 1 }
    }
}

/// What a reply means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meaning {
    pub(super) class: Class,
    /// No other attempt before.
    pub(super) wait: Option<Duration>,
    /// Another address may do better, at once.
    pub(super) elsewhere: bool,
    /// Those who were refused so beside others that were accepted are for another transaction, at once.
    pub(super) split: bool,
    /// The operator is to know of it, whatever becomes of the recipient.
    pub(super) alarm: bool,
    /// In words; empty for a reply without a row.
    pub(super) words: &'static str,
}

/// One line of a table.
struct Row {
    /// Empty: any.
    codes: &'static [u16],
    /// Enhanced status codes, empty: any or none.
    statuses: &'static [Statuses],
    /// Lower case, of which the text has one; empty: any.
    texts: &'static [&'static str],
    when: When,
    class: Class,
    wait: Option<Duration>,
    elsewhere: bool,
    split: bool,
    alarm: bool,
    words: &'static str,
}

/// `X.subject.first` to `X.subject.last`, whatever the class; the code has it, too.
struct Statuses {
    subject: u16,
    first: u16,
    last: u16,
}

/// What must be true for a row besides the reply.
#[derive(Clone, Copy)]
enum When {
    Always,
    /// The reply is to the connection or EHLO: nothing of the message is known yet.
    BeforeMail,
    OverIpv6,
    InClear,
    /// The next hop should know who we are.
    Known,
    DomainAccepted,
    /// So many recipients are none too many.
    RecipientsUpTo(usize),
    ToRcpt,
    ToRcptWithoutStatus,
}

/// What every row begins with: a temporary trouble of no particular kind.
const ROW: Row = Row {
    codes: &[],
    statuses: &[],
    texts: &[],
    when: When::Always,
    class: Class::Retry,
    wait: None,
    elsewhere: false,
    split: false,
    alarm: false,
    words: "",
};

const TEMPORARY: &[u16] = &[421, 432, 450, 451, 452, 454];
const PERMANENT_GREETINGS: &[u16] = &[500, 501, 502, 503, 504, 521, 530, 550, 554, 556];
const REFUSALS: &[u16] = &[550, 551, 553, 554];
const HOUR: Option<Duration> = Some(Duration::from_secs(3600));
const TEN_MINUTES: Option<Duration> = Some(Duration::from_secs(600));

const fn one(subject: u16, detail: u16) -> Statuses {
    range(subject, detail, detail)
}

const fn range(subject: u16, first: u16, last: u16) -> Statuses {
    Statuses { subject, first, last }
}

/// What a refusal asks of us.
pub(super) fn meaning(said: &Said<'_>) -> Meaning {
    let text = said.reply.text.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    let tables: &[&[Row]] = match said.provider {
        // Who names Microsoft's host without its preset gets its words all the same: nobody else uses these codes.
        Provider::Other => &[microsoft::OWN, everybody::ROWS],
        Provider::Google => &[google::ROWS, everybody::ROWS],
        Provider::Microsoft => &[microsoft::ROWS, microsoft::OWN, everybody::ROWS],
        Provider::Ses => &[ses::ROWS, everybody::ROWS],
    };
    let row = tables.iter().flat_map(|rows| rows.iter()).find(|row| row.applies(said, &text));
    row.map_or_else(|| usual(said.reply), Row::meaning)
}

fn usual(reply: &Reply) -> Meaning {
    let class = if reply.is_permanent() { Class::Bounce } else { Class::Retry };
    Meaning { class, ..ROW.meaning() }
}

impl Row {
    fn applies(&self, said: &Said<'_>, text: &str) -> bool {
        let has_code = self.codes.is_empty() || self.codes.contains(&said.reply.code);
        let status = said.reply.status.map(|status| (status.1, status.2));
        let is_in = |range: &Statuses| {
            status.is_some_and(|(subject, detail)| subject == range.subject && (range.first..=range.last).contains(&detail))
        };
        let has_status = self.statuses.is_empty() || self.statuses.iter().any(is_in);
        let has_text = self.texts.is_empty() || self.texts.iter().any(|words| text.contains(words));
        has_code && has_status && has_text && self.when.is_true(said)
    }

    fn meaning(&self) -> Meaning {
        let Self { class, wait, elsewhere, split, alarm, words, .. } = *self;
        Meaning { class, wait, elsewhere, split, alarm, words }
    }
}

impl When {
    fn is_true(self, said: &Said<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::BeforeMail => matches!(said.stage, Stage::Greeting | Stage::Ehlo | Stage::Helo),
            Self::OverIpv6 => said.ipv6,
            Self::InClear => !said.tls,
            Self::Known => said.known,
            Self::DomainAccepted => said.domain_accepted,
            Self::RecipientsUpTo(max) => said.recipients <= max,
            Self::ToRcpt => matches!(said.stage, Stage::Rcpt(_)),
            Self::ToRcptWithoutStatus => matches!(said.stage, Stage::Rcpt(_)) && said.reply.status.is_none(),
        }
    }
}
