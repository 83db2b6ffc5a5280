//! A changed configuration: in force whole or not at all, and what a running process cannot change is said.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::expiries::report_expiring;
use super::open_files::within;
use super::{Service, observer, read_credentials};
use crate::config::{self, Report, Snapshot};
use crate::domains::AcceptedDomains;
use crate::ingress::Live;
use crate::telemetry::Event;

impl Service {
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
        if let Err(error) = self.dns.reconfigure(&snapshot.resolver) {
            self.log.emit(&Event::Problem { what: "reload", detail: &format!("DNS is asked as before: {error}") });
        }
        self.ingress.set_limits(within(self.files, snapshot.limits, &self.log));
        // Before the first handshake looks for them.
        self.acme.adopt(snapshot.acme.as_ref()).await;
        self.dispatcher.reload(Arc::clone(&snapshot));
        self.reporting.reconfigure(&snapshot);
        let hash = Arc::clone(&snapshot.hash);
        let examiner = Arc::new(self.examiner.load().renewed(snapshot.analyzers.clone()));
        self.examiner.store(Arc::clone(&examiner));
        if snapshot.relays != previous.relays {
            self.ingress.call_ahead.forget();
        }
        snapshot.endpoints.values().for_each(|endpoint| endpoint.rules.make_ready());
        self.ingress.live.store(Arc::new(Live { snapshot, domains, examiner }));
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
