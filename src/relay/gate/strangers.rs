//! Domains of the internet, where notifications go: each has a few places only, and one that could not be reached is left alone for a
//! while. So a dead domain takes neither the places nor the time of others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::failure::Failure;
use crate::limits::{INTERNET_DEAD_FIRST, INTERNET_DEAD_LONGEST, INTERNET_DEAD_MAX, INTERNET_DOMAIN_PLACES};
use crate::relay::failures;
use crate::relay::pool::lock;

/// What is known of domains, by their names in lower case.
#[derive(Debug, Default)]
pub(in crate::relay) struct Strangers(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Places in use; bounded by those of the lane.
    busy: HashMap<Box<str>, u32>,
    dead: HashMap<Box<str>, Dead>,
}

#[derive(Clone, Copy, Debug)]
struct Dead {
    until: Instant,
    wait: Duration,
}

/// A place at a domain, free again when it is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Visit {
    known: Arc<Mutex<Known>>,
    domain: Box<str>,
}

impl Strangers {
    /// A place, unless the domain is dead or has its share of them.
    pub(in crate::relay) fn visit(&self, domain: &str) -> Result<Visit, Failure> {
        let domain: Box<str> = domain.to_ascii_lowercase().into();
        let mut known = lock(&self.0);
        let now = Instant::now();
        if let Some(dead) = known.dead.get(&domain).filter(|dead| dead.until > now) {
            return Err(failures::left_alone("it was tried a short time ago", dead.until.saturating_duration_since(now)));
        }
        let busy = known.busy.entry(domain.clone()).or_insert(0);
        if *busy >= INTERNET_DOMAIN_PLACES {
            return Err(failures::left_alone("other notifications are on their way to it", INTERNET_DEAD_FIRST));
        }
        *busy = busy.saturating_add(1);
        drop(known);
        Ok(Visit { known: Arc::clone(&self.0), domain })
    }
}

impl Visit {
    /// The domain was spoken to.
    pub(in crate::relay) fn found_alive(self) {
        lock(&self.known).dead.remove(&self.domain);
    }

    /// It could not be reached.
    pub(in crate::relay) fn found_dead(self) {
        let mut known = lock(&self.known);
        let now = Instant::now();
        let before = known.dead.get(&self.domain).copied();
        if before.is_some_and(|dead| dead.until > now) {
            // Others that began with this one have said so already.
            return;
        }
        let wait = before.map_or(INTERNET_DEAD_FIRST, |dead| dead.wait.saturating_mul(2).min(INTERNET_DEAD_LONGEST));
        if before.is_none() && known.dead.len() >= INTERNET_DEAD_MAX {
            let first = known.dead.iter().min_by_key(|(_, dead)| dead.until).map(|(domain, _)| domain.clone());
            if let Some(first) = first {
                known.dead.remove(&first);
            }
        }
        known.dead.insert(self.domain.clone(), Dead { until: now.checked_add(wait).unwrap_or(now), wait });
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut known = lock(&self.known);
        if let Some(busy) = known.busy.get_mut(&self.domain) {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                known.busy.remove(&self.domain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_domain_has_its_share_of_places_and_no_more() {
        let strangers = Strangers::default();
        let visits: Vec<Visit> = (0..INTERNET_DOMAIN_PLACES).map(|_| strangers.visit("Dead.example").unwrap()).collect();
        assert!(strangers.visit("dead.EXAMPLE").unwrap_err().is_temporary());
        assert!(strangers.visit("other.example").is_ok());
        drop(visits);
        assert!(strangers.visit("dead.example").is_ok());
        assert!(lock(&strangers.0).busy.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_domain_is_left_alone_longer_each_time() {
        let strangers = Strangers::default();
        for wait in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            let (one, other) = (strangers.visit("d.example").unwrap(), strangers.visit("d.example").unwrap());
            one.found_dead();
            other.found_dead();
            assert_eq!(strangers.visit("d.example").unwrap_err().wait, Some(Duration::from_secs(wait)));
            tokio::time::advance(Duration::from_secs(wait)).await;
        }
        strangers.visit("d.example").unwrap().found_alive();
        strangers.visit("d.example").unwrap().found_dead();
        assert_eq!(strangers.visit("d.example").unwrap_err().wait, Some(INTERNET_DEAD_FIRST));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded() {
        let strangers = Strangers::default();
        for number in 0..INTERNET_DEAD_MAX + 10 {
            strangers.visit(&format!("d{number}.example")).unwrap().found_dead();
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(lock(&strangers.0).dead.len(), INTERNET_DEAD_MAX);
        assert!(strangers.visit("d0.example").is_ok(), "the oldest made room");
    }
}
