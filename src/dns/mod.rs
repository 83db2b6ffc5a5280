//! DNS: one resolver with one cache for all who ask (authentication, analyzers, mail exchangers, host names of clients).
//!
//! - Whoever asks does it through an [`Inquiry`], which bounds questions and time and remembers what was asked.
//! - That a name or a record does not exist is an answer; trouble is an error, and never the same.
//! - DNS alone is asked, without a search list, as the RFCs of mail want it: /etc/hosts has no say, and no name is special.
//! - A question takes at most twice the timeout of a server, whatever happens: CNAMEs, TCP after a truncated answer, and the wait for
//!   a place among the questions under way included. Each server gets the timeout, a single one is asked twice.
//! - Whether an answer is authenticated (DNSSEC) is what a server says that validates (the AD bit, RFC 4035 §3.2.3), and it is believed from
//!   servers on this machine, or where the configuration says that the way to them is safe. To validate here would cost a second cache and
//!   a second opinion; who needs DANE has a resolver that validates, as with Postfix and Exim.
//! - Answers are remembered for as long as they allow, within bounds of time and memory; trouble for a moment, so that a name whose
//!   servers are silent does not hold up each of many messages (RFC 9520 §3.2). The same question under way is sent once.
//! - Without servers in the configuration, those of /etc/resolv.conf are asked, and the file is looked at again every few seconds. If it
//!   cannot be read, or names none, the server of this machine is asked, as everywhere (resolv.conf(5)); if there is none either,
//!   each question is trouble, and mail is judged without an answer.

mod answer;
mod cache;
mod client_host;
mod given;
mod inquiry;
mod question;
mod servers;
#[cfg(test)]
mod tests;
mod tlsa;

pub use client_host::client_host;
pub use given::{GivenAnswer, GivenAnswers};
pub use inquiry::{Inquiry, Proven, Records};
pub use question::normal_name;
pub use tlsa::Tlsa;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::limits::{DNS_QUESTIONS_OPEN_MAX, DNS_TIMEOUT, DNS_TROUBLE_TTL};
use cache::{Cache, Entry};
use question::Question;
use servers::{Found, Servers};

/// Which servers are asked: `resolver:` of `gateway.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// These, over UDP and TCP; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// One question to one server.
    pub timeout: Duration,
    /// Whose word on DNSSEC counts.
    pub dnssec: DnssecTrust,
}

/// Whose word counts that an answer is authenticated: its AD bit can be set by whoever is on the way (RFC 4035 §4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnssecTrust {
    /// That of servers on this machine: on a loopback address.
    Loopback,
    /// That of all servers: they validate, and the network between is safe.
    Everyone,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self { servers: Vec::new(), timeout: DNS_TIMEOUT, dnssec: DnssecTrust::Loopback }
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// The servers did not answer, or said that they cannot now.
    Trouble(Arc<str>),
    /// The inquiry has used up its questions.
    TooManyQuestions,
    /// The inquiry has used up its time.
    TooLate,
    /// The text is no domain name: it cannot be asked for.
    NoName,
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble(why) => f.write_str(why),
            Self::TooManyQuestions => f.write_str("too many DNS questions"),
            Self::TooLate => f.write_str("no time left for DNS questions"),
            Self::NoName => f.write_str("not a domain name"),
        }
    }
}

impl std::error::Error for DnsError {}

/// The resolver. Its clones share one cache, and a change of the configuration.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    current: ArcSwap<Resolver>,
    /// Questions under way, of all configurations.
    places: Semaphore,
    figures: [AtomicU64; OUTCOMES],
}

struct Resolver {
    config: ResolverConfig,
    answers: Answers,
    cache: Cache,
}

/// Where answers come from.
enum Answers {
    Servers(Box<Servers>),
    Given(Arc<GivenAnswers>),
}

const OUTCOMES: usize = 4;

/// What became of a question, for the figures.
#[derive(Clone, Copy)]
enum Outcome {
    Remembered,
    Answered,
    Nothing,
    Trouble,
}

/// Figures of the resolver: questions since the start by what became of them, and those under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Answered from the cache.
    pub remembered: u64,
    /// Answered with records by a server.
    pub answered: u64,
    /// Answered by a server: no such name, or no such records.
    pub nothing: u64,
    /// Without an answer.
    pub trouble: u64,
    /// Under way, or waiting for a place.
    pub open: u64,
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("config", &self.shared.current.load().config).finish_non_exhaustive()
    }
}

impl Dns {
    /// A resolver with an empty cache; asks nothing yet.
    pub fn new(config: &ResolverConfig) -> Result<Self, DnsError> {
        Ok(Self::of(Resolver::new(config)?))
    }

