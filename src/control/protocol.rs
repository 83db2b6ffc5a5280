//! What is said over the control socket. `gateway queue --json` prints the inner objects as they are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Both sides are mostly the same program; while an upgrade is half done they may not be.
pub(super) const VERSION: u32 = 1;

/// The line that asks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) version: u32,
    pub(super) command: Command,
}

/// An order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Lists jobs, at most so many.
    List {
        /// Which.
        filter: Filter,
        /// How many.
        most: Option<u64>,
    },
    /// Counts jobs.
    Count {
        /// Which.
        filter: Filter,
    },
    /// Shows a message and its jobs.
    Show {
        /// `MESSAGE` or `MESSAGE/JOB`.
        id: String,
        /// Its content, instead of what is known of it.
        content: bool,
    },
    /// Has jobs tried now.
    Retry {
        /// Which.
        filter: Filter,
    },
    /// Sets jobs aside.
    Hold {
        /// Which.
        filter: Filter,
    },
    /// Puts jobs that were set aside back in their lanes, to be tried now.
    Release {
        /// Which.
        filter: Filter,
    },
    /// Ends jobs.
    Drop {
        /// Which.
        filter: Filter,
        /// The senders are told that the message is not delivered.
        bounce: bool,
    },
    /// Keeps all mail for a relay back.
    HoldRelay {
        /// Its name.
        relay: String,
    },
    /// Ends a relay's hold, whatever its reason; what waits is tried now.
    ReleaseRelay {
        /// Its name.
        relay: String,
    },
    /// Counts the jobs of each relay.
    Stats,
}

/// Which jobs are meant: those that fit everything that is said. Texts may have `*` for any characters; case does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Messages, `MESSAGE`, and jobs, `MESSAGE/JOB`; empty: all.
    pub ids: Vec<String>,
    /// The relay that they wait for.
    pub relay: Option<String>,
    /// A recipient that is not done with, as it was given or as it is to be delivered; `@domain` for all of a domain.
    pub recipient: Option<String>,
    /// The sender; `<>` for none.
    pub sender: Option<String>,
    /// Seconds since the message was stored, at least.
    pub older_than: Option<u64>,
    /// A part of the last reply to a recipient, or of what is known beyond it.
    pub reply: Option<String>,
}

impl Filter {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// For the log.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ids, relay, recipient, sender, older_than, reply } = self;
        let mut words: Vec<String> = Vec::new();
        match ids.as_slice() {
            [] => {}
            [id] => words.push(format!("id={id}")),
            many => words.push(format!("ids={}", many.len())),
        }
        for (name, value) in [("relay", relay), ("recipient", recipient), ("sender", sender), ("reply", reply)] {
            words.extend(value.iter().map(|value| format!("{name}={value}")));
        }
        words.extend(older_than.map(|seconds| format!("older_than={seconds}s")));
        if words.is_empty() { f.write_str("all") } else { f.write_str(&words.join(" ")) }
    }
}

/// A line of the answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A job.
    Job(Box<JobShown>),
    /// A relay.
    Relay(Box<RelayShown>),
    /// A message.
    Message(Box<MessageShown>),
    /// A piece of a message's content.
    Content(Octets),
    /// The end.
    Done(Done),
    /// The end, before it was done, and why.
    Error(String),
}

/// A job: what is left to do for some recipients of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobShown {
    /// `MESSAGE/JOB`.
    pub id: String,
    /// The relay it waits for.
    pub relay: String,
    /// The rule that planned it.
    pub rule: Option<String>,
    /// Of the envelope; empty for none.
    pub sender: Option<String>,
    /// Those that are not done with.
    pub recipients: Vec<RecipientShown>,
    /// Attempts made.
    pub attempts: u32,
    /// When the next one is due; nothing while it is set aside.
    pub next_attempt: Option<String>,
    /// When the message was stored.
    pub stored: String,
    /// Seconds since then.
    pub age_seconds: u64,
    /// `waiting`, `due`, `trying` or `held`.
    pub state: String,
    /// Octets of the message.
    pub bytes: u64,
}

/// A recipient of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RecipientShown {
    /// As it is to be delivered.
    pub address: String,
    /// The last reply.
    pub reply: Option<String>,
    /// What is known beyond it.
    pub detail: Option<String>,
}

/// A relay, or another lane of the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RelayShown {
    /// Its name.
    pub relay: String,
    /// Jobs.
    pub queued: u64,
    /// Those of them that are set aside one by one.
    pub held_jobs: u64,
    /// Those that are due, or being tried.
    pub due: u64,
    /// Seconds since the oldest was stored.
    pub oldest_seconds: Option<u64>,
    /// When the next of those that wait is due.
    pub next_attempt: Option<String>,
    /// `open`, `waits` or `held`; nothing for a lane that is no relay of the configuration.
    pub state: Option<String>,
    /// Until when it waits.
    pub until: Option<String>,
    /// What the next hop said.
    pub reply: Option<String>,
    /// What that means, or who held it.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<String>,
}

/// A message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MessageShown {
    /// Its id.
    pub id: String,
    /// Of the envelope; empty for none.
    pub sender: String,
    /// Of the envelope as it came, those that are done with included.
    pub recipients: Vec<String>,
    /// Octets.
    pub bytes: u64,
    /// The configuration that judged it.
    pub config: String,
    /// What is left to do.
    pub jobs: Vec<JobShown>,
    /// As it came; what is no UTF-8 is replaced.
    pub header: String,
}

/// How an order ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Jobs that the filter fits.
    pub matched: u64,
    /// Messages that they belong to.
    pub messages: u64,
    /// Jobs that were changed.
    pub changed: u64,
    /// Jobs that are being tried just now, so that they were left alone.
    pub trying: u64,
    /// Jobs for which there was nothing to do, as they are set aside, or are not.
    pub unchanged: u64,
    /// Jobs that ended meanwhile.
    pub gone: u64,
    /// Relays that hold jobs which were to be tried.
    pub held_relays: Vec<String>,
}

/// Octets, in JSON as base64.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
