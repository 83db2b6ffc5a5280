//! What the spool keeps for dispatch: the envelope of a message and the state of each of its jobs, as versioned JSON.
//!
//! What came later than version 1 and may be missing has a default, so that what an earlier program stored is still read.
//!
//! The stored content is what the client sent. A job's header changes are kept as changes, so that groups of recipients share one body.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::dsn::Origin;
use crate::blocks::reading;
use crate::failure::Failure;
use crate::message::{Content, Edits, MessageId, Original};
use crate::relay::{Accepted, Attempt, Delivery};
use crate::rules::{MailFrom, OnFailure, Step, StepAction};
use crate::smtp::{Address, MailTerms, Notify, OriginalRecipient, Recipient, ReversePath};
use crate::spool::UnixMillis;

const VERSION: u32 = 1;

/// The lane of notices. No relay has this name: in `gateway.yaml` it is no name.
const NOTICES: &str = "(notices)";

/// What is the same for all jobs of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StoredEnvelope {
    version: u32,
    pub(super) reverse_path: ReversePath,
    /// As given in RCPT.
    pub(super) recipients: Vec<Recipient>,
    pub(super) smtputf8: bool,
    pub(super) eight_bit: bool,
    /// What we put on top, but for the seal, which depends on the step: Authentication-Results, Received-SPF, Received.
    #[serde(with = "latin1")]
    pub(super) trace: Bytes,
    /// The configuration that judged it.
    pub(super) config: Arc<str>,
    /// What the sender asks for the message as a whole.
    #[serde(default, skip_serializing_if = "MailTerms::is_empty")]
    pub(super) terms: MailTerms,
    /// When it came; 0 in what earlier programs stored.
    #[serde(default, skip_serializing_if = "is_unknown")]
    pub(super) arrived: UnixMillis,
    /// Who brought it, if a stranger did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

/// One step of a plan and how far it has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct JobState {
    version: u32,
    pub(super) rule: Arc<str>,
    pub(super) relay: Arc<str>,
    mail_from: MailFrom,
    pub(super) on_failure: OnFailure,
    added: Vec<Latin1>,
    removed: Vec<usize>,
    replaced: Vec<(usize, Latin1)>,
    /// The ARC set over the message with these changes; made once, so that every attempt sends the same octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal: Option<Latin1>,
    /// The address of ours that stands for the sender; made once, as long as its keys may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sender: Option<Address>,
    /// Those that are still to be delivered.
    pub(super) recipients: Vec<Pending>,
    /// Attempts made before it was stored.
    pub(super) attempts: u32,
    /// Attempts that were none: the relay took nothing at the time. They do not lengthen the wait for the next.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) untried: u32,
    /// The sender was told of the delay.
    pub(super) delay_notified: bool,
}

/// A recipient that is still to be delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    pub(super) address: Address,
    /// Positions in [`StoredEnvelope::recipients`].
    pub(super) originals: Vec<usize>,
    /// What the last attempt met.
    pub(super) last: Option<Failure>,
    /// The next hop that said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<Arc<str>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tried: Option<UnixMillis>,
    /// It is not tried before this time, though others of the job may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) not_before: Option<UnixMillis>,
}

impl Pending {
    /// A recipient that stands for these of the envelope.
    pub(super) fn new(address: Address, originals: Vec<usize>) -> Self {
        Self { address, originals, last: None, host: None, tried: None, not_before: None }
    }

