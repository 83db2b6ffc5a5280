//! A private key to sign with: PEM, alone or as the member `private_key` of a JSON object.
//!
//! Errors name the mistake, never a byte of the content. The key is held by the crypto library alone.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use super::json::{self, Json, Key};

/// An RSA key of 2048 to 8192 bits. `Debug` shows nothing of it.
pub struct SigningKey(KeyPair);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Reads PKCS#1 or PKCS#8; the error says what is wrong with it.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Self::from_pem(text);
        }
        let Json::Object(members) = json::read(text, 1)? else { return Err("it is JSON, but not an object with private_key") };
        let mut pem = None;
        for (key, value) in members {
            if key != Key::Private {
                return Err("it has a key besides private_key");
            }
            if pem.replace(value).is_some() {
                return Err("it has private_key twice");
            }
        }
        Self::from_pem(&json::text(pem, json::PRIVATE_KEY)?)
    }

    fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| "it holds no private key in PEM")?;
        let key = match &der {
            PrivateKeyDer::Pkcs1(der) => KeyPair::from_der(der.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(der) => KeyPair::from_pkcs8(der.secret_pkcs8_der()),
            _ => return Err("it is not an RSA key"),
        };
        key.map(Self).map_err(|_| "it is not an RSA key of 2048 to 8192 bits")
    }

    /// Signs with PKCS #1 v1.5 and SHA-256, which is `rsa-sha256` (RFC 6376 §3.3.1); takes about a millisecond. `None`: the library
    /// could not.
    pub fn rsa_sha256(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature).ok()?;
        Some(signature)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use rcgen::{PKCS_RSA_SHA256, PublicKeyData, RsaKeySize};

    use super::*;

    /// Base64 of `hunter2`.
    fn pem(label: &str) -> String {
        format!("-----BEGIN {label}-----\naHVudGVyMg==\n-----END {label}-----\n")
    }

    fn generated() -> rcgen::KeyPair {
        rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
    }

    #[test]
    fn pem_and_json_are_read_and_what_is_signed_verifies() {
        let key = generated();
        let (pem, public) = (key.serialize_pem(), UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.der_bytes()));
        for text in [pem.clone(), format!("\n{pem}\n"), serde_json::json!({ "private_key": pem }).to_string()] {
            let read = SigningKey::from_text(&text).unwrap();
            assert!(public.verify(b"octets", &read.rsa_sha256(b"octets").unwrap()).is_ok());
            assert_eq!(format!("{read:?}"), "SigningKey(..)");
        }
    }

    #[test]
    fn mistakes_are_named_and_nothing_of_the_content_is() {
        let good = generated().serialize_pem();
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let json = |value: serde_json::Value| value.to_string();
        for (text, problem) in [
            (String::new(), "it holds no private key in PEM"),
            ("hunter2".to_owned(), "it holds no private key in PEM"),
            (pem("CERTIFICATE"), "it holds no private key in PEM"),
            (pem("PRIVATE KEY"), "it is not an RSA key of 2048 to 8192 bits"),
            (pem("RSA PRIVATE KEY"), "it is not an RSA key of 2048 to 8192 bits"),
            (pem("EC PRIVATE KEY"), "it is not an RSA key"),
            (elliptic, "it is not an RSA key of 2048 to 8192 bits"),
            (good.replacen('\n', "\n!", 2), "it holds no private key in PEM"),
            ("{hunter2".to_owned(), "it is not JSON"),
            ("{}".to_owned(), "it has no private_key"),
            (json(serde_json::json!({ "private_key": "" })), "its private_key is empty"),
            (json(serde_json::json!({ "private_key": 2 })), "its private_key is not a text"),
            (json(serde_json::json!({ "private_key": "hunter2" })), "it holds no private key in PEM"),
            (json(serde_json::json!({ "private_key": good, "hunter2": 1 })), "it has a key besides private_key"),
            ("{\"private_key\": \"a\", \"private_key\": \"b\"}".to_owned(), "it has private_key twice"),
        ] {
            assert_eq!(SigningKey::from_text(&text).map(|_| ()), Err(problem), "{text}");
        }
    }
}
