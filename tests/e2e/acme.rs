//! Certificates by ACME, from a real server of it.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::common::free_address;
use crate::harness::gateway::command;
use crate::harness::pebble::PebbleHome;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

/// Long enough for nothing to be due.
const MONTHS: u64 = 90 * 86_400;
const ONE_NAME: &str = "tls: { mode: optional, acme: mx1.acme.example }";
const TWO_NAMES: &str = "tls: { mode: optional, acme: [mx1.acme.example, mx.acme.org] }";

#[test]
fn a_certificate_is_issued_while_the_gateway_serves() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let pebble = home.start(MONTHS);
    let (deployment, gateway) = start(&sink, &home, TWO_NAMES);
    let first = gateway.wait_for(certificate("self_signed"));
    assert_eq!(first["not_after"], Value::Null);
    let issued = gateway.wait_for(certificate("issued"));
    assert_eq!(issued["names"], serde_json::json!(["mx.acme.org", "mx1.acme.example"]));
    assert!(issued["not_after"].as_str().unwrap().ends_with('Z'));

    for name in ["mx1.acme.example", "mx.acme.org"] {
        let mut client = Client::hello(gateway.address());
        client.start_tls_believing(&pebble.root(), name);
        client.command("EHLO client.example").expect("250 ");
        client.send("a@example.org", &["bob@acme.example"], &mail::small("tls")).expect("250 ");
    }
    let files = stored(&deployment);
    assert_eq!(files.len(), 2, "the account and the certificate: {files:?}");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(file.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn a_restart_uses_what_is_stored_and_orders_nothing() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let pebble = home.start(MONTHS);
    let (deployment, gateway) = start(&sink, &home, ONE_NAME);
    let not_after = gateway.wait_for(certificate("issued"))["not_after"].clone();
    let shown = Client::hello(gateway.address()).start_tls();
    gateway.stop();
    // An order would fail now, and be a line in the log.
    drop(pebble);

    let gateway = deployment.start();
    assert_eq!(gateway.wait_for(certificate("stored"))["not_after"], not_after);
    assert_eq!(Client::hello(gateway.address()).start_tls(), shown);
    let (_, said) = gateway.stop();
    assert!(!said.contains(r#""what":"acme""#) && !said.contains("self_signed"), "{said}");
}

#[test]
fn a_certificate_is_renewed_when_it_is_due() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let _pebble = home.start(6);
    let (_deployment, gateway) = start(&sink, &home, ONE_NAME);
    let first = gateway.wait_for(certificate("issued"))["not_after"].clone();
    let mut open = Client::hello(gateway.address());
    let shown = open.start_tls();
    gateway.wait_for(|event| certificate("issued")(event) && event["not_after"] != first);
    assert_ne!(Client::hello(gateway.address()).start_tls(), shown);
    open.command("EHLO client.example").expect("250 ");
    open.send("a@example.org", &["bob@acme.example"], &mail::small("old")).expect("250 ");
    assert!(gateway.events(problem).is_empty());
}

#[test]
fn an_authority_that_is_down_costs_nothing_but_the_certificate() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let (_deployment, gateway) = start(&sink, &home, ONE_NAME);
    let detail = gateway.wait_for(problem)["detail"].clone();
    let detail = detail.as_str().unwrap();
    assert!(detail.starts_with("mx1.acme.example: https://127.0.0.1:") && detail.contains("onnection refused"), "{detail}");
    assert!(detail.ends_with("; a self-signed one is in use; next attempt in 1 min"), "{detail}");
    let mut client = Client::hello(gateway.address());
    let self_signed = client.start_tls();
    client.command("EHLO client.example").expect("250 ");
    client.send("a@example.org", &["bob@acme.example"], &mail::small("tls")).expect("250 ");

    // The wait after the failure is longer than this test; the signal says that something was mended.
    let pebble = home.start(MONTHS);
    gateway.signal("HUP");
    gateway.wait_for(certificate("issued"));
    assert_ne!(Client::hello(gateway.address()).start_tls_believing(&pebble.root(), "mx1.acme.example"), self_signed);
}

