//! Microsoft's submission: access tokens that expire, are revoked, and secrets that change while the gateway runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::canned_http::CannedHttp;
use crate::common::peer::Peer;
use crate::harness::{Client, Deployment, Gateway, mail, until};

const BOB: &str = "bob@acme.example";
const USER: &str = "robot@acme.example";

/// A token endpoint: the tokens are `token-1`, `token-2`, …, and only one client secret is good.
struct Tokens {
    server: CannedHttp,
    secret: Arc<Mutex<String>>,
}

impl Tokens {
    fn start(secret: &str) -> Self {
        let secret = Arc::new(Mutex::new(secret.to_owned()));
        let (good, count) = (Arc::clone(&secret), AtomicUsize::new(0));
        let server = CannedHttp::start(move |_, body| {
            let secret = format!("client_secret={}", good.lock().unwrap());
            if !body.split('&').any(|part| part == secret) {
                return (
                    401,
                    r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#.to_owned(),
                );
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            (200, format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"token-{number}"}}"#))
        });
        Self { server, secret }
    }
}

fn start(peer: &Peer, tokens: &Tokens) -> (Deployment, Gateway) {
    let oauth = format!(
        "oauth: {{ token_url: \"{}/token\", client_id: app, user: {USER}, client_secret: {{ file: client.json }} }}",
        tokens.server.url()
    );
    let deployment = Deployment::new("queue").file("client.json", r#"{"client_secret":"old-secret"}"#);
    // A connection for each message, one after the other: each message logs in, and knows how the one before it fared.
    let keys = format!("tls: required, {oauth}, limits: {{ connections: 1, messages_per_connection: 1 }}");
    let deployment = deployment.relay_with("next", peer.address(), &keys);
    let gateway = deployment.start();
    (deployment, gateway)
}

fn send(gateway: &Gateway, subject: &str) {
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small(subject)).expect("250 ");
}

fn logins(peer: &Peer) -> usize {
    peer.dialogue().iter().filter(|line| line.contains(" AUTH ")).count()
}

#[test]
fn an_expired_token_is_fetched_anew_once() {
    let (peer, tokens) = (Peer::start("peer-microsoft-submission"), Tokens::start("old-secret"));
    peer.accept_secrets(&["token-1"]);
    let (_deployment, gateway) = start(&peer, &tokens);
    for number in 1..=3 {
        send(&gateway, "first");
        peer.wait_taken(number);
    }
    assert_eq!((tokens.server.requests(), logins(&peer)), (1, 3), "one token for all");
    // The server has had enough of it, whatever was promised.
    peer.accept_secrets(&["token-2"]);
    send(&gateway, "expired");
    let taken = peer.wait_taken(4);
    assert_eq!((tokens.server.requests(), logins(&peer)), (2, 5), "one refusal, one refresh");
    assert!(taken.iter().all(|taken| taken.tls && taken.user.as_deref() == Some(USER)));
    assert_eq!(peer.violations(), [""; 0]);
    assert!(!gateway.said().contains("token-"), "no token is in the log");
}

#[test]
fn a_revoked_login_holds_the_relay_and_bounces_nothing() {
    let (peer, tokens) = (Peer::start("peer-microsoft-submission"), Tokens::start("old-secret"));
    peer.accept_secrets(&[]);
    let (_deployment, gateway) = start(&peer, &tokens);
    for number in 0..5 {
        send(&gateway, &format!("revoked{number}"));
    }
    let held = gateway.wait_for(|event| event["event"] == "relay_held" && event["relay"] == "next");
    assert_eq!(held["reply"]["code"], 535, "{held}");
    let attempts = gateway.events(|event| event["event"] == "attempt");
    assert!(attempts.iter().all(|attempt| attempt["recipients"][0]["result"] == "deferred"), "{attempts:?}");
    assert_eq!((tokens.server.requests(), logins(&peer)), (2, 2), "one refresh, and each token is tried once");
    assert!(gateway.events(|event| matches!(event["event"].as_str(), Some("dsn" | "outcome"))).is_empty());
    assert_eq!(peer.violations(), [""; 0]);
}

#[test]
fn a_client_secret_that_changes_is_read_again_when_it_is_refused() {
    let (peer, tokens) = (Peer::start("peer-microsoft-submission"), Tokens::start("old-secret"));
    peer.accept_secrets(&["token-1"]);
    let (deployment, gateway) = start(&peer, &tokens);
    send(&gateway, "before");
    peer.wait_taken(1);
    // Both sides change: the application's secret in Entra and in the file, and with it the tokens.
    "new-secret".clone_into(&mut tokens.secret.lock().unwrap());
    deployment.write("client.json", r#"{"client_secret":"new-secret"}"#);
    peer.accept_secrets(&["token-2"]);
    send(&gateway, "after");
    peer.wait_taken(2);
    assert_eq!(peer.violations(), [""; 0]);
    assert!(!gateway.said().contains("-secret"), "no secret is in the log");
}

#[test]
fn a_password_that_changes_is_used_by_the_next_connection() {
    let peer = Peer::start("peer-microsoft-submission");
    peer.accept_secrets(&["old-horse"]);
    let secret = |password: &str| serde_json::json!({ "username": USER, "password": password }).to_string();
    let deployment = Deployment::new("queue").file("login.json", &secret("old-horse"));
    let keys = "tls: required, auth: { file: login.json }, limits: { messages_per_connection: 1 }";
    let deployment = deployment.relay_with("next", peer.address(), keys);
    let gateway = deployment.start();
    send(&gateway, "before");
    peer.wait_taken(1);
    deployment.write("login.json", &secret("new-horse"));
    peer.accept_secrets(&["new-horse"]);
    send(&gateway, "after");
    let taken = peer.wait_taken(2);
    assert_eq!(taken[1].user.as_deref(), Some(USER));
    // With the new one at once, or after the old one was refused.
    assert!((2..=3).contains(&logins(&peer)), "{:?}", peer.dialogue());
    assert_eq!(peer.violations(), [""; 0]);
    until("the outcome", || (gateway.events(|event| event["event"] == "outcome").len() == 2).then_some(()));
}
