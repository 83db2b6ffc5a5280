//! The client's session with a next hop (RFC 5321, RFC 2033) as a state machine: replies go in, commands and events come out.
//!
//! - A reply that does not fit what was asked ends the session; nothing is guessed.
//! - A recipient counts as taken only by a 2xx reply to the final dot that was sent after the whole content; in LMTP by its own one.
//! - Content goes out once a recipient is accepted, never before: by BDAT too, so that a next hop that does not read a refused chunk
//!   (RFC 3030 §2 says it must) takes no content for commands.
//! - What was learnt before STARTTLS is forgotten after it (RFC 3207 §4.2), and nothing may have been said between its reply and the handshake.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, BytesMut};

use super::client_auth::{Mechanism, SecretLine, exchange, exchange_token};
use super::client_types::{ClientError, Event, Extensions, Protocol, Stage, Transaction, Verdict};
use super::reply::Reply;
use super::reply_parser::ReplyParser;
use crate::limits::{RELAY_PIPELINE_BYTES_MAX, RELAY_REPLY_CHARS_MAX};

/// A session. The driver feeds what it reads, writes [`Self::take_output`], and acts on what [`Self::poll`] says.
#[derive(Debug)]
pub struct Client {
    hostname: Arc<str>,
    protocol: Protocol,
    parser: ReplyParser,
    output: BytesMut,
    /// Commands that wait for their turn.
    planned: VecDeque<(Stage, String)>,
    /// Commands that wait for their replies, in order.
    awaiting: VecDeque<Stage>,
    /// Octets of the commands that were sent since nothing was awaited.
    group_bytes: usize,
    extensions: Extensions,
    auth_answers: VecDeque<SecretLine>,
    verdicts: Vec<Verdict>,
    /// The content may be sent and is not complete.
    in_content: bool,
    /// The content of this transaction goes by BDAT.
    chunking: bool,
    /// MAIL was accepted and its transaction has not ended: RSET comes before the next.
    mail_open: bool,
    /// The transaction ends with RCPT.
    verifying: bool,
    reusable: bool,
}

impl Client {
    /// A session on a fresh connection; `hostname` is what EHLO says.
    pub fn new(hostname: Arc<str>) -> Self {
        Self::speaking(Protocol::Smtp, hostname)
    }

    /// The same in one of the protocols.
    pub fn speaking(protocol: Protocol, hostname: Arc<str>) -> Self {
        Self {
            hostname,
            protocol,
            parser: ReplyParser::default(),
            output: BytesMut::new(),
            planned: VecDeque::new(),
            awaiting: VecDeque::from([Stage::Greeting]),
            group_bytes: 0,
            extensions: Extensions::default(),
            auth_answers: VecDeque::new(),
            verdicts: Vec::new(),
            in_content: false,
            chunking: false,
            mail_open: false,
            verifying: false,
            reusable: true,
        }
    }

