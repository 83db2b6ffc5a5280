//! The PROXY protocol, versions 1 and 2: the header in which a load balancer says whose connection it passes on.
//!
//! The specification is `proxy-protocol.txt` of HAProxy; its sections are cited as `PP §2.1`. Reading is a function of the octets
//! that have come so far: no I/O, no clock, no state. Once a beginning is decided, what follows it changes nothing, so it does
//! not matter how the network cuts a header. Whether a header is expected at all is never guessed from the octets (PP §2).

mod crc32c;
mod tlv;
mod v1;
mod v2;

#[cfg(test)]
mod tests;

pub use tlv::{Ssl, Tlvs};

use std::fmt;
use std::net::SocketAddr;

use crate::limits::{PROXY_HEADER_BYTES_MAX, PROXY_LINE_BYTES_MAX};

/// What the octets of a connection's beginning are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// The beginning of a header; all of it belongs to the header.
    NeedMore,
    /// A whole header, in so many octets; what comes behind them is the client's.
    Header {
        /// What it says.
        header: Header,
        /// Its length.
        consumed: usize,
    },
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// For whom the load balancer has connected.
    pub command: Command,
    /// The ends of the client's connection. `None`: the load balancer does not say, and the real connection's ends are the ones
    /// that count (`LOCAL`, `UNKNOWN`, and all that is not TCP over IP).
    pub addresses: Option<Addresses>,
    /// What else version 2 says.
    pub tlvs: Tlvs,
}

/// For whom the load balancer has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// For itself, as a health check does.
    Local,
    /// For a client.
    Proxy,
}

/// The ends of the client's connection to the load balancer, IPv4 addresses inside of IPv6 ones made plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client. A port of 0 is one that the load balancer does not know.
    pub source: SocketAddr,
    /// Where the client has connected to.
    pub destination: SocketAddr,
}

/// Why something is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins with neither `PROXY ` nor the signature of version 2.
    NoHeader,
    /// The line of version 1 does not end in time.
    LineTooLong,
    /// The line of version 1 has a CR or an LF by itself.
    BareLineEnd,
    /// Version 1 with something else than `TCP4`, `TCP6` or `UNKNOWN`.
    Protocol,
    /// Version 1 with more or fewer than four fields, or more than one space between two of them.
    Fields,
    /// Version 1 with an address that is none, or not of its family.
    Address,
    /// Version 1 with a port that is none.
    Port,
    /// The signature of version 2 with another version.
    Version(u8),
    /// A command that is not assigned.
    UnknownCommand(u8),
    /// An address family or a transport protocol that is not assigned.
    Family(u8),
    /// Longer than anybody needs.
    TooLong(usize),
    /// Too short for the addresses of its family.
    NoRoomForAddresses,
    /// A TLV that does not end where it should, or that has not the size of its type.
    Tlv,
    /// The checksum is that of another header.
    Checksum,
    /// The source is the unspecified address, `0.0.0.0` or `::`.
    Source(std::net::IpAddr),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader => f.write_str("what came is no PROXY header"),
            Self::LineTooLong => write!(f, "version 1: no CRLF within {PROXY_LINE_BYTES_MAX} octets"),
            Self::BareLineEnd => f.write_str("version 1: a CR or LF that is not part of a CRLF"),
            Self::Protocol => f.write_str("version 1: neither TCP4, TCP6 nor UNKNOWN"),
            Self::Fields => f.write_str("version 1: not two addresses and two ports with one space before each"),
            Self::Address => f.write_str("version 1: an address is wrong or not of the family"),
            Self::Port => f.write_str("version 1: a port is wrong"),
            Self::Version(version) => write!(f, "version {version} of the protocol"),
            Self::UnknownCommand(command) => write!(f, "version 2: unknown command {command}"),
            Self::Family(byte) => write!(f, "version 2: unknown address family or transport protocol in {byte:#04x}"),
            Self::TooLong(bytes) => write!(f, "version 2: {bytes} octets, at most {PROXY_HEADER_BYTES_MAX} are taken"),
            Self::NoRoomForAddresses => f.write_str("version 2: too short for the addresses of its family"),
            Self::Tlv => f.write_str("version 2: a TLV has a wrong length"),
            Self::Checksum => f.write_str("version 2: the checksum does not fit"),
            Self::Source(address) => write!(f, "{address} is no address of a client"),
        }
    }
}

impl std::error::Error for Malformed {}

/// Reads the header that a connection begins with from the octets that have come so far.
pub fn decode(input: &[u8]) -> Result<Decoded, Malformed> {
    match input.first() {
        None => Ok(Decoded::NeedMore),
        Some(first) if v1::BEGIN.first() == Some(first) => v1::decode(input),
        Some(_) => v2::decode(input),
    }
}

/// Whether the octets are `signature`, or its beginning, or else.
fn begins(input: &[u8], signature: &[u8]) -> Result<bool, Malformed> {
    if input.iter().zip(signature).all(|(is, wanted)| is == wanted) { Ok(input.len() >= signature.len()) } else { Err(Malformed::NoHeader) }
}

impl Addresses {
    /// The ends of a client's connection, unless the source is unspecified: that names nobody. Any other address is taken as it
    /// stands, for PP §2.1 itself shows broadcast and multicast ones as the longest valid lines.
    fn new(source: SocketAddr, destination: SocketAddr) -> Result<Self, Malformed> {
        let [source, destination] = [source, destination].map(|end| SocketAddr::new(end.ip().to_canonical(), end.port()));
        let ip = source.ip();
        if ip.is_unspecified() {
            return Err(Malformed::Source(ip));
        }
        Ok(Self { source, destination })
    }
}
