//! What is in the spool, in memory: where each entry stands, its jobs, and for each lane the order in which they are due.
//!
//! The committer alone changes it, after the sync that covers the change; two exceptions need no record: a claim that nobody took
//! over is released, and a job whose state is damaged is set aside. No method does I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::super::{JobId, UnixMillis};
use super::io::DiskFile;
use super::record::Body;
use super::remembered::Remembered;
use crate::message::MessageId;

/// The index.
#[derive(Default)]
pub(super) struct Index {
    entries: HashMap<MessageId, Entry>,
    lanes: HashMap<Arc<str>, Lane>,
    segments: BTreeMap<u64, Segment>,
    remembered: Remembered,
    next_sequence: u64,
    jobs: u64,
    body_bytes: u64,
}

/// A stored message.
pub(super) struct Entry {
    pub(super) location: Location,
    pub(super) stored_at: UnixMillis,
    pub(super) body: Option<Body>,
    /// Those not finished, by position.
    pub(super) jobs: Vec<(u32, Job)>,
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
}

/// A job's state.
#[derive(Clone)]
pub(super) enum State {
    /// Small ones.
    Memory(Bytes),
    /// In a segment.
    Disk { file: Arc<DiskFile>, offset: u64, bytes: usize, crc: u32 },
}

/// A job to be put into the index.
pub(super) struct JobSeed {
    pub(super) job: u32,
    pub(super) lane: Arc<str>,
    pub(super) due: UnixMillis,
    pub(super) attempt: u32,
    pub(super) claimed: bool,
    pub(super) state: State,
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

struct Segment {
    file: Arc<DiskFile>,
    bytes: u64,
    /// Entries whose record stands here, by offset.
    live: BTreeMap<u64, MessageId>,
    /// Keys whose last value stands here.
    keys: BTreeSet<Arc<str>>,
    live_bytes: u64,
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
        self.segments.values().map(|segment| segment.bytes).fold(self.body_bytes, u64::saturating_add)
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
        self.entries.iter().filter(|(_, entry)| entry.body.is_some()).map(|(id, _)| *id)
    }

    // ---- entries and jobs ----

    /// Puts an entry in.
    pub(super) fn insert(&mut self, id: MessageId, stored_at: UnixMillis, body: Option<Body>, location: Location, seeds: Vec<JobSeed>) {
        let mut jobs = Vec::with_capacity(seeds.len());
        for seed in seeds {
            let (name, lane) = self.lane(&seed.lane);
            lane.jobs += 1;
            let status = if seed.claimed { Status::Claimed } else { Status::Waiting };
            let sequence = self.take_sequence();
            let job = Job { lane: name, due: seed.due, attempt: seed.attempt, status, state: seed.state, sequence };
            if status == Status::Waiting {
                self.enqueue(JobId { entry: id, job: seed.job }, &job);
            }
            jobs.push((seed.job, job));
            self.jobs += 1;
        }
        self.body_bytes = self.body_bytes.saturating_add(body.map_or(0, |body| body.bytes));
        self.occupy(id, location);
        self.entries.insert(id, Entry { location, stored_at, body, jobs });
    }

