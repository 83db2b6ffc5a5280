//! Addresses of the envelope: RFC 5321 §4.1.2 mailboxes, kept exactly as they were written (quoting included), RFC 6531 for UTF-8.

use std::fmt;
use std::sync::Arc;

/// An envelope address, `local-part@domain`, or the bare `postmaster` of RFC 5321 §4.1.1.3 (then the domain is empty).
///
/// The local part keeps its quoting, so that what is relayed is what was received. Equality and hashing ignore ASCII case
/// in the domain and keep it in the local part.
#[derive(Clone)]
pub struct Address {
    text: Arc<str>,
    /// Position of the `@` that divides; the length of the text when there is none.
    at: usize,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not a mailbox of RFC 5321 §4.1.2.
    Syntax,
    /// Local part over 64 octets or domain over 255 (RFC 5321 §4.5.3.1).
    TooLong,
    /// 8-bit characters without SMTPUTF8.
    NeedsSmtpUtf8,
}

/// MAIL FROM: an address or `<>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`: a bounce or another message that must not be bounced.
    Null,
    /// An address.
    Address(Address),
}

impl ReversePath {
    /// The address without angle brackets; empty for the null path.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Null => "",
            Self::Address(address) => address.as_str(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.as_str())
    }
}

impl Address {
    /// Reads a mailbox as it stands between the angle brackets of RCPT, strictly; a bare `postmaster` passes.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        syntax::mailbox(text, smtputf8).map(|at| Self { text: text.into(), at })
    }

    /// The whole address, as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`, quoting included.
    pub fn local_part(&self) -> &str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// What stands behind the `@`; empty for a bare `postmaster`. An address literal keeps its brackets.
    pub fn domain(&self) -> &str {
        self.text.get(self.at.saturating_add(1)..).unwrap_or_default()
    }

    /// Whether the address can only travel with SMTPUTF8 (RFC 6531).
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.text)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.local_part() == other.local_part() && self.domain().eq_ignore_ascii_case(other.domain())
    }
}

impl Eq for Address {}

impl std::hash::Hash for Address {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.local_part().hash(state);
        for byte in self.domain().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
    }
}

impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text, true).map_err(|_| serde::de::Error::custom("not an address"))
    }
}

impl serde::Serialize for ReversePath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for ReversePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self::Null);
        }
        Address::parse(&text, true).map(Self::Address).map_err(|_| serde::de::Error::custom("not an address"))
    }
}

mod syntax {
    use super::AddressError;

    /// Position of the dividing `@`.
    pub(super) fn mailbox(text: &str, smtputf8: bool) -> Result<usize, AddressError> {
        if !smtputf8 && !text.is_ascii() {
            return Err(AddressError::NeedsSmtpUtf8);
        }
        if text.eq_ignore_ascii_case("postmaster") {
            return Ok(text.len());
        }
        let at = text.rfind('@').ok_or(AddressError::Syntax)?;
        Ok(at)
    }
}
