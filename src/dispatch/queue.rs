//! The queue: the scheduler, attempts, and what an attempt leaves behind.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use super::gather::Member;
use super::job::{JobState, Pending, StoredEnvelope, Unreadable, look_into_parts};
use super::lanes::Place;
use super::room::{Room, Tried};
use super::{Dispatcher, dsn, retry};
use crate::actions::smtp_relay;
use crate::failure::Failure;
use crate::limits::{DELAY_NOTICE_AFTER, QUEUE_ATTEMPT_TIMEOUT, SPOOL_ERROR_PAUSE};
use crate::message::Original;
use crate::relay::{DeliveryReport, NextHops, Outcome, RetrySchedule};
use crate::rules::OnFailure;
use crate::spool::{Claim, Spool, SpoolError, UnixMillis};
use crate::telemetry::Event;

/// What a look at the lanes came to.
enum Round {
    /// Attempts were begun.
    Claimed,
    /// None was; the first job of a lane with room is due at this time.
    Idle(Option<UnixMillis>),
    /// The spool failed.
    Failed,
}

/// What an attempt leaves.
struct Remains {
    /// To be tried again.
    later: Vec<Pending>,
    /// Done with, in vain.
    failed: Vec<Pending>,
    /// Deliveries of which the sender is to be told.
    relayed: Vec<dsn::Entry>,
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// Works through the spool until the drain begins.
    pub(super) async fn schedule(self: Arc<Self>) {
        while !self.stopping.is_cancelled() {
            let wake = match self.claim_due().await {
                // What else the lanes hold, and when it is due, shows only now.
                Round::Claimed => continue,
                Round::Idle(next) => next.map(|due| Instant::now() + Duration::from_millis(due.saturating_sub(self.now()))),
                // Whatever happens meanwhile, a spool that fails is not asked without pause.
                Round::Failed => {
                    self.pause().await;
                    continue;
                }
            };
            let due = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            // Both keep a permit for what happened since the look at the lanes.
            tokio::select! {
                () = self.spool.changed().notified() => {}
                () = self.lanes.freed().notified() => {}
                () = self.next_hops.changed() => {}
                () = due => {}
                () = self.stopping.cancelled() => {}
            }
        }
    }

    /// Begins what is due and has room. A lane that is full makes nobody wait: its next place wakes the scheduler.
    async fn claim_due(self: &Arc<Self>) -> Round {
        let lanes = match self.spool.lanes().await {
            Ok(lanes) => lanes,
            Err(error) => return self.failed(&error),
        };
        let (mut claimed, mut failed, mut next, mut full) = (false, None, None::<UnixMillis>, Vec::new());
        for (lane, due) in lanes {
            let now = self.now();
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            let mut places = match self.room(&lane, now) {
                Room::Places(width) => self.lanes.reserve(&lane, width),
                // The relay takes nothing now: no attempt is begun in vain.
                Room::NotBefore(at) => {
                    let at = at.max(now.saturating_add(1));
                    next = Some(next.map_or(at, |next| next.min(at)));
                    continue;
                }
                Room::None => continue,
            };
            if places.is_empty() {
                full.push(lane);
                continue;
            }
            match self.spool.claim(&lane, now, places.len()).await {
                Ok(claims) => {
                    if claims.len() == places.len() {
                        full.push(lane);
                    }
                    claimed |= !claims.is_empty();
                    for (claim, place) in claims.into_iter().zip(std::iter::from_fn(|| places.pop())) {
                        self.begin_from_spool(claim, place);
                    }
                }
                // The other lanes are not to wait for it.
                Err(error) => failed = Some(self.failed(&error)),
            }
            places.into_iter().for_each(Place::not_used);
        }
        self.lanes.set_backlogs(&full);
        failed.unwrap_or(if claimed { Round::Claimed } else { Round::Idle(next) })
    }

    fn failed(&self, error: &SpoolError) -> Round {
        self.log.emit(&Event::Problem { what: "spool", detail: &error.to_string() });
        Round::Failed
    }

    /// The wait before a spool that failed is asked again; the drain ends it.
    async fn pause(&self) {
        tokio::select! {
            () = tokio::time::sleep(SPOOL_ERROR_PAUSE) => {}
            () = self.stopping.cancelled() => {}
        }
    }

