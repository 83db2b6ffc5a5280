//! Daily reports, as long as the service runs.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Snapshot;
use crate::daily_reports::{Clock, Daily};
use crate::dispatch::Dispatcher;
use crate::dmarc_reports::{self, DmarcReports};
use crate::dns::Dns;
use crate::limits::DAILY_REPORT_STOP_TIMEOUT;
use crate::relay::Relays;
use crate::spool::LocalSpool;
use crate::telemetry::Log;
use crate::tls_reports::{self, TlsReports};

/// The tasks that count and send.
pub(super) struct Reporting {
    dmarc: Arc<dmarc_reports::Collector>,
    tls: Arc<tls_reports::Collector>,
    tasks: [JoinHandle<()>; 2],
    stopping: CancellationToken,
}

impl Reporting {
    /// Messages are counted from now on, if the configuration says so; `tls` is where the relays count.
    pub(super) fn start(
        snapshot: &Snapshot,
        dispatcher: &Arc<Dispatcher<LocalSpool, Relays>>,
        tls: Arc<tls_reports::Collector>,
        dns: Dns,
        log: Log,
    ) -> Self {
        let stopping = CancellationToken::new();
        let dmarc = Arc::new(dmarc_reports::Collector::new(snapshot.dmarc_reports.clone(), Clock::system()));
        let about_mail = DmarcReports::new(dns.clone(), Arc::clone(dispatcher), log.clone());
        let about_tls = TlsReports::new(dns, Arc::clone(dispatcher), tls_reports::web(), log.clone());
        let tasks = [
            Daily::start(about_mail, Arc::clone(&dmarc), log.clone(), stopping.clone()),
            Daily::start(about_tls, Arc::clone(&tls), log, stopping.clone()),
        ];
        dispatcher.count_in(Arc::clone(&dmarc));
        Self { dmarc, tls, tasks, stopping }
    }

    pub(super) fn reconfigure(&self, snapshot: &Snapshot) {
        self.dmarc.reconfigure(snapshot.dmarc_reports.clone());
        self.tls.reconfigure(snapshot.tls_reports.clone());
    }

    /// Ends when all that was counted is written down, or when a report that is on its way to a slow server takes too long: then what was
    /// counted since it was begun is lost.
    pub(super) async fn stop(self) {
        self.stopping.cancel();
        let all = async {
            for task in self.tasks {
                // It would only fail if the task had panicked; then there is nothing to wait for.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(DAILY_REPORT_STOP_TIMEOUT, all).await;
    }
}
