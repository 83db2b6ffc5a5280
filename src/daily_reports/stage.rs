//! The world around reports, for tests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{Submit, TxtLookup};
use crate::dns::DnsError;
use crate::smtp::Address;

/// TXT records, or no answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Zone {
    pub(crate) records: Arc<BTreeMap<&'static str, &'static str>>,
    pub(crate) is_down: Arc<AtomicBool>,
}

impl Zone {
    pub(crate) fn new(records: &[(&'static str, &'static str)]) -> Self {
        Self { records: Arc::new(records.iter().copied().collect()), is_down: Arc::default() }
    }
}

impl TxtLookup for Zone {
    async fn txt(&self, name: &str) -> Result<Arc<[Box<[u8]>]>, DnsError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(DnsError::TooLate);
        }
        Ok(self.records.get(name).iter().map(|text| Box::from(text.as_bytes())).collect())
    }
}

/// What was submitted: by which relay, to whom, what.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) sent: Mutex<Vec<(String, String, Bytes)>>,
    pub(crate) refuses: AtomicBool,
}

impl Submit for Outbox {
    async fn submit(&self, rule: &'static str, relay: &str, from: &Address, to: &Address, content: Bytes) -> Result<(), String> {
        assert!(["dmarc_reports", "tls_reports"].contains(&rule), "{rule}");
        assert_eq!(from.as_str(), "reports@mx.gateway.example");
        if self.refuses.load(Ordering::Relaxed) {
            return Err("the disk is full".to_owned());
        }
        self.sent.lock().unwrap().push((relay.to_owned(), to.to_string(), content));
        Ok(())
    }
}

impl Outbox {
    pub(crate) fn to(&self) -> Vec<String> {
        self.sent.lock().unwrap().iter().map(|(_, to, _)| to.clone()).collect()
    }
}
