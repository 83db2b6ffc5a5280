//! Endpoints that ask for a login: real clients that log in, what happens before and without, guessers, and secrets that change.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::dns::StubDns;
use crate::common::moto::Moto;
use crate::common::tool;
use crate::credentials::put_secret;
use crate::harness::tls::Certificate;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::policy::with_account;

const TIM: &str = "tim@acme.example";
const PASSWORD: &str = "correct-horse-42";
/// Not a domain of the gateway.
const OUTSIDE: &str = "bob@elsewhere.example";

/// Only who has logged in has mail to relay.
const RULES: &str = "rules:\n  - name: ours\n    when: [{ authenticated: true }]\n    actions: [SMTPRelay: { relay: next }]\n";

#[test]
fn smtplib_logs_in_and_relays_outward() {
    let program = "
import smtplib, ssl, sys
port, cafile, user, password, mechanism = sys.argv[1:]
with smtplib.SMTP('localhost', int(port), local_hostname='client.example') as client:
    client.starttls(context=ssl.create_default_context(cafile=cafile))
    client.ehlo()
    assert client.esmtp_features['auth'].split() == ['PLAIN', 'LOGIN'], client.esmtp_features
    client.user, client.password = user, password
    client.auth(mechanism, getattr(client, 'auth_' + mechanism.lower()))
    client.sendmail('tim@acme.example', ['bob@elsewhere.example'], sys.stdin.buffer.read())
";
    for mechanism in ["PLAIN", "LOGIN"] {
        log_in_with(mechanism, |port, certificate| {
            let mut python = tool("python");
            python.args(["-c", program, port, certificate, TIM, PASSWORD, mechanism]);
            python
        });
    }
}

#[test]
fn swaks_logs_in_and_relays_outward() {
    for mechanism in ["PLAIN", "LOGIN"] {
        log_in_with(mechanism, |port, _| {
            let mut swaks = swaks(port, TIM, PASSWORD);
            swaks.args(["--auth", mechanism, "--data", "-"]);
            swaks
        });
    }
}

#[test]
fn msmtp_logs_in_and_relays_outward() {
    for mechanism in ["PLAIN", "LOGIN"] {
        log_in_with(mechanism, |port, certificate| {
            let mut msmtp = tool("msmtp");
            msmtp.args(["--file=/dev/null", "--host=localhost", &format!("--port={port}"), "--domain=client.example", "--timeout=60"]);
            msmtp.args(["--tls=on", "--tls-starttls=on", &format!("--tls-trust-file={certificate}")]);
            msmtp.args([&format!("--auth={}", mechanism.to_lowercase()), &format!("--user={TIM}")]);
            msmtp.args([&format!("--passwordeval=echo {PASSWORD}"), "--from=tim@acme.example", OUTSIDE]);
            msmtp
        });
    }
}

/// Runs a client with a message on its standard input and looks at what arrives.
fn log_in_with(mechanism: &str, client: impl Fn(&str, &str) -> Command) {
    let sink = Sink::accepting();
    let (deployment, gateway) = start(&sink);
    let certificate = deployment.path("tls/cert.pem");
    let port = gateway.address().port().to_string();
    let mut client = client(&port, certificate.to_str().unwrap()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    client.stdin.take().unwrap().write_all(&mail::small("login")).unwrap();
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));
    let login = gateway.wait_for(|event| event["event"] == "login");
    assert_eq!(
        [&login["user"], &login["mechanism"], &login["result"], &login["reason"], &login["version"]],
        [&json!(TIM), &json!(mechanism), &json!("accepted"), &json!(null), &json!("current")]
    );
    let taken = sink.only();
    assert_eq!(taken.recipients, [OUTSIDE]);
    assert!(mail::text(&taken.data).contains("with ESMTPSA id"), "{}", mail::text(&taken.data));
    no_secret_in(&gateway);
}

#[test]
fn before_tls_there_is_no_login_and_before_the_login_no_mail() {
    let sink = Sink::accepting();
    let (_deployment, gateway) = start(&sink);
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    assert!(!client.command("EHLO client.example").text.contains("AUTH"));
    client.command(&plain(PASSWORD)).expect("538 5.7.11");
    client.command("MAIL FROM:<tim@acme.example>").expect("530 5.7.0");
    client.start_tls();
    client.command(&plain(PASSWORD)).expect("503 5.5.1");
    assert!(client.command("EHLO client.example").text.contains("AUTH PLAIN LOGIN"));
    client.command("MAIL FROM:<tim@acme.example>").expect("530 5.7.0 Authentication required");
    client.command("RCPT TO:<bob@acme.example>").expect("530 5.7.0");
    client.command("DATA").expect("530 5.7.0");
    assert!(gateway.events(|event| event["event"] == "login").is_empty());
    client.command(&plain(PASSWORD)).expect("235 2.7.0");
    client.command(&plain(PASSWORD)).expect("503 5.5.1");
    client.command("MAIL FROM:<tim@acme.example> AUTH=<>").expect("250 ");
    client.command("RSET").expect("250 ");
    client.send("tim@acme.example", &[OUTSIDE], &mail::small("out")).expect("250 ");
}

