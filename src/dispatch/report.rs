//! What dispatch tells the log.

use std::sync::Arc;

use super::Dispatcher;
use super::Incoming;
use super::job::{JobState, Pending, StoredEnvelope};
use super::take::{Judged, ended, relay_of};
use crate::failure::Failure;
use crate::limits::LOG_MESSAGE_ID_CHARS_MAX;
use crate::message::{MessageId, Original};
use crate::relay::{Accepted, Attempt, Delivery, DeliveryReport, NextHops, Outcome};
use crate::rules::{Plan, Step};
use crate::smtp::{Address, Recipient, Reply};
use crate::spool::Spool;
use crate::telemetry::{AttemptRecipient, Event, Try};

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    pub(super) fn report_message(&self, incoming: &Incoming, original: &Original) {
        let Incoming { id, snapshot, endpoint, session, envelope, .. } = incoming;
        let is_id = |name: &[u8]| name.eq_ignore_ascii_case(b"Message-ID");
        let message_id = original.fields().iter().find(|field| is_id(original.name(field)));
        let message_id = message_id.map(|field| String::from_utf8_lossy(original.value(field).trim_ascii()));
        let message_id = message_id.as_deref().map(|text| first_chars(text, LOG_MESSAGE_ID_CHARS_MAX));
        self.log.emit(&Event::Message {
            session: id.session,
            message: *id,
            config: &snapshot.hash,
            endpoint: &endpoint.name,
            client: session.client_ip,
            helo: &session.helo,
            mail_from: &envelope.reverse_path,
            recipients: envelope.recipients.iter().map(|recipient| &recipient.address).collect(),
            size: original.len(),
            tls: session.tls.as_ref().map(|tls| tls.version),
            message_id,
        });
    }

    /// The rules that matched, and the actions that were done by judging alone.
    pub(super) fn report_matches(&self, judged: &Judged) {
        let id = judged.id();
        let rules = &judged.incoming.endpoint.rules.name;
        for matched in &judged.plan.matches {
            let recipients = originals(&judged.plan, &matched.recipients);
            self.log.emit(&Event::Rule {
                session: id.session,
                message: id,
                config: &judged.incoming.snapshot.hash,
                rules,
                rule: &matched.rule,
                audit: matched.audit,
                recipients: recipients.clone(),
            });
            for action in matched.actions.iter().filter(|name| **name != "SMTPRelay" && !matched.audit) {
                let recipients = recipients.clone();
                self.report_action(id, &matched.rule, action, None, recipients, "done");
            }
        }
    }

    /// Every step is in the spool.
    pub(super) fn report_spooled(&self, judged: &Judged) {
        for step in &judged.plan.steps {
            self.report_step(judged.id(), step, "spooled");
        }
    }

    /// What became of an `SMTPRelay` step.
    pub(super) fn report_step(&self, id: MessageId, step: &Step, outcome: &'static str) {
        let recipients = step.recipients.iter().map(|recipient| &recipient.address).collect();
        self.report_action(id, &step.rule, "SMTPRelay", Some(relay_of(step)), recipients, outcome);
    }

    fn report_action(
        &self,
        id: MessageId,
        rule: &str,
        action: &str,
        relay: Option<&str>,
        recipients: Vec<&Address>,
        outcome: &'static str,
    ) {
        self.log.emit(&Event::Action { session: id.session, message: id, rule, action, relay, recipients, outcome });
    }

    /// The recipients of a message that no rule has seen: it is refused for what it is.
    pub(super) fn report_unjudged(&self, incoming: &Incoming, failure: &Failure) {
        for Recipient { address: recipient, .. } in &incoming.envelope.recipients {
            self.log.emit(&Event::Outcome {
                session: incoming.id.session,
                message: incoming.id,
                recipient,
                delivered_to: None,
                outcome: "rejected",
                rule: None,
                relay: None,
                reply: Some(&failure.reply),
                detail: None,
            });
        }
    }

    /// The recipients whose way ended without a step. Who has a step as well (`Drop` keeps those planned before) gets its outcome from there.
    pub(super) fn report_ended(&self, judged: &Judged) {
        let id = judged.id();
        let mut is_stepped = vec![false; judged.plan.recipients.len()];
        for original in judged.plan.steps.iter().flat_map(|step| &step.recipients).flat_map(|one| &one.originals) {
            is_stepped.get_mut(*original).into_iter().for_each(|is_stepped| *is_stepped = true);
        }
        for (recipient, is_stepped) in judged.plan.recipients.iter().zip(is_stepped) {
            let Some((outcome, rule, reply)) = ended(&recipient.disposition).filter(|_| !is_stepped) else { continue };
            self.log.emit(&Event::Outcome {
                session: id.session,
                message: id,
                recipient: &recipient.address,
                delivered_to: None,
                outcome,
                rule: Some(rule),
                relay: None,
                reply,
                detail: None,
            });
        }
    }

    pub(super) fn report_attempt(&self, id: MessageId, relay: &str, attempt: u32, delivery: &Delivery, report: &DeliveryReport) {
        let recipients = delivery.recipients.iter().zip(&report.outcomes).map(|(recipient, outcome)| match outcome {
            Outcome::Delivered(accepted) => {
                AttemptRecipient { recipient: &recipient.address, result: "delivered", reply: &accepted.reply, detail: "" }
            }
            Outcome::Failed(failure) => AttemptRecipient::failed(&recipient.address, failure),
        });
        let accepted = report.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Delivered(accepted) => Some(accepted),
            Outcome::Failed(_) => None,
        });
        let last = report.attempts.last();
        let host = accepted.map(|accepted| &*accepted.host).or(last.map(|attempt| &*attempt.host));
        let duration = report.attempts.iter().map(|attempt| attempt.duration).sum::<std::time::Duration>();
        self.log.emit(&Event::Attempt {
            session: id.session,
            message: id,
            relay,
            attempt,
            host,
            tls: accepted.map_or(last.and_then(|attempt| attempt.tls), |accepted| accepted.tls),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            recipients: recipients.collect(),
            tries: if report.attempts.len() > 1 { report.attempts.iter().map(tried).collect() } else { Vec::new() },
        });
    }

    pub(super) fn report_delivered(
        &self,
        id: MessageId,
        envelope: &StoredEnvelope,
        state: &JobState,
        pending: &Pending,
        accepted: &Arc<Accepted>,
    ) {
        let end = End { outcome: "delivered", reply: Some(&accepted.reply), detail: Some(&accepted.host) };
        self.report_end(id, envelope, state, pending, &end);
    }

    /// Recipients that are done with in vain, under the name that fits what was done about it.
    pub(super) fn report_failed(
        &self,
        id: MessageId,
        envelope: &StoredEnvelope,
        state: &JobState,
        failed: &[Pending],
        outcome: &'static str,
    ) {
        for pending in failed {
            let last = pending.last.as_ref();
            let detail = last.map(|failure| failure.detail.as_str()).filter(|detail| !detail.is_empty());
            let end = End { outcome, reply: last.map(|failure| &failure.reply), detail };
            self.report_end(id, envelope, state, pending, &end);
        }
    }

    /// Recipients that an operator has given up.
    pub(super) fn report_dropped(&self, id: MessageId, envelope: &StoredEnvelope, state: &JobState) {
        for pending in &state.recipients {
            let reply = pending.last.as_ref().map(|failure| &failure.reply);
            self.report_end(id, envelope, state, pending, &End { outcome: "dropped", reply, detail: Some("by an operator") });
        }
    }

    fn report_end(&self, id: MessageId, envelope: &StoredEnvelope, state: &JobState, pending: &Pending, end: &End<'_>) {
        for Recipient { address: recipient, .. } in envelope.originals(pending) {
            self.log.emit(&Event::Outcome {
                session: id.session,
                message: id,
                recipient,
                delivered_to: (*recipient != pending.address).then_some(&pending.address),
                outcome: end.outcome,
                rule: Some(&state.rule),
                relay: Some(&state.relay),
                reply: end.reply,
                detail: end.detail,
            });
        }
    }
}

/// No more than so many characters of the text.
fn first_chars(text: &str, chars_max: usize) -> &str {
    // Most texts have fewer octets than that.
    let end = if text.len() <= chars_max { None } else { text.char_indices().nth(chars_max) };
    end.and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn tried(attempt: &Attempt) -> Try<'_> {
    match &attempt.result {
        Ok(reply) => Try { host: &attempt.host, reply, detail: "" },
        Err(failure) => Try { host: &attempt.host, reply: &failure.reply, detail: &failure.detail },
    }
}

/// How the way of a recipient ended.
struct End<'a> {
    outcome: &'static str,
    reply: Option<&'a Reply>,
    detail: Option<&'a str>,
}

fn originals<'a>(plan: &'a Plan, positions: &[usize]) -> Vec<&'a Address> {
    positions.iter().filter_map(|position| plan.recipients.get(*position)).map(|recipient| &recipient.address).collect()
}
