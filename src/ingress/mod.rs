//! Ingress: listeners, admission of connections, and the driver that moves bytes between a socket and a session.
//!
//! No protocol rule lives here; what the client says is understood by [`crate::smtp::Session`].

mod admission;
mod answers;
mod auth;
mod driver;
mod found;
mod listener;
mod logins;
mod pressure;
mod proxied;
mod reception;
mod recipients;
mod sketch;
mod stream;
#[cfg(test)]
mod tests;
mod transaction;
mod turned_away;

pub use crate::message::MessageMemory;
pub use admission::{Admission, ClientPlace, Refusal, TotalPlace};
pub use answers::Stage;
pub(crate) use answers::{RELAYING_DENIED, Ruling, known, may_relay, with_domain};
pub use auth::look_at_credentials;
pub use listener::Listeners;
pub use logins::LoginFailures;
pub use pressure::{Level, Load};
pub use turned_away::TurnedAway;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::call_ahead::CallAhead;
use crate::config::{Limits, Snapshot};
use crate::dispatch::Intake;
use crate::domains::AcceptedDomains;
use crate::examination::Examine;
use crate::limits::{Limit, PRESSURE_LOOK};
use crate::message::SessionIds;
use crate::secrets::Secrets;
use crate::telemetry::{Event, Log};

/// What is in force for new connections.
#[derive(Debug)]
pub struct Live {
    /// The configuration.
    pub snapshot: Arc<Snapshot>,
    /// The domains that open endpoints take mail for.
    pub domains: Arc<AcceptedDomains>,
    /// Who is asked for what policies need to know.
    pub examiner: Arc<dyn Examine>,
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
    /// Who may log in.
    pub secrets: Arc<Secrets>,
    /// Who is asked for recipients.
    pub call_ahead: Arc<dyn CallAhead>,
    /// Wrong logins of late.
    pub logins: LoginFailures,
    /// Bytes of messages in memory.
    pub memory: MessageMemory,
    /// What the log is to say of connections that were kept out.
    pub turned_away: TurnedAway,
    /// Cancelled when the process is to end: sessions say 421 at their next boundary.
    pub draining: CancellationToken,
    /// All sessions.
    pub sessions: TaskTracker,
    /// Clients that are to be taken for others, by address: a demonstration on loopback can show what happens to a listed network.
    /// Empty in service.
    pub presented_as: HashMap<IpAddr, IpAddr>,
}

impl<D: Intake> Ingress<D> {
    /// Other limits from now on. Who is connected keeps those that the session began with.
    pub fn set_limits(&self, limits: Limits) {
        self.admission.set_limits(limits);
        self.memory.set_max(limits.message_memory_bytes);
    }

    /// Looks at the load; a new level is told once, to the log and to every session that waits.
    fn look(&self) {
        let memory_bytes = (self.memory.used(), self.memory.max());
        let Some((level, load)) = self.admission.observe(memory_bytes, self.intake.is_sick()) else { return };
        self.log.emit(&Event::Pressure {
            level: level.name(),
            connections: load.connections.0,
            connections_max: load.connections.1,
            message_memory_bytes: load.memory_bytes.0,
            message_memory_bytes_max: load.memory_bytes.1,
            spool_sick: load.spool_sick,
        });
    }

    /// Looks at the load again and again, so that it recovers without anybody's doing, and writes what is due of
    /// [`Self::turned_away`]. Until the drain.
    async fn watch(self: Arc<Self>) {
        let mut look = tokio::time::interval(PRESSURE_LOOK);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                () = self.draining.cancelled() => return self.turned_away.rest().iter().for_each(|told| self.tell(told)),
            }
            self.look();
            self.turned_away.due(Instant::now()).iter().for_each(|told| self.tell(told));
        }
    }

    /// A connection was kept out.
    fn count_turned_away(&self, limit: Limit, client: IpAddr) {
        self.log.metrics().turned_away(limit);
        self.turned_away.count(limit, client, Instant::now()).iter().for_each(|told| self.tell(told));
    }

    fn tell(&self, told: &turned_away::Told) {
        self.log.emit(&Event::TurnedAway { limit: told.limit, refused: told.refused, client: told.client });
    }

    /// Lets every session end at its next boundary, and waits for them, at most `patience`.
    pub async fn drain(&self, patience: std::time::Duration) {
        self.draining.cancel();
        self.sessions.close();
        // Sessions that outlast it are cut; no message of theirs was acknowledged.
        let _ = tokio::time::timeout(patience, self.sessions.wait()).await;
    }
}
