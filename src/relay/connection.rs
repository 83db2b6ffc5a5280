//! One connection: moves the bytes of a client session, each wait with its timer, and never past the delivery's deadline.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroize;

use super::RelayLimits;
use super::failures;
use super::stream::Stream;
use crate::blocks::{self, Blocks};
use crate::failure::Failure;
use crate::limits;
use crate::message::{Content, TlsVersion};
use crate::smtp::{Client, ClientEvent, Stage, Transaction, Verdict, WireForm};

/// A connection to a next hop with its session.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    pub(super) client: Client,
    pub(super) peer: Peer,
    opened: Instant,
    last_used: Instant,
    transactions: u32,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// `name[address]:port`, or the socket.
    pub(super) label: Arc<str>,
    /// `None` for a socket of this machine.
    pub(super) address: Option<SocketAddr>,
    pub(super) tls: Option<TlsVersion>,
    /// Its certificate was checked, for the name it was looked for by.
    pub(super) verified: bool,
}

/// What a transaction came to.
#[derive(Debug)]
pub(super) struct Transacted {
    /// In the order of the transaction's recipients.
    pub(super) verdicts: Vec<Verdict>,
    /// Why the session ended before every recipient had a verdict.
    pub(super) broken: Option<Failure>,
    /// The content may have arrived whole.
    pub(super) dot_sent: bool,
    /// The next hop was given what concerns notifications.
    pub(super) dsn: bool,
}

impl Connection {
    pub(super) fn new(stream: Stream, client: Client, peer: Peer) -> Self {
        let now = Instant::now();
        Self { stream, client, peer, opened: now, last_used: now, transactions: 0 }
    }

    /// Gives the parts back, for a handshake.
    pub(super) fn into_parts(self) -> (Stream, Client, Peer) {
        (self.stream, self.client, self.peer)
    }

    /// Runs one transaction.
    pub(super) async fn transact(&mut self, transaction: &Transaction<'_>, content: &Content, deadline: Instant) -> Transacted {
        let mut dot_sent = false;
        let broken = self.run(transaction, content, deadline, &mut dot_sent).await.err();
        self.transactions = self.transactions.saturating_add(1);
        self.last_used = Instant::now();
        Transacted { verdicts: self.client.take_verdicts(), broken, dot_sent, dsn: self.client.extensions().dsn }
    }

    /// Runs a transaction up to RCPT.
    pub(super) async fn verify(&mut self, transaction: &Transaction<'_>, deadline: Instant) -> Transacted {
        let broken = match self.client.verify(transaction) {
            Some(_) => None,
            None => match self.next_event(deadline).await {
                Ok(ClientEvent::TransactionDone) => None,
                Ok(other) => Some(failures::connection_lost(format!("unexpected event {other:?} after RCPT"))),
                Err(failure) => Some(failure),
            },
        };
        self.last_used = Instant::now();
        Transacted { verdicts: self.client.take_verdicts(), broken, dot_sent: false, dsn: false }
    }

    async fn run(
        &mut self,
        transaction: &Transaction<'_>,
        content: &Content,
        deadline: Instant,
        dot_sent: &mut bool,
    ) -> Result<(), Failure> {
        let mut event = match self.client.begin(transaction) {
            Some(event) => event,
            None => self.next_event(deadline).await?,
        };
        loop {
            match event {
                ClientEvent::SendContent | ClientEvent::SendChunk => {
                    let form = match event {
                        ClientEvent::SendChunk => {
                            WireForm::last_chunk(content, blocks::ends_line(content).await.map_err(failures::unread)?)
                        }
                        _ => WireForm::data(),
                    };
                    let sent = self.send_content(content, form, deadline, dot_sent).await?;
                    if sent == Sent::RefusedEarly {
                        return Ok(());
                    }
                    self.client.content_sent();
                }
                ClientEvent::TransactionDone => return Ok(()),
                other => return Err(failures::connection_lost(format!("unexpected event {other:?} in a transaction"))),
            }
            event = self.next_event(deadline).await?;
        }
    }

    /// Writes what the session has to say and reads until something happens.
    pub(super) async fn next_event(&mut self, deadline: Instant) -> Result<ClientEvent, Failure> {
        let mut stage = self.client.awaited();
        let mut asked = Instant::now();
        loop {
            self.write_commands(deadline).await?;
            if let Some(event) = self.client.poll().map_err(failures::session)? {
                return Ok(event);
            }
            if self.client.has_output() {
                continue;
            }
            // The timer is for a reply, not for a byte of it.
            if stage != self.client.awaited() {
                stage = self.client.awaited();
                asked = Instant::now();
            }
            let until = deadline.min(asked + reply_timeout(stage));
            let client = &mut self.client;
            match timeout_at(until, self.stream.read(|piece| client.feed(piece))).await {
                Err(_) => return Err(failures::too_slow(stage_name(stage), asked.elapsed())),
                Ok(Err(error)) => return Err(lost(stage, &error)),
                Ok(Ok(0)) => return Err(failures::connection_lost(format!("closed before the reply to {}", stage_name(stage)))),
                Ok(Ok(_)) => {}
            }
        }
    }

