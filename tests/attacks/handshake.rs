//! The client's side of TLS, by hand.

use std::net::TcpStream;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::harness::tls::{TlsStream, config, finish, shown};

/// Shakes hands and gives the certificate that the server showed.
pub fn client(tcp: TcpStream) -> (TlsStream, Vec<u8>) {
    shake_hands(StreamOwned::new(connection(), tcp))
}

/// The client's side of TLS, which has said nothing yet.
pub fn connection() -> ClientConnection {
    ClientConnection::new(config(None), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// The handshake, as far as it has not been done.
pub fn shake_hands(mut stream: TlsStream) -> (TlsStream, Vec<u8>) {
    finish(&mut stream).expect("a handshake");
    let certificate = shown(&stream);
    (stream, certificate)
}
