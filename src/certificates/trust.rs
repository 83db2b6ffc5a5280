//! Whose clients are let in: CAs, their revocation lists, and the check of a client's certificate in the handshake.
//!
//! The door fails closed, and says why. A certificate is refused when it, its CA or the CRL of its issuer has expired, when it is
//! revoked, and when there are CRLs but none of its issuer. Webpki knows neither a CA's dates nor which of two keys of one name a
//! CRL belongs to; that is added here.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Extension};
use x509_parser::revocation_list::CertificateRevocationList;

use super::client::name_for_people;
use super::expiry::{Dated, Expiry, date};
use super::material::{certificates, expiry, parsed, revocation_lists};
use crate::limits::{CLIENT_CHAIN_MAX, TRUSTED_CAS_MAX};

/// The CAs of one file with the CRLs of another.
#[derive(Debug)]
pub struct Believed {
    cas: Vec<Ca>,
    /// When the CAs and CRLs end.
    pub expiries: Vec<Expiry>,
    /// CAs without a CRL, where there are CRLs: every certificate that they have issued is refused.
    pub without_crl: Vec<String>,
}

/// Which of the two files is at fault, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustMistake {
    /// The file with the CAs.
    Ca(String),
    /// The file with the CRLs.
    Crl(String),
}

#[derive(Debug)]
pub(super) struct Ca {
    expiry: Expiry,
    verifier: Arc<dyn ClientCertVerifier>,
    subjects: Vec<DistinguishedName>,
}

impl Believed {
    /// CAs, and CRLs if there are any, each as the bytes of a file: PEM with any number of them, or one in DER.
    pub fn new(ca: (&Path, &[u8]), crl: Option<(&Path, &[u8])>) -> Result<Self, TrustMistake> {
        let mut lists = Vec::new();
        let ders = crl.map(|(_, bytes)| revocation_lists(bytes)).transpose().map_err(TrustMistake::Crl)?.unwrap_or_default();
        for der in &ders {
            let not_read = |_| TrustMistake::Crl("the file holds something that is no CRL".to_owned());
            lists.push((CertificateRevocationList::from_der(der).map_err(not_read)?.1, der));
        }
        // Webpki takes the first list of an issuer: of an old and a new one in the same file, the new one.
        lists.sort_by_key(|(list, _)| std::cmp::Reverse(list.last_update()));
        let anchors = certificates(ca.1).map_err(TrustMistake::Ca)?;
        let parsed = anchors.iter().map(parsed).collect::<Result<Vec<_>, _>>().map_err(TrustMistake::Ca)?;
        let mut believed = Self { cas: Vec::new(), expiries: Vec::new(), without_crl: Vec::new() };
        for (der, certificate) in anchors.iter().zip(&parsed) {
            let expiry = expiry(certificate, Dated::Ca, name_for_people(certificate.subject()), ca.0);
            if !may_issue(certificate) {
                return Err(TrustMistake::Ca(format!("`{}` is no CA: it cannot have issued the certificates of clients", expiry.name)));
            }
            let is_listed = |list: &CertificateRevocationList<'_>| parsed.iter().any(|ca| ca.subject().as_raw() == list.issuer().as_raw());
            let own = lists.iter().filter(|(list, _)| is_of(list, certificate));
            let of_others = lists.iter().filter(|(list, _)| !is_listed(list));
            if !lists.is_empty() && own.clone().next().is_none() {
                believed.without_crl.push(expiry.name.clone());
            }
            let mut crls: Vec<CertificateRevocationListDer<'static>> = own.chain(of_others).map(|(_, der)| (*der).clone()).collect();
            // Without any list nothing would be checked: a list that does not fit refuses all.
            crls.extend(lists.first().filter(|_| crls.is_empty()).map(|(_, der)| (*der).clone()));
            believed.cas.push(Ca::new(der, expiry.clone(), crls)?);
            believed.expiries.push(expiry);
        }
        believed.expiries.extend(lists.iter().map(|(list, _)| Expiry {
            kind: Dated::Crl,
            name: name_for_people(list.issuer()),
            file: crl.map(|(file, _)| file.to_owned()).unwrap_or_default(),
            begin: list.last_update().to_datetime(),
            // Webpki has refused lists without it (RFC 5280 §5.1.2.5).
            end: list.next_update().unwrap_or(list.last_update()).to_datetime(),
        }));
        Ok(believed)
    }
}

impl Ca {
    fn new(der: &CertificateDer<'static>, expiry: Expiry, crls: Vec<CertificateRevocationListDer<'static>>) -> Result<Self, TrustMistake> {
        let mut roots = RootCertStore::empty();
        roots.add(der.clone()).map_err(|error| TrustMistake::Ca(format!("the CA `{}` cannot be used: {error}", expiry.name)))?;
        let subjects = roots.subjects();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(aws_lc_rs::default_provider()))
            .with_crls(crls)
            .enforce_revocation_expiration()
            .build()
            .map_err(|error| TrustMistake::Crl(format!("the CRLs cannot be used: {error}")))?;
        Ok(Self { expiry, verifier, subjects })
    }
}

