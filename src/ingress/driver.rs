//! One connection: reads, asks the session what it means, decides by policy, writes.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use super::admission::{ClientPlace, TotalPlace};
use super::found::Found;
use super::pressure::Level;
use super::proxied::{Announcement, Client};
use super::reception::Reception;
use super::stream::{Handshake, Stream};
use super::transaction::Transaction;
use super::{Ingress, Live};
use crate::certificates::client_certificate;
use crate::config::{Endpoint, EndpointKind};
use crate::dispatch::{Incoming, Intake, unix_millis};
use crate::limits::{
    self, CLOSE_TIMEOUT, LARGE_READ_BYTES, Limit, MESSAGE_IN_MEMORY_BYTES_MAX, READ_BUFFER_BYTES, STORED_BLOCK_BYTES, TLS_HANDSHAKE_TIMEOUT,
};
use crate::message::{Data, Known, MessageId, SessionFacts, SessionId, Share, StoredError};
use crate::smtp::{Event as Said, NOT_ENOUGH_MEMORY, Recipient, Reply, Session, SessionConfig, Status, Strain, limit_of};
use crate::telemetry::Event;

/// Serves a client from its first byte to its last.
pub(super) async fn serve<D: Intake>(
    ingress: Arc<Ingress<D>>,
    live: Arc<Live>,
    endpoint: Arc<Endpoint>,
    tcp: TcpStream,
    Client { address: client, port, announcement }: Client,
    places: (TotalPlace, Option<ClientPlace>),
) {
    // A reply waits for nothing: without this, Nagle and the peer's delayed ACK cost 40 ms each.
    let _ = tcp.set_nodelay(true);
    let began = Instant::now();
    let id = ingress.ids.next(unix_millis());
    let proxy = announcement.as_deref().map(Announcement::event);
    ingress.log.emit(&Event::Connected { session: id, endpoint: &endpoint.name, client, port, proxy, config: &live.snapshot.hash });
    drop(announcement);
    let mut connection = Connection::new(&ingress, live, endpoint, id, client, places);
    let reason = connection.run(Stream::Plain(tcp)).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    ingress.log.emit(&Event::Disconnected { session: id, messages: connection.messages, duration_ms, reason });
}

/// The state of one connection beside its stream.
pub(super) struct Connection<'i, D> {
    pub(super) ingress: &'i Arc<Ingress<D>>,
    pub(super) live: Arc<Live>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) id: SessionId,
    pub(super) facts: SessionFacts,
    pub(super) transaction: Option<Transaction>,
    /// What was looked up for the policy.
    pub(super) found: Found,
    pub(super) transactions: u32,
    pub(super) wrong_logins: u32,
    session: Session,
    memory: Share,
    /// The file of the message that is coming, if it is too large for memory.
    reception: Option<Box<Reception>>,
    _total: TotalPlace,
    place: Option<ClientPlace>,
    levels: watch::Receiver<Level>,
    messages: u32,
    told_to_end: bool,
}

/// Why a connection ended, for the log.
type Reason = &'static str;

impl<'i, D: Intake> Connection<'i, D> {
    pub(super) fn new(
        ingress: &'i Arc<Ingress<D>>,
        live: Arc<Live>,
        endpoint: Arc<Endpoint>,
        id: SessionId,
        client_ip: IpAddr,
        (total, place): (TotalPlace, Option<ClientPlace>),
    ) -> Self {
        let mut config = live.snapshot.limits.of_session(SessionConfig::new(Arc::clone(&live.snapshot.hostname)));
        config.starttls = endpoint.tls.as_ref().is_some_and(|tls| !tls.wrapped);
        config.tls_required = endpoint.tls.as_ref().is_some_and(|tls| tls.required);
        config.auth = matches!(endpoint.kind, EndpointKind::Auth(_));
        config.message_bytes_max = endpoint.policy.max_message_size.unwrap_or(config.message_bytes_max);
        let facts =
            SessionFacts { client_ip, client_host: None, helo: "".into(), extended: false, tls: None, authenticated: false, login: None };
        let mut levels = ingress.admission.levels();
        // Strain that is there already is to be heard of, too.
        if *levels.borrow() != Level::Normal {
            levels.mark_changed();
        }
        Self {
            memory: ingress.memory.share(),
            _total: total,
            place,
            levels,
            session: Session::new(Arc::new(config), Instant::now()),
            reception: None,
            ingress,
            live,
            endpoint,
            id,
            facts,
            transaction: None,
            found: Found::default(),
            transactions: 0,
            wrong_logins: 0,
            messages: 0,
            told_to_end: false,
        }
    }

