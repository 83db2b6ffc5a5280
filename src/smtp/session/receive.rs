//! How a session consumes its input: command lines, lines too long to be any, and the data.
//!
//! Each step returns the event it led to, or nothing when poll is to go on with the state it left.

use std::mem;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use zeroize::Zeroize;

use super::line::{self, Line};
use super::{Event, Session, State, later};
use crate::limits::{COMMAND_LINE_BYTES_MAX, SESSION_OUTPUT_BYTES_KEPT};
use crate::smtp::{Command, Reply, replies};

impl Session {
    pub(super) fn read_command(&mut self, now: Instant) -> Option<Event> {
        if let Some(reply) = self.is_over(now) {
            return self.closed_with(&reply);
        }
        let (line, length) = match line::find(&self.input, COMMAND_LINE_BYTES_MAX) {
            Line::Partial => return self.need_input(now),
            Line::TooLong(start) => {
                if self.first_command && line::is_http(start) {
                    return self.closed_with(&replies::NOT_HTTP);
                }
                if is(b"BDAT", start) {
                    return self.closed_with(&replies::LINE_TOO_LONG);
                }
                self.state = State::LongLine(&replies::LINE_TOO_LONG);
                return None;
            }
            Line::Complete { line, length } => (line, length),
        };
        if mem::take(&mut self.first_command) && line::is_http(line) {
            return self.closed_with(&replies::NOT_HTTP);
        }
        let smtputf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.parameters.smtputf8);
        let command = Command::parse(line, smtputf8);
        let (is_bdat, is_auth) = (is(b"BDAT", line), is(b"AUTH", line));
        if is_auth {
            // It may hold a password, be it as wrong as it will.
            self.input.get_mut(..length).unwrap_or_default().zeroize();
        }
        self.input.advance(length);
        self.restart_clock(now);
        match command {
            Ok(command) => self.execute(command),
            // Where the octets of such a chunk end is unknown; read on, they would be commands.
            Err(reply) if is_bdat => self.closed_with(&reply),
            Err(reply) => self.refused(&reply),
        }
    }

    pub(super) fn skip_line(&mut self, reply: &Reply, now: Instant) -> Option<Event> {
        if !line::skip(&mut self.input) {
            return self.need_input(now);
        }
        self.first_command = false;
        self.state = State::Command;
        self.restart_clock(now);
        self.refused(reply)
    }

    pub(super) fn read_data(&mut self, now: Instant) -> Option<Event> {
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
        let taken = decoder.body().bytes_taken();
        match decoder.finish() {
            Ok(message) => Some(Event::Message { data: Bytes::from(message), taken }),
            Err(reply) => {
                self.state = State::Command;
                self.restart_clock(now);
                self.drop_transaction();
                self.refused(&reply)
            }
        }
    }

    /// The 421 for a session that is not to begin anything more.
    pub(super) fn is_over(&self, now: Instant) -> Option<Reply> {
        if self.shutting_down && !self.is_between_chunks() {
            return Some(replies::SHUTTING_DOWN);
        }
        (now >= later(self.started, self.config.session_timeout)).then_some(replies::SESSION_TOO_LONG)
    }

    pub(super) fn need_input(&mut self, now: Instant) -> Option<Event> {
        if now >= self.idle_deadline() {
            return self.closed_with(&replies::TIMEOUT);
        }
        if now >= self.session_deadline() {
            return self.closed_with(&replies::SESSION_TOO_LONG);
        }
        // An allocation for each read is cheap; a buffer for each of ten thousand waiting sessions is not.
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() && self.output.capacity() > SESSION_OUTPUT_BYTES_KEPT {
            self.output = BytesMut::new();
        }
        Some(Event::NeedInput)
    }
}

/// Whether a line is such a command, whatever is wrong with it: octets follow BDAT, and AUTH has a secret.
fn is(verb: &[u8; 4], line: &[u8]) -> bool {
    line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(verb))
}
