//! Sending the report of a day to the destinations that a record names.

use std::io;
use std::sync::Arc;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;

use super::compose;
use super::destinations::{Destination, accepts, destinations};
use super::row::Row;
use crate::daily_reports::{Kind, Sending, Submit, TxtLookup};
use crate::telemetry::{Event, Log};

/// How DMARC reports are sent.
#[derive(Debug)]
pub struct DmarcReports<D, S> {
    dns: D,
    submitter: Arc<S>,
    log: Log,
}

impl<D, S> DmarcReports<D, S> {
    /// Destinations are looked up by `dns`, reports leave by `submitter`.
    pub fn new(dns: D, submitter: Arc<S>, log: Log) -> Self {
        Self { dns, submitter, log }
    }

    fn told(&self, domain: &str, to: Option<&str>, records: usize, outcome: &'static str, detail: Option<&str>) {
        self.log.emit(&Event::DmarcReport { domain, to, records, outcome, detail });
    }
}

impl<D: TxtLookup, S: Submit> Kind for DmarcReports<D, S> {
    type Row = Row;

    const NAME: &'static str = "dmarc_reports";

    async fn send(&self, sending: &Sending<'_, Row>) -> io::Result<bool> {
        let (config, domain, figures) = (sending.config, sending.domain, sending.figures);
        let records = figures.rows.len();
        let Ok(record) = Dmarc::parse(figures.latest.record.as_bytes()) else {
            self.told(domain, None, records, "unreadable_record", None);
            return Ok(true);
        };
        let destinations = destinations(&record);
        if destinations.is_empty() {
            self.told(domain, None, records, "no_destination", None);
        }
        let report = compose::report(sending, &record);
        let mut is_done = true;
        for Destination { address, bytes_max } in destinations {
            if sending.has(address.as_str()) {
                continue;
            }
            match accepts(&self.dns, domain, &record, address.domain()).await {
                Ok(true) => {}
                Ok(false) => {
                    self.told(domain, Some(address.as_str()), records, "not_wanted", None);
                    continue;
                }
                Err(error) => {
                    self.told(domain, Some(address.as_str()), records, "postponed", Some(&error.to_string()));
                    is_done = false;
                    continue;
                }
            }
            let message = compose::message(config, &report, address.as_str(), sending.now)?;
            if message.len() > bytes_max {
                self.told(domain, Some(address.as_str()), records, "too_large", None);
                continue;
            }
            match self.submitter.submit(Self::NAME, &config.relay, &config.from, &address, message).await {
                Ok(()) => {
                    self.told(domain, Some(address.as_str()), records, "queued", None);
                    sending.given(address.as_str()).await?;
                }
                Err(error) => {
                    self.told(domain, Some(address.as_str()), records, "postponed", Some(&error));
                    is_done = false;
                }
            }
        }
        Ok(is_done)
    }
}
