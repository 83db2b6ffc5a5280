//! What daily reports to the owners of domains have in common, whatever they tell: rows that are counted, kept across restarts, and
//! told once a day.
//!
//! - Counting costs a short lock and never waits; what cannot be kept is counted. What is counted is on disk within half a minute,
//!   outlives a restart, and is bounded in memory and on disk.
//! - A report goes to each destination once; after a crash, at worst one of them goes again, with the same report id.
//! - Nobody's mail waits for it: what fails costs reports and log lines.

mod counter;
mod daily;
mod journal;
#[cfg(test)]
pub(crate) mod stage;

use std::hash::Hash;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::counter::Counter;
#[cfg(test)]
pub(crate) use self::daily::due_at;
pub use self::daily::{Daily, Sending};
#[cfg(test)]
pub(crate) use self::journal::{Journal, Quota};
use crate::dns::{Dns, DnsError};
use crate::limits::DAILY_REPORT_DNS_TIMEOUT;
use crate::smtp::Address;

/// `dmarc_reports:` or `tls_reports:` of `gateway.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportsConfig {
    /// The relay that reports leave by.
    pub relay: Arc<str>,
    /// From and MAIL FROM of the reports; its domain is the submitter.
    pub from: Address,
    /// Who reports, in words.
    pub organization: Arc<str>,
    /// Where people find more.
    pub contact: Option<Arc<str>>,
    /// Where the days' figures lie, absolute.
    pub folder: PathBuf,
}

/// What is counted: what is alike in all that is reported.
pub trait Row: Clone + Eq + Hash + Serialize + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static {
    /// Whose report it belongs to.
    fn domain(&self) -> &str;
}

/// One kind of report.
pub trait Kind: Send + Sync + 'static {
    /// What is counted.
    type Row: Row;

    /// As the log names it, and the key of `gateway.yaml`.
    const NAME: &'static str;

    /// Sends one report to all its destinations; whether nothing is left to do.
    fn send(&self, sending: &Sending<'_, Self::Row>) -> impl Future<Output = io::Result<bool>> + Send;
}

/// Who sends the reports: the dispatcher.
pub trait Submit: Send + Sync + 'static {
    /// Stores a message that goes out by a relay, in the name of `rule`; no notification is ever made about it. Returns when it is on stable storage.
    fn submit(
        &self,
        rule: &'static str,
        relay: &str,
        from: &Address,
        to: &Address,
        content: Bytes,
    ) -> impl Future<Output = Result<(), String>> + Send;
}

/// Who is asked for TXT records: [`Dns`].
pub trait TxtLookup: Send + Sync + 'static {
    /// The TXT records of a name; none if it has none or does not exist.
    fn txt(&self, name: &str) -> impl Future<Output = Result<Arc<[Box<[u8]>]>, DnsError>> + Send;
}

impl TxtLookup for Dns {
    async fn txt(&self, name: &str) -> Result<Arc<[Box<[u8]>]>, DnsError> {
        self.inquiry(1, DAILY_REPORT_DNS_TIMEOUT).txt(name).await.map(|answer| answer.records)
    }
}

/// Seconds since the epoch.
#[derive(Clone)]
pub struct Clock(pub Arc<dyn Fn() -> u64 + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The time of day.
    pub fn system() -> Self {
        Self(Arc::new(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).as_ref().map_or(0, Duration::as_secs)))
    }

    pub(crate) fn now(&self) -> u64 {
        (self.0)()
    }

    pub(crate) fn today(&self) -> Day {
        Day(self.now() / DAY_SECONDS)
    }
}

pub(crate) const DAY_SECONDS: u64 = 86_400;

/// A day of UTC, counted from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(pub(crate) u64);

impl Day {
    /// Its first second.
    pub(crate) fn begin(self) -> u64 {
        self.0.saturating_mul(DAY_SECONDS)
    }

    /// Its last second.
    pub(crate) fn end(self) -> u64 {
        self.begin().saturating_add(DAY_SECONDS.saturating_sub(1))
    }
}
