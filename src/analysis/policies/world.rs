//! A session as far as a policy looks at it, and the search for one of which given things are true.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::fields::{self, Said};
use super::text::{self, Kind};
use super::{Solved, networks};
use crate::analysis::Witness;
use crate::message::{SpfResult, TlsVersion};
use crate::policy::{PolicyCondition, Statement};
use crate::rules::{IpTest, TextTest};

/// A condition and whether it is to match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Literal<'p> {
    pub(super) condition: &'p PolicyCondition,
    pub(super) wanted: bool,
}

/// What is known of a session when the policy says its last word. What `None` stands for is said by each.
#[derive(Clone, Debug)]
pub(super) struct World<'p> {
    pub(super) ip: IpAddr,
    pub(super) recipient: String,
    /// Empty: the null path.
    pub(super) mail_from: String,
    pub(super) helo: Option<String>,
    /// `None`: plain text.
    pub(super) tls: Option<TlsVersion>,
    pub(super) client_host: Host,
    pub(super) spf: SpfResult,
    pub(super) fields: BTreeMap<(&'p str, &'p str), Said<'p>>,
}

/// The client's host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// DNS does not answer: no condition on it matches.
    Unknown,
    /// It has none, or this one.
    Known(Option<String>),
}

const SPF: [SpfResult; 8] = [
    SpfResult::Pass,
    SpfResult::Fail,
    SpfResult::Softfail,
    SpfResult::Neutral,
    SpfResult::None,
    SpfResult::Policy,
    SpfResult::Permerror,
    SpfResult::Temperror,
];
const TLS: [Option<TlsVersion>; 3] = [Some(TlsVersion::Tls1_3), Some(TlsVersion::Tls1_2), None];

