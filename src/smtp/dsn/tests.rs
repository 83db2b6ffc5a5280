//! What is accepted, what is refused, and that it goes on as it came.

use proptest::prelude::*;

use super::*;

#[test]
fn notify_and_ret_are_read_in_any_case() {
    let notify = |success, failure, delay| Some(Notify { success, failure, delay });
    for (text, expected) in [
        ("NEVER", notify(false, false, false)),
        ("never", notify(false, false, false)),
        ("SUCCESS", notify(true, false, false)),
        ("Failure", notify(false, true, false)),
        ("DELAY", notify(false, false, true)),
        ("DELAY,SUCCESS,failure", notify(true, true, true)),
        // The grammar does not forbid it, and it has one meaning.
        ("SUCCESS,SUCCESS", notify(true, false, false)),
        ("", None),
        ("NEVER,SUCCESS", None),
        ("SUCCESS,NEVER", None),
        ("SUCCESS,", None),
        (",SUCCESS", None),
        ("SUCCESS, FAILURE", None),
        ("SUCCESS;FAILURE", None),
        ("ALWAYS", None),
    ] {
        assert_eq!(Notify::parse(text), expected, "{text}");
    }
    for (text, expected) in
        [("FULL", Some(Return::Full)), ("hdrs", Some(Return::Headers)), ("HEADERS", None), ("", None), ("FULL,HDRS", None)]
    {
        assert_eq!(Return::parse(text), expected, "{text}");
    }
}

#[test]
fn an_envelope_id_is_xtext_of_printable_ascii() {
    let longest = "a".repeat(DSN_ENVID_BYTES_MAX);
    for (text, decoded) in
        [("QQ314159", "QQ314159"), ("a+2Bb+3Dc+20d", "a+b=c d"), ("id@host.example;x,y", "id@host.example;x,y"), (&longest, &longest)]
    {
        let id = EnvelopeId::parse(text).expect(text);
        assert_eq!((id.as_str(), id.decoded().as_str()), (text, decoded));
    }
    let too_long = "a".repeat(DSN_ENVID_BYTES_MAX + 1);
    for text in [
        "a=b",
        "a b",
        "a+",
        "a+2",
        "a+2b",
        "a+GG",
        "a++2B",
        "a+0D+0AX-Injected:+20yes",
        "a+0A",
        "a+00",
        "a+09",
        "a+7F",
        "a+80",
        "a+FF",
        "ü",
        "a\tb",
        "a\u{7f}",
        &too_long,
    ] {
        assert_eq!(EnvelopeId::parse(text), None, "{text}");
    }
}

#[test]
fn an_original_recipient_is_a_type_and_an_encoded_address() {
    for (text, smtputf8, kind, decoded) in [
        ("rfc822;bob@acme.example", false, "rfc822", "bob@acme.example"),
        ("RFC822;Bob+2Bnews@acme.example", false, "RFC822", "Bob+news@acme.example"),
        ("rfc822;+22a+20b+22@acme.example", false, "rfc822", "\"a b\"@acme.example"),
        ("x400;/C=", false, "", ""),
        ("X400;/C+3Dus/;x", false, "X400", "/C=us/;x"),
        // RFC 3461 §4: xtext may be empty.
        ("rfc822;", false, "rfc822", ""),
        ("utf-8;b\\x{FC}cher@acme.example", false, "utf-8", "bücher@acme.example"),
        ("UTF-8;b\\x{fc}cher@acme.example", false, "UTF-8", "bücher@acme.example"),
        ("utf-8;\\x{1F600}@acme.example", false, "utf-8", "😀@acme.example"),
        ("utf-8;a\\x{2B}b\\x{3D}\\x{5C}\\x{20}@x.example", false, "utf-8", "a+b=\\ @x.example"),
        ("utf-8;bücher@acme.example", true, "utf-8", "bücher@acme.example"),
        ("utf-8;bob@acme.example", true, "utf-8", "bob@acme.example"),
    ] {
        let parsed = OriginalRecipient::parse(text, smtputf8);
        let found = parsed.as_ref().map_or(("", String::new()), OriginalRecipient::decoded);
        assert_eq!(found, (kind, decoded.to_owned()), "{text}");
        if let Some(parsed) = parsed {
            assert_eq!(parsed.for_rcpt(smtputf8), text);
        }
    }
    let too_long = format!("rfc822;{}", "a".repeat(DSN_ORCPT_BYTES_MAX - 6));
    for text in [
        "",
        "bob@acme.example",
        ";bob@acme.example",
        "rfc 822;b@x",
        "rfc822:b@x",
        "r@f;b@x",
        "rfc822;a=b",
        "rfc822;a+2bb",
        "rfc822;a+",
        "rfc822;a+0D+0ATo:",
        "rfc822;a b",
        "rfc822;bücher@x",
        "utf-8;",
        "utf-8;a+2Bb",
        "utf-8;a=b",
        "utf-8;a\\b",
        "utf-8;a\\x{}",
        "utf-8;a\\x{41}",
        "utf-8;a\\x{0A}",
        "utf-8;a\\x{00}",
        "utf-8;a\\x{85}",
        "utf-8;a\\x{2028}",
        "utf-8;a\\x{D800}",
        "utf-8;a\\x{110000}",
        "utf-8;a\\x{00FC}",
        "utf-8;a\\x{FC",
        "utf-8;a\\x{+FC}",
        "utf-8;a\\X{FC}",
        "utf-8;a\u{2028}b",
        &too_long,
    ] {
        assert_eq!(OriginalRecipient::parse(text, true), None, "{text}");
    }
    assert_eq!(OriginalRecipient::parse("utf-8;bücher@acme.example", false), None, "UTF-8 in a command needs SMTPUTF8");
}

