//! Messages that come by BDAT (RFC 3030).

use crate::harness::{Client, Deployment, Gateway, Sink, mail};

fn start() -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    (sink, deployment, gateway)
}

const ENVELOPE: &str = "MAIL FROM:<a@example.org>\r\nRCPT TO:<bob@acme.example>\r\n";

#[test]
fn a_message_in_chunks_arrives_as_it_was_sent() {
    let (sink, _deployment, gateway) = start();
    // A dot alone on a line is content here, and has to be stuffed on the way on.
    for (message, chunk_bytes) in [(mail::awkward(3000), 7), (mail::awkward(3000), 1_000_000), (mail::large(3_000_000), 70_000)] {
        let mut client = Client::hello(gateway.address());
        // All in one go: RFC 3030 §4.2.
        let mut wire = ENVELOPE.as_bytes().to_vec();
        let mut chunks = message.chunks(chunk_bytes).peekable();
        let mut count = 0;
        while let Some(chunk) = chunks.next() {
            let last = if chunks.peek().is_none() { " LAST" } else { "" };
            wire.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            count += 1;
        }
        client.write(&wire);
        for _ in 0..count + 2 {
            client.reply().expect("250 ");
        }
        let taken = sink.taken().pop().expect("a message");
        mail::assert_same(taken.original(), &message);
    }
    assert_eq!(sink.taken().len(), 3);
}

#[test]
fn what_follows_a_refused_chunk_is_no_command() {
    let (sink, _deployment, gateway) = start();
    let smuggled = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nevil\r\n.\r\n";
    let mut client = Client::hello(gateway.address());
    client.write(format!("BDAT {} LAST\r\n{smuggled}NOOP\r\n", smuggled.len()).as_bytes());
    client.reply().expect("503 5.5.1");
    client.reply().expect("250 2.0.0 Ok");
    // Refused recipients leave nobody to whom the chunk could go.
    client.write(
        format!("MAIL FROM:<a@example.org>\r\nRCPT TO:<x@elsewhere.example>\r\nBDAT {}\r\n{smuggled}RSET\r\n", smuggled.len()).as_bytes(),
    );
    client.reply().expect("250 ");
    client.reply().expect("550 5.7.1");
    client.reply().expect("554 5.5.1");
    client.reply().expect("250 ");
    // A length that cannot be read: nothing behind it is looked at.
    client.write(format!("{ENVELOPE}BDAT 0x10 LAST\r\n{smuggled}").as_bytes());
    client.reply().expect("250 ");
    client.reply().expect("250 ");
    client.reply().expect("501 5.5.4");
    assert_eq!(client.rest(), "");
    assert!(sink.taken().is_empty());
    assert!(gateway.events(|event| event["mail_from"] == "evil@example.org").is_empty());
}

#[test]
fn a_chunk_may_not_end_the_data_of_the_next_hop() {
    let (sink, _deployment, gateway) = start();
    for end in ["\n.\n", "\r.\r", "\r\n.\n", "\n.\r\n"] {
        let message = format!("Subject: carrier\r\n\r\nfirst{end}MAIL FROM:<evil@example.org>\r\n");
        // Cut where it hurts: within the sequence.
        let (one, other) = message.split_at(message.find(end).expect("it is there") + 1);
        let mut client = Client::hello(gateway.address());
        client.write(format!("{ENVELOPE}BDAT {}\r\n{one}BDAT {} LAST\r\n{other}", one.len(), other.len()).as_bytes());
        let replies: Vec<u16> = (0..4).map(|_| client.reply().code).collect();
        assert!(replies.contains(&550), "{end:?}: {replies:?}");
    }
    assert!(sink.taken().is_empty());
}
