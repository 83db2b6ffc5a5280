//! The one rule of line ends: CR and LF stand together, in this order, or not at all (RFC 5321 §2.3.8).

/// Watches a text that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineEnds {
    /// The last octet was a CR.
    after_cr: bool,
}

impl LineEnds {
    /// Reads on; `false` when a CR or LF stands alone.
    pub fn read(&mut self, piece: &[u8]) -> bool {
        let Some((last, others)) = piece.split_last() else { return true };
        let starts_well = piece.starts_with(b"\n") == self.after_cr;
        self.after_cr = *last == b'\r';
        // Each octet beside the one behind it. All pairs are looked at together, without a branch among them: a processor compares many
        // at a time, and bare line ends are rare.
        let pairs = others.iter().zip(piece.get(1..).unwrap_or_default());
        starts_well && !pairs.fold(false, |bare, (before, behind)| bare | ((*before == b'\r') != (*behind == b'\n')))
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
