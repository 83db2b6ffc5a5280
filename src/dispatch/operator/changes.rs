//! What an operator has done to jobs and relays. Each order is a line of the log, and each recipient that is dropped has its outcome.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::StreamExt;

use super::sieve::{Found, Sieve, Walk};
use super::{Count, Trouble};
use crate::control::{Done, Filter};
use crate::dispatch::job::{JobState, StoredEnvelope};
use crate::dispatch::{Dispatcher, dsn};
use crate::limits::CONTROL_CHANGES_MAX;
use crate::relay::{NextHops, Readiness};
use crate::spool::{Instruction, Spool, SpoolError};
use crate::telemetry::Event;

/// What is done to each job that fits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed {
    Retry,
    Hold,
    Release,
    Drop {
        /// The sender is told first.
        bounce: bool,
    },
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Drop { bounce: false } => "drop",
            Self::Drop { bounce: true } => "drop --bounce",
        }
    }
}

/// What came of it.
enum Came {
    Changed,
    Unchanged,
    Trying,
    Gone,
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    pub(super) async fn change(&self, deed: Deed, filter: Filter, user: Option<u32>) -> Result<Done, Trouble> {
        let (done, error) = self.walk(deed, &filter).await;
        self.report_order(deed.name(), user, &filter.to_string(), &done, error.as_ref());
        match error {
            None => Ok(done),
            Some(Trouble(why)) => Err(Trouble(format!("after {} jobs: {why}", done.changed))),
        }
    }

    /// How far it came, and why not farther.
    async fn walk(&self, deed: Deed, filter: &Filter) -> (Done, Option<Trouble>) {
        let mut count = Count::default();
        let mut lanes = BTreeSet::new();
        let sieve = match Sieve::new(filter, self.now()) {
            Ok(sieve) => sieve,
            Err(error) => return (count.done, Some(error)),
        };
        let mut walk = Walk::new(&*self.spool, sieve);
        let mut error = None;
        while error.is_none() {
            let page = match walk.next_page().await {
                Ok(Some(page)) => page,
                Ok(None) => break,
                Err(failed) => {
                    error = Some(failed.into());
                    break;
                }
            };
            for found in &page {
                count.add(found);
                if !lanes.contains(&found.view.lane) {
                    lanes.insert(Arc::clone(&found.view.lane));
                }
            }
            let mut changes = futures_util::stream::iter(page).map(|found| self.follow(deed, found)).buffer_unordered(CONTROL_CHANGES_MAX);
            while let Some(came) = changes.next().await {
                let counter = match came {
                    Ok(Came::Changed) => &mut count.done.changed,
                    Ok(Came::Unchanged) => &mut count.done.unchanged,
                    Ok(Came::Trying) => &mut count.done.trying,
                    Ok(Came::Gone) => &mut count.done.gone,
                    Err(failed) => {
                        error = Some(failed.into());
                        continue;
                    }
                };
                *counter = counter.saturating_add(1);
            }
        }
        if matches!(deed, Deed::Retry | Deed::Release) {
            count.done.held_relays = self.held_among(&lanes);
        }
        (count.done, error)
    }

    fn held_among(&self, lanes: &BTreeSet<Arc<str>>) -> Vec<String> {
        let snapshot = self.snapshot.load();
        let relays = lanes.iter().filter_map(|lane| snapshot.relays.get(lane));
        relays.filter(|relay| self.next_hops.readiness(relay) == Readiness::Held).map(|relay| relay.name.to_string()).collect()
    }

