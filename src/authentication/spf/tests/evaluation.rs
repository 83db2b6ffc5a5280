//! Which record counts, and what its directives match.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::dns::{DnsError, Records};

#[test]
fn exactly_one_record_counts() {
    use SpfResult::{Fail, Neutral, None, Pass, Permerror};
    for (texts, expected) in [
        (&[][..], None),
        (&["hello", "v=spf10 -all", "v=spf1-all", "spf2.0/mfrom -all", " v=spf1 -all", "\"v=spf1 -all\"", "v=spf1\t-all"][..], None),
        (&["v=spf1"][..], Neutral),
        (&["V=Spf1 -ALL"][..], Fail),
        (&["google-site-verification=x", "v=spf1 -all", "v=spf10 +all", "\u{96}"][..], Fail),
        // Strings were put together without spaces between them.
        (&["v=spf1mx -all"][..], None),
        (&["v=spf1 +all", "v=spf1 -all"][..], Permerror),
        (&["v=spf1 +all", "V=SPF1 +all"][..], Permerror),
        (&["v=spf1 -all", "v=spf1"][..], Permerror),
        (&["v=spf1 +all", "v=spf1 moo"][..], Permerror),
        (&["v=spf1   +all   "][..], Pass),
        (&["v=spf1 +all\0"][..], Permerror),
    ] {
        let texts: Vec<String> = texts.iter().map(|text| format!("TXT {text}")).collect();
        let records: Vec<_> = texts.iter().map(|text| ("example.com", text.as_str())).collect();
        let verdict = judge_of(&Zone::new(&records), CLIENT, HELO, "a@example.com");
        assert_eq!(verdict.result, expected, "{texts:?}: {}", verdict.reason);
        assert_eq!((&*verdict.domain, verdict.identity), ("example.com", SpfIdentity::MailFrom));
    }
    let old_type = judge_of(&Zone::new(&[("example.com", "SPF v=spf1 -all")]), CLIENT, HELO, "a@example.com");
    assert_eq!(old_type.result, None, "records of type 99 are nobody's business (RFC 7208 section 3.1)");
    let alias = Zone::new(&[("example.com", "CNAME other.example"), ("other.example", "TXT v=spf1 -all")]);
    assert_eq!(judge_of(&alias, CLIENT, HELO, "a@example.com").result, Fail);
}

#[test]
fn dns_that_does_not_answer_is_a_temporary_error() {
    for (record, others) in [
        ("v=spf1 include:away.example -all", ("away.example", "TROUBLE")),
        ("v=spf1 redirect=away.example", ("away.example", "TROUBLE")),
        ("v=spf1 a:away.example -all", ("away.example", "TROUBLE")),
        ("v=spf1 exists:away.example -all", ("away.example", "TROUBLE A")),
        ("v=spf1 mx:away.example -all", ("away.example", "TROUBLE MX")),
        ("v=spf1 mx -all", ("away.example", "TROUBLE")),
        ("v=spf1 a:loop.example -all", ("loop.example", "CNAME loop.example")),
    ] {
        let verdict = result_of(CLIENT, record, &[others, ("example.com", "MX 10 away.example")]);
        assert_eq!(verdict.result, SpfResult::Temperror, "{record}: {}", verdict.reason);
        assert!(verdict.reason.contains(others.0), "{}", verdict.reason);
    }
    let zone = Zone::new(&[("example.com", "TROUBLE")]);
    assert_eq!(judge_of(&zone, CLIENT, HELO, "a@example.com").result, SpfResult::Temperror);
    // What matches before it is asked decides.
    let early = result_of(CLIENT, "v=spf1 ip4:192.0.2.10 a:away.example -all", &[("away.example", "TROUBLE")]);
    assert_eq!(early.result, SpfResult::Pass);
}

#[test]
fn the_first_match_decides_and_says_so() {
    let verdict = result_of(CLIENT, "v=spf1 -ip4:198.51.100.0/24 ~IP4:192.0.2.0/28 +all", &[]);
    assert_eq!((verdict.result, verdict.mechanism.as_deref()), (SpfResult::Softfail, Some("~IP4:192.0.2.0/28")));
    assert_eq!(&*verdict.reason, "192.0.2.10 matches ~IP4:192.0.2.0/28 of example.com");
    let verdict = result_of(CLIENT, "v=spf1 ip4:198.51.100.0/24", &[]);
    assert_eq!((verdict.result, verdict.mechanism), (SpfResult::Neutral, None));
    let verdict = result_of(CLIENT, "v=spf1 +all ip4:999.1.1.1", &[]);
    assert_eq!((verdict.result, &*verdict.reason), (SpfResult::Permerror, "the record of example.com: ip4:999.1.1.1: not an IPv4 address"));
}