    async fn run(&mut self, mut stream: Stream) -> Reason {
        if self.endpoint.tls.as_ref().is_some_and(|tls| tls.wrapped) {
            // RFC 8314 §3.3: nothing is said before the handshake, and what the client has said is a part of it.
            stream = match Box::pin(self.start_tls(stream)).await {
                Ok(stream) => stream,
                Err(reason) => return reason,
            };
        }
        self.open(&stream);
        loop {
            match self.session.poll(Instant::now()) {
                Said::NeedInput => {
                    if self.holds_too_much()
                        && let Err(reply) = Box::pin(self.put_away()).await
                    {
                        self.session.shed(reply);
                        continue;
                    }
                    let stored = self.reception.as_ref().map_or(0, |reception| reception.bytes_held());
                    if !self.memory.resize(self.session.message_bytes_buffered().saturating_add(stored)) {
                        self.session.shed(NOT_ENOUGH_MEMORY);
                        continue;
                    }
                    if let Err(reason) = self.exchange(&mut stream).await {
                        // Who has ended only his side reads our last replies, and over TLS our goodbye: without it they look cut off.
                        let _ = timeout(CLOSE_TIMEOUT, stream.close()).await;
                        return reason;
                    }
                }
                Said::Helo { name, extended } => {
                    let before = (Arc::clone(&self.facts.helo), self.facts.extended);
                    (self.facts.helo, self.facts.extended) = (name, extended);
                    let decision = self.judge_helo();
                    if decision.is_err() {
                        // RFC 5321 §4.1.4: a command that is refused leaves everything as it was.
                        (self.facts.helo, self.facts.extended) = before;
                    }
                    self.session.answer(decision);
                }
                Said::Auth { login } => {
                    let decision = Box::pin(self.log_in(login)).await;
                    self.session.answer(decision);
                }
                Said::Mail { reverse_path, parameters } => {
                    let decision = self.begin_transaction(reverse_path, parameters);
                    self.session.answer(decision);
                }
                Said::Rcpt { address, parameters } => {
                    let decision = Box::pin(self.judge_recipient(Recipient { address, parameters })).await;
                    self.session.answer(decision);
                }
                Said::Data => self.session.answer(Ok(())),
                Said::Message { data, taken } => {
                    if let Err(reason) = self.flush(&mut stream).await {
                        return reason;
                    }
                    // From here the message is accounted for until the last of those who hold its bytes lets go: a delivery may
                    // outlast the reply.
                    let share = std::mem::replace(&mut self.memory, self.ingress.memory.share());
                    // A message that was refused may have left one.
                    let data = match self.reception.take().filter(|_| taken > 0) {
                        // The session lets no bare line end pass.
                        None => Ok(Data::from(share.around(data)).knowing(Known { has_whole_line_ends: true, is_ascii: None })),
                        Some(reception) => Box::pin(reception.finish(data, share, self.ingress.memory.clone())).await,
                    };
                    let reply = match data {
                        Ok(data) => self.take(data).await,
                        Err(error) => self.not_deposited(&error),
                    };
                    self.session.finish_message(reply);
                }
                Said::StartTls => {
                    stream = match Box::pin(self.start_tls(stream)).await {
                        Ok(stream) => stream,
                        Err(reason) => return reason,
                    }
                }
                Said::Refused { reply } => {
                    let message = self.transaction.as_ref().map(|transaction| transaction.id);
                    let (limit, stage) = (limit_of(&reply), "session");
                    self.ingress.log.emit(&Event::Refused { session: self.id, message, stage, recipient: None, limit, reply: &reply });
                }
                Said::Reset => self.transaction = None,
                Said::Close => {
                    let flushed = self.flush(&mut stream).await;
                    // It waits for the client, and that has a limit.
                    let _ = timeout(CLOSE_TIMEOUT, stream.close()).await;
                    return flushed.err().unwrap_or("closed");
                }
            }
        }
    }

