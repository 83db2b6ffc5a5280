//! The HTTP server that an authority asks (RFC 8555 §8.3). It knows the challenges under way and nothing else; the rest of the
//! internet, which comes to port 80 as well, gets 404.

use std::future::ready;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::challenges::Challenges;
use crate::http::{self, Request, Response};
use crate::socket::{self, BindError};
use crate::telemetry::{Event, Log};

/// Bound sockets.
#[derive(Debug)]
pub struct Responder(Vec<(SocketAddr, TcpListener)>);

impl Responder {
    /// Binds every address, or none.
    pub fn bind(addresses: &[SocketAddr]) -> Result<Self, BindError> {
        addresses.iter().map(|address| socket::listen("`acme.listen`", *address)).collect::<Result<_, _>>().map(Self)
    }

    /// Answers until the drain begins.
    pub(super) fn serve(self, challenges: &Challenges, log: &Log, draining: &CancellationToken) {
        for (address, listener) in self.0 {
            log.emit(&Event::Listening { endpoint: "acme.listen", address });
            let challenges = challenges.clone();
            tokio::spawn(http::serve(listener, draining.clone(), move |request| ready(answer(&challenges, &request))));
        }
    }
}

fn answer(challenges: &Challenges, request: &Request) -> Response {
    let token = request.path.strip_prefix("/.well-known/acme-challenge/");
    match token.and_then(|token| challenges.answer(token)) {
        Some(key_authorization) => Response { status: 200, content_type: "application/octet-stream", body: key_authorization.into() },
        None => Response::text(404, "Not found\n"),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

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
            assert!((answer.contains(" 404 ") || answer.contains(" 405 ")) && !answer.contains("thumb"), "{request}: {answer}");
        }
    }
}