#[test]
fn a_reload_keeps_certificates_and_orders_new_ones() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let pebble = home.start(MONTHS);
    let (deployment, gateway) = start(&sink, &home, ONE_NAME);
    gateway.wait_for(certificate("issued"));
    let shown = Client::hello(gateway.address()).start_tls();
    // Another snapshot has other slots: the certificate must be in them before the first handshake.
    deployment.write("policies/edge.yaml", "default: allow\nmax_message_size: 1MiB\n");
    gateway.wait_for(|event| event["event"] == "reloaded");
    assert_eq!(Client::hello(gateway.address()).start_tls(), shown);

    // Another pebble, which has never heard of the account.
    drop(pebble);
    let pebble = home.start(MONTHS);
    deployment.write("gateway.yaml", &deployment.yaml().replace("acme: mx1.acme.example", "acme: mx.acme.org"));
    let issued = gateway.wait_for(|event| certificate("issued")(event) && event["names"][0] == "mx.acme.org");
    assert_eq!(issued["names"], serde_json::json!(["mx.acme.org"]));
    Client::hello(gateway.address()).start_tls_believing(&pebble.root(), "mx.acme.org");
    let detail = gateway.wait_for(problem)["detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("the account was set aside as "), "{detail}");
}

#[test]
fn what_cannot_be_read_back_is_set_aside_and_ordered_anew() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let pebble = home.start(MONTHS);
    let (deployment, gateway) = start(&sink, &home, ONE_NAME);
    gateway.wait_for(certificate("issued"));
    gateway.stop();
    let files = stored(&deployment);
    for file in &files {
        std::fs::write(file, "-----BEGIN PRIVATE KEY-----\nnone").unwrap();
    }

    let gateway = deployment.start();
    gateway.wait_for(certificate("self_signed"));
    gateway.wait_for(certificate("issued"));
    Client::hello(gateway.address()).start_tls_believing(&pebble.root(), "mx1.acme.example");
    assert_eq!(gateway.events(problem).len(), 2, "{}", gateway.said());
    for file in files {
        let aside = PathBuf::from(format!("{}.damaged", file.display()));
        assert!(aside.exists() && gateway.said().contains(aside.to_str().unwrap()), "{aside:?}");
    }
}

#[test]
fn a_name_that_leads_elsewhere_is_explained() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let _pebble = home.start_asking(MONTHS, free_address().port());
    let (_deployment, gateway) = start(&sink, &home, ONE_NAME);
    let detail = gateway.wait_for(problem)["detail"].clone();
    let detail = detail.as_str().unwrap();
    assert!(detail.contains("connection: ") && detail.contains("127.0.0.1"), "what the authority says: {detail}");
    assert!(detail.contains("nobody asked here for mx1.acme.example: does port 80 of that name lead to `acme.listen`?"), "{detail}");
    Client::hello(gateway.address()).start_tls();
}

#[test]
fn what_keeps_it_from_starting_is_named() {
    let (sink, home) = (Sink::accepting(), PebbleHome::new());
    let deployment = deployment(&sink, &home, ONE_NAME);
    let run = |yaml: &str| {
        deployment.write("gateway.yaml", yaml);
        let output = command(deployment.folder()).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = run(&deployment.yaml().replace("accept_terms: true", "accept_terms: false"));
    assert!(said.contains("error[bad-value]") && said.contains("`accept_terms: true`"), "{said}");

    let _taken = std::net::TcpListener::bind(home.challenges()).unwrap();
    let said = run(&deployment.yaml());
    assert!(said.contains(&format!("`acme.listen` cannot listen on {}: ", home.challenges())), "{said}");
}

fn certificate(source: &str) -> impl Fn(&Value) -> bool {
    move |event| event["event"] == "certificate" && event["source"] == source
}

fn problem(event: &Value) -> bool {
    event["event"] == "problem" && event["what"] == "acme"
}

fn start(sink: &Sink, home: &PebbleHome, tls: &str) -> (Deployment, Gateway) {
    let deployment = deployment(sink, home, tls);
    let gateway = deployment.start();
    (deployment, gateway)
}

fn deployment(sink: &Sink, home: &PebbleHome, tls: &str) -> Deployment {
    let top = format!("domains: [acme.example]\n{}", home.section("storage: acme"));
    Deployment::new("inline").relay("next", sink.address()).endpoint(tls).top(&top)
}

/// The files of the only directory in storage.
fn stored(deployment: &Deployment) -> Vec<PathBuf> {
    let list = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    list(deployment.path("acme")).into_iter().flat_map(list).collect()
}
