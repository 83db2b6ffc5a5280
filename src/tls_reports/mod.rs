//! TLS reports (RFC 8460): how often there was TLS with the mail exchangers of a domain, and what failed, told to whom the domain names
//! at `_smtp._tls`.
//!
//! A connection costs a short lock ([`Collector::session`]); what is counted is kept and told as [`crate::daily_reports`] says.
//! Whether a domain wants a report is asked when there is one.

mod compose;
mod destinations;
mod https;
mod row;
mod sender;
#[cfg(test)]
mod tests;

pub use self::https::web;
pub use self::sender::TlsReports;
use crate::daily_reports::Counter;

/// Where sessions are counted.
pub type Collector = Counter<row::Row>;
