//! A value from elsewhere: fetched when it is asked for, kept for a while, and served on while its source fails.
//!
//! - One fetch at a time for each value; who comes meanwhile gets the older value, or waits for the same fetch when there is none.
//! - A source that fails is asked again after 1, 2, 4 … seconds, whoever asks and how often.
//! - An outage is reported once when it begins and once when it ends.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::limits::{SOURCE_BACKOFF_FIRST, SOURCE_BACKOFF_LONGEST};

/// Takes a sentence for the operator: an outage that begins or ends. It holds nothing of the value.
pub type Observer = Arc<dyn Fn(&str) + Send + Sync>;

/// What a caller puts up with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// A value that was confirmed within this time needs no fetch.
    pub(crate) fresh_for: Duration,
    /// An older one does until this age while the source fails or while somebody else asks it.
    pub(crate) stale_max: Duration,
    /// While somebody else fetches, wait for that fetch even though an older value is there.
    pub(crate) wait: bool,
    /// After a failure, leave the source alone for a while. Pointless for sources that cost nothing to ask.
    pub(crate) back_off: bool,
}

/// A cached value with its source's state. Cheap clones are expected of `T`: an `Arc`.
pub(crate) struct Refreshed<T> {
    /// How reports call it.
    name: Box<str>,
    observer: Option<Observer>,
    state: Mutex<State<T>>,
    fetching: tokio::sync::Mutex<()>,
}

impl<T: Clone> Refreshed<T> {
    /// Nothing is fetched yet.
    pub(crate) fn new(name: impl Into<Box<str>>, observer: Option<Observer>) -> Self {
        let state = Mutex::new(State { held: None, outage: None });
        Self { name: name.into(), observer, state, fetching: tokio::sync::Mutex::new(()) }
    }

    /// The value, fetched if it must be. `fetch` is given the older value, if there is one.
    pub(crate) async fn get<F>(&self, patience: Patience, fetch: impl FnOnce(Option<T>) -> F) -> Result<T, Arc<str>>
    where
        F: Future<Output = Result<T, Arc<str>>>,
    {
        let older = match self.state().judge(Instant::now(), patience) {
            Judgement::Serve(value) => return Ok(value),
            Judgement::Fail(error) => return Err(error),
            Judgement::Fetch { older } => older,
        };
        // The guard is of an async mutex and stands for the fetch alone: a caller that goes away in the middle of it gives the
        // turn to the next one.
        let _turn = match (self.fetching.try_lock(), older) {
            (Ok(turn), _) => turn,
            (Err(_), Some(value)) if !patience.wait => return Ok(value),
            (Err(_), _) => self.fetching.lock().await,
        };
        let judgement = self.state().judge(Instant::now(), patience);
        match judgement {
            Judgement::Serve(value) => Ok(value),
            Judgement::Fail(error) => Err(error),
            Judgement::Fetch { .. } => match self.fetch(patience.stale_max, fetch).await {
                Ok(value) => Ok(value),
                Err(failed) => failed.older.ok_or(failed.error),
            },
        }
    }

    /// The value as the source has it now, however fresh the held one is; an error when the source fails. The caller bounds how often.
    pub(crate) async fn refresh<F>(&self, stale_max: Duration, fetch: impl FnOnce(Option<T>) -> F) -> Result<T, Arc<str>>
    where
        F: Future<Output = Result<T, Arc<str>>>,
    {
        let _turn = self.fetching.lock().await;
        self.fetch(stale_max, fetch).await.map_err(|failed| failed.error)
    }

    /// The value as it is held, of whatever age.
    pub(crate) fn peek(&self) -> Option<T> {
        self.state().held.as_ref().map(|held| held.value.clone())
    }

