//! Authorities and certificates of next hops, and how they fare by a relay that follows policies.

use std::sync::Mutex;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::super::connect::{Connect, ConnectError};
use super::super::hosts::{Candidate, Place};
use super::super::pool::Pool;
use super::*;
use crate::stub_dns::StubDns;

/// An authority.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(super) shown: Shown,
    pub(super) file: tempfile::NamedTempFile,
}

/// A certificate and its key.
#[derive(Clone)]
pub(super) struct Shown {
    pub(super) der: CertificateDer<'static>,
    pub(super) spki: Vec<u8>,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let shown = Shown { der: certificate.der().clone(), spki: rcgen::PublicKeyData::subject_public_key_info(&key) };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate.pem()).unwrap();
        Self { issuer: Issuer::new(params, key), shown, file }
    }

    /// A server with a certificate for a name that ended, or ends, in so many days, and shows its authority too.
    pub(super) fn server(&self, name: &str, days: i64) -> (Arc<rustls::ServerConfig>, Shown) {
        self.server_showing(name, days, true)
    }

    pub(super) fn server_showing(&self, name: &str, days: i64, authority: bool) -> (Arc<rustls::ServerConfig>, Shown) {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let at = |days: i64| time::OffsetDateTime::now_utc() + time::Duration::days(days);
        (params.not_before, params.not_after) = (at(-365), at(days));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend(authority.then(|| self.shown.der.clone()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        (Arc::new(config), Shown { der: certificate.der().clone(), spki })
    }
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Vec<TlsSession>>);

impl TlsObserver for Watch {
    fn seen(&self, session: TlsSession) {
        self.0.lock().unwrap().push(session);
    }
}

impl Watch {
    /// The sessions so far, each as policy and fault.
    pub(super) fn take(&self) -> Vec<(&'static str, &'static str)> {
        let sessions = std::mem::take(&mut *self.0.lock().unwrap());
        let fault = |session: &TlsSession| session.fault.as_ref().map_or("", |noted| noted.fault.word());
        sessions.iter().map(|session| (session.policy.kind.word(), fault(session))).collect()
    }
}

/// Relays with a DNS server of their own, and who watches them.
pub(super) fn watched(dns: &StubDns, policy_port: u16) -> (Relays, Arc<Watch>) {
    let config = ResolverConfig { servers: vec![dns.address()], ..ResolverConfig::default() };
    let secrets = Arc::new(Secrets::default());
    let tokens = super::super::tokens::Tokens::new(Arc::clone(&secrets));
    let relays = Relays::with_policy_port("mx.example".into(), secrets, tokens, Dns::new(&config).unwrap(), policy_port);
    let watch = Arc::new(Watch::default());
    relays.observe_tls(Arc::clone(&watch) as Arc<dyn TlsObserver>);
    (relays, watch)
}

/// How a connection to an exchanger of `y.example` fares: `TLS`, `plain`, or the status of the failure.
pub(super) async fn reach(relays: &Relays, relay: &RelayConfig, host: &str, hop: &Hop, require_tls: bool) -> String {
    let pool = Pool::new(Arc::new(RelayConfig { port: hop.address.port(), ..relay.clone() }));
    let candidate = Candidate { host: host.into(), place: Place::Tcp(hop.address) };
    let connect = Connect { inner: &relays.inner, pool: &pool, candidate: &candidate, require_tls, deadline: Instant::now() + PLENTY };
    match connect.open(None).await {
        Ok(connection) if connection.peer.tls.is_some() => "TLS".to_owned(),
        Ok(_) => "plain".to_owned(),
        Err(ConnectError::TryNext(failure) | ConnectError::Stop(failure)) => failure.reply.status.unwrap().to_string(),
    }
}

/// The exchangers of a domain.
pub(super) fn mx(domain: &str, tls: TlsMode) -> RelayConfig {
    RelayConfig { tls, ..RelayConfig::new("relay", Route::MailExchangers(domain.into())) }
}
