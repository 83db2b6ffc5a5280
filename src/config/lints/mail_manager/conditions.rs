//! Conditions of rules.

use super::{limit, none};
use crate::config::diagnostic::Sink;
use crate::config::formats::clip;
use crate::config::tree::{Entry, Node};

/// Values of a condition.
pub(super) const VALUES_MAX: usize = 10;

/// Characters of a value.
const VALUE_CHARS_MAX: usize = 4096;

/// Characters behind `X-` in the name of a field that is asked for.
const HEADER_CHARS_MAX: usize = 256;

/// Looks at an item of `when` or `unless`.
pub(super) fn check(item: &Node, sink: &mut Sink) {
    let [condition] = item.entries() else { return };
    if !sink.is_sound(&item.span) {
        return;
    }
    let span = condition.key_span.clone();
    let test = &condition.value;
    match condition.key.as_str() {
        "any" => none(sink, span, "`any`", "it takes one rule for each of the conditions"),
        "all" => none(sink, span, "`all`", "write its conditions as items of `when`"),
        // It has a word for who is not in a list.
        "not" if test.entries().first().is_some_and(|inner| inner.value.get("in_list").is_some()) => {}
        "not" => none(sink, span, "`not`", "a condition that must not match stands below `unless`; several of them must all fail there"),
        "mail_from" | "recipient" | "sender" | "from" | "to" | "cc" | "helo" | "subject" => text(test, sink),
        "header" => header(test, sink),
        "client_certificate" => text(test, sink),
        "message_size" => number(test, sink),
        "source_ip" => addresses(test, sink),
        "tls" | "tls_wrapped" | "read_receipt_requested" | "spf" | "dkim" => {}
        "dmarc_policy" => dmarc(test, sink),
        "analysis" => analysis(test, sink),
        "recipient_base" => none(sink, span, "`recipient_base`", "`recipient` is its nearest, and leaves out addresses with a tag"),
        "mail_from_domain" | "recipient_domain" | "from_domain" => domain(condition, sink),
        "dmarc_result" => {
            none(sink, span, "result of DMARC", "`spf` and `dkim` are its verdicts, and `dmarc_policy` may be its result: nobody knows")
        }
        "spf_result" => none(sink, span, "results of RFC 8601", "`spf` is its verdict: `gray` stands for none, neutral and softfail"),
        "dkim_result" => none(sink, span, "results of RFC 8601", "`dkim` is its verdict: `gray` stands for none and for other domains"),
        other => none(sink, span, &format!("`{other}`"), "the condition cannot be carried over"),
    }
}

/// What is tested, beside the keys that say which field is meant.
pub(super) fn operator(test: &Node) -> Option<&Entry> {
    test.entries().iter().find(|entry| !matches!(entry.key.as_str(), "name" | "attribute" | "analyzer" | "field" | "on_error"))
}

/// The operators of texts, and how much they take.
pub(super) fn text(test: &Node, sink: &mut Sink) {
    let Some(operator) = operator(test) else { return };
    let values = operator.value.one_or_many();
    match operator.key.as_str() {
        "matches" => none(sink, operator.key_span.clone(), "regular expressions", "texts are compared as they stand"),
        "exists" => none(sink, operator.key_span.clone(), "`exists`", "a field without a value cannot be asked for"),
        "in_list" if values.len() > 1 => {
            limit(sink, operator.value.span.clone(), format!("Mail Manager looks in one list, and there are {}", values.len()));
        }
        "in_list" => {}
        _ => {
            many(values, sink);
            for (node, text) in values.iter().filter_map(|node| Some((node, node.text()?))) {
                let length = text.chars().count();
                if length == 0 || length > VALUE_CHARS_MAX {
                    limit(
                        sink,
                        node.span.clone(),
                        format!("Mail Manager takes values of 1 to {VALUE_CHARS_MAX} characters, and this has {length}"),
                    );
                }
            }
        }
    }
}

fn many(values: &[Node], sink: &mut Sink) {
    if let Some(first) = values.get(VALUES_MAX) {
        let message = format!("Mail Manager takes {VALUES_MAX} values in a condition, and there are {}", values.len());
        limit(sink, first.span.clone(), message).help("an address list holds 100,000, where addresses are compared");
    }
}

fn header(test: &Node, sink: &mut Sink) {
    if let Some(node) = test.get("name")
        && let Some(name) = node.text()
    {
        let rest = name.strip_prefix(['X', 'x']).and_then(|rest| rest.strip_prefix('-'));
        match rest {
            None => none(
                sink,
                node.span.clone(),
                &format!("condition on `{}`", clip(name)),
                "only fields that begin with `X-` can be asked for",
            ),
            Some(rest)
                if rest.is_empty() || rest.len() > HEADER_CHARS_MAX || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
            {
                limit(
                    sink,
                    node.span.clone(),
                    format!("Mail Manager takes letters, digits and hyphens behind `X-`, {HEADER_CHARS_MAX} at most"),
                );
            }
            Some(_) => {}
        }
    }
    text(test, sink);
}

fn number(test: &Node, sink: &mut Sink) {
    let Some(operator) = operator(test) else { return };
    if let [_, second, ..] = operator.value.items() {
        limit(sink, second.span.clone(), "Mail Manager compares a size with one value").help("it takes one rule for each of the values");
    }
}

fn addresses(test: &Node, sink: &mut Sink) {
    let Some(operator) = operator(test) else { return };
    if operator.key == "in_list" {
        none(sink, operator.key_span.clone(), "lists of networks", format!("{VALUES_MAX} networks fit into a condition"));
    } else {
        many(operator.value.one_or_many(), sink);
    }
}

fn dmarc(test: &Node, sink: &mut Sink) {
    let values = operator(test).map(|operator| operator.value.one_or_many()).unwrap_or_default();
    if let Some(node) = values.iter().find(|node| node.text() == Some("absent")) {
        none(sink, node.span.clone(), "`absent`", "whether its `NONE` stands for it too is not documented");
    }
}

fn domain(condition: &Entry, sink: &mut Sink) {
    let attribute = condition.key.trim_end_matches("_domain");
    let equals = operator(&condition.value).filter(|operator| operator.key == "equals");
    let becomes = match equals.and_then(|operator| operator.value.one_or_many().first()).and_then(Node::text) {
        Some(domain) => format!("its nearest is `{attribute}: {{ ends_with: \"@{}\" }}`", clip(domain)),
        None => format!("its nearest is `{attribute}` with `ends_with`"),
    };
    none(sink, condition.key_span.clone(), &format!("`{}`", condition.key), becomes);
}

/// Add-ons answer with texts, truth and verdicts.
pub(super) fn analysis(test: &Node, sink: &mut Sink) {
    let Some(operator) = operator(test) else { return };
    match operator.key.as_str() {
        "less_than" | "greater_than" | "less_than_or_equal" | "greater_than_or_equal" => {
            none(sink, operator.key_span.clone(), "numbers from analyzers", "only texts, truth and verdicts can be asked for");
        }
        _ => text(test, sink),
    }
    if let Some(entry) = test.entry("on_error") {
        none(sink, entry.key_span.clone(), "`on_error`", "what an add-on that does not answer does is not documented");
    }
}
