//! Every reply that Google and Microsoft are known for leads to its class, and a restart keeps it.

use crate::common::dns::StubDns;
use crate::common::peer::{At, Class, Peer, Scripted};
use crate::harness::{Client, Deployment, Gateway, Sink, mail};
use crate::queue_command::queue;

/// A reply, the server that gives it, and the relay of the same name.
struct Case {
    scripted: Scripted,
    peer: Peer,
}

impl Case {
    fn name(&self) -> &str {
        &self.scripted.name
    }

    fn recipient(&self) -> String {
        format!("{}@acme.example", self.name())
    }

    /// What it leads to here, where there is one address of one family and nobody else at the domain.
    fn class(&self) -> Class {
        self.scripted.then.unwrap_or(self.scripted.class)
    }
}

#[test]
fn googles_replies_lead_to_their_classes() {
    lead_to_their_classes("peer-google", "preset: google-workspace", "aspmx.l.google.com");
}

#[test]
fn microsofts_replies_lead_to_their_classes() {
    let place = "preset: microsoft-365, domain: acme.example, ip_family: v4";
    lead_to_their_classes("peer-exchange-online", place, "acme-example.mail.protection.outlook.com");
}

fn lead_to_their_classes(peer: &str, place: &str, host: &str) {
    let cases: Vec<Case> =
        Peer::start(peer).replies().iter().map(|scripted| Case { scripted: scripted.clone(), peer: Peer::start(peer) }).collect();
    let (dns, bounces) = (StubDns::launch(), Sink::accepting());
    dns.a(host, "127.0.0.1");
    let mut deployment = Deployment::new("queue").names(&dns).relay("bounces", bounces.address());
    deployment = deployment.top("domains: [acme.example]\nbounces: { relay: bounces }");
    let mut rules = "rules:\n".to_owned();
    for case in &cases {
        let name = case.name();
        deployment = deployment.relay_at(name, &format!("{place}, port: {}", case.peer.address().port()), "");
        rules += &format!(
            "  - name: {name}\n    when:\n      - recipient: {{ equals: {} }}\n    actions:\n      - SMTPRelay: {{ relay: {name} }}\n",
            case.recipient()
        );
        if matches!(case.scripted.at, At::Connect | At::Ehlo) {
            case.peer.choose(name);
        }
    }
    deployment = deployment.rules(&rules);
    let gateway = deployment.start();
    let mut client = Client::hello(gateway.address());
    for case in &cases {
        // Some replies are chosen by the sender.
        client.send(&format!("{}@example.org", case.name()), &[&case.recipient()], &mail::small(case.name())).expect("250 ");
    }
    for case in &cases {
        fares_by_its_class(&gateway, case);
    }
    let is_held = |case: &&Case| case.class() == Class::H;
    for case in cases.iter().filter(|case| !is_held(case)) {
        let held = gateway.events(|event| event["event"] == "relay_held" && event["relay"] == case.name());
        assert!(held.is_empty(), "{:?}: {held:?}", case.scripted);
    }
    let bounced = cases.iter().filter(|case| case.class().bounces()).count();
    assert_eq!(gateway.wait_events(bounced, |event| event["event"] == "dsn").len(), bounced);
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");

    // The next hops are mended. What may be tried again arrives, whereas a hold outlives the process and costs no connection.
    let connections: Vec<usize> = cases.iter().map(|case| case.peer.clients().len()).collect();
    for case in &cases {
        case.peer.be_scripted(false);
    }
    let gateway = deployment.start();
    for case in cases.iter().filter(|case| matches!(case.class(), Class::R | Class::S | Class::F)) {
        arrives(case);
    }
    let standings = mail::text(&queue(&deployment, &["stats", "--json"]).stdout);
    for (case, before) in cases.iter().zip(connections) {
        if case.class().bounces() || is_held(&case) {
            assert_eq!(case.peer.clients().len(), before, "{:?}", case.scripted);
        }
        if is_held(&case) {
            shows_why_it_is_held(&standings, case);
        }
    }

    // The operator knows.
    for case in cases.iter().filter(is_held) {
        assert!(queue(&deployment, &["release", "--relay", case.name()]).status.success(), "{:?}", case.scripted);
    }
    // Some mailboxes have asked for an hour.
    assert!(queue(&deployment, &["retry", "--all"]).status.code().is_some_and(|code| code <= 1));
    for case in cases.iter().filter(|case| !case.class().bounces()) {
        arrives(case);
    }
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
    assert_eq!(bounces.taken().len(), bounced);
    for case in &cases {
        assert_eq!(case.peer.violations(), [""; 0], "{:?}", case.scripted);
    }
}

/// The next hop's own words are there.
fn shows_why_it_is_held(standings: &str, case: &Case) {
    let stats = standings.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_it = stats.into_iter().find(|stats| stats["relay"] == case.name()).expect("the relay is in the configuration");
    assert_eq!(of_it["state"], "held", "{of_it}");
    let (code, text) = case.scripted.reply[0].split_at(3);
    let words = text[1..].split(['[', '{']).next().unwrap_or_default().trim_end();
    let shown = of_it["reply"].as_str().unwrap_or_default();
    assert!(shown.starts_with(code) && shown.contains(words), "{words} is not in {of_it}");
}

fn arrives(case: &Case) {
    let taken = case.peer.wait_taken(1);
    assert_eq!(taken.len(), 1, "{:?}", case.scripted);
    mail::assert_same(mail::below_received(&taken[0].data), &mail::small(case.name()));
}

fn fares_by_its_class(gateway: &Gateway, case: &Case) {
    let attempt = gateway.wait_for(|event| event["event"] == "attempt" && event["relay"] == case.name());
    let recipient = &attempt["recipients"][0];
    if case.class().bounces() {
        assert_eq!(recipient["result"], "failed", "{:?}: {attempt}", case.scripted);
        gateway.wait_outcome(&case.recipient(), "bounced");
        return;
    }
    assert_eq!(recipient["result"], "deferred", "{:?}: {attempt}", case.scripted);
    if case.class() == Class::H {
        let held = gateway.wait_for(|event| event["event"] == "relay_held" && event["relay"] == case.name());
        let code: u16 = case.scripted.reply[0][..3].parse().unwrap();
        assert_eq!(held["reply"]["code"], code, "the literal reply: {held}");
    }
}

/// Unknown recipients and a wrong host name have the same words at Microsoft: others at the domain tell them apart.
#[test]
fn a_recipient_refused_among_others_accepted_is_unknown() {
    let (peer, dns, bounces) = (Peer::start("peer-exchange-online"), StubDns::launch(), Sink::accepting());
    dns.a("acme-example.mail.protection.outlook.com", "127.0.0.1");
    let place = format!("preset: microsoft-365, domain: acme.example, ip_family: v4, port: {}", peer.address().port());
    let deployment = Deployment::new("queue").names(&dns).relay_at("next", &place, "").relay("bounces", bounces.address());
    let gateway = deployment.top("domains: [acme.example]\nbounces: { relay: bounces }").start();
    let mut client = Client::hello(gateway.address());
    client.send("alice@example.org", &["bob@acme.example"], &mail::small("known")).expect("250 ");
    gateway.wait_outcome("bob@acme.example", "delivered");
    for scripted in peer.replies().iter().filter(|scripted| scripted.known_domain.is_some_and(Class::bounces)) {
        let recipient = format!("{}@acme.example", scripted.name);
        client.send("alice@example.org", &[&recipient], &mail::small("unknown")).expect("250 ");
        gateway.wait_outcome(&recipient, "bounced");
    }
    assert!(gateway.events(|event| event["event"] == "relay_held").is_empty());
}
