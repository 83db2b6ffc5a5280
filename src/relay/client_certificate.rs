//! The certificate that a relay shows to its next hop when that asks for one.
//!
//! - Each relay has its own: configurations of TLS, and with them the sessions that are resumed, are never shared between relays with
//!   certificates, nor between two certificates of one relay.
//! - It is looked at for every connection: a changed file counts for the next one, a changed secret within its time in the cache.
//! - While its source fails the last good one is shown, and the log says so.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::login::CredentialSource;
use super::pool;
use crate::limits::{CLIENT_CERTIFICATE_CONFIGS_MAX, CLIENT_CERTIFICATE_SESSIONS_MAX};
use crate::secrets::{Identity, SecretRef};

/// One relay's configurations with its certificate.
#[derive(Debug, Default)]
pub(super) struct ClientCertificate {
    made: Mutex<Vec<Made>>,
}

#[derive(Debug)]
struct Made {
    /// Whom to believe, without a certificate of ours. Held, so that no other one gets its address.
    bare: Arc<ClientConfig>,
    identity: Arc<Identity>,
    config: Arc<ClientConfig>,
}

impl ClientCertificate {
    /// The same configuration with the certificate as it is now. What does not last is for one connection, whose session is not resumed.
    pub(super) async fn with(
        &self,
        bare: Arc<ClientConfig>,
        lasts: bool,
        secrets: &dyn CredentialSource,
        secret: &SecretRef,
    ) -> Result<Arc<ClientConfig>, String> {
        let identity = secrets.identity(secret).await.map_err(|error| format!("client_certificate: {error}"))?;
        let shown = || {
            let mut config = (*bare).clone();
            config.client_auth_cert_resolver = Arc::new(Shown(Arc::clone(identity.certified())));
            config
        };
        if !lasts {
            return Ok(Arc::new(shown()));
        }
        let mut made = pool::lock(&self.made);
        made.retain(|made| made.identity == identity);
        if let Some(made) = made.iter().find(|made| Arc::ptr_eq(&made.bare, &bare)) {
            return Ok(Arc::clone(&made.config));
        }
        let mut config = shown();
        config.resumption = Resumption::in_memory_sessions(CLIENT_CERTIFICATE_SESSIONS_MAX);
        let config = Arc::new(config);
        if made.len() >= CLIENT_CERTIFICATE_CONFIGS_MAX {
            made.remove(0);
        }
        made.push(Made { bare, identity, config: Arc::clone(&config) });
        Ok(config)
    }
}

/// Whatever CAs the next hop names: those lists are often wrong, and without the certificate it would not know us at all.
struct Shown(Arc<CertifiedKey>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown(..)")
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _root_hint_subjects: &[&[u8]], _sigschemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
