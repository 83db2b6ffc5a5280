//! The embedded engine: a log of segments that one thread writes in groups, and an index in memory.
//!
//! ```text
//! lock                    held by the one process that has the spool open
//! segments/0000000001.log records: entries with small contents, claims, outcomes
//! bodies/ID               large contents, one file each
//! incoming/N              messages that are too large for memory, while they come
//! damaged/                copies of what did not check out
//! ```
//!
//! What is promised, beyond the trait:
//! - A crash of the process loses nothing that was answered, attempts included. After a power loss an attempt whose claim was handed
//!   out within the last, unfinished sync may go uncounted; nothing else is lost.
//! - An append, reschedule or finish that failed has no effect, now or after a restart ([`log`] says what that takes).
//! - A future that is dropped while it waits may or may not have taken effect; claims that nobody received are released.
//! - Memory: under 1 KiB an entry plus its states up to 256 bytes each; contents and larger states stay on disk.

mod body;
mod committer;
mod compaction;
mod incoming;
mod index;
mod io;
mod log;
mod record;
mod recovery;
mod remembered;
mod segments;
mod shared;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

pub use self::recovery::OpenReport;

use self::body::BodyFile;
use self::committer::{Append, Command, End, Outcome, PreparedJob, PreparedState, Remember};
use self::incoming::Incoming;
use self::index::{EntrySeed, State, Taken};
use self::io::Disk;
use self::record::{Body, EntryRecord, JobRecord, Record, Standing};
use self::shared::{Folders, Handed, Shared, Sizes, failed};
use super::{Claim, Instruction, JobId, JobView, NewEntry, Receipt, Spool, SpoolError, SpoolStats, StoredEntry, UnixMillis};
use crate::limits::{SPOOL_LIST_STEP, SPOOL_RECORD_BYTES_MAX};
use crate::message::{Depository, MessageId, Piece};

/// A spool in a folder of the local file system.
pub struct LocalSpool {
    shared: Arc<Shared>,
    clock: Box<dyn Fn() -> UnixMillis + Send + Sync>,
    /// `None` only while it is being dropped.
    commands: Option<mpsc::Sender<Command>>,
    thread: Mutex<Option<Committing>>,
}

/// The thread, and the lock that ends after it.
struct Committing {
    thread: JoinHandle<()>,
    _lock: std::fs::File,
}

impl LocalSpool {
    /// Opens the spool in a folder, which is created if need be. Blocking: reads the whole log once.
    ///
    /// Fails when another process has it open, when a later release wrote it, and when the disk does not work.
    pub fn open(path: &Path, clock: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Result<(Self, OpenReport), SpoolError> {
        Self::open_on(Disk::default(), path, Sizes::default(), clock)
    }

    fn open_on(
        disk: Disk,
        path: &Path,
        sizes: Sizes,
        clock: impl Fn() -> UnixMillis + Send + Sync + 'static,
    ) -> Result<(Self, OpenReport), SpoolError> {
        let folders = Folders::new(path);
        let lock = recovery::lock(&disk, &folders)?;
        let recovered = recovery::recover(&disk, &folders, sizes, clock())?;
        let shared = Arc::new(Shared::new(disk, folders, sizes, recovered.index));
        let (commands, thread) =
            committer::spawn(shared.clone(), recovered.next_segment).map_err(|error| failed("starting the spool's thread", &error))?;
        let thread = Mutex::new(Some(Committing { thread, _lock: lock }));
        Ok((Self { shared, clock: Box::new(clock), commands: Some(commands), thread }, recovered.report))
    }

    /// Records found damaged since the spool was opened; those found by opening are in the report.
    pub fn damaged(&self) -> u64 {
        self.shared.damaged()
    }

    /// Finishes what was asked before, then stops. Later requests fail with [`SpoolError::Closed`].
    pub async fn close(&self) {
        if let Some(commands) = &self.commands {
            // An error means that it has stopped already.
            let _ = commands.send(Command::Close).await;
        }
        let committing = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committing) = committing {
            let _ = tokio::task::spawn_blocking(move || committing.thread.join()).await;
        }
    }

