//! Version 2: a binary header (PP §2.2).

use std::net::{IpAddr, SocketAddr};

use super::{Addresses, Command, Decoded, Header, Malformed, Tlvs, begins};
use crate::limits::PROXY_HEADER_BYTES_MAX;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;

pub(super) fn decode(input: &[u8]) -> Result<Decoded, Malformed> {
    if !begins(input, SIGNATURE)? {
        return Ok(Decoded::NeedMore);
    }
    let mut fixed = input.iter().skip(SIGNATURE.len()).copied();
    // Each octet is judged as soon as it is there: who does not speak the protocol is not waited for.
    let Some(command) = fixed.next().map(command).transpose()? else { return Ok(Decoded::NeedMore) };
    let Some(layout) = fixed.next().map(|byte| Layout::new(command, byte)).transpose()? else { return Ok(Decoded::NeedMore) };
    let (Some(high), Some(low)) = (fixed.next(), fixed.next()) else { return Ok(Decoded::NeedMore) };
    let length = FIXED_BYTES.saturating_add(u16::from_be_bytes([high, low]).into());
    if length > PROXY_HEADER_BYTES_MAX {
        return Err(Malformed::TooLong(length));
    }
    if length < FIXED_BYTES.saturating_add(layout.address_bytes()) {
        return Err(Malformed::NoRoomForAddresses);
    }
    // PP §2.2: "must not start to parse an address before the whole address block is received".
    let Some(whole) = input.get(..length) else { return Ok(Decoded::NeedMore) };
    let (addresses, tlvs) = layout.read(whole)?;
    Ok(Decoded::Header { header: Header { command, addresses, tlvs }, consumed: length })
}

/// The 13th octet: the version in its high half, the command in the low one.
fn command(byte: u8) -> Result<Command, Malformed> {
    match (byte >> 4, byte & 0x0F) {
        (2, 0) => Ok(Command::Local),
        (2, 1) => Ok(Command::Proxy),
        // PP §2.2: "Receivers must drop connections presenting unexpected values here."
        (2, command) => Err(Malformed::UnknownCommand(command)),
        (version, _) => Err(Malformed::Version(version)),
    }
}

/// How the octets behind the fixed ones are laid out.
#[derive(Clone, Copy)]
enum Layout {
    /// Addresses of IPv4, then TLVs.
    Inet { is_tcp: bool },
    /// Addresses of IPv6, then TLVs.
    Inet6 { is_tcp: bool },
    /// Names of two Unix sockets, then TLVs.
    Unix,
    /// TLVs at once, as load balancers write it for health checks; but some put addresses there, and those are to be ignored.
    Unspecified,
    /// Of no meaning here.
    Skipped,
}

impl Layout {
    /// By the 14th octet: the address family in its high half, the transport protocol in the low one.
    fn new(command: Command, byte: u8) -> Result<Self, Malformed> {
        match (command, byte >> 4, byte & 0x0F) {
            (_, 0, 0) => Ok(Self::Unspecified),
            // PP §2.2, LOCAL: "discard the protocol block including the family which is ignored".
            (Command::Local, _, _) => Ok(Self::Skipped),
            (Command::Proxy, 1, protocol @ 1..=2) => Ok(Self::Inet { is_tcp: protocol == 1 }),
            (Command::Proxy, 2, protocol @ 1..=2) => Ok(Self::Inet6 { is_tcp: protocol == 1 }),
            (Command::Proxy, 3, 1..=2) => Ok(Self::Unix),
            // One half is unspecified: how long the addresses are is not defined.
            (Command::Proxy, 0..=3, 0..=2) => Ok(Self::Skipped),
            // PP §2.2: "must be rejected as invalid by receivers".
            _ => Err(Malformed::Family(byte)),
        }
    }

    fn address_bytes(self) -> usize {
        match self {
            Self::Inet { .. } => 12,
            Self::Inet6 { .. } => 36,
            Self::Unix => 216,
            Self::Unspecified | Self::Skipped => 0,
        }
    }

    /// Addresses and TLVs of the whole header.
    fn read(self, whole: &[u8]) -> Result<(Option<Addresses>, Tlvs), Malformed> {
        let behind_addresses = FIXED_BYTES.saturating_add(self.address_bytes());
        let tlvs = match (self, Tlvs::read(whole, behind_addresses)) {
            (Self::Skipped, _) | (Self::Unspecified, Err(Malformed::Tlv)) => Tlvs::default(),
            (_, tlvs) => tlvs?,
        };
        let mut octets = Octets(whole.get(FIXED_BYTES..behind_addresses).unwrap_or_default());
        let ends = match self {
            Self::Inet { is_tcp: true } => octets.ends::<4, [u8; 4]>(),
            Self::Inet6 { is_tcp: true } => octets.ends::<16, [u8; 16]>(),
            // PP §2.2: what is not supported is treated as UNSPEC. Mail comes over TCP, so a datagram's or a Unix socket's
            // addresses are not this client's.
            Self::Inet { is_tcp: false } | Self::Inet6 { is_tcp: false } | Self::Unix | Self::Unspecified | Self::Skipped => None,
        };
        Ok((ends.map(|(source, destination)| Addresses::new(source, destination)).transpose()?, tlvs))
    }
}

/// The address block, from its front.
struct Octets<'a>(&'a [u8]);

impl Octets<'_> {
    /// Source and destination address, then source and destination port, in network byte order (PP §2.2).
    fn ends<const N: usize, A>(&mut self) -> Option<(SocketAddr, SocketAddr)>
    where
        A: Into<IpAddr> + From<[u8; N]>,
    {
        let [source, destination] = [self.next::<N>()?, self.next::<N>()?].map(|octets| A::from(octets).into());
        let [source_port, destination_port] = [self.next()?, self.next()?].map(u16::from_be_bytes);
        Some((SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)))
    }

    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (next, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*next)
    }
}
