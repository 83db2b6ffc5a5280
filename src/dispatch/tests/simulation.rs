//! Hundreds of small worlds, each from a seed: messages of all kinds, next hops with all moods, a spool that fails now and then,
//! crashes. Whatever happens, the promises of `docs/semantics.md` hold.
//!
//! A seed that fails is in the panic's text; `GATEWAY_SEED=N` runs it alone, `GATEWAY_SEEDS=N` runs so many.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::faulty::Faults;
use super::hops::{self, Delivered, Hops, Key, is};
use super::setting::{self, BEGIN, Setting};
use crate::config::{DeliveryMode, Endpoint, Snapshot};
use crate::dispatch::{Incoming, Intake};
use crate::limits::DSN_PER_MINUTE_MAX;
use crate::message::{MessageId, Original};
use crate::random::{Random, seeds};
use crate::relay::{INTERNET, RetrySchedule};
use crate::rules::{Disposition, MailFrom, OnFailure, Plan, StepAction};
use crate::smtp::{Address, Notify, OriginalRecipient, Reply, ReversePath};
use crate::spool::UnixMillis;
use crate::telemetry::Lines;

const SEEDS: u64 = 150;
const MESSAGES: u32 = 12;
/// Attempts for one recipient: four days on a schedule that waits an hour at most, and what crashes add.
const ATTEMPTS_MAX: u32 = 120;

#[test]
fn no_message_is_lost_and_none_is_acknowledged_in_vain() {
    let next = Mutex::new(seeds(SEEDS));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(seed) = { next.lock().unwrap().next() } {
                    let world = std::panic::catch_unwind(|| World::new(seed).run());
                    assert!(world.is_ok(), "seed {seed} failed; run it alone with GATEWAY_SEED={seed}");
                }
            });
        }
    });
}

/// One world.
struct World {
    random: Random,
    snapshot: Arc<Snapshot>,
    messages: Vec<Message>,
    hops: Hops,
    lines: Lines,
    spool_faults: u64,
    crashes: u64,
}

