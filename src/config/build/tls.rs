//! TLS of endpoints: certificate and key from their files to what makes handshakes.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Which of the two files is at fault, and why.
#[derive(Debug)]
pub(super) enum TlsMistake {
    Certificate(String),
    Key(String),
}

/// TLS 1.2 and 1.3 with session tickets; client certificates are not asked for.
pub(super) fn server(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsMistake> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| TlsMistake::Certificate(format!("the certificate cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(TlsMistake::Certificate("the file holds no certificate in PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsMistake::Key(format!("the key cannot be read: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| TlsMistake::Certificate(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => TlsMistake::Key("the key does not belong to the certificate".to_owned()),
            rustls::Error::InvalidCertificate(_) => TlsMistake::Certificate(format!("the certificate cannot be used: {error}")),
            error => TlsMistake::Key(format!("certificate and key cannot be used: {error}")),
        })?;
    // Among ciphers that are all good the choice is ours, strongest first: clients list theirs in whatever order.
    config.ignore_client_order = true;
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| TlsMistake::Certificate(error.to_string()))?;
    Ok(Arc::new(config))
}
