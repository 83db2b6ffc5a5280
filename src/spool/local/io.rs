//! Every file operation of the engine, in one place, so that tests can make any one of them fail, fall short or be the last.
//!
//! Files are readable by their owner alone: they hold mail.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};

/// Slices that one `writev` takes (`IOV_MAX` of Linux).
const SLICES_PER_WRITE: usize = 1024;

/// An operation about to be done.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests look into it"))]
pub(super) enum Op<'a> {
    /// A new, empty file.
    Create(&'a Path),
    /// So many bytes at the end of a file.
    Write(&'a Path, usize),
    /// `fdatasync` of a file.
    Sync(&'a Path),
    /// A file cut to so many bytes.
    Truncate(&'a Path, u64),
    /// A file's name taken away.
    Remove(&'a Path),
    /// A second name for a file.
    Link(&'a Path, &'a Path),
    /// `fsync` of a folder: names created and taken away in it.
    SyncDir(&'a Path),
}

/// What becomes of an operation.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "only tests inject faults"))]
pub(super) enum Verdict {
    /// It is done.
    Go,
    /// A write stores at most so many bytes and says so.
    Short(usize),
    /// It counts as done without the disk's work; for syncs, which only a power loss could tell apart.
    Skip,
    /// It is not done and fails.
    Fail(io::Error),
}

/// Decides over operations; in production nobody does.
pub(super) trait Faults: Send + Sync {
    /// Asked before each operation.
    fn verdict(&self, op: Op<'_>) -> Verdict;
    /// Stands for the file system's free space.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// The way to the disk.
#[derive(Clone, Default)]
pub(super) struct Disk(Option<Arc<dyn Faults>>);

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl Disk {
    /// A disk whose operations are judged.
    #[cfg(test)]
    pub(super) fn with_faults(faults: Arc<dyn Faults>) -> Self {
        Self(Some(faults))
    }

    /// Creates a folder and those above it; one that exists is fine.
    pub(super) fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Takes the exclusive lock on a file; `WouldBlock` when another holds it. The lock ends with the file.
    pub(super) fn lock(&self, path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    }

    /// The names in a folder, sorted; names that are not UTF-8 are nobody's and left out.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A new file; one that exists is an error.
    pub(super) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.ask(Op::Create(path))?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), disk: self.clone() })
    }

    /// An existing file, to be read, cut and synced.
    pub(super) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile { file, path: path.to_owned(), disk: self.clone() })
    }

    /// The size of a file.
    pub(super) fn file_bytes(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    /// Takes a file's name away.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.ask(Op::Remove(path))?;
        std::fs::remove_file(path)
    }

    /// Gives a file a second name; one that exists is an error.
    pub(super) fn link(&self, path: &Path, other: &Path) -> io::Result<()> {
        self.ask(Op::Link(path, other))?;
        std::fs::hard_link(path, other)
    }

    /// Makes the names of a folder durable.
    pub(super) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.ask(Op::SyncDir(path))? { File::open(path)?.sync_all() } else { Ok(()) }
    }

    /// Bytes that this user may still take on the file system.
    pub(super) fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        if let Some(bytes) = self.0.as_ref().and_then(|faults| faults.free_bytes()) {
            return Ok(bytes);
        }
        let figures = rustix::fs::statvfs(path)?;
        Ok(figures.f_bavail.saturating_mul(figures.f_frsize))
    }

    /// Whether the operation is still to be done.
    fn ask(&self, op: Op<'_>) -> io::Result<bool> {
        match self.verdict(op) {
            Verdict::Go | Verdict::Short(_) => Ok(true),
            Verdict::Skip => Ok(false),
            Verdict::Fail(error) => Err(error),
        }
    }

    fn verdict(&self, op: Op<'_>) -> Verdict {
        self.0.as_ref().map_or(Verdict::Go, |faults| faults.verdict(op))
    }
}

impl DiskFile {
    /// Writes all slices at the end of what this file object has written, in as few calls as the system allows.
    pub(super) fn write_all(&self, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut slices, 0);
        while !slices.is_empty() {
            let now = slices.get(..SLICES_PER_WRITE).unwrap_or(slices);
            let written = match self.disk.verdict(Op::Write(&self.path, now.iter().map(|slice| slice.len()).sum())) {
                Verdict::Go | Verdict::Skip => (&self.file).write_vectored(now),
                Verdict::Short(bytes) => {
                    let first: &[u8] = now.first().map_or(&[], |slice| slice);
                    (&self.file).write(first.get(..bytes).unwrap_or(first))
                }
                Verdict::Fail(error) => Err(error),
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => IoSlice::advance_slices(&mut slices, bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes the file's bytes durable. After a failure nothing is known about what was written since the last success, and asking
    /// again proves nothing: the kernel reports a lost page once.
    pub(super) fn sync(&self) -> io::Result<()> {
        if self.disk.ask(Op::Sync(&self.path))? { self.file.sync_data() } else { Ok(()) }
    }

    /// Cuts the file, which also gives back what [`Self::reserve`] took.
    pub(super) fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.disk.ask(Op::Truncate(&self.path, bytes))?;
        self.file.set_len(bytes)
    }

    /// Takes space ahead of the writes without changing the file's size. Only a help: file systems that cannot do it are as good.
    pub(super) fn reserve(&self, bytes: u64) {
        let _ = rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, bytes);
    }

    /// Reads exactly so many bytes at a place.
    pub(super) fn read_at(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; bytes];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer)
    }

    /// Its size.
    pub(super) fn bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads the whole file.
    pub(super) fn read_all(&self) -> io::Result<Vec<u8>> {
        let bytes = usize::try_from(self.file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.read_at(0, bytes)
    }

    /// Reads the first bytes, fewer if the file is shorter.
    pub(super) fn read_start(&self, bytes: usize) -> io::Result<Vec<u8>> {
        let there = usize::try_from(self.file.metadata()?.len()).unwrap_or(usize::MAX);
        self.read_at(0, there.min(bytes))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
