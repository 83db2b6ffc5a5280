//! Starting, reloading, ending.

use crate::common::free_address;
use crate::harness::gateway::command;
use crate::harness::{Answer, At, Client, Deployment, Sink, mail};

const BOB: &str = "bob@acme.example";
const REJECTING: &str = "rules:\n  - name: closed\n    actions:\n      - Reject: { code: 550, status: 5.7.1, text: \"Closed now\" }\n";

#[test]
fn sigterm_lets_a_message_in_flight_be_answered_and_ends_with_0() {
    let sink = Sink::start(|at| if matches!(at, At::Dot(_)) { Answer::Hang } else { Answer::Ok });
    let gateway = Deployment::new("inline").relay("next", sink.address());
    let gateway = gateway.start();
    let address = gateway.address();
    let idle = Client::hello(address);
    let client = std::thread::spawn(move || {
        let mut client = Client::hello(address);
        let reply = client.send("alice@example.org", &[BOB], &mail::small("in-flight"));
        (reply, client.rest())
    });
    sink.wait_hanging(1);
    gateway.signal("TERM");
    gateway.wait_for(|event| event["event"] == "draining");
    // Who is idle is sent away; nobody new is let in.
    assert!(idle.rest().starts_with("421 4.3.2 "));
    sink.release();
    let (reply, rest) = client.join().unwrap();
    reply.expect("250 ");
    assert!(rest.starts_with("421 4.3.2 "), "{rest:?}");
    let (status, said) = gateway.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
    assert_eq!(sink.taken().len(), 1);
    assert!(Client::try_dial(address).is_err());
}

#[test]
fn a_message_half_sent_at_sigterm_may_be_finished() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("queue").relay("next", sink.address());
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    client.command("RCPT TO:<bob@acme.example>").expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(b"Subject: half\r\n\r\nfirst half\r\n");
    gateway.signal("TERM");
    gateway.wait_for(|event| event["event"] == "draining");
    client.write(b"second half\r\n.\r\n");
    client.reply().expect("250 ");
    let (status, said) = gateway.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    // Delivered before the end, or left in the spool: never lost.
    let _second = deployment.start();
    assert!(sink.wait_taken(1)[0].data.ends_with(b"second half\r\n"));
}

#[test]
fn a_broken_change_is_refused_and_a_good_one_is_put_in_force() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    let send = || Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("reload"));
    send().expect("250 ");

    deployment.write("rules/inbound.yaml", "rules:\n  - name: x\n    actions:\n      - SMTPRelay: { relay: nxet }\n");
    gateway.signal("HUP");
    let refused = gateway.wait_for(|event| event["event"] == "reload_refused");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("rules/inbound.yaml:4:") && detail.contains("nxet") && detail.contains("`next`"), "{detail}");
    send().expect("250 ");

    deployment.write("rules/inbound.yaml", REJECTING);
    gateway.signal("HUP");
    let reloaded = gateway.wait_for(|event| event["event"] == "reloaded");
    assert_ne!(reloaded["config"], reloaded["previous"]);
    send().expect("550 5.7.1 Closed now");
    let rule = gateway.wait_for(|event| event["event"] == "rule" && event["rule"] == "closed");
    assert_eq!(rule["config"], reloaded["config"]);
}

#[test]
fn a_changed_rule_set_is_noticed_without_a_signal_and_open_sessions_keep_theirs() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    let mut open = Client::hello(gateway.address());
    deployment.write("rules/inbound.yaml", REJECTING);
    gateway.wait_for(|event| event["event"] == "reloaded");
    open.send("alice@example.org", &[BOB], &mail::small("open")).expect("250 ");
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("new")).expect("550 5.7.1 Closed now");
}

#[test]
fn what_cannot_change_while_running_is_reported() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    deployment.write("gateway.yaml", &deployment.yaml_listening("127.0.0.1:1025").replace("path: spool", "path: elsewhere"));
    gateway.signal("HUP");
    for needle in ["listen addresses changed", "spool's path changed"] {
        gateway.wait_for(|event| event["event"] == "problem" && event["detail"].as_str().unwrap().contains(needle));
    }
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("still")).expect("250 ");
}

#[test]
fn a_broken_configuration_never_starts() {
    let deployment = Deployment::new("inline").relay("next", free_address()).rules("rules:\n  - nmae: x\n    actions: [Dorp]\n");
    deployment.write("gateway.yaml", &deployment.yaml());
    let output = command(deployment.folder()).output().unwrap();
    let errors = mail::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for expected in ["rules/inbound.yaml:2:", "`name`", "`Drop`", "nothing was started"] {
        assert!(errors.contains(expected), "{expected} is missing in {errors}");
    }
    assert_eq!(mail::text(&output.stdout), "");
    assert!(!deployment.path("spool").exists());

    std::fs::remove_file(deployment.path("gateway.yaml")).unwrap();
    let output = command(deployment.folder()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(mail::text(&output.stderr).contains("gateway.yaml"));
}

#[test]
fn what_cannot_be_stored_is_not_acknowledged_and_the_log_says_why() {
    let sink = Sink::down(|_| Answer::Ok);
    let deployment = Deployment::new("queue").relay("next", sink.address());
    let gateway = deployment.start();
    std::fs::remove_dir_all(deployment.path("spool")).unwrap();
    let mut client = Client::hello(gateway.address());
    for message in [mail::small("small"), mail::large(500_000)] {
        client.send("alice@example.org", &[BOB], &message).expect("451 4.3.0");
        gateway.wait_for(|event| event["event"] == "problem" && event["detail"].as_str().unwrap().contains("No such file"));
    }
}

#[test]
fn a_port_or_a_spool_that_is_taken_is_named() {
    let taken = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", Sink::accepting().address());
    deployment.write("gateway.yaml", &deployment.yaml_listening(&taken.address().to_string()));
    let output = command(deployment.folder()).output().unwrap();
    let errors = mail::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains(&format!("endpoint `mx` cannot listen on {}", taken.address())), "{errors}");

    let _first = deployment.start();
    let output = command(deployment.folder()).output().unwrap();
    let errors = mail::text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("spool"), "{errors}");
}
