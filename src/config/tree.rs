//! YAML, read strictly, as a tree in which every node knows its place.
//!
//! What could make a file mean something else than it looks like is refused here: duplicate keys, anchors, aliases, merge
//! keys, tags, a second document, keys that are not text. Size and nesting are bounded, so no text takes long.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};

use super::allowances;
use super::diagnostic::{Code, Sink, drop_diagnostic};
use super::source::Span;
use crate::limits;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// From its first to behind its last byte.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) value: Value,
}

/// What a [`Node`] is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A text.
    Text(String),
    /// `[…]` or lines with `-`.
    Sequence(Vec<Node>),
    /// `{…}` or lines with `key:`.
    Mapping(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key's text.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_span: Span,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// The value of a key, if this is a mapping that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry of a key, if this is a mapping that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a mapping; none for everything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        if let Value::Mapping(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a sequence; none for everything else.
    pub(crate) fn items(&self) -> &[Node] {
        if let Value::Sequence(items) = &self.value { items } else { &[] }
    }

    /// The items of a sequence, or the node itself.
    pub(crate) fn one_or_many(&self) -> &[Node] {
        if let Value::Sequence(items) = &self.value { items } else { std::slice::from_ref(self) }
    }

    /// The text of a text node.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Where to point at for the node as a whole: a mapping's first key, a sequence's start, a scalar.
    pub(crate) fn head(&self) -> Span {
        match &self.value {
            Value::Mapping(entries) => entries.first().map_or_else(|| self.span.clone(), |entry| entry.key_span.clone()),
            _ => self.span.clone(),
        }
    }

    /// The same value for serde.
    pub(crate) fn to_serde(&self) -> serde_yaml::Value {
        match &self.value {
            Value::Null => serde_yaml::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::Text(text) => text.as_str().into(),
            Value::Sequence(items) => serde_yaml::Value::Sequence(items.iter().map(Self::to_serde).collect()),
            Value::Mapping(entries) => {
                serde_yaml::Value::Mapping(entries.iter().map(|entry| (entry.key.as_str().into(), entry.value.to_serde())).collect())
            }
        }
    }
}

/// Reads the sink's file. `None` when it cannot be made sense of; the mistakes are in the sink either way.
pub(crate) fn parse(sink: &mut Sink) -> Option<Node> {
    let source = sink.source();
    if source.text.len() > limits::YAML_FILE_BYTES_MAX {
        sink.error(Code::TooLarge, 0..0, format!("the file is larger than {} MiB", limits::YAML_FILE_BYTES_MAX >> 20));
        return None;
    }
    let options = granit_parser::options! {
        flow_nesting_limit: limits::YAML_DEPTH_MAX,
        block_nesting_limit: limits::YAML_DEPTH_MAX,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        // Comments only matter where one may be addressed to this program; any number of them may stand together.
        emit_comments: allowances::may_be_in(&source.text),
        max_buffered_comment_events: limits::YAML_FILE_BYTES_MAX,
    };
    let mut builder = Builder { sink, open: Vec::new(), root: None, documents: 0, values: 0, comments: Vec::new() };
    for event in Parser::new_from_str_with_options(&source.text, options) {
        match event {
            Ok((event, span)) => {
                let span = span.byte_range().unwrap_or(0..0);
                if !builder.take(event, span) {
                    return None;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(0);
                builder.scan_error(&error, at, &source.text);
                return None;
            }
        }
    }
    let Builder { sink, root, comments, .. } = builder;
    match &root {
        Some(root) => sink.allowances = allowances::find(&comments, root, &source),
        None => drop_diagnostic(sink.error(Code::Syntax, 0..0, "the file is empty")),
    }
    root
}

struct Builder<'a> {
    sink: &'a mut Sink,
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    values: usize,
    comments: Vec<Span>,
}

/// A collection that has not ended.
struct Open {
    start: usize,
    flow: bool,
    items: Vec<Node>,
    mapping: Option<Vec<Entry>>,
    key: Option<(String, Span)>,
    /// Keys so far of a mapping that has many, to find one that stands twice without looking at all of them.
    seen: HashMap<String, Span>,
}

/// So many keys are faster looked through than kept in a table.
const KEYS_LOOKED_THROUGH: usize = 16;

impl Open {
    /// Where the same key stands already.
    fn first(&mut self, key: &str, span: &Span) -> Option<Span> {
        let entries = self.mapping.as_deref().unwrap_or_default();
        if entries.len() < KEYS_LOOKED_THROUGH {
            return entries.iter().find(|entry| entry.key == key).map(|entry| entry.key_span.clone());
        }
        if self.seen.is_empty() {
            self.seen = entries.iter().map(|entry| (entry.key.clone(), entry.key_span.clone())).collect();
        }
        self.seen.insert(key.to_owned(), span.clone())
    }
}

