//! What is known of one token: until when it is used, and when its endpoint may be asked again. The time is an argument.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::TokenError;
use crate::limits::{
    SECRET_PAUSE_FIRST, SECRET_PAUSE_LONGEST, SECRET_REFUSAL_INTERVAL, SOURCE_BACKOFF_FIRST, SOURCE_BACKOFF_LONGEST, TOKEN_LIFE_MAX,
    TOKEN_RENEWAL, TOKEN_WAIT_MAX,
};
use crate::secrets::Credential;

/// One token's state.
#[derive(Debug, Default)]
pub(super) struct State {
    held: Option<Held>,
    /// The endpoint fails.
    outage: Option<Outage>,
    /// When a refusal last made us ask for a new token.
    refetched_at: Option<Instant>,
    /// Rounds in which a fresh token was refused too, since one was accepted.
    rounds: u32,
    /// So long no token is handed out.
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    token: Arc<Credential>,
    /// From then on a new one is wanted.
    fresh_until: Instant,
    /// From then on it is worth nothing.
    valid_until: Instant,
    is_refused: bool,
}

#[derive(Debug)]
struct Outage {
    error: TokenError,
    failures: u32,
    ask_again: Instant,
}

/// What to do for who wants a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// This one.
    Serve(Arc<Credential>),
    /// There is none.
    Fail(TokenError),
    /// Ask for one; the older one does while that is not possible.
    Fetch {
        /// The older one.
        older: Option<Arc<Credential>>,
    },
}

/// What to do after a refusal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Somebody has fetched this one since.
    Take(Arc<Credential>),
    /// Ask for a new one.
    Fetch,
    /// Nothing.
    Nothing,
}

impl State {
    pub(super) fn judge(&self, now: Instant) -> Judgement {
        if let Some(left) = self.rests_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero()) {
            let text = format!("the next hop has refused a new token too; the next is tried in {} s", left.as_secs().max(1));
            return Judgement::Fail(TokenError::ours(text));
        }
        let held = self.held.as_ref().filter(|held| !held.is_refused && now < held.valid_until);
        if let Some(held) = held.filter(|held| now < held.fresh_until) {
            return Judgement::Serve(Arc::clone(&held.token));
        }
        let older = held.map(|held| Arc::clone(&held.token));
        match (&self.outage, older) {
            (Some(outage), Some(token)) if now < outage.ask_again => Judgement::Serve(token),
            (Some(outage), None) if now < outage.ask_again => Judgement::Fail(outage.error.clone()),
            (_, older) => Judgement::Fetch { older },
        }
    }

    /// A new token that is said to live for so long.
    pub(super) fn learn(&mut self, token: &Arc<Credential>, life: Duration, now: Instant) {
        let life = life.min(TOKEN_LIFE_MAX);
        // One that lives for minutes is used for half of them.
        let fresh = life.saturating_sub(TOKEN_RENEWAL).max(life / 2);
        let is_refused = self.held.as_ref().is_some_and(|held| held.is_refused && held.token == *token);
        let held = Held { token: Arc::clone(token), fresh_until: later(now, fresh), valid_until: later(now, life), is_refused };
        (self.held, self.outage) = (Some(held), None);
    }

    /// The endpoint gave none.
    pub(super) fn fail(&mut self, error: &TokenError, now: Instant) {
        let failures = self.outage.as_ref().map_or(0, |outage| outage.failures).saturating_add(1);
        let wait = match error.wait {
            Some(wait) => wait.min(TOKEN_WAIT_MAX),
            // The versions of the secret have their own pause, which ends when one is mended.
            None if error.refuses_proof => Duration::ZERO,
            None => doubled(SOURCE_BACKOFF_FIRST, failures, SOURCE_BACKOFF_LONGEST),
        };
        self.outage = Some(Outage { error: error.clone(), failures, ask_again: later(now, wait) });
    }

    /// A next hop refuses this token.
    pub(super) fn refuse(&mut self, refused: &Credential, now: Instant) -> Next {
        match &mut self.held {
            Some(held) if *held.token != *refused => {
                return if held.is_refused { Next::Nothing } else { Next::Take(Arc::clone(&held.token)) };
            }
            Some(held) => held.is_refused = true,
            None => {}
        }
        if self.refetched_at.is_some_and(|at| now.saturating_duration_since(at) < SECRET_REFUSAL_INTERVAL) {
            self.rest(now);
            return Next::Nothing;
        }
        self.refetched_at = Some(now);
        Next::Fetch
    }

    /// A fresh token was refused: for a while none is tried.
    pub(super) fn rest(&mut self, now: Instant) {
        // Of many that are refused at once, the first begins the pause.
        if self.rests_until.is_none_or(|until| until <= now) {
            self.rounds = self.rounds.saturating_add(1);
            self.rests_until = Some(later(now, doubled(SECRET_PAUSE_FIRST, self.rounds, SECRET_PAUSE_LONGEST)));
        }
    }

    /// A next hop has taken the token.
    pub(super) fn accept(&mut self) {
        (self.rounds, self.rests_until) = (0, None);
    }
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times.saturating_sub(1))).min(longest)
}

