//! Microsoft Graph as a next hop: `sendMail` with the message in MIME.
//!
//! - It is submission by a mailbox, not delivery: Graph takes the recipients from the header and the sender from the mailbox. What an
//!   envelope says beyond that cannot be said, so such a message is refused here instead of reaching others than it should.
//! - 202 alone is success. A request whose answer is lost is not made again here; the failure says that another attempt may double it.
//! - A token that is refused is fetched anew once. A pause that Graph asks for is kept, without a request.
//! - All recipients of a delivery share one outcome.

mod answer;
mod refusals;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use self::answer::Verdict;
use super::pool::{Pool, lock};
use super::{Accepted, Attempt, Auth, Delivery, DeliveryReport, Inner, OAuthConfig, Outcome, failures, percent};
use crate::failure::Failure;
use crate::http_client::{HttpClient, HttpSettings};
use crate::limits::{GRAPH_ANSWER_BYTES_MAX, GRAPH_TIMEOUT, GRAPH_WAIT_MAX};
use crate::secrets::Credential;
use crate::smtp::Reply;

/// What a relay of this kind keeps between deliveries.
#[derive(Debug, Default)]
pub(super) struct Service {
    client: OnceCell<HttpClient>,
    pause: Mutex<Option<Pause>>,
}

/// Graph wants to be left alone.
#[derive(Debug)]
struct Pause {
    until: Instant,
    failure: Arc<Failure>,
}

pub(super) async fn deliver(inner: &Inner, pool: &Arc<Pool>, delivery: &Delivery, deadline: Instant) -> DeliveryReport {
    let host: Arc<str> = format!("{}:{}", pool.config.destination(), pool.config.port).into();
    let mut run = Run { inner, pool, delivery, deadline, attempts: Vec::new(), host };
    let started = Instant::now();
    let result = match timeout_at(deadline, run.all()).await {
        Ok(result) => result,
        // The request may be there.
        Err(_) => {
            let late = Arc::new(failures::after_final_dot(failures::too_slow("the request", started.elapsed())));
            run.note(started, Err(Arc::clone(&late)));
            Err(late)
        }
    };
    let outcome = match result {
        Ok(reply) => Outcome::Delivered(Arc::new(Accepted { reply, host: run.host, tls: None, dsn: false, _made_here: () })),
        Err(failure) => Outcome::Failed(failure),
    };
    DeliveryReport { outcomes: vec![outcome; delivery.recipients.len()], attempts: run.attempts }
}

struct Run<'a> {
    inner: &'a Inner,
    pool: &'a Arc<Pool>,
    delivery: &'a Delivery,
    deadline: Instant,
    attempts: Vec<Attempt>,
    host: Arc<str>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<Reply, Arc<Failure>> {
        let config = Arc::clone(&self.pool.config);
        let Some(Auth::OAuth(oauth)) = &config.auth else {
            return Err(Arc::new(failures::settings("a relay of kind `graph` needs `oauth`")));
        };
        let message = Bytes::from(refusals::message(self.delivery, config.limits.message_bytes).await.map_err(Arc::new)?);
        if let Some(failure) = self.pool.graph.pause() {
            return Err(failure);
        }
        let Some(_slot) = self.pool.slot(self.deadline).await else {
            return Err(Arc::new(failures::busy("no connection became free in time")));
        };
        let client = self.pool.graph.client(self.pool).await.map_err(|problem| Arc::new(failures::settings(problem)))?;
        let body = Bytes::from(STANDARD.encode(&message));
        drop(message);
        let mut token = self.inner.tokens.get(oauth).await.map_err(|error| Arc::new(error.failure()))?;
        loop {
            let started = Instant::now();
            let answer = self.ask(client, oauth, &token, body.clone()).await;
            let verdict = answer.map(|answer| answer::judge(answer, SystemTime::now()));
            let result = match verdict {
                Ok(Verdict::TokenRefused(failure)) => {
                    let failure = Arc::new(failure);
                    self.note(started, Err(Arc::clone(&failure)));
                    match self.inner.tokens.after_refusal(oauth, &token).await {
                        Some(fresh) => {
                            token = fresh;
                            continue;
                        }
                        None => return Err(failure),
                    }
                }
                Ok(Verdict::Sent(reply)) => {
                    self.inner.tokens.accepted(oauth);
                    Ok(reply)
                }
                Ok(Verdict::Failed(failure)) => Err(Arc::new(failure)),
                Ok(Verdict::Wait(failure, wait)) => {
                    let failure = Arc::new(failure);
                    self.pool.graph.rest(wait, &failure);
                    Err(failure)
                }
                Err(failure) => Err(Arc::new(failure)),
            };
            self.note(started, result.clone());
            return result;
        }
    }

    async fn ask(&self, client: &HttpClient, oauth: &OAuthConfig, token: &Credential, body: Bytes) -> Result<Response<Bytes>, Failure> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.password.as_str())).map_err(failures::settings)?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url(oauth))
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "text/plain")
            .body(body)
            .map_err(failures::settings)?;
        // A request that was made twice is a message that arrives twice.
        client.send(request, true).await.map_err(|error| match error.is_unsent() {
            true => failures::unreachable(error),
            false => failures::after_final_dot(failures::connection_lost(error)),
        })
    }

    fn url(&self, oauth: &OAuthConfig) -> String {
        let host = self.pool.config.destination();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut user = Vec::new();
        percent::encode(&oauth.user, &mut user);
        format!("https://{host}:{}/v1.0/users/{}/sendMail", self.pool.config.port, String::from_utf8_lossy(&user))
    }

    fn note(&mut self, started: Instant, result: Result<Reply, Arc<Failure>>) {
        self.attempts.push(Attempt {
            host: Arc::clone(&self.host),
            address: None,
            tls: None,
            reused: false,
            recipients: self.delivery.recipients.len(),
            result,
            duration: started.elapsed(),
        });
    }
}

impl Service {
    /// The client, made when it is first needed; a failure is not kept.
    async fn client(&self, pool: &Pool) -> Result<&HttpClient, String> {
        let make = || async {
            let ca = match pool.config.ca_file.clone() {
                None => None,
                Some(file) => Some(tokio::task::spawn_blocking(move || authorities(&file)).await.map_err(|error| error.to_string())??),
            };
            Ok(HttpClient::new(HttpSettings {
                ca,
                tls: true,
                connections: pool.config.limits.connections,
                timeout: GRAPH_TIMEOUT,
                response_bytes_max: GRAPH_ANSWER_BYTES_MAX,
            }))
        };
        self.client.get_or_try_init(make).await
    }

    /// Why nothing is asked now, if that is so.
    fn pause(&self) -> Option<Arc<Failure>> {
        let mut pause = lock(&self.pause);
        if pause.as_ref().is_some_and(|pause| pause.until <= Instant::now()) {
            *pause = None;
        }
        pause.as_ref().map(|pause| Arc::clone(&pause.failure))
    }

    fn rest(&self, wait: Duration, failure: &Arc<Failure>) {
        let until = Instant::now() + wait.min(GRAPH_WAIT_MAX);
        *lock(&self.pause) = Some(Pause { until, failure: Arc::clone(failure) });
    }
}

fn authorities(file: &Path) -> Result<Arc<[CertificateDer<'static>]>, String> {
    let problem = |why: String| format!("ca {}: {why}", file.display());
    let pem = std::fs::read(file).map_err(|error| problem(error.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| problem(error.to_string()))?;
    if all.is_empty() { Err(problem("it holds no certificate".to_owned())) } else { Ok(all.into()) }
}
