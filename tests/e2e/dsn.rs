//! What senders ask for with a message (DSN, SMTPUTF8, REQUIRETLS) and what becomes of it, at next hops that know it and at others.

use std::net::SocketAddr;

use serde_json::Value;

use crate::clients::ran;
use crate::common::dns::StubDns;
use crate::common::tool;
use crate::harness::tls::Certificate;
use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail, until};
use crate::queue::as_python_reads_it;

const BOB: &str = "bob@acme.example";

/// A gateway before `next`, with a relay of its own for notifications.
fn start(delivery: &str, next: &Sink) -> (Sink, Gateway) {
    let bounces = Sink::accepting();
    let deployment = Deployment::new(delivery)
        .top("domains: [acme.example]\nbounces: { relay: bounces }")
        .relay("next", next.address())
        .relay("bounces", bounces.address());
    let gateway = deployment.start();
    (bounces, gateway)
}

fn refusing() -> Sink {
    Sink::start(|at| if matches!(at, At::Rcpt(_)) { Answer::say("550 5.1.1 nobody here") } else { Answer::Ok })
}

/// A transaction; the paths come with their parameters.
#[track_caller]
fn send(client: &mut Client, mail_from: &str, rcpt_to: &str, message: &[u8]) -> crate::harness::Reply {
    client.command(&format!("MAIL FROM:{mail_from}")).expect("250 ");
    client.command(&format!("RCPT TO:{rcpt_to}")).expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(&crate::harness::client::stuffed(message));
    client.reply()
}

const SMTPLIB: &str = "
import smtplib, sys
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), local_hostname='client.example') as client:
    client.ehlo()
    assert client.has_extn('dsn')
    client.sendmail('alice@example.org', ['bob@acme.example'], sys.stdin.buffer.read(),
        ['RET=HDRS', 'ENVID=QQ+2B1'], ['NOTIFY=SUCCESS,FAILURE', 'ORCPT=rfc822;Bob+2BNews@old.example'])
";

fn smtplib(gateway: SocketAddr, message: &[u8]) {
    let mut python = tool("python");
    python.args(["-c", SMTPLIB, &gateway.port().to_string()]);
    ran(python, message);
}

fn msmtp(gateway: SocketAddr, notify: &str, message: &[u8]) {
    let mut msmtp = tool("msmtp");
    msmtp.args(["--file=/dev/null", "--host=127.0.0.1", &format!("--port={}", gateway.port()), "--domain=client.example"]);
    msmtp.args([&format!("--dsn-notify={notify}"), "--dsn-return=full", "--from=alice@example.org", "--timeout=60", BOB]);
    let text = mail::text(message).replace("\r\n", "\n");
    ran(msmtp, text.as_bytes());
}

#[test]
fn a_next_hop_with_dsn_hears_what_smtplib_and_msmtp_said_and_answers_for_it() {
    for delivery in ["inline", "queue"] {
        let next = Sink::offering(&["DSN", "8BITMIME"], |_| Answer::Ok);
        let (bounces, gateway) = start(delivery, &next);
        smtplib(gateway.address(), &mail::small("one"));
        msmtp(gateway.address(), "success,delay", &mail::small("two"));
        let taken = next.wait_taken(2);
        let of = |subject: &str| {
            let found = taken.iter().find(|taken| mail::text(&taken.data).contains(subject));
            found.expect("it was taken").commands.clone()
        };
        assert_eq!(
            of("Subject: one"),
            [
                "MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ+2B1",
                "RCPT TO:<bob@acme.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Bob+2BNews@old.example"
            ]
        );
        assert_eq!(
            of("Subject: two"),
            ["MAIL FROM:<alice@example.org> RET=FULL", "RCPT TO:<bob@acme.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@acme.example"]
        );
        let (status, said) = gateway.stop();
        assert!(status.success() && !said.contains("\"event\":\"dsn\""), "{said}");
        assert_eq!(bounces.connections(), 0);
    }
}

