//! What the rules make of the message, and what the client is answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::dialogue::Client;
use crate::dispatch::{Decision, admit, decide};
use crate::message::{Need, Original};
use crate::rules::{self, Judgement, Plan, RuleTrace};
use crate::smtp::{Address, Reply};

/// What the rules made of a message.
#[derive(Debug)]
pub struct Judged {
    /// The message with its header read; `None`: its header is not taken.
    pub original: Option<Arc<Original>>,
    /// The recipients that were taken: those that positions in traces and plan mean.
    pub recipients: Vec<Address>,
    /// Each rule and what it saw; empty where no rule was asked.
    pub rules: Vec<RuleTrace>,
    /// What is to happen; `None` where no rule was asked, or where it is not known.
    pub plan: Option<Plan>,
    /// What DATA is answered with; `None` where that is not known.
    pub answer: Option<Answer>,
    /// What the rules would have to know.
    pub lacking: BTreeSet<Need>,
}

/// What a message is answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This refusal; nothing is stored and nothing bounced.
    Refused(Reply),
    /// 250, and the rules drop it for every recipient.
    Dropped,
    /// What this relay says to it: it is asked while the client waits. Where it cannot take the message now, 250 from the spool.
    AskedOf(Arc<str>),
    /// 250 from the spool.
    Spooled,
}

impl Judged {
    fn refused(reply: Reply) -> Self {
        let (recipients, rules, lacking) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { original: None, recipients, rules, plan: None, answer: Some(Answer::Refused(reply)), lacking }
    }

    /// The refusal, if it is one. A positive reply holds an id that only service gives.
    pub(super) fn reply(&self) -> Option<Reply> {
        if let Some(Answer::Refused(reply)) = &self.answer { Some(reply.clone()) } else { None }
    }
}

pub(super) async fn judge(client: &mut Client<'_>, message: Bytes) -> Judged {
    let hostname = Arc::clone(&client.rulebook.hostname);
    let original = match admit::read(message.into(), &hostname) {
        Ok(original) => Arc::new(original),
        Err(failure) => return Judged::refused(failure.reply),
    };
    if let Err(failure) = admit::refuse_loop(&original, &hostname) {
        return Judged { original: Some(original), ..Judged::refused(failure.reply) };
    }
    client.reveal_all();
    let (judgement, traces) = loop {
        let Some(envelope) = &client.envelope else { break (Judgement::Decided(Plan::default()), Vec::new()) };
        let message = rules::Message { session: &client.facts, envelope, original: &original, findings: &client.found };
        match rules::evaluate_traced(&client.endpoint.rules, &message) {
            (Judgement::Needs(needs), traces) => {
                let lacking = client.look_up(&needs, Some(&original)).await;
                if !lacking.is_empty() {
                    break (Judgement::Needs(lacking), traces);
                }
            }
            decided => break decided,
        }
    };
    let recipients = client.envelope.iter().flat_map(|envelope| &envelope.recipients).map(|recipient| recipient.address.clone()).collect();
    let (plan, lacking) = match judgement {
        Judgement::Decided(plan) => (Some(plan), BTreeSet::new()),
        Judgement::Needs(needs) => (None, needs),
    };
    let answer = plan.as_ref().map(|plan| match decide(plan, client.endpoint.delivery) {
        Decision::Refuse(reply) => Answer::Refused(reply),
        Decision::Drop(_) => Answer::Dropped,
        Decision::Inline(relay) => Answer::AskedOf(relay),
        Decision::Spool => Answer::Spooled,
    });
    Judged { original: Some(original), recipients, rules: traces, plan, answer, lacking }
}
