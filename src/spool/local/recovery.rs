//! What a start does: lock, read the log from its old end to its new one, and leave a folder that holds nothing but what is known.
//!
//! Each start writes to a new segment; old ones are only read. A record that does not check out is a torn tail if nothing valid
//! follows it in the newest segment, which can only be a group that was never acknowledged, and is cut off. Anywhere else it is
//! damage: its bytes are set aside, counted and reported, and reading goes on at the next valid record.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{JobId, SpoolError, UnixMillis};
use super::index::{Entry, EntrySeed, Index, JobSeed, Location, State};
use super::io::{Disk, DiskFile};
use super::record::{self, EntryRecord, Marker, RECORD_HEADER_BYTES, Record, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::shared::{Folders, Sizes, failed, set_aside};
use crate::limits::SPOOL_DUE_AHEAD_MAX;
use crate::message::MessageId;

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Entries with at least one job left.
    pub entries: u64,
    /// Jobs left.
    pub jobs: u64,
    /// Segments read.
    pub segments: u64,
    /// Bytes of a torn tail that were cut off; not a loss, nobody was told that they were stored.
    pub torn_bytes: u64,
    /// Damaged bytes that were set aside, one file for each place; a path in `bodies` is a content that is missing or has another size.
    pub damaged: Vec<PathBuf>,
    /// Contents without an entry that were removed.
    pub orphans: u64,
}

/// A spool as found.
pub(super) struct Recovered {
    pub(super) index: Index,
    pub(super) next_segment: u64,
    pub(super) report: OpenReport,
}

/// Creates the folders if needed and takes the lock.
pub(super) fn lock(disk: &Disk, folders: &Folders) -> Result<std::fs::File, SpoolError> {
    let create = || {
        for path in [&folders.root, &folders.segments, &folders.bodies, &folders.incoming, &folders.damaged] {
            disk.create_dir(path)?;
        }
        disk.sync_dir(&folders.root)?;
        folders.root.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), |parent| disk.sync_dir(parent))
    };
    create().map_err(|error| failed(&format!("creating the spool in {}", folders.root.display()), &error))?;
    disk.lock(&folders.root.join("lock")).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            SpoolError::Io(format!("another process has the spool in {} open; two may not share it", folders.root.display()).into())
        }
        _ => failed("locking the spool", &error),
    })
}

/// Reads the spool. The lock must be held.
pub(super) fn recover(disk: &Disk, folders: &Folders, sizes: Sizes, now: UnixMillis) -> Result<Recovered, SpoolError> {
    let mut recovery = Recovery { disk, folders, sizes, index: Index::default(), report: OpenReport::default() };
    let next_segment = recovery.segments().map_err(|(path, error)| match error.kind() {
        io::ErrorKind::Unsupported => SpoolError::Io(format!("{}: {error}", path.display()).into()),
        _ => failed(&format!("reading {}", path.display()), &error),
    })?;
    recovery.index.settle(now, now.saturating_add(u64::try_from(SPOOL_DUE_AHEAD_MAX.as_millis()).unwrap_or(u64::MAX)));
    recovery.bodies().map_err(|error| failed("reading the bodies' folder", &error))?;
    recovery.incoming().map_err(|error| failed("emptying the folder of what is coming", &error))?;
    let Recovery { index, mut report, .. } = recovery;
    (report.entries, report.jobs) = (index.entries(), index.jobs());
    Ok(Recovered { index, next_segment, report })
}

struct Recovery<'a> {
    disk: &'a Disk,
    folders: &'a Folders,
    sizes: Sizes,
    index: Index,
    report: OpenReport,
}

/// A segment found in the folder.
struct Found {
    number: u64,
    file: Arc<DiskFile>,
    /// From here on, its records are void.
    valid_to: u64,
}

