//! The days' figures on disk: a file of rows and a file of what was sent, for each day. Everything here blocks.
//!
//! Both files only grow, a line at a time. What a crash has torn is no line, and the next write begins a new one.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use time::{Date, Month, OffsetDateTime};

use super::counter::Pending;
use super::{Day, Row};
use crate::limits::{DAILY_REPORT_DAY_BYTES_MAX, DAILY_REPORT_LINE_BYTES_MAX, DAILY_REPORT_ROWS_PER_DOMAIN_MAX, DAILY_REPORTS_PER_DAY_MAX};

const ROWS: &str = "rows";
const SENT: &str = "sent";

/// The folder.
#[derive(Debug)]
pub(crate) struct Journal<R> {
    folder: PathBuf,
    rows: PhantomData<fn() -> R>,
}

impl<R> Clone for Journal<R> {
    fn clone(&self) -> Self {
        Self { folder: self.folder.clone(), rows: PhantomData }
    }
}

/// How many rows were written for a domain on a day, so that no domain takes the room of all.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    rows: HashMap<(Day, Box<str>), usize>,
}

/// The figures of one domain and day.
#[derive(Debug)]
pub(crate) struct Figures<R> {
    /// The row that was written last.
    pub(crate) latest: R,
    /// The rows, and how often each was seen.
    pub(crate) rows: HashMap<R, u64>,
    /// What was seen of rows for which there was no room.
    pub(crate) omitted: u64,
}

