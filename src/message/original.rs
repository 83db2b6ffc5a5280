//! The message as it was received, with an index of its header fields.
//!
//! The octets are looked at once and never changed; a field is a range of them. What follows the last field, the empty line
//! included, is never interpreted here. The header is in memory, wherever the rest is.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use memchr::{memchr, memchr2};

use super::{Data, Piece, StoredError};
use crate::limits::{HEADER_BYTES_MAX, HEADER_FIELDS_MAX, MESSAGE_HEAD_BYTES};

/// A received message: its octets and the index of its header.
#[derive(Clone, Debug)]
pub struct Original {
    data: Data,
    header: Header,
    disbelieved: Vec<usize>,
    /// Why somebody who looked at all of it did not see it. What he says of the message is not to be relied on.
    unread: Arc<OnceLock<StoredError>>,
    has_8bit_part_header: Arc<OnceLock<bool>>,
}

/// The header of a message or of one of its MIME parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fields: Vec<Field>,
    /// End of the last field.
    pub(super) end: usize,
    /// Begin of the body, behind the empty line if there is one.
    pub(super) body_offset: usize,
}

/// Where a header field lies in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// From the first character of the name to the end of its last line, line end included.
    pub whole: Range<usize>,
    /// The name, without the white space that old messages have before the colon (RFC 5322 §4.5.8).
    pub name: Range<usize>,
    /// All that follows the colon, folds and the last line end included.
    pub value: Range<usize>,
}

