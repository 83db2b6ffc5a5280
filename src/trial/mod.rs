//! Trial: one message judged as the gateway would judge it, without a client, a next hop or a spool, and everything that was seen.
//!
//! The real session answers a client that says what is given; policies, rules and the table of the reply to DATA are those that serve.
//! Nothing is delivered: where a next hop would be asked, that is the answer. What nobody knows stays unknown, and is named.

mod changes;
mod dialogue;
mod judged;
mod stated;
#[cfg(test)]
mod tests;

pub use changes::{Changes, changes, fields_after};
pub use judged::{Answer, Judged};
pub use stated::Stated;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{JudgedEndpoint, Rulebook};
use crate::dns::Dns;
use crate::examination::{Examine, Examiner};
pub use crate::ingress::Stage;
use crate::message::{Envelope, Findings, Need, SessionFacts};
use crate::policy::{PolicyTrace, Verdict};
use crate::smtp::{Address, Reply};
use crate::telemetry::{Format, Log};

/// What is known of a message and of who brings it.
#[derive(Clone, Debug)]
pub struct Given {
    /// Who brings it. Without a name in `helo` the client says its address.
    pub session: SessionFacts,
    /// From whom, and to whom the client wants to send it.
    pub envelope: Envelope,
    /// The message, its lines ended by CRLF: see [`with_line_ends`].
    pub content: Bytes,
    /// What is known without asking.
    pub findings: Findings,
    /// What the client says with SIZE; its real size unless given.
    pub declared_size: Option<u64>,
    /// Accepted domains instead of the rulebook's. Without them, where those are the verified identities of SES, every domain is one.
    pub accepted_domains: Option<Vec<Arc<str>>>,
}

/// Where it is looked up what is not given.
#[derive(Clone, Copy, Debug)]
pub enum LookUps<'a> {
    /// Nowhere: what is not given is not known.
    NoneGiven,
    /// DNS and analyzers are asked, as in service.
    Examiner(&'a dyn Examine),
}

/// What came of it, in the order in which it happens.
#[derive(Debug)]
pub struct Trial {
    /// What the client says, and hears.
    pub dialogue: Vec<Exchange>,
    /// What the policy said before RCPT.
    pub stages: Vec<StageTrial>,
    /// One for each recipient, in the order of the envelope that was given, whether the client came so far as to name it or not.
    pub recipients: Vec<RcptTrial>,
    /// What the rules made of it; `None`: it has not come so far.
    pub judged: Option<Judged>,
    /// What matters and is not known. Where this is not empty, the rest is what would be if it did not stand in the way.
    pub lacking: BTreeSet<Need>,
    /// What was taken for granted.
    pub assumptions: Vec<String>,
    /// All that was known in the end.
    pub findings: Findings,
}

/// Something said and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The client's line; empty before the greeting, `.` for the message.
    pub said: String,
    /// What the gateway answers; `None` where that is for a next hop to say, or not known.
    pub reply: Option<Reply>,
}

/// The policy, asked.
#[derive(Debug)]
pub struct StageTrial {
    /// When.
    pub stage: Stage,
    /// What it saw.
    pub trace: PolicyTrace,
    /// What it said.
    pub verdict: Verdict,
    /// The refusal that follows, if one does.
    pub refusal: Option<Reply>,
}

/// What became of a recipient at RCPT.
#[derive(Debug)]
pub struct RcptTrial {
    /// As given.
    pub address: Address,
    /// The policy, if the session has come so far as to ask it.
    pub policy: Option<StageTrial>,
    /// What the client hears; `None`: it was refused before.
    pub reply: Option<Reply>,
    /// What would have to be known.
    pub lacking: BTreeSet<Need>,
}

/// What would have to be known to judge a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking(pub BTreeSet<Need>);

/// Judges a message.
pub async fn run(rulebook: &Rulebook, endpoint: &JudgedEndpoint, given: Given, look_ups: LookUps<'_>) -> Trial {
    dialogue::Client::new(rulebook, endpoint, given, look_ups).run().await
}

/// Who is asked in service: the rulebook's DNS servers and analyzers. What they say goes into no log.
///
/// # Errors
/// Where the servers of the system are not known.
pub fn examiner(rulebook: &Rulebook) -> Result<Examiner, String> {
    let dns = Dns::new(&rulebook.resolver).map_err(|error| error.to_string())?;
    Ok(Examiner::new(dns, rulebook.analyzers.clone(), Log::new(Format::Json, std::io::sink())))
}

impl Trial {
    /// The trial, if everything that matters was known.
    ///
    /// # Errors
    /// What was not.
    pub fn complete(self) -> Result<Self, Lacking> {
        if self.lacking.is_empty() { Ok(self) } else { Err(Lacking(self.lacking)) }
    }

    /// What the client hears in the end: the last refusal, or the reply to the message. `None` where that is for a next hop to say, or
    /// not known.
    pub fn reply(&self) -> Option<&Reply> {
        let decisive = |exchange: &&Exchange| exchange.said != "QUIT" && exchange.said != "DATA";
        self.dialogue.iter().rev().find(decisive).and_then(|exchange| exchange.reply.as_ref())
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for need in &self.0 {
            write!(f, "{separator}{need}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl std::error::Error for Lacking {}

/// A message whose lines end with CRLF, as in SMTP; files often have LF alone.
pub fn with_line_ends(content: &[u8]) -> Cow<'_, [u8]> {
    let is_bare = |(at, byte): (usize, &u8)| match byte {
        b'\n' => at.checked_sub(1).and_then(|before| content.get(before)) != Some(&b'\r'),
        b'\r' => at.checked_add(1).and_then(|behind| content.get(behind)) != Some(&b'\n'),
        _ => false,
    };
    if !content.iter().enumerate().any(is_bare) {
        return Cow::Borrowed(content);
    }
    let mut out = Vec::with_capacity(content.len().saturating_add(content.len() / 32));
    let mut bytes = content.iter().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' => {
                bytes.next_if(|next| **next == b'\n');
                out.extend_from_slice(b"\r\n");
            }
            b'\n' => out.extend_from_slice(b"\r\n"),
            byte => out.push(*byte),
        }
    }
    Cow::Owned(out)
}