#[test]
fn a_recipient_that_is_given_twice_is_one_with_what_both_ask_for() {
    let next = Sink::offering(&["DSN"], |_| Answer::Ok);
    let (_bounces, gateway) = start("inline", &next);
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<alice@example.org>").expect("250 ");
    client.command("RCPT TO:<bob@acme.example> NOTIFY=NEVER ORCPT=rfc822;one@old.example").expect("250 ");
    client.command("RCPT TO:<bob@ACME.example> NOTIFY=SUCCESS ORCPT=rfc822;two@old.example").expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(&crate::harness::client::stuffed(&mail::small("twice")));
    client.reply().expect("250 ");
    assert_eq!(next.only().commands[1..], ["RCPT TO:<bob@acme.example> NOTIFY=SUCCESS ORCPT=rfc822;one@old.example"]);
}

#[test]
fn where_the_next_hop_does_not_know_dsn_the_gateway_tells_of_the_delivery() {
    for delivery in ["inline", "queue"] {
        let next = Sink::accepting();
        let (bounces, gateway) = start(delivery, &next);
        smtplib(gateway.address(), &mail::small("relayed"));
        assert_eq!(next.only().commands[1], "RCPT TO:<bob@acme.example>");
        let dsn = bounces.only();
        assert_eq!((dsn.mail_from.as_str(), dsn.recipients.as_slice()), ("", &["alice@example.org".to_owned()][..]));
        let parsed = as_python_reads_it(&dsn.data);
        assert_eq!(parsed["parts"][1], "message/delivery-status");
        assert_eq!(parsed["status"][0]["original-envelope-id"], "QQ+1");
        let recipient = &parsed["status"][1];
        assert_eq!((&recipient["action"], &recipient["status"]), (&Value::from("relayed"), &Value::from("2.0.0")));
        assert_eq!(recipient["original-recipient"], "rfc822; Bob+News@old.example");
        assert_eq!(recipient["final-recipient"], "rfc822; bob@acme.example");
        assert_eq!(parsed["defects"], 0, "{parsed}");
        let event = gateway.wait_for(|event| event["event"] == "dsn");
        assert_eq!(event["kind"], "relayed");
    }
}

#[test]
fn a_failure_returns_all_of_the_message_to_who_asked_for_all_of_it() {
    let next = refusing();
    let (bounces, gateway) = start("queue", &next);
    msmtp(gateway.address(), "failure", &mail::small("whole"));
    let parsed = as_python_reads_it(&bounces.only().data);
    assert_eq!(parsed["parts"][2], "message/rfc822");
    assert!(parsed["headers"].as_str().unwrap().contains("Hello"), "{parsed}");
    assert_eq!((&parsed["status"][1]["action"], &parsed["defects"]), (&Value::from("failed"), &Value::from(0)));
}

#[test]
fn who_wants_to_hear_nothing_hears_nothing() {
    let next = refusing();
    let (bounces, gateway) = start("queue", &next);
    for notify in ["never", "success"] {
        msmtp(gateway.address(), notify, &mail::small("silent"));
    }
    let held_back = |event: &Value| event["event"] == "dsn" && event["notification"].is_null();
    until("both are held back", || (gateway.events(held_back).len() == 2).then_some(()));
    gateway.wait_outcome(BOB, "bounced");
    let (_, said) = gateway.stop();
    assert!(said.contains("\"spooled\":0"), "{said}");
    assert_eq!(bounces.connections(), 0);
    // In the dialogue a refusal is said to whoever asks for nothing.
    let (_bounces, gateway) = start("inline", &next);
    let mut client = Client::hello(gateway.address());
    send(&mut client, "<alice@example.org>", "<bob@acme.example> NOTIFY=NEVER", &mail::small("inline")).expect("550 5.1.1");
}

