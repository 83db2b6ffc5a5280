//! A DNS server on loopback for tests: UDP and TCP on one port, a zone that changes while it runs, misbehaviour by name, and a count of
//! the questions.
//!
//! It answers as a recursive resolver does: a CNAME is followed as far as the zone goes, wildcards (`*.example.com`) are expanded,
//! what is too large for UDP is truncated. A name that nothing is said of does not exist.
//!
//! ```ignore
//! let dns = StubDns::start().await; // or StubDns::launch() outside of a runtime
//! dns.txt("example.com", "v=spf1 -all");
//! dns.load(&[("example.com", "MX", "10 mail.example.com"), ("mail.example.com", "A", "192.0.2.1"), ("192.0.2.1", "PTR", "mail.example.com")]);
//! dns.load(&[("sick.example", "SERVFAIL", ""), ("half.example", "SILENT", "AAAA")]);
//! let servers = vec![dns.address()];
//! assert_eq!(dns.asked("example.com", "TXT"), 1);
//! ```
// Each test file is a program of its own and uses a part of this.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::op::{Edns, Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;

/// CNAMEs followed for one question; a longer chain, or a loop, is answered with the CNAMEs alone.
const CNAMES_MAX: usize = 16;

/// What a name does instead of answering with its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// SERVFAIL.
    ServFail,
    /// REFUSED.
    Refused,
    /// NXDOMAIN, even if there are names below.
    NxDomain,
    /// No answer at all.
    Silent,
    /// Answers after this time.
    Slow(Duration),
    /// UDP answers are empty and truncated; TCP answers are whole.
    Truncated,
    /// UDP answers are empty and truncated; TCP connections are closed without an answer.
    TruncatedAlways,
    /// FORMERR to questions with EDNS, as very old servers say.
    NoEdns,
    /// Octets that are no DNS message.
    Garbage,
    /// An answer to another question's id.
    WrongId,
    /// An answer with another name in its question section.
    WrongName,
    /// An answer of nearly 64 KiB: so many records of the type that was asked for.
    Huge,
}

