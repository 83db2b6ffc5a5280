//! A small HTTP server for what the gateway itself has to say: figures, health, the proof for a certificate.
//!
//! - One request a connection, read and answered within [`limits::HTTP_CONNECTION_TIMEOUT`]; headers within [`limits::HTTP_HEADER_BYTES_MAX`].
//! - At most [`limits::HTTP_CONNECTIONS_MAX`] connections to a listener; a further one is closed at once.
//! - A request's body is never read.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::limits;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `HEAD`, ….
    pub method: String,
    /// The path, without the query.
    pub path: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code, 200 to 599.
    pub status: u16,
    /// The media type.
    pub content_type: &'static str,
    /// The content.
    pub body: Bytes,
}

impl Response {
    /// A plain text.
    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Answers with `answer` until `stop`. Requests other than GET and HEAD get 405 without asking.
pub async fn serve<F, R>(listener: TcpListener, stop: CancellationToken, answer: F)
where
    F: Fn(Request) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(limits::HTTP_CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((tcp, _)) => {
                let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
                let answer = answer.clone();
                tokio::spawn(async move {
                    // Late or broken: the client learns it from the close.
                    let _ = timeout(limits::HTTP_CONNECTION_TIMEOUT, connection(tcp, answer)).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely.
            Err(_) => sleep(limits::ACCEPT_ERROR_PAUSE).await,
        }
    }
}

async fn connection<F, R>(tcp: TcpStream, answer: F) -> Result<(), hyper::Error>
where
    F: Fn(Request) -> R,
    R: Future<Output = Response>,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let known = matches!(request.method().as_str(), "GET" | "HEAD");
        let asked = Request { method: request.method().to_string(), path: request.uri().path().to_owned() };
        let answered = known.then(|| answer(asked));
        async move {
            let response = match answered {
                Some(answered) => answered.await,
                None => Response::text(405, "only GET and HEAD\n"),
            };
            Ok::<_, Infallible>(encoded(response))
        }
    });
    http1::Builder::new()
        // The connection as a whole is timed.
        .header_read_timeout(None)
        .max_buf_size(limits::HTTP_HEADER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(tcp), service)
        .await
}

fn encoded(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut encoded = hyper::Response::new(Full::new(response.body));
    *encoded.status_mut() = hyper::StatusCode::from_u16(response.status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = encoded.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(response.content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    encoded
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    async fn server() -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        tokio::spawn(serve(listener, stop.clone(), |request: Request| async move {
            match request.path.as_str() {
                "/known" => Response::text(200, format!("{} {}", request.method, request.path)),
                _ => Response::text(404, "nothing here"),
            }
        }));
        (address, stop)
    }

    async fn ask(address: SocketAddr, request: &[u8]) -> String {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        // A server that has had enough closes while we still write.
        let _ = tcp.write_all(request).await;
        let mut answer = Vec::new();
        let _ = tcp.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn one_request_is_answered_and_the_connection_ends() {
        let (address, _stop) = server().await;
        let answer = ask(address, b"GET /known?x=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /known HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nGET /known"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
        assert!(ask(address, b"GET /other HTTP/1.0\r\n\r\n").await.starts_with("HTTP/1.0 404 "));
        assert!(ask(address, b"POST /known HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc").await.starts_with("HTTP/1.1 405 "));
    }

    #[tokio::test]
    async fn nonsense_and_endless_headers_are_refused() {
        let (address, _stop) = server().await;
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(4 * limits::HTTP_HEADER_BYTES_MAX));
        let wide = format!("GET /known HTTP/1.1\r\nX: {}", "x".repeat(4 * limits::HTTP_HEADER_BYTES_MAX));
        let many = format!("GET /known HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(1000));
        for request in ["EHLO x.example\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n", &long, &wide, &many] {
            let answer = ask(address, request.as_bytes()).await;
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        assert!(ask(address, b"GET /known HTTP/1.1\r\nHost: h\r\n\r\n").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_clients_keep_their_place_for_a_while_only() {
        let (address, _stop) = server().await;
        let begin = (tokio::time::Instant::now(), Instant::now());
        let mut slow = Vec::new();
        for _ in 0..=limits::HTTP_CONNECTIONS_MAX {
            let mut tcp = TcpStream::connect(address).await.unwrap();
            tcp.write_all(b"GET /kno").await.unwrap();
            slow.push(tcp);
        }
        // There was no place for the last one, and the clock does the rest.
        for mut tcp in slow {
            let _ = tcp.read_to_end(&mut Vec::new()).await;
        }
        assert!(begin.0.elapsed() >= limits::HTTP_CONNECTION_TIMEOUT && begin.1.elapsed() < limits::HTTP_CONNECTION_TIMEOUT);
        assert!(ask(address, b"GET /known HTTP/1.0\r\n\r\n").await.contains(" 200 "));
    }
}
