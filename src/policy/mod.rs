//! Traffic policies: who may connect, and to whom mail may be sent, judged with what is known so far.
//!
//! Deny statements come first, then allow statements, then the default, whatever the order in the file. A condition whose
//! fact is not known yet is undecided; a verdict is given as soon as the unknown can no longer change it. What must be looked up
//! is asked for only where it still can.

mod judge;
mod trace;

pub use trace::{PolicyTrace, StatementTrace};

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::message::{Findings, Need, TlsVersion};
use crate::rules::{AnalysisCondition, IpTest, TextTest};
use crate::smtp::ReversePath;

/// A traffic policy: `policies/NAME.yaml`.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The file's stem.
    pub name: Arc<str>,
    /// For what no statement decides.
    pub default: Effect,
    /// Largest message in octets.
    pub max_message_size: Option<u64>,
    /// Looked at first.
    pub deny: Vec<Statement>,
    /// Looked at when no deny statement matches.
    pub allow: Vec<Statement>,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Take it.
    Allow,
    /// Refuse it.
    Deny,
}

/// A statement: it matches when all its conditions do.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Unique in its policy.
    pub name: Arc<str>,
    /// All must match.
    pub when: Vec<PolicyCondition>,
}

/// A condition of a statement.
#[derive(Clone, Debug)]
pub enum PolicyCondition {
    /// The client's address.
    SenderIp(IpTest),
    /// The address given in RCPT.
    Recipient(TextTest),
    /// The address given in MAIL; the null path is the empty text.
    MailFrom(TextTest),
    /// The argument of HELO or EHLO.
    Helo(TextTest),
    /// The session's TLS.
    TlsProtocol(TlsTest),
    /// The client's forward-confirmed host name.
    ClientHost(TextTest),
    /// The result of SPF, by its word; trouble with DNS is a result too.
    SpfResult {
        /// `not_equals`.
        negated: bool,
        /// The words.
        values: Vec<Box<str>>,
    },
    /// What an analyzer found that needs no message.
    Analysis(AnalysisCondition),
}

/// A test of the TLS version. Plain text is below every version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsTest {
    /// This version or a later one.
    Minimum(TlsVersion),
    /// One of these versions.
    Is(Vec<TlsVersion>),
}

/// A fact that may not be known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// Not yet.
    NotYet,
    /// Known.
    Value(T),
}

/// What is known of a session when the policy is asked.
#[derive(Clone, Copy, Debug)]
pub struct PolicyFacts<'a> {
    /// Known from the first moment.
    pub client_ip: IpAddr,
    /// Known after EHLO or HELO.
    pub helo: Known<&'a str>,
    /// `None` is plain text. Known from MAIL on, since STARTTLS can come before.
    pub tls: Known<Option<TlsVersion>>,
    /// Known after MAIL.
    pub mail_from: Known<&'a ReversePath>,
    /// Known at RCPT; without needless quoting ([`crate::smtp::Address::canonical`]), which must not evade a statement.
    pub recipient: Known<&'a str>,
    /// What was looked up.
    pub findings: &'a Findings,
}

/// What the policy says with what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It depends on what is not known yet: on these, if they are asked for, on what the client has not said, or on both.
    Undecided {
        /// What nobody has asked for, and can make a difference.
        needs: BTreeSet<Need>,
    },
    /// It depends on what was asked for without an answer, and on nothing else: nobody is let in or sent away for good by this.
    Unknown {
        /// The first statement that is concerned.
        statement: Arc<str>,
        /// Who did not answer, and why.
        detail: String,
    },
    /// Decided by this statement; `None` is the default.
    Decided(Effect, Option<Arc<str>>),
}
