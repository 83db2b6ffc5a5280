//! Relays with access tokens: a canned token endpoint, aiosmtpd with XOAUTH2, and a stand-in for Microsoft Graph.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::canned_http::CannedHttp;
use crate::harness::programs::Aiosmtpd;
use crate::harness::tls::Certificate;
use crate::harness::{Client, Deployment, mail};
use crate::queue_command::queue;

const BOB: &str = "bob@acme.example";
const MAILBOX: &str = "relay@acme.example";
const SECRET: &str = "s3cret~of.the-app";

/// Gives `T1`, `T2`, … to whom has the secret.
fn endpoint() -> CannedHttp {
    let given = Mutex::new(0);
    CannedHttp::start(move |target, body| {
        if target != "/tenant/token" || !body.ends_with(&format!("&client_secret={SECRET}")) {
            return (401, r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided."}"#.to_owned());
        }
        let mut given = given.lock().unwrap();
        *given += 1;
        (200, format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"T{given}"}}"#))
    })
}

fn oauth(endpoint: &CannedHttp) -> String {
    format!(
        "oauth: {{ token_url: \"{}/tenant/token\", client_id: app, user: {MAILBOX}, client_secret: {{ file: app.txt }} }}",
        endpoint.url()
    )
}

#[test]
fn a_refused_client_secret_holds_the_mail_a_token_logs_in_and_a_withdrawn_one_is_replaced() {
    let (endpoint, server) = (endpoint(), Aiosmtpd::with_login(&["LOGIN", "XOAUTH2"], MAILBOX, "T1"));
    let deployment = Deployment::new("queue").file("app.txt", "not-that-one\n");
    let deployment = deployment.relay_with("next", server.address(), &format!("tls: required, {}", oauth(&endpoint)));
    let gateway = deployment.start();
    send(&gateway, "first");
    let held = gateway.wait_for(|event| event["event"] == "relay_held");
    assert_eq!((&held["relay"], &held["by"]), (&"next".into(), &"reply".into()));
    let attempt = gateway.wait_for(|event| event["event"] == "attempt");
    assert_eq!(endpoint.requests(), 1, "a refused client secret is not tried again");
    assert_eq!(attempt["recipients"][0]["result"], "deferred", "{attempt}");
    deployment.write("app.txt", &format!("{SECRET}\n"));
    let said = gateway.said();
    assert!(said.contains("invalid_client: AADSTS7000215: Invalid client secret provided.") && !said.contains("not-that-one"), "{said}");
    // A probe would find it mended within a minute; the operator does not wait for it.
    assert!(queue(&deployment, &["release", "--relay", "next"]).status.success());
    gateway.wait_outcome(BOB, "delivered");
    assert_eq!(server.wait_message(1).0["login"], MAILBOX);

    server.set_user(MAILBOX, "T2");
    server.hang_up();
    send(&gateway, "second");
    assert_eq!(server.wait_message(2).0["login"], MAILBOX);
    let logins: Vec<(String, bool)> = [true, false, true].map(|good| ("XOAUTH2".to_owned(), good)).into();
    assert_eq!(server.logins(), logins);
    assert_eq!(endpoint.requests(), 3);
    assert!(!gateway.said().contains(SECRET));
}

#[test]
fn graph_takes_what_its_mailbox_sends_and_nothing_else() {
    let (endpoint, graph) = (endpoint(), Graph::start());
    let deployment = Deployment::new("inline").file("app.txt", SECRET).file("ca.pem", &graph.ca);
    let gateway = deployment.relay_with("next", graph.address, &format!("kind: graph, ca: ca.pem, {}", oauth(&endpoint))).start();
    let message = format!("From: {MAILBOX}\r\nTo: {BOB}\r\nSubject: x\r\n\r\nbody\r\n");
    Client::hello(gateway.address()).send(MAILBOX, &[BOB], message.as_bytes()).expect("250 ");
    gateway.wait_outcome(BOB, "delivered");
    let (head, body) = graph.seen().remove(0);
    assert!(head.starts_with("POST /v1.0/users/relay%40acme.example/sendMail HTTP/1.1\r\n"), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nauthorization: bearer t1\r\n"), "{head}");
    let sent = String::from_utf8(STANDARD.decode(&body).unwrap()).unwrap();
    assert!(sent.contains("\r\nReceived: from ") && sent.ends_with(&message), "{sent}");

    // Somebody in the envelope whom the header does not name.
    let refused = Client::hello(gateway.address()).send(MAILBOX, &[BOB, "eve@acme.example"], message.as_bytes());
    refused.expect("550 5.3.3 ");
    assert_eq!(graph.seen().len(), 1);
    gateway.wait_for(|event| event.to_string().contains("eve@acme.example is in the envelope and not in the header"));
    let said = gateway.said();
    assert!(!said.contains(SECRET) && !said.contains("Bearer"), "{said}");
}

fn send(gateway: &crate::harness::Gateway, subject: &str) {
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small(subject)).expect("250 ");
}

/// Answers 202 to everything, over TLS.
struct Graph {
    address: SocketAddr,
    /// Its certificate in PEM.
    ca: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

/// Head and body.
type Request = (String, Vec<u8>);

impl Graph {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = Certificate::new().write(folder.path());
        let ca = std::fs::read_to_string(&certificate).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from_pem_file(&certificate).unwrap()], PrivateKeyDer::from_pem_file(&key).unwrap())
            .unwrap();
        let (config, listener) = (Arc::new(config), TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let graph = Self { address: listener.local_addr().unwrap(), ca, seen: Arc::default() };
        let seen = Arc::clone(&graph.seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, seen) = (Arc::clone(&config), Arc::clone(&seen));
                std::thread::spawn(move || serve(StreamOwned::new(ServerConnection::new(config).unwrap(), stream), &seen));
            }
        });
        graph
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

/// Requests of one connection, until the client closes it.
fn serve(stream: StreamOwned<ServerConnection, TcpStream>, seen: &Mutex<Vec<Request>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if !stream.read_line(&mut line).is_ok_and(|read| read > 0) {
                return;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        seen.lock().unwrap().push((head, body));
        if stream.get_mut().write_all(b"HTTP/1.1 202 Accepted\r\nrequest-id: 1\r\nContent-Length: 0\r\n\r\n").is_err() {
            return;
        }
    }
}
