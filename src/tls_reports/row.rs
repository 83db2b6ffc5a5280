//! One row of a report: sessions that are alike in all that is reported.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::daily_reports::Counter;
use crate::limits::{DOMAIN_BYTES_MAX, TLS_REPORT_POLICY_BYTES_MAX};
use crate::message::{a_labels, printable};
use crate::relay::TlsSession;

/// What sessions have in common. Those that went well differ in their policy alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    domain: Box<str>,
    pub(super) policy: Policy,
    pub(super) fault: Option<Fault>,
}

/// What was asked for (RFC 8460 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Policy {
    pub(super) kind: Box<str>,
    pub(super) lines: Arc<[Box<str>]>,
    pub(super) exchangers: Arc<[Box<str>]>,
}

/// What failed, and where (RFC 8460 §4.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Fault {
    pub(super) word: Box<str>,
    pub(super) host: Box<str>,
    pub(super) address: Option<IpAddr>,
}

impl crate::daily_reports::Row for Row {
    fn domain(&self) -> &str {
        &self.domain
    }
}

impl Counter<Row> {
    /// Counts a session.
    pub fn session(&self, session: &TlsSession) {
        if self.config.load().is_none() {
            return;
        }
        if let Some(row) = Row::of(session) {
            self.count(row);
        }
    }
}

impl Row {
    /// The row of a session; `None` if the domain has no name that one could ask for.
    fn of(session: &TlsSession) -> Option<Self> {
        let fault = session.fault.as_ref().map(|noted| Fault {
            word: noted.fault.word().into(),
            host: printable(&session.host, DOMAIN_BYTES_MAX).into(),
            address: session.address,
        });
        Some(Self { domain: a_labels(&session.domain)?, policy: Policy::of(session), fault })
    }
}

impl Policy {
    /// A policy that is too long to be kept is told without its text.
    fn of(session: &TlsSession) -> Self {
        let policy = &session.policy;
        let length = policy.lines.iter().chain(&*policy.exchangers).fold(0_usize, |sum, line| sum.saturating_add(line.len()));
        let (lines, exchangers) = if length > TLS_REPORT_POLICY_BYTES_MAX {
            Default::default()
        } else {
            (Arc::clone(&policy.lines), Arc::clone(&policy.exchangers))
        };
        Self { kind: policy.kind.word().into(), lines, exchangers }
    }
}
