//! Analyzers as conditions: the real Rspamd and clamd, a JSON service, and what happens while they are down.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::common::canned_http::CannedHttp;
use crate::common::{daemons, free_address};
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const CAROL: &str = "carol@acme.example";
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
const ALL: &str = "  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

fn start(analyzers: &str, rules: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let top = format!("domains: [acme.example]\nanalyzers:\n{analyzers}");
    let deployment = Deployment::new("inline").top(&top).relay("next", sink.address()).rules(&format!("rules:\n{rules}{ALL}"));
    let deployment = deployment.endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }");
    let gateway = deployment.start();
    (sink, deployment, gateway)
}

fn with_body(body: &str) -> Vec<u8> {
    mail::text(&mail::small("scanned")).replace("Hello", body).into_bytes()
}

fn client(gateway: &Gateway) -> Client {
    Client::behind(gateway.address(), 2, "203.0.113.9", "mail.example.org")
}

#[test]
fn rspamd_and_clamd_are_heard_in_the_dialogue() {
    let (rspamd, clamd) = (daemons::rspamd(), daemons::clamd());
    let analyzers = format!(
        "  rspamd: {{ type: rspamd, url: \"http://{}\", timeout: 60s }}\n  clamd: {{ type: clamav, address: \"{}\", timeout: 60s }}",
        rspamd.address, clamd.address
    );
    let rules = "  - name: virus\n    when: [{ analysis: { analyzer: clamd, field: infected, equals: true } }]\n    \
                 actions: [{ Reject: { code: 554, text: infected } }]\n  - name: spam\n    \
                 when: [{ analysis: { analyzer: rspamd, field: action, equals: reject } }]\n    actions: [{ Reject: { text: spam } }]\n  \
                 - name: doubtful\n    when: [{ analysis: { analyzer: rspamd, field: score, greater_than_or_equal: 5 } }]\n    \
                 actions: [{ PrefixSubject: { text: \"[doubtful] \" } }]\n  - name: told\n    \
                 when: [{ analysis: { analyzer: rspamd, field: symbols, equals: TEST_FACT_203.0.113.9 } }]\n    \
                 actions: [{ AddHeader: { name: X-Told, value: \"yes\" } }]\n";
    let (sink, _deployment, gateway) = start(&analyzers, rules);
    client(&gateway).send("a@example.org", &[BOB], &with_body(GTUBE)).expect("550 5.7.1 spam");
    client(&gateway).send("a@example.org", &[BOB], &with_body(daemons::MARKER)).expect("554 5.7.1 infected");
    // Before anything was handed on.
    assert_eq!(sink.connections(), 0);
    let harmless = with_body("Hello");
    client(&gateway).send("a@example.org", &[BOB], &harmless).expect("250 ");
    client(&gateway).send("a@example.org", &[BOB], &[b"X-Test-Score: 7\r\n", &harmless[..]].concat()).expect("250 ");
    let taken = sink.wait_taken(2);
    let texts: Vec<String> = taken.iter().map(|taken| mail::text(&taken.data)).collect();
    assert!(texts[0].contains("Subject: scanned") && texts[0].contains("X-Told: yes"), "{}", texts[0]);
    assert!(texts[1].contains("Subject: [doubtful] scanned"), "{}", texts[1]);
    let found = gateway.wait_for(|event| event["event"] == "analysis" && event["fields"]["infected"] == true);
    assert_eq!((&found["analyzer"], &found["stage"]), (&"clamd".into(), &"message".into()), "{found}");
    assert_eq!(found["fields"]["signature"][0], "Own.Test.Marker.UNOFFICIAL", "{found}");
    let events = gateway.events(|event| event["event"] == "analysis");
    assert!(events.iter().all(|event| event["error"].is_null()), "{events:?}");
}

