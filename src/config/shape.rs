//! Checks a tree against the JSON Schema made from the models, and reports every mistake where it stands.
//!
//! It understands the part of JSON Schema that `schemars` makes of the models, and the extensions that
//! [`super::model`] lists. What it lets pass, serde reads without an error.

use super::diagnostic::{Code, Reference, Severity, Sink, drop_diagnostic};
use super::formats;
use super::lints::foreign;
use super::scalar;
use super::schema::{Format, NotAvailable, Schema, Schemas, Type, Variant};
use super::source::{Source, Span};
use super::suggest::suggest;
use super::tree::{Entry, Node, Value};

/// The schema of one kind of file.
#[derive(Debug)]
pub(crate) struct Shape {
    schemas: Schemas,
    /// Whether keys that are not known are warnings.
    is_tolerant: bool,
}

impl Shape {
    /// Of a model.
    pub(crate) fn of<T: schemars::JsonSchema>() -> Self {
        Self { schemas: Schemas::of::<T>(), is_tolerant: false }
    }

    /// Of what another system writes, which may know more than this version does.
    pub(crate) fn tolerant_of<T: schemars::JsonSchema>() -> Self {
        Self { is_tolerant: true, ..Self::of::<T>() }
    }

    /// Walks through the tree; mistakes and references go to the sink.
    pub(crate) fn check(&self, node: &Node, sink: &mut Sink) {
        Walker { schemas: &self.schemas, is_tolerant: self.is_tolerant, sink }.node(node, &self.schemas.root);
    }
}

struct Walker<'a> {
    schemas: &'a Schemas,
    is_tolerant: bool,
    sink: &'a mut Sink,
}

impl<'a> Walker<'a> {
    fn node(&mut self, node: &Node, schema: &'a Schema) {
        if self.sink.is_full() {
            return;
        }
        // An alias stands for nothing; that it is one has been reported.
        if matches!(node.value, Value::Null) && self.sink.is_broken_at(&node.span) {
            return;
        }
        let schema = self.schemas.resolve(schema);
        if schema.is_secret && self.secret(node) {
            return;
        }
        if let Some(choices) = &schema.any_of {
            return self.any_of(node, choices);
        }
        if let Some(variants) = &schema.variants {
            return self.union(node, variants);
        }
        if !self.has_type(node, schema) {
            return self.wrong_type(node, &[schema]);
        }
        match &node.value {
            Value::Mapping(entries) if schema.fields.is_some() => self.structure(node, entries, schema),
            Value::Mapping(entries) => self.map(node, entries, schema),
            Value::Sequence(items) => self.sequence(node, items, schema),
            Value::Text(text) => self.text(&node.span, text, schema),
            Value::Integer(number) => self.number(node, *number as f64, schema),
            Value::Float(number) => self.number(node, *number, schema),
            Value::Boolean(_) | Value::Null => {}
        }
    }

    fn any_of(&mut self, node: &Node, choices: &'a [Schema]) {
        let schemas = self.schemas;
        let real = || choices.iter().map(|choice| schemas.resolve(choice)).filter(|choice| !choice.is_null());
        if let (Some(only), None) = (real().next(), real().nth(1)) {
            return self.node(node, only);
        }
        // Of "one or a list of words" the list has a type of its own; the words take what is left.
        let exact = real().find(|choice| choice.types.is_some() && !choice.is_words && self.has_type(node, choice));
        match exact.or_else(|| real().find(|choice| choice.variants.is_some() || self.has_type(node, choice))) {
            Some(choice) => self.node(node, choice),
            None => self.wrong_type(node, &real().collect::<Vec<_>>()),
        }
    }

