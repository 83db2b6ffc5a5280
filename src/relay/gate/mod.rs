//! A gate in front of each relay: whether it gets mail now, and how much at a time.
//!
//! - *Held*: the next hop refuses the gateway itself, so that only the operator can mend it. No connection is spent but for probes: one
//!   message at a time, after 1 minute, 2 … 15. A message that a probe delivers ends the hold, and so does the operator.
//! - *Slow*: the next hop is under pressure or mistrusts us. Fewer connections are used, one at least, then pauses are made; with time
//!   and success they become as many as before.
//! - *Limits*: messages in a minute and recipients in a day are counted before they are sent, on stable storage, and never exceeded.
//!   Without room nothing is sent and no connection is made; the caller is told when there is room again.
//!
//! Inside, all is counted on a clock that only goes forward. What outlives the process is stored as ages.

mod clock;
mod pass;
mod state;
mod stored;
mod strangers;
#[cfg(test)]
mod tests;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use self::clock::Clock;
pub(super) use self::pass::Pass;
use self::state::State;
pub(super) use self::strangers::Strangers;
use super::pool::lock;
use super::replies::Meaning;
use super::{Delivery, DeliveryReport, Readiness, RelayConfig, Standing};
use crate::failure::Failure;
use crate::smtp::Reply;
use crate::telemetry::{Event, Log};

/// Where gates keep what must outlive the process: small values under keys, durable when the future ends.
pub trait Memory: Send + Sync {
    /// Stores a value, or forgets it; an error is for the operator.
    fn remember<'a>(&'a self, key: &'a str, value: Option<Bytes>) -> Remembered<'a>;
}

/// What a memory holds, by key.
pub type Recalled = Vec<(Arc<str>, Bytes)>;

/// See [`Memory::remember`].
pub type Remembered<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// All gates, by the names of their relays.
#[derive(Debug)]
pub(super) struct Gates {
    by_name: Mutex<HashMap<Arc<str>, Arc<Gate>>>,
    shared: Arc<Shared>,
}

/// What all gates have in common.
struct Shared {
    clock: Clock,
    memory: OnceLock<Arc<dyn Memory>>,
    log: OnceLock<Log>,
    /// A relay may take more than before.
    changed: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// One relay's gate. It outlives changes of the relay's configuration.
#[derive(Debug)]
pub(super) struct Gate {
    name: Arc<str>,
    state: Mutex<State>,
    /// A place became free, or there are more.
    freed: Notify,
    /// Held while the state is written down; the number of the newest state on storage.
    written: tokio::sync::Mutex<u64>,
    shared: Arc<Shared>,
}

impl Default for Gates {
    fn default() -> Self {
        Self::with_clock(Clock::system())
    }
}

impl Gates {
    fn with_clock(clock: Clock) -> Self {
        let shared = Shared { clock, memory: OnceLock::new(), log: OnceLock::new(), changed: Notify::new() };
        Self { by_name: Mutex::default(), shared: Arc::new(shared) }
    }

    /// From now on the gates keep their counts here, and tell of themselves there. The values are those that were stored before.
    pub(super) fn remember_in(&self, memory: Arc<dyn Memory>, recalled: Recalled, log: Log) {
        // A second time would be a mistake of the start; the first stays.
        let _ = self.shared.log.set(log);
        let _ = self.shared.memory.set(memory);
        for (key, value) in recalled {
            let Some(name) = stored::name(&key) else { continue };
            if let Err(error) = self.of(name).restore(&value) {
                self.shared.emit(&Event::Problem { what: "relay", detail: &format!("what was stored of relay `{name}`: {error}") });
            }
        }
    }

    /// The gate of a relay. There are as many as the configurations since the start have names.
    pub(super) fn of(&self, name: &str) -> Arc<Gate> {
        let mut gates = lock(&self.by_name);
        if let Some(gate) = gates.get(name) {
            return Arc::clone(gate);
        }
        let gate = self.of_the_moment(name);
        gates.insert(Arc::clone(&gate.name), Arc::clone(&gate));
        gate
    }

    /// A gate that nobody will know of later.
    pub(super) fn of_the_moment(&self, name: &str) -> Arc<Gate> {
        Arc::new(Gate {
            name: name.into(),
            state: Mutex::new(State::new(self.shared.clock.now())),
            freed: Notify::new(),
            written: tokio::sync::Mutex::default(),
            shared: Arc::clone(&self.shared),
        })
    }

    pub(super) fn standings(&self) -> Vec<Standing> {
        let mut gates: Vec<Arc<Gate>> = lock(&self.by_name).values().cloned().collect();
        gates.sort_by(|a, b| a.name.cmp(&b.name));
        gates.iter().map(|gate| gate.standing()).collect()
    }

