use super::*;

fn addresses(value: &[u8]) -> (Vec<String>, bool) {
    let reading = read(value);
    let addresses = reading.mailboxes.iter().flat_map(Mailbox::addresses).map(|text| text.plain().to_owned()).collect();
    (addresses, reading.is_certain)
}

fn names(value: &str) -> Vec<String> {
    read(value.as_bytes()).mailboxes.iter().filter_map(|mailbox| mailbox.name.as_ref()).map(|text| text.plain().to_owned()).collect()
}

#[test]
fn the_syntax_has_one_reading() {
    for (value, expected) in [
        ("", &[][..]),
        ("a@x.example", &["a@x.example"]),
        ("a@x.example,b@y.example , <c@z.example>", &["a@x.example", "b@y.example", "c@z.example"]),
        ("Friends: a@x.example, \"B\" <b@y.example>; , c@z.example", &["a@x.example", "b@y.example", "c@z.example"]),
        ("undisclosed-recipients:;", &[]),
        ("Ann <>", &[]),
        ("\"a, b\" <c@x.example>", &["c@x.example"]),
        ("\"ceo@acme.example\" <evil@x.example>", &["evil@x.example"]),
        ("(a (nested, <b@y.example>) c) d@x.example", &["d@x.example"]),
        ("\"b ob\"@x.example", &["\"b ob\"@x.example"]),
        ("\"b\\ob\"@x.example", &["\"b\\ob\"@x.example", "bob@x.example"]),
        ("a@[IPv6:2001:db8::1]", &["a@[IPv6:2001:db8::1]"]),
        ("a@x.example.", &["a@x.example.", "a@x.example"]),
        ("a@Bücher.example", &["a@Bücher.example", "a@xn--bcher-kva.example", "a@bücher.example"]),
        ("a@xn--bcher-kva.example", &["a@xn--bcher-kva.example", "a@bücher.example"]),
        ("用户@例え.jp", &["用户@例え.jp", "用户@xn--r8jz45g.jp"]),
    ] {
        let (found, is_certain) = addresses(value.as_bytes());
        assert!(is_certain, "{value}");
        assert_eq!(found, expected, "{value}");
    }
}

#[test]
fn all_that_may_be_shown_is_seen() {
    for (value, expected) in [
        ("<a@x.example> <b@y.example>", &["a@x.example", "b@y.example"][..]),
        ("a@x.example <b@y.example>", &["a@x.example", "b@y.example"]),
        ("<a@x.example", &["a@x.example"]),
        ("a@x.example; b@y.example", &["a@x.example", "b@y.example"]),
        ("\"never closed <a@x.example>, b@y.example", &["a@x.example", "b@y.example"]),
        ("(never closed <a@x.example>, b@y.example", &["a@x.example", "b@y.example"]),
        ("a@x (c) .example", &["a@x", "a@x.example"]),
        ("a@(c)x.example", &["a@x.example"]),
        ("a @ x . example", &["a@x.example"]),
        ("a@x\r\n .example", &["a@x", "a@x.example"]),
        ("<@relay.example,@other.example:a@x.example>", &["a@x.example"]),
        ("a@x.example\0.y.example", &["a@x.example", "a@x.example.y.example"]),
        ("a@x.exa\u{202e}mple", &["a@x.exa", "a@x.example"]),
        ("a@x\u{200b}.example", &["a@x", "a@x.example"]),
        ("=?utf-8?q?ceo?=@x.example", &["=?utf-8?q?ceo?=@x.example", "ceo@x.example"]),
        ("a@=?utf-8?q?x.example?=", &["a@=?utf-8?q?x.example?=", "a@x.example"]),
        ("=?utf-8?b?Y2VvQHguZXhhbXBsZQ==?=", &["ceo@x.example"]),
        ("=?utf-8?b?Y2VvQHguZXhhbXBsZQA=?=@y.example", &["ceo@x.example"]),
        ("=?utf-8?q?ceo@x.example?= <b@y.example>", &["ceo@x.example", "b@y.example"]),
        ("=?utf-8?q?=3Cceo=40x.example=3E?= b@y.example", &["ceo@x.example", "b@y.example"]),
        ("a@b@x.example", &["a@b"]),
    ] {
        let (found, is_certain) = addresses(value.as_bytes());
        assert!(!is_certain, "{value:?}");
        for address in expected {
            assert!(found.iter().any(|found| found == address), "{value:?}: {address} is not in {found:?}");
        }
    }
    let (found, is_certain) = addresses(b"a@b\xfccher.example");
    assert!(!is_certain && found.contains(&"a@xn--bcher-kva.example".to_owned()), "{found:?}");
}

#[test]
fn names_are_decoded_and_never_lost() {
    for (value, expected) in [
        ("Ann B. Cee <a@x.example>", &["Ann B. Cee"][..]),
        ("=?utf-8?q?J=C3=BCrgen?= =?utf-8?q?_M=2E?= <a@x.example>", &["Jürgen M."]),
        ("\"=?utf-8?q?J=C3=BCrgen?=\" <a@x.example>", &["Jürgen"]),
        ("\"Doe, \\\"J\\\"\" <a@x.example>", &["Doe, \"J\""]),
        ("a@x.example (Ann)", &["Ann"]),
        ("Ann <a@x.example> (Sales)", &["Ann (Sales)"]),
        ("Ann\r\n Lee <a@x.example>", &["Ann Lee"]),
        ("nobody at all", &["nobody at all"]),
    ] {
        assert_eq!(names(value), expected, "{value}");
    }
    assert!(names("\"The CEO <a@x.example").contains(&"\"The CEO <a@x.example".to_owned()));
}

#[test]
fn work_is_bounded() {
    let n = 100_000;
    for value in ["a@b,", "<", "(", "\"", "@", "=?", "=?a?q?", "=?utf-8?q?a?= ", "<a@b>", ":", "a:b;", "\\", "[", ".", "=?utf-8?b?"] {
        let value = value.repeat(n);
        assert!(read(value.as_bytes()).mailboxes.len() <= MAILBOXES_MAX, "{value:.10}");
    }
}
