//! A complete message: loop check, rules, and the decision that its plan asks for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;

use super::acceptance::Acceptance;
use super::decide::{Decision, decide};
use super::dmarc::Seen;
use super::dsn::Origin;
use super::job::{JobState, Pending, StoredEnvelope};
use super::judge::judge;
use super::srs::Returning;
use super::{Dispatcher, Incoming, Intake, admit};
use crate::blocks::reading;
use crate::examination::ToSeal;
use crate::failure::{Failure, Side};
use crate::limits::{Limit, SPOOL_SICK_TIME};
use crate::message::{Content, Depository, MessageId, Original, StoredError, authentication_results, received, received_spf};
use crate::relay::NextHops;
use crate::rules::{Disposition, Plan, Step, StepAction};
use crate::smtp::{Address, NOT_ENOUGH_STORAGE, NOT_STORED, Reply, Status};
use crate::spool::{NewEntry, NewJob, Spool, SpoolError, UnixMillis};
use crate::telemetry::Event;

/// A message that was judged, with all that dispatch needs to carry out its plan.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) incoming: Incoming,
    pub(super) original: Arc<Original>,
    pub(super) envelope: Arc<StoredEnvelope>,
    pub(super) plan: Plan,
    /// The seal of each step, where it has one; empty if none has.
    pub(super) seals: Vec<Option<Bytes>>,
    /// Who stands for the sender at next hops that are to see an address of ours.
    pub(super) sender: Option<Address>,
}

impl Judged {
    pub(super) fn id(&self) -> MessageId {
        self.incoming.id
    }

    /// The jobs of the plan's steps.
    fn jobs(&self) -> impl Iterator<Item = JobState> {
        self.plan.steps.iter().enumerate().map(|(place, step)| self.job(place, step))
    }

    /// The job of the step at this place.
    pub(super) fn job(&self, place: usize, step: &Step) -> JobState {
        JobState::new(step, self.seals.get(place).and_then(Option::as_ref), self.sender.as_ref())
    }
}

