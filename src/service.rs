//! The whole gateway, put together: what `gateway run` and `gateway demo` start, reload and stop.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::{self, Manager, Responder};
use crate::aws::Aws;
use crate::certificates::Standing;
use crate::config::{self, Report, Snapshot};
use crate::dispatch::{Dispatcher, unix_millis};
use crate::domains::AcceptedDomains;
use crate::ingress::{Admission, BindError, Ingress, Listeners, Live, MessageMemory};
use crate::limits::{DRAIN_TIMEOUT, EXPIRY_REPORT_INTERVAL, MESSAGE_MEMORY_BYTES_MAX};
use crate::message::SessionIds;
use crate::refreshed::Observer;
use crate::relay::Relays;
use crate::secrets::Secrets;
use crate::spool::{LocalSpool, Spool, SpoolError};
use crate::telemetry::{Event, Log};

/// A gateway that serves.
pub struct Service {
    ingress: Arc<Ingress<Dispatcher<LocalSpool, Relays>>>,
    dispatcher: Arc<Dispatcher<LocalSpool, Relays>>,
    spool: Arc<LocalSpool>,
    aws: Arc<Aws>,
    acme: Manager,
    /// Where challenges are answered, as the configuration said at the start.
    challenges: Option<Vec<SocketAddr>>,
    log: Log,
    addresses: Vec<(Arc<str>, SocketAddr)>,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address is taken, or not ours.
    Bind(BindError),
    /// The same for the challenges of ACME.
    Acme(acme::BindError),
    /// The spool cannot be opened.
    Spool(PathBuf, SpoolError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Acme(error) => error.fmt(f),
            Self::Spool(path, error) => write!(f, "the spool at {} cannot be opened: {error}", path.display()),
        }
    }
}

impl std::error::Error for StartError {}

impl Service {
    /// Opens the spool, binds the endpoints, and serves. `presented_as` is [`Ingress::presented_as`].
    pub async fn start(snapshot: Snapshot, log: Log, presented_as: HashMap<IpAddr, IpAddr>) -> Result<Self, StartError> {
        raise_file_limit();
        let snapshot = Arc::new(snapshot);
        let listeners = Listeners::bind(&snapshot).map_err(StartError::Bind)?;
        let responder = snapshot.acme.as_ref().map(|acme| Responder::bind(&acme.listen)).transpose().map_err(StartError::Acme)?;
        let spool = open_spool(&snapshot.spool, &log).await.map_err(|error| StartError::Spool(snapshot.spool.clone(), error))?;
        let ids = Arc::new(SessionIds::new(random_seed()));
        let aws = Arc::new(Aws::default());
        let secrets = Arc::new(Secrets::new(Arc::clone(&aws), Some(observer(&log, "secret"))));
        let relays = Relays::new(Arc::clone(&snapshot.hostname), secrets);
        let dispatcher = Dispatcher::new(Arc::clone(&spool), relays, log.clone(), Arc::clone(&ids), Arc::clone(&snapshot));
        let domains = Arc::new(AcceptedDomains::new(&snapshot.domains, Arc::clone(&aws), Some(observer(&log, "domains"))));
        // An account that cannot be listed yet costs 451 at RCPT, not the mail that waits in the spool.
        if let Err(error) = domains.prepare().await {
            log.emit(&Event::Problem { what: "domains", detail: &error.to_string() });
        }
        log.emit(&Event::Started { version: env!("CARGO_PKG_VERSION"), config: &snapshot.hash });
        let challenges = snapshot.acme.as_ref().map(|acme| acme.listen.clone());
        let acme = Manager::new(log.clone());
        acme.adopt(snapshot.acme.as_ref()).await;
        let ingress = Arc::new(Ingress {
            live: ArcSwap::from_pointee(Live { snapshot, domains }),
            intake: Arc::clone(&dispatcher),
            log: log.clone(),
            ids,
            admission: Admission::default(),
            memory: MessageMemory::new(MESSAGE_MEMORY_BYTES_MAX),
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            presented_as,
        });
        let addresses = listeners.addresses();
        dispatcher.start();
        listeners.serve(&ingress);
        tokio::spawn(report_expiries(Arc::clone(&ingress)));
        if let Some(responder) = responder {
            acme.start(responder, ingress.draining.clone());
        }
        Ok(Self { ingress, dispatcher, spool, aws, acme, challenges, log, addresses })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[(Arc<str>, SocketAddr)] {
        &self.addresses
    }

    /// The configuration in force.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.ingress.live.load().snapshot)
    }

    /// Certificates whose orders have failed are ordered now instead of after their wait: the operator has mended something.
    pub fn retry_certificates(&self) {
        self.acme.retry_now();
    }

    /// Reads the configuration again and puts it in force whole, or not at all; the log says which.
    pub async fn reload(&self, path: &Path) {
        let path = path.to_owned();
        let loaded = tokio::task::spawn_blocking(move || config::load(&path)).await;
        match loaded {
            Ok(Ok((snapshot, _warnings))) => self.put_in_force(snapshot).await,
            Ok(Err(report)) => self.refuse(&report),
            Err(error) => self.log.emit(&Event::Problem { what: "reload", detail: &error.to_string() }),
        }
    }

