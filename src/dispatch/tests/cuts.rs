//! Inline delivery to a next hop that goes away after each octet of the dialogue, over a real spool: what is acknowledged arrives, once
//! unless the whole message was sent and its reply did not come back whole, and who was refused is told of.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::hops;
use super::setting;
use crate::config::{DeliveryMode, Snapshot};
use crate::dispatch::{Dispatcher, Intake};
use crate::examination::Sealing;
use crate::limits::DSN_PER_MINUTE_MAX;
use crate::message::SessionIds;
use crate::relay::tests::hop::{Act, Hop, Script};
use crate::relay::tests::relays;
use crate::relay::{RelayConfig, Relays, RetrySchedule, Route};
use crate::smtp::Reply;
use crate::spool::{LocalSpool, Spool};
use crate::telemetry::{Format, Lines, Log};

type Subject = Dispatcher<LocalSpool, Relays>;

/// A relay to a hop, with retries as soon as can be.
pub(super) fn relay(name: &str, hop: &Hop) -> RelayConfig {
    let at_once = Duration::from_millis(1);
    RelayConfig {
        port: hop.address.port(),
        route: Route::Hosts(vec!["127.0.0.1".into()]),
        retry: RetrySchedule { first: at_once, longest: at_once, ..RetrySchedule::default() },
        ..hops::relay(name, 4)
    }
}

fn script(keywords: &[&'static str]) -> Script {
    Script::rule(|command, _| (command == "RCPT TO:<bad@here.example>").then_some(Act::Say("550 5.1.1 no such user"))).keywords(keywords)
}

/// What one message came to.
struct Fate {
    reply: Reply,
    /// How often each recipient's message arrived whole.
    arrived: BTreeMap<String, usize>,
    notices: usize,
    /// Of the first connection: whether the content arrived there whole.
    in_doubt: bool,
    octets: (usize, usize),
}

async fn send(dispatcher: &Arc<Subject>, spool: &LocalSpool, home: &Hop, number: u32, script: Script) -> Fate {
    let hop = Hop::start(script).await;
    let snapshot: Arc<Snapshot> = Arc::new(setting::snapshot(vec![relay("alpha", &hop), relay("home", home)], Some("home")));
    dispatcher.reload(Arc::clone(&snapshot));
    let recipients = ["one@here.example", "bad@here.example", "two@here.example"];
    let endpoint = setting::endpoint(setting::rule_set(), DeliveryMode::Inline);
    let before = home.log().messages.len();
    // A sender each: nobody gets as many notifications in an hour as a dialogue has octets.
    let sender = format!("s{number}@sender.example");
    let reply = dispatcher.take(setting::incoming(number, &sender, &recipients, &snapshot, &endpoint)).await;
    let (octets, in_doubt) = {
        let log = hop.log();
        ((log.octets_in, log.octets_out), !log.messages.is_empty())
    };
    let settled = async {
        while spool.stats().await.unwrap().entries > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.unwrap_or_else(|_| panic!("message {number} is still there"));
    let arrived = arrivals(&hop, number);
    let notices = home.log().messages.len() - before;
    Fate { reply, arrived, notices, in_doubt, octets }
}

/// By the dialogue: each message that arrived whole is its transaction's recipients'.
fn arrivals(hop: &Hop, number: u32) -> BTreeMap<String, usize> {
    let log = hop.log();
    for message in &log.messages {
        let text = String::from_utf8_lossy(message);
        assert!(text.contains(&format!("X-Msg: <{number}>")) && text.ends_with(&format!("body of {number}\r\n")), "not whole: {text}");
    }
    let mut arrived = BTreeMap::new();
    for envelope in &log.envelopes {
        for recipient in envelope {
            *arrived.entry(recipient.clone()).or_insert(0) += 1;
        }
    }
    arrived
}

fn check(fate: &Fate, what: &str) {
    // One of three is good at least, so there is never a reason to refuse.
    assert_eq!(fate.reply.code, 250, "{what}");
    for recipient in ["one@here.example", "two@here.example"] {
        let times = fate.arrived.get(recipient).copied().unwrap_or(0);
        let allowed = if fate.in_doubt { 1..=2 } else { 1..=1 };
        assert!(allowed.contains(&times), "{what}: {recipient} arrived {times} times");
    }
    assert_eq!(fate.arrived.get("bad@here.example"), None, "{what}");
    assert_eq!(fate.notices, 1, "{what}: the sender is told of the refusal, once");
}

/// Each cut of the dialogue with a next hop that offers `keywords`. A dispatcher of its own: in one minute it creates
/// `DSN_PER_MINUTE_MAX` notifications, which is more than a dialogue has octets.
async fn cut_everywhere(keywords: &[&'static str]) {
    let (folder, lines) = (setting::folder(), Lines::default());
    let spool = Arc::new(LocalSpool::open(folder.path(), crate::dispatch::unix_millis).unwrap().0);
    let log = Log::new(Format::Json, lines.clone());
    let home = Hop::start(Script::default()).await;
    let snapshot = Arc::new(setting::snapshot(vec![relay("home", &home)], Some("home")));
    let dispatcher = Dispatcher::new(Arc::clone(&spool), relays(), Sealing::default(), log, Arc::new(SessionIds::new(7)), snapshot);
    dispatcher.start();
    let whole = send(&dispatcher, &spool, &home, 1, script(keywords)).await;
    check(&whole, "nothing spoiled");
    assert_eq!(whole.arrived.values().collect::<Vec<_>>(), [&1, &1]);
    let (octets_in, octets_out) = whole.octets;
    assert!(octets_in + octets_out < DSN_PER_MINUTE_MAX as usize);
    let (mut number, mut doubts) = (1, 0);
    for octets in 0..octets_out {
        number += 1;
        let cut = Script { octets_out_max: octets, cuts: 1, ..script(keywords) };
        let fate = send(&dispatcher, &spool, &home, number, cut).await;
        check(&fate, &format!("closed after {octets} of {octets_out} octets sent"));
        doubts += usize::from(fate.in_doubt);
    }
    for octets in 0..octets_in {
        number += 1;
        let cut = Script { octets_in_max: octets, cuts: 1, ..script(keywords) };
        let fate = send(&dispatcher, &spool, &home, number, cut).await;
        check(&fate, &format!("closed after {octets} of {octets_in} octets received"));
        assert!(fate.arrived.values().all(|times| *times == 1), "closed after {octets} octets received: twice");
    }
    // The final dot arrived and its reply did not come back: as many cuts as that reply has octets.
    assert_eq!(doubts, "250 2.0.0 queued\r\n".len());
}

#[tokio::test]
async fn nothing_is_lost_wherever_a_next_hop_with_pipelining_goes_away() {
    cut_everywhere(&["PIPELINING"]).await;
}

#[tokio::test]
async fn nothing_is_lost_wherever_a_next_hop_without_pipelining_goes_away() {
    cut_everywhere(&[]).await;
}
