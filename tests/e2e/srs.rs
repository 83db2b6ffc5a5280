//! Senders that are rewritten, and the way back of their bounces.

use crate::common::dns::StubDns;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const SRS: &str = "srs: { domain: srs.acme.example, key: { file: srs.key } }";
const RULES: &str = "rules:\n  - name: all\n    actions:\n      - SMTPRelay: { relay: next, mail_from: srs }\n";
const BOB: &str = "bob@acme.example";

/// A gateway that rewrites, before `next`; bounces go by `back`.
fn start(dns: &StubDns, delivery: &str, next: &Sink, back: &Sink) -> (Deployment, Gateway) {
    let deployment = Deployment::new(delivery)
        .names(dns)
        .top(&format!("domains: [acme.example]\nbounces: {{ relay: back }}\n{SRS}"))
        .file("srs.key", "a key of many octets\n")
        .rules(RULES)
        .relay("next", next.address())
        .relay("back", back.address());
    let gateway = deployment.start();
    (deployment, gateway)
}

#[test]
fn a_bounce_finds_its_way_back_to_the_sender() {
    let dns = StubDns::launch();
    for delivery in ["inline", "queue"] {
        let (next, back) = (Sink::accepting(), Sink::accepting());
        let (_deployment, gateway) = start(&dns, delivery, &next, &back);
        let mut client = Client::hello(gateway.address());
        client.send("alice@example.org", &[BOB], &mail::small("there")).expect("250 ");
        let ours = next.only().mail_from;
        assert!(ours.starts_with("SRS0=") && ours.ends_with("=example.org=alice@srs.acme.example"), "{ours}");
        let event = gateway.wait_for(|event| event["event"] == "srs");
        assert_eq!(
            (&event["sender"], &event["rewritten"], &event["outcome"]),
            (&"alice@example.org".into(), &(&*ours).into(), &"rewritten".into())
        );

        client.send("", &[&ours], &mail::small("back")).expect("250 ");
        let bounce = back.only();
        assert_eq!((&*bounce.mail_from, &bounce.recipients[..]), ("", &["alice@example.org".to_owned()][..]));
        assert!(mail::text(&bounce.data).contains("Subject: back"));
        let outcome = gateway.wait_outcome(&ours, "delivered");
        assert_eq!(
            (&outcome["rule"], &outcome["relay"], &outcome["delivered_to"]),
            (&"srs".into(), &"back".into(), &"alice@example.org".into())
        );
        // The rules have sent it nowhere else.
        assert_eq!(next.taken().len(), 1);
    }
}

#[test]
fn only_bounces_for_what_was_made_here_are_taken() {
    let dns = StubDns::launch();
    let (next, back) = (Sink::accepting(), Sink::accepting());
    let (_deployment, gateway) = start(&dns, "inline", &next, &back);
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB], &mail::small("there")).expect("250 ");
    let ours = next.only().mail_from;
    let forged = ours.replace("=alice@", "=mallory@");
    for (sender, recipient, reply) in [
        ("mallory@example.org", ours.as_str(), "550 5.7.1 This address takes bounces only"),
        ("", &forged, "550 5.1.1 This address was not made here"),
        ("", "SRS0=@srs.acme.example", "550 5.1.1 This address was not made here"),
        ("", "postmaster@srs.acme.example", "550 5.7.1 Relaying denied"),
        ("", "SRS0=x=y=z=a@other.example", "550 5.7.1 Relaying denied"),
        ("", &ours.to_ascii_lowercase(), "250 "),
    ] {
        client.command(&format!("MAIL FROM:<{sender}>")).expect("250 ");
        client.command(&format!("RCPT TO:<{recipient}>")).expect(reply);
        client.command("RSET").expect("250 ");
    }
    assert_eq!(back.connections(), 0);
}