    fn union(&mut self, node: &Node, variants: &'a [Variant]) {
        let words = variants.iter().all(|variant| variant.content.is_none());
        match &node.value {
            Value::Text(word) => self.word(node, word, variants),
            Value::Mapping(entries) if !words => match entries.as_slice() {
                [entry] => self.variant(entry, variants),
                [] => {
                    let help = format!("one of {}", list(on_offer(variants)));
                    self.sink.broken(Code::OneKey, node.span.clone(), "one key is missing here").help(help);
                }
                [first, second, ..] => {
                    let message = match entries.len() {
                        2 => format!(
                            "one key belongs here, and there are two: `{}` and `{}`",
                            formats::clip(&first.key),
                            formats::clip(&second.key)
                        ),
                        count => format!(
                            "one key belongs here, and there are {count}: {}",
                            list(entries.iter().take(8).map(|entry| entry.key.as_str()))
                        ),
                    };
                    let own_items = own_items(&self.sink.source(), entries);
                    let diagnostic = self.sink.broken(Code::OneKey, second.key_span.clone(), message);
                    diagnostic.note(first.key_span.clone(), "the first");
                    match own_items {
                        Some(edits) => diagnostic.suggest("give each an item of its own, with its own `-`", edits),
                        None => diagnostic.help("give each an item of its own, with its own `-`"),
                    };
                    for entry in entries.iter().take(8) {
                        self.variant(entry, variants);
                    }
                }
            },
            _ if words => {
                let help = format!("one of {}", list(on_offer(variants)));
                self.sink.broken(Code::WrongType, node.head(), format!("a word is expected here, not {}", kind(&node.value))).help(help);
            }
            _ => {
                let help = format!("it begins with one of {}", list(on_offer(variants)));
                self.sink
                    .broken(Code::WrongType, node.head(), format!("`key: value` is expected here, not {}", kind(&node.value)))
                    .help(help);
            }
        }
    }

    fn word(&mut self, node: &Node, word: &str, variants: &'a [Variant]) {
        match variants.iter().find(|variant| variant.name == word) {
            Some(Variant { content: None, not_available, .. }) => self.availability(&node.span, word, *not_available),
            Some(Variant { content: Some(content), .. }) => {
                let content = self.schemas.resolve(content);
                let fields: Vec<&str> = content.names().collect();
                let is_mapping = content.types.as_ref().is_some_and(|types| types.contains(&Type::Object));
                let diagnostic = self.sink.broken(Code::WrongType, node.span.clone(), format!("`{word}` needs more than its name"));
                if fields.is_empty() && is_mapping {
                    diagnostic.help(format!("write `{word}: {{}}`"));
                } else if fields.is_empty() {
                    diagnostic.help(format!("write `{word}: …`"));
                } else {
                    diagnostic
                        .help(format!("write `{word}: {{ {} }}`", fields.iter().map(|f| format!("{f}: …")).collect::<Vec<_>>().join(", ")));
                }
            }
            None => {
                let message = format!("`{}` is not one of the possible words", formats::clip(word));
                self.unknown(Code::BadValue, node.span.clone(), message, word, on_offer(variants));
            }
        }
    }

    fn variant(&mut self, entry: &Entry, variants: &'a [Variant]) {
        match variants.iter().find(|variant| variant.name == entry.key) {
            Some(Variant { content: Some(content), not_available, .. }) => {
                self.availability(&entry.key_span, &entry.key, *not_available);
                self.node(&entry.value, content);
            }
            Some(Variant { content: None, name, .. }) => {
                self.sink
                    .broken(Code::WrongType, entry.key_span.clone(), format!("`{name}` takes nothing behind it"))
                    .help(format!("write `{name}` without a colon"));
            }
            None => {
                let message = format!("`{}` is not known here", formats::clip(&entry.key));
                let names = || variants.iter().map(|variant| variant.name.as_str());
                let relay = || if names().any(|name| name == "SMTPRelay") { foreign::translated_relay(entry) } else { None };
                if let Some(written) = foreign::translated(entry, names()).or_else(relay) {
                    let title = format!("write `{}`", formats::clip(&written));
                    let edits = vec![(entry.key_span.start..entry.value.span.end, written)];
                    let diagnostic = self.sink.broken(Code::UnknownKey, entry.key_span.clone(), message);
                    diagnostic.help("this is Mail Manager's notation").suggest(title, edits);
                    return;
                }
                if foreign::is_condition(&entry.key) {
                    let help = "this is Mail Manager's notation; here a condition is written `recipient: { ends_with: \"@acme.example\" }`";
                    self.sink.broken(Code::UnknownKey, entry.key_span.clone(), message).help(help);
                    return;
                }
                self.unknown(Code::UnknownKey, entry.key_span.clone(), message, &entry.key, on_offer(variants));
            }
        }
    }

