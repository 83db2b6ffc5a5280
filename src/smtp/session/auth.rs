//! AUTH (RFC 4954): the command, its challenges, the client's responses, and what a refusal leads to.
//!
//! - It is offered only where the endpoint asks for a login, and only over TLS.
//! - Between a challenge and the end of its line nothing but a response is read.
//! - What a client sends behind AUTH without waiting is its next response, or the next command; no password outlives its line.

use std::time::Instant;

use bytes::Buf;
use zeroize::{Zeroize, Zeroizing};

use super::line::{self, Line};
use super::{Event, Question, Session, State};
use crate::limits::AUTH_LINE_BYTES_MAX;
use crate::smtp::login::{self, AuthArgument, Login};
use crate::smtp::{Command, Mechanism, Reply, base64, replies};

/// Which response comes next.
#[derive(Debug)]
pub(super) enum Exchange {
    /// The one message of PLAIN.
    Plain,
    /// The first answer of LOGIN.
    Username,
    /// The second answer of LOGIN.
    Password {
        /// The first one. Boxed: sessions that are not at this point are many.
        username: Box<Zeroizing<String>>,
    },
}

impl Session {
    /// The AUTH command (RFC 4954 §4).
    pub(super) fn auth(&mut self, argument: &AuthArgument) -> Option<Event> {
        if !self.config.auth {
            return self.refused(&replies::NOT_IMPLEMENTED);
        }
        if !self.tls {
            return self.refused(&replies::AUTH_NEEDS_TLS);
        }
        if !self.greeted {
            return self.refused(&replies::NEED_HELO);
        }
        // A transaction needs a login here, so this refuses AUTH within one as well.
        if self.authenticated {
            return self.refused(&replies::AUTH_ALREADY);
        }
        match argument.read() {
            Err(reply) => self.refused(&reply),
            Ok((mechanism, None)) => match mechanism {
                Mechanism::Plain => self.challenge(Exchange::Plain, &replies::CHALLENGE_EMPTY),
                Mechanism::Login => self.challenge(Exchange::Username, &replies::CHALLENGE_USERNAME),
            },
            Ok((Mechanism::Plain, Some(message))) => self.respond(Exchange::Plain, &message),
            Ok((Mechanism::Login, Some(message))) => self.respond(Exchange::Username, &message),
        }
    }

    /// A line of the client that answers a challenge.
    pub(super) fn read_response(&mut self, now: Instant) -> Option<Event> {
        if let Some(reply) = self.is_over(now) {
            return self.closed_with(&reply);
        }
        let (line, length) = match line::find(&self.input, AUTH_LINE_BYTES_MAX) {
            Line::Partial => return self.need_input(now),
            Line::TooLong(_) => {
                self.state = State::LongLine(&replies::AUTH_LINE_TOO_LONG);
                return None;
            }
            Line::Complete { line, length } => (line, length),
        };
        // RFC 4954 §4: `*` takes the command back.
        let message = match line {
            b"*" => Err(replies::AUTH_CANCELLED),
            line => base64::decode(line).ok_or(replies::AUTH_NOT_BASE64),
        };
        self.input.get_mut(..length).unwrap_or_default().zeroize();
        self.input.advance(length);
        self.restart_clock(now);
        let State::Auth(exchange) = std::mem::replace(&mut self.state, State::Command) else { return None };
        match message {
            Ok(message) => self.respond(exchange, &message),
            Err(reply) => self.refused(&reply),
        }
    }

    fn respond(&mut self, exchange: Exchange, message: &[u8]) -> Option<Event> {
        let login = match exchange {
            Exchange::Plain => Login::from_plain(message),
            Exchange::Username => match login::answer(message) {
                Ok(username) => {
                    let username = Box::new(Zeroizing::new(username.to_owned()));
                    return self.challenge(Exchange::Password { username }, &replies::CHALLENGE_PASSWORD);
                }
                Err(reply) => Err(reply),
            },
            Exchange::Password { username } => Login::from_answers(&username, message),
        };
        match login {
            Ok(login) => self.ask(Question::Auth, Event::Auth { login }),
            Err(reply) if reply == replies::AUTH_REFUSED => {
                self.login_refused(&reply);
                Some(Event::Refused { reply })
            }
            Err(reply) => self.refused(&reply),
        }
    }

    fn challenge(&mut self, exchange: Exchange, challenge: &Reply) -> Option<Event> {
        self.state = State::Auth(exchange);
        self.reply(challenge)
    }

    /// A login was wrong: that is an error of the client's, and only a few are borne. RFC 4954 asks for three.
    pub(super) fn login_refused(&mut self, reply: &Reply) {
        self.refuse(reply);
        self.logins_refused = self.logins_refused.saturating_add(1);
        if self.logins_refused >= self.config.logins_refused_max && !matches!(self.state, State::Closed) {
            self.close_for(&replies::TOO_MANY_LOGINS);
        }
    }

    /// RFC 4954 §6: what needs a login gets 530 until there is one.
    pub(super) fn needs_login(&self, command: &Command) -> bool {
        self.config.auth
            && !self.authenticated
            && matches!(command, Command::Mail { .. } | Command::Rcpt { .. } | Command::Data | Command::Bdat { .. } | Command::Vrfy)
    }

    /// What EHLO says of it. After a login it says nothing: RFC 4954 §4 allows one.
    pub(super) fn auth_keyword(&self) -> &'static str {
        if self.config.auth && self.tls && !self.authenticated { "AUTH PLAIN LOGIN\n" } else { "" }
    }
}
