//! The session of a server, from octets to octets.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use gateway::smtp::{Event, Reply, Session, SessionConfig, Status};

use super::{LINE, message};

const BYTES: usize = 10_000;

/// What a client sends, in the pieces that arrive one by one: each waits for the replies to the one before.
fn pieces(messages: usize, pipelined: bool) -> Vec<Vec<u8>> {
    let commands = [&b"MAIL FROM:<alice@sender.example> SIZE=10000\r\n"[..], b"RCPT TO:<bob@acme.example>\r\n", b"DATA\r\n"];
    let mut data = message(BYTES, LINE);
    data.extend_from_slice(b".\r\n");
    let mut pieces = vec![b"EHLO mail.sender.example\r\n".to_vec()];
    for _ in 0..messages {
        match pipelined {
            true => pieces.push(commands.concat()),
            false => pieces.extend(commands.map(<[u8]>::to_vec)),
        }
        pieces.push(data.clone());
    }
    pieces.push(b"QUIT\r\n".to_vec());
    pieces
}

/// Has a session with this client; the number of messages, and all that the server has said if it is to be kept.
fn talk(config: &Arc<SessionConfig>, pieces: &[Vec<u8>], said: &mut Vec<u8>) -> usize {
    let now = Instant::now();
    let mut session = Session::new(Arc::clone(config), now);
    let (mut pieces, mut messages) = (pieces.iter(), 0);
    session.greet();
    loop {
        match session.poll(now) {
            Event::NeedInput => {
                said.extend_from_slice(session.output());
                session.output().clear();
                session.input().extend_from_slice(pieces.next().expect("the client says QUIT"));
            }
            Event::Helo { .. } | Event::Mail { .. } | Event::Rcpt { .. } | Event::Data => session.answer(Ok(())),
            Event::Message { data, .. } => {
                assert!(black_box(data).len() > BYTES / 2);
                messages += 1;
                session.finish_message(Reply::fixed(250, Status(2, 0, 0), "Taken"));
            }
            Event::Reset => {}
            Event::Close => break,
            other => panic!("{other:?}"),
        }
    }
    said.extend_from_slice(session.output());
    messages
}

pub(super) fn sessions(c: &mut Criterion) {
    let config = Arc::new(SessionConfig::new("mx1.acme.example"));
    let mut group = c.benchmark_group("session, messages of 10 KB");
    for (name, messages, pipelined) in [("one", 1, false), ("one, pipelined", 1, true), ("ten", 10, false), ("ten, pipelined", 10, true)] {
        let pieces = pieces(messages, pipelined);
        let mut said = Vec::new();
        assert_eq!(talk(&config, &pieces, &mut said), messages, "{name}");
        let said = String::from_utf8(said).expect("ASCII");
        let count = |begin: &str| said.lines().filter(|line| line.starts_with(begin)).count();
        assert_eq!((count("354 "), count("250 2.0.0 Taken"), count("221 ")), (messages, messages, 1), "{said}");
        group.throughput(Throughput::Elements(messages as u64));
        group.bench_function(name, |b| {
            let mut said = Vec::new();
            b.iter(|| {
                said.clear();
                talk(&config, black_box(&pieces), &mut said)
            });
        });
    }
    group.finish();
}
