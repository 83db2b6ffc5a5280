//! Canonical forms of header fields and of the body, and the hashes of the body.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};
use mail_auth::common::crypto::{HashContext, HashOutput};
use mail_auth::common::headers::Writer;
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;

use crate::limits::STORED_BLOCK_BYTES;
use crate::message::{Original, Piece, StoredError};

/// Appends a field as RFC 6376 §3.4.1 or §3.4.2 has it, with its line end.
pub(super) fn push_field(out: &mut Vec<u8>, original: &Original, field: usize, form: Canonicalization) {
    let Some(field) = original.fields().get(field) else { return };
    match form {
        Canonicalization::Simple => out.extend_from_slice(original.slice(field.whole.clone())),
        Canonicalization::Relaxed => {
            push_relaxed_field(out, original.name(field), original.value(field));
        }
    }
}

/// Appends the field of a signature without what stands in `hole` of its value, and without its last line end (RFC 6376 §3.7).
pub(super) fn push_signature(out: &mut Vec<u8>, original: &Original, field: usize, hole: &Range<usize>, form: Canonicalization) {
    let Some(field) = original.fields().get(field) else { return };
    let value = original.value(field);
    let pieces = [value.get(..hole.start).unwrap_or_default(), value.get(hole.end..).unwrap_or_default()];
    match form {
        Canonicalization::Simple => {
            out.extend_from_slice(original.slice(field.whole.start..field.value.start));
            out.extend_from_slice(&pieces.concat());
            out.truncate(out.strip_suffix(b"\r\n").map_or(out.len(), <[u8]>::len));
        }
        Canonicalization::Relaxed => push_relaxed(out, original.name(field), pieces),
    }
}

/// Appends a field as RFC 6376 §3.4.2 has it, with its line end.
pub(super) fn push_relaxed_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    push_relaxed(out, name, [value, b""]);
    out.extend_from_slice(b"\r\n");
}

/// Name in lower case, lines unfolded, white space to one space, none at the ends (RFC 6376 §3.4.2).
fn push_relaxed(out: &mut Vec<u8>, name: &[u8], pieces: [&[u8]; 2]) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let begin = out.len();
    let mut space = false;
    for byte in pieces.into_iter().flatten() {
        match byte {
            b'\r' | b'\n' => {}
            b' ' | b'\t' => space = true,
            _ => {
                if space && out.len() > begin {
                    out.push(b' ');
                }
                space = false;
                out.push(*byte);
            }
        }
    }
}

/// How a signature wants the body hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyForm {
    pub(super) form: Canonicalization,
    /// `l=`: octets of the canonical body that are signed; `None`: all.
    pub(super) length: Option<u64>,
}

/// SHA-256 of a body in all forms that were asked for.
#[derive(Debug, Default)]
pub(super) struct BodyHashes {
    hashes: Vec<(BodyForm, BodyHash)>,
}

/// SHA-256 of a body in one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodyHash {
    /// `None`: `l=` is more than there is.
    pub(super) digest: Option<[u8; 32]>,
    /// There is more than `l=` says.
    pub(super) is_partial: bool,
}

impl BodyHashes {
    /// Reads the body once for each canonicalization, however many lengths are asked for; block by block, if it is stored.
    pub(super) fn of(body: &Piece, forms: &[BodyForm]) -> Result<Self, StoredError> {
        let mut hashes = Vec::with_capacity(forms.len());
        for form in [Canonicalization::Simple, Canonicalization::Relaxed] {
            let wanted = || forms.iter().filter(|wanted| wanted.form == form);
            if wanted().next().is_none() {
                continue;
            }
            let mut lengths: Vec<u64> = wanted().filter_map(|wanted| wanted.length).collect();
            lengths.sort_unstable();
            lengths.dedup();
            let hasher = hash(body, form, lengths)?;
            let whole = digest_of(hasher.context.clone());
            for wanted in wanted() {
                let hash = match wanted.length {
                    None => BodyHash { digest: Some(whole), is_partial: false },
                    Some(length) => BodyHash {
                        digest: hasher.taken.iter().find(|(at, _)| *at == length).map(|(_, digest)| *digest),
                        is_partial: length < hasher.written,
                    },
                };
                hashes.push((*wanted, hash));
            }
        }
        Ok(Self { hashes })
    }

    /// The hash of a whole body in the relaxed form.
    pub(super) fn relaxed(body: &Piece) -> Option<[u8; 32]> {
        let form = BodyForm { form: Canonicalization::Relaxed, length: None };
        Self::of(body, &[form]).ok()?.get(form)?.digest
    }

