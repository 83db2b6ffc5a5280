//! AUTH at a next hop. A login that does not work is the operator's to mend: the mail waits, it never bounces.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::{Instant, timeout_at};

use super::connect::ConnectError;
use super::connection::Connection;
use super::tokens::Tokens;
use super::{Auth, Inner, OAuthConfig, failures};
use crate::failure::{Class, Failure};
use crate::limits;
use crate::secrets::{Credential, Identity, SecretError, SecretRef, Secrets};
use crate::smtp::{ClientEvent, Extensions, Mechanism, Reply};

/// Where credentials come from: [`Secrets`], and stand-ins in tests.
pub(super) trait CredentialSource: fmt::Debug + Send + Sync {
    /// See [`Secrets::get`].
    fn get<'a>(&'a self, secret: &'a SecretRef) -> Answer<'a, Result<Arc<Credential>, SecretError>>;
    /// See [`Secrets::after_refusal`].
    fn after_refusal<'a>(&'a self, secret: &'a SecretRef, refused: &'a Credential) -> Answer<'a, Option<Arc<Credential>>>;
    /// See [`Secrets::accepted`].
    fn accepted(&self, secret: &SecretRef) {
        let _ = secret;
    }
    /// See [`Secrets::identity`].
    fn identity<'a>(&'a self, secret: &'a SecretRef) -> Answer<'a, Result<Arc<Identity>, SecretError>> {
        Box::pin(async move { Err(SecretError(format!("{secret}: there is none").into())) })
    }
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

    fn accepted(&self, secret: &SecretRef) {
        Secrets::accepted(self, secret);
    }

    fn identity<'a>(&'a self, secret: &'a SecretRef) -> Answer<'a, Result<Arc<Identity>, SecretError>> {
        Box::pin(Secrets::identity(self, secret))
    }
}

/// What a relay logs in with, and who has it.
#[derive(Clone, Copy)]
pub(super) enum Means<'a> {
    Password(&'a dyn CredentialSource, &'a SecretRef),
    /// A token is a password that lives for an hour.
    Token(&'a Tokens, &'a Arc<OAuthConfig>),
}

impl<'a> Means<'a> {
    pub(super) fn new(inner: &'a Inner, auth: &'a Auth) -> Self {
        match auth {
            Auth::Password(secret) => Self::Password(inner.secrets.as_ref(), secret),
            Auth::OAuth(config) => Self::Token(&inner.tokens, config),
        }
    }

    /// How to say it to this next hop; the error says what it offers instead.
    fn way(self, offered: &Extensions) -> Result<Way, Failure> {
        let way = match self {
            Self::Password(..) => offered.mechanism().map(Way::Password),
            Self::Token(..) => offered.auth_xoauth2.then_some(Way::Token),
        };
        way.ok_or_else(|| {
            let ours = match self {
                Self::Password(..) => "neither AUTH PLAIN nor AUTH LOGIN",
                Self::Token(..) => "no AUTH XOAUTH2, which access tokens need,",
            };
            let theirs = if offered.auth_offered.is_empty() { "no AUTH at all" } else { &offered.auth_offered };
            failures::login(format!("the next hop offers {ours} on this connection; it offers: {theirs}"))
        })
    }

    async fn first(self, deadline: Instant) -> Result<Arc<Credential>, ConnectError> {
        let found = match self {
            Self::Password(secrets, secret) => timeout_at(deadline, secrets.get(secret))
                .await
                .map(|found| found.map_err(|error| failures::login(format!("{}: {}", self.describe(), error.0)))),
            Self::Token(tokens, config) => {
                timeout_at(deadline, tokens.get(config)).await.map(|found| found.map_err(|error| error.failure()))
            }
        };
        match found {
            Ok(found) => found.map_err(ConnectError::Stop),
            Err(_) => Err(ConnectError::Stop(failures::login(format!("{} was not had in time", self.describe())))),
        }
    }

    /// `None`, too, when there is none before the deadline.
    async fn after_refusal(self, refused: &Credential, deadline: Instant) -> Option<Arc<Credential>> {
        match self {
            Self::Password(secrets, secret) => timeout_at(deadline, secrets.after_refusal(secret, refused)).await.ok()?,
            Self::Token(tokens, config) => timeout_at(deadline, tokens.after_refusal(config, refused)).await.ok()?,
        }
    }

    fn accepted(self) {
        match self {
            Self::Password(secrets, secret) => secrets.accepted(secret),
            Self::Token(tokens, config) => tokens.accepted(config),
        }
    }

    /// Where it comes from; never what it is.
    fn describe(self) -> String {
        match self {
            Self::Password(_, secret) => describe(secret),
            Self::Token(_, config) => format!("the access token for {} from {}", config.user, config.token_url),
        }
    }
}

/// The mechanism on one connection.
#[derive(Clone, Copy)]
enum Way {
    Password(Mechanism),
    Token,
}

/// The credentials that were tried in one attempt; it outlives the connection when the next hop closes after a refusal.
#[derive(Debug, Default)]
pub(super) struct Login {
    next: Option<Arc<Credential>>,
    refusals: u32,
}

