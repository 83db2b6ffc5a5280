//! Attacks on the edge, one file for each class, against the real program on loopback. docs/attacks.md says what each class is.
//!
//! After each attack the gateway must still serve, and the next hop must have seen what was accepted and nothing else.

#[path = "../common/mod.rs"]
mod common;
// It is made for tests/e2e, which uses all of it.
#[allow(dead_code, unused_imports)]
#[path = "../e2e/harness/mod.rs"]
mod harness;
mod hop;

mod addresses;
mod authentication;
mod chunks;
mod dialogues;
mod handshake;
mod headers;
mod log;
mod login;
mod logins;
mod pace;
mod resolver;
mod scanners;
mod smuggling;
mod starttls;
mod talkers;
mod tls;
mod trace;
mod words;

use harness::tls::Certificate;
use harness::{Client, Deployment, Gateway, Sink, mail};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@acme.example";

/// A gateway that delivers inline to a next hop that takes everything.
fn start() -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let gateway = Deployment::new("inline").relay("next", sink.address()).start();
    (sink, gateway)
}

/// The same with STARTTLS; `mode` is `optional` or `required`.
fn start_with_tls(mode: &str) -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let tls = format!("tls: {{ mode: {mode}, certificate: tls/cert.pem, key: tls/key.pem }}");
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(&tls);
    Certificate::new().write(&deployment.path("tls"));
    let gateway = deployment.start();
    (sink, gateway)
}

/// As far as the 354.
#[track_caller]
fn begin(client: &mut Client) {
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    client.command("RCPT TO:<bob@acme.example>").expect("250 ");
    client.command("DATA").expect("354 ");
}

/// The page for operators has a paragraph for each file here.
#[test]
fn each_class_is_on_the_page() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(folder.join("docs/attacks.md")).unwrap();
    for entry in std::fs::read_dir(folder.join("tests/attacks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            matches!(name.as_str(), "main.rs" | "hop.rs" | "handshake.rs") || page.contains(&format!("`{name}`")),
            "docs/attacks.md does not name {name}"
        );
    }
}

/// An honest client is served, and its message is the only new one at the next hop.
#[track_caller]
fn still_serves(sink: &Sink, gateway: &Gateway) {
    let before = sink.taken().len();
    Client::hello(gateway.address()).send(ALICE, &[BOB], &mail::small("still")).expect("250 ");
    assert_eq!(sink.taken().len(), before + 1);
}