    async fn write_commands(&mut self, deadline: Instant) -> Result<(), Failure> {
        if !self.client.has_output() {
            return Ok(());
        }
        let stage = self.client.awaited();
        let mut output = self.client.take_output();
        let until = deadline.min(Instant::now() + limits::RELAY_COMMAND_TIMEOUT);
        let written = timeout_at(until, async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        })
        .await;
        // It may have held a password.
        output.zeroize();
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(stage, &error)),
            Err(_) => Err(failures::too_slow(stage_name(stage), limits::RELAY_COMMAND_TIMEOUT)),
        }
    }

    /// Writes the content as slices of itself. A next hop that refuses while it is being written is heard before the end is sent.
    async fn send_content(
        &mut self,
        content: &Content,
        mut form: WireForm,
        deadline: Instant,
        dot_sent: &mut bool,
    ) -> Result<Sent, Failure> {
        let mut blocks = Blocks::of(content);
        let mut batch: Vec<Bytes> = Vec::new();
        while !form.is_done() {
            let mut bytes = 0_usize;
            while batch.len() < limits::RELAY_WRITE_SLICES && bytes < limits::RELAY_WRITE_BYTES && !form.is_done() {
                if let Some(piece) = form.next_piece() {
                    bytes = bytes.saturating_add(piece.len());
                    batch.push(piece);
                    continue;
                }
                if let Some(block) = blocks.next().await {
                    form.push(block.map_err(failures::unread)?);
                }
                if blocks.is_exhausted() {
                    form.finish();
                }
            }
            if self.refused_early().await? {
                return Ok(Sent::RefusedEarly);
            }
            *dot_sent = form.is_done();
            while !batch.is_empty() {
                if let Err(failure) = self.write_batch(&mut batch, deadline).await {
                    // Whoever closes in the middle has often said why.
                    return if self.last_words(deadline).await { Ok(Sent::RefusedEarly) } else { Err(failure) };
                }
            }
        }
        Ok(Sent::Whole)
    }

    async fn write_batch(&mut self, batch: &mut Vec<Bytes>, deadline: Instant) -> Result<(), Failure> {
        let until = deadline.min(Instant::now() + limits::RELAY_BLOCK_TIMEOUT);
        let written = timeout_at(until, async {
            self.stream.write_some(batch).await?;
            if batch.is_empty() { self.stream.flush().await } else { Ok(()) }
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(failures::connection_lost(format!("while the content was sent: {error}"))),
            Err(_) => Err(failures::too_slow("content", limits::RELAY_BLOCK_TIMEOUT)),
        }
    }

    /// Looks, without waiting, for a reply that came before the final dot.
    async fn refused_early(&mut self) -> Result<bool, Failure> {
        let client = &mut self.client;
        // An end leaves it open for writing perhaps; the write or the reply to the final dot will tell.
        if let Some(Err(error)) = self.stream.read_now(|piece| client.feed(piece)).await {
            return Err(failures::connection_lost(format!("while the content was sent: {error}")));
        }
        Ok(self.client.poll().map_err(failures::session)?.is_some())
    }

    /// Listens a moment longer after a failed write.
    async fn last_words(&mut self, deadline: Instant) -> bool {
        let read = async {
            while let Ok(1..) = self.stream.read(|piece| self.client.feed(piece)).await {
                match self.client.poll() {
                    Ok(None) => {}
                    Ok(Some(_)) => return true,
                    Err(_) => return false,
                }
            }
            false
        };
        timeout_at(deadline.min(Instant::now() + limits::RELAY_QUIT_TIMEOUT), read).await.unwrap_or(false)
    }

    /// Whether a pooled connection can be used: the peer has neither closed nor spoken.
    pub(super) async fn is_alive(&mut self) -> bool {
        self.stream.read_now(|_| {}).await.is_none()
    }

    /// Whether it may carry another transaction, now or from the pool.
    pub(super) fn is_reusable(&self, now: Instant, limits: &RelayLimits) -> bool {
        // RFC 9422 §3.1: the next hop may say for how many messages it is.
        let messages =
            self.client.extensions().mail_max.map_or(limits.messages_per_connection, |max| max.min(limits.messages_per_connection));
        self.client.is_reusable() && self.transactions < messages && now < self.usable_until(limits)
    }

    /// Whether it may carry a message with REQUIRETLS (RFC 8689 §4.2.1).
    pub(super) fn is_for_require_tls(&self) -> bool {
        self.peer.verified && self.client.extensions().require_tls
    }

    /// When it has waited in the pool for long enough, or is too old.
    pub(super) fn usable_until(&self, limits: &RelayLimits) -> Instant {
        let idle = self.last_used + limits::RELAY_CONNECTION_IDLE_MAX;
        self.opened.checked_add(limits.connection_age).map_or(idle, |old| old.min(idle))
    }

    /// Says goodbye and waits a little for the answer.
    pub(super) async fn quit(mut self) {
        self.client.quit();
        let deadline = Instant::now() + limits::RELAY_QUIT_TIMEOUT;
        // Its failure changes nothing for anybody.
        if self.next_event(deadline).await.is_ok() {
            let _ = timeout_at(deadline, self.stream.shutdown()).await;
        }
    }
}

#[derive(PartialEq)]
enum Sent {
    Whole,
    RefusedEarly,
}

/// RFC 5321 §4.5.3.2.
fn reply_timeout(stage: Option<Stage>) -> Duration {
    match stage {
        Some(Stage::Data) => limits::RELAY_DATA_TIMEOUT,
        Some(Stage::FinalDot) => limits::RELAY_FINAL_DOT_TIMEOUT,
        Some(Stage::Quit) => limits::RELAY_QUIT_TIMEOUT,
        _ => limits::RELAY_COMMAND_TIMEOUT,
    }
}

fn stage_name(stage: Option<Stage>) -> String {
    stage.map_or_else(|| "a command".to_owned(), |stage| stage.to_string())
}

fn lost(stage: Option<Stage>, error: &io::Error) -> Failure {
    failures::connection_lost(format!("before the reply to {}: {error}", stage_name(stage)))
}
