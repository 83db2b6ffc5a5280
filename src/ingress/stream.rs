//! A client's byte stream, before and after the TLS handshake.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use rustls::server::Acceptor;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Shown, client_certificate, demanding, failure};
use crate::config::EndpointTls;
use crate::limits::READ_BUFFER_BYTES;
use crate::message::{TlsFacts, TlsVersion};

/// A connection to a client.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<Prefixed>>),
}

impl Stream {
    /// Appends what comes next; 0 is the end. An idle connection holds no buffer: room, as much as is said, is made when there is
    /// something to read.
    pub(super) async fn read(&mut self, input: &mut BytesMut, room: usize) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => loop {
                if input.is_empty() {
                    *input = BytesMut::new();
                }
                tcp.readable().await?;
                input.reserve(room);
                match tcp.try_read_buf(input) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    other => return other,
                }
            },
            Self::Tls(tls) => poll_fn(|cx| read_tls(tls, input, cx)).await,
        }
    }

    /// Writes all of `output` and empties it.
    pub(super) async fn write(&mut self, output: &mut BytesMut) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(output).await?,
            Self::Tls(tls) => {
                tls.write_all(output).await?;
                tls.flush().await?;
            }
        }
        *output = BytesMut::new();
        Ok(())
    }

    /// Whether the client has spoken already; never waits. The kernel is asked: of a connection this young the runtime knows
    /// nothing yet, and would say no.
    pub(super) fn has_input(&self) -> bool {
        let Self::Plain(tcp) = self else { return false };
        matches!(SockRef::from(tcp).peek(&mut [MaybeUninit::uninit()]), Ok(1..))
    }

    /// Ends our side in an orderly way, then listens until the client ends its own: a socket that is closed with input unread
    /// is reset, and the reset takes replies with it that the client has not read yet, the 250 to a message perhaps.
    pub(super) async fn close(&mut self) {
        // The peer may be gone; there is nobody to tell.
        let _ = match self {
            Self::Plain(tcp) => tcp.shutdown().await,
            Self::Tls(tls) => tls.shutdown().await,
        };
        let tcp = match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.get_mut().0.tcp,
        };
        // On the heap: an array here would be a part of every connection's state, idle ones included.
        let mut unread = vec![0_u8; 4096];
        while matches!(tcp.read(&mut unread).await, Ok(1..)) {}
    }

    /// The handshake, of implicit TLS or of STARTTLS. `early` is what was read before it: it goes into the handshake, never into the
    /// parser (RFC 3207 §4.2; the injection of CVE-2011-0411).
    pub(super) async fn accept_tls(self, early: BytesMut, tls: &EndpointTls) -> Handshake {
        let mut handshake = Handshake::default();
        handshake.result = match self {
            Self::Plain(tcp) => {
                accept(Prefixed { early, tcp }, tls, &mut handshake).await.map(|(tls, facts)| (Self::Tls(Box::new(tls)), facts))
            }
            Self::Tls(_) => Err("TLS is already in use".to_owned()),
        };
        handshake
    }
}

/// Appends what comes next. What TLS itself owes the client meanwhile (the refusal of a renegotiation, the answer to a key update) is
/// sent at once: the next reply, with which it would go otherwise, may be far off.
fn read_tls(tls: &mut TlsStream<Prefixed>, input: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut room = [0; READ_BUFFER_BYTES];
    let mut read = ReadBuf::new(&mut room);
    if let Poll::Ready(result) = Pin::new(&mut *tls).poll_read(cx, &mut read) {
        input.extend_from_slice(read.filled());
        return Poll::Ready(result.map(|()| read.filled().len()));
    }
    if tls.get_ref().1.wants_write()
        && let Poll::Ready(Err(error)) = Pin::new(tls).poll_flush(cx)
    {
        return Poll::Ready(Err(error));
    }
    Poll::Pending
}

/// What came of a handshake.
pub(super) struct Handshake {
    /// The stream and its facts, or why there are none.
    pub(super) result: Result<(Stream, TlsFacts), String>,
    /// The name that the client asked for.
    pub(super) server_name: Option<Box<str>>,
    /// The certificate that the client showed and that was refused.
    pub(super) refused: Shown,
}

impl Default for Handshake {
    fn default() -> Self {
        Self { result: Err(String::new()), server_name: None, refused: Shown::default() }
    }
}

async fn accept(io: Prefixed, tls: &EndpointTls, handshake: &mut Handshake) -> Result<(TlsStream<Prefixed>, TlsFacts), String> {
    let failed = |error: io::Error| failure(&error);
    let start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(failed)?;
    handshake.server_name = start.client_hello().server_name().map(Box::from);
    let config = match &tls.trust {
        None => Arc::clone(&tls.server),
        Some(trust) => Arc::new(demanding(&tls.server, trust, &handshake.refused).map_err(|error| error.to_string())?),
    };
    let stream = start.into_stream(config).await.map_err(failed)?;
    let facts = facts(&stream, tls)?;
    Ok((stream, facts))
}

fn facts(stream: &TlsStream<Prefixed>, tls: &EndpointTls) -> Result<TlsFacts, String> {
    let (_, session) = stream.get_ref();
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => TlsVersion::Tls1_2,
        Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::Tls1_3,
        other => return Err(format!("protocol version {other:?}")),
    };
    let cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    // rustls calls the suites of TLS 1.3 TLS13_...; IANA calls them TLS_....
    let cipher = cipher.replace("TLS13_", "TLS_").into();
    let client_certificate = match (&tls.trust, session.peer_certificates()) {
        (None, _) => None,
        (Some(_), Some([shown, ..])) => Some(Arc::new(client_certificate(shown)?)),
        // The verifier lets nobody through without; should it ever, nobody is let in.
        (Some(_), _) => return Err("the client showed no certificate".to_owned()),
    };
    Ok(TlsFacts { version, cipher, wrapped: tls.wrapped, client_certificate })
}

/// A socket whose first bytes were read already.
pub(super) struct Prefixed {
    early: BytesMut,
    tcp: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.tcp).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(self.early.get(..length).unwrap_or_default());
        self.early.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