    /// Begins an attempt whose message is in memory.
    pub(super) fn begin(
        self: &Arc<Self>,
        claim: Claim,
        envelope: Arc<StoredEnvelope>,
        state: JobState,
        original: Arc<Original>,
        place: Place,
    ) {
        let this = Arc::clone(self);
        // Before the task runs: the other jobs of the message are to know of it.
        let mut member = self.gathering.enter(claim.id.entry);
        self.tasks.spawn(async move {
            if caught(this.attempt(&claim, &mut member, &envelope, state, &original)).await.is_err() {
                this.give_back(&claim, "the attempt panicked").await;
            }
            drop(place);
        });
    }

    fn begin_from_spool(self: &Arc<Self>, claim: Claim, place: Place) {
        let this = Arc::clone(self);
        let mut member = self.gathering.enter(claim.id.entry);
        self.tasks.spawn(async move {
            let attempt = async {
                match this.read_back(&claim).await {
                    Ok((envelope, state, original)) => this.attempt(&claim, &mut member, &envelope, state, &original).await,
                    Err(error) => this.give_back(&claim, &error.to_string()).await,
                }
            };
            if caught(attempt).await.is_err() {
                this.give_back(&claim, "the attempt panicked").await;
            }
            drop(place);
        });
    }

    async fn read_back(&self, claim: &Claim) -> Result<(StoredEnvelope, JobState, Original), SpoolError> {
        let corrupt = |Unreadable(why)| SpoolError::Corrupt(why.into());
        let stored = self.spool.read(claim.id.entry).await?;
        let envelope = StoredEnvelope::decode(&stored.envelope).map_err(corrupt)?;
        let state = JobState::decode(&claim.state).map_err(corrupt)?;
        let original = super::read_header(stored.content).await?;
        Ok((envelope, state, original))
    }

    /// A job that cannot be read or done is never thrown away: it waits, and every try is a line in the log.
    async fn give_back(&self, claim: &Claim, error: &str) {
        let detail = format!("message {}: {error}", claim.id.entry);
        self.log.emit(&Event::Problem { what: "queue", detail: &detail });
        let due = retry::due(&self.retry_schedule(&claim.lane), claim.attempt, self.now(), claim.id.entry.to_u128());
        self.end(claim, Some((due, claim.state.clone()))).await;
    }

    async fn attempt(&self, claim: &Claim, member: &mut Member, envelope: &StoredEnvelope, mut state: JobState, original: &Original) {
        if state.is_notice() {
            return self.tell(claim, member, envelope, &state, original).await;
        }
        let id = claim.id.entry;
        let snapshot = self.snapshot.load_full();
        let aside = state.set_aside(self.now());
        look_into_parts(envelope, original).await;
        let delivery = state.delivery(id, &snapshot.hostname, envelope, original);
        let deadline = Instant::now() + QUEUE_ATTEMPT_TIMEOUT;
        let report = smtp_relay::deliver(&self.next_hops, &snapshot, &state.relay, &delivery, deadline).await;
        let attempt = claim.attempt.saturating_add(state.attempts).saturating_sub(state.untried);
        let tried = Tried::of(&report, attempt);
        state.untried = state.untried.saturating_add(u32::from(matches!(tried, Tried::NotAtAll(_))));
        self.report_attempt(id, &state.relay, attempt, &delivery, &report);
        let mut remains = self.sort(claim, envelope, &mut state, report);
        self.notify_of_relayed(id, envelope, original, std::mem::take(&mut remains.relayed)).await;
        state.recipients = self.close_failed(claim, member, envelope, &state, original, remains).await;
        if state.recipients.is_empty() && aside.is_empty() {
            return self.end(claim, None).await;
        }
        let now = self.now();
        let due = self.due_again(&mut state, aside, tried, now, id.to_u128());
        self.notify_of_delay(claim, envelope, &mut state, original, now).await;
        self.end(claim, Some((due, state.encode()))).await;
    }

    /// Carries out a notice: the failures were final when it was stored, and all that is left is to tell the sender.
    async fn tell(&self, claim: &Claim, member: &mut Member, envelope: &StoredEnvelope, state: &JobState, original: &Original) {
        match self.notify_of_failure(member, claim.id.entry, envelope, original, &state.recipients).await {
            Ok(()) => self.end(claim, None).await,
            Err(error) => self.give_back(claim, &error.to_string()).await,
        }
    }

