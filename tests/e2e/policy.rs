//! The traffic policy, told where the sender can still see it.

use crate::common::moto::Moto;
use crate::common::tool;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

#[test]
fn a_listed_network_is_refused_at_connect() {
    let policy = "default: allow\ndeny:\n  - name: listed\n    when:\n      - sender_ip: { cidr_matches: [127.0.0.0/8] }\n";
    let (_sink, _deployment, gateway) = start(policy);
    let mut client = Client::dial(gateway.address());
    client.reply().expect("554 5.7.1");
    let event = gateway.wait_for(|event| event["event"] == "policy" && event["verdict"] == "deny");
    assert_eq!((&event["stage"], &event["statement"]), (&"connect".into(), &"listed".into()));
    // RFC 5321 §3.1: nothing but QUIT is taken after a 554 greeting.
    if client.try_write(b"EHLO client.example\r\n").is_ok() {
        assert!(!client.rest().contains("250"));
    }
}

#[test]
fn a_recipient_is_refused_at_rcpt_and_the_others_get_the_message() {
    let policy = "default: deny\nallow:\n  - name: bob\n    when:\n      - recipient: { equals: bob@acme.example }\n";
    let (sink, _deployment, gateway) = start(policy);
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command("RCPT TO:<carol@acme.example>").expect("550 5.7.1");
    client.command("RCPT TO:<bob@acme.example>").expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(&crate::harness::client::stuffed(&mail::small("one")));
    client.reply().expect("250 ");
    assert_eq!(sink.only().recipients, ["bob@acme.example"]);
}

#[test]
fn a_declared_size_is_refused_at_mail_and_a_real_one_after_the_data() {
    let (sink, _deployment, gateway) = start("default: allow\nmax_message_size: 100KiB\n");
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    assert!(client.command("EHLO client.example").text.lines().any(|line| line == "SIZE 102400"));
    client.command("MAIL FROM:<a@example.org> SIZE=102401").expect("552 5.3.4");
    client.command("RSET").expect("250 ");
    client.send("a@example.org", &["bob@acme.example"], &mail::large(110_000)).expect("552 5.3.4");
    // The session is usable afterwards.
    client.send("a@example.org", &["bob@acme.example"], &mail::small("fits")).expect("250 ");
    assert!(mail::text(&sink.only().data).contains("Subject: fits"));
}

#[test]
fn relaying_for_a_foreign_domain_is_denied_whatever_the_policy_says() {
    let (sink, _deployment, gateway) = start("default: allow\n");
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    for foreign in ["x@elsewhere.example", "x@sub.acme.example", "x@acme.example.evil.example"] {
        client.command(&format!("RCPT TO:<{foreign}>")).expect("550 5.7.1 Relaying denied");
    }
    for routed in ["x%elsewhere.example@acme.example", "elsewhere.example!x@acme.example", "\"x@acme.example\"@elsewhere.example"] {
        let reply = client.command(&format!("RCPT TO:<{routed}>"));
        assert!(matches!(reply.code, 550 | 553), "{routed}: {reply:?}");
    }
    client.command("DATA").expect("5");
    assert!(sink.taken().is_empty());
}

#[test]
fn the_verified_identities_of_ses_are_the_domains() {
    let moto = Moto::start();
    let program = "
import boto3, sys
ses = boto3.client('sesv2', region_name='eu-west-1', endpoint_url=sys.argv[1], aws_access_key_id='x', aws_secret_access_key='x')
ses.create_email_identity(EmailIdentity='verified.example')
";
    let made = tool("python").args(["-c", program, &moto.url()]).output().unwrap();
    assert!(made.status.success(), "{}", mail::text(&made.stderr));
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).top("domains: { ses: true }");
    let gateway = with_account(deployment, &moto).start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command("RCPT TO:<x@verified.example>").expect("250 ");
    client.command("RCPT TO:<x@acme.example>").expect("550 5.7.1");
}

#[test]
fn while_ses_cannot_be_asked_recipients_are_told_to_come_again() {
    let sink = Sink::accepting();
    let nowhere = crate::common::free_address();
    let deployment = Deployment::new("inline").relay("next", sink.address()).top("domains: { ses: true }");
    let deployment = deployment.variable("AWS_ENDPOINT_URL", &format!("http://{nowhere}")).variable("AWS_REGION", "eu-west-1");
    let gateway = deployment.variable("AWS_ACCESS_KEY_ID", "x").variable("AWS_SECRET_ACCESS_KEY", "x").start();
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command("RCPT TO:<x@verified.example>").expect("451 4.4.3");
}

/// The environment of a gateway whose AWS is moto.
pub fn with_account(deployment: Deployment, moto: &Moto) -> Deployment {
    let variables = [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", "x")];
    variables
        .into_iter()
        .fold(deployment.variable("AWS_ENDPOINT_URL", &moto.url()), |deployment, (name, value)| deployment.variable(name, value))
}

fn start(policy: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).policy(policy);
    let gateway = deployment.start();
    (sink, deployment, gateway)
}
