//! The relay room against scripted next hops.

mod addresses;
mod client_certificates;
mod cuts;
mod dane;
mod delivery;
mod dialects;
mod extensions;
mod gates;
mod graph;
pub(crate) mod hop;
mod lies;
mod pki;
mod pooled;
mod sts;
mod timers;
mod tls_and_login;
mod tokens;
mod verify;
mod web;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use self::hop::{Act, Hop, Script};
use super::*;
use crate::dns::ResolverConfig;
use crate::failure::Retry;
use crate::limits;
use crate::message::{MessageId, SessionIds};
use crate::smtp::Address;

/// Long enough for a slow machine; what is expected to wait uses less.
const PLENTY: Duration = Duration::from_secs(60);
const CONTENT: &str = "Subject: x\r\n\r\n.dot\r\nbody\r\n.\r\n";

fn config(hop: &Hop) -> RelayConfig {
    RelayConfig {
        port: hop.address.port(),
        tls: TlsMode::None,
        limits: RelayLimits { connections: 2, one_domain_per_message: true, ..RelayLimits::default() },
        ..RelayConfig::new("relay", at([&*hop.address.ip().to_string()]))
    }
}

/// The way to these hosts.
fn at<const N: usize>(hosts: [&str; N]) -> Route {
    Route::Hosts(hosts.map(Into::into).to_vec())
}

/// The same with so many connections.
fn with_connections(config: RelayConfig, connections: u32) -> RelayConfig {
    RelayConfig { limits: RelayLimits { connections, ..config.limits.clone() }, ..config }
}

fn delivery(recipients: &[&str]) -> Delivery {
    Delivery {
        message: MessageId { session: SessionIds::new(1).next(1), number: 1 },
        reverse_path: ReversePath::Address(Address::parse("sender@a.example", false).unwrap()),
        recipients: recipients.iter().map(|text| Address::parse(text, true).unwrap().into()).collect(),
        content: Content::from(Bytes::from_static(CONTENT.as_bytes())),
        smtputf8: false,
        eight_bit: false,
        terms: MailTerms::default(),
    }
}

/// Lets the tasks of a test run until something holds that no clock is needed for.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PLENTY, wait).await.unwrap_or_else(|_| panic!("{what} never happened"));
}

/// Nobody is asked: relays have hosts.
fn dns() -> Dns {
    Dns::new(&ResolverConfig::default()).unwrap()
}

pub(crate) fn relays() -> Relays {
    Relays::new("mx.example".into(), Arc::new(Secrets::default()), dns())
}

async fn deliver(relays: &Relays, config: RelayConfig, recipients: &[&str]) -> DeliveryReport {
    relays.deliver(&Arc::new(config), &delivery(recipients), Instant::now() + PLENTY).await
}

/// Each outcome in short: `250`, or code and retryability.
fn short(report: &DeliveryReport) -> Vec<String> {
    let word = |outcome: &Outcome| match outcome {
        Outcome::Delivered(accepted) => accepted.reply.code.to_string(),
        Outcome::Failed(failure) => {
            let again = if failure.retry == Retry::Later { "later" } else { "never" };
            let status = failure.reply.status.map(|status| status.to_string()).unwrap_or_default();
            format!("{} {status} {again}", failure.reply.code)
        }
    };
    report.outcomes.iter().map(word).collect()
}

fn detail(report: &DeliveryReport) -> String {
    match &report.outcomes[0] {
        Outcome::Failed(failure) => failure.to_string(),
        Outcome::Delivered(_) => String::new(),
    }
}
