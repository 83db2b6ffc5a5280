//! Keeps the slots of all endpoints filled: from storage at once, by orders when something is missing or due.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::certificate::{self, Certificate};
use super::challenges::Challenges;
use super::order::Orders;
use super::schedule::{backoff, renewal, renewal_of_new, spread};
use super::storage::Storage;
use super::transport::{Transport, explain, other};
use super::{AcmeConfig, Names, Responder, Slot, Wanted};
use crate::limits::{ACME_CLOCK_LOOK, ACME_ORDER_TIMEOUT};
use crate::telemetry::{Event, Log};

/// Certificates of the configuration in force. Cloning it clones a reference.
#[derive(Clone, Debug)]
pub struct Manager(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Something is wanted, or due, that was not before.
    changed: Notify,
    challenges: Challenges,
    log: Log,
}

#[derive(Debug, Default)]
struct State {
    config: Option<Arc<AcmeConfig>>,
    entries: BTreeMap<Names, Entry>,
}

/// One certificate.
#[derive(Debug)]
struct Entry {
    slots: Vec<Slot>,
    /// What the slots hold: issued, or self-signed.
    shown: Arc<CertifiedKey>,
    valid_until: Option<String>,
    /// When it is ordered next.
    due: SystemTime,
    failures: u32,
    /// The authority wants no order before.
    not_before: Option<SystemTime>,
}

/// An order that is due.
struct Due {
    names: Names,
    config: Arc<AcmeConfig>,
}

impl Manager {
    /// Nothing is wanted yet, and nothing is ordered before [`Self::start`].
    pub fn new(log: Log) -> Self {
        Self(Arc::new(Shared { state: Mutex::default(), changed: Notify::new(), challenges: Challenges::default(), log }))
    }

    /// Fills the slots of a configuration that is about to be put in force; those of the one before are filled no longer. What is
    /// known stays known; the rest comes from storage, or is self-signed until it is issued.
    pub async fn adopt(&self, config: Option<&Arc<AcmeConfig>>) {
        let Some(config) = config else {
            *self.0.lock() = State::default();
            return;
        };
        let mut slots: BTreeMap<Names, Vec<Slot>> = BTreeMap::new();
        for Wanted { names, slot } in &config.wanted {
            slots.entry(names.clone()).or_default().push(Arc::clone(slot));
        }
        let storage = Storage::new(&config.storage, &config.directory);
        let unknown: Vec<Names> = {
            let state = self.0.lock();
            let same = state.config.as_ref().is_some_and(|old| Storage::new(&old.storage, &old.directory) == storage);
            slots.keys().filter(|names| !same || !state.entries.contains_key(names)).cloned().collect()
        };
        let (log, reader) = (self.0.log.clone(), storage);
        let found = tokio::task::spawn_blocking(move || {
            unknown.into_iter().filter_map(|names| Some((names.clone(), first(&reader, &names, &log)?))).collect::<BTreeMap<_, _>>()
        });
        let mut found = found.await.unwrap_or_default();
        let mut state = self.0.lock();
        let mut known = std::mem::take(&mut state.entries);
        for (names, slots) in slots {
            let Some(mut entry) = found.remove(&names).or_else(|| known.remove(&names)) else { continue };
            entry.slots = slots;
            entry.fill();
            state.entries.insert(names, entry);
        }
        state.config = Some(Arc::clone(config));
        drop(state);
        self.0.changed.notify_one();
    }

    /// Answers challenges and orders what is due, until the drain begins.
    pub fn start(&self, responder: Responder, draining: CancellationToken) {
        responder.serve(&self.0.challenges, &self.0.log, &draining);
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            tokio::select! {
                () = shared.run() => {}
                () = draining.cancelled() => {}
            }
        });
    }

    /// Forgets the waits after failures: somebody has mended something. What the authority asked for still holds.
    pub fn retry_now(&self) {
        let now = SystemTime::now();
        for entry in self.0.lock().entries.values_mut().filter(|entry| entry.failures > 0) {
            entry.due = entry.not_before.map_or(now, |not_before| not_before.max(now));
        }
        self.0.changed.notify_one();
    }
}

