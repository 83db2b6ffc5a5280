//! Large contents: one file each, durable before the record that refers to it is written.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::super::SpoolError;
use super::record::Body;
use super::shared::{Shared, failed};
use crate::message::{Content, MessageId};

/// A body file without a record yet; it goes away again unless [`BodyFile::keep`] is called.
pub(super) struct BodyFile {
    id: MessageId,
    body: Body,
    shared: Option<Arc<Shared>>,
}

impl BodyFile {
    /// Writes a body and makes it and its name durable. Blocking; many may run at once.
    pub(super) fn write(shared: &Arc<Shared>, id: MessageId, content: &Content) -> Result<Self, SpoolError> {
        shared.check_space()?;
        let path = shared.folders.body(id);
        let file = shared.disk.create(&path).map_err(|error| failed("creating a body", &error))?;
        let mut hasher = crc32fast::Hasher::new();
        content.segments().iter().for_each(|segment| hasher.update(segment));
        let body = Body { bytes: content.len() as u64, crc: hasher.finalize() };
        let written = Self { id, body, shared: Some(shared.clone()) };
        let mut slices: Vec<_> = content.segments().iter().map(|segment| IoSlice::new(segment)).collect();
        file.write_all(&mut slices).map_err(|error| failed("writing a body", &error))?;
        file.sync().map_err(|error| failed("syncing a body", &error))?;
        shared.disk.sync_dir(&shared.folders.bodies).map_err(|error| failed("syncing the bodies' folder", &error))?;
        Ok(written)
    }

    /// Its size and checksum.
    pub(super) fn body(&self) -> Body {
        self.body
    }

    /// A durable record refers to it now.
    pub(super) fn keep(mut self) {
        self.shared = None;
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            remove(&shared, self.id);
        }
    }
}

/// Takes a body away. Should that fail, the next start does it, as no entry refers to it.
pub(super) fn remove(shared: &Shared, id: MessageId) {
    let _ = shared.disk.remove(&shared.folders.body(id));
}

/// Reads a body back and checks it. Blocking.
pub(super) fn read(shared: &Shared, id: MessageId, body: Body) -> Result<Bytes, SpoolError> {
    let path = shared.folders.body(id);
    let file = shared.disk.open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => SpoolError::Corrupt(format!("{} is missing", path.display()).into()),
        _ => failed("opening a body", &error),
    })?;
    let bytes = file.read_all().map_err(|error| failed("reading a body", &error))?;
    if bytes.len() as u64 != body.bytes || crc32fast::hash(&bytes) != body.crc {
        return Err(shared.set_aside(&file, 0, &bytes));
    }
    Ok(bytes.into())
}