fn later(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Arc<Credential> {
        Arc::new(Credential { username: "a@b.example".to_owned().into(), password: text.to_owned().into() })
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_is_renewed_five_minutes_before_its_end_and_used_to_the_end_while_its_endpoint_fails() {
        let (start, one) = (Instant::now(), token("one"));
        let mut state = State::default();
        assert_eq!(state.judge(start), Judgement::Fetch { older: None });
        state.learn(&one, seconds(3600), start);
        assert_eq!(state.judge(start + seconds(3299)), Judgement::Serve(one.clone()));
        assert_eq!(state.judge(start + seconds(3300)), Judgement::Fetch { older: Some(one.clone()) });

        let down = TokenError::theirs("down");
        state.fail(&down, start + seconds(3300));
        assert_eq!(state.judge(start + seconds(3300)), Judgement::Serve(one.clone()), "left alone for a second");
        assert_eq!(state.judge(start + seconds(3301)), Judgement::Fetch { older: Some(one) });
        state.fail(&down, start + seconds(3599));
        assert_eq!(state.judge(start + seconds(3600)), Judgement::Fail(down));
        assert_eq!(state.judge(start + seconds(3601)), Judgement::Fetch { older: None });
    }

    #[test]
    fn the_life_of_a_token_has_bounds() {
        for (life, fresh) in [(3600, 3300), (600, 300), (400, 200), (60, 30), (10_000_000, 86_100)] {
            let start = Instant::now();
            let mut state = State::default();
            state.learn(&token("x"), seconds(life), start);
            assert_eq!(state.judge(start + seconds(fresh - 1)), Judgement::Serve(token("x")), "{life}");
            assert_eq!(state.judge(start + seconds(fresh)), Judgement::Fetch { older: Some(token("x")) }, "{life}");
        }
    }

    #[test]
    fn an_endpoint_that_says_when_to_come_back_is_believed_within_reason() {
        for (says, waits) in [(7, 7), (1_000_000, 600)] {
            let start = Instant::now();
            let busy = TokenError { wait: Some(seconds(says)), ..TokenError::theirs("busy") };
            let mut state = State::default();
            state.fail(&busy, start);
            assert_eq!(state.judge(start + seconds(waits) - Duration::from_millis(1)), Judgement::Fail(busy));
            assert_eq!(state.judge(start + seconds(waits)), Judgement::Fetch { older: None });
        }
    }

    #[test]
    fn a_refused_token_is_fetched_anew_once_and_then_there_is_a_pause() {
        let (start, one, two) = (Instant::now(), token("one"), token("two"));
        let mut state = State::default();
        state.learn(&one, seconds(3600), start);
        assert_eq!(state.refuse(&one, start), Next::Fetch);
        state.learn(&two, seconds(3600), start);
        assert_eq!(state.refuse(&one, start), Next::Take(two.clone()), "who was refused at the same time takes the new one");
        let mut now = start + seconds(1);
        let mut rests = Vec::new();
        for _ in 0..6 {
            assert_eq!(state.refuse(&two, now), Next::Nothing);
            assert_eq!(state.refuse(&two, now), Next::Nothing, "many refusals at once are one round");
            let Judgement::Fail(error) = state.judge(now) else { panic!("it rests") };
            let rest = state.rests_until.unwrap() - now;
            assert!(error.is_ours && error.text.ends_with(&format!("in {} s", rest.as_secs())), "{}", error.text);
            rests.push(rest.as_secs());
            now += rest;
            assert_eq!(state.judge(now), Judgement::Fetch { older: None }, "the refused one is not used again");
            state.learn(&one, seconds(3600), now);
            assert_eq!(state.refuse(&one, now), Next::Fetch);
            state.learn(&two, seconds(3600), now);
        }
        assert_eq!(rests, [60, 120, 240, 480, 600, 600]);
        state.accept();
        assert_eq!(state.judge(now), Judgement::Serve(two));
    }

    #[test]
    fn the_same_token_again_is_as_good_as_none() {
        let (start, one) = (Instant::now(), token("one"));
        let mut state = State::default();
        state.learn(&one, seconds(3600), start);
        assert_eq!(state.refuse(&one, start), Next::Fetch);
        state.learn(&one, seconds(3600), start);
        state.rest(start);
        assert!(matches!(state.judge(start + seconds(59)), Judgement::Fail(_)));
        assert_eq!(state.judge(start + seconds(60)), Judgement::Fetch { older: None });
    }
}
