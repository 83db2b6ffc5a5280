//! Changes of the header, kept apart from the received bytes so that groups of recipients can differ without copying a message.
//!
//! Nothing below the header is ever touched, and of the header nothing but the fields that a rule names: signatures over the
//! rest stay valid.

use bytes::Bytes;

use super::encode;
use super::{Content, Field, Original};

const LINE_CHARS: usize = 78;

/// Changes in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Edits {
    /// Whole fields, `Name: value CRLF`, in the order of addition; the last one stands on top.
    pub added: Vec<Bytes>,
    /// Positions of original fields that are gone, ascending.
    pub removed: Vec<usize>,
    /// Original fields with another text, ascending by position.
    pub replaced: Vec<(usize, Bytes)>,
}

impl Edits {
    /// The removal of the fields that are not believed ([`Original::disbelieving`]); no rule is asked for it.
    pub fn of_disbelieved(original: &Original) -> Self {
        Self { removed: original.disbelieved().to_vec(), ..Self::default() }
    }

    /// Whether the message is still as it was received.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.replaced.is_empty()
    }

    /// Puts a field on top. What is not US-ASCII is encoded (RFC 2047), lines are folded, and control characters become
    /// spaces, so that nothing of name or value can begin a field of its own.
    pub fn add_header(&mut self, name: &str, value: &str) {
        if let Some(field) = encode::field(name, value) {
            self.added.push(field.into());
        }
    }

    /// Removes all fields of this name, those that earlier edits added included.
    pub fn remove_header(&mut self, original: &Original, name: &str) {
        let is_named = |field: &[u8]| field.eq_ignore_ascii_case(name.as_bytes());
        self.added.retain(|field| !is_named(split(field).0));
        for (position, field) in original.fields().iter().enumerate() {
            if is_named(original.name(field))
                && let Err(place) = self.removed.binary_search(&position)
            {
                self.removed.insert(place, position);
            }
        }
        let removed = &self.removed;
        self.replaced.retain(|(position, _)| removed.binary_search(position).is_err());
    }

    /// Puts `text` before every Subject that does not begin with it, and adds a Subject where there is none. What stood there
    /// stays byte for byte behind it.
    pub fn prefix_subject(&mut self, original: &Original, text: &str) {
        let text = &encode::clean(text);
        let mut found = false;
        for field in &mut self.added {
            let (name, value) = split(field);
            if name.eq_ignore_ascii_case(b"Subject") {
                found = true;
                if let Some(new) = prefixed(name, value, text) {
                    *field = new;
                }
            }
        }
        for (position, field) in original.fields().iter().enumerate() {
            if !original.name(field).eq_ignore_ascii_case(b"Subject") || self.removed.binary_search(&position).is_ok() {
                continue;
            }
            found = true;
            let place = self.replaced.binary_search_by_key(&position, |(position, _)| *position);
            let (name, value) = self.current(original, position, field);
            if let Some(new) = prefixed(name, value, text) {
                match place {
                    Ok(place) => self.replaced.iter_mut().skip(place).take(1).for_each(|(_, old)| *old = new.clone()),
                    Err(place) => self.replaced.insert(place, (position, new)),
                }
            }
        }
        if !found {
            self.added.extend(prefixed(b"Subject", b"", text));
        }
    }

    /// The header fields as they now stand, from the top: name, and value with folds and line end.
    pub fn fields<'a>(&'a self, original: &'a Original) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let kept = original.fields().iter().enumerate().filter(|(position, _)| self.removed.binary_search(position).is_err());
        let added = self.added.iter().rev().map(|field| split(field));
        added.chain(kept.map(|(position, field)| self.current(original, position, field)))
    }

    /// The message with its changes: `trace` on top, then the added fields, newest first, then what is left of the original as
    /// slices of its own bytes. Unchanged, that is one slice.
    pub fn render(&self, original: &Original, trace: Bytes) -> Content {
        let mut content = Content::default();
        content.push(trace);
        self.added.iter().rev().for_each(|field| content.push(field.clone()));
        let mut keep = |from: usize, to: usize, instead: Bytes| {
            if from < to {
                content.push_range(original.data(), from..to);
            }
            content.push(instead);
        };
        let mut kept_from = 0;
        if !self.removed.is_empty() || !self.replaced.is_empty() {
            for (position, field) in original.fields().iter().enumerate() {
                let is_removed = self.removed.binary_search(&position).is_ok();
                let replacement = self.replacement(position);
                if is_removed || replacement.is_some() {
                    keep(kept_from, field.whole.start, replacement.cloned().unwrap_or_default());
                    kept_from = field.whole.end;
                }
            }
        }
        if original.lacks_separator() {
            // Without it the first line of the body would be read as part of the header that now stands above it.
            keep(kept_from, original.body_offset(), Bytes::from_static(b"\r\n"));
            kept_from = original.body_offset();
        }
        keep(kept_from, original.len(), Bytes::new());
        content
    }

    fn current<'a>(&'a self, original: &'a Original, position: usize, field: &Field) -> (&'a [u8], &'a [u8]) {
        match self.replacement(position) {
            Some(text) => split(text),
            None => (original.name(field), original.value(field)),
        }
    }

    fn replacement(&self, position: usize) -> Option<&Bytes> {
        let place = self.replaced.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        self.replaced.get(place).map(|(_, text)| text)
    }
}

