//! What the log says of connections that a limit kept out: a line for each limit and some seconds, not one for each of a flood.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::limits::{Limit, TURNED_AWAY_LINE_INTERVAL};

/// How many were refused since the last line, by limit.
#[derive(Debug, Default)]
pub struct TurnedAway(Mutex<[Tally; Limit::ALL.len()]>);

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    refused: u64,
    /// The last one of them.
    client: Option<IpAddr>,
    /// When the last line was written.
    told: Option<Instant>,
}

/// A line to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) limit: Limit,
    /// Since the last line about this limit.
    pub(super) refused: u64,
    pub(super) client: IpAddr,
}

impl TurnedAway {
    /// Counts one more; it is told at once where the last line is long ago.
    pub(super) fn count(&self, limit: Limit, client: IpAddr, now: Instant) -> Option<Told> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let tally = tallies.get_mut(limit as usize)?;
        tally.refused = tally.refused.saturating_add(1);
        tally.client = Some(client);
        tally.tell(limit, now)
    }

    /// What has waited long enough to be told.
    pub(super) fn due(&self, now: Instant) -> Vec<Told> {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Limit::ALL.iter().zip(tallies.iter_mut()).filter_map(|(limit, tally)| tally.tell(*limit, now)).collect()
    }

    /// What has not been told yet, however young.
    pub(super) fn rest(&self) -> Vec<Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter_mut().for_each(|tally| tally.told = None);
        self.due(Instant::now())
    }
}

impl Tally {
    fn tell(&mut self, limit: Limit, now: Instant) -> Option<Told> {
        if self.told.is_some_and(|told| now.saturating_duration_since(told) < TURNED_AWAY_LINE_INTERVAL) {
            return None;
        }
        let client = self.client.take()?;
        self.told = Some(now);
        Some(Told { limit, refused: std::mem::take(&mut self.refused), client })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_for_each_limit_and_interval() {
        let (tallies, start) = (TurnedAway::default(), Instant::now());
        let client = |n: u8| IpAddr::from([192, 0, 2, n]);
        let told = |limit, refused, n| Told { limit, refused, client: client(n) };
        let at = |tenths: u32| start + TURNED_AWAY_LINE_INTERVAL * tenths / 10;
        assert_eq!(tallies.count(Limit::Connections, client(1), at(0)), Some(told(Limit::Connections, 1, 1)));
        for n in 2..=9 {
            assert_eq!(tallies.count(Limit::Connections, client(n), at(1)), None);
        }
        // Another limit has a line of its own.
        assert_eq!(tallies.count(Limit::Pressure, client(1), at(1)), Some(told(Limit::Pressure, 1, 1)));
        assert_eq!(tallies.due(at(9)), []);
        assert_eq!(tallies.due(at(10)), [told(Limit::Connections, 8, 9)]);
        assert_eq!(tallies.due(at(100)), [], "nothing has happened since");
        assert_eq!(tallies.count(Limit::Connections, client(3), at(101)), Some(told(Limit::Connections, 1, 3)));
        assert_eq!(tallies.count(Limit::Connections, client(4), at(101)), None);
        assert_eq!(tallies.rest(), [told(Limit::Connections, 1, 4)]);
        assert_eq!(tallies.rest(), []);
    }
}
