//! The content of a message while it comes in: stored within its limits, or only counted.

use super::{Reply, replies};
use crate::limits::MESSAGE_RESERVE_BYTES_MAX;

/// What has come of one message.
#[derive(Debug)]
pub(super) struct Body {
    content: Vec<u8>,
    /// Octets so far as RFC 1870 §2 counts them, stored or not.
    bytes: u64,
    bytes_max: u64,
    declared_bytes: usize,
    bare_line_ending: bool,
    shed: Option<Reply>,
}

impl Body {
    /// Takes up to `bytes_max` octets. `declared_bytes` is the client's SIZE; it saves copies and is not relied on.
    pub(super) fn new(bytes_max: u64, declared_bytes: Option<u64>) -> Self {
        let declared_bytes = usize::try_from(declared_bytes.unwrap_or(0).min(bytes_max)).unwrap_or(0);
        Self { content: Vec::new(), bytes: 0, bytes_max, declared_bytes, bare_line_ending: false, shed: None }
    }

    pub(super) fn store(&mut self, bytes: &[u8]) {
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.bytes > self.bytes_max {
            self.content = Vec::new();
        }
        if self.bytes > self.bytes_max || self.bare_line_ending || self.shed.is_some() {
            return;
        }
        self.reserve(bytes.len());
        self.content.extend_from_slice(bytes);
    }

    /// A CR or LF stood alone: the message will be refused, and nothing more of it is stored.
    pub(super) fn note_bare_line_ending(&mut self) {
        self.bare_line_ending = true;
        self.content = Vec::new();
    }

    /// Drops what is stored, stores nothing more, and has the message refused with `reply` at its end.
    pub(super) fn shed(&mut self, reply: Reply) {
        self.shed = Some(reply);
        self.content = Vec::new();
    }

    /// Memory held.
    pub(super) fn bytes_buffered(&self) -> usize {
        self.content.capacity()
    }

    /// The reply that refuses what has come so far.
    pub(super) fn refusal(&self) -> Option<Reply> {
        // In this order, whatever came first: the answer must not depend on how the network cut the data.
        if self.bare_line_ending {
            return Some(replies::BARE_LINE_ENDING);
        }
        self.shed.clone().or_else(|| (self.bytes > self.bytes_max).then_some(replies::MESSAGE_TOO_LARGE))
    }

    /// The content, or the reply that refuses it.
    pub(super) fn finish(self) -> Result<Vec<u8>, Reply> {
        match self.refusal() {
            Some(reply) => Err(reply),
            None if has_false_end(&self.content) => Err(replies::FALSE_END),
            None => Ok(self.content),
        }
    }

    /// Doubles, as a vector does, but neither past the declared size nor past the limit, so that large messages hold little unused memory.
    fn reserve(&mut self, additional: usize) {
        let needed = self.content.len().saturating_add(additional);
        let capacity = self.content.capacity();
        if needed <= capacity {
            return;
        }
        let doubled = match capacity {
            0 => self.declared_bytes.min(MESSAGE_RESERVE_BYTES_MAX),
            capacity => capacity.saturating_mul(2),
        };
        let most = if needed <= self.declared_bytes { self.declared_bytes } else { usize::try_from(self.bytes_max).unwrap_or(usize::MAX) };
        let target = doubled.min(most).max(needed);
        self.content.reserve_exact(target.saturating_sub(self.content.len()));
    }
}

/// Whether a line is the end of the data to who throws NULs away, though it is not stuffed: a NUL first, and in all of it one dot
/// and nothing else but NULs.
fn has_false_end(content: &[u8]) -> bool {
    let begins_line = |at: &usize| at.checked_sub(1).is_none_or(|before| content.get(before) == Some(&b'\n'));
    memchr::memchr_iter(b'\0', content).filter(begins_line).any(|at| {
        let line = content.get(at..).unwrap_or_default().split(|byte| *byte == b'\r').next().unwrap_or_default();
        line.iter().filter(|byte| **byte != b'\0').eq(b".")
    })
}
