//! Reading what follows BDAT (RFC 3030): chunks of announced length, one after the other, without an end mark and without stuffed dots.
//!
//! Line ends obey the same rule as behind DATA, across chunks: the message may go on by DATA, where a bare one could end it early.

use super::Reply;
use super::body::Body;
use super::line_ends::LineEnds;

/// The chunks of one message.
#[derive(Debug)]
pub struct Chunks {
    body: Body,
    line_ends: LineEnds,
    broken: bool,
}

impl Chunks {
    /// Takes messages of up to `bytes_max` octets. `declared_bytes` is the client's SIZE; it saves copies and is not relied on.
    pub fn new(bytes_max: u64, declared_bytes: Option<u64>) -> Self {
        Self { body: Body::new(bytes_max, declared_bytes), line_ends: LineEnds::default(), broken: false }
    }

    /// Reads a piece of a chunk.
    pub fn read(&mut self, piece: &[u8]) {
        if !self.broken && !self.line_ends.read(piece) {
            self.break_off();
        }
        self.body.store(piece);
    }

    /// See [`super::Decoder::shed`].
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

    /// The reply that refuses what has come so far: a chunk is answered when it has come whole.
    pub fn refusal(&self) -> Option<Reply> {
        self.body.refusal()
    }

    /// What of the message was not taken before, after its last chunk; or the reply that refuses it.
    pub fn finish(mut self) -> Result<Vec<u8>, Reply> {
        if !self.line_ends.is_complete() {
            self.break_off();
        }
        self.body.finish()
    }

    fn break_off(&mut self) {
        self.broken = true;
        self.body.note_bare_line_ending();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp::replies;

    fn read(chunks: &[&[u8]], bytes_max: u64) -> Result<Vec<u8>, Reply> {
        let mut message = Chunks::new(bytes_max, None);
        chunks.iter().for_each(|chunk| message.read(chunk));
        message.finish()
    }

    #[test]
    fn content_passes_as_it_is() {
        assert_eq!(read(&[b".\r\n..\r\n.\r", b"\n", b"", b"no line end"], 100), Ok(b".\r\n..\r\n.\r\nno line end".to_vec()));
        assert_eq!(read(&[], 100), Ok(Vec::new()));
    }

    #[test]
    fn a_bare_line_end_is_seen_across_chunks() {
        for chunks in [&[&b"a\r"[..], b"b\r\n"][..], &[b"a", b"\n"], &[b"a\r"], &[b"\r\n", b"\n"]] {
            assert_eq!(read(chunks, 100), Err(replies::BARE_LINE_ENDING));
        }
    }

    #[test]
    fn the_limit_is_that_of_the_whole_message() {
        assert_eq!(read(&[b"12345", b"67890"], 10).map(|message| message.len()), Ok(10));
        assert_eq!(read(&[b"12345", b"678901"], 10), Err(replies::MESSAGE_TOO_LARGE));
    }
}
