//! `kill -9` while mail flows: what was acknowledged arrives, and little arrives twice.
//!
//! `GATEWAY_TEST_KILLS=1000 cargo test --test e2e crash::` kills as often as that, in each way of delivery, and takes some minutes.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::DEADLINE;
use crate::common::random::Random;
use crate::harness::{Answer, At, Client, Deployment, Sink, mail, until};

const CONNECTIONS: usize = 20;
/// Kills unless the environment asks for more.
const KILLS: usize = 12;
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
    let kills = std::env::var("GATEWAY_TEST_KILLS").map_or(KILLS, |kills| kills.parse().expect("GATEWAY_TEST_KILLS is a number"));
    let arrivals = Arc::new(Arrivals::default());
    let sink = Sink::start({
        let arrivals = Arc::clone(&arrivals);
        move |at| match at {
            At::Dot(taken) => arrivals.answer(taken),
            _ => Answer::Ok,
        }
    });
    let limits = format!("limits: {{ connections: {RELAY_CONNECTIONS} }}");
    let deployment = Deployment::new(delivery).relay_with("next", sink.address(), &limits);
    let board = Board::default();
    let mut random = Random(0x5eed);
    let began = Instant::now();
    let gateway = std::thread::scope(|scope| {
        let mut gateway = deployment.start();
        board.announce(gateway.address());
        for _ in 0..CONNECTIONS {
            scope.spawn(|| board.sender());
        }
        for kill in 1..=kills {
            // At moments that nobody chose within the work of 20 sessions: after some messages, and a little later.
            board.wait_acknowledged(1 + random.index(30));
            std::thread::sleep(Duration::from_micros(random.below(20_000)));
            gateway.kill();
            gateway = deployment.start();
            board.announce(gateway.address());
            if kill % 100 == 0 {
                eprintln!("{delivery}: {kill} kills in {:?}, {} messages acknowledged", began.elapsed(), board.acknowledged());
            }
        }
        board.finish();
        gateway
    });
    let acknowledged = board.state.into_inner().unwrap().acknowledged;
    assert!(acknowledged.len() > kills, "{} messages only", acknowledged.len());
    until("every acknowledged message at the next hop", || arrivals.have(&acknowledged).then_some(()));
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");

    // A sender that got no answer sends again: each kill may double what was on its way in, and what was on its way out.
    let (messages, duplicates) = arrivals.figures();
    let most = kills * (CONNECTIONS + RELAY_CONNECTIONS);
    eprintln!(
        "{delivery}: {kills} kills in {:?}, {} messages acknowledged, 0 lost, {messages} different ones at the next hop, {duplicates} duplicates, {most} at most",
        began.elapsed(),
        acknowledged.len()
    );
    assert!(duplicates <= most, "{duplicates} duplicates");
}

/// What came to the next hop; each message is looked at as it comes, for there may be very many.
#[derive(Default)]
struct Arrivals(Mutex<Arrived>);

#[derive(Default)]
struct Arrived {
    times: HashMap<String, usize>,
    put_off: HashSet<String>,
    dots: usize,
}

impl Arrivals {
    /// Slow in turns: every third message is put off once, so that there is always something waiting.
    fn answer(&self, taken: &crate::harness::sink::Taken) -> Answer {
        let mut arrived = self.0.lock().unwrap();
        arrived.dots += 1;
        if arrived.dots.is_multiple_of(3) && arrived.put_off.insert(taken.mail_from.clone()) {
            return Answer::say("451 4.3.0 not yet");
        }
        drop(arrived);
        // A difference ends this connection's thread: the message is not taken, and the test fails for it.
        mail::assert_same(taken.original(), &message(&taken.mail_from));
        *self.0.lock().unwrap().times.entry(taken.mail_from.clone()).or_default() += 1;
        Answer::Ok
    }

    fn have(&self, ids: &[String]) -> bool {
        let arrived = self.0.lock().unwrap();
        ids.iter().all(|id| arrived.times.contains_key(id))
    }

    /// How many different messages there are, and how many came again.
    fn figures(&self) -> (usize, usize) {
        let arrived = self.0.lock().unwrap();
        (arrived.times.len(), arrived.times.values().map(|times| times - 1).sum())
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
    finished: bool,
}

impl Board {
    fn announce(&self, address: std::net::SocketAddr) {
        let mut state = self.state.lock().unwrap();
        state.address = Some(address);
        state.lives += 1;
        self.changed.notify_all();
    }

    /// Waits for so many more acknowledgements.
    fn wait_acknowledged(&self, more: usize) {
        let state = self.state.lock().unwrap();
        let wanted = state.acknowledged.len() + more;
        let (_state, waited) = self.changed.wait_timeout_while(state, DEADLINE, |state| state.acknowledged.len() < wanted).unwrap();
        assert!(!waited.timed_out(), "not {wanted} messages acknowledged");
    }

    fn acknowledged(&self) -> usize {
        self.state.lock().unwrap().acknowledged.len()
    }

    /// Each sender ends with the message that it has begun.
    fn finish(&self) {
        self.state.lock().unwrap().finished = true;
    }

    /// Sends until it is told to finish; a message without an answer is sent again.
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
        (!state.finished).then(|| format!("m{}@example.org", state.next))
    }

    /// Tries in the gateway's present life; `false` when that ended before the answer.
    fn one_life(&self, id: &str, last_life: &mut usize) -> bool {
        let (address, life) = {
            let state = self.state.lock().unwrap();
            let (state, waited) = self.changed.wait_timeout_while(state, DEADLINE, |state| state.lives == *last_life).unwrap();
            assert!(!waited.timed_out(), "no gateway");
            (state.address.unwrap(), state.lives)
        };
        match attempt(address, id) {
            Ok(()) => true,
            // Put off, for the disk that it shares with others is full, say: again, as a mail server does.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(100));
                false
            }
            Err(_) => {
                // Nothing to be had from this one any more.
                *last_life = life;
                false
            }
        }
    }
}

fn attempt(address: std::net::SocketAddr, id: &str) -> std::io::Result<()> {
    let mut client = Client::try_dial(address)?;
    let expect = |reply: crate::harness::Reply, begin: &str| {
        if (400..500).contains(&reply.code) {
            return Err(std::io::Error::from(std::io::ErrorKind::WouldBlock));
        }
        reply.expect(begin);
        Ok(())
    };
    expect(client.try_reply()?, "220 ")?;
    for command in ["EHLO client.example".to_owned(), format!("MAIL FROM:<{id}>"), "RCPT TO:<bob@acme.example>".to_owned()] {
        client.try_write(format!("{command}\r\n").as_bytes())?;
        expect(client.try_reply()?, "250 ")?;
    }
    client.try_write(b"DATA\r\n")?;
    expect(client.try_reply()?, "354 ")?;
    client.try_write(&crate::harness::client::stuffed(&message(id)))?;
    expect(client.try_reply()?, "250 ")
}
