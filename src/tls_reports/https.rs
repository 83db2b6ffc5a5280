//! Reports by POST (RFC 8460 §3, §5.4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};

use super::compose::MEDIA_TYPE;
use crate::http_client::{Addresses, HttpClient, HttpSettings, Resolver};
use crate::limits::{TLS_REPORT_POST_TIMEOUT, TLS_REPORT_RESPONSE_BYTES_MAX};

/// What became of a report.
pub(super) enum Posted {
    /// It was taken.
    Taken,
    /// It will never be taken.
    Refused(String),
    /// It is to be tried again.
    Postponed(String),
}

/// The client for reports. A record of a stranger names the server: only addresses of the public net are asked.
pub fn web() -> HttpClient {
    let settings = HttpSettings {
        ca: None,
        tls: true,
        connections: 1,
        timeout: TLS_REPORT_POST_TIMEOUT,
        response_bytes_max: TLS_REPORT_RESPONSE_BYTES_MAX,
    };
    HttpClient::new(settings).resolving(Arc::new(PublicHosts))
}

/// Posts a packed report.
pub(super) async fn post(client: &HttpClient, uri: &str, report: Bytes) -> Posted {
    // An address in place of a name would go round the resolver.
    let host = uri.parse::<hyper::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    if host.starts_with('[') || host.parse::<IpAddr>().is_ok() {
        return Posted::Refused("the URI names an address, not a host".to_owned());
    }
    let request = match Request::post(uri).header(CONTENT_TYPE, MEDIA_TYPE).body(report) {
        Ok(request) => request,
        Err(error) => return Posted::Refused(error.to_string()),
    };
    match client.send(request, false).await {
        Ok(answer) if answer.status().is_success() => Posted::Taken,
        Ok(answer) => {
            let (status, said) = (answer.status(), format!("the server answers {}", answer.status()));
            let is_passing = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
            if status.is_client_error() && !is_passing { Posted::Refused(said) } else { Posted::Postponed(said) }
        }
        Err(error) => Posted::Postponed(error.to_string()),
    }
}

/// The system's resolver, without addresses that only this host and its neighbours can reach.
#[derive(Debug)]
struct PublicHosts;

impl Resolver for PublicHosts {
    fn addresses(&self, name: Box<str>) -> Addresses {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((&*name, 0)).await?.filter(|address| is_public(address.ip())).collect();
            if found.is_empty() { Err(io::Error::other("the host has no address in the public net")) } else { Ok(found) }
        })
    }
}

pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            // RFC 6598: shared by a provider and its customers.
            let is_shared = first == 100 && second & 0xC0 == 64;
            !(address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || first == 0
                || is_shared)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local())
        }
    }
}
