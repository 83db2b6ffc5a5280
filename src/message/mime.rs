//! The attachments of a message, found by walking the MIME structure without decoding a body.
//!
//! A message that is stored is read block by block. Only the headers of parts are read, and no more than [`MIME_PARTS_MAX`] of them, so
//! that the cost is one search through the message however it is built.

use bytes::Bytes;
use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};
use memchr::memmem;

use super::original::Header;
use super::view::with_line_end;
use super::{Data, Original, StoredError, Text};
use crate::limits::{HEADER_BYTES_MAX, MIME_DEPTH_MAX, MIME_FIELD_BYTES_MAX, MIME_HEADERS_BYTES_MAX, MIME_PARTS_MAX, STORED_BLOCK_BYTES};

/// What is read of a line that may be a delimiter: it has a boundary, which stood in a field, between its dashes.
const MIME_DELIMITER_BYTES_READ: usize = MIME_FIELD_BYTES_MAX + 16;

/// A part that is attached: said to be so, or with a file name, or neither text nor said to be inline nor part of a report.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// File name, decoded.
    pub name: Option<Text>,
    /// Media type, `application/pdf`.
    pub media_type: Text,
    /// What follows the last dot of the file name; dots and spaces at its end do not count, as they do not for Windows.
    pub extension: Option<Text>,
}

/// What cannot be read is noted in the message.
pub(super) fn attachments(original: &Original) -> Vec<Attachment> {
    original.noting(walk(original.data()).map(|walk| walk.found))
}

/// Whether the header of a part, not that of the message itself, has octets outside US-ASCII (RFC 6532 §3.2).
pub(super) fn has_8bit_part_header(original: &Original) -> bool {
    original.noting(walk(original.data()).map(|walk| walk.has_8bit_part_header))
}

fn walk(data: &Data) -> Result<Walk<'_>, StoredError> {
    let mut walk = Walk { data, boundaries: Vec::new(), found: Vec::new(), parts: 0, header_bytes: 0, has_8bit_part_header: false };
    walk.part(0)?;
    let mut begin: usize = 0;
    while !walk.is_over() {
        let window = walk.window(begin, STORED_BLOCK_BYTES)?;
        // Positions only grow: a delimiter inside a header that was read already is found again here, and rightly so, for it ends
        // that part.
        for position in memmem::find_iter(&window, b"\n--") {
            if walk.is_over() {
                break;
            }
            let start = position.saturating_add(1);
            walk.delimiter(begin.saturating_add(start), window.get(start..).unwrap_or_default())?;
        }
        let end = begin.saturating_add(window.len());
        if end >= data.len() {
            break;
        }
        // What begins in the last octets is found in the next window.
        begin = end.saturating_sub(2);
    }
    Ok(walk)
}

struct Walk<'a> {
    data: &'a Data,
    /// From the outermost multipart to the innermost.
    boundaries: Vec<Box<[u8]>>,
    found: Vec<Attachment>,
    parts: usize,
    header_bytes: usize,
    has_8bit_part_header: bool,
}

