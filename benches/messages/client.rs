//! The session of a client, from replies to commands.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use gateway::smtp::{Address, Client, ClientEvent, Recipient, RequireTls, ReversePath, Transaction, Verdict};

const REPLIES: &[u8] = b"250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 Go on\r\n";

/// A session of so many transactions with a next hop that has PIPELINING; all that the client has said is appended.
fn talk(transaction: &Transaction<'_>, transactions: usize, said: &mut Vec<u8>) {
    let mut client = Client::new("mx1.acme.example".into());
    let mut next = |client: &mut Client, replies: &[u8]| {
        client.feed(replies);
        let event = client.poll().expect("a session without mistakes");
        said.extend_from_slice(&client.take_output());
        event
    };
    assert_eq!(next(&mut client, b"220 mail.acme.example ESMTP\r\n"), None);
    assert_eq!(next(&mut client, b"250-mail.acme.example\r\n250-PIPELINING\r\n250-SIZE\r\n250 8BITMIME\r\n"), Some(ClientEvent::Ready));
    for _ in 0..transactions {
        assert_eq!(client.begin(transaction), None);
        assert_eq!(next(&mut client, REPLIES), Some(ClientEvent::SendContent));
        client.content_sent();
        assert_eq!(next(&mut client, b"250 2.0.0 Taken\r\n"), Some(ClientEvent::TransactionDone));
        assert!(matches!(client.take_verdicts()[..], [Verdict::Taken(_)]) && client.is_reusable());
    }
}

pub(super) fn transactions(c: &mut Criterion) {
    let address = |text: &str| Address::parse(text, false).expect("an address");
    let (sender, recipient) = (ReversePath::Address(address("alice@sender.example")), Recipient::from(address("bob@acme.example")));
    let transaction = Transaction {
        reverse_path: &sender,
        recipients: vec![&recipient],
        content_bytes: 10_000,
        eight_bit: false,
        smtputf8: false,
        require_tls: RequireTls::No,
        ret: None,
        envelope_id: None,
        chunking: false,
    };
    let mut group = c.benchmark_group("client session");
    for transactions in [1, 10] {
        let mut said = Vec::new();
        talk(&transaction, transactions, &mut said);
        let group_of_one = b"MAIL FROM:<alice@sender.example> SIZE=10000\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\n";
        assert_eq!(said, [&b"EHLO mx1.acme.example\r\n"[..], &group_of_one.repeat(transactions)].concat());
        group.throughput(Throughput::Elements(transactions as u64));
        group.bench_function(format!("transactions: {transactions}"), |b| {
            let mut said = Vec::new();
            b.iter(|| {
                said.clear();
                talk(black_box(&transaction), transactions, &mut said);
            });
        });
    }
    group.finish();
}