/// A running server; it ends when this is dropped.
pub struct StubDns {
    address: SocketAddr,
    zone: Arc<Zone>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for StubDns {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Nobody answers once this has returned.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

impl std::ops::Deref for StubDns {
    type Target = Zone;

    fn deref(&self) -> &Zone {
        &self.zone
    }
}

impl StubDns {
    /// Starts one from an asynchronous test.
    pub fn start() -> impl Future<Output = Self> {
        std::future::ready(Self::launch())
    }

    /// Starts one from wherever: it has a thread and a runtime of its own, and does not stand still when the test's clock does.
    pub fn launch() -> Self {
        let zone = Arc::new(Zone::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let (announce, announced) = std::sync::mpsc::channel();
        let served = Arc::clone(&zone);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
            runtime.block_on(async move {
                let (udp, tcp) = bind().await;
                announce.send(udp.local_addr().expect("a bound socket has an address")).expect("the test waits");
                tokio::select! {
                    () = serve_udp(udp, Arc::clone(&served)) => {}
                    () = serve_tcp(tcp, served) => {}
                    _ = stopped => {}
                }
            });
        });
        let address = announced.recv_timeout(Duration::from_secs(60)).expect("the DNS server starts");
        Self { address, zone, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it answers, over UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Records and misbehaviour by name, and the questions asked so far. Names are given without the last dot, in A-labels.
#[derive(Debug)]
pub struct Zone(Mutex<State>);

#[derive(Debug)]
struct State {
    names: BTreeMap<String, Node>,
    ttl: u32,
    negative_ttl: u32,
    /// Whether negative answers have a SOA; without one they must not be cached (RFC 2308 §5).
    soa: bool,
    questions: Vec<(String, RecordType)>,
    counts: HashMap<(String, RecordType), usize>,
    over_tcp: usize,
}

#[derive(Clone, Debug, Default)]
struct Node {
    records: Vec<(u32, RData)>,
    /// Its zone is signed.
    is_signed: bool,
    /// For one type or for all.
    behaviour: Vec<(Option<RecordType>, Behaviour)>,
}

impl Default for Zone {
    fn default() -> Self {
        Self(Mutex::new(State {
            names: BTreeMap::new(),
            ttl: 300,
            negative_ttl: 300,
            soa: true,
            questions: Vec::new(),
            counts: HashMap::new(),
            over_tcp: 0,
        }))
    }
}

impl Zone {
    /// Adds records and misbehaviour: name, type, text.
    ///
    /// - `TXT`: the text is one record, cut into strings of 255 octets; a text that begins with `"` is a list of strings in quotes.
    /// - `A`, `AAAA`: an address. `MX`: `10 mail.example.com`. `CNAME`, `PTR`: a name; the name of a PTR may be an address.
    /// - `TLSA`: three numbers and the data in hexadecimal digits. `SIGNED`: answers that stay with such names have the AD bit.
    /// - `EMPTY`: the name exists. `NXDOMAIN`, `SERVFAIL`, `REFUSED`, `SILENT`, `TRUNCATED`, `GARBAGE`, `WRONGID`, `HUGE`: misbehaviour,
    ///   for the type that the text names or, if it is empty, for all.
    pub fn load(&self, records: &[(&str, &str, &str)]) {
        for (name, kind, text) in records {
            self.add(name, kind, text);
        }
    }

    /// One row of [`Zone::load`].
    pub fn add(&self, name: &str, kind: &str, text: &str) {
        let behaviour = match kind.to_ascii_uppercase().as_str() {
            "TXT" if text.starts_with('"') => {
                let strings: Vec<&[u8]> = text.split('"').skip(1).step_by(2).map(str::as_bytes).collect();
                return self.txt_strings(name, &strings);
            }
            "TXT" => return self.txt(name, text),
            "A" => return self.a(name, text),
            "AAAA" => return self.aaaa(name, text),
            "MX" => {
                let (preference, host) = text.split_once(' ').expect("an MX has a preference and a host");
                return self.mx(name, preference.parse().expect("a preference is a number"), host.trim());
            }
            "CNAME" => return self.cname(name, text),
            "PTR" => match IpAddr::from_str(name) {
                Ok(address) => return self.ptr(address, text),
                Err(_) => return self.record(name, RData::PTR(PTR(name_of(text)))),
            },
            "TLSA" => return self.record(name, RData::TLSA(tlsa_of(text))),
            "SIGNED" => return self.signed(name),
            "EMPTY" => return self.empty(name),
            "NXDOMAIN" => Behaviour::NxDomain,
            "SERVFAIL" => Behaviour::ServFail,
            "REFUSED" => Behaviour::Refused,
            "SILENT" | "TIMEOUT" => Behaviour::Silent,
            "TRUNCATED" => Behaviour::Truncated,
            "GARBAGE" => Behaviour::Garbage,
            "WRONGID" => Behaviour::WrongId,
            "HUGE" => Behaviour::Huge,
            other => panic!("{other} is no type that this server knows"),
        };
        match text {
            "" => self.misbehave(name, behaviour),
            kind => self.misbehave_for(name, kind, behaviour),
        }
    }

    /// A TXT record, cut into strings of 255 octets.
    pub fn txt(&self, name: &str, text: &str) {
        let strings: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        self.txt_strings(name, if strings.is_empty() { &[b""] } else { &strings });
    }

    /// A TXT record of these strings.
    pub fn txt_strings(&self, name: &str, strings: &[&[u8]]) {
        self.record(name, RData::TXT(TXT::from_bytes(strings.to_vec())));
    }

    /// An IPv4 address.
    pub fn a(&self, name: &str, address: &str) {
        self.record(name, RData::A(A(address.parse().expect("an IPv4 address"))));
    }

    /// An IPv6 address.
    pub fn aaaa(&self, name: &str, address: &str) {
        self.record(name, RData::AAAA(AAAA(address.parse().expect("an IPv6 address"))));
    }

    /// A mail exchanger; the host `.` is the null MX.
    pub fn mx(&self, name: &str, preference: u16, host: &str) {
        self.record(name, RData::MX(MX::new(preference, name_of(host))));
    }

    /// The name of an address.
    pub fn ptr(&self, address: IpAddr, host: &str) {
        self.record(&key(&Name::from(address)), RData::PTR(PTR(name_of(host))));
    }

    /// Another name for a name.
    pub fn cname(&self, name: &str, target: &str) {
        self.record(name, RData::CNAME(CNAME(name_of(target))));
    }

    /// A name in a signed zone: answers that concern such names alone are authenticated.
    pub fn signed(&self, name: &str) {
        self.state().names.entry(normal(name)).or_default().is_signed = true;
    }

    /// A name without records.
    pub fn empty(&self, name: &str) {
        self.state().names.entry(normal(name)).or_default();
    }

    /// Any record.
    pub fn record(&self, name: &str, data: RData) {
        let mut state = self.state();
        let ttl = state.ttl;
        state.names.entry(normal(name)).or_default().records.push((ttl, data));
    }

    /// All questions for this name end like this.
    pub fn misbehave(&self, name: &str, behaviour: Behaviour) {
        self.state().names.entry(normal(name)).or_default().behaviour.push((None, behaviour));
    }

    /// Questions for this name and type end like this.
    pub fn misbehave_for(&self, name: &str, kind: &str, behaviour: Behaviour) {
        self.state().names.entry(normal(name)).or_default().behaviour.push((Some(kind_of(kind)), behaviour));
    }

    /// Forgets a name, its misbehaviour too.
    pub fn remove(&self, name: &str) {
        self.state().names.remove(&normal(name));
    }

    /// Forgets all names.
    pub fn clear(&self) {
        self.state().names.clear();
    }

    /// Seconds that records added from now on may be cached; 300 unless said.
    pub fn ttl(&self, seconds: u32) {
        self.state().ttl = seconds;
    }

    /// Seconds that negative answers may be cached from now on, 300 unless said; `None`: they have no SOA.
    pub fn negative_ttl(&self, seconds: Option<u32>) {
        let mut state = self.state();
        state.soa = seconds.is_some();
        state.negative_ttl = seconds.unwrap_or_default();
    }

    /// How often this was asked; a truncated answer brings the same question a second time.
    pub fn asked(&self, name: &str, kind: &str) -> usize {
        self.state().counts.get(&(normal(name), kind_of(kind))).copied().unwrap_or_default()
    }

    /// How often anything was asked.
    pub fn asked_total(&self) -> usize {
        self.state().questions.len()
    }

    /// How often anything was asked over TCP.
    pub fn asked_over_tcp(&self) -> usize {
        self.state().over_tcp
    }

    /// The questions in order, as `example.com TXT`.
    pub fn questions(&self) -> Vec<String> {
        self.state().questions.iter().map(|(name, kind)| format!("{name} {kind}")).collect()
    }

    /// The names that anything is said of.
    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Begins to count anew.
    pub fn forget_questions(&self) {
        let mut state = self.state();
        state.questions.clear();
        state.counts.clear();
        state.over_tcp = 0;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question and the time that it takes; `None`: there is none.
    fn answer(&self, question: &[u8], tcp: bool) -> Option<(Vec<u8>, Duration)> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let (name, kind) = (key(query.name()), query.query_type());
        let mut state = self.state();
        state.questions.push((name.clone(), kind));
        *state.counts.entry((name.clone(), kind)).or_default() += 1;
        state.over_tcp += usize::from(tcp);

        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        let udp_bytes_max = question.edns.as_ref().map_or(512, |edns| edns.max_payload().max(512));
        if question.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(1232);
            answer.set_edns(edns);
        }
        let mut slow = Duration::ZERO;
        match state.node(&name).and_then(|node| node.behaviour(kind)) {
            Some(Behaviour::ServFail) => answer.metadata.response_code = ResponseCode::ServFail,
            Some(Behaviour::Refused) => answer.metadata.response_code = ResponseCode::Refused,
            Some(Behaviour::NoEdns) if question.edns.is_some() => answer.metadata.response_code = ResponseCode::FormErr,
            Some(Behaviour::Silent) => return None,
            Some(Behaviour::Truncated | Behaviour::TruncatedAlways) if !tcp => answer.metadata.truncation = true,
            Some(Behaviour::TruncatedAlways) => return None,
            Some(Behaviour::Garbage) => {
                let mut garbage = question.metadata.id.to_be_bytes().to_vec();
                garbage.extend_from_slice(&[0xff; 60]);
                return Some((garbage, slow));
            }
            behaviour => {
                state.fill(&mut answer, query.name(), kind);
                match behaviour {
                    Some(Behaviour::Slow(time)) => slow = time,
                    Some(Behaviour::WrongId) => answer.metadata.id ^= 0x5555,
                    Some(Behaviour::WrongName) => {
                        let mut other = query;
                        other.set_name(name_of("another.name.invalid"));
                        answer.queries = vec![other];
                    }
                    Some(Behaviour::Huge) => answer.answers = huge(query.name(), kind),
                    _ => {}
                }
            }
        }
        drop(state);
        let bytes = answer.to_vec().expect("an answer can be written");
        if !tcp && bytes.len() > usize::from(udp_bytes_max) {
            return Some((answer.truncate().to_vec().expect("an answer can be written"), slow));
        }
        Some((bytes, slow))
    }
}

impl Zone {
    fn closes(&self, question: &[u8]) -> bool {
        let query = Message::from_vec(question).ok().and_then(|question| question.queries.first().cloned());
        let state = self.state();
        let behaviour = query.and_then(|query| state.node(&key(query.name()))?.behaviour(query.query_type()));
        behaviour == Some(Behaviour::TruncatedAlways)
    }
}

impl State {
    /// The node of a name, its own or a wildcard's (RFC 4592 §3.3.1).
    fn node(&self, name: &str) -> Option<&Node> {
        if let Some(node) = self.names.get(name) {
            return Some(node);
        }
        if self.has_names_below(name) {
            return None;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(node) = self.names.get(&format!("*.{parent}")) {
                return Some(node);
            }
            if self.names.contains_key(parent) || self.has_names_below(parent) {
                return None;
            }
            rest = parent;
        }
        None
    }

    fn has_names_below(&self, name: &str) -> bool {
        let below = format!(".{name}");
        self.names.keys().any(|known| known.ends_with(&below))
    }

    /// Records, CNAMEs on the way to them, and the code.
    fn fill(&self, answer: &mut Message, asked: &Name, kind: RecordType) {
        let mut name = asked.clone();
        answer.metadata.authentic_data = true;
        for _ in 0..CNAMES_MAX {
            let text = key(&name);
            // RFC 4035 §3.2.3: what is true of all records of the answer.
            answer.metadata.authentic_data &= self.node(&text).is_some_and(|node| node.is_signed);
            let Some(node) = self.node(&text) else {
                if !self.has_names_below(&text) {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                }
                return self.negative(answer);
            };
            match node.behaviour(kind) {
                Some(Behaviour::NxDomain) => {
                    answer.metadata.response_code = ResponseCode::NXDomain;
                    return self.negative(answer);
                }
                // What ails the end of a chain ails the whole.
                Some(Behaviour::ServFail | Behaviour::Silent | Behaviour::Refused) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    answer.answers.clear();
                    return;
                }
                _ => {}
            }
            let fitting = node.records.iter().filter(|(_, data)| data.record_type() == kind);
            let found: Vec<Record> = fitting.map(|(ttl, data)| Record::from_rdata(name.clone(), *ttl, data.clone())).collect();
            if !found.is_empty() {
                answer.add_answers(found);
                return;
            }
            let target = node.records.iter().find_map(|(ttl, data)| match data {
                RData::CNAME(target) => Some((*ttl, target.0.clone())),
                _ => None,
            });
            let Some((ttl, target)) = target else { return self.negative(answer) };
            answer.add_answer(Record::from_rdata(name, ttl, RData::CNAME(CNAME(target.clone()))));
            name = target;
        }
    }

    fn negative(&self, answer: &mut Message) {
        if self.soa {
            let soa = SOA::new(name_of("ns.test"), name_of("hostmaster.test"), 1, 3600, 600, 86_400, self.negative_ttl);
            let zone = answer.queries.first().map_or_else(Name::root, |query| query.name().trim_to(1));
            answer.add_authority(Record::from_rdata(zone, self.negative_ttl, RData::SOA(soa)));
        }
    }
}

impl Node {
    fn behaviour(&self, kind: RecordType) -> Option<Behaviour> {
        let fitting = |(for_kind, _): &&(Option<RecordType>, Behaviour)| for_kind.is_none_or(|only| only == kind);
        self.behaviour.iter().find(fitting).map(|(_, behaviour)| *behaviour)
    }
}

/// Records of a type that fill an answer.
fn huge(name: &Name, kind: RecordType) -> Vec<Record> {
    let (count, data): (u16, fn(u16) -> RData) = match kind {
        RecordType::A => (2000, |number| RData::A(A(Ipv4Addr::from(0x0a00_0000 + u32::from(number))))),
        RecordType::AAAA => (1200, |number| RData::AAAA(AAAA([0x2001, 0xdb8, 0, 0, 0, 0, 0, number].into()))),
        RecordType::MX => (1000, |number| RData::MX(MX::new(number, name_of(&format!("mx{number}.example"))))),
        RecordType::PTR => (1000, |number| RData::PTR(PTR(name_of(&format!("host{number}.example"))))),
        _ => (225, |_| RData::TXT(TXT::from_bytes(vec![&[b'x'; 250][..]]))),
    };
    (0..count).map(|number| Record::from_rdata(name.clone(), 300, data(number))).collect()
}

fn tlsa_of(text: &str) -> TLSA {
    let mut parts = text.split(' ');
    let mut number = || parts.next().and_then(|part| part.parse::<u8>().ok()).expect("a number");
    let (usage, selector, matching) = (number(), number(), number());
    let digits = parts.next().expect("data in hexadecimal digits").as_bytes();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal digits");
    TLSA::new(usage.into(), selector.into(), matching.into(), digits.chunks(2).map(octet).collect())
}

/// A name in any octets, without escapes.
fn name_of(text: &str) -> Name {
    let labels = text.trim_end_matches('.').split('.').filter(|label| !label.is_empty());
    let mut name = Name::from_labels(labels.map(str::as_bytes)).expect("a domain name");
    name.set_fqdn(true);
    name
}

fn key(name: &Name) -> String {
    let labels: Vec<String> = name.iter().map(|label| String::from_utf8_lossy(label).to_ascii_lowercase()).collect();
    labels.join(".")
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

fn kind_of(text: &str) -> RecordType {
    RecordType::from_str(&text.to_ascii_uppercase()).expect("a type of records")
}

/// One port for both.
async fn bind() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let address = udp.local_addr().expect("a bound socket has an address");
        if let Ok(tcp) = TcpListener::bind(address).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

async fn serve_udp(socket: UdpSocket, zone: Arc<Zone>) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 65_535];
    loop {
        let Ok((length, client)) = socket.recv_from(&mut buffer).await else { continue };
        match zone.answer(&buffer[..length], false) {
            Some((answer, Duration::ZERO)) => drop(socket.send_to(&answer, client).await),
            Some((answer, time)) => {
                let socket = Arc::clone(&socket);
                tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    drop(socket.send_to(&answer, client).await);
                });
            }
            None => {}
        }
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<Zone>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_stream(stream, Arc::clone(&zone)));
        }
    }
}

async fn serve_stream(mut stream: TcpStream, zone: Arc<Zone>) -> io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        if let Some((answer, time)) = zone.answer(&question, true) {
            tokio::time::sleep(time).await;
            stream.write_u16(u16::try_from(answer.len()).expect("an answer has at most 64 KiB")).await?;
            stream.write_all(&answer).await?;
        } else if zone.closes(&question) {
            return Ok(());
        }
    }
}
