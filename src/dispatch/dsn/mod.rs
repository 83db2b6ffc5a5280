//! Delivery status notifications (RFC 3461, RFC 3464): who is told of what.
//!
//! - Never to the null path (RFC 5321 §4.5.5), never about a notification, never more than a rate, never of what the sender does not
//!   want to be told of (`NOTIFY`, RFC 3461 §4.1): what is held back is in the log.
//! - Of a failure and of a delay the sender is told unless he said otherwise. Of a delivery only if he asked, and only where the
//!   next hop does not take it upon itself (RFC 3461 §5.2.2).
//! - Nobody is told of mail that failed authentication ([`origin`]), and of one message in one notification ([`super::gather`]).
//! - A message with REQUIRETLS must not leak by its notification (RFC 8689 §5): that returns nothing of it but what names it.

mod compose;
mod origin;
mod rate;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::time::Instant;

use self::compose::{Report, compose};
pub(super) use self::origin::Origin;
pub(super) use self::rate::Rate;
use super::Dispatcher;
use super::gather::{Member, Turn};
use super::job::{JobState, Pending, StoredEnvelope};
use super::take::Judged;
use crate::failure::Side;
use crate::message::{Content, MessageId, Original};
use crate::relay::{Accepted, INTERNET, NextHops};
use crate::rules::OnFailure;
use crate::smtp::{Address, MailTerms, Notify, OriginalRecipient, Recipient, Reply, ReversePath, Status};
use crate::spool::{NewEntry, NewJob, Spool, SpoolError, UnixMillis};
use crate::telemetry::Event;

const TO_NOBODY: &str = "not sent: the sender is the null path";
const FORGED: &str = "not sent: the message failed authentication, the sender may be forged";
const NOT_WANTED: &str = "not sent: the sender does not want it (NOTIFY)";

/// What a notification says (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Will not be delivered.
    Failed,
    /// Not delivered yet.
    Delayed,
    /// Given to a next hop that will not tell of the delivery.
    Relayed,
}

impl Kind {
    fn action(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Relayed => "relayed",
        }
    }

    fn is_wanted(self, notify: Notify) -> bool {
        match self {
            Self::Failed => notify.failure,
            Self::Delayed => notify.delay,
            Self::Relayed => notify.success,
        }
    }
}

/// One recipient of a notification.
#[derive(Debug)]
pub(super) struct Entry {
    /// As the sender wrote it.
    original: Address,
    /// As the sender names it, if he said so.
    name: Option<OriginalRecipient>,
    /// As it was, or was to be, delivered.
    finally: Address,
    reply: Reply,
    /// The reply is a next hop's (else it is ours).
    remote: bool,
    /// The next hop that gave it.
    host: Option<Arc<str>>,
    /// When it was asked.
    tried: Option<UnixMillis>,
    /// Until when it will be tried again.
    until: Option<UnixMillis>,
}

/// Entries for recipients of which the sender wants to be told that they failed, or wait until some time.
pub(super) fn entries(envelope: &StoredEnvelope, kind: Kind, failed: &[Pending], until: Option<UnixMillis>) -> Vec<Entry> {
    let unknown = || Reply::fixed(550, Status(5, 0, 0), "Delivery failed");
    let entry = |pending: &Pending| {
        let last = pending.last.as_ref();
        let reply = last.map_or_else(unknown, |failure| failure.reply.clone());
        let mut entries = wanted(envelope, kind, pending, &reply, last.is_some_and(|failure| failure.side == Side::Relay));
        entries.iter_mut().for_each(|entry| entry.until = until);
        entries
    };
    failed.iter().flat_map(entry).collect()
}

/// Entries for a recipient that was delivered, if the sender wants to be told and the next hop does not do it.
pub(super) fn relayed(envelope: &StoredEnvelope, state: &JobState, pending: &Pending, accepted: &Accepted) -> Vec<Entry> {
    // What a rule does besides is not the sender's business, neither in failure nor in success.
    if state.on_failure != OnFailure::Bounce || state.leaves_success_to(accepted) {
        return Vec::new();
    }
    let mut entries = wanted(envelope, Kind::Relayed, pending, &accepted.reply, true);
    entries.iter_mut().for_each(|entry| entry.host = Some(Arc::clone(&accepted.host)));
    entries
}

fn wanted(envelope: &StoredEnvelope, kind: Kind, pending: &Pending, reply: &Reply, remote: bool) -> Vec<Entry> {
    let originals = envelope.originals(pending).filter(|original| kind.is_wanted(original.notify()));
    let entry = |original: &Recipient| Entry {
        original: original.address.clone(),
        name: original.parameters.original.clone(),
        finally: pending.address.clone(),
        reply: reply.clone(),
        remote,
        host: pending.host.clone().filter(|_| remote),
        tried: pending.tried,
        until: None,
    };
    originals.map(entry).collect()
}

/// Why the sender was not told.
#[derive(Debug)]
pub(super) enum Untold {
    /// The notification could not be stored.
    Spool(SpoolError),
    /// Another job of the message was to tell, and could not.
    ByAnother,
}

impl std::fmt::Display for Untold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::ByAnother => f.write_str("the notification of several jobs could not be stored"),
        }
    }
}

