//! Verdicts over SMTP: of clients that load balancers announce, in the field that the next hop reads, in the log, and in rules.

use serde_json::{Value, json};

use crate::common::dns::StubDns;
use crate::harness::client::stuffed;
use crate::harness::signatures::Keys;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const SENDER: &str = "s1._domainkey.example.org";
const STRANGER: &str = "s1._domainkey.stranger.example";
const FAR: &str = "a._domainkey.far.example";
const SIGNED: &[&str] = &["from", "to", "subject", "date", "message-id"];
const ALL: &str = "rules:\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

/// Clients of example.org, and one that is not.
const OURS: &str = "203.0.113.9";
const OURS_6: &str = "2001:db8:1::9";
const OTHER: &str = "198.51.100.9";
const OTHER_6: &str = "2001:db8:2::9";

fn zone(keys: &Keys) -> StubDns {
    let dns = StubDns::launch();
    dns.load(&[
        ("example.org", "TXT", "v=spf1 ip4:203.0.113.0/24 ip6:2001:db8:1::/48 -all"),
        ("_dmarc.example.org", "TXT", "v=DMARC1; p=reject"),
        ("soft.example", "TXT", "v=spf1 ip4:203.0.113.0/24 ~all"),
        ("_dmarc.soft.example", "TXT", "v=DMARC1; p=quarantine; sp=none"),
        ("neutral.example", "TXT", "v=spf1 ?all"),
        ("_dmarc.neutral.example", "TXT", "v=DMARC1; p=none"),
        ("broken.example", "TXT", "v=spf1 ipv4:203.0.113.0/24 -all"),
        ("sick.example", "SERVFAIL", ""),
        ("_dmarc.sick.example", "SERVFAIL", ""),
        ("silent.example", "EMPTY", ""),
        ("mail.example.org", "TXT", "v=spf1 ip4:203.0.113.9 -all"),
        ("mail.example.org", "A", OURS),
        ("mail.example.org", "AAAA", OURS_6),
        (OURS, "PTR", "mail.example.org"),
        (OURS_6, "PTR", "mail.example.org"),
        // A name that does not have the address.
        (OTHER, "PTR", "mail.example.org"),
        ("xn--bcher-kva.example", "TXT", "v=spf1 ip4:203.0.113.0/24 -all"),
        ("_dmarc.xn--bcher-kva.example", "TXT", "v=DMARC1; p=reject"),
    ]);
    keys.publish(&dns);
    dns
}

fn start(dns: &StubDns, rules: &str) -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").names(dns).relay("next", sink.address()).rules(rules);
    let gateway = deployment.endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }, received_spf: true").start();
    (sink, gateway)
}

fn from(author: &str) -> Vec<u8> {
    mail::text(&mail::small("verdict")).replace("alice@example.org", author).into_bytes()
}

