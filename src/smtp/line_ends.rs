//! The one rule of line ends: CR and LF stand together, in this order, or not at all (RFC 5321 §2.3.8).

use memchr::memchr2_iter;

/// Watches a text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEnds {
    /// The last octet was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// Reads on; `false` when a CR or LF stands alone.
    pub fn read(&mut self, piece: &[u8]) -> bool {
        if piece.is_empty() {
            return true;
        }
        // Where the LF of the last CR has to stand.
        let mut expected = self.after_cr.then_some(0);
        for at in memchr2_iter(b'\r', b'\n', piece) {
            let is_cr = piece.get(at) == Some(&b'\r');
            match expected {
                Some(place) if place == at && !is_cr => expected = None,
                None if is_cr => expected = Some(at.saturating_add(1)),
                _ => return false,
            }
        }
        self.after_cr = expected == Some(piece.len());
        expected.is_none() || self.after_cr
    }

    /// Whether the text may end here.
    pub fn is_complete(self) -> bool {
        !self.after_cr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_alone_pass_however_the_text_is_cut() {
        for (text, good) in [
            (&b""[..], true),
            (b"a", true),
            (b"a\r\nb\r\n", true),
            (b"\r\n\r\n", true),
            (b"\r", false),
            (b"\n", false),
            (b"a\r\nb\r", false),
            (b"a\rb\r\n", false),
            (b"a\nb", false),
            (b"\r\r\n", false),
            (b"\r\n\n", false),
        ] {
            for step in 1..=text.len().max(1) {
                let mut ends = LineEnds::default();
                let passed = text.chunks(step).all(|piece| ends.read(piece)) && ends.is_complete();
                assert_eq!(passed, good, "{} in pieces of {step}", text.escape_ascii());
            }
        }
    }
}
