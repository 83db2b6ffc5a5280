//! HTTPS to a directory: whom to believe, and bounds on time and size, which the ACME client leaves to its transport.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Method, Request};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::{ClientConfig, RootCertStore};

use crate::limits::{ACME_PROBLEM_CHARS_MAX, ACME_REQUEST_TIMEOUT, ACME_RESPONSE_BYTES_MAX, ACME_RETRY_AFTER_MAX};
use crate::message::one_line;

/// The client of one order. Cloning it clones a reference.
#[derive(Clone)]
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>,
    /// What a refusal asked for; the ACME client does not hand it on.
    not_before: Arc<Mutex<Option<SystemTime>>>,
}

impl Transport {
    /// Believes these roots, or the system's. Blocks: the system's are read from files.
    pub(super) fn new(roots: Option<Arc<RootCertStore>>) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(other)?;
        let config = match roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => {
                let verifier = rustls_platform_verifier::Verifier::new(provider).map_err(|error| other(format!("system CAs: {error}")))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
        };
        // ACME is spoken over HTTPS alone (RFC 8555 §6.1).
        let connector = HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth()).https_only().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), not_before: Arc::default() })
    }

    /// When the authority wants to be asked again, if it refused something and said so.
    pub(super) fn not_before(&self) -> Option<SystemTime> {
        *self.not_before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let is_post = request.method() == Method::POST;
        let (mut parts, body) = self.client.request(request).await.map_err(|error| other(with_causes(&error)))?.into_parts();
        let body = Limited::new(body, ACME_RESPONSE_BYTES_MAX).collect().await.map_err(|error| other(with_causes(error.as_ref())))?;
        let body = body.to_bytes();
        // The ACME client adds whatever number stands there to the time; only ours, which is bounded, reaches it.
        let wait = parts.headers.remove(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
        if let Some(wait) = wait {
            parts.headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs()));
        }
        if !parts.status.is_success() {
            if let Some(wait) = wait {
                let until = SystemTime::now().checked_add(wait);
                *self.not_before.lock().unwrap_or_else(PoisonError::into_inner) = until;
            }
            // The ACME client finds problems in answers to POST alone, and takes everything else for what it asked for.
            match serde_json::from_slice::<Problem>(&body) {
                Ok(_) if is_post => {}
                Ok(problem) if problem.r#type.is_some() || problem.detail.is_some() => return Err(Error::Api(problem)),
                _ => return Err(other(format!("HTTP {}", parts.status))),
            }
        }
        Ok(BytesResponse { parts, body: Box::new(body) })
    }
}

impl HttpClient for Transport {
    fn request(&self, request: Request<BodyWrapper<Bytes>>) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (transport, uri) = (self.clone(), request.uri().clone());
        Box::pin(async move {
            match tokio::time::timeout(ACME_REQUEST_TIMEOUT, transport.send(request)).await {
                Ok(Err(Error::Other(error))) => Err(other(format!("{uri}: {error}"))),
                Ok(answer) => answer,
                Err(_) => Err(other(format!("{uri}: no answer within {} s", ACME_REQUEST_TIMEOUT.as_secs()))),
            }
        })
    }
}

/// What went wrong, for a log line: the authority's problem document in short (RFC 7807), or ours. Control characters are not
/// repeated, and not more than a limit of anything.
pub(super) fn explain(error: &Error) -> String {
    let text = match error {
        Error::Api(problem) => in_short(problem),
        error => with_causes(error),
    };
    one_line(&text, ACME_PROBLEM_CHARS_MAX)
}

/// Whether it is the problem of this name (RFC 8555 §6.7).
pub(super) fn is_problem(error: &Error, name: &str) -> bool {
    matches!(error, Error::Api(Problem { r#type: Some(kind), .. }) if kind.strip_prefix(NAMESPACE) == Some(name))
}

const NAMESPACE: &str = "urn:ietf:params:acme:error:";

fn in_short(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().map(|kind| kind.strip_prefix(NAMESPACE).unwrap_or(kind)).unwrap_or("refused");
    let mut text = format!("{kind}: {}", problem.detail.as_deref().unwrap_or("no reason given"));
    for subproblem in &problem.subproblems {
        text.push_str(&format!("; {subproblem}"));
    }
    text
}

/// An error with what caused it; the outermost alone often says no more than "error".
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(&format!(": {said}"));
        }
        source = cause.source();
    }
    text
}

/// An error of ours.
pub(super) fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Other(error.into())
}