impl<R: Row> Journal<R> {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), rows: PhantomData }
    }

    /// Writes rows down; returns the number of sightings that there was no room for.
    pub(crate) fn append(&self, pending: Pending<R>, quota: &mut Quota) -> io::Result<u64> {
        let mut dropped = pending.dropped;
        let mut lines: HashMap<Day, Vec<u8>> = HashMap::new();
        // Yesterday's rows are over.
        let newest = pending.rows.keys().map(|(day, _)| day.0).max().unwrap_or_default();
        quota.rows.retain(|(day, _), _| day.0.saturating_add(1) >= newest);
        for ((day, row), count) in pending.rows {
            if quota.admit(day, row.domain())
                && let Ok(line) = serde_json::to_vec(&(count, &row))
                && line.len() < DAILY_REPORT_LINE_BYTES_MAX
            {
                let text = lines.entry(day).or_default();
                text.extend_from_slice(&line);
                text.push(b'\n');
            } else {
                dropped = dropped.saturating_add(count);
            }
        }
        for (day, text) in lines {
            let mut file = self.open(day, ROWS)?;
            if file.metadata()?.len().saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX)) > DAILY_REPORT_DAY_BYTES_MAX {
                dropped = dropped.saturating_add(u64::try_from(memchr::memchr_iter(b'\n', &text).count()).unwrap_or(u64::MAX));
                continue;
            }
            write_line(&mut file, &text)?;
        }
        Ok(dropped)
    }

    /// The days that have rows, the oldest first.
    pub(crate) fn days(&self) -> io::Result<Vec<Day>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut days: Vec<Day> = entries.flatten().filter_map(|entry| day_of(entry.file_name().to_str()?)).collect();
        days.sort_unstable();
        days.dedup();
        Ok(days)
    }

    /// The domains of a day, as many as get a report, and how many more there are.
    pub(crate) fn domains(&self, day: Day) -> io::Result<(HashSet<Box<str>>, u64)> {
        let (mut domains, mut more) = (HashSet::new(), 0_u64);
        self.rows(day, |_, row| {
            if domains.len() < DAILY_REPORTS_PER_DAY_MAX {
                domains.insert(row.domain().into());
            } else if !domains.contains(row.domain()) {
                more = more.saturating_add(1);
            }
        })?;
        Ok((domains, more))
    }

    /// The figures of these domains.
    pub(crate) fn figures(&self, day: Day, domains: &HashSet<Box<str>>) -> io::Result<HashMap<Box<str>, Figures<R>>> {
        let mut all: HashMap<Box<str>, Figures<R>> = HashMap::new();
        self.rows(day, |count, row| {
            if !domains.contains(row.domain()) {
                return;
            }
            let fresh = || Figures { latest: row.clone(), rows: HashMap::new(), omitted: 0 };
            let figures = all.entry(row.domain().into()).or_insert_with(fresh);
            figures.latest.clone_from(&row);
            if let Some(sum) = figures.rows.get_mut(&row) {
                *sum = sum.saturating_add(count);
            } else if figures.rows.len() < DAILY_REPORT_ROWS_PER_DOMAIN_MAX {
                figures.rows.insert(row, count);
            } else {
                figures.omitted = figures.omitted.saturating_add(count);
            }
        })?;
        Ok(all)
    }

    /// Remembers that something is done.
    pub(crate) fn mark(&self, day: Day, mark: &str) -> io::Result<()> {
        write_line(&mut self.open(day, SENT)?, format!("{mark}\n").as_bytes())
    }

    /// What is done. A torn line is none.
    pub(crate) fn marks(&self, day: Day) -> io::Result<HashSet<String>> {
        let mut marks = HashSet::new();
        self.lines(day, SENT, |line| {
            marks.extend(std::str::from_utf8(line).ok().map(str::to_owned));
        })?;
        Ok(marks)
    }

    /// Forgets a day.
    pub(crate) fn remove(&self, day: Day) -> io::Result<()> {
        for kind in [ROWS, SENT] {
            match fs::remove_file(self.path(day, kind)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn rows(&self, day: Day, mut found: impl FnMut(u64, R)) -> io::Result<()> {
        self.lines(day, ROWS, |line| {
            if let Ok((count, row)) = serde_json::from_slice(line) {
                found(count, row);
            }
        })
    }

    fn lines(&self, day: Day, kind: &str, mut found: impl FnMut(&[u8])) -> io::Result<()> {
        let file = match File::open(self.path(day, kind)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        let most = u64::try_from(DAILY_REPORT_LINE_BYTES_MAX).unwrap_or(u64::MAX);
        let mut reader = BufReader::new(file.take(DAILY_REPORT_DAY_BYTES_MAX.saturating_mul(2)));
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.by_ref().take(most).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if let Some(text) = line.strip_suffix(b"\n").filter(|text| !text.is_empty()) {
                found(text);
            }
        }
    }

    fn open(&self, day: Day, kind: &str) -> io::Result<File> {
        if let Some(parent) = self.folder.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(self.path(day, kind))
    }

    fn path(&self, day: Day, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", date(day)))
    }
}

impl Quota {
    fn admit(&mut self, day: Day, domain: &str) -> bool {
        if let Some(rows) = self.rows.get_mut(&(day, Box::from(domain))) {
            *rows = rows.saturating_add(1);
            return *rows <= DAILY_REPORT_ROWS_PER_DOMAIN_MAX;
        }
        // A day with more domains than get a report needs no more of them.
        let has_room = self.rows.len() < DAILY_REPORTS_PER_DAY_MAX.saturating_mul(2);
        if has_room {
            self.rows.insert((day, domain.into()), 1);
        }
        has_room
    }
}

/// The first line end closes what a crash may have left open.
fn write_line(file: &mut File, text: &[u8]) -> io::Result<()> {
    file.write_all(&[b"\n", text].concat())?;
    file.sync_data()
}

fn date(day: Day) -> Date {
    let seconds = i64::try_from(day.begin()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_or(Date::MIN, OffsetDateTime::date)
}

/// `2026-11-21.rows`.
fn day_of(name: &str) -> Option<Day> {
    let (stem, kind) = name.split_once('.')?;
    let mut parts = stem.split('-');
    let (year, month, day) = (parts.next()?.parse().ok()?, parts.next()?.parse::<u8>().ok()?, parts.next()?.parse().ok()?);
    let date = Date::from_calendar_date(year, Month::try_from(month).ok()?, day).ok()?;
    let seconds = u64::try_from(date.midnight().assume_utc().unix_timestamp()).ok()?;
    (kind == ROWS || kind == SENT).then_some(Day(seconds / super::DAY_SECONDS))
}
