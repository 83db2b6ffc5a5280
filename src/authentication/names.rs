//! Domain names as verdicts compare them: A-labels in lower case, without the last dot.

use mail_auth::common::to_a_label;

use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX};

/// The name in one spelling; `None` if it is no name that DNS could hold a record for. One label is enough.
pub(super) fn domain(text: &str) -> Option<Box<str>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let name = to_a_label(text);
    let is_name = name.len() <= DOMAIN_BYTES_MAX.saturating_sub(2) && name.split('.').all(is_label);
    is_name.then(|| name.into_owned().into_boxed_str())
}

fn is_label(label: &str) -> bool {
    (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a name is another or below it.
pub(super) fn is_within(name: &str, other: &str) -> bool {
    name.strip_suffix(other).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, expected) in [
            ("Example.COM", Some("example.com")),
            ("example.com.", Some("example.com")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("BÜCHER.example", Some("xn--bcher-kva.example")),
            ("_x.localhost", Some("_x.localhost")),
            ("localhost", Some("localhost")),
        ] {
            assert_eq!(domain(text).as_deref(), expected, "{text}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for text in ["", ".", "a..b", ".a", "a..", "a b", "a@b", "[192.0.2.1]", "a\0b", "a/b", &long, &"a.".repeat(200)] {
            assert_eq!(domain(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_is_within_itself_and_those_above() {
        assert!(is_within("a.b", "a.b") && is_within("x.a.b", "a.b") && is_within("a.b", "b"));
        assert!(!is_within("xa.b", "a.b") && !is_within("b", "a.b") && !is_within("a.c", "b"));
    }
}
