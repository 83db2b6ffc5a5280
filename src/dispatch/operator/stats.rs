//! How the lanes of the queue fare.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shown::at;
use super::{Trouble, seconds_since};
use crate::control::{Answer, Answers, Done, RelayShown};
use crate::dispatch::Dispatcher;
use crate::limits::CONTROL_PAGE_JOBS;
use crate::relay::{NextHops, Readiness, Standing};
use crate::spool::{JobView, Spool, UnixMillis};

/// What waits for a relay.
#[derive(Default)]
struct Tally {
    queued: u64,
    held: u64,
    due: u64,
    oldest: Option<UnixMillis>,
    next: Option<UnixMillis>,
}

impl Tally {
    fn add(&mut self, view: &JobView, now: UnixMillis) {
        self.queued = self.queued.saturating_add(1);
        self.oldest = Some(self.oldest.map_or(view.stored_at, |oldest| oldest.min(view.stored_at)));
        if view.held {
            self.held = self.held.saturating_add(1);
            return;
        }
        if view.claimed || view.due <= now {
            self.due = self.due.saturating_add(1);
        }
        if !view.claimed {
            self.next = Some(self.next.map_or(view.due, |next| next.min(view.due)));
        }
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// One line for each relay of the configuration, and for each other lane that has jobs.
    pub(super) async fn tell_stats(&self, answers: &Answers) -> Result<Done, Trouble> {
        let snapshot = self.snapshot.load_full();
        let now = self.now();
        let mut tallies: BTreeMap<Arc<str>, Tally> = snapshot.relays.keys().map(|name| (Arc::clone(name), Tally::default())).collect();
        let mut done = Done::default();
        let mut after = None;
        loop {
            let views = self.spool.jobs(after, CONTROL_PAGE_JOBS).await?;
            let Some(last) = views.last() else { break };
            after = Some(last.id);
            done.matched = done.matched.saturating_add(u64::try_from(views.len()).unwrap_or(u64::MAX));
            for view in &views {
                tallies.entry(Arc::clone(&view.lane)).or_default().add(view, now);
            }
        }
        let standings = self.next_hops.standings();
        for (name, tally) in tallies {
            let readiness = snapshot.relays.get(&name).map(|relay| self.next_hops.readiness(relay));
            let standing = standings.iter().find(|standing| standing.relay == name);
            let _ = answers.send(Answer::Relay(Box::new(shown(&name, &tally, readiness, standing, now)))).await;
        }
        Ok(done)
    }
}

fn shown(name: &str, tally: &Tally, readiness: Option<Readiness>, standing: Option<&Standing>, now: UnixMillis) -> RelayShown {
    let until = match readiness {
        Some(Readiness::Waits { until }) => Some(until),
        _ => None,
    };
    let reason = standing.map(|standing| standing.reason.to_string()).filter(|reason| !reason.is_empty());
    RelayShown {
        relay: name.to_owned(),
        queued: tally.queued,
        held_jobs: tally.held,
        due: tally.due,
        oldest_seconds: tally.oldest.map(|oldest| seconds_since(oldest, now)),
        next_attempt: tally.next.map(at),
        state: readiness.map(|readiness| word(readiness).to_owned()),
        until: until.map(at),
        reply: standing.and_then(|standing| standing.reply.as_ref()).map(ToString::to_string),
        reason,
        since: standing.and_then(|standing| standing.since).map(at),
    }
}

fn word(readiness: Readiness) -> &'static str {
    match readiness {
        Readiness::Open { .. } => "open",
        Readiness::Waits { .. } => "waits",
        Readiness::Held => "held",
    }
}
