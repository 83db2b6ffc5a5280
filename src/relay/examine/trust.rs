//! A handshake that goes through whatever the certificate is, and says what it was worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{ResolvesClientCert, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::limits::TLS_HANDSHAKE_TIMEOUT;
use crate::relay::RelayConfig;
use crate::relay::stream::Stream;
use crate::relay::tls;

/// What a handshake showed.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// `TLS 1.3`.
    pub version: String,
    /// The name of the cipher suite.
    pub cipher: String,
    /// The next hop's certificates, its own first.
    pub chain: Vec<Certificate>,
    /// The SHA-256 of its public key, as `pins` takes it.
    pub pin: Option<String>,
    /// Whether that is one of the relay's pins; `None`: it has none.
    pub pinned: Option<bool>,
    /// Whether its certificate is for the host's name.
    pub name_matches: bool,
    /// What `tls: verify` says of it: name, dates and the CAs that the relay believes.
    pub verified: Result<(), String>,
    /// Whether it asked for a certificate of the gateway.
    pub asked_for_certificate: bool,
}

/// What a certificate says.
#[derive(Clone, Debug, Default)]
pub struct Certificate {
    /// Whose it is.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// The day on which it ends.
    pub not_after: String,
}

/// A handshake with a next hop under its configured name.
pub(super) async fn handshake(relay: &RelayConfig, host: &str, tcp: TcpStream) -> Result<(Stream, Handshake), String> {
    let name = host.trim_matches(['[', ']']).trim_end_matches('.').to_owned();
    let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
    let (ca, note) = (relay.ca_file.clone(), Arc::default());
    let noted = Arc::clone(&note);
    let watched = tokio::task::spawn_blocking(move || tls::watched(ca.as_deref(), noted)).await.map_err(|error| error.to_string())?;
    let (verifier, nobody) = match watched {
        Ok(verifier) => (verifier, None),
        Err(why) => (tls::anyone(), Some(why)),
    };
    let asked = Arc::new(Asked::default());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::clone(&asked) as _);
    let stream = match timeout(TLS_HANDSHAKE_TIMEOUT, TlsConnector::from(Arc::new(config)).connect(name.clone(), tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("no end within {} s", TLS_HANDSHAKE_TIMEOUT.as_secs())),
    };
    let connection = stream.get_ref().1;
    let chain = connection.peer_certificates().unwrap_or_default();
    let leaf = chain.first();
    let name_matches =
        leaf.and_then(|leaf| ParsedCertificate::try_from(leaf).ok()).is_some_and(|leaf| verify_server_name(&leaf, &name).is_ok());
    let checksum = leaf.and_then(|leaf| tls::key_checksum(leaf).ok());
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    let found = Handshake {
        version: version.to_owned(),
        cipher: connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str().map(str::to_owned)).unwrap_or_default(),
        chain: chain.iter().map(certificate).collect(),
        pin: checksum.map(|checksum| format!("sha256:{}", checksum.iter().map(|byte| format!("{byte:02x}")).collect::<String>())),
        pinned: if relay.pins.is_empty() { None } else { Some(checksum.is_some_and(|checksum| relay.pins.contains(&checksum))) },
        name_matches,
        verified: match (nobody, note.get()) {
            (Some(why), _) => Err(why),
            (None, Some(error)) => Err(error.to_string()),
            (None, None) => Ok(()),
        },
        asked_for_certificate: asked.0.load(Ordering::Acquire),
    };
    Ok((Stream::Tls(Box::new(stream)), found))
}

fn certificate(der: &CertificateDer<'static>) -> Certificate {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Certificate::default() };
    Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_after: certificate.validity().not_after.to_datetime().date().to_string(),
    }
}

/// Remembers that the next hop asked for a certificate, and shows none.
#[derive(Debug, Default)]
struct Asked(AtomicBool);

impl ResolvesClientCert for Asked {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Release);
        None
    }

    fn has_certs(&self) -> bool {
        true
    }
}