/// The literals by what they are about.
#[derive(Default)]
struct Demands<'p> {
    ip: Vec<(&'p IpTest, bool)>,
    recipient: Vec<(&'p TextTest, bool)>,
    mail_from: Vec<(&'p TextTest, bool)>,
    helo: Vec<(&'p TextTest, bool)>,
    client_host: Vec<(&'p TextTest, bool)>,
    tls: Vec<(&'p crate::policy::TlsTest, bool)>,
    spf: Vec<(bool, &'p [Box<str>])>,
    fields: BTreeMap<(&'p str, &'p str), Vec<fields::Demand<'p>>>,
}

impl<'p> Demands<'p> {
    fn of(literals: &[Literal<'p>]) -> Self {
        let mut demands = Self::default();
        for Literal { condition, wanted } in literals.iter().copied() {
            match condition {
                PolicyCondition::SenderIp(test) => demands.ip.push((test, wanted)),
                PolicyCondition::Recipient(test) => demands.recipient.push((test, wanted)),
                PolicyCondition::MailFrom(test) => demands.mail_from.push((test, wanted)),
                PolicyCondition::Helo(test) => demands.helo.push((test, wanted)),
                PolicyCondition::ClientHost(test) => demands.client_host.push((test, wanted)),
                PolicyCondition::TlsProtocol(test) => demands.tls.push((test, wanted)),
                PolicyCondition::SpfResult { negated, values } => demands.spf.push((*negated != wanted, values)),
                PolicyCondition::Analysis(condition) => {
                    demands.fields.entry((&*condition.analyzer, &*condition.field)).or_default().push((condition, wanted));
                }
            }
        }
        demands
    }
}

/// A session of which all literals are true. Attributes do not depend on each other, so each is looked at alone.
pub(super) fn solve<'p>(literals: &[Literal<'p>]) -> Solved<World<'p>> {
    let demands = Demands::of(literals);
    let tls = TLS.into_iter().find(|version| demands.tls.iter().all(|(test, wanted)| test.holds(*version) == *wanted));
    let is_fitting = |spf: &SpfResult| demands.spf.iter().all(|(wanted, words)| is_among(*spf, words) == *wanted);
    let (Some(tls), Some(spf)) = (tls, SPF.into_iter().find(is_fitting)) else { return Solved::Nothing };
    let (Some(ip), Some(recipient), Some(mail_from), Some(helo)) = (
        networks::solve(&demands.ip).open(),
        text::solve(Kind::Recipient, &demands.recipient).open(),
        text::solve(Kind::MailFrom, &demands.mail_from).open(),
        text::solve(Kind::Name, &demands.helo).open(),
    ) else {
        return Solved::Nothing;
    };
    let client_host = match text::solve(Kind::Name, &demands.client_host) {
        Solved::Nothing if demands.client_host.iter().all(|(_, wanted)| !wanted) => Some(Host::Unknown),
        Solved::Nothing => return Solved::Nothing,
        Solved::One(host) => Some(Host::Known(host)),
        Solved::Unknown => None,
    };
    let mut said = BTreeMap::new();
    let mut is_known = true;
    for (field, demands) in &demands.fields {
        match fields::solve(demands) {
            Solved::One(one) => drop(said.insert(*field, one)),
            Solved::Nothing => return Solved::Nothing,
            Solved::Unknown => is_known = false,
        }
    }
    match (ip, recipient.flatten(), mail_from.flatten(), helo, client_host) {
        (Some(ip), Some(recipient), Some(mail_from), Some(helo), Some(client_host)) if is_known => {
            Solved::One(World { ip, recipient, mail_from, helo, tls, client_host, spf, fields: said })
        }
        _ => Solved::Unknown,
    }
}

fn is_among(spf: SpfResult, words: &[Box<str>]) -> bool {
    words.iter().any(|word| **word == *spf.as_str())
}

impl World<'_> {
    /// Whether the statement matches; `None`: that cannot be told.
    pub(super) fn holds(&self, statement: &Statement) -> Option<bool> {
        let mut is_known = true;
        for condition in &statement.when {
            match self.fits(condition) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => is_known = false,
            }
        }
        is_known.then_some(true)
    }

    fn fits(&self, condition: &PolicyCondition) -> Option<bool> {
        let optional = |test: &TextTest, text: Option<&String>| match text {
            Some(text) => text::holds(test, text),
            None => test.holds(std::iter::empty()),
        };
        Some(match condition {
            PolicyCondition::SenderIp(test) => test.holds(self.ip),
            PolicyCondition::Recipient(test) => text::holds(test, &self.recipient),
            PolicyCondition::MailFrom(test) => text::holds(test, &self.mail_from),
            PolicyCondition::Helo(test) => optional(test, self.helo.as_ref()),
            PolicyCondition::TlsProtocol(test) => test.holds(self.tls),
            PolicyCondition::ClientHost(test) => match &self.client_host {
                Host::Unknown => false,
                Host::Known(host) => optional(test, host.as_ref()),
            },
            PolicyCondition::SpfResult { negated, values } => is_among(self.spf, values) != *negated,
            PolicyCondition::Analysis(condition) => {
                return self.fields.get(&(&*condition.analyzer, &*condition.field))?.fits(condition);
            }
        })
    }

    /// What of it the statements look at, in their words.
    pub(super) fn witness(&self, statements: &[&Statement]) -> Witness {
        let mut seen: Vec<(std::sync::Arc<str>, String)> = Vec::new();
        for condition in statements.iter().flat_map(|statement| &statement.when) {
            let (name, value): (&str, String) = match condition {
                PolicyCondition::SenderIp(_) => ("sender_ip", self.ip.to_string()),
                PolicyCondition::Recipient(_) => ("recipient", self.recipient.clone()),
                PolicyCondition::MailFrom(_) => ("mail_from", format!("<{}>", self.mail_from)),
                PolicyCondition::Helo(_) => ("helo", self.helo.clone().unwrap_or_else(|| "none".to_owned())),
                PolicyCondition::TlsProtocol(_) => ("tls_protocol", self.tls.map_or("plain text", TlsVersion::as_str).to_owned()),
                PolicyCondition::ClientHost(_) => (
                    "client_host",
                    match &self.client_host {
                        Host::Unknown => "unknown".to_owned(),
                        Host::Known(host) => host.clone().unwrap_or_else(|| "none".to_owned()),
                    },
                ),
                PolicyCondition::SpfResult { .. } => ("spf_result", self.spf.as_str().to_owned()),
                PolicyCondition::Analysis(_) => continue,
            };
            if seen.iter().all(|(known, _)| **known != *name) {
                seen.push((name.into(), value));
            }
        }
        Witness(seen)
    }
}