    /// Remembers what an attempt met.
    pub(super) fn fail(&mut self, failure: &Arc<Failure>, attempts: &[Attempt], now: UnixMillis) {
        let is_it = |attempt: &&Attempt| matches!(&attempt.result, Err(met) if Arc::ptr_eq(met, failure));
        let attempt = attempts.iter().rev().find(is_it).or(attempts.last());
        self.host = attempt.filter(|attempt| attempt.address.is_some()).map(|attempt| Arc::clone(&attempt.host));
        self.tried = Some(now);
        self.last = Some(Failure::clone(failure));
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A stored form that this version does not understand.
#[derive(Debug)]
pub(super) struct Unreadable(pub(super) String);

impl StoredEnvelope {
    pub(super) fn new(
        reverse_path: ReversePath,
        recipients: Vec<Recipient>,
        smtputf8: bool,
        eight_bit: bool,
        trace: Bytes,
        config: Arc<str>,
        terms: MailTerms,
    ) -> Self {
        Self { version: VERSION, reverse_path, recipients, smtputf8, eight_bit, trace, config, terms, arrived: 0, origin: None }
    }

    pub(super) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        decode(bytes, |envelope: &Self| envelope.version)
    }

    /// The envelope recipients that a pending one stands for.
    pub(super) fn originals<'a>(&'a self, pending: &'a Pending) -> impl Iterator<Item = &'a Recipient> {
        pending.originals.iter().filter_map(|position| self.recipients.get(*position))
    }
}

impl JobState {
    /// The job of a step, with the seal for its message and the address that may stand for its sender.
    pub(super) fn new(step: &Step, seal: Option<&Bytes>, sender: Option<&Address>) -> Self {
        let StepAction::SmtpRelay { relay, mail_from } = &step.action;
        Self {
            version: VERSION,
            rule: Arc::clone(&step.rule),
            relay: Arc::clone(relay),
            mail_from: mail_from.clone(),
            on_failure: step.on_failure,
            added: step.edits.added.iter().cloned().map(Latin1).collect(),
            removed: step.edits.removed.clone(),
            replaced: step.edits.replaced.iter().map(|(position, field)| (*position, Latin1(field.clone()))).collect(),
            seal: seal.cloned().map(Latin1),
            sender: sender.filter(|_| *mail_from == MailFrom::Srs).cloned(),
            recipients: step.recipients.iter().map(|one| Pending::new(one.address.clone(), one.originals.clone())).collect(),
            attempts: 0,
            untried: 0,
            delay_notified: false,
        }
    }

    /// The job of a notification, which is complete as it stands.
    pub(super) fn notification(relay: Arc<str>, to: Address) -> Self {
        let to = Pending::new(to, vec![0]);
        Self::of_gateway(relay, OnFailure::Drop, vec![to])
    }

    /// The job of a daily report, which is complete as it stands; that it cannot be delivered is nobody's concern.
    pub(super) fn report(rule: &str, relay: Arc<str>, to: Address) -> Self {
        Self { rule: rule.into(), ..Self::notification(relay, to) }
    }

    /// The job of telling the sender that these recipients were refused, each for its `last`, while others of the message were taken.
    /// It is stored with the message, so that there is never one without the other.
    pub(super) fn notice(refused: Vec<Pending>) -> Self {
        Self::of_gateway(NOTICES.into(), OnFailure::Bounce, refused)
    }

    /// A job that no rule planned.
    fn of_gateway(relay: Arc<str>, on_failure: OnFailure, recipients: Vec<Pending>) -> Self {
        Self {
            version: VERSION,
            rule: "dsn".into(),
            relay,
            mail_from: MailFrom::Preserve,
            on_failure,
            added: Vec::new(),
            removed: Vec::new(),
            replaced: Vec::new(),
            seal: None,
            sender: None,
            recipients,
            attempts: 0,
            untried: 0,
            delay_notified: true,
        }
    }

    pub(super) fn is_notice(&self) -> bool {
        &*self.relay == NOTICES
    }

    /// The same step for these recipients only.
    pub(super) fn for_recipients(&self, recipients: Vec<Pending>) -> Self {
        Self { recipients, ..self.clone() }
    }

    /// Takes out those whose time has not come; nobody, if it has come for none: then the attempt is an order.
    pub(super) fn set_aside(&mut self, now: UnixMillis) -> Vec<Pending> {
        let has_come = |pending: &Pending| pending.not_before.is_none_or(|at| at <= now);
        if !self.recipients.iter().any(has_come) {
            return Vec::new();
        }
        let (due, aside) = std::mem::take(&mut self.recipients).into_iter().partition(has_come);
        self.recipients = due;
        aside
    }

    pub(super) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        decode(bytes, |state: &Self| state.version)
    }

    /// What the relay is to do for those that are left.
    pub(super) fn delivery(&self, id: MessageId, hostname: &str, envelope: &StoredEnvelope, original: &Original) -> Delivery {
        Delivery {
            message: id,
            reverse_path: self.reverse_path(hostname, &envelope.reverse_path),
            recipients: self.recipients.iter().map(|pending| self.recipient(envelope, pending)).collect(),
            content: self.content(envelope, original),
            // RFC 6531 §3.4: what needs the extension is addresses and header fields; all else travels without. The relay looks
            // at the addresses itself.
            smtputf8: envelope.smtputf8 && self.has_utf8_fields(original),
            eight_bit: envelope.eight_bit,
            terms: envelope.terms.clone(),
        }
    }

