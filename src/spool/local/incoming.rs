//! Messages that are too large for memory, while they come: one file each, in a folder of its own.
//!
//! A file's name goes when nobody holds it any more, and with the next start. An entry that takes it over gives it a second name, in
//! the folder of the bodies ([`BodyFile`](super::body::BodyFile)); it has been read for its checksum when it was written.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::io::DiskFile;
use super::record::Body;
use super::shared::{Shared, failed};
use crate::message::{Depository, Stored, StoredError};
use crate::spool::SpoolError;

/// A file that is being written.
pub(super) struct Incoming {
    place: Place,
    hasher: crc32fast::Hasher,
    bytes: usize,
}

/// A file that is whole.
pub(super) struct Received {
    place: Place,
    body: Body,
    bytes: usize,
}

/// A file and its name in the folder. The name goes away with its value; should that fail, the next start does it.
struct Place {
    shared: Arc<Shared>,
    path: PathBuf,
    /// `None` when it is being closed.
    file: Option<DiskFile>,
}

impl Place {
    fn file(&self) -> io::Result<&DiskFile> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Incoming {
    /// An empty file. Blocking.
    pub(super) fn create(shared: &Arc<Shared>) -> Result<Self, SpoolError> {
        shared.check_space()?;
        let path = shared.next_incoming();
        let file = shared.disk.create(&path).map_err(|error| failed("creating a file for what is coming", &error))?;
        let place = Place { shared: Arc::clone(shared), path, file: Some(file) };
        Ok(Self { place, hasher: crc32fast::Hasher::new(), bytes: 0 })
    }
}

impl Depository for Incoming {
    fn append(&mut self, octets: &[u8]) -> Result<(), StoredError> {
        self.place.shared.check_space().map_err(of_spool)?;
        let written = self.place.file().and_then(|file| file.write_all(&mut [IoSlice::new(octets)]));
        written.map_err(|error| of_spool(failed("writing what is coming", &error)))?;
        self.hasher.update(octets);
        self.bytes = self.bytes.saturating_add(octets.len());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Arc<dyn Stored>, StoredError> {
        let Self { place, hasher, bytes } = *self;
        Ok(Arc::new(Received { place, body: Body { bytes: bytes as u64, crc: hasher.finalize() }, bytes }))
    }
}

impl Stored for Received {
    fn len(&self) -> usize {
        self.bytes
    }

    fn read(&self, at: usize, length: usize) -> Result<Bytes, StoredError> {
        self.place.file().map_err(|error| of_spool(failed("reading a content", &error))).and_then(|file| read(file, at, length))
    }
}

impl Received {
    /// Whether it is a file of this spool.
    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.place.shared, shared)
    }

    /// Makes it durable and gives it this name besides. Blocking.
    pub(super) fn name(&self, path: &Path) -> Result<Body, SpoolError> {
        self.place.file().and_then(DiskFile::sync).map_err(|error| failed("syncing a body", &error))?;
        self.place.shared.disk.link(&self.place.path, path).map_err(|error| failed("naming a body", &error))?;
        Ok(self.body)
    }
}

/// Reads a piece of a file.
pub(super) fn read(file: &DiskFile, at: usize, length: usize) -> Result<Bytes, StoredError> {
    let read = file.read_at(at as u64, length).map_err(|error| of_spool(failed("reading a content", &error)))?;
    Ok(read.into())
}

/// An error of the spool as readers and writers of contents see it.
pub(super) fn of_spool(error: SpoolError) -> StoredError {
    match error {
        SpoolError::Full => StoredError::Full,
        error => StoredError::Failed(error.to_string().into()),
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.shared.disk.remove(&self.path);
        // With the last name and the last who has it open, the kernel gives back its pages, and that takes time.
        if let Ok(runtime) = Handle::try_current() {
            let file = self.file.take();
            drop(runtime.spawn_blocking(move || drop(file)));
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").field("path", &self.place.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Received").field("path", &self.place.path).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
