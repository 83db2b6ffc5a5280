//! The plan: what evaluation decided, for dispatch to carry out. It knows nothing of how.

use std::sync::Arc;

use super::{MailFrom, OnFailure};
use crate::message::Edits;
use crate::smtp::{Address, Reply};

/// What is to happen to a message.
#[derive(Debug, Default)]
pub struct Plan {
    /// One for each envelope recipient, in the order of RCPT.
    pub recipients: Vec<PlannedRecipient>,
    /// Steps in the order in which the rules planned them; none of them without a recipient.
    pub steps: Vec<Step>,
    /// The rules that matched, in order, for the log.
    pub matches: Vec<RuleMatch>,
}

/// An envelope recipient and what becomes of it.
#[derive(Debug)]
pub struct PlannedRecipient {
    /// As given in RCPT.
    pub address: Address,
    /// How its way through the rules ended.
    pub disposition: Disposition,
}

/// How a recipient's way through the rules ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// At least one step is planned.
    Planned,
    /// Dropped; steps planned before it still run.
    Dropped {
        /// By this rule; `otherwise` when no rule did.
        rule: Arc<str>,
    },
    /// To be refused with this 5xx.
    Rejected {
        /// By this rule; `otherwise` when no rule did.
        rule: Arc<str>,
        /// The reply.
        reply: Reply,
    },
    /// To be refused with this 4xx.
    Deferred {
        /// By this rule; `otherwise` when no rule did.
        rule: Arc<str>,
        /// The reply.
        reply: Reply,
    },
}

/// One action that does something outside the gateway, for a group of recipients.
#[derive(Clone, Debug)]
pub struct Step {
    /// The rule that planned it.
    pub rule: Arc<str>,
    /// What to do.
    pub action: StepAction,
    /// For whom; the addresses after any replacement.
    pub recipients: Vec<StepRecipient>,
    /// The header changes that were in force when the step was planned.
    pub edits: Arc<Edits>,
    /// What a permanent failure does.
    pub on_failure: OnFailure,
}

/// A recipient of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecipient {
    /// The address to deliver to.
    pub address: Address,
    /// Positions in [`Plan::recipients`] of the envelope recipients that it stands for.
    pub originals: Vec<usize>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// Delivers through a relay.
    SmtpRelay {
        /// The relay's name.
        relay: Arc<str>,
        /// Which reverse-path the next hop sees.
        mail_from: MailFrom,
    },
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    /// The rule.
    pub rule: Arc<str>,
    /// Whether the rule was only in audit mode.
    pub audit: bool,
    /// Positions in [`Plan::recipients`], ascending.
    pub recipients: Vec<usize>,
    /// The names of its actions, in order.
    pub actions: Vec<&'static str>,
}
