//! The content as it goes over the wire, as slices of itself: after 354 with its dots doubled and its end (RFC 5321 §4.5.2), or as the
//! only chunk of BDAT (RFC 3030).

use bytes::{Buf, Bytes};

use super::line_ends::LineEnds;
use crate::message::{Content, StoredError};

/// Takes the content block by block and gives what goes over the wire: slices of the content and what belongs between and behind them.
///
/// Lines are ended by CRLF and nothing else; see [`line_ends_are_crlf`], which the sender asks first.
#[derive(Debug)]
pub struct WireForm {
    kind: Kind,
    rest: Bytes,
    /// What goes before the content, and what goes behind it.
    begin: Option<Bytes>,
    end: Option<Bytes>,
    /// No further block comes.
    finished: bool,
}

#[derive(Debug)]
enum Kind {
    /// The dots are doubled.
    Data {
        /// The next octet starts a line.
        at_line_start: bool,
        /// The octet before was a CR.
        after_cr: bool,
    },
    /// It goes as it is.
    Chunk,
}

impl WireForm {
    /// What goes after 354: the content, the dots that are put in, and CRLF.CRLF at the end.
    pub fn data() -> Self {
        Self { kind: Kind::Data { at_line_start: true, after_cr: false }, rest: Bytes::new(), begin: None, end: None, finished: false }
    }

    /// `BDAT … LAST` and the content as it is. A content without CRLF at its end gets one, as after 354: the message is the same by
    /// both ways. One chunk is enough, for a next hop refuses a message that is too large by its SIZE.
    pub fn last_chunk(content: &Content, ends_line: bool) -> Self {
        let end = (!ends_line && !content.is_empty()).then(|| Bytes::from_static(b"\r\n"));
        let octets = content.len().saturating_add(end.as_ref().map_or(0, Bytes::len));
        let begin = Some(Bytes::from(format!("BDAT {octets} LAST\r\n")));
        Self { kind: Kind::Chunk, rest: Bytes::new(), begin, end, finished: false }
    }

    /// The next block of the content; what was given before has gone out.
    pub fn push(&mut self, block: Bytes) {
        self.rest = block;
    }

    /// The content has no more blocks.
    pub fn finish(&mut self) {
        if let Kind::Data { at_line_start, .. } = self.kind
            && !self.finished
        {
            // Where the rest ends decides, and whether a line starts there shows when it has gone out.
            let starts_line = if self.rest.is_empty() { at_line_start } else { self.ends_line() };
            self.end = Some(Bytes::from_static(if starts_line { b".\r\n" } else { b"\r\n.\r\n" }));
        }
        self.finished = true;
    }

    fn ends_line(&self) -> bool {
        let Kind::Data { after_cr, .. } = self.kind else { return false };
        self.rest.ends_with(b"\r\n") || (after_cr && self.rest[..] == *b"\n")
    }

    /// Whether all has gone out.
    pub fn is_done(&self) -> bool {
        self.finished && self.begin.is_none() && self.rest.is_empty() && self.end.is_none()
    }

    /// What goes out next; nothing until another block comes, or when all is out.
    pub fn next_piece(&mut self) -> Option<Bytes> {
        if let Some(begin) = self.begin.take() {
            return Some(begin);
        }
        if !self.rest.has_remaining() {
            return if self.finished { self.end.take() } else { None };
        }
        let Kind::Data { at_line_start, after_cr } = &mut self.kind else { return Some(std::mem::take(&mut self.rest)) };
        if *at_line_start && self.rest.first() == Some(&b'.') {
            *at_line_start = false;
            return Some(Bytes::from_static(b"."));
        }
        let length = if *after_cr && self.rest.first() == Some(&b'\n') {
            // A CRLF that two blocks share: a slice of one octet, so that the search below sees whole ones only.
            1
        } else {
            memchr::memmem::find(&self.rest, b"\r\n.").map_or(self.rest.len(), |at| at.saturating_add(2))
        };
        let piece = self.rest.split_to(length.min(self.rest.len()));
        *at_line_start = piece.ends_with(b"\r\n") || (*after_cr && piece[..] == *b"\n");
        *after_cr = piece.ends_with(b"\r");
        Some(piece)
    }
}

