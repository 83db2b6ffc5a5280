//! Reading what follows DATA: the end, the stuffed dots, the line endings.
//!
//! - Only CRLF.CRLF ends the data (RFC 5321 §4.1.1.4); every other sequence that resembles it is content.
//! - A message with a bare CR or LF, or one that is too large, is read to its real end before it is refused: whoever answered
//!   earlier would take the rest of it for commands.
//! - Each byte is copied once, from the network's buffer into the message.
//! - A line of nothing but one dot and NULs is refused the same way: a next hop that throws NULs away would read it as the end.
//! - All other bytes, NUL among them, are content and pass unchanged.

use memchr::memchr2;

use super::Reply;
use super::body::Body;

/// The decoder of one message.
#[derive(Debug)]
pub struct Decoder {
    place: Place,
    body: Body,
}

/// Where in the line the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Behind CRLF, or at the very beginning.
    LineStart,
    /// Behind the dot that began a line. It is never stored: it either belongs to the end or was stuffed.
    Dot,
    /// Behind a dot that began a line and a CR, which is held back.
    DotCr,
    /// Within a line.
    Text,
    /// Behind a CR within a line; the CR is stored.
    Cr,
    /// Behind CRLF.CRLF.
    End,
}

impl Decoder {
    /// Takes messages of up to `bytes_max` octets. `declared_bytes` is the client's SIZE; it saves copies and is not relied on.
    pub fn new(bytes_max: u64, declared_bytes: Option<u64>) -> Self {
        Self { place: Place::LineStart, body: Body::new(bytes_max, declared_bytes) }
    }

    /// Reads on; says how many bytes of `input` belonged to the data. All of them, unless the end has come.
    pub fn decode(&mut self, input: &[u8]) -> usize {
        let mut at: usize = 0;
        // What stands before it is stored or dropped.
        let mut unsaved: usize = 0;
        while let Some(&byte) = input.get(at) {
            match (self.place, byte) {
                (Place::End, _) => return at,
                (Place::LineStart, b'.') => {
                    self.body.store(input.get(unsaved..at).unwrap_or_default());
                    at = at.saturating_add(1);
                    unsaved = at;
                    self.place = Place::Dot;
                }
                (Place::Dot, b'\r') => {
                    at = at.saturating_add(1);
                    unsaved = at;
                    self.place = Place::DotCr;
                }
                (Place::DotCr, b'\n') => {
                    self.place = Place::End;
                    return at.saturating_add(1);
                }
                (Place::DotCr, _) => {
                    self.body.note_bare_line_ending();
                    self.body.store(b"\r");
                    self.place = Place::Text;
                }
                (Place::Cr, b'\n') => {
                    at = at.saturating_add(1);
                    self.place = Place::LineStart;
                }
                (Place::Cr, _) => {
                    self.body.note_bare_line_ending();
                    self.place = Place::Text;
                }
                (Place::LineStart | Place::Dot | Place::Text, _) => at = self.read_text(input, at),
            }
        }
        self.body.store(input.get(unsaved..).unwrap_or_default());
        at
    }

    /// Goes from `at` to behind the next CR or LF.
    fn read_text(&mut self, input: &[u8], at: usize) -> usize {
        self.place = Place::Text;
        let rest = input.get(at..).unwrap_or_default();
        let Some(offset) = memchr2(b'\r', b'\n', rest) else { return input.len() };
        if rest.get(offset) == Some(&b'\r') {
            self.place = Place::Cr;
        } else {
            // LF without CR: content, and not the start of a line to which the dot's rules would apply.
            self.body.note_bare_line_ending();
        }
        at.saturating_add(offset).saturating_add(1)
    }

    /// Whether CRLF.CRLF has been read.
    pub fn is_complete(&self) -> bool {
        self.place == Place::End
    }

    /// Drops what is stored, stores nothing more, and has the message refused with `reply` at its end.
    pub fn shed(&mut self, reply: Reply) {
        self.body.shed(reply);
    }