    /// Takes the delivered out of the state and parts the others.
    fn sort(&self, claim: &Claim, envelope: &StoredEnvelope, state: &mut JobState, report: DeliveryReport) -> Remains {
        let DeliveryReport { outcomes, attempts } = report;
        let expired = self.is_expired(&state.relay, claim.stored_at);
        let mut remains = Remains { later: Vec::new(), failed: Vec::new(), relayed: Vec::new() };
        for (mut pending, outcome) in std::mem::take(&mut state.recipients).into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered(accepted) => {
                    self.report_delivered(claim.id.entry, envelope, state, &pending, &accepted);
                    remains.relayed.extend(dsn::relayed(envelope, state, &pending, &accepted));
                }
                Outcome::Failed(failure) => {
                    pending.fail(&failure, &attempts, self.now());
                    let again = failure.is_temporary() && !expired;
                    if again { &mut remains.later } else { &mut remains.failed }.push(pending);
                }
            }
        }
        remains
    }

    /// Ends the recipients that failed as their step says; gives back all that must be tried again.
    async fn close_failed(
        &self,
        claim: &Claim,
        member: &mut Member,
        envelope: &StoredEnvelope,
        state: &JobState,
        original: &Original,
        remains: Remains,
    ) -> Vec<Pending> {
        let Remains { mut later, failed, relayed: _ } = remains;
        if failed.is_empty() {
            return later;
        }
        if state.on_failure == OnFailure::Bounce
            && let Err(error) = self.notify_of_failure(member, claim.id.entry, envelope, original, &failed).await
        {
            // A failure that the sender was not told of is not forgotten: it comes up again.
            self.log.emit(&Event::Problem { what: "dsn", detail: &error.to_string() });
            later.extend(failed);
            return later;
        }
        let outcome = match state.on_failure {
            OnFailure::Bounce => "bounced",
            OnFailure::Continue => "failed",
            OnFailure::Drop => "dropped",
        };
        let (expired, refused): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|pending| pending.last.as_ref().is_some_and(Failure::is_temporary));
        self.report_failed(claim.id.entry, envelope, state, &refused, outcome);
        self.report_failed(claim.id.entry, envelope, state, &expired, "expired");
        later
    }

    async fn notify_of_delay(&self, claim: &Claim, envelope: &StoredEnvelope, state: &mut JobState, original: &Original, now: UnixMillis) {
        let age = Duration::from_millis(now.saturating_sub(claim.stored_at));
        if state.delay_notified || state.on_failure != OnFailure::Bounce || age < DELAY_NOTICE_AFTER {
            return;
        }
        let give_up = u64::try_from(self.retry_schedule(&state.relay).give_up.as_millis()).unwrap_or(u64::MAX);
        let until = claim.stored_at.saturating_add(give_up);
        let entries = dsn::entries(envelope, dsn::Kind::Delayed, &state.recipients, Some(until));
        state.delay_notified = self.notify(claim.id.entry, envelope, original, dsn::Kind::Delayed, entries).await.is_ok();
    }

    /// Ends a claim, with a new due time and state or for good. The disk may fail, the attempt's outcome must not be lost for it:
    /// it is tried until it is stored or the process ends (then the job is claimed again: at least once).
    async fn end(&self, claim: &Claim, again: Option<(UnixMillis, bytes::Bytes)>) {
        loop {
            let result = match &again {
                Some((due, state)) => self.spool.reschedule(claim, *due, state.clone()).await,
                None => self.spool.finish(claim).await,
            };
            match result {
                Ok(()) | Err(SpoolError::StaleClaim | SpoolError::Closed) => return,
                Err(error) => self.log.emit(&Event::Problem { what: "spool", detail: &error.to_string() }),
            }
            if self.stopping.is_cancelled() {
                return;
            }
            self.pause().await;
        }
    }

    /// A relay's schedule; the default for one that is gone.
    pub(super) fn retry_schedule(&self, relay: &str) -> RetrySchedule {
        self.snapshot.load().relays.get(relay).map(|relay| relay.retry).unwrap_or_default()
    }
}

/// Runs a future to its end or to its panic: a mistake in one attempt must not keep its job claimed until the next start.
async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

struct Panicked;
