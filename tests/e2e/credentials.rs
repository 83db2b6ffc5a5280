//! Relays that ask for a login: aiosmtpd as the next hop, moto as Secrets Manager.

use crate::common::moto::Moto;
use crate::common::tool;
use crate::harness::programs::Aiosmtpd;
use crate::harness::{Client, Deployment, Gateway, mail};
use crate::policy::with_account;
use crate::queue_command::queue;

const BOB: &str = "bob@acme.example";
const USER: &str = "relay-user";
const PASSWORD: &str = "correct-horse-42";

#[test]
fn plain_and_login_work_with_a_credential_from_a_file() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let server = Aiosmtpd::with_login(&[mechanism], USER, PASSWORD);
        let deployment = Deployment::new("inline").file("secret.json", &secret(PASSWORD));
        let gateway = deployment.relay_with("next", server.address(), "tls: required, auth: { file: secret.json }").start();
        send(&gateway, "file");
        assert_delivered_with_login(&gateway, &server, 1);
        assert_eq!(server.logins(), [(mechanism.to_owned(), true)]);
    }
}

#[test]
fn a_credential_comes_from_the_environment() {
    let server = Aiosmtpd::with_login(&["PLAIN", "LOGIN"], USER, PASSWORD);
    let deployment = Deployment::new("queue").variable("RELAY_LOGIN", &secret(PASSWORD));
    let gateway = deployment.relay_with("next", server.address(), "tls: required, auth: { env: RELAY_LOGIN }").start();
    send(&gateway, "environment");
    assert_delivered_with_login(&gateway, &server, 1);
}

#[test]
fn a_certificate_from_a_believed_ca_is_verified_and_another_is_not_talked_to() {
    let server = Aiosmtpd::with_login(&["PLAIN"], USER, PASSWORD);
    let other = Aiosmtpd::with_login(&["PLAIN"], USER, PASSWORD);
    let ca = std::fs::read_to_string(server.certificate()).unwrap();
    for (next, trusted) in [(&server, true), (&other, false)] {
        let deployment = Deployment::new("queue").file("secret.json", &secret(PASSWORD)).file("ca.pem", &ca);
        let gateway = deployment.relay_with("next", next.address(), "tls: verify, ca: ca.pem, auth: { file: secret.json }").start();
        send(&gateway, "verify");
        if trusted {
            assert_delivered_with_login(&gateway, next, 1);
        } else {
            gateway.wait_for(|event| event["event"] == "attempt" && event["recipients"][0]["result"] == "deferred");
            assert_eq!(next.logins(), [], "no password goes to a stranger");
            assert!(!gateway.said().contains(PASSWORD));
        }
    }
}

#[test]
fn a_password_changed_at_the_next_hop_and_in_secrets_manager_is_followed_without_a_restart() {
    let (moto, server) = (Moto::start(), Aiosmtpd::with_login(&["PLAIN"], USER, PASSWORD));
    put_secret(&moto, "relay/rotated", &secret(PASSWORD));
    let deployment = with_account(Deployment::new("inline"), &moto);
    let gateway = deployment.relay_with("next", server.address(), "tls: required, auth: { secret: relay/rotated }").start();
    send(&gateway, "before");
    assert_delivered_with_login(&gateway, &server, 1);

    let fresh = "another-horse-43";
    server.set_user(USER, fresh);
    put_secret(&moto, "relay/rotated", &secret(fresh));
    server.hang_up();
    send(&gateway, "after");
    assert_delivered_with_login(&gateway, &server, 2);
    assert_eq!(server.logins().iter().map(|(_, good)| *good).collect::<Vec<_>>(), [true, false, true]);
    let log = gateway.said();
    assert!(!log.contains(PASSWORD) && !log.contains(fresh));
}

