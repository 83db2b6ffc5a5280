//! A handshake that goes through whatever the certificate is, and says what it was worth.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::limits::TLS_HANDSHAKE_TIMEOUT;
use crate::relay::RelayConfig;
use crate::relay::pool::lock;
use crate::relay::stream::Stream;

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
    let ca = relay.ca_file.clone();
    let judge = tokio::task::spawn_blocking(move || judge(ca.as_deref())).await.map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let witness =
        Arc::new(Witness { provider: Arc::clone(&provider), judge, verdict: Mutex::new(Err("no certificate was shown".to_owned())) });
    let asked = Arc::new(Asked::default());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&witness) as _)
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
    let checksum = leaf.and_then(public_key_checksum);
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
        verified: lock(&witness.verdict).clone(),
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

fn public_key_checksum(der: &CertificateDer<'static>) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    digest(&SHA256, certificate.public_key().raw).as_ref().try_into().ok()
}

/// Who judges certificates for this relay: its own CAs, or the system's. An error says why nobody can.
fn judge(ca: Option<&std::path::Path>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Some(path) = ca else {
        let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| format!("system CAs: {error}"))?;
        return Ok(Arc::new(verifier));
    };
    let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().map_err(|error| wrong(&error))?;
    Ok(verifier)
}

/// Lets every certificate pass and keeps what the judge says of it. The handshake's signature is still checked.
#[derive(Debug)]
struct Witness {
    provider: Arc<CryptoProvider>,
    judge: Result<Arc<dyn ServerCertVerifier>, String>,
    verdict: Mutex<Result<(), String>>,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = match &self.judge {
            Ok(judge) => judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map(drop)
                .map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        *lock(&self.verdict) = verdict;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
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