    async fn fetch<F>(&self, stale_max: Duration, fetch: impl FnOnce(Option<T>) -> F) -> Result<T, Failed<T>>
    where
        F: Future<Output = Result<T, Arc<str>>>,
    {
        let older = self.peek();
        let result = fetch(older).await;
        let (answer, report) = self.state().learn(Instant::now(), stale_max, result);
        if let (Some(observer), Some(report)) = (&self.observer, report) {
            observer(&match report {
                Report::Begins { error, stale: true } => format!("{error}; what was known before stays in use"),
                Report::Begins { error, stale: false } => error.to_string(),
                Report::Ends => format!("{} is available again", self.name),
            });
        }
        answer
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part that decides; the time is an argument.
struct State<T> {
    held: Option<Held<T>>,
    outage: Option<Outage>,
}

struct Held<T> {
    value: T,
    confirmed: Instant,
}

struct Outage {
    error: Arc<str>,
    failures: u32,
    ask_again: Instant,
}

/// The source failed; perhaps an older value will do.
#[derive(Debug, PartialEq)]
struct Failed<T> {
    error: Arc<str>,
    older: Option<T>,
}

#[derive(Debug, PartialEq)]
enum Judgement<T> {
    Serve(T),
    Fail(Arc<str>),
    Fetch { older: Option<T> },
}

#[derive(Debug, PartialEq)]
enum Report {
    Begins { error: Arc<str>, stale: bool },
    Ends,
}

impl<T: Clone> State<T> {
    fn judge(&self, now: Instant, patience: Patience) -> Judgement<T> {
        if let Some(value) = self.value_within(now, patience.fresh_for) {
            return Judgement::Serve(value);
        }
        let older = self.value_within(now, patience.stale_max);
        match &self.outage {
            Some(outage) if patience.back_off && now < outage.ask_again => match older {
                Some(value) => Judgement::Serve(value),
                None => Judgement::Fail(Arc::clone(&outage.error)),
            },
            _ => Judgement::Fetch { older },
        }
    }

    fn learn(&mut self, now: Instant, stale_max: Duration, result: Result<T, Arc<str>>) -> (Result<T, Failed<T>>, Option<Report>) {
        match result {
            Ok(value) => {
                self.held = Some(Held { value: value.clone(), confirmed: now });
                (Ok(value), self.outage.take().map(|_| Report::Ends))
            }
            Err(error) => {
                let older = self.value_within(now, stale_max);
                if older.is_none() {
                    self.held = None;
                }
                let failures = self.outage.as_ref().map_or(0, |outage| outage.failures).saturating_add(1);
                let ask_again = now.checked_add(back_off(failures)).unwrap_or(now);
                let begins = self.outage.is_none().then(|| Report::Begins { error: Arc::clone(&error), stale: older.is_some() });
                self.outage = Some(Outage { error: Arc::clone(&error), failures, ask_again });
                (Err(Failed { error, older }), begins)
            }
        }
    }

    fn value_within(&self, now: Instant, age_max: Duration) -> Option<T> {
        let held = self.held.as_ref()?;
        (now.saturating_duration_since(held.confirmed) < age_max).then(|| held.value.clone())
    }
}

/// The wait after so many failures in a row.
fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
    SOURCE_BACKOFF_FIRST.saturating_mul(factor).min(SOURCE_BACKOFF_LONGEST)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const PATIENCE: Patience =
        Patience { fresh_for: Duration::from_secs(300), stale_max: Duration::from_secs(3600), wait: false, back_off: true };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_value_is_fresh_then_fetched_and_stale_while_its_source_fails() {
        let start = Instant::now();
        let mut state = State { held: None, outage: None };
        assert_eq!(state.judge(start, PATIENCE), Judgement::Fetch { older: None });
        assert_eq!(state.learn(start, PATIENCE.stale_max, Ok(1)), (Ok(1), None));
        assert_eq!(state.judge(start + seconds(299), PATIENCE), Judgement::Serve(1));
        assert_eq!(state.judge(start + seconds(300), PATIENCE), Judgement::Fetch { older: Some(1) });

        let down: Arc<str> = "down".into();
        let begins = Report::Begins { error: Arc::clone(&down), stale: true };
        let failed = |older| Err(Failed { error: Arc::clone(&down), older });
        assert_eq!(state.learn(start + seconds(300), PATIENCE.stale_max, Err(Arc::clone(&down))), (failed(Some(1)), Some(begins)));
        assert_eq!(state.judge(start + seconds(300), PATIENCE), Judgement::Serve(1), "the source is left alone for a second");
        assert_eq!(state.judge(start + seconds(301), PATIENCE), Judgement::Fetch { older: Some(1) });
        assert_eq!(state.learn(start + seconds(301), PATIENCE.stale_max, Err(Arc::clone(&down))), (failed(Some(1)), None), "reported once");

        assert_eq!(state.learn(start + seconds(3600), PATIENCE.stale_max, Err(Arc::clone(&down))), (failed(None), None));
        assert_eq!(state.judge(start + seconds(3601), PATIENCE), Judgement::Fail(Arc::clone(&down)), "too old to be served");
        assert_eq!(state.learn(start + seconds(4000), PATIENCE.stale_max, Ok(2)), (Ok(2), Some(Report::Ends)));
        assert_eq!(state.judge(start + seconds(4000), PATIENCE), Judgement::Serve(2));
    }

    #[test]
    fn a_failing_source_is_asked_ever_more_rarely() {
        let waits: Vec<u64> = (1..=10).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 128, 128]);
        assert_eq!(back_off(u32::MAX), SOURCE_BACKOFF_LONGEST);

