//! The spool: messages and what is left to do for them, on stable storage.
//!
//! An entry holds a message's content once and one job for each step of its plan. A job belongs to a lane (a relay's name), is
//! due at a time, and carries a state that only the dispatcher understands. Every promise of this room is stated at the trait
//! and kept by one conformance suite for all engines.

#[cfg(test)]
pub(crate) mod conformance;
mod local;

pub use local::{LocalSpool, OpenReport};

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Content, Data, Depository, MessageId};

/// Milliseconds since the Unix epoch.
pub type UnixMillis = u64;

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewEntry {
    /// Its id; unique.
    pub id: MessageId,
    /// What the dispatcher needs to know of the message, opaque here.
    pub envelope: Bytes,
    /// The bytes that the jobs' states refer to.
    pub content: Content,
    /// At least one.
    pub jobs: Vec<NewJob>,
}

/// A job to be stored.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// The lane it waits in.
    pub lane: Arc<str>,
    /// When it may first be claimed.
    pub due: UnixMillis,
    /// What the dispatcher needs to know of the job, opaque here.
    pub state: Bytes,
}

/// Names a job for as long as its entry lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId {
    /// The entry.
    pub entry: MessageId,
    /// Position in [`NewEntry::jobs`].
    pub job: u32,
}

/// A job taken for an attempt. Whoever holds it must end it with `finish` or `reschedule`; nobody else can claim the job meanwhile.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The job.
    pub id: JobId,
    /// Its lane.
    pub lane: Arc<str>,
    /// Number of this attempt, 1 for the first; recorded before the claim is handed out. It is the fencing token: an end with an
    /// older number is refused.
    pub attempt: u32,
    /// When the entry was stored.
    pub stored_at: UnixMillis,
    /// The state as last stored.
    pub state: Bytes,
}

/// A job as its operator sees it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// The job.
    pub id: JobId,
    /// Its lane.
    pub lane: Arc<str>,
    /// Attempts made, one under way included.
    pub attempt: u32,
    /// When it may be claimed, or might be if it were not held.
    pub due: UnixMillis,
    /// When the entry was stored.
    pub stored_at: UnixMillis,
    /// An attempt is under way.
    pub claimed: bool,
    /// Set aside: never due until it is released.
    pub held: bool,
    /// The state as last stored; empty if it is damaged, which a claim would report.
    pub state: Bytes,
    /// Octets of the entry's content.
    pub content_bytes: u64,
}

/// What an operator wants of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Due at this time (now, to retry). A held job stays held.
    Due(UnixMillis),
    /// Set aside until released; survives a restart.
    Hold,
    /// Back in its lane, due at this time; for a job that is not held the same as [`Instruction::Due`].
    Release(UnixMillis),
    /// Gone; the entry goes with its last job.
    Drop,
}

/// An entry read back.
#[derive(Clone, Debug)]
pub struct StoredEntry {
    /// As stored.
    pub envelope: Bytes,
    /// As stored, checked. Of a large one the beginning is in memory, and the rest is there as long as somebody holds it, whatever
    /// becomes of the entry.
    pub content: Data,
}

/// Proof that an entry is on stable storage. Only an engine makes one, after the sync that covers the entry.
#[derive(Debug)]
pub struct Receipt(());

/// Why the spool could not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpoolError {
    /// No space, or close to none: shed load (452 4.3.1).
    Full,
    /// The storage failed; the text is for the operator (451 4.3.0).
    Io(Arc<str>),
    /// The claim was given up or taken over by another; its outcome does not count.
    StaleClaim,
    /// An attempt or another instruction is under way.
    Claimed,
    /// What was stored is damaged; it was set aside at the place the text names.
    Corrupt(Arc<str>),
    /// The engine is shutting down.
    Closed,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the spool has no space left"),
            Self::Io(text) => write!(f, "the spool's storage failed: {text}"),
            Self::StaleClaim => f.write_str("the claim is no longer held"),
            Self::Claimed => f.write_str("the job is being worked on"),
            Self::Corrupt(text) => write!(f, "a damaged record was set aside: {text}"),
            Self::Closed => f.write_str("the spool is closed"),
        }
    }
}

impl std::error::Error for SpoolError {}

