//! What every engine promises, as tests: one function for each promise. An engine's tests run them all by [`conformance_suite`].

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::{Claim, Instruction, JobId, JobView, NewEntry, NewJob, Spool, SpoolError, UnixMillis};
use crate::limits::{SPOOL_DUE_AHEAD_MAX, SPOOL_KEY_BYTES_MAX, SPOOL_KEYS_MAX, SPOOL_VALUE_BYTES_MAX};
use crate::message::{Content, Data, Depository, MessageId, StoredError};

/// The time at which the engine's clock stands.
pub(crate) const NOW: UnixMillis = 1_700_000_000_000;

/// A place for spools.
pub(crate) trait Engine {
    /// What it makes.
    type Spool: Spool;
    /// Opens the spool of this place: empty the first time, later as the one before left it. The clock stands at [`NOW`].
    fn open(&self) -> impl Future<Output = Arc<Self::Spool>>;
}

/// Makes a test of each promise; the argument makes an engine with nothing in it.
macro_rules! conformance_suite {
    ($engine:expr) => {
        $crate::spool::conformance::conformance_suite!($engine;
            an_entry_reads_back, a_claimed_append_belongs_to_its_caller, claims_are_due_ordered_and_bounded, a_job_has_one_holder,
            an_ended_claim_is_stale, an_entry_lives_as_long_as_its_last_job, lanes_tell_the_first_due_time, a_restart_keeps_all_but_claims,
            a_dead_process_has_no_claims, finished_jobs_stay_finished, large_contents_and_states_survive, an_id_is_stored_once,
            an_entry_without_jobs_is_refused, rescheduling_wins_over_the_first_state, values_are_remembered_until_replaced,
            values_have_limits, jobs_are_listed_by_id_page_by_page, a_due_time_can_be_moved, a_held_job_waits_for_its_release,
            a_dropped_job_is_gone, an_attempt_under_way_is_left_alone, instructions_survive_restarts_and_all_that_moves_records,
            a_job_is_dropped_or_claimed_but_not_both, a_job_is_not_stuck_behind_a_wrong_clock,
            what_is_deposited_is_taken_over_or_gone, a_deposit_is_no_way_around_an_id, a_large_content_outlives_its_entry_for_who_reads_it,
        );
    };
    ($engine:expr; $($promise:ident),+ $(,)?) => {
        $(#[tokio::test]
        async fn $promise() {
            $crate::spool::conformance::$promise(&$engine).await;
        })+
    };
}
pub(crate) use conformance_suite;

/// An id.
pub(crate) fn id(number: u32) -> MessageId {
    MessageId::from_u128((1 << 40) | u128::from(number))
}

/// An entry with one job, due at once, for each lane.
pub(crate) fn entry(number: u32, lanes: &[&str]) -> NewEntry {
    let job = |(lane, job): (&&str, u32)| NewJob { lane: (*lane).into(), due: NOW, state: format!("state {number}.{job}").into() };
    NewEntry {
        id: id(number),
        envelope: format!("envelope {number}").into(),
        content: content(&[b"Received: here\r\n", format!("Subject: {number}\r\n\r\nbody\r\n").as_bytes()]),
        jobs: lanes.iter().zip(0..).map(job).collect(),
    }
}

fn content(parts: &[&[u8]]) -> Content {
    let mut content = Content::default();
    parts.iter().for_each(|part| content.push(Bytes::copy_from_slice(part)));
    content
}

/// A message that came into a depository, in pieces.
async fn deposited(spool: &impl Spool, octets: &[u8]) -> Data {
    let mut depository: Box<dyn Depository> = spool.depository().await.unwrap();
    octets.chunks(70_001).for_each(|piece| depository.append(piece).unwrap());
    Data::stored(Bytes::copy_from_slice(&octets[..octets.len() / 9]), depository.finish().unwrap())
}

fn octets(length: usize, seed: u32) -> Vec<u8> {
    (0..length).map(|at| ((at as u32).wrapping_mul(2_654_435_761) ^ seed).to_le_bytes()[1]).collect()
}

async fn claim_one(spool: &impl Spool, lane: &str) -> Claim {
    let claims = spool.claim(lane, NOW, 1).await.unwrap();
    assert_eq!(claims.len(), 1, "lane {lane}");
    claims.into_iter().next().unwrap()
}

