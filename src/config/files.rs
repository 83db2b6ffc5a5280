//! Files: reading them into sinks, finding `gateway.yaml` above a path and the YAML files below one.
//!
//! Whatever lies there: nothing waits for a named pipe, circles of links end, and what is very large or very many is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::CheckError;
use super::diagnostic::{Code, Sink};
use super::source::Source;
use crate::limits;

/// What files hold: on disk, or something else that is tried in its place. Clones share the count of what was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    replaced: BTreeMap<PathBuf, Arc<[u8]>>,
    /// Octets of YAML that were read.
    bytes_read: Arc<AtomicU64>,
}

impl Contents {
    /// Puts a text in place of what is on disk.
    pub(crate) fn replace(&mut self, path: &Path, bytes: Vec<u8>) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.replaced.insert(path, bytes.into());
    }

    /// The same, of which nothing has been read yet.
    pub(crate) fn anew(&self) -> Self {
        Self { replaced: self.replaced.clone(), bytes_read: Arc::default() }
    }

    fn bytes(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        match self.replaced.get(path) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => bytes(path, bytes_max),
        }
    }

    /// Reads a YAML file as text.
    pub(crate) fn yaml(&self, path: &Path) -> FileRead {
        let mut read = self.read(path, yaml_bytes_max());
        let length = u64::try_from(read.sink.source().text.len()).unwrap_or(u64::MAX);
        if self.bytes_read.fetch_add(length, Ordering::Relaxed).saturating_add(length) > limits::CONFIGURATION_BYTES_MAX {
            read.sink = Sink::new(Source::new(shown(path), String::new()));
            let message = format!("all files together are larger than {} MiB", limits::CONFIGURATION_BYTES_MAX >> 20);
            read.sink.error(Code::TooLarge, 0..0, message);
        }
        read
    }

    /// Reads a file as text. What is wrong with it is in the sink, which then has an empty text.
    pub(crate) fn read(&self, path: &Path, bytes_max: u64) -> FileRead {
        let shown = shown(path);
        let mut checksum = crc32fast::Hasher::new();
        let sink = match self.bytes(path, bytes_max) {
            Ok(bytes) => {
                checksum = checksum_of(path, &bytes);
                text(shown, bytes, bytes_max)
            }
            Err(error) => {
                let mut sink = Sink::new(Source::new(shown, String::new()));
                sink.error(Code::Unreadable, 0..0, format!("the file cannot be read: {}", why(&error)));
                sink
            }
        };
        FileRead { path: path.to_owned(), checksum, sink }
    }
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct FileRead {
    path: PathBuf,
    checksum: crc32fast::Hasher,
    sink: Sink,
}

/// The text of a file, or what keeps it from being one.
fn text(shown: PathBuf, bytes: Vec<u8>, bytes_max: u64) -> Sink {
    if u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max) {
        let mut sink = Sink::new(Source::new(shown, String::new()));
        sink.error(Code::TooLarge, 0..0, format!("the file is larger than {} MiB", bytes_max >> 20));
        return sink;
    }
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let error = match String::from_utf8(bytes) {
        Ok(text) => return binary(Sink::new(Source::new(shown, text))),
        Err(error) => error,
    };
    let valid = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default()).into_owned();
    let mut sink = Sink::new(Source::new(shown, text));
    match is_utf16 {
        true => sink.error(Code::Encoding, 0..0, "the file is UTF-16, not UTF-8").help("save it as UTF-8"),
        false => sink.error(Code::Encoding, valid..valid, "the file is not UTF-8 from here on").help("save it as UTF-8"),
    };
    sink
}

/// No text has a NUL: it is a program, a picture, or a text of two octets a character.
fn binary(mut sink: Sink) -> Sink {
    if let Some(at) = memchr::memchr(0, sink.source().text.as_bytes()) {
        sink.error(Code::Encoding, at..at, "there is a NUL here: this is no text").help("save it as UTF-8");
    }
    sink
}

fn checksum_of(path: &Path, bytes: &[u8]) -> crc32fast::Hasher {
    let mut checksum = crc32fast::Hasher::new();
    // The name without its folder: the same files elsewhere are the same configuration.
    checksum.update(path.file_name().unwrap_or_default().as_encoded_bytes());
    checksum.update(&bytes.len().to_be_bytes());
    checksum.update(bytes);
    checksum
}

/// The files that were read, with a checksum over their names and contents.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// In the order of reading.
    pub(crate) files: Vec<PathBuf>,
    hasher: crc32fast::Hasher,
}

impl Reader {
    /// Counts a file in that was read.
    pub(crate) fn add(&mut self, read: FileRead) -> Sink {
        self.hasher.combine(&read.checksum);
        self.files.push(read.path);
        read.sink
    }

    /// Counts a file in that others read.
    pub(crate) fn add_file(&mut self, path: PathBuf, content: &[u8]) {
        self.hasher.combine(&checksum_of(&path, content));
        self.files.push(path);
    }

    /// Counts in what another one has read behind it.
    pub(crate) fn join(&mut self, other: Self) {
        self.hasher.combine(&other.hasher);
        self.files.extend(other.files);
    }

    /// 8 hex digits.
    pub(crate) fn hash(&self) -> String {
        format!("{:08x}", self.hasher.clone().finalize())
    }
}

