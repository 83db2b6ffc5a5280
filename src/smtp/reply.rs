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
        f.write_str(self.written().as_str())
    }
}

impl Status {
    fn written(self) -> Digits {
        let mut digits = Digits::default();
        digits.number(self.0.into());
        digits.put(b'.');
        digits.number(self.1);
        digits.put(b'.');
        digits.number(self.2);
        digits
    }

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
        serializer.serialize_str(self.written().as_str())
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
        let text = text.as_ref();
        let clean = if is_printable(text) {
            text.to_owned()
        } else {
            text.chars().map(|c| if c == '\n' || !c.is_control() { c } else { '?' }).collect()
        };
        Self { code, status, text: Cow::Owned(clean) }
    }

    /// The same with no more than so many characters of text, the last of them an ellipsis.
    pub fn shortened(mut self, chars_max: usize) -> Self {
        if let Some((end, _)) = self.text.char_indices().nth(chars_max) {
            let cut = self.text.char_indices().nth(chars_max.saturating_sub(1)).map_or(end, |(last, _)| last);
            let text = self.text.to_mut();
            text.truncate(cut);
            text.push('…');
        }
        self
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
    /// or a rule made longer than a line may be goes on in the next one, and what is not ASCII becomes `?`: clients count on both.
    pub fn encode(&self, out: &mut BytesMut) {
        let status = self.status.map(Status::written);
        let status = status.as_ref().map_or("", Digits::as_str);
        // "250-" before it, a space behind the status, CRLF behind it all.
        let room = REPLY_LINE_BYTES_MAX.saturating_sub(status.len()).saturating_sub(if status.is_empty() { 6 } else { 7 });
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { b'-' } else { b' ' };
            if line.len() <= room && is_printable(line) {
                put_line(out, self.code, separator, status, line);
                continue;
            }
            let mut pieces = wrap(line, room).into_iter().peekable();
            while let Some(piece) = pieces.next() {
                put_line(out, self.code, if pieces.peek().is_some() { b'-' } else { separator }, status, &piece);
            }
        }
    }
}

fn put_line(out: &mut BytesMut, code: u16, separator: u8, status: &str, text: &str) {
    let mut digits = Digits::default();
    digits.number(code);
    // The longest code, and what stands between.
    out.reserve(status.len().saturating_add(text.len()).saturating_add(9));
    out.put_slice(digits.as_str().as_bytes());
    out.put_u8(separator);
    if !status.is_empty() {
        out.put_slice(status.as_bytes());
        out.put_u8(b' ');
    }
    out.put_slice(text.as_bytes());
    out.put_slice(b"\r\n");
}

/// Whether there is nothing but printable ASCII and the ends of lines. All octets are looked at together, which is quicker than to stop
/// at the first other one.
fn is_printable(text: &str) -> bool {
    text.bytes().fold(true, |printable, byte| printable & ((b' '..=b'~').contains(&byte) | (byte == b'\n')))
}

/// Numbers and dots as text, without a formatter: each reply and each line of the log has some.
#[derive(Clone, Copy, Default)]
struct Digits {
    /// The longest status, `255.65535.65535`.
    text: [u8; 15],
    len: usize,
}

impl Digits {
    fn put(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
            self.len = self.len.saturating_add(1);
        }
    }

    fn number(&mut self, number: u16) {
        for power in [10_000, 1_000, 100, 10, 1] {
            if number >= power || power == 1 {
                // A digit.
                self.put(b'0'.saturating_add(u8::try_from(number / power % 10).unwrap_or(0)));
            }
        }
    }

    fn as_str(&self) -> &str {
        self.text.get(..self.len).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("")
    }
}

/// Divides the text of a line into ASCII of at most `room` octets each (RFC 5321 §4.2, §4.5.3.1.5).
fn wrap(line: &str, room: usize) -> Vec<String> {
    let ascii: Vec<u8> = line.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect();
    ascii.chunks(room.max(1)).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect()
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
    fn no_line_is_longer_than_clients_read() {
        for (status, length) in [(None, 3 * 506 - 1), (None, 506), (None, 507), (Some(Status(5, 7, 1)), 2000), (None, 0)] {
            let mut out = BytesMut::new();
            let text = "x".repeat(length);
            Reply::new(550, status, &text).encode(&mut out);
            let out = String::from_utf8(out.to_vec()).expect("ASCII");
            let lines: Vec<&str> = out.split_inclusive("\r\n").collect();
            assert!(lines.iter().all(|line| line.len() <= 512 && line.ends_with("\r\n")), "{out}");
            let (last, others) = lines.split_last().expect("a line");
            assert!(last.starts_with("550 ") && others.iter().all(|line| line.starts_with("550-")), "{out}");
            assert_eq!(out.matches('x').count(), length);
        }
    }

    #[test]
    fn what_clients_could_not_read_is_replaced() {
        let mut out = BytesMut::new();
        Reply::new(550, None, "Größe\n\u{fffd}").encode(&mut out);
        assert_eq!(&out[..], b"550-Gr??e\r\n550 ?\r\n");
    }

    #[test]
    fn made_up_text_cannot_start_a_line_of_its_own() {
        assert_eq!(Reply::new(550, None, "a\rb\0c").text, "a?b?c");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        for (text, expected) in [("grün", "grün"), ("größer", "grö…"), ("", ""), ("ab\ncd", "ab\n…")] {
            assert_eq!(Reply::new(550, None, text).shortened(4).text, expected);
        }
    }

    #[test]
    fn numbers_are_written_as_they_are() {
        for status in [Status(2, 0, 0), Status(5, 10, 999), Status(255, u16::MAX, u16::MAX)] {
            assert_eq!(status.to_string(), format!("{}.{}.{}", status.0, status.1, status.2));
        }
    }

    #[test]
    fn status_codes_are_read_strictly() {
        assert_eq!(Status::parse("5.7.1"), Some(Status(5, 7, 1)));
        for bad in ["3.0.0", "5.7", "5.7.1.1", "5..1", "5.7.1000", "5.+7.1", ""] {
            assert_eq!(Status::parse(bad), None, "{bad}");
        }
    }
}
