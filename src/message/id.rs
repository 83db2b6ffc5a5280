//! Ids that join every log line of a connection and of its messages.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};

/// Crockford's alphabet, lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const SESSION_CHARS: usize = 16;
/// The digits of the largest number.
const NUMBER_CHARS: usize = 10;
const MESSAGE_CHARS: usize = SESSION_CHARS + 1 + NUMBER_CHARS;

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

/// An id as text; each line of the log has one or two, so it is made without a formatter.
struct Written {
    text: [u8; MESSAGE_CHARS],
    len: usize,
}

impl Written {
    fn as_str(&self) -> &str {
        self.text.get(..self.len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("0")
    }
}

impl SessionId {
    fn written(self) -> Written {
        let mut text = [0; MESSAGE_CHARS];
        // Machine words: twelve characters of the lower one, then the four that are left.
        #[allow(clippy::cast_possible_truncation)]
        let (mut low, mut high) = (self.0 as u64, (self.0 >> 60) as u64);
        for (place, char) in text.iter_mut().take(SESSION_CHARS).rev().enumerate() {
            let word = if place < 12 { &mut low } else { &mut high };
            *char = usize::try_from(*word & 31).ok().and_then(|digit| ALPHABET.get(digit)).copied().unwrap_or(b'0');
            *word >>= 5;
        }
        Written { text, len: SESSION_CHARS }
    }
}

impl MessageId {
    fn written(self) -> Written {
        let Written { mut text, len } = self.session.written();
        let mut digits = [b'0'; NUMBER_CHARS];
        let (mut rest, mut first) = (self.number, NUMBER_CHARS);
        for (place, digit) in digits.iter_mut().enumerate().rev() {
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            (rest, first) = (rest / 10, place);
            if rest == 0 {
                break;
            }
        }
        let number = [b'-'].into_iter().chain(digits.into_iter().skip(first));
        let end = text.iter_mut().skip(len).zip(number).map(|(char, byte)| *char = byte).count();
        Written { text, len: len.saturating_add(end) }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.written().as_str())
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
        serializer.serialize_str(self.written().as_str())
    }
}

impl serde::Serialize for MessageId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.written().as_str())
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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn every_id_reads_back(value in 0..1_u128 << 112) {
            let message = MessageId::from_u128(value);
            prop_assert_eq!(message.to_string().parse(), Ok(message));
            prop_assert_eq!(message.to_string(), format!("{}-{}", message.session, message.number));
            prop_assert_eq!(serde_json::to_string(&message).expect("JSON"), format!("\"{message}\""));
        }
    }
}
