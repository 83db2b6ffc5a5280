//! Listeners and driver over loopback, before an intake that waits until it may go on.

mod limits;
mod look_ups;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::call_ahead::Question;
use crate::certificates::{Certificates, server_config};
use crate::config::{DeliveryMode, Domains, Endpoint, EndpointFields, EndpointKind, EndpointTls, Limits};
use crate::dispatch::Incoming;
use crate::message::stored::tests::Heap;
use crate::message::{Depository, Findings, StoredError};
use crate::policy::{Effect, Policy, PolicyCondition, Statement};
use crate::rules::{Folded, Otherwise, RuleSet, Rules, TextTest};
use crate::smtp::{Address, NOT_STORED, Reply, Status};
use crate::telemetry::Format;

mod proxied;

const PLENTY: Duration = Duration::from_secs(30);

/// An intake with a gate in front of it.
#[derive(Debug)]
pub(super) struct Gate {
    /// The reply waits for the gate, too; else only what holds the message does.
    inline: bool,
    asked: Notify,
    open: Arc<Semaphore>,
    taken: Arc<Mutex<Vec<Address>>>,
    /// What came with each message.
    found: Mutex<Vec<(Option<Arc<str>>, Findings)>>,
}

/// No endpoint here looks recipients up.
#[derive(Debug)]
struct NobodyAsked;

impl CallAhead for NobodyAsked {
    fn ask<'a>(&'a self, _: Question<'a>) -> Pin<Box<dyn Future<Output = Option<Reply>> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }

    fn forget(&self) {}
}

impl Intake for Gate {
    async fn take(self: &Arc<Self>, incoming: Incoming) -> Reply {
        self.asked.notify_one();
        self.found.lock().unwrap().push((incoming.session.client_host.clone(), incoming.findings.clone()));
        let (open, taken) = (Arc::clone(&self.open), Arc::clone(&self.taken));
        let held = async move {
            let _bytes = incoming.data;
            open.acquire().await.unwrap().forget();
            taken.lock().unwrap().extend(incoming.envelope.recipients.into_iter().map(|recipient| recipient.address));
        };
        if self.inline {
            held.await;
        } else {
            drop(tokio::spawn(held));
        }
        Reply::fixed(250, Status(2, 0, 0), "Taken")
    }

    async fn depository(&self) -> Result<Box<dyn Depository>, Reply> {
        Ok(Box::new(Heap::default()))
    }

    fn not_deposited(&self, _: &StoredError) -> Reply {
        NOT_STORED
    }
}

pub(super) struct House {
    pub(super) ingress: Arc<Ingress<Gate>>,
    gate: Arc<Gate>,
    address: SocketAddr,
}

/// A house of its kind.
struct Plan {
    kind: EndpointKind,
    tls: Option<EndpointTls>,
    load_balancers: &'static [&'static str],
    inline: bool,
    passes: usize,
    limits: Limits,
    presented_as: HashMap<IpAddr, IpAddr>,
    /// More statements of the policy.
    deny: Vec<Statement>,
    examiner: Arc<dyn Examine>,
}

impl Default for Plan {
    fn default() -> Self {
        let (kind, limits, presented_as) = (EndpointKind::Open, Limits::default(), HashMap::new());
        let examiner = Arc::new(look_ups::Answers::default());
        let (tls, load_balancers, deny) = (None, &[][..], vec![]);
        Self { kind, tls, load_balancers, inline: false, passes: 1, limits, presented_as, deny, examiner }
    }
}

fn house(inline: bool, passes: usize, memory: usize) -> House {
    let limits = Limits { message_memory_bytes: memory, ..Limits::default() };
    Plan { inline, passes, limits, ..Plan::default() }.build(std::io::sink())
}

/// With an endpoint of another kind.
pub(super) fn house_of(kind: EndpointKind) -> House {
    Plan { kind, inline: true, passes: 0, ..Plan::default() }.build(std::io::sink())
}

/// Behind load balancers in these networks.
fn house_behind(load_balancers: &'static [&'static str]) -> House {
    Plan { load_balancers, ..Plan::default() }.build(std::io::sink())
}

/// With other limits, clients that are taken for others, and a log.
fn house_with(passes: usize, limits: Limits, presented_as: HashMap<IpAddr, IpAddr>, log: impl std::io::Write + Send + 'static) -> House {
    Plan { passes, limits, presented_as, ..Plan::default() }.build(log)
}

