//! Attacks by a scanner, or by whoever stands between it and the gateway: what it says is bounded, and silence is no clean bill.

use serde_json::Value;

use crate::common::canned_http::CannedHttp;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::{ALICE, BOB};

/// Refuses spam; all else goes on.
const RULES: &str = "rules:\n  - name: spam\n    when: [{ analysis: { analyzer: scan, field: is_spam, equals: true } }]\n    \
                     actions: [{ Reject: { code: 550, status: 5.7.1, text: \"spam\" } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";

fn start(sink: &Sink, url: &str, timeout: &str) -> Gateway {
    let top = format!("domains: [acme.example]\nanalyzers: {{ scan: {{ type: rspamd, url: \"{url}\", timeout: {timeout} }} }}");
    Deployment::new("inline").top(&top).relay("next", sink.address()).rules(RULES).start()
}

/// A scanner says what it likes, as much as it may, of each message; the log takes a bounded part of it.
#[test]
fn a_scanner_that_talks_fills_no_log() {
    let symbols: Vec<String> = (0..9_000).map(|number| format!("\"S{number}{}\":{{}}", "\\u001b\\u202e".repeat(4))).collect();
    let answer = format!("{{\"action\":\"{}\",\"score\":1,\"symbols\":{{{}}}}}", "a".repeat(100_000), symbols.join(","));
    assert!((600_000..1024 * 1024).contains(&answer.len()), "{}", answer.len());
    let scanner = CannedHttp::start(move |_, _| (200, answer.clone()));
    let sink = Sink::accepting();
    let gateway = start(&sink, &scanner.url(), "20s");
    Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("x")).expect("250 ");
    let event = gateway.wait_for(|event| event["event"] == "analysis");
    let symbols = event["fields"]["symbols"].as_array().unwrap();
    assert_eq!((symbols.len(), symbols.last().unwrap()), (101, &"… 8900 more".into()));
    let (status, said) = gateway.stop();
    assert!(status.success());
    let longest = said.lines().map(str::len).max().unwrap();
    assert!(longest < 64 * 1024, "{longest}");
}

/// Whatever is no answer, no message goes on for it.
#[test]
fn what_is_no_answer_lets_nothing_pass() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for (status, answer) in [
        (200, String::new()),
        (200, "{}".to_owned()),
        (200, "null".to_owned()),
        (200, "{\"action\":\"no action\"}".to_owned()),
        (200, "{\"action\":null,\"score\":0}".to_owned()),
        (200, "{\"action\":\"no action\",\"score\":\"0\"}".to_owned()),
        (200, "{\"action\":\"no action\",\"score\":1e999}".to_owned()),
        (200, "{\"action\":\"no action\",\"score\":0".to_owned()),
        (200, "{\"action\":\"no action\",\"score\":0} {}".to_owned()),
        (200, "{\"action\":\"no action\",\"score\":0,\"symbols\":[]}".to_owned()),
        (200, deep),
        (200, format!("{{\"action\":\"no action\",\"score\":0,\"x\":\"{}\"}}", "y".repeat(1024 * 1024))),
        (204, String::new()),
        (302, "{\"action\":\"no action\",\"score\":0}".to_owned()),
        (500, "{\"action\":\"no action\",\"score\":0}".to_owned()),
    ] {
        let shown: String = answer.chars().take(80).collect();
        let scanner = CannedHttp::start(move |_, _| (status, answer.clone()));
        let sink = Sink::accepting();
        let gateway = start(&sink, &scanner.url(), "20s");
        Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("x")).expect("451 4.7.1");
        let event = gateway.wait_for(|event| event["event"] == "analysis");
        assert!(event["error"].as_str().is_some_and(|error| !error.is_empty() && error.len() < 2_000), "{status} {shown}: {event}");
        assert!(sink.taken().is_empty(), "{status} {shown}");
    }
}

/// A scanner that takes the message and says nothing costs its `timeout`, then a message a while; others are told at once.
#[test]
fn a_silent_scanner_is_no_queue() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sink = Sink::accepting();
    let gateway = start(&sink, &url, "1s");
    let replies: Vec<_> = (0..30)
        .map(|_| {
            let mut client = Client::hello(gateway.address());
            std::thread::spawn(move || client.send(ALICE, &[BOB], &mail::small("x")))
        })
        .collect();
    for reply in replies {
        reply.join().unwrap().expect("451 4.7.1");
    }
    Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("x")).expect("451 4.7.1");
    let is_told = |event: &Value| event["error"].as_str().is_some_and(|error| error.contains("next try"));
    let event = gateway.wait_for(|event| event["event"] == "analysis" && is_told(event));
    assert!(event["duration_ms"].as_u64().unwrap() < 500, "{event}");
    assert!(sink.taken().is_empty());
}
