//! What is known of refused versions of one secret: what was tried, what comes next, when the source may be asked again, and how long
//! nothing is tried at all.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::limits::{SECRET_PAUSE_FIRST, SECRET_PAUSE_LONGEST, SECRET_PROBE_TIME, SECRET_REFUSAL_INTERVAL};

/// The refusals of one secret. The time is an argument.
pub(super) struct Refusals<T> {
    /// What was refused since `refreshed_at`.
    refused: Vec<T>,
    /// The version before the current one, as of the last refresh.
    previous: Option<Arc<T>>,
    /// Handed out after the current version was refused, and not refused since.
    preferred: Option<Preferred<T>>,
    /// When a refusal last made us ask the source.
    refreshed_at: Option<Instant>,
    pause: Option<Pause<T>>,
}

struct Preferred<T> {
    version: Arc<T>,
    /// The current version at that time; once there is another, that one is tried first again.
    over: Arc<T>,
}

/// Every version was refused. Who goes on trying locks an account, so nothing is handed out for a while, and then to one caller.
struct Pause<T> {
    /// The current version at that time; another one ends the pause.
    current: Arc<T>,
    rounds: u32,
    until: Instant,
}

/// Versions that are tried within one interval: those of one rotation, and of another one in the middle of it.
const REFUSED_MAX: usize = 4;

impl<T> Default for Refusals<T> {
    fn default() -> Self {
        Self { refused: Vec::new(), previous: None, preferred: None, refreshed_at: None, pause: None }
    }
}

impl<T: Clone + PartialEq> Refusals<T> {
    /// What to try first, `current` being the source's word; an error is the time for which nothing is tried.
    pub(super) fn first(&mut self, current: Arc<T>, now: Instant) -> Result<Arc<T>, Duration> {
        if let Some(pause) = self.pause.as_mut().filter(|pause| pause.current == current) {
            if now < pause.until {
                return Err(pause.until.saturating_duration_since(now));
            }
            // One caller tries; until it has come to a result the others wait.
            pause.until = later(now, SECRET_PROBE_TIME);
        }
        Ok(match &self.preferred {
            Some(preferred) if preferred.over == current => Arc::clone(&preferred.version),
            _ => current,
        })
    }

    /// This one was refused. True when the source is to be asked now; the next time for that is one interval later.
    pub(super) fn refuse(&mut self, refused: &T, now: Instant) -> bool {
        let may_refresh = self.refreshed_at.is_none_or(|at| now.saturating_duration_since(at) >= SECRET_REFUSAL_INTERVAL);
        if may_refresh {
            self.refreshed_at = Some(now);
            self.refused.clear();
            self.previous = None;
        }
        if !self.refused.contains(refused) && self.refused.len() <= REFUSED_MAX {
            self.refused.push(refused.clone());
        }
        if self.preferred.as_ref().is_some_and(|preferred| preferred.version.as_ref() == refused) {
            self.preferred = None;
        }
        may_refresh
    }

    /// The source has said which version came before.
    pub(super) fn learn_previous(&mut self, previous: Option<Arc<T>>) {
        self.previous = previous;
    }

    /// What to try next: the current version, else the previous one, each unless it was refused. After nothing comes a pause.
    pub(super) fn next_after(&mut self, current: &Arc<T>, now: Instant) -> Option<Arc<T>> {
        let next = self.untried(current);
        if next.is_none() {
            let last = self.pause.take().filter(|pause| pause.current == *current);
            // Of many that are refused at once, the first begins the pause. What is left of a probe's time is no pause.
            let goes_on = last.as_ref().is_some_and(|pause| pause.until.saturating_duration_since(now) > SECRET_PROBE_TIME);
            self.pause = match last {
                Some(pause) if goes_on => Some(pause),
                last => {
                    let rounds = last.map_or(0, |pause| pause.rounds).saturating_add(1);
                    Some(Pause { current: Arc::clone(current), rounds, until: later(now, pause(rounds)) })
                }
            };
        }
        next
    }

    fn untried(&mut self, current: &Arc<T>) -> Option<Arc<T>> {
        if self.refused.len() > REFUSED_MAX {
            return None;
        }
        if !self.refused.contains(current) {
            return Some(Arc::clone(current));
        }
        let previous = self.previous.clone().filter(|previous| !self.refused.contains(previous))?;
        self.preferred = Some(Preferred { version: Arc::clone(&previous), over: Arc::clone(current) });
        Some(previous)
    }

