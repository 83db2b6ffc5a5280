//! Writing down what was counted, and once a day the reports, spread over some hours so that many gateways do not send at once.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::collector::Collector;
use super::compose;
use super::destinations::{Destination, accepts, destinations};
use super::journal::{Figures, Journal, Quota};
use super::{Clock, Day, DmarcReportsConfig, Submit, TxtLookup};
use crate::limits::{
    DMARC_REPORT_DAYS_KEPT, DMARC_REPORT_FLUSH_INTERVAL, DMARC_REPORT_RETRY_INTERVAL, DMARC_REPORT_SPREAD_SLOT, DMARC_REPORT_SPREAD_SLOTS,
};
use crate::telemetry::{Event, Log};

/// Counts, writes and sends.
#[derive(Debug)]
pub struct DmarcReports<D, S> {
    collector: Arc<Collector>,
    dns: D,
    submitter: Arc<S>,
    log: Log,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    quota: Quota,
    /// When a day is looked at again.
    due: HashMap<Day, u64>,
    /// The last trouble, which is told once.
    trouble: String,
    /// The day of which it was told that rows were lost.
    overflow_told: Option<Day>,
}

/// What is to be sent now.
#[derive(Debug, Default)]
struct Work {
    domains: HashMap<Box<str>, Figures>,
    marks: HashSet<String>,
    /// When there is more to do; `None`: never.
    next: Option<u64>,
    /// Rows of domains beyond the number of reports a day.
    beyond: u64,
}

impl<D: TxtLookup, S: Submit> DmarcReports<D, S> {
    /// Begins; what past days have left is sent, if they are not too long ago. Ends with `stopping`, after writing down what was counted.
    pub fn start(
        config: Option<Arc<DmarcReportsConfig>>,
        dns: D,
        submitter: Arc<S>,
        clock: Clock,
        log: Log,
        stopping: CancellationToken,
    ) -> (Arc<Collector>, tokio::task::JoinHandle<()>) {
        let reports = Self::new(config, dns, submitter, clock, log);
        let collector = Arc::clone(&reports.collector);
        let task = tokio::spawn(async move {
            loop {
                reports.tick().await;
                tokio::select! {
                    () = tokio::time::sleep(DMARC_REPORT_FLUSH_INTERVAL) => {}
                    () = stopping.cancelled() => break,
                }
            }
            reports.flush().await;
        });
        (collector, task)
    }

    pub(super) fn new(config: Option<Arc<DmarcReportsConfig>>, dns: D, submitter: Arc<S>, clock: Clock, log: Log) -> Self {
        Self { collector: Arc::new(Collector::new(config, clock)), dns, submitter, log, state: Mutex::default() }
    }

    #[cfg(test)]
    pub(super) fn collector(&self) -> &Arc<Collector> {
        &self.collector
    }

    /// Writes down what was counted and sends what is due.
    pub(super) async fn tick(&self) {
        self.flush().await;
        if let Err(error) = self.send_due().await {
            self.report_trouble(&error).await;
        }
    }

    async fn flush(&self) {
        let pending = self.collector.take();
        let Some(config) = self.collector.config.load_full() else { return };
        if pending.rows.is_empty() && pending.dropped == 0 {
            return;
        }
        let mut quota = std::mem::take(&mut self.state.lock().await.quota);
        let journal = Journal::new(&config.folder);
        let written = blocking(move || {
            let dropped = journal.append(pending, &mut quota);
            Ok((dropped, quota))
        });
        match written.await {
            Ok((dropped, quota)) => {
                self.state.lock().await.quota = quota;
                match dropped {
                    Ok(dropped) => self.report_overflow(dropped).await,
                    Err(error) => self.report_trouble(&error).await,
                }
            }
            Err(error) => self.report_trouble(&error).await,
        }
    }

    async fn send_due(&self) -> io::Result<()> {
        let Some(config) = self.collector.config.load_full() else { return Ok(()) };
        let (now, today) = (self.collector.clock.now(), self.collector.clock.today());
        let journal = Journal::new(&config.folder);
        let days = journal.clone();
        for day in blocking(move || days.days()).await? {
            let journal = journal.clone();
            if day.0.saturating_add(DMARC_REPORT_DAYS_KEPT) < today.0 {
                blocking(move || journal.remove(day)).await?;
            } else if day < today && self.state.lock().await.due.get(&day).is_none_or(|due| *due <= now) {
                let due = self.send_day(&config, &journal, day, now).await?;
                self.state.lock().await.due.insert(day, due);
            }
        }
        self.state.lock().await.due.retain(|day, _| day.0.saturating_add(DMARC_REPORT_DAYS_KEPT) >= today.0);
        Ok(())
    }

