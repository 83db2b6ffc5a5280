//! How much was taken in the last minute or day, exactly enough: never more than the limit in any stretch of the window's length.
//!
//! Time is cut into slots; what was taken in a slot counts until its last moment is a window old. Times are of a clock that only goes
//! forward; ages, not times, are what is stored, so that no jump of the wall clock lengthens or shortens a wait while the gateway runs.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{RELAY_DAY_SLOT, RELAY_MINUTE_SLOT};

/// The takes of one window. Its memory is bounded by the number of slots.
#[derive(Clone, Debug)]
pub(super) struct Window {
    length: u64,
    slot: u64,
    /// Start of the slot and what was taken in it; oldest first.
    takes: VecDeque<(u64, u32)>,
}

impl Window {
    pub(super) fn minute() -> Self {
        Self::new(Duration::from_secs(60), RELAY_MINUTE_SLOT)
    }

    pub(super) fn day() -> Self {
        Self::new(Duration::from_secs(24 * 3600), RELAY_DAY_SLOT)
    }

    fn new(length: Duration, slot: Duration) -> Self {
        Self { length: millis(length), slot: millis(slot).max(1), takes: VecDeque::new() }
    }

    /// How many may be taken now.
    pub(super) fn room(&mut self, limit: u32, now: u64) -> u32 {
        self.forget(now);
        limit.saturating_sub(self.taken())
    }

    /// When so many may be taken; `None` for more than the limit, which never may.
    pub(super) fn room_at(&mut self, limit: u32, wanted: u32, now: u64) -> Option<u64> {
        let mut room = self.room(limit, now);
        if room >= wanted {
            return Some(now);
        }
        for (start, count) in &self.takes {
            room = room.saturating_add(*count).min(limit);
            if room >= wanted {
                return Some(self.end(*start));
            }
        }
        None
    }

    pub(super) fn take(&mut self, count: u32, now: u64) {
        let start = now.checked_div(self.slot).unwrap_or(0).saturating_mul(self.slot);
        match self.takes.back_mut() {
            Some((last, taken)) if *last >= start => *taken = taken.saturating_add(count),
            _ => self.takes.push_back((start, count)),
        }
    }

    /// Takes back what was not used after all, the newest first.
    pub(super) fn give_back(&mut self, mut count: u32) {
        for (_, taken) in self.takes.iter_mut().rev() {
            let back = count.min(*taken);
            *taken = taken.saturating_sub(back);
            count = count.saturating_sub(back);
        }
    }

    /// Age and number of what was taken, oldest first. The age is that of the slot's last moment: the least that it can be.
    pub(super) fn ages(&mut self, now: u64) -> Vec<(u64, u32)> {
        self.forget(now);
        self.takes.iter().map(|(start, count)| (now.saturating_sub(start.saturating_add(self.slot)), *count)).collect()
    }

    /// Restores what [`Self::ages`] said, so much later.
    pub(super) fn restore(&mut self, ages: &[(u64, u32)], later: u64, now: u64) {
        let mut ages = ages.to_vec();
        ages.sort_by_key(|(age, _)| std::cmp::Reverse(*age));
        for (age, count) in ages {
            let age = age.saturating_add(later);
            if age < self.length {
                self.take(count, now.saturating_sub(age));
            }
        }
    }

    fn taken(&self) -> u32 {
        self.takes.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn end(&self, start: u64) -> u64 {
        start.saturating_add(self.slot).saturating_add(self.length)
    }

    fn forget(&mut self, now: u64) {
        while self.takes.front().is_some_and(|(start, count)| *count == 0 || self.end(*start) <= now) {
            self.takes.pop_front();
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// A clock that began long ago.
    const BEGIN: u64 = 1_000 * 24 * 3_600_000;

    #[test]
    fn no_stretch_of_a_window_has_more_than_the_limit() {
        for (mut window, length, step) in [(Window::minute(), 60_000, 3_000), (Window::day(), 86_400_000, 3_000_000)] {
            let mut random = Random(7);
            let (limit, mut now, mut takes) = (30_u32, BEGIN, Vec::<(u64, u32)>::new());
            for _ in 0..2_000 {
                now += random.below(step);
                let wanted = 1 + u32::try_from(random.below(4)).unwrap();
                match window.room_at(limit, wanted, now) {
                    Some(at) if at <= now => {
                        window.take(wanted, now);
                        takes.push((now, wanted));
                    }
                    Some(at) => assert!(window.clone().room(limit, at) >= wanted && window.clone().room(limit, at - 1) < wanted),
                    None => panic!("{wanted} of {limit} can be had"),
                }
                let sum: u32 = takes.iter().filter(|(at, _)| now - at < length).map(|(_, count)| count).sum();
                assert!(sum <= limit, "{sum} in one window");
                // The log of it is what memory is bounded by.
                assert!(window.takes.len() <= 242);
            }
            assert!(takes.len() > 100, "hardly anything was let through");
        }
    }

    #[test]
    fn more_than_the_limit_is_never_to_be_had_and_unused_comes_back() {
        let mut window = Window::minute();
        assert_eq!(window.room_at(3, 4, BEGIN), None);
        window.take(3, BEGIN);
        assert_eq!(window.room(3, BEGIN), 0);
        window.give_back(2);
        assert_eq!(window.room(3, BEGIN), 2);
    }

    #[test]
    fn what_was_stored_counts_on_however_the_clock_jumps() {
        let mut window = Window::day();
        window.take(5, BEGIN);
        window.take(2, BEGIN + 10 * 3_600_000);
        let ages = window.ages(BEGIN + 11 * 3_600_000);
        for (later, taken) in [(0, 7), (12 * 3_600_000, 7), (14 * 3_600_000, 2), (25 * 3_600_000, 0)] {
            let mut restored = Window::day();
            restored.restore(&ages, later, BEGIN);
            assert_eq!(restored.room(10, BEGIN), 10 - taken, "{later} ms later");
            assert_eq!(restored.room(10, BEGIN + 26 * 3_600_000), 10, "stuck");
        }
    }
}
