//! Listening sockets: bound before anything is served, accepted from until the drain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};

use super::Ingress;
use super::driver::serve;
use super::proxied::{Client, serve_announced};
use crate::config::{Endpoint, Snapshot};
use crate::dispatch::Intake;
use crate::limits::{ACCEPT_ERROR_PAUSE, TURNED_AWAY_LINE_INTERVAL};
use crate::smtp::{Reply, Status};
use crate::socket::{self, BindError};
use crate::telemetry::Event;

/// Bound sockets.
#[derive(Debug)]
pub struct Listeners(Vec<(Arc<str>, SocketAddr, TcpListener)>);

impl Listeners {
    /// Binds every address of every endpoint, or none.
    pub fn bind(snapshot: &Snapshot) -> Result<Self, BindError> {
        let mut bound = Vec::new();
        for endpoint in snapshot.endpoints.values() {
            for address in &endpoint.listen {
                let (address, listener) = socket::listen(&format!("endpoint `{}`", endpoint.name), *address)?;
                bound.push((Arc::clone(&endpoint.name), address, listener));
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
        tokio::spawn(Arc::clone(ingress).watch());
        for (endpoint, address, listener) in self.0 {
            ingress.log.emit(&Event::Listening { endpoint: &endpoint, address });
            tokio::spawn(accept(Arc::clone(ingress), endpoint, listener));
        }
    }
}

async fn accept<D: Intake>(ingress: Arc<Ingress<D>>, endpoint: Arc<str>, listener: TcpListener) {
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ingress.draining.cancelled() => return,
        };
        match accepted {
            Ok((tcp, peer)) => admit(&ingress, &endpoint, tcp, peer),
            Err(error) => {
                // Out of file descriptors, most likely: the next ones wait in the backlog.
                if told.is_none_or(|told| told.elapsed() >= TURNED_AWAY_LINE_INTERVAL) {
                    ingress.log.emit(&Event::Problem { what: "accept", detail: &error.to_string() });
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

fn admit<D: Intake>(ingress: &Arc<Ingress<D>>, endpoint: &str, tcp: TcpStream, peer: SocketAddr) {
    let live = ingress.live.load_full();
    let Some(endpoint) = live.snapshot.endpoints.get(endpoint).cloned() else {
        return send_away(&tcp, false, &Reply::fixed(421, Status(4, 3, 2), "This endpoint is closed"));
    };
    let (canonical, port) = (peer.ip().to_canonical(), peer.port());
    let address = ingress.presented_as.get(&canonical).copied().unwrap_or(canonical);
    ingress.look();
    let entered = ingress.admission.enter_total().and_then(|total| {
        // Whom a load balancer connects for is not known yet; it has no limit of its own.
        let client = if endpoint.is_load_balancer(canonical) { None } else { Some(ingress.admission.enter_client(address)?) };
        Ok((total, client))
    });
    match entered {
        Ok((total, Some(place))) => {
            let client = Client { address, port, announcement: None };
            ingress.sessions.spawn(serve(Arc::clone(ingress), live, endpoint, tcp, client, (total, Some(place))));
        }
        Ok((total, None)) => {
            let peer = SocketAddr::new(canonical, port);
            ingress.sessions.spawn(serve_announced(Arc::clone(ingress), live, endpoint, tcp, peer, total));
        }
        Err(refusal) => {
            ingress.count_turned_away(refusal.limit, address);
            send_away(&tcp, is_wrapped(&endpoint), &refusal.reply);
        }
    }
}

/// A 421 in place of the banner; no session, no task, no wait.
pub(super) fn send_away(tcp: &TcpStream, is_wrapped: bool, reply: &Reply) {
    // Who waits for a handshake cannot read a reply.
    if is_wrapped {
        return;
    }
    let mut bytes = bytes::BytesMut::new();
    reply.encode(&mut bytes);
    // A fresh socket has room for a line; if it has not, the client learns it from the close.
    let _ = tcp.try_write(&bytes);
}

/// Whether TLS begins with the first byte there.
pub(super) fn is_wrapped(endpoint: &Endpoint) -> bool {
    endpoint.tls.as_ref().is_some_and(|tls| tls.wrapped)
}
