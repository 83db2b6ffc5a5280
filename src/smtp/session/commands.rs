//! What each command does, in the order that RFC 5321 §4.1.4 asks for.
//!
//! Each function returns the event it led to, or nothing when the command is answered.

use super::chunking::Chunk;
use super::{Event, Question, Session, State, Transaction};
use crate::smtp::{Address, Command, MailParameters, RcptParameters, Reply, ReversePath, replies};

impl Session {
    pub(super) fn execute(&mut self, command: Command) -> Option<Event> {
        let missing = if self.config.tls_required && !self.tls && needs_tls(&command) {
            Some(replies::TLS_REQUIRED)
        } else {
            self.needs_login(&command).then_some(replies::AUTH_REQUIRED)
        };
        if let Some(reply) = missing {
            return match command {
                Command::Bdat { bytes, last } => self.refuse_chunk(Chunk::new(bytes, last), reply),
                _ => self.refused(&reply),
            };
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
            Command::Rcpt { address, parameters } => self.rcpt(address, parameters),
            Command::Data => self.data(),
            Command::Bdat { bytes, last } => self.bdat(bytes, last),
            Command::StartTls => self.start_tls(),
            Command::Auth { argument } => self.auth(&argument),
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
        if !self.greeted {
            return self.refused(&replies::NEED_HELO);
        }
        if self.transaction.is_some() {
            return self.refused(&replies::NESTED_MAIL);
        }
        // RFC 4954 §5: the parameter belongs to the extension. Whom it names is not believed, which is the same as `AUTH=<>`.
        if parameters.auth && !self.config.auth {
            return self.refused(&replies::PARAMETER_UNKNOWN);
        }
        if self.messages >= self.config.messages_max {
            return self.closed_with(&replies::TOO_MANY_MESSAGES);
        }
        if parameters.size.is_some_and(|size| size > self.config.message_bytes_max) {
            return self.refused(&replies::MESSAGE_TOO_LARGE);
        }
        if parameters.terms.require_tls && !self.tls {
            return self.refused(&replies::REQUIRETLS_NEEDS_TLS);
        }
        self.ask(Question::Mail(parameters.clone()), Event::Mail { reverse_path, parameters })
    }

    fn rcpt(&mut self, address: Address, parameters: RcptParameters) -> Option<Event> {
        let recipients_max = self.config.recipients_max;
        let Some(transaction) = &mut self.transaction else { return self.refused(&replies::NEED_MAIL) };
        if transaction.chunks.is_some() {
            return self.refused(&replies::IN_CHUNKS);
        }
        transaction.attempts = transaction.attempts.saturating_add(1);
        // RFC 5321 §4.5.3.1.10 has the client send the rest later, so going on for a while is no error; going on for ever is.
        let endless = transaction.attempts > recipients_max.saturating_mul(2);
        if endless || transaction.recipients >= recipients_max {
            // Said once for a transaction, not for each of those that come behind.
            let first = !std::mem::replace(&mut transaction.full, true);
            self.queue(&replies::TOO_MANY_RECIPIENTS);
            if endless {
                self.count_error();
            }
            return first.then(|| Event::Refused { reply: replies::TOO_MANY_RECIPIENTS.clone() });
        }
        self.ask(Question::Rcpt, Event::Rcpt { address, parameters })
    }

    fn data(&mut self) -> Option<Event> {
        // RFC 5321 §4.1.1.4; with pipelining the client sends DATA before it knows of the refusals (RFC 2920 §3.1).
        match self.transaction {
            None => self.refused(&replies::NEED_MAIL),
            Some(Transaction { chunk_refused: true, .. }) => self.refused(&replies::CHUNK_REFUSED),
            Some(Transaction { chunks: Some(_), .. }) => self.refused(&replies::IN_CHUNKS),
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

    pub(super) fn ehlo_reply(&self) -> Reply {
        let mut text = format!("{}\nPIPELINING\nSIZE {}\n", self.config.hostname, self.config.message_bytes_max);
        if self.config.starttls && !self.tls {
            text.push_str("STARTTLS\n");
        }
        text.push_str(self.auth_keyword());
        if self.tls {
            // RFC 8689 §2: never in plain text.
            text.push_str("REQUIRETLS\n");
        }
        text.push_str("DSN\n8BITMIME\nSMTPUTF8\nCHUNKING\nENHANCEDSTATUSCODES\n");
        // RFC 9422: what would be refused with 421 or 452 anyway, said beforehand.
        let (mails, recipients) = (self.config.messages_max, self.config.recipients_max);
        Reply::new(250, None, text + &format!("LIMITS MAILMAX={mails} RCPTMAX={recipients}"))
    }
}

/// RFC 3207 §4: without TLS only NOOP, EHLO, STARTTLS and QUIT are served; RSET and HELP do no harm.
fn needs_tls(command: &Command) -> bool {
    matches!(command, Command::Mail { .. } | Command::Rcpt { .. } | Command::Data | Command::Bdat { .. } | Command::Vrfy)
}