    /// What has come so far.
    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    /// The same, to have some of it given away.
    pub(super) fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// What of the message was not taken before, or the reply that refuses it.
    pub fn finish(self) -> Result<Vec<u8>, Reply> {
        self.body.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGE_RESERVE_BYTES_MAX;
    use crate::smtp::replies;

    type Decoded = (Result<Vec<u8>, Reply>, Vec<u8>);

    /// Decodes in pieces of `step` bytes: the result and what was left behind the end.
    fn decode(input: &[u8], step: usize, bytes_max: u64) -> Option<Decoded> {
        let mut decoder = Decoder::new(bytes_max, None);
        let mut consumed = 0;
        for piece in input.chunks(step) {
            let taken = decoder.decode(piece);
            consumed += taken;
            if decoder.is_complete() {
                return Some((decoder.finish(), input[consumed..].to_vec()));
            }
            assert_eq!(taken, piece.len());
        }
        None
    }

    /// RFC 5321 §4.5.2.
    #[test]
    fn stuffed_dots_are_removed_and_the_end_is_found() {
        for (input, message) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"..a\r\n...\r\nb.\r\n.\r\n", b".a\r\n..\r\nb.\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n"),
            (b"a\0b\xff\r\n.\r\n", b"a\0b\xff\r\n"),
        ] {
            for step in 1..=input.len() {
                assert_eq!(decode(input, step, 100), Some((Ok(message.to_vec()), Vec::new())), "{}", input.escape_ascii());
            }
        }
    }

    /// RFC 5321 §4.1.1.4: only CRLF.CRLF. Each of these has ended messages somewhere (CVE-2023-51764, -51765, -51766, -52354).
    #[test]
    fn nothing_but_crlf_dot_crlf_ends_the_data() {
        for smuggled in [
            "\n.\n",
            "\r.\r",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r\n",
            "\r\n.\r",
            "\n\n.\r\n",
            "\r\r\n.\n",
            "\r\n.\r\r\n",
            "\r\n.\0\r\n",
            "\r\nx\0.\r\n",
            "\r\n.\n\r\n",
            "\r\n. \r\n",
            "\r\n ..\r\n",
            "\r\n\r.\r\n",
            "\n\r\n..\n",
        ] {
            let input = format!("a{smuggled}MAIL FROM:<evil@x>\r\n.\r\nQUIT\r\n");
            let legal = !format!("a{smuggled}M").replace("\r\n", "").contains(['\r', '\n']);
            for step in 1..=input.len() {
                let (result, rest) = decode(input.as_bytes(), step, 1000).expect("an end");
                assert_eq!(rest, b"QUIT\r\n", "{smuggled:?}");
                match result {
                    Ok(message) => assert!(legal && message.ends_with(b"MAIL FROM:<evil@x>\r\n"), "{smuggled:?}"),
                    Err(reply) => assert!(!legal && reply == replies::BARE_LINE_ENDING, "{smuggled:?}: {reply}"),
                }
            }
        }
    }

    /// NULs are not allowed in 7bit and 8bit content (RFC 2045 §2.7, §2.8), and some servers throw them away before they look for the end.
    #[test]
    fn what_would_end_the_data_without_its_nuls_is_refused() {
        for (line, refused) in [
            ("\0.", true),
            ("\0\0.\0", true),
            ("\0.\0\0", true),
            (".\0", false),
            ("..\0", false),
            ("\0", false),
            ("\0..", false),
            ("\0.x", false),
            ("\0x.", false),
            ("x\0.", false),
        ] {
            for input in [format!("{line}\r\nx\r\n.\r\n"), format!("a\r\n{line}\r\nx\r\n.\r\n")] {
                for step in 1..=input.len() {
                    let (result, rest) = decode(input.as_bytes(), step, 1000).expect("an end");
                    let expected = if refused { Some(replies::FALSE_END) } else { None };
                    assert_eq!((result.err(), rest), (expected, Vec::new()), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn too_much_is_drained_to_its_end_and_refused() {
        let input = b"12345\r\n..345\r\n.\r\nQUIT\r\n";
        for step in 1..=input.len() {
            assert_eq!(decode(input, step, 14).map(|(result, _)| result.is_ok()), Some(true), "stuffing does not count");
            assert_eq!(decode(input, step, 12), Some((Err(replies::MESSAGE_TOO_LARGE), b"QUIT\r\n".to_vec())));
        }
    }

    #[test]
    fn a_shed_message_holds_no_memory() {
        let mut decoder = Decoder::new(1000, Some(500));
        assert_eq!(decoder.body().bytes_buffered(), 0);
        decoder.decode(b"abc\r\n");
        assert_eq!(decoder.body().bytes_buffered(), 500);
        decoder.shed(Reply::new(452, None, "full"));
        decoder.decode(b"abc\r\n.\r\n");
        assert_eq!(decoder.body().bytes_buffered(), 0);
        assert_eq!(decoder.finish(), Err(Reply::new(452, None, "full")));
    }

    #[test]
    fn memory_follows_what_has_come_and_not_what_was_promised() {
        let mut decoder = Decoder::new(u64::MAX, Some(u64::MAX));
        decoder.decode(b"a");
        assert!(decoder.body().bytes_buffered() <= MESSAGE_RESERVE_BYTES_MAX);
        let mut decoder = Decoder::new(1_000_000, Some(700_000));
        let piece = [b'a'; 1000];
        for _ in 0..700 {
            decoder.decode(&piece);
        }
        assert_eq!(decoder.body().bytes_buffered(), 700_000);
        for _ in 0..300 {
            decoder.decode(&piece);
        }
        assert_eq!(decoder.body().bytes_buffered(), 1_000_000);
    }
}
