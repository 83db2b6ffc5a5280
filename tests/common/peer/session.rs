//! One session of a scripted server.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::{ServerConnection, StreamOwned};

use super::description::At;
use super::{State, Taken, content};
use crate::common::DEADLINE;

/// A command line longer than this is no client's.
const LINE_BYTES_MAX: usize = 65_536;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

pub(super) struct Session {
    state: Arc<State>,
    number: usize,
    client: String,
    stream: Stream,
    /// Read and not used yet.
    ahead: Vec<u8>,
    /// EHLO was said since the connection or the handshake.
    greeted: bool,
    user: Option<String>,
    /// MAIL was taken.
    transaction: Option<Transaction>,
}

#[derive(Default)]
struct Transaction {
    taken: Taken,
    /// The chunks of BDAT so far.
    chunks: Vec<u8>,
    chunked: bool,
    /// A reply that the sender or a recipient has chosen for later.
    at_data: Option<Vec<String>>,
    at_dot: Option<Vec<String>>,
}

/// Whether the session goes on.
type Go = io::Result<bool>;

impl Session {
    pub(super) fn new(state: &Arc<State>, stream: TcpStream, number: usize) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let client = stream.peer_addr()?.ip().to_string();
        let stream = Stream::Plain(stream);
        Ok(Self { state: Arc::clone(state), number, client, stream, ahead: Vec::new(), greeted: false, user: None, transaction: None })
    }

    pub(super) fn serve(mut self) -> io::Result<()> {
        if self.has_ahead() {
            self.violation("the client spoke before the greeting");
        }
        if let Some(chosen) = self.state.chosen(At::Connect) {
            let reply = chosen.reply.clone();
            self.say(&reply)?;
            return self.close();
        }
        let greeting = self.state.description.greeting.clone();
        self.say(&[greeting])?;
        while let Some(line) = self.line()? {
            if !self.command(&line)? {
                return self.close();
            }
        }
        Ok(())
    }

    fn command(&mut self, line: &str) -> Go {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        // RFC 2920 §3.1: these end a group, and so does what changes the session.
        let ends_group = matches!(verb.as_str(), "EHLO" | "HELO" | "DATA" | "STARTTLS" | "AUTH" | "NOOP" | "VRFY" | "EXPN" | "QUIT");
        if (ends_group || !self.state.description.offers("PIPELINING")) && verb != "BDAT" && self.has_ahead() {
            self.violation(&format!("more was sent before the reply to {verb}"));
        }
        if !self.greeted && !matches!(verb.as_str(), "EHLO" | "HELO" | "NOOP" | "QUIT" | "RSET") {
            self.violation(&format!("{verb} before EHLO"));
            return self.say_one("503 5.5.1 EHLO first");
        }
        match verb.as_str() {
            "EHLO" | "HELO" => self.ehlo(),
            "STARTTLS" => self.start_tls(),
            "AUTH" => self.auth(argument),
            "MAIL" => self.mail(argument),
            "RCPT" => self.rcpt(argument),
            "DATA" => self.data(),
            "BDAT" => self.bdat(argument),
            "RSET" => {
                self.transaction = None;
                self.say_one("250 2.0.0 Flushed")
            }
            "NOOP" => self.say_one("250 2.0.0 OK"),
            "QUIT" => {
                let quit = self.state.description.fine.quit.clone();
                self.say_one(&quit)?;
                Ok(false)
            }
            _ => {
                self.violation(&format!("a command that is not offered: {line}"));
                self.say_one("502 5.5.1 Unrecognized command")
            }
        }
    }

    fn ehlo(&mut self) -> Go {
        if let Some(chosen) = self.state.chosen(At::Ehlo) {
            let reply = chosen.reply.clone();
            return self.play(&reply);
        }
        self.greeted = true;
        self.transaction = None;
        let description = &self.state.description;
        let tls = matches!(self.stream, Stream::Tls(_));
        let mut lines = vec![description.hello.clone()];
        lines.extend(description.offers.iter().filter(|offer| !(tls && *offer == "STARTTLS")).cloned());
        if let Some(login) = description.login.as_ref().filter(|_| tls) {
            lines.push(format!("AUTH {}", login.mechanisms.join(" ")));
        }
        let last = lines.len() - 1;
        let reply: Vec<String> =
            lines.iter().enumerate().map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' })).collect();
        self.say(&reply)
    }

    fn start_tls(&mut self) -> Go {
        let Stream::Plain(_) = &self.stream else {
            self.violation("STARTTLS over TLS");
            return self.say_one("503 5.5.1 TLS already");
        };
        self.say_one("220 2.0.0 Ready to start TLS")?;
        // RFC 3207 §4.2: what was sent in plain text is not taken for what comes over TLS.
        self.ahead.clear();
        let Stream::Plain(tcp) = std::mem::replace(&mut self.stream, Stream::Gone) else { return Ok(false) };
        let connection = ServerConnection::new(Arc::clone(&self.state.tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        self.stream = Stream::Tls(Box::new(stream));
        (self.greeted, self.user, self.transaction) = (false, None, None);
        Ok(true)
    }

    fn auth(&mut self, argument: &str) -> Go {
        let Some(login) = self.state.description.login.clone() else {
            self.violation("AUTH where it is not offered");
            return self.say_one("502 5.5.1 Unrecognized command");
        };
        if !matches!(self.stream, Stream::Tls(_)) {
            self.violation("AUTH in plain text");
            return self.say_one("530 5.7.0 Must issue a STARTTLS command first");
        }
        let (mechanism, initial) = argument.split_once(' ').map_or((argument, None), |(mechanism, initial)| (mechanism, Some(initial)));
        if !login.mechanisms.iter().any(|offered| offered == mechanism) {
            self.violation(&format!("AUTH {mechanism} is not offered in these letters"));
            return self.say_one(&login.unknown);
        }
        let (user, secret) = if mechanism == "LOGIN" {
            let user = match initial {
                Some(initial) => initial.to_owned(),
                None => self.ask("334 VXNlcm5hbWU6")?,
            };
            (self.decoded(&user), self.ask("334 UGFzc3dvcmQ6").map(|password| self.decoded(&password))?)
        } else {
            let response = match initial {
                Some(initial) => initial.to_owned(),
                None => self.ask("334 ")?,
            };
            let response = self.decoded(&response);
            let mut parts = response.split('\u{1}');
            let (user, bearer) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            match (user.strip_prefix("user="), bearer.strip_prefix("auth=Bearer "), response.ends_with("\u{1}\u{1}")) {
                (Some(user), Some(token), true) => (user.to_owned(), token.to_owned()),
                _ => {
                    self.violation("an initial response that is none of XOAUTH2");
                    (String::new(), String::new())
                }
            }
        };
        if let Some(chosen) = self.state.chosen(At::Auth) {
            let reply = chosen.reply.clone();
            return self.play(&reply);
        }
        if self.state.good_secrets.lock().unwrap().contains(&secret) {
            self.user = Some(user);
            self.say_one(&login.fine)
        } else {
            self.say_one(&login.refused)
        }
    }

    fn decoded(&mut self, text: &str) -> String {
        BASE64.decode(text).ok().and_then(|octets| String::from_utf8(octets).ok()).unwrap_or_else(|| {
            self.violation("a response of AUTH that is not base64");
            String::new()
        })
    }

    /// A challenge and the response to it.
    fn ask(&mut self, challenge: &str) -> io::Result<String> {
        self.say_one(challenge)?;
        self.line()?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn mail(&mut self, argument: &str) -> Go {
        if self.transaction.is_some() {
            self.violation("MAIL within a transaction");
            return self.say_one("503 5.5.1 Nested MAIL");
        }
        if let (Some(login), None) = (&self.state.description.login, &self.user) {
            let missing = login.missing.clone();
            return self.say_one(&missing);
        }
        for parameter in parameters(argument) {
            let (keyword, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let keyword = keyword.to_ascii_uppercase();
            let offered = match (keyword.as_str(), value) {
                ("BODY", "7BIT" | "8BITMIME") => "8BITMIME",
                ("BODY", "BINARYMIME") => {
                    // Where it is offered as well: what comes as octets cannot go on to a server that takes lines.
                    self.violation("BODY=BINARYMIME");
                    "BINARYMIME"
                }
                ("RET" | "ENVID", _) => "DSN",
                (other, _) => other,
            };
            if !self.state.description.offers(offered) {
                self.violation(&format!("{parameter} of MAIL, where {offered} is not offered"));
                return self.say_one("555 5.5.2 Syntax error, cannot decode parameter");
            }
            if let (Some(most), Ok(size)) = (self.state.description.size(), value.parse::<usize>())
                && keyword == "SIZE"
                && size > most
            {
                self.violation("MAIL with a SIZE above what is offered");
                return self.say_one("552 5.3.4 Message size exceeds fixed limit");
            }
        }
        if !path(argument).is_ascii() && !parameters(argument).any(|parameter| parameter.eq_ignore_ascii_case("SMTPUTF8")) {
            self.violation("an address outside of ASCII without SMTPUTF8");
        }
        if let Some(scripted) = self.state.scripted(At::Mail, local_part(path(argument))) {
            let reply = scripted.reply.clone();
            return self.play(&reply);
        }
        let tls = matches!(self.stream, Stream::Tls(_));
        let taken = Taken { mail: argument.to_owned(), tls, user: self.user.clone(), ..Taken::default() };
        self.transaction = Some(Transaction { taken, ..Transaction::default() });
        let fine = self.state.description.fine.mail.clone();
        self.say_one(&fine)
    }

    fn rcpt(&mut self, argument: &str) -> Go {
        let Some(transaction) = &self.transaction else {
            // RFC 2920 §3.1: it may be pipelined behind a MAIL that was refused.
            return self.say_one("503 5.5.1 MAIL first");
        };
        let utf8 = parameters(&transaction.taken.mail).any(|parameter| parameter.eq_ignore_ascii_case("SMTPUTF8"));
        let domain_of = |argument: &str| path(argument).rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let domain = domain_of(argument);
        let of_the_same = transaction.taken.rcpts.iter().filter(|rcpt| domain_of(rcpt) == domain).count();
        let another_domain = of_the_same == 0 && !transaction.taken.rcpts.is_empty();
        for parameter in parameters(argument) {
            if !self.state.description.offers("DSN") {
                self.violation(&format!("{parameter} of RCPT, where DSN is not offered"));
                return self.say_one("555 5.5.2 Syntax error, cannot decode parameter");
            }
        }
        if !path(argument).is_ascii() && !utf8 {
            self.violation("an address outside of ASCII without SMTPUTF8");
        }
        let limits = self.state.description.limits.clone();
        if let Some(limit) = limits.domains.filter(|limit| another_domain && limit.most == 1) {
            self.violation("two recipient domains in one transaction");
            if let Some(reply) = limit.reply {
                return self.say_one(&reply);
            }
        }
        if let Some(limit) = limits.recipients_of_a_domain.filter(|limit| of_the_same >= limit.most) {
            return self.say_one(&limit.reply.unwrap_or_else(|| "452 4.5.3 Too many recipients".to_owned()));
        }
        let name = local_part(path(argument));
        if let Some(scripted) = self.state.scripted(At::Rcpt, name) {
            let reply = scripted.reply.clone();
            return self.play(&reply);
        }
        let later = |at| self.state.scripted(at, name).map(|scripted| scripted.reply.clone());
        let (at_data, at_dot) = (later(At::Data), later(At::Dot));
        if let Some(transaction) = &mut self.transaction {
            transaction.at_data = transaction.at_data.take().or(at_data);
            transaction.at_dot = transaction.at_dot.take().or(at_dot);
            transaction.taken.rcpts.push(argument.to_owned());
        }
        let fine = self.state.description.fine.rcpt.clone();
        self.say_one(&fine)
    }

    fn data(&mut self) -> Go {
        let Some(transaction) = self.transaction.as_mut().filter(|transaction| !transaction.taken.rcpts.is_empty()) else {
            return self.say_one("503 5.5.1 No valid recipients");
        };
        if transaction.chunked {
            self.violation("DATA after BDAT");
            return self.say_one("503 5.5.1 BDAT was begun");
        }
        if let Some(reply) = transaction.at_data.take() {
            self.transaction = None;
            return self.play(&reply);
        }
        let go_ahead = self.state.description.fine.data.clone();
        self.say_one(&go_ahead)?;
        let data = self.content()?;
        self.finish(data)
    }

    /// To the final dot; only CRLF ends a line (RFC 5321 §2.3.8).
    fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let Some(end) = memchr::memchr(b'\n', &self.ahead) else {
                    line.append(&mut self.ahead);
                    self.read()?;
                    continue;
                };
                line.extend(self.ahead.drain(..=end));
            }
            if line == b".\r\n" {
                return Ok(data);
            }
            data.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// RFC 3030 §2.
    fn bdat(&mut self, argument: &str) -> Go {
        let (size, last) = argument.split_once(' ').map_or((argument, false), |(size, last)| (size, last.eq_ignore_ascii_case("LAST")));
        let Ok(size) = size.parse::<usize>() else {
            self.violation(&format!("BDAT {argument}"));
            return self.say_one("501 5.5.4 Syntax error");
        };
        if !self.state.description.offers("CHUNKING") {
            self.violation("BDAT where CHUNKING is not offered");
        }
        while self.ahead.len() < size {
            self.read()?;
        }
        let chunk: Vec<u8> = self.ahead.drain(..size).collect();
        let Some(transaction) = self.transaction.as_mut().filter(|transaction| !transaction.taken.rcpts.is_empty()) else {
            return self.say_one("503 5.5.1 No valid recipients");
        };
        transaction.chunked = true;
        transaction.chunks.extend_from_slice(&chunk);
        if let Some(reply) = transaction.at_data.take() {
            self.transaction = None;
            return self.play(&reply);
        }
        if !last {
            return self.say_one(&format!("250 2.0.0 {size} octets received"));
        }
        let data = std::mem::take(&mut transaction.chunks);
        self.finish(data)
    }

    /// The content is whole.
    fn finish(&mut self, data: Vec<u8>) -> Go {
        let Some(Transaction { mut taken, at_dot, .. }) = self.transaction.take() else { return Ok(false) };
        let announced = parameters(&taken.mail).any(|parameter| parameter.eq_ignore_ascii_case("BODY=8BITMIME"));
        for fault in content::faults(&data, announced) {
            self.violation(fault);
        }
        if let Some(reply) = at_dot {
            return self.play(&reply);
        }
        taken.data = data;
        self.state.keep(taken);
        let fine = self.state.description.fine.dot.clone();
        self.say_one(&fine)
    }

    /// A scripted reply; 421 ends the session (RFC 5321 §3.8).
    fn play(&mut self, reply: &[String]) -> Go {
        self.say(reply)?;
        Ok(!reply.first().is_some_and(|line| line.starts_with("421")))
    }

    fn say_one(&mut self, line: &str) -> Go {
        self.say(&[line.to_owned()])
    }

    fn say(&mut self, lines: &[String]) -> Go {
        let id = format!("41be03b00d2f7-{:08x}", self.number);
        let text: String = lines.iter().map(|line| line.replace("{client}", &self.client).replace("{id}", &id) + "\r\n").collect();
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(text.as_bytes())?,
            Stream::Tls(stream) => {
                stream.write_all(text.as_bytes())?;
                stream.flush()?;
            }
            Stream::Gone => return Ok(false),
        }
        Ok(true)
    }

    /// A command; `None` when the client has gone.
    fn line(&mut self) -> io::Result<Option<String>> {
        let end = loop {
            if let Some(end) = memchr::memchr(b'\n', &self.ahead) {
                break end;
            }
            if self.ahead.len() > LINE_BYTES_MAX {
                self.violation("a command without an end");
                return Ok(None);
            }
            if self.read().is_err() {
                return Ok(None);
            }
        };
        let line: Vec<u8> = self.ahead.drain(..=end).collect();
        let Some(line) = line.strip_suffix(b"\r\n") else {
            self.violation("a command that ends with a bare LF");
            return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
        };
        if line.contains(&b'\r') {
            self.violation("a bare CR in a command");
        }
        let line = String::from_utf8_lossy(line).into_owned();
        self.state.seen.lock().unwrap().dialogue.push(format!("{} {line}", self.number));
        Ok(Some(line))
    }

    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16_384];
        let read = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer)?,
            Stream::Tls(stream) => stream.read(&mut buffer)?,
            Stream::Gone => 0,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.ahead.extend_from_slice(&buffer[..read]);
        Ok(())
    }

    /// Whether the client has sent more than it may have by now.
    fn has_ahead(&self) -> bool {
        let Stream::Plain(stream) = &self.stream else { return !self.ahead.is_empty() };
        let waits = || {
            stream.set_nonblocking(true).ok()?;
            let peeked = stream.peek(&mut [0]);
            stream.set_nonblocking(false).ok()?;
            peeked.ok().filter(|read| *read > 0)
        };
        !self.ahead.is_empty() || waits().is_some()
    }

    fn violation(&self, what: &str) {
        self.state.violation(format!("connection {}: {what}", self.number));
    }

    fn close(self) -> io::Result<()> {
        match self.stream {
            Stream::Plain(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tls(mut stream) => {
                stream.conn.send_close_notify();
                stream.flush()
            }
            Stream::Gone => Ok(()),
        }
    }
}

/// Between the angle brackets; a quoted local part may hold some.
pub(super) fn path(argument: &str) -> &str {
    let begin = argument.find('<').map_or(0, |at| at + 1);
    let mut quoted = false;
    let end = argument[begin..].find(|c| {
        quoted ^= c == '"';
        c == '>' && !quoted
    });
    end.map_or(&argument[begin..], |end| &argument[begin..begin + end])
}

/// What stands behind the path.
fn parameters(argument: &str) -> impl Iterator<Item = &str> {
    let path = path(argument);
    let begin = path.as_ptr() as usize - argument.as_ptr() as usize + path.len() + 1;
    argument.get(begin..).unwrap_or_default().split_ascii_whitespace()
}

fn local_part(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(local_part, _)| local_part)
}
