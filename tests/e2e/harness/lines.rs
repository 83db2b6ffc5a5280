//! The lines that a process writes, collected while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use crate::common::DEADLINE;

/// Lines of one stream. Cloning it clones a reference.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads to the end, so that the writer never waits for its reader.
    pub fn follow(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                shared.0.0.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                shared.0.1.notify_all();
            }
            shared.0.0.lock().unwrap().ended = true;
            shared.0.1.notify_all();
        });
        lines
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// What `pick` makes of the lines so far.
    pub fn all<T>(&self, pick: impl FnMut(&str) -> Option<T>) -> Vec<T> {
        self.0.0.lock().unwrap().lines.iter().map(String::as_str).filter_map(pick).collect()
    }

    /// The first line that `pick` takes, waited for.
    pub fn wait<T>(&self, what: &str, mut pick: impl FnMut(&str) -> Option<T>) -> T {
        let (lock, changed) = &*self.0;
        let (deadline, mut next) = (Instant::now() + DEADLINE, 0);
        let mut collected = lock.lock().unwrap();
        loop {
            while let Some(line) = collected.lines.get(next) {
                if let Some(found) = pick(line) {
                    return found;
                }
                next += 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                let text = collected.lines.join("\n");
                let why = if collected.ended { "the process has ended" } else { "time is up" };
                drop(collected);
                panic!("{why}, and there was no {what} in:\n{text}");
            }
            collected = changed.wait_timeout(collected, left).unwrap().0;
        }
    }

    /// Waits for the end of the stream.
    pub fn wait_end(&self) {
        let collected = self.0.0.lock().unwrap();
        let (collected, waited) = self.0.1.wait_timeout_while(collected, DEADLINE, |collected| !collected.ended).unwrap();
        drop(collected);
        assert!(!waited.timed_out(), "the stream does not end");
    }
}