    /// Takes in what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parser.feed(bytes);
    }

    /// What is to be written now. It may hold a password: the driver wipes it after it was written.
    pub fn take_output(&mut self) -> BytesMut {
        self.output.split()
    }

    /// The next event, `None` when more has to be read (or written) first. After an error the connection is of no use.
    pub fn poll(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            let reply = match self.parser.next_reply() {
                Ok(Some(reply)) => reply,
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.reusable = false;
                    return Err(ClientError::Nonsense(error));
                }
            };
            match self.on_reply(reply) {
                Ok(None) => self.advance(),
                Ok(event) => return Ok(event),
                Err(error) => {
                    self.reusable = false;
                    return Err(error);
                }
            }
        }
    }

    /// Whether [`Self::take_output`] has something.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// What the next reply answers, for the driver's timer.
    pub fn awaited(&self) -> Option<Stage> {
        self.awaiting.front().copied()
    }

    /// What the last EHLO offered.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Asks for TLS.
    pub fn start_tls(&mut self) {
        self.plan(Stage::StartTls, "STARTTLS\r\n".to_owned());
        self.advance();
    }

    /// The handshake is done: all that was known is forgotten, EHLO comes again (RFC 3207 §4.2).
    pub fn tls_established(&mut self) {
        self.extensions = Extensions::default();
        self.parser = ReplyParser::default();
        self.plan_ehlo();
        self.advance();
    }

    /// Logs in; the driver has seen to it that the connection is one for secrets.
    pub fn authenticate(&mut self, mechanism: Mechanism, username: &str, password: &str) {
        self.say_auth(exchange(mechanism, username, password));
    }

    /// The same with an access token (XOAUTH2).
    pub fn authenticate_with_token(&mut self, user: &str, token: &str) {
        self.say_auth(exchange_token(user, token));
    }

    fn say_auth(&mut self, (command, answers): (SecretLine, VecDeque<SecretLine>)) {
        self.auth_answers = answers;
        self.output.put_slice(&command);
        self.awaiting.push_back(Stage::Auth);
    }

    /// Begins a transaction. What can be refused here is refused without a word to the next hop: then the event comes at once.
    pub fn begin(&mut self, transaction: &Transaction<'_>) -> Option<Event> {
        self.begin_until(transaction, false)
    }

    /// Begins a transaction that ends with RCPT and RSET; a recipient that is taken has the verdict [`Verdict::RecipientAccepted`].
    pub fn verify(&mut self, transaction: &Transaction<'_>) -> Option<Event> {
        self.begin_until(transaction, true)
    }

    fn begin_until(&mut self, transaction: &Transaction<'_>, rcpt: bool) -> Option<Event> {
        self.verifying = rcpt;
        self.verdicts = vec![Verdict::Pending; transaction.recipients.len()];
        if let Some(reply) = local::refusal(&self.extensions, transaction) {
            self.verdicts.fill(Verdict::Refused(Stage::Unsent, reply));
            return Some(Event::TransactionDone);
        }
        if self.mail_open {
            self.plan(Stage::Rset, "RSET\r\n".to_owned());
        }
        self.plan(Stage::Mail, local::mail(&self.extensions, transaction));
        for (place, recipient) in transaction.recipients.iter().enumerate() {
            self.plan(Stage::Rcpt(place), local::rcpt(&self.extensions, transaction, recipient));
        }
        self.chunking = !rcpt && transaction.chunking && self.extensions.chunking;
        if rcpt {
            self.plan(Stage::Rset, "RSET\r\n".to_owned());
        } else if !self.chunking {
            // RFC 2920 §3.1: DATA may end the group; then a 354 may come although nobody was accepted.
            self.plan(Stage::Data, "DATA\r\n".to_owned());
        }
        self.advance();
        None
    }

    /// The content was written, final dot included.
    pub fn content_sent(&mut self) {
        self.in_content = false;
        let accepted = self.verdicts.iter().filter(|verdict| **verdict == Verdict::RecipientAccepted).count();
        // RFC 2033 §4.2: one reply for each recipient that was accepted, in their order.
        let replies = if self.protocol == Protocol::Lmtp { accepted } else { 1 };
        self.awaiting.extend(std::iter::repeat_n(Stage::FinalDot, replies));
    }

    /// What is known of each recipient of the last transaction; also after an error.
    pub fn take_verdicts(&mut self) -> Vec<Verdict> {
        std::mem::take(&mut self.verdicts)
    }

    /// Whether another transaction can begin.
    pub fn is_reusable(&self) -> bool {
        self.reusable && !self.in_content && self.awaiting.is_empty() && self.planned.is_empty() && self.parser.is_empty()
    }

    /// Says goodbye.
    pub fn quit(&mut self) {
        self.reusable = false;
        self.plan(Stage::Quit, "QUIT\r\n".to_owned());
        self.advance();
    }

    fn plan(&mut self, stage: Stage, line: String) {
        self.planned.push_back((stage, line));
    }

    fn plan_ehlo(&mut self) {
        // RFC 2033 §4.1.
        let verb = if self.protocol == Protocol::Lmtp { "LHLO" } else { "EHLO" };
        self.plan(Stage::Ehlo, format!("{verb} {}\r\n", self.hostname));
    }

    /// Sends what may be sent: all of it with PIPELINING, in groups that fit a socket's buffers so that neither side waits for
    /// the other (RFC 2920 §3.1); else one command at a time.
    fn advance(&mut self) {
        if self.awaiting.is_empty() {
            self.group_bytes = 0;
        }
        while let Some((_, line)) = self.planned.front() {
            let group_bytes = self.group_bytes.saturating_add(line.len());
            if !self.awaiting.is_empty() && (!self.extensions.pipelining || group_bytes > RELAY_PIPELINE_BYTES_MAX) {
                return;
            }
            let Some((stage, line)) = self.planned.pop_front() else { return };
            self.group_bytes = group_bytes;
            self.output.put_slice(line.as_bytes());
            self.awaiting.push_back(stage);
        }
    }

    fn on_reply(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        let reply = match self.awaiting.front() {
            // All extensions count.
            Some(Stage::Ehlo) if reply.is_positive() => reply,
            // Half a password would be recognized by nobody who takes it out.
            Some(Stage::Auth) => reply,
            _ => reply.shortened(RELAY_REPLY_CHARS_MAX),
        };
        let Some(stage) = self.awaiting.pop_front() else {
            return self.on_early_reply(reply);
        };
        if reply.code == 421 {
            return self.on_shutdown(stage, reply);
        }
        match stage {
            Stage::Greeting => match class(&reply) {
                2 => Ok(self.planned_ehlo()),
                4 | 5 => Err(ClientError::Refused(stage, reply)),
                _ => Err(ClientError::Unexpected(stage, reply)),
            },
            Stage::Ehlo => self.on_ehlo(reply),
            Stage::Helo => match class(&reply) {
                2 => Ok(Some(Event::Ready)),
                4 | 5 => Err(ClientError::Refused(stage, reply)),
                _ => Err(ClientError::Unexpected(stage, reply)),
            },
            Stage::StartTls => match class(&reply) {
                2 if self.parser.is_empty() => Ok(Some(Event::StartTls)),
                2 => Err(ClientError::Injection),
                4 | 5 => Ok(Some(Event::StartTlsRefused(reply))),
                _ => Err(ClientError::Unexpected(stage, reply)),
            },
            Stage::Auth => self.on_auth(reply),
            Stage::Rset if class(&reply) == 2 => {
                self.mail_open = false;
                Ok(self.done())
            }
            Stage::Rset => Err(ClientError::Unexpected(stage, reply)),
            Stage::Mail => self.on_mail(reply),
            Stage::Rcpt(place) => self.on_rcpt(place, reply),
            Stage::Data => self.on_data(reply),
            Stage::FinalDot => self.on_final_dot(reply),
            Stage::Quit => Ok(Some(Event::Closed)),
            // Never awaited.
            Stage::Unsent => Err(ClientError::Unsolicited(reply)),
        }
    }

    fn planned_ehlo(&mut self) -> Option<Event> {
        self.plan_ehlo();
        None
    }

    fn on_ehlo(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        match class(&reply) {
            2 => {
                self.extensions = Extensions::parse(&reply);
                Ok(Some(Event::Ready))
            }
            // RFC 5321 §3.2: a server without extensions refuses EHLO and takes HELO. RFC 2033 §4.1: LMTP has no HELO.
            5 if self.protocol == Protocol::Smtp => {
                self.plan(Stage::Helo, format!("HELO {}\r\n", self.hostname));
                Ok(None)
            }
            4 | 5 => Err(ClientError::Refused(Stage::Ehlo, reply)),
            _ => Err(ClientError::Unexpected(Stage::Ehlo, reply)),
        }
    }

    fn on_auth(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        match class(&reply) {
            2 => {
                self.auth_answers.clear();
                Ok(Some(Event::Authenticated))
            }
            3 => match self.auth_answers.pop_front() {
                Some(answer) => {
                    self.output.put_slice(&answer);
                    self.awaiting.push_back(Stage::Auth);
                    Ok(None)
                }
                None => Err(ClientError::Unexpected(Stage::Auth, reply)),
            },
            _ => {
                self.auth_answers.clear();
                Ok(Some(Event::AuthRefused(reply)))
            }
        }
    }

    fn on_mail(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        match class(&reply) {
            2 => self.mail_open = true,
            4 | 5 => {
                self.verdicts.fill(Verdict::Refused(Stage::Mail, reply));
                self.planned.clear();
            }
            _ => return Err(ClientError::Unexpected(Stage::Mail, reply)),
        }
        Ok(self.done())
    }

    fn on_rcpt(&mut self, place: usize, reply: Reply) -> Result<Option<Event>, ClientError> {
        let class = class(&reply);
        if !matches!(class, 2 | 4 | 5) {
            return Err(ClientError::Unexpected(Stage::Rcpt(place), reply));
        }
        // After a refused MAIL every recipient has its verdict, whatever is said to RCPT.
        if let Some(verdict @ Verdict::Pending) = self.verdicts.get_mut(place) {
            *verdict = if class == 2 { Verdict::RecipientAccepted } else { Verdict::Refused(Stage::Rcpt(place), reply) };
        }
        if self.verdicts.iter().all(|verdict| matches!(verdict, Verdict::Refused(..))) {
            self.planned.clear();
        }
        // A group ends with RCPT only if no DATA follows.
        if self.chunking && self.awaiting.is_empty() && self.planned.is_empty() && self.verdicts.contains(&Verdict::RecipientAccepted) {
            self.in_content = true;
            return Ok(Some(Event::SendChunk));
        }
        Ok(self.done())
    }

    fn on_data(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        let wanted = self.verdicts.contains(&Verdict::RecipientAccepted);
        match class(&reply) {
            3 if wanted => {
                self.in_content = true;
                Ok(Some(Event::SendContent))
            }
            // RFC 2033 §4.2: after LMTP's 354 there is one reply for each recipient, here none; nobody could tell its end.
            3 if self.protocol == Protocol::Lmtp => Err(ClientError::Unexpected(Stage::Data, reply)),
            // Nobody was accepted, yet the next hop wants content: it gets an empty message for nobody (RFC 2920 §3.1).
            3 => {
                self.output.put_slice(b".\r\n");
                self.awaiting.push_back(Stage::FinalDot);
                Ok(None)
            }
            4 | 5 => {
                self.settle(&Verdict::Refused(Stage::Data, reply));
                Ok(self.done())
            }
            _ => Err(ClientError::Unexpected(Stage::Data, reply)),
        }
    }

    fn on_final_dot(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        let verdict = match class(&reply) {
            2 => Verdict::Taken(reply),
            4 | 5 => Verdict::Refused(Stage::FinalDot, reply),
            _ => return Err(ClientError::Unexpected(Stage::FinalDot, reply)),
        };
        // What a refused chunk leaves of the transaction, RFC 3030 does not say in so many words; RSET is right in every case.
        self.mail_open = self.chunking && !matches!(verdict, Verdict::Taken(_));
        match self.protocol {
            Protocol::Smtp => self.settle(&verdict),
            Protocol::Lmtp => {
                let next = self.verdicts.iter_mut().find(|open| **open == Verdict::RecipientAccepted);
                next.into_iter().for_each(|open| *open = verdict.clone());
            }
        }
        Ok(self.done())
    }

    /// A reply to nothing. While the content is on its way a refusal may come early; an acceptance may not.
    fn on_early_reply(&mut self, reply: Reply) -> Result<Option<Event>, ClientError> {
        if self.in_content && reply.code >= 400 {
            self.settle(&Verdict::Refused(Stage::FinalDot, reply));
            self.reusable = false;
            return Ok(Some(Event::TransactionDone));
        }
        Err(ClientError::Unsolicited(reply))
    }

    /// 421: the next hop closes. A transaction ends with that; everything else is over.
    fn on_shutdown(&mut self, stage: Stage, reply: Reply) -> Result<Option<Event>, ClientError> {
        self.reusable = false;
        self.planned.clear();
        self.awaiting.clear();
        match stage {
            Stage::Rset | Stage::Mail | Stage::Rcpt(_) | Stage::Data | Stage::FinalDot => {
                self.settle(&Verdict::Refused(stage, reply));
                Ok(Some(Event::TransactionDone))
            }
            Stage::Quit => Ok(Some(Event::Closed)),
            _ => Err(ClientError::Refused(stage, reply)),
        }
    }

    /// Gives the verdict to every recipient that has no final one.
    fn settle(&mut self, verdict: &Verdict) {
        for open in self.verdicts.iter_mut().filter(|open| matches!(open, Verdict::Pending | Verdict::RecipientAccepted)) {
            *open = verdict.clone();
        }
    }

    /// The transaction is done when nothing is awaited, nothing is planned and nobody is undecided.
    fn done(&self) -> Option<Event> {
        let undecided = self.verdicts.iter().any(|verdict| match verdict {
            Verdict::Pending => true,
            Verdict::RecipientAccepted => !self.verifying,
            Verdict::Taken(_) | Verdict::Refused(..) => false,
        });
        (self.awaiting.is_empty() && self.planned.is_empty() && !undecided).then_some(Event::TransactionDone)
    }
}

