//! What stands behind the addresses in version 2: type, length, value (PP §2.2.1 to §2.2.8).

use super::{Malformed, crc32c};

/// The types that are read.
mod types {
    pub(super) const ALPN: u8 = 0x01;
    pub(super) const AUTHORITY: u8 = 0x02;
    pub(super) const CRC32C: u8 = 0x03;
    pub(super) const UNIQUE_ID: u8 = 0x05;
    pub(super) const SSL: u8 = 0x20;
    pub(super) const SSL_VERSION: u8 = 0x21;
    pub(super) const SSL_COMMON_NAME: u8 = 0x22;
    pub(super) const SSL_CIPHER: u8 = 0x23;
    pub(super) const SSL_SIGNATURE_ALGORITHM: u8 = 0x24;
    pub(super) const SSL_KEY_ALGORITHM: u8 = 0x25;
    pub(super) const NETWORK_NAMESPACE: u8 = 0x30;
}

/// PP §2.2.5: "up to 128 bytes".
const UNIQUE_ID_BYTES_MAX: usize = 128;
const CHECKSUM_BYTES: usize = 4;
/// Type and length.
const HEAD_BYTES: usize = 3;

/// What a load balancer says beside the addresses; of two TLVs of one type the first counts. Unknown types, padding (`NOOP`) and
/// the ranges for private use are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs {
    /// The protocol above TLS.
    pub alpn: Option<Box<[u8]>>,
    /// The host name that the client has asked for, in TLS the server name.
    pub authority: Option<Box<str>>,
    /// How the load balancer calls this connection in its own log.
    pub unique_id: Option<Box<[u8]>>,
    /// The name of the network namespace.
    pub network_namespace: Option<Box<str>>,
    /// The TLS that the load balancer has ended.
    pub ssl: Option<Box<Ssl>>,
}

/// TLS between the client and the load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssl {
    /// The client used TLS at all.
    pub used: bool,
    /// It showed a certificate on this connection.
    pub certificate_on_connection: bool,
    /// It showed one in the TLS session that this connection belongs to.
    pub certificate_in_session: bool,
    /// A certificate was shown and is good.
    pub verified: bool,
    /// The version, as the load balancer writes it.
    pub version: Option<Box<str>>,
    /// The common name of the client's certificate.
    pub common_name: Option<Box<str>>,
    /// The cipher suite.
    pub cipher: Option<Box<str>>,
    /// How the load balancer's certificate is signed.
    pub signature_algorithm: Option<Box<str>>,
    /// The kind of key in the load balancer's certificate.
    pub key_algorithm: Option<Box<str>>,
}

impl Tlvs {
    /// Reads what stands in a whole header from octet `begin` on, and holds the header against its checksum.
    pub(super) fn read(header: &[u8], begin: usize) -> Result<Self, Malformed> {
        let mut read = Self::default();
        let mut checksum = None;
        let mut rest = Rest { header, at: begin };
        while let Some(Tlv { kind, at, value }) = rest.next()? {
            match kind {
                types::ALPN => keep(&mut read.alpn, value),
                types::AUTHORITY => keep_text(&mut read.authority, value),
                types::UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(Malformed::Tlv),
                types::UNIQUE_ID => keep(&mut read.unique_id, value),
                types::NETWORK_NAMESPACE => keep_text(&mut read.network_namespace, value),
                types::SSL => {
                    let ssl = Ssl::read(value)?;
                    read.ssl.get_or_insert_with(|| Box::new(ssl));
                }
                // With two of them there is no header that both can be the checksum of.
                types::CRC32C if checksum.is_some() => return Err(Malformed::Tlv),
                types::CRC32C => checksum = Some((at, u32::from_be_bytes(value.try_into().map_err(|_| Malformed::Tlv)?))),
                _ => {}
            }
        }
        match checksum {
            Some((at, wanted)) if checksum_without(header, at) != wanted => Err(Malformed::Checksum),
            _ => Ok(read),
        }
    }
}

/// PP §2.2.3: the checksum of the whole header, with zeros where the checksum stands.
fn checksum_without(header: &[u8], at: usize) -> u32 {
    let own = at..at.saturating_add(CHECKSUM_BYTES);
    crc32c::checksum(header.iter().enumerate().map(|(index, byte)| if own.contains(&index) { 0 } else { *byte }))
}

impl Ssl {
    /// A bit field, the result of the verification, and TLVs inside of the TLV (PP §2.2.6).
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let ([client, verify @ ..], _) = value.split_first_chunk::<5>().ok_or(Malformed::Tlv)?;
        let certificate_on_connection = client & 0x02 != 0;
        let certificate_in_session = client & 0x04 != 0;
        let mut read = Self {
            used: client & 0x01 != 0,
            certificate_on_connection,
            certificate_in_session,
            // The result is 0 as well where nothing was there to be verified.
            verified: (certificate_on_connection || certificate_in_session) && *verify == [0; 4],
            ..Self::default()
        };
        let mut rest = Rest { header: value, at: 5 };
        while let Some(Tlv { kind, value, .. }) = rest.next()? {
            match kind {
                types::SSL_VERSION => keep_text(&mut read.version, value),
                types::SSL_COMMON_NAME => keep_text(&mut read.common_name, value),
                types::SSL_CIPHER => keep_text(&mut read.cipher, value),
                types::SSL_SIGNATURE_ALGORITHM => keep_text(&mut read.signature_algorithm, value),
                types::SSL_KEY_ALGORITHM => keep_text(&mut read.key_algorithm, value),
                _ => {}
            }
        }
        Ok(read)
    }
}

/// One of them.
struct Tlv<'a> {
    kind: u8,
    /// Where the value begins.
    at: usize,
    value: &'a [u8],
}

/// TLVs that are still to be read.
struct Rest<'a> {
    header: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    /// The next one. The last one ends with the header; a few octets too many are none.
    fn next(&mut self) -> Result<Option<Tlv<'a>>, Malformed> {
        let rest = self.header.get(self.at..).ok_or(Malformed::Tlv)?;
        if rest.is_empty() {
            return Ok(None);
        }
        let ([kind, high, low], rest) = rest.split_first_chunk::<HEAD_BYTES>().ok_or(Malformed::Tlv)?;
        let value = rest.get(..u16::from_be_bytes([*high, *low]).into()).ok_or(Malformed::Tlv)?;
        let at = self.at.saturating_add(HEAD_BYTES);
        self.at = at.saturating_add(value.len());
        Ok(Some(Tlv { kind: *kind, at, value }))
    }
}

fn keep(place: &mut Option<Box<[u8]>>, value: &[u8]) {
    place.get_or_insert_with(|| value.into());
}

/// These texts are shown to people and decide nothing, so what is no UTF-8 in them is replaced.
fn keep_text(place: &mut Option<Box<str>>, value: &[u8]) {
    place.get_or_insert_with(|| String::from_utf8_lossy(value).into());
}
