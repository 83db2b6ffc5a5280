//! Gates on a paused clock, with a memory that outlives them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::failure::{Class, Side};
use crate::message::{Content, MessageId, SessionIds};
use crate::relay::{Accepted, Attempt, Outcome, RelayLimits, Route};
use crate::smtp::{Address, MailTerms, ReversePath, Status};
use crate::telemetry::{Format, Lines};

const BEGIN: u64 = 1_700_000_000_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Values as a disk keeps them.
#[derive(Default)]
struct Disk {
    values: Mutex<BTreeMap<Arc<str>, Bytes>>,
    writes: AtomicU64,
    is_full: AtomicBool,
}

impl Memory for Disk {
    fn remember<'a>(&'a self, key: &'a str, value: Option<Bytes>) -> Remembered<'a> {
        Box::pin(async move {
            // As long as a sync.
            tokio::time::sleep(Duration::from_millis(2)).await;
            if self.is_full.load(Ordering::Relaxed) {
                return Err("no space".to_owned());
            }
            self.writes.fetch_add(1, Ordering::Relaxed);
            match value {
                Some(value) => lock(&self.values).insert(key.into(), value),
                None => lock(&self.values).remove(key),
            };
            Ok(())
        })
    }
}

/// A process with its gates; the disk and the wall clock outlive it.
struct Process {
    gates: Gates,
    log: Log,
    lines: Lines,
}

#[derive(Default)]
struct World {
    disk: Arc<Disk>,
    /// The wall clock is ahead of the one that only goes forward by so much.
    ahead: Arc<AtomicU64>,
    begin: Option<Instant>,
}

impl World {
    /// Starts a process with what the disk has.
    fn start(&mut self) -> Process {
        let begin = *self.begin.get_or_insert_with(Instant::now);
        let ahead = Arc::clone(&self.ahead);
        let wall = move || BEGIN + u64::try_from(begin.elapsed().as_millis()).unwrap() + ahead.load(Ordering::Relaxed);
        let gates = Gates::with_clock(Clock::of(Arc::new(wall)));
        let lines = Lines::default();
        let log = Log::new(Format::Json, lines.clone());
        let recalled = lock(&self.disk.values).iter().map(|(key, value)| (Arc::clone(key), value.clone())).collect();
        gates.remember_in(Arc::clone(&self.disk) as _, recalled, log.clone());
        Process { gates, log, lines }
    }

    fn wall(&self) -> u64 {
        BEGIN + u64::try_from(self.begin.unwrap().elapsed().as_millis()).unwrap() + self.ahead.load(Ordering::Relaxed)
    }
}

impl Process {
    fn gate(&self) -> Arc<Gate> {
        self.gates.of("r")
    }

    /// The events of these names, once the log is complete.
    fn events(&self, name: &str) -> usize {
        self.log.close();
        self.lines.events(name).len()
    }
}

fn config(limits: RelayLimits) -> RelayConfig {
    RelayConfig { limits, ..RelayConfig::new("r", Route::Hosts(vec!["192.0.2.1".into()])) }
}

fn plain() -> RelayConfig {
    config(RelayLimits { connections: 8, ..RelayLimits::default() })
}

fn delivery(number: u32) -> Delivery {
    Delivery {
        message: MessageId { session: SessionIds::new(number).next(BEGIN), number: 1 },
        reverse_path: ReversePath::Null,
        recipients: vec![Address::parse("x@Known.example", false).unwrap().into()],
        content: Content::default(),
        smtputf8: false,
        eight_bit: false,
        terms: MailTerms::default(),
    }
}

fn report(outcome: Outcome) -> DeliveryReport {
    let result = match &outcome {
        Outcome::Delivered(accepted) => Ok(accepted.reply.clone()),
        Outcome::Failed(failure) => Err(Arc::clone(failure)),
    };
    let attempt = Attempt { host: "h".into(), address: None, tls: None, reused: false, recipients: 1, result, duration: Duration::ZERO };
    DeliveryReport { outcomes: vec![outcome], attempts: vec![attempt] }
}

fn taken() -> DeliveryReport {
    report(Outcome::Delivered(Arc::new(Accepted::simulated(Reply::fixed(250, Status(2, 0, 0), "ok"), "h", false))))
}