/// Why a header is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// More than [`HEADER_BYTES_MAX`].
    TooLarge,
    /// More than [`HEADER_FIELDS_MAX`].
    TooManyFields,
    /// It is stored and cannot be read.
    Unread(StoredError),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "The header is larger than {HEADER_BYTES_MAX} octets"),
            Self::TooManyFields => write!(f, "The header has more than {HEADER_FIELDS_MAX} fields"),
            Self::Unread(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HeaderError {}

impl Original {
    /// Indexes the header. The header ends at an empty line, or, as in other MTAs, before the first line that is no field:
    /// what begins without a field is all body.
    pub fn parse(octets: Bytes) -> Result<Self, HeaderError> {
        Self::of(octets.into())
    }

    /// The same of a message that may be stored. More of it is read when its header is not within its head.
    pub fn of(mut data: Data) -> Result<Self, HeaderError> {
        let mut header = Header::scan(data.head(), 0)?;
        if data.is_stored() && header.is_cut_off(data.head()) {
            // The largest header that is taken, and a line behind it.
            data.read_head(HEADER_BYTES_MAX.saturating_add(MESSAGE_HEAD_BYTES)).map_err(HeaderError::Unread)?;
            header = Header::scan(data.head(), 0)?;
        }
        Ok(Self { data, header, disbelieved: Vec::new(), unread: Arc::default(), has_8bit_part_header: Arc::default() })
    }

    /// The same with those Authentication-Results fields marked that claim to be of this host, which nobody but the client can have
    /// written (RFC 8601 §5): a view does not see them and a rendering leaves them out.
    #[must_use]
    pub fn disbelieving(self, hostname: &str) -> Self {
        let disbelieved = super::claims::claims(&self, hostname);
        Self { disbelieved, ..self }
    }

    /// Positions of the fields that are so marked, ascending.
    pub fn disbelieved(&self) -> &[usize] {
        &self.disbelieved
    }

    /// All of it.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// Octets.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The header fields, from the top.
    pub fn fields(&self) -> &[Field] {
        &self.header.fields
    }

    /// The header fields as they were received, without the empty line.
    pub fn header(&self) -> &[u8] {
        self.slice(0..self.header.end)
    }

    /// Begin of the body: behind the empty line, or where the header ends without one.
    pub fn body_offset(&self) -> usize {
        self.header.body_offset
    }

    /// Whether the header must be closed by an empty line that is not there, before something is put above it.
    pub fn lacks_separator(&self) -> bool {
        self.header.end == self.header.body_offset && self.header.body_offset < self.data.len()
    }

    /// A piece of the header; empty if there is no such piece.
    pub fn slice(&self, range: Range<usize>) -> &[u8] {
        self.data.head().get(range).unwrap_or_default()
    }

    /// The body, wherever it is.
    pub fn body(&self) -> Piece {
        self.data.piece(self.body_offset()..self.len())
    }

    /// The name of a field.
    pub fn name(&self, field: &Field) -> &[u8] {
        self.slice(field.name.clone())
    }

    /// The value of a field as it was received, last line end included.
    pub fn value(&self, field: &Field) -> &[u8] {
        self.slice(field.value.clone())
    }

    /// Number of Received fields (RFC 5321 §6.3).
    pub fn hops(&self) -> usize {
        self.received().count()
    }

    /// Whether a Received field says that the message went through `hostname`: it stands there after `by`.
    pub fn has_received_by(&self, hostname: &str) -> bool {
        self.received().any(|value| names_after_by(value, hostname.as_bytes()))
    }

    /// Whether the value of a Received field says that it was made by `hostname`.
    pub fn is_received_by(value: &[u8], hostname: &str) -> bool {
        names_after_by(value, hostname.as_bytes())
    }

    /// Whether there is an octet outside US-ASCII. Looks at the whole message, unless it is known.
    pub fn has_8bit(&self) -> bool {
        !self
            .data
            .is_ascii()
            .unwrap_or_else(|| self.noting(self.data.blocks(0..self.len()).try_fold(true, |so_far, block| Ok(so_far && block?.is_ascii()))))
    }

    /// Whether the header of a MIME part has an octet outside US-ASCII. Looks at the whole message, once. If it cannot be read, it
    /// may have.
    pub fn has_8bit_part_header(&self) -> bool {
        *self.has_8bit_part_header.get_or_init(|| self.has_8bit() && (super::mime::has_8bit_part_header(self) || self.unread().is_some()))
    }

    /// Why somebody who looked at all of the message did not see it: nothing that was found out by looking at all of it counts then.
    pub fn unread(&self) -> Option<&StoredError> {
        self.unread.get()
    }

    /// What came of looking at all of the message; an error is noted, see [`Self::unread`].
    pub fn noting<T: Default>(&self, looked: Result<T, StoredError>) -> T {
        looked.unwrap_or_else(|error| {
            // The first one tells enough.
            let _ = self.unread.set(error);
            T::default()
        })
    }

    fn received(&self) -> impl Iterator<Item = &[u8]> {
        self.fields().iter().filter(|field| self.name(field).eq_ignore_ascii_case(b"Received")).map(|field| self.value(field))
    }
}

impl Header {
    /// Whether octets behind these, of which it was read, could make it longer.
    pub(super) fn is_cut_off(&self, bytes: &[u8]) -> bool {
        self.end == self.body_offset && memchr2(b':', b'\n', rest(bytes, self.end)).is_none()
    }

    /// Reads fields from `start` on.
    pub(super) fn scan(bytes: &[u8], start: usize) -> Result<Self, HeaderError> {
        let mut header = Self { fields: Vec::with_capacity(32), end: start, body_offset: start };
        loop {
            let line = rest(bytes, header.end);
            if let Some(length) = empty_line(line) {
                header.body_offset = header.end.saturating_add(length);
                return Ok(header);
            }
            let Some((name_end, colon)) = field_name(line) else {
                header.body_offset = header.end;
                return Ok(header);
            };
            let begin = header.end;
            header.end = begin.saturating_add(field_len(line));
            if header.end.saturating_sub(start) > HEADER_BYTES_MAX {
                return Err(HeaderError::TooLarge);
            }
            if header.fields.len() >= HEADER_FIELDS_MAX {
                return Err(HeaderError::TooManyFields);
            }
            header.fields.push(Field {
                whole: begin..header.end,
                name: begin..begin.saturating_add(name_end),
                value: begin.saturating_add(colon).saturating_add(1)..header.end,
            });
        }
    }
}

/// Whether the text is a field name: printable US-ASCII without the colon (RFC 5322 §2.2), short enough for a line of 78.
pub fn is_field_name(name: &str) -> bool {
    (1..=76).contains(&name.len()) && name.bytes().all(is_ftext)
}

pub(super) fn is_ftext(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b':'
}

fn rest(bytes: &[u8], from: usize) -> &[u8] {
    bytes.get(from..).unwrap_or_default()
}

fn empty_line(line: &[u8]) -> Option<usize> {
    match line {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

/// End of the name and position of the colon, if the line is a field.
fn field_name(line: &[u8]) -> Option<(usize, usize)> {
    // Whichever comes first decides, so that a body of one long line is not searched for a colon further down.
    let colon = memchr2(b':', b'\n', line)?;
    let before = line.get(..colon)?;
    if line.get(colon) != Some(&b':') {
        return None;
    }
    let name = before.trim_ascii_end();
    (!name.is_empty() && name.iter().copied().all(is_ftext)).then_some((name.len(), colon))
}

/// Length of the field that begins here: its line, and all that follow with white space at their begin (RFC 5322 §2.2.3).
fn field_len(field: &[u8]) -> usize {
    let mut length: usize = 0;
    loop {
        match memchr(b'\n', rest(field, length)) {
            Some(end) => length = length.saturating_add(end).saturating_add(1),
            None => return field.len(),
        }
        if !matches!(field.get(length), Some(b' ' | b'\t')) || length > HEADER_BYTES_MAX {
            return length;
        }
    }
}

/// Whether `by HOSTNAME` stands in the value of a Received field, outside comments and quoted strings (RFC 5322 §3.6.7).
fn names_after_by(value: &[u8], hostname: &[u8]) -> bool {
    let mut depth: usize = 0;
    let (mut quoted, mut escaped, mut after_by) = (false, false, false);
    let mut token_start: Option<usize> = None;
    for (position, byte) in value.iter().copied().chain([b' ']).enumerate() {
        let is_part = depth == 0 && !quoted && !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'(' | b'"' | b';');
        match (token_start, is_part) {
            (None, true) => token_start = Some(position),
            (Some(start), false) => {
                let token = value.get(start..position).unwrap_or_default();
                if after_by && token.strip_suffix(b".").unwrap_or(token).eq_ignore_ascii_case(hostname) {
                    return true;
                }
                after_by = token.eq_ignore_ascii_case(b"by");
                token_start = None;
            }
            _ => {}
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted || depth > 0 => escaped = true,
            b'"' if depth == 0 => quoted = !quoted,
            b'(' if !quoted => depth = depth.saturating_add(1),
            b')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::stored::tests::Kept;
    use super::*;

    fn parse(text: &'static str) -> Original {
        Original::parse(Bytes::from_static(text.as_bytes())).expect("a header within the limits")
    }

    fn names(original: &Original) -> Vec<&str> {
        original.fields().iter().map(|field| std::str::from_utf8(original.name(field)).expect("ASCII")).collect()
    }

    #[test]
    fn fields_are_found_with_their_folds() {
        let original = parse("Subject: one\r\n two\r\nX : y\r\n\r\nbody: no field\r\n");
        assert_eq!(names(&original), ["Subject", "X"]);
        let values: Vec<_> = original.fields().iter().map(|field| original.value(field)).collect();
        assert_eq!(values, [&b" one\r\n two\r\n"[..], b" y\r\n"]);
        assert_eq!(original.data().read(original.body_offset()..original.len()).unwrap(), &b"body: no field\r\n"[..]);
        assert!(!original.lacks_separator());
    }

    #[test]
    fn what_begins_without_a_field_is_all_body() {
        for (text, fields, body_offset, lacks_separator) in [
            ("", 0, 0, false),
            ("\r\nbody", 0, 2, false),
            ("hello world\r\nSubject: x\r\n", 0, 0, true),
            (" folded: first\r\n", 0, 0, true),
            ("No colon", 0, 0, true),
            (": no name\r\n", 0, 0, true),
            ("A: b\r\nnot a field\r\nC: d\r\n\r\n", 1, 6, true),
            ("A: b", 1, 4, false),
            ("A: b\n\nbody", 1, 6, false),
        ] {
            let original = parse(text);
            assert_eq!(
                (original.fields().len(), original.body_offset(), original.lacks_separator()),
                (fields, body_offset, lacks_separator),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_limits_hold_and_only_for_the_header() {
        let many = "A: b\r\n".repeat(HEADER_FIELDS_MAX + 1);
        assert_eq!(Original::parse(many.into()).map(|_| ()), Err(HeaderError::TooManyFields));
        let large = format!("A: {}\r\n", "b".repeat(HEADER_BYTES_MAX));
        assert_eq!(Original::parse(large.into()).map(|_| ()), Err(HeaderError::TooLarge));
        let folded = format!("A: b\r\n{}", " c\r\n".repeat(HEADER_BYTES_MAX));
        assert_eq!(Original::parse(folded.into()).map(|_| ()), Err(HeaderError::TooLarge));
        let body = format!("A: b\r\n\r\n{}", "b: c\r\n".repeat(HEADER_BYTES_MAX));
        assert!(Original::parse(body.into()).is_ok());
    }

    #[test]
    fn a_stored_message_is_read_as_one_in_memory() {
        let head = format!("A: {}\r\nB: c\r\n d\r\n", "b".repeat(30));
        let many = format!("{}\r\n\r\nbody\r\n", "C: d\r\n".repeat(50_000));
        for text in [head.clone() + "\r\nbody\r\n", head.clone() + "no field\r\n", head.clone(), head + "no end", many, "\r\n".to_owned()] {
            let whole = Bytes::from(text);
            let expected = Original::parse(whole.clone());
            for kept in (0..whole.len().min(80)).chain([whole.len()]) {
                let data = Data::stored(whole.slice(..kept), Arc::new(Kept(whole.clone())));
                let read = Original::of(data);
                match (&read, &expected) {
                    (Ok(read), Ok(expected)) => {
                        assert_eq!((&read.header, read.header()), (&expected.header, expected.header()), "{kept}");
                        assert_eq!(read.body().blocks().map(Result::unwrap).collect::<Vec<_>>().concat(), whole[expected.body_offset()..]);
                    }
                    (Err(error), Err(expected)) => assert_eq!(error, expected),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    #[test]
    fn hops_and_loops_are_seen() {
        let original =
            parse("Received: from a (b [192.0.2.1]) by MX1.acme.example (x) with ESMTP\r\nreceived: x\r\n\r\nReceived: body\r\n");
        assert_eq!(original.hops(), 2);
        assert!(original.has_received_by("mx1.acme.example"));
        assert!(!original.has_received_by("acme.example"));
        for (value, looping) in [
            ("from a\r\n\tby mx(comment) with SMTP", true),
            ("from a by\r\n\tmx.;", true),
            ("from a (by mx) by other", false),
            ("from \"by mx\" by other", false),
            ("from a (\\) by mx) by other", false),
            ("from mx by other for by", false),
            ("from by by mx", true),
        ] {
            let original = Original::parse(format!("Received: {value}\r\n\r\n").into()).expect("small");
            assert_eq!(original.has_received_by("MX"), looping, "{value}");
        }
    }

    #[test]
    fn field_names_are_checked() {
        for (name, good) in [("X-Route", true), ("a", true), ("", false), ("X Y", false), ("X:", false), ("Ü", false), ("X\r\nY", false)] {
            assert_eq!(is_field_name(name), good, "{name:?}");
        }
        assert!(!is_field_name(&"x".repeat(77)));
    }
}