    /// One that asks nobody: these are all the answers that there are.
    pub fn of_answers(answers: Arc<GivenAnswers>) -> Self {
        Self::of(Resolver { config: ResolverConfig::default(), answers: Answers::Given(answers), cache: Cache::new() })
    }

    fn of(resolver: Resolver) -> Self {
        let current = ArcSwap::from_pointee(resolver);
        Self { shared: Arc::new(Shared { current, places: Semaphore::new(DNS_QUESTIONS_OPEN_MAX), figures: Default::default() }) }
    }

    /// Whether the configuration names servers; else the system's are asked.
    pub fn is_configured(&self) -> bool {
        !self.shared.current.load().config.servers.is_empty()
    }

    /// Begins an inquiry of at most `questions_max` questions that ends after `patience`.
    pub fn inquiry(&self, questions_max: u32, patience: Duration) -> Inquiry {
        Inquiry::new(self.clone(), questions_max, patience)
    }

    /// Puts another configuration in force, for all clones and with an empty cache; the same one changes nothing.
    pub fn reconfigure(&self, config: &ResolverConfig) -> Result<(), DnsError> {
        if self.shared.current.load().config != *config {
            self.shared.current.store(Arc::new(Resolver::new(config)?));
        }
        Ok(())
    }

    /// Figures so far.
    pub fn figures(&self) -> Figures {
        let Shared { places, figures, .. } = &*self.shared;
        let [remembered, answered, nothing, trouble] = figures.each_ref().map(|figure| figure.load(Ordering::Relaxed));
        let open = DNS_QUESTIONS_OPEN_MAX.saturating_sub(places.available_permits());
        Figures { remembered, answered, nothing, trouble, open: u64::try_from(open).unwrap_or(u64::MAX) }
    }

    /// The answer, or trouble, out of the cache or from a server; an error is no one's but the asker's.
    async fn answer(&self, question: Question, deadline: Instant) -> Result<Arc<Entry>, DnsError> {
        let remembered = self.shared.current.load().cache.get(&question);
        if let Some(entry) = remembered {
            self.count(Outcome::Remembered);
            return Ok(entry);
        }
        let now = Instant::now();
        if now >= deadline {
            self.count(Outcome::Trouble);
            return Err(DnsError::TooLate);
        }
        let resolver = self.shared.current.load_full();
        let whole = resolver.config.timeout.saturating_mul(2);
        let end = now.checked_add(whole).unwrap_or(now).min(deadline);
        let found = timeout_at(end, async {
            // Never closed.
            let _place = self.shared.places.acquire().await.map_err(|closed| closed.to_string())?;
            resolver.answers.look_up(&question).await
        })
        .await;
        let (result, ttl) = match found {
            Ok(Ok(Found { answer, ttl })) => (Ok(answer), ttl),
            Ok(Err(trouble)) => (Err(trouble.into()), DNS_TROUBLE_TTL),
            // What somebody else would have waited for is no trouble yet.
            Err(_) if end == deadline => {
                self.count(Outcome::Trouble);
                return Err(DnsError::TooLate);
            }
            Err(_) => (Err(format!("no answer within {whole:?}").into()), DNS_TROUBLE_TTL),
        };
        self.count(match &result {
            Ok(answer) if answer.has_records() => Outcome::Answered,
            Ok(_) => Outcome::Nothing,
            Err(_) => Outcome::Trouble,
        });
        Ok(resolver.cache.put(question, result, ttl))
    }

    fn count(&self, outcome: Outcome) {
        self.shared.figures.get(outcome as usize).into_iter().for_each(|figure| {
            figure.fetch_add(1, Ordering::Relaxed);
        });
    }
}

impl Resolver {
    fn new(config: &ResolverConfig) -> Result<Self, DnsError> {
        let servers = Servers::new(config).map_err(|error| DnsError::Trouble(error.to_string().into()))?;
        Ok(Self { config: config.clone(), answers: Answers::Servers(Box::new(servers)), cache: Cache::new() })
    }
}

impl Answers {
    /// The answer, or for people why there is none.
    async fn look_up(&self, question: &Question) -> Result<Found, String> {
        match self {
            Self::Servers(servers) => servers.look_up(question).await,
            Self::Given(answers) => match answers.look_up(question) {
                Ok(answer) => Ok(Found { answer, ttl: GIVEN_TTL }),
                Err(why) => Err(why.to_string()),
            },
        }
    }
}

/// Given answers do not change while they are asked for.
const GIVEN_TTL: Duration = Duration::from_secs(3600);
