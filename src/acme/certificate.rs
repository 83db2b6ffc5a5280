//! A key and its chain: from PEM to what makes handshakes, with the checks that come before it is used.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::extensions::GeneralName;

use super::Names;

/// A certificate with its key and its validity.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    /// Ready for handshakes.
    pub(super) key: Arc<CertifiedKey>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

impl Certificate {
    /// From a private key and a chain, in any order, in one text. They must belong together and be for all the names; whether the
    /// certificate has expired is not looked at.
    pub(super) fn from_pem(pem: &[u8], names: &Names) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let chain = chain.map_err(|error| format!("the chain cannot be read: {error}"))?;
        let first = chain.first().ok_or("there is no certificate in it")?;
        let (not_before, not_after) = check(first, names)?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("the key cannot be read: {error}"))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| error.to_string())?;
        Ok(Self { key: Arc::new(key), not_before, not_after })
    }

    /// The end of its validity as the log shows it.
    pub(super) fn valid_until(&self) -> String {
        OffsetDateTime::from(self.not_after).format(&Rfc3339).unwrap_or_default()
    }
}

/// A certificate that nobody has signed, for the time until somebody has.
pub(super) fn self_signed(names: &Names) -> Result<Arc<CertifiedKey>, String> {
    let made = rcgen::generate_simple_self_signed(names.as_slice()).map_err(|error| error.to_string())?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(str::to_owned)?;
    let key = CertifiedKey::from_der(vec![made.cert.der().clone()], key, &aws_lc_rs::default_provider());
    key.map(Arc::new).map_err(|error| error.to_string())
}

/// The validity of a certificate that is for all the names.
fn check(certificate: &[u8], names: &Names) -> Result<(SystemTime, SystemTime), String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(certificate).map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let alternative = certificate.subject_alternative_name().map_err(|error| format!("the names cannot be read: {error}"))?;
    let general = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let is_for = |name: &str| general.iter().any(|general| matches!(general, GeneralName::DNSName(dns) if dns.eq_ignore_ascii_case(name)));
    if let Some(missing) = names.iter().find(|name| !is_for(name)) {
        return Err(format!("the certificate is not for {missing}"));
    }
    let validity = certificate.validity();
    Ok((time_of(validity.not_before.timestamp()), time_of(validity.not_after.timestamp())))
}

/// Seconds since 1970; what lies before is 1970, which is just as long ago.
fn time_of(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(names: &[&str]) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        params.not_after = rcgen::date_time_ymd(2027, 1, 30);
        key.serialize_pem() + &params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_key_and_its_chain_are_read_with_their_validity() {
        let read = Certificate::from_pem(pem(&["mx1.acme.example", "MX.acme.org"]).as_bytes(), &Names::new(["mx.acme.org"])).unwrap();
        assert_eq!(read.valid_until(), "2027-01-30T00:00:00Z");
        assert_eq!(read.not_after.duration_since(read.not_before).unwrap().as_secs(), 90 * 86_400);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let names = Names::new(["mx.acme.org"]);
        let (good, other) = (pem(&["mx.acme.org"]), pem(&["mx.acme.org"]));
        let begin = good.find("-----BEGIN CERT").unwrap();
        let mixed = format!("{}{}", &good[..begin], &other[other.find("-----BEGIN CERT").unwrap()..]);
        let refused = |pem: &str, names: &Names| Certificate::from_pem(pem.as_bytes(), names).unwrap_err();
        assert!(refused(&mixed, &names).contains("InconsistentKeys") || refused(&mixed, &names).contains("keys may not be consistent"));
        assert_eq!(refused(&good, &Names::new(["mx.acme.org", "mx1.acme.example"])), "the certificate is not for mx1.acme.example");
        assert_eq!(refused("", &names), "there is no certificate in it");
        assert!(refused(&good[begin..], &names).starts_with("the key cannot be read"));
        assert!(refused(&good.replace("MII", "AAA"), &names).contains("cannot be read"));
        for cut in (0..good.len()).step_by(7) {
            let _ = Certificate::from_pem(&good.as_bytes()[..cut], &names);
        }
    }

    #[test]
    fn a_self_signed_one_is_made() {
        assert_eq!(self_signed(&Names::new(["mx.acme.org"])).unwrap().cert.len(), 1);
    }
}
