//! `--compat mail-manager`: what Amazon SES Mail Manager would not take or could not say, so that a file can be carried there.
//!
//! Limits and patterns are those of its API model (botocore 1.44.5, `mailmanager` 2023-10-17) and of the page "Quotas" of its guide. None
//! of its quotas can be raised.

mod actions;
mod conditions;
mod deployment;
mod policies;
mod rule_sets;

pub(super) use deployment::check as deployment;
pub(super) use policies::check as policy;
pub(super) use rule_sets::check as rule_set;

use crate::config::diagnostic::{Code, Diagnostic, Sink};
use crate::config::formats::clip;
use crate::config::source::Span;
use crate::config::tree::Node;

/// Reports a limit or a pattern.
fn limit(sink: &mut Sink, span: Span, message: impl Into<String>) -> &mut Diagnostic {
    sink.error(Code::LimitAws, span, message)
}

/// Reports what has no equivalent, and what would become of it.
fn none(sink: &mut Sink, span: Span, what: &str, becomes: impl Into<String>) {
    sink.error(Code::NotInMailManager, span, format!("Mail Manager has no {what}")).help(becomes);
}

/// Reports a name that its pattern does not take; `more` is what it takes besides letters and digits.
fn name(sink: &mut Sink, span: Span, what: &str, name: &str, lengths: (usize, usize), more: &str) {
    let (shortest, longest) = lengths;
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    let length = name.chars().count();
    if length < shortest || length > longest {
        let message =
            format!("Mail Manager takes names of {what} with {shortest} to {longest} characters, and `{}` has {length}", clip(name));
        limit(sink, span, message);
    } else if let Some(c) = name.chars().find(|c| !fits(*c)) {
        let allowed: Vec<String> = more.chars().map(|c| format!("`{c}`")).collect();
        limit(sink, span, format!("Mail Manager takes no {c:?} in the name of {what}"))
            .help(format!("letters, digits, {} are possible", allowed.join(", ")));
    }
}

/// Reports too many items of a list.
fn count(sink: &mut Sink, items: &[Node], most: usize, what: &str) {
    if let Some(first) = items.get(most) {
        limit(sink, first.head(), format!("Mail Manager takes {most} {what}, and there are {}", items.len()));
    }
}
