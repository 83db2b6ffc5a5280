//! Damage, torn tails, strangers in the folder, a full disk, and what is given back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::super::super::conformance::{NOW, entry, id};
use super::super::super::{Instruction, Spool, SpoolError};
use super::super::io::Disk;
use super::super::{LocalSpool, OpenReport, Sizes};
use super::faults::SickDisk;
use super::{SMALL, open};
use crate::message::Content;

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder.join("segments")).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Stores entries 1 to 3 in one segment and returns its bytes.
async fn three(folder: &Path) -> (PathBuf, Vec<u8>) {
    let (spool, _) = open(folder, Disk::default());
    for number in 1..=3 {
        spool.append(entry(number, &["a"])).await.unwrap();
    }
    drop(spool);
    let path = segments(folder).remove(0);
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

async fn claimable(spool: &LocalSpool) -> Vec<u128> {
    let claims = spool.claim("a", u64::MAX, 99).await.unwrap();
    claims.iter().map(|claim| claim.id.entry.to_u128() & 0xff).collect()
}

fn find(bytes: &[u8], text: &str) -> usize {
    memchr::memmem::find(bytes, text.as_bytes()).unwrap()
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = three(folder.path()).await;
    let third = memchr::memmem::rfind(&bytes, &bytes[16..24]).unwrap();
    for length in (third..bytes.len()).step_by(7) {
        for other in segments(folder.path()) {
            std::fs::remove_file(other).unwrap();
        }
        std::fs::write(&path, &bytes[..length]).unwrap();
        let (spool, report) = open(folder.path(), Disk::default());
        assert_eq!((report.entries, report.torn_bytes), (2, (length - third) as u64));
        assert_eq!(report.damaged, Vec::<PathBuf>::new());
        assert_eq!(claimable(&spool).await, [1, 2]);
        // The place can be written to again, and nothing of the tail is left.
        spool.append(entry(4, &["a"])).await.unwrap();
        drop(spool);
        let (spool, report) = open(folder.path(), Disk::default());
        assert_eq!((report.entries, report.torn_bytes), (3, 0));
        assert_eq!(claimable(&spool).await, [1, 2, 4]);
    }
}

#[tokio::test]
async fn a_damaged_record_is_set_aside_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut bytes) = three(folder.path()).await;
    let (start, end) = (
        memchr::memmem::find_iter(&bytes, &bytes[16..24]).nth(2).unwrap(),
        memchr::memmem::find_iter(&bytes, &bytes[16..24]).nth(3).unwrap(),
    );
    let place = find(&bytes, "envelope 2");
    bytes[place] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!(report.entries, 2);
    assert_eq!(report.damaged.len(), 1);
    assert_eq!(std::fs::read(&report.damaged[0]).unwrap(), &bytes[start..end]);
    assert_eq!(claimable(&spool).await, [1, 3]);
}

#[tokio::test]
async fn a_damaged_header_costs_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let (path, mut bytes) = three(folder.path()).await;
    bytes[3] ^= 0x40;
    std::fs::write(&path, &bytes).unwrap();
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!((report.entries, report.damaged.len()), (3, 1));
    assert_eq!(claimable(&spool).await, [1, 2, 3]);
}

#[tokio::test]
async fn damage_found_while_running_is_set_aside_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    let mut long = entry(1, &["a", "b"]);
    long.jobs[0].state = Bytes::from(vec![b'L'; 100]);
    spool.append(long).await.unwrap();
    let path = segments(folder.path()).remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"l", find(&bytes, "LLLL") as u64).unwrap();
    let Err(SpoolError::Corrupt(place)) = spool.read(id(1)).await else { panic!("the damage went unnoticed") };
    assert_eq!(std::fs::read(&*place).unwrap().len(), bytes.len() - 32);
    assert!(matches!(spool.claim("a", NOW, 1).await, Err(SpoolError::Corrupt(_))));
    assert_eq!(spool.damaged(), 2);
    assert!(spool.claim("a", NOW, 1).await.unwrap().is_empty(), "the job does not block its lane");
    assert_eq!(spool.claim("b", NOW, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn mail_cannot_forge_records() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = three(folder.path()).await;
    std::fs::remove_file(&path).unwrap();
    // A message that carries a whole segment, and then its own record is damaged.
    let (spool, _) = LocalSpool::open_on(Disk::default(), folder.path(), Sizes::default(), || NOW).unwrap();
    for number in [8, 9] {
        let mut carrier = entry(number, &["a"]);
        carrier.content = Content::from(Bytes::from(bytes.clone()));
        spool.append(carrier).await.unwrap();
    }
    drop(spool);
    let path = segments(folder.path()).remove(0);
    let mut carrying = std::fs::read(&path).unwrap();
    let place = find(&carrying, "envelope 8");
    carrying[place] ^= 1;
    std::fs::write(&path, &carrying).unwrap();
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!(report.damaged.len(), 1);
    assert_eq!(claimable(&spool).await, [9]);
}

#[tokio::test]
async fn a_later_format_and_a_second_process_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bytes) = three(folder.path()).await;
    let (spool, _) = open(folder.path(), Disk::default());
    let Err(SpoolError::Io(text)) = LocalSpool::open(folder.path(), || NOW) else { panic!("opened twice") };
    assert!(text.contains("another process"), "{text}");
    spool.close().await;
    let (later, _) = open(folder.path(), Disk::default());
    drop((spool, later));
    let mut newer = bytes[..32].to_vec();
    newer[8] = 9;
    let crc = crc32fast::hash(&newer[..28]).to_le_bytes();
    newer[28..].copy_from_slice(&crc);
    std::fs::write(&path, &newer).unwrap();
    let Err(SpoolError::Io(text)) = LocalSpool::open(folder.path(), || NOW) else { panic!("a later format was opened") };
    assert!(text.contains("version 9"), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), newer, "and left alone");
}

