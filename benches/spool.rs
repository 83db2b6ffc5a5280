//! What the spool takes when it is full: appends with many writers, claims with a thousand and with a million messages waiting, the list of
//! all jobs, and the start: its time and its memory for each message. `cargo bench --bench spool`
//!
//! `cargo bench --bench spool -- COUNT` takes another number of messages than a million, and `SPOOL_BENCH_FOLDER` says where the spool
//! lies instead of the folder for temporary files; each message takes about 1 KB there. The start is measured in a process of its own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gateway::message::{Content, MessageId};
use gateway::spool::{JobId, LocalSpool, NewEntry, NewJob, Spool};

/// The time at which all is due.
const NOW: u64 = 1_700_000_000_000;
const LANES: u32 = 4;
const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// Claims of which the median counts.
const CLAIMS: usize = 301;
/// Appends that are timed.
const APPENDS: u32 = 20_000;
const WRITERS: usize = 64;
/// Writers when nothing is timed.
const FILLERS: usize = 1_000;
const PAGE: usize = 1_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // Cargo itself says `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["open", path] => runtime.block_on(open(Path::new(path))),
        [] => runtime.block_on(measure(MANY)),
        [count] => runtime.block_on(measure(count.parse().expect("a number of messages"))),
        _ => panic!("one argument at most: the number of messages"),
    }
}

async fn measure(many: u32) {
    let folder = match std::env::var_os("SPOOL_BENCH_FOLDER") {
        Some(parent) => tempfile::tempdir_in(parent),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    let spool = Arc::new(LocalSpool::open(folder.path(), || NOW).expect("a spool").0);
    append(&spool, 0..FEW, FILLERS).await;
    println!("claim with {FEW} waiting: {:.0} µs", claims(&spool).await.as_secs_f64() * 1e6);
    let began = Instant::now();
    append(&spool, FEW..FEW + APPENDS, WRITERS).await;
    println!("append with {WRITERS} writers: {:.0} a second", f64::from(APPENDS) / began.elapsed().as_secs_f64());
    append(&spool, FEW + APPENDS..many.max(FEW + APPENDS), FILLERS).await;
    println!("claim with {many} waiting: {:.0} µs", claims(&spool).await.as_secs_f64() * 1e6);
    println!("on disk: {} MB", spool.stats().await.expect("figures").bytes / 1_000_000);
    let began = Instant::now();
    let jobs = list(&spool).await;
    println!("list of {jobs} jobs in pages of {PAGE}: {:.2} s", began.elapsed().as_secs_f64());
    spool.close().await;
    drop(spool);
    let status = std::process::Command::new(std::env::current_exe().expect("this program")).arg("open").arg(folder.path()).status();
    assert!(status.expect("a process").success());
}

/// What a start takes; the files are in the page cache, as they were just written.
async fn open(path: &Path) {
    let (before, began) = (resident(), Instant::now());
    let (spool, report) = LocalSpool::open(path, || NOW).expect("the spool");
    let took = began.elapsed();
    println!("open with {} messages: {:.2} s", report.entries, took.as_secs_f64());
    println!("memory: {} bytes a message", resident().saturating_sub(before) / report.entries.max(1));
    assert_eq!((report.entries, report.damaged.len()), (list(&spool).await, 0));
    println!("claim after the start: {:.0} µs", claims(&spool).await.as_secs_f64() * 1e6);
}

/// A message like those that wait: one recipient, a short text.
fn entry(number: u32) -> NewEntry {
    let state = format!("{{\"relay\":\"relay-{}\",\"recipients\":[{{\"address\":\"recipient-{number}@acme.example\"}}]}}", number % LANES);
    let mut content = Content::default();
    content.push(Bytes::from(format!("Received: from client.example\r\nSubject: {number}\r\n\r\n{}\r\n", "text ".repeat(80))));
    NewEntry {
        // Ids begin with the time.
        id: MessageId::from_u128((u128::from(NOW) << 64) | u128::from(number)),
        envelope: Bytes::from(format!("{{\"mail_from\":\"sender-{number}@partner.example\",\"client\":\"192.0.2.1\"}}")),
        content,
        jobs: vec![NewJob { lane: format!("relay-{}", number % LANES).into(), due: NOW, state: state.into() }],
    }
}

async fn append(spool: &Arc<LocalSpool>, numbers: std::ops::Range<u32>, writers: usize) {
    let next = Arc::new(AtomicU32::new(numbers.start));
    let writer = |_| {
        let (spool, next, end) = (Arc::clone(spool), Arc::clone(&next), numbers.end);
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    break;
                }
                spool.append(entry(number)).await.expect("stored");
            }
        })
    };
    for writer in (0..writers).map(writer).collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
}

/// The median time of a claim of one job; the jobs wait again afterwards.
async fn claims(spool: &LocalSpool) -> Duration {
    let (mut times, mut held) = (Vec::new(), Vec::new());
    for _ in 0..CLAIMS {
        let began = Instant::now();
        let claims = spool.claim("relay-1", NOW, 1).await.expect("a claim");
        times.push(began.elapsed());
        held.extend(claims);
    }
    assert!(!held.is_empty());
    for claim in held {
        spool.reschedule(&claim, NOW, claim.state.clone()).await.expect("back");
    }
    times.sort_unstable();
    times[times.len() / 2]
}

async fn list(spool: &LocalSpool) -> u64 {
    let (mut count, mut after) = (0, None::<JobId>);
    loop {
        let jobs = spool.jobs(after, PAGE).await.expect("jobs");
        let Some(last) = jobs.last() else { return count };
        (count, after) = (count + jobs.len() as u64, Some(last.id));
    }
}

/// Bytes of memory that this process has.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
