//! Next hops that TLSA records speak of (RFC 7672), pins, and who may not listen or pretend.

use aws_lc_rs::digest::{SHA256, SHA512, digest};

use super::pki::{Ca, Shown, mx, reach, watched};
use super::tls_and_login::{server, with_tls};
use super::*;
use crate::stub_dns::StubDns;

const HOST: &str = "mx.y.example";

/// A TLSA record for a certificate.
fn record(usage: u8, selector: u8, matching: u8, shown: &Shown) -> String {
    let selected = if selector == 0 { shown.der.to_vec() } else { shown.spki.clone() };
    let data = match matching {
        0 => selected,
        1 => digest(&SHA256, &selected).as_ref().to_vec(),
        _ => digest(&SHA512, &selected).as_ref().to_vec(),
    };
    let digits: String = data.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{usage} {selector} {matching} {digits}")
}

/// Signed, as far as nothing else is said.
fn zone(hop: &Hop, records: &[&str]) -> StubDns {
    let dns = StubDns::launch();
    let tlsa = format!("_{}._tcp.{HOST}", hop.address.port());
    dns.load(&[("y.example", "MX", "10 mx.y.example"), ("y.example", "SIGNED", ""), (HOST, "A", "127.0.0.1"), (HOST, "SIGNED", "")]);
    for record in records {
        dns.add(&tlsa, "TLSA", record);
        dns.signed(&tlsa);
    }
    dns
}

#[tokio::test]
async fn certificates_are_what_tlsa_records_say() {
    let (ca, other) = (Ca::new("one"), Ca::new("other"));
    let (good, leaf) = ca.server(HOST, 30);
    let (good_alone, _) = ca.server_showing(HOST, 30, false);
    let (of_domain, _) = ca.server("y.example", 30);
    let (stranger, strange) = ca.server("mx.other.example", -30);
    let (expired, _) = ca.server(HOST, -30);
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    for (what, tls, records, expected, fault) in [
        ("3 1 1", &good, vec![record(3, 1, 1, &leaf)], "TLS", ""),
        ("3 0 1", &good, vec![record(3, 0, 1, &leaf)], "TLS", ""),
        ("3 1 2", &good, vec![record(3, 1, 2, &leaf)], "TLS", ""),
        ("3 0 2", &good, vec![record(3, 0, 2, &leaf)], "TLS", ""),
        ("3 1 0", &good, vec![record(3, 1, 0, &leaf)], "TLS", ""),
        ("3 0 0", &good, vec![record(3, 0, 0, &leaf)], "TLS", ""),
        ("3: neither name nor time matter", &stranger, vec![record(3, 1, 1, &strange)], "TLS", ""),
        ("3, another key", &good, vec![wrong.clone()], "4.7.5", "validation-failure"),
        ("3, one of two", &good, vec![wrong.clone(), record(3, 1, 1, &leaf)], "TLS", ""),
        ("3, the strongest digest counts", &good, vec![record(3, 1, 1, &leaf), record(3, 1, 2, &strange)], "4.7.5", "validation-failure"),
        ("3 for the authority", &good, vec![record(3, 1, 1, &ca.shown)], "4.7.5", "validation-failure"),
        ("2 0 1", &good, vec![record(2, 0, 1, &ca.shown)], "TLS", ""),
        ("2 1 1", &good, vec![record(2, 1, 1, &ca.shown)], "TLS", ""),
        ("2 1 2", &good, vec![record(2, 1, 2, &ca.shown)], "TLS", ""),
        ("2 0 0, shown", &good, vec![record(2, 0, 0, &ca.shown)], "TLS", ""),
        ("2 0 0, not shown", &good_alone, vec![record(2, 0, 0, &ca.shown)], "TLS", ""),
        ("2 0 1, not shown", &good_alone, vec![record(2, 0, 1, &ca.shown)], "4.7.5", "validation-failure"),
        ("2 for the domain's name", &of_domain, vec![record(2, 0, 1, &ca.shown)], "TLS", ""),
        ("2 for another name", &stranger, vec![record(2, 0, 1, &ca.shown)], "4.7.5", "certificate-expired"),
        ("2, too old", &expired, vec![record(2, 0, 1, &ca.shown)], "4.7.5", "certificate-expired"),
        ("2, another authority", &good, vec![record(2, 1, 1, &other.shown)], "4.7.5", "validation-failure"),
        ("2, another authority in full", &good, vec![record(2, 0, 0, &other.shown)], "4.7.5", "certificate-not-trusted"),
        ("2 for the certificate itself", &good_alone, vec![record(2, 1, 1, &leaf)], "4.7.5", "validation-failure"),
        ("2 or 3", &good, vec![record(2, 1, 1, &other.shown), record(3, 1, 1, &leaf)], "TLS", ""),
        // RFC 7672 §3.1.3: for nobody, so TLS with anybody.
        ("1", &good, vec![record(1, 1, 1, &leaf)], "TLS", "tlsa-invalid"),
        ("0", &good, vec![record(0, 0, 1, &ca.shown)], "TLS", "tlsa-invalid"),
        ("a short digest", &good, vec!["3 1 1 00ff".to_owned()], "TLS", "tlsa-invalid"),
        ("an unknown digest", &good, vec!["3 1 9 00ff".to_owned()], "TLS", "tlsa-invalid"),
        ("an unknown usage beside a good one", &good, vec![record(7, 1, 1, &leaf), wrong], "4.7.5", "validation-failure"),
    ] {
        let hop = Hop::start(with_tls(Arc::clone(tls))).await;
        let dns = zone(&hop, &records.iter().map(String::as_str).collect::<Vec<_>>());
        let (relays, watch) = watched(&dns, 443);
        assert_eq!(reach(&relays, &mx("y.example", TlsMode::Dane), HOST, &hop, false).await, expected, "{what}");
        assert_eq!(watch.take(), [("tlsa", fault)], "{what}");
        assert_eq!(hop.log().connections, 1, "{what}: no second try in plain text");
    }
}

