//! Records judged against tables of what DNS holds.

mod evaluation;
mod explanations;
mod limits;
mod names;
mod over_dns;
mod zone;

use std::net::IpAddr;

use zone::Zone;

use super::*;
use crate::smtp::Address;

/// Who sends, unless a test says otherwise.
const CLIENT: &str = "192.0.2.10";
const HELO: &str = "mail.client.example";

/// The verdict on a sender; `<>` is the null sender.
fn judge_of(zone: &Zone, client: &str, helo: &str, from: &str) -> SpfVerdict {
    let reverse_path = match from {
        "<>" => ReversePath::Null,
        from => ReversePath::Address(Address::parse(from, true).unwrap_or_else(|error| panic!("{from}: {error:?}"))),
    };
    let client_ip: IpAddr = client.parse().unwrap();
    let sender = Sender { client_ip, helo, reverse_path: &reverse_path, hostname: "gate.example", unix_seconds: 1_800_000_000 };
    let verdict = run(judge(zone, &sender));
    for text in [Some(&verdict.reason), verdict.mechanism.as_ref(), verdict.explanation.as_ref()].into_iter().flatten() {
        assert!(text.len() <= SPF_REASON_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    }
    assert!(!verdict.reason.is_empty());
    assert!(zone.questions() <= SPF_QUESTIONS_MAX, "{} questions", zone.questions());
    verdict
}

/// The result for `a@example.com` with this record of example.com, and these others.
fn result_of(client: &str, record: &str, others: &[(&str, &str)]) -> SpfVerdict {
    let text = format!("TXT {record}");
    let records: Vec<_> = [("example.com", text.as_str())].into_iter().chain(others.iter().copied()).collect();
    judge_of(&Zone::new(&records), client, HELO, "a@example.com")
}

/// Nothing waits in a table.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(value) => value,
        std::task::Poll::Pending => panic!("a table does not wait"),
    }
}
