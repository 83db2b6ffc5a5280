//! Counting, on the way of the mail: a row in memory until it is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::{Clock, Day, ReportsConfig, Row};
use crate::limits::DAILY_REPORT_ROWS_PENDING_MAX;

/// Where rows are counted.
#[derive(Debug)]
pub struct Counter<R> {
    pub(crate) config: ArcSwapOption<ReportsConfig>,
    pending: Mutex<Pending<R>>,
    pub(crate) clock: Clock,
}

/// What is not written down yet.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    pub(crate) rows: HashMap<(Day, R), u64>,
    /// Sightings for which there was no room.
    pub(crate) dropped: u64,
}

impl<R> Default for Pending<R> {
    fn default() -> Self {
        Self { rows: HashMap::new(), dropped: 0 }
    }
}

impl<R: Row> Counter<R> {
    /// Counts by this configuration.
    pub fn new(config: Option<Arc<ReportsConfig>>, clock: Clock) -> Self {
        Self { config: ArcSwapOption::new(config), pending: Mutex::default(), clock }
    }

    /// From now on by this configuration; without one nothing is counted or sent.
    pub fn reconfigure(&self, config: Option<Arc<ReportsConfig>>) {
        self.config.store(config);
    }

    /// Counts one more of these.
    pub(crate) fn count(&self, row: R) {
        let key = (self.clock.today(), row);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pending.rows.get_mut(&key) {
            *count = count.saturating_add(1);
        } else if pending.rows.len() < DAILY_REPORT_ROWS_PENDING_MAX {
            pending.rows.insert(key, 1);
        } else {
            pending.dropped = pending.dropped.saturating_add(1);
        }
    }

    pub(crate) fn take(&self) -> Pending<R> {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