/// Whether the content ends with CRLF. What of it is stored may be read.
pub fn ends_line(content: &Content) -> Result<bool, StoredError> {
    let mut end: Vec<u8> = Vec::with_capacity(2);
    for piece in content.pieces().iter().rev() {
        let wanted = 2_usize.saturating_sub(end.len());
        let octets = piece.read(piece.len().saturating_sub(wanted)..piece.len())?;
        end.splice(0..0, octets.iter().copied());
        if end.len() >= 2 {
            break;
        }
    }
    Ok(end == b"\r\n")
}

/// Whether every CR is followed by LF and every LF follows a CR. A bare one could end the data early at a next hop that reads
/// lines less strictly (RFC 5321 §2.3.8, §4.1.1.4), so such content is not sent at all. Pieces of which it is known are not looked at;
/// others that are stored are read.
pub fn line_ends_are_crlf(content: &Content) -> Result<bool, StoredError> {
    let mut ends = LineEnds::default();
    for piece in content.pieces() {
        if piece.has_whole_line_ends() {
            if !ends.is_complete() {
                return Ok(false);
            }
            continue;
        }
        for block in piece.blocks() {
            if !ends.read(&block?) {
                return Ok(false);
            }
        }
    }
    Ok(ends.is_complete())
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

    /// All that goes out.
    fn sent(content: &Content, mut form: WireForm) -> Vec<Bytes> {
        let mut sent = Vec::new();
        let last = content.pieces().len();
        for (place, block) in (1..).zip(content.blocks()) {
            form.push(block.unwrap());
            if place == last {
                form.finish();
            }
            sent.extend(std::iter::from_fn(|| form.next_piece()));
            assert_eq!(form.is_done(), place == last);
        }
        form.finish();
        sent.extend(std::iter::from_fn(|| form.next_piece()));
        assert!(form.is_done());
        sent
    }

    fn chunk(content: &Content) -> Vec<Bytes> {
        sent(content, WireForm::last_chunk(content, ends_line(content).unwrap()))
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
                let sent = sent(&cut(wire, &[first, second]), WireForm::data()).concat();
                assert_eq!(sent, expected, "cut at {first} and {second}");
                assert!(line_ends_are_crlf(&cut(wire, &[first, second])).unwrap(), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn the_end_starts_a_line_of_its_own() {
        for (content, wire) in [("", ".\r\n"), ("a", "a\r\n.\r\n"), ("a\r\n", "a\r\n.\r\n"), (".", "..\r\n.\r\n")] {
            let sent = sent(&cut(content.as_bytes(), &[]), WireForm::data()).concat();
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
                let sent = chunk(&cut(content.as_bytes(), &[place])).concat();
                assert_eq!(sent, wire.as_bytes(), "{content:?} cut at {place}");
            }
        }
    }

    #[test]
    fn the_body_is_not_copied() {
        let body = Bytes::from(vec![b'x'; 1000]);
        let sent = sent(&body.clone().into(), WireForm::data());
        assert_eq!(sent.first().map(|piece| piece.as_ptr()), Some(body.as_ptr()));
        assert_eq!(sent.len(), 2);
    }

    #[test]
    fn bare_cr_and_lf_are_found_wherever_the_segments_meet() {
        for bad in ["a\nb\r\n", "a\rb\r\n", "a\r\r\n", "a\r", "\n", "a\r\n\n.\r\n", "\n.\n"] {
            for place in 0..=bad.len() {
                assert!(!line_ends_are_crlf(&cut(bad.as_bytes(), &[place])).unwrap(), "{bad:?} cut at {place}");
            }
        }
    }
}
