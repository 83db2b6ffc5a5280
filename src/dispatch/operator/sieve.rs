//! Which jobs an order is about.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;

use super::super::job::{JobState, StoredEnvelope};
use super::{Trouble, seconds_since};
use crate::control::Filter;
use crate::failure::Failure;
use crate::limits::{CONTROL_CHANGES_MAX, CONTROL_PAGE_JOBS};
use crate::message::MessageId;
use crate::spool::{JobId, JobView, Spool, SpoolError, UnixMillis};

/// A job that an order is about.
pub(super) struct Found {
    pub(super) view: JobView,
    /// Nothing if it cannot be read.
    pub(super) state: Option<JobState>,
    /// If it was needed, and could be read.
    pub(super) envelope: Option<Arc<StoredEnvelope>>,
}

/// A message, or one of its jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Message(MessageId),
    Job(JobId),
}

impl Which {
    /// `MESSAGE` or `MESSAGE/JOB`.
    pub(super) fn parse(text: &str) -> Result<Self, Trouble> {
        let wrong = || Trouble(format!("`{}` is no id of a message or job", crate::message::one_line(text, 80)));
        match text.split_once('/') {
            None => text.parse().map(Self::Message).map_err(|_| wrong()),
            Some((entry, job)) => {
                let entry = entry.parse().map_err(|_| wrong())?;
                Ok(Self::Job(JobId { entry, job: job.parse().map_err(|_| wrong())? }))
            }
        }
    }

    pub(super) fn message(self) -> MessageId {
        match self {
            Self::Message(id) | Self::Job(JobId { entry: id, .. }) => id,
        }
    }

    fn job(self) -> Option<u32> {
        match self {
            Self::Message(_) => None,
            Self::Job(id) => Some(id.job),
        }
    }

    /// How many jobs to look at: most messages have few.
    fn jobs_max(self) -> usize {
        if self.job().is_some() { 1 } else { CONTROL_PAGE_JOBS }
    }

    fn fits(self, job: JobId) -> bool {
        match self {
            Self::Message(id) => job.entry == id,
            Self::Job(id) => job == id,
        }
    }

    /// What stands before the first job that fits.
    fn before(self) -> Option<JobId> {
        let first = match self {
            Self::Message(entry) => JobId { entry, job: 0 },
            Self::Job(id) => id,
        };
        match first.job.checked_sub(1) {
            Some(job) => Some(JobId { job, ..first }),
            None => Some(JobId { entry: MessageId::from_u128(first.entry.to_u128().checked_sub(1)?), job: u32::MAX }),
        }
    }
}

/// A [`Filter`], ready for use.
pub(super) struct Sieve {
    ids: Vec<Which>,
    relay: Option<Pattern>,
    recipient: Option<Pattern>,
    sender: Option<Pattern>,
    older_than: Option<u64>,
    /// Folded.
    reply: Option<String>,
    now: UnixMillis,
}

impl Sieve {
    pub(super) fn new(filter: &Filter, now: UnixMillis) -> Result<Self, Trouble> {
        let Filter { ids, relay, recipient, sender, older_than, reply } = filter;
        let recipient = recipient.as_deref().map(|text| match text.strip_prefix('@') {
            Some(domain) => Pattern::new(&format!("*@{domain}")),
            None => Pattern::new(text),
        });
        Ok(Self {
            ids: ids.iter().map(|id| Which::parse(id)).collect::<Result<_, _>>()?,
            relay: relay.as_deref().map(Pattern::new),
            recipient,
            sender: sender.as_deref().map(|text| Pattern::new(text.trim_matches(['<', '>']))),
            older_than: *older_than,
            reply: reply.as_deref().map(str::to_lowercase),
            now,
        })
    }

    /// What can be said without the state.
    fn fits_view(&self, view: &JobView) -> bool {
        self.relay.as_ref().is_none_or(|pattern| pattern.fits(&view.lane))
            && self.older_than.is_none_or(|seconds| seconds_since(view.stored_at, self.now) >= seconds)
    }

    fn fits_reply(&self, state: Option<&JobState>) -> bool {
        let Some(part) = &self.reply else { return true };
        let fits = |failure: &Failure| failure.to_string().to_lowercase().contains(part);
        state.is_some_and(|state| state.recipients.iter().any(|pending| pending.last.as_ref().is_some_and(fits)))
    }

    fn fits_pending(&self, state: Option<&JobState>) -> bool {
        let fits = |pattern: &Pattern| state.is_some_and(|state| state.recipients.iter().any(|one| pattern.fits(one.address.as_str())));
        self.recipient.as_ref().is_none_or(fits)
    }

    fn fits_original(&self, state: Option<&JobState>, envelope: &StoredEnvelope) -> bool {
        let Some(pattern) = &self.recipient else { return true };
        let mut pending = state.into_iter().flat_map(|state| &state.recipients);
        pending.any(|pending| envelope.originals(pending).any(|original| pattern.fits(original.address.as_str())))
    }

