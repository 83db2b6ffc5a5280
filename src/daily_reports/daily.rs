//! Writing down what was counted, and once a day the reports, spread over some hours so that many gateways do not send at once.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::counter::Counter;
use super::journal::{Figures, Journal, Quota};
use super::{Day, Kind, ReportsConfig, Row};
use crate::limits::{
    DAILY_REPORT_DAYS_KEPT, DAILY_REPORT_FLUSH_INTERVAL, DAILY_REPORT_RETRY_INTERVAL, DAILY_REPORT_SPREAD_SLOT, DAILY_REPORT_SPREAD_SLOTS,
};
use crate::telemetry::{Event, Log};

/// Counts, writes and sends.
#[derive(Debug)]
pub struct Daily<K: Kind> {
    counter: Arc<Counter<K::Row>>,
    kind: K,
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
#[derive(Debug)]
struct Work<R> {
    domains: HashMap<Box<str>, Figures<R>>,
    marks: HashSet<String>,
    /// When there is more to do; `None`: never.
    next: Option<u64>,
    /// Rows of domains beyond the number of reports a day.
    beyond: u64,
}

/// A report that is being sent: about a domain, on a day.
#[derive(Debug)]
pub struct Sending<'a, R> {
    pub(crate) config: &'a ReportsConfig,
    pub(crate) day: Day,
    pub(crate) domain: &'a str,
    pub(crate) figures: &'a Figures<R>,
    pub(crate) now: u64,
    journal: &'a Journal<R>,
    marks: &'a HashSet<String>,
}

impl<R: Row> Sending<'_, R> {
    /// Whether this destination has it.
    pub(crate) fn has(&self, destination: &str) -> bool {
        self.marks.contains(&format!("{} {destination}", self.domain))
    }

    /// Remembers that this destination has it.
    pub(crate) async fn given(&self, destination: &str) -> io::Result<()> {
        mark(self.journal, self.day, format!("{} {destination}", self.domain)).await
    }

    /// By which a receiver knows a repetition: the same figures have the same.
    pub(crate) fn id(&self) -> String {
        let names = format!("{} {}", self.domain, self.config.from.domain());
        format!("{}.{:08x}", self.day.begin(), crc32fast::hash(names.as_bytes()))
    }
}

impl<K: Kind> Daily<K> {
    pub(crate) fn new(kind: K, counter: Arc<Counter<K::Row>>, log: Log) -> Self {
        Self { counter, kind, log, state: Mutex::default() }
    }

    /// Begins; what past days have left is sent, if they are not too long ago. Ends with `stopping`, after writing down what was counted.
    pub fn start(kind: K, counter: Arc<Counter<K::Row>>, log: Log, stopping: CancellationToken) -> tokio::task::JoinHandle<()> {
        let reports = Self::new(kind, counter, log);
        tokio::spawn(async move {
            loop {
                reports.tick().await;
                tokio::select! {
                    () = tokio::time::sleep(DAILY_REPORT_FLUSH_INTERVAL) => {}
                    () = stopping.cancelled() => break,
                }
            }
            reports.flush().await;
        })
    }

    #[cfg(test)]
    pub(crate) fn counter(&self) -> &Arc<Counter<K::Row>> {
        &self.counter
    }

    /// Writes down what was counted and sends what is due.
    pub(crate) async fn tick(&self) {
        self.flush().await;
        if let Err(error) = self.send_due().await {
            self.report_trouble(&error).await;
        }
    }

    async fn flush(&self) {
        let pending = self.counter.take();
        let Some(config) = self.counter.config.load_full() else { return };
        if pending.rows.is_empty() && pending.dropped == 0 {
            return;
        }
        let mut quota = std::mem::take(&mut self.state.lock().await.quota);
        let journal = Journal::<K::Row>::new(&config.folder);
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
        let Some(config) = self.counter.config.load_full() else { return Ok(()) };
        let (now, today) = (self.counter.clock.now(), self.counter.clock.today());
        let journal = Journal::<K::Row>::new(&config.folder);
        let days = journal.clone();
        for day in blocking(move || days.days()).await? {
            let journal = journal.clone();
            if day.0.saturating_add(DAILY_REPORT_DAYS_KEPT) < today.0 {
                blocking(move || journal.remove(day)).await?;
            } else if day < today && self.state.lock().await.due.get(&day).is_none_or(|due| *due <= now) {
                let due = self.send_day(&config, &journal, day, now).await?;
                self.state.lock().await.due.insert(day, due);
            }
        }
        self.state.lock().await.due.retain(|day, _| day.0.saturating_add(DAILY_REPORT_DAYS_KEPT) >= today.0);
        Ok(())
    }

    /// Sends what is due of a day; when to look again.
    async fn send_day(&self, config: &ReportsConfig, journal: &Journal<K::Row>, day: Day, now: u64) -> io::Result<u64> {
        let (reader, submitter) = (journal.clone(), config.from.domain().to_owned());
        let work = blocking(move || work(&reader, day, &submitter, now)).await?;
        if work.beyond > 0 {
            self.problem(&format!("{}: {} rows are of domains beyond the reports of a day", day.begin(), work.beyond));
        }
        let mut next = work.next;
        for (domain, figures) in &work.domains {
            let sending = Sending { config, day, domain, figures, now, journal, marks: &work.marks };
            if self.kind.send(&sending).await? {
                mark(journal, day, format!("{domain} *")).await?;
            } else {
                let again = now.saturating_add(DAILY_REPORT_RETRY_INTERVAL.as_secs());
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

    async fn report_overflow(&self, dropped: u64) {
        let today = self.counter.clock.today();
        if dropped > 0 && self.state.lock().await.overflow_told.replace(today) != Some(today) {
            self.problem(&format!("{dropped} sightings are not counted: too many different rows; further ones of today are not told"));
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
        self.log.emit(&Event::Problem { what: K::NAME, detail });
    }
}

async fn mark<R: Row>(journal: &Journal<R>, day: Day, mark: String) -> io::Result<()> {
    let journal = journal.clone();
    blocking(move || journal.mark(day, &mark)).await
}

/// Reads what is to be done for a day. Only the domains that are due are read in whole.
fn work<R: Row>(journal: &Journal<R>, day: Day, submitter: &str, now: u64) -> io::Result<Work<R>> {
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
pub(crate) fn due_at(day: Day, domain: &str, submitter: &str) -> u64 {
    let slot = u64::from(crc32fast::hash(format!("{domain} {submitter}").as_bytes())) % DAILY_REPORT_SPREAD_SLOTS;
    let spread = DAILY_REPORT_SPREAD_SLOT.as_secs().saturating_mul(slot.saturating_add(1));
    day.end().saturating_add(1).saturating_add(spread)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
