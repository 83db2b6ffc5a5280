//! The content of a message while it comes in: held within its limits, given away when it is much, or only counted.

use super::false_end::FalseEnd;
use super::{Reply, replies};
use crate::limits::{MESSAGE_RESERVE_BYTES_MAX, STORED_BLOCK_BYTES};

/// What has come of one message.
#[derive(Debug)]
pub(super) struct Body {
    content: Vec<u8>,
    /// Octets so far as RFC 1870 §2 counts them, held or not.
    bytes: u64,
    bytes_max: u64,
    declared_bytes: usize,
    /// Octets that the driver has taken; none if they are of no use any more.
    taken: usize,
    /// What those octets tell of it.
    false_end: FalseEnd,
    bare_line_ending: bool,
    shed: Option<Reply>,
}

impl Body {
    /// Takes up to `bytes_max` octets. `declared_bytes` is the client's SIZE; it saves copies and is not relied on.
    pub(super) fn new(bytes_max: u64, declared_bytes: Option<u64>) -> Self {
        let declared_bytes = usize::try_from(declared_bytes.unwrap_or(0).min(bytes_max)).unwrap_or(0);
        Self {
            content: Vec::new(),
            bytes: 0,
            bytes_max,
            declared_bytes,
            taken: 0,
            false_end: FalseEnd::default(),
            bare_line_ending: false,
            shed: None,
        }
    }

    pub(super) fn store(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes > self.bytes_max {
            self.forget();
        }
        if self.bytes > self.bytes_max || self.bare_line_ending || self.shed.is_some() {
            return;
        }
        self.reserve(bytes.len());
        self.content.extend_from_slice(bytes);
    }

    /// A CR or LF stood alone: the message will be refused, and nothing more of it is held.
    pub(super) fn note_bare_line_ending(&mut self) {
        self.bare_line_ending = true;
        self.forget();
    }

    /// Drops what is held, holds nothing more, and has the message refused with `reply` at its end.
    pub(super) fn shed(&mut self, reply: Reply) {
        self.shed = Some(reply);
        self.forget();
    }

    fn forget(&mut self) {
        self.content = Vec::new();
        self.taken = 0;
    }

    /// Memory held.
    pub(super) fn bytes_buffered(&self) -> usize {
        self.content.capacity()
    }

    /// Octets held.
    pub(super) fn bytes_held(&self) -> usize {
        self.content.len()
    }

    /// Octets that were taken and belong to the message; none if it will be refused.
    pub(super) fn bytes_taken(&self) -> usize {
        self.taken
    }

    /// Gives away what is held. It goes on where that ends.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.false_end.read(&self.content);
        self.taken = self.taken.saturating_add(self.content.len());
        std::mem::take(&mut self.content)
    }

    /// The reply that refuses what has come so far.
    pub(super) fn refusal(&self) -> Option<Reply> {
        // In this order, whatever came first: the answer must not depend on how the network cut the data.
        if self.bare_line_ending {
            return Some(replies::BARE_LINE_ENDING);
        }
        self.shed.clone().or_else(|| (self.bytes > self.bytes_max).then_some(replies::MESSAGE_TOO_LARGE))
    }

    /// The content that was not taken, or the reply that refuses all of it.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, Reply> {
        if let Some(reply) = self.refusal() {
            return Err(reply);
        }
        self.false_end.read(&self.content);
        if self.false_end.is_there() { Err(replies::FALSE_END) } else { Ok(self.content) }
    }

    /// Doubles, as a vector does, but neither past the declared size nor past the limit, so that large messages hold little unused memory.
    fn reserve(&mut self, additional: usize) {
        let needed = self.content.len().saturating_add(additional);
        let capacity = self.content.capacity();
        if needed <= capacity {
            return;
        }
        let doubled = match capacity {
            // Of what somebody takes away, he takes a block at a time.
            0 if self.taken > 0 => STORED_BLOCK_BYTES,
            0 => self.declared_bytes.min(MESSAGE_RESERVE_BYTES_MAX),
            capacity => capacity.saturating_mul(2),
        };
        let most = if needed <= self.declared_bytes { self.declared_bytes } else { usize::try_from(self.bytes_max).unwrap_or(usize::MAX) };
        let target = doubled.min(most).max(needed);
        self.content.reserve_exact(target.saturating_sub(self.content.len()));
    }
}
