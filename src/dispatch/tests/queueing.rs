//! The queue: expiry, delay, fairness between lanes, what cannot be read, and a spool that fails.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::faulty::Faults;
use super::hops::{self, Hops};
use super::setting::{self, BEGIN, Setting};
use crate::config::DeliveryMode;
use crate::dispatch::Incoming;
use crate::limits::SPOOL_ERROR_PAUSE;
use crate::message::MessageId;
use crate::spool::{NewEntry, NewJob, Spool, SpoolError};
use crate::telemetry::Lines;

const HOUR_MS: u64 = 3_600_000;

fn queued(setting: &Setting, number: u32, sender: &str, recipients: &[&str]) -> Incoming {
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Queue);
    setting::incoming(number, sender, recipients, &setting.dispatcher.snapshot.load_full(), &endpoint)
}

/// A setting whose spool says of everything that it has been there for so long.
fn aged(folder: &Path, age_ms: u64, lines: &Lines) -> Setting {
    let setting = Setting::open(folder, BEGIN, age_ms, Arc::new(setting::usual()), Hops::default(), Faults::new(0, 0), lines);
    setting.dispatcher.start();
    setting
}

/// What the notifications say was done.
fn actions(hops: &Hops) -> Vec<String> {
    let world = hops.world();
    let notices = world.delivered.iter().filter(|one| one.relay == "home");
    notices.flat_map(|one| one.content.lines().filter_map(|line| line.strip_prefix("Action: ").map(ToOwned::to_owned))).collect()
}

async fn until(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(30 * 24 * 3600), "it never happened");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_delivered_in_four_days_is_told_of_the_delay_once_and_of_the_end() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let begin = Instant::now();
    assert_eq!(setting.take(queued(&setting, 1, "s@sender.example", &["dead@here.example"])).await.code, 250);
    until(|| actions(&setting.hops) == ["delayed"]).await;
    let hours = begin.elapsed().as_secs() / 3600;
    assert!((4..=5).contains(&hours), "told of the delay after {hours} hours");
    setting.settle().await;
    let days = begin.elapsed().as_secs() / 86_400;
    assert!((4..=5).contains(&days), "given up after {days} days");
    assert_eq!(actions(&setting.hops), ["delayed", "failed"]);
    setting.log.close();
    let outcomes = lines.events("outcome");
    let of_message: Vec<_> = outcomes.iter().filter(|event| event["recipient"] == "dead@here.example").collect();
    assert_eq!((of_message.len(), of_message[0]["outcome"].as_str()), (1, Some("expired")));
}

#[tokio::test(start_paused = true)]
async fn the_null_path_and_quiet_rules_get_no_notice_of_anything() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = aged(folder.path(), 5 * HOUR_MS, &lines);
    for (number, sender, recipient) in [
        (1, "", "grey@here.example"),
        (2, "", "bad@here.example"),
        (3, "s@sender.example", "quiet.bad@here.example"),
        (4, "s@sender.example", "cont.dead@here.example"),
    ] {
        assert_eq!(setting.take(queued(&setting, number, sender, &[recipient])).await.code, 250);
    }
    setting.settle().await;
    assert!(actions(&setting.hops).is_empty());
    setting.log.close();
    let outcomes: Vec<_> = lines.events("outcome").iter().map(|event| event["outcome"].as_str().unwrap().to_owned()).collect();
    let count = |word: &str| outcomes.iter().filter(|outcome| *outcome == word).count();
    assert_eq!((outcomes.len(), count("delivered"), count("dropped"), count("expired")), (4, 1, 1, 1), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_gone_keeps_its_mail_until_it_comes_back() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    assert_eq!(setting.take(queued(&setting, 1, "s@sender.example", &["gone@here.example"])).await.code, 250);
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert!(setting.hops.world().delivered.iter().all(|one| one.relay == "home"), "only the delay was told");
    assert_eq!(setting.spool.stats().await.unwrap().entries, 1);
    let mut relays = setting::usual();
    let gone = Arc::new(hops::relay("gone", 1));
    relays.relays.insert(Arc::clone(&gone.name), gone);
    setting.dispatcher.reload(Arc::new(relays));
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("gone"), ["gone@here.example"]);
}