    fn structure(&mut self, node: &Node, entries: &[Entry], schema: &'a Schema) {
        // Once for all keys: a mapping may have very many that are not known.
        let mut absent: Option<Vec<&str>> = None;
        // Keys that are there under a wrong name, which is reported: they are not missing as well.
        let mut misspelt: Vec<&str> = Vec::new();
        for entry in entries {
            if self.sink.is_full() {
                return;
            }
            match schema.field(&entry.key) {
                Some(field) => {
                    self.availability(&entry.key_span, &entry.key, field.not_available);
                    self.node(&entry.value, field);
                }
                None if self.sink.is_broken_at(&entry.key_span) => {}
                None if is_secret(&entry.key) => self.secret_inline(entry),
                None if self.is_tolerant => {
                    let absent = absent.get_or_insert_with(|| schema.names().filter(|name| node.get(name).is_none()).collect());
                    let message = format!("the key `{}` is not known here, and is left out", formats::clip(&entry.key));
                    let diagnostic = self.sink.warning(Code::UnknownKey, entry.key_span.clone(), message);
                    if let Some(meant) = suggest(&entry.key, absent.iter().copied()) {
                        diagnostic.help(format!("did you mean `{meant}`?"));
                    }
                }
                None => {
                    let absent = absent.get_or_insert_with(|| schema.names().filter(|name| node.get(name).is_none()).collect());
                    let absent = || absent.iter().copied();
                    let message = format!("the key `{}` is not known here", formats::clip(&entry.key));
                    let meant = suggest(&entry.key, absent());
                    misspelt.extend(meant);
                    match (meant, suggest(&entry.key, schema.names())) {
                        (None, Some(there)) => {
                            self.sink.broken(Code::UnknownKey, entry.key_span.clone(), message).help(format!("`{there}` is here already"));
                        }
                        _ => {
                            let on_offer = absent().filter(|name| schema.field(name).is_none_or(|field| field.not_available.is_none()));
                            self.unknown(Code::UnknownKey, entry.key_span.clone(), message, &entry.key, on_offer);
                        }
                    }
                }
            }
        }
        for required in &schema.required {
            if node.get(required).is_none() && !misspelt.contains(&required.as_str()) {
                let about = schema.field(required).and_then(|field| self.description(field));
                let diagnostic = self.sink.broken(Code::MissingKey, node.head(), format!("the key `{required}` is missing"));
                if let Some(about) = about {
                    diagnostic.help(format!("`{required}`: {about}"));
                }
            }
        }
        self.one_of(node, schema);
    }

    fn one_of(&mut self, node: &Node, schema: &'a Schema) {
        let keys = &schema.one_of;
        if keys.is_empty() {
            return;
        }
        let may = |first: &String, second: &String| schema.together.iter().any(|pair| pair.contains(first) && pair.contains(second));
        let there: Vec<&Entry> = node.entries().iter().filter(|entry| keys.contains(&entry.key)).collect();
        if there.is_empty() {
            let help = format!("one of {}", list(keys.iter().map(String::as_str)));
            self.sink.broken(Code::OneKey, node.head(), "a key is missing that says what is meant").help(help);
        }
        for (place, second) in there.iter().enumerate() {
            let before = there.iter().take(place);
            if let Some(first) = before.into_iter().find(|first| !may(&first.key, &second.key)) {
                let message = format!("`{}` and `{}` exclude each other", first.key, second.key);
                self.sink.broken(Code::OneKey, second.key_span.clone(), message).note(first.key_span.clone(), "the first");
                return;
            }
        }
    }

    fn map(&mut self, node: &Node, entries: &[Entry], schema: &'a Schema) {
        if entries.is_empty() && schema.has_entries {
            self.sink.broken(Code::Empty, node.span.clone(), "at least one entry belongs here");
        }
        for entry in entries {
            if let Some(format) = &schema.keys {
                self.format(&entry.key_span, &entry.key, format);
            }
            if let Some(value) = &schema.values {
                self.node(&entry.value, value);
            }
        }
    }

    fn sequence(&mut self, node: &Node, items: &[Node], schema: &'a Schema) {
        if items.is_empty() && schema.has_items {
            self.sink.broken(Code::Empty, node.span.clone(), "the list is empty; at least one item belongs here");
        }
        if let Some(item) = &schema.items {
            for node in items {
                self.node(node, item);
            }
        }
    }

    fn text(&mut self, span: &Span, text: &str, schema: &'a Schema) {
        if let Some(format) = &schema.format {
            self.format(span, text, format);
        }
    }

    fn format(&mut self, span: &Span, text: &str, format: &'a Format) {
        let format = match format {
            Format::Reference(kind) => {
                self.sink.references.push(Reference { kind, name: text.to_owned(), span: span.clone() });
                return;
            }
            Format::Text(format) => format,
        };
        let (mistake, severity) = match formats::check(format, text) {
            Ok(None) => return,
            Ok(Some(warning)) => (warning, Severity::Warning),
            Err(error) => (error, Severity::Error),
        };
        if mistake.code == Code::SecretInline {
            self.sink.conceal(span.clone());
        }
        mistake.report(span.clone(), severity, false, self.sink);
    }

