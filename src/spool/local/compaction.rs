//! Gives space back: the log is emptied from its old end.
//!
//! Only the oldest segment is ever deleted, and only when nothing in it lives. An outcome therefore outlives the record it is about:
//! no deleted segment can bring a finished job back. Stragglers are copied to the log's end, a bounded amount with each group, when
//! little of the oldest segment lives or when the log is mostly garbage; the latter bounds the disk to about twice what lives.

use std::sync::Arc;

use bytes::Bytes;

use super::super::{JobId, SpoolError};
use super::committer::PreparedState;
use super::index::Job;
use super::record::{self, Encoded, EntryRecord, JobRecord, Record};
use super::shared::{Shared, failed};
use crate::limits::{SPOOL_COPY_BYTES_PER_GROUP, SPOOL_LIVE_PERCENT_MIN};
use crate::message::MessageId;

/// An entry's copy, ready to be written.
pub(super) struct Moved {
    pub(super) id: MessageId,
    pub(super) record: Encoded,
    pub(super) states: Vec<(u32, PreparedState)>,
}

/// A remembered value's copy, ready to be written.
pub(super) struct MovedValue {
    pub(super) key: Arc<str>,
    pub(super) record: Encoded,
}

/// Finds the work.
pub(super) struct Compactor {
    shared: Arc<Shared>,
    /// A segment that could not be read or deleted; it is left alone until the next start.
    stuck: Option<u64>,
    /// The last group failed: nothing is copied until one succeeds, so that a sick disk is not beaten with copies.
    paused: bool,
}

impl Compactor {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, stuck: None, paused: false }
    }

    /// Hears how the last group went.
    pub(super) fn group_done(&mut self, good: bool) {
        self.paused = !good;
    }

    /// Deletes the oldest segments as long as nothing in them lives; `active` and later ones stay.
    pub(super) fn delete_dead(&mut self, active: u64) {
        loop {
            let oldest = self.shared.index().segments().oldest();
            let Some((number, false, ..)) = oldest.filter(|(number, ..)| *number < active && self.stuck != Some(*number)) else { return };
            // The name must be gone for good before the next segment goes, or a power loss could bring back records without their outcome.
            let gone = self.shared.disk.remove(&self.shared.folders.segment(number));
            if gone.and_then(|()| self.shared.disk.sync_dir(&self.shared.folders.segments)).is_err() {
                self.stuck = Some(number);
                return;
            }
            self.shared.index().segments_mut().remove(number);
        }
    }

    /// The segment to be emptied, if one is worth it.
    pub(super) fn wanted(&self, active: u64) -> Option<u64> {
        let index = self.shared.index();
        let (number, lives, bytes, live) = index.segments().oldest()?;
        if self.paused || number >= active || !lives || self.stuck == Some(number) {
            return None;
        }
        let (all_bytes, all_live) = index.segments().bytes();
        let sparse = live.saturating_mul(100) < bytes.saturating_mul(SPOOL_LIVE_PERCENT_MIN);
        let slack = self.shared.sizes.segment_bytes.saturating_mul(2);
        (sparse || all_bytes > all_live.saturating_mul(2).saturating_add(slack)).then_some(number)
    }

    /// What is to be copied next: all values that the segment holds, which are few, and entries, as many bytes as the group has or
    /// a fixed amount.
    pub(super) fn step(&mut self, active: u64, group_bytes: u64) -> (Vec<MovedValue>, Vec<Moved>) {
        let Some(number) = self.wanted(active) else { return Default::default() };
        let values = self.shared.index().remembered_in(number).into_iter().map(|(key, value)| {
            let record = Record::Remembered { key: &key, value: Some(&value) }.encode();
            MovedValue { key, record }
        });
        let values = values.collect();
        let ids = self.shared.index().first_live(number, group_bytes.max(SPOOL_COPY_BYTES_PER_GROUP));
        let mut moved = Vec::with_capacity(ids.len());
        for id in ids {
            match self.copy(id) {
                Ok(copy) => moved.extend(copy),
                Err(_) => {
                    self.stuck = Some(number);
                    break;
                }
            }
        }
        (values, moved)
    }

    /// Makes the copy of one entry. `None`: it was damaged and is set aside now.
    fn copy(&self, id: MessageId) -> Result<Option<Moved>, SpoolError> {
        let found = self.shared.index().entry(id).map(|entry| (entry.location, entry.jobs.clone()));
        let Some((location, jobs)) = found else { return Ok(None) };
        let Some(file) = self.shared.index().segments().file(location.segment) else { return Ok(None) };
        let bytes = Bytes::from(location.read(&file).map_err(|error| failed("reading a straggler", &error))?);
        let mut kept = Vec::with_capacity(jobs.len());
        for (number, job) in jobs {
            match self.shared.load(&job.state) {
                Ok(state) => kept.push((number, job, state)),
                // The state has been set aside; the entry goes on with its other jobs.
                Err(SpoolError::Corrupt(_)) => drop(self.shared.index().finish(JobId { entry: id, job: number })),
                Err(error) => return Err(error),
            }
        }
        if kept.is_empty() {
            return Ok(None);
        }
        let Some(Record::Entry(old) | Record::Copy(old)) = record::decode_alone(&bytes) else {
            self.shared.set_aside(&file, location.offset, &bytes);
            self.shared.index().remove(id);
            return Ok(None);
        };
        let content = bytes.slice_ref(old.content);
        Ok(Some(self.encode(&old, &kept, content)))
    }

    fn encode(&self, old: &EntryRecord<'_>, jobs: &[(u32, Job, Bytes)], content: Bytes) -> Moved {
        let jobs_now = jobs
            .iter()
            .map(|(number, job, state)| JobRecord {
                job: *number,
                attempt: job.attempt,
                standing: job.status.standing(),
                due: job.due,
                lane: &job.lane,
                state,
                state_offset: 0,
            })
            .collect();
        let record =
            EntryRecord { id: old.id, stored_at: old.stored_at, body: old.body, envelope: old.envelope, jobs: jobs_now, content: &[] };
        let (encoded, offsets) = record::encode_entry(true, &record, vec![content]);
        let memory_bytes_max = self.shared.sizes.state_memory_bytes_max;
        let place =
            |((number, _, state), offset): (&(u32, Job, Bytes), usize)| (*number, PreparedState::new(state, offset, memory_bytes_max));
        Moved { id: old.id, record: encoded, states: jobs.iter().zip(offsets).map(place).collect() }
    }
}