pub(crate) async fn an_entry_reads_back(engine: &impl Engine) {
    let spool = engine.open().await;
    spool.append(entry(1, &["google"])).await.unwrap();
    let read = spool.read(id(1)).await.unwrap();
    assert_eq!(read.envelope, "envelope 1");
    assert_eq!(read.content.whole().unwrap(), entry(1, &[]).content.to_vec().unwrap());
    let claim = claim_one(&*spool, "google").await;
    assert_eq!((claim.id, &*claim.lane, claim.attempt), (JobId { entry: id(1), job: 0 }, "google", 1));
    assert_eq!((claim.state, claim.stored_at), (Bytes::from("state 1.0"), NOW));
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.entries, stats.jobs), (1, 1));
    assert!(stats.bytes > 0);
}

pub(crate) async fn a_claimed_append_belongs_to_its_caller(engine: &impl Engine) {
    let spool = engine.open().await;
    let (_, claims) = spool.append_claimed(entry(1, &["a", "b"])).await.unwrap();
    assert_eq!(claims.iter().map(|claim| (claim.id.job, &*claim.lane, claim.attempt)).collect::<Vec<_>>(), [(0, "a", 1), (1, "b", 1)]);
    assert_eq!(claims[1].state, "state 1.1");
    assert!(spool.claim("a", u64::MAX, 9).await.unwrap().is_empty());
    assert!(spool.lanes().await.unwrap().is_empty(), "nothing waits");
    spool.reschedule(&claims[0], NOW, "again".into()).await.unwrap();
    let again = claim_one(&*spool, "a").await;
    assert_eq!((again.attempt, again.state), (2, Bytes::from("again")));
}

pub(crate) async fn claims_are_due_ordered_and_bounded(engine: &impl Engine) {
    let spool = engine.open().await;
    for (number, due) in [(1, NOW + 2), (2, NOW), (3, NOW + 1), (4, NOW + 3), (5, NOW)] {
        let mut entry = entry(number, &["a"]);
        entry.jobs[0].due = due;
        spool.append(entry).await.unwrap();
    }
    spool.append(entry(6, &["b"])).await.unwrap();
    assert!(spool.claim("a", NOW - 1, 9).await.unwrap().is_empty());
    assert!(spool.claim("a", NOW, 0).await.unwrap().is_empty());
    assert!(spool.claim("c", NOW, 9).await.unwrap().is_empty());
    let ids = |claims: Vec<Claim>| claims.iter().map(|claim| claim.id.entry).collect::<Vec<_>>();
    assert_eq!(ids(spool.claim("a", NOW + 2, 3).await.unwrap()), [id(2), id(5), id(3)]);
    assert_eq!(ids(spool.claim("a", NOW + 2, 3).await.unwrap()), [id(1)]);
}

pub(crate) async fn a_job_has_one_holder(engine: &impl Engine) {
    let spool = engine.open().await;
    let appends = (0..40).map(|number| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.append(entry(number, &["a", "a"])).await.map(|_| ()) })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    let claims = (0..40).map(|_| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.claim("a", NOW, 3).await })
    });
    let mut seen = HashSet::new();
    for claim in claims.collect::<Vec<_>>() {
        for claim in claim.await.unwrap().unwrap() {
            assert!(seen.insert(claim.id), "{:?} was claimed twice", claim.id);
        }
    }
    assert_eq!(seen.len(), 80);
}

pub(crate) async fn an_ended_claim_is_stale(engine: &impl Engine) {
    let spool = engine.open().await;
    spool.append(entry(1, &["a"])).await.unwrap();
    let first = claim_one(&*spool, "a").await;
    spool.reschedule(&first, NOW, "two".into()).await.unwrap();
    assert_eq!(spool.finish(&first).await, Err(SpoolError::StaleClaim), "given up");
    let second = claim_one(&*spool, "a").await;
    assert_eq!(spool.finish(&first).await, Err(SpoolError::StaleClaim), "taken over");
    assert_eq!(spool.reschedule(&first, NOW, "x".into()).await, Err(SpoolError::StaleClaim));
    let (one, other) = tokio::join!(spool.finish(&second), spool.finish(&second));
    assert!(matches!((&one, &other), (Ok(()), Err(SpoolError::StaleClaim)) | (Err(SpoolError::StaleClaim), Ok(()))), "{one:?} {other:?}");
    assert_eq!(spool.reschedule(&second, NOW, "x".into()).await, Err(SpoolError::StaleClaim));
    assert!(spool.claim("a", u64::MAX, 9).await.unwrap().is_empty());
}

