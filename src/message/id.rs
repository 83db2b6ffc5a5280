//! Ids that join every log line of a connection and of its messages.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Crockford's alphabet, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SESSION_CHARS: usize = 16;

/// One connection: 48 bits of milliseconds, then 32 bits that differ between all ids of a process and, being started at
/// random, between processes. Written as 16 characters that sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

/// One message: its session and its number in it, `SESSION-1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId {
    /// The session that brought the message.
    pub session: SessionId,
    /// 1 for the session's first transaction.
    pub number: u32,
}

/// Gives out session ids; one for a process.
#[derive(Debug)]
pub struct SessionIds(AtomicU32);

impl SessionIds {
    /// `seed` should be random: it keeps two processes apart.
    pub fn new(seed: u32) -> Self {
        Self(AtomicU32::new(seed))
    }

    /// A new id at `unix_ms` milliseconds since the epoch.
    pub fn next(&self, unix_ms: u64) -> SessionId {
        let entropy = self.0.fetch_add(1, Ordering::Relaxed);
        SessionId((u128::from(unix_ms & 0xffff_ffff_ffff) << 32) | u128::from(entropy))
    }
}

impl MessageId {
    /// The id as a number of 112 bits, for the spool's index.
    pub fn to_u128(self) -> u128 {
        (self.session.0 << 32) | u128::from(self.number)
    }

    /// The inverse of [`Self::to_u128`].
    pub fn from_u128(value: u128) -> Self {
        #[allow(clippy::cast_possible_truncation)]
        let number = value as u32;
        Self { session: SessionId((value >> 32) & ((1 << 80) - 1)), number }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; SESSION_CHARS];
        for (place, char) in text.iter_mut().rev().enumerate() {
            let digit = (self.0 >> (place * 5)) & 31;
            *char = ALPHABET.get(usize::try_from(digit).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or("0"))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.session, self.number)
    }
}

/// The text is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl FromStr for SessionId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != SESSION_CHARS {
            return Err(NotAnId);
        }
        text.bytes()
            .try_fold(0_u128, |value, byte| {
                let digit = ALPHABET.iter().position(|c| *c == byte)?;
                Some((value << 5) | u128::try_from(digit).ok()?)
            })
            .map(Self)
            .ok_or(NotAnId)
    }
}

impl FromStr for MessageId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let (session, number) = text.split_once('-').ok_or(NotAnId)?;
        Ok(Self { session: session.parse()?, number: number.parse().map_err(|_| NotAnId)? })
    }
}

impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(|NotAnId| serde::de::Error::custom("not a message id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_sort_by_time() {
        let ids = SessionIds::new(u32::MAX);
        let (early, late) = (ids.next(1_700_000_000_000), ids.next(1_700_000_000_001));
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        let message = MessageId { session: late, number: 7 };
        assert_eq!(message.to_string().parse(), Ok(message));
        assert_eq!(MessageId::from_u128(message.to_u128()), message);
    }
}
