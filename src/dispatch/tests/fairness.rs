//! One relay dead, one slow, one fast: nobody waits for anybody else.

use std::time::Duration;

use tokio::time::Instant;

use super::hops;
use super::setting::{self, Setting};
use crate::config::{DeliveryMode, Snapshot};
use crate::limits::{INLINE_PLACE_WAIT, RELAY_CONNECTIONS_DEFAULT};
use crate::relay::Readiness;
use crate::rules::{OnFailure, Otherwise, RuleSet};
use crate::telemetry::Lines;

/// Messages for each relay.
const MESSAGES: u32 = 150;

fn snapshot() -> Snapshot {
    setting::snapshot(["dead", "slow", "fast"].map(|name| hops::relay(name, RELAY_CONNECTIONS_DEFAULT)).into(), None)
}

/// Everybody goes to the relay that the address names.
fn rules() -> std::sync::Arc<RuleSet> {
    let rules = ["dead", "slow", "fast"].map(|word| setting::rule(word, vec![setting::to(word, OnFailure::Bounce)]));
    RuleSet { name: "by relay".into(), otherwise: Otherwise::Reject, rules: rules.into_iter().collect() }.into()
}

/// The words in the address make the next hop what it is: `hang` lets the attempt run into its deadline, `slow` takes a minute.
fn recipient(relay: &str) -> &'static str {
    match relay {
        "dead" => "dead.hang@here.example",
        "slow" => "slow@here.example",
        _ => "fast@here.example",
    }
}

#[tokio::test(start_paused = true)]
async fn spooled_mail_for_a_fast_relay_does_not_wait_for_others() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), snapshot(), &lines);
    let endpoint = setting::endpoint(rules(), DeliveryMode::Queue);
    let snapshot = std::sync::Arc::new(snapshot());
    let begin = Instant::now();
    for number in 0..MESSAGES {
        for (place, relay) in ["dead", "slow", "fast"].into_iter().enumerate() {
            let number = number * 3 + u32::try_from(place).unwrap();
            let incoming = setting::incoming(number + 1, "a@b.example", &[recipient(relay)], &snapshot, &endpoint);
            assert_eq!(setting.take(incoming).await.code, 250);
        }
    }
    let all = usize::try_from(MESSAGES).unwrap();
    while setting.hops.taken_by("fast").len() < all {
        // 150 messages over 20 connections at 50 ms each are 400 ms.
        assert!(begin.elapsed() < Duration::from_secs(5), "{} of {all}", setting.hops.taken_by("fast").len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(setting.hops.taken_by("slow").len(), 0, "the slow one is still at its first messages");
}

#[tokio::test(start_paused = true)]
async fn inline_deliveries_to_a_slow_relay_are_as_many_as_it_has_places_and_the_others_are_spooled() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = std::sync::Arc::new(Setting::new(folder.path(), snapshot(), &lines));
    let endpoint = setting::endpoint(rules(), DeliveryMode::Inline);
    let snapshot = std::sync::Arc::new(snapshot());
    let begin = Instant::now();
    let mut clients = Vec::new();
    for number in 0..MESSAGES * 3 {
        let relay = ["dead", "slow", "fast"][usize::try_from(number % 3).unwrap()];
        let incoming = setting::incoming(number + 1, "a@b.example", &[recipient(relay)], &snapshot, &endpoint);
        let setting = std::sync::Arc::clone(&setting);
        clients.push((relay, tokio::spawn(async move { (setting.take(incoming).await, begin.elapsed()) })));
    }
    let mut waited = 0;
    for (relay, client) in clients {
        let (reply, after) = client.await.unwrap();
        assert_eq!(reply.code, 250, "{reply}");
        if relay == "fast" {
            assert!(reply.text.starts_with("Delivered") && after < Duration::from_secs(2), "{reply} after {after:?}");
        } else {
            waited += usize::from(after > INLINE_PLACE_WAIT + Duration::from_secs(1));
        }
    }
    let places = usize::try_from(2 * RELAY_CONNECTIONS_DEFAULT).unwrap();
    assert!(waited <= places, "{waited} clients waited for a slow relay, which has {places} places with the dead one");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_takes_nothing_is_not_asked_and_its_mail_is_neither_lost_nor_aged() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), snapshot(), &lines);
    let snapshot = std::sync::Arc::new(snapshot());
    let until = (setting.clock)() + 6 * 24 * 3_600_000;
    setting.hops.world().readiness.insert("fast".into(), Readiness::Held);
    setting.hops.world().readiness.insert("slow".into(), Readiness::Waits { until });
    for (number, (relay, mode)) in
        [("fast", DeliveryMode::Queue), ("fast", DeliveryMode::Inline), ("slow", DeliveryMode::Inline)].into_iter().enumerate()
    {
        let endpoint = setting::endpoint(rules(), mode);
        let number = u32::try_from(number).unwrap() + 1;
        let reply = setting.take(setting::incoming(number, "a@b.example", &[recipient(relay)], &snapshot, &endpoint)).await;
        assert!(reply.code == 250 && reply.text.starts_with("Queued"), "{reply}");
    }
    // Longer than any mail is kept for a relay that fails.
    tokio::time::sleep(Duration::from_secs(5 * 24 * 3600)).await;
    assert!(setting.hops.world().attempts.is_empty(), "no attempt was spent");
    // A probe is due: one message.
    let now = (setting.clock)();
    setting.hops.world().probe_at = Some(now);
    setting.hops.wake();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setting.hops.taken_by("fast").len(), 1);
    setting.hops.world().probe_at = None;
    setting.hops.world().readiness.clear();
    setting.hops.wake();
    setting.settle().await;
    assert_eq!((setting.hops.taken_by("fast").len(), setting.hops.taken_by("slow").len()), (2, 1));
    setting.log.close();
    assert!(lines.events("outcome").iter().all(|event| event["outcome"] == "delivered"));
}
