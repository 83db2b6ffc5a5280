//! What a gate keeps on stable storage: its hold, and what was taken, each with its age.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Gate;
use crate::relay::pool::lock;
use crate::smtp::Reply;
use crate::telemetry::Event;

const VERSION: u32 = 1;
const KEY: &str = "relay/";

/// The stored form.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored {
    version: u32,
    /// When it was written, by the wall clock.
    pub(super) at: u64,
    pub(super) hold: Option<StoredHold>,
    /// Ages in milliseconds and numbers.
    pub(super) minute: Vec<(u64, u32)>,
    pub(super) day: Vec<(u64, u32)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredHold {
    pub(super) by_operator: bool,
    pub(super) reply: Option<Reply>,
    pub(super) reason: String,
    pub(super) age: u64,
}

impl Stored {
    pub(super) fn new(at: u64, hold: Option<StoredHold>, minute: Vec<(u64, u32)>, day: Vec<(u64, u32)>) -> Self {
        Self { version: VERSION, at, hold, minute, day }
    }

    fn is_empty(&self) -> bool {
        self.hold.is_none() && self.minute.is_empty() && self.day.is_empty()
    }
}

/// The relay whose value this is.
pub(super) fn name(key: &str) -> Option<&str> {
    key.strip_prefix(KEY)
}

impl Gate {
    pub(super) fn restore(&self, value: &[u8]) -> Result<(), String> {
        let stored: Stored = serde_json::from_slice(value).map_err(|error| error.to_string())?;
        if stored.version != VERSION {
            return Err(format!("format {} is not known", stored.version));
        }
        let clock = &self.shared.clock;
        lock(&self.state).restore(stored, clock);
        Ok(())
    }

    /// Writes the state down as it is now; many callers share one write.
    pub(super) async fn write(&self) -> Result<(), String> {
        let Some(memory) = self.shared.memory.get() else { return Ok(()) };
        let wanted = lock(&self.state).version();
        let mut written = self.written.lock().await;
        if *written >= wanted {
            return Ok(());
        }
        let (version, stored) = {
            let clock = &self.shared.clock;
            let mut state = lock(&self.state);
            (state.version(), state.stored(clock))
        };
        // Plain data with text keys: serialising it into memory cannot fail.
        let value = (!stored.is_empty()).then(|| Bytes::from(serde_json::to_vec(&stored).unwrap_or_default()));
        memory.remember(&format!("{KEY}{}", self.name), value).await?;
        *written = version;
        Ok(())
    }

    /// Writes the state down while the caller goes on.
    pub(super) fn write_soon(self: &Arc<Self>) {
        let gate = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = gate.write().await {
                let detail = format!("the hold of relay `{}` was not stored: {error}", gate.name);
                gate.shared.emit(&Event::Problem { what: "relay", detail: &detail });
            }
        });
    }
}