/// Figures for metrics and drains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStats {
    /// Entries with at least one job left.
    pub entries: u64,
    /// Jobs left, claimed ones included.
    pub jobs: u64,
    /// Bytes on storage, garbage included.
    pub bytes: u64,
}

/// A durable queue.
///
/// - `append` returns after the entry is on stable storage; many callers share one sync. A failed append leaves nothing behind that could be claimed.
/// - `claim` records the attempt before it hands the job out. A job that a dead process had claimed can be claimed again.
/// - `reschedule` and `finish` return after the outcome is on stable storage, again in groups.
/// - After a start, a job that was due further ahead than [`SPOOL_DUE_AHEAD_MAX`](crate::limits::SPOOL_DUE_AHEAD_MAX) is due at once:
///   whatever the clock was when it was put off, no mail is stuck.
/// - An entry disappears when its last job is finished, and never before.
/// - What was put into a [`Depository`] of this spool is taken over by `append` when it is the whole content of an entry. Otherwise it is
///   gone when nobody holds it, and after a start: it is on the disk for want of memory, and nobody was told that it is stored.
pub trait Spool: Send + Sync + 'static {
    /// A place for the octets of a message that is too large for memory while it comes.
    fn depository(&self) -> impl Future<Output = Result<Box<dyn Depository>, SpoolError>> + Send;

    /// Stores a message with its jobs.
    fn append(&self, entry: NewEntry) -> impl Future<Output = Result<Receipt, SpoolError>> + Send;

    /// Stores a message whose first attempts are already the caller's: one claim for each job, attempt 1, in order.
    fn append_claimed(&self, entry: NewEntry) -> impl Future<Output = Result<(Receipt, Vec<Claim>), SpoolError>> + Send;

    /// Takes up to `max` due jobs of a lane, the longest due first.
    fn claim(&self, lane: &str, now: UnixMillis, max: usize) -> impl Future<Output = Result<Vec<Claim>, SpoolError>> + Send;

    /// The lanes that have jobs, each with the time at which its first unclaimed job is due.
    fn lanes(&self) -> impl Future<Output = Result<Vec<(Arc<str>, UnixMillis)>, SpoolError>> + Send;

    /// Reads an entry back.
    fn read(&self, id: MessageId) -> impl Future<Output = Result<StoredEntry, SpoolError>> + Send;

    /// Reads the envelope alone, for less than the whole may cost.
    fn envelope(&self, id: MessageId) -> impl Future<Output = Result<Bytes, SpoolError>> + Send {
        async move { self.read(id).await.map(|stored| stored.envelope) }
    }

    /// Ends an attempt: the job waits until `due` with a new state.
    fn reschedule(&self, claim: &Claim, due: UnixMillis, state: Bytes) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Ends the job.
    fn finish(&self, claim: &Claim) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Notified when a job may have become claimable sooner than before. It keeps one permit, so one waiter misses nothing.
    fn changed(&self) -> &tokio::sync::Notify;

    /// Jobs in the order of their ids, from behind `after`, at most `max`: pages through the whole spool without holding anybody up.
    fn jobs(&self, after: Option<JobId>, max: usize) -> impl Future<Output = Result<Vec<JobView>, SpoolError>> + Send;

    /// Carries out an instruction; returns after it is on stable storage. While an attempt is under way, `Hold` and `Drop` are refused
    /// with [`SpoolError::Claimed`], and `Due` and `Release` do nothing. Of two instructions for one job at once, the later may be
    /// refused the same way. [`SpoolError::StaleClaim`]: the job is gone.
    fn instruct(&self, job: JobId, instruction: Instruction) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// Keeps a small value under a key until another, or `None`, takes its place; returns after it is on stable storage. For what
    /// must be known after a restart and belongs to no message. A key or value that is too long, and a key too many, are errors.
    fn remember(&self, key: &str, value: Option<Bytes>) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// All that is remembered, by key.
    fn recall(&self) -> impl Future<Output = Result<Vec<(Arc<str>, Bytes)>, SpoolError>> + Send;

    /// Figures.
    fn stats(&self) -> impl Future<Output = Result<SpoolStats, SpoolError>> + Send;
}
