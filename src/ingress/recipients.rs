//! What becomes of a recipient after the policy: our own addresses that stand for a sender, accepted domains, and the look-up at a relay.

use super::answers::{RELAYING_DENIED, may_relay};
use super::driver::Connection;
use crate::call_ahead::Question;
use crate::config::SrsConfig;
use crate::dispatch::{Intake, Return, day, unix_millis};
use crate::message::{Srs, SrsError, is_srs};
use crate::smtp::{Address, Recipient, Reply, ReversePath, Status};
use crate::telemetry::Event;

impl<D: Intake> Connection<'_, D> {
    /// RCPT: the policy, then, whatever it says, the accepted domains: there is no relaying for strangers.
    pub(super) async fn judge_recipient(&mut self, recipient: Recipient) -> Result<(), Reply> {
        let Recipient { address, parameters } = recipient;
        let address = self.with_domain(address);
        self.judge_with_look_ups(&address.canonical()).await?;
        let recipient = Recipient { address, parameters };
        let srs = self.live.snapshot.srs.clone().filter(|srs| is_srs(&recipient.address, &srs.domain));
        let given = recipient.address.clone();
        let result = match srs {
            Some(srs) => Box::pin(self.take_return(&srs, recipient)).await,
            None => self.take_recipient(recipient).await,
        };
        result.inspect_err(|refusal| {
            self.ingress.log.emit(&Event::Refused {
                session: self.id,
                message: self.transaction.as_ref().map(|transaction| transaction.id),
                stage: "rcpt",
                recipient: Some(given.as_str()),
                limit: None,
                reply: refusal,
            });
        })
    }

    async fn take_recipient(&mut self, recipient: Recipient) -> Result<(), Reply> {
        if self.is_known() {
            return self.add_recipient(recipient);
        }
        match self.live.domains.accepts(recipient.address.domain()).await {
            Ok(true) => {
                self.look_ahead(&recipient.address).await?;
                self.add_recipient(recipient)
            }
            Ok(false) => Err(RELAYING_DENIED),
            Err(_) => Err(domain_unknown()),
        }
    }

    /// Asks the relay that knows the endpoint's recipients, where there is one.
    async fn look_ahead(&self, recipient: &Address) -> Result<(), Reply> {
        let Some((config, transaction)) = self.endpoint.call_ahead.as_ref().zip(self.transaction.as_ref()) else { return Ok(()) };
        let snapshot = &self.live.snapshot;
        let question = Question { message: transaction.id, snapshot, config, recipient };
        match self.ingress.call_ahead.ask(question).await {
            Some(refusal) => Err(refusal),
            None => Ok(()),
        }
    }

    /// A bounce for an address of ours leads to the sender that the address stands for.
    async fn take_return(&mut self, srs: &SrsConfig, recipient: Recipient) -> Result<(), Reply> {
        let to_sender = self.transaction.as_ref().is_none_or(|transaction| transaction.envelope.reverse_path != ReversePath::Null);
        if to_sender {
            // Only what answers a message comes back this way; it must not become a way around the accepted domains for all else.
            return Err(Reply::fixed(550, Status(5, 7, 1), "This address takes bounces only (MAIL FROM:<>)"));
        }
        let keys = match self.ingress.secrets.srs_keys(&srs.key).await {
            Ok(keys) => keys,
            Err(error) => {
                self.ingress.log.emit(&Event::Problem { what: "srs", detail: &error.to_string() });
                return Err(Reply::fixed(451, Status(4, 3, 0), "The address cannot be checked now, try again later"));
            }
        };
        let reversed = Srs { domain: &srs.domain, macs: &|octets| keys.macs(octets) }.reverse(&recipient.address, day(unix_millis()));
        let to = match reversed {
            Ok(to) => to,
            Err(SrsError::Forged) => return Err(Reply::fixed(550, Status(5, 1, 1), "This address was not made here")),
            Err(SrsError::Expired) => return Err(Reply::fixed(550, Status(5, 1, 1), "This address has expired")),
        };
        match self.live.domains.accepts(to.domain()).await {
            // The sender is one of ours after all: the rules know the way.
            Ok(true) => {
                self.judge_with_look_ups(&to.canonical()).await?;
                self.look_ahead(&to).await?;
                self.add_recipient(Recipient { address: to, parameters: recipient.parameters })
            }
            Ok(false) => {
                let back = Return { ours: recipient.address.clone(), to };
                self.add_recipient(recipient)?;
                let returns = self.transaction.as_mut().map(|transaction| &mut transaction.returns);
                if let Some(returns) = returns.filter(|returns| !returns.contains(&back)) {
                    returns.push(back);
                }
                Ok(())
            }
            Err(_) => Err(domain_unknown()),
        }
    }

    /// Whether the client has proved who it is, so that it may send to any domain.
    fn is_known(&self) -> bool {
        may_relay(self.endpoint.kind.used_by(), &self.facts)
    }

    fn add_recipient(&mut self, recipient: Recipient) -> Result<(), Reply> {
        let Some(transaction) = self.transaction.as_mut() else {
            return Err(Reply::fixed(503, Status(5, 5, 1), "MAIL first"));
        };
        transaction.envelope.add_recipient(recipient);
        Ok(())
    }
}

fn domain_unknown() -> Reply {
    Reply::fixed(451, Status(4, 4, 3), "The domain cannot be checked now, try again later")
}
