//! Questions to simulated relays, with a clock that jumps to the next event.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::config::{CallAheadRelays, Domains, Limits};
use crate::failure::{Failure, Side};
use crate::message::SessionIds;
use crate::relay::{Delivery, DeliveryReport, Route};
use crate::telemetry::{Format, Lines};

/// A relay that says what the recipient's local part is: `yes`, `no`, `later`, `dead`, `slow`.
#[derive(Clone, Default)]
struct Hops {
    asked: Arc<AtomicUsize>,
    at_once: Arc<AtomicU32>,
    most_at_once: Arc<AtomicU32>,
    release: Arc<Notify>,
}

impl NextHops for Hops {
    async fn deliver(&self, _: &Arc<RelayConfig>, _: &Delivery, _: Instant) -> DeliveryReport {
        DeliveryReport { outcomes: Vec::new(), attempts: Vec::new() }
    }

    async fn exchangers(&self, _: &str) -> Result<Arc<RelayConfig>, Failure> {
        Err(Failure::new(Side::Us, Reply::fixed(451, Status(4, 3, 5), "no"), ""))
    }

    async fn close(&self) {}

    async fn verify(&self, _: &Arc<RelayConfig>, recipient: &Address, deadline: Instant) -> Verified {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let now = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(now, Ordering::Relaxed);
        let word = recipient.local_part().split('.').next().unwrap();
        let verified = match word {
            "yes" => Verified::Yes,
            "no" => Verified::No(Reply::new(550, Some(Status(5, 1, 1)), "nobody\nhere \x1b[2J")),
            "later" => Verified::NotNow(Reply::fixed(450, Status(4, 2, 1), "too fast")),
            "slow" => {
                self.release.notified().await;
                Verified::Yes
            }
            _ => {
                tokio::time::sleep_until(deadline).await;
                Verified::Unknown(Arc::new(Failure::new(Side::Relay, Reply::fixed(451, Status(4, 4, 1), "dead"), "")))
            }
        };
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        verified
    }
}

struct House {
    hops: Hops,
    caller: Caller<Hops>,
    snapshot: Snapshot,
    config: config::CallAhead,
    lines: Lines,
}

fn house() -> House {
    let (hops, lines) = (Hops::default(), Lines::default());
    let relay = RelayConfig::new("exchange", Route::Hosts(vec!["127.0.0.1".into()]));
    let snapshot = Snapshot {
        hash: "cafe0000".into(),
        hostname: "mx.gateway.example".into(),
        domains: Domains::List(vec!["acme.example".into()]),
        endpoints: BTreeMap::new(),
        relays: [(Arc::clone(&relay.name), Arc::new(relay))].into(),
        analyzers: BTreeMap::new(),
        bounce_relay: None,
        srs: None,
        acme: None,
        dmarc_reports: None,
        tls_reports: None,
        spool: std::path::PathBuf::new(),
        limits: Limits::default(),
        resolver: Default::default(),
        admin: None,
        files: Vec::new(),
        expiries: Vec::new(),
    };
    let config = config::CallAhead {
        relays: CallAheadRelays::ByDomain(
            [("acme.example".to_owned(), "exchange".into()), ("gone.example".to_owned(), "gone".into())].into(),
        ),
        positive: Duration::from_secs(3600),
        negative: Duration::from_secs(60),
        timeout: Duration::from_secs(10),
    };
    let caller = Caller::new(hops.clone(), Log::new(Format::Json, lines.clone()));
    House { hops, caller, snapshot, config, lines }
}

impl House {
    async fn ask(&self, recipient: &str) -> Option<Reply> {
        let message = MessageId { session: SessionIds::new(1).next(1), number: 1 };
        let recipient = Address::parse(recipient, true).unwrap();
        self.caller.ask(Question { message, snapshot: &self.snapshot, config: &self.config, recipient: &recipient }).await
    }

    fn asked(&self) -> usize {
        self.hops.asked.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_relay_says_is_remembered_for_its_time() {
    let house = house();
    let no = house.ask("no@acme.example").await.unwrap();
    assert_eq!(no.to_string(), "550 5.1.1 The next hop does not know this recipient: nobody here ?[2J");
    for _ in 0..3 {
        assert_eq!(house.ask("no@ACME.example").await.as_ref(), Some(&no));
        assert_eq!(house.ask("yes@acme.example").await, None);
    }
    assert_eq!(house.asked(), 2);
    // The case of a local part is the relay's business.
    house.ask("yes.A@acme.example").await;
    house.ask("yes.a@acme.example").await;
    assert_eq!(house.asked(), 4);
    tokio::time::advance(Duration::from_secs(61)).await;
    house.ask("no@acme.example").await;
    house.ask("yes@acme.example").await;
    assert_eq!(house.asked(), 5, "the no is over, the yes is not");
    house.caller.forget();
    house.ask("yes@acme.example").await;
    assert_eq!(house.asked(), 6);
    house.caller.log.close();
    let events = house.lines.events("call_ahead");
    assert_eq!(events.len(), 12);
    assert!(events.iter().all(|event| event["relay"] == "exchange" && (event["result"] == "unknown") == event["reply"].is_object()));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_refused_for_a_relay_that_does_not_say_no() {
    let house = house();
    for recipient in ["later@acme.example", "later@acme.example", "x@elsewhere.example", "x@gone.example"] {
        assert_eq!(house.ask(recipient).await, None);
    }
    assert_eq!(house.asked(), 2, "a 4xx is not remembered, and nobody is asked for the others");
    let begin = Instant::now();
    assert_eq!(house.ask("dead@acme.example").await, None);
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    // Then the relay is left alone for a moment, and who comes does not wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    for number in 0..100 {
        assert_eq!(house.ask(&format!("no.{number}@acme.example")).await, None);
    }
    assert_eq!((house.asked(), begin.elapsed()), (3, Duration::ZERO));
    tokio::time::advance(CALL_AHEAD_PAUSE).await;
    assert!(house.ask("no@acme.example").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_question_answers_many_and_few_are_asked_at_a_time() {
    let house = Arc::new(house());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..60 {
        let house = Arc::clone(&house);
        // Six recipients, ten times each.
        tasks.spawn(async move { house.ask(&format!("slow.{}@acme.example", number % 6)).await });
    }
    for _ in 0..6 {
        while house.hops.at_once.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        house.hops.release.notify_one();
        let asked = house.asked();
        while house.asked() == asked && asked < 6 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(refusal) = tasks.join_next().await {
        assert_eq!(refusal.unwrap(), None);
    }
    assert_eq!(house.asked(), 6);
    assert_eq!(house.hops.most_at_once.load(Ordering::Relaxed), u32::try_from(CALL_AHEAD_QUESTIONS_MAX).unwrap());
    assert!(house.caller.inner.state().asked.is_empty());
}
