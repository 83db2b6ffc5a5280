//! From an address to a session that is ready for MAIL: TCP, TLS as the relay asks for it, EHLO, AUTH.
//!
//! - Credentials go out over TLS or to a loopback address, whatever else is configured.
//! - Plain text after a failed handshake is tried where TLS is not asked for, on a new connection, and never with credentials.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::connection::{Connection, Peer};
use super::hosts::{Candidate, Place};
use super::policy::{Demand, Need};
use super::pool::Pool;
use super::stream::Stream;
use super::{Inner, RelayKind, failures, login, policy, race};
use crate::failure::{Class, Failure};
use crate::limits;
use crate::smtp::{Client, ClientEvent, Protocol};

/// Why there is no session.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// Another address may do better.
    TryNext(Failure),
    /// No address will: the credentials are at fault.
    Stop(Failure),
}

impl From<Failure> for ConnectError {
    fn from(failure: Failure) -> Self {
        Self::TryNext(failure)
    }
}

/// One attempt to get a session at one place.
pub(super) struct Connect<'a> {
    pub(super) inner: &'a Inner,
    pub(super) pool: &'a Pool,
    pub(super) candidate: &'a Candidate,
    /// For a message with REQUIRETLS: a certificate that is checked, whatever the relay asks for.
    pub(super) require_tls: bool,
    pub(super) deadline: Instant,
}

/// Where a TLS session begins matters: a handshake that fails may be followed by plain text, anything else may not.
enum StepError {
    Handshake(Failure),
    Other(Failure),
}

