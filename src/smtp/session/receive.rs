//! How a session consumes its input: command lines, lines too long to be any, and the data.
//!
//! Each step returns the event it led to, or nothing when poll is to go on with the state it left.

use std::mem;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};

use super::line::{self, Line};
use super::{Event, Session, State, later};
use crate::limits::SESSION_OUTPUT_BYTES_KEPT;
use crate::smtp::{Command, replies};

impl Session {
    pub(super) fn read_command(&mut self, now: Instant) -> Option<Event> {
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

    pub(super) fn skip_line(&mut self, now: Instant) -> Option<Event> {
        if !line::skip(&mut self.input) {
            return self.need_input(now);
        }
        self.first_command = false;
        self.state = State::Command;
        self.restart_clock(now);
        self.refused(&replies::LINE_TOO_LONG)
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
