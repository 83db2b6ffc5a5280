//! TLS towards next hops: whom a connection believes, and the configurations of rustls that stand for it.
//!
//! A configuration belongs to one relay and one kind of trust, so that a session is never resumed by who would have believed less. What
//! holds for one connection alone (DANE, a policy that is being tested) gets a configuration of its own, without resumption: each handshake
//! shows a certificate to be judged.

mod dane;
mod verifier;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

pub(super) use dane::Anchors;
use verifier::{Anyone, Pinned, Verifier, Watched};

use super::{Inner, RelayConfig};

/// Whom a connection believes.
#[derive(Clone, Debug)]
pub(super) enum Trust {
    /// Every certificate: encryption against listeners, nothing more (RFC 7435).
    Anyone,
    /// The relay's CAs, or the system's; the name is checked.
    Cas,
    /// Who is named in TLSA records (RFC 7672).
    Dane(Arc<Anchors>),
    /// Everyone, and what the CAs would have said is noted (RFC 8461 §5, "testing").
    Watched(Arc<OnceLock<rustls::Error>>),
}

impl Trust {
    /// Whether it is the same for every connection of a relay.
    pub(super) fn lasts(&self) -> bool {
        matches!(self, Self::Anyone | Self::Cas)
    }
}

/// CAs that are read when they are first needed; a failure is not kept.
#[derive(Debug, Default)]
pub(super) struct LazyCas(OnceCell<Arc<dyn ServerCertVerifier>>);

impl LazyCas {
    /// Those of the file, or the system's; always the same for one cell.
    async fn get(&self, file: Option<&Path>) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let file = file.map(Path::to_owned);
        let make = || async {
            // Roots are read from files.
            match tokio::task::spawn_blocking(move || cas(file.as_deref())).await {
                Ok(cas) => cas,
                Err(error) => Err(error.to_string()),
            }
        };
        self.0.get_or_try_init(make).await.cloned()
    }
}

/// The configurations of one relay.
#[derive(Debug, Default)]
pub(super) struct PoolTls {
    anyone: OnceCell<Arc<ClientConfig>>,
    cas: OnceCell<Arc<ClientConfig>>,
    own_cas: LazyCas,
}

impl PoolTls {
    /// The configuration for a connection that believes `trust`, which must have one of the relay's pins besides.
    pub(super) async fn config(&self, inner: &Inner, relay: &RelayConfig, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        let make = || async { Ok(Arc::new(config(self.verifier(inner, relay, trust).await?)?)) };
        match trust {
            Trust::Anyone => self.anyone.get_or_try_init(make).await.cloned(),
            Trust::Cas => self.cas.get_or_try_init(make).await.cloned(),
            Trust::Dane(_) | Trust::Watched(_) => {
                let mut config = config(self.verifier(inner, relay, trust).await?)?;
                config.resumption = Resumption::disabled();
                Ok(Arc::new(config))
            }
        }
    }

    async fn verifier(&self, inner: &Inner, relay: &RelayConfig, trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let cas = || async {
            match &relay.ca_file {
                Some(file) => self.own_cas.get(Some(file)).await,
                None => inner.system_cas.get(None).await,
            }
        };
        let verifier: Arc<dyn ServerCertVerifier> = match trust {
            Trust::Anyone => anyone(),
            Trust::Cas => cas().await?,
            Trust::Dane(anchors) => Arc::new(Verifier::new(Arc::clone(anchors))),
            Trust::Watched(note) => Arc::new(Verifier::new(Watched { cas: cas().await?, note: Arc::clone(note) })),
        };
        if relay.pins.is_empty() {
            return Ok(verifier);
        }
        Ok(Arc::new(Verifier::new(Pinned { besides: verifier, pins: relay.pins.clone() })))
    }
}

fn config(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Everybody is believed, and what the CAs of the file, or the system's, say is noted. An error: nobody can say anything. Reads files.
pub(super) fn watched(ca_file: Option<&Path>, note: Arc<OnceLock<rustls::Error>>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    Ok(Arc::new(Verifier::new(Watched { cas: cas(ca_file)?, note })))
}

/// Everybody is believed.
pub(super) fn anyone() -> Arc<dyn ServerCertVerifier> {
    Arc::new(Verifier::new(Anyone))
}

/// What `pins` are compared with: SHA-256 of the SubjectPublicKeyInfo.
pub(super) fn key_checksum(certificate: &CertificateDer<'_>) -> Result<[u8; 32], rustls::Error> {
    let mut checksum = [0; 32];
    checksum.copy_from_slice(digest(&SHA256, &verifier::key_of(certificate)?).as_ref());
    Ok(checksum)
}

fn cas(file: Option<&Path>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    file.map_or_else(system_cas, cas_of)
}

fn system_cas() -> Result<Arc<dyn ServerCertVerifier>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| format!("system CAs: {error}"))?;
    Ok(Arc::new(verifier))
}

fn cas_of(file: &Path) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_of(file)? {
        roots.add(certificate).map_err(|error| format!("ca_file {}: {error}", file.display()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map(|verifier| -> Arc<dyn ServerCertVerifier> { verifier }).map_err(|error| format!("ca_file {}: {error}", file.display()))
}

/// The certificates of a PEM file, of which there is one at least. Reads it.
pub(super) fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("ca_file {}: {error}", file.display()))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("ca_file {}: {error}", file.display()))?;
    if certificates.is_empty() {
        return Err(format!("ca_file {} holds no certificate", file.display()));
    }
    Ok(certificates)
}
