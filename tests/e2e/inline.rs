//! Delivery while the client waits: the next hop's answer is the client's, and what it leaves open is queued.

use serde_json::Value;

use crate::harness::sink::first;
use crate::harness::{Answer, At, Client, Deployment, Gateway, Reply, Sink, mail};

const BOB: &str = "bob@acme.example";

#[test]
fn what_the_next_hop_takes_never_touches_the_disk() {
    let sink = Sink::accepting();
    let (deployment, gateway) = start(&sink);
    let before = deployment.spooled_files();
    let mut client = Client::hello(gateway.address());
    for number in 0..50 {
        client.send("alice@example.org", &[BOB], &mail::small(&format!("m{number}"))).expect("250 ");
    }
    client.send("alice@example.org", &[BOB], &mail::large(1_000_000)).expect("250 ");
    assert_eq!(sink.taken().len(), 51, "250 means that the next hop has it");
    assert_eq!(deployment.spooled_files(), before);
    let is_reply = |event: &Value| event["event"] == "replied";
    let replied = crate::harness::until("all replies", || Some(gateway.events(is_reply)).filter(|replied| replied.len() == 51));
    assert!(replied.iter().all(|event| event["spooled"] == false));
    assert_eq!(sink.connections(), 1, "connections are used again");
}

#[test]
fn where_a_relay_asks_for_it_two_recipient_domains_are_two_transactions_and_both_are_in_the_log() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay_with("next", sink.address(), "limits: { one_domain_per_message: true }");
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB, "dora@acme.org"], &mail::small("two")).expect("250 ");
    assert_eq!(sink.taken().len(), 2, "such a next hop never sees two recipient domains at once");
    let attempt = gateway.wait_for(|event| event["event"] == "attempt");
    let replies: Vec<_> = attempt["tries"].as_array().unwrap().iter().map(|one| one["reply"]["code"].clone()).collect();
    assert_eq!(replies, [250, 250], "{attempt}");
}

#[test]
fn a_refusal_of_the_next_hop_is_the_clients() {
    for (at, reply) in [("rcpt", "550 5.1.1 no such user here"), ("dot", "554 5.7.1 looks like spam")] {
        let sink = Sink::start(move |asked| match asked {
            At::Rcpt(_) if at == "rcpt" => Answer::say(reply),
            At::Dot(_) if at == "dot" => Answer::say(reply),
            _ => Answer::Ok,
        });
        let (deployment, gateway) = start(&sink);
        let before = deployment.spooled_files();
        let answer = send(&gateway);
        answer.expect(&reply[..9]);
        assert!(answer.text.contains(&reply[10..]), "the next hop's text is in {answer:?}");
        gateway.wait_outcome(BOB, "rejected");
        assert_eq!((deployment.spooled_files(), sink.taken().len()), (before, 0));
    }
}

#[test]
fn what_the_next_hop_defers_is_queued_and_delivered_later() {
    let deferral = "451 4.7.1 greylisted";
    for at in ["connect", "mail", "rcpt", "data", "dot"] {
        let greeting = if at == "connect" { "421 4.3.2 busy" } else { deferral };
        let sink = Sink::start(first(2, Answer::say(greeting), move |asked| point(asked) == at));
        queued_and_delivered_once(&sink);
    }
}

#[test]
fn a_next_hop_that_closes_wherever_it_likes_gets_the_message_later() {
    for at in ["connect", "mail", "rcpt", "data", "dot"] {
        // An error on a used connection is tried again at once on a new one; three are more than an attempt takes.
        let sink = Sink::start(first(3, Answer::Close, move |asked| point(asked) == at));
        queued_and_delivered_once(&sink);
    }
}

#[test]
fn a_next_hop_that_is_down_gets_the_message_when_it_is_back() {
    let sink = Sink::down(|_| Answer::Ok);
    let (_deployment, gateway) = start(&sink);
    send(&gateway).expect("250 ");
    gateway.wait_for(|event| event["event"] == "replied" && event["spooled"] == true);
    sink.come_up();
    gateway.wait_outcome(BOB, "delivered");
    mail::assert_same(sink.only().original(), &mail::small("inline"));
}

#[test]
fn a_next_hop_that_hangs_holds_one_client_and_loses_nothing() {
    // At last it puts DATA off with 451.
    let sink = Sink::start(first(1, Answer::Hang, |asked| matches!(asked, At::Data)));
    let (_deployment, gateway) = start(&sink);
    let waiting = std::thread::spawn({
        let address = gateway.address();
        move || Client::hello(address).send("alice@example.org", &[BOB], &mail::small("first"))
    });
    sink.wait_hanging(1);
    // The others are served meanwhile.
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("second")).expect("250 ");
    assert_eq!(sink.taken().len(), 1);
    sink.release();
    waiting.join().unwrap().expect("250 ");
    assert_eq!(sink.wait_taken(2).len(), 2);
}

#[test]
fn one_recipient_refused_beside_another_that_is_taken_is_told_by_a_notification() {
    let sink = Sink::start(|asked| match asked {
        At::Rcpt("carol@acme.example") => Answer::say("550 5.1.1 no carol"),
        _ => Answer::Ok,
    });
    let bounces = Sink::accepting();
    let deployment = Deployment::new("inline").top("domains: [acme.example]\nbounces: { relay: bounces }");
    let deployment = deployment.relay("next", sink.address()).relay("bounces", bounces.address());
    let gateway = deployment.start();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB, "carol@acme.example"], &mail::small("mixed")).expect("250 ");
    gateway.wait_outcome(BOB, "delivered");
    gateway.wait_outcome("carol@acme.example", "bounced");
    let dsn = gateway.wait_for(|event| event["event"] == "dsn");
    assert!(dsn["notification"].is_string() && dsn["kind"] == "failed", "{dsn}");
    assert_eq!(sink.only().recipients, [BOB]);
    let notification = bounces.only();
    assert_eq!((notification.mail_from.as_str(), notification.recipients.as_slice()), ("", &["alice@example.org".to_owned()][..]));
    assert!(mail::text(&notification.data).contains("550 5.1.1 no carol"));
}

fn point(at: &At<'_>) -> &'static str {
    match at {
        At::Connect => "connect",
        At::Mail => "mail",
        At::Rcpt(_) => "rcpt",
        At::Data => "data",
        At::Dot(_) => "dot",
    }
}

fn queued_and_delivered_once(sink: &Sink) {
    let (_deployment, gateway) = start(sink);
    send(&gateway).expect("250 ");
    gateway.wait_for(|event| event["event"] == "replied" && event["spooled"] == true);
    gateway.wait_outcome(BOB, "delivered");
    mail::assert_same(sink.only().original(), &mail::small("inline"));
}

fn send(gateway: &Gateway) -> Reply {
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("inline"))
}

fn start(sink: &Sink) -> (Deployment, Gateway) {
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    (deployment, gateway)
}
