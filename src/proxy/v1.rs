//! Version 1: one line of text (PP §2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Addresses, Command, Decoded, Header, Malformed, Tlvs, begins};
use crate::limits::PROXY_LINE_BYTES_MAX;

pub(super) const BEGIN: &[u8] = b"PROXY ";

pub(super) fn decode(input: &[u8]) -> Result<Decoded, Malformed> {
    if !begins(input, BEGIN)? {
        return Ok(Decoded::NeedMore);
    }
    // PP §2.1: nothing is decoded before the CRLF is there, and it comes within 107 octets.
    let window = input.get(..PROXY_LINE_BYTES_MAX).unwrap_or(input);
    let more = if window.len() == PROXY_LINE_BYTES_MAX { Err(Malformed::LineTooLong) } else { Ok(Decoded::NeedMore) };
    let Some(end) = window.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return more };
    let (line, rest) = window.split_at(end);
    match rest {
        [b'\r'] => return more,
        [b'\r', b'\n', ..] => {}
        // PP §2.1: "must not tolerate a single CR or LF character to end the line".
        _ => return Err(Malformed::BareLineEnd),
    }
    let addresses = addresses(line.get(BEGIN.len()..).unwrap_or_default())?;
    let header = Header { command: Command::Proxy, addresses, tlvs: Tlvs::default() };
    Ok(Decoded::Header { header, consumed: end.saturating_add(2) })
}

/// What stands between `PROXY ` and CRLF.
fn addresses(line: &[u8]) -> Result<Option<Addresses>, Malformed> {
    let mut fields = line.split(|byte| *byte == b' ');
    match fields.next() {
        // Whatever follows on this line is ignored, were it no text at all.
        Some(b"UNKNOWN") => Ok(None),
        Some(b"TCP4") => ends::<Ipv4Addr>(fields).map(Some),
        Some(b"TCP6") => ends::<Ipv6Addr>(fields).map(Some),
        _ => Err(Malformed::Protocol),
    }
}

fn ends<'a, A: FromStr + Into<IpAddr>>(mut fields: impl Iterator<Item = &'a [u8]>) -> Result<Addresses, Malformed> {
    let all = [fields.next(), fields.next(), fields.next(), fields.next()];
    let ([Some(source), Some(destination), Some(source_port), Some(destination_port)], None) = (all, fields.next()) else {
        return Err(Malformed::Fields);
    };
    let source = SocketAddr::new(address::<A>(source)?, port(source_port)?);
    let destination = SocketAddr::new(address::<A>(destination)?, port(destination_port)?);
    Addresses::new(source, destination)
}

/// The standard library reads what PP §2.1 asks for and no more: four decimal numbers without leading zeros, or groups of up to
/// four hexadecimal digits; the dotted tail of a v4-mapped address too, which is how inet_ntop writes it.
fn address<A: FromStr + Into<IpAddr>>(text: &[u8]) -> Result<IpAddr, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed::Address)?;
    text.parse::<A>().map(Into::into).map_err(|_| Malformed::Address)
}

/// 0 to 65535: no sign, no leading zero (PP §2.1).
fn port(text: &[u8]) -> Result<u16, Malformed> {
    let is_decimal = text.iter().all(u8::is_ascii_digit) && (text == b"0" || !text.starts_with(b"0"));
    let text = std::str::from_utf8(text).ok().filter(|_| is_decimal).ok_or(Malformed::Port)?;
    text.parse().map_err(|_| Malformed::Port)
}