    fn number(&mut self, node: &Node, number: f64, schema: &'a Schema) {
        let (minimum, maximum) = (schema.minimum, schema.maximum);
        if minimum.is_none_or(|minimum| number >= minimum) && maximum.is_none_or(|maximum| number <= maximum) {
            return;
        }
        let range = match (minimum, maximum) {
            (Some(minimum), Some(maximum)) => format!("from {minimum} to {maximum}"),
            (Some(minimum), None) => format!("at least {minimum}"),
            (None, Some(maximum)) => format!("at most {maximum}"),
            (None, None) => String::new(),
        };
        let code = if schema.format.as_ref().and_then(Format::text) == Some("reply-code") { Code::ReplyCode } else { Code::BadValue };
        self.sink.broken(code, node.span.clone(), format!("{number} is out of range")).help(format!("{range} is possible"));
    }

    /// Reports credentials that stand in the file; true when that is all there is to say.
    fn secret(&mut self, node: &Node) -> bool {
        let mut secrets = node.entries().iter().filter(|entry| is_secret(&entry.key));
        let Some(first) = secrets.next() else { return false };
        self.secret_inline(first);
        secrets.for_each(|entry| self.sink.conceal(entry.value.span.clone()));
        true
    }

    fn secret_inline(&mut self, entry: &Entry) {
        self.sink.conceal(entry.value.span.clone());
        self.sink
            .broken(Code::SecretInline, entry.key_span.clone(), "credentials do not belong into this file")
            .help("put {\"username\": …, \"password\": …} where only the gateway can read it and name the place: `{ secret: NAME }`, `{ file: PATH }` or `{ env: NAME }`");
    }

    fn availability(&mut self, span: &Span, name: &str, level: Option<NotAvailable>) {
        let Some(level) = level else { return };
        let message = format!("`{name}` is not available in this version");
        match level {
            NotAvailable::Warning => {
                drop_diagnostic(self.sink.warning(Code::NotAvailable, span.clone(), message).help("it is checked, and has no effect"))
            }
            NotAvailable::Error => drop_diagnostic(self.sink.error(Code::NotAvailable, span.clone(), message)),
        }
    }

    fn description(&self, field: &'a Schema) -> Option<&'a str> {
        field.description.as_deref().or(self.schemas.resolve(field).description.as_deref())
    }

    fn unknown<'n>(&mut self, code: Code, span: Span, message: String, word: &str, candidates: impl Iterator<Item = &'n str> + Clone) {
        // The opposite of a word is spelt nearly like it.
        let is_negated = |word: &str| word.to_ascii_lowercase().starts_with("not");
        let meant = suggest(word, candidates.clone()).filter(|meant| is_negated(word) == is_negated(meant));
        let source = self.sink.source();
        let diagnostic = self.sink.broken(code, span.clone(), message);
        let Some(meant) = meant else {
            diagnostic.help(format!("one of {}", list(candidates)));
            return;
        };
        let edits = vec![(span.clone(), scalar::written(&source, &span, meant))];
        match scalar::is_misspelt(word, meant, candidates) {
            true => diagnostic.fix(format!("write `{meant}`"), edits),
            false => diagnostic.suggest(format!("did you mean `{meant}`?"), edits),
        };
    }

    fn has_type(&self, node: &Node, schema: &Schema) -> bool {
        let fits = |expected: &Type| match (expected, &node.value) {
            (Type::String, Value::Text(_))
            | (Type::Boolean, Value::Boolean(_))
            | (Type::Integer, Value::Integer(_))
            | (Type::Number, Value::Integer(_) | Value::Float(_))
            | (Type::Array, Value::Sequence(_))
            | (Type::Object, Value::Mapping(_)) => true,
            // Null is never taken for "not given": a key with nothing behind it is a mistake more often than not.
            _ => false,
        };
        match &schema.types {
            Some(types) => types.iter().any(fits),
            None => (schema.variants.is_none() || schema.is_words) && schema.any_of.is_none(),
        }
    }