/// The seconds of a `Retry-After`, or the time to its date (RFC 9110 §10.2.3), up to a limit.
fn retry_after(value: &str) -> Option<Duration> {
    let wait = match value.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok()?,
    };
    Some(wait.min(ACME_RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    /// A directory that gives one answer to everything, and closes; its address and certificate.
    async fn answering(answer: String) -> (String, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/x", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        (url, made.cert.der().clone())
    }

    /// What a POST comes to, with the wait that was asked for in seconds.
    async fn post(answer: &str) -> (Result<BytesResponse, String>, Option<u64>) {
        let (url, certificate) = answering(answer.to_owned()).await;
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let transport = Transport::new(Some(Arc::new(roots))).unwrap();
        let request = Request::post(url).body(BodyWrapper::from(b"{}".to_vec())).unwrap();
        let got = transport.request(request).await.map_err(|error| explain(&error));
        let wait = transport.not_before().map(|until| until.duration_since(SystemTime::now()).unwrap_or_default().as_secs());
        (got, wait)
    }

    #[tokio::test]
    async fn a_rate_limit_is_remembered_and_a_huge_one_bounded() {
        let problem = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"slow down"}"#;
        let refused = |wait: &str| {
            format!("HTTP/1.1 429 X\r\nRetry-After: {wait}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{problem}", problem.len())
        };
        let (got, wait) = post(&refused("3600")).await;
        // The ACME client reads the problem; see `Problem::check` there.
        assert_eq!(got.unwrap().parts.status, 429);
        assert!(wait.is_some_and(|wait| (3590..=3600).contains(&wait)), "{wait:?}");
        let (got, wait) = post(&refused("18446744073709551615")).await;
        assert_eq!(got.unwrap().parts.headers[RETRY_AFTER], ACME_RETRY_AFTER_MAX.as_secs().to_string());
        assert!(wait.is_some_and(|wait| wait <= ACME_RETRY_AFTER_MAX.as_secs()), "{wait:?}");
    }

    #[tokio::test]
    async fn answers_that_are_none_are_errors() {
        for (answer, expected) in [
            ("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>".to_owned(), "HTTP 502"),
            (
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {0}\r\n\r\n{1}",
                    2 * ACME_RESPONSE_BYTES_MAX,
                    "x".repeat(2 * ACME_RESPONSE_BYTES_MAX)
                ),
                "length limit exceeded",
            ),
            ("220 mx.acme.example ESMTP\r\n".to_owned(), "invalid HTTP"),
            (String::new(), "connection closed"),
        ] {
            let (got, wait) = post(&answer).await;
            let error = got.err().unwrap();
            assert!(error.starts_with("https://127.0.0.1:") && error.contains(expected), "{expected}: {error}");
            assert_eq!(wait, None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_says_nothing_is_not_waited_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/x", listener.local_addr().unwrap());
        let transport = Transport::new(Some(Arc::new(RootCertStore::empty()))).unwrap();
        let begin = tokio::time::Instant::now();
        let got = transport.request(Request::get(url).body(BodyWrapper::default()).unwrap()).await;
        assert!(got.err().is_some_and(|error| explain(&error).ends_with("no answer within 30 s")));
        assert_eq!(begin.elapsed().as_secs(), ACME_REQUEST_TIMEOUT.as_secs());
    }

    #[tokio::test]
    async fn a_directory_with_another_certificate_is_not_believed() {
        let (url, _) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned()).await;
        let (_, other) = answering(String::new()).await;
        let mut roots = RootCertStore::empty();
        roots.add(other).unwrap();
        let transport = Transport::new(Some(Arc::new(roots))).unwrap();
        let got = transport.request(Request::get(url).body(BodyWrapper::default()).unwrap()).await;
        let error = got.err().map(|error| explain(&error)).unwrap();
        assert!(error.contains("invalid peer certificate"), "{error}");
    }

    #[test]
    fn a_problem_is_one_bounded_line() {
        let json = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many\r\n\u001b[2Jcertificates",
            "subproblems":[{"type":"urn:ietf:params:acme:error:caa","detail":"forbids","identifier":{"type":"dns","value":"a.example"}}]}"#;
        let error = Error::Api(serde_json::from_str(json).unwrap());
        let text = explain(&error);
        assert!(text.starts_with("rateLimited: too many") && text.contains("a.example") && text.contains("forbids"), "{text}");
        assert!(!text.contains(char::is_control));
        assert!(is_problem(&error, "rateLimited") && !is_problem(&error, "malformed"));
        let long = Problem { r#type: None, detail: Some("é".repeat(10_000)), status: None, subproblems: Vec::new() };
        assert_eq!(explain(&Error::Api(long)).chars().count(), ACME_PROBLEM_CHARS_MAX);
    }

    #[test]
    fn retry_after_has_two_forms() {
        assert_eq!(retry_after("120"), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Tue, 31 Dec 2999 23:59:59 GMT"), Some(ACME_RETRY_AFTER_MAX));
        assert_eq!(retry_after("18446744073709551615"), Some(ACME_RETRY_AFTER_MAX));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(retry_after("soon"), None);
    }
}
