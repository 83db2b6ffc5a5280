//! The right to say 250 after the final dot.

use std::sync::Arc;

use crate::message::MessageId;
use crate::relay::Accepted;
use crate::smtp::{Reply, Status};
use crate::spool::Receipt;

/// A positive reply to DATA. There are three ways to one, and each asks for its proof.
#[derive(Debug)]
pub struct Acceptance {
    reply: Reply,
    spooled: bool,
}

/// The proof that a plan drops the message for every recipient.
#[derive(Debug)]
pub(crate) struct AllDropped(pub(super) ());

impl Acceptance {
    /// The message and its plan are on stable storage.
    pub(super) fn stored(id: MessageId, _receipt: &Receipt) -> Self {
        Self { reply: ok(format!("Queued as {id}")), spooled: true }
    }

    /// The next hop has taken it for every recipient it concerns; its own words go to the client.
    pub(super) fn delivered(id: MessageId, accepted: &Arc<Accepted>) -> Self {
        let words = accepted.reply.text.lines().last().unwrap_or_default();
        Self { reply: ok(format!("Delivered as {id}: {words}")), spooled: false }
    }

    /// The rules drop it for every recipient; there is nothing to store.
    pub(super) fn dropped(id: MessageId, _proof: &AllDropped) -> Self {
        Self { reply: ok(format!("Taken as {id}")), spooled: false }
    }

    /// Whether the spool has it.
    pub fn is_spooled(&self) -> bool {
        self.spooled
    }

    /// What the client gets.
    pub fn into_reply(self) -> Reply {
        self.reply
    }
}

fn ok(text: String) -> Reply {
    Reply::new(250, Some(Status(2, 0, 0)), text)
}
