//! To whom reports go: the addresses of `rua`, and whether those of other organizations have agreed (RFC 9990 §4).

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::{Dmarc, Psd};

use crate::daily_reports::TxtLookup;
use crate::dns::DnsError;
use crate::limits::{DAILY_REPORT_BYTES_MAX, DAILY_REPORT_DESTINATIONS_MAX, DMARC_REPORT_LEVELS_MAX};
use crate::message::a_labels;
use crate::smtp::Address;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) address: Address,
    /// The largest message that it wants.
    pub(super) bytes_max: usize,
}

/// The addresses that a record names; other URIs than `mailto:` and what is no address are passed over.
pub(super) fn destinations(record: &Dmarc) -> Vec<Destination> {
    let mut destinations: Vec<Destination> = Vec::new();
    for uri in record.rua() {
        let text = uri.uri().split('?').next().unwrap_or_default();
        let Ok(address) = Address::parse(text, false) else { continue };
        let is_sound = a_labels(address.domain()).is_some() && !address.carries_route();
        if is_sound && destinations.len() < DAILY_REPORT_DESTINATIONS_MAX && destinations.iter().all(|known| known.address != address) {
            let asked = if uri.max_size() == 0 { usize::MAX } else { uri.max_size() };
            destinations.push(Destination { address, bytes_max: asked.min(DAILY_REPORT_BYTES_MAX) });
        }
    }
    destinations
}

/// Whether reports about `domain` may go to an address at `to`: it is the domain itself or below it, of the same organization, or
/// says in DNS that it takes them. Without that anybody could have strangers flooded with reports.
pub(super) async fn accepts(dns: &impl TxtLookup, domain: &str, record: &Dmarc, to: &str) -> Result<bool, DnsError> {
    let Some(to) = a_labels(to) else { return Ok(false) };
    let is_below = |name: &str, above: &str| name.strip_suffix(above).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if is_below(&to, domain) {
        return Ok(true);
    }
    if is_dmarc(&dns.txt(&format!("{domain}._report._dmarc.{to}")).await?) {
        return Ok(true);
    }
    // RFC 9989 §4.10: the organization's domain is above all of its domains and has a record of its own, unless the record of a
    // domain says that this one is the organization (psd=n), or the one above is a public suffix (psd=y).
    if record.psd == Psd::No {
        return Ok(false);
    }
    let above = domain.split('.').count().min(DMARC_REPORT_LEVELS_MAX);
    for level in 1..above {
        let name = domain.splitn(level.saturating_add(1), '.').last().unwrap_or_default();
        if !name.contains('.') || !is_below(&to, name) {
            continue;
        }
        for text in &*dns.txt(&format!("_dmarc.{name}")).await? {
            if let Ok(record) = Dmarc::parse(text)
                && record.psd != Psd::Yes
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is_dmarc(records: &[Box<[u8]>]) -> bool {
    records.iter().any(|text| Dmarc::parse(text).is_ok())
}
