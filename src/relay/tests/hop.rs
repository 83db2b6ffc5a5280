//! A scripted next hop on loopback, in SMTP, or in LMTP to whoever says LHLO.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

/// What it does instead of what a good next hop does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Say(&'static str),
    SayAndClose(&'static str),
    Close,
    Silence,
}

type Rule = Arc<dyn Fn(&str, usize) -> Option<Act> + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) keywords: Vec<&'static str>,
    pub(crate) tls: Option<Arc<rustls::ServerConfig>>,
    pub(crate) implicit_tls: bool,
    /// Asked with each command (`CONNECT`, `.` for the end of the content, in LMTP `.1`, `.2` for its replies) and the connection's
    /// number, from 1.
    pub(crate) rule: Rule,
    /// Closes with a reset.
    pub(crate) resets: bool,
    /// Of how many connections the octets are limited, the first ones.
    pub(crate) cuts: usize,
    /// Closes after so many octets in either direction.
    pub(crate) octets_out_max: usize,
    pub(crate) octets_in_max: usize,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            keywords: vec!["PIPELINING", "8BITMIME", "SIZE 1000000"],
            tls: None,
            implicit_tls: false,
            rule: Arc::new(|_, _| None),
            resets: false,
            cuts: usize::MAX,
            octets_out_max: usize::MAX,
            octets_in_max: usize::MAX,
        }
    }
}

impl Script {
    pub(crate) fn rule(rule: impl Fn(&str, usize) -> Option<Act> + Send + Sync + 'static) -> Self {
        Self { rule: Arc::new(rule), ..Self::default() }
    }

    pub(crate) fn keywords(mut self, keywords: &[&'static str]) -> Self {
        self.keywords = keywords.to_vec();
        self
    }
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) connections: usize,
    /// `CONNECTION COMMAND`, with `*` behind the number when TLS is on.
    pub(crate) commands: Vec<String>,
    /// Complete messages, dots undone.
    pub(crate) messages: Vec<Vec<u8>>,
    /// Who each of them was for.
    pub(crate) envelopes: Vec<Vec<String>>,
    pub(crate) octets_in: usize,
    pub(crate) octets_out: usize,
    /// What the client showed in each handshake, in DER.
    pub(crate) certificates: Vec<Option<Vec<u8>>>,
}

pub(crate) struct Hop {
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

impl Hop {
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_at("127.0.0.1:0", script).await
    }

    pub(crate) async fn start_at(address: &str, script: Script) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if script.resets {
                    stream.set_zero_linger().unwrap();
                }
                Session::spawn(&script, &shared, Box::new(stream));
            }
        });
        Self { address, log, task }
    }

    /// On a socket of this machine; the address says nothing.
    pub(crate) fn start_on(path: &std::path::Path, script: Script) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                Session::spawn(&script, &shared, Box::new(stream));
            }
        });
        Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), log, task }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// How often a command that starts with `verb` came.
    pub(crate) fn count(&self, verb: &str) -> usize {
        self.log().commands.iter().filter(|line| line.split_once(' ').is_some_and(|(_, command)| command.starts_with(verb))).count()
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.task.abort();
    }
}

trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

struct Session {
    script: Script,
    log: Arc<Mutex<Log>>,
    number: usize,
    tls: bool,
    sent: usize,
    received: usize,
    lmtp: bool,
    /// Recipients accepted in this transaction.
    accepted: Vec<String>,
}

impl Session {
    fn spawn(script: &Script, log: &Arc<Mutex<Log>>, stream: Box<dyn Io>) {
        let number = {
            let mut log = log.lock().unwrap();
            log.connections += 1;
            log.connections
        };
        let mut script = script.clone();
        if number > script.cuts {
            (script.octets_in_max, script.octets_out_max) = (usize::MAX, usize::MAX);
        }
        let session = Self { script, log: Arc::clone(log), number, tls: false, sent: 0, received: 0, lmtp: false, accepted: Vec::new() };
        tokio::spawn(session.run(stream));
    }

