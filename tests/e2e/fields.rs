//! What is put on a message and what is taken off, judged by other people's programs: dkimpy, OpenDKIM and authres.

use std::cell::RefCell;
use std::sync::Mutex;

use bytes::Bytes;
use gateway::authentication::seal::{BodyHash, Sealed, Sealer, Unsealed};
use gateway::message::{ArcResult, ArcVerdict, Edits, Original};
use gateway::secrets::SigningKey;
use serde_json::{Value, json};

use crate::harness::signatures::{self, Keys};
use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const DORA: &str = "dora@acme.example";
const SENDER: &str = "s1._domainkey.example.org";
const OURS: &str = "arc._domainkey.acme.example";
const FAR: &str = "a._domainkey.far.example";
const SIGNED: &[&str] = &["from", "to", "subject", "date", "message-id"];

#[test]
fn our_results_stand_on_top_and_forged_ones_are_gone() {
    let sink = Sink::accepting();
    let rules = "rules:\n  - name: fooled\n    when: [{ header: { name: Authentication-Results, contains: mx1.acme.example } }]\n    \
                 actions: [{ AddHeader: { name: X-Fooled, value: x } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
    let gateway = Deployment::new("inline").relay("next", sink.address()).rules(rules).start();
    let forged = "Authentication-Results: (x)\r\n MX1.acme.example; spf=pass\r\nauthentication-results :mx1.acme.example; dkim=pass\r\n";
    let other = "Authentication-Results: mx.example.org; spf=fail smtp.mailfrom=x.example\r\n";
    let message = mail::awkward(2000);
    send(&gateway, &[BOB], &[forged.as_bytes(), other.as_bytes(), forged.as_bytes(), &message].concat());
    let taken = sink.only();
    mail::assert_same(taken.original(), &[other.as_bytes(), &message].concat());
    assert!(mail::above_received(&taken.data).starts_with("Authentication-Results: mx1.acme.example;"));
    let read = Keys::new(&[]).verify(&taken.data);
    let ids: Vec<&Value> = read["results"].as_array().unwrap().iter().map(|field| &field["id"]).collect();
    assert_eq!(ids, ["mx1.acme.example", "mx.example.org"]);
}

#[test]
fn an_endpoint_may_be_without_results() {
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").relay("next", sink.address()).endpoint("authentication_results: false").start();
    let forged = "Authentication-Results: mx1.acme.example; spf=pass\r\n";
    send(&gateway, &[BOB], &[forged.as_bytes(), &mail::small("none")].concat());
    let taken = sink.only();
    assert_eq!(mail::above_received(&taken.data), "");
    mail::assert_same(taken.original(), &mail::small("none"));
}

#[test]
fn signatures_verify_behind_us() {
    let sink = Sink::accepting();
    let keys = Keys::new(&[SENDER, OURS]);
    let gateway = sealing(Deployment::new("inline").relay("next", sink.address()), &keys).start();
    let forged = "Authentication-Results: mx1.acme.example; spf=pass\r\n";
    let mut expected = 0;
    for (name, message) in
        [("small", mail::small("s")), ("awkward", mail::awkward(900)), ("empty", header_only()), ("large", mail::large(3_000_000))]
    {
        for canonicalize in ["relaxed/relaxed", "simple/simple", "relaxed/simple"] {
            let signed = keys.sign(&message, "example.org", "s1", canonicalize, SIGNED);
            send(&gateway, &[BOB], &[forged.as_bytes(), &signed].concat());
            expected += 1;
            let data = sink.wait_taken(expected).pop().unwrap().data;
            mail::assert_same(mail::below_received(&data), &signed);
            let found = keys.verify(&data);
            assert_eq!(found["dkim"], json!([true]), "{name} {canonicalize}: {found}");
            assert_eq!((&found["arc"], &found["valid"]), (&json!("pass"), &json!([true])), "{name} {canonicalize}: {found}");
            let told = keys.opendkim(&data);
            assert!(told.contains("verification (s=s1, d=example.org, 2048-bit key) succeeded"), "{name} {canonicalize}: {told}");
        }
    }
}

#[test]
fn a_forged_field_goes_even_if_a_signature_covers_it() {
    let sink = Sink::accepting();
    let keys = Keys::new(&[SENDER]);
    let gateway = Deployment::new("inline").relay("next", sink.address()).start();
    let message = [b"Authentication-Results: mx1.acme.example; spf=pass\r\n", mail::small("covered").as_slice()].concat();
    let signed = keys.sign(&message, "example.org", "s1", "relaxed/relaxed", &["from", "authentication-results"]);
    assert_eq!(keys.verify(&signed)["dkim"], json!([true]));
    send(&gateway, &[BOB], &signed);
    let taken = sink.only();
    assert!(!mail::text(taken.original()).contains("spf=pass"));
    assert_eq!(keys.verify(&taken.data)["dkim"], json!([false]), "whoever signs a field with our name signs what is not his");
}

