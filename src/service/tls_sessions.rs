//! Tells the log, and so the figures, of TLS with mail exchangers.

use std::fmt;

use crate::relay::{TlsObserver, TlsSession};
use crate::telemetry::{Event, Log};

/// Who is told by the relays.
pub(super) struct TlsSessions(pub(super) Log);

impl fmt::Debug for TlsSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsSessions")
    }
}

impl TlsObserver for TlsSessions {
    fn seen(&self, session: TlsSession) {
        let fault = session.fault.as_ref();
        self.0.emit(&Event::TlsSession {
            domain: &session.domain,
            host: &session.host,
            address: session.address,
            policy: session.policy.kind.word(),
            result: fault.map_or("success", |noted| noted.fault.word()),
            detail: fault.map(|noted| &*noted.detail),
        });
    }
}
