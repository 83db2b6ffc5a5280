//! One order: from the account to a certificate that may be used (RFC 8555 §7).

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    RetryPolicy,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::challenges::{Challenges, Offer};
use super::storage::{ACCOUNT, Storage};
use super::transport::{Transport, explain, is_problem, other};
use super::{AcmeConfig, Names};
use crate::limits::{ACME_ORDER_TIMEOUT, ACME_POLL_FIRST};
use crate::telemetry::{Event, Log};

/// What an order needs.
pub(super) struct Orders<'a> {
    pub(super) config: &'a AcmeConfig,
    pub(super) storage: &'a Storage,
    pub(super) challenges: &'a Challenges,
    pub(super) transport: Transport,
    pub(super) log: &'a Log,
}

/// The account as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    contact: Vec<String>,
    credentials: AccountCredentials,
}

const POLLING: RetryPolicy = RetryPolicy::new().initial_delay(ACME_POLL_FIRST).backoff(1.5).timeout(ACME_ORDER_TIMEOUT);

impl Orders<'_> {
    /// A new key and its chain, in one PEM text.
    pub(super) async fn obtain(&self, names: &Names) -> Result<Zeroizing<String>, Error> {
        match self.order(names).await {
            // Directories for tests forget accounts, and a folder may have been copied from another authority's.
            Err(error) if is_problem(&error, "accountDoesNotExist") => {
                self.set_account_aside(&explain(&error)).await?;
                self.order(names).await
            }
            obtained => obtained,
        }
    }

    async fn order(&self, names: &Names) -> Result<Zeroizing<String>, Error> {
        let account = self.account().await?;
        let identifiers: Vec<Identifier> = names.iter().map(|name| Identifier::Dns(name.to_owned())).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        // The answers are given for as long as these live.
        let offers = self.offer(&mut order).await?;
        if order.state().status != OrderStatus::Ready {
            match order.poll_ready(&POLLING).await {
                Ok(OrderStatus::Ready) => {}
                Ok(_) => return Err(why_invalid(&mut order, None, &offers).await),
                Err(error @ Error::Api(_)) => return Err(why_invalid(&mut order, Some(error), &offers).await),
                Err(error) => return Err(error),
            }
        }
        // A new key each time; appending to it would leave a copy where the text grows out of its place.
        let key = Zeroizing::new(order.finalize().await?);
        let chain = order.poll_certificate(&POLLING).await?;
        let mut pem = Zeroizing::new(String::with_capacity(key.len().saturating_add(chain.len())));
        pem.push_str(&key);
        pem.push_str(&chain);
        Ok(pem)
    }

    /// Answers the challenges of all names that are not authorized already, and says so to the authority.
    async fn offer(&self, order: &mut Order) -> Result<Vec<(String, Offer)>, Error> {
        let mut offers = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(other(format!("the authorization of {name} is {status:?}"))),
            }
            let Some(mut challenge) = authorization.challenge(ChallengeType::Http01) else {
                return Err(other(format!("no HTTP-01 challenge is offered for {name}")));
            };
            offers.push((name, self.challenges.offer(&challenge.token, challenge.key_authorization().as_str())));
            challenge.set_ready().await?;
        }
        Ok(offers)
    }

    /// The stored account, or a new one. An account belongs to the terms that its owner agreed to: `accept_terms` is checked before
    /// a configuration comes so far.
    async fn account(&self) -> Result<Account, Error> {
        let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
        let builder = Account::builder_with_http(Box::new(self.transport.clone()));
        let Some(stored) = self.stored().await? else {
            let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
            let (account, credentials) = builder.create(&new, self.config.directory.to_string(), None).await?;
            self.store(&Stored { contact: self.config.contact.clone(), credentials }).await?;
            return Ok(account);
        };
        let Stored { contact: known, credentials } = stored;
        let account = builder.from_credentials(credentials).await?;
        if known != self.config.contact {
            account.update_contacts(&contact).await?;
            if let Some(stored) = self.stored().await? {
                self.store(&Stored { contact: self.config.contact.clone(), ..stored }).await?;
            }
        }
        Ok(account)
    }

    async fn stored(&self) -> Result<Option<Stored>, Error> {
        let content = self.blocking(|storage| storage.read(ACCOUNT)).await?;
        match content.map(|content| serde_json::from_slice(&content)) {
            None => Ok(None),
            Some(Ok(stored)) => Ok(Some(stored)),
            // The error's own words may repeat what stands there: the key.
            Some(Err(error)) => {
                let why = format!("it cannot be read at line {}, column {}", error.line(), error.column());
                self.set_account_aside(&why).await.map(|()| None)
            }
        }
    }

    async fn store(&self, stored: &Stored) -> Result<(), Error> {
        let content = Zeroizing::new(serde_json::to_vec(stored)?);
        self.blocking(move |storage| storage.write(ACCOUNT, &content)).await
    }

    async fn set_account_aside(&self, why: &str) -> Result<(), Error> {
        let aside = self.blocking(|storage| storage.set_aside(ACCOUNT)).await?;
        let detail = format!("the account was set aside as {} and a new one is made: {why}", aside.display());
        self.log.emit(&Event::Problem { what: "acme", detail: &detail });
        Ok(())
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Storage) -> std::io::Result<T> + Send + 'static) -> Result<T, Error> {
        let storage = self.storage.clone();
        let path = storage.path(ACCOUNT);
        let done = tokio::task::spawn_blocking(move || work(&storage)).await.map_err(other)?;
        done.map_err(|error| other(format!("{}: {error}", path.display())))
    }
}

/// Why an order became invalid: what the authority says of each name, and whether it came at all.
async fn why_invalid(order: &mut Order, error: Option<Error>, offers: &[(String, Offer)]) -> Error {
    let mut said = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let Ok(state) = authorization.refresh().await else { break };
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.clone()) {
            said.push(format!("{name}: {}", explain(&Error::Api(problem))));
        }
    }
    if said.is_empty() {
        said.push(error.as_ref().map_or_else(|| "the order is invalid, without a reason".to_owned(), explain));
    }
    let missed: Vec<&str> = offers.iter().filter(|(_, offer)| !offer.was_asked()).map(|(name, _)| name.as_str()).collect();
    if !missed.is_empty() {
        said.push(format!("nobody asked here for {}: does port 80 of that name lead to `acme.listen`?", missed.join(", ")));
    }
    other(said.join("; "))
}
