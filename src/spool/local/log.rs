//! The segment being written.
//!
//! After a failed write or sync nothing that was written since the last successful sync is known to be on disk or not to be, and
//! another sync would prove nothing. So the segment is given up: it is cut back to what was synced, and the first record of the next
//! segment, synced before anything else is acknowledged, declares all that lies between void. Either of the two alone keeps the
//! refused records from coming back after a restart. They can come back only if the disk refuses both, the process then ends, and
//! the disk had kept them after all: a message refused with 451 might then be delivered and sent again, but none is lost.

use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::index::Location;
use super::io::DiskFile;
use super::record::{Encoded, Marker, Record, SEGMENT_HEADER_BYTES, encode_segment_header};
use super::shared::Shared;

/// The writing end of the log.
pub(super) struct Log {
    shared: Arc<Shared>,
    active: Option<Active>,
    next_segment: u64,
    /// Segment and offset from which on all is void that stands before the next segment.
    void: Option<(u64, u64)>,
}

struct Active {
    number: u64,
    file: Arc<DiskFile>,
    marker: Marker,
    /// Bytes written and synced.
    synced: u64,
    /// Bytes written.
    written: u64,
    /// Header and first records of a new segment, until they are written.
    opening: Vec<u8>,
}

impl Log {
    pub(super) fn new(shared: Arc<Shared>, next_segment: u64) -> Self {
        Self { shared, active: None, next_segment, void: None }
    }

    /// The segment being written, or the next one: those below it will not change any more.
    pub(super) fn number(&self) -> u64 {
        self.active.as_ref().map_or(self.next_segment, |active| active.number)
    }

    /// The file being written.
    pub(super) fn file(&self) -> Option<Arc<DiskFile>> {
        self.active.as_ref().map(|active| active.file.clone())
    }

    /// Sees to it that there is a segment with room for so many bytes. A new one begins with `first`.
    pub(super) fn make_room(&mut self, bytes: u64, first: impl FnOnce() -> Vec<Encoded>) -> io::Result<()> {
        let full = |active: &Active| active.written.saturating_add(bytes) > self.shared.sizes.segment_bytes;
        if self.active.as_ref().is_some_and(full) {
            self.close();
        }
        if self.active.is_some() {
            return Ok(());
        }
        let number = self.next_segment;
        // A number is used once, whatever becomes of the file.
        self.next_segment = number.saturating_add(1);
        let path = self.shared.folders.segment(number);
        let file = Arc::new(self.shared.disk.create(&path)?);
        file.reserve(self.shared.sizes.segment_bytes);
        let marker = new_marker();
        let mut opening = encode_segment_header(&marker);
        let void = self.void.map(|(segment, offset)| Record::Void { segment, offset }.encode());
        for record in void.into_iter().chain(first()) {
            opening.extend_from_slice(&marker);
            record.slices().for_each(|slice| opening.extend_from_slice(slice));
        }
        self.shared.index().segments_mut().add(number, file.clone(), 0);
        self.active = Some(Active { number, file, marker, synced: 0, written: 0, opening });
        self.shared.disk.sync_dir(&self.shared.folders.segments)
    }

    /// Writes records; returns where they stand.
    pub(super) fn write<'a>(&mut self, records: impl Iterator<Item = &'a Encoded>) -> io::Result<Vec<Location>> {
        let Some(active) = &mut self.active else { return Err(io::ErrorKind::NotFound.into()) };
        let opening = std::mem::take(&mut active.opening);
        let mut offset = active.written + opening.len() as u64;
        let mut slices = vec![IoSlice::new(&opening)];
        let mut locations = Vec::new();
        for record in records {
            slices.push(IoSlice::new(&active.marker));
            slices.extend(record.slices().map(IoSlice::new));
            locations.push(Location { segment: active.number, offset, bytes: record.bytes() });
            offset += record.bytes();
        }
        active.file.write_all(&mut slices)?;
        active.written = offset;
        Ok(locations)
    }

    /// Makes what was written durable.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Err(io::ErrorKind::NotFound.into()) };
        active.file.sync()?;
        active.synced = active.written;
        self.void = None;
        self.shared.index().segments_mut().set_bytes(active.number, active.written);
        Ok(())
    }

    /// Something failed: the segment ends at what was synced.
    pub(super) fn give_up(&mut self) {
        let Some(active) = self.active.take() else { return };
        // What an earlier failure made void begins earlier and ends where the next segment begins, so it covers this one.
        self.void.get_or_insert((active.number, active.synced));
        let _ = active.file.truncate(active.synced).and_then(|()| active.file.sync());
        if active.synced == 0 && self.shared.disk.remove(active.file.path()).is_ok() {
            let _ = self.shared.disk.sync_dir(&self.shared.folders.segments);
            self.shared.index().segments_mut().remove(active.number);
        }
    }

    /// Ends the segment.
    pub(super) fn close(&mut self) {
        if let Some(active) = self.active.take() {
            // Gives back the reserved space; should it fail, the space comes back with the segment's end.
            let _ = active.file.truncate(active.written.max(SEGMENT_HEADER_BYTES as u64));
        }
    }
}

/// Random bytes that nobody outside knows: the standard library's hasher is keyed from the system's randomness.
fn new_marker() -> Marker {
    std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes()
}
