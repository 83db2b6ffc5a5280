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
use crate::limits::{LOG_USER_CHARS_MAX, LOGIN_DELAY_FIRST, Limit};
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
            limit: matches!(judgement, Judgement::TooManyFailures).then_some(Limit::LoginFailures),
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
    use std::path::Path;
    use std::sync::Arc;

    use tokio::time::Instant as Clock;
    use zeroize::Zeroizing;

    use super::*;
    use crate::ingress::tests::{Gate, House, house_of};
    use crate::limits::LOGIN_FAILURES_PER_CLIENT_MAX;
    use crate::smtp::{Address, Mechanism, ReversePath};

    const TIM: &str = r#"{"username": "tim", "password": "secret"}"#;

    fn gateway(secret: &Path) -> House {
        house_of(EndpointKind::Auth(SecretRef::File(secret.to_owned())))
    }

    fn connect<'h>(house: &'h House, client: &str) -> Connection<'h, Gate> {
        let live = house.ingress.live.load_full();
        let endpoint = Arc::clone(&live.snapshot.endpoints["mx"]);
        let places = (house.ingress.admission.enter_total().unwrap(), None);
        Connection::new(&house.ingress, live, endpoint, house.ingress.ids.next(0), client.parse().unwrap(), places)
    }

    /// The code of the answer, 235 for a good one, and how long it took.
    async fn try_login(connection: &mut Connection<'_, Gate>, username: &str, password: &str) -> (u16, u64) {
        let [username, password] = [username, password].map(|part| Zeroizing::new(part.to_owned()));
        let began = Clock::now();
        let answer = connection.log_in(Login { mechanism: Mechanism::Plain, username, password }).await;
        (answer.map_or_else(|reply| reply.code, |()| 235), began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_login_waits_longer_and_longer_and_a_right_one_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        std::fs::write(&path, TIM).unwrap();
        let house = gateway(&path);
        let mut guesser = connect(&house, "192.0.2.1");
        for (username, password, answer) in
            [("tim", "a", (535, 1)), ("nobody", "secret", (535, 2)), ("tim", "c", (535, 4)), ("tim", "d", (535, 8)), ("tim", "e", (535, 8))]
        {
            assert_eq!(try_login(&mut guesser, username, password).await, answer, "{username} {password}");
            assert!(!guesser.facts.authenticated);
        }
        assert_eq!(try_login(&mut guesser, "tim", "secret").await, (235, 0));
        assert!(guesser.facts.authenticated && guesser.facts.login.as_deref() == Some("tim"));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_wrong_logins_put_off_even_the_right_one_and_only_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        std::fs::write(&path, TIM).unwrap();
        let house = gateway(&path);
        for guess in 0..LOGIN_FAILURES_PER_CLIENT_MAX {
            assert_eq!(try_login(&mut connect(&house, "2001:db8::1"), "tim", &guess.to_string()).await.0, 535);
        }
        assert_eq!(try_login(&mut connect(&house, "2001:db8::2"), "tim", "secret").await, (454, 1));
        assert_eq!(try_login(&mut connect(&house, "2001:db8:1::1"), "tim", "secret").await, (235, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_known_is_454_and_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let house = gateway(&path);
        let mut client = connect(&house, "192.0.2.1");
        for _ in 0..LOGIN_FAILURES_PER_CLIENT_MAX * 2 {
            assert_eq!(try_login(&mut client, "tim", "secret").await, (454, 0));
        }
        std::fs::write(&path, TIM).unwrap();
        assert_eq!(try_login(&mut client, "tim", "secret").await, (235, 0));
        // No endpoint for logins, so nothing to compare with.
        let open = house_of(EndpointKind::Open);
        assert_eq!(try_login(&mut connect(&open, "192.0.2.1"), "tim", "secret").await, (454, 0));
    }

    #[tokio::test]
    async fn a_login_opens_the_way_to_any_domain_and_past_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        std::fs::write(&path, TIM).unwrap();
        let house = gateway(&path);
        let mut client = connect(&house, "192.0.2.1");
        client.facts.helo = "c.example".into();
        let outside = || Address::parse("x@elsewhere.example", false).unwrap();
        client.begin_transaction(ReversePath::Null, Default::default()).unwrap();
        let refusal = client.judge_recipient(outside().into()).await.unwrap_err();
        assert!(refusal.text.starts_with("Relaying denied"), "the session asks for the login; this is the second lock");
        assert_eq!(try_login(&mut client, "tim", "secret").await.0, 235);
        client.judge_recipient(outside().into()).await.unwrap();
        let denied = Address::parse("bob@here.example", false).unwrap();
        let refusal = client.judge_recipient(denied.into()).await.unwrap_err();
        assert!(refusal.text.starts_with("Not accepted by the policy"), "it judges all the same");
    }

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
