//! The whole gateway, put together: what `gateway run` and `gateway demo` start, reload and stop.

mod core_dumps;
mod expiries;
mod open_files;
mod orders;
mod relay_memory;
mod reload;
mod reporting;
mod tls_sessions;
mod watched;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::acme::{Manager, Responder};
use crate::admin;
use crate::aws::Aws;
use crate::call_ahead::Caller;
use crate::config::Snapshot;
use crate::daily_reports::Clock;
use crate::dispatch::{Dispatcher, queue_millis};
use crate::dns::{Dns, DnsError};
use crate::domains::AcceptedDomains;
use crate::examination::{Examiner, Sealing};
use crate::ingress::{Admission, Ingress, Listeners, Live, LoginFailures, MessageMemory, TurnedAway, look_at_credentials};
use crate::limits::DRAIN_TIMEOUT;
use crate::message::SessionIds;
use crate::refreshed::Observer;
use crate::relay::Relays;
use crate::secrets::Secrets;
use crate::socket::{self, BindError};
use crate::spool::{LocalSpool, Spool, SpoolError};
use crate::telemetry::{Event, Log};
use crate::tls_reports;

use expiries::report_expiries;
use open_files::{raise_file_limit, within};
pub use orders::{OrderError, order};
use relay_memory::RelayMemory;

use reporting::Reporting;
use tls_sessions::TlsSessions;
use watched::House;

/// The way of mail, with the rooms that it leads through.
type Mail = Ingress<Dispatcher<LocalSpool, Relays>>;

/// A gateway that serves.
pub struct Service {
    ingress: Arc<Mail>,
    dispatcher: Arc<Dispatcher<LocalSpool, Relays>>,
    spool: Arc<LocalSpool>,
    aws: Arc<Aws>,
    acme: Manager,
    dns: Dns,
    examiner: ArcSwap<Examiner>,
    reporting: Reporting,
    /// Where challenges are answered, as the configuration said at the start.
    challenges: Option<Vec<SocketAddr>>,
    log: Log,
    addresses: Vec<(Arc<str>, SocketAddr)>,
    /// Ends the administrative server and the orders of operators, after everything else: they tell of the drain.
    admin: CancellationToken,
    /// Files that the process may open; `None`: as many as it likes.
    files: Option<u64>,
}

