//! Certificates of both sides of a handshake: which one a client is shown, whose clients are believed, what a client's says.
//!
//! Everything is handed in parsed or as bytes; nothing here reads a file or the clock.

mod client;
mod expiry;
mod handshake;
mod material;
mod names;
mod trust;
#[cfg(test)]
mod trust_tests;

pub use client::client_certificate;
pub use expiry::{Dated, Expiry, Standing};
pub use handshake::{demanding, failure, server_config};
pub use material::{Pair, PairMistake, client_identity, pair};
pub use names::ServerNames;
pub use trust::{Believed, Shown, Trust, TrustMistake};

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificates of an endpoint; each client is shown the one that fits the name it asks for (SNI, RFC 6066 §3).
///
/// - A certificate whose name is the one asked for goes before one whose wildcard covers it.
/// - Of several that fit alike, the first goes whose key the client can check: an RSA certificate beside an ECDSA one.
/// - The first certificate that is there serves clients that ask for no name, or for one that no certificate has.
#[derive(Debug)]
pub struct Certificates(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    names: ServerNames,
    source: Source,
}

/// Where a certificate comes from.
#[derive(Clone)]
pub enum Source {
    /// From files; a reload replaces the whole.
    Fixed(Arc<CertifiedKey>),
    /// From a CA while the gateway runs: the slot is empty until there is one, and is filled anew with each renewal.
    Issued(Arc<ArcSwapOption<CertifiedKey>>),
}

impl Certificates {
    /// In the order in which the operator names them, each with the names that it is for.
    pub fn new(entries: impl IntoIterator<Item = (ServerNames, Source)>) -> Self {
        Self(entries.into_iter().map(|(names, source)| Entry { names, source }).collect())
    }

    /// The certificate for a client that asks for `server_name` and can check signatures of `schemes`.
    pub fn choose(&self, server_name: Option<&str>, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let exact = server_name.and_then(|name| self.first(schemes, |names| names.has(name)));
        let covered = || server_name.and_then(|name| self.first(schemes, |names| names.cover(name)));
        exact.or_else(covered).or_else(|| self.first(schemes, |_| true))
    }

    /// The first that fits and is there; one that the client cannot check only where no other fits.
    fn first(&self, schemes: &[SignatureScheme], fits: impl Fn(&ServerNames) -> bool) -> Option<Arc<CertifiedKey>> {
        let mut unchecked = None;
        for certificate in self.0.iter().filter(|entry| fits(&entry.names)).filter_map(|entry| entry.source.get()) {
            if certificate.key.choose_scheme(schemes).is_some() {
                return Some(certificate);
            }
            unchecked.get_or_insert(certificate);
        }
        unchecked
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(client_hello.server_name(), client_hello.signature_schemes())
    }
}

impl Source {
    /// The certificate, if it is there.
    fn get(&self) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Fixed(certificate) => Some(Arc::clone(certificate)),
            Self::Issued(slot) => slot.load_full(),
        }
    }
}

// A key says nothing about itself.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("Fixed"),
            Self::Issued(slot) => f.debug_tuple("Issued").field(&slot.load().is_some()).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;

    use super::*;

    const ECDSA: &[SignatureScheme] = &[SignatureScheme::ECDSA_NISTP256_SHA256];
    const EDDSA: &[SignatureScheme] = &[SignatureScheme::ED25519];

    fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> Arc<CertifiedKey> {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let certificate = CertificateParams::new(["x.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let key = any_supported_type(&rustls::pki_types::PrivateKeyDer::try_from(pair.serialize_der()).unwrap()).unwrap();
        Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key))
    }

    fn names(names: &[&str]) -> ServerNames {
        ServerNames::new(names.iter().copied())
    }

    #[test]
    fn the_name_asked_for_picks_the_certificate() {
        let keys: Vec<_> = (0..3).map(|_| key(&PKCS_ECDSA_P256_SHA256)).collect();
        let all = [&["first.example"][..], &["*.acme.example"], &["mx.acme.example"]];
        let certificates = Certificates::new(all.iter().zip(&keys).map(|(all, key)| (names(all), Source::Fixed(Arc::clone(key)))));
        for (asked, expected) in [
            (None, 0),
            (Some("first.example"), 0),
            (Some("unknown.example"), 0),
            (Some("mx.acme.example"), 2),
            (Some("mx2.acme.example"), 1),
            (Some("a.mx.acme.example"), 0),
            (Some("acme.example"), 0),
        ] {
            let chosen = certificates.choose(asked, ECDSA).unwrap();
            assert!(Arc::ptr_eq(&chosen, &keys[expected]), "{asked:?}");
        }
    }

    #[test]
    fn the_kind_of_key_decides_between_certificates_for_one_name() {
        let (ecdsa, eddsa) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ED25519));
        let certificates = Certificates::new([&ecdsa, &eddsa].map(|key| (names(&["mx.example"]), Source::Fixed(Arc::clone(key)))));
        for asked in [None, Some("mx.example")] {
            assert!(Arc::ptr_eq(&certificates.choose(asked, ECDSA).unwrap(), &ecdsa));
            assert!(Arc::ptr_eq(&certificates.choose(asked, EDDSA).unwrap(), &eddsa));
        }
        // The handshake fails then, and says why; another name's certificate would not help.
        assert!(Arc::ptr_eq(&certificates.choose(Some("mx.example"), &[]).unwrap(), &ecdsa));
    }

    #[test]
    fn an_issued_certificate_serves_from_the_moment_it_is_there() {
        let (slot, fixed, issued) = (Arc::new(ArcSwapOption::empty()), key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ECDSA_P256_SHA256));
        let certificates = Certificates::new([
            (names(&["mx.example"]), Source::Issued(Arc::clone(&slot))),
            (names(&["other.example"]), Source::Fixed(Arc::clone(&fixed))),
        ]);
        assert!(Arc::ptr_eq(&certificates.choose(Some("mx.example"), ECDSA).unwrap(), &fixed));
        slot.store(Some(Arc::clone(&issued)));
        assert!(Arc::ptr_eq(&certificates.choose(Some("mx.example"), ECDSA).unwrap(), &issued));
        assert!(Arc::ptr_eq(&certificates.choose(None, ECDSA).unwrap(), &issued));
        let none = Certificates::new([(names(&["mx.example"]), Source::Issued(Arc::default()))]);
        assert!(none.choose(None, ECDSA).is_none());
    }
}
