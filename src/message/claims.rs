//! Authentication-Results fields that claim to be ours before we have put one on the message: a client wrote them (RFC 8601 §5).

use super::Original;
use super::domain_name::a_labels;

/// The positions of all Authentication-Results fields whose authserv-id is this host name, ascending.
///
/// The next hop believes the fields with our name, and its parser is not ours. So a field counts as one of ours in every reading
/// that somebody may have: in any case of letters, behind comments and folds, quoted, as an encoded-word, with a version, with a dot
/// at its end, before any delimiter. A field whose authserv-id cannot be told counts if it holds our name at all.
pub(super) fn claims(original: &Original, hostname: &str) -> Vec<usize> {
    let is_named = |name: &[u8]| name.eq_ignore_ascii_case(b"Authentication-Results");
    let fields = original.fields().iter().enumerate().filter(|(_, field)| is_named(original.name(field)));
    fields.filter(|(_, field)| is_claim(original.value(field), hostname)).map(|(position, _)| position).collect()
}

fn is_claim(value: &[u8], hostname: &str) -> bool {
    let hostname = hostname.to_ascii_lowercase();
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    names(&text, &hostname) || (text.contains("=?") && names(&super::view::decoded(value).to_ascii_lowercase(), &hostname))
}

fn names(value: &str, hostname: &str) -> bool {
    let Some(head) = head(value) else {
        let bare: String = value.chars().filter(|char| is_name(*char)).collect();
        return bare.contains(hostname);
    };
    // RFC 8616 lets the name stand in Unicode; that is not compared but taken for ours where ours has such a form.
    if !head.is_ascii() && hostname.split('.').any(|label| label.starts_with("xn--")) {
        return true;
    }
    let words: Vec<&str> = head.split_whitespace().collect();
    let first = words.first().map(|word| word.trim_start_matches(|char| !is_name(char)));
    let squeezed = |words: &[&str]| words.concat().chars().filter(|char| is_name(*char)).collect::<String>();
    // Who reads names as RFC 5895 maps them finds ours in fullwidth letters and ideographic dots too.
    let mapped = |words: &[&str]| words.concat().split(is_delimiter).find_map(a_labels).is_some_and(|name| *name == *hostname);
    let is_version = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    let unversioned = match words.split_last() {
        Some((last, rest)) if is_version(last) => rest,
        _ => words.as_slice(),
    };
    let is_plain = first.is_some_and(|word| begins_with(word, hostname)) || begins_with(&squeezed(unversioned), hostname);
    is_plain || (!head.is_ascii() && (mapped(unversioned) || words.iter().any(|word| mapped(&[word]))))
}

/// What stands before the first `;`, comments and quoting taken off; `None` if a comment or quoted string has no end or nothing is left.
fn head(value: &str) -> Option<String> {
    let mut head = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for char in value.chars() {
        match char {
            _ if escaped => {
                escaped = false;
                if depth == 0 {
                    head.push(char);
                }
            }
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => {
                depth = depth.saturating_add(1);
                head.push(' ');
            }
            ')' if !quoted && depth > 0 => depth = depth.saturating_sub(1),
            ';' if !quoted && depth == 0 => break,
            _ if depth > 0 => {}
            char if char.is_control() => head.push(' '),
            char => head.push(char),
        }
    }
    (depth == 0 && !quoted && !head.trim().is_empty()).then_some(head)
}

/// Whether the text is the host name, whatever follows that no host name goes on with.
fn begins_with(text: &str, hostname: &str) -> bool {
    let Some(rest) = text.strip_prefix(hostname) else { return false };
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    !rest.starts_with(is_name)
}

/// ASCII that no name holds.
fn is_delimiter(char: char) -> bool {
    char.is_ascii() && !is_name(char)
}

fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::View;

    const OURS: &str = "mx1.acme.example";

    fn original(text: &str) -> Original {
        Original::parse(text.to_owned().into()).expect("small")
    }

    #[test]
    fn a_field_with_our_name_is_a_claim_however_it_is_written() {
        for value in [
            "mx1.acme.example; spf=pass smtp.mailfrom=bank.example",
            "mx1.acme.example;spf=pass",
            "MX1.Acme.EXAMPLE; spf=pass",
            "mx1.acme.example 1; spf=pass",
            "mx1.acme.example (we) 1 (version); spf=pass",
            "mx1.acme.example",
            "mx1.acme.example none",
            "mx1.acme.example.; spf=pass",
            "(comment) mx1.acme.example; spf=pass",
            "(a (nested) \\) comment)mx1.acme.example(x); spf=pass",
            "\r\n\tmx1.acme.example;\r\n\tspf=pass",
            "\r\n (c)\r\n mx1.acme.example\r\n ;spf=pass",
            "\"mx1.acme.example\"; spf=pass",
            "\"mx1\\.acme.example\" 1; spf=pass",
            "\"mx1.acme.example \"; spf=pass",
            "mx1.(c)acme.example; spf=pass",
            "mx1 . acme . example; spf=pass",
            "=?utf-8?Q?mx1=2Eacme.example?=; spf=pass",
            "=?us-ascii?B?bXgxLmFjbWUuZXhhbXBsZQ==?=; spf=pass",
            "mx1.acme.example/1; spf=pass",
            "mx1.acme.example, spf=pass",
            "mx1.acme.example=1; spf=pass",
            "<mx1.acme.example>; spf=pass",
            "\u{200b}mx1.acme.example; spf=pass",
            "\u{ff4d}x1.acme.example; spf=pass",
            "\u{ff2d}\u{ff38}1.ACME.example 1; spf=pass",
            "mx1\u{3002}acme\u{ff0e}example; spf=pass",
            "mx1 . \u{1d41a}cme.example; spf=pass",
            "mx1.acme.exa\u{ad}mple. 1; spf=pass",
            "\"mx1.\u{24d0}cme.example\"; spf=pass",
            "mx1.acme.example\0; spf=pass",
            "(no end mx1.acme.example; spf=pass",
            "\"no end mx1.acme.example; spf=pass",
            "; mx1.acme.example spf=pass",
        ] {
            assert!(is_claim(format!(" {value}\r\n").as_bytes(), OURS), "{value:?}");
        }
    }

    #[test]
    fn all_others_are_let_alone() {
        for value in [
            "mx2.acme.example; spf=pass",
            "acme.example; spf=pass",
            "mx1.acme.example.org; spf=pass",
            "mx1.acme.example-x; spf=pass",
            "amx1.acme.example; spf=pass",
            "mx1.acme.example1; spf=pass",
            "(mx1.acme.example) other.example; spf=pass",
            "other.example; spf=pass (mx1.acme.example) smtp.helo=mx1.acme.example",
            "other.example 1; x=\"mx1.acme.example; spf=pass\"",
            "spf=pass smtp.mailfrom=mx1.acme.example; dkim=pass",
            "(no end, other.example; spf=pass",
            "",
            "; spf=pass",
            "b\u{fc}cher.example; spf=pass",
        ] {
            assert!(!is_claim(format!(" {value}\r\n").as_bytes(), OURS), "{value:?}");
        }
    }

    #[test]
    fn a_name_in_unicode_may_be_ours_if_ours_has_such_a_form() {
        let idn = "mx.xn--bcher-kva.example";
        for (value, expected) in [
            ("mx.b\u{fc}cher.example; spf=pass", true),
            ("mx.xn--bcher-kva.example; spf=pass", true),
            ("MX.XN--BCHER-KVA.example; spf=pass", true),
            ("mx.other.example; spf=pass", false),
        ] {
            assert_eq!(is_claim(value.as_bytes(), idn), expected, "{value}");
        }
    }

    #[test]
    fn only_claims_are_gone_and_conditions_do_not_see_them() {
        let text = "authentication-results : (x)\r\n MX1.acme.example; spf=pass\r\nAuthentication-Results: b.example; spf=fail\r\n\
                    ARC-Authentication-Results: i=1; mx1.acme.example; spf=pass\r\nX-Authentication-Results: mx1.acme.example; a=b\r\n\
                    Authentication-Results: mx1.acme.example; dkim=pass\r\n\r\nAuthentication-Results: mx1.acme.example; body\r\n";
        let original = original(text).disbelieving(OURS);
        assert_eq!(original.disbelieved(), [0, 4]);
        let view = View::new(&original);
        let seen: Vec<_> = view.header("Authentication-Results").iter().map(|text| text.plain().to_owned()).collect();
        assert_eq!(seen, ["b.example; spf=fail"]);
        let out = view.edits().render(&original, bytes::Bytes::new()).to_vec().unwrap();
        let lines: Vec<&str> = text.split_inclusive("\r\n").collect();
        assert_eq!(String::from_utf8(out).unwrap(), lines[2..5].concat() + &lines[6..].concat());
    }

    proptest! {
        #[test]
        fn no_value_panics_and_what_begins_with_our_name_is_a_claim(before in "( |\t|\\([a-z ]{0,5}\\)){0,3}", after in "[; (]\\PC{0,60}", any in "\\PC{0,80}") {
            is_claim(any.as_bytes(), OURS);
            let value = format!("{before}{OURS}{after}");
            prop_assert!(is_claim(value.as_bytes(), OURS));
        }
    }
}
