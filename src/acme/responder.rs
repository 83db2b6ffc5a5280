//! The HTTP server that an authority asks (RFC 8555 §8.3). It knows the challenges under way and nothing else; the rest of the
//! internet, which comes to port 80 as well, gets 404.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::challenges::Challenges;
use crate::limits::{ACCEPT_ERROR_PAUSE, ACME_CONNECTION_TIMEOUT, ACME_CONNECTIONS_MAX, ACME_REQUEST_BYTES_MAX, TURNED_AWAY_LINE_INTERVAL};
use crate::socket;
use crate::telemetry::{Event, Log};

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`acme.listen`: cannot listen on {}: {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {}

/// Bound sockets.
#[derive(Debug)]
pub struct Responder(Vec<(SocketAddr, TcpListener)>);

impl Responder {
    /// Binds every address, or none.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        let bind = |address: SocketAddr| {
            let listener = socket::listen(address)?;
            Ok((listener.local_addr()?, listener))
        };
        let bound = addresses.iter().map(|address| bind(*address).map_err(|source| BindError { address: *address, source }));
        bound.collect::<Result<_, _>>().map(Self)
    }

    /// Answers until the drain begins.
    pub(super) fn serve(self, challenges: &Challenges, log: &Log, draining: &CancellationToken) {
        let places = Arc::new(Semaphore::new(ACME_CONNECTIONS_MAX));
        for (address, listener) in self.0 {
            log.emit(&Event::Listening { endpoint: "acme.listen", address });
            tokio::spawn(accept(listener, challenges.clone(), Arc::clone(&places), log.clone(), draining.clone()));
        }
    }
}

async fn accept(listener: TcpListener, challenges: Challenges, places: Arc<Semaphore>, log: Log, draining: CancellationToken) {
    let mut told: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining.cancelled() => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                // Without a place the connection is closed; an authority that meets this asks again.
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let challenges = challenges.clone();
                tokio::spawn(async move {
                    serve(tcp, challenges).await;
                    drop(place);
                });
            }
            Err(error) => {
                // It lasts as long as its cause, which is a lack of file descriptors most likely.
                if told.is_none_or(|told| told.elapsed() >= TURNED_AWAY_LINE_INTERVAL) {
                    log.emit(&Event::Problem { what: "accept", detail: &error.to_string() });
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            }
        }
    }
}

/// One request, bounded in size and time whatever the client does.
async fn serve(tcp: TcpStream, challenges: Challenges) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let answer = answer(&challenges, request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(ACME_REQUEST_BYTES_MAX).header_read_timeout(None);
    // A client that speaks no HTTP, or not in time, is nobody's loss.
    let _ = tokio::time::timeout(ACME_CONNECTION_TIMEOUT, server.serve_connection(TokioIo::new(tcp), service)).await;
}

fn answer(challenges: &Challenges, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let token = path.strip_prefix("/.well-known/acme-challenge/").filter(|_| matches!(*method, Method::GET | Method::HEAD));
    let (status, content_type, body) = match token.and_then(|token| challenges.answer(token)) {
        Some(key_authorization) => (StatusCode::OK, "application/octet-stream", key_authorization),
        None => (StatusCode::NOT_FOUND, "text/plain", "Not found\n".to_owned()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    struct Served {
        address: SocketAddr,
        challenges: Challenges,
        _draining: tokio_util::sync::DropGuard,
    }

    fn start() -> Served {
        let responder = Responder::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let (address, challenges, draining) = (responder.0[0].0, Challenges::default(), CancellationToken::new());
        responder.serve(&challenges, &Log::new(crate::telemetry::Format::Json, io::sink()), &draining);
        Served { address, challenges, _draining: draining.drop_guard() }
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_challenge_is_answered_and_nothing_else() {
        let served = start();
        let _offer = served.challenges.offer("tok-en_1", "tok-en_1.thumb");
        let answer = ask(served.address, b"GET /.well-known/acme-challenge/tok-en_1 HTTP/1.1\r\nHost: mx.acme.org\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\ntok-en_1.thumb"), "{answer}");
        for request in [
            "GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /.well-known/acme-challenge/../acme-challenge/tok-en_1 HTTP/1.1\r\nHost: x\r\n\r\n",
            "POST /.well-known/acme-challenge/tok-en_1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
        ] {
            let answer = ask(served.address, request.as_bytes()).await;
            assert!(answer.contains(" 404 ") && !answer.contains("thumb"), "{request}: {answer}");
        }
    }

    #[tokio::test]
    async fn what_is_no_http_or_too_large_is_refused() {
        let served = start();
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(2 * ACME_REQUEST_BYTES_MAX));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
        for request in ["EHLO mx.acme.example\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n", &long, &many] {
            let answer = ask(served.address, request.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn slow_clients_keep_their_place_for_a_while_only() {
        let served = start();
        let begin = (tokio::time::Instant::now(), Instant::now());
        let mut slow = Vec::new();
        for _ in 0..ACME_CONNECTIONS_MAX {
            let mut tcp = TcpStream::connect(served.address).await.unwrap();
            tcp.write_all(b"GET / HTT").await.unwrap();
            slow.push(tcp);
        }
        // All places are taken, or some that came too late were closed: either way they all end, with the clock's help alone.
        for mut tcp in slow {
            let mut rest = Vec::new();
            let _ = tcp.read_to_end(&mut rest).await;
        }
        assert!(begin.0.elapsed() >= ACME_CONNECTION_TIMEOUT && begin.1.elapsed() < ACME_CONNECTION_TIMEOUT);
        assert!(ask(served.address, b"GET / HTTP/1.0\r\n\r\n").await.contains(" 404 "));
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let taken = Responder::bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = taken.0[0].0;
        let error = Responder::bind(&[address]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`acme.listen`: cannot listen on {address}: ")), "{error}");
    }
}
