//! The way to an analyzer: so many at a time, not beyond the deadline, and not while it is known not to answer.
//!
//! Who is refused at once costs nothing; a question that runs into its timeout holds up a message. After some of these in a row the
//! analyzer is left alone for a while, and then one question tries it before the others are let through.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::{Trouble, trouble};
use crate::limits::{ANALYZER_FAILURES_MAX, ANALYZER_REST, ANALYZER_SLOW_FAILURE};

#[derive(Debug)]
pub(super) struct Gate {
    at_once: usize,
    places: Semaphore,
    timeout: Duration,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    /// That took their time, in a row.
    failures: u32,
    resting_until: Option<Instant>,
    /// One question is finding out whether the analyzer is back.
    tried: bool,
}

impl Gate {
    pub(super) fn new(at_once: usize, timeout: Duration) -> Self {
        Self { at_once, places: Semaphore::new(at_once), timeout, health: Mutex::default() }
    }

    /// Does the work when it may, and no longer than until the deadline.
    pub(super) async fn pass<T>(&self, deadline: Instant, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let turn = self.turn()?;
        let Ok(Ok(_place)) = timeout_at(deadline, self.places.acquire()).await else {
            return Err(trouble(format!("{} questions at a time, and none ended within {} s", self.at_once, self.timeout.as_secs())));
        };
        let began = Instant::now();
        let answer = timeout_at(deadline, work).await;
        let is_slow = began.elapsed() >= ANALYZER_SLOW_FAILURE.min(self.timeout / 2);
        match &answer {
            Ok(answer) => turn.end(answer.is_err() && is_slow),
            Err(_) if is_slow => turn.end(true),
            // Who got its place late and had little time left proves nothing, neither that it is dead nor that it is well.
            Err(_) => drop(turn),
        }
        answer.unwrap_or_else(|_| Err(trouble(format!("no answer within {} s", self.timeout.as_secs()))))
    }

    fn turn(&self) -> Result<Turn<'_>, Trouble> {
        let mut health = self.health();
        let Some(until) = health.resting_until else { return Ok(Turn { gate: self, tries: false }) };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() && !health.tried {
            health.tried = true;
            return Ok(Turn { gate: self, tries: true });
        }
        let next = if left.is_zero() { "it is being tried now".to_owned() } else { format!("next try in {} s", left.as_secs().max(1)) };
        Err(trouble(format!("no answer to the last {} questions; {next}", health.failures)))
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that was let through.
struct Turn<'a> {
    gate: &'a Gate,
    tries: bool,
}

impl Turn<'_> {
    fn end(self, failed_slowly: bool) {
        let mut health = self.gate.health();
        if !failed_slowly {
            *health = Health::default();
            return;
        }
        health.failures = health.failures.saturating_add(1);
        if health.failures >= ANALYZER_FAILURES_MAX {
            health.resting_until = Instant::now().checked_add(ANALYZER_REST);
        }
    }
}

impl Drop for Turn<'_> {
    /// Also when nobody waits for the answer any more.
    fn drop(&mut self) {
        if self.tries {
            self.gate.health().tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::{pending, ready};

    const TIMEOUT: Duration = Duration::from_secs(4);

    async fn dead(gate: &Gate) -> String {
        gate.pass(Instant::now() + TIMEOUT, pending::<Result<(), Trouble>>()).await.unwrap_err().to_string()
    }

    #[tokio::test(start_paused = true)]
    async fn the_dead_are_left_alone_and_tried_by_one() {
        let gate = Gate::new(2, TIMEOUT);
        for _ in 0..ANALYZER_FAILURES_MAX {
            assert_eq!(dead(&gate).await, "no answer within 4 s");
        }
        let began = Instant::now();
        assert_eq!(dead(&gate).await, "no answer to the last 5 questions; next try in 10 s");
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::advance(ANALYZER_REST).await;
        // One tries; who comes meanwhile does not wait for it.
        let (first, second) = tokio::join!(dead(&gate), dead(&gate));
        assert_eq!((&*first, &*second), ("no answer within 4 s", "no answer to the last 5 questions; it is being tried now"));
        assert!(dead(&gate).await.ends_with("next try in 10 s"));
        tokio::time::advance(ANALYZER_REST).await;
        // A try that is given up leaves the way free for the next.
        drop(tokio::time::timeout(Duration::from_millis(1), dead(&gate)).await);
        assert_eq!(gate.pass(Instant::now() + TIMEOUT, ready(Ok(7))).await, Ok(7));
        assert_eq!(dead(&gate).await, "no answer within 4 s");
    }

    /// Places that the first give back at their end go to those who have a moment left: they must not pass for signs of life.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_does_not_hide_that_it_is_dead() {
        let gate = Gate::new(ANALYZER_FAILURES_MAX as usize, TIMEOUT);
        let crowd = (0..ANALYZER_FAILURES_MAX * 3).map(|number| {
            let deadline = Instant::now() + TIMEOUT + Duration::from_millis(10 * u64::from(number));
            gate.pass(deadline, pending::<Result<(), Trouble>>())
        });
        assert!(futures_util::future::join_all(crowd).await.iter().all(Result::is_err));
        assert!(dead(&gate).await.starts_with("no answer to the last 5 questions; next try in "));
    }

    #[tokio::test(start_paused = true)]
    async fn quick_failures_and_waiting_do_not_count() {
        let gate = Gate::new(1, TIMEOUT);
        for _ in 0..20 {
            let refused = gate.pass(Instant::now() + TIMEOUT, ready(Err::<(), _>(trouble("refused")))).await;
            assert_eq!(refused.unwrap_err().as_ref(), "refused");
        }
        // The second waits for the place that the first holds for all of its time.
        for _ in 0..20 {
            let slow = gate.pass(Instant::now() + TIMEOUT, async {
                tokio::time::sleep(TIMEOUT / 2 - Duration::from_millis(1)).await;
                Ok(())
            });
            let (slow, late) = tokio::join!(slow, gate.pass(Instant::now() + TIMEOUT / 4, ready(Ok(()))));
            assert_eq!((slow, late.unwrap_err().as_ref()), (Ok(()), "1 questions at a time, and none ended within 4 s"));
        }
    }
}
