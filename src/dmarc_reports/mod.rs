//! DMARC aggregate reports (RFC 9990): what was seen of a domain's mail in a day is told to whom the domain's record names.
//!
//! A message costs a short lock ([`Collector::record`]); what is counted is kept and told as [`crate::daily_reports`] says.
//! Destinations of other organizations must have agreed in DNS.

mod compose;
mod destinations;
mod row;
mod sender;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

pub use self::sender::DmarcReports;
use crate::daily_reports::Counter;
use crate::message::{DkimVerdict, DmarcVerdict, SpfVerdict};
use crate::smtp::ReversePath;

/// Where messages are counted.
pub type Collector = Counter<row::Row>;

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