    /// Returns when a relay may take more than when this was asked the last time.
    pub(super) async fn changed(&self) {
        self.shared.changed.notified().await;
    }
}

impl Gate {
    /// See [`super::NextHops::readiness`].
    pub(super) fn readiness(&self, config: &RelayConfig) -> Readiness {
        let clock = &self.shared.clock;
        lock(&self.state).readiness(config, clock)
    }

    /// See [`super::NextHops::probe_at`].
    pub(super) fn probe_at(&self) -> Option<u64> {
        let clock = &self.shared.clock;
        lock(&self.state).probe_at().map(|at| clock.to_wall(at))
    }

    /// See [`super::NextHops::keeps`].
    pub(super) fn keeps(&self, config: &RelayConfig) -> bool {
        let now = self.shared.clock.now();
        lock(&self.state).is_kept(config, now)
    }

    /// The right to one transaction with so many recipients. Counted on stable storage when it is given.
    pub(super) async fn enter(
        self: &Arc<Self>,
        config: &RelayConfig,
        delivery: &Delivery,
        recipients: usize,
        deadline: Instant,
    ) -> Result<Pass, Failure> {
        let recipients = u32::try_from(recipients).unwrap_or(u32::MAX);
        let pass = loop {
            let freed = self.freed.notified();
            let entered = lock(&self.state).enter(config, delivery.message, recipients, self.shared.clock.now());
            match entered {
                Ok(taken) => break Pass::new(Arc::clone(self), taken),
                Err(state::Refusal::Full) => {
                    if tokio::time::timeout_at(deadline, freed).await.is_err() {
                        return Err(super::failures::busy("no connection became free in time"));
                    }
                }
                Err(state::Refusal::Failed(failure)) => return Err(*failure),
            }
        };
        if pass.is_counted() {
            // The pass gives back what it took when it is dropped.
            self.write().await.map_err(|error| super::failures::uncounted(&error))?;
        }
        Ok(pass)
    }

    /// Whether recipients of this domain were accepted a short time ago.
    pub(super) fn knows(&self, domain: &str) -> bool {
        let now = self.shared.clock.now();
        lock(&self.state).knows(domain, now)
    }

    /// Tells the operator of a reply, if its meaning asks for that and he has not been told just now.
    pub(super) fn warn(&self, meaning: &Meaning, reply: &Reply) {
        if meaning.alarm && lock(&self.state).may_warn(meaning.words, self.shared.clock.now()) {
            self.shared.emit(&Event::RelayWarning { relay: &self.name, reply, reason: meaning.words });
        }
    }

    /// What a delivery teaches about the relay.
    pub(super) fn learn(self: &Arc<Self>, config: &RelayConfig, delivery: &Delivery, report: &DeliveryReport) {
        let lesson = {
            let clock = &self.shared.clock;
            lock(&self.state).learn(config, delivery, report, clock)
        };
        if let Some(slow) = &lesson.slow_for_long {
            let (reply, reason) = (slow.failure.literal(), &*slow.failure.detail);
            self.shared.emit(&Event::RelaySlow { relay: &self.name, connections: slow.width, reply, reason, slow_s: slow.seconds });
        }
        if let Some(failure) = &lesson.held {
            let said = Some(failure.literal());
            self.shared.emit(&Event::RelayHeld { relay: &self.name, by: "reply", reply: said, reason: &failure.detail });
        }
        if let Some(held_ms) = lesson.released {
            self.shared.emit(&Event::RelayReleased { relay: &self.name, by: "probe", held_s: held_ms.div_euclid(1000) });
        }
        if lesson.held.is_some() || lesson.released.is_some() || lesson.hold_changed {
            self.write_soon();
        }
        // The dispatcher looks again when the delivery's place is free; those who wait here do now.
        self.freed.notify_waiters();
    }

    /// See [`super::NextHops::set_held`].
    pub(super) async fn set_held(&self, held: bool) {
        let clock = &self.shared.clock;
        let change = lock(&self.state).set_held(held, clock);
        match change {
            state::Change::None => return,
            state::Change::Held => {
                self.shared.emit(&Event::RelayHeld { relay: &self.name, by: "operator", reply: None, reason: state::BY_OPERATOR });
            }
            state::Change::Released(held_ms) => {
                self.shared.emit(&Event::RelayReleased { relay: &self.name, by: "operator", held_s: held_ms.div_euclid(1000) });
            }
        }
        self.freed.notify_waiters();
        self.shared.changed.notify_one();
        if let Err(error) = self.write().await {
            self.shared.emit(&Event::Problem { what: "relay", detail: &format!("relay `{}`: {error}", self.name) });
        }
    }

    fn standing(&self) -> Standing {
        let clock = &self.shared.clock;
        lock(&self.state).standing(&self.name, clock)
    }
}

impl Shared {
    fn emit(&self, event: &Event<'_>) {
        if let Some(log) = self.log.get() {
            log.emit(event);
        }
    }
}
