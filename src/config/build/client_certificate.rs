//! The certificate that a relay shows, looked at where it is a file: whether it can be used, what it is made for, and how long.
//!
//! A file that is not there is no mistake: credentials are often put in place only where the gateway runs.

use std::path::Path;

use time::OffsetDateTime;

use crate::certificates::{Expiry, Standing, client_identity};
use crate::config::diagnostic::{Code, Sink};
use crate::config::files;
use crate::config::tree::Node;
use crate::limits::CERTIFICATE_FILE_BYTES_MAX;
use crate::relay::RelayConfig;
use crate::secrets::{Identity, SecretRef};

/// Reports what is wrong with it, and returns its dates.
pub(super) fn look(relay: &RelayConfig, node: &Node, now: OffsetDateTime, sink: &mut Sink) -> Option<Expiry> {
    let Some(SecretRef::File(file)) = &relay.client_certificate else { return None };
    let content = files::bytes(file, CERTIFICATE_FILE_BYTES_MAX).ok()?;
    let span = node.entry("client_certificate").map_or_else(|| node.head(), |entry| entry.value.span.clone());
    let (expiry, is_for_clients) = match read(file, &content) {
        Ok(read) => read,
        Err(problem) => {
            sink.error(Code::TlsFiles, span, format!("the client certificate cannot be used: {problem}")).help(
                "the file has the certificate, its chain and its private key in PEM, or a JSON object of `certificate` and `private_key`",
            );
            return None;
        }
    };
    let (name, date) = (crate::config::formats::clip(&expiry.name), expiry.date());
    if !is_for_clients {
        sink.warning(Code::TlsFiles, span.clone(), format!("the certificate of `{name}` is not made for clients"))
            .help("its extended key usage has no clientAuth; some next hops do not believe it then: ask the CA for one that has");
    }
    match expiry.standing(now) {
        Standing::Good => {}
        Standing::Soon => {
            let message = format!("the certificate of `{name}` expires on {date}, in {} days", expiry.days_left(now));
            sink.warning(Code::ExpiresSoon, span, message).help("a renewed file is noticed at the next connection");
        }
        Standing::Expired => {
            sink.warning(Code::Expired, span, format!("the certificate of `{name}` has expired on {date}"))
                .help("next hops that check it do not know the gateway by it any more");
        }
    }
    Some(expiry)
}

fn read(file: &Path, content: &[u8]) -> Result<(Expiry, bool), String> {
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    let identity = Identity::from_text(text)?;
    client_identity(file, identity.certificate())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
    use time::macros::datetime;

    use super::*;
    use crate::config::source::Source;
    use crate::relay::Route;

    /// The diagnostics about a certificate that ends in 2027.
    fn said(usages: Vec<ExtendedKeyUsagePurpose>, now: OffsetDateTime) -> (Vec<String>, Option<Expiry>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["mx.acme.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        params.extended_key_usages = usages;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), params.self_signed(&key).unwrap().pem() + &key.serialize_pem()).unwrap();
        let mut sink = Sink::new(Source::new("relay.yaml".into(), "client_certificate: { file: x }\n".into()));
        let tree = crate::config::tree::parse(&mut sink).unwrap();
        let client_certificate = Some(SecretRef::File(file.path().to_owned()));
        let relay = RelayConfig { client_certificate, ..RelayConfig::new("r", Route::Hosts(Vec::new())) };
        let expiry = look(&relay, &tree, now, &mut sink);
        (crate::config::Report::new([sink]).diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect(), expiry)
    }

    #[test]
    fn purpose_and_dates_are_looked_at() {
        use ExtendedKeyUsagePurpose::{Any, ClientAuth, ServerAuth};
        let (fine, near, over) = (datetime!(2026-06-01 0:00 UTC), datetime!(2026-12-20 0:00 UTC), datetime!(2027-02-01 0:00 UTC));
        for (usages, now, expected) in [
            (vec![], fine, &[][..]),
            (vec![Any], fine, &[]),
            (vec![ServerAuth, ClientAuth], fine, &[]),
            (vec![ServerAuth], fine, &["the certificate of `mx.acme.example` is not made for clients"]),
            (vec![ClientAuth], near, &["the certificate of `mx.acme.example` expires on 2027-01-01T00:00:00Z, in 12 days"]),
            (vec![], over, &["the certificate of `mx.acme.example` has expired on 2027-01-01T00:00:00Z"]),
        ] {
            let (said, expiry) = said(usages, now);
            assert_eq!(said, expected);
            assert!(expiry.is_some_and(|expiry| expiry.name == "mx.acme.example"));
        }
    }
}
