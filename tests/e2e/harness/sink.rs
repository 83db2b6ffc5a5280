//! A scripted next hop: it answers as the test says and keeps what it takes.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use socket2::{Domain, Socket, Type};

use super::mail;
use crate::common::DEADLINE;

/// The point of a dialogue that an answer is wanted for.
pub enum At<'a> {
    /// A connection, before the banner.
    Connect,
    /// MAIL.
    Mail,
    /// RCPT, with the address.
    Rcpt(&'a str),
    /// DATA.
    Data,
    /// The final dot, with what has come.
    Dot(&'a Taken),
}

/// How the next hop answers.
#[derive(Clone)]
pub enum Answer {
    /// As a server does that has nothing against it.
    Ok,
    /// With this line.
    Say(String),
    /// Not before [`Sink::release`]; then as `Ok`.
    Hang,
    /// With the end of the connection.
    Close,
}

impl Answer {
    /// A reply, CRLF excluded.
    pub fn say(reply: &str) -> Self {
        Self::Say(reply.to_owned())
    }
}

/// A message that was taken.
#[derive(Clone, Debug, Default)]
pub struct Taken {
    /// The reverse-path.
    pub mail_from: String,
    /// The recipients that were taken.
    pub recipients: Vec<String>,
    /// MAIL and RCPT of those that were taken, whole.
    pub commands: Vec<String>,
    /// Between DATA and the final dot, decoded.
    pub data: Vec<u8>,
}

impl Taken {
    /// The message as it came to the gateway: below our Received field.
    pub fn original(&self) -> &[u8] {
        mail::below_received(&self.data)
    }
}

type Script = dyn Fn(At<'_>) -> Answer + Send + Sync;

/// A next hop on loopback; it ends with the test process.
pub struct Sink {
    address: SocketAddr,
    socket: Mutex<Option<Socket>>,
    state: Arc<State>,
}

/// What it offers unless it is told otherwise.
const KEYWORDS: &[&str] = &["PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "SIZE 104857600"];

struct State {
    keywords: Vec<&'static str>,
    script: Box<Script>,
    taken: Mutex<Vec<Taken>>,
    changed: Condvar,
    released: Mutex<bool>,
    hanging: Condvar,
    connections: AtomicUsize,
    hangs: AtomicUsize,
}

impl Sink {
    /// One that takes everything.
    pub fn accepting() -> Self {
        Self::start(|_| Answer::Ok)
    }

    /// One that answers as it is told.
    pub fn start(script: impl Fn(At<'_>) -> Answer + Send + Sync + 'static) -> Self {
        let sink = Self::down(script);
        sink.come_up();
        sink
    }

    /// One that offers exactly these extensions.
    pub fn offering(keywords: &[&'static str], script: impl Fn(At<'_>) -> Answer + Send + Sync + 'static) -> Self {
        let sink = Self::new(keywords, script);
        sink.come_up();
        sink
    }

    /// One that is down: its port is its own but refuses connections.
    pub fn down(script: impl Fn(At<'_>) -> Answer + Send + Sync + 'static) -> Self {
        Self::new(KEYWORDS, script)
    }

    fn new(keywords: &[&'static str], script: impl Fn(At<'_>) -> Answer + Send + Sync + 'static) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let state = State {
            keywords: keywords.to_vec(),
            script: Box::new(script),
            taken: Mutex::default(),
            changed: Condvar::new(),
            released: Mutex::new(false),
            hanging: Condvar::new(),
            connections: AtomicUsize::new(0),
            hangs: AtomicUsize::new(0),
        };
        Self { address, socket: Mutex::new(Some(socket)), state: Arc::new(state) }
    }

    /// From now on it takes connections.
    pub fn come_up(&self) {
        let socket = self.socket.lock().unwrap().take().expect("it was down");
        socket.listen(1024).unwrap();
        let (listener, state) = (TcpListener::from(socket), Arc::clone(&self.state));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                state.connections.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    // A client that goes away is nothing to report.
                    let _ = state.serve(stream);
                });
            }
        });
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// What was taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap().clone()
    }

    /// Waits until so many messages were taken.
    pub fn wait_taken(&self, count: usize) -> Vec<Taken> {
        let taken = self.state.taken.lock().unwrap();
        let (taken, _) = self.state.changed.wait_timeout_while(taken, DEADLINE, |taken| taken.len() < count).unwrap();
        assert!(taken.len() >= count, "the next hop got {} of {count} messages", taken.len());
        taken.clone()
    }

    /// The one message that was taken.
    pub fn only(&self) -> Taken {
        let taken = self.wait_taken(1);
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.into_iter().next().unwrap()
    }

    /// Waits until so many answers have been held back.
    pub fn wait_hanging(&self, count: usize) {
        let released = self.state.released.lock().unwrap();
        let too_few = |_: &mut bool| self.state.hangs.load(Ordering::SeqCst) < count;
        let (_released, waited) = self.state.hanging.wait_timeout_while(released, DEADLINE, too_few).unwrap();
        assert!(!waited.timed_out(), "nobody came to hang");
    }

    /// What hangs goes on, now and from now on.
    pub fn release(&self) {
        *self.state.released.lock().unwrap() = true;
        self.state.hanging.notify_all();
    }
}

