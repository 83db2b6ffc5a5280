//! `kill -9` while mail flows: what was acknowledged arrives, and little arrives twice.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

use crate::common::DEADLINE;
use crate::harness::{Answer, At, Client, Deployment, Sink, mail, until};

const CONNECTIONS: usize = 20;
const MESSAGES: usize = 400;
/// The gateway is killed when so many messages have been acknowledged: at moments that nobody chose within the work of 20 sessions.
const KILLS: [usize; 5] = [17, 90, 163, 241, 330];
/// At once at the next hop.
const RELAY_CONNECTIONS: usize = 8;

#[test]
fn nothing_acknowledged_is_lost_from_a_queue() {
    survives("queue");
}

#[test]
fn nothing_acknowledged_is_lost_in_inline_delivery() {
    survives("inline");
}

fn survives(delivery: &str) {
    // Slow in turns: every third message is put off once, so that there is always something waiting.
    let seen: Mutex<HashSet<String>> = Mutex::default();
    let count = AtomicUsize::new(0);
    let sink = Sink::start(move |at| match at {
        At::Dot(taken)
            if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(3) && seen.lock().unwrap().insert(taken.mail_from.clone()) =>
        {
            Answer::say("451 4.3.0 not yet")
        }
        _ => Answer::Ok,
    });
    let limits = format!("limits: {{ connections: {RELAY_CONNECTIONS} }}");
    let deployment = Deployment::new(delivery).relay_with("next", sink.address(), &limits);
    let board = Board::default();
    let gateway = std::thread::scope(|scope| {
        let mut gateway = deployment.start();
        board.announce(gateway.address());
        for _ in 0..CONNECTIONS {
            scope.spawn(|| board.sender());
        }
        for acknowledged in KILLS {
            board.wait_acknowledged(acknowledged);
            gateway.kill();
            gateway = deployment.start();
            board.announce(gateway.address());
        }
        gateway
    });
    let acknowledged = board.state.into_inner().unwrap().acknowledged;
    assert_eq!(acknowledged.len(), MESSAGES);
    let arrived = |sink: &Sink| {
        let mut times: HashMap<String, usize> = HashMap::new();
        for taken in sink.taken() {
            *times.entry(taken.mail_from).or_default() += 1;
        }
        times
    };
    until("every acknowledged message at the next hop", || {
        let times = arrived(&sink);
        acknowledged.iter().all(|id| times.contains_key(id)).then_some(())
    });
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");

    // A sender that got no answer sends again: each kill may double what was on its way in, and what was on its way out.
    let times = arrived(&sink);
    let duplicates: usize = times.values().map(|times| times - 1).sum();
    let most = KILLS.len() * (CONNECTIONS + RELAY_CONNECTIONS);
    eprintln!("{delivery}: {} messages, {duplicates} duplicates, {most} at most", times.len());
    assert!(duplicates <= most, "{duplicates} duplicates");
    for taken in sink.taken() {
        mail::assert_same(taken.original(), &message(&taken.mail_from));
    }
}

fn message(id: &str) -> Vec<u8> {
    let number: usize = id.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
    // Some are large enough for a file of their own.
    if number.is_multiple_of(40) { mail::large(200_000) } else { mail::awkward(number) }
}

/// What the senders and the killer know of each other.
#[derive(Default)]
struct Board {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    acknowledged: Vec<String>,
    address: Option<std::net::SocketAddr>,
    lives: usize,
}

impl Board {
    fn announce(&self, address: std::net::SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.address = Some(address);
        state.lives += 1;
        self.changed.notify_all();
    }

    fn wait_acknowledged(&self, count: usize) {
        let state = self.state.lock().unwrap();
        let (_state, waited) = self.changed.wait_timeout_while(state, DEADLINE, |state| state.acknowledged.len() < count).unwrap();
        assert!(!waited.timed_out(), "not {count} messages acknowledged");
    }

    /// Sends until all is sent; a message without an answer is sent again.
    fn sender(&self) {
        let mut last_life = 0;
        while let Some(id) = self.take() {
            while !self.one_life(&id, &mut last_life) {}
            self.state.lock().unwrap().acknowledged.push(id);
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<String> {
        let mut state = self.state.lock().unwrap();
        state.next += 1;
        (state.next <= MESSAGES).then(|| format!("m{}@example.org", state.next))
    }

    /// Tries in the gateway's present life; `false` when that ended before the answer.
    fn one_life(&self, id: &str, last_life: &mut usize) -> bool {
        let (address, life) = {
            let state = self.state.lock().unwrap();
            let (state, waited) = self.changed.wait_timeout_while(state, DEADLINE, |state| state.lives == *last_life).unwrap();
            assert!(!waited.timed_out(), "no gateway");
            (state.address.unwrap(), state.lives)
        };
        let sent = attempt(address, id).is_ok();
        if !sent {
            // Nothing to be had from this one any more.
            *last_life = life;
        }
        sent
    }
}

fn attempt(address: std::net::SocketAddr, id: &str) -> std::io::Result<()> {
    let mut client = Client::try_dial(address)?;
    client.try_reply()?.expect("220 ");
    for command in ["EHLO client.example".to_owned(), format!("MAIL FROM:<{id}>"), "RCPT TO:<bob@acme.example>".to_owned()] {
        client.try_write(format!("{command}\r\n").as_bytes())?;
        client.try_reply()?.expect("250 ");
    }
    client.try_write(b"DATA\r\n")?;
    client.try_reply()?.expect("354 ");
    client.try_write(&crate::harness::client::stuffed(&message(id)))?;
    client.try_reply()?.expect("250 ");
    Ok(())
}
