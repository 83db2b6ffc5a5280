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

mod auth;
mod chunking;
mod commands;
mod config;
mod line;
mod receive;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use self::chunking::Chunk;
pub use self::config::{SessionConfig, Strain};
use super::body::Body;
use super::{Address, Chunks, Decoder, Login, MailParameters, RcptParameters, Reply, ReversePath, replies};

/// One connection of a client. It has no `Debug`: unread input may hold a password.
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
    /// A login was accepted.
    authenticated: bool,
    first_command: bool,
    shutting_down: bool,
    errors: u32,
    logins_refused: u32,
    /// Recipients refused for good, and accepted.
    bad_recipients: u32,
    good_recipients: u32,
    junk_commands: u32,
    messages: u32,
    strain: Option<Strain>,
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
    /// A login (RFC 4954); to be answered. `Ok` sends the 235. A refusal is 535 5.7.8 when it is wrong, and 454 4.7.0 when that
    /// cannot be told now.
    Auth {
        /// What the client claims.
        login: Login,
    },
    /// MAIL; to be answered. A SIZE over the limit has been refused already.
    Mail {
        /// The sender.
        reverse_path: ReversePath,
        /// What it asks for.
        parameters: MailParameters,
    },
    /// RCPT, while the transaction has room; to be answered.
    Rcpt {
        /// The recipient.
        address: Address,
        /// What is asked for it.
        parameters: RcptParameters,
    },
    /// DATA or a first BDAT, with at least one recipient; to be answered. `Ok` begins to read the message.
    Data,
    /// The whole message, decoded; [`Session::finish_message`] answers it.
    Message {
        /// The content as the client meant it, behind what [`Session::take_message_bytes`] gave away. In all of it, CR and LF stand
        /// together or not at all.
        data: Bytes,
        /// Octets that were given away. If there are none, what was given away before belongs to a message that was refused.
        taken: usize,
    },
    /// The output holds the 220. The driver writes it, gives what is left in the input to the TLS handshake, then calls
    /// [`Session::tls_established`].
    StartTls,
    /// The transaction is gone: RSET, HELO, EHLO, STARTTLS, or a message that the session itself has refused at its end.
    Reset,
    /// The session itself refused something and has said so; for the log.
    Refused {
        /// What the client was told.
        reply: Reply,
    },
    /// Write the output and close the connection.
    Close,
}

/// An accepted MAIL and what followed.
#[derive(Debug)]
struct Transaction {
    parameters: MailParameters,
    /// RCPT commands, refused ones included.
    attempts: usize,
    /// RCPT commands accepted.
    recipients: usize,
    /// What has come by BDAT, between the first chunk and the last.
    chunks: Option<Box<Chunks>>,
    /// A chunk was refused: those behind it are, too.
    chunk_refused: bool,
    /// A recipient was over the limit.
    full: bool,
}

