//! Conditions on what analyzers find, checked against the fields that they have.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tests_of;
use crate::analyzers::AnalyzerConfig;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats;
use crate::config::model::rules as model;
use crate::config::suggest::suggest;
use crate::config::tree::{Entry, Node, Value};
use crate::message::{FieldKind, Verdict};
use crate::rules::{AnalysisCondition, FieldTest, Folded, NumberOperator, OnError, TextTest};

/// The analyzers that there are; one that is missing was reported as an unknown name, or there is no `gateway.yaml` that could tell.
pub(crate) type Analyzers = BTreeMap<Arc<str>, AnalyzerConfig>;

const TEXT: &[&str] = &["equals", "not_equals", "starts_with", "ends_with", "contains", "matches", "exists"];
const NUMBER: &[&str] = &["equals", "not_equals", "less_than", "greater_than", "less_than_or_equal", "greater_than_or_equal", "exists"];
const WORD: &[&str] = &["equals", "not_equals", "exists"];

/// A condition of a rule; `None` when something is wrong, which has been reported.
pub(super) fn of_rule(model: &model::AnalysisTest, node: &Node, analyzers: &Analyzers, sink: &mut Sink) -> Option<AnalysisCondition> {
    let name = model.analyzer.0.as_str();
    let entry = node.entries().iter().find(|entry| !["analyzer", "field", "on_error"].contains(&entry.key.as_str()))?;
    let kind = match analyzers.get(name) {
        Some(config) => field(config, name, &model.field.0, node, sink)?,
        // Taken for what the condition takes it for.
        None => guess(entry),
    };
    Some(AnalysisCondition {
        analyzer: Arc::from(name),
        field: Box::from(model.field.0.as_str()),
        test: test(kind, model, entry, sink)?,
        on_error: match model.on_error {
            None | Some(model::OnError::Defer) => OnError::Defer,
            Some(model::OnError::Skip) => OnError::Skip,
        },
    })
}

/// A condition of a policy: there is no message yet that the analyzer could look at.
pub(super) fn of_policy(model: &model::AnalysisTest, node: &Node, analyzers: &Analyzers, sink: &mut Sink) -> Option<AnalysisCondition> {
    let condition = of_rule(model, node, analyzers, sink);
    let name = model.analyzer.0.as_str();
    if !analyzers.get(name).is_some_and(AnalyzerConfig::needs_message) {
        return condition;
    }
    let span = node.get("analyzer").map_or_else(|| node.head(), |node| node.span.clone());
    let message = format!("`{}` looks at the message, and a policy is judged before there is one", formats::clip(name));
    sink.error(Code::NeedsMessage, span, message).help("ask it in a rule set");
    None
}

fn field(config: &AnalyzerConfig, analyzer: &str, field: &str, node: &Node, sink: &mut Sink) -> Option<FieldKind> {
    let kind = config.field(field);
    if kind.is_none() {
        let span = node.get("field").map_or_else(|| node.head(), |node| node.span.clone());
        let fields = config.fields();
        let help = match suggest(field, fields.iter().map(|(name, _)| *name)) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let shown: Vec<String> = fields.iter().map(|(name, kind)| format!("`{}` ({})", formats::clip(name), word(*kind))).collect();
                format!("it has {}", shown.join(", "))
            }
        };
        let message = format!("the analyzer `{}` has no field `{}`", formats::clip(analyzer), formats::clip(field));
        sink.error(Code::UnknownName, span, message).help(help);
    }
    kind
}

fn guess(entry: &Entry) -> FieldKind {
    let values = entry.value.one_or_many();
    match (entry.key.as_str(), values.first().map(|node| &node.value)) {
        ("less_than" | "greater_than" | "less_than_or_equal" | "greater_than_or_equal", _) => FieldKind::Number,
        ("equals" | "not_equals", Some(Value::Integer(_) | Value::Float(_))) => FieldKind::Number,
        ("equals" | "not_equals", Some(Value::Boolean(_))) => FieldKind::Boolean,
        _ => FieldKind::Text,
    }
}

