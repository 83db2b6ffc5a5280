//! What is known of refused credentials of one secret: what was tried, what comes next, and when the source may be asked again.

use std::sync::Arc;
use std::time::Instant;

use super::Credential;
use crate::limits::SECRET_REFUSAL_INTERVAL;

/// The refusals of one secret. The time is an argument.
#[derive(Default)]
pub(super) struct Refusals {
    /// What the next hop has refused since `refreshed_at`.
    refused: Vec<Credential>,
    /// The version before the current one, as of the last refresh.
    previous: Option<Arc<Credential>>,
    /// Handed out after the current version was refused, and not refused since.
    preferred: Option<Preferred>,
    /// When a refusal last made us ask the source.
    refreshed_at: Option<Instant>,
}

struct Preferred {
    credential: Arc<Credential>,
    /// The current version at that time; once there is another, that one is tried first again.
    over: Arc<Credential>,
}

/// Versions that are tried within one interval: those of one rotation, and of another one in the middle of it.
const REFUSED_MAX: usize = 4;

impl Refusals {
    /// What to try first, `current` being the source's word.
    pub(super) fn preferred_over(&self, current: Arc<Credential>) -> Arc<Credential> {
        match &self.preferred {
            Some(preferred) if preferred.over == current => Arc::clone(&preferred.credential),
            _ => current,
        }
    }

    /// The next hop has refused this one. True when the source is to be asked now; the next time for that is one interval later.
    pub(super) fn refuse(&mut self, refused: &Credential, now: Instant) -> bool {
        let may_refresh = self.refreshed_at.is_none_or(|at| now.saturating_duration_since(at) >= SECRET_REFUSAL_INTERVAL);
        if may_refresh {
            self.refreshed_at = Some(now);
            self.refused.clear();
            self.previous = None;
        }
        if !self.refused.contains(refused) && self.refused.len() <= REFUSED_MAX {
            self.refused.push(refused.clone());
        }
        if self.preferred.as_ref().is_some_and(|preferred| preferred.credential.as_ref() == refused) {
            self.preferred = None;
        }
        may_refresh
    }

    /// The source has said which version came before.
    pub(super) fn learn_previous(&mut self, previous: Option<Arc<Credential>>) {
        self.previous = previous;
    }

    /// What to try next: the current version, else the previous one, each unless it was refused.
    pub(super) fn next_after(&mut self, current: &Arc<Credential>) -> Option<Arc<Credential>> {
        if self.refused.len() > REFUSED_MAX {
            return None;
        }
        if !self.refused.contains(current) {
            return Some(Arc::clone(current));
        }
        let previous = self.previous.clone().filter(|previous| !self.refused.contains(previous))?;
        self.preferred = Some(Preferred { credential: Arc::clone(&previous), over: Arc::clone(current) });
        Some(previous)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use zeroize::Zeroizing;

    use super::*;

    fn credential(password: &str) -> Arc<Credential> {
        Arc::new(Credential { username: Zeroizing::new("relay".to_owned()), password: Zeroizing::new(password.to_owned()) })
    }

    #[test]
    fn a_rotation_that_the_next_hop_has_not_followed_is_bridged_by_the_previous_version() {
        let (old, new, start) = (credential("old"), credential("new"), Instant::now());
        let mut refusals = Refusals::default();
        assert_eq!(refusals.preferred_over(new.clone()), new);
        assert!(refusals.refuse(&new, start));
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new), Some(old.clone()));
        assert_eq!(refusals.preferred_over(new.clone()), old, "no failed login for each connection");

        // The next hop switches: the old one is refused, and the new one is right again.
        let later = start + SECRET_REFUSAL_INTERVAL;
        assert!(refusals.refuse(&old, later));
        assert_eq!(refusals.next_after(&new), Some(new.clone()));
        assert_eq!(refusals.preferred_over(new.clone()), new);
    }

    #[test]
    fn a_newer_version_ends_the_preference() {
        let (old, new, newest) = (credential("old"), credential("new"), credential("newest"));
        let mut refusals = Refusals::default();
        refusals.refuse(&new, Instant::now());
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new), Some(old));
        assert_eq!(refusals.preferred_over(newest.clone()), newest);
    }

    #[test]
    fn wrong_passwords_never_make_a_loop() {
        let (old, new, start) = (credential("old"), credential("new"), Instant::now());
        let mut refusals = Refusals::default();
        assert!(refusals.refuse(&new, start));
        refusals.learn_previous(Some(old.clone()));
        assert_eq!(refusals.next_after(&new), Some(old.clone()));
        for tenth in 1..=99 {
            let now = start + Duration::from_millis(100) * tenth;
            assert!(!refusals.refuse(if tenth % 2 == 0 { &new } else { &old }, now), "the source is not asked again");
            assert_eq!(refusals.next_after(&new), None);
        }
        assert!(refusals.refuse(&new, start + SECRET_REFUSAL_INTERVAL));
    }

    #[test]
    fn a_secret_that_changes_all_the_time_is_not_tried_without_end() {
        let mut refusals = Refusals::default();
        let tried = (0..100).take_while(|n| {
            refusals.refuse(&credential(&n.to_string()), Instant::now());
            refusals.next_after(&credential(&(n + 1).to_string())).is_some()
        });
        assert_eq!(tried.count(), REFUSED_MAX);
    }
}
