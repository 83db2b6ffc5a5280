//! How many wrong logins are borne, and from whom: the memory of failures, bounded in size and in time.
//!
//! - A client network (an IPv4 address, an IPv6 /64) may be wrong so many times in a window; then nothing of it is looked at until
//!   the window is over. Repeating the same wrong claim counts once, so that a device with an old password does not shut out its
//!   whole office.
//! - A user name that is guessed at from many networks is never locked: that would let anybody lock its owner out. Instead the
//!   bound of each network falls to one. Its owner, from an address without failures, gets in at once; a guesser has one guess for
//!   each of his networks and windows.
//! - A success forgives nothing: who owns one account could otherwise guess at others without end.
//!
//! The time is an argument.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::admission::one_address;
use crate::limits::{
    LOGIN_CLIENTS_MAX, LOGIN_DELAY_FIRST, LOGIN_DELAY_LONGEST, LOGIN_FAILURE_WINDOW, LOGIN_FAILURES_PER_CLIENT_MAX,
    LOGIN_FAILURES_PER_USER_MAX, LOGIN_USER_COUNTERS,
};

/// The failures of all endpoints.
#[derive(Debug, Default)]
pub struct LoginFailures {
    state: Mutex<State>,
    /// Its key is random: nobody can choose names that share a counter, and no password can be read back.
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    clients: HashMap<IpAddr, Client>,
    /// By the hash of the name. Names that share a counter share its consequence, which is harmless.
    users: HashMap<u64, Window>,
}

#[derive(Debug)]
struct Client {
    window: Window,
    /// Hash of the last wrong claim.
    last_claim: u64,
}

/// Failures since the first of them.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    failures: u32,
}

impl LoginFailures {
    /// Whether a claim is looked at now.
    pub fn may_try(&self, address: IpAddr, username: &str, now: Instant) -> bool {
        let user = self.counter(username);
        let state = self.state();
        let of_client = state.clients.get(&one_address(address)).map_or(0, |client| client.window.at(now));
        let of_user = state.users.get(&user).map_or(0, |window| window.at(now));
        let bound = if of_user >= LOGIN_FAILURES_PER_USER_MAX { 1 } else { LOGIN_FAILURES_PER_CLIENT_MAX };
        of_client < bound
    }

    /// A claim was wrong, for the `nth` time in its session: how long its answer is to wait.
    pub fn failed(&self, address: IpAddr, (username, password): (&str, &str), nth: u32, now: Instant) -> Duration {
        let (user, claim) = (self.counter(username), self.hasher.hash_one((username, password)));
        let mut state = self.state();
        state.make_room(now);
        let fresh = Window { began: now, failures: 0 };
        let client = state.clients.entry(one_address(address)).or_insert(Client { window: fresh, last_claim: !claim });
        let repeated = client.last_claim == claim && client.window.at(now) > 0;
        if !repeated {
            client.window.count(now);
            client.last_claim = claim;
        }
        let of_client = client.window.failures;
        if !repeated {
            state.users.entry(user).or_insert(fresh).count(now);
        }
        delay(of_client.max(nth))
    }

    fn counter(&self, username: &str) -> u64 {
        self.hasher.hash_one(username) % LOGIN_USER_COUNTERS
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what is over and, should that not suffice, the older half: a flood from everywhere costs memory no further.
    fn make_room(&mut self, now: Instant) {
        if self.clients.len() < LOGIN_CLIENTS_MAX {
            return;
        }
        self.clients.retain(|_, client| client.window.at(now) > 0);
        if self.clients.len() < LOGIN_CLIENTS_MAX {
            return;
        }
        let mut beginnings: Vec<Instant> = self.clients.values().map(|client| client.window.began).collect();
        let middle = beginnings.len() / 2;
        let (_, middle, _) = beginnings.select_nth_unstable(middle);
        self.clients.retain(|_, client| client.window.began > *middle);
    }
}

impl Window {
    /// The failures that still count.
    fn at(&self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.began) < LOGIN_FAILURE_WINDOW { self.failures } else { 0 }
    }

    fn count(&mut self, now: Instant) {
        if self.at(now) == 0 {
            *self = Self { began: now, failures: 0 };
        }
        self.failures = self.failures.saturating_add(1);
    }
}