fn test(kind: FieldKind, model: &model::AnalysisTest, entry: &Entry, sink: &mut Sink) -> Option<FieldTest> {
    let possible = match kind {
        FieldKind::Text => TEXT,
        FieldKind::Number => NUMBER,
        FieldKind::Boolean | FieldKind::Verdict => WORD,
    };
    let operator = entry.key.as_str();
    if !possible.contains(&operator) {
        let message = format!("`{operator}` cannot be asked of `{}`, which is {}", formats::clip(&model.field.0), article(kind));
        let words: Vec<String> = possible.iter().map(|word| format!("`{word}`")).collect();
        sink.error(Code::WrongOperator, entry.key_span.clone(), message).help(format!("one of {}", words.join(", ")));
        return None;
    }
    if let ("exists", Value::Boolean(wanted)) = (operator, &entry.value.value) {
        return Some(FieldTest::Exists(*wanted));
    }
    let (negated, field) = (operator == "not_equals", model.field.0.as_str());
    Some(match kind {
        FieldKind::Text => FieldTest::Text(text(model, entry, sink)?),
        FieldKind::Number => FieldTest::Number(number_operator(operator)?, values(field, kind, entry, sink, number)?),
        FieldKind::Boolean => FieldTest::Boolean { negated, values: values(field, kind, entry, sink, boolean)? },
        FieldKind::Verdict => FieldTest::Verdict { negated, words: verdicts(field, entry, sink)? },
    })
}

fn text(model: &model::AnalysisTest, entry: &Entry, sink: &mut Sink) -> Option<TextTest> {
    if let Some(patterns) = &model.matches {
        return tests_of::expressions(patterns).map(TextTest::Matches);
    }
    let texts = values(&model.field.0, FieldKind::Text, entry, sink, |node| node.text().map(Folded::new))?;
    Some(match entry.key.as_str() {
        "equals" => TextTest::Equals(texts),
        "not_equals" => TextTest::NotEquals(texts),
        "starts_with" => TextTest::StartsWith(texts),
        "ends_with" => TextTest::EndsWith(texts),
        "contains" => TextTest::Contains(texts),
        _ => return None,
    })
}

fn number_operator(operator: &str) -> Option<NumberOperator> {
    Some(match operator {
        "equals" => NumberOperator::Equals,
        "not_equals" => NumberOperator::NotEquals,
        "less_than" => NumberOperator::LessThan,
        "greater_than" => NumberOperator::GreaterThan,
        "less_than_or_equal" => NumberOperator::LessThanOrEqual,
        "greater_than_or_equal" => NumberOperator::GreaterThanOrEqual,
        _ => return None,
    })
}

#[allow(clippy::cast_precision_loss, reason = "nobody compares a score with a number of 2^53")]
fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Integer(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    }
}

fn boolean(node: &Node) -> Option<bool> {
    if let Value::Boolean(value) = node.value { Some(value) } else { None }
}

fn verdicts(field: &str, entry: &Entry, sink: &mut Sink) -> Option<Vec<Verdict>> {
    const ALL: [Verdict; 4] = [Verdict::Pass, Verdict::Fail, Verdict::Gray, Verdict::ProcessingFailed];
    let words = values(field, FieldKind::Verdict, entry, sink, |node| node.text().map(|text| (text.to_owned(), node.span.clone())))?;
    let mut known = Vec::new();
    for (text, span) in words {
        let Some(word) = ALL.into_iter().find(|word| word.as_str() == text) else {
            let message = format!("`{}` is not one of the possible words", formats::clip(&text));
            let meant = suggest(&text, ALL.into_iter().map(Verdict::as_str));
            let help = meant.map_or_else(
                || "one of `pass`, `fail`, `gray` or `processing_failed`".to_owned(),
                |word| format!("did you mean `{word}`?"),
            );
            sink.error(Code::BadValue, span, message).help(help);
            return None;
        };
        known.push(word);
    }
    Some(known)
}

/// The values of an operator, all of which must be of the field's type.
fn values<T>(field: &str, kind: FieldKind, entry: &Entry, sink: &mut Sink, read: impl Fn(&Node) -> Option<T>) -> Option<Vec<T>> {
    let mut values = Vec::new();
    for node in entry.value.one_or_many() {
        let Some(value) = read(node) else {
            let diagnostic = sink.error(
                Code::WrongType,
                node.head(),
                format!("{} is expected here, the type of `{}`", article(kind), formats::clip(field)),
            );
            match &node.value {
                Value::Text(text) if kind == FieldKind::Boolean && (text == "true" || text == "false") => {
                    diagnostic.help(format!("without quotes: `{text}`"));
                }
                Value::Text(text) if kind == FieldKind::Number && text.parse::<f64>().is_ok() => {
                    diagnostic.help(format!("without quotes: `{}`", formats::clip(text)));
                }
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) if kind == FieldKind::Text => {
                    diagnostic.help("in quotes it is a text");
                }
                _ => {}
            }
            return None;
        };
        values.push(value);
    }
    Some(values)
}

fn word(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "number",
        FieldKind::Boolean => "true or false",
        FieldKind::Verdict => "verdict",
    }
}

fn article(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "a text",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Verdict => "a verdict",
    }
}
