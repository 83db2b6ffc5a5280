//! A workload that is cut off at each disk operation in turn, by a crash of the process or by a power loss that takes what was not
//! synced, checked against a model. Each run has a seed, which is in every message of a failed check.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::super::super::conformance::{NOW, id};
use super::super::super::{Claim, Instruction, JobId, NewEntry, NewJob, Spool};
use super::super::{LocalSpool, SpoolError};
use super::SMALL;
use super::faults::SickDisk;
use crate::message::{Content, Data};
use crate::random::Random;

const LANE: &str = "relay";

/// What may be found of a job after a restart.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// It must be there.
    required: bool,
    /// It may be there.
    possible: bool,
    /// Any of these.
    states: Vec<Bytes>,
    /// At least so many attempts were answered.
    attempts: u32,
    /// Whether it is set aside: any of these.
    aside: Vec<bool>,
}

struct World {
    seed: u64,
    random: Random,
    jobs: BTreeMap<JobId, Expected>,
    held: Vec<Claim>,
    /// What may be found under each key.
    values: BTreeMap<String, Vec<Option<Bytes>>>,
    next: u32,
    /// The process or the power has gone: whatever fails now may have happened or not.
    may_crash: bool,
}

impl World {
    fn new(seed: u64, may_crash: bool) -> Self {
        Self { seed, random: Random(seed), jobs: BTreeMap::new(), held: Vec::new(), values: BTreeMap::new(), next: 0, may_crash }
    }

    fn entry(&mut self) -> NewEntry {
        self.next += 1;
        // From nothing to a file of its own, and states on both sides of the limit for memory.
        let length = [0, 30, 400, 1500].get(self.random.index(4)).copied().unwrap_or(0);
        let jobs = 1 + self.random.index(3);
        let state = |job| Bytes::from(format!("{}-{job}-{}", self.next, "s".repeat(self.next as usize % 30)));
        NewEntry {
            id: id(self.next),
            envelope: format!("envelope {}", self.next).into(),
            content: expected_content(self.next, length),
            jobs: (0..jobs).map(|job| NewJob { lane: LANE.into(), due: NOW, state: state(job) }).collect(),
        }
    }

    /// An entry whose content came into a file, if it could.
    async fn deposited(&mut self, spool: &LocalSpool) -> NewEntry {
        let mut entry = self.entry();
        let content = entry.content.clone();
        let stored = async {
            let mut depository = spool.depository().await.ok()?;
            for block in content.blocks() {
                depository.append(&block.unwrap()).ok()?;
            }
            depository.finish().ok()
        };
        if self.random.index(3) > 0
            && let Some(stored) = stored.await
        {
            entry.content = Content::from(&Data::stored(Bytes::new(), stored));
        }
        entry
    }

    fn appended(&mut self, entry: &NewEntry, good: bool, claimed: bool) {
        for (job, number) in entry.jobs.iter().zip(0..) {
            let expected = Expected {
                required: good,
                possible: good || self.may_crash,
                states: vec![job.state.clone()],
                attempts: u32::from(claimed && good),
                aside: vec![false],
            };
            self.jobs.insert(JobId { entry: entry.id, job: number }, expected);
        }
    }

