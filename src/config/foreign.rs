//! Files of another system as trees with places: JSON, one or more documents, and YAML with the tags of CloudFormation.
//!
//! What such a file means is not known here. Size, nesting and the number of values are bounded, so no file takes long or much memory.

use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::diagnostic::{Code, Sink};
use super::files::{Contents, Reader};
use super::source::Span;
use super::tree::{Entry, Node, Value, plain};
use crate::limits::{FOREIGN_DEPTH_MAX, FOREIGN_FILE_BYTES_MAX, FOREIGN_VALUES_MAX};

/// A file of another system.
#[derive(Debug)]
pub struct ForeignFile {
    /// Its name without folder and ending.
    pub(crate) stem: String,
    /// Its mistakes.
    pub(crate) sink: Sink,
    /// What it holds; empty when it cannot be read.
    pub(crate) documents: Vec<Node>,
}

impl ForeignFile {
    /// Reads a file; what is wrong with it is reported with what comes of it.
    pub fn read(path: &Path) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::of(stem, Reader::default().add(Contents::default().read(path, FOREIGN_FILE_BYTES_MAX)))
    }

    /// Takes a text under the name of a file.
    pub fn of_text(path: PathBuf, text: String) -> Self {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::of(stem, Sink::new(super::source::Source::new(path, text)))
    }

    fn of(stem: String, mut sink: Sink) -> Self {
        let documents = if sink.has_errors() { Vec::new() } else { documents(&mut sink) };
        Self { stem, sink, documents }
    }
}

fn documents(sink: &mut Sink) -> Vec<Node> {
    let source = sink.source();
    let text = source.text.trim_start_matches('\u{feff}').trim_start();
    if text.is_empty() {
        sink.error(Code::Syntax, 0..0, "the file is empty");
        return Vec::new();
    }
    if text.starts_with(['{', '[']) { super::json::documents(sink) } else { yaml(sink) }
}

/// Reports that there is more in the file than is read.
pub(super) fn too_many_values(sink: &mut Sink, at: usize) {
    sink.error(Code::TooLarge, at..at, format!("the file holds more than {FOREIGN_VALUES_MAX} values"));
}

/// Reports nesting that is not followed.
pub(super) fn too_deep(sink: &mut Sink, at: usize) {
    sink.error(Code::TooDeep, at..at, format!("more than {FOREIGN_DEPTH_MAX} levels of nesting"));
}

/// YAML documents; the tags of CloudFormation become its long form: `!Ref X` is `Ref: X`, `!Sub X` is `Fn::Sub: X`.
fn yaml(sink: &mut Sink) -> Vec<Node> {
    let source = sink.source();
    let options = granit_parser::options! {
        flow_nesting_limit: FOREIGN_DEPTH_MAX,
        block_nesting_limit: FOREIGN_DEPTH_MAX,
        disallow_directives: true,
        emit_unresolved_aliases: true,
    };
    let mut builder = Builder { open: Vec::new(), documents: Vec::new(), values: 0, sink };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let (at, why) = (error.marker().byte_offset().unwrap_or(0), error.info());
                if why.contains("nest") || why.contains("recursion") {
                    too_deep(builder.sink, at);
                } else {
                    builder.sink.error(Code::Syntax, at..at, format!("not valid YAML: {why}"));
                }
                return Vec::new();
            }
        };
        if !builder.take(event, span.byte_range().unwrap_or(0..0)) {
            return Vec::new();
        }
    }
    builder.documents
}

struct Builder<'a> {
    sink: &'a mut Sink,
    open: Vec<Open>,
    documents: Vec<Node>,
    values: usize,
}

/// A collection that has not ended.
struct Open {
    start: usize,
    tag: Option<String>,
    items: Vec<Node>,
    mapping: Option<Vec<Entry>>,
    key: Option<(String, Span)>,
}

