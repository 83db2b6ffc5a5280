//! The whole gateway, put together: what `gateway run` and `gateway demo` start, reload and stop.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::{self, Manager, Responder};
use crate::admin::{self, Health, Watched};
use crate::aws::Aws;
use crate::certificates::Standing;
use crate::config::{self, Limits, Report, Snapshot};
use crate::dispatch::{Dispatcher, unix_millis};
use crate::domains::AcceptedDomains;
use crate::ingress::{
    Admission, BindError, Ingress, Level, Listeners, Live, LoginFailures, MessageMemory, TurnedAway, look_at_credentials,
};
use crate::limits::{CONNECTION_FILES_PERCENT, DRAIN_TIMEOUT, EXPIRY_REPORT_INTERVAL};
use crate::message::SessionIds;
use crate::refreshed::Observer;
use crate::relay::Relays;
use crate::secrets::Secrets;
use crate::spool::{LocalSpool, Spool, SpoolError};
use crate::telemetry::{Event, Gauge, Log};

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
    /// Ends the administrative server, after everything else: it tells of the drain.
    admin: CancellationToken,
    /// Files that the process may open; `None`: as many as it likes.
    files: Option<u64>,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address is taken, or not ours.
    Bind(BindError),
    /// The same for the administrative server.
    Admin(SocketAddr, std::io::Error),
    /// The same for the challenges of ACME.
    Acme(acme::BindError),
    /// The spool cannot be opened.
    Spool(PathBuf, SpoolError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Admin(address, error) => write!(f, "the administrative server cannot listen on {address}: {error}"),
            Self::Acme(error) => error.fmt(f),
            Self::Spool(path, error) => write!(f, "the spool at {} cannot be opened: {error}", path.display()),
        }
    }
}

impl std::error::Error for StartError {}

impl Service {
    /// Opens the spool, binds the endpoints, and serves. `presented_as` is [`Ingress::presented_as`].
    pub async fn start(snapshot: Snapshot, log: Log, presented_as: HashMap<IpAddr, IpAddr>) -> Result<Self, StartError> {
        let files = raise_file_limit();
        let snapshot = Arc::new(snapshot);
        let listeners = Listeners::bind(&snapshot).map_err(StartError::Bind)?;
        let admin_listener = match snapshot.admin {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| StartError::Admin(address, error))?),
            None => None,
        };
        let responder = snapshot.acme.as_ref().map(|acme| Responder::bind(&acme.listen)).transpose().map_err(StartError::Acme)?;
        let spool = open_spool(&snapshot.spool, &log).await.map_err(|error| StartError::Spool(snapshot.spool.clone(), error))?;
        let ids = Arc::new(SessionIds::new(random_seed()));
        let aws = Arc::new(Aws::default());
        let secrets = Arc::new(Secrets::new(Arc::clone(&aws), Some(observer(&log, "secret"))));
        let relays = Relays::new(Arc::clone(&snapshot.hostname), Arc::clone(&secrets));
        let dispatcher = Dispatcher::new(Arc::clone(&spool), relays, log.clone(), Arc::clone(&ids), Arc::clone(&snapshot));
        let domains = Arc::new(AcceptedDomains::new(&snapshot.domains, Arc::clone(&aws), Some(observer(&log, "domains"))));
        // An account that cannot be listed yet costs 451 at RCPT, not the mail that waits in the spool.
        if let Err(error) = domains.prepare().await {
            log.emit(&Event::Problem { what: "domains", detail: &error.to_string() });
        }
        log.emit(&Event::Started { version: env!("CARGO_PKG_VERSION"), config: &snapshot.hash });
        let limits = within(files, snapshot.limits, &log);
        let challenges = snapshot.acme.as_ref().map(|acme| acme.listen.clone());
        let acme = Manager::new(log.clone());
        acme.adopt(snapshot.acme.as_ref()).await;
        let ingress = Arc::new(Ingress {
            live: ArcSwap::from_pointee(Live { snapshot, domains }),
            intake: Arc::clone(&dispatcher),
            log: log.clone(),
            ids,
            admission: Admission::new(limits),
            secrets,
            logins: LoginFailures::default(),
            memory: MessageMemory::new(limits.message_memory_bytes),
            turned_away: TurnedAway::default(),
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            presented_as,
        });
        let addresses = listeners.addresses();
        dispatcher.start();
        listeners.serve(&ingress);
        read_credentials(&ingress);
        tokio::spawn(report_expiries(Arc::clone(&ingress)));
        if let Some(responder) = responder {
            acme.start(responder, ingress.draining.clone());
        }
        let admin = CancellationToken::new();
        if let Some(listener) = admin_listener {
            if let Ok(address) = listener.local_addr() {
                log.emit(&Event::Listening { endpoint: "(admin)", address });
            }
            let watched = Arc::new(House { ingress: Arc::clone(&ingress), spool: Arc::clone(&spool) });
            tokio::spawn(admin::serve(listener, watched, log.clone(), admin.clone()));
        }
        Ok(Self { ingress, dispatcher, spool, aws, acme, challenges, log, addresses, admin, files })
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
        self.ingress.set_limits(within(self.files, snapshot.limits, &self.log));
        // Before the first handshake looks for them.
        self.acme.adopt(snapshot.acme.as_ref()).await;
        self.dispatcher.reload(Arc::clone(&snapshot));
        let hash = Arc::clone(&snapshot.hash);
        self.ingress.live.store(Arc::new(Live { snapshot, domains }));
        read_credentials(&self.ingress);
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
        self.admin.cancel();
        self.log.emit(&Event::Stopped { spooled });
    }
}

