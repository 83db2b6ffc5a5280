//! Delivery while the client waits: the next hop's answer becomes ours, and what it does not settle goes to the spool.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::acceptance::Acceptance;
use super::job::{JobState, look_into_parts};
use super::room::Tried;
use super::take::{Judged, new_entry};
use super::{Dispatcher, dsn};
use crate::actions::smtp_relay;
use crate::failure::{Failure, Side};
use crate::limits::{INLINE_BUDGET, INLINE_PLACE_WAIT};
use crate::relay::{Accepted, DeliveryReport, NextHops, Outcome};
use crate::smtp::{Reply, Status};
use crate::spool::{Receipt, Spool, UnixMillis};

/// What the next hop left of a plan; each state holds the recipients it is about.
#[derive(Default)]
struct Rest {
    delivered: Option<Arc<Accepted>>,
    /// Of which deliveries the sender is to be told.
    relayed: Vec<dsn::Entry>,
    /// May work later.
    later: Vec<JobState>,
    /// Refused for good.
    refused: Vec<JobState>,
    /// The relay took nothing when a step was tried, and may do so after this time.
    untried: Option<Duration>,
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// Asks the relay for every recipient, then answers:
    ///
    /// - all refused for good: the client gets the refusal, nothing is stored;
    /// - all taken: the client gets the next hop's words, nothing is stored;
    /// - else what may work later is spooled, and the sender is notified of what was refused beside others that were taken.
    pub(super) async fn deliver_inline(self: &Arc<Self>, judged: Judged, relay: &Arc<str>) -> Result<Acceptance, Failure> {
        // A relay that takes nothing now, or is busy, costs neither the client's time nor memory that mail for others needs.
        let Some(_place) = self.lanes.enter_within(relay, || self.width_for_new(relay), INLINE_PLACE_WAIT).await else {
            return self.spool(judged).await;
        };
        let deadline = Instant::now() + INLINE_BUDGET;
        // Judged by the configuration of its connection, delivered by the one in force: two versions of a relay at a time would
        // have two pools, and drive each other out.
        let snapshot = self.snapshot.load_full();
        let mut rest = Rest::default();
        for (place, step) in judged.plan.steps.iter().enumerate() {
            let mut state = judged.job(place, step);
            state.attempts = 1;
            look_into_parts(&judged.envelope, &judged.original).await;
            let delivery = state.delivery(judged.id(), &snapshot.hostname, &judged.envelope, &judged.original);
            let report = smtp_relay::deliver(&self.next_hops, &snapshot, relay, &delivery, deadline).await;
            if let Tried::NotAtAll(wait) = Tried::of(&report, 1) {
                (state.untried, rest.untried) = (1, Some(wait));
            }
            self.report_attempt(judged.id(), relay, 1, &delivery, &report);
            let outcome = self.sort_inline(&judged, state, report, &mut rest);
            self.report_step(judged.id(), step, outcome);
        }
        self.settle(judged, rest).await
    }

    /// Parts a step's recipients by outcome; the word says what became of the step.
    fn sort_inline(&self, judged: &Judged, mut state: JobState, report: DeliveryReport, rest: &mut Rest) -> &'static str {
        let (mut later, mut refused) = (Vec::new(), Vec::new());
        let DeliveryReport { outcomes, attempts } = report;
        for (mut pending, outcome) in std::mem::take(&mut state.recipients).into_iter().zip(outcomes) {
            match outcome {
                Outcome::Delivered(accepted) => {
                    self.report_delivered(judged.id(), &judged.envelope, &state, &pending, &accepted);
                    rest.relayed.extend(dsn::relayed(&judged.envelope, &state, &pending, &accepted));
                    rest.delivered = Some(accepted);
                }
                Outcome::Failed(failure) => {
                    pending.fail(&failure, &attempts, self.now());
                    if failure.is_temporary() { &mut later } else { &mut refused }.push(pending);
                }
            }
        }
        let word = match (later.is_empty(), refused.is_empty()) {
            (true, true) => "delivered",
            (false, _) => "deferred",
            (true, false) => "refused",
        };
        for (recipients, states) in [(later, &mut rest.later), (refused, &mut rest.refused)] {
            if !recipients.is_empty() {
                states.push(state.for_recipients(recipients));
            }
        }
        word
    }

    async fn settle(self: &Arc<Self>, judged: Judged, rest: Rest) -> Result<Acceptance, Failure> {
        let Rest { delivered, relayed, mut later, refused, untried } = rest;
        let report = |outcome| {
            for state in &refused {
                self.report_failed(judged.id(), &judged.envelope, state, &state.recipients, outcome);
            }
        };
        if delivered.is_none() && later.is_empty() {
            let reason = refused.iter().flat_map(|state| &state.recipients).find_map(|pending| pending.last.as_ref());
            report("rejected");
            self.report_ended(&judged);
            return Err(reason.map_or_else(no_recipient, in_our_words));
        }
        let refusals = refused.iter().flat_map(|state| state.recipients.iter().cloned()).collect();
        let receipt = self.spool_rest(&judged, &mut later, untried, self.notice(&judged, refusals)).await?;
        report("bounced");
        self.report_ended(&judged);
        self.notify_of_relayed(judged.id(), &judged.envelope, &judged.original, relayed).await;
        match (receipt, delivered) {
            (Some(receipt), _) => Ok(Acceptance::stored(judged.id(), &receipt)),
            (None, Some(accepted)) => Ok(Acceptance::delivered(judged.id(), &accepted)),
            (None, None) => Err(no_recipient()),
        }
    }

    /// Stores what may work later and the notice of what does not, both or none.
    async fn spool_rest(
        &self,
        judged: &Judged,
        later: &mut [JobState],
        untried: Option<Duration>,
        notice: Option<JobState>,
    ) -> Result<Option<Receipt>, Failure> {
        if later.is_empty() && notice.is_none() {
            return Ok(None);
        }
        let (now, seed) = (self.now(), judged.id().to_u128());
        let tried = |state: &JobState| untried.filter(|_| state.untried > 0).map_or(Tried::Attempt(1), Tried::NotAtAll);
        let due: Vec<UnixMillis> = later.iter_mut().map(|state| self.due_again(state, Vec::new(), tried(state), now, seed)).collect();
        let jobs = later.iter().zip(due).chain(notice.as_ref().map(|notice| (notice, now)));
        self.stored(self.spool.append(new_entry(judged, jobs)).await).map(Some)
    }
}

/// A next hop's refusal as the client is told it: our code of the same class, its status, its text.
fn in_our_words(failure: &Failure) -> Failure {
    let Reply { code, status, text } = &failure.reply;
    let status = status.filter(|status| status.0 == 5).unwrap_or(Status(5, 0, 0));
    // A code of the next hop's own dialogue (503, 530 ...) would mislead the client about ours.
    let code = if matches!(code, 550..=559) { *code } else { 554 };
    let text = format!("The next hop refused it: {text}");
    let reply = Reply::new(code, Some(status), text);
    Failure { retry: failure.retry, ..Failure::new(Side::Relay, reply, failure.detail.clone()) }
}

/// A plan without recipients; the rules make none, and if they did, nothing would be acknowledged.
fn no_recipient() -> Failure {
    Failure::new(Side::Us, Reply::fixed(451, Status(4, 3, 0), "Nothing was done with the message, try again later"), "empty plan")
}
