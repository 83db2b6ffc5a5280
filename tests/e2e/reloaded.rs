//! DNS servers and analyzers change while the gateway runs.

use crate::common::canned_http::CannedHttp;
use crate::common::dns::StubDns;
use crate::harness::{Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const FOREIGN: &str = "proxy_protocol: { trusted: [127.0.0.0/8] }";

fn client(gateway: &Gateway) -> Client {
    Client::behind(gateway.address(), 2, "203.0.113.9", "mail.example.org")
}

/// Writes gateway.yaml anew and waits until it is in force.
fn reload(deployment: &Deployment, gateway: &Gateway, change: impl Fn(String) -> String) {
    let before = gateway.events(|event| event["event"] == "reloaded").len();
    deployment.write("gateway.yaml", &change(deployment.yaml()));
    gateway.signal("HUP");
    gateway.wait_events(before + 1, |event| event["event"] == "reloaded");
}

#[test]
fn other_servers_are_asked_from_now_on() {
    let (old, new) = (StubDns::launch(), StubDns::launch());
    old.txt("example.org", "v=spf1 -all");
    new.txt("example.org", "v=spf1 ip4:203.0.113.0/24 -all");
    let sink = Sink::accepting();
    let policy = "default: allow\ndeny:\n  - name: spf\n    when: [{ spf_result: { equals: fail } }]\n";
    let deployment = Deployment::new("inline").names(&old).relay("next", sink.address()).policy(policy).endpoint(FOREIGN);
    let gateway = deployment.start();
    let mut open = client(&gateway);
    let refused = |session: &mut Client| {
        session.command("MAIL FROM:<a@example.org>").expect("250 ");
        session.command(&format!("RCPT TO:<{BOB}>")).expect("550 5.7.1");
        session.command("RSET").expect("250 ");
    };
    refused(&mut open);
    refused(&mut open);
    assert_eq!(old.asked("example.org", "TXT"), 1);
    reload(&deployment, &gateway, |yaml| yaml.replace(&old.address().to_string(), &new.address().to_string()));
    // Nothing of what the old server has said is remembered, in an open session either.
    client(&gateway).send("a@example.org", &[BOB], &mail::small("new")).expect("250 ");
    open.send("a@example.org", &[BOB], &mail::small("open")).expect("250 ");
    assert_eq!((old.asked("example.org", "TXT"), new.asked("example.org", "TXT")), (1, 1));
    let taken = sink.wait_taken(2);
    assert!(taken.iter().all(|taken| mail::above_received(&taken.data).contains("spf=pass")));
}

#[test]
fn reports_begin_and_end_with_the_configuration() {
    let dns = StubDns::launch();
    dns.txt("_dmarc.example.org", "v=DMARC1; p=none; rua=mailto:dmarc@example.org");
    let sink = Sink::accepting();
    let endpoint = format!("{FOREIGN}, authentication_results: false");
    let deployment = Deployment::new("inline").names(&dns).relay("next", sink.address()).endpoint(&endpoint);
    let gateway = deployment.start();
    let send = || client(&gateway).send("a@example.org", &[BOB], &mail::small("counted")).expect("250 ").code;
    send();
    assert_eq!(dns.questions(), [""; 0]);
    let reports = "dmarc_reports: { relay: next, from: x@acme.example, organization: Acme }\n";
    reload(&deployment, &gateway, |yaml| yaml + reports);
    send();
    assert_eq!(dns.asked("_dmarc.example.org", "TXT"), 1, "{:?}", dns.questions());
    reload(&deployment, &gateway, |yaml| yaml + "# without\n");
    dns.forget_questions();
    send();
    assert_eq!(dns.questions(), [""; 0]);
    reload(&deployment, &gateway, |yaml| yaml + reports);
    send();
    gateway.stop();
    // Beside the spool.
    let files =
        std::fs::read_dir(deployment.path("dmarc-reports")).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let counted: Vec<u64> = files
        .flat_map(|text| text.lines().filter_map(|line| line.strip_prefix('[')?.split(',').next()?.parse().ok()).collect::<Vec<_>>())
        .collect();
    assert_eq!(counted.iter().sum::<u64>(), 2, "{counted:?}");
}

#[test]
fn analyzers_change_and_an_unknown_one_is_refused() {
    let says = |bad: bool| CannedHttp::start(move |_, _| (200, format!("{{ \"bad\": {bad} }}")));
    let (good, bad) = (says(false), says(true));
    let sink = Sink::accepting();
    let top = format!("domains: [acme.example]\nanalyzers:\n  hook: {{ type: http, url: \"{}\", fields: {{ bad: boolean }} }}", good.url());
    let rules = "rules:\n  - name: bad\n    when: [{ analysis: { analyzer: hook, field: bad, equals: true } }]\n    \
                 actions: [{ Reject: { text: bad } }]\n  - name: all\n    actions: [{ SMTPRelay: { relay: next } }]\n";
    let deployment = Deployment::new("inline").top(&top).relay("next", sink.address()).rules(rules).endpoint(FOREIGN);
    let gateway = deployment.start();
    let send = || client(&gateway).send("a@example.org", &[BOB], &mail::small("x"));
    send().expect("250 ");
    assert_eq!((good.requests(), bad.requests()), (1, 0));
    reload(&deployment, &gateway, |yaml| yaml.replace(&good.url(), &bad.url()));
    send().expect("550 5.7.1 bad");
    assert_eq!((good.requests(), bad.requests()), (1, 1));
    // It is asked for under a name that nobody has: nothing changes, and the log says where.
    for (file, text) in [
        ("rules/inbound.yaml", rules.replace("analyzer: hook", "analyzer: hok")),
        ("gateway.yaml", deployment.yaml().replace("  hook: {", "  other: {")),
    ] {
        let before = gateway.events(|event| event["event"] == "reload_refused").len();
        deployment.write(file, &text);
        gateway.signal("HUP");
        let refused = gateway.wait_events(before + 1, |event| event["event"] == "reload_refused").pop().unwrap();
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("rules/inbound.yaml:3:") && detail.contains("unknown-name"), "{detail}");
        send().expect("550 5.7.1 bad");
    }
    assert_eq!(good.requests(), 1);
    // Both together are good again.
    let mended = rules.replace("analyzer: hook", "analyzer: other");
    deployment.write("rules/inbound.yaml", &mended);
    reload(&deployment, &gateway, |yaml| yaml.replace("  hook: {", "  other: {"));
    send().expect("250 ");
    assert_eq!(good.requests(), 2);
}