    /// The banner, or what stands in its place.
    fn open(&mut self, stream: &Stream) {
        if let Err(reply) = self.judge_connection() {
            self.session.refuse_connection(&reply);
        } else if stream.has_input() {
            // RFC 5321 §3.1: the client waits for the banner. Who does not is no mail server.
            self.session.early_talker();
        } else {
            self.session.greet();
        }
    }

    /// Writes what there is to say and waits for more to read, for the session's deadline, or for the drain.
    async fn exchange(&mut self, stream: &mut Stream) -> Result<(), Reason> {
        self.flush(stream).await?;
        let deadline = self.session.deadline().into();
        // What goes into a file comes in large pieces, and one wake-up for each is enough.
        let room = if self.reception.is_some() { LARGE_READ_BYTES } else { READ_BUFFER_BYTES };
        if !self.told_to_end && self.ingress.draining.is_cancelled() {
            // Whoever sends without a pause must hear of the drain, too.
            self.told_to_end = true;
            self.session.shut_down();
            return Ok(());
        }
        tokio::select! {
            biased;
            read = stream.read(self.session.input(), room) => match read {
                Ok(0) => Err("client closed"),
                Ok(_) => Ok(()),
                Err(_) => Err("connection lost"),
            },
            // An error would be an admission that is gone, and this connection holds a place in it.
            _ = self.levels.changed() => {
                self.session.strain(self.strain());
                Ok(())
            }
            // The session sees the time by itself.
            () = tokio::time::sleep_until(deadline) => Ok(()),
            () = self.ingress.draining.cancelled(), if !self.told_to_end => Ok(()),
        }
    }

    fn strain(&self) -> Option<Strain> {
        strain(*self.levels.borrow(), self.place.as_ref(), self.live.snapshot.limits.idle_timeout)
    }

    async fn flush(&mut self, stream: &mut Stream) -> Result<(), Reason> {
        if self.session.output().is_empty() {
            return Ok(());
        }
        // A client that does not read its replies is idle.
        let (began, idle_timeout) = (Instant::now(), self.live.snapshot.limits.idle_timeout);
        let mut level_changed = false;
        let result = {
            let mut written = pin!(stream.write(self.session.output()));
            loop {
                let strain = strain(*self.levels.borrow(), self.place.as_ref(), idle_timeout);
                let patience = strain.map_or(idle_timeout, |strain| strain.idle_timeout);
                tokio::select! {
                    biased;
                    written = &mut written => break written.map_err(|_| "connection lost"),
                    _ = self.levels.changed() => level_changed = true,
                    () = tokio::time::sleep(patience.saturating_sub(began.elapsed())) => break Err("client does not read"),
                }
            }
        };
        if level_changed {
            self.session.strain(self.strain());
        }
        result
    }

    /// Whether more of the message that is coming is in memory than is to be, or would be after the next read.
    fn holds_too_much(&mut self) -> bool {
        if self.reception.is_some() && self.session.message_bytes_taken() == 0 {
            // The message is gone, or is only read to its end.
            self.reception = None;
        }
        let most = if self.reception.is_some() { STORED_BLOCK_BYTES } else { MESSAGE_IN_MEMORY_BYTES_MAX };
        self.session.message_bytes_held() > most.saturating_sub(LARGE_READ_BYTES)
    }

    /// Puts away what is too much for memory; the error refuses the message.
    async fn put_away(&mut self) -> Result<(), Reply> {
        let block = self.session.take_message_bytes();
        match &mut self.reception {
            Some(reception) => reception.append(block).await.map_err(|error| self.ingress.intake.not_deposited(&error)),
            None => {
                let depository = self.ingress.intake.depository().await?;
                self.reception = Some(Box::new(Reception::new(depository, block)));
                Ok(())
            }
        }
    }

