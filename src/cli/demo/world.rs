//! The world of the demonstration: certificates, stand-ins, a spool of its own, and the gateway between them.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::client;
use super::mails::{self, BUSY, CLIENTS, Scenario, UNKNOWN};
use super::names;
use super::standin::{self, Manners};
use crate::config::{self, DeliveryMode, Endpoint, EndpointFields, EndpointKind, EndpointTls, Snapshot};
use crate::dns::ResolverConfig;
use crate::relay::{Auth, RelayConfig, Route, TlsMode};
use crate::secrets::SecretRef;
use crate::service::Service;
use crate::telemetry::{Format, Log};

/// User name and password of the Exchange stand-in, and what AUTH PLAIN makes of them (RFC 4616).
const CREDENTIAL: &str = r#"{"username": "gateway", "password": "demonstration"}"#;
const PLAIN: &str = "AGdhdGV3YXkAZGVtb25zdHJhdGlvbg==";

/// Everything that runs.
pub(super) struct World {
    /// Where the gateway listens.
    pub(super) gateway: SocketAddr,
    service: Service,
    log: Log,
    tls: Arc<rustls::ClientConfig>,
    folder: Folder,
}

impl World {
    /// Starts all of it; the events of the gateway come through the channel.
    pub(super) async fn start(config: &Path) -> io::Result<(Self, UnboundedReceiver<Value>)> {
        let mut snapshot = load(config)?;
        let folder = Folder::new()?;
        let (server, client) = certificates(&folder)?;
        for relay in snapshot.relays.values_mut() {
            let manners = manners(relay);
            let stand_in = standin::start(manners, Arc::clone(&server)).await?;
            *relay = Arc::new(redirected(relay, stand_in, &folder)?);
        }
        snapshot.endpoints = snapshot.endpoints.values().map(|endpoint| on_loopback(endpoint, &server)).collect();
        // The endpoints have the certificate of the moment; no authority and no domain is to hear of a demonstration.
        snapshot.acme = None;
        snapshot.dmarc_reports = None;
        snapshot.tls_reports = None;
        snapshot.spool = folder.0.join("spool");
        snapshot.resolver = ResolverConfig { servers: vec![names::start().await?], ..snapshot.resolver };
        let (sender, events) = unbounded_channel();
        let log = Log::new(Format::Json, Lines { sender, rest: Vec::new() });
        let clients = CLIENTS.iter().map(|(local, presented)| (IpAddr::V4(*local), *presented)).collect();
        let service = Service::start(snapshot, log.clone(), clients).await.map_err(io::Error::other)?;
        let gateway = service.addresses().first().map(|(_, address)| *address).ok_or_else(|| io::Error::other("there is no endpoint"))?;
        Ok((Self { gateway, service, log, tls: client, folder }, events))
    }

    /// Sends a message; returns the reply that decided.
    pub(super) async fn send(&mut self, scenario: &Scenario) -> io::Result<String> {
        client::send(self.gateway, mails::source(scenario.client), &scenario.mail, Arc::clone(&self.tls)).await
    }

    pub(super) async fn stop(self) {
        self.service.stop().await;
        self.log.close();
        drop(self.folder);
    }
}

fn load(config: &Path) -> io::Result<Snapshot> {
    match config::load(config) {
        Ok((snapshot, _warnings)) => Ok(snapshot),
        Err(report) => {
            eprint!("{}", report.render(config::Format::Text, super::color(&io::stderr())));
            Err(io::Error::other(format!("nothing to show; mend {}, or name another file with --config", config.display())))
        }
    }
}

/// Endpoint on a port of the system's choice, with a certificate, asking the next hop while the client waits.
fn on_loopback(endpoint: &Endpoint, server: &Arc<rustls::ServerConfig>) -> (Arc<str>, Arc<Endpoint>) {
    let name = Arc::clone(&endpoint.name);
    let endpoint = Endpoint {
        name: Arc::clone(&name),
        // The demonstration's clients have neither certificates nor passwords.
        kind: EndpointKind::Open,
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        policy: Arc::clone(&endpoint.policy),
        rules: Arc::clone(&endpoint.rules),
        tls: Some(EndpointTls { required: false, wrapped: false, server: Arc::clone(server), trust: None }),
        delivery: DeliveryMode::Inline,
        // The demonstration's clients come by themselves.
        load_balancers: Vec::new(),
        // It has no key to seal with.
        fields: EndpointFields { arc_seal: None, ..endpoint.fields.clone() },
        // Its next hop takes every recipient.
        call_ahead: None,
    };
    (name, Arc::new(endpoint))
}

/// The same relay, with its stand-in as host and a second as first wait.
fn redirected(relay: &RelayConfig, stand_in: SocketAddr, folder: &Folder) -> io::Result<RelayConfig> {
    let auth = match &relay.auth {
        Some(_) => Some(Auth::Password(SecretRef::File(folder.write("exchange.json", CREDENTIAL)?))),
        None => None,
    };
    let mut redirected = RelayConfig {
        route: Route::Hosts(vec![stand_in.ip().to_string().into()]),
        port: stand_in.port(),
        implicit_tls: false,
        ca_file: (relay.tls == TlsMode::Verify).then(|| folder.0.join("ca.pem")),
        auth,
        source_ips: Vec::new(),
        ..relay.clone()
    };
    redirected.retry.first = Duration::from_secs(1);
    Ok(redirected)
}

fn manners(relay: &RelayConfig) -> Manners {
    let host = Arc::from(relay.destination());
    Manners { hostname: host, plain_auth: relay.auth.as_ref().map(|_| PLAIN), busy_for: BUSY, unknown: UNKNOWN }
}

/// A CA of the moment and a certificate for loopback: for servers, and for clients that believe the CA.
fn certificates(folder: &Folder) -> io::Result<(Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>)> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let ca = params.self_signed(&ca_key).map_err(io::Error::other)?;
    folder.write("ca.pem", &ca.pem())?;
    let issuer = rcgen::Issuer::new(params, ca_key);
    let key = rcgen::KeyPair::generate().map_err(io::Error::other)?;
    let names = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).map_err(io::Error::other)?;
    let certificate = names.signed_by(&key, &issuer).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(io::Error::other)?;
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(io::Error::other)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.der().clone()).map_err(io::Error::other)?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((Arc::new(server), Arc::new(client)))
}

/// A folder that goes when the demonstration ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("gateway-demo-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left lies in the system's folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Reads the log as it is written, line by line.
struct Lines {
    sender: UnboundedSender<Value>,
    rest: Vec<u8>,
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Ok(event) = serde_json::from_slice(&line) {
                let _ = self.sender.send(event);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
