//! What became of TLS with an exchanger, in the words of reports about it (RFC 8460 §4).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::CertificateError;

/// One attempt to have TLS with a mail exchanger, or to find out whether there must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSession {
    /// The domain whose exchanger it is.
    pub domain: Arc<str>,
    /// The exchanger.
    pub host: Arc<str>,
    /// Its address, if it came to a connection.
    pub address: Option<IpAddr>,
    /// What was asked for.
    pub policy: TlsPolicy,
    /// What failed, whether the mail went on or not.
    pub fault: Option<Noted>,
}

/// The policy that a session followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// Whose it is.
    pub kind: TlsPolicyKind,
    /// Its lines, or the TLSA records.
    pub lines: Arc<[Box<str>]>,
    /// The patterns of exchangers that it names.
    pub exchangers: Arc<[Box<str>]>,
}

/// The kinds of policies (RFC 8460 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsPolicyKind {
    /// TLSA records.
    Tlsa,
    /// MTA-STS.
    Sts,
    /// None, or none was looked for.
    #[default]
    NoPolicyFound,
}

impl TlsPolicyKind {
    /// The word of a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tlsa => "tlsa",
            Self::Sts => "sts",
            Self::NoPolicyFound => "no-policy-found",
        }
    }
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// In the word of a report.
    pub fault: Fault,
    /// In more words, for people.
    pub detail: Arc<str>,
}

/// The kinds of failures (RFC 8460 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// STARTTLS is not offered, or refused.
    StarttlsNotSupported,
    /// The certificate is for another name.
    CertificateHostMismatch,
    /// The certificate's time is over.
    CertificateExpired,
    /// The certificate's authority is not believed.
    CertificateNotTrusted,
    /// Any other failure of the handshake.
    ValidationFailure,
    /// TLSA records, none of which can be used.
    TlsaInvalid,
    /// DNS did not give an answer that is authenticated.
    DnssecInvalid,
    /// The policy cannot be fetched.
    StsPolicyFetchError,
    /// The policy is not one.
    StsPolicyInvalid,
    /// The certificate of the policy's server is not believed.
    StsWebpkiInvalid,
}

impl Fault {
    /// The word of a report.
    pub fn word(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }

    fn of(error: &rustls::Error) -> Self {
        use CertificateError::{Expired, ExpiredContext, NotValidForName, NotValidForNameContext, UnknownIssuer};
        match error {
            rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. }) => Self::CertificateExpired,
            rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => Self::CertificateHostMismatch,
            rustls::Error::InvalidCertificate(UnknownIssuer) => Self::CertificateNotTrusted,
            _ => Self::ValidationFailure,
        }
    }
}

impl Noted {
    pub(in crate::relay) fn new(fault: Fault, detail: impl fmt::Display) -> Self {
        Self { fault, detail: detail.to_string().into() }
    }

    /// What a judge of certificates said.
    pub(in crate::relay) fn of_tls(error: &rustls::Error) -> Self {
        Self::new(Fault::of(error), error)
    }

    /// What ended a handshake.
    pub(in crate::relay) fn of_handshake(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::of_tls(error),
            None => Self::new(Fault::ValidationFailure, error),
        }
    }
}

/// Who is told of sessions with mail exchangers. What takes time is not done here.
pub trait TlsObserver: fmt::Debug + Send + Sync {
    /// A session was begun, or failed to.
    fn seen(&self, session: TlsSession);
}
