//! Replay: past mail judged by two sets of rules, and who fares differently.
//!
//! - Mail is read once, from the front, in bounded memory; what comes out does not depend on how many threads judge it.
//! - Judging is that of `trial`. What a source does not tell is tried both ways: where it makes a difference, that is said, and nothing
//!   is made up.
//! - Nothing is written, and nobody is asked anything unless the operator wants it.

mod difference;
mod fare;
mod fields;
mod judge;
mod mask;
mod past;
mod recall;
mod revision;
mod sources;
mod tally;
#[cfg(test)]
mod tests;
mod why;
mod words;

pub use difference::{Aspect, Change, Difference};
pub use judge::{Asker, Side};
pub use past::PassedOver;
pub use revision::{Revision, RevisionError};
pub use tally::{Different, Example, Group, Tally, Untold};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::judge::{Compared, compare};
use self::mask::Questions;
use self::recall::recall;
use self::sources::{Found, Source};
use crate::config::{Domains, UsedBy};
use crate::limits::{MESSAGE_BYTES_DEFAULT, REPLAY_BATCH_BYTES, REPLAY_BATCH_MESSAGES};
use crate::message::FieldKind;
use crate::smtp::{Address, ReversePath};

/// What is taken for messages that do not tell it themselves.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// The endpoint that took them; `None`: the only one.
    pub endpoint: Option<String>,
    /// The client's address.
    pub client_ip: Option<IpAddr>,
    /// Its HELO.
    pub helo: Option<String>,
    /// The sender.
    pub mail_from: Option<ReversePath>,
    /// The recipients.
    pub recipients: Vec<Address>,
}