    async fn follow(&self, deed: Deed, found: Found) -> Result<Came, SpoolError> {
        let (id, held) = (found.view.id, found.view.held);
        if found.view.claimed {
            return Ok(Came::Trying);
        }
        let done = match deed {
            Deed::Retry if held => return Ok(Came::Unchanged),
            Deed::Hold if held => return Ok(Came::Unchanged),
            Deed::Release if !held => return Ok(Came::Unchanged),
            Deed::Retry => self.spool.instruct(id, Instruction::Due(self.now())).await,
            Deed::Hold => self.spool.instruct(id, Instruction::Hold).await,
            Deed::Release => self.spool.instruct(id, Instruction::Release(self.now())).await,
            Deed::Drop { bounce } => self.drop_job(found, bounce).await,
        };
        match done {
            Ok(()) => Ok(Came::Changed),
            Err(SpoolError::Claimed) => Ok(Came::Trying),
            Err(SpoolError::StaleClaim) => Ok(Came::Gone),
            Err(error) => Err(error),
        }
    }

    async fn drop_job(&self, found: Found, bounce: bool) -> Result<(), SpoolError> {
        let Found { view, state, envelope } = found;
        let envelope = match (envelope, bounce) {
            (Some(envelope), false) => Some(envelope),
            (None, false) => {
                self.spool.envelope(view.id.entry).await.ok().and_then(|stored| StoredEnvelope::decode(&stored).ok()).map(Arc::new)
            }
            (_, true) => {
                // Set aside first, so that nobody delivers what its sender is told of.
                if !view.held {
                    self.spool.instruct(view.id, Instruction::Hold).await?;
                }
                match self.tell_of_drop(view.id.entry, state.as_ref()).await {
                    Ok(envelope) => Some(Arc::new(envelope)),
                    Err(error) => {
                        if !view.held {
                            self.spool.instruct(view.id, Instruction::Release(view.due)).await?;
                        }
                        return Err(error);
                    }
                }
            }
        };
        self.spool.instruct(view.id, Instruction::Drop).await?;
        if let (Some(envelope), Some(state)) = (envelope, state) {
            self.report_dropped(view.id.entry, &envelope, &state);
        }
        Ok(())
    }

    /// Stores the notification.
    async fn tell_of_drop(&self, id: crate::message::MessageId, state: Option<&JobState>) -> Result<StoredEnvelope, SpoolError> {
        let corrupt = |why: String| SpoolError::Corrupt(why.into());
        let stored = self.spool.read(id).await?;
        let envelope = StoredEnvelope::decode(&stored.envelope).map_err(|error| corrupt(error.0))?;
        let original = crate::dispatch::read_header(stored.content).await?;
        let state = state.ok_or_else(|| corrupt("the job's state".to_owned()))?;
        let entries = dsn::entries(&envelope, dsn::Kind::Failed, &state.recipients, None);
        self.notify(id, &envelope, &original, dsn::Kind::Failed, entries).await?;
        Ok(envelope)
    }

    /// Holds a relay, or ends its hold and has what waits for it tried now.
    pub(super) async fn set_relay_held(&self, relay: &str, held: bool, user: Option<u32>) -> Result<Done, Trouble> {
        if !self.snapshot.load().relays.contains_key(relay) {
            return Err(Trouble(format!("there is no relay `{}`", crate::message::one_line(relay, 80))));
        }
        self.next_hops.set_held(relay, held).await;
        if held && self.held_among(&BTreeSet::from([relay.into()])).is_empty() {
            return Err(Trouble(format!("relay `{relay}` cannot be held")));
        }
        let filter = Filter { relay: Some(relay.to_owned()), ..Filter::default() };
        let (done, error) = if held { (self.count(filter).await?, None) } else { self.walk(Deed::Retry, &filter).await };
        let name = if held { "hold relay" } else { "release relay" };
        self.report_order(name, user, &format!("relay={relay}"), &done, error.as_ref());
        error.map_or(Ok(done), Err)
    }

    fn report_order(&self, order: &str, user: Option<u32>, filter: &str, done: &Done, error: Option<&Trouble>) {
        let Done { matched, changed, .. } = *done;
        let detail = error.map(|Trouble(why)| why.as_str());
        self.log.emit(&Event::Operator { order, user, filter, matched, changed, detail });
    }
}
