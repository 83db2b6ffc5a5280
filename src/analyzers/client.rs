//! Questions by HTTP/1.1: connections that are kept, bounds on what comes back, no redirects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use super::{Trouble, trouble};
use crate::limits::{ANALYZER_IDLE_TIMEOUT, ANALYZER_RESPONSE_BYTES_MAX, ANALYZER_RESPONSE_HEAD_BYTES_MAX};

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
pub(super) struct HttpClient {
    target: HttpTarget,
    timeout: Duration,
    /// Made when it is first needed, for the system's CAs are files; a failure is not kept.
    client: OnceCell<Inner>,
}

type Inner = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

impl HttpClient {
    pub(super) fn new(target: HttpTarget, timeout: Duration) -> Self {
        Self { target, timeout, client: OnceCell::new() }
    }

    /// The body of the answer to a POST; any status but 200 is no answer.
    pub(super) async fn post(&self, uri: &str, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Trouble> {
        let uri: Uri = uri.parse().map_err(|error| trouble(format!("{uri}: {error}")))?;
        let client = self.client.get_or_try_init(|| self.build()).await?;
        let send = || {
            let mut request = Request::new(Full::new(body.clone()));
            *request.method_mut() = hyper::Method::POST;
            *request.uri_mut() = uri.clone();
            *request.headers_mut() = headers.clone();
            request.headers_mut().insert(USER_AGENT, hyper::header::HeaderValue::from_static("gateway"));
            client.request(request)
        };
        let response = match send().await {
            // A kept connection may be closed by the other side just when it is used again; asking twice does no harm.
            Err(error) if was_closed(&error) => send().await,
            response => response,
        };
        let response = response.map_err(|error| trouble(causes(&error)))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANALYZER_RESPONSE_BYTES_MAX).collect().await;
        let body = body.map_err(|error| trouble(causes(error.as_ref())))?.to_bytes();
        if status != StatusCode::OK {
            return Err(trouble(format!("HTTP {}: {}", status.as_u16(), String::from_utf8_lossy(&body))));
        }
        Ok(body)
    }

    async fn build(&self) -> Result<Inner, Trouble> {
        let (is_https, ca) = (self.target.url.starts_with("https:"), self.target.ca.clone());
        let made = tokio::task::spawn_blocking(move || tls(is_https, ca.as_deref())).await;
        let tls = made.map_err(|error| trouble(error.to_string()))??;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.timeout));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let connections = usize::try_from(self.target.connections).unwrap_or(usize::MAX);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(ANALYZER_IDLE_TIMEOUT).pool_max_idle_per_host(connections);
        builder.http1_max_buf_size(ANALYZER_RESPONSE_HEAD_BYTES_MAX);
        Ok(builder.build(connector))
    }
}

fn tls(is_https: bool, ca: Option<&[CertificateDer<'static>]>) -> Result<ClientConfig, Trouble> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| trouble(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    let config = match ca {
        None if is_https => {
            let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| trouble(format!("system CAs: {error}")))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        certificates => {
            for certificate in certificates.unwrap_or_default() {
                roots.add(certificate.clone()).map_err(|error| trouble(format!("ca: {error}")))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    Ok(config.with_no_client_auth())
}

/// Whether the connection ended before any of the answer came.
fn was_closed(error: &Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<hyper::Error>() {
            return error.is_incomplete_message() || error.is_canceled();
        }
        source = cause.source();
    }
    false
}

/// The causes of an error without the error itself, which names the client's own step.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&said);
        }
        source = cause.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}
