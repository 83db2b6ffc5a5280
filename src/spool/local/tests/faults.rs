//! A disk that fails, falls short or stops on command, and knows what a power loss would take.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::super::io::{Disk, Faults, Op, Verdict};
use crate::random::Random;

/// The disk.
pub(super) struct SickDisk {
    state: Mutex<State>,
    pub(super) free_bytes: AtomicU64,
}

struct State {
    random: Random,
    operations: u64,
    stop_at: Option<u64>,
    stopped: bool,
    fail: std::ops::Range<u64>,
    /// Bytes that a power loss leaves, by file.
    synced: HashMap<PathBuf, u64>,
    written: HashMap<PathBuf, u64>,
    /// Names created or (with their content) removed since their folder was synced.
    names: BTreeMap<PathBuf, Option<Vec<u8>>>,
}

impl SickDisk {
    /// A disk that stops for good at its operation number `stop_at`.
    pub(super) fn new(seed: u64, stop_at: Option<u64>) -> Arc<Self> {
        let state = State {
            random: Random(seed),
            operations: 0,
            stop_at,
            stopped: false,
            fail: 0..0,
            synced: HashMap::new(),
            written: HashMap::new(),
            names: BTreeMap::new(),
        };
        Arc::new(Self { state: Mutex::new(state), free_bytes: AtomicU64::new(u64::MAX) })
    }

    pub(super) fn disk(self: &Arc<Self>) -> Disk {
        Disk::with_faults(self.clone())
    }

    pub(super) fn crashed(&self) -> bool {
        self.state.lock().unwrap().stopped
    }

    /// After so many more operations, so many fail.
    pub(super) fn fail(&self, after: u64, count: u64) {
        let mut state = self.state.lock().unwrap();
        let first = state.operations + 1 + after;
        state.fail = first..first + count;
    }

    /// Takes from the folder what was not synced, or some of it: ends of files, zeros in them, names.
    pub(super) fn lose_power(&self, root: &Path) {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        for (path, content) in &state.names {
            if state.random.index(2) == 0 {
                continue;
            }
            assert!(path.starts_with(root));
            match content {
                None => drop(std::fs::remove_file(path)),
                Some(content) => std::fs::write(path, content).unwrap(),
            }
        }
        for path in state.written.keys() {
            let Ok(mut content) = std::fs::read(path) else { continue };
            let synced = state.synced.get(path).copied().unwrap_or(0) as usize;
            if content.len() > synced {
                content.truncate(synced + state.random.index(content.len() - synced + 1));
                if state.random.index(2) == 0 {
                    let from = synced + state.random.index(content.len() - synced + 1);
                    let to = from + state.random.index(content.len() - from + 1);
                    content[from..to].fill(0);
                }
                std::fs::write(path, content).unwrap();
            }
        }
    }
}

impl Faults for SickDisk {
    fn verdict(&self, op: Op<'_>) -> Verdict {
        let mut state = self.state.lock().unwrap();
        let state = &mut *state;
        let dead = || Verdict::Fail(io::Error::other("the disk has stopped"));
        if state.stopped {
            return dead();
        }
        state.operations += 1;
        if state.fail.contains(&state.operations) {
            return Verdict::Fail(io::Error::other("the disk is sick"));
        }
        let short = match op {
            Op::Write(_, bytes) if state.random.index(3) == 0 => Some(state.random.index(bytes).max(1)),
            _ => None,
        };
        if state.stop_at == Some(state.operations) {
            state.stopped = true;
            return match (op, short) {
                // The last write may have got somewhere.
                (Op::Write(path, _), Some(bytes)) => {
                    *state.written.entry(path.to_owned()).or_default() += bytes as u64;
                    Verdict::Short(bytes)
                }
                _ => dead(),
            };
        }
        match op {
            Op::Create(path) => {
                state.written.insert(path.to_owned(), 0);
                state.synced.insert(path.to_owned(), 0);
                state.names.insert(path.to_owned(), None);
            }
            Op::Write(path, bytes) => *state.written.entry(path.to_owned()).or_default() += short.unwrap_or(bytes) as u64,
            Op::Sync(path) => {
                if let Some(written) = state.written.get(path) {
                    state.synced.insert(path.to_owned(), *written);
                }
            }
            Op::Truncate(path, bytes) => {
                for lengths in [&mut state.written, &mut state.synced] {
                    lengths.entry(path.to_owned()).and_modify(|length| *length = bytes.min(*length));
                }
            }
            Op::Remove(path) => {
                let (content, created) = (std::fs::read(path).ok(), state.names.remove(path));
                state.written.remove(path);
                // A name that was never durable has nothing to come back as.
                if let (Some(content), None | Some(Some(_))) = (content, created) {
                    state.names.insert(path.to_owned(), Some(content));
                }
            }
            Op::Link(path, other) => {
                for lengths in [&mut state.written, &mut state.synced] {
                    let length = lengths.get(path).copied().unwrap_or(0);
                    lengths.insert(other.to_owned(), length);
                }
                state.names.insert(other.to_owned(), None);
            }
            Op::SyncDir(folder) => state.names.retain(|path, _| path.parent() != Some(folder)),
        }
        match (op, short) {
            (Op::Sync(_) | Op::SyncDir(_), _) => Verdict::Skip,
            (_, Some(bytes)) => Verdict::Short(bytes),
            _ => Verdict::Go,
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        Some(self.free_bytes.load(Ordering::Relaxed))
    }
}