#[test]
fn a_next_hop_without_smtputf8_gets_the_original_recipient_in_ascii() {
    let original = OriginalRecipient::parse("utf-8;bü\\x{2B}cher@acme.example", true).unwrap();
    assert_eq!(original.for_rcpt(true), "utf-8;bü\\x{2B}cher@acme.example");
    assert_eq!(original.for_rcpt(false), "utf-8;b\\x{FC}\\x{2B}cher@acme.example");
}

#[test]
fn an_original_recipient_is_made_of_an_address() {
    for (address, expected) in [
        ("bob@acme.example", "rfc822;bob@acme.example"),
        ("bob+news=1@acme.example", "rfc822;bob+2Bnews+3D1@acme.example"),
        ("\"a b\\\"\"@acme.example", "rfc822;\"a+20b\\\"\"@acme.example"),
        ("bü+cher@acme.example", "utf-8;b\\x{FC}\\x{2B}cher@acme.example"),
    ] {
        let address = Address::parse(address, true).unwrap();
        let made = OriginalRecipient::of(&address);
        assert_eq!(made.for_rcpt(false), expected);
        assert_eq!(OriginalRecipient::parse(expected, false), Some(made.clone()));
        assert_eq!(made.decoded().1, address.as_str());
    }
}

#[test]
fn recipients_that_become_one_keep_what_either_asks_for_and_the_first_name() {
    let asks = |notify: &str, name: &str| RcptParameters { notify: Notify::parse(notify), original: OriginalRecipient::parse(name, false) };
    for (one, other, expected) in [
        (asks("", ""), asks("", ""), asks("", "")),
        (asks("", ""), asks("", "rfc822;b@x"), asks("", "rfc822;b@x")),
        (asks("", "rfc822;a@x"), asks("", "rfc822;b@x"), asks("", "rfc822;a@x")),
        (asks("NEVER", ""), asks("NEVER", ""), asks("NEVER", "")),
        (asks("NEVER", ""), asks("SUCCESS", ""), asks("SUCCESS", "")),
        // Who says nothing wants to hear of failures.
        (asks("NEVER", ""), asks("", ""), asks("FAILURE,DELAY", "")),
        (asks("", ""), asks("SUCCESS", ""), asks("SUCCESS,FAILURE,DELAY", "")),
    ] {
        let mut united = one.clone();
        united.unite(&other);
        assert_eq!(united, expected, "{one:?} and {other:?}");
    }
}

#[test]
fn a_recipient_without_parameters_is_stored_as_its_address() {
    let plain = Recipient::from(Address::parse("bob@acme.example", false).unwrap());
    let parameters = RcptParameters {
        notify: Notify::parse("FAILURE,SUCCESS"),
        original: OriginalRecipient::parse("rfc822;robert@acme.example", false),
    };
    let asking = Recipient { parameters, ..plain.clone() };
    let stored = serde_json::to_string(&[&plain, &asking]).unwrap();
    let expected = r#"["bob@acme.example",{"address":"bob@acme.example","notify":"SUCCESS,FAILURE","orcpt":"rfc822;robert@acme.example"}]"#;
    assert_eq!(stored, expected);
    assert_eq!(serde_json::from_str::<Vec<Recipient>>(&stored).unwrap(), [plain, asking]);
    for damaged in [r#"{"address":"bob@acme.example","notify":"SOMETIMES"}"#, r#"{"address":"b@x","orcpt":"rfc822;a+0D+0Ab"}"#, "7"] {
        assert!(serde_json::from_str::<Recipient>(damaged).is_err(), "{damaged}");
    }
}

proptest! {
    #[test]
    fn whatever_passes_holds_no_control_character_in_either_form(text in "(rfc822;|utf-8;)?([a-z@ü\\\\{}=+\r\n\u{85}\u{2028}]|\\+[0-9A-F]{2}|\\\\x\\{[0-9A-F]{1,6}\\}){0,20}") {
        let clean = |text: &str| !text.chars().any(char::is_control);
        if let Some(id) = EnvelopeId::parse(&text) {
            prop_assert!(clean(id.as_str()) && clean(&id.decoded()) && id.decoded().is_ascii());
        }
        if let Some(original) = OriginalRecipient::parse(&text, true) {
            let (ascii, (kind, decoded)) = (original.for_rcpt(false), original.decoded());
            prop_assert!(clean(&ascii) && clean(kind) && clean(&decoded) && ascii.is_ascii() && !ascii.contains(' '));
            let again = OriginalRecipient::parse(&ascii, false).expect("what we say can be read");
            prop_assert_eq!(again.decoded(), original.decoded());
        }
    }

    #[test]
    fn every_address_has_an_original_recipient(address in "[!-~ü😀]{1,40}@[a-z]{1,10}(\\.[a-z]{1,10})?") {
        if let Ok(address) = Address::parse(&address, true) {
            let made = OriginalRecipient::of(&address);
            prop_assert_eq!(OriginalRecipient::parse(&made.for_rcpt(false), false), Some(made.clone()));
            prop_assert_eq!(made.decoded().1, address.as_str());
        }
    }
}
