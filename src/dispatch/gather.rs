//! One notification for one message: the failures of jobs that are tried at the same time are told together.
//!
//! A job whose recipients failed waits for the other jobs of its message that are under way, for a bounded time, and the last of them
//! tells of all. Nothing is recorded before the notification is stored, so that a crash loses nothing: the jobs are claimed again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::dsn::Entry;
use crate::limits::DSN_GATHER_TIME;
use crate::message::MessageId;

/// The messages whose jobs are under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathering(Arc<Mutex<HashMap<MessageId, Group>>>);

/// The jobs of one message.
#[derive(Debug, Default)]
struct Group {
    /// Those that may still fail.
    running: usize,
    /// Those that have, in order.
    waiting: Vec<Waiting>,
    next_ticket: u64,
    /// Rung when nobody is left to wait for.
    alone: Arc<Notify>,
}

#[derive(Debug)]
struct Waiting {
    ticket: u64,
    entries: Vec<Entry>,
    told: oneshot::Sender<bool>,
}

/// A job that is under way. It ends with its value.
#[derive(Debug)]
pub(super) struct Member {
    gathering: Gathering,
    message: MessageId,
    is_running: bool,
}

/// Whose turn it is to tell.
pub(super) enum Turn {
    /// This job's, for all these entries; the others wait for word of it.
    Tell(Vec<Entry>, Word),
    /// Another one has told, or could not.
    Told(bool),
}

/// Tells the jobs that wait whether the notification is stored.
pub(super) struct Word(Vec<oneshot::Sender<bool>>);

impl Word {
    pub(super) fn say(self, is_stored: bool) {
        for told in self.0 {
            // Who is gone does not want to know.
            let _ = told.send(is_stored);
        }
    }
}

impl Gathering {
    /// A job of this message begins.
    pub(super) fn enter(&self, message: MessageId) -> Member {
        let group = &mut *self.lock();
        let group = group.entry(message).or_default();
        group.running = group.running.saturating_add(1);
        Member { gathering: self.clone(), message, is_running: true }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MessageId, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// The job has failed with these entries.
    pub(super) async fn fail(&mut self, entries: Vec<Entry>) -> Turn {
        let deadline = Instant::now() + DSN_GATHER_TIME;
        let (ticket, mut told, alone) = {
            let mut groups = self.gathering.lock();
            let group = groups.entry(self.message).or_default();
            if self.is_running {
                self.is_running = false;
                group.running = group.running.saturating_sub(1);
            }
            let ticket = group.next_ticket;
            group.next_ticket = ticket.saturating_add(1);
            let (told, word) = oneshot::channel();
            group.waiting.push(Waiting { ticket, entries, told });
            if group.running == 0 {
                let group = groups.remove(&self.message).unwrap_or_default();
                return tell(group.waiting, ticket);
            }
            (ticket, word, Arc::clone(&group.alone))
        };
        tokio::select! {
            biased;
            is_stored = &mut told => return Turn::Told(is_stored.unwrap_or(false)),
            _ = timeout_at(deadline, alone.notified()) => {}
        }
        let waiting = {
            let mut groups = self.gathering.lock();
            let group = groups.get_mut(&self.message).filter(|group| group.waiting.iter().any(|one| one.ticket == ticket));
            let waiting = group.map(|group| std::mem::take(&mut group.waiting));
            if groups.get(&self.message).is_some_and(Group::is_over) {
                groups.remove(&self.message);
            }
            waiting
        };
        match waiting {
            Some(waiting) => tell(waiting, ticket),
            // Somebody took it in the same moment.
            None => Turn::Told(told.await.unwrap_or(false)),
        }
    }
}

impl Group {
    fn is_over(&self) -> bool {
        self.running == 0 && self.waiting.is_empty()
    }
}

/// Everybody's entries, and word for all but the one who tells.
fn tell(waiting: Vec<Waiting>, ticket: u64) -> Turn {
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for Waiting { ticket: of, entries, told } in waiting {
        all.extend(entries);
        if of != ticket {
            others.push(told);
        }
    }
    Turn::Tell(all, Word(others))
}

impl Drop for Member {
    fn drop(&mut self) {
        if !self.is_running {
            return;
        }
        let mut groups = self.gathering.lock();
        let Some(group) = groups.get_mut(&self.message) else { return };
        group.running = group.running.saturating_sub(1);
        if group.is_over() {
            groups.remove(&self.message);
        } else if group.running == 0 {
            group.alone.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::SessionIds;

    fn message() -> MessageId {
        MessageId { session: SessionIds::new(1).next(1), number: 1 }
    }

    fn count(turn: Turn) -> Option<usize> {
        match turn {
            Turn::Tell(entries, word) => {
                word.say(true);
                Some(entries.len())
            }
            Turn::Told(is_stored) => {
                assert!(is_stored);
                None
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_one_tells_for_all() {
        let gathering = Gathering::default();
        let id = message();
        let (mut one, mut two, three) = (gathering.enter(id), gathering.enter(id), gathering.enter(id));
        let began = Instant::now();
        let first = tokio::spawn(async move { count(one.fail(vec![Entry::simulated(1)]).await) });
        let second = tokio::spawn(async move { count(two.fail(vec![Entry::simulated(2), Entry::simulated(3)]).await) });
        tokio::time::sleep(DSN_GATHER_TIME / 2).await;
        // It has delivered what it had.
        drop(three);
        let told = [first.await.unwrap(), second.await.unwrap()];
        assert!(told.contains(&Some(3)) && told.contains(&None), "{told:?}");
        assert_eq!(began.elapsed(), DSN_GATHER_TIME / 2);
        assert!(gathering.lock().is_empty());
        // Alone, nobody waits.
        let began = Instant::now();
        assert_eq!(count(gathering.enter(id).fail(vec![Entry::simulated(1)]).await), Some(1));
        assert_eq!(began.elapsed().as_millis(), 0);
        assert!(gathering.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_waited_for_no_longer_than_the_limit_and_tells_for_itself() {
        let gathering = Gathering::default();
        let id = message();
        let (mut one, mut slow) = (gathering.enter(id), gathering.enter(id));
        let began = Instant::now();
        assert_eq!(count(one.fail(vec![Entry::simulated(1)]).await), Some(1));
        assert_eq!(began.elapsed(), DSN_GATHER_TIME);
        assert_eq!(count(slow.fail(vec![Entry::simulated(2)]).await), Some(1));
        assert!(gathering.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_store_it_or_dies_leaves_the_others_to_come_again() {
        let gathering = Gathering::default();
        let id = message();
        for dies in [false, true] {
            let (mut one, mut two) = (gathering.enter(id), gathering.enter(id));
            let first = tokio::spawn(async move { matches!(one.fail(vec![Entry::simulated(1)]).await, Turn::Told(false)) });
            tokio::task::yield_now().await;
            let Turn::Tell(entries, word) = two.fail(vec![Entry::simulated(2)]).await else { panic!("it was the last") };
            assert_eq!(entries.len(), 2);
            if dies {
                drop(word)
            } else {
                word.say(false)
            }
            assert!(first.await.unwrap());
        }
        assert!(gathering.lock().is_empty());
    }
}
