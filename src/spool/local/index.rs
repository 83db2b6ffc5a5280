//! What is in the spool, in memory: where each entry stands, its jobs, and for each lane the order in which they are due.
//!
//! The committer alone changes it, after the sync that covers the change; two exceptions need no record: a claim that nobody took
//! over is released, and a job whose state is damaged is set aside. No method does I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Instruction, JobId, JobView, SpoolError, UnixMillis};
use super::io::DiskFile;
use super::record::{Body, Standing};
use super::remembered::Remembered;
use super::segments::Segments;
use crate::message::MessageId;

/// The index.
#[derive(Default)]
pub(super) struct Index {
    /// In the order in which they are listed.
    entries: BTreeMap<MessageId, Entry>,
    lanes: HashMap<Arc<str>, Lane>,
    segments: Segments,
    remembered: Remembered,
    next_sequence: u64,
    jobs: u64,
    body_bytes: u64,
}

/// A stored message.
pub(super) struct Entry {
    pub(super) location: Location,
    pub(super) stored_at: UnixMillis,
    pub(super) content_bytes: u64,
    /// The checksum of a content in a file of its own.
    body_crc: Option<u32>,
    /// Those not finished, in the order of their positions.
    pub(super) jobs: Vec<(u32, Job)>,
}

impl Entry {
    /// The content's file, if it has one.
    pub(super) fn body(&self) -> Option<Body> {
        self.body_crc.map(|crc| Body { bytes: self.content_bytes, crc })
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Location {
    /// Reads the record's bytes, unchecked. Blocking.
    pub(super) fn read(&self, file: &DiskFile) -> std::io::Result<Vec<u8>> {
        file.read_at(self.offset, usize::try_from(self.bytes).map_err(|_| std::io::ErrorKind::FileTooLarge)?)
    }
}

/// What is left to do.
#[derive(Clone)]
pub(super) struct Job {
    pub(super) lane: Arc<str>,
    pub(super) due: UnixMillis,
    pub(super) attempt: u32,
    pub(super) status: Status,
    pub(super) state: State,
    /// Order among jobs due at the same time.
    sequence: u64,
}

/// Who has the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// Nobody.
    Waiting,
    /// The holder of the claim with the job's attempt number.
    Claimed,
    /// The same, and the claim's end is in the group being written.
    Ending,
    /// Nobody, until it is released.
    Held,
    /// An instruction is in the group being written. Before, the job was held or waited.
    Changing { held: bool },
}

impl Status {
    /// An attempt is under way.
    pub(super) fn is_claimed(self) -> bool {
        matches!(self, Self::Claimed | Self::Ending)
    }

    /// Not due until it is released.
    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Held | Self::Changing { held: true })
    }

    /// As records have it.
    pub(super) fn standing(self) -> Standing {
        match self {
            _ if self.is_claimed() => Standing::Claimed,
            _ if self.is_held() => Standing::Held,
            _ => Standing::Waiting,
        }
    }
}

impl From<Standing> for Status {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Waiting => Self::Waiting,
            Standing::Claimed => Self::Claimed,
            Standing::Held => Self::Held,
        }
    }
}

/// What an instruction comes to.
#[derive(Clone, Copy)]
pub(super) enum Change {
    /// The job waits or is held.
    Arranged { due: UnixMillis, held: bool },
    /// The job is gone.
    Dropped,
}

/// A job's state.
#[derive(Clone)]
pub(super) enum State {
    /// Small ones.
    Memory(Box<[u8]>),
    /// In a segment.
    Disk { file: Arc<DiskFile>, offset: u64, bytes: u32, crc: u32 },
}

/// A job to be put into the index.
pub(super) struct JobSeed {
    pub(super) job: u32,
    pub(super) lane: Arc<str>,
    pub(super) due: UnixMillis,
    pub(super) attempt: u32,
    pub(super) standing: Standing,
    pub(super) state: State,
}

/// An entry to be put into the index, without its jobs.
pub(super) struct EntrySeed {
    pub(super) id: MessageId,
    pub(super) stored_at: UnixMillis,
    pub(super) content_bytes: u64,
    pub(super) body: Option<Body>,
}

/// A job taken for an attempt.
pub(super) struct Taken {
    pub(super) id: JobId,
    pub(super) lane: Arc<str>,
    pub(super) attempt: u32,
    pub(super) stored_at: UnixMillis,
    pub(super) state: State,
}

struct Lane {
    /// Claimed ones included; the lane disappears with its last job.
    jobs: usize,
    waiting: BTreeSet<(UnixMillis, u64, JobId)>,
}