    /// RCPT for the next hop. A recipient that a rule replaced keeps the name that its sender knows, and where the sender gave
    /// none, the address that he gave is the name (RFC 3461 §5.2.1; Postfix does so as well).
    fn recipient(&self, envelope: &StoredEnvelope, pending: &Pending) -> Recipient {
        let mut originals = envelope.originals(pending);
        let first = originals.next();
        let mut parameters = first.map(|first| first.parameters.clone()).unwrap_or_default();
        originals.for_each(|other| parameters.unite(&other.parameters));
        if parameters.original.is_none() {
            parameters.original = first.map(|first| OriginalRecipient::of(&first.address));
        }
        if self.hides_sender() {
            // Who is not named as the sender cannot be told by the next hop: that is for us to do.
            parameters.notify = parameters.notify.map(|notify| Notify { success: false, ..notify });
        }
        Recipient { address: pending.address.clone(), parameters }
    }

    /// Whether a next hop with DSN tells the sender of deliveries.
    pub(super) fn leaves_success_to(&self, accepted: &Accepted) -> bool {
        accepted.dsn && !self.hides_sender()
    }

    fn hides_sender(&self) -> bool {
        self.mail_from == MailFrom::Replace
    }

    /// Whether the header as it goes out, or that of a MIME part, has octets outside US-ASCII. Our own fields have none.
    fn has_utf8_fields(&self, original: &Original) -> bool {
        let stays = |at: &usize| !self.removed.contains(at) && !self.replaced.iter().any(|(replaced, _)| replaced == at);
        let fields = original.fields().iter().enumerate().filter(|(at, _)| stays(at)).map(|(_, field)| original.slice(field.whole.clone()));
        let made = self.added.iter().chain(self.replaced.iter().map(|(_, field)| field)).map(|field| field.0.as_ref());
        fields.chain(made).any(|field| !field.is_ascii()) || original.has_8bit_part_header()
    }

    fn content(&self, envelope: &StoredEnvelope, original: &Original) -> Content {
        let edits = Edits {
            added: self.added.iter().map(|field| field.0.clone()).collect(),
            removed: self.removed.clone(),
            replaced: self.replaced.iter().map(|(position, field)| (*position, field.0.clone())).collect(),
        };
        let Some(seal) = &self.seal else { return edits.render(original, envelope.trace.clone()) };
        let mut content = Content::from(seal.0.clone());
        edits.render(original, envelope.trace.clone()).pieces().iter().cloned().for_each(|piece| content.push_piece(piece));
        content
    }

    fn reverse_path(&self, hostname: &str, sender: &ReversePath) -> ReversePath {
        match (&self.mail_from, sender) {
            // RFC 5321 §4.5.5: a notification stays one.
            (_, ReversePath::Null) => ReversePath::Null,
            (MailFrom::Srs, sender) => self.sender.clone().map_or_else(|| sender.clone(), ReversePath::Address),
            (MailFrom::Preserve, sender) => sender.clone(),
            (MailFrom::Replace, _) => {
                Address::parse(&format!("postmaster@{hostname}"), false).map_or(ReversePath::Null, ReversePath::Address)
            }
        }
    }
}

/// Has what [`JobState::delivery`] asks of a whole message found out, if it is stored, without holding up the runtime.
pub(super) async fn look_into_parts(envelope: &StoredEnvelope, original: &Original) {
    if envelope.smtputf8 && original.data().is_stored() {
        let original = original.clone();
        // What cannot be read is noted in it.
        let _ = reading(move || Ok(original.has_8bit_part_header())).await;
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks in this way")]
fn is_unknown(time: &UnixMillis) -> bool {
    *time == 0
}

fn encode(value: &impl Serialize) -> Bytes {
    // Plain data with text keys: serialising it into memory cannot fail.
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8], version: fn(&T) -> u32) -> Result<T, Unreadable> {
    let value: T = serde_json::from_slice(bytes).map_err(|error| Unreadable(error.to_string()))?;
    match version(&value) {
        VERSION => Ok(value),
        other => Err(Unreadable(format!("format {other} is not known"))),
    }
}

/// Header bytes in JSON: each byte is the character of the same number.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Latin1(#[serde(with = "latin1")] Bytes);

mod latin1 {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        // Nearly always: our own fields are ASCII.
        match std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
        bytes.map(Bytes::from).map_err(|_| serde::de::Error::custom("a character beyond 8 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_and_other_versions_are_refused() {
        let all: Vec<u8> = (0..=255).collect();
        let terms = MailTerms::default();
        let envelope = StoredEnvelope::new(ReversePath::Null, Vec::new(), true, true, all.clone().into(), "cafe".into(), terms);
        let stored = envelope.encode();
        assert_eq!(StoredEnvelope::decode(&stored).unwrap().trace, all);
        let newer = String::from_utf8(stored.to_vec()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(StoredEnvelope::decode(newer.as_bytes()).is_err());
    }
}