#[test]
fn addresses_match_by_their_prefix_and_kind() {
    let v6 = "2001:db8::10";
    let mapped = "::ffff:192.0.2.10";
    let others = [
        ("example.com", "A 192.0.2.99"),
        ("example.com", "AAAA 2001:db8:0:1::1"),
        ("example.com", "MX 20 mail.example.com"),
        ("example.com", "MX 10 ."),
        ("mail.example.com", "A 203.0.113.1"),
        ("mail.example.com", "A 192.0.2.10"),
        ("mail.example.com", "AAAA 2001:db8::10"),
        ("v4.example.com", "A 192.0.2.10"),
        ("v6.example.com", "AAAA 2001:db8::10"),
        ("foo:bar/baz.example.com", "A 192.0.2.10"),
    ];
    let others: Vec<_> = others.into_iter().filter(|(_, record)| *record != "MX 10 .").chain([("example.com", "MX 10 ")]).collect();
    for (client, term, is_match) in [
        (CLIENT, "ip4:192.0.2.10", true),
        (CLIENT, "ip4:192.0.2.11", false),
        (CLIENT, "ip4:192.0.2.11/31", true),
        (CLIENT, "ip4:192.0.2.11/32", false),
        (CLIENT, "ip4:9.9.9.9/0", true),
        (mapped, "ip4:192.0.2.0/24", true),
        (v6, "ip4:9.9.9.9/0", false),
        (v6, "ip6:2001:DB8::/33", true),
        (v6, "ip6:2001:db8:8000::/33", false),
        (v6, "ip6:2001:db8::10", true),
        (v6, "ip6:::/0", true),
        (CLIENT, "ip6:::/0", false),
        (mapped, "ip6:::ffff:192.0.2.10", false),
        (mapped, "ip6:::/0", false),
        (CLIENT, "a", false),
        (CLIENT, "a/24", true),
        (CLIENT, "a//0", false),
        (CLIENT, "a/0", true),
        (v6, "a", false),
        (v6, "a/0", false),
        (v6, "a//48", true),
        (v6, "a/0//64", false),
        (CLIENT, "a:v4.example.com", true),
        (CLIENT, "a:V4.Example.COM.", true),
        (CLIENT, "a:v6.example.com/0", false),
        (CLIENT, "a:nowhere.example/0", false),
        (mapped, "a:v4.example.com", true),
        (v6, "a:v4.example.com//0", false),
        (v6, "a:v6.example.com", true),
        (CLIENT, "a:foo:bar/baz.example.com", true),
        (CLIENT, "mx", true),
        (v6, "mx", true),
        (CLIENT, "mx:mail.example.com", false),
        (CLIENT, "mx:nowhere.example/0", false),
        (CLIENT, "exists:v4.example.com", true),
        (v6, "exists:v4.example.com", true),
        (v6, "exists:v6.example.com", false),
        (CLIENT, "exists:nowhere.example", false),
    ] {
        let verdict = result_of(client, &format!("v=spf1 {term} -all"), &others);
        let expected = if is_match { SpfResult::Pass } else { SpfResult::Fail };
        assert_eq!(verdict.result, expected, "{client} {term}: {}", verdict.reason);
    }
}

#[test]
fn names_that_cannot_be_asked_for_match_nothing() {
    let label = "x".repeat(64);
    for term in ["a:a..example/0", "mx:a..example", "exists:.example", &format!("a:{label}.example"), "exists:%{l}.example"] {
        let zone = Zone::new(&[("example.com", &format!("TXT v=spf1 {term} {term} {term} -all"))]);
        let from = if term.contains("%{l}") { "jürgen@example.com" } else { "a@example.com" };
        let verdict = judge_of(&zone, CLIENT, HELO, from);
        assert_eq!((verdict.result, zone.questions()), (SpfResult::Fail, 1), "{term}: {}", verdict.reason);
    }
    for term in ["include:a..example", "redirect=.example"] {
        assert_eq!(result_of(CLIENT, &format!("v=spf1 {term}"), &[]).result, SpfResult::Permerror, "{term}");
    }
}

