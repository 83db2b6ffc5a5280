//! What an operator asks of the queue, and has done to it.
//!
//! The spool is walked in pages, so that an order about a million jobs holds up nobody and needs the memory of a page. Jobs that come
//! or go meanwhile may be seen or not.

mod changes;
mod shown;
mod sieve;
mod stats;

use std::sync::Arc;

use futures_util::StreamExt;

use self::sieve::{Found, Sieve, Walk, Which};
use super::Dispatcher;
use super::job::StoredEnvelope;
use crate::blocks::Blocks;
use crate::control::{Answer, Answers, Command, Done, Filter, MessageShown, Octets, Operate};
use crate::limits::{CONTROL_CHANGES_MAX, CONTROL_CONTENT_BYTES};
use crate::message::{Content, Data};
use crate::relay::NextHops;
use crate::spool::{Spool, SpoolError, UnixMillis};

/// Why an order ended early; for whoever gave it.
#[derive(Debug)]
struct Trouble(String);

impl From<SpoolError> for Trouble {
    fn from(error: SpoolError) -> Self {
        Self(error.to_string())
    }
}

impl<S: Spool, N: NextHops> Operate for Dispatcher<S, N> {
    async fn operate(&self, command: Command, user: Option<u32>, answers: Answers) {
        let came = match command {
            Command::List { filter, most } => self.list(filter, most, &answers).await,
            Command::Count { filter } => self.count(filter).await,
            Command::Show { id, content } => self.show(&id, content, &answers).await,
            Command::Retry { filter } => self.change(changes::Deed::Retry, filter, user).await,
            Command::Hold { filter } => self.change(changes::Deed::Hold, filter, user).await,
            Command::Release { filter } => self.change(changes::Deed::Release, filter, user).await,
            Command::Drop { filter, bounce } => self.change(changes::Deed::Drop { bounce }, filter, user).await,
            Command::HoldRelay { relay } => self.set_relay_held(&relay, true, user).await,
            Command::ReleaseRelay { relay } => self.set_relay_held(&relay, false, user).await,
            Command::Stats => self.tell_stats(&answers).await,
        };
        // An error means that nobody is there any more.
        let _ = answers.send(came.map_or_else(|Trouble(why)| Answer::Error(why), Answer::Done)).await;
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    async fn list(&self, filter: Filter, most: Option<u64>, answers: &Answers) -> Result<Done, Trouble> {
        let now = self.now();
        let mut walk = Walk::new(&*self.spool, Sieve::new(&filter, now)?);
        let mut count = Count::default();
        while let Some(page) = walk.next_page().await? {
            // The envelope says who the sender is.
            let mut jobs = futures_util::stream::iter(page).map(|found| self.with_envelope(found)).buffered(CONTROL_CHANGES_MAX);
            while let Some(found) = jobs.next().await {
                if most.is_some_and(|most| count.done.matched >= most) || answers.is_closed() {
                    return Ok(count.done);
                }
                count.add(&found);
                let _ = answers.send(Answer::Job(Box::new(shown::job(&found, now)))).await;
            }
        }
        Ok(count.done)
    }

    /// With its envelope, unless that cannot be read or has ended meanwhile: the job is shown without it.
    async fn with_envelope(&self, mut found: Found) -> Found {
        if found.envelope.is_none() {
            found.envelope = self.envelope(&found).await.map(Arc::new);
        }
        found
    }

    async fn envelope(&self, found: &Found) -> Option<StoredEnvelope> {
        let stored = self.spool.envelope(found.view.id.entry).await.ok()?;
        StoredEnvelope::decode(&stored).ok()
    }

    async fn count(&self, filter: Filter) -> Result<Done, Trouble> {
        let mut walk = Walk::new(&*self.spool, Sieve::new(&filter, self.now())?);
        let mut count = Count::default();
        while let Some(page) = walk.next_page().await? {
            page.iter().for_each(|found| count.add(found));
        }
        Ok(count.done)
    }

    async fn show(&self, id: &str, content: bool, answers: &Answers) -> Result<Done, Trouble> {
        let message = Which::parse(id)?.message();
        let filter = Filter { ids: vec![id.to_owned()], ..Filter::default() };
        let now = self.now();
        let mut walk = Walk::new(&*self.spool, Sieve::new(&filter, now)?);
        let mut count = Count::default();
        let mut jobs = Vec::new();
        while let Some(page) = walk.next_page().await? {
            page.iter().for_each(|found| count.add(found));
            jobs.extend(page);
        }
        let stored = match self.spool.read(message).await {
            Ok(stored) if !jobs.is_empty() => stored,
            // It was never there, or has ended.
            Ok(_) | Err(SpoolError::StaleClaim) => return Ok(Done::default()),
            Err(error) => return Err(error.into()),
        };
        if content {
            let mut blocks = Blocks::of(&Content::from(&stored.content));
            while let Some(block) = blocks.next().await {
                let block = block.map_err(|error| Trouble(error.to_string()))?;
                for piece in block.chunks(CONTROL_CONTENT_BYTES) {
                    let _ = answers.send(Answer::Content(Octets(piece.to_vec()))).await;
                }
            }
            return Ok(count.done);
        }
        let envelope =
            StoredEnvelope::decode(&stored.envelope).map_err(|error| Trouble(format!("the envelope of {message}: {}", error.0)))?;
        let envelope = Arc::new(envelope);
        jobs.iter_mut().for_each(|found| found.envelope = Some(Arc::clone(&envelope)));
        let shown = MessageShown {
            id: message.to_string(),
            sender: envelope.reverse_path.as_str().to_owned(),
            recipients: envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect(),
            bytes: u64::try_from(stored.content.len()).unwrap_or(u64::MAX),
            config: envelope.config.to_string(),
            jobs: jobs.iter().map(|found| shown::job(found, now)).collect(),
            header: header(stored.content).await,
        };
        let _ = answers.send(Answer::Message(Box::new(shown))).await;
        Ok(count.done)
    }
}

/// As far as it can be told from the body.
async fn header(content: Data) -> String {
    let Ok(original) = crate::dispatch::read_header(content).await else { return String::new() };
    let fields = original.fields().iter().map(|field| String::from_utf8_lossy(original.slice(field.whole.clone())).into_owned());
    fields.collect()
}

/// Counts jobs and their messages. A message's jobs come one after the other.
#[derive(Default)]
struct Count {
    done: Done,
    last: Option<crate::message::MessageId>,
}

impl Count {
    fn add(&mut self, found: &Found) {
        self.done.matched = self.done.matched.saturating_add(1);
        if self.last.replace(found.view.id.entry) != Some(found.view.id.entry) {
            self.done.messages = self.done.messages.saturating_add(1);
        }
    }
}

/// Whole seconds since a time.
fn seconds_since(then: UnixMillis, now: UnixMillis) -> u64 {
    now.saturating_sub(then).div_euclid(1000)
}