pub(crate) async fn an_entry_lives_as_long_as_its_last_job(engine: &impl Engine) {
    let spool = engine.open().await;
    let (_, claims) = spool.append_claimed(entry(1, &["a", "b"])).await.unwrap();
    spool.finish(&claims[1]).await.unwrap();
    spool.read(id(1)).await.unwrap();
    assert_eq!(spool.stats().await.unwrap().jobs, 1);
    spool.finish(&claims[0]).await.unwrap();
    assert!(spool.read(id(1)).await.is_err());
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.entries, stats.jobs), (0, 0));
}

pub(crate) async fn lanes_tell_the_first_due_time(engine: &impl Engine) {
    let spool = engine.open().await;
    assert!(spool.lanes().await.unwrap().is_empty());
    let mut later = entry(1, &["a", "b"]);
    (later.jobs[0].due, later.jobs[1].due) = (NOW + 9, NOW + 5);
    spool.append(later).await.unwrap();
    spool.append(entry(2, &["a"])).await.unwrap();
    let lanes = || async {
        let mut lanes = spool.lanes().await.unwrap();
        lanes.sort();
        lanes
    };
    assert_eq!(lanes().await, [("a".into(), NOW), ("b".into(), NOW + 5)]);
    let claim = claim_one(&*spool, "a").await;
    assert_eq!(lanes().await, [("a".into(), NOW + 9), ("b".into(), NOW + 5)], "claimed jobs do not wait");
    spool.reschedule(&claim, NOW + 7, Bytes::new()).await.unwrap();
    assert_eq!(lanes().await, [("a".into(), NOW + 7), ("b".into(), NOW + 5)]);
}

pub(crate) async fn a_restart_keeps_all_but_claims(engine: &impl Engine) {
    let spool = engine.open().await;
    spool.append(entry(1, &["a", "b", "c"])).await.unwrap();
    let a = claim_one(&*spool, "a").await;
    spool.reschedule(&a, NOW + 50, "a waits".into()).await.unwrap();
    let b = claim_one(&*spool, "b").await;
    drop(spool);
    let spool = engine.open().await;
    assert!(spool.claim("a", NOW + 49, 9).await.unwrap().is_empty());
    let a = spool.claim("a", NOW + 50, 9).await.unwrap().remove(0);
    assert_eq!((a.attempt, a.stored_at, a.state), (2, NOW, Bytes::from("a waits")));
    assert_eq!(claim_one(&*spool, "b").await.attempt, 2, "the attempt of the dead process counts");
    assert_eq!(claim_one(&*spool, "c").await.attempt, 1);
    assert_eq!(spool.finish(&b).await, Err(SpoolError::StaleClaim), "the token of the dead process is worth nothing");
    assert_eq!(spool.read(id(1)).await.unwrap().content.whole().unwrap(), entry(1, &[]).content.to_vec().unwrap());
}

pub(crate) async fn a_dead_process_has_no_claims(engine: &impl Engine) {
    let spool = engine.open().await;
    let mut future = entry(1, &["a"]);
    future.jobs[0].due = NOW + 1000;
    let (_, claims) = spool.append_claimed(future).await.unwrap();
    drop(spool);
    let spool = engine.open().await;
    let claim = claim_one(&*spool, "a").await;
    assert_eq!((claim.id, claim.attempt), (claims[0].id, 2), "due at once");
    spool.finish(&claim).await.unwrap();
}