#[test]
fn an_included_record_matches_if_it_passes() {
    use SpfResult::{Fail, Neutral, Pass, Permerror, Softfail};
    for (included, expected) in [
        (Some("TXT v=spf1 +all"), Softfail),
        (Some("TXT v=spf1 ip4:192.0.2.10 -all"), Softfail),
        (Some("TXT v=spf1 -all"), Fail),
        (Some("TXT v=spf1 ~all"), Fail),
        (Some("TXT v=spf1 ?all"), Fail),
        (Some("TXT v=spf1"), Fail),
        (Some("TXT v=spf1 redirect=pass.example"), Softfail),
        (Some("TXT v=spf1 redirect=nowhere.example"), Permerror),
        (Some("TXT v=spf1 moo"), Permerror),
        (Some("TXT v=spfl +all"), Permerror),
        (None, Permerror),
    ] {
        let others = [("pass.example", "TXT v=spf1 +all"), ("inner.example", included.unwrap_or("A 192.0.2.10"))];
        let verdict = result_of(CLIENT, "v=spf1 ~include:inner.example -all", &others);
        assert_eq!(verdict.result, expected, "{included:?}: {}", verdict.reason);
    }
    let verdict = result_of(CLIENT, "v=spf1 include:inner.example -all", &[("inner.example", "TXT v=spf1 ip4:192.0.2.0/24 -all")]);
    assert_eq!((verdict.result, verdict.mechanism.as_deref()), (Pass, Some("include:inner.example")));
    assert_eq!(
        &*verdict.reason,
        "192.0.2.10 matches include:inner.example of example.com (192.0.2.10 matches ip4:192.0.2.0/24 of inner.example)"
    );
    // What is left out in an included record is its own domain.
    let own =
        result_of(CLIENT, "v=spf1 ?include:inner.example -all", &[("inner.example", "TXT v=spf1 a"), ("inner.example", "A 192.0.2.10")]);
    assert_eq!(own.result, Neutral);
}

#[test]
fn a_redirection_counts_when_nothing_matches() {
    use SpfResult::{Fail, None, Permerror, Softfail};
    let others = [("other.example", "TXT v=spf1 a -all"), ("other.example", "A 192.0.2.10"), ("example.com", "A 192.0.2.77")];
    for (record, client, expected) in [
        ("v=spf1 redirect=other.example", CLIENT, SpfResult::Pass),
        ("v=spf1 redirect=other.example", "192.0.2.77", Fail),
        ("v=spf1 redirect=other.example ~all", CLIENT, Softfail),
        ("v=spf1 redirect=other.example ~ip4:192.0.2.77", "192.0.2.77", Softfail),
        ("v=spf1 redirect=nowhere.example", CLIENT, Permerror),
        ("v=spf1 redirect=%{l}", CLIENT, Permerror),
        ("v=spf1 redirect=nowhere.example -all", CLIENT, Fail),
    ] {
        let verdict = result_of(client, record, &others);
        assert_eq!(verdict.result, expected, "{record}: {}", verdict.reason);
    }
    assert_eq!(result_of(CLIENT, "nothing", &[]).result, None);
    let verdict = result_of("192.0.2.77", "v=spf1 redirect=other.example", &others);
    assert_eq!((&*verdict.domain, verdict.mechanism.as_deref()), ("example.com", Some("-all")), "the sender's domain is told");
}

