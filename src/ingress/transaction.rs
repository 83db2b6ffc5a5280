//! Decisions about a session and its transaction by the traffic policy.

use std::collections::BTreeSet;

use tokio::time::{Instant, timeout_at};

use super::answers::{self, Ruling, Stage};
use super::driver::Connection;
use crate::dispatch::{Intake, Return};
use crate::examination::Subject;
use crate::limits::LOOK_UPS_PATIENCE;
use crate::message::{Envelope, MessageId, Need};
use crate::policy::{PolicyFacts, Verdict};
use crate::smtp::{Address, MailParameters, Reply, ReversePath};
use crate::telemetry::Event;

/// A transaction under way.
pub(super) struct Transaction {
    pub(super) id: MessageId,
    pub(super) envelope: Envelope,
    /// Recipients that stand for a sender.
    pub(super) returns: Vec<Return>,
}

impl<D: Intake> Connection<'_, D> {
    /// As soon as the address is known.
    pub(super) fn judge_connection(&self) -> Result<(), Reply> {
        self.carry_out(Stage::Connect, None, self.verdict(None))
    }

    /// After HELO or EHLO; TLS may still come.
    pub(super) fn judge_helo(&mut self) -> Result<(), Reply> {
        self.found.begin_transaction();
        self.carry_out(Stage::Helo, None, self.verdict(None))
    }

    /// MAIL: the transaction begins if the policy lets it.
    pub(super) fn begin_transaction(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Result<(), Reply> {
        let MailParameters { size: _, smtputf8, eight_bit, terms, auth: _ } = parameters;
        let envelope = Envelope { reverse_path, recipients: Vec::new(), smtputf8, eight_bit, terms };
        self.transaction = Some(Transaction { id: self.next_message(), envelope, returns: Vec::new() });
        self.found.begin_transaction();
        let decision = self.carry_out(Stage::Mail, None, self.verdict(None));
        if decision.is_err() {
            self.transaction = None;
        }
        decision
    }

    /// The bare `postmaster` with the domain that is meant.
    pub(super) fn with_domain(&self, address: Address) -> Address {
        answers::with_domain(address, &self.live.snapshot.domains, &self.live.snapshot.hostname)
    }

    /// Asks the policy, and others for what it needs to know, as long as that can change what it says.
    pub(super) async fn judge_with_look_ups(&mut self, recipient: &str) -> Result<(), Reply> {
        let deadline = Instant::now().checked_add(LOOK_UPS_PATIENCE);
        let mut verdict = self.verdict(Some(recipient));
        while let Verdict::Undecided { needs } = &verdict {
            let Some(deadline) = deadline.filter(|_| !needs.is_empty()) else { break };
            // Each round has bounded time; together they must not outlast the client.
            if !timeout_at(deadline, self.look_up(needs)).await.unwrap_or(false) {
                break;
            }
            verdict = self.verdict(Some(recipient));
        }
        self.carry_out(Stage::Rcpt, Some(recipient), verdict)
    }

    /// Whether all of it was asked for; with an answer or without, it need not be asked for again in this transaction.
    async fn look_up(&mut self, needs: &BTreeSet<Need>) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        let Transaction { id, envelope, returns: _ } = transaction;
        let hostname = &self.live.snapshot.hostname;
        let subject = Subject { hostname, id: *id, session: &self.facts, envelope, original: None };
        let findings = self.found.get_mut();
        self.live.examiner.examine(needs, &subject, findings).await;
        let is_complete = needs.iter().all(|need| findings.has(need));
        self.facts.client_host = findings.client_host.known().cloned().flatten();
        is_complete
    }

    /// What the policy says with what is known.
    fn verdict(&self, recipient: Option<&str>) -> Verdict {
        self.endpoint.policy.judge(&self.known(recipient))
    }

    fn known<'k>(&'k self, recipient: Option<&'k str>) -> PolicyFacts<'k> {
        let reverse_path = self.transaction.as_ref().map(|transaction| &transaction.envelope.reverse_path);
        answers::known(&self.facts, reverse_path, recipient, self.found.get())
    }

    /// What can no longer change is carried out now; at RCPT there is nothing more to wait for.
    fn carry_out(&self, stage: Stage, recipient: Option<&str>, verdict: Verdict) -> Result<(), Reply> {
        let Some(ruling) = Ruling::of(stage, verdict, &self.endpoint.policy, &self.known(recipient), &self.id) else { return Ok(()) };
        let transaction = self.transaction.as_ref();
        self.ingress.log.emit(&Event::Policy {
            session: self.id,
            message: transaction.map(|transaction| transaction.id),
            config: &self.live.snapshot.hash,
            policy: &self.endpoint.policy.name,
            stage: stage.name(),
            verdict: ruling.word,
            statement: ruling.statement.as_deref().unwrap_or("default"),
            client: self.facts.client_ip,
            mail_from: transaction.map(|transaction| transaction.envelope.reverse_path.as_str()),
            recipient,
            detail: ruling.detail.as_deref(),
            reply: ruling.refusal.as_ref(),
        });
        ruling.refusal.map_or(Ok(()), Err)
    }
}