    /// The reply to a message whose end could not be stored.
    fn not_deposited(&mut self, error: &StoredError) -> Reply {
        let reply = self.ingress.intake.not_deposited(error);
        let message = self.transaction.take().map(|transaction| transaction.id);
        let (limit, stage) = (limit_of(&reply), "session");
        self.ingress.log.emit(&Event::Refused { session: self.id, message, stage, recipient: None, limit, reply: &reply });
        reply
    }

    async fn take(&mut self, data: Data) -> Reply {
        let Some(transaction) = self.transaction.take() else {
            return Reply::fixed(503, Status(5, 5, 1), "No transaction");
        };
        self.messages = self.messages.saturating_add(1);
        let incoming = Incoming {
            id: transaction.id,
            snapshot: Arc::clone(&self.live.snapshot),
            endpoint: Arc::clone(&self.endpoint),
            session: self.facts.clone(),
            envelope: transaction.envelope,
            returns: transaction.returns,
            examiner: Arc::clone(&self.live.examiner),
            findings: self.found.hand_over(),
            data,
        };
        // On the heap: a delivery's state would otherwise be a part of every session, idle ones included.
        Box::pin(self.ingress.intake.take(incoming)).await
    }

    /// The handshake. What the client has sent before it waits in the session's input.
    async fn start_tls(&mut self, mut stream: Stream) -> Result<Stream, Reason> {
        self.flush(&mut stream).await?;
        let Some(tls) = self.endpoint.tls.clone() else { return Err("no TLS here") };
        let early = self.session.input().split();
        let late = |why: &str| Handshake { result: Err(why.to_owned()), ..Handshake::default() };
        let drained = async {
            // Who is at it gets it done; who only says that he is does not hold up the end.
            self.ingress.draining.cancelled().await;
            tokio::time::sleep(CLOSE_TIMEOUT).await;
        };
        let (handshake, limit) = tokio::select! {
            biased;
            handshake = timeout(TLS_HANDSHAKE_TIMEOUT, stream.accept_tls(early, &tls)) => match handshake {
                Ok(handshake) => (handshake, None),
                Err(_) => (late("no handshake in time"), Some(Limit::TlsHandshakeTimeout)),
            },
            () = drained => (late("no handshake before the drain"), None),
        };
        let (facts, error) = match &handshake.result {
            Ok((_, facts)) => (Some(facts), None),
            Err(error) => (None, Some(error.as_str())),
        };
        let refused = handshake.refused.get().and_then(|der| client_certificate(der).ok());
        self.ingress.log.emit(&Event::Tls {
            session: self.id,
            version: facts.map(|facts| facts.version),
            cipher: facts.map(|facts| &*facts.cipher),
            server_name: handshake.server_name.as_deref(),
            client_certificate: facts.and_then(|facts| facts.client_certificate.as_deref()).or(refused.as_ref()).map(Into::into),
            error,
            limit,
        });
        let (stream, facts) = handshake.result.map_err(|_| "TLS failed")?;
        // RFC 3207 §4.2: what was said before TLS is forgotten.
        self.facts.tls = Some(facts);
        self.facts.helo = "".into();
        self.transaction = None;
        self.session.tls_established();
        Ok(stream)
    }

    /// The id of the transaction that begins now.
    pub(super) fn next_message(&mut self) -> MessageId {
        self.transactions = self.transactions.saturating_add(1);
        MessageId { session: self.id, number: self.transactions }
    }
}

/// Less patience while there is little room; least with clients that take much of it.
fn strain(level: Level, place: Option<&ClientPlace>, idle_timeout: Duration) -> Option<Strain> {
    let divisor = match level {
        Level::Normal => return None,
        Level::Strained if place.is_none_or(ClientPlace::is_among_few) => limits::PRESSURE_IDLE_DIVISOR_FEW,
        _ => limits::PRESSURE_IDLE_DIVISOR,
    };
    Some(Strain { idle_timeout: idle_timeout.checked_div(divisor).unwrap_or(idle_timeout), errors_max: limits::PRESSURE_ERRORS_MAX })
}
