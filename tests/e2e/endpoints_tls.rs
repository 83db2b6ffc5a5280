//! TLS of endpoints: from the first byte, several certificates, clients with certificates of their own.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::common::tool;
use crate::harness::pki::{Authority, Identity};
use crate::harness::tls::{self, Certificate};
use crate::harness::{Client, Deployment, Gateway, Sink, mail, swaks, until};

const PAIR: &str = "certificate: tls/cert.pem, key: tls/key.pem";

// ---- implicit ----

#[test]
fn implicit_tls_comes_before_the_banner() {
    let sink = Sink::accepting();
    let rules = "rules:\n  - name: wrapped\n    when: [{ tls_wrapped: true }]\n    actions: [AddHeader: { name: X-Wrapped, value: \"yes\" }]\n  \
                 - name: all\n    actions: [SMTPRelay: { relay: next }]\n";
    let deployment = implicit(&sink).rules(rules);
    let gateway = deployment.start();
    let mut client = Client::dial_tls(gateway.address(), &tls::config(None), "localhost").unwrap();
    client.reply().expect("220 ");
    assert!(!client.command("EHLO client.example").expect("250 ").text.contains("STARTTLS"));
    client.command("STARTTLS").expect("503 5.5.1");
    client.send("a@example.org", &["bob@acme.example"], &mail::small("wrapped")).expect("250 ");
    let taken = mail::text(&sink.only().data);
    assert!(taken.contains("with ESMTPS id") && taken.contains("X-Wrapped: yes"), "{taken}");
}

#[test]
fn swaks_and_smtplib_speak_implicit_tls() {
    let sink = Sink::accepting();
    let deployment = implicit(&sink);
    let gateway = deployment.start();
    let output = swaks(gateway.address(), "a@example.org", "bob@acme.example").args(["--tls-on-connect"]).output().unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));
    let program = "
import smtplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
with smtplib.SMTP_SSL('localhost', int(sys.argv[1]), context=context) as client:
    client.sendmail('a@example.org', ['bob@acme.example'], sys.stdin.buffer.read())
";
    let output = python(program, &gateway, &[&deployment.path("tls/cert.pem")]);
    assert!(output.status.success(), "{}", mail::text(&output.stderr));
    assert!(sink.wait_taken(2).iter().all(|taken| mail::text(&taken.data).contains("with ESMTPS id")));
}

#[test]
fn who_speaks_plain_text_where_tls_is_awaited_hears_no_smtp() {
    let deployment = implicit(&Sink::accepting());
    let gateway = deployment.start();
    for words in ["EHLO client.example\r\n", "GET / HTTP/1.1\r\n\r\n"] {
        let mut client = Client::dial(gateway.address());
        client.write(words.as_bytes());
        let rest = client.rest();
        assert!(!rest.contains("220") && !rest.contains("ESMTP"), "{rest:?}");
    }
    until("two failures", || (gateway.events(|event| event["error"] == "the client does not speak TLS").len() == 2).then_some(()));
}

#[test]
fn the_policy_refuses_behind_the_handshake() {
    let deployment = implicit(&Sink::accepting()).policy("default: deny\n");
    let gateway = deployment.start();
    Client::dial_tls(gateway.address(), &tls::config(None), "localhost").unwrap().reply().expect("554 5.7.1");
}

// ---- what is shared ----

#[test]
fn a_client_of_another_age_is_refused_with_a_reason() {
    let deployment = implicit(&Sink::accepting());
    let gateway = deployment.start();
    // A ClientHello of TLS 1.0 with TLS_RSA_WITH_AES_128_CBC_SHA (RFC 2246 §7.4.1.2), without and with signature_algorithms.
    let algorithms = [0, 8, 0, 13, 0, 4, 0, 2, 4, 1];
    for (extensions, reason) in [
        (&[][..], "no shared version: the client names no signature algorithms, as before TLS 1.2"),
        (&algorithms[..], "no shared version: the client offers neither TLS 1.2 nor 1.3"),
    ] {
        let body = [&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0], extensions].concat();
        let length = u8::try_from(body.len()).unwrap();
        let mut client = Client::dial(gateway.address());
        client.write(&[&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat());
        // A fatal alert (RFC 8446 §6.2), nothing more.
        let rest = client.rest().into_bytes();
        assert!(rest.len() == 7 && rest[0] == 0x15 && rest[5] == 2, "{rest:?}");
        wait_error(&gateway, reason);
    }

    let program = "
import smtplib, ssl, sys
context = ssl._create_unverified_context()
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.set_ciphers('ECDHE-ECDSA-AES256-SHA')
smtplib.SMTP_SSL('localhost', int(sys.argv[1]), context=context)
";
    assert!(!python(program, &gateway, &[]).status.success());
    wait_error(&gateway, "no shared cipher suite");
}

