//! Connection attempts to the addresses of one host, a little apart, until one of them connects (RFC 8305 §5).

use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::failures;
use crate::failure::Failure;
use crate::limits::{RELAY_CONNECT_TIMEOUT, RELAY_RACE_STAGGER};

/// What came of it, by the places of the addresses.
#[derive(Debug)]
pub(super) struct Finish {
    /// Who connected first.
    pub(super) winner: Option<(usize, TcpStream)>,
    /// Who failed before that. Those that did neither were not begun, or given up.
    pub(super) failed: Vec<(usize, Failure)>,
}

/// Runs until the first connection, or until all have failed.
pub(super) async fn race(addresses: &[SocketAddr], sources: &[IpAddr], deadline: Instant) -> Finish {
    let mut waiting = addresses.iter().copied().enumerate();
    // Whoever loses is aborted with the set, which closes its socket.
    let mut running: JoinSet<(usize, Result<TcpStream, Failure>)> = JoinSet::new();
    let mut failed = Vec::new();
    let mut next = Instant::now();
    let mut left = true;
    loop {
        if left && (running.is_empty() || Instant::now() >= next) {
            match waiting.next() {
                Some((place, address)) => {
                    let sources = sources.to_vec();
                    running.spawn(async move { (place, connect(address, &sources, deadline).await) });
                    next = Instant::now() + RELAY_RACE_STAGGER;
                }
                None => left = false,
            }
        }
        if running.is_empty() && !left {
            return Finish { winner: None, failed };
        }
        let ended = tokio::select! {
            ended = running.join_next(), if !running.is_empty() => ended,
            () = sleep_until(next), if left => None,
        };
        match ended {
            Some(Ok((place, Ok(stream)))) => return Finish { winner: Some((place, stream)), failed },
            Some(Ok((place, Err(failure)))) => {
                failed.push((place, failure));
                // RFC 8305 §5: the next one need not wait for the end of a pause that has lost its reason.
                next = Instant::now();
            }
            // Nobody cancels one of them before the end.
            Some(Err(_)) | None => {}
        }
    }
}

/// A connection to one address, from the source address of its family if there is one.
pub(super) async fn connect(address: SocketAddr, sources: &[IpAddr], deadline: Instant) -> Result<TcpStream, Failure> {
    let connect = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = sources.iter().find(|ip| ip.is_ipv4() == address.is_ipv4()) {
            socket.bind(SocketAddr::new(*source, 0))?;
        }
        // A transaction is a few small writes with a reply after each; Nagle's algorithm would hold them back.
        socket.set_nodelay(true)?;
        socket.connect(address).await
    };
    match timeout_at(deadline.min(Instant::now() + RELAY_CONNECT_TIMEOUT), connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(failures::unreachable(error)),
        Err(_) => Err(failures::unreachable("no answer to the connection attempt in time")),
    }
}
