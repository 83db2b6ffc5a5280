//! Certificates, and the client's side of a handshake.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme, StreamOwned};

use super::pki::Identity;

/// A TLS connection of a client.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// A self-signed certificate for `localhost` and 127.0.0.1.
pub struct Certificate {
    /// The certificate as it is shown in handshakes.
    pub der: Vec<u8>,
    certificate: String,
    key: String,
}

impl Certificate {
    /// A new one.
    pub fn new() -> Self {
        Self::of(&["localhost", "127.0.0.1"])
    }

    /// One for other names.
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        Self { der: made.cert.der().to_vec(), certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// Writes `cert.pem` and `key.pem` into a folder, each whole or not at all; the paths.
    pub fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        std::fs::create_dir_all(folder).unwrap();
        let put = |name: &str, text: &str| {
            let (path, new) = (folder.join(name), folder.join(format!("{name}.new")));
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, &path).unwrap();
            path
        };
        (put("cert.pem", &self.certificate), put("key.pem", &self.key))
    }
}

/// What a client believes (everybody) and shows. Used for several connections it asks for the resumption of sessions.
pub fn config(identity: Option<&Identity>) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(vec![identity.certificate.clone()], identity.key.clone_key()).unwrap(),
    })
}

/// A client that believes certificates which lead to `root`, and no others.
pub fn believing(root: &CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    Arc::new(builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots).with_no_client_auth())
}

/// Shakes hands with a server of this name. With TLS 1.3 the client is done before the server has looked at its certificate.
pub fn connect(tcp: TcpStream, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<TlsStream> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), tcp);
    finish(&mut stream)?;
    Ok(stream)
}

/// The handshake, as far as it has not been done.
pub fn finish(stream: &mut TlsStream) -> std::io::Result<()> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(())
}

/// The certificate that the server showed.
pub fn shown(stream: &TlsStream) -> Vec<u8> {
    stream.conn.peer_certificates().and_then(<[_]>::first).expect("a certificate").to_vec()
}

/// The tests compare certificates themselves. Signatures are checked all the same: the server must have the key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