struct Message {
    number: u32,
    id: MessageId,
    sender: String,
    recipients: Vec<String>,
    endpoint: Arc<Endpoint>,
    /// Comes at this time.
    at: UnixMillis,
    begun: bool,
    answer: Arc<Mutex<Option<(Reply, UnixMillis)>>>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let snapshot = Arc::new(snapshot(&mut random));
        let endpoints = [DeliveryMode::Inline, DeliveryMode::Queue].map(|mode| setting::endpoint(setting::rule_set(), mode));
        let messages = (1..=MESSAGES).map(|number| message(number, &mut random, &endpoints)).collect();
        let hops = Hops::default();
        hops.world().weather = *random.of(&[0, 0, 10, 40]);
        hops.world().random = Some(Random(random.next()));
        let (spool_faults, crashes) = (*random.of(&[0, 0, 3, 15]), *random.of(&[0, 0, 1, 3]));
        Self { random, snapshot, messages, hops, lines: Lines::default(), spool_faults, crashes }
    }

    fn run(mut self) {
        let folder = setting::folder();
        let mut now = BEGIN;
        for life in 0..=self.crashes {
            let is_last = life == self.crashes;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let log = runtime.block_on(async {
                let faults = Faults::new(self.random.next(), self.spool_faults);
                let snapshot = Arc::clone(&self.snapshot);
                let setting = Setting::open(folder.path(), now, 0, snapshot, self.hops.clone(), faults, &self.lines);
                setting.dispatcher.start();
                self.live(&setting, is_last).await;
                now = (setting.clock)() + 1;
                setting.log
            });
            // The crash: whatever is under way is gone.
            drop(runtime);
            log.close();
        }
        self.check();
    }

    /// From one start to the next crash, or to the end of all work.
    async fn live(&mut self, setting: &Setting, is_last: bool) {
        let mut clients = Vec::new();
        for message in self.messages.iter_mut().filter(|message| !message.begun) {
            if !is_last && self.random.percent(60) {
                continue;
            }
            message.begun = true;
            let wait = Duration::from_millis(message.at.saturating_sub((setting.clock)()));
            let (dispatcher, clock) = (Arc::clone(&setting.dispatcher), Arc::clone(&setting.clock));
            let (incoming, answer) = (message.incoming(&self.snapshot), Arc::clone(&message.answer));
            clients.push(tokio::spawn(async move {
                tokio::time::sleep(wait).await;
                let reply = dispatcher.take(incoming).await;
                *answer.lock().unwrap() = Some((reply, clock()));
            }));
        }
        if !is_last {
            let until = *self.random.of(&[50, 500, 40_000, 300_000, 4_000_000]);
            return tokio::time::sleep(Duration::from_millis(self.random.below(until))).await;
        }
        for client in clients {
            // A panic of a next hop while the client waits is a lost connection for the client.
            let _ = client.await;
        }
        tokio::time::sleep(Duration::from_secs(3600)).await;
        setting.faults.heal();
        setting.settle().await;
    }

    fn check(&self) {
        let world = self.hops.world();
        assert!(world.attempts.values().all(|attempts| *attempts <= ATTEMPTS_MAX), "attempts without end");
        let notices = Notices::read(&world.delivered, &self.messages);
        let mut delivered: HashMap<Key, Vec<&Delivered>> = HashMap::new();
        for one in &world.delivered {
            delivered.entry((one.message, one.relay.clone(), one.recipient.to_string())).or_default().push(one);
        }
        let outcomes = self.lines.events("outcome");
        let ended: BTreeSet<(String, String)> = outcomes.iter().map(|event| (text(&event["message"]), text(&event["recipient"]))).collect();
        for message in &self.messages {
            let answer = message.answer.lock().unwrap().clone();
            let told = notices.failed.get(&message.number).cloned().unwrap_or_default();
            let relayed = notices.relayed.get(&message.number).cloned().unwrap_or_default();
            assert!(!message.sender.is_empty() || told.is_empty(), "a notification to the null path");
            let Some((reply, at)) = answer else { continue };
            if reply.is_positive() {
                self.check_taken(message, &delivered, &told, &world.attempts);
                self.check_relayed(message, &delivered, &relayed);
                for recipient in &message.recipients {
                    let key = (message.id.to_string(), recipient.clone());
                    assert!(ended.contains(&key), "{recipient} of message {} has no outcome", message.number);
                }
            } else {
                assert!(told.is_empty(), "message {} was refused with {reply} and bounced as well", message.number);
                let mut deliveries = world.delivered.iter().filter(|one| one.message == message.id);
                // The documented window: taken by the next hop, and then the spool failed for the others.
                let window = reply.code / 10 == 45 && self.spool_faults > 0 && message.endpoint.delivery == DeliveryMode::Inline;
                assert!(deliveries.all(|one| window && one.at <= at), "message {} was refused with {reply} and delivered", message.number);
            }
        }
    }

    fn check_taken(
        &self,
        message: &Message,
        delivered: &HashMap<Key, Vec<&Delivered>>,
        told: &BTreeSet<String>,
        attempts: &HashMap<Key, u32>,
    ) {
        let (original, plan) = message.plan(&self.snapshot);
        for step in &plan.steps {
            let StepAction::SmtpRelay { relay, .. } = &step.action;
            let content = step.edits.render(&original, bytes::Bytes::new()).to_vec().unwrap();
            let content = String::from_utf8(content).unwrap();
            for recipient in &step.recipients {
                let key = (message.id, relay.to_string(), recipient.address.to_string());
                let who = format!("{} of message {} at {relay}", recipient.address, message.number);
                match delivered.get(&key) {
                    Some(deliveries) => {
                        let once = self.crashes == 0 && !is(&recipient.address, "lost");
                        assert!(!once || deliveries.len() == 1, "{who}: delivered {} times", deliveries.len());
                        let right =
                            |one: &&Delivered| one.content.ends_with(&content) && one.content.starts_with("Received: from client.example");
                        assert!(deliveries.iter().all(right), "{who}: another group's content");
                        self.check_headers(message, recipient.address.as_str(), deliveries);
                    }
                    None => {
                        assert!(&**relay == "gone" || attempts.contains_key(&key), "{who}: never tried");
                        if step.on_failure != OnFailure::Bounce || message.sender.is_empty() {
                            continue;
                        }
                        for original in &recipient.originals {
                            let original = &message.recipients[*original];
                            let is_told = told.contains(original) || !notify(original).failure;
                            assert!(is_told, "{who}: neither delivered nor bounced; told: {told:?}");
                        }
                    }
                }
            }
        }
        for (recipient, planned) in message.recipients.iter().zip(&plan.recipients) {
            let rejected = matches!(planned.disposition, Disposition::Rejected { .. });
            let is_told = message.sender.is_empty() || !notify(recipient).failure || told.contains(recipient);
            assert!(!rejected || is_told, "{recipient}: rejected in silence");
        }
    }

    /// Who asked to be told of deliveries is told by us or by a next hop with DSN, and what was asked for is passed on as it was.
    fn check_relayed(&self, message: &Message, delivered: &HashMap<Key, Vec<&Delivered>>, relayed: &BTreeSet<String>) {
        let (_, plan) = message.plan(&self.snapshot);
        let mut by_us = BTreeSet::new();
        for step in &plan.steps {
            let StepAction::SmtpRelay { relay, mail_from } = &step.action;
            for recipient in &step.recipients {
                let key = (message.id, relay.to_string(), recipient.address.to_string());
                let Some(deliveries) = delivered.get(&key) else { continue };
                let originals = || recipient.originals.iter().map(|original| &message.recipients[*original]);
                let all: Vec<_> = originals().map(|text| setting::asked(Address::parse(text, false).unwrap()).parameters.notify).collect();
                let replaced = *mail_from == MailFrom::Replace;
                let first = Address::parse(&message.recipients[recipient.originals[0]], false).unwrap();
                for one in deliveries {
                    assert_eq!(one.parameters.original, Some(OriginalRecipient::of(&first)));
                    if let [notify] = all[..]
                        && !replaced
                    {
                        assert_eq!(one.parameters.notify, notify, "{}", recipient.address);
                    }
                }
                let by_next_hop = is(&recipient.address, "dsn") && !replaced;
                if step.on_failure == OnFailure::Bounce && !by_next_hop {
                    by_us.extend(originals().filter(|original| notify(original).success).cloned());
                }
            }
        }
        assert!(relayed.is_subset(&by_us), "{relayed:?} were told of as relayed, {by_us:?} were due");
        let surely = self.spool_faults == 0 && self.crashes == 0 && !message.sender.is_empty();
        let lost = |text: &str| is(&Address::parse(text, false).unwrap(), "lost");
        let due = by_us.iter().filter(|recipient| !lost(recipient));
        due.for_each(|recipient| assert!(!surely || relayed.contains(recipient), "{recipient}: delivered, and nobody tells of it"));
    }

    /// What the plan should have come to, said once more without it.
    fn check_headers(&self, message: &Message, recipient: &str, deliveries: &[&Delivered]) {
        let replaced = recipient.ends_with("@there.example");
        for one in deliveries {
            let (header, body) = one.content.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, format!("body of {}\r\n", message.number));
            let groups: Vec<&str> = header.lines().filter_map(|line| line.strip_prefix("X-Group: ")).collect();
            let expected = match recipient.split('.').next().unwrap() {
                "tag" => vec!["tag".to_owned()],
                "own" => vec![format!("own {recipient}")],
                _ => Vec::new(),
            };
            assert!(replaced || groups == expected, "{recipient}: {groups:?}");
            assert_eq!(header.contains("X-Secret:"), !recipient.starts_with("bare"), "{recipient}");
            let reverse_path = match (recipient.starts_with("anon"), message.sender.as_str()) {
                (true, sender) if !sender.is_empty() => "postmaster@mx.gateway.example",
                (_, sender) => sender,
            };
            assert_eq!(one.reverse_path.as_str(), reverse_path);
            assert_eq!(header.contains("for <"), message.recipients.len() == 1, "recipients leak by Received");
        }
    }
}

