//! `SMTPRelay`: hands a message to a named relay.

use std::sync::Arc;

use tokio::time::Instant;

use crate::config::Snapshot;
use crate::failure::{Failure, Side};
use crate::relay::{Delivery, DeliveryReport, INTERNET, NextHops, Outcome, RelayConfig};
use crate::smtp::{Reply, Status};

/// Delivers to the relay called `name`, ending by `deadline`; every recipient gets an outcome.
///
/// A relay that the configuration no longer has is a temporary failure: the operator may bring it back, and mail must not be lost by a rename.
pub async fn deliver<N: NextHops>(
    next_hops: &N,
    snapshot: &Snapshot,
    name: &str,
    delivery: &Delivery,
    deadline: Instant,
) -> DeliveryReport {
    let relay = match snapshot.relays.get(name) {
        Some(relay) => Ok(Arc::clone(relay)),
        None if name == INTERNET => exchangers(next_hops, delivery, deadline).await,
        None => Err(unknown_relay(name)),
    };
    let mut report = match relay {
        Ok(relay) => next_hops.deliver(&relay, delivery, deadline).await,
        Err(failure) => failed(failure, delivery),
    };
    // One outcome for each recipient is what next hops promise; nobody gets lost if one of them does not keep it.
    report.outcomes.resize_with(delivery.recipients.len(), || Outcome::Failed(Arc::new(no_outcome())));
    report
}

/// What goes to the internet is a notification, and that has one recipient.
async fn exchangers<N: NextHops>(next_hops: &N, delivery: &Delivery, deadline: Instant) -> Result<Arc<RelayConfig>, Failure> {
    let domain = delivery.recipients.first().map(|recipient| recipient.address.domain()).unwrap_or_default();
    let found = tokio::time::timeout_at(deadline, next_hops.exchangers(domain)).await;
    found.unwrap_or_else(|_| Err(Failure::new(Side::Us, Reply::fixed(451, Status(4, 4, 3), "DNS did not answer in time"), domain)))
}

fn unknown_relay(name: &str) -> Failure {
    let reply = Reply::fixed(451, Status(4, 3, 5), "The relay is not in the configuration");
    Failure::new(Side::Us, reply, format!("relay `{name}`"))
}

fn no_outcome() -> Failure {
    Failure::new(Side::Us, Reply::fixed(451, Status(4, 3, 0), "Nothing is known of the delivery"), "no outcome")
}

fn failed(failure: Failure, delivery: &Delivery) -> DeliveryReport {
    let failure = Arc::new(failure);
    let outcomes = delivery.recipients.iter().map(|_| Outcome::Failed(Arc::clone(&failure))).collect();
    DeliveryReport { outcomes, attempts: Vec::new() }
}