// ---- several certificates ----

#[test]
fn the_name_asked_for_picks_the_certificate() {
    let certificates = ["mx1.acme.example", "mx.acme.org", "*.acme.net"].map(|name| Certificate::of(&[name]));
    let deployment = Deployment::new("inline").relay("next", Sink::accepting().address()).endpoint(
        "tls: { mode: optional, certificates: [{ certificate: tls/0/cert.pem, key: tls/0/key.pem }, { certificate: tls/1/cert.pem, \
         key: tls/1/key.pem }, { certificate: tls/2/cert.pem, key: tls/2/key.pem }] }",
    );
    for (index, certificate) in certificates.iter().enumerate() {
        certificate.write(&deployment.path(&format!("tls/{index}")));
    }
    let gateway = deployment.start();
    for (name, expected) in
        [("mx1.acme.example", 0), ("mx.acme.org", 1), ("MX.acme.org", 1), ("mx3.acme.net", 2), ("a.b.acme.net", 0), ("127.0.0.1", 0)]
    {
        let mut client = Client::hello(gateway.address());
        client.command("STARTTLS").expect("220 ");
        client.try_handshake(&tls::config(None), name).unwrap();
        assert_eq!(client.certificate_shown(), certificates[expected].der, "{name}");
    }
    gateway.wait_for(|event| event["event"] == "tls" && event["server_name"] == "mx3.acme.net");
    let output =
        swaks(gateway.address(), "a@example.org", "bob@acme.example").args(["--tls", "--tls-sni", "mx.acme.org"]).output().unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));
    gateway.wait_for(|event| event["event"] == "tls" && event["server_name"] == "mx.acme.org");
}

#[test]
fn a_broken_renewal_is_refused_and_the_old_certificate_stays() {
    let (old, new) = (Certificate::new(), Certificate::new());
    let deployment = Deployment::new("inline").relay("next", Sink::accepting().address()).endpoint(&format!("tls: {{ {PAIR} }}"));
    old.write(&deployment.path("tls"));
    // Written elsewhere: changes are looked for all the time, and the new pair must not stand there whole.
    new.write(&deployment.path("tls/new"));
    let [new_certificate, new_key] =
        ["cert", "key"].map(|of| std::fs::read_to_string(deployment.path(&format!("tls/new/{of}.pem"))).unwrap());
    let gateway = deployment.start();
    deployment.write("tls/cert.pem", &new_certificate);
    gateway.signal("HUP");
    let refused = gateway.wait_for(|event| event["event"] == "reload_refused");
    assert!(refused["detail"].as_str().unwrap().contains("the key does not belong to the certificate"), "{refused}");
    assert_eq!(Client::hello(gateway.address()).start_tls(), old.der);
    deployment.write("tls/key.pem", &new_key);
    gateway.wait_for(|event| event["event"] == "reloaded");
    assert_eq!(Client::hello(gateway.address()).start_tls(), new.der);
}

// ---- clients with certificates ----