    fn wrong_type(&mut self, node: &Node, schemas: &[&'a Schema]) {
        let mut expected: Vec<&str> = schemas.iter().flat_map(|schema| expected(schema)).collect();
        expected.dedup();
        let message = format!("{} is expected here, not {}", expected.join(" or "), kind(&node.value));
        let wants = |name: &str| expected.contains(&name);
        let written = self.sink.source().text.get(node.span.clone()).filter(|text| text.len() <= 200).unwrap_or_default().to_owned();
        // What is written for it, when that is surely meant.
        let instead = match &node.value {
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) if wants("a text") => {
                Some(("in quotes it is a text", scalar::double_quoted(&written)))
            }
            Value::Text(text) if wants("true or false") => match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" => Some(("`yes` and `no` are texts; it is written `true` or `false`", "true".to_owned())),
                "no" | "off" | "n" => Some(("`yes` and `no` are texts; it is written `true` or `false`", "false".to_owned())),
                "true" | "false" => Some(("in quotes it is a text", text.to_ascii_lowercase())),
                _ => None,
            },
            Value::Text(text) if wants("a whole number") && text.parse::<i64>().is_ok() => Some(("in quotes it is a text", text.clone())),
            Value::Text(_) if expected == ["a list"] && !written.contains('\n') => {
                Some(("a list has brackets, or `- ` before each item", format!("[{written}]")))
            }
            _ => None,
        };
        let help = match &node.value {
            Value::Null => Some("write the value, or remove the key".to_owned()),
            Value::Integer(_) | Value::Float(_) if wants("a length of time") => Some(format!("with its unit: `{written}s`, `{written}m`")),
            Value::Text(_) | Value::Boolean(_) if wants("a mapping") => schemas.iter().find_map(|schema| mapping_of(schema)),
            Value::Mapping(_) if expected == ["a list"] => Some("every item of a list begins with `- `".to_owned()),
            _ => None,
        };
        let diagnostic = self.sink.broken(Code::WrongType, node.head(), message);
        if let Some(help) = help {
            diagnostic.help(help);
        }
        if let Some((why, text)) = instead {
            diagnostic.help(why).fix(format!("write `{}`", formats::clip(&text)), vec![(node.span.clone(), text)]);
        }
    }
}

/// A `- ` before each key but the first, where they stand below each other in an item of a list.
fn own_items(source: &Source, entries: &[Entry]) -> Option<Vec<(Span, String)>> {
    let before = |entry: &Entry| {
        let (line, _) = source.position(entry.key_span.start);
        source.text.get(source.line(line).start..entry.key_span.start)
    };
    let (first, others) = entries.split_first()?;
    let is_item = before(first)?.trim_start() == "- ";
    let edits = others.iter().map(|entry| {
        let is_below = before(entry)?.chars().all(|c| c == ' ') && before(entry)?.len() == before(first)?.len();
        (is_item && is_below).then(|| (entry.key_span.start.saturating_sub(2)..entry.key_span.start, "- ".to_owned()))
    });
    edits.collect()
}

/// Whether a key's value looks like credentials.
fn is_secret(key: &str) -> bool {
    matches!(key.to_ascii_lowercase().as_str(), "username" | "user" | "password" | "pass" | "passwd" | "token" | "api_key")
}

fn expected(schema: &Schema) -> Vec<&'static str> {
    let format = schema.format.as_ref().and_then(Format::text);
    let name = |expected: &Type| match (expected, format) {
        (Type::String | Type::Integer, Some("size")) => "a size",
        (Type::String, Some("duration")) => "a length of time",
        (Type::String, _) => "a text",
        (Type::Integer, _) => "a whole number",
        (Type::Number, _) => "a number",
        (Type::Boolean, _) => "true or false",
        (Type::Array, _) => "a list",
        (Type::Null | Type::Object, _) => "a mapping",
    };
    match &schema.types {
        Some(types) => types.iter().filter(|one| types.len() == 1 || **one != Type::Null).map(name).collect(),
        None => vec!["a word"],
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Boolean(_) => "true or false",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::Sequence(_) => "a list",
        Value::Mapping(_) => "a mapping",
    }
}

/// How a mapping is written that has keys which must be there.
fn mapping_of(schema: &Schema) -> Option<String> {
    let keys: Vec<String> = schema.required.iter().map(|key| format!("{key}: …")).collect();
    (!keys.is_empty()).then(|| format!("write `{{ {} }}`", keys.join(", ")))
}

/// The names that have an effect in this version: others are no help.
fn on_offer(variants: &[Variant]) -> impl Iterator<Item = &str> + Clone {
    variants.iter().filter(|variant| variant.not_available.is_none()).map(|variant| variant.name.as_str())
}

/// `a`, `b` or `c`.
fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", formats::clip(name))).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => "nothing".to_owned(),
    }
}
