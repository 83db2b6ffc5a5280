//! The server's session (RFC 5321 §4): bytes and a clock in, events and bytes out.
//!
//! The driver reads into [`Session::input`] and calls [`Session::poll`] until it returns [`Event::NeedInput`] or
//! [`Event::Close`]; events that ask for a decision are answered with [`Session::answer`], a message with
//! [`Session::finish_message`]. Replies gather in [`Session::output`], so that a pipelined group of commands is answered with
//! one write (RFC 2920 §3.2).
//!
//! - At most one decision is outstanding, and no input is consumed while one is.
//! - What the session does depends on the bytes, never on how the network cut them.
//! - Nothing that came before a TLS handshake is parsed or remembered after it (RFC 3207 §4.2, §5).
//! - An idle session holds no input buffer. A driver keeps it so by waiting for the socket to be readable before it reserves space.

mod config;
mod line;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};

pub use self::config::SessionConfig;
use self::line::Line;
use super::{Address, Command, Decoder, MailParameters, Reply, ReversePath, replies};
use crate::limits::SESSION_OUTPUT_BYTES_KEPT;

/// One connection of a client.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    input: BytesMut,
    output: BytesMut,
    state: State,
    transaction: Option<Transaction>,
    /// An event to return before anything else is looked at.
    pending: Option<Event>,
    /// HELO or EHLO was accepted.
    greeted: bool,
    tls: bool,
    first_command: bool,
    shutting_down: bool,
    errors: u32,
    junk_commands: u32,
    messages: u32,
    started: Instant,
    /// When the session last began to wait for a command, for data, or for more data.
    waiting_since: Instant,
    /// When the session last began to wait for a command or for data.
    phase_since: Instant,
    /// The driver has answered: the clock starts anew with the next poll, which knows the time.
    clock_stale: bool,
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Event {
    /// Write the output, then read more, or wait for the deadline.
    NeedInput,
    /// HELO or EHLO; to be answered.
    Helo {
        /// Its argument, safe to log.
        name: Arc<str>,
        /// EHLO.
        extended: bool,
    },
    /// MAIL; to be answered. A SIZE over the limit has been refused already.
    Mail {
        /// The sender.
        reverse_path: ReversePath,
        /// The declared size (RFC 1870).
        size: Option<u64>,
        /// SMTPUTF8 was given (RFC 6531).
        smtputf8: bool,
        /// BODY=8BITMIME was given (RFC 6152).
        eight_bit: bool,
    },
    /// RCPT, while the transaction has room; to be answered.
    Rcpt {
        /// The recipient.
        address: Address,
        /// The transaction has SMTPUTF8.
        smtputf8: bool,
    },
    /// DATA, with at least one recipient; to be answered. `Ok` sends the 354.
    Data,
    /// The whole message, decoded; [`Session::finish_message`] answers it.
    Message {
        /// The content as the client meant it.
        data: Bytes,
    },
    /// The output holds the 220. The driver writes it, gives what is left in the input to the TLS handshake, then calls
    /// [`Session::tls_established`].
    StartTls,
    /// The transaction is gone: RSET, HELO, EHLO, STARTTLS, or a message that the session itself has refused at its end.
    Reset,
    /// Write the output and close the connection.
    Close,
}

/// An accepted MAIL and what followed.
#[derive(Clone, Copy, Debug)]
struct Transaction {
    parameters: MailParameters,
    /// RCPT commands, refused ones included.
    attempts: usize,
    /// RCPT commands accepted.
    recipients: usize,
}

#[derive(Debug)]
enum State {
    /// Nothing has been said.
    Start,
    /// Between commands.
    Command,
    /// In a command line that is too long, the rest of which is thrown away.
    LongLine,
    /// Waiting for the driver's answer.
    Asked(Question),
    /// Receiving a message.
    Data(Decoder),
    /// Waiting for the reply to a message.
    Message,
    /// The 220 to STARTTLS is queued.
    Handshake,
    /// The last reply is queued.
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Helo { extended: bool },
    Mail(MailParameters),
    Rcpt,
    Data,
}

