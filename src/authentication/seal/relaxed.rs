//! The `relaxed` canonicalization of DKIM (RFC 6376 §3.4.2 and §3.4.4), which ARC uses as well.

use aws_lc_rs::digest::{Context, SHA256};
use memchr::{memchr, memchr_iter};

/// A header field as it is signed, its CRLF included: name in lower case, value unfolded, runs of white space one space, none at
/// the ends.
pub(super) fn field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let (begin, mut pending) = (out.len(), false);
    for byte in value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        if is_blank(byte) {
            pending = out.len() > begin;
            continue;
        }
        if std::mem::take(&mut pending) {
            out.push(b' ');
        }
        out.push(byte);
    }
    out.extend_from_slice(b"\r\n");
}

/// SHA-256 of a body as it is signed: blanks at the ends of lines away, other runs of blanks one space, and no empty lines at the end.
/// Nothing is copied but what changes.
pub(super) fn body_hash(body: &[u8]) -> [u8; 32] {
    let mut hash = Hasher { context: Context::new(&SHA256), buffer: Vec::with_capacity(BUFFER) };
    let mut empty_lines = 0_usize;
    let mut lines = Lines(body);
    while let Some(line) = lines.next() {
        let end = line.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |last| last.saturating_add(1));
        let line = line.get(..end).unwrap_or_default();
        if line.is_empty() {
            empty_lines = empty_lines.saturating_add(1);
            continue;
        }
        for _ in 0..std::mem::take(&mut empty_lines) {
            hash.update(b"\r\n");
        }
        hash.line(line);
    }
    hash.finish()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Lines without their ends, which are CRLF; a last one may have none.
struct Lines<'a>(&'a [u8]);

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr_iter(b'\n', self.0).find(|at| at.checked_sub(1).and_then(|before| self.0.get(before)) == Some(&b'\r'));
        let (line, rest) = match end {
            Some(at) => (self.0.get(..at.saturating_sub(1)), self.0.get(at.saturating_add(1)..)),
            None => (Some(self.0), None),
        };
        self.0 = rest.unwrap_or_default();
        line
    }
}

/// Octets gathered for the hash, so that short lines do not cost a call each.
const BUFFER: usize = 16 * 1024;

struct Hasher {
    context: Context,
    buffer: Vec<u8>,
}

impl Hasher {
    fn line(&mut self, mut line: &[u8]) {
        // Up to a run of blanks that is not a single space.
        while let Some(run) = run_of_blanks(line) {
            let (before, after) = line.split_at_checked(run).unwrap_or((line, &[]));
            self.update(before);
            self.update(b" ");
            let blanks = after.iter().take_while(|byte| is_blank(**byte)).count();
            line = after.get(blanks..).unwrap_or_default();
        }
        self.update(line);
        self.update(b"\r\n");
    }

    fn update(&mut self, octets: &[u8]) {
        if self.buffer.len().saturating_add(octets.len()) > BUFFER {
            self.context.update(&self.buffer);
            self.buffer.clear();
        }
        if octets.len() > BUFFER {
            self.context.update(octets);
        } else {
            self.buffer.extend_from_slice(octets);
        }
    }

    fn finish(mut self) -> [u8; 32] {
        self.context.update(&self.buffer);
        let mut hash = [0; 32];
        hash.iter_mut().zip(self.context.finish().as_ref()).for_each(|(to, from)| *to = *from);
        hash
    }
}

/// Where the first run of blanks begins that is longer than one, or a tab.
fn run_of_blanks(line: &[u8]) -> Option<usize> {
    let mut from = 0_usize;
    let tab = memchr(b'\t', line);
    let within = line.get(..tab.unwrap_or(line.len())).unwrap_or_default();
    while let Some(space) = memchr(b' ', within.get(from..)?) {
        let at = from.saturating_add(space);
        if line.get(at.saturating_add(1)).is_some_and(|next| is_blank(*next)) {
            return Some(at);
        }
        from = at.saturating_add(1);
    }
    tab
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::digest;
    use proptest::prelude::*;

    use super::*;

    fn hash_of(canonical: &str) -> [u8; 32] {
        digest(&SHA256, canonical.as_bytes()).as_ref().try_into().unwrap()
    }

    #[test]
    fn fields_are_relaxed() {
        for (name, value, expected) in [
            ("Subject", " a b\r\n", "subject:a b\r\n"),
            ("SUBJECT", "\ta\t b \r\n\t  c  \r\n", "subject:a b c\r\n"),
            ("A", "\r\n", "a:\r\n"),
            ("A", " \r\n \r\n", "a:\r\n"),
            ("A", "x\r\n\ty", "a:x y\r\n"),
        ] {
            let mut out = Vec::new();
            field(name.as_bytes(), value.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{value:?}");
        }
    }

    #[test]
    fn bodies_are_relaxed() {
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
            ("a\nb\rc  d\r\n", "a\nb\rc d\r\n"),
        ] {
            assert_eq!(body_hash(body.as_bytes()), hash_of(canonical), "{body:?}");
        }
    }

    proptest! {
        /// Against the words of the RFC, one after the other over the whole text.
        #[test]
        fn any_body_is_relaxed(body in "([ \t]{0,3}|a|\r\n|b c|\r\n){0,60}", long in 0..10_000_usize) {
            let blanks = regex::Regex::new("[ \t]+").unwrap();
            let body = format!("{body}{}{body}", "x ".repeat(long));
            let mut lines: Vec<String> = body.split("\r\n").map(|line| {
                let words = blanks.replace_all(line, " ").into_owned();
                words.trim_end_matches(' ').to_owned()
            }).collect();
            while lines.last().is_some_and(String::is_empty) {
                lines.pop();
            }
            let canonical: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            prop_assert_eq!(body_hash(body.as_bytes()), hash_of(&canonical));
        }
    }
}