impl Walk<'_> {
    /// Whether nothing more can be found, or may be looked for.
    fn is_over(&self) -> bool {
        self.boundaries.is_empty() || self.parts >= MIME_PARTS_MAX || self.header_bytes >= MIME_HEADERS_BYTES_MAX
    }

    /// All that follows `start` if it is in memory; else so much of it.
    fn window(&self, start: usize, length: usize) -> Result<Bytes, StoredError> {
        match self.data.in_memory() {
            Some(octets) => Ok(octets.slice(start.min(octets.len())..)),
            None => self.data.read(start..start.saturating_add(length)),
        }
    }

    /// Reads the header of the part that begins at `start`, and of what a forwarded message has inside.
    fn part(&mut self, start: usize) -> Result<(), StoredError> {
        let mut start = start;
        for _ in 0..MIME_DEPTH_MAX {
            self.parts = self.parts.saturating_add(1);
            let Some((bytes, header)) = self.header(start)? else {
                // A header beyond the limits is that of a part nobody can read; it has used up what may be read.
                self.header_bytes = MIME_HEADERS_BYTES_MAX;
                return Ok(());
            };
            self.header_bytes = self.header_bytes.saturating_add(header.body_offset);
            self.has_8bit_part_header |= start > 0 && !bytes.get(..header.end).unwrap_or_default().is_ascii();
            let content_type = field(&bytes, &header, b"Content-Type");
            let disposition = field(&bytes, &header, b"Content-Disposition");
            let is_message = self.add(content_type.as_ref(), disposition.as_ref());
            if let Some(boundary) = content_type.as_ref().filter(|content| content.ctype() == "multipart").and_then(boundary)
                && self.boundaries.len() < MIME_DEPTH_MAX
            {
                self.boundaries.push(boundary);
            }
            if !is_message {
                return Ok(());
            }
            start = start.saturating_add(header.body_offset);
        }
        Ok(())
    }

    /// The header that begins at `start`, and the octets that it is in; `None` if it is beyond the limits.
    fn header(&self, start: usize) -> Result<Option<(Bytes, Header)>, StoredError> {
        let rest = self.data.len().saturating_sub(start);
        let mut length = MIME_FIELD_BYTES_MAX;
        loop {
            let bytes = self.window(start, length)?;
            let Ok(header) = Header::scan(&bytes, 0) else { return Ok(None) };
            if bytes.len() >= rest || length > HEADER_BYTES_MAX || !header.is_cut_off(&bytes) {
                return Ok(Some((bytes, header)));
            }
            length = length.saturating_mul(8);
        }
    }

    /// Handles a line that begins with `--` at `start`, where `rest` begins: the begin or the end of a part, if a boundary follows
    /// (RFC 2046 §5.1.1).
    fn delimiter(&mut self, start: usize, rest: &[u8]) -> Result<(), StoredError> {
        let end = memchr::memchr(b'\n', rest).map(|end| end.saturating_add(1));
        let is_cut_off = end.is_none() && start.saturating_add(rest.len()) < self.data.len();
        let longer = if is_cut_off { self.data.read(start..start.saturating_add(MIME_DELIMITER_BYTES_READ))? } else { Bytes::new() };
        let line = if is_cut_off { &longer } else { rest.get(..end.unwrap_or(rest.len())).unwrap_or_default() };
        let line = line.get(..memchr::memchr(b'\n', line).map_or(line.len(), |end| end.saturating_add(1))).unwrap_or_default();
        let text = line.get(2..).unwrap_or_default().trim_ascii_end();
        let is_close = |boundary: &[u8]| text.strip_prefix(boundary) == Some(b"--");
        // The innermost multipart first; a delimiter of an outer one ends the inner ones.
        let Some(depth) = self.boundaries.iter().rposition(|boundary| text == &**boundary || is_close(boundary)) else { return Ok(()) };
        let begins_part = self.boundaries.get(depth).is_some_and(|boundary| text == &**boundary);
        let Some(blank) = self.blank_rest(start.saturating_add(line.len()), line.ends_with(b"\n"))? else { return Ok(()) };
        self.boundaries.truncate(if begins_part { depth.saturating_add(1) } else { depth });
        if begins_part {
            self.part(blank)?;
        }
        Ok(())
    }

    /// Where the line behind a delimiter begins, nothing but white space being between; `None` if there is something else.
    fn blank_rest(&self, from: usize, is_line_end: bool) -> Result<Option<usize>, StoredError> {
        if is_line_end {
            return Ok(Some(from));
        }
        let mut at = from;
        for block in self.data.blocks(from..self.data.len()) {
            let block = block?;
            let end = memchr::memchr(b'\n', &block);
            if !block.get(..end.unwrap_or(block.len())).unwrap_or_default().trim_ascii().is_empty() {
                return Ok(None);
            }
            if let Some(end) = end {
                return Ok(Some(at.saturating_add(end).saturating_add(1)));
            }
            at = at.saturating_add(block.len());
        }
        Ok(Some(at))
    }

    /// Records the part if it is an attachment; says whether it holds a message.
    fn add(&mut self, content_type: Option<&ContentType<'_>>, disposition: Option<&ContentType<'_>>) -> bool {
        let kind = content_type.map_or("text", ContentType::ctype);
        let subtype = content_type.and_then(ContentType::subtype).unwrap_or("plain");
        let name = disposition
            .and_then(|disposition| disposition.attribute("filename"))
            .or_else(|| content_type.and_then(|content| content.attribute("name")))
            .map(|name| super::view::decoded(name.as_bytes()))
            .filter(|name| !name.is_empty());
        let is_message = kind == "message" && matches!(subtype, "rfc822" | "global");
        // The other kinds of message are parts of reports (RFC 3464 §2.1, RFC 8098 §3.1): machines read them, nobody attached them.
        let is_file = is_message || !matches!(kind, "multipart" | "text" | "message");
        let is_inline = disposition.is_some_and(|disposition| disposition.ctype().eq_ignore_ascii_case("inline"));
        let is_attached = disposition.is_some_and(|disposition| disposition.ctype().eq_ignore_ascii_case("attachment"));
        if name.is_some() || is_attached || (is_file && !is_inline) {
            let extension = name.as_deref().and_then(extension).map(Text::new);
            let media_type = Text::new(format!("{kind}/{subtype}"));
            self.found.push(Attachment { name: name.map(Text::new), media_type, extension });
        }
        is_message
    }
}

