//! Dispatch: from a judged message to a reply, and from the spool to the next hops.
//!
//! - A positive reply to DATA is made from an [`Acceptance`], and that from a spool receipt, a next hop's reply or a plan that drops.
//! - Outcomes are on stable storage before they are forgotten; the notification of a failure is stored before the failure is.
//! - Opens no socket and reads no file itself: `relay` and `spool` do.

mod acceptance;
pub(crate) mod admit;
mod decide;
mod dmarc;
mod dsn;
mod gather;
mod inline;
mod job;
mod judge;
mod lanes;
mod operator;
mod queue;
mod report;
mod retry;
mod room;
mod srs;
mod submit;
mod take;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::blocks::reading;
use crate::config::{Endpoint, Snapshot};
use crate::dmarc_reports::Collector;
use crate::examination::{Examine, Sealing};
use crate::message::{Data, Depository, Envelope, Findings, HeaderError, MessageId, Original, SessionFacts, SessionIds, StoredError};
use crate::relay::NextHops;
use crate::smtp::Reply;
use crate::spool::{Spool, SpoolError, UnixMillis};
use crate::telemetry::Log;

pub use acceptance::Acceptance;
pub(crate) use decide::{Decision, decide};
pub use srs::Return;
pub(crate) use srs::day;

/// Everything that a reply to DATA is made from.
#[derive(Debug)]
pub struct Incoming {
    /// The message's id.
    pub id: MessageId,
    /// The configuration that it is judged by.
    pub snapshot: Arc<Snapshot>,
    /// The endpoint that took it.
    pub endpoint: Arc<Endpoint>,
    /// Who brought it.
    pub session: SessionFacts,
    /// From whom and for whom.
    pub envelope: Envelope,
    /// Those of its recipients that stand for a sender whom they lead back to.
    pub returns: Vec<Return>,
    /// Finds out what judging it needs.
    pub examiner: Arc<dyn Examine>,
    /// What was found out already, when a policy asked.
    pub findings: Findings,
    /// What stood between DATA and the final dot, decoded.
    pub data: Data,
}

/// Whoever answers for a complete message: [`Dispatcher`] in service.
pub trait Intake: Send + Sync + 'static {
    /// Judges a message and answers for it. A positive reply is a promise; see [`Acceptance`].
    fn take(self: &Arc<Self>, incoming: Incoming) -> impl Future<Output = Reply> + Send;

    /// A place for the octets of a message that is too large for memory, or the reply that refuses it.
    fn depository(&self) -> impl Future<Output = Result<Box<dyn Depository>, Reply>> + Send;

    /// What a message is answered with whose octets could not be put there.
    fn not_deposited(&self, error: &StoredError) -> Reply;

    /// Whether a message could not be stored just now, and none has been since.
    fn is_sick(&self) -> bool {
        false
    }
}

/// Takes messages and delivers them: at once, or through the spool.
#[derive(Debug)]
pub struct Dispatcher<S, N> {
    spool: Arc<S>,
    next_hops: N,
    sealing: Sealing,
    log: Log,
    ids: Arc<SessionIds>,
    snapshot: ArcSwap<Snapshot>,
    lanes: lanes::Lanes,
    dsn_rate: Mutex<dsn::Rate>,
    gathering: gather::Gathering,
    /// Who is asked whether a sender is forged, when there is something to tell that sender.
    examiner: OnceLock<Arc<dyn Examine>>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    /// Until when the spool counts as sick; 0 after it has taken a message.
    spool_sick_until: AtomicU64,
    clock: Clock,
    /// When this process began with the queue.
    started: UnixMillis,
    /// Where messages are counted for DMARC reports.
    collector: OnceLock<Arc<Collector>>,
}

impl<S: Spool, N: NextHops> Dispatcher<S, N> {
    /// A dispatcher that delivers by `snapshot`'s relays. Nothing is taken out of the spool before [`Self::start`].
    pub fn new(spool: Arc<S>, next_hops: N, sealing: Sealing, log: Log, ids: Arc<SessionIds>, snapshot: Arc<Snapshot>) -> Arc<Self> {
        Self::with_clock(spool, next_hops, sealing, log, ids, snapshot, Clock(Arc::new(queue_millis)))
    }

    fn with_clock(
        spool: Arc<S>,
        next_hops: N,
        sealing: Sealing,
        log: Log,
        ids: Arc<SessionIds>,
        snapshot: Arc<Snapshot>,
        clock: Clock,
    ) -> Arc<Self> {
        Arc::new(Self {
            spool,
            next_hops,
            sealing,
            log,
            ids,
            snapshot: ArcSwap::new(snapshot),
            lanes: lanes::Lanes::default(),
            dsn_rate: Mutex::default(),
            gathering: gather::Gathering::default(),
            examiner: OnceLock::new(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            spool_sick_until: AtomicU64::new(0),
            started: (clock.0)(),
            clock,
            collector: OnceLock::new(),
        })
    }

    /// From now on messages are counted here for DMARC reports. They leave through this dispatcher, so it is there first.
    pub fn count_in(&self, collector: Arc<Collector>) {
        // A second one would be a mistake of the start; the first stays.
        let _ = self.collector.set(collector);
    }

    /// From now on senders are told of nothing that happened to mail which failed authentication.
    pub fn examine_with(&self, examiner: Arc<dyn Examine>) {
        // A second one would be a mistake of the start; the first stays.
        let _ = self.examiner.set(examiner);
    }

    /// Begins to work through the spool.
    pub fn start(self: &Arc<Self>) {
        self.tasks.spawn(Arc::clone(self).schedule());
    }

    /// From now on, spooled messages go by this configuration's relays.
    pub fn reload(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.store(snapshot);
        // The lanes may have become wider, or a relay come back.
        self.lanes.freed().notify_one();
    }

    /// Takes nothing more out of the spool and waits for the attempts under way, at most `patience`.
    pub async fn drain(&self, patience: std::time::Duration) {
        self.stopping.cancel();
        self.tasks.close();
        // What does not end in time is claimed again after the next start.
        let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        self.next_hops.close().await;
    }

    fn now(&self) -> UnixMillis {
        (self.clock.0)()
    }
}

/// The time of day; in tests one that can be moved.
struct Clock(Arc<dyn Fn() -> UnixMillis + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// The queue's clock: the time of day when the process began, and what has passed since by a clock that nobody sets. When the time of
/// day is set while the gateway runs, no mail waits longer or is older for it.
pub(crate) fn queue_millis() -> UnixMillis {
    static START: LazyLock<(Instant, UnixMillis)> = LazyLock::new(|| (Instant::now(), unix_millis()));
    let (start, began) = &*START;
    began.saturating_add(u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// A time of day by the queue's clock.
fn queue_time(at: UnixMillis) -> UnixMillis {
    let (queue, day) = (queue_millis(), unix_millis());
    // Nobody set the time of day by less than a second: one clock was read after the other.
    if queue.abs_diff(day) < 1000 { at } else { at.saturating_add(queue).saturating_sub(day) }
}

/// The message of an entry that was read back, with the index of its header.
async fn read_header(data: Data) -> Result<Original, SpoolError> {
    let read = |data| match Original::of(data) {
        Err(HeaderError::Unread(error)) => Err(error),
        read => Ok(read.map_err(|error| SpoolError::Corrupt(error.to_string().into()))),
    };
    let read = if data.is_stored() { reading(move || read(data)).await } else { read(data) };
    read.unwrap_or_else(|error| Err(SpoolError::Io(error.to_string().into())))
}

/// Milliseconds since the epoch.
pub(crate) fn unix_millis() -> UnixMillis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
