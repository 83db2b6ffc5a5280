//! A local spool whose operations fail on command.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::Random;
use crate::message::{Depository, MessageId};
use crate::spool::{
    Claim, Instruction, JobId, JobView, LocalSpool, NewEntry, Receipt, Spool, SpoolError, SpoolStats, StoredEntry, UnixMillis,
};

/// The spool and what is wrong with it.
pub(super) struct Faulty {
    inner: Arc<LocalSpool>,
    pub(super) faults: Arc<Faults>,
}

/// Which operations fail.
pub(super) struct Faults {
    state: Mutex<State>,
}

struct State {
    random: Random,
    /// Percent of all operations.
    chance: u64,
    /// The next so many operations of a kind.
    next: BTreeMap<&'static str, (u32, SpoolError)>,
    /// Operations asked for, by kind.
    asked: BTreeMap<&'static str, u32>,
}

impl Faults {
    pub(super) fn new(seed: u64, chance: u64) -> Arc<Self> {
        let state = State { random: Random(seed), chance, next: BTreeMap::new(), asked: BTreeMap::new() };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// The next so many operations of this kind fail with this error.
    pub(super) fn fail(&self, operation: &'static str, times: u32, error: SpoolError) {
        self.state.lock().unwrap().next.insert(operation, (times, error));
    }

    pub(super) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        state.chance = 0;
        state.next.clear();
    }

    pub(super) fn asked(&self, operation: &str) -> u32 {
        self.state.lock().unwrap().asked.get(operation).copied().unwrap_or(0)
    }

    fn check(&self, operation: &'static str) -> Result<(), SpoolError> {
        let state = &mut *self.state.lock().unwrap();
        *state.asked.entry(operation).or_insert(0) += 1;
        if let Some((times, error)) = state.next.get_mut(operation)
            && *times > 0
        {
            *times -= 1;
            return Err(error.clone());
        }
        if state.random.percent(state.chance) {
            return Err(if state.random.percent(30) { SpoolError::Full } else { SpoolError::Io("simulated".into()) });
        }
        Ok(())
    }
}

impl Faulty {
    pub(super) fn new(inner: LocalSpool, faults: Arc<Faults>) -> Self {
        Self { inner: Arc::new(inner), faults }
    }

    /// Runs on a blocking thread, for a clock that is paused does not jump while one works.
    async fn run<T, F, W>(&self, operation: &'static str, work: W) -> Result<T, SpoolError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, SpoolError>>,
        W: FnOnce(Arc<LocalSpool>) -> F + Send + 'static,
    {
        self.faults.check(operation)?;
        let inner = Arc::clone(&self.inner);
        let runtime = tokio::runtime::Handle::current();
        let result = tokio::task::spawn_blocking(move || runtime.block_on(work(inner))).await.map_err(|_| SpoolError::Closed)?;
        if matches!(operation, "append" | "reschedule" | "instruct") {
            // The engine's thread answers first and notifies then; in between the clock would jump.
            self.inner.changed().notify_one();
        }
        result
    }
}

impl Spool for Faulty {
    async fn depository(&self) -> Result<Box<dyn Depository>, SpoolError> {
        self.run("depository", |inner| async move { inner.depository().await }).await
    }

    async fn append(&self, entry: NewEntry) -> Result<Receipt, SpoolError> {
        self.run("append", |inner| async move { inner.append(entry).await }).await
    }

    async fn append_claimed(&self, entry: NewEntry) -> Result<(Receipt, Vec<Claim>), SpoolError> {
        self.run("append", |inner| async move { inner.append_claimed(entry).await }).await
    }

    async fn claim(&self, lane: &str, now: UnixMillis, max: usize) -> Result<Vec<Claim>, SpoolError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let lane = lane.to_owned();
        self.run("claim", move |inner| async move { inner.claim(&lane, now, max).await }).await
    }

    async fn lanes(&self) -> Result<Vec<(Arc<str>, UnixMillis)>, SpoolError> {
        self.faults.check("lanes")?;
        self.inner.lanes().await
    }

    async fn read(&self, id: MessageId) -> Result<StoredEntry, SpoolError> {
        self.run("read", move |inner| async move { inner.read(id).await }).await
    }

    async fn reschedule(&self, claim: &Claim, due: UnixMillis, state: Bytes) -> Result<(), SpoolError> {
        let claim = claim.clone();
        self.run("reschedule", move |inner| async move { inner.reschedule(&claim, due, state).await }).await
    }

    async fn finish(&self, claim: &Claim) -> Result<(), SpoolError> {
        let claim = claim.clone();
        self.run("finish", move |inner| async move { inner.finish(&claim).await }).await
    }

    fn changed(&self) -> &Notify {
        self.inner.changed()
    }

    async fn jobs(&self, after: Option<JobId>, max: usize) -> Result<Vec<JobView>, SpoolError> {
        self.run("jobs", move |inner| async move { inner.jobs(after, max).await }).await
    }

    async fn instruct(&self, job: JobId, instruction: Instruction) -> Result<(), SpoolError> {
        self.run("instruct", move |inner| async move { inner.instruct(job, instruction).await }).await
    }

    async fn remember(&self, key: &str, value: Option<Bytes>) -> Result<(), SpoolError> {
        let key = key.to_owned();
        self.run("remember", move |inner| async move { inner.remember(&key, value).await }).await
    }

    async fn recall(&self) -> Result<Vec<(Arc<str>, Bytes)>, SpoolError> {
        self.inner.recall().await
    }

    async fn stats(&self) -> Result<SpoolStats, SpoolError> {
        self.inner.stats().await
    }
}
