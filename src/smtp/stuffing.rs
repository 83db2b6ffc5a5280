//! Writing what follows DATA: dot-stuffing as a list of slices, so that the body is never copied.

use bytes::Bytes;
use memchr::{memchr2, memmem};

/// A CR or LF that is not part of a CRLF: RFC 5321 §2.3.8 forbids sending it, and some receivers take it for a line's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BareLineEnding;

/// Checks that every CR and every LF of the content is part of a CRLF; the segments count as one text.
pub fn check_line_endings(segments: &[Bytes]) -> Result<(), BareLineEnding> {
    let mut behind_cr = false;
    for segment in segments {
        let mut rest = segment.as_ref();
        while !rest.is_empty() {
            if behind_cr {
                rest = rest.strip_prefix(b"\n").ok_or(BareLineEnding)?;
                behind_cr = false;
                continue;
            }
            let Some(at) = memchr2(b'\r', b'\n', rest) else { break };
            let (_, found) = rest.split_at_checked(at).ok_or(BareLineEnding)?;
            rest = found.strip_prefix(b"\r").ok_or(BareLineEnding)?;
            behind_cr = true;
        }
    }
    if behind_cr { Err(BareLineEnding) } else { Ok(()) }
}

/// The slices to write after the 354: the content with dots doubled at line starts (RFC 5321 §4.5.2), a CRLF at its end if it
/// has none, and the final dot. Refuses what [`check_line_endings`] refuses, so that nothing of the kind ever leaves.
pub fn stuff(segments: &[Bytes]) -> Result<Stuffed<'_>, BareLineEnding> {
    check_line_endings(segments)?;
    Ok(Stuffed { segments: segments.iter(), rest: &[], line_start: true, ended: false, finder: memmem::Finder::new(b"\n.") })
}

/// See [`stuff`]. Never yields an empty slice.
#[derive(Clone, Debug)]
pub struct Stuffed<'a> {
    segments: std::slice::Iter<'a, Bytes>,
    rest: &'a [u8],
    /// Whether a line starts where `rest` starts and its dot, if any, has not been doubled yet.
    line_start: bool,
    ended: bool,
    finder: memmem::Finder<'static>,
}

impl<'a> Iterator for Stuffed<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while self.rest.is_empty() {
            match self.segments.next() {
                Some(segment) => self.rest = segment,
                None if self.ended => return None,
                None => {
                    self.ended = true;
                    return Some(if self.line_start { b".\r\n" } else { b"\r\n.\r\n" });
                }
            }
        }
        if self.line_start && self.rest.starts_with(b".") {
            self.line_start = false;
            return Some(b".");
        }
        // Every LF ends a line here. A slice stops behind the dot that needs doubling and the next one starts with that dot again.
        match self.finder.find(self.rest).and_then(|lf| self.rest.split_at_checked(lf.saturating_add(1))) {
            Some((line, dot)) => {
                let through_dot = self.rest.get(..line.len().saturating_add(1))?;
                self.rest = dot;
                self.line_start = false;
                Some(through_dot)
            }
            None => {
                self.line_start = self.rest.ends_with(b"\n");
                Some(std::mem::take(&mut self.rest))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::smtp::Decoder;

    fn stuffed(segments: &[&'static str]) -> Result<Vec<u8>, BareLineEnding> {
        let segments: Vec<Bytes> = segments.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        stuff(&segments).map(|slices| slices.collect::<Vec<_>>().concat())
    }

    #[test]
    fn dots_are_doubled_at_line_starts_only_and_the_end_is_written() {
        for (segments, written) in [
            (&[][..], ".\r\n"),
            (&["a"], "a\r\n.\r\n"),
            (&["a\r\n"], "a\r\n.\r\n"),
            (&[".", "."], "...\r\n.\r\n"),
            (&[".\r\n.\r\n"], "..\r\n..\r\n.\r\n"),
            (&["a.b\r", "\n", ".c", ".d\r\n..", "e"], "a.b\r\n..c.d\r\n...e\r\n.\r\n"),
            (&["", ".a\r\n", "", "."], "..a\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(stuffed(segments).as_deref(), Ok(written.as_bytes()), "{segments:?}");
        }
    }

    #[test]
    fn bare_cr_and_lf_never_leave() {
        for segments in
            [&["a\nb"][..], &["a\rb"], &["a\r"], &["\n"], &["a\r", "b"], &["a\r", "", "\r\n"], &["a\r\n", "\n.\r\n"], &["\r\n.\n"]]
        {
            assert_eq!(stuffed(segments), Err(BareLineEnding), "{segments:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_stuffed_decodes_to_itself(text in "([.a]|\r\n){0,24}", borders in proptest::collection::vec(0_usize..48, 0..6), step in 1_usize..9) {
            let whole = Bytes::from(text.clone().into_bytes());
            let mut borders: Vec<usize> = borders.into_iter().map(|border| border.min(whole.len())).chain([0, whole.len()]).collect();
            borders.sort_unstable();
            let segments: Vec<Bytes> = borders.windows(2).map(|pair| whole.slice(pair[0]..pair[1])).collect();
            let slices: Vec<&[u8]> = stuff(&segments).expect("no bare line ending").collect();
            prop_assert!(slices.iter().all(|slice| !slice.is_empty()));
            let wire = slices.concat();
            let mut decoder = Decoder::new(1000, None);
            let consumed: usize = wire.chunks(step).map(|piece| decoder.decode(piece)).sum();
            prop_assert_eq!(consumed, wire.len());
            prop_assert!(decoder.is_complete());
            let mut expected = text.into_bytes();
            if !expected.is_empty() && !expected.ends_with(b"\r\n") {
                expected.extend_from_slice(b"\r\n");
            }
            prop_assert_eq!(decoder.finish(), Ok(expected));
        }
    }
}
