//! What a client hears of the policy's verdicts, and who may send where. Pure, so that it can be asked without a session, too.

use std::fmt::Display;
use std::sync::Arc;

use crate::config::{Domains, UsedBy};
use crate::message::{Fact, Findings, SessionFacts, SpfResult};
use crate::policy::{Effect, Known, Policy, PolicyFacts, Verdict};
use crate::smtp::{Address, Reply, ReversePath, Status};

/// Whatever the policy says: there is no relaying for strangers.
pub(crate) const RELAYING_DENIED: Reply = Reply::fixed(550, Status(5, 7, 1), "Relaying denied: not a domain of this gateway");

/// When the policy is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// As soon as the address is known.
    Connect,
    /// After HELO or EHLO.
    Helo,
    /// At MAIL.
    Mail,
    /// At RCPT; there is nothing more to wait for.
    Rcpt,
}

/// What follows from a verdict.
#[derive(Debug)]
pub(crate) struct Ruling {
    /// `allow`, `deny` or `defer`.
    pub(crate) word: &'static str,
    /// Who decided; `None` is the default.
    pub(crate) statement: Option<Arc<str>>,
    /// What was looked up, or what is not known.
    pub(crate) detail: Option<String>,
    /// What the client hears; `None`: nothing stands against it.
    pub(crate) refusal: Option<Reply>,
}

impl Stage {
    /// As the log writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
        }
    }

    /// The code of a refusal: before the greeting there is one of its own (RFC 5321 §3.1).
    fn code(self) -> u16 {
        if self == Self::Connect { 554 } else { 550 }
    }
}

impl Ruling {
    /// `None` when there is nothing to be said at this stage. `id` joins the reply with the log.
    pub(crate) fn of(stage: Stage, verdict: Verdict, policy: &Policy, facts: &PolicyFacts<'_>, id: &dyn Display) -> Option<Self> {
        let mut deferral = Status(4, 7, 1);
        let (effect, statement, detail) = match verdict {
            Verdict::Decided(Effect::Deny, statement) if hangs_on_spf_trouble(policy, facts) => {
                // RFC 7208 §8.6: who refuses for that asks the client to come again.
                deferral = Status(4, 4, 3);
                (None, statement, summary(facts.findings))
            }
            Verdict::Decided(effect, statement) => (Some(effect), statement, summary(facts.findings)),
            Verdict::Undecided { .. } | Verdict::Unknown { .. } if stage != Stage::Rcpt => return None,
            // With all that is said given, only look-ups leave something undecided; if it were otherwise, nothing is let in.
            Verdict::Undecided { needs } if needs.is_empty() => (Some(Effect::Deny), None, None),
            Verdict::Undecided { needs } => (None, None, Some(format!("nobody can find out {needs:?}"))),
            Verdict::Unknown { statement, detail } => (None, Some(statement), Some(detail)),
        };
        // An allowance is of interest for a recipient; before, it only means that nothing stands against it yet.
        if effect == Some(Effect::Allow) && stage != Stage::Rcpt {
            return None;
        }
        let (word, refusal) = match effect {
            Some(Effect::Allow) => ("allow", None),
            Some(Effect::Deny) => {
                let text = format!("Not accepted by the policy of this gateway ({id})");
                ("deny", Some(Reply::new(stage.code(), Some(Status(5, 7, 1)), text)))
            }
            None => ("defer", Some(Reply::new(451, Some(deferral), format!("Cannot be checked now, try again later ({id})")))),
        };
        Some(Self { word, statement, detail, refusal })
    }
}

/// What the policy is told of a session; with a reverse-path when there is a transaction.
pub(crate) fn known<'k>(
    session: &'k SessionFacts,
    reverse_path: Option<&'k ReversePath>,
    recipient: Option<&'k str>,
    findings: &'k Findings,
) -> PolicyFacts<'k> {
    PolicyFacts {
        client_ip: session.client_ip,
        helo: if session.helo.is_empty() { Known::NotYet } else { Known::Value(&session.helo) },
        // STARTTLS can come until MAIL (RFC 3207 §4).
        tls: match (&session.tls, reverse_path) {
            (None, None) => Known::NotYet,
            (tls, _) => Known::Value(tls.as_ref().map(|tls| tls.version)),
        },
        mail_from: reverse_path.map_or(Known::NotYet, Known::Value),
        recipient: recipient.map_or(Known::NotYet, Known::Value),
        findings,
    }
}

/// Whether a refusal of this recipient hangs on an SPF record that could not be had: without that result nothing would be decided.
fn hangs_on_spf_trouble(policy: &Policy, facts: &PolicyFacts<'_>) -> bool {
    let is_trouble = facts.findings.spf.as_ref().is_some_and(|spf| spf.result == SpfResult::Temperror);
    let without = || Findings { spf: None, ..facts.findings.clone() };
    is_trouble && !matches!(policy.judge(&PolicyFacts { findings: &without(), ..*facts }), Verdict::Decided(Effect::Deny, _))
}

/// What was looked up, for the log; `None` when nothing was.
pub(super) fn summary(findings: &Findings) -> Option<String> {
    let Findings { client_host, spf, analyses, .. } = findings;
    let mut parts = Vec::new();
    match client_host {
        Fact::NotAsked => {}
        Fact::Unknown(why) => parts.push(format!("client_host: {why}")),
        Fact::Known(host) => parts.push(format!("client_host {}", host.as_deref().unwrap_or("none"))),
    }
    parts.extend(spf.iter().map(|spf| format!("spf {}", spf.result.as_str())));
    for (name, fact) in analyses {
        match fact {
            Fact::NotAsked => {}
            Fact::Unknown(why) => parts.push(format!("{name}: {why}")),
            Fact::Known(_) => parts.push(format!("{name} answered")),
        }
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Whether the client has proved who it is, so that it may send to any domain.
pub(crate) fn may_relay(used_by: UsedBy, session: &SessionFacts) -> bool {
    match used_by {
        UsedBy::Everybody => false,
        UsedBy::Users => session.authenticated,
        UsedBy::Partners => session.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some()),
    }
}

/// RFC 5321 §4.5.1: the bare `postmaster` is the postmaster of this place, here of its first domain.
pub(crate) fn with_domain(address: Address, domains: &Domains, hostname: &Arc<str>) -> Address {
    if !address.domain().is_empty() {
        return address;
    }
    let domain = match domains {
        Domains::List(domains) => domains.first().unwrap_or(hostname),
        Domains::Ses => hostname,
    };
    Address::parse(&format!("{}@{domain}", address.as_str()), false).unwrap_or(address)
}
