//! A certificate with its private key: both in one PEM text, or as `certificate` and `private_key` of a JSON object.
//!
//! Errors name the mistake, never a byte of the content. The key is held by the crypto library alone.

use std::fmt;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::json::{self, Json, Key};

/// A certificate, the chain behind it, and its key. `Debug` shows nothing of the key.
#[derive(Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl PartialEq for Identity {
    /// A certificate has one key.
    fn eq(&self, other: &Self) -> bool {
        self.0.cert == other.0.cert
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// Reads either form; the error says what is wrong with it.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Self::from_pem(text, text);
        }
        let Json::Object(members) = json::read(text, 1)? else {
            return Err("it is JSON, but not an object with certificate and private_key");
        };
        let (mut certificate, mut private_key) = (None, None);
        for (key, value) in members {
            let (place, twice) = match key {
                Key::Certificate => (&mut certificate, "it has certificate twice"),
                Key::Private => (&mut private_key, "it has private_key twice"),
                _ => return Err("it has a key besides certificate and private_key"),
            };
            if place.replace(value).is_some() {
                return Err(twice);
            }
        }
        let certificate = json::text(certificate, json::CERTIFICATE)?;
        Self::from_pem(&certificate, &json::text(private_key, json::PRIVATE_KEY)?)
    }

    fn from_pem(chain: &str, key: &str) -> Result<Self, &'static str> {
        let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("it holds no certificate in PEM")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| "it holds no private key in PEM, or one with a passphrase")?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => "its private key does not belong to its certificate",
            rustls::Error::InvalidCertificate(_) => "its certificate cannot be used",
            _ => "its private key cannot be used",
        })?;
        Ok(Self(Arc::new(certified)))
    }

    /// For handshakes.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0
    }

    /// The certificate itself, without the chain, in DER.
    pub fn certificate(&self) -> &[u8] {
        self.0.cert.first().map_or(&[], |certificate| certificate.as_ref())
    }

    /// Signs with RSASSA-PSS and SHA-256, which JWTs call `PS256` (RFC 7518 §3.5). `None`: the key is not one of RSA.
    pub fn ps256(&self, octets: &[u8]) -> Option<Vec<u8>> {
        self.0.key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256])?.sign(octets).ok()
    }
}

#[cfg(test)]
mod tests {
    use ::aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};

    use super::*;

    fn made(key: &KeyPair) -> String {
        CertificateParams::new(vec!["mx.example".to_owned()]).unwrap().self_signed(key).unwrap().pem()
    }

    #[test]
    fn both_forms_are_read_and_what_is_signed_verifies() {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let (certificate, pem) = (made(&key), key.serialize_pem());
        let public = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, key.der_bytes());
        let json = serde_json::json!({ "certificate": certificate, "private_key": pem }).to_string();
        for text in [format!("{certificate}{pem}"), format!("\n{pem}\n{certificate}"), json] {
            let read = Identity::from_text(&text).unwrap();
            assert!(public.verify(b"octets", &read.ps256(b"octets").unwrap()).is_ok());
            assert_eq!(format!("{read:?}"), "Identity(..)");
        }
        let elliptic = KeyPair::generate().unwrap();
        let read = Identity::from_text(&(made(&elliptic) + &elliptic.serialize_pem())).unwrap();
        assert_eq!(read.ps256(b"octets"), None);
    }

    #[test]
    fn mistakes_are_named_and_nothing_of_the_content_is() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let (certificate, pem) = (made(&key), key.serialize_pem());
        let json = |value: serde_json::Value| value.to_string();
        for (text, problem) in [
            (String::new(), "it holds no certificate in PEM"),
            ("hunter2".to_owned(), "it holds no certificate in PEM"),
            (pem.clone(), "it holds no certificate in PEM"),
            (certificate.clone(), "it holds no private key in PEM, or one with a passphrase"),
            (certificate.clone() + &other.serialize_pem(), "its private key does not belong to its certificate"),
            (json(serde_json::json!({ "certificate": certificate })), "it has no private_key"),
            (json(serde_json::json!({ "private_key": pem })), "it has no certificate"),
            (json(serde_json::json!({ "certificate": 1, "private_key": pem })), "its certificate is not a text"),
            (json(serde_json::json!({ "certificate": "hunter2", "private_key": pem })), "it holds no certificate in PEM"),
            (
                json(serde_json::json!({ "certificate": certificate, "private_key": pem, "x": 1 })),
                "it has a key besides certificate and private_key",
            ),
            ("{hunter2".to_owned(), "it is not JSON"),
        ] {
            assert_eq!(Identity::from_text(&text).map(|_| ()), Err(problem), "{text}");
        }
    }
}