/// Who logs in when: everybody at once with a login that has worked, else one connection after the other. A wrong password is
/// refused once then, not once on each connection, which locks mailboxes.
#[derive(Debug, Default)]
pub(super) struct Turns {
    has_worked: AtomicBool,
    turn: tokio::sync::Mutex<()>,
}

impl Turns {
    /// One login, in its turn.
    pub(super) async fn run(
        &self,
        login: &mut Login,
        connection: &mut Connection,
        means: Means<'_>,
        deadline: Instant,
    ) -> Result<Progress, ConnectError> {
        let _turn = match self.has_worked.load(Ordering::Relaxed) {
            true => None,
            false => Some(timeout_at(deadline, self.turn.lock()).await.map_err(|_| failures::busy("another login took too long"))?),
        };
        let progress = login.run(connection, means, deadline).await;
        self.has_worked.store(matches!(progress, Ok(Progress::Done)), Ordering::Relaxed);
        progress
    }
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
    pub(super) async fn run(&mut self, connection: &mut Connection, means: Means<'_>, deadline: Instant) -> Result<Progress, ConnectError> {
        let way = means.way(connection.client.extensions())?;
        let mut fresh_connection = true;
        loop {
            let credential = match self.next.take() {
                Some(credential) => credential,
                None => means.first(deadline).await?,
            };
            if credential.username.contains('\0') || credential.password.contains('\0') {
                let detail = format!("{} holds a NUL, which AUTH cannot carry", means.describe());
                return Err(ConnectError::Stop(failures::login(detail)));
            }
            match way {
                Way::Password(mechanism) => connection.client.authenticate(mechanism, &credential.username, &credential.password),
                Way::Token => connection.client.authenticate_with_token(&credential.username, &credential.password),
            }
            let reply = match connection.next_event(deadline).await {
                Ok(ClientEvent::Authenticated) => {
                    means.accepted();
                    return Ok(Progress::Done);
                }
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
            self.next = self.after_refusal(&reply, means, &credential, deadline).await?;
            fresh_connection = false;
        }
    }

    /// RFC 4954 §6: 535 says that the credentials are wrong; nothing else is a reason to try others.
    async fn after_refusal(
        &self,
        reply: &Reply,
        means: Means<'_>,
        refused: &Credential,
        deadline: Instant,
    ) -> Result<Option<Arc<Credential>>, ConnectError> {
        // Who looks at the held relay sees the next hop's own words.
        let said = || Some(Box::new(reply.clone()));
        let stop = |what: &str| {
            let failure = failures::login(format!("{what} {}: {reply}", means.describe()));
            Err(ConnectError::Stop(Failure { said: said(), ..failure }))
        };
        if !reply.is_permanent() {
            // RFC 4954 §6: 454 is a trouble that passes.
            let failure = failures::login(format!("reply to AUTH with {}: {reply}", means.describe()));
            return Err(ConnectError::TryNext(Failure { said: said(), ..failure.of(Class::Retry) }));
        }
        if reply.code != 535 {
            return stop("the next hop refuses a login with");
        }
        let next = means.after_refusal(refused, deadline).await;
        if self.refusals >= limits::RELAY_CREDENTIALS_MAX {
            return stop("the next hop refuses every version of");
        }
        match next {
            Some(next) => Ok(Some(next)),
            None => stop("the next hop refuses"),
        }
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

/// A reply that repeats what was sent loses its text, so that no log shows a password. Then it may be shortened.
fn without_secret(reply: Reply, credential: &Credential) -> Reply {
    if mentions(&reply.text, credential) {
        return Reply::new(reply.code, reply.status, "(text left out, it repeats the login)");
    }
    reply.shortened(limits::RELAY_REPLY_CHARS_MAX)
}

fn scrubbed(mut failure: Failure, credential: &Credential) -> Failure {
    failure.reply = without_secret(failure.reply, credential);
    failure.said = failure.said.map(|said| Box::new(without_secret(*said, credential)));
    if mentions(&failure.detail, credential) {
        failure.detail = "(left out, it repeats the login)".to_owned();
    }
    failure.detail = crate::message::one_line(&failure.detail, limits::RELAY_REPLY_CHARS_MAX);
    failure
}

fn mentions(text: &str, credential: &Credential) -> bool {
    let encoded = crate::smtp::auth_encodings(&credential.username, &credential.password);
    let plain = !credential.password.is_empty() && text.contains(credential.password.as_str());
    let as_token = crate::smtp::token_encoding(&credential.username, &credential.password);
    plain || encoded.iter().chain([&as_token]).any(|part| !part.is_empty() && text.contains(part.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cut first, the beginning of a password would be left, which is no password and would be shown.
    #[test]
    fn a_password_at_the_place_of_the_cut_is_not_shown_by_half() {
        let credential = Credential { username: "user".to_owned().into(), password: "correct horse".to_owned().into() };
        let begin = "x".repeat(limits::RELAY_REPLY_CHARS_MAX - 8);
        let reply = without_secret(Reply::new(535, None, format!("{begin}correct horse")), &credential);
        assert_eq!(reply.text, "(text left out, it repeats the login)");
        let reply = without_secret(Reply::new(535, None, format!("{begin}something else")), &credential);
        assert_eq!(reply.text.chars().count(), limits::RELAY_REPLY_CHARS_MAX);
    }
}