impl Builder<'_> {
    /// Whether to go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::Comment(..) => self.comments.push(span),
            Event::DocumentStart(..) => {
                self.documents = self.documents.saturating_add(1);
                if self.documents > 1 {
                    self.sink
                        .error(Code::ManyDocuments, span, "a second document begins here; a file holds one")
                        .help("remove the `---`, or use two files");
                    return false;
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                self.sink.broken(Code::Anchor, span.clone(), "aliases are not allowed").help("write the value out");
                self.alias(span);
            }
            Event::Anchor(..) => {
                self.sink.error(Code::Anchor, span, "anchors are not allowed").help("write the value out where it is needed");
            }
            Event::Scalar(text, style, _, tag) => {
                self.tag(tag.is_some(), &span);
                if !self.counts(&span) {
                    return false;
                }
                let value = if style == ScalarStyle::Plain { plain(&text) } else { Value::Text(text.into_owned()) };
                self.scalar(value, span);
            }
            Event::SequenceStart(style, _, tag) => {
                self.tag(tag.is_some(), &span);
                return self.start(span, style, false);
            }
            Event::MappingStart(style, _, tag) => {
                self.tag(tag.is_some(), &span);
                return self.start(span, style, true);
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            _ => {}
        }
        true
    }

    /// Counts a value; false when there are too many.
    fn counts(&mut self, span: &Span) -> bool {
        self.values = self.values.saturating_add(1);
        let fits = self.values <= limits::YAML_VALUES_MAX;
        if !fits {
            let message = format!("the file holds more than {} values", limits::YAML_VALUES_MAX);
            self.sink.error(Code::TooLarge, span.clone(), message).help("thousands of addresses or networks belong into a list file");
        }
        fits
    }

    fn tag(&mut self, tag: bool, span: &Span) {
        if tag {
            self.sink.error(Code::Tag, span.clone(), "tags are not allowed").help("remove the word that begins with `!`");
        }
    }

    /// Whether a key is expected next.
    fn at_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.mapping.is_some() && open.key.is_none())
    }

    fn start(&mut self, span: Span, style: StructureStyle, mapping: bool) -> bool {
        if self.at_key() {
            self.sink.error(Code::KeyType, span, "a key is a text, not a list or a mapping");
            return false;
        }
        if !self.counts(&span) {
            return false;
        }
        self.open.push(Open {
            start: span.start,
            flow: style == StructureStyle::Flow,
            items: Vec::new(),
            mapping: mapping.then(Vec::new),
            key: None,
            seen: HashMap::new(),
        });
        true
    }

    fn end(&mut self, span: Span) {
        let Some(open) = self.open.pop() else { return };
        let last = match &open.mapping {
            Some(entries) => entries.last().map(|entry| entry.value.span.end.max(entry.key_span.end)),
            None => open.items.last().map(|item| item.span.end),
        };
        let end = if open.flow { span.end } else { last.unwrap_or(span.end) };
        let span = open.start..end.max(open.start);
        let value = match open.mapping {
            Some(entries) => Value::Mapping(entries),
            None => Value::Sequence(open.items),
        };
        self.value(Node { span, value });
    }

    fn scalar(&mut self, value: Value, span: Span) {
        let source = self.sink.source();
        let Some(open) = self.open.last_mut() else { return self.value(Node { span, value }) };
        if open.mapping.is_none() || open.key.is_some() {
            return self.value(Node { span, value });
        }
        let key = match value {
            Value::Text(key) => key,
            _ => {
                self.sink.broken(Code::KeyType, span.clone(), "a key is a text").help("put it in quotes");
                source.text.get(span.clone()).unwrap_or_default().to_owned()
            }
        };
        if key == "<<" {
            self.sink.broken(Code::Anchor, span.clone(), "merge keys are not allowed").help("write the keys out");
        }
        if let Some(first) = open.first(&key, &span) {
            self.sink
                .error(Code::DuplicateKey, span.clone(), format!("the key `{key}` stands twice in one mapping"))
                .note(first, "it is here first");
        }
        open.key = Some((key, span));
    }

    fn value(&mut self, node: Node) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        match &mut open.mapping {
            None => open.items.push(node),
            // Whatever stands in a key's place has set the key before its value comes.
            Some(entries) => entries.extend(open.key.take().map(|(key, key_span)| Entry { key, key_span, value: node })),
        }
    }

    /// An alias stands for nothing, as a key too.
    fn alias(&mut self, span: Span) {
        let at_key = self.at_key();
        match self.open.last_mut() {
            Some(open) if at_key => open.key = Some((String::new(), span)),
            _ => self.value(Node { span, value: Value::Null }),
        }
    }

    fn scan_error(&mut self, error: &granit_parser::ScanError, at: usize, text: &str) {
        let message = error.info();
        if message.contains("nest") || message.contains("recursion") {
            self.sink.error(Code::TooDeep, at..at, format!("more than {} levels of nesting", limits::YAML_DEPTH_MAX));
            return;
        }
        if message.contains("tab")
            && let Some(tab) = text.get(at..).and_then(|rest| rest.find('\t'))
        {
            let at = at.saturating_add(tab);
            self.sink.error(Code::Syntax, at..at.saturating_add(1), "a tab where YAML wants spaces").help("indent with spaces");
            return;
        }
        self.sink.error(Code::Syntax, at..at, format!("not valid YAML: {message}"));
    }
}

/// Whether a scalar without quotes is the text that it looks like.
pub(super) fn reads_as_itself(text: &str) -> bool {
    matches!(plain(text), Value::Text(_))
}

/// A plain scalar by YAML 1.2's core schema (§10.3.2).
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Boolean(true),
        "false" | "False" | "FALSE" => return Value::Boolean(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::Text(text.to_owned());
    }
    if digits.bytes().all(|b| b.is_ascii_digit())
        && let Ok(value) = text.parse()
    {
        return Value::Integer(value);
    }
    if digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+'))
        && let Ok(value) = text.parse()
    {
        return Value::Float(value);
    }
    Value::Text(text.to_owned())
}