#[test]
fn a_secret_of_a_wrong_shape_bounces_nothing_and_is_named_but_not_shown() {
    let (moto, server) = (Moto::start(), Aiosmtpd::with_login(&["PLAIN"], USER, PASSWORD));
    let shapes = [
        ("relay/text", PASSWORD.to_owned()),
        ("relay/extra", format!(r#"{{"username":"{USER}","password":"{PASSWORD}","host":"x"}}"#)),
        ("relay/number", r#"{"username":"relay-user","password":{"value":"correct-horse-42"}}"#.to_owned()),
        ("relay/none", format!(r#"{{"user":"{USER}","pass":"{PASSWORD}"}}"#)),
        ("relay/empty", format!(r#"{{"username":"","password":"{PASSWORD}"}}"#)),
    ];
    for (name, content) in &shapes {
        put_secret(&moto, name, content);
        stays_queued(&moto, &server, name);
    }
    stays_queued(&moto, &server, "relay/absent");
    assert_eq!(server.logins(), []);
}

#[test]
fn a_wrong_password_is_tried_once_bounces_nothing_and_is_mended_while_the_mail_waits() {
    let server = Aiosmtpd::with_login(&["PLAIN"], USER, PASSWORD);
    let deployment = Deployment::new("inline").file("secret.json", &secret("not-that-one"));
    let deployment = deployment.relay_with("next", server.address(), "tls: required, auth: { file: secret.json }");
    let gateway = deployment.start();
    send(&gateway, "waits");
    let held = gateway.wait_for(|event| event["event"] == "relay_held");
    assert_eq!((&held["relay"], &held["by"]), (&"next".into(), &"reply".into()));
    send(&gateway, "waits, too");
    assert_eq!(server.logins(), [("PLAIN".to_owned(), false)], "further attempts would lock the mailbox");
    deployment.write("secret.json", &secret(PASSWORD));
    // A probe would find it mended within a minute; the operator does not wait for it.
    assert!(queue(&deployment, &["release", "--relay", "next"]).status.success());
    assert_delivered_with_login(&gateway, &server, 1);
    assert!(gateway.events(|event| event["event"] == "dsn").is_empty());
}

fn stays_queued(moto: &Moto, server: &Aiosmtpd, name: &str) -> Gateway {
    let deployment = with_account(Deployment::new("inline"), moto);
    let gateway = deployment.relay_with("next", server.address(), &format!("tls: required, auth: {{ secret: {name} }}")).start();
    send(&gateway, "waits");
    let attempt = gateway.wait_for(|event| event["event"] == "attempt");
    assert_eq!(attempt["recipients"][0]["result"], "deferred", "{attempt}");
    let said = gateway.said();
    assert!(said.contains(name), "the log does not name {name}:\n{said}");
    assert!(!said.contains(PASSWORD) && !said.contains("correct-horse"), "{said}");
    gateway.wait_for(|event| event["event"] == "replied" && event["spooled"] == true);
    assert!(gateway.events(|event| matches!(event["event"].as_str(), Some("dsn" | "outcome"))).is_empty());
    gateway
}

fn assert_delivered_with_login(gateway: &Gateway, server: &Aiosmtpd, number: usize) {
    gateway.wait_outcome(BOB, "delivered");
    let (envelope, _) = server.wait_message(number);
    assert_eq!((&envelope["tls"], &envelope["login"]), (&true.into(), &USER.into()));
    let encoded = ["AGNvcnJlY3Q", "Y29ycmVjdC1ob3JzZS00Mg"];
    let said = gateway.said();
    assert!(!said.contains(PASSWORD) && encoded.iter().all(|text| !said.contains(text)), "{said}");
}

fn send(gateway: &Gateway, subject: &str) {
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small(subject)).expect("250 ");
}

fn secret(password: &str) -> String {
    serde_json::json!({ "username": USER, "password": password }).to_string()
}

/// As an operator does it, with boto3.
pub fn put_secret(moto: &Moto, name: &str, content: &str) {
    let program = "
import boto3, sys
client = boto3.client('secretsmanager', region_name='eu-west-1', endpoint_url=sys.argv[1], aws_access_key_id='x', aws_secret_access_key='x')
try:
    client.create_secret(Name=sys.argv[2], SecretString=sys.argv[3])
except client.exceptions.ResourceExistsException:
    client.put_secret_value(SecretId=sys.argv[2], SecretString=sys.argv[3])
";
    let output = tool("python").args(["-c", program, &moto.url(), name, content]).output().unwrap();
    assert!(output.status.success(), "{}", mail::text(&output.stderr));
}