/// In the background: a source that does not answer holds up neither start nor reload.
fn read_credentials(ingress: &Arc<Ingress<Dispatcher<LocalSpool, Relays>>>) {
    let ingress = Arc::clone(ingress);
    tokio::spawn(async move {
        let snapshot = Arc::clone(&ingress.live.load().snapshot);
        look_at_credentials(&ingress.secrets, &snapshot).await;
    });
}

/// What the administrative server looks at.
struct House {
    ingress: Arc<Ingress<Dispatcher<LocalSpool, Relays>>>,
    spool: Arc<LocalSpool>,
}

impl Watched for House {
    async fn gauges(&self) -> Vec<Gauge> {
        let (admission, memory) = (&self.ingress.admission, &self.ingress.memory);
        let level = match admission.level() {
            Level::Normal => 0,
            Level::Strained => 1,
            Level::Refusing => 2,
        };
        let size = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        // A spool that does not answer is told as an empty one; the events `problem` say more.
        let spool = self.spool.stats().await.unwrap_or_default();
        [
            ("gateway_connections", "Connections of clients now.", size(admission.total())),
            ("gateway_connections_max", "Connections that there may be.", size(admission.total_max())),
            ("gateway_message_memory_bytes", "Octets of messages in memory.", size(memory.used())),
            ("gateway_message_memory_bytes_max", "Octets of messages that there may be.", size(memory.max())),
            ("gateway_pressure", "0 normal, 1 strained, 2 refusing connections.", level),
            ("gateway_spool_messages", "Messages in the spool.", spool.entries),
            ("gateway_spool_jobs", "Steps that are left to do for them.", spool.jobs),
            ("gateway_spool_bytes", "Octets that the spool takes on disk.", spool.bytes),
        ]
        .map(|(name, help, value)| Gauge { name, help, value })
        .into()
    }

    fn health(&self) -> Health {
        match self.ingress.admission.level() {
            _ if self.ingress.draining.is_cancelled() => Health::Draining,
            Level::Refusing => Health::Refusing,
            Level::Normal | Level::Strained => Health::Serving,
        }
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
    if old.admin != new.admin {
        changes.push("the administrative server's address changed: this needs a restart, the old one stays".to_owned());
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

/// The limits, with no more connections than there may be files for.
fn within(files: Option<u64>, limits: Limits, log: &Log) -> Limits {
    let most =
        files.map_or(usize::MAX, |files| usize::try_from(files.saturating_mul(CONNECTION_FILES_PERCENT) / 100).unwrap_or(usize::MAX));
    if limits.connections <= most {
        return limits;
    }
    let detail = format!(
        "the system allows {} open files, so there are {most} connections and not {}: raise the limit (LimitNOFILE= of the unit, ulimit -n)",
        files.unwrap_or_default(),
        limits.connections
    );
    log.emit(&Event::Problem { what: "accept", detail: &detail });
    Limits { connections: most, ..limits }
}

/// Every connection is a file descriptor; the soft limit of most systems is 1024. Returns what is allowed.
fn raise_file_limit() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, connections beyond the limit wait in the backlog.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    getrlimit(Resource::Nofile).current
}

/// Keeps the ids of two processes apart; no secret hangs on it.
#[allow(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
fn random_seed() -> u32 {
    RandomState::new().hash_one(std::process::id()) as u32
}