/// The results of the field on top, a line each.
fn results(data: &[u8]) -> Vec<String> {
    let field = mail::above_received(data);
    let field = field.split("Received-SPF:").next().unwrap().replace("\r\n\t", " ").replace("\r\n ", " ");
    let results = field.trim_end().strip_prefix("Authentication-Results: mx1.acme.example;").unwrap_or_else(|| panic!("{field}"));
    results.split(';').map(|result| result.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn spf_and_dmarc_judge_the_client_that_the_load_balancer_names() {
    let keys = Keys::new(&[]);
    let dns = zone(&keys);
    let (sink, gateway) = start(&dns, ALL);
    for (number, (version, client, sender, author, spf, dmarc, policy)) in [
        (1, OURS, "a@example.org", "a@example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        (2, OURS, "a@example.org", "a@sub.example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        (1, OURS_6, "a@example.org", "a@example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        (2, OURS_6, "a@example.org", "a@example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        // An IPv4 address inside of an IPv6 one is the IPv4 address.
        (1, "::ffff:203.0.113.9", "a@example.org", "a@example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        (2, "::ffff:203.0.113.9", "a@example.org", "a@example.org", "pass smtp.mailfrom=example.org", "pass", "reject"),
        (1, OTHER, "a@example.org", "a@example.org", "fail smtp.mailfrom=example.org", "fail", "reject"),
        (2, OTHER_6, "a@example.org", "a@example.org", "fail smtp.mailfrom=example.org", "fail", "reject"),
        // Passes for somebody else.
        (2, OURS, "a@example.org", "a@soft.example", "pass smtp.mailfrom=example.org", "fail", "quarantine"),
        (1, OTHER, "a@soft.example", "a@sub.soft.example", "softfail smtp.mailfrom=soft.example", "fail", "none"),
        (2, OTHER, "a@neutral.example", "a@neutral.example", "neutral smtp.mailfrom=neutral.example", "fail", "none"),
        (1, OURS, "a@silent.example", "a@silent.example", "none smtp.mailfrom=silent.example", "none", "absent"),
        (2, OURS, "a@broken.example", "a@broken.example", "permerror smtp.mailfrom=broken.example", "none", "absent"),
        (1, OURS, "a@sick.example", "a@sick.example", "temperror smtp.mailfrom=sick.example", "temperror", "absent"),
        // The null sender is who HELO says.
        (2, OURS, "", "a@example.org", "pass smtp.helo=mail.example.org", "pass", "reject"),
        (1, OTHER, "", "a@example.org", "fail smtp.helo=mail.example.org", "fail", "reject"),
    ]
    .into_iter()
    .enumerate()
    {
        let row = format!("row {number}: {client} {sender} {author}");
        Client::behind(gateway.address(), version, client, "mail.example.org").send(sender, &[BOB], &from(author)).expect("250 ");
        let data = sink.wait_taken(number + 1).pop().unwrap().data;
        let found = results(&data);
        let (method, property) = spf.split_once(' ').unwrap();
        assert!(found[0].starts_with(&format!("spf={method} (")) && found[0].ends_with(property), "{row}: {found:?}");
        assert_eq!(found[1], "dkim=none", "{row}: {found:?}");
        let domain = author.split_once('@').unwrap().1;
        assert!(
            found[2].starts_with(&format!("dmarc={dmarc} ")) && found[2].contains(&format!("header.from={domain}")),
            "{row}: {found:?}"
        );
        let above = mail::above_received(&data);
        let received_spf = above.split_once("Received-SPF:").unwrap().1;
        let ip = client.trim_start_matches("::ffff:");
        assert!(received_spf.trim_start().starts_with(method) && received_spf.contains(ip), "{row}: {above}");
        let event = gateway.wait_events(number + 1, |event| event["event"] == "verdicts").pop().unwrap();
        let identity = if sender.is_empty() { "helo" } else { "mail_from" };
        assert_eq!((&event["spf"]["result"], &event["spf"]["identity"]), (&method.into(), &identity.into()), "{row}: {event}");
        assert_eq!((&event["dmarc"]["result"], &event["dmarc"]["policy"]), (&dmarc.into(), &policy.into()), "{row}: {event}");
        assert_eq!((&event["stage"], &event["client_host"]), (&"message".into(), &Value::Null), "{row}: {event}");
    }
    // authres reads it as well.
    let read = keys.verify(&sink.taken().pop().unwrap().data);
    assert_eq!(
        read["results"],
        json!([{ "id": "mx1.acme.example", "results": [["spf", "fail"], ["dkim", "none"], ["dmarc", "fail"], ["arc", "none"]] }])
    );
}

#[test]
fn a_sender_in_unicode_is_judged_by_its_a_label() {
    let dns = zone(&Keys::new(&[]));
    let (sink, gateway) = start(&dns, ALL);
    let mut client = Client::behind(gateway.address(), 2, OURS, "client.example");
    client.command("MAIL FROM:<jürgen@bücher.example> SMTPUTF8").expect("250 ");
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(&stuffed(&from("jürgen@bücher.example")));
    client.reply().expect("250 ");
    let data = sink.only().data;
    let found = results(&data);
    assert!(found[0].starts_with("spf=pass (") && found[0].ends_with("smtp.mailfrom=xn--bcher-kva.example"), "{found:?}");
    assert!(found[2].starts_with("dmarc=pass (") && found[2].contains("header.from=xn--bcher-kva.example"), "{found:?}");
    assert!(mail::above_received(&data).is_ascii(), "{}", mail::above_received(&data));
    assert_eq!(dns.asked("xn--bcher-kva.example", "TXT"), 1, "{:?}", dns.questions());
}

#[test]
fn signatures_and_chains_are_judged() {
    let keys = Keys::new(&[SENDER, STRANGER, FAR]);
    let dns = zone(&keys);
    let (sink, gateway) = start(&dns, ALL);
    let message = mail::small("signed");
    let sign = |domain: &str| keys.sign(&message, domain, "s1", "relaxed/relaxed", SIGNED);
    let (good, strange) = (sign("example.org"), sign("stranger.example"));
    let changed = |message: &[u8]| mail::text(message).replace("Hello", "Hullo").into_bytes();
    let sealed = keys.seal(&good, "far.example", "a");
    let no_key = mail::text(&good).replace("s=s1", "s=s2").into_bytes();
    dns.add("sick._domainkey.example.org", "SERVFAIL", "");
    let sick = mail::text(&good).replace("s=s1", "s=sick").into_bytes();
    // In one session: nothing of a message is believed of the next one.
    let mut session = Client::behind(gateway.address(), 1, OTHER, "client.example");
    for (number, (name, message, dkim, dmarc, arc)) in [
        ("good", &good, "pass", "pass", "none"),
        ("strange", &strange, "pass", "fail", "none"),
        ("both", &[&strange[..strange.len() - message.len()], &good].concat(), "pass", "pass", "none"),
        ("changed", &changed(&good), "fail", "fail", "none"),
        ("no key", &no_key, "permerror", "fail", "none"),
        ("sick key", &sick, "temperror", "temperror", "none"),
        ("sealed", &sealed, "pass", "pass", "pass"),
        ("sealed and changed", &changed(&sealed), "fail", "fail", "fail"),
        ("plain", &message, "none", "fail", "none"),
    ]
    .into_iter()
    .enumerate()
    {
        session.send("", &[BOB], message).expect("250 ");
        let data = sink.wait_taken(number + 1).pop().unwrap().data;
        mail::assert_same(mail::below_received(&data), message);
        let found = results(&data);
        let signatures: Vec<_> = found.iter().filter(|result| result.starts_with("dkim=")).collect();
        assert!(signatures.iter().all(|result| result.starts_with(&format!("dkim={dkim}"))), "{name}: {found:?}");
        assert_eq!(signatures.len(), 1 + usize::from(name == "both"), "{name}: {found:?}");
        for (method, expected) in [("dmarc", dmarc), ("arc", arc)] {
            let begin = format!("{method}={expected}");
            assert!(found.iter().any(|result| result.split(' ').next() == Some(&begin)), "{name}: {begin}: {found:?}");
        }
        let event = gateway.wait_events(number + 1, |event| event["event"] == "verdicts").pop().unwrap();
        assert_eq!((&event["dkim"]["result"], &event["arc"]["result"]), (&dkim.into(), &arc.into()), "{name}: {event}");
    }
}

/// Attribute, the words that a rule for it refuses; what passes goes on.
const REFUSALS: &[(&str, &str)] = &[
    ("spf", "equals: fail"),
    ("spf_result", "not_equals: [pass, none]"),
    ("dkim", "equals: [fail, gray]"),
    ("dkim_result", "equals: fail"),
    ("dmarc_result", "equals: fail"),
    ("arc_result", "not_equals: pass"),
    ("dmarc_policy", "equals: reject"),
    ("client_host", "exists: false"),
];

#[test]
fn rules_decide_by_each_of_them() {
    let keys = Keys::new(&[SENDER, FAR]);
    let dns = zone(&keys);
    let refusals: String = REFUSALS
        .iter()
        .map(|(attribute, test)| {
            let name = attribute.replace('_', "-");
            format!(
                "  - name: {name}\n    when: [{{ recipient: {{ equals: {name}@acme.example }} }}, {{ {attribute}: {{ {test} }} }}]\n    \
                 actions: [{{ Reject: {{ code: 550, status: 5.7.26, text: \"{name}\" }} }}]\n"
            )
        })
        .collect();
    let all = ALL.strip_prefix("rules:\n").unwrap();
    let (sink, gateway) = start(&dns, &format!("rules:\n{refusals}{all}"));
    let signed = keys.sign(&mail::small("signed"), "example.org", "s1", "relaxed/relaxed", SIGNED);
    let good = keys.seal(&signed, "far.example", "a");
    let bad = mail::text(&good).replace("Hello", "Hullo").into_bytes();
    let recipients: Vec<String> = REFUSALS.iter().map(|(attribute, _)| format!("{}@acme.example", attribute.replace('_', "-"))).collect();
    // Together: `dmarc_policy` is what the record asks for, whoever passes.
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    let served: Vec<&str> = recipients.iter().copied().filter(|to| !to.starts_with("dmarc-policy")).collect();
    Client::behind(gateway.address(), 2, OURS_6, "mail.example.org").send("a@example.org", &recipients, &good).expect("250 ");
    assert_eq!(sink.only().recipients, served);
    Client::behind(gateway.address(), 1, OURS, "mail.example.org")
        .send("a@silent.example", &["dmarc-policy@acme.example"], &from("a@silent.example"))
        .expect("250 ");
    sink.wait_taken(2);
    for to in &recipients {
        let name = to.split('@').next().unwrap();
        let mut client = Client::behind(gateway.address(), 1, OTHER, "mail.example.org");
        client.send("a@example.org", &[to], &bad).expect(&format!("550 5.7.26 {name}"));
        gateway.wait_for(|event| event["event"] == "rule" && event["rule"] == name);
    }
    // Nothing of it came through.
    assert_eq!(sink.taken().len(), 2);
    let host = gateway.wait_for(|event| event["event"] == "verdicts" && !event["client_host"].is_null());
    assert_eq!(host["client_host"], json!({ "name": "mail.example.org" }));
}
