//! The attachments of a message, found by walking the MIME structure without decoding a body.
//!
//! Only the headers of parts are read, and no more than [`MIME_PARTS_MAX`] of them, so that the cost is one search through the
//! message however it is built.

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};
use memchr::memmem;

use super::original::Header;
use super::view::with_line_end;
use super::{Original, Text};
use crate::limits::{MIME_DEPTH_MAX, MIME_FIELD_BYTES_MAX, MIME_HEADERS_BYTES_MAX, MIME_PARTS_MAX};

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

pub(super) fn attachments(original: &Original) -> Vec<Attachment> {
    walk(original).found
}

/// Whether the header of a part, not that of the message itself, has octets outside US-ASCII (RFC 6532 §3.2).
pub(super) fn has_8bit_part_header(original: &Original) -> bool {
    walk(original).has_8bit_part_header
}

fn walk(original: &Original) -> Walk<'_> {
    let mut walk =
        Walk { bytes: original.bytes(), boundaries: Vec::new(), found: Vec::new(), parts: 0, header_bytes: 0, has_8bit_part_header: false };
    walk.part(0);
    let mut delimiters = memmem::find_iter(original.bytes(), b"\n--");
    // Positions only grow: a delimiter inside a header that was read already is found again here, and rightly so, for it ends
    // that part.
    while !walk.boundaries.is_empty()
        && walk.parts < MIME_PARTS_MAX
        && walk.header_bytes < MIME_HEADERS_BYTES_MAX
        && let Some(position) = delimiters.next()
    {
        walk.delimiter(position.saturating_add(1));
    }
    walk
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// From the outermost multipart to the innermost.
    boundaries: Vec<Box<[u8]>>,
    found: Vec<Attachment>,
    parts: usize,
    header_bytes: usize,
    has_8bit_part_header: bool,
}

impl Walk<'_> {
    /// Reads the header of the part that begins at `start`, and of what a forwarded message has inside.
    fn part(&mut self, start: usize) {
        let mut start = start;
        for _ in 0..MIME_DEPTH_MAX {
            self.parts = self.parts.saturating_add(1);
            let Ok(header) = Header::scan(self.bytes, start) else {
                // A header beyond the limits is that of a part nobody can read; it has used up what may be read.
                self.header_bytes = MIME_HEADERS_BYTES_MAX;
                return;
            };
            self.header_bytes = self.header_bytes.saturating_add(header.body_offset.saturating_sub(start));
            self.has_8bit_part_header |= start > 0 && !self.bytes.get(start..header.end).unwrap_or_default().is_ascii();
            let content_type = self.field(&header, b"Content-Type");
            let disposition = self.field(&header, b"Content-Disposition");
            let is_message = self.add(content_type.as_ref(), disposition.as_ref());
            if let Some(boundary) = content_type.as_ref().filter(|content| content.ctype() == "multipart").and_then(boundary)
                && self.boundaries.len() < MIME_DEPTH_MAX
            {
                self.boundaries.push(boundary);
            }
            if !is_message {
                return;
            }
            start = header.body_offset;
        }
    }

    /// Handles a line that begins with `--` at `start`: the begin or the end of a part, if a boundary follows (RFC 2046 §5.1.1).
    fn delimiter(&mut self, start: usize) {
        let line = self.bytes.get(start..).unwrap_or_default();
        let line = line.get(..memchr::memchr(b'\n', line).map_or(line.len(), |end| end.saturating_add(1))).unwrap_or_default();
        let text = line.get(2..).unwrap_or_default().trim_ascii_end();
        let is_close = |boundary: &[u8]| text.strip_prefix(boundary) == Some(b"--");
        // The innermost multipart first; a delimiter of an outer one ends the inner ones.
        let Some(depth) = self.boundaries.iter().rposition(|boundary| text == &**boundary || is_close(boundary)) else { return };
        let begins_part = self.boundaries.get(depth).is_some_and(|boundary| text == &**boundary);
        self.boundaries.truncate(if begins_part { depth.saturating_add(1) } else { depth });
        if begins_part {
            self.part(start.saturating_add(line.len()));
        }
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

    fn field(&self, header: &Header, name: &[u8]) -> Option<ContentType<'static>> {
        let slice = |range: std::ops::Range<usize>| self.bytes.get(range).unwrap_or_default();
        let field = header.fields.iter().find(|field| slice(field.name.clone()).eq_ignore_ascii_case(name))?;
        let value = slice(field.value.clone());
        let value = with_line_end(value.get(..MIME_FIELD_BYTES_MAX).unwrap_or(value));
        match MessageStream::new(&value).parse_content_type().into_owned() {
            HeaderValue::ContentType(content) => Some(content),
            _ => None,
        }
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
    use super::*;

    fn found(message: &str) -> Vec<String> {
        let original = Original::parse(message.replace('\n', "\r\n").into()).expect("small");
        let text = |text: &Option<Text>| text.as_ref().map_or("-", Text::plain).to_owned();
        attachments(&original)
            .iter()
            .map(|attachment| format!("{} {} {}", text(&attachment.name), attachment.media_type.plain(), text(&attachment.extension)))
            .collect()
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
