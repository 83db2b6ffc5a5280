//! `gateway doctor` against scripted next hops.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::common::free_address;
use crate::harness::gateway::PROGRAM;
use crate::harness::tls::Certificate;
use crate::harness::{Deployment, mail};

/// What a next hop says.
#[derive(Clone)]
struct Script {
    /// The first line of the reply to EHLO, without the code.
    hello: &'static str,
    keywords: &'static [&'static str],
    tls: Option<Arc<ServerConfig>>,
    /// To the end of AUTH.
    auth: &'static str,
    /// To RCPT.
    rcpt: &'static str,
}

const PLAIN: Script = Script {
    hello: "mail.example",
    keywords: &["PIPELINING", "SIZE 1000000", "8BITMIME"],
    tls: None,
    auth: "235 2.7.0 welcome",
    rcpt: "250 2.1.5 fine",
};

/// A next hop on loopback; it ends with the test process.
struct Hop {
    address: SocketAddr,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Hop {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, commands) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let log = Arc::clone(&commands);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, log) = (script.clone(), Arc::clone(&log));
                // Whoever closes early is done with it.
                std::thread::spawn(move || drop(serve(stream, &script, &log)));
            }
        });
        Self { address, commands }
    }

    /// How often a command that begins like this came.
    fn count(&self, begin: &str) -> usize {
        self.commands.lock().unwrap().iter().filter(|command| command.starts_with(begin)).count()
    }
}

trait Io: Read + Write + Send {}
impl<T: Read + Write + Send> Io for T {}

fn serve(mut tcp: TcpStream, script: &Script, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    tcp.write_all(b"220 mail.example ESMTP\r\n")?;
    if dialogue(&mut tcp, script, script.tls.is_some(), log)? {
        let config = script.tls.clone().expect("it was offered");
        let mut stream = StreamOwned::new(ServerConnection::new(config).expect("a configuration"), tcp);
        dialogue(&mut stream, script, false, log)?;
    }
    Ok(())
}

/// True when a handshake is next.
fn dialogue(stream: &mut dyn Io, script: &Script, offers_tls: bool, log: &Mutex<Vec<String>>) -> std::io::Result<bool> {
    loop {
        let line = line(stream)?;
        log.lock().unwrap().push(line.clone());
        let reply = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" | "LHLO" => {
                let tls = offers_tls.then_some("STARTTLS");
                let lines: Vec<&str> = [script.hello].into_iter().chain(script.keywords.iter().copied()).chain(tls).collect();
                let (last, others) = lines.split_last().expect("there is one");
                others.iter().map(|line| format!("250-{line}\r\n")).collect::<String>() + &format!("250 {last}")
            }
            "STARTTLS" => {
                stream.write_all(b"220 2.0.0 go on\r\n")?;
                return Ok(true);
            }
            "AUTH" => script.auth.to_owned(),
            "RCPT" => script.rcpt.to_owned(),
            "QUIT" => "221 2.0.0 bye".to_owned(),
            _ => "250 2.0.0 fine".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
        stream.flush()?;
        if line == "QUIT" {
            return Ok(false);
        }
    }
}

fn line(stream: &mut dyn Io) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(mail::text(&line).trim_end().to_owned())
}

/// A server's side of TLS, with its certificate in `folder`.
fn tls(folder: &Path, name: &str) -> Arc<ServerConfig> {
    let (certificate, key) = Certificate::of(&[name]).write(folder);
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(builder.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap())
}

/// What was found.
struct Report {
    code: Option<i32>,
    json: Value,
    said: String,
}

impl Report {
    /// The only step of this name with this verdict; its text.
    fn step(&self, step: &str, verdict: &str) -> &str {
        let steps = self.json["relays"][0]["steps"].as_array().expect("steps");
        let found: Vec<&Value> = steps.iter().filter(|found| found["step"] == step && found["verdict"] == verdict).collect();
        assert_eq!(found.len(), 1, "{step} {verdict}: {:#}", self.json);
        found[0]["text"].as_str().expect("a text")
    }