    async fn ask<T>(&self, command: Command, answer: oneshot::Receiver<Result<T, SpoolError>>) -> Result<T, SpoolError> {
        let commands = self.commands.as_ref().ok_or(SpoolError::Closed)?;
        commands.send(command).await.map_err(|_| SpoolError::Closed)?;
        answer.await.map_err(|_| SpoolError::Closed)?
    }

    async fn store(&self, entry: NewEntry, claimed: bool) -> Result<Handed, SpoolError> {
        check(&entry, self.shared.sizes)?;
        let body = if entry.content.len() > self.shared.sizes.inline_bytes_max || entry.content.is_stored() {
            let (shared, id, content) = (self.shared.clone(), entry.id, entry.content.clone());
            Some(blocking(move || BodyFile::store(&shared, id, &content)).await?)
        } else {
            None
        };
        let (answer, answered) = oneshot::channel();
        let append = self.prepare(&entry, body, claimed, answer);
        self.ask(Command::Append(Box::new(append)), answered).await
    }

    /// Makes the record here, so that checksums are computed by many callers and not by the one thread.
    fn prepare(
        &self,
        entry: &NewEntry,
        body: Option<BodyFile>,
        claimed: bool,
        answer: oneshot::Sender<Result<Handed, SpoolError>>,
    ) -> Append {
        let stored_at = (self.clock)();
        let jobs = entry.jobs.iter().zip(0..).map(|(job, number)| JobRecord {
            job: number,
            attempt: u32::from(claimed),
            standing: if claimed { Standing::Claimed } else { Standing::Waiting },
            due: job.due,
            lane: &job.lane,
            state: &job.state,
            state_offset: 0,
        });
        let record = EntryRecord {
            id: entry.id,
            stored_at,
            body: body.as_ref().map(BodyFile::body),
            envelope: &entry.envelope,
            jobs: jobs.collect(),
            content: &[],
        };
        let content =
            if body.is_some() { Vec::new() } else { entry.content.pieces().iter().filter_map(Piece::in_memory).cloned().collect() };
        let (record, offsets) = record::encode_entry(false, &record, content);
        let memory_bytes_max = self.shared.sizes.state_memory_bytes_max;
        let jobs = entry.jobs.iter().zip(offsets).map(|(job, offset)| PreparedJob {
            lane: job.lane.clone(),
            due: job.due,
            state: PreparedState::new(&job.state, offset, memory_bytes_max),
        });
        let content_bytes = entry.content.len() as u64;
        let seed = EntrySeed { id: entry.id, stored_at, content_bytes, body: body.as_ref().map(BodyFile::body) };
        Append { entry: seed, record, body, jobs: jobs.collect(), claimed, answer }
    }

    async fn end(&self, claim: &Claim, record: Record<'_>, outcome: Outcome) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        let end = End { id: claim.id, attempt: claim.attempt, record: record.encode(), outcome, answer };
        self.ask(Command::End(Box::new(end)), answered).await
    }

    /// Reads the states of claims that do not have them in memory. A damaged one is set aside with its job.
    async fn load(&self, handed: &Handed) -> Result<Vec<Bytes>, SpoolError> {
        let states: Vec<(JobId, State)> = handed.jobs().iter().map(|job| (job.id, job.state.clone())).collect();
        let shared = self.shared.clone();
        let load = move || {
            let load = |(id, state): (JobId, State)| {
                shared.load(&state).inspect_err(|error| {
                    if matches!(error, SpoolError::Corrupt(_)) {
                        shared.index().finish(id);
                    }
                })
            };
            states.into_iter().map(load).collect()
        };
        let in_memory = handed.jobs().iter().all(|job| matches!(job.state, State::Memory(_)));
        if in_memory { load() } else { blocking(load).await }
    }
}

