//! The one thread that writes: it takes all that waits, writes it as one group, syncs once, and answers everybody.
//!
//! While a group is being synced the next one gathers, so nothing ever waits for a group to fill. The order of the log is the order
//! of the groups, and what a group changes reaches the index only after its sync. Claims are the exception: they are answered after
//! the write, because a crash of the process cannot undo what the kernel has; only a power loss between write and sync can, and then
//! an attempt goes uncounted, nothing else.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::super::{Instruction, JobId, SpoolError, UnixMillis};
use super::body::{self, BodyFile};
use super::compaction;
use super::index::{Change, EntrySeed, JobSeed, Location, State, Taken};
use super::log::Log;
use super::record::{Encoded, Record, Standing};
use super::shared::{Handed, Shared, failed};
use crate::limits::{SPOOL_GROUP_BYTES_MAX, SPOOL_QUEUE_MAX};

type Answer<T> = oneshot::Sender<Result<T, SpoolError>>;

/// What callers ask for.
pub(super) enum Command {
    /// Store an entry.
    Append(Box<Append>),
    /// Take due jobs.
    Claim { lane: Arc<str>, now: UnixMillis, max: usize, answer: Answer<Handed> },
    /// End a claim.
    End(Box<End>),
    /// Carry out an operator's instruction.
    Instruct { job: JobId, instruction: Instruction, answer: Answer<()> },
    /// Remember a value, or forget it.
    Remember(Box<Remember>),
    /// Answer all that came before, then stop.
    Close,
}

/// An entry with its record made.
pub(super) struct Append {
    pub(super) entry: EntrySeed,
    pub(super) record: Encoded,
    pub(super) body: Option<BodyFile>,
    pub(super) jobs: Vec<PreparedJob>,
    /// The jobs go to the caller instead of their lanes.
    pub(super) claimed: bool,
    pub(super) answer: Answer<Handed>,
}

/// A job of an [`Append`].
pub(super) struct PreparedJob {
    pub(super) lane: Arc<str>,
    pub(super) due: UnixMillis,
    pub(super) state: PreparedState,
}

/// A claim's end with its record made.
pub(super) struct End {
    pub(super) id: JobId,
    pub(super) attempt: u32,
    pub(super) record: Encoded,
    pub(super) outcome: Outcome,
    pub(super) answer: Answer<()>,
}

/// A value to be remembered, with its record made.
pub(super) struct Remember {
    pub(super) key: Arc<str>,
    pub(super) value: Option<Bytes>,
    pub(super) record: Encoded,
    pub(super) answer: Answer<()>,
}

/// How a claim ends.
pub(super) enum Outcome {
    Finished,
    Rescheduled(UnixMillis, PreparedState),
}

/// A state that is about to have a place.
pub(super) enum PreparedState {
    Memory(Box<[u8]>),
    /// By its place in the record.
    Record {
        offset: usize,
        bytes: u32,
        crc: u32,
    },
}

impl PreparedState {
    /// Small states stay in memory, as copies, so that they do not keep the caller's buffer alive.
    pub(super) fn new(state: &[u8], offset: usize, memory_bytes_max: usize) -> Self {
        if state.len() <= memory_bytes_max {
            Self::Memory(state.into())
        } else {
            // Above 4 GiB it is refused before it comes here (SPOOL_RECORD_BYTES_MAX).
            Self::Record { offset, bytes: u32::try_from(state.len()).unwrap_or(u32::MAX), crc: crc32fast::hash(state) }
        }
    }

    fn placed(self, log: &Log, record: Location) -> State {
        match (self, log.file()) {
            (Self::Record { offset, bytes, crc }, Some(file)) => State::Disk { file, offset: record.offset + offset as u64, bytes, crc },
            (Self::Memory(bytes), _) => State::Memory(bytes),
            (Self::Record { .. }, None) => State::Memory(Box::default()),
        }
    }
}

/// Something of a group. `records` of its kind follow each other in the log.
enum Item {
    Copy(compaction::Moved),
    CopyValue(compaction::MovedValue),
    Append(Box<Append>),
    Claim { records: Vec<Encoded>, taken: Vec<Taken>, answer: Answer<Handed> },
    End(Box<End>),
    Instruct { record: Encoded, job: JobId, change: Change, answer: Answer<()> },
    Remember(Box<Remember>),
}