#[test]
fn who_needs_no_other_address_keeps_his_own_and_a_second_gateway_leads_to_the_first() {
    let dns = StubDns::launch();
    let (next, back) = (Sink::accepting(), Sink::accepting());
    let (_deployment, gateway) = start(&dns, "inline", &next, &back);
    let mut client = Client::hello(gateway.address());
    for (count, (sender, expected)) in [
        ("", ""),
        ("carol@ACME.example", "carol@ACME.example"),
        ("x@srs.acme.example", "x@srs.acme.example"),
        ("SRS0=abcd=TT=example.org=alice@first.example", "SRS1="),
    ]
    .into_iter()
    .enumerate()
    {
        client.send(sender, &[BOB], &mail::small("mail")).expect("250 ");
        let seen = next.wait_taken(count + 1).pop().unwrap().mail_from;
        assert!(if expected.ends_with('=') { seen.starts_with(expected) } else { seen == expected }, "{sender} became {seen}");
    }
    let ours = next.taken().pop().unwrap().mail_from;
    assert!(ours.ends_with("=first.example==abcd=TT=example.org=alice@srs.acme.example"), "{ours}");
    client.send("", &[&ours], &mail::small("back")).expect("250 ");
    assert_eq!(back.only().recipients, ["SRS0=abcd=TT=example.org=alice@first.example"]);
}

#[test]
fn a_key_can_be_changed_while_mail_is_under_way_and_without_one_nothing_is_sent() {
    let dns = StubDns::launch();
    let (next, back) = (Sink::accepting(), Sink::accepting());
    let (deployment, gateway) = start(&dns, "inline", &next, &back);
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB], &mail::small("one")).expect("250 ");
    let old = next.only().mail_from;
    deployment.write("srs.key", "a newer key of many octets\na key of many octets\n");
    client.send("alice@example.org", &[BOB], &mail::small("two")).expect("250 ");
    let new = next.wait_taken(2).pop().unwrap().mail_from;
    assert_ne!(old, new);
    for (count, ours) in [old.as_str(), &new].into_iter().enumerate() {
        client.send("", &[ours], &mail::small("back")).expect("250 ");
        assert_eq!(back.wait_taken(count + 1)[count].recipients, ["alice@example.org"]);
    }
    deployment.write("srs.key", "a newer key of many octets\n");
    client.command("MAIL FROM:<>").expect("250 ");
    client.command(&format!("RCPT TO:<{old}>")).expect("550 5.1.1 ");
    drop(client);
    // A gateway that has never had it.
    let (_, _) = gateway.stop();
    let absent = Deployment::new("inline")
        .names(&dns)
        .top("domains: [acme.example]\nsrs: { domain: srs.acme.example, key: { env: GATEWAY_TEST_VARIABLE_THAT_NOBODY_SETS } }")
        .rules(RULES)
        .relay("next", next.address());
    let gateway = absent.start();
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB], &mail::small("three")).expect("451 4.3.0 ");
    client.command("MAIL FROM:<>").expect("250 ");
    client.command(&format!("RCPT TO:<{old}>")).expect("451 4.3.0 ");
    assert_eq!(next.taken().len(), 2);
}

#[test]
fn without_a_relay_for_bounces_the_exchangers_of_the_senders_domain_get_them_and_our_own_senders_go_by_the_rules() {
    let dns = StubDns::launch();
    dns.load(&[("example.org", "MX", "0 .")]);
    let next = Sink::accepting();
    let deployment = Deployment::new("queue")
        .names(&dns)
        .top(&format!("domains: [acme.example]\n{SRS}"))
        .file("srs.key", "a key of many octets\n")
        .rules(RULES)
        .relay("next", next.address());
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &[BOB], &mail::small("there")).expect("250 ");
    let ours = next.only().mail_from;
    client.send("", &[&ours], &mail::small("back")).expect("250 ");
    let outcome = gateway.wait_for(|event| event["event"] == "outcome" && event["recipient"] == *ours);
    assert_eq!(
        (&outcome["outcome"], &outcome["relay"], &outcome["reply"]["code"]),
        (&"bounced".into(), &"(internet)".into(), &556.into()),
        "{outcome}"
    );
    // RFC 5321 §4.5.5.
    let told = gateway.wait_for(|event| event["event"] == "dsn");
    assert_eq!(told["detail"], "not sent: the sender is the null path");
    drop(client);
    gateway.stop();

    // What was a stranger's domain when the address was made is ours by now.
    let moved = deployment.top(&format!("domains: [acme.example, example.org]\n{SRS}"));
    let gateway = moved.start();
    let mut client = Client::hello(gateway.address());
    client.send("", &[&ours], &mail::small("home")).expect("250 ");
    assert_eq!(next.wait_taken(2)[1].recipients, ["alice@example.org"]);
}
