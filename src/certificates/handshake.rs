//! The settings of handshakes with clients, and in plain words why one failed.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{CertificateError, InvalidMessage, PeerIncompatible, ServerConfig};
use time::OffsetDateTime;

use super::expiry::date;
use super::trust::{Shown, Trust, Witness};

/// Session tickets have keys of their own: a ticket of another endpoint, or from before a reload, is worth nothing.
pub fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let mut config = with_verifier(WebPkiClientVerifier::no_client_auth(), certificates)?;
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(config)
}

/// The settings for one handshake in which the client must show a certificate that `trust` believes; one that is refused is put
/// into `refused`. Sessions are never resumed: each connection is checked against the CAs and CRLs in force.
pub fn demanding(base: &ServerConfig, trust: &Arc<Trust>, refused: &Shown) -> Result<ServerConfig, rustls::Error> {
    let witness = Witness { trust: Arc::clone(trust), refused: Arc::clone(refused) };
    let mut config = with_verifier(Arc::new(witness), Arc::clone(&base.cert_resolver))?;
    config.alpn_protocols.clone_from(&base.alpn_protocols);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// TLS 1.2 and 1.3.
fn with_verifier(verifier: Arc<dyn ClientCertVerifier>, certificates: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(certificates);
    // Among ciphers that are all good the choice is ours, strongest first: clients list theirs in whatever order.
    config.ignore_client_order = true;
    Ok(config)
}

/// Why a handshake failed, for the log.
pub fn failure(error: &io::Error) -> String {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the client closed during the handshake".to_owned(),
            _ => error.to_string(),
        };
    };
    match error {
        rustls::Error::NoCertificatesPresented => "the client showed no certificate".to_owned(),
        rustls::Error::InvalidCertificate(error) => format!("the client's certificate is refused: {}", certificate(error)),
        rustls::Error::InvalidCertRevocationList(error) => {
            format!("the client's certificate is refused: the CRL of its issuer cannot be used ({error:?})")
        }
        rustls::Error::AlertReceived(alert) => format!("the client refused: {alert:?}"),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion) => {
            "the client does not speak TLS".to_owned()
        }
        rustls::Error::PeerIncompatible(error) => match error {
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired => {
                "no shared version: the client offers neither TLS 1.2 nor 1.3".to_owned()
            }
            PeerIncompatible::NoCipherSuitesInCommon => "no shared cipher suite".to_owned(),
            PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => {
                "no shared key exchange group".to_owned()
            }
            // Clients of TLS 1.2 send it (RFC 5246 §7.4.1.4.1), and rustls looks for it first.
            PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
                "no shared version: the client names no signature algorithms, as before TLS 1.2".to_owned()
            }
            PeerIncompatible::NoSignatureSchemesInCommon => {
                "no shared signature scheme: the client cannot check a certificate of this kind".to_owned()
            }
            other => format!("the client's TLS does not fit: {other:?}"),
        },
        rustls::Error::General(text) if text == NO_CERTIFICATE => "there is no certificate to show yet".to_owned(),
        other => other.to_string(),
    }
}

/// What rustls says when the resolver has nothing.
const NO_CERTIFICATE: &str = "no server certificate chain resolved";

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no trusted CA has issued it".to_owned(),
        CertificateError::BadSignature => "its signature is not that of the CA it names".to_owned(),
        CertificateError::Revoked => "it is revoked".to_owned(),
        CertificateError::UnknownRevocationStatus => "no CRL says whether it is revoked".to_owned(),
        CertificateError::ExpiredRevocationList => "the CRL of its issuer has expired".to_owned(),
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            format!("the CRL of its issuer has expired on {}", shown(*next_update))
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => format!("it, or a CA between, has expired on {}", shown(*not_after)),
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => format!("it is not valid before {}", shown(*not_before)),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => "it is not for clients".to_owned(),
        CertificateError::Other(other) => other.0.to_string(),
        other => other.to_string(),
    }
}

fn shown(time: UnixTime) -> String {
    let time = i64::try_from(time.as_secs()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(|| "a date out of range".to_owned(), date)
}