    /// The job, if it fits. Its envelope is read only where it decides.
    async fn found<S: Spool>(&self, spool: &S, view: JobView) -> Result<Option<Found>, SpoolError> {
        let state = JobState::decode(&view.state).ok();
        if !self.fits_reply(state.as_ref()) {
            return Ok(None);
        }
        let is_pending = self.fits_pending(state.as_ref());
        if is_pending && self.sender.is_none() {
            return Ok(Some(Found { view, state, envelope: None }));
        }
        let envelope = match spool.envelope(view.id.entry).await {
            Ok(stored) => StoredEnvelope::decode(&stored).ok(),
            // It has ended meanwhile, or is damaged: then it fits nothing that is known.
            Err(SpoolError::StaleClaim | SpoolError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        let Some(envelope) = envelope else { return Ok(None) };
        let fits = self.sender.as_ref().is_none_or(|pattern| pattern.fits(envelope.reverse_path.as_str()))
            && (is_pending || self.fits_original(state.as_ref(), &envelope));
        Ok(fits.then(|| Found { view, state, envelope: Some(Arc::new(envelope)) }))
    }
}

/// A way through the jobs that fit, in the order of their ids.
pub(super) struct Walk<'s, S> {
    spool: &'s S,
    sieve: Sieve,
    way: Way,
}

enum Way {
    /// All, from behind this one.
    All(Option<JobId>),
    /// These alone, each from behind this one.
    Ids(VecDeque<(Which, Option<JobId>)>),
    End,
}

impl<'s, S: Spool> Walk<'s, S> {
    pub(super) fn new(spool: &'s S, sieve: Sieve) -> Self {
        let way = if sieve.ids.is_empty() {
            Way::All(None)
        } else {
            let mut ids = sieve.ids.clone();
            // No job twice: a message makes its own jobs needless.
            ids.sort_by_key(|id| (id.message(), id.job()));
            ids.dedup_by(|later, earlier| later == earlier || matches!(earlier, Which::Message(id) if *id == later.message()));
            Way::Ids(ids.into_iter().map(|id| (id, id.before())).collect())
        };
        Self { spool, sieve, way }
    }

    /// The next ones, maybe none of a page; `None` at the end.
    pub(super) async fn next_page(&mut self) -> Result<Option<Vec<Found>>, SpoolError> {
        let views = match &mut self.way {
            Way::End => return Ok(None),
            Way::All(after) => {
                let views = self.spool.jobs(*after, CONTROL_PAGE_JOBS).await?;
                match views.last() {
                    Some(last) => *after = Some(last.id),
                    None => self.way = Way::End,
                }
                views
            }
            Way::Ids(ids) => {
                let Some((id, after)) = ids.pop_front() else {
                    self.way = Way::End;
                    return Ok(None);
                };
                let mut views = self.spool.jobs(after, id.jobs_max()).await?;
                views.retain(|view| id.fits(view.id));
                if let Some(last) = views.last().filter(|_| views.len() == CONTROL_PAGE_JOBS) {
                    ids.push_front((id, Some(last.id)));
                }
                views
            }
        };
        let (spool, sieve) = (self.spool, &self.sieve);
        let fitting = views.into_iter().filter(|view| sieve.fits_view(view));
        let found: Vec<_> =
            futures_util::stream::iter(fitting).map(|view| sieve.found(spool, view)).buffered(CONTROL_CHANGES_MAX).collect().await;
        found.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>().map(Some)
    }
}

/// A text in which `*` stands for any characters; case does not matter.
#[derive(Debug)]
struct Pattern(Vec<String>);

impl Pattern {
    fn new(text: &str) -> Self {
        Self(text.to_lowercase().split('*').map(str::to_owned).collect())
    }

    fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let Some((first, others)) = self.0.split_first() else { return true };
        let Some((last, middle)) = others.split_last() else { return text == *first };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some((_, behind)) = rest.split_once(part.as_str()) else { return false };
            rest = behind;
        }
        rest.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text, fits) in [
            ("bob@acme.example", "Bob@ACME.example", true),
            ("bob@acme.example", "bob@acme.example.org", false),
            ("*@acme.example", "bob@acme.example", true),
            ("*@acme.example", "bob@sub.acme.example", false),
            ("b*@*.example", "bob@acme.example", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("*b*b*", "b", false),
            ("*b*b*", "abab", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).fits(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn the_way_to_a_job_begins_right_before_it() {
        let message = Which::parse("06gzz8xjr8fwqj8m-2").unwrap();
        let before = message.before().unwrap();
        assert_eq!((before.entry.to_string().as_str(), before.job), ("06gzz8xjr8fwqj8m-1", u32::MAX));
        let job = Which::parse("06gzz8xjr8fwqj8m-2/3").unwrap();
        assert_eq!(job.before().map(|before| (before.entry, before.job)), Some((message.message(), 2)));
        assert!(before < JobId { entry: message.message(), job: 0 });
        assert!(!job.fits(JobId { entry: message.message(), job: 0 }) && message.fits(JobId { entry: message.message(), job: 7 }));
        for wrong in ["", "x", "06gzz8xjr8fwqj8m", "06gzz8xjr8fwqj8m-2/", "06gzz8xjr8fwqj8m-2/x"] {
            assert!(Which::parse(wrong).is_err(), "{wrong}");
        }
    }
}
