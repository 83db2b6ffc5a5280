//! Questions to other servers by HTTP/1.1: connections that are kept, bounds on time and on what comes back, no redirects.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;
use tower_service::Service;

use crate::blocks::Blocks;
use crate::limits::{HTTP_IDLE_TIMEOUT, HTTP_RESPONSE_HEAD_BYTES_MAX};
use crate::message::{Content, StoredError};

/// How a client of HTTP behaves.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSettings {
    /// Whom to believe with `https`; `None`: the system's CAs.
    pub ca: Option<Arc<[CertificateDer<'static>]>>,
    /// Whether it will ever ask by `https`; if not, the system's CAs are not read.
    pub tls: bool,
    /// Connections that are kept.
    pub connections: u32,
    /// Time for one request, from connecting to the end of its answer.
    pub timeout: Duration,
    /// The body of an answer.
    pub response_bytes_max: usize,
}

/// Why there is no answer; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpError {
    text: Arc<str>,
    /// Nothing of the request was sent.
    is_unsent: bool,
    is_of_certificate: bool,
}

impl HttpError {
    fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string().into(), is_unsent: false, is_of_certificate: false }
    }

    /// The server's certificate is not believed.
    pub fn is_of_certificate(&self) -> bool {
        self.is_of_certificate
    }

    /// Whether it is certain that the server has seen nothing of the request.
    pub fn is_unsent(&self) -> bool {
        self.is_unsent
    }

    fn unsent(self) -> Self {
        Self { is_unsent: true, ..self }
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for HttpError {}

/// Addresses of a name. An address with a port other than 0 is asked on that one, unless the URI has one.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who finds the addresses of servers in place of the system.
pub trait Resolver: fmt::Debug + Send + Sync {
    /// The addresses of a name.
    fn addresses(&self, name: Box<str>) -> Addresses;
}

/// A client; clones would not share connections, so it is held, not cloned.
#[derive(Debug)]
pub struct HttpClient {
    settings: HttpSettings,
    resolver: Option<Arc<dyn Resolver>>,
    /// Made when it is first needed, for the system's CAs are files; a failure is not kept.
    client: OnceCell<Inner>,
}

type Inner = Client<HttpsConnector<HttpConnector<Names>>, Outgoing>;

/// The body of a request; what of it is stored is read while it goes out.
struct Outgoing {
    blocks: Blocks,
    rest: u64,
}

impl Outgoing {
    fn of(content: &Content) -> Self {
        Self { blocks: Blocks::of(content), rest: u64::try_from(content.len()).unwrap_or(u64::MAX) }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = StoredError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StoredError>>> {
        self.blocks.poll_next(cx).map_ok(|block| {
            self.rest = self.rest.saturating_sub(u64::try_from(block.len()).unwrap_or(u64::MAX));
            Frame::data(block)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest)
    }
}

impl HttpClient {
    /// No connection is made yet.
    pub fn new(settings: HttpSettings) -> Self {
        Self { settings, resolver: None, client: OnceCell::new() }
    }

    /// The same, which finds its servers by this resolver.
    pub fn resolving(self, resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver: Some(resolver), ..self }
    }

    /// The answer to a request, whatever its status. It is sent a second time when a kept connection ends just when it is used
    /// again, unless it must not be made twice (`once`).
    pub async fn send<B: Into<Content>>(&self, request: Request<B>, once: bool) -> Result<Response<Bytes>, HttpError> {
        let late = |_| HttpError::new(format_args!("no answer within {} s", self.settings.timeout.as_secs()));
        tokio::time::timeout(self.settings.timeout, self.exchange(request.map(Into::into), once)).await.map_err(late)?
    }

    async fn exchange(&self, request: Request<Content>, once: bool) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.get_or_try_init(|| self.build()).await.map_err(HttpError::unsent)?;
        let (mut head, body) = request.into_parts();
        head.headers.entry(USER_AGENT).or_insert(HeaderValue::from_static("gateway"));
        let send = || client.request(Request::from_parts(head.clone(), Outgoing::of(&body)));
        let response = match send().await {
            Err(error) if !once && was_closed(&error) => send().await,
            response => response,
        };
        let failed = |error: &Error| {
            let text = causes(error).into();
            HttpError { text, is_unsent: error.is_connect(), is_of_certificate: is_of_certificate(error) }
        };
        let (head, body) = response.map_err(|error| failed(&error))?.into_parts();
        let body = Limited::new(body, self.settings.response_bytes_max).collect().await;
        let body = body.map_err(|error| HttpError::new(causes(error.as_ref())))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    async fn build(&self) -> Result<Inner, HttpError> {
        let (is_https, ca) = (self.settings.tls, self.settings.ca.clone());
        let made = tokio::task::spawn_blocking(move || tls(is_https, ca.as_deref())).await;
        let tls = made.map_err(HttpError::new)??;
        let mut connector = HttpConnector::new_with_resolver(Names { own: self.resolver.clone(), system: GaiResolver::new() });
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.settings.timeout));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let connections = usize::try_from(self.settings.connections).unwrap_or(usize::MAX);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(HTTP_IDLE_TIMEOUT).pool_max_idle_per_host(connections);
        builder.http1_max_buf_size(HTTP_RESPONSE_HEAD_BYTES_MAX);
        Ok(builder.build(connector))
    }
}

/// How names become addresses, as hyper wants it.
#[derive(Clone)]
struct Names {
    own: Option<Arc<dyn Resolver>>,
    system: GaiResolver,
}

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if let Some(own) = &self.own {
            let addresses = own.addresses(name.as_str().into());
            return Box::pin(async move { Ok(addresses.await?.into_iter()) });
        }
        let addresses = self.system.call(name);
        Box::pin(async move { Ok(addresses.await?.collect::<Vec<_>>().into_iter()) })
    }
}

fn tls(is_https: bool, ca: Option<&[CertificateDer<'static>]>) -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(HttpError::new)?;
    let mut roots = RootCertStore::empty();
    let config = match ca {
        None if is_https => {
            let verifier =
                rustls_platform_verifier::Verifier::new(provider).map_err(|error| HttpError::new(format_args!("system CAs: {error}")))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        certificates => {
            for certificate in certificates.unwrap_or_default() {
                roots.add(certificate.clone()).map_err(|error| HttpError::new(format_args!("ca: {error}")))?;
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

/// Whether the server was turned away for its certificate. An error of I/O holds others without being their consequence.
fn is_of_certificate(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = held.map(|held| -> &(dyn std::error::Error + 'static) { held }).or_else(|| error.source());
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
