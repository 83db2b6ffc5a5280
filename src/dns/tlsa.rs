//! A TLSA record (RFC 6698 §2.1).

use std::fmt;

/// What a record says of the certificates that may be shown, in numbers as they are on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// Certificate usage (RFC 6698 §2.1.1).
    pub usage: u8,
    /// Selector (RFC 6698 §2.1.2).
    pub selector: u8,
    /// Matching type (RFC 6698 §2.1.3).
    pub matching: u8,
    /// Certificate association data.
    pub data: Box<[u8]>,
}

impl fmt::Display for Tlsa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} ", self.usage, self.selector, self.matching)?;
        self.data.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}
