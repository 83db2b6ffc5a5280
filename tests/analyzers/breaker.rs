//! What is dead costs little, and a new configuration keeps what it does not change.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use gateway::analyzers::Analyzers;
use gateway::limits::ANALYZER_FAILURES_MAX;

use crate::common::dns::{Behaviour, StubDns};
use crate::liar::{Liar, answer};
use crate::{Mail, PLAIN, analyzers, no_dns, resolver, shown, snapshot};

#[tokio::test]
async fn a_dead_service_costs_its_timeout_a_few_times_and_then_nothing() {
    let dead = Liar::start(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let section = format!("  a: {{ type: clamav, address: \"{}\", timeout: 1s }}", dead.address);
    let (configs, mail) = (snapshot(&section).analyzers, Mail::with_message(PLAIN));
    let scanner = Analyzers::new(configs.clone());
    for _ in 0..ANALYZER_FAILURES_MAX {
        assert_eq!(mail.ask(&scanner, &no_dns()).await.unwrap_err(), "no answer within 1 s");
    }
    let resting = |why: String| assert!(why.starts_with("no answer to the last 5 questions; next try in "), "{why}");
    resting(mail.ask(&scanner, &no_dns()).await.unwrap_err());
    assert_eq!(dead.connections(), 5);
    // A reload that changes nothing of it does not forget; one that changes it begins anew.
    resting(mail.ask(&scanner.renewed(configs), &no_dns()).await.unwrap_err());
    let changed = snapshot(&section.replace("1s", "2s")).analyzers;
    assert_eq!(mail.ask(&scanner.renewed(changed), &no_dns()).await.unwrap_err(), "no answer within 2 s");
    assert_eq!(mail.ask(&scanner.renewed(BTreeMap::new()), &no_dns()).await.unwrap_err(), "there is no such analyzer");
}

#[tokio::test]
async fn a_dead_list_is_left_alone_while_the_others_are_asked() {
    let server = StubDns::start().await;
    for last in 0..10 {
        server.misbehave(&format!("{last}.2.0.192.dead.example"), Behaviour::Silent);
    }
    server.add("9.2.0.192.good.example", "A", "127.0.0.2");
    let lists = analyzers("  a: { type: dnsbl, timeout: 1s, zones: [{ zone: dead.example }, { zone: good.example }] }");
    let dns = resolver(server.address());
    for last in 0..5 {
        let why = Mail::from_client(&format!("192.0.2.{last}")).ask(&lists, &dns).await.unwrap_err();
        assert!(why.starts_with("dead.example: no "), "{why}");
    }
    let why = Mail::from_client("192.0.2.5").ask(&lists, &dns).await.unwrap_err();
    assert!(why.starts_with("dead.example: no answer to the last 5 questions"), "{why}");
    let listed = Mail::from_client("192.0.2.9").ask(&lists, &dns).await.unwrap();
    assert_eq!(shown(&listed), "is_listed=true listed_on=[\"good.example\"] score=1");
    assert_eq!(server.asked("9.2.0.192.dead.example", "A"), 0);
}

#[tokio::test]
async fn more_questions_than_connections_wait_and_are_answered() {
    let busy = Liar::http(|_| {
        std::thread::sleep(Duration::from_millis(20));
        answer(200, "{\"n\": 1}")
    });
    let section = format!("  a: {{ type: http, url: \"http://{}\", fields: {{ n: number }}, connections: 3, timeout: 60s }}", busy.address);
    let hook = std::sync::Arc::new(analyzers(&section));
    let asked: Vec<_> = (0..30)
        .map(|_| {
            let hook = std::sync::Arc::clone(&hook);
            tokio::spawn(async move { Mail::from_client("192.0.2.1").ask(&hook, &no_dns()).await.is_ok() })
        })
        .collect();
    for answer in asked {
        assert!(answer.await.unwrap());
    }
    assert!(busy.connections() <= 3, "{} connections", busy.connections());
}
