//! A next hop that refuses the gateway itself: its mail waits, across restarts, and goes out when that is mended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::harness::{Answer, At, Client, Deployment, Sink, mail};
use crate::queue_command::queue;

const BOB: &str = "bob@acme.example";
const REFUSAL: &str = "550 5.7.64 TenantAttribution; Relay Access Denied";

#[test]
fn mail_for_a_held_relay_waits_and_costs_no_connection_across_a_restart() {
    let mended = Arc::new(AtomicBool::new(false));
    let sink = Sink::start({
        let mended = Arc::clone(&mended);
        move |at| if matches!(at, At::Rcpt(_)) && !mended.load(Ordering::SeqCst) { Answer::say(REFUSAL) } else { Answer::Ok }
    });
    for delivery in ["inline", "queue"] {
        mended.store(false, Ordering::SeqCst);
        let before = sink.connections();
        let deployment =
            Deployment::new(delivery).relay_with("next", sink.address(), "retry: { first: 1s, factor: 1, longest: 1s, give_up: 2s }");
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        client.send("alice@example.org", &[BOB], &mail::small("one")).expect("250 2.0.0 Queued");
        let held = gateway.wait_for(|event| event["event"] == "relay_held");
        assert_eq!((&held["relay"], &held["by"], &held["reply"]["status"]), (&"next".into(), &"reply".into(), &"5.7.64".into()));
        for number in 0..5 {
            client.send("alice@example.org", &[BOB], &mail::small(&format!("more {number}"))).expect("250 2.0.0 Queued");
        }
        client.command("QUIT").expect("221 ");
        let (status, said) = gateway.stop();
        assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":6"), "{said}");
        assert_eq!(sink.connections(), before + 1, "one refusal is enough");

        // Much longer than it is given up otherwise, it is held: the restart knows of it.
        mended.store(true, Ordering::SeqCst);
        let gateway = deployment.start();
        Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("seven")).expect("250 2.0.0 Queued");
        let (status, said) = gateway.stop();
        assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":7"), "{said}");
        assert_eq!(sink.connections(), before + 1, "the hold has outlived the process");
        assert!(!said.contains("\"event\":\"outcome\""), "nothing is bounced, nothing expires");

        let gateway = deployment.start();
        assert!(queue(&deployment, &["release", "--relay", "next"]).status.success());
        gateway.wait_events(7, |event| event["event"] == "outcome" && event["outcome"] == "delivered");
        gateway.stop();
    }
}

#[test]
fn a_limit_of_a_minute_is_not_exceeded_by_a_gateway_that_is_killed() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay_with("next", sink.address(), "limits: { messages_per_minute: 3 }");
    for round in 0..4 {
        let gateway = deployment.start();
        for number in 0..2 {
            let message = mail::small(&format!("{round} {number}"));
            Client::hello(gateway.address()).send("alice@example.org", &[BOB], &message).expect("250 ");
        }
        gateway.kill();
    }
    assert_eq!(sink.taken().len(), 3);
}