#[tokio::test]
async fn what_is_not_authenticated_asks_for_nothing_and_trouble_for_patience() {
    let (good, leaf) = Ca::new("one").server(HOST, 30);
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    let right = record(3, 1, 1, &leaf);
    let plain = || Script::default();
    let with = || with_tls(Arc::clone(&good));
    // Offers STARTTLS and then closes instead of a handshake.
    let closing = |command: &str, _: usize| (command == "STARTTLS").then_some(Act::SayAndClose("220 go on"));
    let broken = || Script { rule: Arc::new(closing), ..Script::default().keywords(&["STARTTLS"]) };
    type Change = fn(&StubDns, &str);
    let nothing: Change = |_, _| {};
    let unsigned_mx: Change = |dns, _| {
        dns.remove("y.example");
        dns.add("y.example", "MX", "10 mx.y.example");
    };
    let unsigned_host: Change = |dns, _| {
        dns.remove(HOST);
        dns.add(HOST, "A", "127.0.0.1");
    };
    let unsigned_records: Change = |dns, tlsa| {
        dns.remove(tlsa);
        dns.add(tlsa, "TLSA", "3 1 1 00");
    };
    let no_records: Change = |dns, tlsa| dns.remove(tlsa);
    let sick_records: Change = |dns, tlsa| dns.add(tlsa, "SERVFAIL", "");
    let sick_host: Change = |dns, _| dns.add(HOST, "SERVFAIL", "");
    let sick_mx: Change = |dns, _| dns.add("y.example", "SERVFAIL", "MX");
    let another_mx: Change = |dns, _| {
        dns.remove("y.example");
        dns.load(&[("y.example", "MX", "10 mx2.y.example"), ("y.example", "SIGNED", "")]);
    };
    let ipv6_alone: Change = |dns, _| {
        dns.remove(HOST);
        dns.load(&[(HOST, "AAAA", "::1"), (HOST, "SIGNED", "")]);
    };
    for (what, script, records, change, expected, seen) in [
        ("wrong records", with(), &wrong, nothing, "4.7.5", Some(("tlsa", "validation-failure"))),
        ("records, no STARTTLS", plain(), &right, nothing, "4.7.4", Some(("tlsa", "starttls-not-supported"))),
        ("records, a broken handshake", broken(), &right, nothing, "4.7.5", Some(("tlsa", "validation-failure"))),
        ("no records, no STARTTLS", plain(), &wrong, no_records, "plain", Some(("no-policy-found", "starttls-not-supported"))),
        ("no records, any certificate", with(), &wrong, no_records, "TLS", Some(("no-policy-found", ""))),
        ("MX not authenticated", with(), &wrong, unsigned_mx, "TLS", Some(("no-policy-found", ""))),
        ("host not authenticated", with(), &wrong, unsigned_host, "TLS", Some(("no-policy-found", ""))),
        ("records not authenticated", plain(), &wrong, unsigned_records, "plain", Some(("no-policy-found", "starttls-not-supported"))),
        ("host with IPv6 alone", with(), &wrong, ipv6_alone, "4.7.5", Some(("tlsa", "validation-failure"))),
        ("bogus records", with(), &right, sick_records, "4.7.5", Some(("no-policy-found", "dnssec-invalid"))),
        ("bogus host", with(), &right, sick_host, "4.7.5", Some(("no-policy-found", "dnssec-invalid"))),
        ("bogus MX", with(), &right, sick_mx, "4.7.5", Some(("no-policy-found", "dnssec-invalid"))),
        ("a host that is no exchanger", with(), &right, another_mx, "4.7.5", Some(("no-policy-found", "dnssec-invalid"))),
    ] {
        let hop = Hop::start(script).await;
        let dns = zone(&hop, &[records]);
        change(&dns, &format!("_{}._tcp.{HOST}", hop.address.port()));
        let (relays, watch) = watched(&dns, 443);
        assert_eq!(reach(&relays, &mx("y.example", TlsMode::Dane), HOST, &hop, false).await, expected, "{what}");
        assert_eq!(watch.take(), Vec::from_iter(seen), "{what}");
        assert_eq!(hop.count("MAIL"), 0);
        let asked = dns.questions().iter().any(|question| question.ends_with(" TLSA"));
        assert_eq!(
            asked,
            !(what.starts_with("MX")
                || what.contains("host not")
                || what.contains("bogus host")
                || what.contains("bogus MX")
                || what.contains("no exchanger")),
            "{what}"
        );
    }
}

