//! Texts as YAML, for changes of files: in the quotes that stand there, without them where none are needed.

use super::source::{Source, Span};
use super::tree::reads_as_itself;

/// A text in place of the scalar at `span`.
pub(crate) fn written(source: &Source, span: &Span, text: &str) -> String {
    let before = source.text.get(span.clone()).unwrap_or_default();
    match before.chars().next() {
        Some('"') => double_quoted(text),
        Some('\'') if !text.contains('\n') => format!("'{}'", text.replace('\'', "''")),
        _ if is_plain(text) => text.to_owned(),
        _ => double_quoted(text),
    }
}

/// A text where none stood before.
pub(crate) fn anew(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { double_quoted(text) }
}

/// In double quotes (YAML 1.2 §7.3.1).
pub(crate) fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c) & 0xff)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text can stand without quotes, within brackets too: letters, digits and what has no meaning in YAML.
fn is_plain(text: &str) -> bool {
    let harmless =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@' | '+') || !c.is_ascii() && c.is_alphanumeric();
    let first = |c: char| harmless(c) && !matches!(c, '-' | '@' | '.');
    text.chars().next().is_some_and(first) && text.chars().all(harmless) && reads_as_itself(text)
}

/// Whether `meant` is `word` with a typing mistake and surely nothing else: few letters differ, no digit, and nothing else is as near.
pub(crate) fn is_misspelt<'a>(word: &str, meant: &str, candidates: impl IntoIterator<Item = &'a str>) -> bool {
    let plain = |word: &str| word.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).flat_map(char::to_lowercase).collect::<String>();
    let (wrong, right) = (plain(word), plain(meant));
    if wrong == right {
        return true;
    }
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).collect::<String>();
    if right.chars().count() < 4 || word.len() > 64 || digits(&wrong) != digits(&right) {
        return false;
    }
    // One slip of the finger in a short word, two in a long one.
    let allowed = if right.chars().count() < 8 { 1 } else { 2 };
    let distance = strsim::damerau_levenshtein(&wrong, &right);
    let others = candidates.into_iter().filter(|other| *other != meant);
    distance <= allowed && others.into_iter().all(|other| strsim::damerau_levenshtein(&wrong, &plain(other)) > distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> String {
        written(&Source::new("x".into(), "a".into()), &(0..1), text)
    }

    #[test]
    fn quotes_stand_where_they_are_needed() {
        assert_eq!(at("acme.example"), "acme.example");
        assert_eq!(at("192.0.2.0/24"), "192.0.2.0/24");
        for (text, expected) in [("true", "\"true\""), ("2024", "\"2024\""), ("5.7", "\"5.7\""), ("@acme.example", "\"@acme.example\"")] {
            assert_eq!(at(text), expected);
        }
        assert_eq!(at("2001:db8::/32"), "\"2001:db8::/32\"");
        assert_eq!(at("a \"b\"\n"), "\"a \\\"b\\\"\\n\"");
        let quoted = Source::new("x".into(), "'a'".into());
        assert_eq!(written(&quoted, &(0..3), "it's"), "'it''s'");
    }

    #[test]
    fn a_slip_of_the_finger_is_surely_one() {
        let keys = ["when", "unless", "actions", "name"];
        assert!(is_misspelt("unles", "unless", keys) && is_misspelt("Actions", "actions", keys) && is_misspelt("acitons", "actions", keys));
        assert!(!is_misspelt("then", "when", ["when", "them"]), "as near to another");
        assert!(!is_misspelt("tls1_1", "tls1_2", ["tls1_2"]), "a digit is no slip");
        assert!(!is_misspelt("to", "cc", ["cc"]) && !is_misspelt("if", "when", keys));
    }
}
