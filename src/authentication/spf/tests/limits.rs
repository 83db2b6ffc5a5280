//! What RFC 7208 §4.6.4 bounds, and what bounds the work beyond it.

use proptest::prelude::*;

use super::*;
use crate::limits::{SPF_MX_NAMES_MAX, SPF_TERMS_MAX};

#[test]
fn ten_terms_may_ask() {
    let others = [
        ("found.example", "A 203.0.113.1"),
        ("found.example", "MX 10 found.example"),
        ("192.0.2.10", "PTR found.example"),
        ("pass.example", "TXT v=spf1 -all"),
        ("two.example", "TXT v=spf1 a:found.example ?all"),
    ];
    for term in ["a:found.example", "mx:found.example", "ptr:found.example", "include:pass.example"] {
        for (count, expected) in [(10, SpfResult::Pass), (11, SpfResult::Permerror)] {
            let verdict = result_of(CLIENT, &format!("v=spf1{} ip4:192.0.2.10 -all", format!(" {term}").repeat(count)), &others);
            assert_eq!(verdict.result, expected, "{count} {term}: {}", verdict.reason);
        }
    }
    // exists cannot ask ten times and find nothing: the second half of ten is a.
    for (count, expected) in [(8, SpfResult::Pass), (9, SpfResult::Permerror)] {
        let record = format!("v=spf1 exists:no.example exists:no.example{} ip4:192.0.2.10 -all", " a:found.example".repeat(count));
        assert_eq!(result_of(CLIENT, &record, &others).result, expected, "{count}");
    }
    // Terms of included records and redirections count; what stands behind the match does not.
    for (record, expected) in [
        (
            "v=spf1 include:two.example include:two.example include:two.example include:two.example include:two.example +all",
            SpfResult::Pass,
        ),
        (
            "v=spf1 include:two.example include:two.example include:two.example include:two.example include:two.example a:found.example +all",
            SpfResult::Permerror,
        ),
        (
            "v=spf1 a:found.example a:found.example include:two.example include:two.example include:two.example include:two.example redirect=pass.example",
            SpfResult::Permerror,
        ),
        (
            "v=spf1 a:found.example include:two.example include:two.example include:two.example include:two.example redirect=pass.example",
            SpfResult::Fail,
        ),
        ("v=spf1 +all a a a a a a a a a a a", SpfResult::Pass),
        ("v=spf1 include:example.com", SpfResult::Permerror),
        ("v=spf1 redirect=example.com", SpfResult::Permerror),
        ("v=spf1 include:loop.example", SpfResult::Permerror),
    ] {
        let others: Vec<_> = others.iter().copied().chain([("loop.example", "TXT v=spf1 redirect=example.com")]).collect();
        let verdict = result_of(CLIENT, record, &others);
        assert_eq!(verdict.result, expected, "{record}: {}", verdict.reason);
    }
}

#[test]
fn two_terms_may_find_nothing() {
    let mx: Vec<String> = (0..3).map(|number| format!("MX 10 no{number}.example")).collect();
    let mut others: Vec<_> = mx.iter().map(|record| ("mx.example", record.as_str())).collect();
    others.extend([("empty.example", "AAAA 2001:db8::1"), ("inner.example", "TXT v=spf1 a:no.example -all"), ("exp.example", "TXT why")]);
    for (terms, expected) in [
        ("a:no.example a:no.example", SpfResult::Fail),
        ("a:no.example a:no.example a:no.example", SpfResult::Permerror),
        ("a:empty.example a:empty.example a:empty.example", SpfResult::Permerror),
        ("exists:no.example mx:no.example", SpfResult::Fail),
        ("exists:no.example mx:no.example a:no.example", SpfResult::Permerror),
        ("include:inner.example include:inner.example", SpfResult::Fail),
        ("include:inner.example a:no.example include:inner.example", SpfResult::Permerror),
        // The hosts of an mx are questions too, of one term.
        ("mx:mx.example", SpfResult::Fail),
        ("mx:mx.example mx:mx.example", SpfResult::Fail),
        ("mx:mx.example mx:mx.example mx:mx.example", SpfResult::Permerror),
        ("mx:mx.example a:no.example include:inner.example", SpfResult::Permerror),
        ("ptr ptr", SpfResult::Fail),
        ("ptr a:no.example ptr", SpfResult::Permerror),
        ("a:no.example a:no.example exp=no.example", SpfResult::Fail),
    ] {
        let verdict = result_of(CLIENT, &format!("v=spf1 {terms} -all"), &others);
        assert_eq!(verdict.result, expected, "{terms}: {}", verdict.reason);
    }
}

