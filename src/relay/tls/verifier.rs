//! Judges of certificates, and what all of them have in common: the handshake's signature is checked whatever they think, so that whoever
//! answers holds the key of the certificate it shows.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};

/// A certificate chain as it was shown.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) end_entity: &'a CertificateDer<'a>,
    pub(super) intermediates: &'a [CertificateDer<'a>],
    pub(super) name: &'a ServerName<'a>,
    pub(super) now: UnixTime,
}

/// Who says whether a certificate will do.
pub(super) trait Judge: Debug + Send + Sync {
    /// An error ends the handshake.
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error>;
}

/// A judge as rustls wants it.
#[derive(Debug)]
pub(super) struct Verifier<J> {
    judge: J,
    algorithms: WebPkiSupportedAlgorithms,
}

impl<J> Verifier<J> {
    pub(super) fn new(judge: J) -> Self {
        Self { judge, algorithms: rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms }
    }
}

impl<J: Judge> ServerCertVerifier for Verifier<J> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge.judge(Shown { end_entity, intermediates, name, now }).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Believes every chain and every name.
#[derive(Debug)]
pub(super) struct Anyone;

impl Judge for Anyone {
    fn judge(&self, _: Shown<'_>) -> Result<(), rustls::Error> {
        Ok(())
    }
}

/// Wants one of these keys, whatever else is asked.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) besides: Arc<dyn ServerCertVerifier>,
    /// SHA-256 of SubjectPublicKeyInfos.
    pub(super) pins: Vec<[u8; 32]>,
}

impl Judge for Pinned {
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error> {
        if !self.pins.contains(&super::key_checksum(shown.end_entity)?) {
            return Err(rustls::Error::General("the certificate's key is none of `pins`".to_owned()));
        }
        ask(&*self.besides, shown)
    }
}

/// Believes everyone, and notes what CAs would have said.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) cas: Arc<dyn ServerCertVerifier>,
    pub(super) note: Arc<OnceLock<rustls::Error>>,
}

impl Judge for Watched {
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error> {
        if let Err(error) = ask(&*self.cas, shown) {
            // The first one stays.
            let _ = self.note.set(error);
        }
        Ok(())
    }
}

/// Asks a verifier of rustls. Stapled answers of OCSP are not looked at.
pub(super) fn ask(verifier: &dyn ServerCertVerifier, shown: Shown<'_>) -> Result<(), rustls::Error> {
    verifier.verify_server_cert(shown.end_entity, shown.intermediates, shown.name, &[], shown.now).map(|_| ())
}

/// The SubjectPublicKeyInfo of a certificate in DER.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, rustls::Error> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|_| rustls::Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(parsed.subject_public_key_info().to_vec())
}