#[test]
fn an_open_endpoint_offers_no_login() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(&tls("optional"));
    Certificate::new().write(&deployment.path("tls"));
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.start_tls();
    assert!(!client.command("EHLO client.example").text.contains("AUTH"));
    client.command(&plain(PASSWORD)).expect("502 5.5.1");
    client.command("MAIL FROM:<a@example.org> AUTH=<>").expect("555 5.5.4");
}

#[test]
fn a_wrong_password_waits_and_the_third_ends_the_session() {
    let sink = Sink::accepting();
    let (_deployment, gateway) = start(&sink);
    let mut guesser = session(gateway.address());
    let began = Instant::now();
    guesser.write(format!("{}\r\n", plain("hunter2")).as_bytes());
    // Meanwhile everybody else is served.
    let mut tim = session(gateway.address());
    tim.command(&plain(PASSWORD)).expect("235 2.7.0");
    guesser.reply().expect("535 5.7.8");
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    guesser.command("MAIL FROM:<a@example.org>").expect("530 5.7.0");
    guesser.command(&plain("hunter3")).expect("535 5.7.8");
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    guesser.command(&plain_of("nobody\u{202e}@acme.example", "hunter4")).expect("535 5.7.8");
    guesser.reply().expect("421 4.7.0 Too many failed logins");
    let is_refused = |event: &Value| event["event"] == "login" && event["result"] == "refused";
    let refused = crate::harness::until("three refusals", || Some(gateway.events(is_refused)).filter(|events| events.len() == 3));
    let said: Vec<_> = refused.iter().map(|event| (event["user"].as_str().unwrap(), event["reason"].as_str().unwrap())).collect();
    assert_eq!(said, [(TIM, "wrong password"), (TIM, "wrong password"), ("nobody?@acme.example", "unknown user")]);
    no_secret_in(&gateway);
}

#[test]
fn a_network_that_guesses_is_not_listened_to_and_nobody_else_is_shut_out() {
    let sink = Sink::accepting();
    let (_deployment, gateway) = start(&sink);
    let address = gateway.address();
    // At once, for each answer waits.
    let guess = move |n: u32| {
        session(address).command(&plain(&format!("guess-{n}"))).expect("535 5.7.8");
    };
    let guessers: Vec<_> = (0..20).map(|n| std::thread::spawn(move || guess(n))).collect();
    for guesser in guessers {
        guesser.join().unwrap();
    }
    let mut tim = session(address);
    tim.command(&plain(PASSWORD)).expect("454 4.7.0 Too many failed logins");
    gateway.wait_for(|event| event["event"] == "login" && event["result"] == "deferred" && event["reason"] == "too many failed logins");
    // The same user from his own address.
    let output = swaks(&address.port().to_string(), TIM, PASSWORD)
        .args(["--auth", "PLAIN", "--local-interface", "127.0.0.2", "--quit-after", "AUTH"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stdout));
    gateway.wait_for(|event| event["event"] == "login" && event["result"] == "accepted" && event["client"] == "127.0.0.2");
    no_secret_in(&gateway);
}

