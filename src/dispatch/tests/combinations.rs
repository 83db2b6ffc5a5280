//! Which plan gets which reply: the table of the reply to DATA in `docs/semantics.md`, row by row, and what an inline delivery can meet.

use std::sync::Arc;

use super::setting::{self, Setting};
use crate::config::DeliveryMode;
use crate::dispatch::Intake;
use crate::dispatch::decide::{Decision, decide};
use crate::limits::SPOOL_SICK_TIME;
use crate::message::Original;
use crate::rules::{Action, OnFailure, Otherwise, RuleSet};
use crate::spool::{Spool, SpoolError};
use crate::telemetry::Lines;

/// What is decided, in a word.
fn decided(mode: DeliveryMode, recipients: &[&str]) -> String {
    let snapshot = Arc::new(setting::usual());
    let incoming = setting::incoming(1, "s@sender.example", recipients, &snapshot, &setting::endpoint(setting::rule_set(), mode));
    let original = Original::of(incoming.data.clone()).unwrap();
    match decide(&setting::plan(&incoming, &original), mode) {
        Decision::Refuse(reply) => format!("refuse {}", reply.code),
        Decision::Drop(_) => "drop".to_owned(),
        Decision::Inline(relay) => format!("inline {relay}"),
        Decision::Spool => "spool".to_owned(),
    }
}

#[test]
fn every_row_of_the_table_holds() {
    use DeliveryMode::{Inline, Queue};
    let table: &[(&[&str], &str, &str)] = &[
        (&["reject@here.example"], "refuse 550", "refuse 550"),
        (&["reject@here.example", "reject.2@here.example"], "refuse 550", "refuse 550"),
        (&["defer@here.example"], "refuse 450", "refuse 450"),
        // A reply is for all of them, and only the sender can try the deferred one again.
        (&["ok@here.example", "defer@here.example"], "refuse 450", "refuse 450"),
        (&["reject@here.example", "defer@here.example"], "refuse 450", "refuse 450"),
        (&["drop@here.example"], "drop", "drop"),
        (&["drop@here.example", "reject@here.example"], "refuse 550", "refuse 550"),
        (&["ok@here.example"], "inline alpha", "spool"),
        (&["ok@here.example", "ok.2@here.example"], "inline alpha", "spool"),
        // Two contents, one relay.
        (&["ok@here.example", "tag@here.example"], "inline alpha", "spool"),
        (&["ok@here.example", "drop@here.example"], "inline alpha", "spool"),
        (&["beta@here.example"], "inline beta", "spool"),
        (&["ok@here.example", "beta@here.example"], "spool", "spool"),
        (&["ok@here.example", "reject@here.example"], "spool", "spool"),
        // Twice for one recipient: one refusal would hide the other's acceptance.
        (&["copy@here.example"], "spool", "spool"),
        (&["rep@here.example"], "spool", "spool"),
        // What the rule says of failures is not for the client to hear.
        (&["cont@here.example"], "spool", "spool"),
        (&["quiet@here.example"], "spool", "spool"),
    ];
    for (recipients, inline, queue) in table {
        assert_eq!((&*decided(Inline, recipients), &*decided(Queue, recipients)), (*inline, *queue), "{recipients:?}");
    }
}

struct Expected {
    code: u16,
    delivered: usize,
    spooled: bool,
    /// Notifications that arrive in the end.
    told: usize,
}

#[tokio::test(start_paused = true)]
async fn an_inline_delivery_answers_for_what_became_of_it() {
    let all = |code, delivered, spooled, told| Expected { code, delivered, spooled, told };
    let table: &[(&[&str], Option<SpoolError>, Expected)] = &[
        (&["ok@here.example"], None, all(250, 1, false, 0)),
        (&["ok@here.example", "tag@here.example"], None, all(250, 2, false, 0)),
        (&["bad@here.example"], None, all(550, 0, false, 0)),
        (&["bad@here.example", "tag.bad@here.example"], None, all(550, 0, false, 0)),
        (&["grey@here.example"], None, all(250, 1, true, 0)),
        (&["ok@here.example", "grey@here.example"], None, all(250, 2, true, 0)),
        (&["ok@here.example", "bad@here.example"], None, all(250, 1, true, 1)),
        (&["grey@here.example", "bad@here.example"], None, all(250, 1, true, 1)),
        (&["ok@here.example", "grey@here.example", "bad@here.example"], None, all(250, 2, true, 1)),
        (&["hang@here.example"], None, all(250, 1, true, 0)),
        // Nothing that is not stored is acknowledged, and nobody is told of it behind the client's back.
        (&["grey@here.example"], Some(SpoolError::Full), all(452, 0, false, 0)),
        (&["grey@here.example"], Some(SpoolError::Io("sick".into())), all(451, 0, false, 0)),
        (&["bad@here.example", "grey@here.example"], Some(SpoolError::Full), all(452, 0, false, 0)),
        // The documented window: the next hop has one of them, and the client will send it again.
        (&["ok@here.example", "grey@here.example"], Some(SpoolError::Full), all(452, 1, false, 0)),
        // The spool is not asked at all.
        (&["ok@here.example"], Some(SpoolError::Full), all(250, 1, false, 0)),
    ];
    for (recipients, fault, expected) in table {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        if let Some(error) = fault {
            setting.faults.fail("append", 1, error.clone());
        }
        let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
        let snapshot = setting.dispatcher.snapshot.load_full();
        let reply = setting.take(setting::incoming(1, "s@sender.example", recipients, &snapshot, &endpoint)).await;
        assert_eq!(reply.code, expected.code, "{recipients:?} {fault:?}");
        let stored = setting.spool.stats().await.unwrap().entries > 0;
        assert_eq!(stored, expected.spooled, "{recipients:?} {fault:?}");
        setting.settle().await;
        let found = (setting.hops.taken_by("alpha").len(), setting.hops.taken_by("home").len());
        assert_eq!(found, (expected.delivered, expected.told), "{recipients:?} {fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_beside_others_is_stored_with_the_message_or_not_at_all() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Queue);
    let snapshot = setting.dispatcher.snapshot.load_full();
    let send = |number| setting::incoming(number, "s@sender.example", &["ok@here.example", "reject@here.example"], &snapshot, &endpoint);
    setting.faults.fail("append", 3, SpoolError::Full);
    for number in 1..=3 {
        assert_eq!(setting.take(send(number)).await.code, 452);
    }
    assert_eq!(setting.take(send(4)).await.code, 250);
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("alpha"), ["ok@here.example"]);
    assert_eq!(setting.hops.taken_by("home"), ["s@sender.example"], "the client that tries again is told once");
}

#[tokio::test(start_paused = true)]
async fn a_connection_from_before_a_reload_delivers_by_the_relays_of_now() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    let before = setting.dispatcher.snapshot.load_full();
    let mut wider = setting::usual();
    let gone = Arc::new(super::hops::relay("gone", 1));
    wider.relays.insert(Arc::clone(&gone.name), gone);
    setting.dispatcher.reload(Arc::new(wider));
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
    let reply = setting.take(setting::incoming(1, "s@sender.example", &["gone@here.example"], &before, &endpoint)).await;
    assert!(reply.text.starts_with("Delivered as "), "{reply}");
    assert_eq!(setting.spool.stats().await.unwrap().entries, 0);
}