        let start = Instant::now();
        let mut state: State<u8> = State { held: None, outage: None };
        for (at, next) in [(0, 1), (1, 3), (3, 7)] {
            let (answer, _) = state.learn(start + seconds(at), PATIENCE.stale_max, Err("down".into()));
            assert_eq!(answer, Err(Failed { error: "down".into(), older: None }));
            assert_eq!(state.judge(start + seconds(next) - Duration::from_millis(1), PATIENCE), Judgement::Fail("down".into()));
            assert_eq!(state.judge(start + seconds(next), PATIENCE), Judgement::Fetch { older: None });
        }
        let eager = Patience { back_off: false, ..PATIENCE };
        assert_eq!(state.judge(start + seconds(3), eager), Judgement::Fetch { older: None }, "a file is looked at every time");
    }

    #[tokio::test]
    async fn callers_at_the_same_time_share_one_fetch() {
        let refreshed: Refreshed<u32> = Refreshed::new("x", None);
        let fetches = AtomicU32::new(0);
        let call = || {
            refreshed.get(PATIENCE, |_| async {
                fetches.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok(7)
            })
        };
        let answers = tokio::join!(call(), call(), call(), call());
        assert_eq!(answers, (Ok(7), Ok(7), Ok(7), Ok(7)));
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_is_shared_as_well() {
        let refreshed: Refreshed<u32> = Refreshed::new("x", None);
        let fetches = AtomicU32::new(0);
        let call = || {
            refreshed.get(PATIENCE, |_| async {
                fetches.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Err("down".into())
            })
        };
        let (first, second) = tokio::join!(call(), call());
        assert_eq!((first, second), (Err("down".into()), Err("down".into())));
        assert_eq!(fetches.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_hands_its_turn_on() {
        let refreshed: Refreshed<u32> = Refreshed::new("x", None);
        {
            let hangs = refreshed.get(PATIENCE, |_| std::future::pending());
            tokio::select! { biased; _ = hangs => unreachable!("it hangs"), () = tokio::task::yield_now() => {} }
        }
        assert_eq!(refreshed.get(PATIENCE, |_| async { Ok(1) }).await, Ok(1));
    }

    #[tokio::test]
    async fn an_older_value_is_served_while_somebody_else_fetches() {
        let refreshed: Refreshed<u32> = Refreshed::new("x", None);
        let expired = Patience { fresh_for: Duration::ZERO, ..PATIENCE };
        refreshed.get(expired, |_| async { Ok(1) }).await.unwrap();
        let (finish, finished) = tokio::sync::oneshot::channel::<()>();
        let slow = refreshed.get(expired, |older| async move {
            assert_eq!(older, Some(1));
            finished.await.unwrap();
            Ok(2)
        });
        let quick = async {
            let answer = refreshed.get(expired, |_| async { Ok(3) }).await;
            finish.send(()).unwrap();
            answer
        };
        assert_eq!(tokio::join!(slow, quick), (Ok(2), Ok(1)));
    }
}
