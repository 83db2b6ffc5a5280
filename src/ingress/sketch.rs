//! How many connections each client began in the current minute, in memory of a fixed size.
//!
//! A count-min sketch (Cormode and Muthukrishnan 2005) with conservative update: a flood from millions of networks grows nothing.
//! What it says of a client is never too little. It is too much only by what collides in all rows, on average less than
//! e × connections of the minute / [`SKETCH_COLUMNS`]: one for every 6,000 connections a minute.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::limits::{SKETCH_COLUMNS, SKETCH_ROWS};

/// Counts by client for one minute after another.
#[derive(Debug)]
pub(super) struct PerMinute {
    minute: u64,
    counts: Vec<u32>,
    /// Keyed, so that nobody outside can choose addresses that collide with another's.
    keys: RandomState,
}

impl PerMinute {
    pub(super) fn new() -> Self {
        Self { minute: 0, counts: vec![0; SKETCH_ROWS.saturating_mul(SKETCH_COLUMNS)], keys: RandomState::new() }
    }

    /// Counts one more of a client and says how many there are now in this minute.
    pub(super) fn count(&mut self, client: IpAddr, minute: u64) -> u32 {
        if minute != self.minute {
            self.minute = minute;
            self.counts.fill(0);
        }
        let cells = self.cells(client);
        let least = cells.iter().filter_map(|cell| self.counts.get(*cell)).min().copied().unwrap_or(0);
        let now = least.saturating_add(1);
        for cell in cells {
            if let Some(count) = self.counts.get_mut(cell) {
                *count = now.max(*count);
            }
        }
        now
    }

    /// One cell in each row.
    fn cells(&self, client: IpAddr) -> [usize; SKETCH_ROWS] {
        let hash = self.keys.hash_one(client);
        // Kirsch and Mitzenmacher 2006: two halves of one hash serve for all rows.
        let (first, step) = (hash & 0xffff_ffff, hash >> 32 | 1);
        let columns = SKETCH_COLUMNS as u64;
        std::array::from_fn(|row| {
            let column = first.wrapping_add(step.wrapping_mul(row as u64)).checked_rem(columns).unwrap_or(0);
            row.saturating_mul(SKETCH_COLUMNS).saturating_add(usize::try_from(column).unwrap_or(0))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn client(n: u32) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(n) << 64))
    }

    #[test]
    fn a_minute_counts_and_the_next_begins_anew() {
        let mut counts = PerMinute::new();
        assert_eq!([counts.count(client(1), 7), counts.count(client(1), 7), counts.count(client(2), 7)], [1, 2, 1]);
        assert_eq!([counts.count(client(1), 8), counts.count(client(2), 8)], [1, 1]);
    }

    #[test]
    fn a_flood_of_networks_neither_grows_it_nor_uses_up_the_limit_of_others() {
        let mut counts = PerMinute::new();
        let size = counts.counts.len();
        for n in 0..600_000 {
            counts.count(client(n), 1);
        }
        assert_eq!(counts.counts.len(), size);
        // Each has had one. What the flood adds to it stays far below any limit.
        let most = (0..1000).map(|n| counts.count(client(n), 1)).max().unwrap();
        assert!((2..150).contains(&most), "{most}");
    }
}
