//! A log that tests look at.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// The log's lines. Cloning it clones a reference.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The events of a name; while the log is open, the last ones may be missing.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let bytes = self.0.lock().unwrap();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
        lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()).filter(|event| event["event"] == name).collect()
    }
}
