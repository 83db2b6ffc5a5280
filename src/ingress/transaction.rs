//! Decisions about a session and its transaction: the traffic policy, then the accepted domains.

use super::driver::Connection;
use crate::config::{Domains, EndpointKind};
use crate::dispatch::Intake;
use crate::message::{Envelope, MessageId};
use crate::policy::{Effect, Known, PolicyFacts, Verdict};
use crate::smtp::{Address, Reply, ReversePath, Status};
use crate::telemetry::Event;

/// A transaction under way.
pub(super) struct Transaction {
    pub(super) id: MessageId,
    pub(super) envelope: Envelope,
}

impl<D: Intake> Connection<'_, D> {
    /// As soon as the address is known.
    pub(super) fn judge_connection(&self) -> Result<(), Reply> {
        self.judge("connect", 554, Known::NotYet)
    }

    /// After HELO or EHLO; TLS may still come.
    pub(super) fn judge_helo(&self) -> Result<(), Reply> {
        self.judge("helo", 550, Known::NotYet)
    }

    /// MAIL: the transaction begins if the policy lets it.
    pub(super) fn begin_transaction(&mut self, reverse_path: ReversePath, smtputf8: bool, eight_bit: bool) -> Result<(), Reply> {
        let envelope = Envelope { reverse_path, recipients: Vec::new(), smtputf8, eight_bit };
        self.transaction = Some(Transaction { id: self.next_message(), envelope });
        let verdict = self.judge("mail", 550, Known::NotYet);
        if verdict.is_err() {
            self.transaction = None;
        }
        verdict
    }

    /// RCPT: the policy, then, whatever it says, the accepted domains: there is no relaying for strangers.
    pub(super) async fn judge_recipient(&mut self, address: Address) -> Result<(), Reply> {
        let address = self.with_domain(address);
        self.judge("rcpt", 550, Known::Value(&address.canonical()))?;
        if self.is_known() {
            return self.add_recipient(address);
        }
        let refusal = match self.live.domains.accepts(address.domain()).await {
            Ok(true) => return self.add_recipient(address),
            Ok(false) => Reply::fixed(550, Status(5, 7, 1), "Relaying denied: not a domain of this gateway"),
            Err(_) => Reply::fixed(451, Status(4, 4, 3), "The domain cannot be checked now, try again later"),
        };
        self.ingress.log.emit(&Event::Refused {
            session: self.id,
            message: self.transaction.as_ref().map(|transaction| transaction.id),
            stage: "rcpt",
            recipient: Some(address.as_str()),
            reply: &refusal,
        });
        Err(refusal)
    }

    /// Whether the client has proved who it is, so that it may send to any domain.
    fn is_known(&self) -> bool {
        match self.endpoint.kind {
            EndpointKind::Open => false,
            EndpointKind::Mtls => self.facts.tls.as_ref().is_some_and(|tls| tls.client_certificate.is_some()),
        }
    }

    fn add_recipient(&mut self, address: Address) -> Result<(), Reply> {
        let Some(transaction) = self.transaction.as_mut() else {
            return Err(Reply::fixed(503, Status(5, 5, 1), "MAIL first"));
        };
        let recipients = &mut transaction.envelope.recipients;
        if !recipients.contains(&address) {
            recipients.push(address);
        }
        Ok(())
    }

    /// RFC 5321 §4.5.1: the bare `postmaster` is the postmaster of this place, here of its first domain.
    fn with_domain(&self, address: Address) -> Address {
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

    /// Asks the policy with what is known; what can no longer change is carried out now.
    fn judge(&self, stage: &'static str, code: u16, recipient: Known<&str>) -> Result<(), Reply> {
        let transaction = self.transaction.as_ref();
        let facts = PolicyFacts {
            client_ip: self.facts.client_ip,
            helo: if self.facts.helo.is_empty() { Known::NotYet } else { Known::Value(&self.facts.helo) },
            // STARTTLS can come until MAIL (RFC 3207 §4).
            tls: match (&self.facts.tls, transaction) {
                (None, None) => Known::NotYet,
                (tls, _) => Known::Value(tls.as_ref().map(|tls| tls.version)),
            },
            mail_from: transaction.map_or(Known::NotYet, |transaction| Known::Value(&transaction.envelope.reverse_path)),
            recipient,
        };
        let (effect, statement) = match self.endpoint.policy.judge(&facts) {
            Verdict::Decided(effect, statement) => (effect, statement),
            // With all facts given nothing is undecided; if it were, nothing is let in.
            Verdict::Undecided if stage == "rcpt" => (Effect::Deny, None),
            Verdict::Undecided => return Ok(()),
        };
        // An allowance is of interest for a recipient; before, it only means that nothing stands against it yet.
        if effect == Effect::Allow && stage != "rcpt" {
            return Ok(());
        }
        let refusal = (effect == Effect::Deny)
            .then(|| Reply::new(code, Some(Status(5, 7, 1)), format!("Not accepted by the policy of this gateway ({})", self.id)));
        self.ingress.log.emit(&Event::Policy {
            session: self.id,
            message: transaction.map(|transaction| transaction.id),
            config: &self.live.snapshot.hash,
            policy: &self.endpoint.policy.name,
            stage,
            verdict: if refusal.is_some() { "deny" } else { "allow" },
            statement: statement.as_deref().unwrap_or("default"),
            client: self.facts.client_ip,
            mail_from: transaction.map(|transaction| transaction.envelope.reverse_path.as_str()),
            recipient: if let Known::Value(recipient) = recipient { Some(recipient) } else { None },
            reply: refusal.as_ref(),
        });
        refusal.map_or(Ok(()), Err)
    }
}