impl<S: Spool, N: NextHops> Intake for Dispatcher<S, N> {
    async fn take(self: &Arc<Self>, incoming: Incoming) -> Reply {
        let (id, started) = (incoming.id, Instant::now());
        let (spooled, limit, reply) = match self.accept(incoming).await {
            Ok(acceptance) => (acceptance.is_spooled(), None, acceptance.into_reply()),
            Err(failure) => {
                // The client learns that we failed, the operator why.
                if failure.side == Side::Us {
                    self.log.emit(&Event::Problem { what: "message", detail: &format!("message {id}: {}", failure.detail) });
                }
                (false, failure.limit, failure.reply)
            }
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.log.emit(&Event::Replied { session: id.session, message: id, reply: &reply, spooled, limit, duration_ms });
        reply
    }

    async fn depository(&self) -> Result<Box<dyn Depository>, Reply> {
        // That there is a file does not show yet that the spool takes a message.
        self.spool.depository().await.map_err(|error| {
            self.note_storing(false);
            self.refusal(&not_stored(error))
        })
    }

    fn not_deposited(&self, error: &StoredError) -> Reply {
        self.note_storing(false);
        self.refusal(&admit::unread(error))
    }

    fn is_sick(&self) -> bool {
        self.now() < self.spool_sick_until.load(Ordering::Relaxed)
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    async fn accept(self: &Arc<Self>, mut incoming: Incoming) -> Result<Acceptance, Failure> {
        let original = read(&mut incoming).await.inspect_err(|failure| self.report_unjudged(&incoming, failure))?;
        self.report_message(&incoming, &original);
        admit::refuse_loop(&original, &incoming.snapshot.hostname).inspect_err(|failure| self.report_unjudged(&incoming, failure))?;
        let returning = Returning::take_out(&mut incoming);
        let mut plan = if incoming.envelope.recipients.is_empty() { Plan::default() } else { judge(&mut incoming, &original).await? };
        returning.put_back(&mut incoming, &original, &mut plan);
        let envelope = Arc::new(stored_envelope(&incoming, &original, self.now()));
        let judged = Judged { incoming, original, envelope, plan, seals: Vec::new(), sender: None };
        self.report_matches(&judged);
        let seen = Seen::of(&judged);
        let result = self.carry_out(judged).await;
        if let Some((seen, collector)) = seen.zip(self.collector.get()) {
            seen.count(collector, &result);
        }
        result
    }

    async fn carry_out(self: &Arc<Self>, mut judged: Judged) -> Result<Acceptance, Failure> {
        let decision = decide(&judged.plan, judged.incoming.endpoint.delivery);
        if matches!(decision, Decision::Inline(_) | Decision::Spool) {
            judged.seals = self.seals(&judged).await?;
            judged.sender = self.rewritten_sender(&judged).await?;
        }
        match decision {
            Decision::Refuse(reply) => {
                self.report_ended(&judged);
                Err(Failure::new(Side::Client, reply, "refused by rule"))
            }
            Decision::Drop(proof) => {
                self.report_ended(&judged);
                Ok(Acceptance::dropped(judged.id(), &proof))
            }
            Decision::Inline(relay) => self.deliver_inline(judged, &relay).await,
            Decision::Spool => self.spool(judged).await,
        }
    }

    /// The seals that the endpoint asks for. Without its key a message goes nowhere: those behind us would judge it as one that
    /// nobody has vouched for.
    async fn seals(&self, judged: &Judged) -> Result<Vec<Option<Bytes>>, Failure> {
        let Some(seal) = &judged.incoming.endpoint.fields.arc_seal else { return Ok(Vec::new()) };
        let message = ToSeal {
            original: Arc::clone(&judged.original),
            hostname: Arc::clone(&judged.incoming.snapshot.hostname),
            session: judged.incoming.session.clone(),
            findings: judged.incoming.findings.clone(),
            unix_seconds: self.now() / 1000,
        };
        let forms = judged.plan.steps.iter().map(|step| Arc::clone(&step.edits)).collect();
        let made = self.sealing.seals(Arc::clone(seal), message, forms).await;
        made.map_err(|error| {
            let reply = Reply::fixed(451, Status(4, 3, 0), "The message cannot be signed now, try again later");
            Failure::new(Side::Us, reply, error.to_string())
        })
    }

    /// Stores the message with one job a step; what the lanes have room for is begun at once, from memory.
    pub(super) async fn spool(self: &Arc<Self>, judged: Judged) -> Result<Acceptance, Failure> {
        let mut states: Vec<JobState> = judged.jobs().collect();
        states.extend(self.notice(&judged, rejections(&judged.plan)));
        let now = self.now();
        let entry = new_entry(&judged, states.iter().map(|state| (state, now)));
        // After the drain has begun an attempt would only be cut.
        let lanes = Some(&self.lanes).filter(|_| !self.stopping.is_cancelled());
        let places = lanes.and_then(|lanes| lanes.try_enter(states.iter().map(|state| (&state.relay, self.width_for_new(&state.relay)))));
        let receipt = match places {
            Some(places) => {
                let (receipt, claims) = self.stored(self.spool.append_claimed(entry).await)?;
                for ((claim, state), place) in claims.into_iter().zip(states).zip(places) {
                    self.begin(claim, Arc::clone(&judged.envelope), state, Arc::clone(&judged.original), place);
                }
                receipt
            }
            None => self.stored(self.spool.append(entry).await)?,
        };
        self.report_spooled(&judged);
        self.report_ended(&judged);
        Ok(Acceptance::stored(judged.id(), &receipt))
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// What the spool said to a message that was to be stored; it is remembered whether it could.
    pub(super) fn stored<T>(&self, result: Result<T, SpoolError>) -> Result<T, Failure> {
        self.note_storing(result.is_ok());
        result.map_err(not_stored)
    }

    fn note_storing(&self, is_good: bool) {
        let sick_ms = u64::try_from(SPOOL_SICK_TIME.as_millis()).unwrap_or(0);
        let until = if is_good { 0 } else { self.now().saturating_add(sick_ms) };
        self.spool_sick_until.store(until, Ordering::Relaxed);
    }

    /// The reply to a message that is refused while it comes: the client learns that we failed, the operator why.
    fn refusal(&self, failure: &Failure) -> Reply {
        self.log.emit(&Event::Problem { what: "spool", detail: &failure.detail });
        failure.reply.clone()
    }
}

/// The message with its header read. Most of a stored message is not in memory, and its header may not be.
async fn read(incoming: &mut Incoming) -> Result<Arc<Original>, Failure> {
    let (data, hostname) = (std::mem::take(&mut incoming.data), Arc::clone(&incoming.snapshot.hostname));
    if !data.is_stored() {
        return admit::read(data, &hostname).map(Arc::new);
    }
    reading(move || Ok(admit::read(data, &hostname).map(Arc::new))).await.unwrap_or_else(|error| Err(admit::unread(&error)))
}

/// The message with these jobs, each due at its time.
pub(super) fn new_entry<'a>(judged: &Judged, jobs: impl Iterator<Item = (&'a JobState, UnixMillis)>) -> NewEntry {
    NewEntry {
        id: judged.id(),
        envelope: judged.envelope.encode(),
        content: Content::from(judged.original.data()),
        jobs: jobs.map(|(state, due)| NewJob { lane: Arc::clone(&state.relay), due, state: state.encode() }).collect(),
    }
}

/// The recipients that rules reject, each with the reply for it.
fn rejections(plan: &Plan) -> Vec<Pending> {
    let rejected = plan.recipients.iter().enumerate().filter_map(|(place, recipient)| match &recipient.disposition {
        Disposition::Rejected { reply, .. } => {
            let last = Some(Failure::new(Side::Us, reply.clone(), "rejected by rule"));
            Some(Pending { last, ..Pending::new(recipient.address.clone(), vec![place]) })
        }
        _ => None,
    });
    rejected.collect()
}

/// The reply when the spool could not take a message: never an acknowledgement.
fn not_stored(error: SpoolError) -> Failure {
    let detail = error.to_string();
    match error {
        SpoolError::Full => Failure::new(Side::Us, NOT_ENOUGH_STORAGE, detail).by(Limit::SpoolFree),
        _ => Failure::new(Side::Us, NOT_STORED, detail),
    }
}

fn stored_envelope(incoming: &Incoming, original: &Original, now: UnixMillis) -> StoredEnvelope {
    let Incoming { id, snapshot, session, envelope, findings, .. } = incoming;
    let seconds = i64::try_from(now / 1000).unwrap_or(i64::MAX);
    let fields = &incoming.endpoint.fields;
    let results = fields.authentication_results.then(|| authentication_results(&snapshot.hostname, session, findings));
    let spf = findings.spf.as_ref().filter(|_| fields.received_spf).map(|spf| received_spf(&snapshot.hostname, session, envelope, spf));
    let received = received(&snapshot.hostname, session, *id, &envelope.recipients, envelope.smtputf8, seconds);
    let trace = if results.is_none() && spf.is_none() {
        received
    } else {
        [results.unwrap_or_default(), spf.unwrap_or_default(), received].concat().into()
    };
    let mut stored = StoredEnvelope::new(
        envelope.reverse_path.clone(),
        envelope.recipients.clone(),
        envelope.smtputf8,
        envelope.eight_bit || original.has_8bit(),
        trace,
        Arc::clone(&snapshot.hash),
        envelope.terms.clone(),
    );
    stored.arrived = now;
    stored.origin = Origin::of(incoming);
    stored
}

/// The relay that a step goes to.
pub(super) fn relay_of(step: &Step) -> &Arc<str> {
    let StepAction::SmtpRelay { relay, .. } = &step.action;
    relay
}

/// Whether a recipient's way ended without a step, and how: outcome, rule, reply.
pub(super) fn ended(disposition: &Disposition) -> Option<(&'static str, &Arc<str>, Option<&Reply>)> {
    match disposition {
        Disposition::Planned => None,
        Disposition::Dropped { rule } => Some(("dropped", rule, None)),
        Disposition::Rejected { rule, reply } => Some(("rejected", rule, Some(reply))),
        Disposition::Deferred { rule, reply } => Some(("deferred", rule, Some(reply))),
    }
}