impl Plan {
    /// A gateway for `here.example` that takes nothing from `evil.example` or for `bob@here.example` and leaves everything else at
    /// the gate.
    fn build(self, log: impl std::io::Write + Send + 'static) -> House {
        let Self { kind, tls, load_balancers, inline, passes, limits, presented_as, deny, examiner } = self;
        let bob = PolicyCondition::Recipient(TextTest::Equals(vec![Folded::new("bob@here.example")]));
        let evil = PolicyCondition::Helo(TextTest::Equals(vec![Folded::new("evil.example")]));
        let statement = |name: &str, condition| Statement { name: name.into(), when: vec![condition] };
        let deny = [statement("bob", bob), statement("evil", evil)].into_iter().chain(deny).collect();
        let policy = Policy { name: "all".into(), default: Effect::Allow, max_message_size: None, deny, allow: vec![] };
        let endpoint = Endpoint {
            name: "mx".into(),
            kind,
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            policy: Arc::new(policy),
            rules: Arc::new(RuleSet { name: "all".into(), otherwise: Otherwise::Reject, rules: Rules::default() }),
            tls,
            delivery: DeliveryMode::Queue,
            fields: EndpointFields::default(),
            call_ahead: None,
            load_balancers: load_balancers.iter().map(|network| network.parse().unwrap()).collect(),
        };
        let snapshot = Arc::new(Snapshot {
            hash: "cafe0000".into(),
            hostname: "mx.gateway.example".into(),
            domains: Domains::List(vec!["here.example".into()]),
            endpoints: BTreeMap::from([(Arc::clone(&endpoint.name), Arc::new(endpoint))]),
            relays: BTreeMap::new(),
            analyzers: BTreeMap::new(),
            bounce_relay: None,
            acme: None,
            srs: None,
            dmarc_reports: None,
            tls_reports: None,
            spool: PathBuf::new(),
            limits,
            resolver: Default::default(),
            admin: None,
            files: vec![],
            expiries: vec![],
        });
        let gate = Arc::new(Gate {
            inline,
            asked: Notify::new(),
            open: Arc::new(Semaphore::new(passes)),
            taken: Arc::default(),
            found: Mutex::default(),
        });
        let domains = Arc::new(AcceptedDomains::new(&snapshot.domains, Arc::default(), None));
        let listeners = Listeners::bind(&snapshot).unwrap();
        let address = listeners.addresses()[0].1;
        let ingress = Arc::new(Ingress {
            live: ArcSwap::from_pointee(Live { snapshot, domains, examiner }),
            intake: Arc::clone(&gate),
            log: Log::new(Format::Json, log),
            ids: Arc::new(SessionIds::new(7)),
            admission: Admission::new(limits),
            secrets: Arc::default(),
            call_ahead: Arc::new(NobodyAsked),
            logins: LoginFailures::default(),
            memory: MessageMemory::new(limits.message_memory_bytes),
            turned_away: TurnedAway::default(),
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            presented_as,
        });
        listeners.serve(&ingress);
        House { ingress, gate, address }
    }
}

struct Client(TcpStream);

impl Client {
    async fn connect(house: &House) -> Self {
        let mut client = Self::dial(house).await;
        assert_eq!(client.reply().await, "220");
        client
    }

    /// The greeting, or what stands in its place, is still to be read.
    async fn dial(house: &House) -> Self {
        Self(TcpStream::connect(house.address).await.unwrap())
    }

    /// The code of the next reply, all its lines read.
    async fn reply(&mut self) -> String {
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\n") {
                line.push(timeout(PLENTY, self.0.read_u8()).await.unwrap().unwrap());
            }
            if line.get(3) == Some(&b' ') {
                return String::from_utf8_lossy(&line[..3]).into_owned();
            }
        }
    }

    async fn say(&mut self, text: &str) -> String {
        self.0.write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
        self.reply().await
    }

    /// As far as the 354.
    async fn begin(&mut self, recipient: &str) {
        for (line, code) in [("EHLO c.example", "250"), ("MAIL FROM:<s@c.example>", "250"), (&format!("RCPT TO:<{recipient}>"), "250")] {
            assert_eq!(self.say(line).await, code, "{line}");
        }
        assert_eq!(self.say("DATA").await, "354");
    }
}

