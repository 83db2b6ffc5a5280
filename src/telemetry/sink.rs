//! Where events go: a writer thread with a bounded buffer between it and everybody else.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::escape::Escaping;
use super::timestamp::Timestamp;
use super::{Event, Metrics, human};
use crate::limits::{LOG_BUFFER_BYTES_MAX, LOG_CLOSE_TIMEOUT, LOG_GATHER_BYTES, LOG_GATHER_TIME};

/// The form of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For a person; with colours or without.
    Human {
        /// ANSI colours.
        color: bool,
    },
}

/// The log. Cloning it clones a reference.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
    format: Format,
}

#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    buffer: Mutex<Buffer>,
    filled: Condvar,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    lost: u64,
    closed: bool,
}

/// Longer than most lines, so that few of them have to be moved while they are written.
const LINE_BYTES: usize = 1024;

impl Log {
    /// A log whose lines go to `out`, written by a thread of its own.
    pub fn new(format: Format, out: impl Write + Send + 'static) -> Self {
        let shared =
            Arc::new(Shared { metrics: Metrics::default(), buffer: Mutex::default(), filled: Condvar::new(), writer: Mutex::new(None) });
        let log = Self { shared: Arc::clone(&shared), format };
        let writer = log.clone();
        let handle = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.write_lines(out));
        *lock(&shared.writer) = handle.ok();
        log
    }

    /// Takes an event down.
    pub fn emit(&self, event: &Event<'_>) {
        self.shared.metrics.count(event);
        let line = self.line(event);
        let mut buffer = lock(&self.shared.buffer);
        if buffer.bytes.len().saturating_add(line.len()) > LOG_BUFFER_BYTES_MAX {
            buffer.lost = buffer.lost.saturating_add(1);
            return;
        }
        let before = buffer.bytes.len();
        buffer.bytes.extend_from_slice(&line);
        let is_much = before < LOG_GATHER_BYTES && buffer.bytes.len() >= LOG_GATHER_BYTES;
        drop(buffer);
        // In between, the writer waits for nothing but its time.
        if before == 0 || is_much {
            self.shared.filled.notify_one();
        }
    }

    /// What has been counted of the events so far.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Writes what is left and ends the writer thread. A sink that takes nothing is not waited for beyond a limit: the process must end.
    pub fn close(&self) {
        lock(&self.shared.buffer).closed = true;
        self.shared.filled.notify_one();
        let writer = lock(&self.shared.writer).take();
        let Some(writer) = writer else { return };
        let until = Instant::now() + LOG_CLOSE_TIMEOUT;
        while !writer.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        if writer.is_finished() {
            let _ = writer.join();
        }
    }

    fn line(&self, event: &Event<'_>) -> Vec<u8> {
        let now = Timestamp::now();
        let mut line = Vec::with_capacity(LINE_BYTES);
        match self.format {
            Format::Json => {
                line.extend_from_slice(b"{\"ts\":\"");
                line.extend_from_slice(now.as_str().as_bytes());
                line.push(b'"');
                let brace = line.len();
                // Serialising plain data into memory cannot fail.
                event.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Escaping)).unwrap_or_default();
                // An event is an object that is never empty: it goes on with the one that begins with the time.
                line.get_mut(brace).into_iter().for_each(|begin| *begin = b',');
            }
            Format::Human { color } => human::write(&mut line, now.as_str(), event, color),
        }
        line.push(b'\n');
        line
    }

    fn write_lines(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut buffer = lock(&self.shared.buffer);
            while buffer.bytes.is_empty() && !buffer.closed {
                buffer = self.shared.filled.wait(buffer).unwrap_or_else(PoisonError::into_inner);
            }
            if buffer.bytes.is_empty() {
                return;
            }
            let is_little = |buffer: &mut Buffer| !buffer.closed && buffer.bytes.len() < LOG_GATHER_BYTES;
            let gathered = self.shared.filled.wait_timeout_while(buffer, LOG_GATHER_TIME, is_little);
            (buffer, _) = gathered.unwrap_or_else(PoisonError::into_inner);
            lines.clear();
            std::mem::swap(&mut lines, &mut buffer.bytes);
            let lost = std::mem::take(&mut buffer.lost);
            drop(buffer);
            if lost > 0 {
                self.shared.metrics.lost(lost);
                lines.extend_from_slice(&self.line(&Event::Lost { events: lost }));
            }
            // A log that nobody reads any more must not stop the mail.
            let _ = out.write_all(&lines).and_then(|()| out.flush());
        }
    }
}

/// A panic elsewhere leaves the buffer whole: it is only ever appended to.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    struct Told(mpsc::Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            lock(&self.0).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_json_objects_with_a_time_and_a_name() {
        let kept = Kept::default();
        let log = Log::new(Format::Json, kept.clone());
        log.emit(&Event::Started { version: "1", config: "cafe" });
        log.close();
        let line: serde_json::Value = serde_json::from_slice(&lock(&kept.0)).unwrap();
        assert_eq!((line["event"].as_str(), line["config"].as_str()), (Some("started"), Some("cafe")));
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn lines_that_come_together_are_written_together_and_none_is_held_back() {
        let (each, written) = mpsc::channel();
        let log = Log::new(Format::Json, Told(each));
        let started = Event::Started { version: "1", config: "cafe" };
        (0..100).for_each(|_| log.emit(&started));
        let lines = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'\n').count();
        let (mut writes, mut seen) = (0, 0);
        while seen < 100 {
            seen += lines(&written.recv_timeout(Duration::from_secs(60)).expect("a write without being closed"));
            writes += 1;
        }
        assert!(writes < 50, "{writes} writes");
        // What is much waits for nothing.
        log.emit(&Event::Problem { what: "test", detail: &"x".repeat(LOG_GATHER_BYTES) });
        assert_eq!(lines(&written.recv_timeout(Duration::from_secs(60)).expect("a write")), 1);
        log.close();
    }

    #[test]
    fn a_stuck_sink_costs_lines_not_memory() {
        let (release, stuck) = mpsc::channel();
        let log = Log::new(Format::Json, Stuck(stuck));
        let detail = "x".repeat(64 * 1024);
        for _ in 0..(2 * LOG_BUFFER_BYTES_MAX / detail.len()) {
            log.emit(&Event::Problem { what: "test", detail: &detail });
        }
        let buffer = lock(&log.shared.buffer);
        assert!(buffer.bytes.len() <= LOG_BUFFER_BYTES_MAX && buffer.lost > 0);
        drop(buffer);
        drop(release);
        log.close();
    }
}