#[test]
fn a_client_with_a_certificate_may_send_anywhere_and_rules_know_it() {
    let sink = Sink::accepting();
    let authority = Authority::new("Partner CA", 400);
    let rules = "rules:\n  - name: partner\n    when:\n      - client_certificate: { attribute: cn, equals: relay.partner.example }\n      \
                 - client_certificate: { attribute: san_dns_name, ends_with: .partner.example }\n      \
                 - client_certificate: { attribute: serial_number, equals: 2a }\n      - authenticated: true\n    \
                 actions: [AddHeader: { name: X-Partner, value: \"yes\" }]\n  - name: all\n    actions: [SMTPRelay: { relay: next }]\n";
    let deployment = partners(&sink, &authority, "", None).rules(rules);
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@partner.example>").expect("530 5.7.0");
    client.command("STARTTLS").expect("220 ");
    client.try_handshake(&tls::config(Some(&authority.client("relay.partner.example", 0x2a))), "localhost").unwrap();
    client.command("EHLO relay.partner.example").expect("250 ");
    client.send("a@partner.example", &["someone@elsewhere.example"], &mail::small("outward")).expect("250 ");
    assert!(mail::text(&sink.only().data).contains("X-Partner: yes"));
    let event = gateway.wait_for(|event| event["event"] == "tls");
    assert_eq!(event["client_certificate"], serde_json::json!({ "cn": ["relay.partner.example"], "serial_number": "2a" }));
}

#[test]
fn swaks_and_smtplib_show_certificates() {
    let (sink, authority) = (Sink::accepting(), Authority::new("Partner CA", 400));
    let deployment = partners(&sink, &authority, "", None);
    let gateway = deployment.start();
    let client = deployment.path("client.pem");
    authority.client("relay.partner.example", 7).write(&client);
    let output = swaks(gateway.address(), "a@example.org", "bob@acme.example")
        .args(["--tls", "--tls-cert", client.to_str().unwrap(), "--tls-key", client.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));
    for version in ["TLSv1_2", "TLSv1_3"] {
        let program = "
import smtplib, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[2])
context.load_cert_chain(sys.argv[3])
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[4])
with smtplib.SMTP('localhost', int(sys.argv[1])) as client:
    client.starttls(context=context)
    client.sendmail('a@partner.example', ['someone@elsewhere.example'], sys.stdin.buffer.read())
";
        let output = python(program, &gateway, &[&deployment.path("tls/cert.pem"), &client, Path::new(version)]);
        assert!(output.status.success(), "{}", mail::text(&output.stderr));
    }
    assert_eq!(sink.wait_taken(3).len(), 3);
}

#[test]
fn who_is_no_partner_is_refused_in_the_handshake_and_the_log_says_who_and_why() {
    let (authority, stranger) = (Authority::new("Partner CA", 400), Authority::new("Stranger CA", 400));
    let deployment = partners(&Sink::accepting(), &authority, "mode: implicit, ", Some(&authority.crl(30, &[7])));
    let gateway = deployment.start();
    is_let_in(&gateway, &authority.client("good.partner.example", 8));
    for (identity, name, reason) in [
        (None, Value::Null, "the client showed no certificate"),
        (Some(stranger.client("x.stranger.example", 8)), "x.stranger.example".into(), "no trusted CA has issued it"),
        (Some(authority.client("bad.partner.example", 7)), "bad.partner.example".into(), "it is revoked"),
    ] {
        assert!(greeting(&gateway, identity.as_ref()).is_err(), "{reason}");
        let event = wait_error(&gateway, reason);
        assert_eq!(event["client_certificate"]["cn"][0], name);
    }
}

#[test]
fn an_outdated_crl_closes_the_door_and_the_log_says_so_from_the_start() {
    let authority = Authority::new("Partner CA", 400);
    let deployment = partners(&Sink::accepting(), &authority, "mode: implicit, ", Some(&authority.crl(-1, &[])));
    let gateway = deployment.start();
    let expiring = gateway.wait_for(|event| event["event"] == "expiring");
    assert_eq!((&expiring["kind"], &expiring["name"], &expiring["days_left"]), (&"crl".into(), &"Partner CA".into(), &(-1).into()));
    assert!(gateway.said().contains("warning[expired]: the CRL of `Partner CA` has expired on"), "{}", gateway.said());
    let client = authority.client("relay.partner.example", 1);
    assert!(greeting(&gateway, Some(&client)).is_err());
    let date = expiring["expires"].as_str().unwrap();
    wait_error(&gateway, &format!("the client's certificate is refused: the CRL of its issuer has expired on {date}"));
    // The new list opens it again, without a restart.
    deployment.write("tls/partners.crl", &authority.crl(200, &[]));
    gateway.wait_for(|event| event["event"] == "reloaded");
    is_let_in(&gateway, &client);
}

