//! Time for gates: it only goes forward while the process runs, whatever happens to the wall clock.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Both times, in milliseconds.
pub(super) struct Clock {
    wall: Arc<dyn Fn() -> u64 + Send + Sync>,
    start: Instant,
    begin: u64,
}

impl Clock {
    pub(super) fn system() -> Self {
        let wall = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Self::of(Arc::new(wall))
    }

    pub(super) fn of(wall: Arc<dyn Fn() -> u64 + Send + Sync>) -> Self {
        let begin = wall();
        Self { wall, start: Instant::now(), begin }
    }

    /// Since the epoch, as if the wall clock had not been set since the start.
    pub(super) fn now(&self) -> u64 {
        self.begin.saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Since the epoch, as everybody else sees it.
    pub(super) fn wall(&self) -> u64 {
        (self.wall)()
    }

    /// The same moment on the wall clock.
    pub(super) fn to_wall(&self, at: u64) -> u64 {
        let now = self.now();
        if at >= now { self.wall().saturating_add(at.saturating_sub(now)) } else { self.wall().saturating_sub(now.saturating_sub(at)) }
    }
}
