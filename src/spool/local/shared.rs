//! What callers and the committer share: the folder, the index, the signal, the damage done.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::super::SpoolError;
use super::index::{Index, State, Taken};
use super::io::{Disk, DiskFile};
use crate::limits;
use crate::message::MessageId;

/// Sizes that tests make smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) inline_bytes_max: usize,
    pub(super) segment_bytes: u64,
    pub(super) free_bytes_min: u64,
    pub(super) state_memory_bytes_max: usize,
    /// A larger content is not read into memory.
    pub(super) content_memory_bytes_max: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            inline_bytes_max: limits::SPOOL_INLINE_BYTES_MAX,
            segment_bytes: limits::SPOOL_SEGMENT_BYTES,
            free_bytes_min: limits::SPOOL_FREE_BYTES_MIN,
            state_memory_bytes_max: limits::SPOOL_STATE_MEMORY_BYTES_MAX,
            content_memory_bytes_max: limits::MESSAGE_IN_MEMORY_BYTES_MAX,
        }
    }
}

/// One for an open spool.
pub(super) struct Shared {
    pub(super) disk: Disk,
    pub(super) folders: Folders,
    pub(super) sizes: Sizes,
    pub(super) changed: Notify,
    index: Mutex<Index>,
    damaged: AtomicU64,
    /// Number of the last file in the folder for what is coming.
    incoming: AtomicU64,
}

/// The spool's folders.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    pub(super) root: PathBuf,
    pub(super) segments: PathBuf,
    pub(super) bodies: PathBuf,
    pub(super) incoming: PathBuf,
    pub(super) damaged: PathBuf,
}

impl Folders {
    pub(super) fn new(root: &Path) -> Self {
        let [segments, bodies, incoming, damaged] = ["segments", "bodies", "incoming", "damaged"].map(|name| root.join(name));
        Self { root: root.to_owned(), segments, bodies, incoming, damaged }
    }

    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.segments.join(format!("{number:010}.log"))
    }

    pub(super) fn body(&self, id: MessageId) -> PathBuf {
        self.bodies.join(id.to_string())
    }
}

impl Shared {
    pub(super) fn new(disk: Disk, folders: Folders, sizes: Sizes, index: Index) -> Self {
        Self {
            disk,
            folders,
            sizes,
            changed: Notify::new(),
            index: Mutex::new(index),
            damaged: AtomicU64::new(0),
            incoming: AtomicU64::new(0),
        }
    }

    /// The index. Held for memory operations only, never across I/O or an await.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records found damaged since the spool was opened.
    pub(super) fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// A name for what is coming, of which the start left none.
    pub(super) fn next_incoming(&self) -> PathBuf {
        self.folders.incoming.join(self.incoming.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Whether new mail is to be refused.
    pub(super) fn check_space(&self) -> Result<(), SpoolError> {
        match self.disk.free_bytes(&self.folders.root) {
            Ok(bytes) if bytes < self.sizes.free_bytes_min => Err(SpoolError::Full),
            Ok(_) => Ok(()),
            Err(error) => Err(failed("asking for free space", &error)),
        }
    }

    /// Reads a state back. Blocking.
    pub(super) fn load(&self, state: &State) -> Result<Bytes, SpoolError> {
        match state {
            State::Memory(bytes) => Ok(Bytes::copy_from_slice(bytes)),
            State::Disk { file, offset, bytes, crc } => {
                let read = file.read_at(*offset, *bytes as usize).map_err(|error| failed("reading a state", &error))?;
                if crc32fast::hash(&read) == *crc { Ok(read.into()) } else { Err(self.set_aside(file, *offset, &read)) }
            }
        }
    }

    /// Reads a state back without doing anything about damage: a damaged one is empty. Blocking.
    pub(super) fn peek(&self, state: &State) -> Bytes {
        match state {
            State::Memory(bytes) => Bytes::copy_from_slice(bytes),
            State::Disk { file, offset, bytes, crc } => {
                let read = file.read_at(*offset, *bytes as usize).unwrap_or_default();
                if crc32fast::hash(&read) == *crc { read.into() } else { Bytes::new() }
            }
        }
    }

    /// Copies damaged bytes to the folder for them, counts them, and makes the error that names the place.
    pub(super) fn set_aside(&self, file: &DiskFile, offset: u64, bytes: &[u8]) -> SpoolError {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let text = match set_aside(&self.disk, &self.folders, file.path(), offset, bytes) {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("{} at {offset}, which could not be copied: {error}", file.path().display()),
        };
        SpoolError::Corrupt(text.into())
    }
}

/// Copies damaged bytes to a file named after their place, unless they were copied before.
pub(super) fn set_aside(disk: &Disk, folders: &Folders, source: &Path, offset: u64, bytes: &[u8]) -> io::Result<PathBuf> {
    let name = source.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let path = folders.damaged.join(format!("{name}.{offset}"));
    match disk.create(&path) {
        Ok(copy) => {
            copy.write_all(&mut [io::IoSlice::new(bytes)])?;
            copy.sync()?;
            disk.sync_dir(&folders.damaged)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    Ok(path)
}

/// Claims on their way to a caller. If the caller has gone, they are released instead of being held by nobody.
pub(super) struct Handed {
    jobs: Vec<Taken>,
    shared: Arc<Shared>,
}

impl Handed {
    pub(super) fn new(jobs: Vec<Taken>, shared: Arc<Shared>) -> Self {
        Self { jobs, shared }
    }

    pub(super) fn jobs(&self) -> &[Taken] {
        &self.jobs
    }

    /// The caller has them.
    pub(super) fn accept(mut self) -> Vec<Taken> {
        std::mem::take(&mut self.jobs)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        if self.jobs.is_empty() {
            return;
        }
        let mut index = self.shared.index();
        self.jobs.iter().for_each(|job| index.release(job.id, job.attempt, false));
        drop(index);
        self.shared.changed.notify_one();
    }
}

/// An I/O error as callers see it.
pub(super) fn failed(doing: &str, error: &io::Error) -> SpoolError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SpoolError::Full,
        _ => SpoolError::Io(format!("{doing}: {error}").into()),
    }
}