#[tokio::test(start_paused = true)]
async fn a_state_that_cannot_be_read_waits_and_is_reported() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let whole = queued(&setting, 1, "s@sender.example", &["ok@here.example"]);
    let job = |lane: &str, state: &'static str| NewJob { lane: lane.into(), due: BEGIN, state: state.into() };
    let broken = NewEntry {
        id: MessageId { number: 99, ..whole.id },
        envelope: "{}".into(),
        content: (&whole.data).into(),
        jobs: vec![job("alpha", "{\"version\":7}"), job("elsewhere", "")],
    };
    setting.spool.append(broken).await.unwrap();
    assert_eq!(setting.take(whole).await.code, 250);
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    assert_eq!(setting.hops.taken_by("alpha"), ["ok@here.example"]);
    let stats = setting.spool.stats().await.unwrap();
    assert_eq!((stats.entries, stats.jobs), (1, 2), "what cannot be read is kept");
    assert_eq!(setting.dispatcher.lanes.busy(), 0);
    setting.log.close();
    let problems = lines.events("problem").len();
    assert!((4..60).contains(&problems), "{problems} lines about it");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_hangs_delays_nobody_else() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    // `beta` has one place, which the first message holds for half an hour; the others are due and find none.
    for number in 1..=20 {
        let recipient = if number == 1 { "beta.hang@here.example" } else { "beta.slow@here.example" };
        assert_eq!(setting.take(queued(&setting, number, "s@sender.example", &[recipient])).await.code, 250);
    }
    let begin = Instant::now();
    let asked = setting.faults.asked("lanes");
    for number in 21..=40 {
        assert_eq!(setting.take(queued(&setting, number, "s@sender.example", &["ok@here.example"])).await.code, 250);
    }
    until(|| setting.hops.taken_by("alpha").len() == 20).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(setting.hops.taken_by("beta").is_empty());
    tokio::time::sleep(Duration::from_secs(20 * 60)).await;
    let looks = setting.faults.asked("lanes") - asked;
    assert!(looks < 200, "{looks} looks at lanes that are full");
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("beta").len(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_later_job_is_not_forgotten_while_an_earlier_one_takes_its_time() {
    let folder = setting::folder();
    let snapshot = Arc::new(setting::usual());
    let setting = Setting::open(folder.path(), BEGIN, 0, snapshot, Hops::default(), Faults::new(0, 0), &Lines::default());
    // The first message hangs for half an hour; the second one is due in a minute.
    setting.spool.append(spooled(&setting, 1, "hang@here.example", 0).await).await.unwrap();
    setting.spool.append(spooled(&setting, 2, "ok@here.example", 60_000).await).await.unwrap();
    // Nothing but the scheduler's own look is to tell it.
    while tokio::time::timeout(Duration::from_secs(1), setting.spool.changed().notified()).await.is_ok() {}
    setting.dispatcher.start();
    until(|| setting.hops.taken_by("alpha") == ["ok@here.example"]).await;
    let waited = (setting.clock)() - BEGIN;
    assert!(waited < 10 * 60 * 1000, "delivered after {waited} ms");
    setting.settle().await;
}

/// A message as the spool holds it: taken while the relay is gone, then moved.
async fn spooled(setting: &Setting, number: u32, recipient: &str, wait_ms: u64) -> NewEntry {
    let incoming = queued(setting, number, "s@sender.example", &[recipient]);
    let id = incoming.id;
    let other = setting::folder();
    let parked = Setting::open(other.path(), BEGIN, 0, Arc::new(setting::usual()), Hops::default(), Faults::new(0, 0), &Lines::default());
    parked.dispatcher.stopping.cancel();
    assert_eq!(parked.take(incoming).await.code, 250);
    // The hops of the other setting have set their clock; ours goes on.
    let stored = parked.spool.read(id).await.unwrap();
    let claim = parked.spool.claim("alpha", u64::MAX, 1).await.unwrap().remove(0);
    NewEntry {
        id,
        envelope: stored.envelope,
        content: (&stored.content).into(),
        jobs: vec![NewJob { lane: claim.lane, due: (setting.clock)() + wait_ms, state: claim.state }],
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_attempt_gives_the_job_back() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    assert_eq!(setting.take(queued(&setting, 1, "s@sender.example", &["panic@here.example"])).await.code, 250);
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("alpha"), ["panic@here.example"]);
    setting.log.close();
    assert_eq!(lines.events("problem").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_spool_that_fails_is_asked_again_after_the_pause_only() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    setting.faults.fail("lanes", u32::MAX, SpoolError::Io("sick".into()));
    let begin = setting.faults.asked("lanes");
    for _ in 0..600 {
        setting.spool.changed().notify_one();
        setting.dispatcher.lanes.freed().notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let looks = u64::from(setting.faults.asked("lanes") - begin);
    let most = 60 / SPOOL_ERROR_PAUSE.as_secs() + 2;
    assert!(looks <= most, "asked {looks} times in a minute");
    // What comes new goes by memory meanwhile; its outcome is stored as soon as the disk works.
    setting.faults.fail("finish", 3, SpoolError::Io("sick".into()));
    assert_eq!(setting.take(queued(&setting, 1, "s@sender.example", &["ok@here.example"])).await.code, 250);
    setting.faults.heal();
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("alpha"), ["ok@here.example"]);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_fails_gives_its_places_back() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    setting.faults.fail("append", 10, SpoolError::Full);
    for number in 1..=10 {
        assert_eq!(setting.take(queued(&setting, number, "s@sender.example", &["beta@here.example"])).await.code, 452);
    }
    assert_eq!(setting.dispatcher.lanes.busy(), 0);
    assert_eq!(setting.take(queued(&setting, 11, "s@sender.example", &["beta@here.example"])).await.code, 250);
    setting.settle().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_not_overtaken_by_what_comes_new() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    // `beta` has one place and takes a minute; a new message comes every half of one.
    let mut expected = Vec::new();
    for number in 1..=12 {
        let recipient = format!("beta.slow.{number}@here.example");
        assert_eq!(setting.take(queued(&setting, number, "s@sender.example", &[&recipient])).await.code, 250);
        expected.push(recipient);
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
    setting.settle().await;
    assert_eq!(setting.hops.taken_by("beta"), expected);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_attempts_begins_none_and_keeps_what_comes_late() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    assert_eq!(setting.take(queued(&setting, 1, "s@sender.example", &["slow.1@here.example"])).await.code, 250);
    assert_eq!(setting.take(queued(&setting, 2, "s@sender.example", &["hang.2@here.example"])).await.code, 250);
    until(|| setting.dispatcher.lanes.busy() == 2).await;
    let begin = Instant::now();
    let drain = setting.dispatcher.drain(Duration::from_secs(120));
    let late = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        setting.take(queued(&setting, 3, "s@sender.example", &["late@here.example"])).await.code
    };
    let ((), late) = tokio::join!(drain, late);
    assert_eq!(late, 250);
    assert_eq!(begin.elapsed().as_secs(), 120, "the one that hangs is waited for as long as allowed");
    assert_eq!(setting.hops.taken_by("alpha"), ["slow.1@here.example"]);
    assert_eq!(setting.spool.stats().await.unwrap().entries, 2);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_gets_more_connections_gets_more_places_at_once() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    for number in 1..=10 {
        let recipient = format!("beta.slow.{number}@here.example");
        assert_eq!(setting.take(queued(&setting, number, "s@sender.example", &[&recipient])).await.code, 250);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(setting.dispatcher.lanes.busy(), 1);
    let mut wider = setting::usual();
    let beta = Arc::new(hops::relay("beta", 9));
    wider.relays.insert(Arc::clone(&beta.name), beta);
    setting.dispatcher.reload(Arc::new(wider));
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(setting.hops.taken_by("beta").len(), 10);
    setting.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_from_before_a_reload_does_not_resize_the_lanes() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    let before = setting.dispatcher.snapshot.load_full();
    let mut wider = setting::usual();
    let beta = Arc::new(hops::relay("beta", 2));
    wider.relays.insert(Arc::clone(&beta.name), beta);
    setting.dispatcher.reload(Arc::new(wider));
    for number in 1..=10 {
        let mut incoming = queued(&setting, number, "s@sender.example", &[&format!("beta.slow.{number}@here.example")]);
        if number % 2 == 0 {
            incoming.snapshot = Arc::clone(&before);
        }
        assert_eq!(setting.take(incoming).await.code, 250);
    }
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(setting.hops.taken_by("beta").len(), 2, "more at a time than the relay may have connections");
    setting.settle().await;
}