impl State {
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let mut output = stream.try_clone()?;
        let mut input = BufReader::new(stream);
        if !self.answer(&mut output, At::Connect, "220 next.example ESMTP")? {
            return Ok(());
        }
        let (mut mail, mut begun) = (Taken::default(), false);
        let mut line = String::new();
        loop {
            line.clear();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (verb, argument) = line.trim_end().split_at(line.trim_end().len().min(4));
            let go_on = match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    let offered: String = self.keywords.iter().map(|keyword| format!("250-{keyword}\r\n")).collect();
                    output.write_all(format!("250-next.example\r\n{offered}250 HELP\r\n").as_bytes())?;
                    true
                }
                "MAIL" => {
                    mail = Taken { mail_from: bracketed(argument), commands: vec![line.trim_end().to_owned()], ..Taken::default() };
                    let answer = (self.script)(At::Mail);
                    begun = matches!(answer, Answer::Ok | Answer::Hang);
                    self.carry_out(&mut output, answer, "250 2.1.0 sender fine")?
                }
                "RCPT" if !begun => {
                    output.write_all(b"503 5.5.1 no sender\r\n")?;
                    true
                }
                "RCPT" => {
                    let recipient = bracketed(argument);
                    let answer = (self.script)(At::Rcpt(&recipient));
                    if matches!(answer, Answer::Ok | Answer::Hang) {
                        mail.recipients.push(recipient);
                        mail.commands.push(line.trim_end().to_owned());
                    }
                    self.carry_out(&mut output, answer, "250 2.1.5 recipient fine")?
                }
                "DATA" if mail.recipients.is_empty() => {
                    output.write_all(b"554 5.5.1 no recipients\r\n")?;
                    true
                }
                "DATA" => match (self.script)(At::Data) {
                    Answer::Ok => {
                        output.write_all(b"354 go on\r\n")?;
                        mail.data = content(&mut input)?;
                        self.dot(&mut output, std::mem::take(&mut mail))?
                    }
                    other => self.carry_out(&mut output, other, "451 4.0.0 not now")?,
                },
                "RSET" | "NOOP" => {
                    mail = Taken::default();
                    output.write_all(b"250 2.0.0 ok\r\n")?;
                    true
                }
                "QUIT" => return output.write_all(b"221 2.0.0 bye\r\n"),
                _ => {
                    output.write_all(b"500 5.5.2 what?\r\n")?;
                    true
                }
            };
            if !go_on {
                return output.shutdown(Shutdown::Both);
            }
        }
    }

    /// A message counts as taken before the answer goes out: who has the answer sees it.
    fn dot(&self, output: &mut TcpStream, mail: Taken) -> std::io::Result<bool> {
        let answer = (self.script)(At::Dot(&mail));
        if matches!(answer, Answer::Ok) {
            self.keep(mail);
        } else if matches!(answer, Answer::Hang) {
            self.hang();
            self.keep(mail);
            output.write_all(b"250 2.0.0 taken\r\n")?;
            return Ok(true);
        }
        self.carry_out(output, answer, "250 2.0.0 taken")
    }

    fn keep(&self, mail: Taken) {
        self.taken.lock().unwrap().push(mail);
        self.changed.notify_all();
    }

    fn answer(&self, output: &mut TcpStream, at: At<'_>, fine: &str) -> std::io::Result<bool> {
        self.carry_out(output, (self.script)(at), fine)
    }

    /// `false` ends the connection.
    fn carry_out(&self, output: &mut TcpStream, answer: Answer, fine: &str) -> std::io::Result<bool> {
        let reply = match &answer {
            Answer::Say(reply) => reply,
            Answer::Close => return Ok(false),
            Answer::Ok => fine,
            Answer::Hang => {
                self.hang();
                fine
            }
        };
        output.write_all(format!("{reply}\r\n").as_bytes())?;
        Ok(true)
    }

    fn hang(&self) {
        let released = self.released.lock().unwrap();
        self.hangs.fetch_add(1, Ordering::SeqCst);
        self.hanging.notify_all();
        drop(self.hanging.wait_timeout_while(released, DEADLINE, |released| !*released).unwrap());
    }
}

/// A script that gives `first` to the first `count` questions that fit, and `Ok` to all others.
pub fn first(
    count: usize,
    answer: Answer,
    fits: impl Fn(&At<'_>) -> bool + Send + Sync + 'static,
) -> impl Fn(At<'_>) -> Answer + Send + Sync {
    let asked = AtomicUsize::new(0);
    move |at| if fits(&at) && asked.fetch_add(1, Ordering::SeqCst) < count { answer.clone() } else { Answer::Ok }
}

fn bracketed(argument: &str) -> String {
    argument.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or_else(String::new, |(address, _)| address.to_owned())
}

/// To the final dot; only CRLF ends a line (RFC 5321 §2.3.8).
fn content(input: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let (mut data, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        while !line.ends_with(b"\r\n") {
            if input.read_until(b'\n', &mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        if line == b".\r\n" {
            return Ok(data);
        }
        data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