/// The wait after so many failures.
fn delay(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    LOGIN_DELAY_FIRST.saturating_mul(factor).min(LOGIN_DELAY_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFICE: &str = "192.0.2.1";

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    /// So many different wrong passwords of one user.
    fn guess(failures: &LoginFailures, address: &str, username: &str, guesses: u32, now: Instant) {
        for n in 0..guesses {
            failures.failed(ip(address), (username, &format!("{address} {n}")), 1, now);
        }
    }

    #[test]
    fn a_network_is_stopped_and_recovers_by_itself() {
        let (failures, start) = (LoginFailures::default(), Instant::now());
        let max = LOGIN_FAILURES_PER_CLIENT_MAX;
        for (guesses, seconds, may_try) in [(max - 1, 0, true), (1, 1, false), (0, 599, false), (0, 600, true), (1, 601, true)] {
            let now = start + Duration::from_secs(seconds);
            guess(&failures, OFFICE, "tim", guesses, start);
            assert_eq!(failures.may_try(ip(OFFICE), "tim", now), may_try, "after {seconds} s");
            assert!(failures.may_try(ip("192.0.2.2"), "tim", now), "a neighbour");
        }
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let (failures, now) = (LoginFailures::default(), Instant::now());
        for n in 0..LOGIN_FAILURES_PER_CLIENT_MAX {
            guess(&failures, &format!("2001:db8::{n:x}"), "tim", 1, now);
        }
        assert!(!failures.may_try(ip("2001:db8::ffff"), "tom", now));
        assert!(failures.may_try(ip("2001:db8:0:1::1"), "tom", now));
    }

    #[test]
    fn a_device_with_an_old_password_shuts_out_nobody() {
        let (failures, now) = (LoginFailures::default(), Instant::now());
        for _ in 0..1000 {
            failures.failed(ip(OFFICE), ("printer", "old"), 1, now);
        }
        assert!(failures.may_try(ip(OFFICE), "tim", now));
        assert!(failures.may_try(ip(OFFICE), "printer", now));
    }

    #[test]
    fn a_user_under_attack_gets_in_from_an_address_without_failures() {
        let (failures, now) = (LoginFailures::default(), Instant::now());
        for n in 0..LOGIN_FAILURES_PER_USER_MAX {
            guess(&failures, &format!("198.51.100.{n}"), "tim", 1, now);
        }
        assert!(!failures.may_try(ip("198.51.100.7"), "tim", now), "one guess for each address");
        assert!(failures.may_try(ip("198.51.100.7"), "tom", now), "another name is judged as ever");
        assert!(failures.may_try(ip(OFFICE), "tim", now), "the owner is not locked out");
        assert!(failures.may_try(ip("198.51.100.7"), "tim", now + LOGIN_FAILURE_WINDOW), "and it ends");
    }

    #[test]
    fn the_wait_grows_and_has_an_end() {
        let (failures, now) = (LoginFailures::default(), Instant::now());
        let waits: Vec<u64> = (0..6).map(|n| failures.failed(ip(OFFICE), ("tim", &n.to_string()), 1, now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8], "over all sessions of a network");
        let waits: Vec<u64> = (1..6).map(|nth| failures.failed(ip("192.0.2.9"), ("tim", "x"), nth, now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8], "in one session, the same claim again and again");
    }

    #[test]
    fn memory_has_a_bound_and_the_youngest_failures_stay() {
        let (failures, start) = (LoginFailures::default(), Instant::now());
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        let flood = LOGIN_CLIENTS_MAX * 3;
        for n in 0..flood {
            let now = start + Duration::from_millis(1) * u32::try_from(n).unwrap();
            failures.failed(address(n), (&n.to_string(), "x"), 1, now);
        }
        let state = failures.state();
        assert!(state.clients.len() <= LOGIN_CLIENTS_MAX, "{}", state.clients.len());
        assert!(state.users.len() <= usize::try_from(LOGIN_USER_COUNTERS).unwrap());
        assert!((flood - 100..flood).all(|n| state.clients.contains_key(&address(n))));
    }
}
