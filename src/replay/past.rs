//! A message of the past: what is known of it, and what is not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Envelope, Findings, Need, SessionFacts};

/// A message that was received once, ready to be judged again.
#[derive(Clone, Debug)]
pub(super) struct Past {
    /// Where it was found: a file, a number in an mbox, an id of the log.
    pub(super) place: String,
    /// Its Message-ID field, shortened.
    pub(super) message_id: Option<String>,
    /// The endpoint that took it, where the source says so.
    pub(super) endpoint: Option<Arc<str>>,
    /// Who brought it; what is not known there is told by `known`.
    pub(super) session: SessionFacts,
    /// From whom and to whom. All that were tried in RCPT, refused or not.
    pub(super) envelope: Envelope,
    /// What came after DATA.
    pub(super) content: PastContent,
    /// What is known from then.
    pub(super) findings: Findings,
    /// Which of all this is known.
    pub(super) known: Known,
    /// What the log says of how it was judged.
    pub(super) then: Option<Then>,
    /// What was guessed.
    pub(super) guesses: Guesses,
}

/// What came after DATA.
#[derive(Clone, Debug)]
pub(super) enum PastContent {
    /// The message itself.
    Whole(Bytes),
    /// So many octets, and what stands here of its header.
    Octets(u64, Bytes),
    /// Nothing is known of it, not even its size.
    Unknown,
}

/// What is known of a message. Conditions on anything else are tried both ways.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Known {
    /// The client's address.
    pub(super) client_ip: bool,
    /// Its HELO.
    pub(super) helo: bool,
    /// The sender.
    pub(super) mail_from: bool,
    /// Whether there was TLS, and its version.
    pub(super) tls: bool,
    /// Whether TLS was there from the first octet.
    pub(super) tls_wrapped: bool,
    /// The client's certificate.
    pub(super) certificate: bool,
    /// Whether the client had logged in.
    pub(super) authenticated: bool,
    /// Header and body.
    pub(super) content: bool,
    /// The Message-ID field; known with the content, or alone.
    pub(super) message_id: bool,
    /// How many octets.
    pub(super) size: bool,
    /// What was looked up then.
    pub(super) found: BTreeSet<Need>,
    /// Whether all else is asked for when it is needed.
    pub(super) is_asked: bool,
}

/// What the log says of how a message was judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Then {
    /// Who was accepted at RCPT.
    pub(super) accepted: BTreeSet<String>,
    /// Whether the rules were asked: the message came whole.
    pub(super) is_judged: bool,
    /// The rules that matched, each for these.
    pub(super) rules: BTreeMap<String, BTreeSet<String>>,
}

/// What of an envelope was guessed, because the source does not say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Guesses {
    /// The client and its HELO, from a Received field that another server wrote.
    pub(super) client: bool,
    /// The sender, from the header.
    pub(super) mail_from: bool,
    /// The recipients, from To and Cc.
    pub(super) recipients: bool,
}

/// Something that cannot be judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Where.
    pub place: String,
    /// Why.
    pub why: String,
}

impl PassedOver {
    /// One at a place, for a reason.
    pub fn new(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into() }
    }
}
