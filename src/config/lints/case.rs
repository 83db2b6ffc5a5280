//! Capitals where matching ignores case.

use super::edit;
use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;

/// Addresses and domains alone: capitals in texts that people read are no mistake.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) {
    let operators: &[&str] = if test.has_display_names() {
        &["equals", "not_equals", "starts_with", "ends_with"]
    } else {
        &["equals", "not_equals", "starts_with", "ends_with", "contains"]
    };
    if !(test.is_address() || test.is_domain() || test.is_host()) || !test.is(operators) {
        return;
    }
    for (node, text) in test.texts() {
        // `SRS0=` and the like are written so everywhere.
        let is_name = text.contains(['@', '.']) && !text.contains(['=', ' ', '<']);
        if !is_name || !text.bytes().any(|b| b.is_ascii_uppercase()) {
            continue;
        }
        let lower = text.to_ascii_lowercase();
        let edit = edit::text(node, &lower, sink);
        let message = format!("`{}` has capitals, and matching ignores case", clip(text));
        let diagnostic = sink.error(Code::Case, node.span.clone(), message);
        match edit {
            Some(edit) => diagnostic.fix("write it in lower case: it matches every spelling", vec![edit]),
            None => diagnostic.help("write it in lower case: it matches every spelling"),
        };
    }
}
