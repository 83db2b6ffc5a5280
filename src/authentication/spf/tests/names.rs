//! Whose record is asked for, and what a sender brings into names.

use super::*;

#[test]
fn the_null_sender_is_judged_by_helo() {
    let zone =
        Zone::new(&[("mail.client.example", "TXT v=spf1 exists:%{l}.%{o}.%{h}.%{d} -all exp=why.example"), ("why.example", "TXT %{s}")]);
    let verdict = judge_of(&zone, CLIENT, "Mail.Client.example.", "<>");
    assert_eq!((verdict.identity, &*verdict.domain, verdict.result), (SpfIdentity::Helo, "mail.client.example", SpfResult::Fail));
    assert_eq!(verdict.explanation.as_deref(), Some("postmaster@Mail.Client.example"));
    // HELO counts for nothing else.
    let zone = Zone::new(&[("mail.client.example", "TXT v=spf1 -all"), ("example.com", "TXT v=spf1 +all")]);
    let verdict = judge_of(&zone, CLIENT, HELO, "a@example.com");
    assert_eq!((verdict.identity, verdict.result), (SpfIdentity::MailFrom, SpfResult::Pass));
}

#[test]
fn what_is_no_domain_has_no_record() {
    let label = "x".repeat(64);
    let long = vec!["x".repeat(49); 6].join(".");
    for helo in [
        "",
        "localhost",
        "localhost.",
        "[192.0.2.10]",
        "[IPv6:2001:db8::1]",
        "192.0.2.10",
        "a..example",
        ".example",
        "example..",
        &format!("{label}.example"),
        &long,
        ".",
    ] {
        let zone = Zone::default();
        let verdict = judge_of(&zone, CLIENT, helo, "<>");
        assert_eq!((verdict.result, &*verdict.domain, zone.questions()), (SpfResult::None, "", 0), "{helo}");
    }
    for from in ["a@[192.0.2.10]", "a@localhost", "postmaster", "a@[IPv6:2001:db8::1]"] {
        let zone = Zone::default();
        let verdict = judge_of(&zone, CLIENT, HELO, from);
        assert_eq!((verdict.result, verdict.identity, zone.questions()), (SpfResult::None, SpfIdentity::MailFrom, 0), "{from}");
    }
}

#[test]
fn senders_beyond_ascii_are_asked_for_in_a_labels() {
    let zone = Zone::new(&[
        ("xn--bcher-kva.example", "TXT v=spf1 exists:%{d}.d.example exists:%{o}.o.example -all exp=why.example"),
        ("why.example", "TXT %{d} %{L}"),
    ]);
    let verdict = judge_of(&zone, CLIENT, HELO, "jürgen@Bücher.example");
    assert_eq!((verdict.result, &*verdict.domain), (SpfResult::Fail, "xn--bcher-kva.example"), "{}", verdict.reason);
    assert_eq!(verdict.explanation.as_deref(), Some("xn--bcher-kva.example j%C3%BCrgen"));
    let asked = ["TXT xn--bcher-kva.example", "A xn--bcher-kva.example.d.example", "A xn--bcher-kva.example.o.example", "TXT why.example"];
    assert_eq!(zone.asked(), asked);
}

#[test]
fn what_a_sender_brings_is_asked_for_as_it_is() {
    for (from, helo, client, target, asked) in [
        ("Strong-Bad@example.com", HELO, CLIENT, "%{l}.x.example", "Strong-Bad.x.example"),
        ("strong-bad@example.com", HELO, CLIENT, "%{l1r-}.x.example", "strong.x.example"),
        ("strong-bad@example.com", HELO, CLIENT, "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.10.2.0.192.in-addr._spf.example.com"),
        ("a+b=c/d@example.com", HELO, CLIENT, "%{l+=/}.x.example", "a.b.c.d.x.example"),
        ("\"a \\\"b\"@example.com", HELO, CLIENT, "%{l}.x.example", "a \"b.x.example"),
        ("\"plain\"@example.com", HELO, CLIENT, "%{l}.x.example", "plain.x.example"),
        ("\"\"@example.com", HELO, CLIENT, "%{l}.x.example", "postmaster.x.example"),
        ("a@Example.COM", HELO, CLIENT, "%{s}.x.example", "a@Example.COM.x.example"),
        ("a@example.com", "[192.0.2.10]", CLIENT, "%{H}.x.example", "%5B192.0.2.10%5D.x.example"),
        ("a@example.com", "mail.client.example", CLIENT, "%{h2}", "client.example"),
        (
            "a@example.com",
            HELO,
            "2001:db8::a",
            "%{ir}.%{v}.x.example",
            "A.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.B.D.0.1.0.0.2.ip6.x.example",
        ),
        ("a@example.com", HELO, "::ffff:192.0.2.10", "%{i}.%{v}.x.example", "192.0.2.10.in-addr.x.example"),
        ("a@example.com", HELO, CLIENT, "m%%p%_s%-u.x.example", "m%p s%20u.x.example"),
        ("a@example.com", HELO, CLIENT, "%{d}.", ""),
    ] {
        let record = format!("TXT v=spf1 exists:{target} -all");
        let zone = Zone::new(&[("example.com", &record)]);
        let verdict = judge_of(&zone, client, helo, from);
        if asked.is_empty() {
            assert_eq!(verdict.result, SpfResult::Permerror, "{target}");
        } else {
            assert_eq!(zone.asked().last().map(String::as_str), Some(&*format!("A {asked}")), "{from} {target}: {}", verdict.reason);
        }
    }
}

#[test]
fn a_name_that_is_too_long_is_asked_for_from_the_right() {
    let zone = Zone::new(&[("long.sub.example.com", &format!("TXT v=spf1 exists:x.{}example -all", "%{o}.".repeat(13)))]);
    judge_of(&zone, CLIENT, HELO, "a@long.sub.example.com");
    // 11 domains of 21 octets, `example.com.` and `example` are 250; with `sub.` they would be 254.
    let expected = format!("A example.com.{}example", "long.sub.example.com.".repeat(11));
    assert_eq!(zone.asked().last(), Some(&expected));
}

#[test]
fn strangers_words_are_shown_in_one_line_of_ascii() {
    let record = format!("v=spf1 -exists:%{{l}}.{}.example", "x".repeat(400));
    let zone = Zone::new(&[("example.com", &format!("TXT {record}"))]);
    judge_of(&zone, CLIENT, HELO, "a@example.com");
    let verdict = judge_of(&Zone::default(), CLIENT, "bell\u{7}ü.\u{202e}", "<>");
    assert_eq!(&*verdict.reason, "\"bell??.?\" is no domain to ask for");
    let verdict = result_of(CLIENT, "v=spf1 a\u{1b}[31m -all", &[]);
    assert_eq!((verdict.result, &*verdict.reason), (SpfResult::Permerror, "the record of example.com: a?[31m: an unknown mechanism"));
}