impl Item {
    fn records(&self) -> &[Encoded] {
        match self {
            Self::Copy(moved) => std::slice::from_ref(&moved.record),
            Self::CopyValue(moved) => std::slice::from_ref(&moved.record),
            Self::Append(append) => std::slice::from_ref(&append.record),
            Self::Claim { records, .. } => records,
            Self::End(end) => std::slice::from_ref(&end.record),
            Self::Instruct { record, .. } => std::slice::from_ref(record),
            Self::Remember(remember) => std::slice::from_ref(&remember.record),
        }
    }

    fn bytes(&self) -> u64 {
        self.records().iter().map(Encoded::bytes).sum()
    }
}

/// The thread's state.
pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    /// Claims that were handed out and whose record then failed to reach the disk: written again with the next group that starts a segment.
    unrecorded: BTreeMap<JobId, u32>,
    compactor: compaction::Compactor,
    closing: bool,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, next_segment: u64) -> Self {
        Self {
            log: Log::new(shared.clone(), next_segment),
            compactor: compaction::Compactor::new(shared.clone()),
            shared,
            unrecorded: BTreeMap::new(),
            closing: false,
        }
    }

    /// Runs until [`Command::Close`] or until nobody can ask any more.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        self.compactor.delete_dead(self.log.number());
        loop {
            let first = if self.compactor.wanted(self.log.number()).is_some() && !self.closing {
                commands.try_recv().ok()
            } else {
                match commands.blocking_recv() {
                    Some(command) => Some(command),
                    None => break,
                }
            };
            let idle = first.is_none();
            let mut group = Vec::with_capacity(64);
            let mut bytes = 0_u64;
            let mut next = first;
            while let Some(command) = next {
                bytes = bytes.saturating_add(match &command {
                    Command::Append(append) => append.record.bytes(),
                    Command::End(end) => end.record.bytes(),
                    Command::Remember(remember) => remember.record.bytes(),
                    Command::Claim { .. } | Command::Instruct { .. } | Command::Close => 0,
                });
                group.push(command);
                let more = bytes < SPOOL_GROUP_BYTES_MAX && group.len() < SPOOL_QUEUE_MAX;
                next = if more { commands.try_recv().ok() } else { None };
            }
            self.commit(group, bytes);
            if self.closing {
                commands.close();
            }
            if idle && commands.is_closed() && commands.is_empty() {
                break;
            }
        }
        self.log.close();
    }

    /// Writes one group.
    fn commit(&mut self, commands: Vec<Command>, bytes: u64) {
        // Copies first: they show the entries as the groups before left them, and this group's records apply to them.
        let (values, entries) = self.compactor.step(self.log.number(), bytes);
        let mut items: Vec<Item> = values.into_iter().map(Item::CopyValue).chain(entries.into_iter().map(Item::Copy)).collect();
        let space = if commands.iter().any(|command| matches!(command, Command::Append(_))) { self.shared.check_space() } else { Ok(()) };
        for command in commands {
            items.extend(self.admit(command, &items, &space));
        }
        if items.is_empty() {
            return;
        }
        let written = self.write(&mut items);
        self.compactor.group_done(written.is_ok());
        match written {
            Ok(locations) => self.apply(items, locations),
            Err(error) => self.refuse(items, &error),
        }
        self.compactor.delete_dead(self.log.number());
    }

    /// Checks a command against the index and makes it part of the group, or answers it.
    fn admit(&mut self, command: Command, items: &[Item], space: &Result<(), SpoolError>) -> Option<Item> {
        match command {
            Command::Append(append) => {
                let same = |item: &Item| matches!(item, Item::Append(other) if other.entry.id == append.entry.id);
                if let Err(error) = space {
                    let _ = append.answer.send(Err(error.clone()));
                } else if self.shared.index().entry(append.entry.id).is_some() || items.iter().any(same) {
                    let _ = append.answer.send(Err(SpoolError::Io(format!("an entry {} exists", append.entry.id).into())));
                } else {
                    return Some(Item::Append(append));
                }
                None
            }
            Command::Claim { lane, now, max, answer } => {
                let taken = self.shared.index().claim(&lane, now, max);
                if taken.is_empty() {
                    let _ = answer.send(Ok(Handed::new(taken, self.shared.clone())));
                    return None;
                }
                let record = |taken: &Taken| Record::Claimed { id: taken.id.entry, job: taken.id.job, attempt: taken.attempt }.encode();
                Some(Item::Claim { records: taken.iter().map(record).collect(), taken, answer })
            }
            Command::End(end) => {
                if self.shared.index().begin_end(end.id, end.attempt) {
                    Some(Item::End(end))
                } else {
                    let _ = end.answer.send(Err(SpoolError::StaleClaim));
                    None
                }
            }
            Command::Instruct { job, instruction, answer } => match self.shared.index().begin_change(job, instruction) {
                Ok(Some(change)) => {
                    let record = match change {
                        Change::Arranged { due, held } => Record::Arranged { id: job.entry, job: job.job, due, held },
                        Change::Dropped => Record::Finished { id: job.entry, job: job.job },
                    };
                    Some(Item::Instruct { record: record.encode(), job, change, answer })
                }
                nothing => {
                    let _ = answer.send(nothing.map(drop));
                    None
                }
            },
            Command::Remember(remember) => {
                let coming = items.iter().filter(|item| matches!(item, Item::Remember(_))).count();
                match self.shared.index().remembered().check_room(&remember.key, coming) {
                    Err(error) if remember.value.is_some() => {
                        let _ = remember.answer.send(Err(error));
                        None
                    }
                    _ => Some(Item::Remember(remember)),
                }
            }
            Command::Close => {
                self.closing = true;
                None
            }
        }
    }

    /// Puts the group on stable storage; claims are answered on the way.
    fn write(&mut self, items: &mut [Item]) -> Result<Vec<Location>, SpoolError> {
        let bytes = items.iter().map(Item::bytes).sum();
        let again = |(id, attempt): (&JobId, &u32)| Record::Claimed { id: id.entry, job: id.job, attempt: *attempt }.encode();
        self.log.make_room(bytes, || self.unrecorded.iter().map(again).collect()).map_err(|error| failed("starting a segment", &error))?;
        let records = items.iter().flat_map(Item::records);
        let locations = self.log.write(records).map_err(|error| failed("writing to a segment", &error))?;
        let handed = self.answer_claims(items);
        match self.log.sync() {
            Ok(()) => {
                // A fresh segment has taken them in; an older one was there before they failed.
                self.unrecorded.clear();
                Ok(locations)
            }
            Err(error) => {
                self.unrecorded.extend(handed);
                Err(failed("syncing a segment", &error))
            }
        }
    }

    fn answer_claims(&self, items: &mut [Item]) -> Vec<(JobId, u32)> {
        let mut handed = Vec::new();
        for item in items {
            if let Item::Claim { taken, answer, .. } = item {
                let taken = std::mem::take(taken);
                handed.extend(taken.iter().map(|job| (job.id, job.attempt)));
                let (nobody, _) = oneshot::channel();
                let _ = std::mem::replace(answer, nobody).send(Ok(Handed::new(taken, self.shared.clone())));
            }
        }
        handed
    }

    /// The group is on stable storage: the index follows, then the callers hear of it.
    fn apply(&mut self, items: Vec<Item>, locations: Vec<Location>) {
        let mut locations = locations.into_iter();
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::with_capacity(items.len());
        let mut bodies = Vec::new();
        let mut sooner = false;
        let shared = self.shared.clone();
        let mut index = shared.index();
        for item in items {
            let location = locations.next();
            match item {
                Item::Copy(moved) => {
                    let Some(location) = location else { continue };
                    let states = moved.states.into_iter().map(|(job, state)| (job, state.placed(&self.log, location))).collect();
                    index.relocate(moved.id, location, states);
                }
                Item::CopyValue(moved) => {
                    let Some(location) = location else { continue };
                    index.relocate_key(&moved.key, location);
                }
                Item::Instruct { job, change, answer, .. } => {
                    match change {
                        Change::Dropped => bodies.extend(index.finish(job).and_then(|entry| entry.body()).map(|_| job.entry)),
                        Change::Arranged { due, held } => {
                            index.arrange(job, due, held);
                            sooner |= !held;
                        }
                    }
                    answers.push(Box::new(move || drop(answer.send(Ok(())))));
                }
                Item::Remember(remember) => {
                    let Some(location) = location else { continue };
                    let Remember { key, value, answer, .. } = *remember;
                    index.remember(&key, value.as_deref(), location);
                    answers.push(Box::new(move || drop(answer.send(Ok(())))));
                }
                Item::Claim { records, .. } => {
                    // One location for each record; the first is taken already.
                    for _ in records.iter().skip(1) {
                        locations.next();
                    }
                }
                Item::Append(append) => {
                    let Some(location) = location else { continue };
                    let Append { entry, body, jobs, claimed, answer, .. } = *append;
                    let seeds = jobs.into_iter().zip(0..).map(|(job, number)| JobSeed {
                        job: number,
                        lane: job.lane,
                        due: job.due,
                        attempt: u32::from(claimed),
                        standing: if claimed { Standing::Claimed } else { Standing::Waiting },
                        state: job.state.placed(&self.log, location),
                    });
                    let seeds: Vec<JobSeed> = seeds.collect();
                    let taken = |seed: &JobSeed| Taken {
                        id: JobId { entry: entry.id, job: seed.job },
                        lane: seed.lane.clone(),
                        attempt: seed.attempt,
                        stored_at: entry.stored_at,
                        state: seed.state.clone(),
                    };
                    let handed = Handed::new(seeds.iter().filter(|_| claimed).map(taken).collect(), shared.clone());
                    index.insert(&entry, location, seeds);
                    sooner |= !claimed;
                    answers.push(Box::new(move || {
                        body.into_iter().for_each(BodyFile::keep);
                        let _ = answer.send(Ok(handed));
                    }));
                }
                Item::End(end) => {
                    let Some(location) = location else { continue };
                    let End { id, attempt, outcome, answer, .. } = *end;
                    match outcome {
                        Outcome::Finished => bodies.extend(index.finish(id).and_then(|entry| entry.body()).map(|_| id.entry)),
                        Outcome::Rescheduled(due, state) => {
                            index.reschedule(id, attempt, due, state.placed(&self.log, location));
                            sooner = true;
                        }
                    }
                    answers.push(Box::new(move || drop(answer.send(Ok(())))));
                }
            }
        }
        drop(index);
        answers.into_iter().for_each(|answer| answer());
        if sooner {
            self.shared.changed.notify_one();
        }
        bodies.into_iter().for_each(|id| body::remove(&self.shared, id));
    }

    /// The group failed: nothing of it counts, its records are void, and everybody hears why.
    fn refuse(&mut self, items: Vec<Item>, error: &SpoolError) {
        self.log.give_up();
        for item in items {
            match item {
                Item::Copy(_) | Item::CopyValue(_) => {}
                Item::Instruct { job, answer, .. } => {
                    self.shared.index().abort_change(job);
                    let _ = answer.send(Err(error.clone()));
                }
                Item::Remember(remember) => drop(remember.answer.send(Err(error.clone()))),
                Item::Append(append) => {
                    let Append { body, answer, .. } = *append;
                    // The body goes first: whoever hears of the failure may try again with the same id.
                    drop(body);
                    let _ = answer.send(Err(error.clone()));
                }
                Item::Claim { taken, answer, .. } => {
                    let mut index = self.shared.index();
                    taken.iter().for_each(|job| index.release(job.id, job.attempt, true));
                    drop(index);
                    let _ = answer.send(Err(error.clone()));
                }
                Item::End(end) => {
                    self.shared.index().abort_end(end.id);
                    let _ = end.answer.send(Err(error.clone()));
                }
            }
        }
    }
}

/// The thread.
pub(super) fn spawn(shared: Arc<Shared>, next_segment: u64) -> io::Result<(mpsc::Sender<Command>, std::thread::JoinHandle<()>)> {
    let (sender, receiver) = mpsc::channel(SPOOL_QUEUE_MAX);
    let committer = Committer::new(shared, next_segment);
    let thread = std::thread::Builder::new().name("spool".into()).spawn(move || committer.run(receiver))?;
    Ok((sender, thread))
}