#[test]
fn internationalized_mail_goes_to_who_takes_it_only() {
    let utf8_header = "From: alice@example.org\r\nSubject: gr\u{fc}\u{df}e\r\n\r\nHello\r\n".as_bytes();
    let plain = mail::small("ascii");
    let without = Sink::offering(&["8BITMIME", "ENHANCEDSTATUSCODES"], |_| Answer::Ok);
    let (_bounces, gateway) = start("inline", &without);
    let mut client = Client::hello(gateway.address());
    let (declared, to_utf8) = ("<alice@example.org> SMTPUTF8", "<b\u{fc}cher@acme.example>");
    send(&mut client, declared, to_utf8, &plain).expect("550 5.6.7");
    send(&mut client, declared, "<bob@acme.example>", utf8_header).expect("550 5.6.7");
    // It needs nothing, whatever its sender says.
    send(&mut client, declared, "<bob@acme.example>", &plain).expect("250 ");
    assert_eq!(without.only().commands[0], "MAIL FROM:<alice@example.org>");

    let (bounces, gateway) = start("queue", &without);
    send(&mut Client::hello(gateway.address()), declared, to_utf8, utf8_header).expect("250 ");
    let dsn = bounces.only();
    let parsed = as_python_reads_it(&dsn.data);
    assert_eq!((&parsed["parts"][1], &parsed["parts"][2]), (&"message/global-delivery-status".into(), &"message/global-headers".into()));
    let text = mail::text(&dsn.data);
    assert!(text.contains("\r\nFinal-Recipient: utf-8; b\u{fc}cher@acme.example\r\nAction: failed\r\nStatus: 5.6.7\r\n"), "{text}");
    assert_eq!(without.taken().len(), 1);

    let with = Sink::accepting();
    let (_bounces, gateway) = start("inline", &with);
    send(&mut Client::hello(gateway.address()), declared, to_utf8, utf8_header).expect("250 ");
    assert!(with.only().commands[0].ends_with(" SMTPUTF8"), "{:?}", with.only().commands);
}

#[test]
fn requiretls_is_kept_or_the_mail_is_refused() {
    let next = Sink::offering(&["REQUIRETLS"], |_| Answer::Ok);
    let certificate = Certificate::new();
    for delivery in ["inline", "queue"] {
        let bounces = Sink::accepting();
        let deployment = Deployment::new(delivery)
            .top("domains: [acme.example]\nbounces: { relay: bounces }")
            .endpoint("tls: { mode: optional, certificate: tls/cert.pem, key: tls/key.pem }")
            .relay("next", next.address())
            .relay("bounces", bounces.address());
        certificate.write(&deployment.path("tls"));
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<alice@example.org> REQUIRETLS").expect("530 5.7.10");
        client.start_tls();
        assert!(client.command("EHLO client.example").text.contains("REQUIRETLS"));
        let reply = send(&mut client, "<alice@example.org> REQUIRETLS RET=FULL", "<bob@acme.example>", &mail::small("secret-plan"));
        if delivery == "inline" {
            reply.expect("550 5.7.10");
        } else {
            reply.expect("250 ");
            let text = mail::text(&bounces.only().data);
            assert!(text.contains("Status: 5.7.10\r\n") && text.contains("\r\nMessage-ID: <secret-plan@example.org>\r\n"), "{text}");
            assert!(!text.contains("Subject: secret") && !text.contains("Hello"), "nothing of the message leaks: {text}");
        }
        assert!(next.taken().is_empty());
    }
}

