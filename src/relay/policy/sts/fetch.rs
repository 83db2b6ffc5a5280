//! Fetching a policy (RFC 8461 §3.3).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::super::super::tls::certificates_of;
use super::super::session::{Fault, Noted};
use super::text::Policy;
use crate::dns::Dns;
use crate::http_client::{Addresses, HttpClient, HttpSettings, Resolver};
use crate::limits::{RELAY_RESOLVE_TIMEOUT, STS_FETCH_TIMEOUT, STS_POLICY_BYTES_MAX};

/// The policy that a domain serves.
pub(super) async fn fetch(dns: &Dns, domain: &str, ca_file: Option<&Path>, port: u16) -> Result<Policy, Noted> {
    let failed = |error: &dyn fmt::Display| Noted::new(Fault::StsPolicyFetchError, error);
    let ca = match ca_file.map(Path::to_owned) {
        None => None,
        Some(file) => {
            let read = tokio::task::spawn_blocking(move || certificates_of(&file)).await.map_err(|error| failed(&error))?;
            Some(Arc::from(read.map_err(|error| failed(&error))?))
        }
    };
    let settings = HttpSettings { ca, tls: true, connections: 1, timeout: STS_FETCH_TIMEOUT, response_bytes_max: STS_POLICY_BYTES_MAX };
    let client = HttpClient::new(settings).resolving(Arc::new(OwnDns { dns: dns.clone(), port }));
    let uri = format!("https://mta-sts.{domain}/.well-known/mta-sts.txt");
    let request = Request::get(uri).body(Bytes::new()).map_err(|error| failed(&error))?;
    let answer = client.send(request, false).await.map_err(|error| {
        let fault = if error.is_of_certificate() { Fault::StsWebpkiInvalid } else { Fault::StsPolicyFetchError };
        Noted::new(fault, error)
    })?;
    // Redirects are not followed.
    if answer.status() != StatusCode::OK {
        return Err(failed(&format_args!("the policy's server answers {}", answer.status())));
    }
    let content_type = answer.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if !content_type.eq_ignore_ascii_case("text/plain") {
        return Err(Noted::new(Fault::StsPolicyInvalid, "the policy is not text/plain"));
    }
    Policy::parse(answer.body()).map_err(|error| Noted::new(Fault::StsPolicyInvalid, format_args!("the policy is invalid: {error}")))
}

/// The addresses of policies' servers are asked for as all else is.
#[derive(Debug)]
struct OwnDns {
    dns: Dns,
    port: u16,
}

impl Resolver for OwnDns {
    fn addresses(&self, name: Box<str>) -> Addresses {
        let (dns, port) = (self.dns.clone(), self.port);
        Box::pin(async move {
            let inquiry = dns.inquiry(2, RELAY_RESOLVE_TIMEOUT);
            let (ipv6, ipv4) = tokio::join!(inquiry.ipv6(&name), inquiry.ipv4(&name));
            let mut addresses: Vec<IpAddr> = ipv6.iter().flat_map(|found| found.records.iter().copied()).map(IpAddr::from).collect();
            match ipv4 {
                Ok(found) => addresses.extend(found.records.iter().copied().map(IpAddr::from)),
                Err(error) if addresses.is_empty() => return Err(std::io::Error::other(error)),
                Err(_) => {}
            }
            Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
        })
    }
}