#[test]
fn names_of_the_client_count_if_they_lead_back() {
    let mut records = vec![
        ("192.0.2.10", "PTR Mail.Example.com"),
        ("mail.example.com", "A 192.0.2.99"),
        ("mail.example.com", "A 192.0.2.10"),
        ("192.0.2.11", "PTR forged.example.com"),
        ("forged.example.com", "A 198.51.100.1"),
        ("192.0.2.12", "PTR away.example.com"),
        ("192.0.2.12", "PTR nowhere.example.com"),
        ("192.0.2.12", "PTR a..b"),
        ("192.0.2.12", "PTR example.com"),
        ("away.example.com", "TROUBLE"),
        ("example.com", "A 192.0.2.12"),
        ("192.0.2.13", "PTR myexample.com"),
        ("myexample.com", "A 192.0.2.13"),
        ("192.0.2.14", "TROUBLE"),
        ("2001:db8::15", "PTR six.example.com"),
        ("six.example.com", "AAAA 2001:db8::15"),
    ];
    let eleven: Vec<String> =
        (0..10).map(|number| format!("PTR no{number}.example.net")).chain(["PTR mail16.example.com".to_owned()]).collect();
    records.extend(eleven.iter().map(|record| ("192.0.2.16", record.as_str())));
    records.push(("mail16.example.com", "A 192.0.2.16"));
    for (client, term, expected) in [
        (CLIENT, "ptr", SpfResult::Pass),
        (CLIENT, "ptr:EXAMPLE.com", SpfResult::Pass),
        (CLIENT, "ptr:mail.example.com.", SpfResult::Pass),
        (CLIENT, "ptr:le.com", SpfResult::Fail),
        (CLIENT, "ptr:x.mail.example.com", SpfResult::Fail),
        (CLIENT, "ptr:example.org", SpfResult::Fail),
        ("192.0.2.11", "ptr", SpfResult::Fail),
        ("192.0.2.12", "ptr", SpfResult::Pass),
        ("192.0.2.13", "ptr", SpfResult::Fail),
        ("192.0.2.14", "ptr ptr ptr", SpfResult::Fail),
        ("2001:db8::15", "ptr", SpfResult::Pass),
        ("::ffff:192.0.2.10", "ptr", SpfResult::Pass),
        // The eleventh name is not looked at, and that is nobody's mistake.
        ("192.0.2.16", "ptr", SpfResult::Fail),
        // No name at all is a void lookup.
        ("192.0.2.17", "ptr ptr", SpfResult::Fail),
        ("192.0.2.17", "ptr ptr ptr", SpfResult::Permerror),
    ] {
        let verdict = result_of(client, &format!("v=spf1 {term} -all"), &records);
        assert_eq!(verdict.result, expected, "{client} {term}: {}", verdict.reason);
    }
}

/// DNS that answers no question for an address before so many have come.
struct Together(Zone, tokio::sync::Barrier);

impl Lookups for Together {
    async fn txt(&self, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
        self.0.txt(name).await
    }

    async fn ipv4(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        self.1.wait().await;
        self.0.ipv4(name).await
    }

    async fn ipv6(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        self.0.ipv6(name).await
    }

    async fn mx(&self, name: &str) -> Result<Records<(u16, Box<str>)>, DnsError> {
        self.0.mx(name).await
    }

    async fn ptr(&self, address: IpAddr) -> Result<Records<Box<str>>, DnsError> {
        self.0.ptr(address).await
    }
}

#[tokio::test]
async fn mail_exchangers_are_asked_side_by_side() {
    let zone = Zone::new(&[
        ("example.com", "TXT v=spf1 mx -all"),
        ("example.com", "MX 10 a.example"),
        ("example.com", "MX 20 b.example"),
        ("example.com", "MX 30 c.example"),
        ("c.example", "A 192.0.2.10"),
    ]);
    let dns = Together(zone, tokio::sync::Barrier::new(3));
    let reverse_path = ReversePath::Address(Address::parse("a@example.com", true).unwrap());
    let sender = Sender {
        client_ip: CLIENT.parse().unwrap(),
        helo: HELO,
        reverse_path: &reverse_path,
        hostname: "gate.example",
        unix_seconds: 1_800_000_000,
    };
    let verdict = tokio::time::timeout(std::time::Duration::from_secs(60), judge(&dns, &sender)).await;
    assert_eq!(verdict.expect("none waits for another's answer").result, SpfResult::Pass);
}

/// Whatever comes first of the answers.
#[test]
fn mail_exchangers_are_judged_in_their_order() {
    let hosts = |sick: &str, well: &str| {
        let mx = [format!("MX {sick} sick.example"), format!("MX {well} well.example")];
        let others =
            [("example.com", mx[0].as_str()), ("example.com", &mx[1]), ("sick.example", "TROUBLE"), ("well.example", "A 192.0.2.10")];
        result_of(CLIENT, "v=spf1 mx -all", &others).result
    };
    assert_eq!(hosts("20", "10"), SpfResult::Pass);
    assert_eq!(hosts("10", "20"), SpfResult::Temperror);
}
