//! `exp=` (RFC 7208 §6.2).

use super::*;
use crate::limits::SPF_EXPLANATION_BYTES_MAX;

fn explanation_of(record: &str, others: &[(&str, &str)]) -> Option<String> {
    let verdict = result_of(CLIENT, record, others);
    assert_eq!(verdict.result, SpfResult::Fail, "{record}: {}", verdict.reason);
    verdict.explanation.map(Into::into)
}

#[test]
fn a_fail_is_explained_by_the_record_that_decides() {
    let others = [
        ("why.example", "TXT %{c} may not send for %{s}. See http://%{o}/?i=%{I}&s=%{S}&r=%{r}&t=%{t}"),
        ("other.example", "TXT v=spf1 -all exp=%{l}.other.example"),
        ("silent.example", "TXT v=spf1 -all"),
        ("a.other.example", "TXT by other"),
    ];
    let why =
        "192.0.2.10 may not send for a@example.com. See http://example.com/?i=192.0.2.10&s=a%40example.com&r=gate.example&t=1800000000";
    for (record, expected) in [
        ("v=spf1 -all exp=why.example", Some(why)),
        ("v=spf1 exp=why.example -all", Some(why)),
        ("v=spf1 exp=why.example redirect=other.example", Some("by other")),
        ("v=spf1 exp=why.example redirect=silent.example", None),
        ("v=spf1 include:other.example -all exp=why.example", Some(why)),
        ("v=spf1 include:other.example -all", None),
        ("v=spf1 -all", None),
    ] {
        assert_eq!(explanation_of(record, &others).as_deref(), expected, "{record}");
    }
    for record in ["v=spf1 ~all exp=why.example", "v=spf1 ?all exp=why.example", "v=spf1 +all exp=why.example", "v=spf1 exp=why.example"] {
        let zone = Zone::new(&[("example.com", &format!("TXT {record}")), others[0]]);
        let verdict = judge_of(&zone, CLIENT, HELO, "a@example.com");
        assert_eq!((verdict.explanation, zone.questions()), (None, 1), "{record}");
    }
}

#[test]
fn an_explanation_with_any_trouble_is_none() {
    for records in [
        &[][..],
        &["A 192.0.2.10"][..],
        &["TROUBLE"][..],
        &["TXT one", "TXT two"][..],
        &["TXT why", "TXT why"][..],
        &["TXT 100% wrong"][..],
        &["TXT the %{x}-files"][..],
        &["TXT %{d"][..],
        &["TXT \u{feff}why"][..],
        &["TXT two\r\nlines"][..],
        &["TXT a\ttab"][..],
        &["TXT nul\0"][..],
    ] {
        let others: Vec<_> = records.iter().map(|record| ("why.example", *record)).collect();
        assert_eq!(explanation_of("v=spf1 -all exp=why.example", &others), None, "{records:?}");
    }
    assert_eq!(explanation_of("v=spf1 -all exp=a..example", &[]), None);
    let zone = Zone::new(&[("example.com", "TXT v=spf1 -all exp=why.example"), ("why.example", "TXT not %{l}")]);
    assert_eq!(judge_of(&zone, CLIENT, HELO, "jürgen@example.com").explanation, None, "a local part beyond ASCII");
}

#[test]
fn an_explanation_is_bounded() {
    let long = format!("TXT {}", "why ".repeat(5000));
    let text = explanation_of("v=spf1 -all exp=why.example", &[("why.example", &long)]).unwrap();
    assert_eq!(text, "why ".repeat(SPF_EXPLANATION_BYTES_MAX / 4));
    assert_eq!(explanation_of("v=spf1 -all exp=why.example", &[("why.example", "TXT ")]).as_deref(), Some(""));
}

#[test]
fn the_client_has_a_name_if_it_leads_back() {
    let record = "v=spf1 -all exp=why.example";
    let why = ("why.example", "TXT from %{p}");
    for (records, expected) in [
        (&[][..], "from unknown"),
        (&[("192.0.2.10", "TROUBLE")][..], "from unknown"),
        (&[("192.0.2.10", "PTR x.example"), ("x.example", "A 192.0.2.11")][..], "from unknown"),
        (&[("192.0.2.10", "PTR x.example"), ("x.example", "A 192.0.2.10")][..], "from x.example"),
        (
            &[
                ("192.0.2.10", "PTR x.example"),
                ("192.0.2.10", "PTR m.example.com"),
                ("x.example", "A 192.0.2.10"),
                ("m.example.com", "A 192.0.2.10"),
            ][..],
            "from m.example.com",
        ),
        (
            &[
                ("192.0.2.10", "PTR m.example.com"),
                ("192.0.2.10", "PTR example.com"),
                ("example.com", "A 192.0.2.10"),
                ("m.example.com", "A 192.0.2.10"),
            ][..],
            "from example.com",
        ),
    ] {
        let others: Vec<_> = records.iter().copied().chain([why]).collect();
        assert_eq!(explanation_of(record, &others).as_deref(), Some(expected), "{records:?}");
    }
}
