//! `gateway replay`, with what a real gateway has logged and delivered.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::gateway::PROGRAM;
use crate::harness::{Client, Deployment, Sink, mail};

const BOB: &str = "bob@acme.example";
const DORA: &str = "dora@acme.org";
const OLD: &str = "rules:\n  - name: tagged\n    when:\n      - subject: { contains: invoice }\n    actions:\n      - AddHeader: { name: X-Invoice, value: yes }\n  - name: all\n    actions:\n      - SMTPRelay: { relay: next }\n";
const NEW: &str = "rules:\n  - name: tagged\n    when:\n      - subject: { contains: invoice }\n    actions:\n      - SMTPRelay: { relay: other }\n      - Stop\n  - name: all\n    actions:\n      - SMTPRelay: { relay: next }\n";

#[test]
fn the_own_log_and_delivered_mail_are_replayed() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).relay("other", sink.address());
    deployment.write("rules/inbound.yaml", OLD);
    deployment
        .write("policies/edge.yaml", "default: allow\ndeny:\n  - name: gone\n    when:\n      - recipient: { equals: gone@acme.org }\n");
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB], &mail::small("hello")).expect("250 ");
    client.send("alice@example.org", &[DORA], &mail::small("an invoice")).expect("250 ");
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    client.command("RCPT TO:<gone@acme.org>").expect("550 ");
    client.command("QUIT").expect("221 ");
    gateway.wait_for(|event| event["event"] == "disconnected");
    let log: String = gateway.events(|_| true).iter().map(|event| format!("{event}\n")).collect();
    deployment.write("events.jsonl", &log);
    let old = deployment.path("old");
    for name in ["gateway.yaml", "rules/inbound.yaml", "policies/edge.yaml"] {
        let to = old.join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(deployment.path(name), to).unwrap();
    }
    // By its own rules everybody fares as he did, and the log is explained by them.
    let same = replay(deployment.folder(), &["--from", "events.jsonl", "--old", "old", "--format", "json"]);
    let report = json(&same);
    assert_eq!((same.status.code(), &report["messages"], &report["same"]), (Some(0), &3.into(), &3.into()), "{report:#}");
    assert_eq!(report["logged"]["explained"], 3, "{report:#}");

    deployment.write("rules/inbound.yaml", NEW);
    deployment.write("policies/edge.yaml", "default: allow\n");
    let output = replay(deployment.folder(), &["--from", "events.jsonl", "--old", "old", "--format", "json"]);
    let report = json(&output);
    // The content is not in the log, but that `tagged` had matched tells what the subject was like. Whom the policy refused has sent none.
    assert_eq!(output.status.code(), Some(1), "{report:#}");
    assert_eq!((&report["differ"], &report["same"], &report["cannot_be_told"]), (&1.into(), &1.into(), &1.into()), "{report:#}");
    assert_eq!(report["differences"][0]["examples"][0]["recipient"], DORA, "{report:#}");
    assert_eq!(report["untold"][0]["examples"][0]["recipient"], "gone@acme.org", "{report:#}");

    // The delivered messages tell in their header how they came.
    for (number, taken) in sink.taken().iter().enumerate() {
        let text = format!("Return-Path: <{}>\r\n{}", taken.mail_from, mail::text(&taken.data));
        deployment.write(&format!("archive/{number}.eml"), &text);
    }
    let output = replay(deployment.folder(), &["--from", "archive", "--old", "old"]);
    let text = mail::text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}{}", mail::text(&output.stderr));
    for expected in [
        "    1  fare differently, in 1 message\n",
        "    1  fare the same\n",
        "relay next -> relay other",
        "by rule `tagged`, before by rule `all`",
        "to <dora@acme.org> from <alice@example.org>",
    ] {
        assert!(text.contains(expected), "`{expected}` is not in\n{text}");
    }
    assert!(!text.contains("guessed") && !text.contains("cannot be told"), "{text}");
}

fn replay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg("replay").args(arguments).current_dir(folder).output().expect("it runs")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", mail::text(&output.stderr)))
}