impl Shared {
    /// A panic elsewhere leaves the state whole: each change is one assignment.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One order after the other, for ever.
    async fn run(&self) {
        loop {
            match self.next(SystemTime::now()) {
                Ok(due) => self.carry_out(due).await,
                Err(wait) => {
                    let _ = tokio::time::timeout(wait, self.changed.notified()).await;
                }
            }
        }
    }

    /// The order that is due longest, or the time until one may be.
    fn next(&self, now: SystemTime) -> Result<Due, Duration> {
        let state = self.lock();
        let first = state.entries.iter().min_by_key(|(_, entry)| entry.due);
        let (Some((names, entry)), Some(config)) = (first, &state.config) else { return Err(ACME_CLOCK_LOOK) };
        match entry.due.duration_since(now) {
            Ok(wait) if !wait.is_zero() => Err(wait.min(ACME_CLOCK_LOOK)),
            _ => Ok(Due { names: names.clone(), config: Arc::clone(config) }),
        }
    }

    async fn carry_out(&self, Due { names, config }: Due) {
        let storage = Storage::new(&config.storage, &config.directory);
        let mut not_before = None;
        let obtained = self.obtain(&names, &config, &storage, &mut not_before).await;
        let now = SystemTime::now();
        let mut state = self.lock();
        // A reload may have changed what is wanted, and from whom.
        let same = state.config.as_ref().is_some_and(|current| Storage::new(&current.storage, &current.directory) == storage);
        let Some(entry) = state.entries.get_mut(&names).filter(|_| same) else { return };
        match obtained {
            Ok(certificate) => {
                entry.take(&certificate, renewal_of_new(certificate.not_before, certificate.not_after, now, spread()));
                let event = Event::Certificate { names: names.as_slice(), source: "issued", not_after: Some(&certificate.valid_until()) };
                self.log.emit(&event);
            }
            Err(why) => {
                let detail = format!("{names}: {why}; {}", entry.fail(now, not_before));
                self.log.emit(&Event::Problem { what: "acme", detail: &detail });
            }
        }
    }

    /// A certificate that is checked and stored.
    async fn obtain(
        &self,
        names: &Names,
        config: &AcmeConfig,
        storage: &Storage,
        not_before: &mut Option<SystemTime>,
    ) -> Result<Certificate, String> {
        let (roots, store) = (config.roots.clone(), storage.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            store.prepare().map_err(|error| other(format!("`acme.storage` cannot be written, so nothing is ordered: {error}")))?;
            Transport::new(roots)
        });
        let transport = prepared.await.map_err(|error| error.to_string())?.map_err(|error| explain(&error))?;
        let orders = Orders { config, storage, challenges: &self.challenges, transport: transport.clone(), log: &self.log };
        let obtained = tokio::time::timeout(ACME_ORDER_TIMEOUT, orders.obtain(names)).await;
        *not_before = transport.not_before();
        let pem = match obtained {
            Ok(obtained) => obtained.map_err(|error| explain(&error))?,
            Err(_) => return Err(format!("the order was not done within {} s", ACME_ORDER_TIMEOUT.as_secs())),
        };
        let certificate = Certificate::from_pem(pem.as_bytes(), names).map_err(|why| format!("what was issued cannot be used: {why}"))?;
        self.keep(names, storage, pem).await;
        Ok(certificate)
    }

    /// A certificate that cannot be stored serves all the same, until the process ends.
    async fn keep(&self, names: &Names, storage: &Storage, pem: Zeroizing<String>) {
        let (file, store) = (names.file(), storage.clone());
        let written = tokio::task::spawn_blocking(move || store.write(&file, pem.as_bytes())).await;
        if let Err(why) = written.map_err(|error| error.to_string()).and_then(|written| written.map_err(|error| error.to_string())) {
            let detail =
                format!("{} cannot be stored, and will be ordered again after a restart: {why}", storage.path(&names.file()).display());
            self.log.emit(&Event::Problem { what: "acme", detail: &detail });
        }
    }
}