pub(crate) async fn finished_jobs_stay_finished(engine: &impl Engine) {
    let spool = engine.open().await;
    for number in 0..20 {
        spool.append(entry(number, &["a", "b"])).await.unwrap();
    }
    for claim in spool.claim("a", NOW, 20).await.unwrap() {
        spool.finish(&claim).await.unwrap();
    }
    for claim in spool.claim("b", NOW, 10).await.unwrap() {
        spool.finish(&claim).await.unwrap();
    }
    drop(spool);
    let spool = engine.open().await;
    assert!(spool.claim("a", u64::MAX, 99).await.unwrap().is_empty());
    let left = spool.claim("b", u64::MAX, 99).await.unwrap();
    assert_eq!(left.iter().map(|claim| claim.id.entry).collect::<HashSet<_>>(), (10..20).map(id).collect());
    assert_eq!(spool.stats().await.unwrap().entries, 10);
}

pub(crate) async fn large_contents_and_states_survive(engine: &impl Engine) {
    let spool = engine.open().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    let state = Bytes::from(vec![b's'; 20_000]);
    for (number, length) in [(1, 100_000), (2, 3_000_000), (3, 0)] {
        let mut entry = entry(number, &["a"]);
        entry.content = content(&[&bytes[..length / 2], &bytes[length / 2..length]]);
        entry.jobs[0].state = state.clone();
        spool.append(entry).await.unwrap();
    }
    let first = claim_one(&*spool, "a").await;
    assert_eq!(first.state, state);
    spool.reschedule(&first, NOW + 1, Bytes::from(vec![b't'; 9_000])).await.unwrap();
    drop(spool);
    let spool = engine.open().await;
    for (number, length) in [(1, 100_000), (2, 3_000_000), (3, 0)] {
        assert!(spool.read(id(number)).await.unwrap().content.whole().unwrap() == bytes[..length], "entry {number}");
    }
    let claims = spool.claim("a", NOW + 1, 9).await.unwrap();
    let states: Vec<_> = claims.iter().map(|claim| (claim.id.entry, claim.state.len(), claim.state[0])).collect();
    assert_eq!(states, [(id(2), 20_000, b's'), (id(3), 20_000, b's'), (id(1), 9_000, b't')]);
    for claim in claims {
        spool.finish(&claim).await.unwrap();
    }
    assert!(spool.read(id(2)).await.is_err());
}

pub(crate) async fn an_id_is_stored_once(engine: &impl Engine) {
    let spool = engine.open().await;
    let (one, other) = tokio::join!(spool.append(entry(1, &["a"])), spool.append(entry(1, &["a"])));
    assert!(one.is_ok() != other.is_ok());
    assert!(spool.append(entry(1, &["a"])).await.is_err());
    assert_eq!(spool.claim("a", NOW, 9).await.unwrap().len(), 1);
}

pub(crate) async fn an_entry_without_jobs_is_refused(engine: &impl Engine) {
    let spool = engine.open().await;
    assert!(spool.append(entry(1, &[])).await.is_err());
    assert!(spool.read(id(1)).await.is_err());
}

pub(crate) async fn rescheduling_wins_over_the_first_state(engine: &impl Engine) {
    let spool = engine.open().await;
    let (_, claims) = spool.append_claimed(entry(1, &["a"])).await.unwrap();
    let mut claim = claims[0].clone();
    for attempt in 2..6 {
        spool.reschedule(&claim, NOW, format!("after {attempt}").into()).await.unwrap();
        claim = claim_one(&*spool, "a").await;
        assert_eq!((claim.attempt, claim.state.clone()), (attempt, Bytes::from(format!("after {attempt}"))));
    }
}

pub(crate) async fn values_are_remembered_until_replaced(engine: &impl Engine) {
    let spool = engine.open().await;
    assert!(spool.recall().await.unwrap().is_empty());
    let (one, other) = tokio::join!(spool.remember("a", Some("1".into())), spool.remember("b", Some(Bytes::new())));
    assert_eq!((one, other), (Ok(()), Ok(())));
    for number in 2..200 {
        // Mail comes between them, and goes again: what is remembered outlives the places where it was first written.
        let (_, claims) = spool.append_claimed(entry(number, &["lane"])).await.unwrap();
        spool.finish(&claims[0]).await.unwrap();
        if number < 100 {
            spool.remember("a", Some(number.to_string().into())).await.unwrap();
        }
    }
    spool.remember("c", Some("gone".into())).await.unwrap();
    spool.remember("c", None).await.unwrap();
    spool.remember("never there", None).await.unwrap();
    let expected = [(Arc::from("a"), Bytes::from("99")), (Arc::from("b"), Bytes::new())];
    assert_eq!(spool.recall().await.unwrap(), expected);
    drop(spool);
    let spool = engine.open().await;
    assert_eq!(spool.recall().await.unwrap(), expected);
    spool.remember("b", None).await.unwrap();
    drop(spool);
    assert_eq!(engine.open().await.recall().await.unwrap(), expected[..1]);
}