async fn until(mut holds: impl FnMut() -> bool) {
    timeout(PLENTY, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it never happened");
}

/// What a connection needs now and then belongs on the heap then: here it would be paid for by every connection, all the time.
#[tokio::test]
async fn an_idle_connection_is_a_small_future() {
    let house = house(false, 1, 1 << 20);
    let tcp = TcpStream::connect(house.address).await.unwrap();
    let (ingress, live) = (Arc::clone(&house.ingress), house.ingress.live.load_full());
    let endpoint = Arc::clone(&live.snapshot.endpoints["mx"]);
    let client = super::proxied::Client { address: IpAddr::from([127, 0, 0, 1]), port: 0, announcement: None };
    let places = (ingress.admission.enter_total().unwrap(), None);
    let size = size_of_val(&super::driver::serve(ingress, live, endpoint, tcp, client, places));
    assert!(size <= 3 * 1024, "{size} octets");
}

#[tokio::test]
async fn a_client_that_hangs_up_while_its_message_is_taken_does_not_lose_it() {
    for inline in [true, false] {
        let house = house(inline, 0, 1 << 20);
        let mut client = Client::connect(&house).await;
        client.begin("a@here.example").await;
        client.0.write_all(b"Subject: x\r\n\r\nbody\r\n.\r\n").await.unwrap();
        timeout(PLENTY, house.gate.asked.notified()).await.unwrap();
        client.0.set_zero_linger().unwrap();
        drop(client);
        house.gate.open.add_permits(1);
        until(|| house.gate.taken.lock().unwrap().len() == 1).await;
        until(|| house.ingress.admission.total() == 0).await;
        until(|| house.ingress.memory.used() == 0).await;
    }
}

#[tokio::test]
async fn bytes_are_accounted_for_until_they_are_delivered_and_the_next_message_is_shed() {
    let house = house(false, 0, 100_000);
    let body = format!("Subject: x\r\n\r\n{}.", "0123456789\r\n".repeat(5_000));
    let mut client = Client::connect(&house).await;
    client.begin("a@here.example").await;
    assert_eq!(client.say(&body).await, "250");
    assert!(house.ingress.memory.used() >= 60_000, "the delivery still holds it");
    let mut other = Client::connect(&house).await;
    other.begin("b@here.example").await;
    assert_eq!(other.say(&body).await, "452");
    house.gate.open.add_permits(1);
    until(|| house.ingress.memory.used() == 0).await;
    // The session goes on, and has room now.
    other.begin("b@here.example").await;
    assert_eq!(other.say(&body).await, "250");
    house.gate.open.add_permits(1);
    until(|| house.gate.taken.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn quoting_a_recipient_evades_no_policy_and_other_domains_no_check() {
    let house = house(false, 1, 1 << 20);
    let mut client = Client::connect(&house).await;
    for (line, code) in [
        ("EHLO c.example", "250"),
        ("MAIL FROM:<s@c.example>", "250"),
        ("RCPT TO:<bob@here.example>", "550"),
        ("RCPT TO:<\"bob\"@here.example>", "550"),
        ("RCPT TO:<\"b\\ob\"@HERE.example>", "550"),
        ("RCPT TO:<a@there.example>", "550"),
        ("RCPT TO:<a@[127.0.0.1]>", "550"),
        ("RCPT TO:<a%there.example@here.example>", "553"),
        ("RCPT TO:<postmaster>", "250"),
        ("RCPT TO:<alice@here.example>", "250"),
    ] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
}

#[tokio::test]
async fn a_refused_helo_opens_nothing_and_an_accepted_one_stays() {
    let house = house(false, 1, 1 << 20);
    let mut client = Client::connect(&house).await;
    for (line, code) in [
        ("EHLO evil.example", "550"),
        ("MAIL FROM:<s@c.example>", "503"),
        ("EHLO c.example", "250"),
        ("MAIL FROM:<s@c.example>", "250"),
        ("EHLO evil.example", "550"),
        ("RCPT TO:<alice@here.example>", "250"),
        ("RSET", "250"),
        ("RCPT TO:<alice@here.example>", "503"),
        ("MAIL FROM:<s@c.example>", "250"),
        ("EHLO d.example", "250"),
        ("RCPT TO:<alice@here.example>", "503"),
    ] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
}

#[tokio::test]
async fn a_client_in_full_flow_is_drained_and_gets_every_reply() {
    let house = house(false, 1, 1 << 20);
    let client = Client::connect(&house).await;
    let (mut read, mut write) = client.0.into_split();
    let noise = tokio::spawn(async move {
        // More than fits into one read; the session has a limit for such commands, so it is data.
        let begin = b"EHLO c.example\r\nMAIL FROM:<s@c.example>\r\nRCPT TO:<a@here.example>\r\nDATA\r\n";
        if write.write_all(begin).await.is_err() {
            return;
        }
        while write
            .write_all(&b"Subject: x\r\n\r\nbody\r\n.\r\nMAIL FROM:<s@c.example>\r\nRCPT TO:<a@here.example>\r\nDATA\r\n".repeat(50))
            .await
            .is_ok()
        {}
    });
    let replies = tokio::spawn(async move {
        let mut replies = Vec::new();
        let _ = read.read_to_end(&mut replies).await;
        String::from_utf8_lossy(&replies).into_owned()
    });
    house.gate.open.add_permits(1_000_000);
    until(|| !house.gate.taken.lock().unwrap().is_empty()).await;
    timeout(PLENTY, house.ingress.drain(PLENTY)).await.unwrap();
    assert_eq!(house.ingress.admission.total(), 0);
    noise.abort();
    let replies = timeout(PLENTY, replies).await.unwrap().unwrap();
    assert!(replies.contains("\r\n250 2.0.0 Taken\r\n") && replies.ends_with("\r\n") && replies.contains("\r\n421 "), "{replies}");
}

#[tokio::test]
async fn a_network_has_so_many_places_and_gives_them_back() {
    let house = house(false, 1, 1 << 20);
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&house).await);
    }
    assert_eq!(house.ingress.admission.total(), 5);
    drop(clients);
    until(|| house.ingress.admission.total() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_go_on_does_not_hold_up_the_drain() {
    let server = Arc::new(server_config(Arc::new(Certificates::new([]))).unwrap());
    let tls = Some(EndpointTls { required: true, wrapped: true, server, trust: None });
    let house = Plan { tls, ..Plan::default() }.build(std::io::sink());
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    while house.ingress.sessions.is_empty() {
        tokio::task::yield_now().await;
    }
    let begin = tokio::time::Instant::now();
    house.ingress.drain(PLENTY).await;
    assert!(house.ingress.sessions.is_empty() && begin.elapsed() < PLENTY / 2, "{:?}", begin.elapsed());
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}
