//! Recipients that are looked up at their relay before they are accepted.

use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

/// A relay that knows bob and carol, and greylists dora.
fn exchange() -> Sink {
    Sink::start(|at| match at {
        At::Rcpt("bob@acme.example" | "carol@acme.example") => Answer::Ok,
        At::Rcpt("dora@acme.example") => Answer::say("450 4.2.1 come back later"),
        At::Rcpt(_) => Answer::say("550 5.1.1 no such user here"),
        _ => Answer::Ok,
    })
}

fn start(next: &Sink, call_ahead: &str) -> Gateway {
    Deployment::new("inline").endpoint(&format!("call_ahead: {{ {call_ahead} }}")).relay("next", next.address()).start()
}

fn rcpt(client: &mut Client, recipient: &str) -> String {
    let reply = client.command(&format!("RCPT TO:<{recipient}>"));
    format!("{} {}", reply.code, reply.text)
}

#[test]
fn unknown_recipients_are_refused_in_the_dialogue_and_asked_for_once() {
    let next = exchange();
    let gateway = start(&next, "relay: next");
    for _ in 0..2 {
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<alice@example.org>").expect("250 ");
        for (recipient, reply) in [
            ("bob@acme.example", "250 "),
            ("nobody@acme.example", "550 5.1.1 The next hop does not know this recipient: no such user here"),
            ("dora@acme.example", "250 "),
            ("x@elsewhere.example", "550 5.7.1 Relaying denied"),
        ] {
            let said = client.command(&format!("RCPT TO:<{recipient}>"));
            said.expect(reply);
        }
        client.command("RSET").expect("250 ");
    }
    let looked_up = gateway.wait_events(6, |event| event["event"] == "call_ahead");
    let short: Vec<_> = looked_up
        .iter()
        .map(|event| (event["recipient"].as_str().unwrap(), event["result"].as_str().unwrap(), event["cached"].as_bool().unwrap()))
        .collect();
    assert_eq!(
        short,
        [
            ("bob@acme.example", "known", false),
            ("nobody@acme.example", "unknown", false),
            ("dora@acme.example", "no answer", false),
            ("bob@acme.example", "known", true),
            ("nobody@acme.example", "unknown", true),
            ("dora@acme.example", "no answer", false),
        ]
    );
    // The message goes over the connection of the questions.
    Client::hello(gateway.address()).send("alice@example.org", &["bob@acme.example"], &mail::small("asked")).expect("250 ");
    assert_eq!((next.only().recipients, next.connections()), (vec!["bob@acme.example".to_owned()], 1));
}

#[test]
fn a_relay_that_is_down_or_silent_refuses_nobody() {
    let next = Sink::down(|_| Answer::Ok);
    let gateway = start(&next, "relay: next");
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &["anybody@acme.example"], &mail::small("kept")).expect("250 ");
    next.come_up();
    assert_eq!(next.only().recipients, ["anybody@acme.example"]);

    let next = Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::Hang } else { Answer::Ok });
    let gateway = start(&next, "relay: next, timeout: 1s");
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    assert!(rcpt(&mut client, "anybody@acme.example").starts_with("250 "));
    let event = gateway.wait_for(|event| event["event"] == "call_ahead");
    assert_eq!(event["result"], "no answer");
    next.release();
}

#[test]
fn domains_have_relays_of_their_own_or_none() {
    let next = exchange();
    let gateway = start(&next, "relays: { Acme.example: next }, positive: 1h, negative: 1m");
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<>").expect("250 ");
    assert!(rcpt(&mut client, "nobody@acme.example").starts_with("550 5.1.1"));
    assert!(rcpt(&mut client, "nobody@acme.org").starts_with("250 "));
    assert_eq!(gateway.wait_events(1, |event| event["event"] == "call_ahead").len(), 1);
}