#[test]
fn each_group_gets_a_seal_over_its_own_form_of_the_message() {
    let sink = Sink::accepting();
    let keys = Keys::new(&[SENDER, OURS]);
    let rules = "rules:\n  - name: bob\n    when: [{ recipient: { starts_with: bob } }]\n    actions:\n      \
                 - PrefixSubject: { text: \"[EXT] \" }\n      - AddHeader: { name: Reply-To, value: \"list@acme.example\" }\n      \
                 - RemoveHeader: { name: X-Gone }\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
    for delivery in ["inline", "queue"] {
        let deployment = Deployment::new(delivery).relay("next", sink.address()).rules(rules).endpoint("received_spf: true");
        let gateway = sealing(deployment, &keys).start();
        let before = sink.taken().len();
        let message = [b"X-Gone: x\r\n", mail::small("groups").as_slice()].concat();
        let signed = keys.sign(&message, "example.org", "s1", "relaxed/relaxed", SIGNED);
        send(&gateway, &[BOB, DORA], &signed);
        sink.wait_taken(before + 2);
        for taken in sink.taken().split_off(before) {
            let (is_bob, found) = (taken.recipients == [BOB], keys.verify(&taken.data));
            assert_eq!((&found["arc"], &found["instances"]), (&json!("pass"), &json!([1])), "{found}");
            // What the rule has changed breaks the sender's signature; that is what the seal is for.
            assert_eq!(found["dkim"], json!([!is_bob]), "{found}");
            let names: Vec<String> = mail::text(&taken.data).lines().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect();
            let top =
                ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "Authentication-Results", "Received-SPF", "Received"];
            assert_eq!(names[..6], top);
            assert_eq!(names[6] == "Reply-To", is_bob, "{names:?}");
        }
    }
}

#[test]
fn a_retry_after_a_restart_sends_the_same_octets() {
    static SEEN: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    let sink = Sink::start(|at| match at {
        At::Dot(taken) => {
            let mut seen = SEEN.lock().unwrap();
            seen.push(taken.data.clone());
            if seen.len() < 3 { Answer::say("451 4.3.0 not yet") } else { Answer::Ok }
        }
        _ => Answer::Ok,
    });
    let keys = Keys::new(&[SENDER, OURS]);
    let deployment = sealing(Deployment::new("queue").relay("next", sink.address()), &keys);
    let gateway = deployment.start();
    send(&gateway, &[BOB], &keys.sign(&mail::small("again"), "example.org", "s1", "relaxed/relaxed", SIGNED));
    gateway.wait_for(|event| event["event"] == "attempt");
    gateway.kill();
    // Another key by now: what was sealed stays as it was.
    deployment.write("arc.pem", &signatures::pem());
    let _gateway = deployment.start();
    sink.wait_taken(1);
    let seen = SEEN.lock().unwrap();
    assert!(seen.len() >= 3 && seen.iter().all(|data| *data == seen[0]));
    let found = keys.verify(&seen[2]);
    assert_eq!((&found["arc"], &found["dkim"]), (&json!("pass"), &json!([true])), "{found}");
}

#[test]
fn without_its_key_a_message_is_deferred() {
    let sink = Sink::accepting();
    let keys = Keys::new(&[OURS]);
    let deployment = Deployment::new("inline").relay("next", sink.address()).variable("ARC_KEY", &keys.pem(OURS));
    let seal = |key: &str| format!("arc_seal: {{ domain: acme.example, selector: arc, key: {{ env: {key} }} }}");
    let gateway = deployment.endpoint(&seal("NO_SUCH_VARIABLE")).start();
    Client::hello(gateway.address()).send("a@example.org", &[BOB], &mail::small("x")).expect("451 4.3.0 The message cannot be signed now");
    let problem = gateway.wait_for(|event| event["event"] == "problem" && event["what"] == "message");
    assert!(
        problem["detail"].as_str().unwrap().ends_with("cannot be sealed: secret variable NO_SUCH_VARIABLE: it is not set"),
        "{problem}"
    );
    assert_eq!(sink.taken().len(), 0);
    let deployment =
        Deployment::new("inline").relay("next", sink.address()).variable("ARC_KEY", &keys.pem(OURS)).endpoint(&seal("ARC_KEY"));
    let gateway = deployment.start();
    send(&gateway, &[BOB], &mail::small("x"));
    assert_eq!(keys.verify(&sink.only().data)["arc"], "pass");
    assert!(!gateway.said().contains("PRIVATE KEY"));
}

