//! Listening sockets: bound before anything is served, accepted from until the drain.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};

use super::Ingress;
use super::driver::serve;
use crate::config::Snapshot;
use crate::dispatch::Intake;
use crate::limits::ACCEPT_ERROR_PAUSE;
use crate::smtp::{Reply, Status};
use crate::socket;
use crate::telemetry::Event;

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    endpoint: Arc<str>,
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "endpoint `{}` cannot listen on {}: {}", self.endpoint, self.address, self.source)
    }
}

impl std::error::Error for BindError {}

/// Bound sockets.
#[derive(Debug)]
pub struct Listeners(Vec<(Arc<str>, SocketAddr, TcpListener)>);

impl Listeners {
    /// Binds every address of every endpoint, or none.
    pub fn bind(snapshot: &Snapshot) -> Result<Self, BindError> {
        let mut bound = Vec::new();
        for endpoint in snapshot.endpoints.values() {
            for address in &endpoint.listen {
                let fail = |source| BindError { endpoint: Arc::clone(&endpoint.name), address: *address, source };
                let listener = socket::listen(*address).map_err(fail)?;
                let actual = listener.local_addr().map_err(fail)?;
                bound.push((Arc::clone(&endpoint.name), actual, listener));
            }
        }
        Ok(Self(bound))
    }

    /// The addresses, with the ports that the system chose where 0 was asked for.
    pub fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.0.iter().map(|(endpoint, address, _)| (Arc::clone(endpoint), *address)).collect()
    }

    /// Serves until the drain begins.
    pub fn serve<D: Intake>(self, ingress: &Arc<Ingress<D>>) {
        for (endpoint, address, listener) in self.0 {
            ingress.log.emit(&Event::Listening { endpoint: &endpoint, address });
            tokio::spawn(accept(Arc::clone(ingress), endpoint, listener));
        }
    }
}

async fn accept<D: Intake>(ingress: Arc<Ingress<D>>, endpoint: Arc<str>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ingress.draining.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => admit(&ingress, &endpoint, tcp, peer),
            Err(error) => {
                // Out of file descriptors, most likely: the next ones wait in the backlog.
                ingress.log.emit(&Event::Problem { what: "accept", detail: &error.to_string() });
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

fn admit<D: Intake>(ingress: &Arc<Ingress<D>>, endpoint: &str, tcp: TcpStream, peer: SocketAddr) {
    let live = ingress.live.load_full();
    let canonical = peer.ip().to_canonical();
    let client = ingress.presented_as.get(&canonical).copied().unwrap_or(canonical);
    let place = ingress.admission.enter(client);
    let (place, endpoint) = match (place, live.snapshot.endpoints.get(endpoint)) {
        (Ok(place), Some(endpoint)) => (place, Arc::clone(endpoint)),
        // Who waits for a handshake cannot read a reply.
        (Err(_), Some(endpoint)) if endpoint.tls.as_ref().is_some_and(|tls| tls.wrapped) => return,
        (Err(reply), _) => return send_away(&tcp, &reply),
        (_, None) => return send_away(&tcp, &Reply::fixed(421, Status(4, 3, 2), "This endpoint is closed")),
    };
    ingress.sessions.spawn(serve(Arc::clone(ingress), live, endpoint, tcp, (client, peer.port()), place));
}

/// A 421 in place of the banner; no session, no task, no wait.
fn send_away(tcp: &TcpStream, reply: &Reply) {
    let mut bytes = bytes::BytesMut::new();
    reply.encode(&mut bytes);
    // A fresh socket has room for a line; if it has not, the client learns it from the close.
    let _ = tcp.try_write(&bytes);
}