#[tokio::test(start_paused = true)]
async fn a_recipient_that_is_dropped_after_a_step_has_one_outcome() {
    let rules = vec![setting::rule("", vec![setting::to("alpha", OnFailure::Bounce), Action::Drop])];
    let rules = Arc::new(RuleSet { name: "deliver-then-drop".into(), otherwise: Otherwise::Reject, rules: rules.into() });
    for mode in [DeliveryMode::Inline, DeliveryMode::Queue] {
        let (folder, lines) = (setting::folder(), Lines::default());
        let setting = Setting::new(folder.path(), setting::usual(), &lines);
        let endpoint = setting::endpoint(Arc::clone(&rules), mode);
        let snapshot = setting.dispatcher.snapshot.load_full();
        assert_eq!(setting.take(setting::incoming(1, "s@sender.example", &["ok@here.example"], &snapshot, &endpoint)).await.code, 250);
        setting.settle().await;
        setting.log.close();
        let outcomes: Vec<_> = lines.events("outcome").iter().map(|event| event["outcome"].clone()).collect();
        assert_eq!(outcomes, ["delivered"], "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_loop_and_a_header_without_end_are_refused_for_good() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Queue);
    let snapshot = setting.dispatcher.snapshot.load_full();
    let own = "Received: from a by mx.gateway.example with ESMTP id 1; now\r\n\r\n".to_owned();
    let far = "Received: from a by b with ESMTP id 1; now\r\n".repeat(51) + "\r\n";
    let wide = "X: y\r\n".repeat(10_001) + "\r\n";
    for (data, status) in [(own, "5.4.6"), (far, "5.4.6"), (wide, "5.6.0")] {
        let mut incoming = setting::incoming(1, "s@sender.example", &["ok@here.example"], &snapshot, &endpoint);
        incoming.data = data.into();
        let reply = setting.take(incoming).await;
        assert_eq!((reply.code, reply.status.unwrap().to_string().as_str()), (554, status));
    }
    setting.settle().await;
    assert!(setting.hops.world().delivered.is_empty());
    setting.log.close();
    let outcomes: Vec<_> = lines.events("outcome").iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["rejected"; 3], "each recipient has an outcome, though no rule has seen the message");
    let limits: Vec<_> = lines.events("replied").iter().map(|event| event["limit"].clone()).collect();
    assert_eq!(limits, [serde_json::Value::Null, "hops".into(), "header".into()]);
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_fails_is_sick_until_it_takes_a_message_or_for_half_a_minute() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Queue);
    let snapshot = setting.dispatcher.snapshot.load_full();
    let send = async |number| {
        let incoming = setting::incoming(number, "s@sender.example", &["ok@here.example"], &snapshot, &endpoint);
        setting.take(incoming).await.code
    };
    setting.faults.fail("append", 1, SpoolError::Full);
    assert!(!setting.dispatcher.is_sick());
    assert_eq!((send(1).await, setting.dispatcher.is_sick()), (452, true));
    assert_eq!((send(2).await, setting.dispatcher.is_sick()), (250, false));
    setting.faults.fail("append", 1, SpoolError::Io("simulated".into()));
    assert_eq!((send(3).await, setting.dispatcher.is_sick()), (451, true));
    tokio::time::sleep(SPOOL_SICK_TIME).await;
    assert!(!setting.dispatcher.is_sick());
    setting.settle().await;
    setting.log.close();
    let limits: Vec<_> = lines.events("replied").iter().map(|event| event["limit"].clone()).collect();
    assert_eq!(limits, ["spool_free".into(), serde_json::Value::Null, serde_json::Value::Null]);
}
