//! The budget of message bytes in memory over all sessions: what could not be stored is not taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

/// A budget in bytes.
#[derive(Clone, Debug)]
pub struct MessageMemory(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    used: AtomicUsize,
    max: AtomicUsize,
}

/// What one session has taken of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    memory: MessageMemory,
    bytes: usize,
}

impl MessageMemory {
    /// A budget of `max` bytes.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Budget { used: AtomicUsize::new(0), max: AtomicUsize::new(max) }))
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0 }
    }

    /// Bytes taken now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Bytes that may be taken.
    pub fn max(&self) -> usize {
        self.0.max.load(Ordering::Relaxed)
    }

    /// Another budget from now on. What is taken stays taken.
    pub fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }
}

impl Share {
    /// Makes the share `bytes` large; false, and unchanged, when the budget does not have them.
    #[must_use]
    pub fn resize(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            self.memory.0.used.fetch_sub(self.bytes.saturating_sub(bytes), Ordering::Relaxed);
        } else {
            let more = bytes.saturating_sub(self.bytes);
            let max = self.memory.max();
            let fits = |used: usize| used.checked_add(more).filter(|sum| *sum <= max);
            if self.memory.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }

    /// The bytes, with the share that they take: it is given back when the last clone or slice of them is dropped.
    #[must_use]
    pub fn around(mut self, bytes: Bytes) -> Bytes {
        // What arrived since the last look is in memory already; there is nobody to refuse it to.
        let more = bytes.len().saturating_sub(self.bytes);
        self.memory.0.used.fetch_add(more, Ordering::Relaxed);
        self.bytes = self.bytes.saturating_add(more);
        Bytes::from_owner(Shared { bytes, _share: self })
    }

    fn give_back(&mut self) {
        self.memory.0.used.fetch_sub(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

/// Bytes and their share.
struct Shared {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_never_exceeded_and_comes_back() {
        let memory = MessageMemory::new(100);
        let (mut one, mut other) = (memory.share(), memory.share());
        assert!(one.resize(60) && other.resize(40));
        assert!(!other.resize(41));
        assert!(one.resize(10) && other.resize(90));
        drop(other);
        assert_eq!(memory.used(), 10);
    }

    #[test]
    fn a_message_is_accounted_for_until_nobody_holds_a_piece_of_it() {
        let memory = MessageMemory::new(100);
        let mut share = memory.share();
        assert!(share.resize(8));
        let message = share.around(Bytes::from_static(b"0123456789"));
        assert_eq!(memory.used(), 10);
        let piece = message.slice(2..4);
        drop(message);
        assert_eq!((memory.used(), &piece[..]), (10, &b"23"[..]));
        drop(piece);
        assert_eq!(memory.used(), 0);
    }
}
