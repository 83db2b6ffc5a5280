//! What a plan asks for: the table of the reply to DATA (`docs/semantics.md`), and nothing but it.

use std::sync::Arc;

use super::acceptance::AllDropped;
use crate::config::DeliveryMode;
use crate::rules::{Disposition, OnFailure, Plan, StepAction};
use crate::smtp::Reply;

/// What to do with a message.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Nothing is stored and nothing bounced; the client gets this.
    Refuse(Reply),
    /// Every recipient is dropped.
    Drop(AllDropped),
    /// Every recipient goes to this relay, at once.
    Inline(Arc<str>),
    /// Into the spool.
    Spool,
}

/// Reads the plan.
///
/// One recipient that is deferred defers the message: a reply counts for all of them, and only the sender can try it again.
/// Where the others are dropped, a rejection is told in the dialogue, not by a bounce.
pub(crate) fn decide(plan: &Plan, mode: DeliveryMode) -> Decision {
    let replies = |wanted: fn(&Disposition) -> Option<&Reply>| plan.recipients.iter().find_map(|one| wanted(&one.disposition));
    if let Some(reply) = replies(deferred) {
        return Decision::Refuse(reply.clone());
    }
    let rejection = replies(rejected);
    if plan.steps.is_empty() {
        return match rejection {
            Some(reply) => Decision::Refuse(reply.clone()),
            None => Decision::Drop(AllDropped(())),
        };
    }
    match (mode, rejection, single_relay(plan)) {
        (DeliveryMode::Inline, None, Some(relay)) => Decision::Inline(relay),
        _ => Decision::Spool,
    }
}

fn deferred(disposition: &Disposition) -> Option<&Reply> {
    if let Disposition::Deferred { reply, .. } = disposition { Some(reply) } else { None }
}

fn rejected(disposition: &Disposition) -> Option<&Reply> {
    if let Disposition::Rejected { reply, .. } = disposition { Some(reply) } else { None }
}

/// The one relay that all steps go to, if each recipient goes there once and a refusal may be told to the client.
fn single_relay(plan: &Plan) -> Option<Arc<str>> {
    let mut steps = plan.steps.iter();
    let StepAction::SmtpRelay { relay, .. } = &steps.next()?.action;
    let same = steps.all(|step| matches!(&step.action, StepAction::SmtpRelay { relay: other, .. } if other == relay));
    let mut seen = vec![false; plan.recipients.len()];
    let once = plan.steps.iter().flat_map(|step| &step.recipients).flat_map(|recipient| &recipient.originals).all(|original| {
        let slot = seen.get_mut(*original);
        slot.is_some_and(|slot| !std::mem::replace(slot, true))
    });
    let tellable = plan.steps.iter().all(|step| step.on_failure == OnFailure::Bounce);
    (same && once && tellable).then(|| Arc::clone(relay))
}