#[test]
fn both_versions_of_a_rotated_secret_are_valid() {
    let (moto, sink) = (Moto::start(), Sink::accepting());
    put_secret(&moto, "gateway/submission", &secret("first-horse"));
    let deployment = with_account(deployment(&sink, "credentials: { secret: gateway/submission }"), &moto);
    let gateway = deployment.start();
    let try_login = |password: &str| session(gateway.address()).command(&plain(password)).code;
    assert_eq!(try_login("first-horse"), 235);
    put_secret(&moto, "gateway/submission", &secret("second-horse"));
    // The cache is asked again for what it does not know, at most every ten seconds: until then the new password may wait.
    let new = || (try_login("second-horse") == 235).then_some(());
    crate::harness::until("the rotation to be followed", new);
    assert_eq!(try_login("first-horse"), 235);
    // The reply may overtake the line.
    gateway.wait_for(|event| event["event"] == "login" && event["version"] == "previous");
    let versions: Vec<_> = gateway
        .events(|event| event["event"] == "login" && event["result"] == "accepted")
        .iter()
        .map(|event| event["version"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(versions, ["current", "current", "previous"]);

    // What is known outlives Secrets Manager.
    drop(moto);
    assert_eq!(try_login("second-horse"), 235);
    assert_eq!(try_login("first-horse"), 235);
    assert_eq!(try_login("third-horse"), 535);
    assert!(!gateway.said().contains("-horse"));
}

#[test]
fn while_the_secret_cannot_be_read_a_login_is_put_off_and_never_refused() {
    let sink = Sink::accepting();
    for content in [None, Some("half a fi"), Some(r#"{"username": "tim@acme.example", "password": 17}"#)] {
        let deployment = deployment(&sink, "credentials: { file: users.json }");
        if let Some(content) = content {
            deployment.write("users.json", content);
        }
        let gateway = deployment.start();
        gateway.wait_for(|event| {
            event["event"] == "problem" && event["what"] == "secret" && event["detail"].as_str().unwrap().contains("users.json")
        });
        let mut client = session(gateway.address());
        client.command(&plain(PASSWORD)).expect("454 4.7.0");
        assert_eq!(gateway.wait_for(|event| event["event"] == "login")["reason"], "credentials unavailable");
        deployment.write("users.json", &secret(PASSWORD));
        client.command(&plain(PASSWORD)).expect("235 2.7.0");
    }
    let moto = Moto::start();
    let absent = with_account(deployment(&sink, "credentials: { secret: gateway/absent }"), &moto);
    session(absent.start().address()).command(&plain(PASSWORD)).expect("454 4.7.0");
}

#[test]
fn several_users_and_a_user_without_a_name() {
    let sink = Sink::accepting();
    for (content, right, wrong) in [
        (json!({ "password": PASSWORD }), ("mx", PASSWORD), (TIM, PASSWORD)),
        (json!({ "users": [{ "username": "a", "password": "1" }, { "username": "b", "password": "2" }] }), ("b", "2"), ("b", "1")),
    ] {
        let deployment = deployment(&sink, "credentials: { file: users.json }").file("users.json", &content.to_string());
        let gateway = deployment.start();
        session(gateway.address()).command(&plain_of(right.0, right.1)).expect("235 ");
        session(gateway.address()).command(&plain_of(wrong.0, wrong.1)).expect("535 ");
    }
}

#[test]
fn who_has_logged_in_is_not_looked_up_and_may_not_speak_for_us() {
    let (dns, forged) = (StubDns::launch(), b"Authentication-Results: mx1.acme.example; spf=pass\r\n");
    dns.txt("_dmarc.acme.example", "v=DMARC1; p=reject; rua=mailto:x@acme.example");
    let top = "domains: [acme.example]\ndmarc_reports: { relay: next, from: x@acme.example, organization: Acme, path: figures }";
    for (more, expected) in [("", ""), ("authentication_results: true", "auth=pass")] {
        let sink = Sink::accepting();
        let mut deployment =
            deployment(&sink, "credentials: { file: users.json }").file("users.json", &secret(PASSWORD)).names(&dns).top(top);
        if !more.is_empty() {
            deployment = deployment.endpoint(more);
        }
        let gateway = deployment.start();
        let mut session = session(gateway.address());
        session.command(&plain(PASSWORD)).expect("235 ");
        session.send(TIM, &[OUTSIDE], &[&forged[..], &mail::small("ours")].concat()).expect("250 ");
        let taken = sink.only();
        mail::assert_same(taken.original(), &mail::small("ours"));
        let above = mail::above_received(&taken.data);
        assert!(above.contains(expected) && above.is_empty() == expected.is_empty(), "{above}");
        assert_eq!(dns.questions().is_empty(), expected.is_empty(), "{:?}", dns.questions());
        // Nor is he in anybody's report.
        gateway.stop();
        assert!(!deployment.path("figures").exists());
    }
}

fn start(sink: &Sink) -> (Deployment, Gateway) {
    let deployment = deployment(sink, "credentials: { file: users.json }").file("users.json", &secret(PASSWORD));
    let gateway = deployment.start();
    (deployment, gateway)
}

/// One that asks for a login; TLS is required without being told to.
fn deployment(sink: &Sink, credentials: &str) -> Deployment {
    let deployment = Deployment::new("inline").relay("next", sink.address()).rules(RULES);
    let deployment = deployment.endpoint(&format!("type: auth, {credentials}, tls: {{ certificate: tls/cert.pem, key: tls/key.pem }}"));
    Certificate::new().write(&deployment.path("tls"));
    deployment
}

fn tls(mode: &str) -> String {
    format!("tls: {{ mode: {mode}, certificate: tls/cert.pem, key: tls/key.pem }}")
}

/// A session over TLS that is greeted.
fn session(address: SocketAddr) -> Client {
    let mut client = Client::hello(address);
    client.start_tls();
    client.command("EHLO client.example").expect("250 ");
    client
}

fn swaks(port: &str, user: &str, password: &str) -> Command {
    let gateway = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let mut swaks = crate::harness::swaks(gateway, "tim@acme.example", OUTSIDE);
    swaks.args(["--tls", "--auth-user", user, "--auth-password", password]);
    swaks
}

fn plain(password: &str) -> String {
    plain_of(TIM, password)
}

fn plain_of(user: &str, password: &str) -> String {
    let [_, message] = gateway::smtp::auth_encodings(user, password);
    format!("AUTH PLAIN {}", message.as_str())
}

fn secret(password: &str) -> String {
    json!({ "username": TIM, "password": password }).to_string()
}

/// Neither as it is nor as it goes over the wire.
fn no_secret_in(gateway: &Gateway) {
    let said = gateway.said();
    let [password, _] = gateway::smtp::auth_encodings(TIM, PASSWORD);
    for secret in [PASSWORD, password.trim_end_matches('='), "hunter", "guess-"] {
        assert!(!said.contains(secret), "{secret} in\n{said}");
    }
}
