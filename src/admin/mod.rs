//! Admin: what the gateway says of itself over HTTP, to monitoring and to load balancers.
//!
//! - `GET /metrics`: all figures, in the text format of Prometheus.
//! - `GET /healthz`: 200 while it serves, 503 while it takes no connections: full, or about to end.
//!
//! It asks nobody who he is and changes nothing.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{self, Request, Response};
use crate::telemetry::{Counts, Gauge, Log};

/// What is watched: the gateway.
pub trait Watched: Send + Sync + 'static {
    /// The figures that are no counters of events.
    fn gauges(&self) -> impl Future<Output = Vec<Gauge>> + Send;

    /// The counters of rooms that tell no events.
    fn counts(&self) -> Vec<Counts> {
        Vec::new()
    }

    /// Whether it takes connections.
    fn health(&self) -> Health;
}

/// Whether new connections are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They are.
    Serving,
    /// Not now: it is full.
    Refusing,
    /// Not any more: it ends when the sessions have.
    Draining,
}

/// Answers until `stop`.
pub async fn serve<W: Watched>(listener: TcpListener, watched: Arc<W>, log: Log, stop: CancellationToken) {
    let answer = move |request: Request| {
        let (watched, log) = (Arc::clone(&watched), log.clone());
        async move { answer(&request.path, &*watched, &log).await }
    };
    http::serve(listener, stop, answer).await;
}

async fn answer<W: Watched>(path: &str, watched: &W, log: &Log) -> Response {
    match path {
        "/metrics" => {
            let page = log.metrics().render(&watched.gauges().await, &watched.counts());
            Response { status: 200, content_type: "text/plain; version=0.0.4; charset=utf-8", body: page.into() }
        }
        "/healthz" => match watched.health() {
            Health::Serving => Response::text(200, "serving\n"),
            Health::Refusing => Response::text(503, "refusing\n"),
            Health::Draining => Response::text(503, "draining\n"),
        },
        _ => Response::text(404, "/metrics or /healthz\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Event, Format};

    struct House(Health);

    impl Watched for House {
        async fn gauges(&self) -> Vec<Gauge> {
            vec![Gauge { name: "gateway_connections", help: "Connections now.", value: 3 }]
        }

        fn counts(&self) -> Vec<Counts> {
            let values = vec![("trouble".into(), 5)];
            vec![Counts { name: "gateway_dns_questions_total", help: "Questions.", label: "outcome", values }]
        }

        fn health(&self) -> Health {
            self.0
        }
    }

    #[tokio::test]
    async fn figures_and_health_are_told() {
        let log = Log::new(Format::Json, std::io::sink());
        log.emit(&Event::Problem { what: "test", detail: "" });
        let page = answer("/metrics", &House(Health::Serving), &log).await;
        let text = String::from_utf8(page.body.to_vec()).unwrap();
        assert!(text.contains("\ngateway_connections 3\n") && text.contains("\ngateway_problems_total 1\n"), "{text}");
        assert!(text.contains("\ngateway_dns_questions_total{outcome=\"trouble\"} 5\n"), "{text}");
        for (health, status) in [(Health::Serving, 200), (Health::Refusing, 503), (Health::Draining, 503)] {
            assert_eq!(answer("/healthz", &House(health), &log).await.status, status);
        }
        assert_eq!(answer("/", &House(Health::Serving), &log).await.status, 404);
        log.close();
    }
}