/// RFC 5280 §4.2.1.9; certificates of version 1, which have no extensions, are roots of old.
fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    certificate.version() == x509_parser::x509::X509Version::V1 || certificate.is_ca()
}

/// Whether a list is that of this CA: issued under its name, and not by another key of that name (RFC 5280 §5.2.1).
fn is_of(list: &CertificateRevocationList<'_>, ca: &X509Certificate<'_>) -> bool {
    let authority = find(list.extensions(), |extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0),
        _ => None,
    });
    let subject = find(ca.extensions(), |extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    list.issuer().as_raw() == ca.subject().as_raw() && authority.zip(subject).is_none_or(|(authority, subject)| authority == subject)
}

fn find<'a, T>(extensions: &'a [X509Extension<'a>], pick: impl Fn(&'a ParsedExtension<'a>) -> Option<T>) -> Option<T> {
    extensions.iter().find_map(|extension| pick(extension.parsed_extension()))
}

/// The check of clients' certificates.
#[derive(Debug)]
pub struct Trust {
    cas: Vec<Ca>,
    subjects: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// Of one or more sets; a CRL counts for the CAs of its own set. `None` if there are more CAs than `TRUSTED_CAS_MAX`.
    pub fn new(sets: impl IntoIterator<Item = Believed>) -> Option<Self> {
        let cas: Vec<Ca> = sets.into_iter().flat_map(|set| set.cas).collect();
        let subjects = cas.iter().flat_map(|ca| ca.subjects.iter().cloned()).collect();
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        (cas.len() <= TRUSTED_CAS_MAX).then_some(Self { cas, subjects, algorithms })
    }

    /// The first CA that vouches for the certificate decides; if none does, the most telling reason is given.
    pub(super) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        // Webpki bounds its work for one CA only, and at hundreds of thousands of steps.
        if intermediates.len() > CLIENT_CHAIN_MAX {
            return Err(refused(format!("more than {CLIENT_CHAIN_MAX} other certificates come with it")));
        }
        let mut refusal = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        for ca in self.named_by(end_entity, intermediates) {
            let checked = ca.verifier.verify_client_cert(end_entity, intermediates, now).map(|_| ());
            match checked.and_then(|()| ca.is_valid_at(now)) {
                Ok(()) => return Ok(()),
                Err(error) if weight(&error) > weight(&refusal) => refusal = error,
                Err(_) => {}
            }
        }
        Err(refusal)
    }

    /// The CAs that one of these certificates names as its issuer; no other can vouch for any. If none is named, the first CA
    /// stands for all: it says what is wrong.
    pub(super) fn named_by<'a>(&'a self, end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Vec<&'a Ca> {
        let parsed = [end_entity].into_iter().chain(intermediates).filter_map(|der| X509Certificate::from_der(der).ok());
        let issuers: Vec<Vec<u8>> = parsed.map(|(_, certificate)| certificate.issuer().as_raw().to_vec()).collect();
        let is_named = |ca: &&Ca| ca.subjects.iter().any(|subject| issuers.iter().any(|issuer| issuer == subject.as_ref()));
        let named: Vec<&Ca> = self.cas.iter().filter(is_named).collect();
        if named.is_empty() { self.cas.iter().take(1).collect() } else { named }
    }
}

impl Ca {
    #[cfg(test)]
    pub(super) fn name(&self) -> &str {
        &self.expiry.name
    }

    fn is_valid_at(&self, now: UnixTime) -> Result<(), rustls::Error> {
        let now = i64::try_from(now.as_secs()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
        let (begin, end) = (self.expiry.begin, self.expiry.end);
        match now {
            Some(now) if now > end => Err(refused(format!("its CA `{}` has expired on {}", self.expiry.name, date(end)))),
            Some(now) if now >= begin => Ok(()),
            _ => Err(refused(format!("its CA `{}` is not valid before {}", self.expiry.name, date(begin)))),
        }
    }
}

/// How much a refusal tells: a CA that knows nothing of the certificate knows least, then one of the same name with another key.
fn weight(error: &rustls::Error) -> u8 {
    use CertificateError as E;
    match error {
        rustls::Error::InvalidCertificate(E::UnknownIssuer) => 0,
        rustls::Error::InvalidCertificate(E::BadSignature) => 1,
        rustls::Error::InvalidCertRevocationList(_) | rustls::Error::InvalidCertificate(E::UnknownRevocationStatus) => 2,
        _ => 3,
    }
}

/// A refusal that rustls has no word for.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

fn refused(why: String) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Refused(why)))))
}

/// A client's certificate that was refused, for the log.
pub type Shown = Arc<OnceLock<Vec<u8>>>;

/// [`Trust`] for one handshake, which remembers what it has refused.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) trust: Arc<Trust>,
    pub(super) refused: Shown,
}

impl ClientCertVerifier for Witness {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.trust.subjects
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.trust.check(end_entity, intermediates, now).inspect_err(|_| {
            // What is no certificate to webpki is none to show.
            if ParsedCertificate::try_from(end_entity).is_ok() {
                self.refused.get_or_init(|| end_entity.to_vec());
            }
        })?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.trust.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