impl From<Failure> for StepError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl Connect<'_> {
    /// A session ready for MAIL; the first connection may be there already.
    pub(super) async fn open(&self, tcp: Option<TcpStream>) -> Result<Connection, ConnectError> {
        let Candidate { host, place } = self.candidate;
        let demand = match place {
            Place::Tcp(_) => policy::for_host(self.inner, &self.pool.config, host, self.require_tls, self.deadline).await?,
            // What stays on this machine without a network between needs no TLS.
            Place::Unix(_) => Demand::plain(),
        };
        let opened = self.open_as(&demand, tcp).await;
        policy::tell(self.inner, &demand, host, place.address(), opened.as_ref().ok());
        opened
    }

    async fn open_as(&self, demand: &Demand, mut tcp: Option<TcpStream>) -> Result<Connection, ConnectError> {
        let config = &self.pool.config;
        let mut plain_only = demand.need == Need::Plain;
        let mut login = login::Login::default();
        loop {
            let may_fall_back = demand.need == Need::IfOffered && config.auth.is_none() && !plain_only;
            let mut connection = match self.greet(demand, tcp.take(), plain_only).await {
                Ok(connection) => connection,
                Err(StepError::Handshake(_)) if may_fall_back => {
                    plain_only = true;
                    continue;
                }
                Err(StepError::Handshake(failure) | StepError::Other(failure)) => return Err(failure.into()),
            };
            let Some(auth) = &config.auth else { return Ok(connection) };
            if connection.peer.tls.is_none() && !self.candidate.place.is_of_this_machine() {
                return Err(failures::login("there is no TLS, and credentials go out without it to loopback addresses only").into());
            }
            match self.pool.logins.run(&mut login, &mut connection, login::Means::new(self.inner, auth), self.deadline).await? {
                login::Progress::Done => return Ok(connection),
                login::Progress::ConnectAgain => {}
            }
        }
    }

    /// A session after its last EHLO.
    async fn greet(&self, demand: &Demand, tcp: Option<TcpStream>, plain_only: bool) -> Result<Connection, StepError> {
        let config = &self.pool.config;
        let mut stream = self.stream(tcp).await?;
        if config.implicit_tls && !plain_only {
            stream = self.handshake(demand, stream).await?;
        }
        let (label, address) = (self.candidate.label(), self.candidate.place.address());
        let peer = Peer { label, address, tls: stream.tls_version(), verified: is_verified(demand, &stream) };
        let protocol = if config.kind == RelayKind::Lmtp { Protocol::Lmtp } else { Protocol::Smtp };
        let mut connection = Connection::new(stream, Client::speaking(protocol, Arc::clone(&self.inner.hostname)), peer);
        expect(&mut connection, &ClientEvent::Ready, self.deadline).await?;
        if config.implicit_tls || plain_only {
            return Ok(connection);
        }
        let must = demand.need == Need::Always;
        if !connection.client.extensions().starttls {
            demand.note_no_starttls();
            return match must {
                true if self.require_tls => Err(failures::no_required_tls("STARTTLS is not offered").into()),
                true => Err(failures::tls_absent().into()),
                false => Ok(connection),
            };
        }
        connection.client.start_tls();
        match connection.next_event(self.deadline).await? {
            ClientEvent::StartTls => self.upgrade(demand, connection).await,
            ClientEvent::StartTlsRefused(reply) => {
                demand.note_no_starttls();
                if must { Err(failures::tls_failed(format!("reply to STARTTLS: {reply}")).into()) } else { Ok(connection) }
            }
            other => Err(failures::connection_lost(format!("unexpected event {other:?} after STARTTLS")).into()),
        }
    }

    async fn upgrade(&self, demand: &Demand, connection: Connection) -> Result<Connection, StepError> {
        let (stream, mut client, mut peer) = connection.into_parts();
        let stream = self.handshake(demand, stream).await?;
        (peer.tls, peer.verified) = (stream.tls_version(), is_verified(demand, &stream));
        client.tls_established();
        let mut connection = Connection::new(stream, client, peer);
        expect(&mut connection, &ClientEvent::Ready, self.deadline).await?;
        Ok(connection)
    }

    async fn stream(&self, tcp: Option<TcpStream>) -> Result<Stream, Failure> {
        match (&self.candidate.place, tcp) {
            (_, Some(tcp)) => Ok(Stream::Plain(tcp)),
            (Place::Tcp(address), None) => race::connect(*address, &self.pool.config.source_ips, self.deadline).await.map(Stream::Plain),
            (Place::Unix(path), None) => {
                let until = self.deadline.min(Instant::now() + limits::RELAY_CONNECT_TIMEOUT);
                match timeout_at(until, UnixStream::connect(path)).await {
                    Ok(Ok(stream)) => Ok(Stream::Unix(stream)),
                    Ok(Err(error)) => Err(failures::unreachable(error)),
                    Err(_) => Err(failures::unreachable("no answer to the connection attempt in time")),
                }
            }
        }
    }

    async fn handshake(&self, demand: &Demand, stream: Stream) -> Result<Stream, StepError> {
        let Stream::Plain(tcp) = stream else { return Ok(stream) };
        let config = self.pool.tls_config(self.inner, &demand.trust).await.map_err(failures::settings)?;
        let Place::Tcp(address) = self.candidate.place else { return Err(failures::settings("TLS over a socket of this machine").into()) };
        let name = demand.name.as_deref().unwrap_or(&self.candidate.host);
        let name =
            ServerName::try_from(name.trim_end_matches('.').to_owned()).unwrap_or_else(|_| ServerName::IpAddress(address.ip().into()));
        let until = self.deadline.min(Instant::now() + limits::TLS_HANDSHAKE_TIMEOUT);
        match timeout_at(until, TlsConnector::from(config).connect(name, tcp)).await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream))),
            Ok(Err(error)) => {
                demand.note_handshake(&error);
                Err(StepError::Handshake(match is_for_good(&error) {
                    true if self.require_tls => failures::no_required_tls(error),
                    true => failures::tls_failed(error).of(Class::Hold),
                    false => failures::tls_failed(error),
                }))
            }
            Err(late) => {
                demand.note_handshake(&late.into());
                Err(StepError::Handshake(failures::tls_failed("no end of the handshake in time")))
            }
        }
    }
}

/// Waits for an event that can only be this one.
async fn expect(connection: &mut Connection, expected: &ClientEvent, deadline: Instant) -> Result<(), Failure> {
    let event = connection.next_event(deadline).await?;
    if event == *expected { Ok(()) } else { Err(failures::connection_lost(format!("unexpected event {event:?}"))) }
}

/// Whether a handshake failed for what is there at the next attempt, too: the certificate, or what both sides can do.
fn is_for_good(error: &std::io::Error) -> bool {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented, PeerIncompatible};
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(InvalidCertificate(_) | NoCertificatesPresented | PeerIncompatible(_)))
}

fn is_verified(demand: &Demand, stream: &Stream) -> bool {
    stream.tls_version().is_some() && demand.verifies()
}
