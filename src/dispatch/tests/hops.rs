//! Next hops that do as their recipients' addresses say, and remember everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Random;
use crate::failure::{Failure, Side};
use crate::message::MessageId;
use crate::relay::{Accepted, Delivery, DeliveryReport, INTERNET, NextHops, Outcome, Readiness, RelayConfig, RelayLimits, Route, TlsMode};
use crate::smtp::{Address, MailTerms, RcptParameters, Recipient, Reply, ReversePath, Status};
use crate::spool::UnixMillis;

/// All next hops. What they do to a recipient stands in its local part, as words divided by dots:
/// `bad` is refused with 5xx, `grey` with 4xx at first, `dead` with 4xx for ever, `lost` is taken although the first reply gets
/// lost, `slow` takes a minute, `hang` takes until the deadline the first time, `panic` panics the first time, `dsn` is taken by a next hop with DSN.
#[derive(Clone, Default)]
pub(super) struct Hops(pub(super) Arc<Mutex<World>>, Arc<Notify>);

/// What the next hops have seen.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Option<Arc<dyn Fn() -> UnixMillis + Send + Sync>>,
    pub(super) attempts: HashMap<Key, u32>,
    pub(super) delivered: Vec<Delivered>,
    /// Of other answers than those that addresses ask for, in percent.
    pub(super) weather: u64,
    pub(super) random: Option<Random>,
    /// Of relays that are not open.
    pub(super) readiness: HashMap<String, Readiness>,
    /// A held relay takes one delivery from this time on.
    pub(super) probe_at: Option<UnixMillis>,
}

/// A recipient of a message at a relay.
pub(super) type Key = (MessageId, String, String);

/// A message that a next hop has taken for a recipient.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    pub(super) message: MessageId,
    pub(super) relay: String,
    pub(super) recipient: Address,
    pub(super) reverse_path: ReversePath,
    pub(super) parameters: RcptParameters,
    pub(super) terms: MailTerms,
    pub(super) smtputf8: bool,
    pub(super) content: String,
    pub(super) at: UnixMillis,
}

impl Hops {
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// The relays have changed.
    pub(super) fn wake(&self) {
        self.1.notify_one();
    }

    /// What a relay has taken, as `recipient` texts in order.
    pub(super) fn taken_by(&self, relay: &str) -> Vec<String> {
        let world = self.world();
        world.delivered.iter().filter(|one| one.relay == relay).map(|one| one.recipient.to_string()).collect()
    }

    fn answer(&self, relay: &str, delivery: &Delivery, Recipient { address: recipient, parameters }: &Recipient, hang: bool) -> Outcome {
        let mut world = self.world();
        let key = (delivery.message, relay.to_owned(), recipient.to_string());
        let attempt = {
            let attempts = world.attempts.entry(key).or_insert(0);
            *attempts += 1;
            *attempts
        };
        let rain = {
            let weather = world.weather;
            world.random.as_mut().is_some_and(|random| random.percent(weather))
        };
        let has = |word| is(recipient, word);
        if has("bad") {
            return failed(550, Status(5, 1, 1), "No such user");
        }
        if hang || has("dead") || (has("grey") && attempt <= 2) || (rain && attempt <= 3) {
            return failed(451, Status(4, 7, 1), "Come back later");
        }
        let at = world.now.as_ref().map_or(0, |now| now());
        world.delivered.push(Delivered {
            message: delivery.message,
            relay: relay.to_owned(),
            recipient: recipient.clone(),
            reverse_path: delivery.reverse_path.clone(),
            parameters: parameters.clone(),
            terms: delivery.terms.clone(),
            smtputf8: delivery.smtputf8,
            content: String::from_utf8_lossy(&delivery.content.to_vec().unwrap()).into_owned(),
            at,
        });
        if has("lost") && attempt <= 1 {
            return failed(451, Status(4, 4, 2), "The connection was lost");
        }
        Outcome::Delivered(Arc::new(Accepted::simulated(Reply::fixed(250, Status(2, 0, 0), "Taken"), relay, has("dsn"))))
    }
}

/// Whether an address has this word.
pub(super) fn is(address: &Address, word: &str) -> bool {
    address.local_part().split('.').any(|part| part == word)
}

impl NextHops for Hops {
    async fn deliver(&self, relay: &Arc<RelayConfig>, delivery: &Delivery, deadline: Instant) -> DeliveryReport {
        let addresses: Vec<&Address> = delivery.recipients.iter().map(|recipient| &recipient.address).collect();
        self.world().probe_at = None;
        let first = |recipient: &Address| {
            let key = (delivery.message, relay.name.to_string(), recipient.to_string());
            !self.world().attempts.contains_key(&key)
        };
        let any = |word: &str| addresses.iter().any(|recipient| is(recipient, word));
        let hang = addresses.iter().any(|recipient| is(recipient, "hang") && first(recipient));
        if addresses.iter().any(|recipient| is(recipient, "panic") && first(recipient)) {
            let key = |recipient: &Address| (delivery.message, relay.name.to_string(), recipient.to_string());
            addresses.iter().for_each(|recipient| {
                self.world().attempts.insert(key(recipient), 1);
            });
            panic!("a next hop that panics, as the address asks for");
        }
        if hang {
            tokio::time::sleep_until(deadline).await;
        } else if any("slow") {
            tokio::time::sleep(Duration::from_secs(60)).await;
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let outcomes = delivery.recipients.iter().map(|recipient| self.answer(&relay.name, delivery, recipient, hang)).collect();
        DeliveryReport { outcomes, attempts: Vec::new() }
    }

    async fn exchangers(&self, domain: &str) -> Result<Arc<RelayConfig>, Failure> {
        Ok(Arc::new(relay(&format!("{INTERNET} {domain}"), 20)))
    }

    async fn close(&self) {}

    fn readiness(&self, relay: &RelayConfig) -> Readiness {
        let known = self.world().readiness.get(&*relay.name).copied();
        known.unwrap_or(Readiness::Open { width: relay.limits.connections })
    }

    fn probe_at(&self, _: &RelayConfig) -> Option<UnixMillis> {
        self.world().probe_at
    }

    async fn changed(&self) {
        self.1.notified().await;
    }
}

fn failed(code: u16, status: Status, text: &'static str) -> Outcome {
    Outcome::Failed(Arc::new(Failure::new(Side::Relay, Reply::fixed(code, status, text), "simulated")))
}

/// A relay with the default schedule.
pub(super) fn relay(name: &str, connections: u32) -> RelayConfig {
    let limits = RelayLimits { connections, ..RelayLimits::default() };
    RelayConfig { tls: TlsMode::None, limits, ..RelayConfig::new(name, Route::Hosts(vec!["192.0.2.1".into()])) }
}
