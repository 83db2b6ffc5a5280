//! The message of a test: a file that must be there, or one made of what the test says.

use std::path::Path;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::config::diagnostic::{Code, Sink};
use crate::config::files;
use crate::config::formats::clip;
use crate::config::model::rule_tests as model;
use crate::config::rule_tests::{GivenMessage, MadeMessage};
use crate::config::tree::Node;
use crate::limits::TEST_MESSAGE_BYTES_MAX;

/// Characters of a line of base64 (RFC 2045 §6.8).
const BASE64_LINE_CHARS: usize = 76;

/// The message; `None` when something is wrong, which has been reported.
pub(super) fn of(model: model::GivenMessage, node: &Node, folder: &Path, sink: &mut Sink) -> Option<GivenMessage> {
    match model {
        model::GivenMessage::File(path) => file(&folder.join(path), node, sink),
        model::GivenMessage::Made(made) => made_of(*made, node, sink).map(|made| GivenMessage::Made(Arc::new(made))),
    }
}

/// The file is read when the test runs; that it can be is looked at here.
fn file(path: &Path, node: &Node, sink: &mut Sink) -> Option<GivenMessage> {
    let shown = files::shown(path);
    let is_too_large = match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => metadata.len() > TEST_MESSAGE_BYTES_MAX,
        Ok(_) => {
            sink.error(Code::Unreadable, node.span.clone(), format!("`{}` is not a file", clip(&shown.to_string_lossy())));
            return None;
        }
        Err(error) => {
            let message = format!("`{}` cannot be read: {}", clip(&shown.to_string_lossy()), files::why(&error));
            sink.error(Code::Unreadable, node.span.clone(), message).help("a relative path begins at the folder of this file");
            return None;
        }
    };
    if is_too_large {
        let message = format!("`{}` is larger than {} MiB", clip(&shown.to_string_lossy()), TEST_MESSAGE_BYTES_MAX >> 20);
        sink.error(Code::TooLarge, node.span.clone(), message);
        return None;
    }
    Some(GivenMessage::File(path.to_owned()))
}

fn made_of(model: model::MadeMessage, node: &Node, sink: &mut Sink) -> Option<MadeMessage> {
    let model::MadeMessage { from, to, cc, subject, headers, body, attachments, size } = model;
    if size.is_some_and(|size| size.0 > TEST_MESSAGE_BYTES_MAX) {
        let span = node.get("size").map_or_else(|| node.head(), |size| size.span.clone());
        sink.error(Code::Size, span, format!("a message of a test has at most {} MiB", TEST_MESSAGE_BYTES_MAX >> 20));
        return None;
    }
    let named = [("From", from), ("To", to), ("Cc", cc), ("Subject", subject)];
    let mut all: Vec<(String, String)> = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.0))).collect();
    // In the order of the file, which serde's map has lost.
    let written = node.get("headers").map(Node::entries).unwrap_or_default();
    let mut headers = headers.map(|headers| headers.0).unwrap_or_default();
    for entry in written {
        let values = headers.remove(&entry.key).map(|values| values.0).unwrap_or_default();
        for (value, at) in values.into_iter().zip(entry.value.one_or_many()) {
            if value.contains(['\r', '\n', '\0']) {
                sink.error(Code::ControlCharacter, at.span.clone(), "a header field of a test is one line");
                return None;
            }
            all.push((entry.key.clone(), value));
        }
    }
    let attachments = attachments.unwrap_or_default().into_iter().map(|attachment| {
        let media_type = attachment.media_type.map_or_else(|| "application/octet-stream".to_owned(), |line| line.0);
        (attachment.name.0, media_type, attachment.content.unwrap_or_default())
    });
    let attachments = attachments.collect();
    Some(MadeMessage { headers: all, body: body.unwrap_or_default(), attachments, size: size.map(|size| size.0) })
}

