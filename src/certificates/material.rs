//! From the bytes of files to what handshakes are made with.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::client::name_for_people;
use super::expiry::{Dated, Expiry};
use super::names::ServerNames;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Pair {
    /// For handshakes.
    pub certified: Arc<CertifiedKey>,
    /// For whom it is.
    pub names: ServerNames,
    /// How long it is valid.
    pub expiry: Expiry,
}

/// Which of the two files is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairMistake {
    /// The file with the certificate and its chain.
    Certificate(String),
    /// The file with the private key.
    Key(String),
}

/// A chain and its key, both in PEM; `file` is the chain's.
pub fn pair(file: &Path, chain: &[u8], key: &[u8]) -> Result<Pair, PairMistake> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| PairMistake::Certificate(format!("the certificate cannot be read: {error}")))?;
    let Some(first) = chain.first().cloned() else {
        return Err(PairMistake::Certificate("the file holds no certificate in PEM".to_owned()));
    };
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => {
            PairMistake::Key("the file holds no private key in PEM, or one with a passphrase".to_owned())
        }
        error => PairMistake::Key(format!("the key cannot be read: {error}")),
    })?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => PairMistake::Key("the key does not belong to the certificate".to_owned()),
        rustls::Error::InvalidCertificate(_) => PairMistake::Certificate(format!("the certificate cannot be used: {error}")),
        error => PairMistake::Key(format!("certificate and key cannot be used: {error}")),
    })?;
    let certificate = parsed(&first).map_err(PairMistake::Certificate)?;
    let names = server_names(&certificate);
    let name = names.iter().next().map_or_else(|| name_for_people(certificate.subject()), str::to_owned);
    let expiry = expiry(&certificate, Dated::Certificate, name, file);
    Ok(Pair { certified: Arc::new(certified), names, expiry })
}

/// The `dNSName` entries. A common name counts for nothing beside them, nor without them (RFC 9525 §2).
fn server_names(certificate: &X509Certificate<'_>) -> ServerNames {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    ServerNames::new(alternatives.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    }))
}

/// How long a client's certificate in DER is valid, and whether it is made for clients: it says so (RFC 5280 §4.2.1.12), or says nothing.
pub fn client_identity(file: &Path, certificate: &[u8]) -> Result<(Expiry, bool), String> {
    let der = CertificateDer::from(certificate);
    let certificate = parsed(&der)?;
    let usage = certificate.extended_key_usage().map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let is_for_clients = usage.is_none_or(|usage| usage.value.any || usage.value.client_auth);
    let names = server_names(&certificate);
    let name = names.iter().next().map_or_else(|| name_for_people(certificate.subject()), str::to_owned);
    Ok((expiry(&certificate, Dated::Certificate, name, file), is_for_clients))
}

/// All certificates of a file in PEM, or the one of a file in DER; never none.
pub(super) fn certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = match is_pem(bytes) {
        true => CertificateDer::pem_slice_iter(bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("the CAs cannot be read: {error}"))?,
        false => vec![CertificateDer::from(bytes.to_vec())],
    };
    if all.is_empty() { Err("the file holds no certificate".to_owned()) } else { Ok(all) }
}

/// All CRLs of a file in PEM, or the one of a file in DER; never none.
pub(super) fn revocation_lists(bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
    let read = |error| format!("the CRLs cannot be read: {error}");
    let all = match is_pem(bytes) {
        true => CertificateRevocationListDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(read)?,
        false => vec![CertificateRevocationListDer::from(bytes.to_vec())],
    };
    if all.is_empty() { Err("the file holds no CRL".to_owned()) } else { Ok(all) }
}

pub(super) fn parsed<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    X509Certificate::from_der(der)
        .map(|(_, certificate)| certificate)
        .map_err(|_| "the file holds something that is no certificate".to_owned())
}

pub(super) fn expiry(certificate: &X509Certificate<'_>, kind: Dated, name: String, file: &Path) -> Expiry {
    let (begin, end) = (certificate.validity().not_before.to_datetime(), certificate.validity().not_after.to_datetime());
    Expiry { kind, name, file: file.to_owned(), begin, end }
}

/// DER begins with a SEQUENCE, and no PEM file does.
fn is_pem(bytes: &[u8]) -> bool {
    bytes.first() != Some(&0x30)
}
