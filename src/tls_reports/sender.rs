//! Sending the report of a day to the destinations that the domain names.

use std::io;
use std::sync::Arc;

use super::compose;
use super::destinations::{Destination, destinations};
use super::https::{Posted, post};
use super::row::Row;
use crate::daily_reports::{Kind, Sending, Submit, TxtLookup};
use crate::http_client::HttpClient;
use crate::limits::DAILY_REPORT_BYTES_MAX;
use crate::telemetry::{Event, Log};

/// How TLS reports are sent.
#[derive(Debug)]
pub struct TlsReports<D, S> {
    dns: D,
    submitter: Arc<S>,
    web: HttpClient,
    log: Log,
}

impl<D, S> TlsReports<D, S> {
    /// Destinations are looked up by `dns`; reports leave by `submitter`, or are posted by `web`.
    pub fn new(dns: D, submitter: Arc<S>, web: HttpClient, log: Log) -> Self {
        Self { dns, submitter, web, log }
    }
}

impl<D: TxtLookup, S: Submit> Kind for TlsReports<D, S> {
    type Row = Row;

    const NAME: &'static str = "tls_reports";

    async fn send(&self, sending: &Sending<'_, Row>) -> io::Result<bool> {
        let (config, domain) = (sending.config, sending.domain);
        let sessions = sending.figures.rows.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let told = |to: Option<&str>, outcome: &'static str, detail: Option<&str>| {
            self.log.emit(&Event::TlsReport { domain, to, sessions, outcome, detail });
        };
        let destinations = match self.dns.txt(&format!("_smtp._tls.{domain}")).await {
            Ok(records) => destinations(&records),
            Err(error) => {
                told(None, "postponed", Some(&error.to_string()));
                return Ok(false);
            }
        };
        // Most domains want no report, which is no event.
        if destinations.is_empty() {
            return Ok(true);
        }
        let packed = compose::report(sending)?;
        let mut is_done = true;
        for destination in destinations {
            let to = destination.as_str();
            if sending.has(to) {
                continue;
            }
            let posted = match &destination {
                Destination::Https(uri) => post(&self.web, uri, packed.clone()).await,
                Destination::Mail(address) => {
                    let message = compose::message(sending, &packed, to)?;
                    if message.len() > DAILY_REPORT_BYTES_MAX {
                        Posted::Refused("the report is too large for mail".to_owned())
                    } else {
                        match self.submitter.submit(Self::NAME, &config.relay, &config.from, address, message).await {
                            Ok(()) => Posted::Taken,
                            Err(error) => Posted::Postponed(error),
                        }
                    }
                }
            };
            match posted {
                Posted::Taken => {
                    let outcome = if matches!(destination, Destination::Mail(_)) { "queued" } else { "posted" };
                    told(Some(to), outcome, None);
                    sending.given(to).await?;
                }
                Posted::Refused(reason) => {
                    told(Some(to), "refused", Some(&reason));
                    sending.given(to).await?;
                }
                Posted::Postponed(reason) => {
                    told(Some(to), "postponed", Some(&reason));
                    is_done = false;
                }
            }
        }
        Ok(is_done)
    }
}