    async fn put_in_force(&self, snapshot: Snapshot) {
        let live = self.ingress.live.load_full();
        let previous = &live.snapshot;
        if snapshot.hash == previous.hash {
            return;
        }
        for change in fixed_changes(previous, &snapshot).into_iter().chain(self.challenges_elsewhere(&snapshot)) {
            self.log.emit(&Event::Problem { what: "reload", detail: &change });
        }
        let snapshot = Arc::new(snapshot);
        // What is known of the account's identities stays known.
        let domains = if snapshot.domains == previous.domains {
            Arc::clone(&live.domains)
        } else {
            Arc::new(AcceptedDomains::new(&snapshot.domains, Arc::clone(&self.aws), Some(observer(&self.log, "domains"))))
        };
        // Before the first handshake looks for them.
        self.acme.adopt(snapshot.acme.as_ref()).await;
        self.dispatcher.reload(Arc::clone(&snapshot));
        let hash = Arc::clone(&snapshot.hash);
        self.ingress.live.store(Arc::new(Live { snapshot, domains }));
        // Said when it is true: who has read this line and connects is judged by the new configuration.
        self.log.emit(&Event::Reloaded { config: &hash, previous: &previous.hash });
        report_expiring(&self.ingress.live.load().snapshot, &self.log);
    }

    /// What keeps the challenges of a new configuration from being answered where it says.
    fn challenges_elsewhere(&self, new: &Snapshot) -> Option<String> {
        let wanted = &new.acme.as_ref()?.listen;
        match &self.challenges {
            Some(bound) if bound == wanted => None,
            Some(_) => Some("`acme.listen` changed: this needs a restart, the old addresses stay".to_owned()),
            None => Some("`acme` was added: this needs a restart, until then no certificate is ordered".to_owned()),
        }
    }

    fn refuse(&self, report: &Report) {
        let live = self.ingress.live.load();
        let detail = report.render(config::Format::Text, false);
        self.log.emit(&Event::ReloadRefused { config: &live.snapshot.hash, mistakes: report.errors(), detail: &detail });
    }

    /// Lets sessions and attempts end, then closes everything.
    pub async fn stop(self) {
        self.log.emit(&Event::Draining { sessions: self.ingress.admission.total() });
        self.ingress.drain(DRAIN_TIMEOUT).await;
        self.dispatcher.drain(DRAIN_TIMEOUT).await;
        let spooled = self.spool.stats().await.map_or(0, |stats| stats.entries);
        self.spool.close().await;
        self.log.emit(&Event::Stopped { spooled });
    }
}

/// At the start, and then once a day: what has expired, or will soon.
async fn report_expiries<D>(ingress: Arc<Ingress<D>>) {
    let mut day = tokio::time::interval(EXPIRY_REPORT_INTERVAL);
    loop {
        tokio::select! {
            _ = day.tick() => report_expiring(&ingress.live.load().snapshot, &ingress.log),
            () = ingress.draining.cancelled() => return,
        }
    }
}

fn report_expiring(snapshot: &Snapshot, log: &Log) {
    let now = OffsetDateTime::now_utc();
    for expiry in snapshot.expiries.iter().filter(|expiry| expiry.standing(now) != Standing::Good) {
        let (expires, days_left) = (expiry.date(), expiry.days_left(now));
        log.emit(&Event::Expiring { kind: expiry.kind.word(), name: &expiry.name, file: &expiry.file, expires: &expires, days_left });
    }
}

/// What a running process cannot change, where the new configuration asks for it.
fn fixed_changes(old: &Snapshot, new: &Snapshot) -> Vec<String> {
    let mut changes = Vec::new();
    let listens = |snapshot: &Snapshot| -> Vec<(Arc<str>, Vec<SocketAddr>)> {
        snapshot.endpoints.values().map(|endpoint| (Arc::clone(&endpoint.name), endpoint.listen.clone())).collect()
    };
    if listens(old) != listens(new) {
        changes.push("listen addresses changed: this needs a restart, the old ones stay".to_owned());
    }
    if old.spool != new.spool {
        changes.push("the spool's path changed: this needs a restart, the old one stays".to_owned());
    }
    if old.hostname != new.hostname {
        changes.push("the host name changed: relays greet with the old one until a restart".to_owned());
    }
    changes
}

async fn open_spool(path: &Path, log: &Log) -> Result<Arc<LocalSpool>, SpoolError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || LocalSpool::open(&path, unix_millis)).await;
    let (spool, report) = opened.map_err(|error| SpoolError::Io(error.to_string().into()))??;
    for damage in &report.damaged {
        let detail = format!("damaged data was set aside at {}", damage.display());
        log.emit(&Event::Problem { what: "spool", detail: &detail });
    }
    Ok(Arc::new(spool))
}

/// Lets a room that must not know the log tell it of an outage.
fn observer(log: &Log, what: &'static str) -> Observer {
    let log = log.clone();
    Arc::new(move |detail: &str| log.emit(&Event::Problem { what, detail }))
}

/// Every connection is a file descriptor; the soft limit of most systems is 1024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, connections beyond the limit wait in the backlog.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Keeps the ids of two processes apart; no secret hangs on it.
#[allow(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
fn random_seed() -> u32 {
    RandomState::new().hash_one(std::process::id()) as u32
}
