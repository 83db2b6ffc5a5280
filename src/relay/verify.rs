//! Whether a next hop takes mail for a recipient: a transaction that ends with RCPT.
//!
//! It goes the way of a delivery, over the same connections and to the same hosts, and leaves nothing behind: RSET ends it.

use std::sync::Arc;

use tokio::time::Instant;

use super::deliver::Run;
use super::pool::Pool;
use super::replies::{self, Said};
use super::{Delivery, Inner, Outcome, RelayConfig, failures};
use crate::failure::Failure;
use crate::message::{Content, MessageId, SessionIds};
use crate::smtp::{Address, MailTerms, Reply, ReversePath, Stage, Status, Verdict};

/// What a next hop says of a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It takes mail for it.
    Yes,
    /// It does not: a 5xx reply that is about the recipient.
    No(Reply),
    /// It says nothing for good: a reply to RCPT that is temporary, or about something else.
    NotNow(Reply),
    /// It could not be asked.
    Unknown(Arc<Failure>),
}

pub(super) async fn verify(inner: &Inner, pool: &Arc<Pool>, recipient: &Address, deadline: Instant) -> Verified {
    let delivery = Delivery {
        // It is no message's: the log tells of the question, not of an attempt.
        message: MessageId { session: SessionIds::new(0).next(0), number: 0 },
        // RFC 5321 §4.5.5: nothing that could be answered by mail.
        reverse_path: ReversePath::Null,
        recipients: vec![recipient.clone().into()],
        content: Content::default(),
        smtputf8: false,
        eight_bit: false,
        terms: MailTerms::default(),
    };
    // A question is no message: what is counted of messages does not count it, and a relay that is held is not asked by the caller.
    let gate = inner.gates.of_the_moment(&pool.config.name);
    let mut run = Run::new(inner, pool, &gate, &delivery, deadline);
    run.asks = true;
    run.finish().await;
    match (run.said.take(), run.outcomes.into_iter().next().flatten()) {
        (Some(Verdict::RecipientAccepted), _) => Verified::Yes,
        (Some(Verdict::Refused(stage, reply)), _) => refused(&pool.config, stage, reply),
        (_, Some(Outcome::Failed(failure))) => Verified::Unknown(failure),
        _ => Verified::Unknown(Arc::new(failures::connection_lost("no answer to RCPT"))),
    }
}

fn refused(config: &RelayConfig, stage: Stage, reply: Reply) -> Verified {
    let meaning = replies::meaning(&Said::new(config, stage, &reply, None, false));
    if failures::refused(stage, &reply, &meaning).is_temporary() || !is_about_recipient(&reply) {
        Verified::NotNow(reply)
    } else {
        Verified::No(reply)
    }
}

/// Whether a 5xx reply to RCPT says that there is no such recipient, or that it takes no mail: RFC 3463 §3.2 and §3.3, and without a status the
/// codes of RFC 5321 §4.2.3 for mailboxes. What the next hop has against us or the null path is no reason to refuse others.
fn is_about_recipient(reply: &Reply) -> bool {
    match reply.status {
        Some(Status(_, 1, detail)) => !matches!(detail, 7 | 8),
        Some(Status(_, 2, detail)) => detail != 2,
        Some(_) => false,
        None => matches!(reply.code, 550 | 551 | 553),
    }
}