impl Recovery<'_> {
    /// Replays all segments; returns the number of the next one.
    fn segments(&mut self) -> Result<u64, (PathBuf, io::Error)> {
        let mut found = Vec::new();
        let names = self.disk.list(&self.folders.segments).map_err(|error| (self.folders.segments.clone(), error))?;
        for number in names.iter().filter_map(|name| name.strip_suffix(".log")?.parse::<u64>().ok()) {
            let path = self.folders.segment(number);
            let file = self.disk.open(&path).map_err(|error| (path, error))?;
            found.push(Found { number, file: Arc::new(file), valid_to: u64::MAX });
        }
        found.sort_by_key(|segment| segment.number);
        let next = found.last().map_or(1, |newest| newest.number.saturating_add(1));
        self.drop_unborn(&mut found)?;
        apply_voids(&mut found).map_err(|error| (self.folders.segments.clone(), error))?;
        let newest = found.last().map(|segment| segment.number);
        for segment in found {
            let path = self.folders.segment(segment.number);
            self.replay(&segment, newest == Some(segment.number)).map_err(|error| (path, error))?;
            self.report.segments += 1;
        }
        Ok(next)
    }

    /// Newest segments in which not even a first record was written are no segments yet.
    fn drop_unborn(&self, found: &mut Vec<Found>) -> Result<(), (PathBuf, io::Error)> {
        while let Some(newest) = found.last() {
            let path = self.folders.segment(newest.number);
            let bytes = newest.file.read_all().map_err(|error| (path.clone(), error))?;
            let marker = match record::decode_segment_header(&bytes) {
                SegmentHeader::Newer(_) => return Ok(()),
                SegmentHeader::Good(marker) => Some(marker),
                SegmentHeader::Damaged(marker) => marker,
            };
            if marker.is_some_and(|marker| next_valid(&bytes, SEGMENT_HEADER_BYTES, &marker).is_some()) {
                return Ok(());
            }
            self.disk.remove(&path).map_err(|error| (path, error))?;
            found.pop();
        }
        Ok(())
    }

    fn replay(&mut self, segment: &Found, newest: bool) -> io::Result<()> {
        let mut bytes = segment.file.read_all()?;
        self.index.segments_mut().add(segment.number, segment.file.clone(), bytes.len() as u64);
        bytes.truncate(usize::try_from(segment.valid_to).unwrap_or(usize::MAX));
        let mut offset = SEGMENT_HEADER_BYTES;
        let marker = match record::decode_segment_header(&bytes) {
            SegmentHeader::Good(marker) => marker,
            SegmentHeader::Newer(version) => {
                let text = format!("its format, version {version}, is of a later release; this one must not touch it");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
            SegmentHeader::Damaged(_) if bytes.is_empty() => return Ok(()),
            SegmentHeader::Damaged(marker) => {
                let end = bytes.len().min(SEGMENT_HEADER_BYTES);
                self.damaged(segment, &bytes, 0, end)?;
                marker.unwrap_or_default()
            }
        };
        while offset < bytes.len() {
            if let Some((record, end)) = record::decode(&bytes, offset, &marker) {
                let location = Location { segment: segment.number, offset: offset as u64, bytes: end.saturating_sub(offset) as u64 };
                self.apply(record, location, &segment.file);
                offset = end;
                continue;
            }
            match next_valid(&bytes, offset.saturating_add(1), &marker) {
                Some(next) => {
                    self.damaged(segment, &bytes, offset, next)?;
                    offset = next;
                }
                None if newest => {
                    self.report.torn_bytes += bytes.len().saturating_sub(offset) as u64;
                    segment.file.truncate(offset as u64)?;
                    self.index.segments_mut().set_bytes(segment.number, offset as u64);
                    break;
                }
                None => {
                    self.damaged(segment, &bytes, offset, bytes.len())?;
                    break;
                }
            }
        }
        // A process that died between write and sync leaves records that the kernel has and the disk has not.
        if newest { segment.file.sync() } else { Ok(()) }
    }

    fn damaged(&mut self, segment: &Found, bytes: &[u8], from: usize, to: usize) -> io::Result<()> {
        let region = bytes.get(from..to).unwrap_or_default();
        self.report.damaged.push(set_aside(self.disk, self.folders, segment.file.path(), from as u64, region)?);
        Ok(())
    }

    fn apply(&mut self, record: Record<'_>, location: Location, file: &Arc<DiskFile>) {
        match record {
            Record::Entry(entry) | Record::Copy(entry) => {
                self.index.remove(entry.id);
                let seeds = self.seeds(&entry, location, file);
                let content_bytes = entry.body.map_or(entry.content.len() as u64, |body| body.bytes);
                let seed = EntrySeed { id: entry.id, stored_at: entry.stored_at, content_bytes, body: entry.body };
                self.index.insert(&seed, location, seeds);
            }
            Record::Claimed { id, job, attempt } => self.index.set_claimed(JobId { entry: id, job }, attempt),
            Record::Rescheduled { id, job, attempt, due, state, state_offset } => {
                let state = self.state(state, state_offset, location, file);
                self.index.reschedule(JobId { entry: id, job }, attempt, due, state);
            }
            Record::Finished { id, job } => drop(self.index.finish(JobId { entry: id, job })),
            Record::Arranged { id, job, due, held } => self.index.arrange(JobId { entry: id, job }, due, held),
            Record::Remembered { key, value } => self.index.remember(key, value, location),
            Record::Void { .. } => {}
        }
    }

    fn seeds(&self, entry: &EntryRecord<'_>, location: Location, file: &Arc<DiskFile>) -> Vec<JobSeed> {
        let seed = |job: &record::JobRecord<'_>| JobSeed {
            job: job.job,
            lane: job.lane.into(),
            due: job.due,
            attempt: job.attempt,
            standing: job.standing,
            state: self.state(job.state, job.state_offset, location, file),
        };
        entry.jobs.iter().map(seed).collect()
    }

    fn state(&self, state: &[u8], offset: usize, location: Location, file: &Arc<DiskFile>) -> State {
        if state.len() <= self.sizes.state_memory_bytes_max {
            return State::Memory(state.into());
        }
        let offset = location.offset.saturating_add(offset as u64);
        // A record's length is 32 bits.
        let bytes = u32::try_from(state.len()).unwrap_or(u32::MAX);
        State::Disk { file: file.clone(), offset, bytes, crc: crc32fast::hash(state) }
    }

    /// Removes what was coming when the process before ended: nobody was told that it is stored.
    fn incoming(&self) -> io::Result<()> {
        // A name that is no number is not ours to remove.
        for name in self.disk.list(&self.folders.incoming)?.iter().filter(|name| name.parse::<u64>().is_ok()) {
            self.disk.remove(&self.folders.incoming.join(name))?;
        }
        Ok(())
    }

    /// Removes contents that no entry refers to, and reports entries whose content is not there.
    fn bodies(&mut self) -> io::Result<()> {
        let mut good = HashSet::new();
        for name in self.disk.list(&self.folders.bodies)? {
            // A name that is no id is not ours to remove.
            let Ok(id) = name.parse::<MessageId>() else { continue };
            match self.index.entry(id).and_then(Entry::body) {
                Some(body) if self.disk.file_bytes(&self.folders.body(id))? == body.bytes => {
                    good.insert(id);
                }
                Some(_) => {}
                None => {
                    self.disk.remove(&self.folders.body(id))?;
                    self.report.orphans += 1;
                }
            }
        }
        let missing = self.index.with_bodies().filter(|id| !good.contains(id));
        self.report.damaged.extend(missing.map(|id| self.folders.body(id)));
        Ok(())
    }
}

/// A segment's first record may say that what stands before the segment, from some place on, does not count.
fn apply_voids(found: &mut [Found]) -> io::Result<()> {
    let mut voids = Vec::new();
    for segment in found.iter() {
        let bytes = segment.file.read_start(SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 64)?;
        let (SegmentHeader::Good(marker) | SegmentHeader::Damaged(Some(marker))) = record::decode_segment_header(&bytes) else { continue };
        if let Some((Record::Void { segment: from, offset }, _)) = record::decode(&bytes, SEGMENT_HEADER_BYTES, &marker) {
            voids.push((from, offset, segment.number));
        }
    }
    for segment in found {
        for (from, offset, to) in &voids {
            if segment.number == *from {
                segment.valid_to = segment.valid_to.min(*offset);
            } else if (*from..*to).contains(&segment.number) {
                segment.valid_to = 0;
            }
        }
    }
    Ok(())
}

/// Where the next valid record starts.
fn next_valid(bytes: &[u8], from: usize, marker: &Marker) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr::memmem::find_iter(rest, marker).map(|at| from.saturating_add(at)).find(|at| record::decode(bytes, *at, marker).is_some())
}
