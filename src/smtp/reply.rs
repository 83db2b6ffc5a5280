//! Replies: RFC 5321 §4.2, enhanced status codes of RFC 3463.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::limits::REPLY_LINE_BYTES_MAX;

/// An enhanced status code, RFC 3463: class, subject, detail.
/// Written as text, `5.7.1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl Status {
    /// Reads `5.7.1`; class 2, 4 or 5, the others at most 999 (RFC 3463 §2).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let class: u8 = parts.next()?.parse().ok()?;
        let subject: u16 = number(parts.next()?)?;
        let detail: u16 = number(parts.next()?)?;
        (parts.next().is_none() && matches!(class, 2 | 4 | 5)).then_some(Self(class, subject, detail))
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an enhanced status code"))
    }
}

fn number(digits: &str) -> Option<u16> {
    ((1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A reply, ours or a next hop's. The text holds its lines separated by `\n`, without code and status, and only printable characters.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The enhanced status code, if the reply has one.
    pub status: Option<Status>,
    /// The text; lines separated by `\n`.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// A reply of ours with a fixed text.
    pub const fn fixed(code: u16, status: Status, text: &'static str) -> Self {
        Self { code, status: Some(status), text: Cow::Borrowed(text) }
    }

    /// A reply with a text made at run time: what is not printable becomes `?`, so that nothing of it can start a new line.
    pub fn new(code: u16, status: Option<Status>, text: impl AsRef<str>) -> Self {
        let clean: String = text.as_ref().chars().map(|c| if c == '\n' || !c.is_control() { c } else { '?' }).collect();
        Self { code, status, text: Cow::Owned(clean) }
    }

    /// 2xx and 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Writes the reply as it goes over the wire, every line with code and status (RFC 5321 §4.2.1, RFC 2034 §4). What a next hop
    /// said may be in it: a line has printable US-ASCII only (§4.2 textstring) and no more octets than §4.5.3.1.5 allows.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            let begin = match self.status {
                Some(status) => format!("{}{separator}{status} ", self.code),
                None => format!("{}{separator}", self.code),
            };
            let room = REPLY_LINE_BYTES_MAX.saturating_sub(begin.len()).saturating_sub(2);
            out.put_slice(begin.as_bytes());
            out.extend(line.chars().take(room).map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }));
            out.put_slice(b"\r\n");
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        write!(f, " {}", self.text.replace('\n', " "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_carries_code_and_status() {
        let mut out = BytesMut::new();
        Reply::new(550, Some(Status(5, 7, 1)), "one\ntwo").encode(&mut out);
        assert_eq!(&out[..], b"550-5.7.1 one\r\n550 5.7.1 two\r\n");
    }

    #[test]
    fn a_line_is_ascii_and_not_too_long() {
        let mut out = BytesMut::new();
        Reply::new(550, Some(Status(5, 7, 1)), format!("\u{fc}\u{2028}\tx\n{}", "y".repeat(600))).encode(&mut out);
        let text = std::str::from_utf8(&out).unwrap();
        let lines: Vec<&str> = text.split_inclusive("\r\n").collect();
        assert_eq!(lines.first(), Some(&"550-5.7.1 ???x\r\n"));
        assert_eq!(lines.get(1).map(|line| line.len()), Some(512));
    }

    #[test]
    fn made_up_text_cannot_start_a_line_of_its_own() {
        assert_eq!(Reply::new(550, None, "a\rb\0c").text, "a?b?c");
    }

    #[test]
    fn status_codes_are_read_strictly() {
        assert_eq!(Status::parse("5.7.1"), Some(Status(5, 7, 1)));
        for bad in ["3.0.0", "5.7", "5.7.1.1", "5..1", "5.7.1000", "5.+7.1", ""] {
            assert_eq!(Status::parse(bad), None, "{bad}");
        }
    }
}
