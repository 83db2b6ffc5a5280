//! Certificates that relays show, with a next hop that asks for them.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;

use super::tls_and_login::with_tls;
use super::*;
use crate::secrets::SecretRef;

/// An authority that the next hop believes.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and its key in PEM, and the certificate in DER.
    fn issue(&self, name: &str) -> (String, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem() + &key.serialize_pem(), certificate.der().to_vec())
    }

    /// A next hop that talks to nobody without a certificate of this authority.
    async fn hop(&self) -> Hop {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Hop::start(with_tls(Arc::new(server))).await
    }
}

/// One message for each connection, so that every delivery makes a handshake.
fn relay(hop: &Hop, name: &str, file: Option<&Path>) -> RelayConfig {
    RelayConfig {
        name: name.into(),
        tls: TlsMode::Required,
        client_certificate: file.map(|file| SecretRef::File(file.to_owned())),
        limits: RelayLimits { messages_per_connection: 1, ..RelayLimits::default() },
        ..config(hop)
    }
}

/// Delivers to the relay on a connection of its own.
async fn deliver_alone(relays: &Relays, config: RelayConfig) -> Vec<String> {
    let relay = Arc::new(config);
    let report = relays.deliver(&relay, &delivery(&["x@y.example"]), Instant::now() + PLENTY).await;
    relays.pool(&relay).close();
    short(&report)
}

#[tokio::test]
async fn each_relay_shows_its_own_certificate_and_resumes_no_session_of_another() {
    let authority = Authority::new();
    let (hop, folder, relays) = (authority.hop().await, tempfile::tempdir().unwrap(), relays());
    let mut expected = Vec::new();
    let mut files = Vec::new();
    for name in ["one.example", "two.example"] {
        let (pem, der) = authority.issue(name);
        let file = folder.path().join(name);
        std::fs::write(&file, pem).unwrap();
        expected.push(Some(der));
        files.push(file);
    }
    for _ in 0..2 {
        for (name, file) in ["one", "two"].into_iter().zip(&files) {
            assert_eq!(deliver_alone(&relays, relay(&hop, name, Some(file))).await, ["250"]);
        }
    }
    assert_eq!(hop.log().certificates, [&expected[..], &expected[..]].concat());
    assert_eq!(deliver_alone(&relays, relay(&hop, "none", None)).await, ["451 4.4.2 later"], "nothing is shown that nobody has configured");
}

#[tokio::test]
async fn a_renewed_certificate_counts_at_once_and_a_broken_one_leaves_the_last_good_one() {
    let authority = Authority::new();
    let (hop, folder, relays) = (authority.hop().await, tempfile::tempdir().unwrap(), relays());
    let file = folder.path().join("client.pem");
    let config = || relay(&hop, "relay", Some(&file));
    assert_eq!(deliver_alone(&relays, config()).await, ["451 4.3.5 later"], "never without it");

    let ((first, first_der), (second, second_der)) = (authority.issue("mx.example"), authority.issue("mx.example"));
    for content in [first.as_str(), &second, "-----BEGIN half a certificate", &second] {
        std::fs::write(&file, content).unwrap();
        relays.set_held("relay", false).await;
        assert_eq!(deliver_alone(&relays, config()).await, ["250"]);
    }
    let shown = [first_der, second_der.clone(), second_der.clone(), second_der].map(Some);
    assert_eq!(hop.log().certificates, shown);
}
