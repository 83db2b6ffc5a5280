//! What a sender asks of all who pass its message on: `RET` and `ENVID` of MAIL, `NOTIFY` and `ORCPT` of RCPT (RFC 3461), and
//! `REQUIRETLS` of MAIL (RFC 8689).
//!
//! The values are kept as they were given, so that what is passed on is what was accepted. They are checked strictly: neither
//! the given form nor the decoded one holds a control character, so that nothing of it begins a line of a command or of a
//! notification.

mod encoded;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use self::encoded::xtext_octets;
use super::Address;
use crate::limits::{DSN_ENVID_BYTES_MAX, DSN_ORCPT_BYTES_MAX};

/// `RET`: how much of the message a notification of failure returns (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    #[serde(rename = "HDRS")]
    Headers,
}

/// `NOTIFY`: of what the sender is to be told (RFC 3461 §4.1). Of nothing is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Of a delivery.
    pub success: bool,
    /// Of a failure for good.
    pub failure: bool,
    /// Of a delivery that takes its time.
    pub delay: bool,
}

/// `ENVID`: the sender's name for the transaction, in xtext (RFC 3461 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(Arc<str>);

/// `ORCPT`: the recipient as the sender named it, `type;address` with the address in xtext (RFC 3461 §4.2) or, for the type
/// `utf-8`, in one of the forms of RFC 6533 §3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(Arc<str>);

/// What is asked for the message as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailTerms {
    /// `REQUIRETLS` (RFC 8689): nobody passes it on without.
    #[serde(default, skip_serializing_if = "is_false")]
    pub require_tls: bool,
    /// `RET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Return>,
    /// `ENVID`.
    #[serde(default, rename = "envid", skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<EnvelopeId>,
}

/// The parameters of RCPT.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RcptParameters {
    /// `NOTIFY`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// `ORCPT`.
    #[serde(default, rename = "orcpt", skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalRecipient>,
}

/// A recipient of a transaction, received or sent: RCPT with all it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: Address,
    /// What the sender asked for it.
    pub parameters: RcptParameters,
}

impl Return {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Some(Self::Full),
            "HDRS" => Some(Self::Headers),
            _ => None,
        }
    }

    /// As MAIL has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

impl Notify {
    /// Of nothing, whatever happens.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false };
    /// Where the sender says nothing (RFC 3461 §4.1: failure, and delay as the server likes).
    pub const UNSAID: Self = Self { success: false, failure: true, delay: true };

    /// Reads the value in any case; `NEVER` stands alone.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut notify = Self::NEVER;
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }

    /// What either of two asks for.
    pub fn or(self, other: Self) -> Self {
        Self { success: self.success || other.success, failure: self.failure || other.failure, delay: self.delay || other.delay }
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let asked: Vec<&str> = words.into_iter().filter_map(|(is_asked, word)| is_asked.then_some(word)).collect();
        f.write_str(if asked.is_empty() { "NEVER".into() } else { asked.join(",") }.as_str())
    }
}

impl EnvelopeId {
    /// Reads xtext that stands for printable ASCII (RFC 3461 §4.4), at most [`DSN_ENVID_BYTES_MAX`] octets of it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        (text.len() <= DSN_ENVID_BYTES_MAX && encoded::from_xtext(text).is_some()).then(|| Self(text.into()))
    }

    /// As MAIL has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What it stands for: printable ASCII.
    pub fn decoded(&self) -> String {
        encoded::from_xtext(&self.0).unwrap_or_default()
    }
}

impl OriginalRecipient {
    /// Reads `type;address`. Characters beyond ASCII pass with SMTPUTF8 and the type `utf-8` only (RFC 6533 §3).
    pub(super) fn parse(text: &str, smtputf8: bool) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        let good = text.len() <= DSN_ORCPT_BYTES_MAX
            && encoded::is_atom(kind)
            && if is_utf8(kind) {
                (smtputf8 || address.is_ascii()) && encoded::from_utf8_address(address).is_some()
            } else {
                encoded::from_xtext(address).is_some()
            };
        good.then(|| Self(text.into()))
    }

    /// For a recipient whose sender gave none (RFC 3461 §5.2.1); in ASCII, so that it passes everywhere.
    pub fn of(address: &Address) -> Self {
        let text = address.as_str();
        let made = if address.is_ascii() {
            format!("rfc822;{}", encoded::to_xtext(text))
        } else {
            format!("utf-8;{}", encoded::to_utf8_address(text))
        };
        Self(made.into())
    }

    /// As RCPT has it. A next hop without SMTPUTF8 gets it in ASCII.
    pub fn for_rcpt(&self, smtputf8: bool) -> Cow<'_, str> {
        if smtputf8 || self.0.is_ascii() {
            return Cow::Borrowed(&self.0);
        }
        let (kind, _) = self.parts();
        Cow::Owned(format!("{kind};{}", encoded::to_utf8_address(&self.decoded().1)))
    }

    /// The type, and the address it stands for, without control characters.
    pub fn decoded(&self) -> (&str, String) {
        let (kind, address) = self.parts();
        let decoded = if is_utf8(kind) { encoded::from_utf8_address(address) } else { encoded::from_xtext(address) };
        (kind, decoded.unwrap_or_default())
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(';').unwrap_or_default()
    }
}

fn is_utf8(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("utf-8")
}

impl MailTerms {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RcptParameters {
    fn is_empty(&self) -> bool {
        self.notify.is_none() && self.original.is_none()
    }

    /// Takes in what is asked for another recipient that becomes one with this. Each was accepted, so what either asks to be
    /// told of is told; the name of the first is kept.
    pub fn unite(&mut self, other: &Self) {
        self.notify = match (self.notify, other.notify) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(Notify::UNSAID).or(other.unwrap_or(Notify::UNSAID))),
        };
        if self.original.is_none() {
            self.original.clone_from(&other.original);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self { address, parameters: RcptParameters::default() }
    }
}

impl Recipient {
    /// Of what the sender is to be told.
    pub fn notify(&self) -> Notify {
        self.parameters.notify.unwrap_or(Notify::UNSAID)
    }
}

// ---- the stored forms: what RCPT and MAIL say, checked again when it is read ----

impl Serialize for Notify {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Notify {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("not a NOTIFY value"))
    }
}

impl Serialize for EnvelopeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EnvelopeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?).ok_or_else(|| serde::de::Error::custom("not an ENVID value"))
    }
}

impl Serialize for OriginalRecipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OriginalRecipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&Cow::<str>::deserialize(deserializer)?, true).ok_or_else(|| serde::de::Error::custom("not an ORCPT value"))
    }
}

/// A recipient without parameters is its address, as it was before there were any.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredRecipient {
    Plain(Address),
    Asking {
        address: Address,
        #[serde(flatten)]
        parameters: RcptParameters,
    },
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { address, parameters } = self.clone();
        let stored = if parameters.is_empty() { StoredRecipient::Plain(address) } else { StoredRecipient::Asking { address, parameters } };
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match StoredRecipient::deserialize(deserializer)? {
            StoredRecipient::Plain(address) => address.into(),
            StoredRecipient::Asking { address, parameters } => Self { address, parameters },
        })
    }
}
