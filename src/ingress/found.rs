//! What was looked up about a client and its transaction, because the policy asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::message::{Fact, Findings};

/// The findings of a connection. Most policies ask for nothing: then they take no room.
#[derive(Debug, Default)]
pub(super) struct Found(Option<Box<Findings>>);

static NOTHING: Findings =
    Findings { client_host: Fact::NotAsked, spf: None, dkim: None, dmarc: None, arc: None, analyses: BTreeMap::new() };

impl Found {
    pub(super) fn get(&self) -> &Findings {
        self.0.as_deref().unwrap_or(&NOTHING)
    }

    pub(super) fn get_mut(&mut self) -> &mut Findings {
        self.0.get_or_insert_default()
    }

    /// Another sender, or none yet. The client stays the same: its name is looked up once, unless there was no answer.
    pub(super) fn begin_transaction(&mut self) {
        let client_host = self.client_host();
        self.0 = client_host.map(|client_host| Box::new(Findings { client_host, ..NOTHING.clone() }));
    }

    /// The findings for the message that has come; for the next one it begins anew.
    pub(super) fn hand_over(&mut self) -> Findings {
        let findings = self.get().clone();
        self.begin_transaction();
        findings
    }

    fn client_host(&self) -> Option<Fact<Option<Arc<str>>>> {
        let client_host = &self.get().client_host;
        client_host.known().map(|_| client_host.clone())
    }
}