impl Spool for LocalSpool {
    async fn depository(&self) -> Result<Box<dyn Depository>, SpoolError> {
        let shared = self.shared.clone();
        blocking(move || Ok(Box::new(Incoming::create(&shared)?) as Box<dyn Depository>)).await
    }

    async fn append(&self, entry: NewEntry) -> Result<Receipt, SpoolError> {
        self.store(entry, false).await.map(|_| Receipt(()))
    }

    async fn append_claimed(&self, entry: NewEntry) -> Result<(Receipt, Vec<Claim>), SpoolError> {
        let states: Vec<Bytes> = entry.jobs.iter().map(|job| job.state.clone()).collect();
        let handed = self.store(entry, true).await?;
        Ok((Receipt(()), claims(handed.accept(), states)))
    }

    async fn claim(&self, lane: &str, now: UnixMillis, max: usize) -> Result<Vec<Claim>, SpoolError> {
        if max == 0 || !self.shared.index().has_due(lane, now) {
            return Ok(Vec::new());
        }
        let (answer, answered) = oneshot::channel();
        let handed = self.ask(Command::Claim { lane: lane.into(), now, max, answer }, answered).await?;
        let states = self.load(&handed).await?;
        Ok(claims(handed.accept(), states))
    }

    async fn lanes(&self) -> Result<Vec<(Arc<str>, UnixMillis)>, SpoolError> {
        Ok(self.shared.index().lanes())
    }

    /// An entry that is gone or never was is [`SpoolError::StaleClaim`]: whoever holds a claim on it finds it.
    async fn read(&self, id: MessageId) -> Result<StoredEntry, SpoolError> {
        let shared = self.shared.clone();
        blocking(move || {
            let (envelope, content, body) = record_of(&shared, id)?;
            let content = match body {
                // The last job may have ended meanwhile, and the body with it.
                Some(body) => body::read(&shared, id, body)
                    .map_err(|error| if shared.index().entry(id).is_some() { error } else { SpoolError::StaleClaim })?,
                None => content.into(),
            };
            Ok(StoredEntry { envelope, content })
        })
        .await
    }

    /// As [`Self::read`], and no file of a large content is opened.
    async fn envelope(&self, id: MessageId) -> Result<Bytes, SpoolError> {
        let shared = self.shared.clone();
        blocking(move || record_of(&shared, id).map(|(envelope, ..)| envelope)).await
    }

    async fn reschedule(&self, claim: &Claim, due: UnixMillis, state: Bytes) -> Result<(), SpoolError> {
        check_size(state.len())?;
        let JobId { entry: id, job } = claim.id;
        let prepared = PreparedState::new(&state, Record::RESCHEDULED_STATE_OFFSET, self.shared.sizes.state_memory_bytes_max);
        let record = Record::Rescheduled { id, job, attempt: claim.attempt, due, state: &state, state_offset: 0 };
        self.end(claim, record, Outcome::Rescheduled(due, prepared)).await
    }

    async fn finish(&self, claim: &Claim) -> Result<(), SpoolError> {
        let JobId { entry: id, job } = claim.id;
        self.end(claim, Record::Finished { id, job }, Outcome::Finished).await
    }

    fn changed(&self) -> &Notify {
        &self.shared.changed
    }

    async fn jobs(&self, after: Option<JobId>, max: usize) -> Result<Vec<JobView>, SpoolError> {
        let shared = self.shared.clone();
        // Not on the runtime's threads: the pages may be long and the states on disk.
        blocking(move || {
            let mut jobs: Vec<JobView> = Vec::new();
            while jobs.len() < max {
                let after = jobs.last().map(|job| job.id).or(after);
                // In short steps, so that the committer gets the index in between.
                let found = shared.index().list(after, SPOOL_LIST_STEP.min(max.saturating_sub(jobs.len())));
                if found.is_empty() {
                    break;
                }
                jobs.extend(found.into_iter().map(|(job, state)| JobView { state: shared.peek(&state), ..job }));
            }
            Ok(jobs)
        })
        .await
    }