/// Three mail exchangers with IPv4 alone: nothing that the domain did wrong, whatever its client has.
#[test]
fn hosts_without_the_addresses_of_the_clients_kind_are_one_term() {
    let mut zone: Vec<(String, String)> = Vec::new();
    for number in 0..3 {
        zone.push(("example.com".to_owned(), format!("MX {number} mx{number}.example")));
        zone.push((format!("mx{number}.example"), "A 192.0.2.10".to_owned()));
    }
    let zone: Vec<_> = zone.iter().map(|(name, record)| (name.as_str(), record.as_str())).collect();
    for (client, expected) in [(CLIENT, SpfResult::Pass), ("2001:db8::7", SpfResult::Pass), ("2001:db9::7", SpfResult::Fail)] {
        let verdict = result_of(client, "v=spf1 mx ip6:2001:db8::/32 -all", &zone);
        assert_eq!(verdict.result, expected, "{client}: {}", verdict.reason);
    }
}

#[test]
fn ten_mail_exchangers_are_looked_at_and_eleven_are_too_many() {
    let hosts: Vec<(String, String)> =
        (0..11).map(|number| (format!("mx{number}.example"), format!("MX {number} mx{number}.example"))).collect();
    for (count, expected) in [(SPF_MX_NAMES_MAX, SpfResult::Pass), (SPF_MX_NAMES_MAX + 1, SpfResult::Permerror)] {
        for matching in [0, count - 1] {
            let mut records = Vec::new();
            for (number, (host, mx)) in hosts.iter().take(count).enumerate() {
                records.push((host.as_str(), if number == matching { "A 192.0.2.10" } else { "A 203.0.113.1" }));
                records.push(("example.com", mx.as_str()));
            }
            let verdict = result_of(CLIENT, "v=spf1 mx -all", &records);
            assert_eq!(verdict.result, expected, "{count}: {}", verdict.reason);
        }
    }
}

#[test]
fn the_dearest_record_that_the_limits_allow_stays_in_the_budget() {
    let hosts: Vec<String> = (0..SPF_MX_NAMES_MAX).map(|number| format!("MX {number} mx{number}.example")).collect();
    let names: Vec<String> = (0..20).map(|number| format!("PTR mx{number}.example")).collect();
    let mut records: Vec<(String, String)> = hosts.iter().map(|mx| ("mx.example".to_owned(), mx.clone())).collect();
    records.extend(names.iter().map(|name| ("192.0.2.10".to_owned(), name.clone())));
    records.extend((0..20).map(|number| (format!("mx{number}.example"), "A 203.0.113.1".to_owned())));
    let terms = " mx:mx.example".repeat(SPF_TERMS_MAX.try_into().unwrap());
    records.push(("example.com".to_owned(), format!("TXT v=spf1{terms} -all exp=%{{p}}.exp.example")));
    records.push(("unknown.exp.example".to_owned(), "TXT from %{p}".to_owned()));
    let records: Vec<_> = records.iter().map(|(name, record)| (name.as_str(), record.as_str())).collect();
    let zone = Zone::new(&records);
    let verdict = judge_of(&zone, CLIENT, HELO, "a@example.com");
    assert_eq!((verdict.result, verdict.explanation.as_deref()), (SpfResult::Fail, Some("from unknown")), "{}", verdict.reason);
    assert_eq!(zone.questions(), SPF_QUESTIONS_MAX);
}

