//! Lanes: room for attempts, one lane a relay, so that a slow relay fills its own lane and nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::Snapshot;
use crate::limits::RELAY_CONNECTIONS_DEFAULT;

/// All lanes by name. A lane has as many places as its relay may have connections, by the configuration in force: connections
/// that began with an older one must not resize it.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: Mutex<HashMap<Arc<str>, Lane>>,
    freed: Arc<Notify>,
}

#[derive(Debug)]
struct Lane {
    size: u32,
    places: Arc<Semaphore>,
    /// Jobs are due for which there was no place: what comes new goes behind them.
    backlog: bool,
}

/// Room for one attempt. However the attempt ends, the place is given back and the scheduler hears of it.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Lanes {
    /// Takes a place in each of these lanes for messages that come new; all or none.
    pub(super) fn try_enter<'a>(&self, lanes: impl Iterator<Item = &'a Arc<str>>, snapshot: &Snapshot) -> Option<Vec<Place>> {
        let enter = |lane| {
            let places = {
                let mut known = self.lock();
                let lane = of(&mut known, lane, snapshot);
                (!lane.backlog).then(|| Arc::clone(&lane.places))?
            };
            Some(self.place(places.try_acquire_owned().ok()?))
        };
        lanes.map(enter).collect()
    }

    /// Waits for a place. Who waits comes before everybody who only tries.
    pub(super) async fn enter(&self, lane: &Arc<str>, snapshot: &Snapshot) -> Place {
        loop {
            let places = Arc::clone(&of(&mut self.lock(), lane, snapshot).places);
            // It is never closed; if it were, the lane would be another one.
            if let Ok(permit) = places.acquire_owned().await {
                return self.place(permit);
            }
        }
    }

    /// How many places there are now.
    pub(super) fn free(&self, lane: &Arc<str>, snapshot: &Snapshot) -> usize {
        of(&mut self.lock(), lane, snapshot).places.available_permits()
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

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place { permit: Some(permit), freed: Arc::clone(&self.freed) }
    }

    /// Held for look-ups only.
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn busy(&self) -> usize {
        let busy = |lane: &Lane| usize::try_from(lane.size).unwrap().saturating_sub(lane.places.available_permits());
        self.lock().values().map(busy).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // First the place, then the word of it.
        self.permit = None;
        self.freed.notify_one();
    }
}

/// A relay that was given another number of connections gets a new lane; the attempts in the old one run out.
fn of<'l>(lanes: &'l mut HashMap<Arc<str>, Lane>, name: &Arc<str>, snapshot: &Snapshot) -> &'l mut Lane {
    let size = snapshot.relays.get(name).map_or(RELAY_CONNECTIONS_DEFAULT, |relay| relay.limits.connections).max(1);
    let fresh = || Lane { size, places: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(1))), backlog: false };
    let lane = lanes.entry(Arc::clone(name)).or_insert_with(fresh);
    if lane.size != size {
        *lane = fresh();
    }
    lane
}
