//! Decisions about a session and its transaction by the traffic policy.

use std::collections::BTreeSet;

use tokio::time::{Instant, timeout_at};

use super::driver::Connection;
use crate::config::Domains;
use crate::dispatch::{Intake, Return};
use crate::examination::Subject;
use crate::limits::LOOK_UPS_PATIENCE;
use crate::message::{Envelope, Findings, MessageId, Need, SpfResult};
use crate::policy::{Effect, Known, PolicyFacts, Verdict};
use crate::smtp::{Address, MailParameters, Reply, ReversePath, Status};
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
        self.carry_out("connect", 554, None, self.verdict(None))
    }

    /// After HELO or EHLO; TLS may still come.
    pub(super) fn judge_helo(&mut self) -> Result<(), Reply> {
        self.found.begin_transaction();
        self.carry_out("helo", 550, None, self.verdict(None))
    }

    /// MAIL: the transaction begins if the policy lets it.
    pub(super) fn begin_transaction(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Result<(), Reply> {
        let MailParameters { size: _, smtputf8, eight_bit, terms, auth: _ } = parameters;
        let envelope = Envelope { reverse_path, recipients: Vec::new(), smtputf8, eight_bit, terms };
        self.transaction = Some(Transaction { id: self.next_message(), envelope, returns: Vec::new() });
        self.found.begin_transaction();
        let decision = self.carry_out("mail", 550, None, self.verdict(None));
        if decision.is_err() {
            self.transaction = None;
        }
        decision
    }

    /// RFC 5321 §4.5.1: the bare `postmaster` is the postmaster of this place, here of its first domain.
    pub(super) fn with_domain(&self, address: Address) -> Address {
        if !address.domain().is_empty() {
            return address;
        }
        let snapshot = &self.live.snapshot;
        let domain = match &snapshot.domains {
            Domains::List(domains) => domains.first().unwrap_or(&snapshot.hostname),
            Domains::Ses => &snapshot.hostname,
        };
        Address::parse(&format!("{}@{domain}", address.as_str()), false).unwrap_or(address)
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
        self.carry_out("rcpt", 550, Some(recipient), verdict)
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
        self.verdict_by(recipient, self.found.get())
    }

    /// Whether a refusal of this recipient hangs on an SPF record that could not be had: without that result nothing would be decided.
    fn hangs_on_spf_trouble(&self, recipient: Option<&str>) -> bool {
        let found = self.found.get();
        let is_trouble = found.spf.as_ref().is_some_and(|spf| spf.result == SpfResult::Temperror);
        is_trouble && !matches!(self.verdict_by(recipient, &Findings { spf: None, ..found.clone() }), Verdict::Decided(Effect::Deny, _))
    }

    fn verdict_by(&self, recipient: Option<&str>, findings: &Findings) -> Verdict {
        let transaction = self.transaction.as_ref();
        self.endpoint.policy.judge(&PolicyFacts {
            client_ip: self.facts.client_ip,
            helo: if self.facts.helo.is_empty() { Known::NotYet } else { Known::Value(&self.facts.helo) },
            // STARTTLS can come until MAIL (RFC 3207 §4).
            tls: match (&self.facts.tls, transaction) {
                (None, None) => Known::NotYet,
                (tls, _) => Known::Value(tls.as_ref().map(|tls| tls.version)),
            },
            mail_from: transaction.map_or(Known::NotYet, |transaction| Known::Value(&transaction.envelope.reverse_path)),
            recipient: recipient.map_or(Known::NotYet, Known::Value),
            findings,
        })
    }

    /// What can no longer change is carried out now; at RCPT there is nothing more to wait for.
    fn carry_out(&self, stage: &'static str, code: u16, recipient: Option<&str>, verdict: Verdict) -> Result<(), Reply> {
        let mut deferral = Status(4, 7, 1);
        let (effect, statement, detail) = match verdict {
            Verdict::Decided(Effect::Deny, statement) if self.hangs_on_spf_trouble(recipient) => {
                // RFC 7208 §8.6: who refuses for that asks the client to come again.
                deferral = Status(4, 4, 3);
                (None, statement, self.found.summary())
            }
            Verdict::Decided(effect, statement) => (Some(effect), statement, self.found.summary()),
            Verdict::Undecided { .. } | Verdict::Unknown { .. } if stage != "rcpt" => return Ok(()),
            // With all that is said given, only look-ups leave something undecided; if it were otherwise, nothing is let in.
            Verdict::Undecided { needs } if needs.is_empty() => (Some(Effect::Deny), None, None),
            Verdict::Undecided { needs } => (None, None, Some(format!("nobody can find out {needs:?}"))),
            Verdict::Unknown { statement, detail } => (None, Some(statement), Some(detail)),
        };
        // An allowance is of interest for a recipient; before, it only means that nothing stands against it yet.
        if effect == Some(Effect::Allow) && stage != "rcpt" {
            return Ok(());
        }
        let (word, refusal) = match effect {
            Some(Effect::Allow) => ("allow", None),
            Some(Effect::Deny) => {
                let text = format!("Not accepted by the policy of this gateway ({})", self.id);
                ("deny", Some(Reply::new(code, Some(Status(5, 7, 1)), text)))
            }
            None => ("defer", Some(Reply::new(451, Some(deferral), format!("Cannot be checked now, try again later ({})", self.id)))),
        };
        let transaction = self.transaction.as_ref();
        self.ingress.log.emit(&Event::Policy {
            session: self.id,
            message: transaction.map(|transaction| transaction.id),
            config: &self.live.snapshot.hash,
            policy: &self.endpoint.policy.name,
            stage,
            verdict: word,
            statement: statement.as_deref().unwrap_or("default"),
            client: self.facts.client_ip,
            mail_from: transaction.map(|transaction| transaction.envelope.reverse_path.as_str()),
            recipient,
            detail: detail.as_deref(),
            reply: refusal.as_ref(),
        });
        refusal.map_or(Ok(()), Err)
    }
}
