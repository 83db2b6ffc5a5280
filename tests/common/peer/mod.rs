//! Mail servers of providers, played from their descriptions in `tests/peers/`: each reply that they are known for can be had, and what a
//! good client never does is recorded.
//!
//! ```ignore
//! let peer = Peer::start("peer-google");
//! // … mail to r-452-4.2.2@acme.example is answered so at RCPT, mail to others is taken
//! assert_eq!(peer.violations(), [""; 0]);
//! ```

// Each test file is a program of its own and uses a part of this.
#![allow(unused_imports)]

mod content;
mod description;
mod session;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;

pub use description::{At, Class, Description, Scripted};

use super::DEADLINE;

/// A message that was taken.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The argument of MAIL, whole: `FROM:<…> SIZE=…`.
    pub mail: String,
    /// The arguments of RCPT that were taken, whole.
    pub rcpts: Vec<String>,
    /// The content.
    pub data: Vec<u8>,
    /// It came over TLS.
    pub tls: bool,
    /// The user that is logged in.
    pub user: Option<String>,
}

impl Taken {
    /// The reverse-path.
    pub fn sender(&self) -> &str {
        session::path(&self.mail)
    }

    /// The forward-paths.
    pub fn recipients(&self) -> Vec<&str> {
        self.rcpts.iter().map(|rcpt| session::path(rcpt)).collect()
    }
}

/// A running server; it ends with the test process.
pub struct Peer {
    address: SocketAddr,
    certificate: String,
    state: Arc<State>,
}

/// What its sessions share.
struct State {
    description: Description,
    tls: Arc<ServerConfig>,
    /// Whether the scripted replies are given.
    scripted: AtomicBool,
    /// The names of scripted replies to connections, EHLO and AUTH.
    chosen: Mutex<HashSet<String>>,
    /// Access tokens and passwords that are good.
    good_secrets: Mutex<HashSet<String>>,
    seen: Mutex<Seen>,
    changed: Condvar,
    sessions: AtomicUsize,
}

#[derive(Default)]
struct Seen {
    taken: Vec<Taken>,
    violations: Vec<String>,
    /// `NUMBER COMMAND`, the content excluded.
    dialogue: Vec<String>,
    clients: Vec<SocketAddr>,
}

impl Peer {
    /// Plays `tests/peers/NAME.yaml` on a port of 127.0.0.1.
    pub fn start(name: &str) -> Self {
        Self::start_on(name, &[(Ipv4Addr::LOCALHOST, 0).into()])
    }

    /// The same on several addresses; those without a port have the first one's.
    pub fn start_on(name: &str, addresses: &[SocketAddr]) -> Self {
        let description = Description::load(name);
        let names = [description.host.as_str(), "aspmx.l.google.com", "*.mail.protection.outlook.com", "smtp.office365.com", "127.0.0.1"];
        let made = rcgen::generate_simple_self_signed(names.map(str::to_owned)).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate and its key");
        let state = Arc::new(State {
            description,
            tls: Arc::new(tls),
            scripted: AtomicBool::new(true),
            chosen: Mutex::default(),
            good_secrets: Mutex::default(),
            seen: Mutex::default(),
            changed: Condvar::new(),
            sessions: AtomicUsize::new(0),
        });
        let mut first: Option<SocketAddr> = None;
        for address in addresses {
            let port = if address.port() == 0 { first.map_or(0, |first| first.port()) } else { address.port() };
            let listener = TcpListener::bind((address.ip(), port)).expect("a port is free");
            first.get_or_insert(listener.local_addr().expect("a bound socket has an address"));
            accept(listener, &state);
        }
        Self { address: first.expect("an address"), certificate: made.cert.pem(), state }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate in PEM, good for the providers' names and for 127.0.0.1.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The replies that can be chosen.
    pub fn replies(&self) -> &[Scripted] {
        &self.state.description.replies
    }

    /// Whether scripted replies are given; without them it has nothing against anything.
    pub fn be_scripted(&self, scripted: bool) {
        self.state.scripted.store(scripted, Ordering::SeqCst);
    }

    /// From now on connections, EHLO or AUTH are answered with the reply of this name.
    pub fn choose(&self, name: &str) {
        self.state.chosen.lock().unwrap().insert(name.to_owned());
    }

    /// Takes that back.
    pub fn unchoose(&self, name: &str) {
        self.state.chosen.lock().unwrap().remove(name);
    }

    /// From now on these access tokens and passwords are good, and no others.
    pub fn accept_secrets(&self, secrets: &[&str]) {
        *self.state.good_secrets.lock().unwrap() = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    }

    /// What was done that a good client never does.
    pub fn violations(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().violations.clone()
    }

    /// The commands so far, each behind the number of its connection.
    pub fn dialogue(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().dialogue.clone()
    }

    /// Where connections came from, in order.
    pub fn clients(&self) -> Vec<SocketAddr> {
        self.state.seen.lock().unwrap().clients.clone()
    }

    /// What was taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.state.seen.lock().unwrap().taken.clone()
    }

    /// Waits until so many messages were taken.
    #[track_caller]
    pub fn wait_taken(&self, count: usize) -> Vec<Taken> {
        let seen = self.state.seen.lock().unwrap();
        let (seen, _) = self.state.changed.wait_timeout_while(seen, DEADLINE, |seen| seen.taken.len() < count).unwrap();
        assert!(seen.taken.len() >= count, "the peer got {} of {count} messages: {:#?}", seen.taken.len(), seen.dialogue);
        seen.taken.clone()
    }
}

fn accept(listener: TcpListener, state: &Arc<State>) {
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (state, number) = (Arc::clone(&state), state.sessions.fetch_add(1, Ordering::SeqCst) + 1);
            if let Ok(client) = stream.peer_addr() {
                state.seen.lock().unwrap().clients.push(client);
            }
            // A client that goes away is nothing to report.
            std::thread::spawn(move || drop(session::Session::new(&state, stream, number).and_then(session::Session::serve)));
        }
    });
}

impl State {
    fn violation(&self, what: String) {
        self.seen.lock().unwrap().violations.push(what);
    }

    /// The reply of this name, if it belongs here and scripted ones are given.
    fn scripted(&self, at: At, name: &str) -> Option<&Scripted> {
        let is_this = |scripted: &&Scripted| scripted.at == at && scripted.name == name;
        self.scripted.load(Ordering::SeqCst).then(|| self.description.replies.iter().find(is_this)).flatten()
    }

    /// The reply that the test has chosen for a point of every session.
    fn chosen(&self, at: At) -> Option<&Scripted> {
        let chosen = self.chosen.lock().unwrap();
        chosen.iter().find_map(|name| self.scripted(at, name))
    }

    /// A message counts as taken before its reply goes out: who has the reply sees it.
    fn keep(&self, taken: Taken) {
        self.seen.lock().unwrap().taken.push(taken);
        self.changed.notify_all();
    }
}
