//! When a failed attempt is made again.

use std::time::Duration;

use crate::relay::RetrySchedule;
use crate::spool::UnixMillis;

/// When the attempt after number `attempt` is due: exponential, bounded, spread by up to a tenth either way so that
/// what failed together does not come back together. `seed` makes the spread reproducible.
pub(super) fn due(schedule: &RetrySchedule, attempt: u32, now: UnixMillis, seed: u128) -> UnixMillis {
    let exponent = f64::from(attempt.saturating_sub(1).min(64));
    let wait = schedule.first.as_secs_f64() * schedule.factor.powf(exponent);
    let wait = wait.min(schedule.longest.as_secs_f64()) * (0.9 + 0.2 * spread(seed, attempt));
    let millis = Duration::try_from_secs_f64(wait).unwrap_or(schedule.longest).as_millis();
    now.saturating_add(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Whether a message is given up for its age. Not before this process, which began at `started`, has tried for a while: after days
/// without power, or with a clock that was wrong, all mail is old at once, and the next hop may come up only after the gateway.
pub(super) fn is_expired(schedule: &RetrySchedule, stored_at: UnixMillis, started: UnixMillis, now: UnixMillis) -> bool {
    let tried_for = schedule.longest.min(schedule.give_up);
    let since = |time: UnixMillis| u128::from(now.saturating_sub(time));
    since(stored_at) >= schedule.give_up.as_millis() && since(started) >= tried_for.as_millis()
}

/// A number in `[0, 1)` that looks random (the finaliser of SplitMix64).
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a spread needs no more")]
fn spread(seed: u128, attempt: u32) -> f64 {
    let mut x = (seed as u64) ^ ((seed >> 64) as u64) ^ u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: RetrySchedule = RetrySchedule {
        first: Duration::from_secs(60),
        factor: 2.0,
        longest: Duration::from_secs(3600),
        give_up: Duration::from_secs(4 * 24 * 3600),
    };

    #[test]
    fn waits_grow_to_the_longest_and_are_spread_by_a_tenth() {
        for attempt in 1..=200 {
            let plain = (60.0 * 2_f64.powf(f64::from(attempt - 1))).min(3600.0) * 1000.0;
            for seed in 0..50 {
                #[allow(clippy::cast_precision_loss)]
                let wait = (due(&SCHEDULE, attempt, 1_000, seed) - 1_000) as f64;
                assert!(wait >= plain * 0.9 - 1.0 && wait <= plain * 1.1 + 1.0, "attempt {attempt}: {wait}");
            }
        }
        assert_ne!(due(&SCHEDULE, 3, 0, 1), due(&SCHEDULE, 3, 0, 2));
    }

    #[test]
    fn a_message_is_given_up_at_its_age() {
        assert!(!is_expired(&SCHEDULE, 0, 0, 345_599_999));
        assert!(is_expired(&SCHEDULE, 0, 0, 345_600_000));
    }

    #[test]
    fn an_old_message_gets_its_chance_after_a_start() {
        let (started, longest) = (1_700_000_000_000, 3_600_000);
        assert!(!is_expired(&SCHEDULE, 0, started, started));
        assert!(!is_expired(&SCHEDULE, 0, started, started + longest - 1));
        assert!(is_expired(&SCHEDULE, 0, started, started + longest));
        let short = RetrySchedule { give_up: Duration::from_secs(10), ..SCHEDULE };
        assert!(is_expired(&short, 0, started, started + 10_000), "what is given up sooner is not kept for it");
    }
}
