//! Counting, on the way of every message: a row in memory until it is written down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;

use super::row::Row;
use super::{Clock, Day, DmarcReportsConfig, Facts};
use crate::limits::DMARC_REPORT_ROWS_PENDING_MAX;
use crate::smtp::ReversePath;

/// Where messages are counted.
#[derive(Debug)]
pub struct Collector {
    pub(super) config: ArcSwapOption<DmarcReportsConfig>,
    pending: Mutex<Pending>,
    pub(super) clock: Clock,
}

/// What is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) rows: HashMap<(Day, Row), u64>,
    /// Messages for which there was no room.
    pub(super) dropped: u64,
}

impl Collector {
    pub(super) fn new(config: Option<Arc<DmarcReportsConfig>>, clock: Clock) -> Self {
        Self { config: ArcSwapOption::new(config), pending: Mutex::default(), clock }
    }

    /// From now on by this configuration; without one nothing is counted or sent.
    pub fn reconfigure(&self, config: Option<Arc<DmarcReportsConfig>>) {
        self.config.store(config);
    }

    /// Counts a message, if its domain asks for reports.
    pub fn record(&self, facts: &Facts<'_>) {
        let Some(config) = &*self.config.load() else { return };
        // Our own reports are nobody's news: two that report on each other's reports would never end.
        if matches!(facts.reverse_path, ReversePath::Address(address) if *address == config.from) {
            return;
        }
        let Some(row) = Row::of(facts) else { return };
        let key = (self.clock.today(), row);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pending.rows.get_mut(&key) {
            *count = count.saturating_add(1);
        } else if pending.rows.len() < DMARC_REPORT_ROWS_PENDING_MAX {
            pending.rows.insert(key, 1);
        } else {
            pending.dropped = pending.dropped.saturating_add(1);
        }
    }

    pub(super) fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
