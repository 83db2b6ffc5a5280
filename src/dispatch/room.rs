//! What the relays say of themselves, as the scheduler needs it: how much room there is, and when a job is due again.

use std::time::Duration;

use super::job::{JobState, Pending};
use super::{Dispatcher, queue_time, retry};
use crate::failure::Side;
use crate::limits::RELAY_CONNECTIONS_DEFAULT;
use crate::relay::{DeliveryReport, NextHops, Outcome, Readiness};
use crate::spool::{Spool, UnixMillis};

/// How much of a lane may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many jobs at a time.
    Places(u32),
    /// None before this time.
    NotBefore(UnixMillis),
    /// None until the relays say that something has changed.
    None,
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// Room for jobs that are due.
    pub(super) fn room(&self, lane: &str, now: UnixMillis) -> Room {
        let snapshot = self.snapshot.load();
        // A lane without a relay is that of notices, of the internet, or of a relay that is gone.
        let Some(relay) = snapshot.relays.get(lane) else { return Room::Places(RELAY_CONNECTIONS_DEFAULT) };
        match self.next_hops.readiness(relay) {
            Readiness::Open { width } => Room::Places(width.max(1)),
            Readiness::Waits { until } => Room::NotBefore(queue_time(until)),
            // One at a time, and not before the one before it is done.
            Readiness::Held => match self.next_hops.probe_at(relay).map(queue_time) {
                Some(at) if at <= now => Room::Places(1),
                Some(at) => Room::NotBefore(at),
                None => Room::None,
            },
        }
    }

    /// Places for messages that come new: none unless the relay is open.
    pub(super) fn width_for_new(&self, lane: &str) -> u32 {
        let snapshot = self.snapshot.load();
        let Some(relay) = snapshot.relays.get(lane) else { return RELAY_CONNECTIONS_DEFAULT };
        match self.next_hops.readiness(relay) {
            Readiness::Open { width } => width,
            Readiness::Waits { .. } | Readiness::Held => 0,
        }
    }

    /// Whether a message of this age is given up: mail for a held relay is kept, as long as its `hold_for` says.
    pub(super) fn is_expired(&self, relay: &str, stored_at: UnixMillis) -> bool {
        let keeps = self.snapshot.load().relays.get(relay).is_some_and(|relay| self.next_hops.keeps(relay));
        !keeps && retry::is_expired(&self.retry_schedule(relay), stored_at, self.started, self.now())
    }

    /// When the job is due again, after this attempt with what is left of it, and those who were not tried because their time had not come.
    pub(super) fn due_again(&self, state: &mut JobState, aside: Vec<Pending>, tried: Tried, now: UnixMillis, seed: u128) -> UnixMillis {
        let is_held = self.snapshot.load().relays.get(&state.relay).is_some_and(|relay| self.next_hops.readiness(relay) == Readiness::Held);
        let scheduled = match tried {
            // The lane waits for the relay: what is in it need not wait besides.
            _ if is_held => now,
            Tried::NotAtAll(wait) => after(now, wait),
            Tried::Attempt(number) => retry::due(&self.retry_schedule(&state.relay), number, now, seed),
        };
        for pending in &mut state.recipients {
            let asked = pending.last.as_ref().and_then(|failure| failure.wait).filter(|_| matches!(tried, Tried::Attempt(_)));
            pending.not_before = asked.map(|wait| scheduled.max(after(now, wait)));
        }
        state.recipients.extend(aside);
        state.recipients.iter().map(|pending| pending.not_before.unwrap_or(scheduled)).min().unwrap_or(scheduled)
    }
}

/// What an attempt counts for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tried {
    /// It was the attempt of this number.
    Attempt(u32),
    /// The relay took nothing, and no connection was made; it may do so after this time.
    NotAtAll(Duration),
}

impl Tried {
    /// What this report shows; `number` counts the attempt, if it was one.
    pub(super) fn of(report: &DeliveryReport, number: u32) -> Self {
        let waits: Option<Vec<Duration>> = report
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Failed(failure) if failure.side == Side::Us => failure.wait,
                _ => None,
            })
            .collect();
        match waits.and_then(|waits| waits.into_iter().max()).filter(|_| report.attempts.is_empty()) {
            Some(wait) => Self::NotAtAll(wait),
            None => Self::Attempt(number),
        }
    }
}

fn after(now: UnixMillis, wait: Duration) -> UnixMillis {
    now.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}
