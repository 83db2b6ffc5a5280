//! The content as it goes over the wire, as slices of itself: after 354 with its dots doubled and its end (RFC 5321 §4.5.2), or as the
//! only chunk of BDAT (RFC 3030).

use bytes::{Buf, Bytes};

use super::line_ends::LineEnds;
use crate::message::Content;

/// Yields the content as it goes over the wire: slices of the content, the dots that are put in, and CRLF.CRLF at the end.
///
/// Lines are ended by CRLF and nothing else; see [`line_ends_are_crlf`], which the sender asks first.
#[derive(Debug)]
pub struct DotStuffer {
    segments: std::vec::IntoIter<Bytes>,
    rest: Bytes,
    /// The next octet starts a line.
    at_line_start: bool,
    /// The octet before was a CR.
    after_cr: bool,
    finished: bool,
}

impl DotStuffer {
    /// Starts at the beginning of `content`.
    pub fn new(content: &Content) -> Self {
        let segments = content.segments().to_vec().into_iter();
        Self { segments, rest: Bytes::new(), at_line_start: true, after_cr: false, finished: false }
    }

    /// Splits off `len` octets and keeps account of where in a line the rest begins.
    fn take(&mut self, len: usize) -> Bytes {
        let piece = self.rest.split_to(len.min(self.rest.len()));
        self.at_line_start = piece.ends_with(b"\r\n") || (self.after_cr && piece[..] == *b"\n");
        self.after_cr = piece.ends_with(b"\r");
        piece
    }
}

impl Iterator for DotStuffer {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        while !self.rest.has_remaining() {
            match self.segments.next() {
                Some(segment) => self.rest = segment,
                None if self.finished => return None,
                None => {
                    self.finished = true;
                    return Some(Bytes::from_static(if self.at_line_start { b".\r\n" } else { b"\r\n.\r\n" }));
                }
            }
        }
        if self.at_line_start && self.rest.first() == Some(&b'.') {
            self.at_line_start = false;
            return Some(Bytes::from_static(b"."));
        }
        // A CRLF that two segments share: a slice of one octet, so that the search below sees whole ones only.
        if self.after_cr && self.rest.first() == Some(&b'\n') {
            return Some(self.take(1));
        }
        let len = memchr::memmem::find(&self.rest, b"\r\n.").map_or(self.rest.len(), |at| at.saturating_add(2));
        Some(self.take(len))
    }
}

/// Yields `BDAT … LAST` and the content as it is. A content without CRLF at its end gets one, as after 354: the message is the same by
/// both ways. One chunk is enough, for a next hop refuses a message that is too large by its SIZE.
#[derive(Debug)]
pub struct LastChunk {
    command: Option<Bytes>,
    segments: std::vec::IntoIter<Bytes>,
    end: Option<Bytes>,
}

impl LastChunk {
    /// Starts with the command.
    pub fn new(content: &Content) -> Self {
        let mut tail = [0_u8; 2];
        for byte in content.segments().iter().flat_map(|segment| segment.get(segment.len().saturating_sub(2)..).unwrap_or_default()) {
            tail = [tail[1], *byte];
        }
        let end = (tail != *b"\r\n" && !content.is_empty()).then(|| Bytes::from_static(b"\r\n"));
        let octets = content.len().saturating_add(end.as_ref().map_or(0, Bytes::len));
        Self { command: Some(Bytes::from(format!("BDAT {octets} LAST\r\n"))), segments: content.segments().to_vec().into_iter(), end }
    }
}

impl Iterator for LastChunk {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.command.take().or_else(|| self.segments.find(|segment| !segment.is_empty())).or_else(|| self.end.take())
    }
}

/// Whether every CR is followed by LF and every LF follows a CR. A bare one could end the data early at a next hop that reads
/// lines less strictly (RFC 5321 §2.3.8, §4.1.1.4), so such content is not sent at all.
pub fn line_ends_are_crlf(content: &Content) -> bool {
    let mut ends = LineEnds::default();
    content.segments().iter().all(|segment| ends.read(segment)) && ends.is_complete()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], places: &[usize]) -> Content {
        let bytes = Bytes::copy_from_slice(bytes);
        let mut content = Content::default();
        let mut start = 0;
        for place in places.iter().chain([&bytes.len()]) {
            content.push(bytes.slice(start..*place));
            start = *place;
        }
        content
    }

    /// RFC 5321 §4.5.2 word for word, over contiguous bytes.
    fn reference(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, byte) in bytes.iter().enumerate() {
            if *byte == b'.' && (at == 0 || bytes[..at].ends_with(b"\r\n")) {
                out.push(b'.');
            }
            out.push(*byte);
        }
        if !bytes.is_empty() && !bytes.ends_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
        out
    }

    #[test]
    fn dots_are_doubled_wherever_the_segments_meet() {
        let wire = b".a\r\n.\r\n..\r\nb.\r\n\r\n.c\r\n";
        let expected = reference(wire);
        for first in 0..=wire.len() {
            for second in first..=wire.len() {
                let sent = DotStuffer::new(&cut(wire, &[first, second])).collect::<Vec<_>>().concat();
                assert_eq!(sent, expected, "cut at {first} and {second}");
                assert!(line_ends_are_crlf(&cut(wire, &[first, second])), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn the_end_starts_a_line_of_its_own() {
        for (content, wire) in [("", ".\r\n"), ("a", "a\r\n.\r\n"), ("a\r\n", "a\r\n.\r\n"), (".", "..\r\n.\r\n")] {
            let sent = DotStuffer::new(&cut(content.as_bytes(), &[])).collect::<Vec<_>>().concat();
            assert_eq!(sent, wire.as_bytes(), "{content:?}");
        }
    }

    #[test]
    fn a_chunk_says_its_length_and_ends_its_last_line() {
        for (content, wire) in [
            ("", "BDAT 0 LAST\r\n"),
            ("a", "BDAT 3 LAST\r\na\r\n"),
            ("a\r\n", "BDAT 3 LAST\r\na\r\n"),
            (".\r\n.", "BDAT 6 LAST\r\n.\r\n.\r\n"),
        ] {
            for place in 0..=content.len() {
                let sent = LastChunk::new(&cut(content.as_bytes(), &[place])).collect::<Vec<_>>().concat();
                assert_eq!(sent, wire.as_bytes(), "{content:?} cut at {place}");
            }
        }
    }

    #[test]
    fn the_body_is_not_copied() {
        let body = Bytes::from(vec![b'x'; 1000]);
        let sent: Vec<Bytes> = DotStuffer::new(&body.clone().into()).collect();
        assert_eq!(sent.first().map(|piece| piece.as_ptr()), Some(body.as_ptr()));
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn bare_cr_and_lf_are_found_wherever_the_segments_meet() {
        for bad in ["a\nb\r\n", "a\rb\r\n", "a\r\r\n", "a\r", "\n", "a\r\n\n.\r\n", "\n.\n"] {
            for place in 0..=bad.len() {
                assert!(!line_ends_are_crlf(&cut(bad.as_bytes(), &[place])), "{bad:?} cut at {place}");
            }
        }
    }
}