impl Builder<'_> {
    /// Whether to go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::Scalar(text, style, _, tag) => {
                let value = if style == ScalarStyle::Plain && tag.is_none() { plain(&text) } else { Value::Text(text.into_owned()) };
                let tag = self.function(tag.as_deref(), &span);
                let at_key = self.at_key();
                match (self.open.last_mut(), value) {
                    (Some(open), value) if at_key => {
                        let written = || self.sink.source().text.get(span.clone()).unwrap_or_default().to_owned();
                        let key = if let Value::Text(key) = value { key } else { written() };
                        open.key = Some((key, span));
                    }
                    (_, value) => return self.value(tagged(tag, Node { span, value })),
                }
            }
            Event::SequenceStart(_, _, tag) => return self.start(span, tag.as_deref(), false),
            Event::MappingStart(_, _, tag) => return self.start(span, tag.as_deref(), true),
            Event::SequenceEnd | Event::MappingEnd => return self.end(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.sink.error(Code::Anchor, span, "aliases are not followed").help("write the value out");
                return false;
            }
            _ => {}
        }
        true
    }

    fn at_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.mapping.is_some() && open.key.is_none())
    }

    /// The function that a tag stands for.
    fn function(&mut self, tag: Option<&Tag>, span: &Span) -> Option<String> {
        let tag = tag?.to_string();
        let name = tag.trim_start_matches('!');
        match name {
            "Ref" | "Condition" => Some(name.to_owned()),
            "Base64" | "Cidr" | "FindInMap" | "GetAtt" | "GetAZs" | "ImportValue" | "Join" | "Select" | "Split" | "Sub" | "Transform"
            | "And" | "Equals" | "If" | "Not" | "Or" | "Length" | "ToJsonString" => Some(format!("Fn::{name}")),
            // Tags of YAML itself say what a value is anyway.
            _ if name.starts_with("tag:yaml.org,2002:") => None,
            _ => {
                let message = format!("`!{}` is no function of CloudFormation", super::formats::clip(name));
                self.sink.error(Code::Tag, span.clone(), message);
                None
            }
        }
    }

    fn start(&mut self, span: Span, tag: Option<&Tag>, mapping: bool) -> bool {
        if self.at_key() {
            self.sink.error(Code::KeyType, span, "a key is a text, not a list or a mapping");
            return false;
        }
        let tag = self.function(tag, &span);
        self.open.push(Open { start: span.start, tag, items: Vec::new(), mapping: mapping.then(Vec::new), key: None });
        true
    }

    fn end(&mut self, span: Span) -> bool {
        let Some(open) = self.open.pop() else { return true };
        let last = match &open.mapping {
            Some(entries) => entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end)),
            None => open.items.last().map(|item| item.span.end),
        };
        let span = open.start..last.unwrap_or(span.end).max(open.start);
        let value = open.mapping.map_or_else(|| Value::Sequence(open.items), Value::Mapping);
        self.value(tagged(open.tag, Node { span, value }))
    }

    fn value(&mut self, node: Node) -> bool {
        self.values = self.values.saturating_add(1);
        if self.values > FOREIGN_VALUES_MAX {
            too_many_values(self.sink, node.span.start);
            return false;
        }
        match self.open.last_mut() {
            None => self.documents.push(node),
            Some(Open { mapping: None, items, .. }) => items.push(node),
            Some(Open { mapping: Some(entries), key, .. }) => {
                entries.extend(key.take().map(|(key, key_span)| Entry { key, key_span, value: node }));
            }
        }
        true
    }
}

/// The long form of a function; the short form of `GetAtt` names resource and attribute with a dot.
fn tagged(function: Option<String>, node: Node) -> Node {
    let Some(key) = function else { return node };
    let span = node.span.clone();
    Node { span: span.clone(), value: Value::Mapping(vec![Entry { key, key_span: span, value: node }]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ForeignFile {
        ForeignFile::of_text("x.yaml".into(), text.into())
    }

    #[test]
    fn tags_become_the_long_form() {
        let file = read("a: !Ref B\nc: !GetAtt D.Id\ne: !Select [1, !Split [\"/\", !Sub \"x/${Y}\"]]\n---\n!If [a, 1, 2]\n");
        assert!(!file.sink.has_errors() && file.documents.len() == 2);
        let json = serde_json::to_string(&file.documents.iter().map(Node::to_serde).collect::<Vec<_>>()).unwrap();
        let expected = r#"[{"a":{"Ref":"B"},"c":{"Fn::GetAtt":"D.Id"},"e":{"Fn::Select":[1,{"Fn::Split":["/",{"Fn::Sub":"x/${Y}"}]}]}},{"Fn::If":["a",1,2]}]"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let deep = "[".repeat(10_000);
        let blocks: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        for (text, code) in [
            ("", Code::Syntax),
            ("\u{feff} \n", Code::Syntax),
            ("a: [", Code::Syntax),
            ("a: *b", Code::Anchor),
            ("a: !Made b", Code::Tag),
            ("[a]: b", Code::Syntax),
            ("? [a]\n: b", Code::KeyType),
            (deep.as_str(), Code::TooDeep),
            (blocks.as_str(), Code::TooDeep),
        ] {
            let file = read(text);
            let report = super::super::Report::new([file.sink]);
            assert_eq!(report.diagnostics.first().map(|d| d.code), Some(code), "{text:.40}");
            assert!(file.documents.is_empty() || code == Code::Tag);
        }
    }
}
