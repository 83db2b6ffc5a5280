//! What of certificates, CAs and CRLs has expired or will soon, told in the log.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::certificates::Standing;
use crate::config::Snapshot;
use crate::ingress::Ingress;
use crate::limits::EXPIRY_REPORT_INTERVAL;
use crate::telemetry::{Event, Log};

/// At the start, and then once a day: what has expired, or will soon.
pub(super) async fn report_expiries<D>(ingress: Arc<Ingress<D>>) {
    let mut day = tokio::time::interval(EXPIRY_REPORT_INTERVAL);
    loop {
        tokio::select! {
            _ = day.tick() => report_expiring(&ingress.live.load().snapshot, &ingress.log),
            () = ingress.draining.cancelled() => return,
        }
    }
}

/// All of it, once.
pub(super) fn report_expiring(snapshot: &Snapshot, log: &Log) {
    let now = OffsetDateTime::now_utc();
    for expiry in snapshot.expiries.iter().filter(|expiry| expiry.standing(now) != Standing::Good) {
        let (expires, days_left) = (expiry.date(), expiry.days_left(now));
        log.emit(&Event::Expiring { kind: expiry.kind.word(), name: &expiry.name, file: &expiry.file, expires: &expires, days_left });
    }
}
