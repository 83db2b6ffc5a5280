//! What is kept for each relay between deliveries: idle connections, the count of busy ones, and which places did not answer.
//!
//! - A busy connection holds a slot; an idle one is taken before a new one is opened, so there are never more than slots.
//! - A pool belongs to one configuration; another configuration of the same name gets another pool.
//! - Its locks are held for list operations only, never across I/O.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::client_certificate::ClientCertificate;
use super::connection::Connection;
use super::health::Health;
use super::login::Turns;
use super::tls::{PoolTls, Trust};
use super::{Inner, RelayConfig, graph};

/// One relay's pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) config: Arc<RelayConfig>,
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
    pub(super) health: Health,
    tls: PoolTls,
    client_certificate: ClientCertificate,
    pub(super) logins: Turns,
    /// For relays of this kind alone.
    pub(super) graph: graph::Service,
    reaping: AtomicBool,
}

#[derive(Debug, Default)]
struct Idle {
    /// The one used last is the last one.
    connections: Vec<Connection>,
    closed: bool,
}

impl Pool {
    pub(super) fn new(config: Arc<RelayConfig>) -> Self {
        let slots = usize::try_from(config.limits.connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            config,
            slots: Arc::new(Semaphore::new(slots)),
            idle: Mutex::default(),
            health: Health::default(),
            tls: PoolTls::default(),
            client_certificate: ClientCertificate::default(),
            logins: Turns::default(),
            graph: graph::Service::default(),
            reaping: AtomicBool::new(false),
        }
    }

    /// Whether the pool's connections are as `config` wants them. A `ca_file` may have other content behind the same path after
    /// a reload, which makes another configuration of it.
    pub(super) fn serves(&self, config: &Arc<RelayConfig>) -> bool {
        Arc::ptr_eq(&self.config, config) || (self.config.ca_file.is_none() && *self.config == **config)
    }

    /// The right to one connection; `None` when none was free before the deadline.
    pub(super) async fn slot(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let permit = timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await.ok()?.ok();
        // A slot that comes at the last moment is of no use, and the failure should say what the time was spent on.
        permit.filter(|_| Instant::now() < deadline)
    }

    /// An idle connection that offers what the message needs and still looks usable; those that do not are dropped on the way. If there
    /// is none, another one makes room for the one that will be opened.
    pub(super) async fn take(&self, offers_enough: impl Fn(&Connection) -> bool) -> Option<Connection> {
        loop {
            let mut connection = {
                let connections = &mut lock(&self.idle).connections;
                let place = connections.iter().rposition(&offers_enough).or_else(|| connections.len().checked_sub(1))?;
                connections.remove(place)
            };
            if !offers_enough(&connection) {
                drop(tokio::spawn(connection.quit()));
                return None;
            }
            if self.keeps(&connection) && connection.is_alive().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next delivery, or says goodbye.
    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        let refused = {
            let mut idle = lock(&self.idle);
            if idle.closed || !self.keeps(&connection) {
                Some(connection)
            } else {
                idle.connections.push(connection);
                None
            }
        };
        match refused {
            // Only a session in order can take QUIT as a command.
            Some(connection) if connection.client.is_reusable() => drop(tokio::spawn(connection.quit())),
            Some(_) => {}
            None => self.start_reaper(),
        }
    }

    /// Keeps a connection, unless its session broke: then not even goodbye is worth the time.
    pub(super) fn put_or_drop(self: &Arc<Self>, connection: Connection, broken: bool) {
        if !broken {
            self.put(connection);
        }
    }

    /// Takes all idle connections; none is kept from now on.
    pub(super) fn close(&self) -> Vec<Connection> {
        let mut idle = lock(&self.idle);
        idle.closed = true;
        std::mem::take(&mut idle.connections)
    }

    /// What TLS is made with for a connection that believes `trust`: with this relay's CAs, pins and certificate.
    pub(super) async fn tls_config(&self, inner: &Inner, trust: &Trust) -> Result<Arc<rustls::ClientConfig>, String> {
        let bare = self.tls.config(inner, &self.config, trust).await?;
        match &self.config.client_certificate {
            Some(secret) => self.client_certificate.with(bare, trust.lasts(), inner.secrets.as_ref(), secret).await,
            None => Ok(bare),
        }
    }

    /// Whether a connection may carry another message now.
    fn keeps(&self, connection: &Connection) -> bool {
        connection.is_reusable(Instant::now(), &self.config.limits)
    }

    /// One task while there are idle connections; it closes those that nobody took in time.
    fn start_reaper(self: &Arc<Self>) {
        if self.reaping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            while let Some(next) = pool.upgrade().and_then(|pool| pool.next_expiry()) {
                sleep_until(next).await;
                let expired = pool.upgrade().map(|pool| pool.expired()).unwrap_or_default();
                for connection in expired {
                    drop(tokio::spawn(connection.quit()));
                }
            }
        });
    }

    /// When the first idle connection expires; `None` ends the reaper, under the lock that `put` takes as well.
    fn next_expiry(&self) -> Option<Instant> {
        let idle = lock(&self.idle);
        let next = idle.connections.iter().map(|connection| connection.usable_until(&self.config.limits)).min();
        if next.is_none() {
            self.reaping.store(false, Ordering::Release);
        }
        next
    }

    fn expired(&self) -> Vec<Connection> {
        let mut idle = lock(&self.idle);
        let (keep, expired) = std::mem::take(&mut idle.connections).into_iter().partition(|connection| self.keeps(connection));
        idle.connections = keep;
        expired
    }
}

/// A panic elsewhere leaves these lists whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
