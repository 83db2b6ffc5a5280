//! To whom reports go: the URIs of a record (RFC 8460 §3).

use crate::limits::DAILY_REPORT_DESTINATIONS_MAX;
use crate::message::a_labels;
use crate::smtp::Address;

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// By mail.
    Mail(Address),
    /// By POST to a URI with `https`.
    Https(Box<str>),
}

impl Destination {
    /// For the log, and as a mark.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Mail(address) => address.as_str(),
            Self::Https(uri) => uri,
        }
    }
}

/// The destinations that the TXT records at `_smtp._tls` name; none unless exactly one of them is about TLS reports (§3). URIs that
/// are nothing here are passed over.
pub(super) fn destinations(records: &[Box<[u8]>]) -> Vec<Destination> {
    let texts = records.iter().filter_map(|text| std::str::from_utf8(text).ok());
    let mut records =
        texts.filter_map(|text| text.trim_start().strip_prefix("v=TLSRPTv1")).filter_map(|rest| rest.trim_start().strip_prefix(';'));
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let mut destinations: Vec<Destination> = Vec::new();
    let fields = record.split(';').filter_map(|field| field.split_once('='));
    for uri in fields.filter(|(name, _)| name.trim() == "rua").flat_map(|(_, value)| value.split(',')) {
        if let Some(destination) = destination(uri.trim())
            && destinations.len() < DAILY_REPORT_DESTINATIONS_MAX
            && !destinations.contains(&destination)
        {
            destinations.push(destination);
        }
    }
    destinations
}

fn destination(uri: &str) -> Option<Destination> {
    let (scheme, rest) = uri.split_once(':')?;
    if scheme.eq_ignore_ascii_case("mailto") {
        let address = Address::parse(rest.split('?').next().unwrap_or_default(), false).ok()?;
        // What is escaped there is nobody's real address.
        let is_sound = a_labels(address.domain()).is_some() && !address.carries_route() && !address.as_str().contains('%');
        return is_sound.then_some(Destination::Mail(address));
    }
    let is_uri = scheme.eq_ignore_ascii_case("https") && uri.bytes().all(|octet| octet.is_ascii_graphic());
    (is_uri && uri.parse::<hyper::Uri>().is_ok_and(|uri| uri.scheme().is_some() && uri.host().is_some()))
        .then(|| Destination::Https(uri.into()))
}