/// Name and value of a field that the gateway wrote.
fn split(field: &[u8]) -> (&[u8], &[u8]) {
    let colon = memchr::memchr(b':', field).unwrap_or(field.len());
    let (name, value) = field.split_at(colon);
    (name, value.get(1..).unwrap_or_default())
}

/// The Subject with `text` before its value; `None` if it stands there already.
fn prefixed(name: &[u8], value: &[u8], text: &str) -> Option<Bytes> {
    let rest = value.trim_ascii();
    if text.trim().is_empty() || super::view::decoded(value).starts_with(text.trim()) {
        return None;
    }
    let prefix = encoded_prefix(text, rest);
    let first_line = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let mut field = [name, b": "].concat();
    let length = field.len().saturating_add(prefix.len()).saturating_add(first_line);
    match prefix.strip_suffix(' ') {
        // The white space of the prefix becomes that of a fold.
        Some(prefix) if length > LINE_CHARS && !rest.is_empty() => {
            field.extend_from_slice(prefix.trim_end().as_bytes());
            field.extend_from_slice(b"\r\n ");
        }
        _ => field.extend_from_slice(prefix.as_bytes()),
    }
    field.extend_from_slice(rest);
    while field.last() == Some(&b' ') {
        field.pop();
    }
    field.extend_from_slice(b"\r\n");
    Some(field.into())
}