impl Message {
    fn incoming(&self, snapshot: &Arc<Snapshot>) -> Incoming {
        let recipients: Vec<&str> = self.recipients.iter().map(String::as_str).collect();
        setting::incoming(self.number, &self.sender, &recipients, snapshot, &self.endpoint)
    }

    fn plan(&self, snapshot: &Arc<Snapshot>) -> (Original, Plan) {
        let incoming = self.incoming(snapshot);
        let original = Original::of(incoming.data.clone()).unwrap();
        let plan = setting::plan(&incoming, &original);
        (original, plan)
    }
}

/// The notifications that arrived.
struct Notices {
    /// Whose delivery failed, by message.
    failed: HashMap<u32, BTreeSet<String>>,
    /// Whose delivery was told of, by message.
    relayed: HashMap<u32, BTreeSet<String>>,
}

impl Notices {
    fn read(delivered: &[Delivered], messages: &[Message]) -> Self {
        let known: BTreeSet<MessageId> = messages.iter().map(|message| message.id).collect();
        let mut told: HashMap<(u32, String), BTreeSet<String>> = HashMap::new();
        for one in delivered.iter().filter(|one| !known.contains(&one.message)) {
            assert!(one.relay == "home" || one.relay.starts_with(INTERNET), "a notification by {}", one.relay);
            assert_eq!(one.reverse_path, ReversePath::Null);
            let field = |name: &str| one.content.lines().filter_map(|line| Some(line.strip_prefix(name)?.to_owned())).collect::<Vec<_>>();
            // A notification returns the header of its message; one about a notification would have none of ours.
            let number = field("X-Msg: <").first().and_then(|text| text.strip_suffix('>')?.parse().ok()).expect("about a message");
            let message = messages.iter().find(|message| message.number == number).unwrap();
            assert_eq!(one.recipient.as_str(), message.sender, "a notification to somebody else");
            assert_eq!(field("Auto-Submitted: "), ["auto-replied"]);
            assert!(!one.content.contains("body of"), "a notification with the body");
            for block in one.content.split("\r\n\r\n").filter(|block| block.contains("Action: ")) {
                let of = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
                let who = of("Original-Recipient: rfc822; ").or(of("Final-Recipient: rfc822; ")).unwrap();
                assert!(message.recipients.iter().any(|recipient| recipient == who), "{who} is no recipient of message {number}");
                let (action, notify) = (of("Action: ").unwrap(), notify(who));
                let wanted = [("failed", notify.failure), ("delayed", notify.delay), ("relayed", notify.success)].contains(&(action, true));
                assert!(wanted, "{who} of message {number} is told to be {action}, and nobody asked for it");
                told.entry((number, action.to_owned())).or_default().insert(who.to_owned());
            }
        }
        let of = |wanted: &str| {
            told.iter().filter(|((_, action), _)| action == wanted).map(|((number, _), who)| (*number, who.clone())).collect()
        };
        Self { failed: of("failed"), relayed: of("relayed") }
    }
}