#[test]
fn a_chain_of_others_goes_on_with_our_seal() {
    let keys = Keys::new(&[SENDER, OURS, FAR]);
    let signed = keys.sign(&mail::awkward(300), "example.org", "s1", "relaxed/relaxed", SIGNED);
    let once = keys.seal(&signed, "far.example", "a");
    assert_eq!(keys.verify(&once)["arc"], "pass");
    // Between other sealers, and over a change of ours.
    let mut edits = Edits::default();
    edits.prefix_subject(&Original::parse(once.clone().into()).unwrap(), "[EXT] ");
    let twice = sealed_by_us(&keys, &once, &edits, ArcResult::Pass, 1).unwrap();
    let found = keys.verify(&twice);
    assert_eq!((&found["arc"], &found["instances"], &found["dkim"]), (&json!("pass"), &json!([1, 2]), &json!([false])), "{found}");
    let thrice = keys.seal(&twice, "far.example", "a");
    let found = keys.verify(&thrice);
    assert_eq!((&found["arc"], &found["instances"]), (&json!("pass"), &json!([1, 2, 3])), "{found}");
    // A chain that somebody broke is called broken, once.
    let mut broken = once.clone();
    let at = memchr::memmem::find(&broken, b"spf=pass").unwrap();
    broken[at..at + 8].copy_from_slice(b"spf=fail");
    assert_eq!(keys.verify(&broken)["arc"], "fail");
    let marked = sealed_by_us(&keys, &broken, &Edits::default(), ArcResult::Fail, 1).unwrap();
    assert!(mail::text(&marked).starts_with("ARC-Seal: i=2; a=rsa-sha256; t=1795276800; cv=fail;"));
    assert_eq!(keys.verify(&marked)["arc"], "ended");
    // That seal covers its own set alone, and so it verifies without the others (dkimpy takes them all in wherever they stand).
    let alone = [&marked[..marked.len() - broken.len()], &signed].concat();
    let found = keys.verify(&alone);
    assert_eq!((&found["instances"], &found["valid"]), (&json!([2]), &json!([true])), "{found}");
    assert_eq!(sealed_by_us(&keys, &marked, &Edits::default(), ArcResult::Fail, 2), Err(Unsealed::Ended));
}

/// The message with our seal and these changes.
fn sealed_by_us(keys: &Keys, message: &[u8], edits: &Edits, result: ArcResult, instances: u32) -> Result<Vec<u8>, Unsealed> {
    let original = Original::parse(Bytes::copy_from_slice(message)).unwrap();
    let key = SigningKey::from_text(&keys.pem(OURS)).unwrap();
    let verdict = ArcVerdict { result, instances, sealers: Box::default(), is_temporary: false, reason: "".into(), asked: Box::default() };
    let asked = RefCell::new(0);
    let sign = |octets: &[u8]| {
        *asked.borrow_mut() += 1;
        key.rsa_sha256(octets)
    };
    let results = |instance| Bytes::from(format!("ARC-Authentication-Results: i={instance}; mx1.acme.example;\r\n\tarc=pass\r\n"));
    let sealer = Sealer { domain: "acme.example", selector: "arc", unix_seconds: 1_795_276_800, sign: &sign, results: &results };
    match sealer.seal(&original, edits, BodyHash::of(&original), Some(&verdict)) {
        Sealed::Fields(fields) => {
            assert_eq!(*asked.borrow(), 2);
            Ok([&fields[..], &edits.render(&original, Bytes::new()).to_vec().expect("it is in memory")].concat())
        }
        Sealed::Unsealed(unsealed) => Err(unsealed),
        Sealed::Failed => panic!("the key does not sign"),
    }
}

/// With a seal by the key of acme.example.
fn sealing(deployment: Deployment, keys: &Keys) -> Deployment {
    let seal = "arc_seal: { domain: acme.example, selector: arc, key: { file: arc.pem } }";
    deployment.file("arc.pem", &keys.pem(OURS)).endpoint(seal)
}

fn send(gateway: &Gateway, to: &[&str], message: &[u8]) {
    Client::hello(gateway.address()).send("alice@example.org", to, message).expect("250 ");
}

fn header_only() -> Vec<u8> {
    let small = mail::small("empty");
    small[..small.len() - "Hello\r\n".len()].to_vec()
}