pub(crate) async fn values_have_limits(engine: &impl Engine) {
    let spool = engine.open().await;
    let value = |bytes| Some(Bytes::from(vec![b'v'; bytes]));
    spool.remember(&"k".repeat(SPOOL_KEY_BYTES_MAX), value(SPOOL_VALUE_BYTES_MAX)).await.unwrap();
    assert!(spool.remember(&"k".repeat(SPOOL_KEY_BYTES_MAX + 1), value(1)).await.is_err());
    assert!(spool.remember("k", value(SPOOL_VALUE_BYTES_MAX + 1)).await.is_err());
    let puts = (1..SPOOL_KEYS_MAX).map(|number| {
        let spool = spool.clone();
        tokio::spawn(async move { spool.remember(&number.to_string(), Some("x".into())).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    assert!(spool.remember("one more", value(1)).await.is_err());
    spool.remember("7", value(2)).await.unwrap();
    spool.remember("7", None).await.unwrap();
    spool.remember("one more", value(1)).await.unwrap();
    assert_eq!(spool.recall().await.unwrap().len(), SPOOL_KEYS_MAX);
}

async fn all_jobs(spool: &impl Spool, page: usize) -> Vec<JobView> {
    let mut jobs: Vec<JobView> = Vec::new();
    loop {
        let found = spool.jobs(jobs.last().map(|job| job.id), page).await.unwrap();
        assert!(found.len() <= page);
        if found.is_empty() {
            return jobs;
        }
        jobs.extend(found);
    }
}

async fn job(spool: &impl Spool, number: u32) -> JobView {
    all_jobs(spool, 100).await.into_iter().find(|job| job.id == job_of(number)).unwrap()
}

/// The first job of an entry.
fn job_of(number: u32) -> JobId {
    JobId { entry: id(number), job: 0 }
}

pub(crate) async fn jobs_are_listed_by_id_page_by_page(engine: &impl Engine) {
    let spool = engine.open().await;
    assert!(spool.jobs(None, 9).await.unwrap().is_empty());
    // More than any engine takes in one step.
    for number in (0..300).rev() {
        let mut entry = entry(number, &["a", "b", "c"]);
        entry.jobs[2].state = Bytes::from(vec![b's'; 1000]);
        spool.append(entry).await.unwrap();
    }
    let (_, claims) = spool.append_claimed(entry(300, &["d"])).await.unwrap();
    let listed = |jobs: &[JobView]| jobs.iter().map(|job| job.id).collect::<Vec<_>>();
    let mut expected: Vec<_> = (0..300).flat_map(|number| (0..3).map(move |job| JobId { entry: id(number), job })).collect();
    expected.push(job_of(300));
    for page in [1, 2, 7, 1000] {
        assert!(listed(&all_jobs(&*spool, page).await) == expected, "page of {page}");
    }
    assert!(spool.jobs(None, 0).await.unwrap().is_empty());
    let jobs = all_jobs(&*spool, 50).await;
    let first = &jobs[0];
    assert_eq!((&*first.lane, first.attempt, first.due, first.stored_at), ("a", 0, NOW, NOW));
    assert_eq!((first.claimed, first.held, &first.state[..]), (false, false, &b"state 0.0"[..]));
    assert_eq!(first.content_bytes, entry(0, &[]).content.len() as u64);
    assert_eq!((jobs[2].state.len(), jobs[2].state[0]), (1000, b's'));
    let last = &jobs[900];
    assert_eq!((&*last.lane, last.attempt, last.claimed), ("d", 1, true));
    spool.finish(&claims[0]).await.unwrap();
    let middle = spool.claim("b", NOW, 1).await.unwrap().remove(0);
    spool.finish(&middle).await.unwrap();
    expected.retain(|job| ![middle.id, job_of(300)].contains(job));
    drop(spool);
    assert!(listed(&all_jobs(&*engine.open().await, 8).await) == expected);
}

pub(crate) async fn a_due_time_can_be_moved(engine: &impl Engine) {
    let spool = engine.open().await;
    let mut later = entry(1, &["a"]);
    later.jobs[0].due = NOW + 1000;
    spool.append(later).await.unwrap();
    spool.instruct(job_of(1), Instruction::Due(NOW)).await.unwrap();
    assert_eq!(spool.lanes().await.unwrap(), [("a".into(), NOW)]);
    let claim = claim_one(&*spool, "a").await;
    assert_eq!((claim.attempt, claim.state.clone()), (1, Bytes::from("state 1.0")));
    spool.reschedule(&claim, NOW, "again".into()).await.unwrap();
    spool.instruct(job_of(1), Instruction::Due(NOW + 2000)).await.unwrap();
    assert!(spool.claim("a", NOW + 1999, 9).await.unwrap().is_empty());
    let claim = spool.claim("a", NOW + 2000, 9).await.unwrap().remove(0);
    assert_eq!((claim.attempt, claim.state), (2, Bytes::from("again")), "nothing else changes");
}

pub(crate) async fn a_held_job_waits_for_its_release(engine: &impl Engine) {
    let spool = engine.open().await;
    spool.append(entry(1, &["a", "b"])).await.unwrap();
    spool.instruct(job_of(1), Instruction::Hold).await.unwrap();
    assert_eq!(spool.lanes().await.unwrap(), [("b".into(), NOW)], "what is held does not wait");
    for again in [Instruction::Hold, Instruction::Due(NOW)] {
        spool.instruct(job_of(1), again).await.unwrap();
        assert!(spool.claim("a", u64::MAX, 9).await.unwrap().is_empty());
    }
    let view = job(&*spool, 1).await;
    assert_eq!((view.held, view.claimed, view.due), (true, false, NOW));
    assert_eq!(spool.stats().await.unwrap().jobs, 2);
    // An entry lives for the sake of a held job.
    let other = claim_one(&*spool, "b").await;
    spool.finish(&other).await.unwrap();
    spool.read(id(1)).await.unwrap();
    spool.instruct(job_of(1), Instruction::Release(NOW + 5)).await.unwrap();
    assert!(!job(&*spool, 1).await.held);
    assert!(spool.claim("a", NOW + 4, 9).await.unwrap().is_empty());
    let claim = spool.claim("a", NOW + 5, 9).await.unwrap().remove(0);
    assert_eq!(claim.attempt, 1);
    spool.finish(&claim).await.unwrap();
    assert_eq!(spool.stats().await.unwrap().entries, 0);
}

pub(crate) async fn a_dropped_job_is_gone(engine: &impl Engine) {
    let spool = engine.open().await;
    let mut large = entry(1, &["a", "b"]);
    large.content = content(&[&[b'x'; 300_000]]);
    spool.append(large).await.unwrap();
    spool.instruct(job_of(1), Instruction::Drop).await.unwrap();
    assert!(spool.claim("a", u64::MAX, 9).await.unwrap().is_empty());
    assert_eq!(spool.read(id(1)).await.unwrap().content.len(), 300_000);
    let other = JobId { entry: id(1), job: 1 };
    spool.instruct(other, Instruction::Hold).await.unwrap();
    spool.instruct(other, Instruction::Drop).await.unwrap();
    assert!(spool.read(id(1)).await.is_err());
    let stats = spool.stats().await.unwrap();
    assert_eq!((stats.entries, stats.jobs), (0, 0));
    for instruction in [Instruction::Drop, Instruction::Hold, Instruction::Due(NOW), Instruction::Release(NOW)] {
        assert_eq!(spool.instruct(other, instruction).await, Err(SpoolError::StaleClaim), "{instruction:?}");
    }
}

pub(crate) async fn an_attempt_under_way_is_left_alone(engine: &impl Engine) {
    let spool = engine.open().await;
    let (_, claims) = spool.append_claimed(entry(1, &["a"])).await.unwrap();
    for instruction in [Instruction::Hold, Instruction::Drop] {
        assert_eq!(spool.instruct(job_of(1), instruction).await, Err(SpoolError::Claimed), "{instruction:?}");
    }
    for instruction in [Instruction::Due(NOW), Instruction::Release(NOW)] {
        spool.instruct(job_of(1), instruction).await.unwrap();
        assert!(spool.claim("a", u64::MAX, 9).await.unwrap().is_empty(), "{instruction:?}");
    }
    spool.reschedule(&claims[0], NOW + 9, "later".into()).await.unwrap();
    let view = job(&*spool, 1).await;
    assert_eq!((view.due, view.claimed, view.held, view.attempt), (NOW + 9, false, false, 1));
    // An old token is no way around a hold.
    spool.instruct(job_of(1), Instruction::Hold).await.unwrap();
    assert_eq!(spool.finish(&claims[0]).await, Err(SpoolError::StaleClaim));
    assert!(job(&*spool, 1).await.held);
}

pub(crate) async fn instructions_survive_restarts_and_all_that_moves_records(engine: &impl Engine) {
    let spool = engine.open().await;
    for number in 1..=4 {
        spool.append(entry(number, &["a"])).await.unwrap();
    }
    let of_dead = claim_one(&*spool, "a").await;
    assert_eq!(of_dead.id, job_of(1));
    spool.instruct(job_of(2), Instruction::Hold).await.unwrap();
    spool.instruct(job_of(3), Instruction::Due(NOW + 70)).await.unwrap();
    spool.instruct(job_of(4), Instruction::Drop).await.unwrap();
    let mut spool = spool;
    for round in 0..3 {
        // Mail comes and goes, so that an engine that gives space back moves what stays.
        for number in 0..100 {
            let (_, claims) = spool.append_claimed(entry(100 + round * 100 + number, &["lane"])).await.unwrap();
            spool.finish(&claims[0]).await.unwrap();
        }
        drop(spool);
        spool = engine.open().await;
        let jobs: Vec<_> = all_jobs(&*spool, 9).await.iter().map(|job| (job.id, job.due, job.held, job.claimed)).collect();
        assert_eq!(
            jobs,
            [(job_of(1), NOW, false, false), (job_of(2), NOW, true, false), (job_of(3), NOW + 70, false, false)],
            "round {round}"
        );
    }
    assert_eq!(claim_one(&*spool, "a").await.attempt, 2);
    assert!(spool.claim("a", NOW + 69, 9).await.unwrap().is_empty());
    spool.instruct(job_of(2), Instruction::Release(NOW)).await.unwrap();
    drop(spool);
    let claims = engine.open().await.claim("a", NOW + 70, 9).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.id).collect::<Vec<_>>(), [job_of(1), job_of(2), job_of(3)]);
}

pub(crate) async fn a_job_is_dropped_or_claimed_but_not_both(engine: &impl Engine) {
    let spool = engine.open().await;
    for number in 0..60 {
        spool.append(entry(number, &["a"])).await.unwrap();
    }
    let (mut claims, mut drops) = (Vec::new(), Vec::new());
    for number in 0..60 {
        let (one, other) = (spool.clone(), spool.clone());
        // From the other end, so that they meet in the middle.
        let job = job_of(59 - number);
        drops.push(tokio::spawn(async move { (job, one.instruct(job, Instruction::Drop).await) }));
        claims.push(tokio::spawn(async move { other.claim("a", NOW, 1).await.unwrap() }));
    }
    let mut claimed = HashSet::new();
    for claim in claims {
        claimed.extend(claim.await.unwrap().into_iter().map(|claim| claim.id));
    }
    for drop in drops {
        let (job, result) = drop.await.unwrap();
        let expected = if claimed.contains(&job) { Err(SpoolError::Claimed) } else { Ok(()) };
        assert_eq!(result, expected, "{job:?}");
    }
    let left = all_jobs(&*spool, 100).await;
    assert_eq!(left.iter().map(|job| job.id).collect::<HashSet<_>>(), claimed);
    assert!(left.iter().all(|job| job.claimed));
}

pub(crate) async fn a_job_is_not_stuck_behind_a_wrong_clock(engine: &impl Engine) {
    let spool = engine.open().await;
    let latest = NOW + u64::try_from(SPOOL_DUE_AHEAD_MAX.as_millis()).unwrap();
    for (number, due) in [(1, latest), (2, latest + 1), (3, u64::MAX), (4, u64::MAX)] {
        let mut entry = entry(number, &["a"]);
        entry.jobs[0].due = due;
        spool.append(entry).await.unwrap();
    }
    spool.instruct(job_of(4), Instruction::Hold).await.unwrap();
    assert!(spool.claim("a", latest - 1, 9).await.unwrap().is_empty());
    drop(spool);
    let spool = engine.open().await;
    let ids = |claims: Vec<Claim>| claims.iter().map(|claim| claim.id).collect::<Vec<_>>();
    assert_eq!(ids(spool.claim("a", latest - 1, 9).await.unwrap()), [job_of(2), job_of(3)]);
    assert_eq!(ids(spool.claim("a", u64::MAX, 9).await.unwrap()), [job_of(1)]);
    assert!(job(&*spool, 4).await.held);
}

pub(crate) async fn what_is_deposited_is_taken_over_or_gone(engine: &impl Engine) {
    let spool = engine.open().await;
    let contents: Vec<Vec<u8>> = [(100, 1), (300_000, 2), (2_500_000, 3)].map(|(length, seed)| octets(length, seed)).into();
    for (number, content) in (0..).step_by(3).zip(&contents) {
        let data = deposited(&*spool, content).await;
        assert!(data.whole().unwrap() == *content && data.len() == content.len());
        // As it came, with something before it, and of another one the middle alone.
        let (mut whole, mut traced, mut middle) = (entry(number, &["a"]), entry(number + 1, &["a"]), entry(number + 2, &["a"]));
        whole.content = Content::from(&data);
        traced.content = Content::from(Bytes::from_static(b"Trace: here\r\n"));
        traced.content.push_range(&data, 0..data.len());
        middle.content = Content::default();
        middle.content.push_range(&data, 20..data.len() - 20);
        for entry in [whole, traced, middle] {
            spool.append(entry).await.unwrap();
        }
    }
    // Some that nobody takes over: one is given up while it comes, one is whole.
    spool.depository().await.unwrap().append(b"not all of it").unwrap();
    let gone = deposited(&*spool, b"all of it and no more").await;
    assert_eq!(gone.read(4..6).unwrap(), "of");
    let err = gone.blocks(0..9).map(|block: Result<Bytes, StoredError>| block.map(|block| block.len())).collect::<Vec<_>>();
    assert_eq!(err, [Ok(9)]);
    drop((spool, gone));
    let spool = engine.open().await;
    assert_eq!(spool.stats().await.unwrap().entries, 9);
    for (number, content) in (0..).step_by(3).zip(&contents) {
        let read = async |number| spool.read(id(number)).await.unwrap().content.whole().unwrap();
        assert!(read(number).await == *content, "entry {number}");
        assert!(read(number + 1).await == [b"Trace: here\r\n", &content[..]].concat(), "entry {number}");
        assert!(read(number + 2).await == content[20..content.len() - 20], "entry {number}");
    }
}

pub(crate) async fn a_deposit_is_no_way_around_an_id(engine: &impl Engine) {
    let spool = engine.open().await;
    let first = octets(400_000, 1);
    let mut one = entry(1, &["a"]);
    one.content = Content::from(&deposited(&*spool, &first).await);
    spool.append(one).await.unwrap();
    let mut other = entry(1, &["a"]);
    other.content = Content::from(&deposited(&*spool, &octets(400_000, 2)).await);
    assert!(spool.append(other).await.is_err());
    assert!(spool.read(id(1)).await.unwrap().content.whole().unwrap() == first);
}

pub(crate) async fn a_large_content_outlives_its_entry_for_who_reads_it(engine: &impl Engine) {
    let spool = engine.open().await;
    let content = octets(2_000_000, 7);
    let data = deposited(&*spool, &content).await;
    let mut large = entry(1, &["a"]);
    large.content = Content::from(&data);
    let (_, claims) = spool.append_claimed(large).await.unwrap();
    let read = spool.read(id(1)).await.unwrap().content;
    spool.finish(&claims[0]).await.unwrap();
    assert!(spool.read(id(1)).await.is_err());
    assert!(read.whole().unwrap() == content && data.whole().unwrap() == content);
}