    /// A few operations, some of them at once so that they share groups.
    async fn step(&mut self, spool: &Arc<LocalSpool>) {
        match self.random.index(9) {
            0 => {
                let entry = self.deposited(spool).await;
                let result = spool.append_claimed(entry.clone()).await;
                self.appended(&entry, result.is_ok(), true);
                self.held.extend(result.into_iter().flat_map(|(_, claims)| claims));
            }
            1 => {
                let entries = [self.entry(), self.deposited(spool).await, self.entry()];
                let append = |entry: &NewEntry| spool.append(entry.clone());
                let (a, b, c) = tokio::join!(append(&entries[0]), append(&entries[1]), append(&entries[2]));
                for (entry, result) in entries.iter().zip([a, b, c]) {
                    self.appended(entry, result.is_ok(), false);
                }
            }
            2 => {
                let max = 1 + self.random.index(4);
                for claim in spool.claim(LANE, NOW, max).await.unwrap_or_default() {
                    self.claimed(&claim);
                    self.held.push(claim);
                }
            }
            3 | 4 => {
                for _ in 0..2 {
                    let Some(claim) = self.random.take(&mut self.held) else { return };
                    let result = spool.finish(&claim).await;
                    self.ended(claim, result, None);
                }
            }
            5 => self.remember(spool).await,
            6 | 7 => self.instruct(spool).await,
            _ => {
                let Some(claim) = self.random.take(&mut self.held) else { return };
                let state = Bytes::from(format!("again {}{}", claim.attempt, "r".repeat(self.random.index(30))));
                let result = spool.reschedule(&claim, NOW, state.clone()).await;
                self.ended(claim, result, Some(state));
            }
        }
    }

    async fn remember(&mut self, spool: &LocalSpool) {
        self.next += 1;
        let key = format!("key {}", self.random.index(4));
        let value = (self.random.index(4) > 0).then(|| Bytes::from(format!("value {}", self.next)));
        let result = spool.remember(&key, value.clone()).await;
        let possible = self.values.entry(key).or_insert_with(|| vec![None]);
        match result {
            Ok(()) => *possible = vec![value],
            Err(_) if self.may_crash => possible.push(value),
            Err(_) => {}
        }
    }

    async fn instruct(&mut self, spool: &LocalSpool) {
        let Some(id) = self.jobs.keys().nth(self.random.index(self.jobs.len().max(1))).copied() else { return };
        let choices = [Instruction::Hold, Instruction::Release(NOW), Instruction::Drop, Instruction::Due(NOW + 1000)];
        let instruction = choices.get(self.random.index(4)).copied().unwrap_or(Instruction::Hold);
        let (seed, may_crash) = (self.seed, self.may_crash);
        let under_way = self.held.iter().any(|claim| claim.id == id);
        let expected = self.jobs.get_mut(&id).unwrap();
        match (spool.instruct(id, instruction).await, instruction) {
            (Ok(()), Instruction::Hold | Instruction::Drop) if under_way => panic!("seed {seed}: {instruction:?} of {id:?}"),
            (Ok(()), _) if under_way => {}
            (Ok(()), Instruction::Drop) => *expected = Expected::default(),
            (Ok(()), Instruction::Hold) => expected.aside = vec![true],
            (Ok(()), Instruction::Release(_)) => expected.aside = vec![false],
            (Ok(()), Instruction::Due(_)) => {}
            (Err(SpoolError::StaleClaim), _) => assert!(!expected.required, "seed {seed}: {id:?} is lost"),
            (Err(SpoolError::Claimed), _) => assert!(under_way || may_crash, "seed {seed}: {id:?} is claimed"),
            (Err(_), _) if !may_crash || under_way => {}
            (Err(_), Instruction::Drop) => expected.required = false,
            (Err(_), Instruction::Hold) => expected.aside.push(true),
            (Err(_), Instruction::Release(_)) => expected.aside.push(false),
            (Err(_), Instruction::Due(_)) => {}
        }
    }

    fn claimed(&mut self, claim: &Claim) {
        let seed = self.seed;
        let expected = self.jobs.get_mut(&claim.id).unwrap_or_else(|| panic!("seed {seed}: unknown {:?}", claim.id));
        assert!(expected.possible, "seed {seed}: {:?} is back", claim.id);
        assert!(expected.aside.contains(&false), "seed {seed}: {:?} is held", claim.id);
        assert!(expected.states.contains(&claim.state), "seed {seed}: {:?} has state {:?}", claim.id, claim.state);
        assert!(claim.attempt > expected.attempts, "seed {seed}: attempt {} of {:?}", claim.attempt, claim.id);
        *expected =
            Expected { required: true, possible: true, states: vec![claim.state.clone()], attempts: claim.attempt, aside: vec![false] };
    }

