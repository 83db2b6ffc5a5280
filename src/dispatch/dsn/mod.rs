//! Delivery status notifications (RFC 3461, RFC 3464): who is told of what.
//!
//! - Never to the null path (RFC 5321 §4.5.5), never about a notification, never more than a rate, never of what the sender does not
//!   want to be told of (`NOTIFY`, RFC 3461 §4.1): what is held back is in the log.
//! - Of a failure and of a delay the sender is told unless he said otherwise. Of a delivery only if he asked, and only where the
//!   next hop does not take it upon itself (RFC 3461 §5.2.2).
//! - A message with REQUIRETLS must not leak by its notification (RFC 8689 §5): that returns nothing of it but what names it.

mod compose;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::time::Instant;

use self::compose::{Report, compose};
use super::Dispatcher;
use super::job::{JobState, Pending, StoredEnvelope};
use super::take::Judged;
use crate::failure::Side;
use crate::limits::{DSN_PER_MINUTE_MAX, DSN_RELAYED_PER_MINUTE_MAX};
use crate::message::{Content, MessageId, Original};
use crate::relay::{Accepted, INTERNET, NextHops};
use crate::rules::OnFailure;
use crate::smtp::{Address, MailTerms, Notify, OriginalRecipient, Recipient, Reply, ReversePath, Status};
use crate::spool::{NewEntry, NewJob, Spool, SpoolError};
use crate::telemetry::Event;

const TO_NOBODY: &str = "not sent: the sender is the null path";
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
}

/// Entries for recipients of which the sender wants to be told that they failed, or wait.
pub(super) fn entries(envelope: &StoredEnvelope, kind: Kind, failed: &[Pending]) -> Vec<Entry> {
    let unknown = || Reply::fixed(550, Status(5, 0, 0), "Delivery failed");
    let entry = |pending: &Pending| {
        let last = pending.last.as_ref();
        let reply = last.map_or_else(unknown, |failure| failure.reply.clone());
        wanted(envelope, kind, pending, &reply, last.is_some_and(|failure| failure.side == Side::Relay))
    };
    failed.iter().flat_map(entry).collect()
}

/// Entries for a recipient that was delivered, if the sender wants to be told and the next hop does not do it.
pub(super) fn relayed(envelope: &StoredEnvelope, state: &JobState, pending: &Pending, accepted: &Accepted) -> Vec<Entry> {
    // What a rule does besides is not the sender's business, neither in failure nor in success.
    if state.on_failure != OnFailure::Bounce || state.leaves_success_to(accepted) {
        return Vec::new();
    }
    wanted(envelope, Kind::Relayed, pending, &accepted.reply, true)
}

fn wanted(envelope: &StoredEnvelope, kind: Kind, pending: &Pending, reply: &Reply, remote: bool) -> Vec<Entry> {
    let originals = envelope.originals(pending).filter(|original| kind.is_wanted(original.notify()));
    let entry = |original: &Recipient| Entry {
        original: original.address.clone(),
        name: original.parameters.original.clone(),
        finally: pending.address.clone(),
        reply: reply.clone(),
        remote,
    };
    originals.map(entry).collect()
}

/// Notifications made in the current minute.
#[derive(Debug, Default)]
pub(super) struct Rate {
    minute: Option<Instant>,
    made: u32,
}

impl Rate {
    /// What says that all is well, which everybody can ask for with every message, leaves room for what does not.
    fn admit(&mut self, kind: Kind, now: Instant) -> bool {
        if self.minute.is_none_or(|begin| now.duration_since(begin) >= Duration::from_secs(60)) {
            *self = Self { minute: Some(now), made: 0 };
        }
        let most = if kind == Kind::Relayed { DSN_RELAYED_PER_MINUTE_MAX } else { DSN_PER_MINUTE_MAX };
        let admitted = self.made < most;
        self.made = self.made.saturating_add(u32::from(admitted));
        admitted
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
        } else if entries(&judged.envelope, Kind::Failed, &refused).is_empty() {
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
        if !self.dsn_rate.lock().unwrap_or_else(std::sync::PoisonError::into_inner).admit(kind, Instant::now()) {
            report(None, Some("not sent: too many notifications in this minute"));
            return Ok(());
        }
        let id = MessageId { session: self.ids.next(self.now()), number: 1 };
        self.spool.append(self.notification(id, sender, envelope, original, kind, &entries)).await?;
        report(Some(id), None);
        Ok(())
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
        let report = Report { hostname: &snapshot.hostname, id, to: sender, kind, terms: &about.terms, entries, original };
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
