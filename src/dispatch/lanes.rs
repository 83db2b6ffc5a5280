//! Lanes: room for attempts, one lane a relay, so that a slow relay fills its own lane and nobody else's.
//!
//! How wide a lane is, its relay says each time: fewer places while the next hop is under pressure, none while it is held.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// All lanes by name.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<Arc<str>, Lane>>,
    freed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Lane {
    places: Arc<Places>,
    /// Jobs are due for which there was no place: what comes new goes behind them.
    backlog: bool,
}

/// The places of a lane. They are taken under the lock of all lanes, and given back without it.
#[derive(Debug, Default)]
struct Places {
    busy: AtomicU32,
    freed: Notify,
}

/// Room for one attempt. However the attempt ends, the place is given back and the scheduler hears of it.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    /// `None` for a place that was not used: nothing has changed for the scheduler.
    freed: Option<Arc<Notify>>,
}

impl Lanes {
    /// Takes a place in each of these lanes, of that width, for messages that come new; all or none.
    pub(super) fn try_enter<'a>(&self, lanes: impl Iterator<Item = (&'a Arc<str>, u32)>) -> Option<Vec<Place>> {
        lanes.map(|(lane, width)| self.place(lane, width, false)).collect()
    }

    /// Waits for a place for a message that comes new; not for long, and not behind what is due.
    pub(super) async fn enter_within(&self, lane: &Arc<str>, width: impl Fn() -> u32, patience: Duration) -> Option<Place> {
        let deadline = Instant::now() + patience;
        loop {
            let places = Arc::clone(&self.lock().entry(Arc::clone(lane)).or_default().places);
            let mut freed = std::pin::pin!(places.freed.notified());
            freed.as_mut().enable();
            let width = width();
            if let Some(place) = self.place(lane, width, false) {
                return Some(place);
            }
            if width == 0 || self.lock().get(lane).is_some_and(|lane| lane.backlog) {
                return None;
            }
            timeout_at(deadline, freed).await.ok()?;
        }
    }

    /// Takes all places that are free, for jobs that are due.
    pub(super) fn reserve(&self, lane: &Arc<str>, width: u32) -> Vec<Place> {
        std::iter::from_fn(|| self.place(lane, width, true)).collect()
    }

    /// The lanes in which more is due than there is room for.
    pub(super) fn set_backlogs(&self, full: &[Arc<str>]) {
        for (name, lane) in self.lock().iter_mut() {
            lane.backlog = full.contains(name);
        }
    }

    /// Notified when a place was given back. It keeps one permit, so one waiter misses nothing.
    pub(super) fn freed(&self) -> &Notify {
        &self.freed
    }

    fn place(&self, lane: &Arc<str>, width: u32, ahead: bool) -> Option<Place> {
        let mut lanes = self.lock();
        let lane = lanes.entry(Arc::clone(lane)).or_default();
        let busy = lane.places.busy.load(Ordering::Acquire);
        if busy >= width || (lane.backlog && !ahead) {
            return None;
        }
        lane.places.busy.fetch_add(1, Ordering::AcqRel);
        Some(Place { places: Arc::clone(&lane.places), freed: Some(Arc::clone(&self.freed)) })
    }

    /// Held for look-ups only.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn busy(&self) -> u32 {
        self.lock().values().map(|lane| lane.places.busy.load(Ordering::Acquire)).sum()
    }
}

impl Place {
    /// Gives back a place for which nothing was found to do.
    pub(super) fn not_used(mut self) {
        self.freed = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // First the place, then the word of it.
        self.places.busy.fetch_sub(1, Ordering::AcqRel);
        self.places.freed.notify_one();
        if let Some(freed) = &self.freed {
            freed.notify_one();
        }
    }
}
