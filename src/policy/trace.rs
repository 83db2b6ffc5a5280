//! What was seen when a policy was asked: each statement with its conditions, their values and outcomes.
//!
//! Nothing is judged here: outcomes come from the code that judges.

use std::sync::Arc;

use super::judge::{Held, Texts};
use super::{Known, Policy, PolicyCondition, Statement, TlsTest};
use crate::message::TlsVersion;
use crate::rules::{ConditionTrace, OnError, Seen, Truth, VerdictAttribute, analysis_looked_at, host_looked_at, listed, quoted, words};

/// A policy and what it saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyTrace {
    /// The statements below `deny`, in the order of the file.
    pub deny: Vec<StatementTrace>,
    /// Those below `allow`.
    pub allow: Vec<StatementTrace>,
}

/// A statement and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementTrace {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it matches, were it looked at.
    pub outcome: Seen,
    /// Whether it was looked at: no statement before it had matched.
    pub is_reached: bool,
    /// Its conditions, all of them.
    pub when: Vec<ConditionTrace>,
}

impl StatementTrace {
    /// The conditions that decided against the statement, or that leave it open; none where it matches.
    pub fn deciding(&self) -> Vec<usize> {
        let places = |wanted: fn(&Seen) -> bool| {
            self.when.iter().enumerate().filter(move |(_, condition)| wanted(&condition.outcome)).map(|(place, _)| place)
        };
        match self.outcome {
            Seen::Holds => Vec::new(),
            Seen::Fails => places(Seen::fails).take(1).collect(),
            Seen::Unknown(_) => places(Seen::is_unknown).collect(),
        }
    }
}

impl Policy {
    pub(super) fn trace(&self, texts: &Texts<'_>) -> PolicyTrace {
        let mut is_reached = true;
        let mut list = |statements: &[Statement]| -> Vec<StatementTrace> {
            let traces = statements.iter().map(|statement| {
                let trace = StatementTrace { is_reached, ..statement.trace(texts) };
                is_reached &= !trace.outcome.holds();
                trace
            });
            traces.collect()
        };
        PolicyTrace { deny: list(&self.deny), allow: list(&self.allow) }
    }
}

impl Statement {
    fn trace(&self, texts: &Texts<'_>) -> StatementTrace {
        let when: Vec<ConditionTrace> = self.when.iter().map(|condition| condition.trace(texts)).collect();
        let outcome = match self.holds(texts) {
            Held::Yes => Seen::Holds,
            Held::No => Seen::Fails,
            Held::Open(_) => {
                let mut why: Vec<&str> = Vec::new();
                for condition in &when {
                    if let Seen::Unknown(one) = &condition.outcome
                        && !why.contains(&one.as_str())
                    {
                        why.push(one);
                    }
                }
                Seen::Unknown(why.join("; "))
            }
        };
        StatementTrace { name: Arc::clone(&self.name), outcome, is_reached: true, when }
    }
}

impl PolicyCondition {
    fn trace(&self, texts: &Texts<'_>) -> ConditionTrace {
        let outcome = match self.holds(texts) {
            Some(Truth::Known(true)) => Seen::Holds,
            Some(Truth::Known(false) | Truth::NoAnswer { on_error: OnError::Skip, .. }) => Seen::Fails,
            Some(Truth::NoAnswer { on_error: OnError::Defer, why }) => Seen::Unknown(why),
            Some(Truth::NotAsked(need)) => Seen::Unknown(format!("{need} is not known")),
            None => Seen::Unknown("the client has not said it yet".to_owned()),
        };
        ConditionTrace { attribute: self.attribute(), test: self.test(), saw: self.saw(texts), outcome, inner: Vec::new() }
    }

    /// What it looks at, as policies write it.
    pub fn attribute(&self) -> String {
        match self {
            Self::SenderIp(_) => "sender_ip".to_owned(),
            Self::Recipient(_) => "recipient".to_owned(),
            Self::MailFrom(_) => "mail_from".to_owned(),
            Self::Helo(_) => "helo".to_owned(),
            Self::TlsProtocol(_) => "tls_protocol".to_owned(),
            Self::ClientHost(_) => "client_host".to_owned(),
            Self::SpfResult { .. } => "spf_result".to_owned(),
            Self::Analysis(condition) => condition.attribute(),
        }
    }

    /// What it asks: `ends_with: "@acme.example"`.
    pub fn test(&self) -> String {
        match self {
            Self::SenderIp(test) => test.shown(),
            Self::Recipient(test) | Self::MailFrom(test) | Self::Helo(test) | Self::ClientHost(test) => test.shown(),
            Self::TlsProtocol(TlsTest::Minimum(version)) => format!("minimum_tls_version: {}", shown(*version)),
            Self::TlsProtocol(TlsTest::Is(versions)) => listed("is", versions.iter().map(|version| shown(*version).to_owned())),
            Self::SpfResult { negated, values } => words(*negated, values),
            Self::Analysis(condition) => condition.shown(),
        }
    }

    fn saw(&self, texts: &Texts<'_>) -> Vec<String> {
        let facts = texts.facts;
        let text = |fact: Known<&str>| match fact {
            Known::NotYet => Vec::new(),
            Known::Value(text) => vec![quoted(text)],
        };
        match self {
            Self::SenderIp(_) => vec![facts.client_ip.to_string()],
            Self::Recipient(_) => text(facts.recipient),
            Self::MailFrom(_) => match facts.mail_from {
                Known::NotYet => Vec::new(),
                Known::Value(path) => vec![quoted(path.as_str())],
            },
            Self::Helo(_) => text(facts.helo).into_iter().filter(|text| text != "\"\"").collect(),
            Self::TlsProtocol(_) => match facts.tls {
                Known::NotYet => Vec::new(),
                Known::Value(version) => vec![version.map_or("plain text", shown).to_owned()],
            },
            Self::ClientHost(_) => host_looked_at(facts.findings),
            Self::SpfResult { .. } => VerdictAttribute::SpfResult.word(facts.findings).map(str::to_owned).into_iter().collect(),
            Self::Analysis(condition) => analysis_looked_at(condition, facts.findings),
        }
    }
}

/// As policies write it.
fn shown(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls1_2 => "tls1_2",
        TlsVersion::Tls1_3 => "tls1_3",
    }
}
