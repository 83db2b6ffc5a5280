//! The right to one transaction.

use std::sync::Arc;

use super::Gate;
use super::state::Taken;
use crate::relay::pool::lock;

/// One transaction. When it is dropped, its place is free, and what was taken for it and not used is given back.
#[derive(Debug)]
pub(in crate::relay) struct Pass {
    gate: Arc<Gate>,
    taken: Taken,
}

impl Pass {
    pub(super) fn new(gate: Arc<Gate>, taken: Taken) -> Self {
        Self { gate, taken }
    }

    pub(super) fn is_counted(&self) -> bool {
        self.taken.minute || self.taken.recipients > 0
    }

    /// The transaction begins: from now on the next hop counts it. `false` when it has begun before and there is no room for once more.
    pub(in crate::relay) async fn begin(&mut self) -> bool {
        if !self.taken.begun {
            self.taken.begun = true;
            return true;
        }
        let now = self.gate.shared.clock.now();
        let taken = !self.taken.minute || lock(&self.gate.state).take_message(self.taken.per_minute, now);
        taken && (!self.taken.minute || self.gate.write().await.is_ok())
    }

    /// So many of the recipients are refused for sure: they do not count.
    pub(in crate::relay) fn refused(&mut self, recipients: usize) {
        let refused = u32::try_from(recipients).unwrap_or(u32::MAX);
        self.taken.unused = self.taken.unused.saturating_add(refused).min(self.taken.recipients);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        lock(&self.gate.state).leave(&self.taken, self.gate.shared.clock.now());
        self.gate.freed.notify_waiters();
    }
}
