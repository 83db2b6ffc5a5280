//! Seals over the chains of others, through SMTP, and verified by others behind the gateway.

use serde_json::json;

use crate::common::dns::StubDns;
use crate::harness::signatures::Keys;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const SENDER: &str = "s1._domainkey.example.org";
const OURS: &str = "arc._domainkey.acme.example";
const FAR: &str = "a._domainkey.far.example";
const NEAR: &str = "n._domainkey.near.example";
const SIGNED: &[&str] = &["from", "to", "subject", "date", "message-id"];
const FORGED: &str = "Authentication-Results: mx1.acme.example; spf=pass; arc=pass\r\n";

/// A gateway that seals, marks what comes from a broken chain, and would be fooled by a field that claims to be its own.
fn start(dns: &StubDns, keys: &Keys, delivery: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let rules = "rules:\n  - name: fooled\n    when: [{ header: { name: Authentication-Results, contains: mx1.acme.example } }]\n    \
                 actions: [{ Reject: { text: fooled } }]\n  - name: others\n    \
                 when: [{ header: { name: Authentication-Results, contains: mx.other.example } }]\n    \
                 actions: [{ AddHeader: { name: X-Others, value: seen } }]\n  - name: broken\n    when: [{ arc_result: { equals: fail } }]\n    \
                 actions: [{ PrefixSubject: { text: \"[broken] \" } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
    let seal = "arc_seal: { domain: acme.example, selector: arc, key: { file: arc.pem } }";
    let deployment = Deployment::new(delivery).names(dns).relay("next", sink.address()).rules(rules);
    let deployment = deployment.file("arc.pem", &keys.pem(OURS)).endpoint(seal);
    let gateway = deployment.start();
    (sink, deployment, gateway)
}

fn send(gateway: &Gateway, message: &[u8]) {
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], message).expect("250 ");
}

#[test]
fn a_strangers_chain_goes_on_with_our_seal() {
    let keys = Keys::new(&[SENDER, OURS, FAR, NEAR]);
    let dns = StubDns::launch();
    keys.publish(&dns);
    let signed = keys.sign(&mail::awkward(300), "example.org", "s1", "relaxed/relaxed", SIGNED);
    let once = keys.seal(&signed, "far.example", "a");
    let twice = keys.seal(&once, "near.example", "n");
    let other = "Authentication-Results: mx.other.example; spf=fail smtp.mailfrom=x.example\r\n";
    for (delivery, instances) in [("inline", 0..3), ("queue", 2..3)] {
        let (sink, _deployment, gateway) = start(&dns, &keys, delivery);
        for (number, instances) in instances.enumerate() {
            let message = [&signed, &once, &twice][instances];
            send(&gateway, &[FORGED.as_bytes(), other.as_bytes(), message].concat());
            let data = sink.wait_taken(number + 1).pop().unwrap().data;
            let text = mail::text(&data);
            assert!(text.contains("X-Others: seen\r\n") && !text.contains("spf=pass; arc=pass"), "{text}");
            let found = keys.verify(&data);
            let all: Vec<usize> = (1..=instances + 1).collect();
            assert_eq!((&found["arc"], &found["instances"]), (&json!("pass"), &json!(all)), "{found}");
            // Nothing that a signature covers was touched on the way.
            assert_eq!(found["dkim"], json!([true]), "{found}");
            let cv = if instances == 0 { "cv=none" } else { "cv=pass" };
            let seal = text.split("\r\nARC-Message-Signature").next().unwrap();
            assert!(seal.starts_with(&format!("ARC-Seal: i={};", instances + 1)) && seal.contains(cv), "{seal}");
            // Others go on from there.
            if delivery == "inline" && instances == 2 {
                let on = keys.verify(&keys.seal(&data, "near.example", "n"));
                assert_eq!((&on["arc"], on["instances"].as_array().map(Vec::len)), (&json!("pass"), Some(instances + 2)), "{on}");
            }
        }
        let event = gateway.wait_for(|event| event["event"] == "verdicts" && event["arc"]["instances"] == 2);
        assert_eq!(
            (&event["arc"]["result"], &event["arc"]["sealers"]),
            (&json!("pass"), &json!(["far.example", "near.example"])),
            "{event}"
        );
    }
}

#[test]
fn a_broken_chain_is_called_broken_and_one_that_cannot_be_judged_is_left_alone() {
    let keys = Keys::new(&[SENDER, OURS, FAR]);
    let dns = StubDns::launch();
    keys.publish(&dns);
    let (sink, _deployment, gateway) = start(&dns, &keys, "inline");
    let sealed = keys.seal(&mail::small("chain"), "far.example", "a");
    send(&gateway, mail::text(&sealed).replace("Hello", "Hullo").as_bytes());
    let data = sink.wait_taken(1).pop().unwrap().data;
    let text = mail::text(&data);
    assert!(text.starts_with("ARC-Seal: i=2;") && text.contains("cv=fail") && text.contains("Subject: [broken] chain"), "{text}");
    assert!(text.contains("ARC-Authentication-Results: i=2; mx1.acme.example;"), "{text}");
    // Nothing may follow, neither theirs nor ours.
    assert_eq!(keys.verify(&data)["arc"], "ended");
    let ended = mail::below_received(&data).to_vec();
    let whole = [&data[..data.len() - mail::received_field(&data).len() - ended.len()], &ended[..]].concat();
    send(&gateway, &whole);
    let again = sink.wait_taken(2).pop().unwrap().data;
    assert!(!mail::above_received(&again).contains("ARC-"), "{}", mail::above_received(&again));

    dns.remove(FAR);
    dns.add(FAR, "SERVFAIL", "");
    let (sink, _deployment, gateway) = start(&dns, &keys, "inline");
    send(&gateway, &sealed);
    let data = sink.wait_taken(1).pop().unwrap().data;
    assert!(!mail::above_received(&data).contains("ARC-Seal"), "{}", mail::above_received(&data));
    assert!(mail::above_received(&data).contains("arc=fail"), "{}", mail::above_received(&data));
    let event = gateway.wait_for(|event| event["event"] == "verdicts");
    assert_eq!(event["arc"]["is_temporary"], true, "{event}");
}
