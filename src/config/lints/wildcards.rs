//! Stars that were meant as wildcards.

use super::domains::instead_of;
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;

/// Whether such a mistake was found.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) -> bool {
    let is_text = test.is_address() || test.is_domain() || test.attribute == "client_host";
    if !is_text || !test.is(&["equals", "not_equals", "starts_with", "ends_with", "contains"]) {
        return false;
    }
    let mut found = false;
    for (node, text) in test.texts() {
        let Some((operator, rest)) = meant(text) else { continue };
        found = true;
        let written = format!("{operator}: {}", super::edit::plain(rest));
        // There is no negative `ends_with`.
        let edits =
            if test.operator() == "equals" || test.operator() == operator { instead_of(test, node, operator, rest, sink) } else { None };
        let diagnostic = sink.error(
            Code::Wildcard,
            node.span.clone(),
            format!("the star in `{}` stands for itself: only address lists know wildcards", clip(text)),
        );
        if test.operator() == "not_equals" {
            diagnostic.help(format!("did you mean `not: {{ {}: {{ {written} }} }}`?", test.attribute));
        } else {
            super::edit::meant(diagnostic, &written, edits, true);
        }
    }
    found
}

/// What `*@acme.example`, `*.acme.example`, `bob@*` and `*bob*` would be without stars.
fn meant(text: &str) -> Option<(&'static str, &str)> {
    let inner = text.trim_matches('*');
    if inner.len() == text.len() || inner.is_empty() {
        return None;
    }
    match (text.starts_with('*'), text.ends_with('*')) {
        (true, true) => Some(("contains", inner)),
        (true, false) => Some(("ends_with", inner.strip_prefix("@*").unwrap_or(inner))),
        (false, true) => Some(("starts_with", inner)),
        (false, false) => None,
    }
    .filter(|(_, rest)| !rest.contains('*'))
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn stars_have_operators() {
        for (text, expected) in [
            ("*@acme.example", Some(("ends_with", "@acme.example"))),
            ("*@*.acme.example", Some(("ends_with", ".acme.example"))),
            ("*.acme.example", Some(("ends_with", ".acme.example"))),
            ("bob@*", Some(("starts_with", "bob@"))),
            ("*spam*", Some(("contains", "spam"))),
            ("a*b@acme.example", None),
            ("*", None),
            ("bob@acme.example", None),
        ] {
            assert_eq!(meant(text), expected, "{text}");
        }
    }
}
