//! Header fields that conditions know better by an attribute.

use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};

/// `header: { name: From, equals: bob@acme.example }` compares the whole field, with names and brackets.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) {
    let Some(name) = test.header else { return };
    let attribute = match name.to_ascii_lowercase().as_str() {
        "from" => "from",
        "to" => "to",
        "cc" => "cc",
        "sender" => "sender",
        _ => return,
    };
    if !test.is(&["equals", "not_equals", "starts_with", "ends_with"]) {
        return;
    }
    let is_address = |text: &str| text.contains('@') && !text.contains(['<', '"', ' ', ',']);
    let Some((node, _)) = test.texts().find(|(_, text)| is_address(text)) else { return };
    let source = sink.source();
    let operator = source.text.get(test.operator.key_span.start..test.operator.value.span.end).unwrap_or_default();
    // On several lines, what stands between is not ours to drop.
    let edits =
        (!operator.contains('\n') && !source.text.get(test.condition.value.span.clone()).unwrap_or_default().contains('\n')).then(|| {
            let whole = test.condition.key_span.start..test.condition.value.span.end;
            vec![(whole, format!("{attribute}: {{ {operator} }}"))]
        });
    let message = format!("`header` compares the whole field, as in `Bob <bob@acme.example>`; addresses are compared by `{attribute}`");
    let diagnostic = sink.error(Code::HeaderAttribute, node.span.clone(), message);
    match edits {
        Some(edits) => diagnostic.suggest(format!("ask for `{attribute}`"), edits),
        None => diagnostic.help(format!("did you mean `{attribute}: {{ {}: … }}`?", test.operator())),
    };
}
