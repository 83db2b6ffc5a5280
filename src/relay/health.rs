//! What is remembered of places that could not be used: they are tried last, for longer each time, and one delivery at a time.
//!
//! - A place without an entry is healthy. The first success forgets everything that was held against it.
//! - A place with an entry is tried by one delivery at a time; those that waited for a try that failed have failed with it. A next hop
//!   that comes back is not run over, and a dead one costs one connection attempt, however many messages wait for it.
//! - The table is bounded: whoever has been sick for the longest is forgotten first, and is at worst tried once too often.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Mutex as Gate, OwnedMutexGuard};
use tokio::time::{Instant, timeout_at};

use super::failures;
use super::hosts::Place;
use super::pool::lock;
use crate::failure::Failure;
use crate::limits::{RELAY_HEALTH_PLACES_MAX, RELAY_HOST_PENALTY, RELAY_HOST_PENALTY_MAX};

/// The places of one relay that failed.
#[derive(Debug, Default)]
pub(super) struct Health {
    sick: Mutex<HashMap<Place, Sick>>,
}

#[derive(Debug)]
struct Sick {
    /// Until when it is tried last.
    until: Instant,
    /// Failures without a success between them.
    failures: u32,
    last: Arc<Failure>,
    gate: Arc<Gate<()>>,
}

/// The right to try a place; the one of a sick place keeps others away while it is held.
#[derive(Debug)]
pub(super) struct Turn {
    _alone: Option<OwnedMutexGuard<()>>,
}

impl Health {
    /// It could not be used.
    pub(super) fn failed(&self, place: &Place, failure: &Arc<Failure>) {
        let now = Instant::now();
        let mut sick = lock(&self.sick);
        if !sick.contains_key(place) && sick.len() >= RELAY_HEALTH_PLACES_MAX {
            let oldest = sick.iter().min_by_key(|(_, entry)| entry.until).map(|(place, _)| place.clone());
            oldest.and_then(|oldest| sick.remove(&oldest));
        }
        let new = || Sick { until: now, failures: 0, last: Arc::clone(failure), gate: Arc::default() };
        let entry = sick.entry(place.clone()).or_insert_with(new);
        entry.failures = entry.failures.saturating_add(1);
        entry.until = now + penalty(entry.failures);
        entry.last = Arc::clone(failure);
    }

    /// It was used.
    pub(super) fn succeeded(&self, place: &Place) {
        lock(&self.sick).remove(place);
    }

    /// Whether it is tried last now.
    pub(super) fn is_sick(&self, place: &Place) -> bool {
        lock(&self.sick).get(place).is_some_and(|entry| entry.until > Instant::now())
    }

    /// Waits for the right to try a place. The error is the failure of another delivery that tried it meanwhile.
    pub(super) async fn turn(&self, place: &Place, deadline: Instant) -> Result<Turn, Arc<Failure>> {
        let Some((before, gate)) = self.state(place) else { return Ok(Turn { _alone: None }) };
        let Ok(alone) = timeout_at(deadline, gate.lock_owned()).await else {
            return Err(Arc::new(failures::unreachable("another delivery tries it, and has no answer in time")));
        };
        match lock(&self.sick).get(place) {
            Some(entry) if entry.failures != before => Err(Arc::clone(&entry.last)),
            Some(_) => Ok(Turn { _alone: Some(alone) }),
            None => Ok(Turn { _alone: None }),
        }
    }

    fn state(&self, place: &Place) -> Option<(u32, Arc<Gate<()>>)> {
        lock(&self.sick).get(place).map(|entry| (entry.failures, Arc::clone(&entry.gate)))
    }
}

/// Twice as long each time.
fn penalty(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    RELAY_HOST_PENALTY.saturating_mul(1_u32 << doublings).min(RELAY_HOST_PENALTY_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    fn place(number: u32) -> Place {
        Place::Tcp(SocketAddr::new(IpAddr::from(number.to_be_bytes()), 25))
    }

    fn failure() -> Arc<Failure> {
        Arc::new(failures::unreachable("no"))
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_grows_and_a_success_forgives() {
        let (health, here) = (Health::default(), place(1));
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            health.failed(&here, &failure());
            tokio::time::advance(Duration::from_secs(seconds) - Duration::from_millis(1)).await;
            assert!(health.is_sick(&here), "{seconds}");
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!health.is_sick(&here), "{seconds}");
        }
        health.succeeded(&here);
        health.failed(&here, &failure());
        tokio::time::advance(RELAY_HOST_PENALTY).await;
        assert!(!health.is_sick(&here));
    }

    #[tokio::test]
    async fn the_table_is_bounded() {
        let health = Health::default();
        for number in 0..u32::try_from(RELAY_HEALTH_PLACES_MAX).unwrap() + 10 {
            health.failed(&place(number), &failure());
        }
        assert_eq!(lock(&health.sick).len(), RELAY_HEALTH_PLACES_MAX);
        assert!(!health.is_sick(&place(0)) && health.is_sick(&place(20)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_tries_a_sick_place_and_who_waited_has_its_result() {
        let (health, here) = (Health::default(), place(1));
        let deadline = Instant::now() + Duration::from_secs(60);
        let all_at_once = (health.turn(&here, deadline).await.unwrap(), health.turn(&here, deadline).await.unwrap());
        drop(all_at_once);
        health.failed(&here, &failure());
        // Also when its time is over: then it is no longer tried last, but still by one alone.
        tokio::time::advance(RELAY_HOST_PENALTY).await;
        let first = health.turn(&here, deadline).await.unwrap();
        let (waited, ()) = tokio::join!(health.turn(&here, deadline), async {
            tokio::task::yield_now().await;
            health.failed(&here, &failure());
            drop(first);
        });
        assert!(waited.is_err());
        let first = health.turn(&here, deadline).await.unwrap();
        let (waited, ()) = tokio::join!(health.turn(&here, deadline), async {
            tokio::task::yield_now().await;
            health.succeeded(&here);
            drop(first);
        });
        assert!(waited.is_ok());
        health.failed(&here, &failure());
        let _first = health.turn(&here, deadline).await.unwrap();
        assert!(health.turn(&here, Instant::now() + Duration::from_secs(1)).await.is_err(), "nobody waits for ever");
    }
}
