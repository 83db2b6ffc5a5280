//! A client's login: whether it is looked at, whether it is right, and what the log says of it.
//!
//! - What cannot be known is 454, never 535: clients throw away a password that was refused.
//! - The answer to a wrong claim waits; only its own session waits with it.
//! - Neither a password nor anything made of it is in an event.

use std::time::Instant;

use tokio::time::sleep;

use super::driver::Connection;
use crate::config::{EndpointKind, Snapshot};
use crate::dispatch::Intake;
use crate::limits::{LOG_USER_CHARS_MAX, LOGIN_DELAY_FIRST};
use crate::secrets::{Claim, SecretRef, Secrets};
use crate::smtp::{Login, Reply, Status};
use crate::telemetry::Event;

/// RFC 4954 §6.
const WRONG: Reply = Reply::fixed(535, Status(5, 7, 8), "Authentication credentials invalid");
/// RFC 4954 §6.
const UNAVAILABLE: Reply = Reply::fixed(454, Status(4, 7, 0), "Logins cannot be checked now, try again later");
/// The same code: it may be the right password that is not looked at.
const TOO_MANY_FAILURES: Reply = Reply::fixed(454, Status(4, 7, 0), "Too many failed logins, try again later");

/// What became of a claim.
enum Judgement {
    /// Right, by the current or the previous version of the secret.
    Accepted { version: &'static str },
    /// Wrong.
    Refused { reason: &'static str },
    /// Nobody knows.
    Unavailable,
    /// Not looked at.
    TooManyFailures,
}

impl<D: Intake> Connection<'_, D> {
    /// Answers AUTH. After an `Ok` the client is known.
    pub(super) async fn log_in(&mut self, login: Login) -> Result<(), Reply> {
        let judgement = self.judge_login(&login).await;
        let (result, reason, version) = match &judgement {
            Judgement::Accepted { version } => ("accepted", None, Some(*version)),
            Judgement::Refused { reason } => ("refused", Some(*reason), None),
            Judgement::Unavailable => ("deferred", Some("credentials unavailable"), None),
            Judgement::TooManyFailures => ("deferred", Some("too many failed logins"), None),
        };
        let user = printable(&login.username);
        self.ingress.log.emit(&Event::Login {
            session: self.id,
            endpoint: &self.endpoint.name,
            client: self.facts.client_ip,
            user: &user,
            mechanism: login.mechanism.as_str(),
            result,
            reason,
            version,
        });
        match judgement {
            Judgement::Accepted { .. } => {
                self.facts.authenticated = true;
                self.facts.login = Some(login.username.as_str().into());
                Ok(())
            }
            Judgement::Refused { .. } => {
                self.wrong_logins = self.wrong_logins.saturating_add(1);
                let claim = (login.username.as_str(), login.password.as_str());
                let wait = self.ingress.logins.failed(self.facts.client_ip, claim, self.wrong_logins, Instant::now());
                sleep(wait).await;
                Err(WRONG)
            }
            Judgement::Unavailable => Err(UNAVAILABLE),
            Judgement::TooManyFailures => {
                sleep(LOGIN_DELAY_FIRST).await;
                Err(TOO_MANY_FAILURES)
            }
        }
    }

    async fn judge_login(&self, login: &Login) -> Judgement {
        let EndpointKind::Auth(secret) = &self.endpoint.kind else { return Judgement::Unavailable };
        if !self.ingress.logins.may_try(self.facts.client_ip, &login.username, Instant::now()) {
            return Judgement::TooManyFailures;
        }
        let Ok(accounts) = self.ingress.secrets.accounts(secret).await else { return Judgement::Unavailable };
        let compared = accounts.compare(&login.username, &login.password, &self.endpoint.name);
        let compared = match compared {
            (Claim::Right, _) => compared,
            // It may be the new password of a rotation that is not known here yet.
            _ => match self.ingress.secrets.accounts_again(secret).await {
                Ok(accounts) => accounts.compare(&login.username, &login.password, &self.endpoint.name),
                Err(_) => return Judgement::Unavailable,
            },
        };
        match compared {
            (Claim::Right, false) => Judgement::Accepted { version: "current" },
            (Claim::Right, true) => Judgement::Accepted { version: "previous" },
            (Claim::WrongPassword, _) => Judgement::Refused { reason: "wrong password" },
            (Claim::UnknownUser, _) => Judgement::Refused { reason: "unknown user" },
        }
    }
}

/// Reads all credentials once, so that the log speaks of one that cannot be had before a client meets it.
pub async fn look_at_credentials(secrets: &Secrets, snapshot: &Snapshot) {
    let of = |kind: &EndpointKind| -> Option<SecretRef> { if let EndpointKind::Auth(secret) = kind { Some(secret.clone()) } else { None } };
    for secret in snapshot.endpoints.values().filter_map(|endpoint| of(&endpoint.kind)) {
        // The cache reports what it cannot have.
        let _ = secrets.accounts(&secret).await;
    }
}

/// A name for the log: bounded, and nothing in it that a terminal or a reader could take for something else.
fn printable(name: &str) -> String {
    let plain = |c: char| if c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    name.chars().take(LOG_USER_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_log_is_short_and_harmless() {
        for (name, shown) in [
            ("tim@acme.example", "tim@acme.example"),
            ("jörg müller", "jörg müller"),
            ("a\r\nevent=login\u{1b}[2J\u{202e}\u{feff}", "a??event=login?[2J??"),
        ] {
            assert_eq!(printable(name), shown);
        }
        assert_eq!(printable(&"x".repeat(1000)).len(), LOG_USER_CHARS_MAX);
    }
}