    async fn run(mut self, mut stream: Box<dyn Io>) {
        if self.script.implicit_tls {
            let Some(upgraded) = self.handshake(stream).await else { return };
            stream = upgraded;
        }
        let act = (self.script.rule)("CONNECT", self.number);
        if !self.act(&mut stream, act, "220 hop.example\r\n".to_owned()).await {
            return;
        }
        let mut input = Vec::new();
        let mut data: Option<Vec<u8>> = None;
        let mut chunk: Option<usize> = None;
        loop {
            loop {
                if let Some(octets) = chunk {
                    if input.len() < octets {
                        break;
                    }
                    let message = input.drain(..octets).collect();
                    chunk = None;
                    if !self.end(&mut stream, message).await {
                        return;
                    }
                    continue;
                }
                let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else { break };
                let line: Vec<u8> = input.drain(..end + 2).collect();
                if let Some(mut message) = data.take() {
                    if line != b".\r\n" {
                        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
                        data = Some(message);
                        continue;
                    }
                    if !self.end(&mut stream, message).await {
                        return;
                    }
                    continue;
                }
                let command = String::from_utf8_lossy(&line).trim_end().to_owned();
                let star = if self.tls { "*" } else { "" };
                self.log.lock().unwrap().commands.push(format!("{}{star} {command}", self.number));
                let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
                if verb == "BDAT" {
                    let words: Vec<&str> = command.split(' ').collect();
                    assert_eq!(words.get(2), Some(&"LAST"), "{command}");
                    chunk = Some(words[1].parse().unwrap());
                    continue;
                }
                self.lmtp |= verb == "LHLO";
                let usual = self.usual(&verb);
                let act = (self.script.rule)(&command, self.number);
                let recipient = || command.trim_start_matches("RCPT TO:<").split('>').next().unwrap_or_default().to_owned();
                match (verb.as_str(), &act) {
                    ("MAIL", _) => self.accepted.clear(),
                    ("RCPT", None) => self.accepted.push(recipient()),
                    ("RCPT", Some(Act::Say(text))) if text.starts_with('2') => self.accepted.push(recipient()),
                    _ => {}
                }
                let says_354 = match &act {
                    Some(Act::Say(text)) => text.starts_with("354"),
                    None => verb == "DATA",
                    _ => false,
                };
                if !self.act(&mut stream, act, usual).await {
                    return;
                }
                if says_354 {
                    data = Some(Vec::new());
                }
                if verb == "STARTTLS" && self.script.tls.is_some() {
                    let Some(upgraded) = self.handshake(stream).await else { return };
                    stream = upgraded;
                    self.tls = true;
                }
                if verb == "QUIT" {
                    return;
                }
            }
            let mut buffer = [0_u8; 65536];
            let room = buffer.len().min(self.script.octets_in_max - self.received);
            if room == 0 {
                return;
            }
            match stream.read(&mut buffer[..room]).await {
                Ok(len @ 1..) => {
                    input.extend_from_slice(&buffer[..len]);
                    self.received += len;
                    self.log.lock().unwrap().octets_in += len;
                }
                _ => return,
            }
        }
    }

    /// The content is complete. False when the connection is over.
    async fn end(&mut self, stream: &mut Box<dyn Io>, message: Vec<u8>) -> bool {
        {
            let mut log = self.log.lock().unwrap();
            log.messages.push(message);
            log.envelopes.push(self.accepted.clone());
        }
        let replies: Vec<String> =
            if self.lmtp { (1..=self.accepted.len()).map(|at| format!(".{at}")).collect() } else { vec![".".to_owned()] };
        for reply in replies {
            let act = (self.script.rule)(&reply, self.number);
            if !self.act(stream, act, "250 2.0.0 queued\r\n".to_owned()).await {
                return false;
            }
        }
        true
    }

    fn usual(&self, verb: &str) -> String {
        match verb {
            "EHLO" | "LHLO" => {
                let starttls = (self.script.tls.is_some() && !self.tls && !self.script.implicit_tls).then_some("STARTTLS");
                let mut lines = vec!["hop.example"];
                lines.extend(self.script.keywords.iter().copied().chain(starttls));
                let last = lines.len() - 1;
                lines.iter().enumerate().map(|(at, line)| format!("250{}{line}\r\n", if at == last { ' ' } else { '-' })).collect()
            }
            "DATA" => "354 go on\r\n".to_owned(),
            "STARTTLS" => "220 go on\r\n".to_owned(),
            "AUTH" => "235 2.7.0 welcome\r\n".to_owned(),
            "QUIT" => "221 bye\r\n".to_owned(),
            _ => "250 2.0.0 fine\r\n".to_owned(),
        }
    }

    /// False when the connection is over.
    async fn act(&mut self, stream: &mut Box<dyn Io>, act: Option<Act>, usual: String) -> bool {
        let (text, close) = match act {
            None => (usual, false),
            Some(Act::Say(text)) => (format!("{text}\r\n"), false),
            Some(Act::SayAndClose(text)) => (format!("{text}\r\n"), true),
            Some(Act::Close) => return false,
            // Nothing more is said, and nothing closed.
            Some(Act::Silence) => std::future::pending().await,
        };
        let room = text.len().min(self.script.octets_out_max - self.sent);
        self.sent += room;
        self.log.lock().unwrap().octets_out += room;
        let written = stream.write_all(&text.as_bytes()[..room]).await.is_ok() && stream.flush().await.is_ok();
        if close {
            let _ = stream.shutdown().await;
        }
        written && !close && room == text.len()
    }

    async fn handshake(&self, stream: Box<dyn Io>) -> Option<Box<dyn Io>> {
        let acceptor = tokio_rustls::TlsAcceptor::from(self.script.tls.clone()?);
        let stream = acceptor.accept(stream).await.ok()?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|certificate| certificate.to_vec());
        self.log.lock().unwrap().certificates.push(shown);
        Some(Box::new(stream))
    }
}
