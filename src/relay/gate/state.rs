//! What a gate knows and decides, without waiting for anything. Times are those of the gate's clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::stored::{Stored, StoredHold};
use super::window::Window;
use crate::failure::{Class, Failure};
use crate::limits;
use crate::message::{MessageId, one_line};
use crate::relay::{Delivery, DeliveryReport, Outcome, Readiness, RelayConfig, Standing, failures};
use crate::smtp::Reply;

/// Why an operator's hold holds.
pub(super) const BY_OPERATOR: &str = "held by its operator";

#[derive(Debug)]
pub(super) struct State {
    /// The relay's `limits.connections`.
    ceiling: u32,
    /// How many are used of them.
    width: u32,
    /// From when on time makes it wider.
    widened: u64,
    halved: Option<u64>,
    /// Messages taken since the last change of the width.
    successes: u32,
    slow: Option<Slow>,
    pause_until: u64,
    pauses: u32,
    hold: Option<Hold>,
    /// An operator ended the hold, and no message has shown yet that he is right: one at a time.
    trial: bool,
    busy: u32,
    minute: Window,
    day: Window,
    /// Domains of accepted recipients, and when.
    domains: HashMap<Box<str>, u64>,
    /// Warnings given, and when; as many as tables have rows.
    warned: HashMap<&'static str, u64>,
    version: u64,
}

#[derive(Debug)]
struct Hold {
    by_operator: bool,
    reply: Option<Reply>,
    reason: Arc<str>,
    since: u64,
    probe_at: u64,
    wait: Duration,
    /// The message that is under way as a probe.
    probing: Option<MessageId>,
    /// The one that was it last.
    probed: Option<MessageId>,
}

#[derive(Debug)]
struct Slow {
    failure: Arc<Failure>,
    since: u64,
    told: bool,
}

/// What a transaction has taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) minute: bool,
    pub(super) per_minute: Option<u32>,
    pub(super) recipients: u32,
    /// Of these.
    pub(super) unused: u32,
    pub(super) begun: bool,
    probe: bool,
}

/// Why a transaction cannot begin.
pub(super) enum Refusal {
    /// All connections are in use: the caller waits.
    Full,
    /// Not now, and the failure says when.
    Failed(Box<Failure>),
}

/// What an order to hold or release has changed.
pub(super) enum Change {
    None,
    Held,
    /// After so many milliseconds.
    Released(u64),
}

/// What a delivery has taught.
#[derive(Default)]
pub(super) struct Lesson {
    pub(super) held: Option<Arc<Failure>>,
    /// After so many milliseconds.
    pub(super) released: Option<u64>,
    pub(super) hold_changed: bool,
    pub(super) slow_for_long: Option<SlowForLong>,
}

pub(super) struct SlowForLong {
    pub(super) width: u32,
    pub(super) failure: Arc<Failure>,
    pub(super) seconds: u64,
}

impl State {
    pub(super) fn new(now: u64) -> Self {
        Self {
            ceiling: u32::MAX,
            width: u32::MAX,
            widened: now,
            halved: None,
            successes: 0,
            slow: None,
            pause_until: 0,
            pauses: 0,
            hold: None,
            trial: false,
            busy: 0,
            minute: Window::minute(),
            day: Window::day(),
            domains: HashMap::new(),
            warned: HashMap::new(),
            version: 0,
        }
    }

    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn readiness(&mut self, config: &RelayConfig, clock: &Clock) -> Readiness {
        let now = clock.now();
        if self.is_kept(config, now) {
            return Readiness::Held;
        }
        let room_at = self.room_at(config, 1, now);
        if self.pause_until > now || room_at > now {
            return Readiness::Waits { until: clock.to_wall(self.pause_until.max(room_at)) };
        }
        let width = self.width(config, now);
        let mut room = u32::MAX;
        if let Some(limit) = config.limits.messages_per_minute {
            room = room.min(self.minute.room(limit, now));
        }
        if let Some(limit) = config.limits.recipients_per_day {
            room = room.min(self.day.room(limit, now));
        }
        Readiness::Open { width: width.min(self.busy.saturating_add(room)) }
    }

    /// Whether the relay is held and its mail is to be kept, however old it is.
    pub(super) fn is_kept(&self, config: &RelayConfig, now: u64) -> bool {
        self.hold.as_ref().is_some_and(|hold| now.saturating_sub(hold.since) < millis(config.hold_for))
    }

    pub(super) fn probe_at(&self) -> Option<u64> {
        self.hold.as_ref().filter(|hold| !hold.by_operator && hold.probing.is_none()).map(|hold| hold.probe_at)
    }

