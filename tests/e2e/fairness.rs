//! One relay dead, one slow, one fast: mail for the fast one waits for nobody.

use std::thread;

use serde_json::Value;

use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

/// More than a relay has places.
const STUCK: usize = 30;
const FAST: usize = 100;

const RULES: &str = "rules:
  - name: dead
    when: [recipient: { starts_with: dead }]
    actions: [SMTPRelay: { relay: dead }]
  - name: slow
    when: [recipient: { starts_with: slow }]
    actions: [SMTPRelay: { relay: slow }]
  - name: fast
    when: [recipient: { starts_with: fast }]
    actions: [SMTPRelay: { relay: next }]
";

struct World {
    dead: Sink,
    slow: Sink,
    fast: Sink,
    gateway: Gateway,
    _deployment: Deployment,
}

fn start(delivery: &str) -> World {
    let dead = Sink::start(|at| if matches!(at, At::Connect) { Answer::Hang } else { Answer::Ok });
    let slow = Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::Hang } else { Answer::Ok });
    let fast = Sink::accepting();
    let deployment =
        Deployment::new(delivery).relay("dead", dead.address()).relay("slow", slow.address()).relay("next", fast.address()).rules(RULES);
    let gateway = deployment.start();
    World { dead, slow, fast, gateway, _deployment: deployment }
}

/// Clients with mail for a relay that does not answer; those who are answered have ended when the test has.
fn stick(gateway: &Gateway, recipient: &'static str) {
    for number in 0..STUCK {
        let address = gateway.address();
        thread::spawn(move || {
            let message = mail::small(&format!("{recipient} {number}"));
            // The gateway may be gone before it answers.
            let _ = std::panic::catch_unwind(|| Client::hello(address).send("alice@example.org", &[recipient], &message));
        });
    }
}

/// Attempts that wait for an answer are as many as the relay has places; nothing for it is done.
fn fill(world: &World) {
    stick(&world.gateway, "dead@acme.example");
    stick(&world.gateway, "slow@acme.example");
    world.dead.wait_hanging(20);
    world.slow.wait_hanging(20);
}

fn fast_mail_is_done(world: &World, begin: &str) {
    let mut client = Client::hello(world.gateway.address());
    for number in 0..FAST {
        client.send("alice@example.org", &["fast@acme.example"], &mail::small(&format!("fast {number}"))).expect(begin);
    }
    world.fast.wait_taken(FAST);
    assert_eq!((world.dead.taken().len(), world.slow.taken().len()), (0, 0), "the others are still at their first messages");
    assert_eq!((world.dead.connections(), world.slow.connections()), (20, 20), "as many as they have places");
}

#[test]
fn spooled_mail_for_a_fast_relay_passes_a_dead_and_a_slow_one() {
    let world = start("queue");
    fill(&world);
    fast_mail_is_done(&world, "250 2.0.0 Queued");
}

#[test]
fn inline_mail_for_a_fast_relay_passes_a_dead_and_a_slow_one_and_what_has_no_place_is_spooled() {
    let world = start("inline");
    fill(&world);
    fast_mail_is_done(&world, "250 2.0.0 Delivered");
    let of_the_stuck = |event: &Value| event["event"] == "replied" && event["spooled"] == true;
    world.gateway.wait_events(2 * (STUCK - 20), of_the_stuck);
}