    fn ended(&mut self, claim: Claim, result: Result<(), SpoolError>, state: Option<Bytes>) {
        let may_crash = self.may_crash;
        let expected = self.jobs.get_mut(&claim.id).unwrap();
        match (result, state) {
            (Ok(()), None) => *expected = Expected::default(),
            (Ok(()), Some(state)) => expected.states = vec![state],
            (Err(SpoolError::StaleClaim), _) => panic!("seed {}: {:?} is held", self.seed, claim.id),
            (Err(_), _) if !may_crash => self.held.push(claim),
            (Err(_), None) => expected.required = false,
            (Err(_), Some(state)) => expected.states.push(state),
        }
    }

    /// After a restart: everything that must be there is, nothing is there twice, nothing that is over comes back.
    async fn check(&mut self, spool: &LocalSpool, power_lost: bool) {
        let seed = self.seed;
        self.held.clear();
        if power_lost {
            // Attempts of the last, unfinished sync may be uncounted, and the states know them from before.
            self.jobs.values_mut().for_each(|expected| expected.attempts = 0);
        }
        let claims = spool.claim(LANE, u64::MAX, usize::MAX).await.unwrap();
        let mut seen = BTreeSet::new();
        for job in spool.jobs(None, usize::MAX).await.unwrap().into_iter().filter(|job| !job.claimed) {
            seen.insert(job.id);
            let expected = self.jobs.get_mut(&job.id).unwrap_or_else(|| panic!("seed {seed}: unknown {:?}", job.id));
            assert!(expected.possible, "seed {seed}: {:?} is back", job.id);
            assert!(job.held && expected.aside.contains(&true), "seed {seed}: {:?} is held", job.id);
            assert!(expected.states.contains(&job.state), "seed {seed}: {:?} has state {:?}", job.id, job.state);
            assert!(job.attempt >= expected.attempts, "seed {seed}: attempt {} of {:?}", job.attempt, job.id);
            let attempts = job.attempt;
            *expected = Expected { required: true, possible: true, states: vec![job.state], attempts, aside: vec![true] };
        }
        for claim in &claims {
            assert!(seen.insert(claim.id), "seed {seed}: {:?} is there twice", claim.id);
            self.claimed(claim);
            let read = spool.read(claim.id.entry).await.unwrap();
            let number = (claim.id.entry.to_u128() & 0xffff_ffff) as u32;
            assert_eq!(read.envelope, format!("envelope {number}"));
            let expected = expected_content(number, read.content.len()).to_vec().unwrap();
            assert!(read.content.whole().unwrap() == expected, "seed {seed}: content of {number}");
        }
        for (id, expected) in &mut self.jobs {
            assert!(!expected.required || seen.contains(id), "seed {seed}: {id:?} is lost");
            if !seen.contains(id) {
                *expected = Expected::default();
            }
        }
        let recalled: BTreeMap<_, _> = spool.recall().await.unwrap().into_iter().collect();
        for (key, possible) in &mut self.values {
            let found = recalled.get(key.as_str()).cloned();
            assert!(possible.contains(&found), "seed {seed}: {key} is {found:?}, not one of {possible:?}");
            *possible = vec![found];
        }
        assert_eq!(spool.stats().await.unwrap().jobs, seen.len() as u64, "seed {seed}");
        self.held = claims;
    }
}

fn expected_content(number: u32, length: usize) -> Content {
    let byte = |place: usize| (place as u32 ^ number).to_le_bytes()[0];
    let mut content = Content::default();
    content.push((0..length / 3).map(byte).collect());
    content.push((length / 3..length).map(byte).collect());
    content
}

fn open(path: &Path, disk: &Arc<SickDisk>) -> Result<Arc<LocalSpool>, SpoolError> {
    LocalSpool::open_on(disk.disk(), path, SMALL, || NOW).map(|(spool, _)| Arc::new(spool))
}