impl Entry {
    fn new(shown: Arc<CertifiedKey>, due: SystemTime) -> Self {
        Self { slots: Vec::new(), shown, valid_until: None, due, failures: 0, not_before: None }
    }

    fn fill(&self) {
        for slot in &self.slots {
            slot.store(Some(Arc::clone(&self.shown)));
        }
    }

    /// A certificate serves from now on.
    fn take(&mut self, certificate: &Certificate, due: SystemTime) {
        let slots = std::mem::take(&mut self.slots);
        *self = Self { slots, valid_until: Some(certificate.valid_until()), ..Self::new(Arc::clone(&certificate.key), due) };
        self.fill();
    }

    /// An order has failed; what is said of the next one.
    fn fail(&mut self, now: SystemTime, not_before: Option<SystemTime>) -> String {
        self.failures = self.failures.saturating_add(1);
        self.not_before = not_before;
        let asked = not_before.and_then(|not_before| not_before.duration_since(now).ok()).unwrap_or_default();
        let wait = backoff(self.failures, spread()).max(asked);
        self.due = now.checked_add(wait).unwrap_or(now);
        let shown = match &self.valid_until {
            Some(until) => format!("the one in use is valid until {until}"),
            None => "a self-signed one is in use".to_owned(),
        };
        format!("{shown}; next attempt in {} min", wait.as_secs().saturating_add(30) / 60)
    }
}

/// What serves before anything is ordered. Blocks. `None` cannot happen unless the machine has no randomness.
fn first(storage: &Storage, names: &Names, log: &Log) -> Option<Entry> {
    if let Some(stored) = stored(storage, names, log) {
        let mut entry = Entry::new(Arc::clone(&stored.key), renewal(stored.not_before, stored.not_after, spread()));
        entry.valid_until = Some(stored.valid_until());
        log.emit(&Event::Certificate { names: names.as_slice(), source: "stored", not_after: entry.valid_until.as_deref() });
        return Some(entry);
    }
    match certificate::self_signed(names) {
        Ok(key) => {
            log.emit(&Event::Certificate { names: names.as_slice(), source: "self_signed", not_after: None });
            Some(Entry::new(key, SystemTime::UNIX_EPOCH))
        }
        Err(why) => {
            log.emit(&Event::Problem { what: "acme", detail: &format!("{names}: no self-signed certificate could be made: {why}") });
            None
        }
    }
}