fn field(bytes: &[u8], header: &Header, name: &[u8]) -> Option<ContentType<'static>> {
    let slice = |range: std::ops::Range<usize>| bytes.get(range).unwrap_or_default();
    let field = header.fields.iter().find(|field| slice(field.name.clone()).eq_ignore_ascii_case(name))?;
    let value = slice(field.value.clone());
    let value = with_line_end(value.get(..MIME_FIELD_BYTES_MAX).unwrap_or(value));
    match MessageStream::new(&value).parse_content_type().into_owned() {
        HeaderValue::ContentType(content) => Some(content),
        _ => None,
    }
}

fn boundary(content: &ContentType<'_>) -> Option<Box<[u8]>> {
    let boundary = content.attribute("boundary")?.trim_end();
    (!boundary.is_empty()).then(|| boundary.as_bytes().into())
}

fn extension(name: &str) -> Option<&str> {
    let (_, extension) = name.trim_end_matches(['.', ' ']).rsplit_once('.')?;
    (!extension.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::stored::tests::Kept;
    use super::*;
    use crate::message::Stored;

    fn found(message: &str) -> Vec<String> {
        let original = Original::parse(message.replace('\n', "\r\n").into()).expect("small");
        let text = |text: &Option<Text>| text.as_ref().map_or("-", Text::plain).to_owned();
        attachments(&original)
            .iter()
            .map(|attachment| format!("{} {} {}", text(&attachment.name), attachment.media_type.plain(), text(&attachment.extension)))
            .collect()
    }

    /// Wherever a block ends: within a delimiter, its blanks, a header.
    #[test]
    fn a_stored_message_is_walked_through_as_one_in_memory() {
        let blanks = " ".repeat(2 * MIME_DELIMITER_BYTES_READ);
        let parts = format!(
            "\r\n--b \t\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nx\r\n--b{blanks}x\r\n--b{blanks}\r\n\
             Content-Type: image/png; name=\u{e4}.png\r\nX-Long: {}\r\n\r\n--b--{blanks}x\r\n--bx\r\n--b\r\n\
             Content-Type: application/zip\r\n\r\n--b--\r\n--b\r\nContent-Type: application/gzip\r\n",
            "y".repeat(3 * MIME_FIELD_BYTES_MAX)
        );
        let begin = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n";
        for cut in (0..120).chain((120..parts.len()).step_by(997)) {
            let filler = "-".repeat(STORED_BLOCK_BYTES - begin.len() - cut);
            let whole = Bytes::from([begin, &filler, &parts].concat());
            let stored = Data::stored(whole.slice(..begin.len()), Arc::new(Kept(whole.clone())));
            let (stored, original) = (Original::of(stored).expect("small"), Original::parse(whole).expect("small"));
            let names = |original| attachments(original).iter().map(|found| found.media_type.plain().to_owned()).collect::<Vec<_>>();
            assert_eq!(names(&stored), names(&original), "{cut}");
            assert_eq!(names(&stored), ["application/pdf", "image/png", "application/zip"]);
            assert!(stored.has_8bit_part_header() && stored.unread().is_none());
        }
    }

    #[test]
    fn what_cannot_be_read_is_noted() {
        let head = Bytes::from_static(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n");
        let original = Original::of(Data::stored(head.clone(), Arc::new(Kept(head)))).expect("small");
        assert!(attachments(&original).is_empty() && original.unread().is_none());
        let lost = Original::of(Data::stored(Bytes::from_static(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"), Arc::new(Lost)));
        let lost = lost.expect("small");
        assert!(attachments(&lost).is_empty());
        assert_eq!(lost.unread(), Some(&StoredError::Failed("lost".into())));
    }

    /// Octets that are there no more.
    #[derive(Debug)]
    struct Lost;

    impl Stored for Lost {
        fn len(&self) -> usize {
            1_000_000
        }

        fn read(&self, _: usize, _: usize) -> Result<Bytes, StoredError> {
            Err(StoredError::Failed("lost".into()))
        }
    }

    #[test]
    fn only_the_headers_of_parts_count_as_part_headers() {
        for (message, expected) in [
            ("Subject: ü\n\nü\n", false),
            ("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nü\n--b--\n", false),
            ("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; name=ü.txt\n\nx\n--b--\n", true),
            ("Content-Type: message/rfc822\n\nSubject: ü\n\nx\n", true),
        ] {
            let original = Original::parse(message.replace('\n', "\r\n").into()).expect("small");
            assert_eq!(has_8bit_part_header(&original), expected, "{message}");
        }
    }

    #[test]
    fn attachments_are_found_at_every_depth() {
        let message = "Content-Type: multipart/mixed; boundary=\"o\"

preamble
--o
Content-Type: multipart/alternative; boundary=i

--i

plain
--i
Content-Type: text/html

--i--
--o
Content-Type: application/pdf; name=\"a.PDF\"

--ox
--o
Content-Type: message/rfc822

Subject: forwarded
Content-Type: multipart/mixed; boundary=n

--n
Content-Type: application/octet-stream
Content-Disposition: attachment; filename=\"invoice.pdf.exe. \"

--n--
--o
Content-Type: image/png
Content-Disposition: inline

--o
Content-Disposition: attachment; filename*=UTF-8''gr%C3%BC%C3%9Fe.tar.gz

--o
Content-Type: text/plain; name=\"=?UTF-8?Q?=C3=A4.txt?=\"

--o--
--o
Content-Type: application/zip

epilogue
";
        assert_eq!(
            found(message),
            [
                "a.PDF application/pdf PDF",
                "- message/rfc822 -",
                "invoice.pdf.exe. application/octet-stream exe",
                "grüße.tar.gz text/plain gz",
                "ä.txt text/plain txt",
            ]
        );
    }

    #[test]
    fn the_message_itself_can_be_the_attachment() {
        assert_eq!(found("Content-Type: application/pdf\n\n%PDF"), ["- application/pdf -"]);
        assert_eq!(found("Content-Type: text/html\n\n--x\n"), [""; 0]);
        assert_eq!(found("no header"), [""; 0]);
        assert_eq!(found("Content-Type: multipart/mixed\n\n--\nContent-Type: application/pdf\n\n"), [""; 0]);
    }

    #[test]
    fn a_bounce_carries_the_returned_message_only() {
        let message = "Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

Sorry.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; x.example
--b
Content-Type: message/rfc822

Subject: returned

--b--
";
        assert_eq!(found(message), ["- message/rfc822 -"]);
    }

    #[test]
    fn parts_beyond_the_limit_are_not_looked_at() {
        let part = "--b\nContent-Type: application/pdf\n\n";
        let message = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", part.repeat(MIME_PARTS_MAX + 10));
        assert_eq!(found(&message).len(), MIME_PARTS_MAX - 1);
    }
}