/// RFC 7672 §2.2.2, §2.2.1: aliases of hosts, and domains without MX records.
#[tokio::test]
async fn records_stand_where_the_names_lead() {
    let ca = Ca::new("one");
    let (tls, leaf) = ca.server("real.example", 30);
    let hop = Hop::start(with_tls(tls)).await;
    let port = hop.address.port();
    let wrong = format!("3 1 1 {}", "00".repeat(32));
    for (what, is_real_signed, at_alias, at_real, expected) in [
        ("at the end of the alias", true, None, Some(record(2, 0, 1, &ca.shown)), "TLS"),
        ("at the alias", true, Some(record(3, 1, 1, &leaf)), None, "TLS"),
        ("the end comes first", true, Some(record(3, 1, 1, &leaf)), Some(wrong.clone()), "4.7.5"),
        ("the end is not signed", false, Some(record(3, 1, 1, &leaf)), Some(wrong.clone()), "TLS"),
        ("the end is not signed, the alias has others", false, Some(wrong), Some(record(3, 1, 1, &leaf)), "4.7.5"),
    ] {
        let dns = zone(&hop, &[]);
        dns.remove(HOST);
        dns.load(&[(HOST, "CNAME", "real.example"), (HOST, "SIGNED", ""), ("real.example", "A", "127.0.0.1")]);
        if is_real_signed {
            dns.signed("real.example");
        }
        for (name, record) in [(HOST, at_alias), ("real.example", at_real)] {
            if let Some(record) = record {
                dns.add(&format!("_{port}._tcp.{name}"), "TLSA", &record);
                dns.signed(&format!("_{port}._tcp.{name}"));
            }
        }
        let (relays, _) = watched(&dns, 443);
        assert_eq!(reach(&relays, &mx("y.example", TlsMode::Dane), HOST, &hop, false).await, expected, "{what}");
    }
    let dns = StubDns::launch();
    dns.load(&[("z.example", "A", "127.0.0.1"), ("z.example", "SIGNED", "")]);
    dns.add(&format!("_{port}._tcp.z.example"), "TLSA", &format!("3 1 1 {}", "00".repeat(32)));
    dns.signed(&format!("_{port}._tcp.z.example"));
    let (relays, _) = watched(&dns, 443);
    assert_eq!(reach(&relays, &mx("z.example", TlsMode::Dane), "z.example", &hop, false).await, "4.7.5");
}