fn class(reply: &Reply) -> u16 {
    reply.code / 100
}

/// What is decided before a word is said, and the MAIL command.
mod local {
    use super::{Extensions, Transaction};
    use crate::smtp::{Recipient, Reply, RequireTls, Status};

    pub(super) fn refusal(extensions: &Extensions, transaction: &Transaction<'_>) -> Option<Reply> {
        if transaction.smtputf8 && !extensions.smtputf8 {
            // RFC 6531 §3.5 and §4.1.
            return Some(Reply::fixed(550, Status(5, 6, 7), "The next hop does not take internationalized mail (SMTPUTF8)"));
        }
        if transaction.require_tls == RequireTls::Must && !extensions.require_tls {
            // RFC 8689 §4.2.1.
            return Some(Reply::fixed(550, Status(5, 7, 30), "REQUIRETLS support required, and the next hop does not offer it"));
        }
        // RFC 1870 §6.2; a limit of 0 is none (§4).
        let limit = extensions.size.filter(|limit| *limit > 0)?;
        (transaction.content_bytes > limit).then(|| {
            let text = format!("The message has {} octets, the next hop takes {limit}", transaction.content_bytes);
            Reply::new(552, Some(Status(5, 3, 4)), text)
        })
    }

    pub(super) fn mail(extensions: &Extensions, transaction: &Transaction<'_>) -> String {
        let mut line = format!("MAIL FROM:{}", transaction.reverse_path);
        if extensions.size.is_some() {
            line.push_str(&format!(" SIZE={}", transaction.content_bytes));
        }
        if extensions.eight_bit_mime && transaction.eight_bit {
            line.push_str(" BODY=8BITMIME");
        }
        if transaction.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if extensions.require_tls && transaction.require_tls != RequireTls::No {
            line.push_str(" REQUIRETLS");
        }
        if extensions.dsn {
            line.extend(transaction.ret.map(|ret| format!(" RET={}", ret.as_str())));
            line.extend(transaction.envelope_id.map(|id| format!(" ENVID={}", id.as_str())));
        }
        line.push_str("\r\n");
        line
    }

    pub(super) fn rcpt(extensions: &Extensions, transaction: &Transaction<'_>, recipient: &Recipient) -> String {
        let Recipient { address, parameters } = recipient;
        let mut line = format!("RCPT TO:<{address}>");
        if extensions.dsn {
            line.extend(parameters.notify.map(|notify| format!(" NOTIFY={notify}")));
            line.extend(parameters.original.as_ref().map(|original| format!(" ORCPT={}", original.for_rcpt(transaction.smtputf8))));
        }
        line.push_str("\r\n");
        line
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
