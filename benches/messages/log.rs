//! A line of the log: the event counted, written as JSON, handed to the writer.

use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, Mutex};

use criterion::Criterion;
use gateway::message::{MessageId, SessionIds};
use gateway::smtp::{Address, Reply, ReversePath, Status};
use gateway::telemetry::{Event, Format, Log};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn lines(c: &mut Criterion) {
    let session = SessionIds::new(1).next(1_700_000_000_000);
    let message = MessageId { session, number: 1 };
    let address = |text: &str| Address::parse(text, false).expect("an address");
    let (sender, recipient) = (ReversePath::Address(address("alice@sender.example")), address("bob@acme.example"));
    let reply = Reply::fixed(250, Status(2, 0, 0), "Taken");
    let arrived = || Event::Message {
        session,
        message,
        config: "0123456789abcdef",
        endpoint: "mx",
        client: [203, 0, 113, 9].into(),
        helo: "mail.sender.example",
        mail_from: &sender,
        recipients: vec![&recipient],
        size: 10_000,
        tls: None,
        message_id: Some("<1@sender.example>"),
    };
    let outcome = || Event::Outcome {
        session,
        message,
        recipient: &recipient,
        delivered_to: None,
        outcome: "delivered",
        rule: Some("everyone"),
        relay: Some("sink"),
        reply: Some(&reply),
        detail: Some("sink.test[192.0.2.1]:25"),
    };
    let kept = Kept::default();
    let log = Log::new(Format::Json, kept.clone());
    log.emit(&arrived());
    log.emit(&outcome());
    log.close();
    let lines = kept.0.lock().expect("no panic").split_inclusive(|byte| *byte == b'\n').map(read).collect::<Vec<_>>();
    let names: Vec<_> = lines.iter().map(|line| (line["event"].as_str(), line["message"].as_str())).collect();
    let id = message.to_string();
    assert_eq!(names, [(Some("message"), Some(&*id)), (Some("outcome"), Some(&*id))]);
    assert_eq!(lines[1]["reply"]["status"], "2.0.0");

    let mut group = c.benchmark_group("a line of the log");
    let log = Log::new(Format::Json, std::io::sink());
    group.bench_function("message", |b| b.iter(|| log.emit(black_box(&arrived()))));
    group.bench_function("outcome", |b| b.iter(|| log.emit(black_box(&outcome()))));
    group.finish();
    log.close();
}

fn read(line: &[u8]) -> serde_json::Value {
    serde_json::from_slice(line).expect("a line is a JSON object")
}
