//! DMARC reports, as long as the service runs.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Snapshot;
use crate::dispatch::Dispatcher;
use crate::dmarc_reports::{Clock, Collector, DmarcReports};
use crate::dns::Dns;
use crate::relay::Relays;
use crate::spool::LocalSpool;
use crate::telemetry::Log;

/// The task that counts and sends.
pub(super) struct Reporting {
    collector: Arc<Collector>,
    task: JoinHandle<()>,
    stopping: CancellationToken,
}

impl Reporting {
    /// Messages are counted from now on, if the configuration says so.
    pub(super) fn start(snapshot: &Snapshot, dispatcher: &Arc<Dispatcher<LocalSpool, Relays>>, dns: Dns, log: Log) -> Self {
        let stopping = CancellationToken::new();
        let config = snapshot.dmarc_reports.clone();
        let (collector, task) = DmarcReports::start(config, dns, Arc::clone(dispatcher), Clock::system(), log, stopping.clone());
        dispatcher.count_in(Arc::clone(&collector));
        Self { collector, task, stopping }
    }

    pub(super) fn reconfigure(&self, snapshot: &Snapshot) {
        self.collector.reconfigure(snapshot.dmarc_reports.clone());
    }

    /// Ends when all that was counted is written down.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        // It would only fail if the task had panicked; then there is nothing to wait for.
        let _ = self.task.await;
    }
}