/// The prefix as it goes into the field. An encoded-word must be apart from its neighbours by white space (RFC 2047 §5), which
/// a reader drops between two of them (§6.2) and shows before plain text.
fn encoded_prefix(text: &str, rest: &[u8]) -> String {
    let text = text.trim_start();
    let rest_is_encoded = rest.starts_with(b"=?");
    if text.is_ascii() && (text.ends_with(' ') || !rest_is_encoded) {
        return text.to_owned();
    }
    let shown = if rest_is_encoded { text } else { text.trim_end() };
    let mut words = encode::encoded_words(shown).join("\r\n ");
    words.push(' ');
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MESSAGE: &str = "From: a@x.example\r\nX-A: 1\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n an alle\r\nx-a: 2\r\n\r\nBody\r\n";

    fn original(text: &str) -> Original {
        Original::parse(Bytes::copy_from_slice(text.as_bytes())).expect("small")
    }

    fn rendered(edits: &Edits, original: &Original) -> String {
        String::from_utf8(edits.render(original, Bytes::from_static(b"T: t\r\n")).to_vec().unwrap()).expect("text")
    }

    #[test]
    fn an_unchanged_message_is_the_trace_and_one_slice() {
        let original = original(MESSAGE);
        let content = Edits::default().render(&original, Bytes::from_static(b"T: t\r\n"));
        assert_eq!(content.pieces().len(), 2);
        assert_eq!(content.pieces()[1].in_memory().unwrap().as_ptr(), original.data().head().as_ptr());
        assert_eq!(content.len(), content.to_vec().unwrap().len());
    }

    #[test]
    fn the_newest_field_stands_on_top_and_removal_takes_all_of_a_name() {
        let original = original(MESSAGE);
        let mut edits = Edits::default();
        edits.add_header("X-One", "1");
        edits.add_header("X-A", "3");
        assert!(rendered(&edits, &original).starts_with("T: t\r\nX-A: 3\r\nX-One: 1\r\nFrom: a@x.example\r\nX-A: 1\r\n"));
        edits.remove_header(&original, "x-A");
        edits.remove_header(&original, "x-A");
        assert_eq!(
            rendered(&edits, &original),
            "T: t\r\nX-One: 1\r\nFrom: a@x.example\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n an alle\r\n\r\nBody\r\n"
        );
        edits.add_header("x-a", "4");
        assert!(rendered(&edits, &original).contains("x-a: 4\r\n"));
    }

    #[test]
    fn a_subject_is_prefixed_once_and_keeps_its_bytes() {
        for (subject, text, expected) in [
            ("Subject: hello\r\n", "[EXT] ", "Subject: [EXT] hello\r\n"),
            ("subject:hello\r\n", "[EXT] ", "subject: [EXT] hello\r\n"),
            ("Subject: [EXT] hello\r\n", "[EXT] ", "Subject: [EXT] hello\r\n"),
            ("Subject: Re: [EXT] hello\r\n", "[EXT] ", "Subject: [EXT] Re: [EXT] hello\r\n"),
            ("Subject:\r\n", "[EXT] ", "Subject: [EXT]\r\n"),
            ("Subject: =?UTF-8?Q?=C3=84?=\r\n b\r\n", "[EXT] ", "Subject: [EXT] =?UTF-8?Q?=C3=84?=\r\n b\r\n"),
            ("Subject: =?UTF-8?Q?[EXT]_=C3=84?=\r\n", "[EXT] ", "Subject: =?UTF-8?Q?[EXT]_=C3=84?=\r\n"),
            ("Subject: =?UTF-8?Q?=C3=84?=\r\n", "EXT", "Subject: =?UTF-8?Q?EXT?= =?UTF-8?Q?=C3=84?=\r\n"),
            ("Subject: =?UTF-8?Q?=C3=84?=\r\n", "Ö ", "Subject: =?UTF-8?Q?=C3=96_?= =?UTF-8?Q?=C3=84?=\r\n"),
            ("Subject: plain\r\n", "Ö ", "Subject: =?UTF-8?Q?=C3=96?= plain\r\n"),
            ("Subject: a\r\n", "x\r\nBcc: b@c ", "Subject: x  Bcc: b@c a\r\n"),
            ("A: b\r\n", "[EXT] ", "Subject: [EXT]\r\nA: b\r\n"),
        ] {
            let original = original(&format!("{subject}\r\nBody"));
            let mut edits = Edits::default();
            edits.prefix_subject(&original, text);
            let once = rendered(&edits, &original);
            assert_eq!(once, format!("T: t\r\n{expected}\r\nBody"), "{subject:?} {text:?}");
            edits.prefix_subject(&original, text);
            assert_eq!(rendered(&edits, &original), once, "twice");
        }
    }

    #[test]
    fn prefixes_add_up_and_a_long_subject_is_folded_at_the_prefix() {
        let original = original(&format!("Subject: {}\r\n\r\n", "x".repeat(75)));
        let mut edits = Edits::default();
        edits.prefix_subject(&original, "[EXT] ");
        assert_eq!(rendered(&edits, &original), format!("T: t\r\nSubject: [EXT]\r\n {}\r\n\r\n", "x".repeat(75)));
        edits.prefix_subject(&original, "[2] ");
        assert!(rendered(&edits, &original).starts_with("T: t\r\nSubject: [2] [EXT]\r\n xxx"));
    }

    #[test]
    fn a_body_without_a_header_is_kept_apart_from_what_is_put_above_it() {
        let mut edits = Edits::default();
        edits.add_header("X-A", "1");
        assert_eq!(rendered(&edits, &original("no header here\r\n")), "T: t\r\nX-A: 1\r\n\r\nno header here\r\n");
        assert_eq!(rendered(&edits, &original("A: b\r\nno field\r\n")), "T: t\r\nX-A: 1\r\nA: b\r\n\r\nno field\r\n");
    }

    #[test]
    fn values_are_folded_and_encoded() {
        let mut edits = Edits::default();
        edits.add_header("X-Long", &"word ".repeat(40));
        edits.add_header("X-Text", "plain Grüße und Küsse plain");
        edits.add_header("X-\r\nBcc: a", "b\r\nBcc: c\n\rd\u{2028}e\0");
        edits.add_header("\r\n", "nothing");
        let text: Vec<_> = edits.added.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
        assert_eq!(text.len(), 3);
        assert!(text[0].lines().all(|line| line.len() <= 78) && text[0].matches("word").count() == 40);
        assert_eq!(text[1], "X-Text: plain =?UTF-8?Q?Gr=C3=BC=C3=9Fe_und_K=C3=BCsse?= plain\r\n");
        assert_eq!(text[2], "X-Bcca: b Bcc: c d e\r\n");
    }

    proptest! {
        #[test]
        fn nothing_gets_out_of_its_field(name in ".{0,20}", value in ".{0,1200}") {
            let mut edits = Edits::default();
            edits.add_header(&name, &value);
            for field in &edits.added {
                prop_assert!(field.is_ascii() && field.ends_with(b"\r\n"));
                let text = String::from_utf8_lossy(field);
                for (number, line) in text.trim_end_matches("\r\n").split("\r\n").enumerate() {
                    prop_assert!(line.len() <= 998 && !line.contains(['\r', '\n', '\0']));
                    prop_assert!(number == 0 || (line.starts_with(' ') && !line.trim().is_empty()));
                }
                let read = Original::parse(field.clone()).expect("small");
                prop_assert_eq!(read.fields().len(), 1);
                let wanted = encode::clean(&value).split_whitespace().collect::<Vec<_>>().join(" ");
                if !wanted.contains("=?") {
                    prop_assert_eq!(super::super::view::decoded(read.value(&read.fields()[0])), wanted);
                }
            }
        }

        #[test]
        fn the_body_is_identical_whatever_was_edited(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..300),
                "((Subject|X-A|From)( )?:[ -~]{0,20}\r\n( [a-z]{1,5}\r\n)?){0,6}(\r\n)?[a-zA-Z:\r\n]{0,60}".prop_map(String::into_bytes),
            ],
            edits_made in proptest::collection::vec((0..3_u8, "(X-A|Subject|From|X-B)", "[ -ü]{0,12}"), 0..6),
        ) {
            let original = Original::parse(bytes.into()).expect("small");
            let mut edits = Edits::default();
            for (kind, name, text) in &edits_made {
                match kind {
                    0 => edits.add_header(name, text),
                    1 => edits.remove_header(&original, name),
                    _ => edits.prefix_subject(&original, text),
                }
            }
            let out = edits.render(&original, Bytes::from_static(b"T: t\r\n")).to_vec().unwrap();
            let body = original.slice(original.body_offset()..original.len());
            prop_assert!(out.ends_with(body));
            let again = Original::parse(out.clone().into()).expect("small");
            prop_assert_eq!(again.slice(again.body_offset()..again.len()), body);
            prop_assert_eq!(again.fields().len(), 1 + edits.fields(&original).count());
        }
    }
}
