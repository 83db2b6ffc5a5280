//! The segments as the index knows them: how large each is, and what in it lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::index::Location;
use super::io::DiskFile;
use crate::message::MessageId;

/// The segments by number.
#[derive(Default)]
pub(super) struct Segments(BTreeMap<u64, Segment>);

struct Segment {
    file: Arc<DiskFile>,
    bytes: u64,
    /// Entries whose record stands here, by offset.
    live: BTreeMap<u64, MessageId>,
    /// Keys whose last value stands here.
    keys: BTreeSet<Arc<str>>,
    live_bytes: u64,
}

impl Segments {
    /// A segment exists.
    pub(super) fn add(&mut self, number: u64, file: Arc<DiskFile>, bytes: u64) {
        self.0.insert(number, Segment { file, bytes, live: BTreeMap::new(), keys: BTreeSet::new(), live_bytes: 0 });
    }

    /// A segment's size.
    pub(super) fn set_bytes(&mut self, number: u64, bytes: u64) {
        if let Some(segment) = self.0.get_mut(&number) {
            segment.bytes = bytes;
        }
    }

    /// A segment is gone.
    pub(super) fn remove(&mut self, number: u64) {
        self.0.remove(&number);
    }

    /// A segment's file.
    pub(super) fn file(&self, number: u64) -> Option<Arc<DiskFile>> {
        self.0.get(&number).map(|segment| segment.file.clone())
    }

    /// The oldest segment: number, whether anything in it lives, its size and the size of what lives.
    pub(super) fn oldest(&self) -> Option<(u64, bool, u64, u64)> {
        let lives = |segment: &Segment| !segment.live.is_empty() || !segment.keys.is_empty();
        self.0.first_key_value().map(|(number, segment)| (*number, lives(segment), segment.bytes, segment.live_bytes))
    }

    /// Sizes of all segments together: in all, and live.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let add = |(all, live): (u64, u64), segment: &Segment| (all.saturating_add(segment.bytes), live.saturating_add(segment.live_bytes));
        self.0.values().fold((0, 0), add)
    }

    /// The entries whose record stands in a segment, by place.
    pub(super) fn live(&self, number: u64) -> impl Iterator<Item = &MessageId> {
        self.0.get(&number).into_iter().flat_map(|segment| segment.live.values())
    }

    /// The keys whose last value stands in a segment.
    pub(super) fn keys(&self, number: u64) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(&number).into_iter().flat_map(|segment| &segment.keys)
    }

    /// An entry's record stands here.
    pub(super) fn occupy(&mut self, id: MessageId, location: Location) {
        if let Some(segment) = self.0.get_mut(&location.segment) {
            segment.live.insert(location.offset, id);
            segment.live_bytes = segment.live_bytes.saturating_add(location.bytes);
        }
    }

    /// It no longer does.
    pub(super) fn vacate(&mut self, location: Location) {
        if let Some(segment) = self.0.get_mut(&location.segment) {
            segment.live.remove(&location.offset);
            segment.live_bytes = segment.live_bytes.saturating_sub(location.bytes);
        }
    }

    /// A key's last value stands here.
    pub(super) fn keep_key(&mut self, key: Arc<str>, location: Location) {
        if let Some(segment) = self.0.get_mut(&location.segment) {
            segment.keys.insert(key);
            segment.live_bytes = segment.live_bytes.saturating_add(location.bytes);
        }
    }

    /// It no longer does.
    pub(super) fn forget_key(&mut self, key: &Arc<str>, location: Location) {
        if let Some(segment) = self.0.get_mut(&location.segment) {
            segment.keys.remove(key);
            segment.live_bytes = segment.live_bytes.saturating_sub(location.bytes);
        }
    }
}
