//! What relays have said of recipients: a bounded number of them, each for its time.

use std::collections::{BTreeSet, HashMap};

use tokio::time::Instant;

use super::{Key, Said};
use crate::limits::CALL_AHEAD_ENTRIES_MAX;

/// Recipients with what is known of them, and in the order in which that is forgotten.
#[derive(Debug, Default)]
pub(super) struct Memory {
    said: HashMap<Key, (Said, Instant)>,
    ends: BTreeSet<(Instant, Key)>,
}

impl Memory {
    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<Said> {
        self.said.get(key).filter(|(_, until)| *until > now).map(|(said, _)| said.clone())
    }

    /// Remembers it; what is over goes, and in a full memory what would go first.
    pub(super) fn put(&mut self, key: Key, said: Said, now: Instant, until: Instant) {
        self.remove(&key);
        while let Some((end, first)) = self.ends.first().cloned() {
            if end > now && self.said.len() < CALL_AHEAD_ENTRIES_MAX {
                break;
            }
            self.remove(&first);
        }
        self.ends.insert((until, key.clone()));
        self.said.insert(key, (said, until));
    }

    fn remove(&mut self, key: &Key) {
        if let Some((_, until)) = self.said.remove(key) {
            self.ends.remove(&(until, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_memory_is_bounded_and_forgets_what_ends_first() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        let key = |number: usize| ("alpha".into(), format!("{number}@acme.example"));
        let after = |seconds: usize| now + Duration::from_secs(u64::try_from(seconds).unwrap());
        for number in 0..CALL_AHEAD_ENTRIES_MAX + 10 {
            memory.put(key(number), Said::Known, now, after(10 + number));
        }
        assert_eq!((memory.said.len(), memory.ends.len()), (CALL_AHEAD_ENTRIES_MAX, CALL_AHEAD_ENTRIES_MAX));
        assert_eq!((memory.get(&key(9), now), memory.get(&key(10), now)), (None, Some(Said::Known)));
        assert_eq!(memory.get(&key(10), after(20)), None);
        // The same once more is one, with its new end.
        memory.put(key(10), Said::Known, now, after(10_000_000));
        assert_eq!(memory.get(&key(10), after(20)), Some(Said::Known));
        memory.put(key(0), Said::Known, after(CALL_AHEAD_ENTRIES_MAX + 100), after(20_000_000));
        assert_eq!((memory.said.len(), memory.ends.len()), (2, 2));
    }
}
