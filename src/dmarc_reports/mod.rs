//! DMARC aggregate reports (RFC 9990): what was seen of a domain's mail in a day is told to whom the domain's record names.
//!
//! - [`Collector::record`] costs a short lock and never waits; what it cannot keep it counts. What is counted is on disk within half
//!   a minute, outlives a restart, and is bounded in memory and on disk.
//! - A report goes to each destination once; after a crash, at worst one of them goes again, with the same report id. Destinations
//!   of other organizations must have agreed in DNS.
//! - Nobody's mail waits for it: what fails costs reports and log lines.

mod collector;
mod compose;
mod destinations;
mod journal;
mod row;
mod sender;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use self::collector::Collector;
pub use self::sender::DmarcReports;
use crate::dns::{Dns, DnsError};
use crate::limits::DMARC_REPORT_DNS_TIMEOUT;
use crate::message::{DkimVerdict, DmarcVerdict, SpfVerdict};
use crate::smtp::{Address, ReversePath};

/// `dmarc_reports:` of `gateway.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcReportsConfig {
    /// The relay that reports leave by.
    pub relay: Arc<str>,
    /// From and MAIL FROM of the reports; its domain is the submitter.
    pub from: Address,
    /// Who reports (`org_name`).
    pub organization: Arc<str>,
    /// Where people find more (`extra_contact_info`).
    pub contact: Option<Arc<str>>,
    /// Where the days' figures lie, absolute.
    pub folder: PathBuf,
}

/// What a report says of one message. Mail of clients that logged in, or showed a certificate, is not reported: it is the gateway's own.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client, behind load balancers.
    pub client: IpAddr,
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// DMARC; without a record there is nobody to report to.
    pub dmarc: &'a DmarcVerdict,
    /// SPF.
    pub spf: Option<&'a SpfVerdict>,
    /// DKIM.
    pub dkim: Option<&'a DkimVerdict>,
    /// What was done with the message.
    pub handling: Handling,
}

/// What the gateway did with a message, for all recipients together: the mildest counts. A message that is deferred is not
/// reported, for it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handling {
    /// Delivered, or stored for it.
    Delivered,
    /// Refused, or thrown away.
    Refused,
}

/// Who sends the reports: the dispatcher.
pub trait Submit: Send + Sync + 'static {
    /// Stores a message that goes out by a relay; no notification is ever made about it. Returns when it is on stable storage.
    fn submit(&self, relay: &str, from: &Address, to: &Address, content: Bytes) -> impl Future<Output = Result<(), String>> + Send;
}

/// Who is asked for TXT records: [`Dns`].
pub trait TxtLookup: Send + Sync + 'static {
    /// The TXT records of a name; none if it has none or does not exist.
    fn txt(&self, name: &str) -> impl Future<Output = Result<Arc<[Box<[u8]>]>, DnsError>> + Send;
}

impl TxtLookup for Dns {
    async fn txt(&self, name: &str) -> Result<Arc<[Box<[u8]>]>, DnsError> {
        self.inquiry(1, DMARC_REPORT_DNS_TIMEOUT).txt(name).await.map(|answer| answer.records)
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

    fn now(&self) -> u64 {
        (self.0)()
    }

    fn today(&self) -> Day {
        Day(self.now() / DAY_SECONDS)
    }
}

const DAY_SECONDS: u64 = 86_400;

/// A day of UTC, counted from the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Day(u64);

impl Day {
    /// Its first second.
    fn begin(self) -> u64 {
        self.0.saturating_mul(DAY_SECONDS)
    }

    /// Its last second.
    fn end(self) -> u64 {
        self.begin().saturating_add(DAY_SECONDS.saturating_sub(1))
    }
}