/// What an operator needs of an I/O error, without the operating system's number.
pub(crate) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => "its links lead in a circle".to_owned(),
        _ => error.to_string(),
    }
}

/// At most one byte more than allowed, so that an endless file ends too.
///
/// Only regular files are read: opening a pipe waits for who writes into it, and a device may do anything. A file that changes while it is
/// read is read again.
pub(crate) fn bytes(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    for _ in 0..READINGS {
        let before = regular(&std::fs::metadata(path)?)?;
        // What may have come in its place since does not keep us waiting either.
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let mut file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
        let opened = regular(&file.metadata()?)?;
        let mut bytes = Vec::new();
        (&mut file).take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
        let is_cut = u64::try_from(bytes.len()).is_ok_and(|length| length > bytes_max);
        if is_cut || before == opened && opened == regular(&file.metadata()?)? {
            return Ok(bytes);
        }
    }
    Err(io::Error::other("it changes while it is read"))
}

/// Whether a file could be read.
pub(crate) fn is_readable(path: &Path) -> io::Result<()> {
    bytes(path, 0).map(drop)
}

/// How often a file is read that changes meanwhile.
const READINGS: usize = 3;

/// By what a file that has changed is known; an error for what is no file.
fn regular(metadata: &std::fs::Metadata) -> io::Result<(u64, u64, u64, i64, i64)> {
    let kind = metadata.file_type();
    let what = if kind.is_file() {
        return Ok((metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()));
    } else if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    } else if kind.is_fifo() {
        "it is a named pipe"
    } else if kind.is_socket() {
        "it is a socket"
    } else {
        "it is a device"
    };
    Err(io::Error::other(what))
}

/// The path as the operator would write it: relative to the working directory when it is below it.
pub(crate) fn shown(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    match std::env::current_dir() {
        Ok(here) => plain.strip_prefix(&here).map(Path::to_owned).unwrap_or(plain),
        Err(_) => plain,
    }
}

/// The nearest folder with a `gateway.yaml`, from the path itself upwards.
pub(crate) fn root_above(path: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(path).ok()?;
    let start = if absolute.is_dir() { absolute.as_path() } else { absolute.parent()? };
    start.ancestors().find(|folder| folder.join("gateway.yaml").is_file()).map(Path::to_owned)
}

/// The YAML files that a path means, sorted: the file itself, or those of a folder and its `policies` and `rules`, tests included.
pub(crate) fn below(path: &Path) -> Result<Vec<PathBuf>, CheckError> {
    let unreadable = |error: io::Error| CheckError::Unreadable(path.to_owned(), why(&error));
    if path == Path::new("-") {
        return Err(CheckError::StandardInput);
    }
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    let absolute = std::path::absolute(path).map_err(unreadable)?;
    if !metadata.is_dir() {
        regular(&metadata).map_err(unreadable)?;
        return Ok(vec![absolute]);
    }
    let mut walk = Walk { found: Vec::new(), entered: BTreeSet::new(), entries: 0 };
    walk.folder(&absolute, 0).map_err(|(folder, error)| match error.kind() {
        io::ErrorKind::QuotaExceeded => CheckError::TooMany(path.to_owned()),
        _ => CheckError::Unreadable(shown(&folder), why(&error)),
    })?;
    walk.found.sort();
    Ok(walk.found)
}

/// A walk through folders.
struct Walk {
    found: Vec<PathBuf>,
    /// Folders by device and number: one is entered once, whatever links lead there.
    entered: BTreeSet<(u64, u64)>,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, depth: usize) -> Result<(), (PathBuf, io::Error)> {
        let failed = |error: io::Error| (folder.to_owned(), error);
        let metadata = std::fs::metadata(folder).map_err(failed)?;
        if !self.entered.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            self.entries = self.entries.saturating_add(1);
            if self.entries > limits::CONFIGURATION_FILES_MAX {
                return Err(failed(io::ErrorKind::QuotaExceeded.into()));
            }
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        let deployment = folder.join("gateway.yaml").is_file();
        for entry in entries {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if entry.is_dir() {
                let interesting = !deployment || matches!(name, "rules" | "policies");
                // Eight folders deep nobody keeps a deployment.
                if interesting && !name.starts_with('.') && depth < 8 {
                    self.folder(&entry, depth.saturating_add(1))?;
                }
            } else if is_yaml(&entry) && (!deployment || name == "gateway.yaml") {
                self.found.push(entry);
            }
        }
        Ok(())
    }
}

/// Whether a file is one of tests: it is somewhere below `rules/tests`.
pub(crate) fn is_of_tests(path: &Path) -> bool {
    let mut folders = path.ancestors().skip(1);
    folders.any(|folder| is_folder(folder, "tests") && folder.parent().is_some_and(|parent| is_folder(parent, "rules")))
}

/// Whether a file counts as YAML, by either of the usual endings.
fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a folder has this name.
pub(crate) fn is_folder(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|last| last == name)
}

/// The largest YAML file as a number of the reader's kind.
fn yaml_bytes_max() -> u64 {
    u64::try_from(limits::YAML_FILE_BYTES_MAX).unwrap_or(u64::MAX)
}
