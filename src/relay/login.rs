//! AUTH at a next hop. A login that does not work is the operator's to mend: the mail waits, it never bounces.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::{Instant, timeout_at};

use super::connect::ConnectError;
use super::connection::Connection;
use super::failures;
use crate::failure::Failure;
use crate::limits;
use crate::secrets::{Credential, SecretError, SecretRef, Secrets};
use crate::smtp::{ClientEvent, Reply};

/// Where credentials come from: [`Secrets`], and stand-ins in tests.
pub(super) trait CredentialSource: fmt::Debug + Send + Sync {
    /// See [`Secrets::get`].
    fn get<'a>(&'a self, secret: &'a SecretRef) -> Answer<'a, Result<Arc<Credential>, SecretError>>;
    /// See [`Secrets::after_refusal`].
    fn after_refusal<'a>(&'a self, secret: &'a SecretRef, refused: &'a Credential) -> Answer<'a, Option<Arc<Credential>>>;
}

/// Asked once for a connection, so a box is cheap enough.
pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl CredentialSource for Secrets {
    fn get<'a>(&'a self, secret: &'a SecretRef) -> Answer<'a, Result<Arc<Credential>, SecretError>> {
        Box::pin(Secrets::get(self, secret))
    }

    fn after_refusal<'a>(&'a self, secret: &'a SecretRef, refused: &'a Credential) -> Answer<'a, Option<Arc<Credential>>> {
        Box::pin(Secrets::after_refusal(self, secret, refused))
    }
}

/// The credentials that were tried in one attempt; it outlives the connection when the next hop closes after a refusal.
#[derive(Debug, Default)]
pub(super) struct Login {
    next: Option<Arc<Credential>>,
    refusals: u32,
}

/// How far it got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Logged in.
    Done,
    /// The next hop closed after a refusal, and there is another credential to try.
    ConnectAgain,
}

impl Login {
    /// Tries the credentials that there are, on this connection for as long as the next hop keeps it.
    pub(super) async fn run(
        &mut self,
        connection: &mut Connection,
        secrets: &dyn CredentialSource,
        secret: &SecretRef,
        deadline: Instant,
    ) -> Result<Progress, ConnectError> {
        let Some(mechanism) = connection.client.extensions().mechanism() else {
            return Err(failures::login("the next hop offers neither AUTH PLAIN nor AUTH LOGIN on this connection").into());
        };
        let mut fresh_connection = true;
        loop {
            let credential = match self.next.take() {
                Some(credential) => credential,
                None => first(secrets, secret, deadline).await?,
            };
            if credential.username.contains('\0') || credential.password.contains('\0') {
                let detail = format!("{} holds a NUL, which AUTH cannot carry", describe(secret));
                return Err(ConnectError::Stop(failures::login(detail)));
            }
            connection.client.authenticate(mechanism, &credential.username, &credential.password);
            let reply = match connection.next_event(deadline).await {
                Ok(ClientEvent::Authenticated) => return Ok(Progress::Done),
                Ok(ClientEvent::AuthRefused(reply)) => without_secret(reply, &credential),
                Ok(other) => return Err(failures::connection_lost(format!("unexpected event {other:?} after AUTH")).into()),
                // It was the last credential that made the next hop close, not this one: try this one where it counts.
                Err(_) if !fresh_connection => {
                    self.next = Some(credential);
                    return Ok(Progress::ConnectAgain);
                }
                Err(failure) => return Err(scrubbed(failure, &credential).into()),
            };
            self.refusals = self.refusals.saturating_add(1);
            self.next = self.after_refusal(&reply, secrets, secret, &credential, deadline).await?;
            fresh_connection = false;
        }
    }

    /// RFC 4954 §6: 535 says that the credentials are wrong; nothing else is a reason to try others.
    async fn after_refusal(
        &self,
        reply: &Reply,
        secrets: &dyn CredentialSource,
        secret: &SecretRef,
        refused: &Credential,
        deadline: Instant,
    ) -> Result<Option<Arc<Credential>>, ConnectError> {
        let stop = |what: &str| Err(ConnectError::Stop(failures::login(format!("{what} {}: {reply}", describe(secret)))));
        if !reply.is_permanent() {
            return Err(ConnectError::TryNext(failures::login(format!("reply to AUTH with {}: {reply}", describe(secret)))));
        }
        if reply.code != 535 {
            return stop("the next hop refuses a login with");
        }
        if self.refusals >= limits::RELAY_CREDENTIALS_MAX {
            return stop("the next hop refuses every version of");
        }
        match timeout_at(deadline, secrets.after_refusal(secret, refused)).await {
            Ok(Some(next)) => Ok(Some(next)),
            Ok(None) | Err(_) => stop("the next hop refuses"),
        }
    }
}

async fn first(secrets: &dyn CredentialSource, secret: &SecretRef, deadline: Instant) -> Result<Arc<Credential>, ConnectError> {
    match timeout_at(deadline, secrets.get(secret)).await {
        Ok(Ok(credential)) => Ok(credential),
        Ok(Err(error)) => Err(ConnectError::Stop(failures::login(format!("{}: {}", describe(secret), error.0)))),
        Err(_) => Err(ConnectError::Stop(failures::login(format!("{} was not read in time", describe(secret))))),
    }
}

/// Where the secret is; never what it is.
fn describe(secret: &SecretRef) -> String {
    match secret {
        SecretRef::SecretsManager(name) => format!("the secret {name}"),
        SecretRef::File(path) => format!("the secret in {}", path.display()),
        SecretRef::Environment(name) => format!("the secret in ${name}"),
    }
}

/// A reply that repeats what was sent loses its text, so that no log shows a password.
fn without_secret(reply: Reply, credential: &Credential) -> Reply {
    if mentions(&reply.text, credential) { Reply::new(reply.code, reply.status, "(text left out, it repeats the login)") } else { reply }
}

fn scrubbed(mut failure: Failure, credential: &Credential) -> Failure {
    failure.reply = without_secret(failure.reply, credential);
    if mentions(&failure.detail, credential) {
        failure.detail = "(left out, it repeats the login)".to_owned();
    }
    failure
}

fn mentions(text: &str, credential: &Credential) -> bool {
    let encoded = crate::smtp::auth_encodings(&credential.username, &credential.password);
    let plain = !credential.password.is_empty() && text.contains(credential.password.as_str());
    plain || encoded.iter().any(|part| !part.is_empty() && text.contains(part.as_str()))
}