    /// Sends what is due of a day; when to look again.
    async fn send_day(&self, config: &DmarcReportsConfig, journal: &Journal, day: Day, now: u64) -> io::Result<u64> {
        let (reader, submitter) = (journal.clone(), config.from.domain().to_owned());
        let work = blocking(move || work(&reader, day, &submitter, now)).await?;
        if work.beyond > 0 {
            self.problem(&format!("{}: {} rows are of domains beyond the reports of a day", day.begin(), work.beyond));
        }
        let mut next = work.next;
        for (domain, figures) in &work.domains {
            if self.send(config, journal, day, domain, figures, &work.marks).await? {
                mark(journal, day, format!("{domain} *")).await?;
            } else {
                let again = now.saturating_add(DMARC_REPORT_RETRY_INTERVAL.as_secs());
                next = Some(next.map_or(again, |next| next.min(again)));
            }
        }
        match next {
            Some(next) => Ok(next),
            None => {
                let journal = journal.clone();
                blocking(move || journal.remove(day)).await?;
                Ok(u64::MAX)
            }
        }
    }

    /// Sends one report to all its destinations; whether nothing is left to do.
    async fn send(
        &self,
        config: &DmarcReportsConfig,
        journal: &Journal,
        day: Day,
        domain: &str,
        figures: &Figures,
        marks: &HashSet<String>,
    ) -> io::Result<bool> {
        let records = figures.rows.len();
        let Ok(record) = Dmarc::parse(figures.record.as_bytes()) else {
            self.told(domain, None, records, "unreadable_record", None);
            return Ok(true);
        };
        let destinations = destinations(&record);
        if destinations.is_empty() {
            self.told(domain, None, records, "no_destination", None);
        }
        let report = compose::report(config, day, domain, &record, figures);
        let mut is_done = true;
        for Destination { address, bytes_max } in destinations {
            let done = format!("{domain} {address}");
            if marks.contains(&done) {
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
            let message = compose::message(config, &report, address.as_str(), self.collector.clock.now())?;
            if message.len() > bytes_max {
                self.told(domain, Some(address.as_str()), records, "too_large", None);
                continue;
            }
            match self.submitter.submit(&config.relay, &config.from, &address, message).await {
                Ok(()) => {
                    self.told(domain, Some(address.as_str()), records, "queued", None);
                    mark(journal, day, done).await?;
                }
                Err(error) => {
                    self.told(domain, Some(address.as_str()), records, "postponed", Some(&error));
                    is_done = false;
                }
            }
        }
        Ok(is_done)
    }

    fn told(&self, domain: &str, to: Option<&str>, records: usize, outcome: &'static str, detail: Option<&str>) {
        self.log.emit(&Event::DmarcReport { domain, to, records, outcome, detail });
    }

    async fn report_overflow(&self, dropped: u64) {
        let today = self.collector.clock.today();
        if dropped > 0 && self.state.lock().await.overflow_told.replace(today) != Some(today) {
            self.problem(&format!("{dropped} messages are not counted: too many different rows; further ones of today are not told"));
        }
    }

    async fn report_trouble(&self, error: &io::Error) {
        let text = error.to_string();
        let is_news = std::mem::replace(&mut self.state.lock().await.trouble, text.clone()) != text;
        if is_news {
            self.problem(&text);
        }
    }

    fn problem(&self, detail: &str) {
        self.log.emit(&Event::Problem { what: "dmarc_reports", detail });
    }
}

async fn mark(journal: &Journal, day: Day, mark: String) -> io::Result<()> {
    let journal = journal.clone();
    blocking(move || journal.mark(day, &mark)).await
}

/// Reads what is to be done for a day. Only the domains that are due are read in whole.
fn work(journal: &Journal, day: Day, submitter: &str, now: u64) -> io::Result<Work> {
    let marks = journal.marks(day)?;
    let (domains, beyond) = journal.domains(day)?;
    let mut due = HashSet::new();
    let mut next = None::<u64>;
    for domain in domains.into_iter().filter(|domain| !marks.contains(&format!("{domain} *"))) {
        let at = due_at(day, &domain, submitter);
        if at <= now {
            due.insert(domain);
        } else {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    }
    let domains = if due.is_empty() { HashMap::new() } else { journal.figures(day, &due)? };
    Ok(Work { domains, marks, next, beyond: if due.is_empty() { 0 } else { beyond } })
}

/// In slots after midnight, by domain and gateway.
pub(super) fn due_at(day: Day, domain: &str, submitter: &str) -> u64 {
    let slot = u64::from(crc32fast::hash(format!("{domain} {submitter}").as_bytes())) % DMARC_REPORT_SPREAD_SLOTS;
    let spread = DMARC_REPORT_SPREAD_SLOT.as_secs().saturating_mul(slot.saturating_add(1));
    day.end().saturating_add(1).saturating_add(spread)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