    /// A version of this secret was accepted: what was refused elsewhere or before means nothing any more.
    pub(super) fn accept(&mut self) {
        self.pause = None;
    }
}

/// The pause after so many rounds of refusals.
fn pause(rounds: u32) -> Duration {
    let factor = 2_u32.saturating_pow(rounds.saturating_sub(1));
    SECRET_PAUSE_FIRST.saturating_mul(factor).min(SECRET_PAUSE_LONGEST)
}

fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::secrets::Credential;

    fn credential(password: &str) -> Arc<Credential> {
        Arc::new(Credential { username: Zeroizing::new("relay".to_owned()), password: Zeroizing::new(password.to_owned()) })
    }

    #[test]
    fn a_rotation_that_the_next_hop_has_not_followed_is_bridged_by_the_previous_version() {
        let (old, new, start) = (credential("old"), credential("new"), Instant::now());
        let mut refusals = Refusals::<Credential>::default();
        assert_eq!(refusals.first(new.clone(), start), Ok(new.clone()));
        assert!(refusals.refuse(&new, start));
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new, start), Some(old.clone()));
        assert_eq!(refusals.first(new.clone(), start), Ok(old.clone()), "no failed login for each connection");

        // The next hop switches: the old one is refused, and the new one is right again.
        let later = start + SECRET_REFUSAL_INTERVAL;
        assert!(refusals.refuse(&old, later));
        assert_eq!(refusals.next_after(&new, later), Some(new.clone()));
        assert_eq!(refusals.first(new.clone(), start), Ok(new.clone()));
    }

    #[test]
    fn a_newer_version_ends_the_preference() {
        let (old, new, newest) = (credential("old"), credential("new"), credential("newest"));
        let mut refusals = Refusals::<Credential>::default();
        refusals.refuse(&new, Instant::now());
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new, Instant::now()), Some(old));
        assert_eq!(refusals.first(newest.clone(), Instant::now()), Ok(newest));
    }

    #[test]
    fn wrong_passwords_never_make_a_loop() {
        let (old, new, start) = (credential("old"), credential("new"), Instant::now());
        let mut refusals = Refusals::<Credential>::default();
        assert!(refusals.refuse(&new, start));
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new, start), Some(old.clone()));
        for tenth in 1..=99 {
            let now = start + Duration::from_millis(100) * tenth;
            assert!(!refusals.refuse(if tenth % 2 == 0 { &new } else { &old }, now), "the source is not asked again");
            assert_eq!(refusals.next_after(&new, now), None);
        }
        assert!(refusals.refuse(&new, start + SECRET_REFUSAL_INTERVAL));
    }

    #[test]
    fn a_secret_that_changes_all_the_time_is_not_tried_without_end() {
        let mut refusals = Refusals::<Credential>::default();
        let tried = (0..100).take_while(|n| {
            refusals.refuse(&credential(&n.to_string()), Instant::now());
            refusals.next_after(&credential(&(n + 1).to_string()), Instant::now()).is_some()
        });
        assert_eq!(tried.count(), REFUSED_MAX);
    }

    #[test]
    fn what_is_refused_in_every_version_rests_for_longer_and_longer_and_is_then_tried_by_one() {
        let (wrong, mended, start) = (credential("wrong"), credential("mended"), Instant::now());
        let mut refusals = Refusals::<Credential>::default();
        let mut now = start;
        let mut rests = Vec::new();
        for _ in 0..7 {
            assert_eq!(refusals.first(wrong.clone(), now), Ok(wrong.clone()));
            for _ in 0..3 {
                refusals.refuse(&wrong, now);
                assert_eq!(refusals.next_after(&wrong, now), None, "three that were under way at once make one round");
            }
            let rest = refusals.first(wrong.clone(), now).unwrap_err();
            rests.push(rest.as_secs());
            now += rest;
        }
        assert_eq!(rests, [60, 120, 240, 480, 600, 600, 600]);
        assert_eq!(refusals.first(wrong.clone(), now), Ok(wrong.clone()));
        assert_eq!(refusals.first(wrong.clone(), now), Err(SECRET_PROBE_TIME), "one tries, the others wait for what it finds");
        assert_eq!(refusals.first(mended.clone(), now), Ok(mended), "a new version is no reason to wait");
        refusals.accept();
        assert_eq!(refusals.first(wrong.clone(), now), Ok(wrong));
    }
}