#[test]
fn a_json_service_is_told_of_the_session_and_heard() {
    let told = Arc::new(Mutex::new(Vec::<Value>::new()));
    let kept = Arc::clone(&told);
    let service = CannedHttp::start(move |_, body| {
        let question: Value = serde_json::from_str(body).unwrap();
        let class = if question["mail_from"] == "bad@example.org" { "bad" } else { "good" };
        kept.lock().unwrap().push(question);
        (200, format!("{{ \"class\": \"{class}\", \"verdict\": \"gray\" }}"))
    });
    let analyzers = format!(
        "  facts: {{ type: http, url: \"{0}/facts\", fields: {{ class: string }} }}\n  \
         whole: {{ type: http, url: \"{0}/whole\", send: message, fields: {{ verdict: verdict }} }}",
        service.url()
    );
    let rules = "  - name: gray\n    when: [{ analysis: { analyzer: whole, field: verdict, equals: gray } }]\n    \
                 actions: [{ PrefixSubject: { text: \"[gray] \" } }]\n";
    let sink = Sink::accepting();
    let top = format!("domains: [acme.example]\nanalyzers:\n{analyzers}");
    let policy = "default: allow\ndeny:\n  - name: bad\n    when: [{ analysis: { analyzer: facts, field: class, equals: bad } }]\n";
    let deployment = Deployment::new("inline").top(&top).relay("next", sink.address()).policy(policy);
    let deployment = deployment.rules(&format!("rules:\n{rules}{ALL}")).endpoint("proxy_protocol: { trusted: [127.0.0.0/8] }");
    let gateway = deployment.start();
    let mut session = client(&gateway);
    session.command("MAIL FROM:<bad@example.org>").expect("250 ");
    session.command(&format!("RCPT TO:<{BOB}>")).expect("550 5.7.1");
    session.command("RSET").expect("250 ");
    session.send("good@example.org", &[BOB, CAROL], &mail::small("hook")).expect("250 ");
    let data = sink.only().data;
    assert!(mail::text(&data).contains("Subject: [gray] hook"), "{}", mail::text(&data));
    let told = told.lock().unwrap();
    // Once for each sender by the policy, once for the message by the rules.
    let stages: Vec<&str> = told.iter().map(|question| question["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["recipient", "recipient", "message"], "{told:?}");
    let last = &told[2];
    assert_eq!((&last["client"]["ip"], &last["client"]["helo"]), (&"203.0.113.9".into(), &"mail.example.org".into()), "{last}");
    assert_eq!(last["recipients"], serde_json::json!([BOB, CAROL]), "{last}");
    assert!(last["message"]["raw_base64"].is_string(), "{last}");
}

#[test]
fn while_an_analyzer_is_down_its_condition_defers_or_is_skipped() {
    let nowhere = free_address();
    let analyzers = format!(
        "  rspamd: {{ type: rspamd, url: \"http://{nowhere}\", timeout: 2s }}\n  clamd: {{ type: clamav, address: \"{nowhere}\", timeout: 2s }}\n  \
         hook: {{ type: http, url: \"http://{nowhere}\", fields: {{ bad: boolean }}, timeout: 2s }}"
    );
    for (test, on_error, code) in [
        ("analyzer: rspamd, field: is_spam, equals: true", "defer", 451),
        ("analyzer: clamd, field: infected, equals: true", "defer", 451),
        ("analyzer: hook, field: bad, equals: true", "defer", 451),
        ("analyzer: rspamd, field: is_spam, equals: true", "skip", 250),
        ("analyzer: clamd, field: infected, equals: true", "skip", 250),
        ("analyzer: hook, field: bad, equals: true", "skip", 250),
    ] {
        let rules = format!(
            "  - name: x\n    when: [{{ analysis: {{ {test}, on_error: {on_error} }} }}]\n    actions: [{{ Reject: {{ text: found }} }}]\n"
        );
        let (sink, _deployment, gateway) = start(&analyzers, &rules);
        let reply = client(&gateway).send("a@example.org", &[BOB], &mail::small("down"));
        assert_eq!(reply.code, code, "{test} {on_error}: {reply:?}");
        assert_eq!(sink.taken().len(), usize::from(code == 250), "{test} {on_error}");
        let event = gateway.wait_for(|event| event["event"] == "analysis");
        assert!(event["fields"].is_null() && event["error"].is_string(), "{event}");
    }
}

#[test]
fn an_outage_defers_only_whom_it_concerns() {
    let analyzers = format!("  clamd: {{ type: clamav, address: \"{}\", timeout: 2s }}", free_address());
    let rules = "  - name: x\n    when: [{ recipient: { equals: carol@acme.example } }, \
                 { analysis: { analyzer: clamd, field: infected, equals: true } }]\n    actions: [{ Reject: { text: found } }]\n";
    let (sink, _deployment, gateway) = start(&analyzers, rules);
    client(&gateway).send("a@example.org", &[BOB], &mail::small("bob")).expect("250 ");
    gateway.wait_outcome(BOB, "delivered");
    assert!(gateway.events(|event| event["event"] == "analysis").is_empty());
    client(&gateway).send("a@example.org", &[CAROL], &mail::small("carol")).expect("451 4.7.1 Cannot be checked now");
    // One reply stands for both.
    client(&gateway).send("a@example.org", &[BOB, CAROL], &mail::small("both")).expect("451 4.7.1");
    assert_eq!(sink.taken().len(), 1);
}