fn refused(class: Class) -> DeliveryReport {
    let reply = match class {
        Class::Slow => Reply::fixed(421, Status(4, 7, 0), "slower"),
        Class::Bounce => Reply::fixed(550, Status(5, 1, 1), "nobody"),
        _ => Reply::fixed(550, Status(5, 7, 64), "TenantAttribution"),
    };
    let mut failure = Failure::new(Side::Us, reply, "reply to RCPT").of(class);
    if class == Class::Hold {
        failure.retry = crate::failure::Retry::Later;
    }
    report(Outcome::Failed(Arc::new(failure)))
}

/// One transaction of one delivery, whatever comes of it.
async fn deliver(gate: &Arc<Gate>, config: &RelayConfig, number: u32, report: DeliveryReport) -> Result<(), Failure> {
    let delivery = delivery(number);
    let mut pass = gate.enter(config, &delivery, 1, Instant::now() + MINUTE).await?;
    assert!(pass.begin().await);
    drop(pass);
    gate.learn(config, &delivery, &report);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_gateway_holds_the_relay_until_a_probe_succeeds() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    deliver(&gate, &config, 1, refused(Class::Hold)).await.unwrap();
    assert_eq!(gate.readiness(&config), Readiness::Held);
    assert!(gate.keeps(&config));
    let held = deliver(&gate, &config, 2, taken()).await.unwrap_err();
    assert!(held.is_temporary() && held.to_string().contains("550 5.7.64 TenantAttribution"), "{held}");
    // Probes after 1, 2, 4, 8, 15, 15 minutes; each is one delivery.
    for wait in [1, 2, 4, 8, 15, 15] {
        let at = gate.probe_at().unwrap();
        assert_eq!(at, world.wall() + wait * 60_000);
        tokio::time::advance(MINUTE * u32::try_from(wait).unwrap()).await;
        let probe = delivery(3);
        let pass = gate.enter(&config, &probe, 1, Instant::now()).await.unwrap();
        assert_eq!(gate.probe_at(), None, "one at a time");
        assert!(gate.enter(&config, &delivery(4), 1, Instant::now()).await.is_err());
        drop(pass);
        gate.learn(&config, &probe, &refused(Class::Hold));
    }
    tokio::time::advance(MINUTE * 15).await;
    deliver(&gate, &config, 5, taken()).await.unwrap();
    assert_eq!(gate.readiness(&config), Readiness::Open { width: 8 });
    assert!(!gate.keeps(&config));
    assert_eq!((process.events("relay_held"), process.events("relay_released")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn only_the_probe_ends_a_hold() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    let earlier = delivery(7);
    let pass = gate.enter(&config, &earlier, 1, Instant::now()).await.unwrap();
    deliver(&gate, &config, 1, refused(Class::Hold)).await.unwrap();
    drop(pass);
    gate.learn(&config, &earlier, &taken());
    assert_eq!(gate.readiness(&config), Readiness::Held, "what was under way says nothing about what comes");
    // A probe that is answered for what it is leaves all as it is.
    for _ in 0..3 {
        tokio::time::advance(MINUTE * 2).await;
        deliver(&gate, &config, 2, refused(Class::Bounce)).await.unwrap();
        assert_eq!(gate.readiness(&config), Readiness::Held);
    }
}

#[tokio::test(start_paused = true)]
async fn an_operator_holds_and_releases() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    gate.set_held(true).await;
    tokio::time::advance(MINUTE * 60).await;
    assert_eq!((gate.readiness(&config), gate.probe_at()), (Readiness::Held, None));
    assert!(deliver(&gate, &config, 1, taken()).await.is_err());
    gate.set_held(false).await;
    // One message shows whether he is right.
    assert_eq!(gate.readiness(&config), Readiness::Open { width: 1 });
    let _pass = gate.enter(&config, &delivery(1), 1, Instant::now()).await.unwrap();
    assert!(gate.enter(&config, &delivery(2), 1, Instant::now() + MINUTE).await.is_err());
    gate.learn(&config, &delivery(1), &taken());
    assert_eq!(gate.readiness(&config), Readiness::Open { width: 8 });
    // He was wrong: the next refusal holds again.
    gate.set_held(true).await;
    gate.set_held(false).await;
    gate.learn(&config, &delivery(3), &refused(Class::Hold));
    assert_eq!(gate.readiness(&config), Readiness::Held);
    assert_eq!((process.events("relay_held"), process.events("relay_released")), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn a_hold_survives_the_process_and_keeps_mail_for_its_time() {
    let mut world = World::default();
    let config = plain();
    {
        let process = world.start();
        deliver(&process.gate(), &config, 1, refused(Class::Hold)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::advance(config.hold_for / 2).await;
    let process = world.start();
    let gate = process.gate();
    assert_eq!(gate.readiness(&config), Readiness::Held);
    let standing = process.gates.standings().pop().unwrap();
    assert_eq!(standing.reply.unwrap().to_string(), "550 5.7.64 TenantAttribution");
    assert_eq!(standing.since, Some(BEGIN));
    // After its time mail is tried, and told that it is held, so that it can expire; the relay is held on.
    tokio::time::advance(config.hold_for / 2).await;
    assert!(!gate.keeps(&config));
    assert!(matches!(gate.readiness(&config), Readiness::Open { .. }));
    assert_eq!(process.gates.standings()[0].readiness, Readiness::Held);
    deliver(&gate, &config, 2, taken()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lock(&world.disk.values).is_empty(), "nothing is left of a hold that ended");
}

#[tokio::test(start_paused = true)]
async fn pressure_halves_the_width_and_time_and_success_give_it_back() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    let width = |gate: &Gate| match gate.readiness(&config) {
        Readiness::Open { width } => width,
        other => panic!("{other:?}"),
    };
    assert_eq!(width(&gate), 8);
    for expected in [4, 2, 1] {
        // What was under way together is one sign.
        for _ in 0..5 {
            gate.learn(&config, &delivery(1), &refused(Class::Slow));
        }
        assert_eq!(width(&gate), expected);
        tokio::time::advance(Duration::from_secs(5)).await;
    }
    // One connection is too much: pauses of 2, 4, 8 … 60 seconds.
    for pause in [2, 4, 8, 16, 32, 60] {
        gate.learn(&config, &delivery(1), &refused(Class::Slow));
        assert_eq!(gate.readiness(&config), Readiness::Waits { until: world.wall() + pause * 1000 });
        assert!(deliver(&gate, &config, 2, taken()).await.is_err());
        tokio::time::advance(Duration::from_secs(pause.max(5))).await;
    }
    assert_eq!(width(&gate), 2, "a minute has passed since");
    for _ in 0..20 {
        deliver(&gate, &config, 2, taken()).await.unwrap();
    }
    assert_eq!(width(&gate), 3);
    tokio::time::advance(MINUTE * 5).await;
    assert_eq!(width(&gate), 8);
    tokio::time::advance(MINUTE * 50).await;
    assert_eq!(width(&gate), 8, "never more than was configured");
    assert_eq!(process.events("relay_slow"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_for_an_hour_is_told_of_once() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    for _ in 0..400 {
        gate.learn(&config, &delivery(1), &refused(Class::Slow));
        tokio::time::advance(Duration::from_secs(20)).await;
    }
    assert_eq!(process.events("relay_slow"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_minute_costs_no_connection_and_says_when_there_is_room() {
    let mut world = World::default();
    let process = world.start();
    let config = config(RelayLimits { messages_per_minute: Some(3), ..RelayLimits::default() });
    let gate = process.gate();
    assert_eq!(gate.readiness(&config), Readiness::Open { width: 3 });
    for _ in 0..3 {
        deliver(&gate, &config, 1, taken()).await.unwrap();
    }
    let Readiness::Waits { until } = gate.readiness(&config) else { panic!() };
    let wait = Duration::from_millis(until - world.wall());
    assert!(wait <= MINUTE + Duration::from_millis(250) && wait > MINUTE - Duration::from_secs(1), "{wait:?}");
    let failure = deliver(&gate, &config, 1, taken()).await.unwrap_err();
    assert_eq!(failure.wait, Some(wait));
    tokio::time::advance(wait).await;
    deliver(&gate, &config, 1, taken()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_given_back() {
    let mut world = World::default();
    let process = world.start();
    let config = config(RelayLimits { messages_per_minute: Some(1), recipients_per_day: Some(10), ..RelayLimits::default() });
    let gate = process.gate();
    // No connection could be had.
    drop(gate.enter(&config, &delivery(1), 10, Instant::now()).await.unwrap());
    // Some recipients were refused.
    let mut pass = gate.enter(&config, &delivery(1), 10, Instant::now()).await.unwrap();
    assert!(pass.begin().await);
    pass.refused(4);
    drop(pass);
    tokio::time::advance(MINUTE * 2).await;
    assert!(gate.enter(&config, &delivery(1), 5, Instant::now()).await.is_err());
    assert!(gate.enter(&config, &delivery(1), 4, Instant::now()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn counts_are_stored_before_the_connection_is_used_and_hold_across_crashes() {
    let mut world = World::default();
    let config = config(RelayLimits { messages_per_minute: Some(5), recipients_per_day: Some(40), ..RelayLimits::default() });
    let begin = Instant::now();
    let mut sent: Vec<(Duration, u32)> = Vec::new();
    // Whoever crashes right after he got his pass has sent, as far as anybody knows.
    for number in 0..3_000_u32 {
        let process = world.start();
        for _ in 0..2 {
            if let Ok(mut pass) = process.gate().enter(&config, &delivery(number), 2, Instant::now()).await {
                assert!(pass.begin().await);
                sent.push((begin.elapsed(), 2));
                std::mem::forget(pass);
            }
        }
        tokio::time::advance(Duration::from_secs(50)).await;
    }
    assert!(sent.len() > 20, "{}", sent.len());
    for (at, _) in &sent {
        let since = |length: Duration| sent.iter().filter(move |(other, _)| *other <= *at && *at - *other < length);
        assert!(since(MINUTE).count() <= 5);
        assert!(since(MINUTE * 60 * 24).map(|(_, count)| count).sum::<u32>() <= 40);
    }
    // Nothing is sent that cannot be counted.
    world.disk.is_full.store(true, Ordering::Relaxed);
    tokio::time::advance(MINUTE * 60 * 30).await;
    let process = world.start();
    assert!(process.gate().enter(&config, &delivery(1), 1, Instant::now()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn many_takes_share_one_write() {
    let mut world = World::default();
    let process = world.start();
    let limits = RelayLimits { connections: 200, messages_per_minute: Some(1_000), ..RelayLimits::default() };
    let (gate, config) = (process.gate(), Arc::new(config(limits)));
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let (gate, config) = (Arc::clone(&gate), Arc::clone(&config));
            tokio::spawn(async move { deliver(&gate, &config, number, taken()).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let writes = world.disk.writes.load(Ordering::Relaxed);
    assert!((1..=5).contains(&writes), "{writes} writes for 200 messages");
}

#[tokio::test(start_paused = true)]
async fn no_jump_of_the_wall_clock_lets_more_through_or_keeps_mail_waiting() {
    let config = config(RelayLimits { recipients_per_day: Some(10), ..RelayLimits::default() });
    let week = 7 * 24 * 3_600_000;
    // While it runs, and while it does not; back is a start with a clock that goes after its time.
    for (before, during, after) in [(0, 0, 0), (0, week, week), (week, 0, 0), (week, week, 0)] {
        let mut world = World::default();
        world.ahead.store(before, Ordering::Relaxed);
        let process = world.start();
        drop({
            let mut pass = process.gate().enter(&config, &delivery(1), 10, Instant::now()).await.unwrap();
            assert!(pass.begin().await);
            pass
        });
        world.ahead.store(during, Ordering::Relaxed);
        assert!(process.gate().enter(&config, &delivery(1), 1, Instant::now()).await.is_err(), "{before} {during}");
        let Readiness::Waits { until } = process.gate().readiness(&config) else { panic!() };
        assert!(until - world.wall() <= 24 * 3_600_000 + 15 * 60_000, "stuck");
        // Something more, so that it is stored by the clock as it is now.
        process.gate().set_held(true).await;
        process.gate().set_held(false).await;
        world.ahead.store(after, Ordering::Relaxed);
        let process = world.start();
        assert!(process.gate().enter(&config, &delivery(1), 1, Instant::now()).await.is_err(), "{before} {during} {after}");
        tokio::time::advance(Duration::from_secs(24 * 3600 + 3600)).await;
        assert!(process.gate().enter(&config, &delivery(1), 10, Instant::now()).await.is_ok(), "{before} {during} {after}: stuck");
    }
}

#[tokio::test(start_paused = true)]
async fn domains_are_known_for_an_hour_and_in_bounded_number() {
    let mut world = World::default();
    let process = world.start();
    let (gate, config) = (process.gate(), plain());
    assert!(!gate.knows("known.example"));
    gate.learn(&config, &delivery(1), &taken());
    assert!(gate.knows("KNOWN.example"));
    for number in 0..2 * crate::limits::RELAY_DOMAINS_KNOWN_MAX {
        let mut other = delivery(1);
        other.recipients = vec![Address::parse(&format!("x@d{number}.example"), false).unwrap().into()];
        tokio::time::advance(Duration::from_millis(1)).await;
        gate.learn(&config, &other, &taken());
    }
    assert!(!gate.knows("known.example") && gate.knows("d1999.example"));
    tokio::time::advance(MINUTE * 60).await;
    assert!(!gate.knows("d1999.example"));
}
