//! Questions to a service by HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderMap;
use hyper::{Request, StatusCode, Uri};
use rustls::pki_types::CertificateDer;

use super::{Trouble, trouble};
use crate::http_client::{HttpClient, HttpSettings};
use crate::limits::ANALYZER_RESPONSE_BYTES_MAX;
use crate::message::Content;

/// A service that is asked by HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpTarget {
    /// With `http` or `https` and a host, without credentials.
    pub url: Arc<str>,
    /// Whom to believe with `https`; `None`: the system's CAs.
    pub ca: Option<Arc<[CertificateDer<'static>]>>,
    /// Questions at a time.
    pub connections: u32,
}

/// The client of one analyzer.
#[derive(Debug)]
pub(super) struct Service(HttpClient);

impl Service {
    pub(super) fn new(target: HttpTarget, timeout: Duration) -> Self {
        Self(HttpClient::new(HttpSettings {
            tls: target.url.starts_with("https:"),
            ca: target.ca,
            connections: target.connections,
            timeout,
            response_bytes_max: ANALYZER_RESPONSE_BYTES_MAX,
        }))
    }

    /// The body of the answer to a POST; any status but 200 is no answer.
    pub(super) async fn post(&self, uri: &str, headers: &HeaderMap, body: Content) -> Result<Bytes, Trouble> {
        let uri: Uri = uri.parse().map_err(|error| trouble(format!("{uri}: {error}")))?;
        let mut request = Request::new(body);
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers.clone();
        // Asking twice does no harm.
        let response = self.0.send(request, false).await.map_err(|error| trouble(error.to_string()))?;
        let (status, body) = (response.status(), response.into_body());
        if status != StatusCode::OK {
            return Err(trouble(format!("HTTP {}: {}", status.as_u16(), String::from_utf8_lossy(&body))));
        }
        Ok(body)
    }
}
