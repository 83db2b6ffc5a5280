//! JSON (RFC 8259) as a tree in which every value knows its place: one document, or several one after the other.

use super::diagnostic::{Code, Sink};
use super::foreign::{too_deep, too_many_values};
use super::source::Span;
use super::tree::{Entry, Node, Value};
use crate::limits::{FOREIGN_DEPTH_MAX, FOREIGN_VALUES_MAX};

/// Reads all documents of the sink's file; none when there is a mistake, which is in the sink.
pub(super) fn documents(sink: &mut Sink) -> Vec<Node> {
    let source = sink.source();
    let mut reader = Reader { text: &source.text, at: 0, values: 0, doubled: Vec::new() };
    if source.text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    let mut documents = Vec::new();
    let stopped = loop {
        reader.space();
        if reader.peek().is_none() {
            break None;
        }
        match reader.value(0) {
            Ok(node) => documents.push(node),
            Err(stop) => break Some(stop),
        }
    };
    for (key, span, first) in std::mem::take(&mut reader.doubled) {
        sink.error(Code::DuplicateKey, span, format!("the key `{}` stands twice in one object", super::formats::clip(&key)))
            .note(first, "it is here first");
    }
    let at = reader.at;
    match stopped {
        None if !sink.has_errors() => return documents,
        None => {}
        Some(Stop::Values) => too_many_values(sink, at),
        Some(Stop::Depth) => too_deep(sink, at),
        Some(Stop::Syntax(why)) => {
            let end = source.text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at.saturating_add(c.len_utf8()));
            sink.error(Code::Syntax, at..end, format!("not valid JSON: {why}"));
        }
    }
    Vec::new()
}

/// Why reading ended.
enum Stop {
    Syntax(&'static str),
    Depth,
    Values,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    values: usize,
    /// Keys that stand twice, and where they were first.
    doubled: Vec<(String, Span, Span)>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.skip(1);
        }
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.skip(1);
        }
        is_next
    }

    fn value(&mut self, depth: usize) -> Result<Node, Stop> {
        if depth > FOREIGN_DEPTH_MAX {
            return Err(Stop::Depth);
        }
        self.values = self.values.saturating_add(1);
        if self.values > FOREIGN_VALUES_MAX {
            return Err(Stop::Values);
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
            None => return Err(Stop::Syntax("the file ends in the middle of it")),
        };
        Ok(Node { span: start..self.at, value })
    }

    fn object(&mut self, depth: usize) -> Result<Value, Stop> {
        self.skip(1);
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = std::collections::HashMap::new();
        self.space();
        if self.takes(b'}') {
            return Ok(Value::Mapping(entries));
        }
        loop {
            self.space();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(Stop::Syntax("a name in quotes is expected here"));
            }
            let key = self.string()?;
            let key_span = start..self.at;
            if let Some(first) = seen.insert(key.clone(), key_span.clone()) {
                self.doubled.push((key.clone(), key_span.clone(), first));
            }
            self.space();
            if !self.takes(b':') {
                return Err(Stop::Syntax("a colon is expected here"));
            }
            self.space();
            let value = self.value(depth.saturating_add(1))?;
            entries.push(Entry { key, key_span, value });
            self.space();
            if self.takes(b'}') {
                return Ok(Value::Mapping(entries));
            }
            if !self.takes(b',') {
                return Err(Stop::Syntax("a comma or `}` is expected here"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Stop> {
        self.skip(1);
        let mut items = Vec::new();
        self.space();
        if self.takes(b']') {
            return Ok(Value::Sequence(items));
        }
        loop {
            self.space();
            items.push(self.value(depth.saturating_add(1))?);
            self.space();
            if self.takes(b']') {
                return Ok(Value::Sequence(items));
            }
            if !self.takes(b',') {
                return Err(Stop::Syntax("a comma or `]` is expected here"));
            }
        }
    }

    /// A string's end is found here; what is in it is read by serde_json, which knows all escapes.
    fn string(&mut self) -> Result<String, Stop> {
        let start = self.at;
        self.skip(1);
        loop {
            match self.peek() {
                Some(b'"') => break self.skip(1),
                Some(b'\\') => self.skip(2),
                Some(0..0x20) => return Err(Stop::Syntax("a line break or control character in a text")),
                Some(_) => self.skip(1),
                None => return Err(Stop::Syntax("the file ends in the middle of a text")),
            }
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(written).map_err(|_| {
            self.at = start;
            Stop::Syntax("a backslash with something behind it that JSON does not know")
        })
    }

    fn number(&mut self) -> Result<Value, Stop> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.bytes().take_while(|b| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
        let written = rest.get(..length).unwrap_or_default();
        let number: serde_json::Number = serde_json::from_str(written).map_err(|_| Stop::Syntax("this is no number"))?;
        self.skip(length);
        let value = number.as_i64().map(Value::Integer).or_else(|| number.as_f64().map(Value::Float));
        value.ok_or(Stop::Syntax("this number is too large"))
    }

    fn word(&mut self) -> Result<Value, Stop> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for (word, value) in [("true", Value::Boolean(true)), ("false", Value::Boolean(false)), ("null", Value::Null)] {
            if rest.starts_with(word) {
                self.skip(word.len());
                return Ok(value);
            }
        }
        Err(Stop::Syntax("a value is expected here"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::config::source::Source;

    use super::*;

    fn read(text: &str) -> (Vec<Node>, Option<Code>) {
        let mut sink = Sink::new(Source::new("x.json".into(), text.into()));
        let documents = documents(&mut sink);
        (documents, crate::config::Report::new([sink]).diagnostics.first().map(|d| d.code))
    }

    #[test]
    fn documents_and_their_places() {
        let text = "\u{feff}{\"a\": [1, 2.5, \"x\\u00e9\\ud83d\\ude00\\/\", true, null]}\n{\"b\": -1e2}\n[]";
        let (found, code) = read(text);
        assert_eq!((found.len(), code), (3, None));
        let items = found[0].get("a").unwrap().items();
        assert_eq!(items[2].text(), Some("xé😀/"));
        assert_eq!(&text[items[1].span.clone()], "2.5");
        assert_eq!(&text[found[1].entries()[0].key_span.clone()], "\"b\"");
    }

    #[test]
    fn what_is_not_json() {
        for text in
            ["{", "{\"a\"}", "{a: 1}", "[1,]", "[1 2]", "{\"a\":1,}", "[\"\n\"]", "[\"\\x\"]", "[01]", "[1.]", "[nope]", "{} x", "[\"a"]
        {
            assert_eq!(read(text).1, Some(Code::Syntax), "{text}");
        }
        assert_eq!(read("{\"a\": 1, \"a\": 2}").1, Some(Code::DuplicateKey));
        assert_eq!(read(&"[".repeat(1_000_000)).1, Some(Code::TooDeep));
        assert_eq!(read(&format!("[{}1]", "1,".repeat(FOREIGN_VALUES_MAX))).1, Some(Code::TooLarge));
    }

    proptest! {
        #[test]
        fn agrees_with_serde(text in r#"([\[\]{},:"\\0-9eE+. \-truefalsn/u]){0,24}"#) {
            let ours = read(&text);
            let theirs: Vec<Result<serde_json::Value, _>> =
                serde_json::Deserializer::from_str(&text).into_iter().collect();
            let keys_twice = ours.1 == Some(Code::DuplicateKey);
            prop_assert!(keys_twice || ours.1.is_some() == theirs.iter().any(Result::is_err), "{:?} {:?}", ours, theirs);
        }
    }
}