#[test]
fn a_new_crl_counts_for_the_next_connection_and_no_session_is_resumed_past_it() {
    let authority = Authority::new("Partner CA", 400);
    let deployment = partners(&Sink::accepting(), &authority, "mode: implicit, ", Some(&authority.crl(200, &[])));
    let gateway = deployment.start();
    // One configuration for all connections: it keeps the tickets of earlier ones, if it gets any.
    let config = tls::config(Some(&authority.client("relay.partner.example", 7)));
    for _ in 0..2 {
        let mut client = Client::dial_tls(gateway.address(), &config, "localhost").unwrap();
        client.reply().expect("220 ");
        assert!(client.handshake_was_full());
        client.command("QUIT").expect("221 ");
    }
    deployment.write("tls/partners.crl", &authority.crl(200, &[7]));
    gateway.signal("HUP");
    gateway.wait_for(|event| event["event"] == "reloaded");
    let refused = Client::dial_tls(gateway.address(), &config, "localhost").and_then(|mut client| client.try_reply());
    assert!(refused.is_err());
    wait_error(&gateway, "it is revoked");
}

#[test]
fn a_ca_that_ends_soon_is_announced() {
    let authority = Authority::new("Partner CA", 60);
    let deployment = partners(&Sink::accepting(), &authority, "", None);
    let gateway = deployment.start();
    let expiring = gateway.wait_for(|event| event["event"] == "expiring");
    assert_eq!((&expiring["kind"], &expiring["days_left"]), (&"ca".into(), &59.into()));
    assert!(expiring["file"].as_str().unwrap().ends_with("tls/partners-ca.pem"));
    // A reload says it again.
    deployment.write("policies/edge.yaml", "default: allow # changed\n");
    gateway.wait_for(|event| event["event"] == "reloaded");
    until("the second", || (gateway.events(|event| event["event"] == "expiring").len() == 2).then_some(()));
}

fn implicit(sink: &Sink) -> Deployment {
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(&format!("tls: {{ mode: implicit, {PAIR} }}"));
    Certificate::new().write(&deployment.path("tls"));
    deployment
}

/// An endpoint for the clients of one CA.
fn partners(sink: &Sink, authority: &Authority, mode: &str, crl: Option<&str>) -> Deployment {
    let listed = if crl.is_some() { ", crl: tls/partners.crl" } else { "" };
    let endpoint = format!("type: mtls, tls: {{ {mode}{PAIR} }}, trust: {{ ca: tls/partners-ca.pem{listed} }}");
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(&endpoint);
    Certificate::new().write(&deployment.path("tls"));
    deployment.write("tls/partners-ca.pem", &authority.pem);
    if let Some(crl) = crl {
        deployment.write("tls/partners.crl", crl);
    }
    deployment
}

/// What a client with implicit TLS hears first.
fn greeting(gateway: &Gateway, identity: Option<&Identity>) -> std::io::Result<u16> {
    Client::dial_tls(gateway.address(), &tls::config(identity), "localhost")?.try_reply().map(|reply| reply.code)
}

fn is_let_in(gateway: &Gateway, identity: &Identity) {
    assert_eq!(greeting(gateway, Some(identity)).unwrap(), 220);
}

/// A handshake that failed for this reason.
fn wait_error(gateway: &Gateway, reason: &str) -> Value {
    gateway.wait_for(|event| event["event"] == "tls" && event["error"].as_str().is_some_and(|error| error.ends_with(reason)))
}

/// A Python program that gets the port, these arguments, and a message to read.
fn python(program: &str, gateway: &Gateway, arguments: &[&Path]) -> Output {
    let mut python = tool("python");
    python.args(["-c", program, &gateway.address().port().to_string()]).args(arguments);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().unwrap();
    // One that fails early does not read.
    let _ = python.stdin.take().unwrap().write_all(&mail::small("python"));
    python.wait_with_output().unwrap()
}