/// The certificate in storage. One that cannot be used is set aside.
fn stored(storage: &Storage, names: &Names, log: &Log) -> Option<Certificate> {
    let file = names.file();
    let path = storage.path(&file);
    let problem = |detail: String| log.emit(&Event::Problem { what: "acme", detail: &detail });
    match storage.read(&file) {
        Ok(pem) => match Certificate::from_pem(&pem?, names) {
            Ok(certificate) => return Some(certificate),
            Err(why) => match storage.set_aside(&file) {
                Ok(aside) => problem(format!(
                    "{} cannot be used ({why}): it was set aside as {}, and a new one is ordered",
                    path.display(),
                    aside.display()
                )),
                Err(error) => problem(format!("{} cannot be used ({why}) and not be set aside: {error}", path.display())),
            },
        },
        Err(error) => problem(format!("{} cannot be read: {error}", path.display())),
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::limits::ACME_RETRY_FIRST;
    use crate::telemetry::Format;

    const DIRECTORY: &str = "https://ca.example/directory";

    fn manager() -> Manager {
        Manager::new(Log::new(Format::Json, std::io::sink()))
    }

    fn config(storage: &Path, directory: &str, names: &[&[&str]]) -> Arc<AcmeConfig> {
        let wanted = names.iter().map(|names| Wanted { names: Names::new(names.iter().copied()), slot: Slot::default() }).collect();
        let (contact, listen, storage) = (Vec::new(), Vec::new(), storage.to_owned());
        Arc::new(AcmeConfig { contact, directory: directory.into(), listen, storage, roots: None, wanted })
    }

    fn shown(config: &AcmeConfig) -> Vec<Vec<u8>> {
        config.wanted.iter().map(|wanted| wanted.slot.load_full().unwrap().cert[0].to_vec()).collect()
    }

    /// Puts a certificate into storage; its DER form.
    fn store(storage: &Path, names: &[&str]) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let storage = Storage::new(storage, DIRECTORY);
        storage.prepare().unwrap();
        let pem = made.signing_key.serialize_pem() + &made.cert.pem();
        storage.write(&Names::new(names.iter().copied()).file(), pem.as_bytes()).unwrap();
        made.cert.der().to_vec()
    }

    #[tokio::test]
    async fn slots_are_filled_before_anything_is_ordered() {
        let (folder, manager) = (tempfile::tempdir().unwrap(), manager());
        let stored = store(folder.path(), &["a.example"]);
        let first = config(folder.path(), DIRECTORY, &[&["a.example"], &["b.example"], &["B.example", "b.example"]]);
        manager.adopt(Some(&first)).await;
        let filled = shown(&first);
        assert_eq!(filled[0], stored);
        assert_eq!(filled[1], filled[2], "one certificate for the same names");
        assert!(manager.0.next(SystemTime::now()).is_ok_and(|due| due.names == Names::new(["b.example"])), "what is missing is due");

        // Even when the storage is gone: what is known stays known.
        std::fs::remove_dir_all(Storage::new(folder.path(), DIRECTORY).path("")).unwrap();
        let second = config(folder.path(), DIRECTORY, &[&["b.example"], &["a.example"]]);
        manager.adopt(Some(&second)).await;
        assert_eq!(shown(&second), [filled[1].clone(), stored]);
        manager.adopt(None).await;
        assert_eq!(manager.0.next(SystemTime::now()).err(), Some(ACME_CLOCK_LOOK), "nothing is wanted any more");
    }

    #[tokio::test]
    async fn another_authority_begins_anew() {
        let (folder, manager) = (tempfile::tempdir().unwrap(), manager());
        let stored = store(folder.path(), &["a.example"]);
        let first = config(folder.path(), DIRECTORY, &[&["a.example"]]);
        manager.adopt(Some(&first)).await;
        let second = config(folder.path(), "https://other.example/directory", &[&["a.example"]]);
        manager.adopt(Some(&second)).await;
        assert_ne!(shown(&second)[0], stored);
        assert!(manager.0.next(SystemTime::now()).is_ok());
        let third = config(folder.path(), DIRECTORY, &[&["a.example"]]);
        manager.adopt(Some(&third)).await;
        assert_eq!(shown(&third), [stored]);
    }

    #[tokio::test]
    async fn waits_grow_end_by_a_signal_and_never_before_the_authority_says() {
        let (folder, manager) = (tempfile::tempdir().unwrap(), manager());
        manager.adopt(Some(&config(folder.path(), DIRECTORY, &[&["a.example"]]))).await;
        let fail = |not_before| {
            let now = SystemTime::now();
            let mut state = manager.0.lock();
            let entry = state.entries.values_mut().next().unwrap();
            let said = entry.fail(now, not_before);
            (entry.due.duration_since(now).unwrap(), said)
        };
        let is_due = || manager.0.next(SystemTime::now()).is_ok();
        assert!(fail(None).0 >= ACME_RETRY_FIRST);
        let (wait, said) = fail(None);
        assert!(wait >= ACME_RETRY_FIRST * 3 && said == "a self-signed one is in use; next attempt in 3 min", "{wait:?} {said}");
        assert!(!is_due());
        manager.retry_now();
        assert!(is_due());

        let day = Duration::from_secs(86_400);
        let (wait, said) = fail(SystemTime::now().checked_add(day));
        assert!(wait >= day - Duration::from_secs(1) && said.ends_with("next attempt in 1440 min"), "{wait:?} {said}");
        manager.retry_now();
        assert!(!is_due());
    }
}