/// Why a gateway did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address is taken, or not ours.
    Bind(BindError),
    /// The spool cannot be opened.
    Spool(PathBuf, SpoolError),
    /// The resolver cannot be made.
    Dns(DnsError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Spool(path, error) => write!(f, "the spool at {} cannot be opened: {error}", path.display()),
            Self::Dns(error) => write!(f, "DNS cannot be asked: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Service {
    /// Opens the spool, binds the endpoints, and serves. `presented_as` is [`Ingress::presented_as`].
    pub async fn start(snapshot: Snapshot, log: Log, presented_as: HashMap<IpAddr, IpAddr>) -> Result<Self, StartError> {
        core_dumps::forbid();
        let files = raise_file_limit();
        let snapshot = Arc::new(snapshot);
        let listeners = Listeners::bind(&snapshot).map_err(StartError::Bind)?;
        let admin_listener = snapshot.admin.map(|address| socket::listen("the administrative server", address)).transpose();
        let admin_listener = admin_listener.map_err(StartError::Bind)?;
        let responder = snapshot.acme.as_ref().map(|acme| Responder::bind(&acme.listen)).transpose().map_err(StartError::Bind)?;
        let spool = open_spool(&snapshot.spool, &log).await.map_err(|error| StartError::Spool(snapshot.spool.clone(), error))?;
        let ids = Arc::new(SessionIds::new(random_seed()));
        let aws = Arc::new(Aws::default());
        let secrets = Arc::new(Secrets::new(Arc::clone(&aws), Some(observer(&log, "secret"))));
        let dns = Dns::new(&snapshot.resolver).map_err(StartError::Dns)?;
        let relays = Relays::new(Arc::clone(&snapshot.hostname), Arc::clone(&secrets), dns.clone());
        let counter = Arc::new(tls_reports::Collector::new(snapshot.tls_reports.clone(), Clock::system()));
        relays.observe_tls(Arc::new(TlsSessions { log: log.clone(), counter: Arc::clone(&counter) }));
        let call_ahead = Arc::new(Caller::new(relays.clone(), log.clone()));
        let recalled = spool.recall().await.map_err(|error| StartError::Spool(snapshot.spool.clone(), error))?;
        relays.remember_in(Arc::new(RelayMemory(Arc::clone(&spool))), recalled, log.clone());
        let sealing = Sealing::new(Arc::clone(&secrets));
        let dispatcher = Dispatcher::new(Arc::clone(&spool), relays.clone(), sealing, log.clone(), Arc::clone(&ids), Arc::clone(&snapshot));
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
        // Of verdicts alone, which need no analyzers.
        dispatcher.examine_with(Arc::new(Examiner::new(dns.clone(), BTreeMap::new(), log.clone())));
        let examiner = Arc::new(Examiner::new(dns.clone(), snapshot.analyzers.clone(), log.clone()));
        snapshot.endpoints.values().for_each(|endpoint| endpoint.rules.make_ready());
        let ingress = Arc::new(Ingress {
            live: ArcSwap::from_pointee(Live { snapshot, domains, examiner: Arc::clone(&examiner) as _ }),
            intake: Arc::clone(&dispatcher),
            log: log.clone(),
            ids,
            admission: Admission::new(limits),
            secrets,
            call_ahead,
            logins: LoginFailures::default(),
            memory: MessageMemory::new(limits.message_memory_bytes),
            turned_away: TurnedAway::default(),
            draining: CancellationToken::new(),
            sessions: TaskTracker::new(),
            presented_as,
        });
        let reporting = Reporting::start(&ingress.live.load().snapshot, &dispatcher, counter, dns.clone(), log.clone());
        let addresses = listeners.addresses();
        let admin = CancellationToken::new();
        orders::take(&ingress.live.load().snapshot.spool, &dispatcher, &log, admin.clone());
        dispatcher.start();
        listeners.serve(&ingress);
        read_credentials(&ingress);
        tokio::spawn(report_expiries(Arc::clone(&ingress)));
        if let Some(responder) = responder {
            acme.start(responder, ingress.draining.clone());
        }
        if let Some((address, listener)) = admin_listener {
            log.emit(&Event::Listening { endpoint: "(admin)", address });
            let watched = Arc::new(House { ingress: Arc::clone(&ingress), spool: Arc::clone(&spool), dns: dns.clone(), relays });
            tokio::spawn(admin::serve(listener, watched, log.clone(), admin.clone()));
        }
        let examiner = ArcSwap::new(examiner);
        Ok(Self { ingress, dispatcher, spool, aws, acme, dns, examiner, reporting, challenges, log, addresses, admin, files })
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

    /// Lets sessions and attempts end, then closes everything.
    pub async fn stop(self) {
        self.log.emit(&Event::Draining { sessions: self.ingress.admission.total() });
        self.ingress.drain(DRAIN_TIMEOUT).await;
        self.dispatcher.drain(DRAIN_TIMEOUT).await;
        self.reporting.stop().await;
        let spooled = self.spool.stats().await.map_or(0, |stats| stats.entries);
        self.spool.close().await;
        self.admin.cancel();
        self.log.emit(&Event::Stopped { spooled });
    }
}

/// Relays as a running gateway would have them, for a look at them; nothing is started.
pub fn relays_of(snapshot: &Snapshot) -> Result<Relays, DnsError> {
    let secrets = Arc::new(Secrets::new(Arc::default(), None));
    Ok(Relays::new(Arc::clone(&snapshot.hostname), secrets, Dns::new(&snapshot.resolver)?))
}

/// In the background: a source that does not answer holds up neither start nor reload.
fn read_credentials(ingress: &Arc<Mail>) {
    let ingress = Arc::clone(ingress);
    tokio::spawn(async move {
        let snapshot = Arc::clone(&ingress.live.load().snapshot);
        look_at_credentials(&ingress.secrets, &snapshot).await;
    });
}

async fn open_spool(path: &Path, log: &Log) -> Result<Arc<LocalSpool>, SpoolError> {
    let path = path.to_owned();
    let opened = tokio::task::spawn_blocking(move || LocalSpool::open(&path, queue_millis)).await;
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

/// Keeps the ids of two processes apart; no secret hangs on it.
#[allow(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
fn random_seed() -> u32 {
    RandomState::new().hash_one(std::process::id()) as u32
}