/// Where a job stands among those of its lane that wait.
struct Turn {
    lane: Arc<str>,
    key: (UnixMillis, u64, JobId),
}

impl Job {
    fn turn(&self, id: JobId) -> Turn {
        Turn { lane: self.lane.clone(), key: (self.due, self.sequence, id) }
    }
}

impl Index {
    pub(super) fn entry(&self, id: MessageId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn jobs(&self) -> u64 {
        self.jobs
    }

    /// Bytes on storage, garbage included.
    pub(super) fn bytes(&self) -> u64 {
        self.body_bytes.saturating_add(self.segments.bytes().0)
    }

    /// Lanes with a job that waits, each with its first due time.
    pub(super) fn lanes(&self) -> Vec<(Arc<str>, UnixMillis)> {
        let first = |(name, lane): (&Arc<str>, &Lane)| lane.waiting.first().map(|(due, ..)| (name.clone(), *due));
        self.lanes.iter().filter_map(first).collect()
    }

    /// Whether a claim would find something.
    pub(super) fn has_due(&self, lane: &str, now: UnixMillis) -> bool {
        self.lanes.get(lane).and_then(|lane| lane.waiting.first()).is_some_and(|(due, ..)| *due <= now)
    }

    /// Entries whose content is a file of its own.
    pub(super) fn with_bodies(&self) -> impl Iterator<Item = MessageId> {
        self.entries.iter().filter(|(_, entry)| entry.body_crc.is_some()).map(|(id, _)| *id)
    }

    // ---- entries and jobs ----

    /// Puts an entry in.
    pub(super) fn insert(&mut self, entry: &EntrySeed, location: Location, seeds: Vec<JobSeed>) {
        let EntrySeed { id, stored_at, content_bytes, body } = *entry;
        let mut jobs = Vec::with_capacity(seeds.len());
        for seed in seeds {
            let (name, lane) = self.lane(&seed.lane);
            lane.jobs += 1;
            let (status, sequence) = (Status::from(seed.standing), self.take_sequence());
            let job = Job { lane: name, due: seed.due, attempt: seed.attempt, status, state: seed.state, sequence };
            if status == Status::Waiting {
                self.enqueue(job.turn(JobId { entry: id, job: seed.job }));
            }
            jobs.push((seed.job, job));
            self.jobs += 1;
        }
        self.body_bytes = self.body_bytes.saturating_add(body.map_or(0, |body| body.bytes));
        self.segments.occupy(id, location);
        self.entries.insert(id, Entry { location, stored_at, content_bytes, body_crc: body.map(|body| body.crc), jobs });
    }

    /// Takes an entry out with all its jobs.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        for (job, state) in &entry.jobs {
            self.forget_job(JobId { entry: id, job: *job }, state);
        }
        self.segments.vacate(entry.location);
        self.body_bytes = self.body_bytes.saturating_sub(entry.body().map_or(0, |body| body.bytes));
        Some(entry)
    }

    /// The entry's record now stands elsewhere, and so do its states, in the order of its jobs.
    pub(super) fn relocate(&mut self, id: MessageId, location: Location, states: Vec<(u32, State)>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let old = std::mem::replace(&mut entry.location, location);
        for (job, state) in states {
            if let Some((_, found)) = entry.jobs.iter_mut().find(|(number, _)| *number == job) {
                found.state = state;
            }
        }
        self.segments.vacate(old);
        self.segments.occupy(id, location);
    }

    /// Takes up to `max` due jobs, the longest due first, each with its next attempt number.
    pub(super) fn claim(&mut self, lane: &str, now: UnixMillis, max: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max && self.has_due(lane, now) {
            let Some((_, _, id)) = self.lanes.get_mut(lane).and_then(|lane| lane.waiting.pop_first()) else { break };
            let Some(stored_at) = self.entries.get(&id.entry).map(|entry| entry.stored_at) else { continue };
            let Some(job) = self.job_mut(id) else { continue };
            job.attempt = job.attempt.saturating_add(1);
            job.status = Status::Claimed;
            taken.push(Taken { id, lane: job.lane.clone(), attempt: job.attempt, stored_at, state: job.state.clone() });
        }
        taken
    }

    /// Gives a claimed job back to its lane; with `uncount`, as if the attempt had never been recorded.
    pub(super) fn release(&mut self, id: JobId, attempt: u32, uncount: bool) {
        let Some(job) = self.job_mut(id).filter(|job| job.attempt == attempt && job.status == Status::Claimed) else { return };
        job.status = Status::Waiting;
        job.attempt = job.attempt.saturating_sub(u32::from(uncount));
        let turn = job.turn(id);
        self.enqueue(turn);
    }

    /// At the start: all claims of a dead process end, and their jobs are due at once; so are jobs due after `latest`, which only a
    /// clock that was wrong can have put off so far.
    pub(super) fn settle(&mut self, now: UnixMillis, latest: UnixMillis) {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (id, entry) in &mut self.entries {
            for (number, job) in &mut entry.jobs {
                let id = JobId { entry: *id, job: *number };
                if job.status.is_claimed() || job.due > latest {
                    before.push(job.turn(id));
                    job.due = job.due.min(now);
                    if job.status.is_claimed() {
                        job.status = Status::Waiting;
                    }
                    if job.status == Status::Waiting {
                        after.push(job.turn(id));
                    }
                }
            }
        }
        before.iter().for_each(|turn| self.dequeue(turn));
        after.into_iter().for_each(|turn| self.enqueue(turn));
    }

    /// The claim's end is about to be written; false: it is not held.
    pub(super) fn begin_end(&mut self, id: JobId, attempt: u32) -> bool {
        match self.job_mut(id) {
            Some(job) if job.attempt == attempt && job.status == Status::Claimed => {
                job.status = Status::Ending;
                true
            }
            _ => false,
        }
    }

    /// The claim's end could not be written: it is held as before.
    pub(super) fn abort_end(&mut self, id: JobId) {
        if let Some(job) = self.job_mut(id).filter(|job| job.status == Status::Ending) {
            job.status = Status::Claimed;
        }
    }

    /// Replays a claim's record.
    pub(super) fn set_claimed(&mut self, id: JobId, attempt: u32) {
        let Some(job) = self.job_mut(id) else { return };
        job.attempt = attempt;
        if std::mem::replace(&mut job.status, Status::Claimed) == Status::Waiting {
            let turn = job.turn(id);
            self.dequeue(&turn);
        }
    }

    /// The job waits again.
    pub(super) fn reschedule(&mut self, id: JobId, attempt: u32, due: UnixMillis, state: State) {
        let Some(job) = self.job_mut(id) else { return };
        (job.attempt, job.state) = (attempt, state);
        self.arrange(id, due, false);
    }

    /// The job waits until it is due, behind others due at that time, or is held.
    pub(super) fn arrange(&mut self, id: JobId, due: UnixMillis, held: bool) {
        let sequence = self.take_sequence();
        let Some(job) = self.job_mut(id) else { return };
        let before = job.turn(id);
        (job.due, job.sequence, job.status) = (due, sequence, if held { Status::Held } else { Status::Waiting });
        let after = job.turn(id);
        self.dequeue(&before);
        if !held {
            self.enqueue(after);
        }
    }

    /// An instruction is about to be written; until it is, nobody can claim the job. `None`: there is nothing to be done.
    pub(super) fn begin_change(&mut self, id: JobId, instruction: Instruction) -> Result<Option<Change>, SpoolError> {
        let job = self.job_mut(id).ok_or(SpoolError::StaleClaim)?;
        let held = job.status.is_held();
        if job.status.is_claimed() {
            return match instruction {
                Instruction::Due(_) | Instruction::Release(_) => Ok(None),
                Instruction::Hold | Instruction::Drop => Err(SpoolError::Claimed),
            };
        }
        if matches!(job.status, Status::Changing { .. }) {
            return Err(SpoolError::Claimed);
        }
        let change = match instruction {
            Instruction::Due(due) => Change::Arranged { due, held },
            Instruction::Hold => Change::Arranged { due: job.due, held: true },
            Instruction::Release(due) => Change::Arranged { due, held: false },
            Instruction::Drop => Change::Dropped,
        };
        job.status = Status::Changing { held };
        let turn = job.turn(id);
        self.dequeue(&turn);
        Ok(Some(change))
    }

    /// The instruction could not be written: the job is as before.
    pub(super) fn abort_change(&mut self, id: JobId) {
        let Some(job) = self.job_mut(id) else { return };
        let Status::Changing { held } = job.status else { return };
        job.status = if held { Status::Held } else { Status::Waiting };
        let turn = job.turn(id);
        if !held {
            self.enqueue(turn);
        }
    }

    /// Jobs by id, from behind `after`, at most `max`, each with its entry.
    pub(super) fn list(&self, after: Option<JobId>, max: usize) -> Vec<(JobView, State)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(after.entry));
        let entries = self.entries.range((from, Bound::Unbounded));
        let jobs =
            entries.flat_map(|(id, entry)| entry.jobs.iter().map(move |(job, state)| (JobId { entry: *id, job: *job }, entry, state)));
        let view = |(id, entry, job): (JobId, &Entry, &Job)| {
            let view = JobView {
                id,
                lane: job.lane.clone(),
                attempt: job.attempt,
                due: job.due,
                stored_at: entry.stored_at,
                claimed: job.status.is_claimed(),
                held: job.status.is_held(),
                state: Bytes::new(),
                content_bytes: entry.content_bytes,
            };
            (view, job.state.clone())
        };
        jobs.filter(|(id, ..)| after.is_none_or(|after| *id > after)).take(max).map(view).collect()
    }

    /// The job is gone; with the last one the entry, which is returned.
    pub(super) fn finish(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.entries.get_mut(&id.entry)?;
        let place = entry.jobs.iter().position(|(number, _)| *number == id.job)?;
        let (_, job) = entry.jobs.remove(place);
        let last = entry.jobs.is_empty();
        self.forget_job(id, &job);
        if last { self.remove(id.entry) } else { None }
    }

    // ---- what is remembered ----

    /// What is remembered.
    pub(super) fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// A value is remembered by the record at this place, or forgotten by it.
    pub(super) fn remember(&mut self, key: &str, value: Option<&[u8]>, location: Location) {
        let key: Arc<str> = key.into();
        if let Some(old) = self.remembered.set(&key, value, location) {
            self.segments.forget_key(&key, old);
        }
        if value.is_some() {
            self.segments.keep_key(key, location);
        }
    }

    /// The value's record now stands elsewhere.
    pub(super) fn relocate_key(&mut self, key: &Arc<str>, location: Location) {
        if let Some(old) = self.remembered.relocate(key, location) {
            self.segments.forget_key(key, old);
            self.segments.keep_key(Arc::clone(key), location);
        }
    }

    /// The keys whose last value stands in this segment, each with the value.
    pub(super) fn remembered_in(&self, number: u64) -> Vec<(Arc<str>, Bytes)> {
        self.segments.keys(number).filter_map(|key| Some((Arc::clone(key), self.remembered.get(key)?))).collect()
    }

    // ---- segments ----

    /// The segments.
    pub(super) fn segments(&self) -> &Segments {
        &self.segments
    }

    /// The same, when one comes, grows or goes.
    pub(super) fn segments_mut(&mut self) -> &mut Segments {
        &mut self.segments
    }

    /// The first live entries of a segment, up to `bytes` together but at least one.
    pub(super) fn first_live(&self, number: u64, bytes: u64) -> Vec<MessageId> {
        let mut sum = 0_u64;
        let fits = |id: &&MessageId| {
            let first = sum == 0;
            sum = sum.saturating_add(self.entries.get(*id).map_or(0, |entry| entry.location.bytes));
            first || sum <= bytes
        };
        self.segments.live(number).take_while(fits).copied().collect()
    }

    // ---- inside ----

    fn lane(&mut self, name: &Arc<str>) -> (Arc<str>, &mut Lane) {
        // One allocation of the name for all of a lane's jobs.
        let name = self.lanes.get_key_value(name).map_or_else(|| name.clone(), |(known, _)| known.clone());
        let lane = self.lanes.entry(name.clone()).or_insert_with(|| Lane { jobs: 0, waiting: BTreeSet::new() });
        (name, lane)
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        let entry = self.entries.get_mut(&id.entry)?;
        entry.jobs.iter_mut().find(|(number, _)| *number == id.job).map(|(_, job)| job)
    }

    fn take_sequence(&mut self) -> u64 {
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.next_sequence
    }

    fn enqueue(&mut self, turn: Turn) {
        if let Some(lane) = self.lanes.get_mut(&turn.lane) {
            lane.waiting.insert(turn.key);
        }
    }

    fn dequeue(&mut self, turn: &Turn) {
        if let Some(lane) = self.lanes.get_mut(&turn.lane) {
            lane.waiting.remove(&turn.key);
        }
    }

    fn forget_job(&mut self, id: JobId, job: &Job) {
        self.jobs = self.jobs.saturating_sub(1);
        self.dequeue(&job.turn(id));
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            lane.jobs = lane.jobs.saturating_sub(1);
            if lane.jobs == 0 {
                self.lanes.remove(&job.lane);
            }
        }
    }
}