#[cfg(test)]
impl Entry {
    /// One that differs from others by its number.
    pub(super) fn simulated(number: u32) -> Self {
        let address = Address::parse(&format!("r{number}@acme.example"), false).unwrap();
        let reply = Reply::fixed(550, Status(5, 1, 1), "No such user");
        Self { original: address.clone(), name: None, finally: address, reply, remote: true, host: None, tried: None, until: None }
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// The job that tells the sender of recipients that were refused beside others that were taken (RFC 5321 §6.1).
    pub(super) fn notice(&self, judged: &Judged, refused: Vec<Pending>) -> Option<JobState> {
        if refused.is_empty() {
            return None;
        }
        let reason = if judged.envelope.reverse_path == ReversePath::Null {
            TO_NOBODY
        } else if entries(&judged.envelope, Kind::Failed, &refused, None).is_empty() {
            NOT_WANTED
        } else {
            return Some(JobState::notice(refused));
        };
        self.report_dsn(judged.id(), &judged.envelope.reverse_path, Kind::Failed, None, Some(reason));
        None
    }

    /// Stores a notification to the sender; returns after it is on stable storage. Without entries there is nobody to be told of,
    /// which is worth a line where the sender is told by default.
    pub(super) async fn notify(
        &self,
        about: MessageId,
        envelope: &StoredEnvelope,
        original: &Original,
        kind: Kind,
        entries: Vec<Entry>,
    ) -> Result<(), SpoolError> {
        let report = |notification, detail| self.report_dsn(about, &envelope.reverse_path, kind, notification, detail);
        let ReversePath::Address(sender) = &envelope.reverse_path else {
            if kind != Kind::Relayed {
                report(None, Some(TO_NOBODY));
            }
            return Ok(());
        };
        if entries.is_empty() {
            if kind != Kind::Relayed {
                report(None, Some(NOT_WANTED));
            }
            return Ok(());
        }
        if self.is_forged(about, envelope, original).await {
            report(None, Some(FORGED));
            return Ok(());
        }
        // Who has logged in can only harm himself.
        let victim = envelope.origin.as_ref().map(|_| sender.as_str());
        let admitted = self.dsn_rate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).admit(kind, victim, Instant::now());
        if let Err(why) = admitted {
            report(None, Some(why));
            return Ok(());
        }
        let id = MessageId { session: self.ids.next(self.now()), number: 1 };
        self.spool.append(self.notification(id, sender, envelope, original, kind, &entries)).await?;
        report(Some(id), None);
        Ok(())
    }

    /// Tells the sender of failures, together with what else of the message fails while it is tried.
    pub(super) async fn notify_of_failure(
        &self,
        member: &mut Member,
        about: MessageId,
        envelope: &StoredEnvelope,
        original: &Original,
        failed: &[Pending],
    ) -> Result<(), Untold> {
        let entries = entries(envelope, Kind::Failed, failed, None);
        if entries.is_empty() || envelope.reverse_path == ReversePath::Null {
            return self.notify(about, envelope, original, Kind::Failed, entries).await.map_err(Untold::Spool);
        }
        match member.fail(entries).await {
            Turn::Told(true) => Ok(()),
            Turn::Told(false) => Err(Untold::ByAnother),
            Turn::Tell(entries, word) => {
                let result = self.notify(about, envelope, original, Kind::Failed, entries).await;
                word.say(result.is_ok());
                result.map_err(Untold::Spool)
            }
        }
    }

    /// Tells the sender of deliveries. They are done, and nothing is undone if it fails: that is logged.
    pub(super) async fn notify_of_relayed(&self, about: MessageId, envelope: &StoredEnvelope, original: &Original, entries: Vec<Entry>) {
        if let Err(error) = self.notify(about, envelope, original, Kind::Relayed, entries).await {
            self.log.emit(&Event::Problem { what: "dsn", detail: &format!("message {about}: {error}") });
        }
    }

    fn report_dsn(&self, about: MessageId, to: &ReversePath, kind: Kind, notification: Option<MessageId>, detail: Option<&str>) {
        self.log.emit(&Event::Dsn { session: about.session, message: about, to, kind: kind.action(), notification, detail });
    }

    fn notification(
        &self,
        id: MessageId,
        sender: &Address,
        about: &StoredEnvelope,
        original: &Original,
        kind: Kind,
        entries: &[Entry],
    ) -> NewEntry {
        let snapshot = self.snapshot.load();
        let lane = snapshot.bounce_relay.clone().unwrap_or_else(|| INTERNET.into());
        let report =
            Report { hostname: &snapshot.hostname, id, to: sender, kind, terms: &about.terms, arrived: about.arrived, entries, original };
        let content = compose(&report, OffsetDateTime::now_utc());
        let eight_bit = !content.is_ascii();
        // Its header fields are ASCII but for the sender's address; what it returns is body (RFC 6533 §5).
        let envelope = StoredEnvelope::new(
            ReversePath::Null,
            vec![sender.clone().into()],
            !sender.is_ascii(),
            eight_bit,
            Bytes::new(),
            snapshot.hash.clone(),
            MailTerms { require_tls: about.terms.require_tls, ..MailTerms::default() },
        );
        let state = JobState::notification(lane.clone(), sender.clone());
        NewEntry {
            id,
            envelope: envelope.encode(),
            content: Content::from(Bytes::from(content)),
            jobs: vec![NewJob { lane, due: self.now(), state: state.encode() }],
        }
    }
}
