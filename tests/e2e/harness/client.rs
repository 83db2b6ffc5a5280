//! A client that sends exactly what it is told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, HandshakeKind};

use super::tls::{self, TlsStream};
use crate::common::DEADLINE;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code.
    pub code: u16,
    /// All lines, codes and line ends taken off, joined by LF.
    pub text: String,
}

impl Reply {
    /// Fails unless the reply begins like this: `550 5.7.1`.
    #[track_caller]
    pub fn expect(&self, begin: &str) -> &Self {
        let whole = format!("{} {}", self.code, self.text);
        assert!(whole.starts_with(begin), "{begin} was expected, and not: {whole}");
        self
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
    Gone,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}

/// A connection to the gateway.
pub struct Client(BufReader<Stream>);

impl Client {
    /// Connects; the banner is still to be read.
    pub fn dial(address: SocketAddr) -> Self {
        Self::try_dial(address).expect("the gateway listens")
    }

    /// The same where the gateway may be gone.
    pub fn try_dial(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEADLINE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self(BufReader::new(Stream::Plain(stream))))
    }

    /// Connects, reads the banner and says EHLO.
    pub fn hello(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.reply().expect("220 ");
        client.command("EHLO client.example").expect("250 ");
        client
    }

    /// The same for a client of this address behind a load balancer, which says so in this version of the PROXY protocol.
    pub fn behind(gateway: SocketAddr, version: u8, client: &str, helo: &str) -> Self {
        let mut session = Self::dial(gateway);
        session.write(&announcement(version, client.parse().expect("an address")));
        session.reply().expect("220 ");
        session.command(&format!("EHLO {helo}")).expect("250 ");
        session
    }

    /// Connects with TLS from the first byte, asking for a server of this name; the banner is still to be read.
    pub fn dial_tls(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Self> {
        let mut client = Self::try_dial(address)?;
        client.try_handshake(config, name)?;
        Ok(client)
    }

    /// Octets as they are.
    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("the gateway reads");
    }

    /// The same where the gateway may be gone.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }

    /// The next reply.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("a reply")
    }

    /// The next reply where the gateway may be gone.
    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut texts: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // RFC 5321 §4.2 and §4.5.3.1.5.
            let (readable, fits) = (line.is_ascii() && line.ends_with("\r\n"), (6..=512).contains(&line.len()));
            assert!(readable && fits, "not a line of a reply: {line:?}");
            // RFC 4954 §4: the text of a challenge may be empty, and its space is there.
            let (code, rest) = line.trim_end_matches("\r\n").split_at(3);
            texts.push(rest[1..].to_owned());
            if rest.starts_with(' ') {
                return Ok(Reply { code: code.parse().expect("a code"), text: texts.join("\n") });
            }
        }
    }

    /// A command and its reply.
    #[track_caller]
    pub fn command(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes());
        self.reply()
    }

    /// A transaction whose recipients are all taken; the reply to the content.
    #[track_caller]
    pub fn send(&mut self, from: &str, to: &[&str], message: &[u8]) -> Reply {
        self.command(&format!("MAIL FROM:<{from}>")).expect("250 ");
        for to in to {
            self.command(&format!("RCPT TO:<{to}>")).expect("250 ");
        }
        self.command("DATA").expect("354 ");
        self.write(&stuffed(message));
        self.reply()
    }

    /// STARTTLS and the handshake; the certificate that was shown.
    #[track_caller]
    pub fn start_tls(&mut self) -> Vec<u8> {
        self.command("STARTTLS").expect("220 ");
        self.handshake()
    }

    /// STARTTLS and a handshake that fails unless the certificate is for `name` and leads to `root`; the certificate.
    #[track_caller]
    pub fn start_tls_believing(&mut self, root: &CertificateDer<'static>, name: &str) -> Vec<u8> {
        self.command("STARTTLS").expect("220 ");
        self.try_handshake(&tls::believing(root), name).expect("a certificate that can be believed");
        self.certificate_shown()
    }

    /// The handshake alone.
    pub fn handshake(&mut self) -> Vec<u8> {
        self.try_handshake(&tls::config(None), "localhost").expect("a handshake");
        self.certificate_shown()
    }

    /// The same with a configuration and a server's name, where it may fail.
    pub fn try_handshake(&mut self, config: &Arc<ClientConfig>, name: &str) -> io::Result<()> {
        let Stream::Plain(tcp) = std::mem::replace(self.0.get_mut(), Stream::Gone) else { panic!("TLS in TLS") };
        assert!(self.0.buffer().is_empty(), "the gateway spoke between 220 and the handshake");
        *self.0.get_mut() = Stream::Tls(Box::new(tls::connect(tcp, config, name)?));
        Ok(())
    }

    /// The certificate that the gateway has shown.
    pub fn certificate_shown(&self) -> Vec<u8> {
        let Stream::Tls(stream) = self.0.get_ref() else { panic!("there is no TLS") };
        tls::shown(stream)
    }

    /// Whether the handshake was a whole one.
    pub fn handshake_was_full(&self) -> bool {
        let Stream::Tls(stream) = self.0.get_ref() else { panic!("there is no TLS") };
        stream.conn.handshake_kind() != Some(HandshakeKind::Resumed)
    }

    /// What comes until the gateway closes; a reset counts as a close.
    pub fn rest(mut self) -> String {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Err(error) if !matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => panic!("{error}"),
            _ => String::from_utf8_lossy(&rest).into_owned(),
        }
    }

    /// Says that no more will come, and leaves the other direction open.
    pub fn half_close(&self) {
        let Stream::Plain(stream) = self.0.get_ref() else { panic!("of TCP only") };
        // The gateway may have closed it already.
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
}

/// The PROXY header of a connection from port 4711 of this address.
fn announcement(version: u8, client: IpAddr) -> Vec<u8> {
    let to: IpAddr = if client.is_ipv4() { "192.0.2.25".parse().unwrap() } else { "2001:db8::25".parse().unwrap() };
    if version == 1 {
        return format!("PROXY {} {client} {to} 4711 25\r\n", if client.is_ipv4() { "TCP4" } else { "TCP6" }).into_bytes();
    }
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let block = [octets(client), octets(to), vec![0x12, 0x67, 0, 25]].concat();
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family, 0, u8::try_from(block.len()).unwrap()][..], &block].concat()
}

/// A message as it goes over the wire (RFC 5321 §4.5.2).
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + message.len() / 64 + 8);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