impl MadeMessage {
    /// The message with CRLF behind every line, filled up to its size.
    pub(in crate::config) fn write(&self) -> Vec<u8> {
        let mut out = String::new();
        let mut line = |text: &str| {
            out.push_str(text);
            out.push_str("\r\n");
        };
        self.headers.iter().for_each(|(name, value)| line(&format!("{name}: {value}")));
        let boundary = (!self.attachments.is_empty()).then(|| self.boundary());
        if let Some(boundary) = &boundary {
            line("MIME-Version: 1.0");
            line(&format!("Content-Type: multipart/mixed; boundary=\"{boundary}\""));
            line("");
            line(&format!("--{boundary}"));
            line("Content-Type: text/plain; charset=utf-8");
        }
        line("");
        self.body.lines().for_each(&mut line);
        if let Some(boundary) = &boundary {
            for (name, media_type, content) in &self.attachments {
                line(&format!("--{boundary}"));
                line(&format!("Content-Type: {media_type}"));
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                line(&format!("Content-Disposition: attachment; filename=\"{name}\""));
                line("Content-Transfer-Encoding: base64");
                line("");
                let encoded = BASE64_STANDARD.encode(content);
                let mut rest = encoded.as_str();
                while !rest.is_empty() {
                    let (first, others) = rest.split_at(rest.len().min(BASE64_LINE_CHARS));
                    line(first);
                    rest = others;
                }
            }
            line(&format!("--{boundary}--"));
        }
        let mut bytes = out.into_bytes();
        fill(&mut bytes, self.size);
        bytes
    }

    /// One that does not stand in the text; it cannot stand in base64.
    fn boundary(&self) -> String {
        let mut number = 0_u32;
        loop {
            let boundary = format!("=_part_{number}");
            if !self.body.contains(&boundary) {
                return boundary;
            }
            number = number.wrapping_add(1);
        }
    }
}

/// Lines of `x`, the last of them as long as it must be. A message that is larger already stays as it is.
fn fill(bytes: &mut Vec<u8>, size: Option<u64>) {
    const LINE: usize = 72;
    let size = size.and_then(|size| usize::try_from(size).ok()).unwrap_or(0);
    bytes.reserve(size.saturating_sub(bytes.len()));
    loop {
        let room = size.saturating_sub(bytes.len());
        let length = match room {
            // No line has fewer octets than its end: one more fits no line.
            0 | 1 => return,
            // What would be left is not to be one octet.
            room if room == LINE.saturating_add(3) => LINE.saturating_sub(1),
            room => room.saturating_sub(2).min(LINE),
        };
        bytes.resize(bytes.len().saturating_add(length), b'x');
        bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Original, View};

    fn text(made: &MadeMessage) -> String {
        String::from_utf8(made.write()).unwrap()
    }

    #[test]
    fn a_message_has_what_is_said_and_nothing_else() {
        let made = MadeMessage {
            headers: vec![("From".into(), "a@b.example".into()), ("X-Two".into(), "one".into()), ("X-Two".into(), "two".into())],
            body: "first\nsecond\r\n".into(),
            ..MadeMessage::default()
        };
        assert_eq!(text(&made), "From: a@b.example\r\nX-Two: one\r\nX-Two: two\r\n\r\nfirst\r\nsecond\r\n");
        assert_eq!(text(&MadeMessage::default()), "\r\n");
    }

    #[test]
    fn attachments_are_found_again() {
        let made = MadeMessage {
            body: "--=_part_0\n".into(),
            attachments: vec![
                ("a \"b\".exe".into(), "application/x-thing".into(), "x".repeat(100)),
                ("ü.pdf".into(), "application/pdf".into(), String::new()),
            ],
            ..MadeMessage::default()
        };
        let original = Original::parse(made.write().into()).unwrap();
        let view = View::new(&original);
        let found: Vec<_> = view
            .attachments()
            .iter()
            .map(|found| (found.name.as_ref().unwrap().plain().to_owned(), found.media_type.plain().to_owned()))
            .collect();
        assert_eq!(found, [("a \"b\".exe".into(), "application/x-thing".into()), ("ü.pdf".to_owned(), "application/pdf".to_owned())]);
    }

    #[test]
    fn a_message_is_filled_up_to_its_size() {
        for size in 100..400 {
            let made = MadeMessage { body: "text".into(), size: Some(size), ..MadeMessage::default() };
            let written = made.write();
            assert_eq!(written.len(), usize::try_from(size).unwrap());
            assert!(written.ends_with(b"\r\n"));
        }
        assert_eq!(MadeMessage { body: "text".into(), size: Some(3), ..MadeMessage::default() }.write(), b"\r\ntext\r\n");
    }
}