#[test]
fn records_of_any_size_are_judged() {
    let networks: String = (0..4000).map(|number| format!(" ip4:10.{}.{}.0/24", number / 250, number % 250)).collect();
    assert_eq!(result_of(CLIENT, &format!("v=spf1{networks} ip4:192.0.2.10 -all"), &[]).result, SpfResult::Pass);
    let spaces = format!("v=spf1{}-all{}", " ".repeat(30_000), " ".repeat(30_000));
    assert_eq!(result_of(CLIENT, &spaces, &[]).result, SpfResult::Fail);
    let macros = format!("v=spf1 exists:{}.example -all", "%{S}".repeat(15_000));
    assert_eq!(result_of(CLIENT, &macros, &[]).result, SpfResult::Fail);
    let term = result_of(CLIENT, &format!("v=spf1 -all:{}", "x".repeat(60_000)), &[]);
    assert_eq!(term.result, SpfResult::Permerror);
    let long =
        result_of(CLIENT, &format!("v=spf1 -exists:{}v4.example", "%{d}.".repeat(3000)), &[("example.com.v4.example", "A 127.0.0.2")]);
    assert_eq!(long.result, SpfResult::Neutral);
}

fn records() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = || "(example\\.com|a\\.example|b\\.example|c\\.example|192\\.0\\.2\\.10)";
    let target = || "(example\\.com|[abc]\\.example|%\\{d\\}|%\\{p\\}|%\\{l1r-\\}\\.example|%\\{i\\}\\.a\\.example|x\\.\\.y)";
    let term = ("[-+~?]?", "(a|mx|ptr|include|exists|redirect=|exp=|all|ip4:192\\.0\\.2\\.0/24|moo)", target(), "(|/24|//64)");
    let term = term.prop_map(|(qualifier, name, target, end)| match name.as_str() {
        "all" | "moo" | "ip4:192.0.2.0/24" => format!("{qualifier}{name}"),
        "redirect=" | "exp=" => format!("{name}{target}"),
        "a" | "mx" => format!("{qualifier}{name}:{target}{end}"),
        name => format!("{qualifier}{name}:{target}"),
    });
    let spf = proptest::collection::vec(term, 0..6).prop_map(|terms| format!("TXT v=spf1 {}", terms.join(" ")));
    let record = prop_oneof![
        4 => spf,
        1 => "TXT [ -~]{0,40}",
        1 => "A 192\\.0\\.2\\.1[01]",
        1 => "MX [1-3] [abc]\\.example",
        1 => "PTR [abc]\\.example",
        1 => "(TROUBLE|TROUBLE A|CNAME [abc]\\.example)",
    ];
    proptest::collection::vec((name(), record), 0..30)
}

proptest! {
    /// Whatever DNS holds: no panic, no question beyond the budget, and the same again.
    #[test]
    fn any_zone_is_judged_within_the_budget(records in records(), from in "(<>|[a-c-]{1,5}@example\\.com|\"[ -!#-~]\"@a\\.example)") {
        // Only addresses of the grammar come this far.
        let from = if from == "<>" || Address::parse(&from, true).is_ok() { from } else { "a@example.com".to_owned() };
        let records: Vec<_> = records.iter().map(|(name, record)| (name.as_str(), record.as_str())).collect();
        let zone = Zone::new(&records);
        let verdict = judge_of(&zone, CLIENT, "a.example", &from);
        let again = Zone::new(&records);
        prop_assert_eq!(judge_of(&again, CLIENT, "a.example", &from), verdict);
        prop_assert_eq!(again.asked(), zone.asked());
    }

    /// The same for octets instead of records.
    #[test]
    fn any_octets_are_judged(octets in proptest::collection::vec(any::<u8>(), 0..100), explanation in proptest::collection::vec(any::<u8>(), 0..100)) {
        let mut zone = Zone::default();
        zone.add("example.com", "TXT", &[b"v=spf1 ", &octets[..]].concat());
        zone.add("a.example", "TXT", b"v=spf1 -all exp=b.example");
        zone.add("b.example", "TXT", &explanation);
        judge_of(&zone, CLIENT, HELO, "a@example.com");
        prop_assert_eq!(judge_of(&zone, CLIENT, HELO, "a@a.example").result, SpfResult::Fail);
    }
}