#[tokio::test]
async fn orphans_are_removed_and_missing_bodies_reported() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    for number in [1, 2] {
        let mut large = entry(number, &["a"]);
        large.content = Content::from(Bytes::from(vec![b'x'; 2000]));
        spool.append(large).await.unwrap();
    }
    drop(spool);
    let bodies = folder.path().join("bodies");
    std::fs::rename(bodies.join(id(1).to_string()), bodies.join(id(77).to_string())).unwrap();
    std::fs::write(bodies.join("README"), "not ours").unwrap();
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!(
        report,
        OpenReport { entries: 2, jobs: 2, segments: 1, damaged: vec![bodies.join(id(1).to_string())], orphans: 1, torn_bytes: 0 }
    );
    assert!(matches!(spool.read(id(1)).await, Err(SpoolError::Corrupt(_))));
    for claim in spool.claim("a", NOW, 9).await.unwrap() {
        spool.finish(&claim).await.unwrap();
    }
    spool.close().await;
    let left: Vec<_> = std::fs::read_dir(&bodies).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["README"]);
}

#[tokio::test]
async fn a_full_disk_refuses_mail_and_still_takes_outcomes() {
    let folder = tempfile::tempdir().unwrap();
    let disk = SickDisk::new(1, None);
    let sizes = Sizes { free_bytes_min: 1000, ..SMALL };
    let (spool, _) = LocalSpool::open_on(disk.disk(), folder.path(), sizes, || NOW).unwrap();
    let (_, claims) = spool.append_claimed(entry(1, &["a", "b"])).await.unwrap();
    disk.free_bytes.store(999, Ordering::Relaxed);
    assert_eq!(spool.append(entry(2, &["a"])).await.unwrap_err(), SpoolError::Full);
    let mut large = entry(3, &["a"]);
    large.content = Content::from(Bytes::from(vec![b'x'; 2000]));
    assert_eq!(spool.append(large.clone()).await.unwrap_err(), SpoolError::Full);
    spool.finish(&claims[0]).await.unwrap();
    spool.reschedule(&claims[1], NOW, "later".into()).await.unwrap();
    // Neither an operator nor a limit's count waits for space.
    spool.instruct(claims[1].id, Instruction::Hold).await.unwrap();
    spool.remember("count", Some("7".into())).await.unwrap();
    disk.free_bytes.store(1000, Ordering::Relaxed);
    spool.append(large).await.unwrap();
}

#[tokio::test]
async fn garbage_is_given_back_while_stragglers_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    let mut straggler = entry(1, &["slow", "slow"]);
    straggler.jobs[1].state = Bytes::from(vec![b'S'; 50]);
    spool.append(straggler).await.unwrap();
    for number in 2..400 {
        let (_, claims) = spool.append_claimed(entry(number, &["a"])).await.unwrap();
        spool.finish(&claims[0]).await.unwrap();
    }
    spool.close().await;
    // 400 entries take 25 segments; what lives is one entry, and the bound is two segments beside the one being written.
    assert!(segments(folder.path()).len() <= 4, "{:?}", segments(folder.path()));
    drop(spool);
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!((report.entries, report.jobs, report.damaged.len()), (1, 2, 0));
    let claims = spool.claim("slow", NOW, 9).await.unwrap();
    assert_eq!((claims[0].state.clone(), claims[1].state.len()), (Bytes::from("state 1.0"), 50));
    assert_eq!(spool.read(id(1)).await.unwrap().content.whole().unwrap(), entry(1, &[]).content.to_vec().unwrap());
}

#[tokio::test]
async fn close_ends_what_was_asked_and_refuses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    let append = |number| {
        let spool = spool.clone();
        async move { spool.append(entry(number, &["a"])).await.map(|_| ()) }
    };
    let (one, two, ()) = tokio::join!(append(1), append(2), spool.close());
    assert_eq!((one, two), (Ok(()), Ok(())));
    assert_eq!(append(3).await, Err(SpoolError::Closed));
    spool.close().await;
    let (spool, report) = open(folder.path(), Disk::default());
    assert_eq!(report.entries, 2);
    drop(spool);
}

#[tokio::test]
async fn a_claim_that_nobody_received_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    spool.append(entry(1, &["a"])).await.unwrap();
    spool.changed().notified().await;
    for _ in 0..20 {
        let mut claim = Box::pin(spool.claim("a", NOW, 1));
        // Polled once: the request is on its way, then its caller is gone.
        let received = tokio::select! { biased; claims = &mut claim => claims.unwrap(), () = std::future::ready(()) => Vec::new() };
        // The committer may have been that quick.
        for claim in received {
            spool.reschedule(&claim, NOW, Bytes::new()).await.unwrap();
        }
        drop(claim);
        tokio::time::timeout(Duration::from_secs(10), spool.changed().notified()).await.expect("released");
    }
    assert_eq!(spool.claim("a", NOW, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn new_work_is_signalled() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = open(folder.path(), Disk::default());
    let waiting = {
        let spool: Arc<LocalSpool> = spool.clone();
        tokio::spawn(async move { spool.changed().notified().await })
    };
    spool.append(entry(1, &["a"])).await.unwrap();
    waiting.await.unwrap();
    let claim = spool.claim("a", NOW, 1).await.unwrap().remove(0);
    spool.reschedule(&claim, NOW + 5, Bytes::new()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), spool.changed().notified()).await.expect("signalled");
}