/// Runs until the disk stops, restarts, checks; again and again. Returns whether the disk ever stopped.
async fn life(
    seed: u64,
    crashes: impl Fn(&mut Random) -> Option<u64>,
    loses: impl Fn(&mut Random) -> bool,
    generations: u32,
    steps: u32,
) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(seed, true);
    let mut random = Random(!seed);
    let (mut crashed, mut power_lost) = (false, false);
    for generation in 0..=generations {
        let last = generation == generations;
        // The check claims everything, which writes; so it looks through a copy of the folder.
        world.check_copy(folder.path(), power_lost).await;
        let disk = SickDisk::new(random.next(), if last { None } else { crashes(&mut random) });
        // A start can be cut off like anything else.
        if let Ok(spool) = open(folder.path(), &disk) {
            for _ in 0..if last { 0 } else { steps } {
                if disk.crashed() {
                    break;
                }
                world.step(&spool).await;
            }
        } else {
            assert!(disk.crashed(), "seed {seed}: the spool does not open");
        }
        crashed |= disk.crashed();
        let lose = loses(&mut random);
        if lose {
            disk.lose_power(folder.path());
        }
        power_lost = lose && disk.crashed();
    }
    crashed
}

impl World {
    async fn check_copy(&mut self, folder: &Path, power_lost: bool) {
        let copy = tempfile::tempdir().unwrap();
        for part in ["segments", "bodies"] {
            std::fs::create_dir(copy.path().join(part)).unwrap();
            for file in std::fs::read_dir(folder.join(part)).into_iter().flatten() {
                let file = file.unwrap();
                std::fs::copy(file.path(), copy.path().join(part).join(file.file_name())).unwrap();
            }
        }
        let spool = open(copy.path(), &SickDisk::new(0, None)).unwrap();
        let before = self.jobs.clone();
        self.check(&spool, power_lost).await;
        self.held.clear();
        // The claims were the copy's.
        for (id, expected) in &mut self.jobs {
            expected.attempts = before.get(id).map_or(0, |before| if power_lost { 0 } else { before.attempts });
        }
    }
}

#[tokio::test]
async fn a_crash_at_each_operation_loses_nothing_and_repeats_nothing() {
    // The same workload each time, one operation further; once the process dies, once the power fails.
    for power_fails in [false, true] {
        let mut operation = 1;
        while life(7, |_| Some(operation), |_| power_fails, 1, 40).await {
            operation += 1;
        }
        assert!(operation > 100, "the workload is too short to mean anything: {operation}");
    }
}

#[tokio::test]
async fn random_lives_with_many_crashes_lose_nothing_and_repeat_nothing() {
    for seed in 0..30 {
        life(seed, |random| Some(1 + random.index(120) as u64), |random| random.index(3) > 0, 6, 60).await;
    }
}

#[tokio::test]
async fn what_failed_has_no_effect_now_or_after_a_restart() {
    for seed in 1000..1060 {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::new(seed, false);
        let disk = SickDisk::new(seed, None);
        let spool = open(folder.path(), &disk).unwrap();
        for _ in 0..6 {
            for _ in 0..8 {
                world.step(&spool).await;
            }
            // Up to five operations in a row fail: a sync, the cut after it, the next segment.
            let (after, count) = (world.random.index(6) as u64, 1 + world.random.index(5) as u64);
            disk.fail(after, count);
        }
        disk.fail(0, 0);
        // The disk works again, so what failed before becomes void.
        let entry = world.entry();
        spool.append(entry.clone()).await.unwrap();
        world.appended(&entry, true, false);
        drop(spool);
        if seed % 2 == 0 {
            disk.lose_power(folder.path());
        }
        let spool = open(folder.path(), &SickDisk::new(seed, None)).unwrap();
        world.check(&spool, false).await;
    }
}
