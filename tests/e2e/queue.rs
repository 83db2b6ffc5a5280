//! Acknowledged from the spool: what is there gets where it belongs, or its sender is told.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::common::tool;
use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";

#[test]
fn what_was_queued_before_a_restart_is_delivered_after_it() {
    let sink = Sink::down(|_| Answer::Ok);
    let deployment = Deployment::new("queue").relay("next", sink.address());
    let gateway = deployment.start();
    // Small ones live in the segments, large ones in files of their own.
    let messages = [mail::small("one"), mail::awkward(5000), mail::large(500_000)];
    let mut client = Client::hello(gateway.address());
    for message in &messages {
        client.send("alice@example.org", &[BOB], message).expect("250 ");
    }
    client.command("QUIT").expect("221 ");
    gateway.wait_for(|event| event["event"] == "attempt");
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    assert!(said.contains("\"event\":\"stopped\",\"spooled\":3"), "{said}");

    let gateway = deployment.start();
    sink.come_up();
    let taken = sink.wait_taken(messages.len());
    for message in &messages {
        assert!(taken.iter().any(|taken| taken.original() == message), "each arrives as it was");
    }
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
    assert_eq!(sink.taken().len(), messages.len());
}

#[test]
fn each_recipient_fares_by_itself() {
    let next = Sink::start({
        let carol =
            crate::harness::sink::first(2, Answer::say("450 4.2.1 carol is busy"), |at| matches!(at, At::Rcpt("carol@acme.example")));
        move |at| match at {
            At::Rcpt("dave@acme.example") => Answer::say("550 5.1.1 no dave here"),
            other => carol(other),
        }
    });
    let (bounces, gateway, _deployment) = with_bounces(&next);
    let to = [BOB, "carol@acme.example", "dave@acme.example"];
    Client::hello(gateway.address()).send("alice@example.org", &to, &mail::small("mixed")).expect("250 ");
    gateway.wait_outcome(BOB, "delivered");
    gateway.wait_outcome("carol@acme.example", "delivered");
    gateway.wait_outcome("dave@acme.example", "bounced");
    let groups: Vec<Vec<String>> = next.wait_taken(2).into_iter().map(|taken| taken.recipients).collect();
    assert_eq!(groups, [vec![BOB.to_owned()], vec!["carol@acme.example".to_owned()]]);
    let dsn = bounces.only();
    assert_eq!((dsn.mail_from.as_str(), dsn.recipients.as_slice()), ("", &["alice@example.org".to_owned()][..]));
}

#[test]
fn python_reads_a_notification_as_a_report_of_three_parts() {
    let next = Sink::start(|at| if matches!(at, At::Dot(_)) { Answer::say("554 5.7.1 looks like spam") } else { Answer::Ok });
    let (bounces, gateway, _deployment) = with_bounces(&next);
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("refused")).expect("250 ");
    let parsed = as_python_reads_it(&bounces.only().data);
    let types = ["text/plain", "message/delivery-status", "text/rfc822-headers"].map(Value::from);
    assert_eq!(parsed["type"], "multipart/report");
    assert_eq!(parsed["report"], "delivery-status");
    assert_eq!(parsed["parts"], Value::from(types.to_vec()));
    assert_eq!(parsed["defects"], 0, "{parsed}");
    assert_eq!(parsed["status"][0]["reporting-mta"], "dns; mx1.acme.example");
    let recipient = &parsed["status"][1];
    assert_eq!(recipient["final-recipient"], "rfc822; bob@acme.example");
    assert_eq!(recipient["action"], "failed");
    assert_eq!(recipient["status"], "5.7.1");
    assert!(recipient["diagnostic-code"].as_str().unwrap().contains("554 5.7.1 looks like spam"), "{recipient}");
    let headers = parsed["headers"].as_str().unwrap();
    assert!(headers.contains("Subject: refused") && !headers.contains("Hello"), "the header and not the body: {headers}");
    assert_eq!(parsed["auto"], "auto-replied");
}

const PARSE: &str = "
import sys, json, email, email.policy
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
parts = list(message.iter_parts())
print(json.dumps({
    'type': message.get_content_type(), 'report': message.get_param('report-type'), 'auto': message['Auto-Submitted'],
    'parts': [part.get_content_type() for part in parts],
    'defects': sum(len(part.defects) for part in message.walk()),
    'status': [{name.lower(): str(value) for name, value in block.items()} for block in parts[1].get_payload()],
    'headers': parts[2].get_content() if parts[2].get_content_maintype() == 'text' else str(parts[2]),
}))
";

pub fn as_python_reads_it(message: &[u8]) -> Value {
    let mut python = tool("python");
    let mut python = python.args(["-c", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    python.stdin.take().unwrap().write_all(message).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", mail::text(message));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_null_sender_is_never_told() {
    let next = Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::say("550 5.1.1 nobody here") } else { Answer::Ok });
    let (bounces, gateway, _deployment) = with_bounces(&next);
    Client::hello(gateway.address()).send("", &[BOB], &mail::small("bounce")).expect("250 ");
    let dsn = gateway.wait_for(|event| event["event"] == "dsn");
    assert_eq!(dsn["notification"], Value::Null, "{dsn}");
    gateway.wait_for(|event| event["event"] == "outcome" && event["recipient"] == BOB);
    let (_, said) = gateway.stop();
    assert!(said.contains("\"spooled\":0"), "{said}");
    assert_eq!(bounces.connections(), 0);
}

#[test]
fn a_message_too_old_is_given_up_with_a_notification() {
    let next = Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::say("450 4.2.2 mailbox full") } else { Answer::Ok });
    let bounces = Sink::accepting();
    let deployment = Deployment::new("queue")
        .top("domains: [acme.example]\nbounces: { relay: bounces }")
        .relay_with("next", next.address(), "retry: { first: 1s, factor: 1, longest: 1s, give_up: 2s }")
        .relay("bounces", bounces.address());
    let gateway = deployment.start();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("old")).expect("250 ");
    gateway.wait_outcome(BOB, "expired");
    let dsn = mail::text(&bounces.only().data);
    assert!(dsn.contains("450 4.2.2 mailbox full"), "{dsn}");
}

/// A queue before `next`, with a relay of its own for notifications.
fn with_bounces(next: &Sink) -> (Sink, Gateway, Deployment) {
    let bounces = Sink::accepting();
    let deployment = Deployment::new("queue")
        .top("domains: [acme.example]\nbounces: { relay: bounces }")
        .relay("next", next.address())
        .relay("bounces", bounces.address());
    let gateway = deployment.start();
    (bounces, gateway, deployment)
}
