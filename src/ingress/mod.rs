//! Ingress: listeners, admission of connections, and the driver that moves bytes between a socket and a session.
//!
//! No protocol rule lives here; what the client says is understood by [`crate::smtp::Session`].

mod admission;
mod driver;
mod listener;
mod memory;
mod pressure;
mod sketch;
mod stream;
#[cfg(test)]
mod tests;
mod transaction;

pub use admission::{Admission, ClientPlace, Refusal, TotalPlace};
pub use listener::{BindError, Listeners};
pub use memory::MessageMemory;
pub use pressure::{Level, Load};

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Snapshot;
use crate::dispatch::Intake;
use crate::domains::AcceptedDomains;
use crate::message::SessionIds;
use crate::telemetry::Log;

/// What is in force for new connections.
#[derive(Debug)]
pub struct Live {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The domains that open endpoints take mail for.
    pub domains: Arc<AcceptedDomains>,
}

/// What all connections share.
#[derive(Debug)]
pub struct Ingress<D> {
    /// Replaced whole by a reload; a connection keeps the one it began with.
    pub live: ArcSwap<Live>,
    /// Takes what is complete.
    pub intake: Arc<D>,
    /// The log.
    pub log: Log,
    /// Ids for sessions.
    pub ids: Arc<SessionIds>,
    /// Who may connect.
    pub admission: Admission,
    /// Bytes of messages in memory.
    pub memory: MessageMemory,
    /// Cancelled when the process is to end: sessions say 421 at their next boundary.
    pub draining: CancellationToken,
    /// All sessions.
    pub sessions: TaskTracker,
    /// Clients that are to be taken for others, by address: a demonstration on loopback can show what happens to a listed network.
    /// Empty in service.
    pub presented_as: HashMap<IpAddr, IpAddr>,
}

impl<D: Intake> Ingress<D> {
    /// Lets every session end at its next boundary, and waits for them, at most `patience`.
    pub async fn drain(&self, patience: std::time::Duration) {
        self.draining.cancel();
        self.sessions.close();
        // Sessions that outlast it are cut; no message of theirs was acknowledged.
        let _ = tokio::time::timeout(patience, self.sessions.wait()).await;
    }
}