/// Bob's next hop and carol's refuse, each for itself.
#[test]
fn one_message_has_one_notification_whoever_refuses_it() {
    let refusing = |text: &'static str| Sink::start(move |at| if matches!(at, At::Rcpt(_)) { Answer::say(text) } else { Answer::Ok });
    let (one, two, bounces) = (refusing("550 5.1.1 nobody here"), refusing("550 5.2.1 gone"), Sink::accepting());
    let rules = "rules:\n  - name: bob\n    when: [{ recipient: { starts_with: bob } }]\n    actions: [{ SMTPRelay: { relay: one } }, Stop]\n  \
                 - name: dora\n    when: [{ recipient: { starts_with: dora } }]\n    actions: [{ Reject: { text: not wanted } }]\n  \
                 - name: others\n    actions: [{ SMTPRelay: { relay: two } }]\n";
    let deployment = Deployment::new("inline")
        .top("domains: [acme.example]\nbounces: { relay: bounces }")
        .rules(rules)
        .relay("one", one.address())
        .relay("two", two.address())
        .relay("bounces", bounces.address());
    let gateway = deployment.start();
    let recipients = ["bob@acme.example", "carol@acme.example", "dora@acme.example"];
    Client::hello(gateway.address()).send("alice@example.org", &recipients, &mail::small("three")).expect("250 ");
    let parsed = as_python_reads_it(&bounces.only().data);
    let status = parsed["status"].as_array().unwrap();
    assert!(status[0]["arrival-date"].as_str().unwrap().ends_with(" +0000"), "{parsed}");
    let field = |name: &str, recipient: &str| {
        let of = status.iter().find(|of| of["final-recipient"] == format!("rfc822; {recipient}"));
        of.unwrap_or_else(|| panic!("{recipient} is missing in {parsed}"))[name].clone()
    };
    assert_eq!((status.len(), &parsed["defects"]), (4, &Value::from(0)), "{parsed}");
    for (recipient, code, remote) in [(recipients[0], "5.1.1", true), (recipients[1], "5.2.1", true), (recipients[2], "5.7.1", false)] {
        assert_eq!((field("status", recipient), field("action", recipient)), (code.into(), "failed".into()));
        assert_eq!(field("remote-mta", recipient), if remote { "dns; [127.0.0.1]".into() } else { Value::Null });
        assert_eq!(field("last-attempt-date", recipient).is_string(), remote);
    }
    for recipient in recipients {
        gateway.wait_for(|event| event["event"] == "outcome" && event["recipient"] == recipient);
    }
    let (_, said) = gateway.stop();
    assert_eq!(said.matches("\"event\":\"dsn\"").count(), 1, "{said}");
    assert_eq!(bounces.taken().len(), 1);
}

#[test]
fn nobody_is_told_of_mail_that_a_forger_sent_in_his_name() {
    let dns = StubDns::launch();
    dns.load(&[
        ("forged.example", "TXT", "v=spf1 ip4:192.0.2.1 -all"),
        ("strict.example", "TXT", "v=spf1 -all"),
        ("_dmarc.strict.example", "TXT", "v=DMARC1; p=none"),
        ("real.example", "TXT", "v=spf1 ip4:127.0.0.0/8 -all"),
        ("soft.example", "TXT", "v=spf1 ~all"),
        ("sick.example", "SERVFAIL", ""),
    ]);
    let next = refusing();
    // With fields the verdicts are known when the mail comes; without, they are asked for when there is something to tell.
    for fields in ["authentication_results: true", "authentication_results: false"] {
        let bounces = Sink::accepting();
        let deployment = Deployment::new("queue")
            .names(&dns)
            .endpoint(fields)
            .top("domains: [acme.example]\nbounces: { relay: bounces }")
            .relay("next", next.address())
            .relay("bounces", bounces.address());
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        for (domain, is_told) in [
            ("forged.example", false),
            ("strict.example", false),
            ("real.example", true),
            ("soft.example", true),
            ("sick.example", true),
            ("no-record.example", true),
        ] {
            let sender = format!("alice@{domain}");
            let message = format!("From: {sender}\r\nSubject: x\r\nMessage-ID: <{domain}@x.example>\r\n\r\nHello\r\n");
            client.send(&sender, &[BOB], message.as_bytes()).expect("250 ");
            let event = gateway.wait_for(|event| event["event"] == "dsn" && event["to"] == *sender);
            assert_eq!(event["notification"].is_string(), is_told, "{fields}: {event}");
            if !is_told {
                assert_eq!(event["detail"], "not sent: the message failed authentication, the sender may be forged");
            }
        }
        bounces.wait_taken(4);
    }
}

#[test]
fn one_sender_whom_strangers_name_is_not_flooded() {
    let next = refusing();
    let (bounces, gateway) = start("queue", &next);
    let mut client = Client::hello(gateway.address());
    for number in 0..25 {
        client.send("victim@example.org", &[BOB], &mail::small(&format!("m{number}"))).expect("250 ");
    }
    let told = gateway.wait_events(25, |event| event["event"] == "dsn");
    let held_back = told.iter().filter(|event| event["detail"] == "not sent: too many notifications for this sender in this hour").count();
    assert_eq!(held_back, 5, "{told:?}");
    bounces.wait_taken(20);
}