/// RFC 8689 §4.2.1.
#[tokio::test]
async fn requiretls_goes_to_exchangers_that_somebody_vouches_for() {
    let ca = Ca::new("one");
    let (good, leaf) = ca.server(HOST, 30);
    let (other, other_leaf) = ca.server("other.example", 30);
    for (what, tls, records, is_signed, expected) in [
        ("records", &good, vec![record(3, 1, 1, &leaf)], true, "TLS"),
        ("records for another name", &other, vec![record(3, 1, 1, &other_leaf)], true, "TLS"),
        ("wrong records", &good, vec![record(3, 1, 1, &other_leaf)], true, "5.7.10"),
        ("no records, a CA", &good, vec![], true, "TLS"),
        ("no records, another name", &other, vec![], true, "5.7.10"),
        ("unusable records, a CA", &good, vec![record(1, 1, 1, &leaf)], true, "TLS"),
        ("nobody vouches", &good, vec![], false, "5.7.10"),
    ] {
        for mode in [TlsMode::Opportunistic, TlsMode::Verify, TlsMode::Dane] {
            let hop = Hop::start(with_tls(Arc::clone(tls)).keywords(&["REQUIRETLS"])).await;
            let dns = zone(&hop, &records.iter().map(String::as_str).collect::<Vec<_>>());
            if !is_signed {
                dns.remove("y.example");
                dns.add("y.example", "MX", "10 mx.y.example");
            }
            let (relays, _) = watched(&dns, 443);
            let relay = RelayConfig { ca_file: Some(ca.file.path().to_owned()), ..mx("y.example", mode) };
            assert_eq!(reach(&relays, &relay, HOST, &hop, true).await, expected, "{what}, {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_pinned_key_is_shown_or_nothing_is_sent() {
    let (tls, pem) = server(&["127.0.0.1"]);
    let (other_tls, _) = server(&["127.0.0.1"]);
    let der = <rustls::pki_types::CertificateDer<'_> as rustls::pki_types::pem::PemObject>::from_pem_slice(pem.as_bytes()).unwrap();
    let spki = rustls::server::ParsedCertificate::try_from(&der).unwrap().subject_public_key_info();
    let pin: [u8; 32] = digest(&SHA256, &spki).as_ref().try_into().unwrap();
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem).unwrap();
    for (what, script, mode, pins, ca_file, expected) in [
        ("the key", with_tls(Arc::clone(&tls)), TlsMode::Required, vec![pin], false, "250"),
        ("one of two keys", with_tls(Arc::clone(&tls)), TlsMode::Required, vec![[0; 32], pin], false, "250"),
        ("another key", with_tls(Arc::clone(&tls)), TlsMode::Required, vec![[0; 32]], false, "451 4.7.5 later"),
        ("another server", with_tls(Arc::clone(&other_tls)), TlsMode::Required, vec![pin], false, "451 4.7.5 later"),
        ("the key and a CA", with_tls(Arc::clone(&tls)), TlsMode::Verify, vec![pin], true, "250"),
        ("the key, no CA", with_tls(Arc::clone(&tls)), TlsMode::Verify, vec![pin], false, "451 4.7.5 later"),
        ("a CA, another key", with_tls(Arc::clone(&tls)), TlsMode::Verify, vec![[0; 32]], true, "451 4.7.5 later"),
        // A pin asks for TLS.
        ("the key", with_tls(Arc::clone(&tls)), TlsMode::Opportunistic, vec![pin], false, "250"),
        ("another key", with_tls(Arc::clone(&tls)), TlsMode::Opportunistic, vec![[0; 32]], false, "451 4.7.5 later"),
        ("no STARTTLS", Script::default(), TlsMode::Opportunistic, vec![pin], false, "451 4.7.4 later"),
        (
            "implicit",
            Script { implicit_tls: true, ..with_tls(Arc::clone(&tls)) },
            TlsMode::Required,
            vec![[0; 32]],
            false,
            "451 4.7.5 later",
        ),
    ] {
        let implicit_tls = script.implicit_tls;
        let hop = Hop::start(script).await;
        let ca_file = ca_file.then(|| ca.path().to_owned());
        let config = RelayConfig { tls: mode, implicit_tls, pins, ca_file, ..config(&hop) };
        let report = deliver(&relays(), config, &["x@y.example"]).await;
        assert_eq!(short(&report), [expected], "{what}, {mode:?}: {}", detail(&report));
        let log = hop.log();
        assert_eq!((log.connections, log.messages.len()), (1, usize::from(expected == "250")), "{what}, {mode:?}");
    }
}
