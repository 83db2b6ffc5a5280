//! Listening sockets as all servers of this program want them.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::limits::LISTEN_BACKLOG;

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    who: String,
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot listen on {}: {}", self.who, self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Binds one address for `who` and listens. Returns the address, too, with the port that the system chose where 0 was asked for.
pub fn listen(who: &str, address: SocketAddr) -> Result<(SocketAddr, TcpListener), BindError> {
    let bound = bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|source| BindError { who: who.to_owned(), address, source })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        // `0.0.0.0` and `[::]` are configured one by one.
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let (address, _taken) = listen("the first", "127.0.0.1:0".parse().unwrap()).unwrap();
        let error = listen("the second", address).unwrap_err().to_string();
        assert!(error.starts_with(&format!("the second cannot listen on {address}: ")), "{error}");
    }
}
