//! TLS in all modes, and AUTH.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::login::{Answer, CredentialSource};
use super::*;
use crate::secrets::{Credential, SecretError, SecretRef};

/// A server with a certificate for 127.0.0.1 and `hop.example`, and the certificate as PEM.
pub(super) fn server(names: &[&str]) -> (Arc<rustls::ServerConfig>, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), made.cert.pem())
}

pub(super) fn with_tls(tls: Arc<rustls::ServerConfig>) -> Script {
    Script { tls: Some(tls), ..Script::default() }
}

fn mode(hop: &Hop, tls: TlsMode) -> RelayConfig {
    RelayConfig { tls, ..config(hop) }
}

#[tokio::test]
async fn each_mode_with_a_hop_that_offers_starttls() {
    let (tls, pem) = server(&["127.0.0.1"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem).unwrap();
    for (tls_mode, ca_file, expected, star) in [
        (TlsMode::None, false, "250", ""),
        (TlsMode::Opportunistic, false, "250", "*"),
        (TlsMode::Required, false, "250", "*"),
        (TlsMode::Verify, true, "250", "*"),
        (TlsMode::Verify, false, "451 4.7.5 later", ""),
    ] {
        let hop = Hop::start(with_tls(Arc::clone(&tls))).await;
        let mut config = mode(&hop, tls_mode);
        config.ca_file = ca_file.then(|| ca.path().to_owned());
        let report = deliver(&relays(), config, &["x@y.example"]).await;
        assert_eq!(short(&report), [expected], "{tls_mode:?}: {}", detail(&report));
        if expected == "250" {
            assert!(hop.log().commands.contains(&format!("1{star} MAIL FROM:<sender@a.example> SIZE={}", CONTENT.len())), "{tls_mode:?}");
            assert_eq!(report.attempts[0].tls.is_some(), star == "*");
        } else {
            assert_eq!(hop.count("MAIL"), 0);
        }
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_verified() {
    let (tls, pem) = server(&["other.example"]);
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(ca.path(), pem).unwrap();
    let hop = Hop::start(with_tls(tls)).await;
    let config = RelayConfig { ca_file: Some(ca.path().to_owned()), ..mode(&hop, TlsMode::Verify) };
    assert_eq!(short(&deliver(&relays(), config, &["x@y.example"]).await), ["451 4.7.5 later"]);
    let config = RelayConfig { ca_file: Some("/nonexistent/ca.pem".into()), ..mode(&hop, TlsMode::Verify) };
    assert_eq!(short(&deliver(&relays(), config, &["x@y.example"]).await), ["451 4.3.5 later"]);
    assert_eq!(hop.count("MAIL"), 0);
}

#[tokio::test]
async fn implicit_tls() {
    let (tls, _) = server(&["127.0.0.1"]);
    let hop = Hop::start(Script { implicit_tls: true, ..with_tls(tls) }).await;
    let config = RelayConfig { implicit_tls: true, ..mode(&hop, TlsMode::Required) };
    let report = deliver(&relays(), config, &["x@y.example"]).await;
    assert_eq!(short(&report), ["250"]);
    assert!(report.attempts[0].tls.is_some());
}

#[tokio::test]
async fn without_starttls_only_the_strict_modes_fail() {
    for (tls_mode, expected) in
        [(TlsMode::Opportunistic, "250"), (TlsMode::Required, "451 4.7.4 later"), (TlsMode::Verify, "451 4.7.4 later")]
    {
        let hop = Hop::start(Script::default()).await;
        assert_eq!(short(&deliver(&relays(), mode(&hop, tls_mode), &["x@y.example"]).await), [expected], "{tls_mode:?}");
    }
}

#[tokio::test]
async fn a_failed_handshake_is_followed_by_plain_text_on_a_new_connection_in_opportunistic_mode_only() {
    // Offers STARTTLS and then closes instead of a handshake.
    let script = || Script::default().keywords(&["STARTTLS"]);
    let closing = |command: &str, _: usize| (command == "STARTTLS").then_some(Act::SayAndClose("220 go on"));
    for (tls_mode, auth, expected) in [
        (TlsMode::Opportunistic, false, "250"),
        (TlsMode::Opportunistic, true, "451 4.7.5 later"),
        (TlsMode::Required, false, "451 4.7.5 later"),
    ] {
        let hop = Hop::start(Script { rule: Arc::new(closing), ..script() }).await;
        let config = RelayConfig { auth: auth.then(|| Auth::Password(secret())), ..mode(&hop, tls_mode) };
        let report = deliver(&relays(), config, &["x@y.example"]).await;
        assert_eq!(short(&report), [expected], "{tls_mode:?}, auth {auth}");
        assert_eq!(hop.log().connections, if expected == "250" { 2 } else { 1 });
    }
}

#[tokio::test]
async fn plain_text_between_starttls_and_handshake_is_an_attack() {
    let (tls, _) = server(&["127.0.0.1"]);
    for tls_mode in [TlsMode::Opportunistic, TlsMode::Required] {
        let rule = |command: &str, _: usize| (command == "STARTTLS").then_some(Act::Say("220 go on\r\n250 AUTH PLAIN"));
        let hop = Hop::start(Script { rule: Arc::new(rule), ..with_tls(Arc::clone(&tls)) }).await;
        assert_eq!(short(&deliver(&relays(), mode(&hop, tls_mode), &["x@y.example"]).await), ["451 4.5.0 later"]);
        assert_eq!(hop.count("MAIL"), 0);
    }
}

fn secret() -> SecretRef {
    SecretRef::Environment("RELAY_LOGIN".into())
}

/// Gives out passwords one after another.
#[derive(Debug)]
struct Source(Mutex<VecDeque<&'static str>>);

impl Source {
    fn next(&self) -> Option<Arc<Credential>> {
        let password = self.0.lock().unwrap().pop_front()?;
        Some(Arc::new(Credential { username: "user".to_owned().into(), password: password.to_owned().into() }))
    }
}

impl CredentialSource for Source {
    fn get<'a>(&'a self, _: &'a SecretRef) -> Answer<'a, Result<Arc<Credential>, SecretError>> {
        Box::pin(async { self.next().ok_or_else(|| SecretError("it is not there".into())) })
    }

    fn after_refusal<'a>(&'a self, _: &'a SecretRef, _: &'a Credential) -> Answer<'a, Option<Arc<Credential>>> {
        Box::pin(async { self.next() })
    }
}

fn relays_with(passwords: &[&'static str]) -> Relays {
    let source = Source(Mutex::new(passwords.iter().copied().collect()));
    let tokens = super::super::tokens::Tokens::new(Arc::default());
    Relays::with_source("mx.example".into(), Arc::new(source), tokens, dns())
}

async fn log_in(hop: &Hop, passwords: &[&'static str]) -> DeliveryReport {
    let relays = relays_with(passwords);
    let config = RelayConfig { auth: Some(Auth::Password(secret())), ..config(hop) };
    deliver(&relays, config, &["x@y.example"]).await
}

/// `\0user\0good` is `AHVzZXIAZ29vZA==`.
fn plain_rule(refusal: Act) -> impl Fn(&str, usize) -> Option<Act> + Send + Sync {
    move |command, _| (command.starts_with("AUTH") && command != "AUTH PLAIN AHVzZXIAZ29vZA==").then(|| refusal.clone())
}

#[tokio::test]
async fn a_refused_password_is_followed_by_the_next_version_of_the_secret() {
    for (refusal, connections) in [(Act::Say("535 5.7.8 no"), 1), (Act::SayAndClose("535 5.7.8 no"), 2)] {
        let hop = Hop::start(Script::rule(plain_rule(refusal)).keywords(&["AUTH LOGIN PLAIN"])).await;
        let report = log_in(&hop, &["old", "good"]).await;
        assert_eq!(short(&report), ["250"], "{}", detail(&report));
        assert_eq!(hop.log().connections, connections);
        assert_eq!(hop.log().messages.len(), 1);
    }
}

#[tokio::test]
async fn refused_for_good_keeps_the_mail_and_says_which_secret() {
    let hop = Hop::start(Script::rule(plain_rule(Act::Say("535 5.7.8 no"))).keywords(&["AUTH PLAIN"])).await;
    let report = log_in(&hop, &["a-wrong", "b-wrong", "c-wrong", "d-wrong"]).await;
    assert_eq!(short(&report), ["451 4.7.0 later"]);
    assert_eq!(hop.count("AUTH"), 3, "no more than three: accounts get locked");
    assert!(detail(&report).contains("RELAY_LOGIN"), "{}", detail(&report));
    assert!(!detail(&report).contains("wrong"));
    assert_eq!(hop.count("MAIL"), 0);
    let report = log_in(&hop, &[]).await;
    assert_eq!(short(&report), ["451 4.7.0 later"]);
    assert!(detail(&report).contains("not there"), "{}", detail(&report));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_by_deliveries_side_by_side() {
    let hop = Hop::start(Script::rule(plain_rule(Act::Say("535 5.7.8 no"))).keywords(&["AUTH PLAIN"])).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.json");
    std::fs::write(&path, r#"{"username": "user", "password": "wrong"}"#).unwrap();
    let auth = Some(Auth::Password(SecretRef::File(path)));
    let (relays, config) = (relays(), Arc::new(RelayConfig { auth, ..with_connections(config(&hop), 5) }));
    let message = delivery(&["x@y.example"]);
    let reports = futures_util::future::join_all((0..5).map(|_| relays.deliver(&config, &message, Instant::now() + PLENTY))).await;
    assert!(reports.iter().all(|report| short(report)[0].ends_with("later")));
    assert_eq!(hop.count("AUTH"), 1);
}

#[tokio::test]
async fn a_next_hop_that_repeats_the_login_gets_it_into_no_report() {
    for reply in ["535 5.7.8 password hunter2 is wrong", "535 5.7.8 what is AHVzZXIAaHVudGVyMg== to me", "nonsense hunter2"] {
        let rule = move |command: &str, _: usize| command.starts_with("AUTH").then_some(Act::Say(reply));
        let hop = Hop::start(Script::rule(rule).keywords(&["AUTH PLAIN"])).await;
        let report = log_in(&hop, &["hunter2"]).await;
        let everything = format!("{report:?}");
        assert!(short(&report)[0].ends_with("later"));
        assert!(!everything.contains("hunter2") && !everything.contains("AHVzZXIAaHVudGVyMg"), "{everything}");
    }
}

#[tokio::test]
async fn auth_that_is_not_offered_or_login_alone() {
    let hop = Hop::start(Script::default()).await;
    assert_eq!(short(&log_in(&hop, &["good"]).await), ["451 4.7.0 later"]);
    let login = |command: &str, _: usize| match command {
        "AUTH LOGIN" => Some(Act::Say("334 VXNlcm5hbWU6")),
        "dXNlcg==" => Some(Act::Say("334 UGFzc3dvcmQ6")),
        "Z29vZA==" => Some(Act::Say("235 2.7.0 welcome")),
        _ => None,
    };
    let hop = Hop::start(Script::rule(login).keywords(&["AUTH LOGIN"])).await;
    let report = log_in(&hop, &["good"]).await;
    assert_eq!(short(&report), ["250"]);
    assert_eq!(hop.count("Z29vZA=="), 1);
}

#[tokio::test]
async fn login_over_tls_once_for_a_connection() {
    let (tls, _) = server(&["127.0.0.1"]);
    let hop = Hop::start(with_tls(tls).keywords(&["AUTH PLAIN"])).await;
    let relays = relays_with(&["good"]);
    let config = RelayConfig { auth: Some(Auth::Password(secret())), ..mode(&hop, TlsMode::Required) };
    for reused in [false, true] {
        let report = deliver(&relays, config.clone(), &["x@y.example"]).await;
        assert_eq!(short(&report), ["250"], "{}", detail(&report));
        assert_eq!(report.attempts[0].reused, reused);
        assert!(report.attempts[0].tls.is_some());
    }
    assert_eq!(hop.count("AUTH"), 1);
    assert!(hop.log().commands.contains(&"1* AUTH PLAIN AHVzZXIAZ29vZA==".to_owned()), "{:?}", hop.log().commands);
}
