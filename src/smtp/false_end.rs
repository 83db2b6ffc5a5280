//! A line that is the end of the data to who throws NULs away, though it is not stuffed: a NUL first, and in all of it one dot and
//! nothing else but NULs.

/// Looks for such a line in a content that comes in pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct FalseEnd {
    place: Place,
    found: bool,
}

/// Where the next octet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line.
    LineStart,
    /// In a line that began with a NUL and has only NULs so far, and one dot if it is so.
    Suspect { dot: bool },
    /// In another line.
    Line,
}

impl Default for FalseEnd {
    fn default() -> Self {
        Self { place: Place::LineStart, found: false }
    }
}

impl FalseEnd {
    /// Reads on. The line ends are CRLF.
    pub(super) fn read(&mut self, piece: &[u8]) {
        let mut at = self.go_on(piece, 0);
        while let Some(offset) = memchr::memchr(b'\0', piece.get(at..).unwrap_or_default()) {
            let nul = at.saturating_add(offset);
            let begins_line = match nul.checked_sub(1) {
                // What was before the piece, the place tells.
                None => self.place == Place::LineStart,
                Some(before) => piece.get(before) == Some(&b'\n'),
            };
            at = nul.saturating_add(1);
            if begins_line {
                self.place = Place::Suspect { dot: false };
                at = self.go_on(piece, at);
            }
        }
        if !piece.is_empty() && !matches!(self.place, Place::Suspect { .. }) {
            self.place = if piece.ends_with(b"\n") { Place::LineStart } else { Place::Line };
        }
    }

    /// Reads the rest of a suspect line, as far as it is here; where it ends or is cleared.
    fn go_on(&mut self, piece: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Place::Suspect { dot } = self.place {
            let Some(octet) = piece.get(at) else { return at };
            self.place = match octet {
                b'\0' => self.place,
                b'.' if !dot => Place::Suspect { dot: true },
                octet => {
                    self.found |= dot && *octet == b'\r';
                    Place::Line
                }
            };
            at = at.saturating_add(1);
        }
        at
    }

    /// Whether there was one; the content ends here.
    pub(super) fn is_there(self) -> bool {
        self.found || self.place == Place::Suspect { dot: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_found_however_the_content_is_cut() {
        for (content, there) in [
            (&b"\0."[..], true),
            (b"\0.\r\n", true),
            (b"a\r\n\0\0.\0\r\nb", true),
            (b"a\r\n\0..\r\n", false),
            (b"a\r\n\0\r\n.", false),
            (b"a\0.\r\n", false),
            (b".\0\r\n", false),
            (b"\0\0x\0.\r\n\0.\r\n", true),
            (b"\0x.\r\n\0", false),
            (b"", false),
        ] {
            for step in 1..=content.len().max(1) {
                let mut end = FalseEnd::default();
                content.chunks(step).for_each(|piece| end.read(piece));
                assert_eq!(end.is_there(), there, "{} in pieces of {step}", content.escape_ascii());
            }
        }
    }
}