    pub(super) fn enter(&mut self, config: &RelayConfig, message: MessageId, recipients: u32, now: u64) -> Result<Taken, Refusal> {
        let fail = |failure: Failure| Err(Refusal::Failed(Box::new(failure)));
        let mut probe = false;
        if let Some(hold) = &self.hold {
            let is_due = !hold.by_operator && hold.probe_at <= now && hold.probing.is_none();
            if !is_due {
                let probe_in = Duration::from_millis(hold.probe_at.saturating_sub(now));
                return fail(failures::held(hold.reply.as_ref(), &hold.reason, probe_in.max(limits::RELAY_PROBE_FIRST)));
            }
            probe = true;
        }
        let at = self.room_at(config, recipients, now);
        if at > now {
            return fail(failures::no_room(Duration::from_millis(at.saturating_sub(now))));
        }
        if self.pause_until > now && !probe {
            return fail(failures::paused(Duration::from_millis(self.pause_until.saturating_sub(now))));
        }
        if self.busy >= self.width(config, now) && !probe {
            return Err(Refusal::Full);
        }
        if let Some(hold) = self.hold.as_mut().filter(|_| probe) {
            hold.probing = Some(message);
        }
        let (per_minute, per_day) = (config.limits.messages_per_minute, config.limits.recipients_per_day);
        let recipients = if per_day.is_some() { recipients } else { 0 };
        if per_minute.is_some() {
            self.minute.take(1, now);
        }
        if recipients > 0 {
            self.day.take(recipients, now);
        }
        self.busy = self.busy.saturating_add(1);
        self.version = self.version.saturating_add(1);
        Ok(Taken { minute: per_minute.is_some(), per_minute, recipients, unused: 0, begun: false, probe })
    }

    /// One message more for a transaction that is made again elsewhere.
    pub(super) fn take_message(&mut self, limit: Option<u32>, now: u64) -> bool {
        let has_room = limit.is_none_or(|limit| self.minute.room(limit, now) > 0);
        if has_room {
            self.minute.take(1, now);
            self.version = self.version.saturating_add(1);
        }
        has_room
    }

    pub(super) fn leave(&mut self, taken: &Taken, now: u64) {
        self.busy = self.busy.saturating_sub(1);
        let unused = if taken.begun { taken.unused } else { taken.recipients };
        self.day.give_back(unused);
        if taken.minute && !taken.begun {
            self.minute.give_back(1);
        }
        if let Some(hold) = self.hold.as_mut().filter(|_| taken.probe) {
            hold.probed = hold.probing.take();
            hold.probe_at = now.saturating_add(millis(hold.wait));
            hold.wait = hold.wait.saturating_mul(2).min(limits::RELAY_PROBE_LONGEST);
        }
    }

    pub(super) fn knows(&self, domain: &str, now: u64) -> bool {
        let accepted = self.domains.get(&*domain.to_ascii_lowercase());
        accepted.is_some_and(|at| now.saturating_sub(*at) < millis(limits::RELAY_DOMAIN_KNOWN_TIME))
    }

    pub(super) fn may_warn(&mut self, words: &'static str, now: u64) -> bool {
        let last = self.warned.get(words).copied();
        let may = last.is_none_or(|last| now.saturating_sub(last) >= millis(limits::RELAY_ALARM_INTERVAL));
        if may {
            self.warned.insert(words, now);
        }
        may
    }

