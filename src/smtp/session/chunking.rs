//! BDAT (RFC 3030): chunks whose octets follow the command at once, whatever becomes of it.
//!
//! - The octets of a refused chunk are read and thrown away before the refusal is said (RFC 3030 §2), or they would be taken for commands.
//! - A chunk that was refused refuses those behind it until RSET, so that no message is taken without its middle.
//! - A BDAT whose length cannot be read ends the session: nobody knows where its octets end.

use std::mem;
use std::time::Instant;

use bytes::{Buf, Bytes};

use super::{Event, Question, Session, State};
use crate::smtp::{Chunks, Reply, Status, replies};

/// A chunk that is being read.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Octets of it, by its command.
    pub(super) bytes: u64,
    /// Octets still to come.
    pub(super) rest: u64,
    /// It ends the message.
    pub(super) last: bool,
    /// It is thrown away, and this is said at its end.
    pub(super) refusal: Option<Reply>,
}

impl Chunk {
    pub(super) fn new(bytes: u64, last: bool) -> Self {
        Self { bytes, rest: bytes, last, refusal: None }
    }
}

impl Session {
    /// The command; its octets are next.
    pub(super) fn bdat(&mut self, bytes: u64, last: bool) -> Option<Event> {
        let chunk = Chunk::new(bytes, last);
        let refusal = match &self.transaction {
            None => replies::NEED_MAIL,
            Some(transaction) if transaction.chunk_refused => replies::CHUNK_REFUSED,
            Some(transaction) if transaction.chunks.is_some() => return self.begin_chunk(chunk),
            Some(transaction) if transaction.attempts == 0 => replies::NEED_RCPT,
            Some(transaction) if transaction.recipients == 0 => replies::NO_VALID_RECIPIENTS,
            Some(_) => return self.ask(Question::Bdat { bytes, last }, Event::Data),
        };
        self.refuse_chunk(chunk, refusal)
    }

    /// The driver's answer to the first chunk.
    pub(super) fn answer_bdat(&mut self, bytes: u64, last: bool, decision: Result<(), Reply>) {
        let chunk = Chunk::new(bytes, last);
        let decision = if self.shutting_down { Err(replies::SHUTTING_DOWN) } else { decision };
        if let Err(reply) = decision {
            self.refuse_chunk(chunk, reply);
            return;
        }
        self.messages = self.messages.saturating_add(1);
        let bytes_max = self.config.message_bytes_max;
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = Some(Box::new(Chunks::new(bytes_max, transaction.parameters.size)));
        }
        self.begin_chunk(chunk);
    }

    pub(super) fn refuse_chunk(&mut self, chunk: Chunk, refusal: Reply) -> Option<Event> {
        if let Some(transaction) = &mut self.transaction {
            transaction.chunk_refused = true;
            transaction.chunks = None;
        }
        self.begin_chunk(Chunk { refusal: Some(refusal), ..chunk })
    }

    fn begin_chunk(&mut self, chunk: Chunk) -> Option<Event> {
        self.state = State::Chunk(Box::new(chunk));
        None
    }

    pub(super) fn read_chunk(&mut self, now: Instant) -> Option<Event> {
        let State::Chunk(chunk) = &mut self.state else { return None };
        let here = usize::try_from(chunk.rest).unwrap_or(usize::MAX).min(self.input.len());
        if here > 0 {
            if let Some(chunks) = self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut()) {
                chunks.read(self.input.get(..here).unwrap_or_default());
            }
            self.input.advance(here);
            self.waiting_since = now;
            chunk.rest = chunk.rest.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
        }
        if chunk.rest > 0 {
            return self.need_input(now);
        }
        let State::Chunk(chunk) = mem::replace(&mut self.state, State::Command) else { return None };
        self.restart_clock(now);
        self.end_chunk(*chunk)
    }

    /// All octets of the chunk have come.
    fn end_chunk(&mut self, Chunk { bytes, last, mut refusal, .. }: Chunk) -> Option<Event> {
        let chunks = self.transaction.as_mut().and_then(|transaction| transaction.chunks.take());
        if refusal.is_none() {
            refusal = chunks.as_ref().and_then(|chunks| chunks.refusal());
        }
        if let Some(reply) = refusal {
            if last {
                self.drop_transaction();
            } else if let Some(transaction) = &mut self.transaction {
                transaction.chunk_refused = true;
            }
            return self.refused(&reply);
        }
        if !last {
            if let Some(transaction) = &mut self.transaction {
                transaction.chunks = chunks;
            }
            if bytes == 0 && self.is_too_much_junk() {
                return self.closed_with(&replies::TOO_MUCH_JUNK);
            }
            return self.reply(&Reply::new(250, Some(Status(2, 0, 0)), format!("{bytes} octets received")));
        }
        let taken = chunks.as_ref().map_or(0, |chunks| chunks.body().bytes_taken());
        match chunks.map_or(Ok(Vec::new()), |chunks| chunks.finish()) {
            Ok(message) => {
                self.state = State::Message;
                Some(Event::Message { data: Bytes::from(message), taken })
            }
            Err(reply) => {
                self.drop_transaction();
                self.refused(&reply)
            }
        }
    }

    /// Whether a message is between two of its chunks.
    pub(super) fn is_between_chunks(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some())
    }
}