    /// Takes an entry out with all its jobs.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        for (job, state) in &entry.jobs {
            self.forget_job(JobId { entry: id, job: *job }, state);
        }
        self.vacate(entry.location);
        self.body_bytes = self.body_bytes.saturating_sub(entry.body.map_or(0, |body| body.bytes));
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
        self.vacate(old);
        self.occupy(id, location);
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
        let job = job.clone();
        self.enqueue(id, &job);
    }

    /// All claims of a dead process end; their jobs are due at once.
    pub(super) fn release_all(&mut self, now: UnixMillis) {
        let mut released = Vec::new();
        for (id, entry) in &mut self.entries {
            for (number, job) in entry.jobs.iter_mut().filter(|(_, job)| job.status != Status::Waiting) {
                job.status = Status::Waiting;
                job.due = job.due.min(now);
                released.push((JobId { entry: *id, job: *number }, job.clone()));
            }
        }
        released.sort_by_key(|(_, job)| job.sequence);
        released.iter().for_each(|(id, job)| self.enqueue(*id, job));
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
            let job = job.clone();
            self.dequeue(id, &job);
        }
    }

    /// The job waits again.
    pub(super) fn reschedule(&mut self, id: JobId, attempt: u32, due: UnixMillis, state: State) {
        let sequence = self.take_sequence();
        let Some(job) = self.job_mut(id) else { return };
        let old = job.clone();
        (job.attempt, job.due, job.state, job.sequence, job.status) = (attempt, due, state, sequence, Status::Waiting);
        let new = job.clone();
        self.dequeue(id, &old);
        self.enqueue(id, &new);
    }

    /// The job is gone; with the last one the entry, which is returned.
    pub(super) fn finish(&mut self, id: JobId) -> Option<Entry> {
        let entry = self.entries.get_mut(&id.entry)?;
        let place = entry.jobs.iter().position(|(number, _)| *number == id.job)?;
        let (_, job) = entry.jobs.swap_remove(place);
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
            self.forget_key(&key, old);
        }
        if value.is_some() {
            self.keep_key(key, location);
        }
    }

    /// The value's record now stands elsewhere.
    pub(super) fn relocate_key(&mut self, key: &Arc<str>, location: Location) {
        if let Some(old) = self.remembered.relocate(key, location) {
            self.forget_key(key, old);
            self.keep_key(Arc::clone(key), location);
        }
    }

    /// The keys whose last value stands in this segment, each with the value.
    pub(super) fn remembered_in(&self, number: u64) -> Vec<(Arc<str>, Bytes)> {
        let keys = self.segments.get(&number).into_iter().flat_map(|segment| &segment.keys);
        keys.filter_map(|key| Some((Arc::clone(key), self.remembered.get(key)?))).collect()
    }

    // ---- segments ----

    /// A segment exists.
    pub(super) fn add_segment(&mut self, number: u64, file: Arc<DiskFile>, bytes: u64) {
        self.segments.insert(number, Segment { file, bytes, live: BTreeMap::new(), keys: BTreeSet::new(), live_bytes: 0 });
    }

    /// A segment's size.
    pub(super) fn set_segment_bytes(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&number) {
            segment.bytes = bytes;
        }
    }

    /// A segment is gone.
    pub(super) fn remove_segment(&mut self, number: u64) {
        self.segments.remove(&number);
    }

    /// A segment's file.
    pub(super) fn segment_file(&self, number: u64) -> Option<Arc<DiskFile>> {
        self.segments.get(&number).map(|segment| segment.file.clone())
    }

    /// The oldest segment: number, whether anything in it lives, its size and the size of what lives.
    pub(super) fn oldest_segment(&self) -> Option<(u64, bool, u64, u64)> {
        let lives = |segment: &Segment| !segment.live.is_empty() || !segment.keys.is_empty();
        self.segments.first_key_value().map(|(number, segment)| (*number, lives(segment), segment.bytes, segment.live_bytes))
    }

    /// Sizes of all segments together: in all, and live.
    pub(super) fn segment_bytes(&self) -> (u64, u64) {
        self.segments.values().fold((0, 0), |(all, live), segment| (all + segment.bytes, live + segment.live_bytes))
    }

    /// The first live entries of a segment, up to `bytes` together but at least one.
    pub(super) fn first_live(&self, number: u64, bytes: u64) -> Vec<MessageId> {
        let Some(segment) = self.segments.get(&number) else { return Vec::new() };
        let mut sum = 0_u64;
        let fits = |id: &&MessageId| {
            let first = sum == 0;
            sum = sum.saturating_add(self.entries.get(*id).map_or(0, |entry| entry.location.bytes));
            first || sum <= bytes
        };
        segment.live.values().take_while(fits).copied().collect()
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

    fn enqueue(&mut self, id: JobId, job: &Job) {
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            lane.waiting.insert((job.due, job.sequence, id));
        }
    }

    fn dequeue(&mut self, id: JobId, job: &Job) {
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            lane.waiting.remove(&(job.due, job.sequence, id));
        }
    }

    fn forget_job(&mut self, id: JobId, job: &Job) {
        self.jobs = self.jobs.saturating_sub(1);
        self.dequeue(id, job);
        if let Some(lane) = self.lanes.get_mut(&job.lane) {
            lane.jobs = lane.jobs.saturating_sub(1);
            if lane.jobs == 0 {
                self.lanes.remove(&job.lane);
            }
        }
    }

    fn keep_key(&mut self, key: Arc<str>, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.keys.insert(key);
            segment.live_bytes = segment.live_bytes.saturating_add(location.bytes);
        }
    }

    fn forget_key(&mut self, key: &Arc<str>, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.keys.remove(key);
            segment.live_bytes = segment.live_bytes.saturating_sub(location.bytes);
        }
    }

    fn occupy(&mut self, id: MessageId, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live.insert(location.offset, id);
            segment.live_bytes = segment.live_bytes.saturating_add(location.bytes);
        }
    }

    fn vacate(&mut self, location: Location) {
        if let Some(segment) = self.segments.get_mut(&location.segment) {
            segment.live.remove(&location.offset);
            segment.live_bytes = segment.live_bytes.saturating_sub(location.bytes);
        }
    }
}
