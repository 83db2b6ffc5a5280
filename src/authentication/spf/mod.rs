//! SPF (RFC 7208): whether a client may send in the name of a domain.
//!
//! - [`Record`] reads a record as a whole, strictly; `macros` fills in what a sender brings; `evaluate` is `check_host()`.
//! - What is asked costs at most [`crate::limits::SPF_QUESTIONS_MAX`] questions and [`crate::limits::SPF_PATIENCE`], whatever records say.

mod evaluate;
mod lookups;
mod macros;
mod record;
#[cfg(test)]
mod tests;

pub use macros::{MacroString, Values};
pub use record::{Directive, Mechanism, Prefix, Record, RecordError, is_spf};

use std::net::IpAddr;

use crate::dns::{Dns, normal_name};
use crate::limits::{SPF_MECHANISM_BYTES_MAX, SPF_PATIENCE, SPF_QUESTIONS_MAX, SPF_REASON_BYTES_MAX};
use crate::message::{SpfIdentity, SpfResult, SpfVerdict, printable};
use crate::smtp::ReversePath;
use evaluate::{Outcome, Subject, evaluate, is_name};
use lookups::Lookups;

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The client's address.
    pub client_ip: IpAddr,
    /// The argument of HELO or EHLO.
    pub helo: &'a str,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// Our own name, for explanations (`%{r}`).
    pub hostname: &'a str,
    /// Now, for explanations (`%{t}`).
    pub unix_seconds: i64,
}

/// Judges MAIL FROM, or HELO for the null sender (RFC 7208 §2.4). Asks only what the records need.
pub async fn check(dns: &Dns, sender: &Sender<'_>) -> SpfVerdict {
    let inquiry = dns.inquiry(SPF_QUESTIONS_MAX, SPF_PATIENCE);
    let verdict = judge(&inquiry, sender).await;
    SpfVerdict { asked: inquiry.into_asked(), ..verdict }
}

/// The verdict without what was asked.
async fn judge(lookups: &impl Lookups, sender: &Sender<'_>) -> SpfVerdict {
    let (identity, local_part, domain) = match sender.reverse_path {
        ReversePath::Address(address) => (SpfIdentity::MailFrom, unquoted(address.local_part()), address.domain()),
        ReversePath::Null => (SpfIdentity::Helo, String::new(), sender.helo),
    };
    let name = domain_to_ask(domain);
    let outcome = match &name {
        Some(domain) => {
            let subject = Subject {
                // RFC 7208 §5: a v4-mapped address is one of IPv4.
                client_ip: sender.client_ip.to_canonical(),
                // RFC 7208 §4.3
                local_part: if local_part.is_empty() { "postmaster" } else { &local_part },
                domain,
                helo: sender.helo,
                hostname: sender.hostname,
                unix_seconds: sender.unix_seconds,
            };
            evaluate(lookups, subject).await
        }
        None => Outcome::new(SpfResult::None, format!("\"{domain}\" is no domain to ask for")),
    };
    let mut domain = name.unwrap_or_default();
    domain.make_ascii_lowercase();
    SpfVerdict {
        result: outcome.result,
        identity,
        domain: domain.into(),
        mechanism: outcome.mechanism.map(|mechanism| printable(&mechanism, SPF_MECHANISM_BYTES_MAX).into()),
        reason: printable(&outcome.reason, SPF_REASON_BYTES_MAX).into(),
        explanation: outcome.explanation,
        asked: Box::default(),
    }
}

/// The domain in A-labels (RFC 8616 §4), else as it is written. RFC 7208 §4.3: what is malformed or has one label has no record; nor has
/// an address, which HELO may be.
fn domain_to_ask(domain: &str) -> Option<String> {
    let name = if domain.is_ascii() { domain.strip_suffix('.').unwrap_or(domain).to_owned() } else { normal_name(domain)?.into() };
    (is_name(&name) && name.contains('.') && !name.starts_with('[') && name.parse::<IpAddr>().is_err()).then_some(name)
}

/// What a quoted local part stands for (RFC 5321 §4.1.2).
fn unquoted(local_part: &str) -> String {
    let Some(quoted) = local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return local_part.to_owned() };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}