impl Session {
    /// A session that has said nothing yet. With implicit TLS, [`Self::tls_established`] comes before [`Self::greet`].
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        Self {
            config,
            input: BytesMut::new(),
            output: BytesMut::new(),
            state: State::Start,
            transaction: None,
            pending: None,
            greeted: false,
            tls: false,
            first_command: true,
            shutting_down: false,
            errors: 0,
            junk_commands: 0,
            messages: 0,
            started: now,
            waiting_since: now,
            phase_since: now,
            clock_stale: false,
        }
    }

    /// Queues the greeting. RFC 5321 §4.2 wants the host name first; RFC 2034 §4 wants no status here.
    pub fn greet(&mut self) {
        self.queue(&Reply::new(220, None, format!("{} ESMTP", self.config.hostname)));
        self.enter(State::Command);
    }

    /// Queues `reply` (554 or 421) in place of the greeting, then closes.
    pub fn refuse_connection(&mut self, reply: &Reply) {
        self.close_with(reply);
    }

    /// The client spoke before the greeting: refuses and closes.
    pub fn early_talker(&mut self) {
        self.close_with(&replies::EARLY_TALKER);
    }

    /// Where the driver puts what it has read.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// What the driver is to write and to clear.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Consumes input until there is something to do.
    pub fn poll(&mut self, now: Instant) -> Event {
        if mem::take(&mut self.clock_stale) {
            self.restart_clock(now);
        }
        loop {
            if let Some(event) = self.pending.take() {
                return event;
            }
            let event = match self.state {
                State::Command => self.read_command(now),
                State::LongLine => self.skip_line(now),
                State::Data(_) => self.read_data(now),
                State::Start | State::Asked(_) | State::Message | State::Handshake => Some(Event::NeedInput),
                State::Closed => Some(Event::Close),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Answers [`Event::Helo`], [`Event::Mail`], [`Event::Rcpt`] or [`Event::Data`]: `Ok` is the standard positive reply. A reply of
    /// 421 also ends the session. Without a question it does nothing.
    pub fn answer(&mut self, decision: Result<(), Reply>) {
        let State::Asked(question) = self.state else { return };
        self.enter(State::Command);
        match (decision, question) {
            (Err(reply), _) => self.refuse(&reply),
            (Ok(()), Question::Helo { extended }) => {
                let reply = if extended { self.ehlo_reply() } else { Reply::new(250, None, &self.config.hostname) };
                self.queue(&reply);
                self.greeted = true;
                // RFC 5321 §4.1.4: a later EHLO resets like RSET.
                self.drop_transaction();
            }
            (Ok(()), Question::Mail(parameters)) => {
                self.queue(&replies::SENDER_OK);
                self.transaction = Some(Transaction { parameters, attempts: 0, recipients: 0 });
            }
            (Ok(()), Question::Rcpt) => {
                self.queue(&replies::RECIPIENT_OK);
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients = transaction.recipients.saturating_add(1);
                }
            }
            // Nothing is lost yet, so this is the last moment at which leaving costs the client nothing.
            (Ok(()), Question::Data) if self.shutting_down => self.close_with(&replies::SHUTTING_DOWN),
            (Ok(()), Question::Data) => {
                self.queue(&replies::START_MAIL_INPUT);
                self.messages = self.messages.saturating_add(1);
                let declared_bytes = self.transaction.as_ref().and_then(|transaction| transaction.parameters.size);
                self.enter(State::Data(Decoder::new(self.config.message_bytes_max, declared_bytes)));
            }
        }
    }

    /// The final reply to [`Event::Message`]; the transaction ends with it.
    pub fn finish_message(&mut self, reply: Reply) {
        if !matches!(self.state, State::Message) {
            return;
        }
        self.transaction = None;
        self.enter(State::Command);
        if reply.is_positive() {
            // Who sends mail that is taken is no nuisance, however long the session (Postfix forgives in the same place).
            self.errors = 0;
            self.junk_commands = 0;
        }
        self.refuse(&reply);
    }

    /// The handshake is done: forgets all that the client has said (RFC 3207 §4.2). Input that the driver has not given to the
    /// handshake came in plain text and is dropped.
    pub fn tls_established(&mut self) {
        self.input = BytesMut::new();
        self.tls = true;
        self.greeted = false;
        self.transaction = None;
        if matches!(self.state, State::Handshake) {
            self.enter(State::Command);
        }
    }

    /// Drops the part of the message that has arrived, reads the rest without keeping it, then answers with `reply`.
    pub fn shed(&mut self, reply: Reply) {
        if let State::Data(decoder) = &mut self.state {
            decoder.shed(reply);
        }
    }

    /// Ends the session with 421 at the next command boundary; a message that is being received is received and answered first.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
    }

    /// Memory held for the message that is being received.
    pub fn message_bytes_buffered(&self) -> usize {
        if let State::Data(decoder) = &self.state { decoder.bytes_buffered() } else { 0 }
    }

    /// When to poll again although nothing has come: the session then ends with 421.
    pub fn deadline(&self) -> Instant {
        let session_since = if matches!(self.state, State::Data(_)) { self.phase_since } else { self.started };
        later(self.waiting_since, self.config.idle_timeout).min(later(session_since, self.config.session_timeout))
    }

    // ---- input ----

    fn read_command(&mut self, now: Instant) -> Option<Event> {
        if self.shutting_down {
            return self.closed_with(&replies::SHUTTING_DOWN);
        }
        if now >= later(self.started, self.config.session_timeout) {
            return self.closed_with(&replies::SESSION_TOO_LONG);
        }
        let (line, length) = match line::find(&self.input) {
            Line::Partial => return self.need_input(now),
            Line::TooLong(start) => {
                if self.first_command && line::is_http(start) {
                    return self.closed_with(&replies::NOT_HTTP);
                }
                self.state = State::LongLine;
                return None;
            }
            Line::Complete { line, length } => (line, length),
        };
        if mem::take(&mut self.first_command) && line::is_http(line) {
            return self.closed_with(&replies::NOT_HTTP);
        }
        let smtputf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.parameters.smtputf8);
        let command = Command::parse(line, smtputf8);
        self.input.advance(length);
        self.restart_clock(now);
        match command {
            Ok(command) => self.execute(command),
            Err(reply) => self.refused(&reply),
        }
    }

    fn skip_line(&mut self, now: Instant) -> Option<Event> {
        if !line::skip(&mut self.input) {
            return self.need_input(now);
        }
        self.first_command = false;
        self.state = State::Command;
        self.restart_clock(now);
        self.refused(&replies::LINE_TOO_LONG)
    }

    fn read_data(&mut self, now: Instant) -> Option<Event> {
        let State::Data(decoder) = &mut self.state else { return None };
        let consumed = decoder.decode(&self.input);
        if consumed > 0 {
            self.waiting_since = now;
            self.input.advance(consumed);
        }
        if !decoder.is_complete() {
            return self.need_input(now);
        }
        let State::Data(decoder) = mem::replace(&mut self.state, State::Message) else { return None };
        match decoder.finish() {
            Ok(message) => Some(Event::Message { data: Bytes::from(message) }),
            Err(reply) => {
                self.state = State::Command;
                self.restart_clock(now);
                self.drop_transaction();
                self.refused(&reply)
            }
        }
    }

    fn need_input(&mut self, now: Instant) -> Option<Event> {
        if now >= self.deadline() {
            return self.closed_with(&replies::TIMEOUT);
        }
        if self.input.is_empty() && !matches!(self.state, State::Data(_)) {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() && self.output.capacity() > SESSION_OUTPUT_BYTES_KEPT {
            self.output = BytesMut::new();
        }
        Some(Event::NeedInput)
    }

    // ---- commands ----

    fn execute(&mut self, command: Command) -> Option<Event> {
        if self.config.tls_required && !self.tls && needs_tls(&command) {
            return self.refused(&replies::TLS_REQUIRED);
        }
        match command {
            Command::Helo { name, extended } => {
                // The first one is needed; those that follow carry no mail.
                if self.greeted && self.is_too_much_junk() {
                    return self.closed_with(&replies::TOO_MUCH_JUNK);
                }
                self.ask(Question::Helo { extended }, Event::Helo { name, extended })
            }
            Command::Mail { reverse_path, parameters } => self.mail(reverse_path, parameters),
            Command::Rcpt { address } => self.rcpt(address),
            Command::Data => self.data(),
            Command::StartTls => self.start_tls(),
            Command::Quit => self.closed_with(&replies::BYE),
            Command::Rset | Command::Noop | Command::Vrfy | Command::Help if self.is_too_much_junk() => {
                self.closed_with(&replies::TOO_MUCH_JUNK)
            }
            Command::Rset => {
                self.drop_transaction();
                self.reply(&replies::OK)
            }
            Command::Noop => self.reply(&replies::OK),
            Command::Vrfy => self.reply(&replies::NOT_VERIFIED),
            Command::Help => self.reply(&replies::HELP),
        }
    }

    fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Option<Event> {
        let MailParameters { size, eight_bit, smtputf8 } = parameters;
        if !self.greeted {
            return self.refused(&replies::NEED_HELO);
        }
        if self.transaction.is_some() {
            return self.refused(&replies::NESTED_MAIL);
        }
        if self.messages >= self.config.messages_max {
            return self.closed_with(&replies::TOO_MANY_MESSAGES);
        }
        if size.is_some_and(|size| size > self.config.message_bytes_max) {
            return self.refused(&replies::MESSAGE_TOO_LARGE);
        }
        self.ask(Question::Mail(parameters), Event::Mail { reverse_path, size, smtputf8, eight_bit })
    }

    fn rcpt(&mut self, address: Address) -> Option<Event> {
        let recipients_max = self.config.recipients_max;
        let Some(transaction) = &mut self.transaction else { return self.refused(&replies::NEED_MAIL) };
        transaction.attempts = transaction.attempts.saturating_add(1);
        // RFC 5321 §4.5.3.1.10 has the client send the rest later, so going on for a while is no error; going on for ever is.
        let endless = transaction.attempts > recipients_max.saturating_mul(2);
        let smtputf8 = transaction.parameters.smtputf8;
        if endless || transaction.recipients >= recipients_max {
            self.queue(&replies::TOO_MANY_RECIPIENTS);
            if endless {
                self.count_error();
            }
            return None;
        }
        self.ask(Question::Rcpt, Event::Rcpt { address, smtputf8 })
    }

    fn data(&mut self) -> Option<Event> {
        // RFC 5321 §4.1.1.4; with pipelining the client sends DATA before it knows of the refusals (RFC 2920 §3.1).
        match self.transaction {
            None => self.refused(&replies::NEED_MAIL),
            Some(Transaction { attempts: 0, .. }) => self.refused(&replies::NEED_RCPT),
            Some(Transaction { recipients: 0, .. }) => self.refused(&replies::NO_VALID_RECIPIENTS),
            Some(_) => self.ask(Question::Data, Event::Data),
        }
    }

    fn start_tls(&mut self) -> Option<Event> {
        if self.tls {
            return self.refused(&replies::TLS_ALREADY);
        }
        if !self.config.starttls {
            return self.refused(&replies::NOT_IMPLEMENTED);
        }
        self.queue(&replies::READY_FOR_TLS);
        self.state = State::Handshake;
        // The envelope goes first, so that nothing of it is left when the handshake begins.
        if self.transaction.take().is_some() {
            self.pending = Some(Event::StartTls);
            return Some(Event::Reset);
        }
        Some(Event::StartTls)
    }

    fn ehlo_reply(&self) -> Reply {
        let mut text = format!("{}\nPIPELINING\nSIZE {}\n", self.config.hostname, self.config.message_bytes_max);
        if self.config.starttls && !self.tls {
            text.push_str("STARTTLS\n");
        }
        text.push_str("8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES");
        Reply::new(250, None, text)
    }

    // ---- small steps; an event among them is for poll to return, none means that poll goes on ----

    fn ask(&mut self, question: Question, event: Event) -> Option<Event> {
        self.state = State::Asked(question);
        Some(event)
    }

    fn reply(&mut self, reply: &Reply) -> Option<Event> {
        self.queue(reply);
        None
    }

    fn refused(&mut self, reply: &Reply) -> Option<Event> {
        self.refuse(reply);
        None
    }

    fn closed_with(&mut self, reply: &Reply) -> Option<Event> {
        self.close_with(reply);
        None
    }

    /// Queues a reply that may be negative, and draws the consequences.
    fn refuse(&mut self, reply: &Reply) {
        self.queue(reply);
        if reply.code == 421 {
            // RFC 5321 §3.8: who says 421 closes.
            self.close();
        } else if reply.is_permanent() {
            self.count_error();
        }
    }

    fn count_error(&mut self) {
        self.errors = self.errors.saturating_add(1);
        if self.errors >= self.config.errors_max {
            self.close_with(&replies::TOO_MANY_ERRORS);
        }
    }

    fn is_too_much_junk(&mut self) -> bool {
        self.junk_commands = self.junk_commands.saturating_add(1);
        self.junk_commands > self.config.junk_commands_max
    }

    fn drop_transaction(&mut self) {
        if self.transaction.take().is_some() {
            self.pending = Some(Event::Reset);
        }
    }

    fn close_with(&mut self, reply: &Reply) {
        self.queue(reply);
        self.close();
    }

    fn close(&mut self) {
        self.state = State::Closed;
        self.transaction = None;
        self.input = BytesMut::new();
    }

    fn restart_clock(&mut self, now: Instant) {
        self.waiting_since = now;
        self.phase_since = now;
    }

    /// A state that the driver's call led to, at a time that only the next poll knows.
    fn enter(&mut self, state: State) {
        self.state = state;
        self.clock_stale = true;
    }

    fn queue(&mut self, reply: &Reply) {
        reply.encode(&mut self.output);
    }
}

/// RFC 3207 §4: without TLS only NOOP, EHLO, STARTTLS and QUIT are served; RSET and HELP do no harm.
fn needs_tls(command: &Command) -> bool {
    matches!(command, Command::Mail { .. } | Command::Rcpt { .. } | Command::Data | Command::Vrfy)
}

fn later(start: Instant, timeout: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    start.checked_add(timeout).or_else(|| start.checked_add(DAY)).unwrap_or(start)
}
