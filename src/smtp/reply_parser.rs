//! Replies of a next hop, read strictly (RFC 5321 §4.2) from bytes that arrive in any pieces.
//!
//! Nothing a next hop sends makes this grow past [`RELAY_REPLY_BYTES_MAX`] or gets through as an unprintable character.

use std::fmt;

use bytes::{Buf, BytesMut};

use super::reply::{Reply, Status};
use crate::limits::RELAY_REPLY_BYTES_MAX;

/// Puts replies together from bytes.
#[derive(Debug, Default)]
pub struct ReplyParser {
    buffer: BytesMut,
    /// Octets at the start of the buffer that were searched for a line end already.
    searched: usize,
    /// Octets of the unfinished reply that have left the buffer.
    taken: usize,
    code: Option<u16>,
    status: Option<Status>,
    text: String,
}

/// Why something is not a reply. The connection cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// A line that does not start with three digits from 200 to 599 and a space, a hyphen or the line's end.
    Syntax,
    /// Two lines of one reply with different codes (RFC 5321 §4.2.1).
    CodeMismatch,
    /// More than [`RELAY_REPLY_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "not an SMTP reply",
            Self::CodeMismatch => "lines of one reply have different codes",
            Self::TooLong => "the reply is too long",
        })
    }
}

impl ReplyParser {
    /// Takes bytes in.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether everything that was fed has become replies.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.code.is_none()
    }

    /// The next complete reply, if there is one.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, ReplyError> {
        while let Some(line) = self.next_line()? {
            let (code, last, text) = split(&line)?;
            if self.code.is_some_and(|first| first != code) {
                return Err(ReplyError::CodeMismatch);
            }
            self.push(code, &String::from_utf8_lossy(text));
            if last {
                self.taken = 0;
                self.code = None;
                return Ok(Some(Reply::new(code, self.status.take(), std::mem::take(&mut self.text))));
            }
        }
        Ok(None)
    }

    /// A line without its end. A bare LF ends a line too: in replies nothing can be smuggled by it, and old servers send it.
    fn next_line(&mut self) -> Result<Option<BytesMut>, ReplyError> {
        let found = memchr::memchr(b'\n', self.buffer.get(self.searched..).unwrap_or_default());
        let len = found.map_or(self.buffer.len(), |at| self.searched.saturating_add(at).saturating_add(1));
        if self.taken.saturating_add(len) > RELAY_REPLY_BYTES_MAX {
            return Err(ReplyError::TooLong);
        }
        if found.is_none() {
            self.searched = len;
            return Ok(None);
        }
        self.taken = self.taken.saturating_add(len);
        self.searched = 0;
        let mut line = self.buffer.split_to(len);
        line.truncate(len.saturating_sub(1));
        if line.last() == Some(&b'\r') {
            line.truncate(line.len().saturating_sub(1));
        }
        Ok(Some(line))
    }

    /// Adds a line. Its enhanced status code (RFC 2034 §4) is believed when its class is that of the reply.
    fn push(&mut self, code: u16, text: &str) {
        let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
        let status = Status::parse(head).filter(|status| u16::from(status.0) == code / 100);
        if self.code.is_none() {
            self.code = Some(code);
            self.status = status;
        } else {
            self.text.push('\n');
        }
        self.text.push_str(if status.is_some() { rest } else { text });
    }
}

/// Code, whether it is the last line, and text.
fn split(line: &BytesMut) -> Result<(u16, bool, &[u8]), ReplyError> {
    let mut rest = &line[..];
    if rest.len() < 3 {
        return Err(ReplyError::Syntax);
    }
    let mut code = 0_u16;
    for _ in 0..3 {
        let byte = rest.get_u8();
        if !byte.is_ascii_digit() {
            return Err(ReplyError::Syntax);
        }
        code = code.saturating_mul(10).saturating_add(u16::from(byte.saturating_sub(b'0')));
    }
    if !(200..=599).contains(&code) {
        return Err(ReplyError::Syntax);
    }
    match rest.split_first() {
        None => Ok((code, true, rest)),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(ReplyError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Reply>, ReplyError> {
        let mut parser = ReplyParser::default();
        parser.feed(bytes);
        parser.next_reply()
    }

    #[test]
    fn a_reply_is_the_same_in_any_pieces() {
        let wire = b"250-2.1.0 one\r\n250-two\r\n250 2.1.0 three\r\n";
        let whole = read(wire).unwrap().unwrap();
        assert_eq!(whole, Reply::new(250, Some(Status(2, 1, 0)), "one\ntwo\nthree"));
        let mut parser = ReplyParser::default();
        for (position, byte) in wire.iter().enumerate() {
            assert_eq!(parser.next_reply(), Ok(None), "before byte {position}");
            parser.feed(&[*byte]);
        }
        assert_eq!(parser.next_reply(), Ok(Some(whole)));
        assert!(parser.is_empty());
    }

    #[test]
    fn what_is_not_a_reply_is_refused() {
        for bad in ["hello\r\n", "25\r\n", "2500 x\r\n", "25x y\r\n", "100 x\r\n", "600 x\r\n", "\r\n", "HTTP/1.1 400 Bad\r\n"] {
            assert_eq!(read(bad.as_bytes()), Err(ReplyError::Syntax), "{bad:?}");
        }
        assert_eq!(read(b"250-a\r\n251 b\r\n"), Err(ReplyError::CodeMismatch));
    }

    #[test]
    fn a_reply_without_end_is_refused_at_the_limit() {
        assert_eq!(read(&vec![b'2'; RELAY_REPLY_BYTES_MAX + 1]), Err(ReplyError::TooLong));
        assert_eq!(read(&b"250-x\r\n".repeat(RELAY_REPLY_BYTES_MAX)), Err(ReplyError::TooLong));
        let line = b"250 x\r\n".repeat(RELAY_REPLY_BYTES_MAX);
        assert!(read(&line).unwrap().is_some(), "the limit is for one reply, not for many");
    }

    #[test]
    fn a_status_of_another_class_is_text() {
        assert_eq!(read(b"550 2.1.0 no\r\n").unwrap().unwrap(), Reply::new(550, None, "2.1.0 no"));
        assert_eq!(read(b"550\r\n").unwrap().unwrap(), Reply::new(550, None, ""));
    }

    #[test]
    fn unprintable_text_is_made_harmless() {
        assert_eq!(read(b"550 a\x1b[2Jb\x00\r\n").unwrap().unwrap().text, "a?[2Jb?");
    }
}
