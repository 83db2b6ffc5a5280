//! Connections of load balancers: the PROXY header is read first, and then the client that it names is served.
//!
//! The header is taken out of the socket to its last octet and no further. What the client has said behind it stays where the
//! session, a handshake or the check for early talkers look for it: to all of them there never was a header.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admission::TotalPlace;
use super::driver::serve;
use super::listener::{is_wrapped, send_away};
use super::{Ingress, Live};
use crate::config::Endpoint;
use crate::dispatch::Intake;
use crate::limits::{Limit, PROXY_HEADER_TIMEOUT};
use crate::proxy::{Command, Decoded, Header, Malformed, decode};
use crate::telemetry::{Announced, Event};

/// What is read at a time; a header seldom has more.
const PIECE_BYTES: usize = 512;

/// Who is served.
pub(super) struct Client {
    /// The client, for all purposes.
    pub(super) address: IpAddr,
    pub(super) port: u16,
    /// How it is known, where a load balancer stands between.
    pub(super) announcement: Option<Box<Announcement>>,
}

/// What a load balancer has said.
pub(super) struct Announcement {
    peer: SocketAddr,
    header: Header,
}

impl Announcement {
    /// For the log.
    pub(super) fn event(&self) -> Announced<'_> {
        let Self { peer, header: Header { command, addresses, tlvs } } = self;
        Announced {
            peer: *peer,
            command: match command {
                Command::Local => "local",
                Command::Proxy => "proxy",
            },
            destination: addresses.map(|addresses| addresses.destination),
            server_name: tlvs.authority.as_deref(),
            tls: tlvs.ssl.as_ref().filter(|ssl| ssl.used).and_then(|ssl| ssl.version.as_deref()),
            unique_id: tlvs.unique_id.as_deref().map(shown),
        }
    }
}

/// An id is opaque, but most are text.
fn shown(id: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(id) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => text.into(),
        _ => id.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

/// Serves the client that a load balancer connects for. Without a good header there is no banner (PP §2: "MUST NOT start
/// processing the connection before it receives a complete and valid PROXY protocol header").
pub(super) async fn serve_announced<D: Intake>(
    ingress: Arc<Ingress<D>>,
    live: Arc<Live>,
    endpoint: Arc<Endpoint>,
    mut tcp: TcpStream,
    peer: SocketAddr,
    total: TotalPlace,
) {
    let read = timeout(PROXY_HEADER_TIMEOUT, read_header(&mut tcp)).await;
    let header = match read.unwrap_or(Err(Failed::Slow)) {
        Ok(header) => header,
        Err(failed) => {
            let limit = matches!(failed, Failed::Slow).then_some(Limit::ProxyHeaderTimeout);
            return ingress.log.emit(&Event::ProxyFailed { endpoint: &endpoint.name, peer, detail: &failed.to_string(), limit });
        }
    };
    let source = header.addresses.map(|addresses| addresses.source);
    // The load balancer itself has no limit of its own: all its health checks come from one address.
    let place = match source.map(|source| ingress.admission.enter_client(source.ip())).transpose() {
        Ok(place) => place,
        Err(refusal) => {
            ingress.count_turned_away(refusal.limit, source.map_or(peer.ip(), |source| source.ip()));
            return send_away(&tcp, is_wrapped(&endpoint), &refusal.reply);
        }
    };
    let end = source.unwrap_or(peer);
    let client = Client { address: end.ip(), port: end.port(), announcement: Some(Box::new(Announcement { peer, header })) };
    // A task of its own: the session's state does not grow by what was needed until here.
    ingress.sessions.clone().spawn(serve(ingress, live, endpoint, tcp, client, (total, place)));
}

/// Why there is no header.
#[derive(Debug)]
enum Failed {
    Slow,
    Closed { bytes: usize },
    Lost(io::Error),
    Malformed(Malformed),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow => write!(f, "no whole PROXY header within {} seconds", PROXY_HEADER_TIMEOUT.as_secs()),
            Self::Closed { bytes: 0 } => f.write_str("closed without a PROXY header"),
            Self::Closed { bytes } => write!(f, "closed after {bytes} octets of a PROXY header"),
            Self::Lost(error) => write!(f, "lost before the PROXY header: {error}"),
            Self::Malformed(malformed) => malformed.fmt(f),
        }
    }
}

async fn read_header(tcp: &mut TcpStream) -> Result<Header, Failed> {
    let mut octets = Vec::new();
    loop {
        let held = octets.len();
        octets.resize(held.saturating_add(PIECE_BYTES), 0);
        // Only looked at: how much of it is the header's is not known yet.
        let there = tcp.peek(octets.get_mut(held..).unwrap_or_default()).await.map_err(Failed::Lost)?;
        if there == 0 {
            return Err(Failed::Closed { bytes: held });
        }
        octets.truncate(held.saturating_add(there));
        let decoded = decode(&octets).map_err(Failed::Malformed)?;
        // The beginning of a header is the header's, and a longer one is refused by its length: this is bounded.
        let (header, end) = match decoded {
            Decoded::NeedMore => (None, octets.len()),
            Decoded::Header { header, consumed } => (Some(header), consumed),
        };
        tcp.read_exact(octets.get_mut(held..end).unwrap_or_default()).await.map_err(Failed::Lost)?;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}
