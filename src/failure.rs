//! What went wrong, as one type: whose side it is on, whether to try again, and what SMTP says about it.
//!
//! Replies to clients and entries in DSNs are made from this type and from nothing else.

use std::fmt;
use std::time::Duration;

use crate::limits::Limit;
use crate::smtp::Reply;

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The SMTP client: its bytes, its message, its right to send.
    Client,
    /// The next hop: its reply, its silence, its certificate.
    Relay,
    /// This gateway: its disk, its memory, its configuration.
    Us,
}

/// Whether the same thing may work when it is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// Permanent.
    No,
    /// Temporary: by the schedule.
    Later,
}

/// What a next hop's refusal asks of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Try again by the schedule.
    Retry,
    /// Try this recipient again, alone; it says nothing about others.
    Alone,
    /// Try again, and send less at a time: the next hop is under pressure, or mistrusts us.
    Slow,
    /// Keep all mail for this relay: its operator has something to mend.
    Hold,
    /// Over for this recipient.
    Bounce,
    /// Over, for what the message is.
    Content,
}

/// A failure with all that is needed to answer, to retry, to log and to bounce.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    /// Whose side it is on.
    pub side: Side,
    /// Whether to try again.
    pub retry: Retry,
    /// The SMTP reply that stands for it: the next hop's own words, or ours.
    pub reply: Reply,
    /// What an operator needs beyond the reply; never a secret.
    pub detail: String,
    /// What it asks of us, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Class>,
    /// No other attempt before so much time has passed, whatever the schedule says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Duration>,
    /// What the next hop said, where `reply` is other words for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Box<Reply>>,
    /// The limit of ours that was reached, if it is one; of interest for the reply to a message, not for what is spooled.
    #[serde(skip)]
    pub limit: Option<Limit>,
}

impl Failure {
    /// A failure whose retryability follows from the reply's class: 5xx is permanent, all else temporary.
    pub fn new(side: Side, reply: Reply, detail: impl Into<String>) -> Self {
        let retry = if reply.code >= 500 { Retry::No } else { Retry::Later };
        Self { side, retry, reply, detail: detail.into(), class: None, wait: None, said: None, limit: None }
    }

    /// The same, because of a limit.
    #[must_use]
    pub fn by(self, limit: Limit) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// The same, of this class.
    #[must_use]
    pub fn of(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same, with the least wait before another attempt.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// The next hop's own words, or ours where it said nothing.
    pub fn literal(&self) -> &Reply {
        self.said.as_deref().unwrap_or(&self.reply)
    }

    /// Whether another attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        self.retry == Retry::Later
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { write!(f, "{}", self.reply) } else { write!(f, "{} ({})", self.reply, self.detail) }
    }
}

impl std::error::Error for Failure {}