    pub(super) fn learn(&mut self, config: &RelayConfig, delivery: &Delivery, report: &DeliveryReport, clock: &Clock) -> Lesson {
        let now = clock.now();
        let mut lesson = Lesson::default();
        let slowed =
            report.attempts.iter().find_map(|attempt| attempt.result.as_ref().err().filter(|failure| slows(failure, attempt.reused)));
        if let Some(failure) = slowed {
            lesson.slow_for_long = self.slow_down(config, failure, now);
        }
        let mut any_taken = false;
        for (recipient, outcome) in delivery.recipients.iter().zip(&report.outcomes) {
            if matches!(outcome, Outcome::Delivered(_)) {
                any_taken = true;
                self.note_domain(recipient.address.domain(), now);
            }
        }
        if any_taken {
            self.succeed(config, now);
            lesson.released = self.release_by(delivery.message, now);
        }
        let refusal = report.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Failed(failure) if failure.class == Some(Class::Hold) => Some(failure),
            _ => None,
        });
        if let Some(failure) = refusal {
            self.hold_for(failure, now, &mut lesson);
        } else if self.hold.as_ref().is_some_and(|hold| hold.probed == Some(delivery.message)) && is_all_permanent(report) {
            // It was answered for what it is: that says nothing about the relay, and is no reason to wait longer.
            if let Some(hold) = &mut self.hold {
                hold.wait = hold.wait.checked_div(2).unwrap_or(hold.wait).max(limits::RELAY_PROBE_FIRST);
            }
        }
        lesson
    }

    /// Holds the relay because of a refusal, or keeps it held with the newest reply.
    fn hold_for(&mut self, failure: &Arc<Failure>, now: u64, lesson: &mut Lesson) {
        self.version = self.version.saturating_add(1);
        self.trial = false;
        let reply = Some(failure.literal().clone());
        let reason: Arc<str> = failure.detail.as_str().into();
        match &mut self.hold {
            Some(hold) if hold.by_operator => {}
            Some(hold) => {
                lesson.hold_changed = hold.reply != reply;
                (hold.reply, hold.reason) = (reply, reason);
            }
            None => {
                self.hold = Some(Hold::new(false, reply, reason, now, now));
                lesson.released = None;
                lesson.held = Some(Arc::clone(failure));
            }
        }
    }

    /// Ends the hold if this message was its probe.
    fn release_by(&mut self, message: MessageId, now: u64) -> Option<u64> {
        let hold = self.hold.take_if(|hold| !hold.by_operator && (hold.probing == Some(message) || hold.probed == Some(message)))?;
        self.version = self.version.saturating_add(1);
        Some(now.saturating_sub(hold.since))
    }

    pub(super) fn set_held(&mut self, held: bool, clock: &Clock) -> Change {
        let now = clock.now();
        let change = match (held, &mut self.hold) {
            (true, Some(hold)) if hold.by_operator => return Change::None,
            (true, Some(hold)) => {
                // From now on without probes; the patience with its mail began with the first hold.
                hold.by_operator = true;
                Change::Held
            }
            (true, None) => {
                self.hold = Some(Hold::new(true, None, BY_OPERATOR.into(), now, now));
                Change::Held
            }
            (false, None) => return Change::None,
            (false, Some(hold)) => {
                let held_ms = now.saturating_sub(hold.since);
                self.hold = None;
                self.trial = true;
                Change::Released(held_ms)
            }
        };
        self.version = self.version.saturating_add(1);
        change
    }

    pub(super) fn standing(&mut self, name: &Arc<str>, clock: &Clock) -> Standing {
        let now = clock.now();
        let (readiness, reply, reason, since) = match (&self.hold, &self.slow) {
            (Some(hold), _) => (Readiness::Held, hold.reply.clone(), Arc::clone(&hold.reason), Some(hold.since)),
            (None, Some(slow)) => {
                let readiness = match self.pause_until > now {
                    true => Readiness::Waits { until: clock.to_wall(self.pause_until) },
                    false => Readiness::Open { width: self.width },
                };
                (readiness, Some(slow.failure.literal().clone()), slow.failure.detail.as_str().into(), Some(slow.since))
            }
            (None, None) => (Readiness::Open { width: self.width }, None, "".into(), None),
        };
        Standing { relay: Arc::clone(name), readiness, reply, reason, since: since.map(|since| clock.to_wall(since)) }
    }

    pub(super) fn stored(&mut self, clock: &Clock) -> Stored {
        let now = clock.now();
        let hold = self.hold.as_ref().map(|hold| StoredHold {
            by_operator: hold.by_operator,
            // Of a value that is kept, nobody's words may be long.
            reply: hold
                .reply
                .as_ref()
                .map(|reply| Reply { text: one_line(&reply.text, limits::RELAY_HOLD_CHARS_MAX).into(), ..reply.clone() }),
            reason: one_line(&hold.reason, limits::RELAY_HOLD_CHARS_MAX),
            age: now.saturating_sub(hold.since),
        });
        Stored::new(clock.wall(), hold, self.minute.ages(now), self.day.ages(now))
    }

    pub(super) fn restore(&mut self, stored: Stored, clock: &Clock) {
        let now = clock.now();
        // A wall clock that was set back makes everything as young as it was, which errs on the safe side.
        let later = clock.wall().saturating_sub(stored.at);
        self.minute.restore(&stored.minute, later, now);
        self.day.restore(&stored.day, later, now);
        if let Some(StoredHold { by_operator, reply, reason, age }) = stored.hold {
            let since = now.saturating_sub(age.saturating_add(later));
            self.hold = Some(Hold::new(by_operator, reply, reason.into(), since, now));
        }
    }

    /// When the limits let so many through.
    fn room_at(&mut self, config: &RelayConfig, recipients: u32, now: u64) -> u64 {
        let never = now.saturating_add(millis(limits::RELAY_PAUSE_ASKED_MAX));
        let minute = config.limits.messages_per_minute.map_or(Some(now), |limit| self.minute.room_at(limit.max(1), 1, now));
        let day = config.limits.recipients_per_day.map_or(Some(now), |limit| self.day.room_at(limit.max(1), recipients, now));
        minute.unwrap_or(never).max(day.unwrap_or(never))
    }

    /// The connections that may be used, with what time has given back.
    fn width(&mut self, config: &RelayConfig, now: u64) -> u32 {
        let ceiling = config.limits.connections.max(1);
        if self.ceiling != ceiling {
            // At the start, or with another configuration: what was learnt about another number says little about this one.
            (self.ceiling, self.width) = (ceiling, ceiling);
        }
        let grown = now.saturating_sub(self.widened).checked_div(millis(limits::RELAY_GROWTH_INTERVAL)).unwrap_or(0);
        self.widened = self.widened.saturating_add(grown.saturating_mul(millis(limits::RELAY_GROWTH_INTERVAL)));
        self.widen(u32::try_from(grown).unwrap_or(u32::MAX));
        if self.trial { 1 } else { self.width }
    }

    fn widen(&mut self, more: u32) {
        self.width = self.width.saturating_add(more).min(self.ceiling);
        if self.width >= self.ceiling && more > 0 {
            self.slow = None;
        }
    }

    fn slow_down(&mut self, config: &RelayConfig, failure: &Arc<Failure>, now: u64) -> Option<SlowForLong> {
        let width = self.width(config, now);
        if self.halved.is_none_or(|at| now.saturating_sub(at) >= millis(limits::RELAY_HALVING_INTERVAL)) {
            self.halved = Some(now);
            if width > 1 {
                self.width = width.div_euclid(2).max(1);
            } else {
                let pause = limits::RELAY_PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(self.pauses.min(16)));
                self.pause_until = self.pause_until.max(now.saturating_add(millis(pause.min(limits::RELAY_PAUSE_LONGEST))));
                self.pauses = self.pauses.saturating_add(1);
            }
        }
        if let Some(asked) = failure.wait {
            self.pause_until = self.pause_until.max(now.saturating_add(millis(asked.min(limits::RELAY_PAUSE_ASKED_MAX))));
        }
        (self.widened, self.successes) = (now, 0);
        let slow = self.slow.get_or_insert_with(|| Slow { failure: Arc::clone(failure), since: now, told: false });
        slow.failure = Arc::clone(failure);
        let lasted = now.saturating_sub(slow.since);
        if slow.told || lasted < millis(limits::RELAY_SLOW_ALARM) {
            return None;
        }
        slow.told = true;
        Some(SlowForLong { width: self.width, failure: Arc::clone(failure), seconds: lasted.div_euclid(1000) })
    }

    fn succeed(&mut self, config: &RelayConfig, now: u64) {
        self.trial = false;
        self.pauses = 0;
        self.width(config, now);
        self.successes = self.successes.saturating_add(1);
        if self.successes >= limits::RELAY_GROWTH_MESSAGES {
            self.successes = 0;
            self.widen(1);
        }
    }

    fn note_domain(&mut self, domain: &str, now: u64) {
        if self.domains.len() >= limits::RELAY_DOMAINS_KNOWN_MAX && !self.domains.contains_key(&*domain.to_ascii_lowercase()) {
            let oldest = self.domains.iter().min_by_key(|(_, at)| **at).map(|(domain, _)| domain.clone());
            if let Some(oldest) = oldest {
                self.domains.remove(&oldest);
            }
        }
        self.domains.insert(domain.to_ascii_lowercase().into(), now);
    }
}

impl Hold {
    fn new(by_operator: bool, reply: Option<Reply>, reason: Arc<str>, since: u64, now: u64) -> Self {
        let wait = limits::RELAY_PROBE_FIRST;
        let probe_at = now.saturating_add(millis(wait));
        let wait = wait.saturating_mul(2);
        Self { by_operator, reply, reason, since, probe_at, wait, probing: None, probed: None }
    }
}

/// Whether a failure is a sign that less at a time would be better. A connection that was idle and gets 421 has only been idle for
/// too long, unless it is told more.
fn slows(failure: &Failure, reused: bool) -> bool {
    let reply = failure.literal();
    let was_idle = reused && reply.code == 421 && reply.status.is_none_or(|status| status.1 != 7);
    !was_idle && (failure.class == Some(Class::Slow) || (reply.code == 421 && failure.class != Some(Class::Hold)))
}

fn is_all_permanent(report: &DeliveryReport) -> bool {
    report.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Failed(failure) if !failure.is_temporary()))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
