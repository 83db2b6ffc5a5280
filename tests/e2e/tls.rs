//! STARTTLS with clients, and certificates that change while the gateway runs.

use std::io::Write;
use std::process::Stdio;

use crate::common::tool;
use crate::harness::tls::Certificate;
use crate::harness::{Client, Deployment, Gateway, Sink, mail, swaks};

const TLS: &str = "tls: { mode: optional, certificate: tls/cert.pem, key: tls/key.pem }";

#[test]
fn a_client_may_start_tls_and_the_received_field_says_so() {
    let (sink, certificate) = (Sink::accepting(), Certificate::new());
    let (_deployment, gateway) = start(&sink, &certificate, TLS);
    let mut client = Client::hello(gateway.address());
    assert_eq!(client.start_tls(), certificate.der);
    client.command("MAIL FROM:<a@example.org>").expect("503 5.5.1");
    assert!(!client.command("EHLO client.example").text.contains("STARTTLS"), "not offered twice");
    client.send("a@example.org", &["bob@acme.example"], &mail::small("tls")).expect("250 ");
    let taken = mail::text(&sink.only().data);
    assert!(taken.contains("with ESMTPS id") && taken.contains("TLSv1.3"), "{taken}");
    assert_eq!(gateway.wait_for(|event| event["event"] == "tls")["error"], serde_json::Value::Null);
}

#[test]
fn swaks_and_smtplib_start_tls() {
    let (sink, certificate) = (Sink::accepting(), Certificate::new());
    let (deployment, gateway) = start(&sink, &certificate, TLS);
    let port = gateway.address().port().to_string();
    let output = swaks(gateway.address(), "a@example.org", "bob@acme.example").arg("--tls").output().unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));

    let program = "
import smtplib, ssl, sys
with smtplib.SMTP('localhost', int(sys.argv[1])) as client:
    client.starttls(context=ssl.create_default_context(cafile=sys.argv[2]))
    client.sendmail('a@example.org', ['bob@acme.example'], sys.stdin.buffer.read())
";
    let mut python = tool("python");
    python.args(["-c", program, &port]).arg(deployment.path("tls/cert.pem")).stdin(Stdio::piped());
    let mut python = python.spawn().unwrap();
    python.stdin.take().unwrap().write_all(&mail::small("smtplib")).unwrap();
    assert!(python.wait().unwrap().success());
    assert!(sink.wait_taken(2).iter().all(|taken| mail::text(&taken.data).contains("with ESMTPS id")));
}

#[test]
fn where_tls_is_required_mail_without_it_is_refused() {
    let (sink, certificate) = (Sink::accepting(), Certificate::new());
    let (_deployment, gateway) = start(&sink, &certificate, &TLS.replace("optional", "required"));
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("530 5.7.0");
    client.start_tls();
    client.command("EHLO client.example").expect("250 ");
    client.send("a@example.org", &["bob@acme.example"], &mail::small("tls")).expect("250 ");
}

#[test]
fn a_renewed_certificate_is_shown_after_a_signal_and_open_sessions_go_on() {
    let (sink, old, new) = (Sink::accepting(), Certificate::new(), Certificate::new());
    let (deployment, gateway) = start(&sink, &old, TLS);
    let mut open = Client::hello(gateway.address());
    open.start_tls();
    open.command("EHLO client.example").expect("250 ");

    new.write(&deployment.path("tls"));
    gateway.signal("HUP");
    gateway.wait_for(|event| event["event"] == "reloaded");
    assert_eq!(Client::hello(gateway.address()).start_tls(), new.der);
    open.send("a@example.org", &["bob@acme.example"], &mail::small("old")).expect("250 ");
}

#[test]
fn a_renewed_certificate_is_noticed_without_a_signal() {
    let (sink, old, new) = (Sink::accepting(), Certificate::new(), Certificate::new());
    let (deployment, gateway) = start(&sink, &old, TLS);
    assert_eq!(Client::hello(gateway.address()).start_tls(), old.der);
    new.write(&deployment.path("tls"));
    gateway.wait_for(|event| event["event"] == "reloaded");
    assert_eq!(Client::hello(gateway.address()).start_tls(), new.der);
}

#[test]
fn commands_slipped_in_behind_starttls_are_never_carried_out() {
    let (sink, certificate) = (Sink::accepting(), Certificate::new());
    let (_deployment, gateway) = start(&sink, &certificate, TLS);
    for injected in ["RSET\r\n", "EHLO injected.example\r\nMAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\n"] {
        // What comes before the handshake belongs to the handshake, which it breaks.
        let mut client = Client::hello(gateway.address());
        client.write(format!("STARTTLS\r\n{injected}").as_bytes());
        client.reply().expect("220 ");
        let rest = client.rest();
        assert!(!rest.contains("250"), "{rest:?}");
    }
    gateway.wait_for(|event| event["event"] == "tls" && event["error"].is_string());
    assert!(gateway.events(|event| event.to_string().contains("evil@example.org")).is_empty());
}

fn start(sink: &Sink, certificate: &Certificate, tls: &str) -> (Deployment, Gateway) {
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(tls);
    certificate.write(&deployment.path("tls"));
    let gateway = deployment.start();
    (deployment, gateway)
}