/// Of what the sender wants to be told for a recipient.
fn notify(recipient: &str) -> Notify {
    setting::asked(Address::parse(recipient, false).unwrap()).notify()
}

fn snapshot(random: &mut Random) -> Snapshot {
    let retry = RetrySchedule {
        first: Duration::from_secs(60),
        factor: 3.0,
        longest: Duration::from_secs(3600),
        give_up: Duration::from_secs(6 * 3600),
    };
    let mut relay = |name: &str| {
        let mut relay = hops::relay(name, u32::try_from(1 + random.below(4)).unwrap());
        relay.retry = RetrySchedule { ..retry };
        relay
    };
    let relays = vec![relay("alpha"), relay("beta"), relay("home")];
    // The rate of notifications is not what is tested here.
    const { assert!(MESSAGES * 5 < DSN_PER_MINUTE_MAX) };
    let by_relay = random.percent(50);
    setting::snapshot(relays, by_relay.then_some("home"))
}

fn message(number: u32, random: &mut Random, endpoints: &[Arc<Endpoint>]) -> Message {
    const KINDS: &[&str] =
        &["plain", "plain", "plain", "plain", "tag", "own", "bare", "rep", "copy", "cont", "quiet", "beta", "anon", "drop"];
    const MOODS: &[&str] = &["ok", "ok", "ok", "ok", "ok", "ok", "bad", "grey", "lost", "slow", "hang", "panic"];
    let count = 1 + random.below(5);
    // Most messages are of one kind, so that one relay can answer for them.
    let one_kind = random.percent(50).then(|| *random.of(KINDS));
    let mut recipients: Vec<String> = Vec::new();
    for place in 0..count {
        let rare = match random.below(180) {
            0 => Some("gone"),
            1..=3 => Some("defer"),
            4..=12 => Some("reject"),
            _ => None,
        };
        let kind = rare.or(one_kind).unwrap_or_else(|| *random.of(KINDS));
        let mood = if random.percent(2) { "dead" } else { *random.of(MOODS) };
        let asks = *random.of(&["", "", "", ".never", ".success", ".all"]);
        let dsn = if random.percent(30) { ".dsn" } else { "" };
        recipients.push(format!("{kind}.{mood}{asks}{dsn}.{place}@here.example"));
    }
    let sender = *random.of(&["s@sender.example", "s.grey@sender.example", "s.lost@sender.example", "s.slow@sender.example", ""]);
    let endpoint = Arc::clone(random.of(endpoints));
    let at = BEGIN + random.below(*random.clone().of(&[100, 10_000, 600_000]));
    let id = setting::incoming(number, "", &[], &Arc::new(setting::usual()), &endpoint).id;
    debug_assert!(recipients.iter().all(|text| Address::parse(text, false).is_ok()));
    Message { number, id, sender: sender.to_owned(), recipients, endpoint, at, begun: false, answer: Arc::default() }
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
