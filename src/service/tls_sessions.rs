//! Tells the log, and so the figures, and who reports it, of TLS with mail exchangers.

use std::fmt;
use std::sync::Arc;

use crate::relay::{TlsObserver, TlsSession};
use crate::telemetry::{Event, Log};
use crate::tls_reports::Collector;

/// Who is told by the relays.
pub(super) struct TlsSessions {
    pub(super) log: Log,
    pub(super) counter: Arc<Collector>,
}

impl fmt::Debug for TlsSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSessions")
    }
}

impl TlsObserver for TlsSessions {
    fn seen(&self, session: TlsSession) {
        self.counter.session(&session);
        let fault = session.fault.as_ref();
        self.log.emit(&Event::TlsSession {
            domain: &session.domain,
            host: &session.host,
            address: session.address,
            policy: session.policy.kind.word(),
            result: fault.map_or("success", |noted| noted.fault.word()),
            detail: fault.map(|noted| &*noted.detail),
        });
    }
}