    /// The hash in a form that was asked for.
    pub(super) fn get(&self, form: BodyForm) -> Option<BodyHash> {
        self.hashes.iter().find(|(known, _)| *known == form).map(|(_, hash)| *hash)
    }
}

fn hash(body: &Piece, form: Canonicalization, lengths: Vec<u64>) -> Result<Hasher, StoredError> {
    let mut hasher = Hasher { context: Context::new(&SHA256), written: 0, lengths: lengths.into_iter().peekable(), taken: Vec::new() };
    hasher.write(b"");
    let mut hasher = BodyHasher::new(hasher, form, 0);
    let mut rest = if form == Canonicalization::Relaxed { without_blank_tail(body)? } else { body.len() };
    for block in body.blocks() {
        let block = block?;
        hasher.write(block.get(..rest).unwrap_or(&block));
        rest = rest.saturating_sub(block.len());
        if rest == 0 {
            break;
        }
    }
    Ok(hasher.finish().0)
}

/// Octets of a body without its last lines of white space only (RFC 6376 §3.4.4); the canonicalization keeps some of them.
fn without_blank_tail(body: &Piece) -> Result<usize, StoredError> {
    // Where the line ends that the last visible octet stands in, or begins all that is blank, is found from the end.
    let (mut line_end, mut to) = (body.len(), body.len());
    while to > 0 {
        let from = to.saturating_sub(STORED_BLOCK_BYTES);
        let block = body.read(from..to)?;
        let visible = block.iter().rposition(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
        let blank = block.get(visible.unwrap_or(0)..).unwrap_or_default();
        if let Some(end) = memchr::memchr(b'\n', blank) {
            line_end = from.saturating_add(visible.unwrap_or(0)).saturating_add(end).saturating_add(1);
        }
        if visible.is_some() {
            return Ok(line_end);
        }
        to = from;
    }
    Ok(0)
}

/// Hashes what is written, and keeps the digests at some lengths on the way.
struct Hasher {
    context: Context,
    written: u64,
    lengths: std::iter::Peekable<std::vec::IntoIter<u64>>,
    taken: Vec<(u64, [u8; 32])>,
}

impl Writer for Hasher {
    fn write(&mut self, mut buf: &[u8]) {
        loop {
            let next = self.lengths.peek().copied();
            let room = next.map_or(usize::MAX, |next| usize::try_from(next.saturating_sub(self.written)).unwrap_or(usize::MAX));
            let (now, later) = buf.split_at_checked(room).unwrap_or((buf, b""));
            self.context.update(now);
            self.written = self.written.saturating_add(now.len() as u64);
            if next != Some(self.written) {
                return;
            }
            self.taken.push((self.written, digest_of(self.context.clone())));
            self.lengths.next();
            buf = later;
        }
    }
}

impl HashContext for Hasher {
    fn complete(self) -> HashOutput {
        HashOutput::Digest(self.context.finish())
    }
}

fn digest_of(context: Context) -> [u8; 32] {
    context.finish().as_ref().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use Canonicalization::{Relaxed, Simple};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::authentication::tests::canonical_body;
    use crate::message::Data;
    use crate::message::stored::tests::Kept;

    fn piece(body: &str) -> Piece {
        Bytes::copy_from_slice(body.as_bytes()).into()
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        aws_lc_rs::digest::digest(&SHA256, bytes).as_ref().try_into().unwrap()
    }

    #[test]
    fn header_fields() {
        let text = b"SubJect \t: \t a\t b\r\n  c  \r\nX:\r\nY: a\x0cb";
        let original = Original::parse(Bytes::from_static(text)).unwrap();
        for (field, form, expected) in [
            (0, Relaxed, &b"subject:a b c\r\n"[..]),
            (0, Simple, b"SubJect \t: \t a\t b\r\n  c  \r\n"),
            (1, Relaxed, b"x:\r\n"),
            (2, Relaxed, b"y:a\x0cb\r\n"),
            (3, Relaxed, b""),
        ] {
            let mut out = Vec::new();
            push_field(&mut out, &original, field, form);
            assert_eq!(out, expected, "{field} {form:?}");
        }
    }

    #[test]
    fn relaxed_fields() {
        for (name, value, expected) in [
            ("Subject", " a b\r\n", "subject:a b\r\n"),
            ("SUBJECT", "\ta\t b \r\n\t  c  \r\n", "subject:a b c\r\n"),
            ("A", "\r\n", "a:\r\n"),
            ("A", " \r\n \r\n", "a:\r\n"),
            ("A", "x\r\n\ty", "a:x y\r\n"),
        ] {
            let mut out = Vec::new();
            push_relaxed_field(&mut out, name.as_bytes(), value.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{value:?}");
        }
    }

    #[test]
    fn relaxed_bodies() {
        for (body, canonical) in [
            ("", ""),
            ("\r\n", ""),
            ("\r\n\r\n \r\n\t\r\n", ""),
            (" ", ""),
            ("a", "a\r\n"),
            ("a\r\n", "a\r\n"),
            ("a \t\r\n\r\n \r\n", "a\r\n"),
            ("\r\n\r\na\r\n \t\r\nb", "\r\n\r\na\r\n\r\nb\r\n"),
            (" a  b\t\tc \td\r\n", " a b c d\r\n"),
            ("\ta b c\r\n", " a b c\r\n"),
        ] {
            assert_eq!(BodyHashes::relaxed(&piece(body)), Some(sha256(canonical.as_bytes())), "{body:?}");
        }
    }

    #[test]
    fn the_field_of_a_signature() {
        let original = Original::parse(Bytes::from_static(b"DKIM-Signature: a=1; b= xx\r\n yy; c=2 \r\n")).unwrap();
        let hole = 8..16;
        for (form, expected) in [(Relaxed, &b"dkim-signature:a=1; b=; c=2"[..]), (Simple, b"DKIM-Signature: a=1; b=; c=2 ")] {
            let mut out = Vec::new();
            push_signature(&mut out, &original, 0, &hole, form);
            assert_eq!(String::from_utf8_lossy(&out), String::from_utf8_lossy(expected), "{form:?}");
        }
    }

    #[test]
    fn a_stored_body_has_the_hash_of_one_in_memory() {
        let blank = " \t\r\n\r\n".repeat(STORED_BLOCK_BYTES / 4);
        for (pattern, cuts) in [("a \t b\r\n", 0..9), ("\r\n \r\n\r\nx \r\n", 0..14), ("\r\n \t\r\n\r\n", 0..9), (&blank, 3..7)] {
            for cut in cuts {
                let octets = Bytes::from(["x".repeat(STORED_BLOCK_BYTES - cut).as_str(), pattern].concat());
                let stored = Data::stored(Bytes::new(), Arc::new(Kept(octets.clone()))).piece(0..octets.len());
                for form in [Simple, Relaxed] {
                    let forms = [BodyForm { form, length: None }, BodyForm { form, length: Some(STORED_BLOCK_BYTES as u64 + 2) }];
                    let hashes = |body: &Piece| BodyHashes::of(body, &forms).unwrap().hashes;
                    assert!(hashes(&stored) == hashes(&octets.clone().into()), "{form:?} {} at {cut}", pattern.len());
                }
            }
        }
    }

    #[test]
    fn a_length_beyond_the_body_has_no_hash() {
        let form = |length| BodyForm { form: Simple, length: Some(length) };
        let hashes = BodyHashes::of(&piece("ab\r\n"), &[form(0), form(3), form(4), form(5), form(u64::MAX)]).unwrap();
        let shown = |length: u64, text: &[u8]| Some(BodyHash { digest: Some(sha256(text)), is_partial: length < 4 });
        assert_eq!(hashes.get(form(0)), shown(0, b""));
        assert_eq!(hashes.get(form(3)), shown(3, b"ab\r"));
        assert_eq!(hashes.get(form(4)), shown(4, b"ab\r\n"));
        for beyond in [5, u64::MAX] {
            assert_eq!(hashes.get(form(beyond)), Some(BodyHash { digest: None, is_partial: false }));
        }
        assert_eq!(hashes.get(form(6)), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn the_body_by_the_letter(words in proptest::collection::vec(prop_oneof!["[a-z]{1,9}", " {1,3}", "\t", "(\r\n){1,3}", "[.\u{e4}]"], 0..24), length in 0_u64..40) {
            let body = words.concat();
            for form in [Simple, Relaxed] {
                let expected = canonical_body(&body, form == Relaxed).into_bytes();
                let (whole, some) = (BodyForm { form, length: None }, BodyForm { form, length: Some(length) });
                let hashes = BodyHashes::of(&piece(&body), &[whole, some]).unwrap();
                prop_assert_eq!(hashes.get(whole).unwrap().digest, Some(sha256(&expected)), "{:?} {:?}", form, body);
                let signed = expected.get(..length as usize);
                prop_assert_eq!(hashes.get(some).unwrap().digest, signed.map(sha256), "{:?} {:?} {}", form, body, length);
            }
        }
    }
}