    async fn instruct(&self, job: JobId, instruction: Instruction) -> Result<(), SpoolError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Command::Instruct { job, instruction, answer }, answered).await
    }

    async fn remember(&self, key: &str, value: Option<Bytes>) -> Result<(), SpoolError> {
        remembered::check_sizes(key, value.as_deref())?;
        let (answer, answered) = oneshot::channel();
        let record = Record::Remembered { key, value: value.as_deref() }.encode();
        self.ask(Command::Remember(Box::new(Remember { key: key.into(), value, record, answer })), answered).await
    }

    async fn recall(&self) -> Result<Vec<(Arc<str>, Bytes)>, SpoolError> {
        Ok(self.shared.index().remembered().all())
    }

    async fn stats(&self) -> Result<SpoolStats, SpoolError> {
        let index = self.shared.index();
        Ok(SpoolStats { entries: index.entries(), jobs: index.jobs(), bytes: index.bytes() })
    }
}

impl Drop for LocalSpool {
    fn drop(&mut self) {
        // Without senders the thread ends after what it has.
        self.commands = None;
        let committing = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(committing) = committing {
            let _ = committing.thread.join();
        }
    }
}

impl fmt::Debug for LocalSpool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSpool").field("path", &self.shared.folders.root).finish_non_exhaustive()
    }
}

/// An entry's envelope, its content if that is small, and the body if it is not.
fn record_of(shared: &Shared, id: MessageId) -> Result<(Bytes, Bytes, Option<Body>), SpoolError> {
    let (location, body, file) = {
        let index = shared.index();
        let entry = index.entry(id).ok_or(SpoolError::StaleClaim)?;
        (entry.location, entry.body(), index.segments().file(entry.location.segment).ok_or(SpoolError::StaleClaim)?)
    };
    // The open file outlives its segment's deletion.
    let bytes = Bytes::from(location.read(&file).map_err(|error| failed("reading an entry", &error))?);
    let Some(Record::Entry(entry) | Record::Copy(entry)) = record::decode_alone(&bytes) else {
        return Err(shared.set_aside(&file, location.offset, &bytes));
    };
    Ok((bytes.slice_ref(entry.envelope), bytes.slice_ref(entry.content), body))
}

fn claims(taken: Vec<Taken>, states: Vec<Bytes>) -> Vec<Claim> {
    let claim = |(job, state): (Taken, Bytes)| Claim { id: job.id, lane: job.lane, attempt: job.attempt, stored_at: job.stored_at, state };
    taken.into_iter().zip(states).map(claim).collect()
}

fn check(entry: &NewEntry, sizes: Sizes) -> Result<(), SpoolError> {
    if entry.jobs.is_empty() {
        return Err(SpoolError::Io(format!("the entry {} has no job", entry.id).into()));
    }
    let inline = if entry.content.len() > sizes.inline_bytes_max { 0 } else { entry.content.len() };
    let jobs = entry.jobs.iter().map(|job| job.state.len().saturating_add(job.lane.len()));
    check_size(jobs.fold(inline.saturating_add(entry.envelope.len()), usize::saturating_add))
}

fn check_size(bytes: usize) -> Result<(), SpoolError> {
    if bytes as u64 > SPOOL_RECORD_BYTES_MAX {
        return Err(SpoolError::Io(format!("a record of {bytes} bytes is above the limit of {SPOOL_RECORD_BYTES_MAX}").into()));
    }
    Ok(())
}

/// Runs blocking work; a runtime that shuts down drops it.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, SpoolError> + Send + 'static) -> Result<T, SpoolError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| SpoolError::Closed)?
}