/// The sources, each with what it is, in a word.
pub type Kinds = Vec<(PathBuf, &'static str)>;

/// A replay, ready to begin.
#[derive(Debug)]
pub struct Replay {
    /// The rules as they were.
    pub old: Side,
    /// The rules as they are to be.
    pub new: Side,
    /// For what messages do not tell.
    pub defaults: Defaults,
    /// Who is asked what is not known; `None`: nobody.
    pub asker: Option<Asker>,
    /// Examples of each kind of difference.
    pub examples_max: usize,
    /// Messages at most.
    pub messages_max: Option<u64>,
}

/// What both sides know of themselves, for reading messages.
#[derive(Debug)]
struct Setting {
    /// Lower case.
    hostnames: BTreeSet<String>,
    /// Accepted domains, lower case; `None`: any may be one.
    domains: Option<BTreeSet<String>>,
    /// The types of the fields of each analyzer.
    analyzers: BTreeMap<String, BTreeMap<String, FieldKind>>,
    is_asked: bool,
}

/// Why a replay could not begin.
#[derive(Debug)]
pub enum ReplayError {
    /// The source cannot be read.
    Unreadable(PathBuf, std::io::Error),
    /// It has to be said which endpoint is meant.
    Endpoint(String),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Endpoint(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ReplayError {}

impl Replay {
    /// Judges all that the sources hold. `progress` hears how many messages are done.
    ///
    /// # Errors
    /// When a source cannot be opened, or it is not clear at which endpoint its mail came in.
    pub fn run(&self, sources: &[PathBuf], progress: &mut dyn FnMut(u64)) -> Result<(Kinds, Tally), ReplayError> {
        let setting = self.setting();
        let questions = Questions::default();
        let mut tally = Tally::new(self.examples_max);
        let mut left = self.messages_max.unwrap_or(u64::MAX);
        let mut kinds = Vec::new();
        for path in sources {
            let mut source = self.open(path)?;
            kinds.push((path.clone(), source.kind()));
            let endpoint = if source.is_log() { None } else { Some(self.endpoint()?) };
            while left > 0 {
                let batch = batch(&mut source, left, &mut tally);
                if batch.is_empty() {
                    break;
                }
                left = left.saturating_sub(u64::try_from(batch.len()).unwrap_or(u64::MAX));
                for compared in self.judge(batch, endpoint.as_ref(), &setting, &questions) {
                    match compared {
                        Ok(compared) => tally.count(compared),
                        Err(passed) => tally.pass_over(passed),
                    }
                }
                progress(tally.messages);
            }
        }
        Ok((kinds, tally))
    }

    fn open(&self, path: &Path) -> Result<Source, ReplayError> {
        let largest = |side: &Side| {
            let policies = side.rulebook.endpoints.values().filter_map(|endpoint| endpoint.policy.max_message_size);
            policies.max().unwrap_or(MESSAGE_BYTES_DEFAULT).max(MESSAGE_BYTES_DEFAULT)
        };
        // One octet more, so that it can be told that a message is too large.
        let bytes_max = largest(&self.old).max(largest(&self.new)).saturating_add(1);
        Source::open(path, bytes_max).map_err(|error| ReplayError::Unreadable(path.to_owned(), error))
    }

    fn setting(&self) -> Setting {
        let sides = [&self.old.rulebook, &self.new.rulebook];
        let mut domains = Some(BTreeSet::new());
        let mut analyzers: BTreeMap<String, BTreeMap<String, FieldKind>> = BTreeMap::new();
        for rulebook in sides {
            let is_open = rulebook.endpoints.values().all(|endpoint| endpoint.used_by == UsedBy::Everybody);
            match (&rulebook.domains, &mut domains) {
                (Domains::List(list), Some(domains)) if is_open => domains.extend(list.iter().map(|domain| domain.to_lowercase())),
                _ => domains = None,
            }
            for (name, analyzer) in &rulebook.analyzers {
                let fields = analyzer.fields().into_iter().map(|(field, kind)| (field.to_owned(), kind));
                analyzers.entry(name.to_string()).or_default().extend(fields);
            }
        }
        let hostnames = sides.iter().map(|rulebook| rulebook.hostname.to_ascii_lowercase()).collect();
        Setting { hostnames, domains, analyzers, is_asked: self.asker.is_some() }
    }

    /// The endpoint of mail that does not say where it came in.
    fn endpoint(&self) -> Result<Arc<str>, ReplayError> {
        let endpoints = &self.new.rulebook.endpoints;
        let names = || endpoints.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        if let Some(name) = &self.defaults.endpoint {
            let known = [&self.old, &self.new].iter().all(|side| side.rulebook.endpoints.contains_key(name.as_str()));
            if !known {
                return Err(ReplayError::Endpoint(format!("not both sides have an endpoint `{name}`; the new one has {}", names())));
            }
            return Ok(name.as_str().into());
        }
        let mut open = endpoints.values().filter(|endpoint| endpoint.used_by == UsedBy::Everybody || endpoints.len() == 1);
        match (open.next(), open.next()) {
            (Some(only), None) => Ok(Arc::clone(&only.name)),
            _ => Err(ReplayError::Endpoint(format!("say with --endpoint where the mail came in: {}", names()))),
        }
    }

    /// Side by side, and in order.
    fn judge(
        &self,
        batch: Vec<Found>,
        endpoint: Option<&Arc<str>>,
        setting: &Setting,
        questions: &Questions,
    ) -> Vec<Result<Compared, PassedOver>> {
        let one = |found: Found| {
            let past = recall(found, setting, &self.defaults)?;
            let missing = || PassedOver::new(past.place.clone(), "it is not known at which endpoint it came in");
            let endpoint = past.endpoint.clone().or_else(|| endpoint.cloned()).or_else(|| self.endpoint().ok()).ok_or_else(missing)?;
            compare(past, &endpoint, [&self.old, &self.new], questions, self.asker.as_ref())
        };
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        // Who asks waits most of the time.
        let workers = if self.asker.is_some() { cores.saturating_mul(8) } else { cores }.clamp(1, batch.len().max(1));
        let share = batch.len().div_ceil(workers).max(1);
        let mut shares: Vec<Vec<Found>> = Vec::new();
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            shares.push(batch.by_ref().take(share).collect());
        }
        if shares.len() <= 1 {
            return shares.into_iter().flatten().map(one).collect();
        }
        std::thread::scope(|scope| {
            let one = &one;
            let workers: Vec<_> =
                shares.into_iter().map(|share| scope.spawn(move || share.into_iter().map(one).collect::<Vec<_>>())).collect();
            let lost = || vec![Err(PassedOver::new("some messages", "judging them failed; please report it"))];
            workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|_| lost())).collect()
        })
    }
}

impl Setting {
    /// Whether the address may be one that mail is taken for.
    fn is_ours(&self, address: &str) -> bool {
        let Some(domains) = &self.domains else { return true };
        address.rsplit_once('@').is_some_and(|(_, domain)| domains.contains(&domain.to_lowercase()))
    }
}

/// The next messages, as many as may be in memory.
fn batch(source: &mut Source, left: u64, tally: &mut Tally) -> Vec<Found> {
    let mut batch = Vec::new();
    let mut bytes: usize = 0;
    let most = usize::try_from(left).unwrap_or(usize::MAX).min(REPLAY_BATCH_MESSAGES);
    while batch.len() < most && bytes < REPLAY_BATCH_BYTES {
        match source.next() {
            Some(Ok(found)) => {
                if let Found::Mail(mail) = &found {
                    bytes = bytes.saturating_add(mail.content.bytes.len());
                }
                batch.push(found);
            }
            Some(Err(passed)) => tally.pass_over(passed),
            None => break,
        }
    }
    batch
}
