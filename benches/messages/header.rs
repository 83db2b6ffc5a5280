//! The header: its index, and what is looked for in it for every message.

use std::hint::black_box;

use bytes::Bytes;
use criterion::Criterion;
use gateway::message::{MessageId, Original, SessionFacts, SessionIds, received};
use gateway::smtp::{Address, Recipient};

use super::LINE;

const HOSTNAME: &str = "mx1.acme.example";

/// A message of 10 KB whose header has so many fields: some Received ones, some with a fold, and two of Authentication-Results.
fn message(fields: usize) -> Bytes {
    let mut text = String::from("Authentication-Results: mx.sender.example; spf=pass smtp.mailfrom=alice@sender.example\r\n");
    text.push_str("Authentication-Results: mx1.acme.example; dmarc=pass header.from=sender.example\r\n");
    for number in 2..fields {
        text.push_str(&match number % 5 {
            0 => format!(
                "Received: from a{number}.example (a{number}.example [192.0.2.1])\r\n\tby b{number}.example with ESMTPS id 4RxYz1\r\n\
                 \tfor <bob@acme.example>; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
            ),
            1 => format!("X-Folded-{number}: one\r\n two\r\n three\r\n"),
            _ => format!("X-Field-{number}: the value of a field of middling length\r\n"),
        });
    }
    text.push_str("\r\n");
    while text.len() < 10_000 {
        text.push_str(LINE);
    }
    text.into()
}

pub(super) fn indexing(c: &mut Criterion) {
    let mut group = c.benchmark_group("header index");
    for fields in [10, 30, 200] {
        let message = message(fields);
        let parse = |message: &Bytes| Original::parse(message.clone()).expect("a header within the limits");
        assert_eq!(parse(&message).fields().len(), fields);
        group.bench_function(format!("{fields} fields"), |b| b.iter(|| parse(black_box(&message))));
    }
    group.finish();
}

pub(super) fn looking(c: &mut Criterion) {
    let mut group = c.benchmark_group("header of 30 fields");
    let original = Original::parse(message(30)).expect("a header within the limits");
    assert_eq!(original.clone().disbelieving(HOSTNAME).disbelieved(), [1]);
    group.bench_function("what claims to be ours", |b| b.iter(|| black_box(&original).clone().disbelieving(HOSTNAME)));
    assert_eq!((original.hops(), original.has_received_by("b10.example"), original.has_received_by(HOSTNAME)), (5, true, false));
    group.bench_function("hops and loops", |b| {
        b.iter(|| (black_box(&original).hops(), original.has_received_by(HOSTNAME)));
    });
    assert!(!original.has_8bit());
    group.bench_function("octets outside US-ASCII in 10 KB", |b| b.iter(|| black_box(&original).has_8bit()));

    let session = SessionFacts {
        client_ip: [203, 0, 113, 9].into(),
        client_host: None,
        helo: "mail.sender.example".into(),
        extended: true,
        tls: None,
        authenticated: false,
        login: None,
    };
    let id = MessageId { session: SessionIds::new(1).next(1_700_000_000_000), number: 1 };
    let recipients = [Recipient::from(Address::parse("bob@acme.example", false).expect("an address"))];
    let field = || received(HOSTNAME, black_box(&session), id, &recipients, false, 1_795_276_800);
    assert!(field().ends_with(b"for <bob@acme.example>;\r\n\tSat, 21 Nov 2026 16:00:00 +0000\r\n"));
    group.bench_function("a Received field of ours", |b| b.iter(field));
    group.finish();
}
