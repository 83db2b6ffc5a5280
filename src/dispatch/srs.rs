//! The Sender Rewriting Scheme: senders that get an address of ours, and bounces for such addresses on their way back.

use std::sync::Arc;

use super::take::Judged;
use super::{Dispatcher, Incoming};
use crate::config::Snapshot;
use crate::failure::{Failure, Side};
use crate::message::{Edits, Original, Rewritten, Srs};
use crate::relay::{INTERNET, NextHops};
use crate::rules::{Disposition, MailFrom, OnFailure, Plan, PlannedRecipient, Step, StepAction, StepRecipient};
use crate::smtp::{Address, Recipient, Reply, ReversePath, Status};
use crate::spool::Spool;
use crate::telemetry::Event;

const DAY_MS: u64 = 86_400_000;

/// A recipient that is an address of ours, and the sender that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Return {
    /// As given in RCPT.
    pub ours: Address,
    /// Where it leads.
    pub to: Address,
}

/// Days since the epoch.
pub(crate) fn day(unix_millis: u64) -> u64 {
    unix_millis / DAY_MS
}

/// Recipients of a message that no rule set routes: bounces go back to the sender, whatever rules say of other mail.
pub(super) struct Returning(Vec<(Recipient, Address)>);

impl Returning {
    /// Takes them out of the envelope, so that the rules do not see them.
    pub(super) fn take_out(incoming: &mut Incoming) -> Self {
        let returns = std::mem::take(&mut incoming.returns);
        let mut returning = Vec::new();
        incoming.envelope.recipients.retain(|recipient| {
            let found = returns.iter().find(|one| one.ours == recipient.address);
            returning.extend(found.map(|one| (recipient.clone(), one.to.clone())));
            found.is_none()
        });
        Self(returning)
    }

    /// Puts them back behind the others, each with a step of its own: the exchangers are those of one domain.
    pub(super) fn put_back(self, incoming: &mut Incoming, original: &Original, plan: &mut Plan) {
        let relay: Arc<str> = incoming.snapshot.bounce_relay.clone().unwrap_or_else(|| INTERNET.into());
        for (recipient, to) in self.0 {
            plan.steps.push(Step {
                rule: "srs".into(),
                action: StepAction::SmtpRelay { relay: Arc::clone(&relay), mail_from: MailFrom::Preserve },
                recipients: vec![StepRecipient { address: to, originals: vec![plan.recipients.len()] }],
                edits: Arc::new(Edits::of_disbelieved(original)),
                on_failure: OnFailure::Bounce,
            });
            plan.recipients.push(PlannedRecipient { address: recipient.address.clone(), disposition: Disposition::Planned });
            incoming.envelope.recipients.push(recipient);
        }
    }
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// The address that stands for the sender, where a step asks for one: made once, so that every attempt sends the same. Without the key
    /// nothing is sent: a bounce could not come back.
    pub(super) async fn rewritten_sender(&self, judged: &Judged) -> Result<Option<Address>, Failure> {
        let asks = |step: &Step| matches!(step.action, StepAction::SmtpRelay { mail_from: MailFrom::Srs, .. });
        let ReversePath::Address(sender) = &judged.envelope.reverse_path else { return Ok(None) };
        if !judged.plan.steps.iter().any(asks) {
            return Ok(None);
        }
        let snapshot = &judged.incoming.snapshot;
        // What the configuration has checked.
        let Some(config) = &snapshot.srs else { return Err(no_key("there is no section `srs`")) };
        if is_own(snapshot, sender) {
            self.report_srs(judged, sender, None, "left: a domain of this gateway");
            return Ok(None);
        }
        let keys = self.sealing.srs_keys(&config.key).await.map_err(|error| no_key(error.to_string()))?;
        let srs = Srs { domain: &config.domain, macs: &|octets| keys.macs(octets) };
        match srs.forward(sender, day(self.now())) {
            Rewritten::As(address) => {
                self.report_srs(judged, sender, Some(&address), "rewritten");
                Ok(Some(address))
            }
            Rewritten::IsOurs => {
                self.report_srs(judged, sender, None, "left: rewritten already");
                Ok(None)
            }
            Rewritten::TooLong => {
                self.report_srs(judged, sender, None, "left: too long");
                Ok(None)
            }
        }
    }

    fn report_srs(&self, judged: &Judged, sender: &Address, rewritten: Option<&Address>, outcome: &'static str) {
        let id = judged.id();
        self.log.emit(&Event::Srs { session: id.session, message: id, sender, rewritten, outcome });
    }
}

/// Whether the sender is one of those that the gateway takes mail for. Identities of SES are looked up at RCPT only; to rewrite such a
/// sender does no harm, since bounces find their way all the same.
fn is_own(snapshot: &Snapshot, sender: &Address) -> bool {
    match &snapshot.domains {
        crate::config::Domains::List(domains) => domains.iter().any(|domain| **domain == *sender.domain().to_lowercase()),
        crate::config::Domains::Ses => false,
    }
}

fn no_key(why: impl Into<String>) -> Failure {
    let reply = Reply::fixed(451, Status(4, 3, 0), "The sender cannot be rewritten now, try again later");
    Failure::new(Side::Us, reply, why)
}
