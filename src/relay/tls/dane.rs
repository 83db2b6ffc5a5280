//! Certificates by TLSA records (RFC 6698, RFC 7671), as SMTP uses them (RFC 7672 §3).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, RootCertStore};

use super::verifier::{Judge, Shown, ask, key_of};
use crate::dns::Tlsa;
use crate::limits::DANE_CHAIN_MAX;

/// DANE-TA: an authority that the chain must lead to.
const TRUST_ANCHOR: u8 = 2;
/// DANE-EE: the certificate itself, or its key.
const END_ENTITY: u8 = 3;
const FULL_CERTIFICATE: u8 = 0;
const PUBLIC_KEY: u8 = 1;
const EXACT: u8 = 0;
const SHA_256: u8 = 1;
const SHA_512: u8 = 2;

/// Whom a host's TLSA records name.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::relay) struct Anchors {
    records: Vec<Tlsa>,
    /// The names that a certificate may have under an authority of the records.
    names: Vec<ServerName<'static>>,
}

impl Anchors {
    /// `None`: none of the records can be used (RFC 7672 §3.1: PKIX-TA and PKIX-EE are not for SMTP).
    pub(in crate::relay) fn new(records: &[Tlsa], names: impl IntoIterator<Item = impl AsRef<str>>) -> Option<Self> {
        let is_usable = |record: &&Tlsa| {
            let is_whole = match record.matching {
                EXACT => !record.data.is_empty(),
                SHA_256 => record.data.len() == 32,
                SHA_512 => record.data.len() == 64,
                _ => false,
            };
            is_whole && matches!(record.usage, TRUST_ANCHOR | END_ENTITY) && matches!(record.selector, FULL_CERTIFICATE | PUBLIC_KEY)
        };
        let usable: Vec<&Tlsa> = records.iter().filter(is_usable).collect();
        // RFC 7671 §9: of digests of the same thing the strongest counts.
        let is_outdone = |record: &Tlsa| {
            let stronger = |other: &&Tlsa| (other.usage, other.selector, other.matching) == (record.usage, record.selector, SHA_512);
            record.matching == SHA_256 && usable.iter().any(stronger)
        };
        let records: Vec<Tlsa> = usable.iter().filter(|record| !is_outdone(record)).map(|record| (*record).clone()).collect();
        let names = names.into_iter().filter_map(|name| ServerName::try_from(name.as_ref().to_owned()).ok()).collect();
        (!records.is_empty()).then_some(Self { records, names })
    }

    fn of(&self, usage: u8) -> impl Iterator<Item = &Tlsa> {
        self.records.iter().filter(move |record| record.usage == usage)
    }

    /// RFC 7671 §5.2: authorities among what was shown, or in a record itself.
    fn authorities(&self, shown: Shown<'_>) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for record in self.of(TRUST_ANCHOR) {
            for certificate in shown.intermediates.iter().take(DANE_CHAIN_MAX).filter(|certificate| matches(record, certificate)) {
                // What is no certificate is no authority.
                let _ = roots.add(certificate.clone().into_owned());
            }
            if (record.selector, record.matching) == (FULL_CERTIFICATE, EXACT) {
                let _ = roots.add(CertificateDer::from(record.data.to_vec()));
            }
        }
        roots
    }
}

impl Judge for Arc<Anchors> {
    fn judge(&self, shown: Shown<'_>) -> Result<(), rustls::Error> {
        // RFC 7672 §3.1.1: neither the name nor the time matters then.
        if self.of(END_ENTITY).any(|record| matches(record, shown.end_entity)) {
            return Ok(());
        }
        let mut refusal = rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let roots = self.authorities(shown);
        if roots.is_empty() {
            return Err(refusal);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        // RFC 7672 §3.2.2: one of them will do.
        for name in &self.names {
            match ask(&*verifier, Shown { name, ..shown }) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }
}

/// RFC 6698 §2.1.2, §2.1.3.
fn matches(record: &Tlsa, certificate: &CertificateDer<'_>) -> bool {
    let selected = match record.selector {
        FULL_CERTIFICATE => certificate.to_vec(),
        _ => match key_of(certificate) {
            Ok(key) => key,
            Err(_) => return false,
        },
    };
    match record.matching {
        EXACT => *record.data == *selected,
        SHA_256 => *record.data == *digest(&SHA256, &selected).as_ref(),
        SHA_512 => *record.data == *digest(&SHA512, &selected).as_ref(),
        _ => false,
    }
}
