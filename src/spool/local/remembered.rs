//! Values that belong to no message: all in memory, few and small by their limits, each with the place of its record.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::SpoolError;
use super::index::Location;
use crate::limits::{SPOOL_KEY_BYTES_MAX, SPOOL_KEYS_MAX, SPOOL_VALUE_BYTES_MAX};

/// The values by key.
#[derive(Default)]
pub(super) struct Remembered(BTreeMap<Arc<str>, (Bytes, Location)>);

impl Remembered {
    /// All of them.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Bytes)> {
        self.0.iter().map(|(key, (value, _))| (Arc::clone(key), value.clone())).collect()
    }

    /// One of them.
    pub(super) fn get(&self, key: &str) -> Option<Bytes> {
        self.0.get(key).map(|(value, _)| value.clone())
    }

    /// Whether a value may be kept under this key when `coming` other keys come with it.
    pub(super) fn check_room(&self, key: &str, coming: usize) -> Result<(), SpoolError> {
        if self.0.contains_key(key) || self.0.len().saturating_add(coming) < SPOOL_KEYS_MAX {
            return Ok(());
        }
        Err(SpoolError::Io(format!("{SPOOL_KEYS_MAX} values are remembered already").into()))
    }

    /// Puts a value in, or takes it out; returns where the one before stands.
    pub(super) fn set(&mut self, key: &Arc<str>, value: Option<&[u8]>, location: Location) -> Option<Location> {
        let old = match value {
            Some(value) => self.0.insert(Arc::clone(key), (Bytes::copy_from_slice(value), location)),
            None => self.0.remove(key),
        };
        old.map(|(_, location)| location)
    }

    /// A record now stands elsewhere; returns where it stood.
    pub(super) fn relocate(&mut self, key: &str, location: Location) -> Option<Location> {
        self.0.get_mut(key).map(|(_, place)| std::mem::replace(place, location))
    }
}

/// Whether key and value are as short as they must be.
pub(super) fn check_sizes(key: &str, value: Option<&[u8]>) -> Result<(), SpoolError> {
    let bytes = value.map_or(0, <[u8]>::len);
    if key.len() > SPOOL_KEY_BYTES_MAX || bytes > SPOOL_VALUE_BYTES_MAX {
        let text = format!(
            "a key of {} bytes with a value of {bytes} is above the limits of {SPOOL_KEY_BYTES_MAX} and {SPOOL_VALUE_BYTES_MAX}",
            key.len()
        );
        return Err(SpoolError::Io(text.into()));
    }
    Ok(())
}
