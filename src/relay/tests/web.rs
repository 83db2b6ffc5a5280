//! A scripted server of HTTP on loopback, with or without TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// `POST /path`.
    pub(super) line: String,
    pub(super) authorization: String,
    pub(super) content_type: String,
    pub(super) body: String,
}

/// Status, `Retry-After` if any, body; `None` closes the connection without an answer.
pub(super) type Said = Option<(u16, Option<&'static str>, String)>;

type Rule = Arc<dyn Fn(&Seen, usize) -> Said + Send + Sync>;

pub(super) struct Web {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Web {
    /// The rule is asked with each request and its number, from 1.
    pub(super) async fn start(tls: Option<Arc<rustls::ServerConfig>>, rule: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, rule): (Arc<Mutex<Vec<Seen>>>, Rule) = (Arc::default(), Arc::new(rule));
        let shared = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, rule, tls) = (Arc::clone(&shared), Arc::clone(&rule), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(request, &seen, &rule));
                    let builder = hyper::server::conn::http1::Builder::new();
                    // A connection that ends with an error is what the rule asked for.
                    match tls {
                        None => drop(builder.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            let Ok(stream) = tokio_rustls::TlsAcceptor::from(tls).accept(stream).await else { return };
                            drop(builder.serve_connection(TokioIo::new(stream), service).await);
                        }
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// What came so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection ends here.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed")
    }
}

impl std::error::Error for Closed {}

impl From<Infallible> for Closed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

async fn answer(request: Request<hyper::body::Incoming>, seen: &Mutex<Vec<Seen>>, rule: &Rule) -> Result<Response<Full<Bytes>>, Closed> {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (line, authorization, content_type) =
        (format!("{} {}", request.method(), request.uri().path()), text("authorization"), text("content-type"));
    let body = request.into_body().collect().await.map_err(|_| Closed)?.to_bytes();
    let came = Seen { line, authorization, content_type, body: String::from_utf8_lossy(&body).into_owned() };
    let number = {
        let mut seen = seen.lock().unwrap();
        seen.push(came.clone());
        seen.len()
    };
    let (status, retry_after, body) = rule(&came, number).ok_or(Closed)?;
    let mut response = Response::builder().status(status).header("request-id", format!("id-{number}"));
    if let Some(wait) = retry_after {
        response = response.header("retry-after", wait);
    }
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}