    fn problems(&self) -> u64 {
        self.json["relays"][0]["problems"].as_u64().expect("a number")
    }

    /// What is to be set up, all of it.
    fn setup(&self) -> String {
        let all = self.json["relays"][0]["setup"].as_array().expect("a list");
        all.iter().map(|setup| setup["text"].as_str().expect("a text")).collect()
    }
}

/// Looks at the relay `next`, with these keys.
fn doctor(deployment: &Deployment, relay: &str, arguments: &[&str]) -> Report {
    let yaml = format!(
        "hostname: mx1.acme.example\ndomains: [acme.example]\nendpoints:\n  mx: {{ listen: \"127.0.0.1:0\", policy: edge, rules: inbound }}\n\
         relays:\n  next: {{ {relay} }}\n"
    );
    deployment.write("gateway.yaml", &yaml);
    let mut command = Command::new(PROGRAM);
    command.args(["doctor", "--json", "relay", "next"]).args(arguments).current_dir(deployment.folder());
    command.env("MAILBOX", r#"{"username": "me@acme.example", "password": "hunter2"}"#);
    let output = command.output().expect("it runs");
    let said = mail::text(&output.stdout) + &mail::text(&output.stderr);
    assert!(!said.contains("hunter2"), "{said}");
    Report { code: output.status.code(), json: serde_json::from_slice(&output.stdout).unwrap_or_default(), said }
}

fn at(hop: &Hop) -> String {
    format!("host: 127.0.0.1, port: {}", hop.address.port())
}

#[test]
fn a_plain_next_hop_that_is_well() {
    let (hop, deployment) = (Hop::start(PLAIN), Deployment::new("inline"));
    let report = doctor(&deployment, &format!("{}, tls: none", at(&hop)), &["--probe", "me@acme.example", "test@acme.example"]);
    assert_eq!((report.code, report.problems()), (Some(0), 0), "{:#}", report.json);
    assert!(report.step("connect", "ok").contains("220 mail.example ESMTP"));
    assert_eq!(report.step("ehlo", "ok"), "PIPELINING, SIZE 1000000, 8BITMIME");
    assert_eq!(report.step("session", "ok"), "opened as for a delivery");
    assert!(report.step("probe", "ok").starts_with("mail is taken: 250 2.1.5"));
    // It was asked, and nothing was delivered.
    assert_eq!((hop.count("MAIL FROM:<me@acme.example>"), hop.count("RCPT TO:<test@acme.example>"), hop.count("RSET")), (1, 1, 1));
    assert_eq!(hop.count("DATA"), 0);
}

#[test]
fn a_reply_to_the_probe_says_what_becomes_of_mail() {
    let deployment = Deployment::new("inline");
    for (rcpt, meaning) in [
        ("451 4.3.0 later", "mail is tried again"),
        ("550 5.1.1 nobody", "mail is returned to its sender"),
        ("550 5.7.64 TenantAttribution; Relay Access Denied", "mail waits until this is mended"),
    ] {
        let hop = Hop::start(Script { rcpt, tls: Some(tls(&deployment.path("hop"), "localhost")), ..PLAIN });
        let relay = format!("preset: microsoft-365, host: localhost, port: {}", hop.address.port());
        let report = doctor(&deployment, &relay, &["--probe", "me@acme.example", "test@acme.example"]);
        assert_eq!(report.code, Some(1), "{}", report.said);
        let text = report.step("probe", "problem");
        assert!(text.starts_with(meaning) && text.contains(rcpt), "{text}");
    }
}

#[test]
fn a_certificate_for_another_name() {
    let deployment = Deployment::new("inline");
    let hop = Hop::start(Script { tls: Some(tls(&deployment.path("hop"), "other.example")), ..PLAIN });
    // Encryption is all that is asked for: worth a note.
    let report = doctor(&deployment, &format!("{}, tls: required", at(&hop)), &[]);
    assert_eq!(report.code, Some(0), "{:#}", report.json);
    assert!(report.step("tls", "ok").starts_with("TLS 1.3, TLS13_"));
    assert!(report.step("certificate", "ok").starts_with("its certificate: CN="));
    assert!(report.step("trust", "note").contains("it is not for this name"));
    assert!(report.step("pin", "note").contains("sha256:"));

    let report = doctor(&deployment, &format!("{}, tls: verify, ca: hop/cert.pem", at(&hop)), &[]);
    assert_eq!(report.code, Some(1), "{:#}", report.json);
    assert!(report.step("trust", "problem").contains("it is not for this name"));
    assert!(!report.step("session", "problem").is_empty());

    // The same next hop under its name.
    let hop = Hop::start(Script { tls: Some(tls(&deployment.path("hop"), "localhost")), ..PLAIN });
    let relay = format!("host: localhost, ip_family: v4, port: {}, tls: verify, ca: hop/cert.pem", hop.address.port());
    let report = doctor(&deployment, &relay, &[]);
    assert_eq!(report.code, Some(0), "{:#}", report.json);
    assert!(report.step("trust", "ok").starts_with("valid"));
}

#[test]
fn tls_that_is_asked_for_and_not_there() {
    let (hop, deployment) = (Hop::start(PLAIN), Deployment::new("inline"));
    let report = doctor(&deployment, &format!("{}, tls: required", at(&hop)), &[]);
    assert_eq!(report.code, Some(1));
    assert!(report.step("tls", "problem").contains("not offered"));
}

#[test]
fn a_login_that_is_refused() {
    let deployment = Deployment::new("inline");
    let keywords = &["AUTH PLAIN LOGIN"];
    let relay = |hop: &Hop| format!("{}, tls: none, auth: {{ env: MAILBOX }}", at(hop));
    let hop = Hop::start(Script { keywords, ..PLAIN });
    let report = doctor(&deployment, &relay(&hop), &[]);
    assert_eq!(report.code, Some(0), "{:#}", report.json);
    assert_eq!(report.step("session", "ok"), "opened as for a delivery, logged in with a password");

    let hop = Hop::start(Script { keywords, auth: "535 5.7.3 Authentication unsuccessful", ..PLAIN });
    let report = doctor(&deployment, &relay(&hop), &[]);
    assert_eq!(report.code, Some(1));
    assert!(report.step("session", "problem").contains("535 5.7.3 Authentication unsuccessful"), "{:#}", report.json);
    // Wrong passwords lock mailboxes.
    assert_eq!(hop.count("AUTH"), 1);
}

#[test]
fn the_address_that_the_next_hop_sees() {
    let deployment = Deployment::new("inline");
    for (preset, hello) in [
        ("google-workspace", "mx.google.com at your service, [203.0.113.5]"),
        ("microsoft-365", "DB5EUR01FT045.mail.protection.outlook.com Hello [203.0.113.5]"),
    ] {
        let hop = Hop::start(Script { hello, tls: Some(tls(&deployment.path("hop"), "localhost")), ..PLAIN });
        let relay = format!("preset: {preset}, host: localhost, ip_family: v4, port: {}", hop.address.port());
        let report = doctor(&deployment, &relay, &[]);
        assert_eq!(report.code, Some(0), "{:#}", report.json);
        assert!(report.step("public address", "note").contains("`public_ip: 203.0.113.5`"));
        assert!(report.setup().contains("203.0.113.5"), "{}", report.setup());

        let report = doctor(&deployment, &format!("{relay}, public_ip: 203.0.113.5"), &[]);
        assert_eq!(report.step("public address", "ok"), "the next hop sees 203.0.113.5, as declared");
        let report = doctor(&deployment, &format!("{relay}, public_ip: [198.51.100.7, \"2001:db8::7\"]"), &[]);
        assert_eq!(report.code, Some(1));
        assert!(report.step("public address", "problem").ends_with("declares 198.51.100.7, 2001:db8::7"), "{:#}", report.json);
        // A connector knows IPv4 addresses only.
        let wanted = if preset == "microsoft-365" { "-SenderIPAddresses 198.51.100.7 " } else { "2001:db8::7" };
        assert!(report.setup().contains(wanted), "{}", report.setup());
    }
}

#[test]
fn a_host_that_is_dead_or_unknown() {
    let deployment = Deployment::new("inline");
    let dead = free_address();
    let report =
        doctor(&deployment, &format!("host: 127.0.0.1, port: {}, tls: none", dead.port()), &["--probe", "a@a.example", "b@b.example"]);
    assert_eq!((report.code, report.problems()), (Some(1), 1), "{:#}", report.json);
    assert!(report.step("connect", "problem").contains("refused"));
    assert!(report.step("probe", "skipped").contains("no session"));

    let report = doctor(&deployment, "host: nobody.invalid", &[]);
    assert_eq!((report.code, report.problems()), (Some(1), 1), "{:#}", report.json);
    assert!(!report.step("resolve", "problem").is_empty());
}

#[test]
fn what_cannot_be_looked_at() {
    let (hop, deployment) = (Hop::start(PLAIN), Deployment::new("inline"));
    let relay = format!("{}, tls: none", at(&hop));
    assert_eq!(doctor(&deployment, &relay, &["--probe", "me", "test@acme.example"]).code, Some(2));
    assert_eq!(doctor(&deployment, "hots: mail.example", &[]).code, Some(2));
    let report = doctor(&deployment, &relay, &[]);
    assert_eq!(report.code, Some(0));
    let output = Command::new(PROGRAM).args(["doctor", "relay", "nxet"]).current_dir(deployment.folder()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(mail::text(&output.stderr).contains("there are: next"), "{}", mail::text(&output.stderr));
    // All of them, for people.
    let output = Command::new(PROGRAM).arg("doctor").current_dir(deployment.folder()).output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(mail::text(&output.stdout).ends_with("\nno problems\n"), "{}", mail::text(&output.stdout));
}

#[test]
fn a_header_from_behind_the_relay() {
    let deployment = Deployment::new("inline");
    let received = "Received: from out.example (out.example [203.0.113.9])\n\tby mx1.acme.example (gateway) with ESMTP id 1;\n\tnow\n";
    for (address, code, verdict) in [("203.0.113.9", 0, "ok"), ("192.0.2.25", 1, "problem")] {
        deployment.write("header.txt", &format!("Received-SPF: pass (google.com: …) client-ip={address};\n{received}\nThe body\n"));
        let report = doctor(&deployment, "preset: google-workspace, public_ip: 192.0.2.25", &["--headers", "header.txt"]);
        assert_eq!(report.code, Some(code), "{}", report.said);
        assert!(report.step("headers", verdict).contains(address), "{:#}", report.json);
    }
    let report = doctor(&deployment, "preset: google-workspace", &["--headers", "nothing.txt"]);
    assert_eq!(report.code, Some(2), "{}", report.said);
}

#[test]
fn the_policies_for_aws_are_json_with_the_secrets_names() {
    let (dead, deployment) = (free_address(), Deployment::new("inline"));
    let arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:gateway/next-AbCdEf";
    let relay = format!("host: 127.0.0.1, port: {}, auth: {{ secret: \"{arn}\" }}", dead.port());
    let setup = doctor(&deployment, &relay, &[]).setup();
    // Each policy begins and ends with a brace at the begin of a line.
    let policies: Vec<Value> = setup
        .split("\n{\n")
        .skip(1)
        .map(|rest| {
            let (policy, _) = rest.split_once("\n}\n").expect("an end");
            serde_json::from_str(&format!("{{{policy}}}")).expect("JSON")
        })
        .collect();
    let [role, secret, key] = policies.as_slice() else { panic!("{setup}") };
    assert_eq!(role["Statement"][0]["Resource"][0], arn);
    assert_eq!(role["Statement"][1]["Condition"]["StringEquals"]["kms:ViaService"], "secretsmanager.eu-central-1.amazonaws.com");
    assert_eq!(secret["Statement"][1]["Effect"], "Deny");
    assert_eq!(key["Statement"][0]["Principal"]["AWS"], "arn:aws:iam::123456789012:root");
}
