//! When a certificate is renewed, and when a failed order is tried again. Times are arguments.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

use crate::limits::{ACME_RENEW_LEFT, ACME_RENEW_SPREAD, ACME_RETRY_FACTOR, ACME_RETRY_FIRST, ACME_RETRY_LONGEST};

/// When a certificate of this validity is to be renewed: with a third of its lifetime left, or somewhat earlier, so that many
/// gateways do not come at the same moment. `spread` is between 0 and 1.
pub(super) fn renewal(not_before: SystemTime, not_after: SystemTime, spread: f64) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let left = lifetime.mul_f64(ACME_RENEW_LEFT + ACME_RENEW_SPREAD * spread.clamp(0.0, 1.0));
    not_after.checked_sub(left).unwrap_or(not_before)
}

/// The same for one that was issued just now. A clock that is far ahead would find it due at once, and again, and again: it is
/// kept for a third of its lifetime whatever the clock says.
pub(super) fn renewal_of_new(not_before: SystemTime, not_after: SystemTime, now: SystemTime, spread: f64) -> SystemTime {
    let lifetime = not_after.duration_since(not_before).unwrap_or_default();
    let earliest = now.checked_add(lifetime.mul_f64(ACME_RENEW_LEFT)).unwrap_or(now);
    renewal(not_before, not_after, spread).max(earliest)
}

/// The wait after this many failures in a row; `spread` between 0 and 1 makes it up to a tenth longer.
pub(super) fn backoff(failures: u32, spread: f64) -> Duration {
    let steps = failures.saturating_sub(1).min(32);
    let wait = ACME_RETRY_FIRST.as_secs_f64() * ACME_RETRY_FACTOR.powf(f64::from(steps));
    let wait = wait.min(ACME_RETRY_LONGEST.as_secs_f64()) * (1.0 + 0.1 * spread.clamp(0.0, 1.0));
    Duration::try_from_secs_f64(wait).unwrap_or(ACME_RETRY_LONGEST)
}

/// A number in `[0, 1)`; no secret hangs on it.
#[allow(clippy::cast_precision_loss, reason = "a spread needs no more")]
pub(super) fn spread() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(days: u32) -> SystemTime {
        SystemTime::UNIX_EPOCH + DAY * (20_000 + days)
    }

    #[test]
    fn a_certificate_is_renewed_with_a_third_of_its_lifetime_left() {
        assert_eq!(renewal(at(0), at(90), 0.0), at(60));
        let early = renewal(at(0), at(90), 1.0);
        assert!(early < at(60) && early > at(55), "{early:?}");
        assert_eq!(renewal(at(0), at(6), 0.0), at(4));
        assert!(renewal(at(10), at(0), 0.5) <= at(10), "nonsense is due at once");
    }

    #[test]
    fn a_new_certificate_is_not_renewed_at_once_whatever_the_clock_says() {
        assert_eq!(renewal_of_new(at(0), at(90), at(0), 0.0), at(60));
        assert_eq!(renewal_of_new(at(0), at(90), at(500), 0.0), at(530), "our clock is ahead");
        assert_eq!(renewal_of_new(at(300), at(390), at(0), 0.0), at(360), "our clock is behind");
    }

    #[test]
    fn waits_grow_to_a_day() {
        let minutes: Vec<u64> = (1..=9).map(|failures| backoff(failures, 0.0).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 3, 9, 27, 81, 243, 729, 1440, 1440]);
        assert!(backoff(u32::MAX, 1.0) <= ACME_RETRY_LONGEST.mul_f64(1.11));
        // Let's Encrypt takes five failed validations of a name in one hour.
        let within_an_hour = 1
            + (1..)
                .scan(0, |at, n| {
                    Some({
                        *at += backoff(n, 0.0).as_secs();
                        *at
                    })
                })
                .take_while(|at| *at <= 3600)
                .count();
        assert_eq!(within_an_hour, 5);
    }

    #[test]
    fn the_spread_is_a_share() {
        assert!((0..100).all(|_| (0.0..1.0).contains(&spread())));
    }
}