#[derive(Debug)]
enum State {
    /// Nothing has been said.
    Start,
    /// Between commands.
    Command,
    /// In a command line that is too long, the rest of which is thrown away before this is said.
    LongLine(&'static Reply),
    /// Waiting for the driver's answer.
    Asked(Question),
    /// Waiting for the response to a challenge of AUTH.
    Auth(self::auth::Exchange),
    /// Receiving a message.
    Data(Decoder),
    /// Receiving a chunk of one.
    Chunk(Box<Chunk>),
    /// Waiting for the reply to a message.
    Message,
    /// The 220 to STARTTLS is queued.
    Handshake,
    /// The last reply is queued.
    Closed,
}

#[derive(Debug)]
enum Question {
    Helo { extended: bool },
    Auth,
    Mail(MailParameters),
    Rcpt,
    Data,
    Bdat { bytes: u64, last: bool },
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
            authenticated: false,
            first_command: true,
            shutting_down: false,
            errors: 0,
            logins_refused: 0,
            bad_recipients: 0,
            good_recipients: 0,
            junk_commands: 0,
            messages: 0,
            strain: None,
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
        self.pending = self.closed_with(&replies::EARLY_TALKER);
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
                State::LongLine(reply) => self.skip_line(reply, now),
                State::Auth(_) => self.read_response(now),
                State::Data(_) => self.read_data(now),
                State::Chunk(_) => self.read_chunk(now),
                State::Start | State::Asked(_) | State::Message | State::Handshake => Some(Event::NeedInput),
                State::Closed => Some(Event::Close),
            };
            if let Some(event) = event {
                return event;
            }
        }
    }

    /// Answers [`Event::Helo`], [`Event::Auth`], [`Event::Mail`], [`Event::Rcpt`] or [`Event::Data`]: `Ok` is the standard positive reply. A reply of
    /// 421 also ends the session. Without a question it does nothing.
    pub fn answer(&mut self, decision: Result<(), Reply>) {
        let question = match mem::replace(&mut self.state, State::Command) {
            State::Asked(question) => question,
            other => {
                self.state = other;
                return;
            }
        };
        self.enter(State::Command);
        match (decision, question) {
            (decision, Question::Bdat { bytes, last }) => self.answer_bdat(bytes, last, decision),
            (Err(reply), Question::Auth) if reply.is_permanent() => self.login_refused(&reply),
            (Err(reply), Question::Rcpt) if reply.is_permanent() => {
                self.queue(&reply);
                self.count_bad_recipient();
            }
            (Err(reply), question) => {
                self.refuse(&reply);
                // A refusal for now is no error of the client's, but it may not ask for ever. RCPT has a bound of its own.
                let open = !matches!(self.state, State::Closed);
                if open && !reply.is_permanent() && !matches!(question, Question::Rcpt) && self.is_too_much_junk() {
                    self.close_with(&replies::TOO_MUCH_JUNK);
                }
            }
            (Ok(()), Question::Helo { extended }) => {
                let reply = if extended { self.ehlo_reply() } else { Reply::new(250, None, &self.config.hostname) };
                self.queue(&reply);
                self.greeted = true;
                // RFC 5321 §4.1.4: a later EHLO resets like RSET.
                self.drop_transaction();
            }
            (Ok(()), Question::Auth) => {
                // RFC 4954 §4: without a security layer, what was said before stays.
                self.queue(&replies::AUTH_OK);
                self.authenticated = true;
            }
            (Ok(()), Question::Mail(parameters)) => {
                self.queue(&replies::SENDER_OK);
                self.transaction =
                    Some(Transaction { parameters, attempts: 0, recipients: 0, chunks: None, chunk_refused: false, full: false });
            }
            (Ok(()), Question::Rcpt) => {
                self.queue(&replies::RECIPIENT_OK);
                self.good_recipients = self.good_recipients.saturating_add(1);
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
            self.bad_recipients = 0;
            self.good_recipients = 0;
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
        self.authenticated = false;
        self.transaction = None;
        if matches!(self.state, State::Handshake) {
            self.enter(State::Command);
        }
    }

    /// Drops the part of the message that has arrived, reads the rest without keeping it, then answers with `reply`.
    pub fn shed(&mut self, reply: Reply) {
        if let State::Data(decoder) = &mut self.state {
            decoder.shed(reply);
        } else if let Some(chunks) = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut()) {
            chunks.shed(reply);
        }
    }

    /// Ends the session with 421 at the next command boundary; a message that is being received is received and answered first.
    pub fn shut_down(&mut self) {
        self.shutting_down = true;
    }

    /// Less patience from now on, or with `None` as much as configured; [`Self::deadline`] may be another one.
    pub fn strain(&mut self, strain: Option<Strain>) {
        self.strain = strain;
    }

    /// Memory held for the message that is being received.
    pub fn message_bytes_buffered(&self) -> usize {
        self.body().map_or(0, Body::bytes_buffered)
    }

    /// Octets of the message under way that are held.
    pub fn message_bytes_held(&self) -> usize {
        self.body().map_or(0, Body::bytes_held)
    }

    /// Octets of the message under way that were given away and are still wanted: none when there is no such message, or when it will
    /// be refused.
    pub fn message_bytes_taken(&self) -> usize {
        self.body().map_or(0, Body::bytes_taken)
    }

    /// Gives away what is held of the message under way, so that it need not be in memory: what comes of it later, [`Event::Message`]
    /// at the latest, goes on behind it.
    pub fn take_message_bytes(&mut self) -> Bytes {
        let body = match &mut self.state {
            State::Data(decoder) => Some(decoder.body_mut()),
            _ => self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut()).map(|chunks| chunks.body_mut()),
        };
        body.map_or_else(Bytes::new, |body| body.take().into())
    }

    /// What has come of the message under way.
    fn body(&self) -> Option<&Body> {
        match &self.state {
            State::Data(decoder) => Some(decoder.body()),
            _ => self.transaction.as_ref().and_then(|transaction| transaction.chunks.as_ref()).map(|chunks| chunks.body()),
        }
    }

    /// When to poll again although nothing has come: the session then ends with 421.
    pub fn deadline(&self) -> Instant {
        self.idle_deadline().min(self.session_deadline())
    }

    fn idle_deadline(&self) -> Instant {
        let strained =
            self.strain.filter(|_| !self.is_in_data() && !self.is_between_chunks()).map_or(Duration::MAX, |strain| strain.idle_timeout);
        later(self.waiting_since, self.config.idle_timeout.min(strained))
    }

    fn session_deadline(&self) -> Instant {
        later(if self.is_in_data() { self.phase_since } else { self.started }, self.config.session_timeout)
    }

    fn is_in_data(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk(_))
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
        Some(Event::Refused { reply: reply.clone() })
    }

    fn closed_with(&mut self, reply: &Reply) -> Option<Event> {
        self.close_with(reply);
        (!reply.is_positive()).then(|| Event::Refused { reply: reply.clone() })
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
        if self.errors >= self.patience(self.config.errors_max) {
            self.close_for(&replies::TOO_MANY_ERRORS);
        }
    }

    /// A list with some addresses that are gone has more that are good; who tries out addresses has not.
    fn count_bad_recipient(&mut self) {
        self.bad_recipients = self.bad_recipients.saturating_add(1);
        let max = self.patience(self.config.bad_recipients_max);
        if self.bad_recipients >= self.good_recipients.saturating_add(max) {
            self.close_for(&replies::TOO_MANY_BAD_RECIPIENTS);
        }
    }

    fn patience(&self, errors_max: u32) -> u32 {
        self.strain.map_or(errors_max, |strain| strain.errors_max.min(errors_max))
    }

    /// Closes beside the reply to a command, which is told first.
    pub(super) fn close_for(&mut self, reply: &Reply) {
        self.close_with(reply);
        self.pending = Some(Event::Refused { reply: reply.clone() });
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

fn later(start: Instant, timeout: Duration) -> Instant {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    start.checked_add(timeout).or_else(|| start.checked_add(DAY)).unwrap_or(start)
}
