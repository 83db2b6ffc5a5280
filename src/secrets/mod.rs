//! Credentials: from AWS Secrets Manager, a file or the environment; cached, refreshed when they are refused, never printed.
//!
//! - Every source gives the same JSON, read strictly: for a next hop an object of exactly `username` and `password` (see
//!   `credential`), for the clients of an endpoint whoever may log in (see `accounts`), a private key (see `signing_key`), a client
//!   secret of OAuth (see `client_secret`), or a certificate with its key (see `identity`).
//! - One fetch at a time for each secret; a source that fails is left alone for longer and longer, and the last good credential
//!   is served meanwhile, for up to a day.
//! - No password is tried in a loop: a refusal leads to at most one refresh in ten seconds, and to each version once. When all are
//!   refused, nothing is handed out for a minute, then for two, and so on, until the secret changes or one is accepted.
//! - AWSPENDING is never read: during a rotation it may name a password that does not work yet, or none at all.

mod accounts;
mod client_secret;
mod credential;
mod identity;
mod json;
mod local;
mod manager;
mod refusal;
mod signing_key;
mod srs_keys;
mod versions;

pub use accounts::{Accounts, Claim};
pub use client_secret::ClientSecret;
pub use credential::Credential;
pub use identity::Identity;
pub use signing_key::SigningKey;
pub use srs_keys::SrsKeys;
pub use versions::AccountVersions;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::local::FileStamp;
use self::manager::{Manager, Stage};
use self::refusal::Refusals;
use crate::aws::Aws;
use crate::limits::{SECRET_STALE_MAX, SECRET_TTL};
use crate::refreshed::{Observer, Patience, Refreshed};

/// Where a credential is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// Name or ARN in AWS Secrets Manager.
    SecretsManager(Arc<str>),
    /// A file with the same JSON.
    File(PathBuf),
    /// An environment variable with the same JSON.
    Environment(Arc<str>),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(id) => write!(f, "secret {id}"),
            Self::File(path) => write!(f, "secret file {}", path.display()),
            Self::Environment(variable) => write!(f, "secret variable {variable}"),
        }
    }
}

/// Why there is no credential; the text is for the operator and holds nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError(pub Arc<str>);

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SecretError {}

/// The cache in front of all sources.
#[derive(Default)]
pub struct Secrets {
    manager: Manager,
    observer: Option<Observer>,
    /// One for each reference that was ever asked for; references come from the configuration, so there are few.
    slots: Slots<Credential>,
    /// The same for client secrets.
    client_secrets: Slots<ClientSecret>,
    /// The same for certificates with keys.
    identities: Slots<Identity>,
    /// The same for those that say who may log in.
    doors: Mutex<HashMap<SecretRef, Arc<versions::Door>>>,
    /// The same for keys.
    keys: Places<SigningKey>,
    /// The same for the keys of SRS.
    srs_keys: Places<SrsKeys>,
}

impl Secrets {
    /// Secrets of this account; `observer` hears when a source fails and when it is back.
    pub fn new(aws: Arc<Aws>, observer: Option<Observer>) -> Self {
        Self { manager: Manager::new(aws), observer, ..Self::default() }
    }

    /// The credential to try first. An error, too, while every version is known to be refused.
    pub async fn get(&self, secret: &SecretRef) -> Result<Arc<Credential>, SecretError> {
        self.first(secret).await
    }

    /// What to try after the next hop refused `refused` (535): a fresher version, else the previous one, else nothing. Never a loop.
    ///
    /// A previous version that is handed out here is also what [`get`](Self::get) gives from then on, until it is refused itself or
    /// the secret changes: the next hop has not switched yet, and each try with the newer one would count as a failed login.
    pub async fn after_refusal(&self, secret: &SecretRef, refused: &Credential) -> Option<Arc<Credential>> {
        self.next(secret, refused).await
    }

    /// A next hop has accepted a version of this credential.
    pub fn accepted(&self, secret: &SecretRef) {
        self.slot::<Credential>(secret).refusals().accept();
    }

    /// The client secret to try first; as [`get`](Self::get).
    pub async fn client_secret(&self, secret: &SecretRef) -> Result<Arc<ClientSecret>, SecretError> {
        self.first(secret).await
    }

    /// What to try after a token endpoint refused a client secret; as [`after_refusal`](Self::after_refusal).
    pub async fn client_secret_after_refusal(&self, secret: &SecretRef, refused: &ClientSecret) -> Option<Arc<ClientSecret>> {
        self.next(secret, refused).await
    }

    /// A token endpoint has accepted a version of this client secret.
    pub fn client_secret_accepted(&self, secret: &SecretRef) {
        self.slot::<ClientSecret>(secret).refusals().accept();
    }

    /// The certificate to show now.
    pub async fn identity(&self, secret: &SecretRef) -> Result<Arc<Identity>, SecretError> {
        let slot = self.slot::<Identity>(secret);
        let held = slot.cached.get(patience(secret), |older| self.fetch(secret, older)).await.map_err(SecretError)?;
        Ok(held.value)
    }

    /// The certificate to sign with; as [`get`](Self::get).
    pub async fn identity_for_signing(&self, secret: &SecretRef) -> Result<Arc<Identity>, SecretError> {
        self.first(secret).await
    }

    /// What to try after a token endpoint refused the signature of a certificate; as [`after_refusal`](Self::after_refusal).
    pub async fn identity_after_refusal(&self, secret: &SecretRef, refused: &Identity) -> Option<Arc<Identity>> {
        self.next(secret, refused).await
    }

    /// A token endpoint has accepted a version of this certificate.
    pub fn identity_accepted(&self, secret: &SecretRef) {
        self.slot::<Identity>(secret).refusals().accept();
    }

    async fn first<T: Tried>(&self, secret: &SecretRef) -> Result<Arc<T>, SecretError> {
        let slot = self.slot(secret);
        let held = slot.cached.get(patience(secret), |older| self.fetch(secret, older)).await.map_err(SecretError)?;
        let first = slot.refusals().first(held.value, Instant::now());
        first.map_err(|rest| {
            let text = format!("every version of it was refused; unless it changes it is tried again in {} s", rest.as_secs().max(1));
            SecretError(text.into())
        })
    }

    async fn next<T: Tried>(&self, secret: &SecretRef, refused: &T) -> Option<Arc<T>> {
        let slot = self.slot(secret);
        // Held over the refresh, so that many connections that are refused at once ask the source once.
        let _turn = slot.refreshing.lock().await;
        let may_refresh = slot.refusals().refuse(refused, Instant::now());
        if may_refresh && let Ok(fresh) = slot.cached.refresh(SECRET_STALE_MAX, |older| self.fetch(secret, older)).await {
            let previous = if fresh.value.as_ref() == refused { self.previous(secret).await } else { None };
            slot.refusals().learn_previous(previous);
        }
        let current = slot.cached.peek()?.value;
        slot.refusals().next_after(&current, Instant::now())
    }

    /// The key to sign with, as of now or of the last few minutes.
    pub async fn signing_key(&self, secret: &SecretRef) -> Result<Arc<SigningKey>, SecretError> {
        self.keys(&self.keys, secret, SigningKey::from_text).await
    }

    /// The keys of SRS addresses, as of now or of the last few minutes.
    pub async fn srs_keys(&self, secret: &SecretRef) -> Result<Arc<SrsKeys>, SecretError> {
        self.keys(&self.srs_keys, secret, SrsKeys::from_text).await
    }

    async fn keys<T: Send + Sync + 'static>(&self, places: &Places<T>, secret: &SecretRef, parse: Parse<T>) -> Result<Arc<T>, SecretError> {
        let place = {
            let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = || Arc::new(Refreshed::new(secret.to_string(), self.observer.clone()));
            Arc::clone(places.entry(secret.clone()).or_insert_with(fresh))
        };
        let usual = patience(secret);
        // A variable cannot change, and checking a key again for every message costs more than signing with it.
        let fresh_for = if matches!(secret, SecretRef::Environment(_)) { SECRET_TTL } else { usual.fresh_for };
        let fetch = |older| self.fetch_as(secret, older, parse);
        let held = place.get(Patience { fresh_for, ..usual }, fetch).await.map_err(SecretError)?;
        Ok(held.value)
    }

    async fn fetch<T: Tried>(&self, secret: &SecretRef, older: Option<Held<T>>) -> Result<Held<T>, Arc<str>> {
        self.fetch_as(secret, older, T::PARSE).await
    }

    async fn fetch_as<T: Send + Sync + 'static>(
        &self,
        secret: &SecretRef,
        older: Option<Held<T>>,
        parse: Parse<T>,
    ) -> Result<Held<T>, Arc<str>> {
        let alone = |value| Held { value: Arc::new(value), stamp: None };
        let found = match secret {
            SecretRef::SecretsManager(id) => match self.manager.fetch(id, Stage::Current, parse).await {
                Ok(Some(value)) => Ok(alone(value)),
                Ok(None) => Err("it does not exist".into()),
                Err(problem) => Err(problem),
            },
            SecretRef::File(path) => local::file(path.clone(), older, parse).await,
            SecretRef::Environment(variable) => local::environment(variable, parse).map(alone),
        };
        found.map_err(|problem| format!("{secret}: {problem}").into())
    }

    /// The version before the current one, where the source keeps it.
    async fn previous<T: Tried>(&self, secret: &SecretRef) -> Option<Arc<T>> {
        let SecretRef::SecretsManager(id) = secret else { return None };
        match self.manager.fetch(id, Stage::Previous, T::PARSE).await {
            Ok(found) => found.map(Arc::new),
            Err(problem) => {
                if let Some(observer) = &self.observer {
                    observer(&format!("{secret}: the previous version cannot be had: {problem}"));
                }
                None
            }
        }
    }

    fn slot<T: Tried>(&self, secret: &SecretRef) -> Arc<Slot<T>> {
        let mut slots = T::slots(self).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(secret) {
            return Arc::clone(slot);
        }
        let cached = Refreshed::new(secret.to_string(), self.observer.clone());
        let slot = Arc::new(Slot { cached, refusals: Mutex::default(), refreshing: tokio::sync::Mutex::default() });
        slots.insert(secret.clone(), Arc::clone(&slot));
        slot
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// What is tried somewhere and may be refused there.
trait Tried: Clone + PartialEq + Send + Sync + 'static {
    const PARSE: Parse<Self>;
    fn slots(secrets: &Secrets) -> &Slots<Self>;
}

impl Tried for Credential {
    const PARSE: Parse<Self> = Self::from_json;
    fn slots(secrets: &Secrets) -> &Slots<Self> {
        &secrets.slots
    }
}

impl Tried for ClientSecret {
    const PARSE: Parse<Self> = Self::from_text;
    fn slots(secrets: &Secrets) -> &Slots<Self> {
        &secrets.client_secrets
    }
}

impl Tried for Identity {
    const PARSE: Parse<Self> = Self::from_text;
    fn slots(secrets: &Secrets) -> &Slots<Self> {
        &secrets.identities
    }
}

type Slots<T> = Mutex<HashMap<SecretRef, Arc<Slot<T>>>>;

/// A secret's place in the cache.
struct Slot<T> {
    cached: Refreshed<Held<T>>,
    refusals: Mutex<Refusals<T>>,
    /// Held by the caller whose refusal makes us ask the source.
    refreshing: tokio::sync::Mutex<()>,
}

impl<T> Slot<T> {
    fn refusals(&self) -> MutexGuard<'_, Refusals<T>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a source holds and, for a file, what the file looked like when it was read.
struct Held<T> {
    value: Arc<T>,
    stamp: Option<FileStamp>,
}

impl<T> Clone for Held<T> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), stamp: self.stamp }
    }
}

/// The places of keys in the cache.
type Places<T> = Mutex<HashMap<SecretRef, Arc<Refreshed<Held<T>>>>>;

/// Reads the JSON of a secret; the error holds nothing of it.
type Parse<T> = fn(&str) -> Result<T, &'static str>;

/// A file or a variable costs nothing to look at, so that a change counts at once and a mended one is noticed at once.
fn patience(secret: &SecretRef) -> Patience {
    let asks_aws = matches!(secret, SecretRef::SecretsManager(_));
    let fresh_for = if asks_aws { SECRET_TTL } else { Duration::ZERO };
    Patience { fresh_for, stale_max: SECRET_STALE_MAX, wait: false, back_off: asks_aws }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(password: &str) -> String {
        format!(r#"{{"username": "relay", "password": "{password}"}}"#)
    }

    /// Secrets whose reports are collected.
    fn observed() -> (Secrets, Arc<Mutex<Vec<String>>>) {
        let reports = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&reports);
        let observer: Observer = Arc::new(move |report: &str| sink.lock().unwrap().push(report.to_owned()));
        (Secrets::new(Arc::default(), Some(observer)), reports)
    }

    #[tokio::test]
    async fn a_broken_file_leaves_the_last_good_credential_in_use_and_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        let secret = SecretRef::File(path.clone());
        let (secrets, reports) = observed();
        std::fs::write(&path, json("one")).unwrap();
        assert_eq!(secrets.get(&secret).await.unwrap().password.as_str(), "one");

        std::fs::write(&path, "hunter2, and half a file").unwrap();
        for _ in 0..3 {
            assert_eq!(secrets.get(&secret).await.unwrap().password.as_str(), "one");
        }
        let name = format!("secret file {}", path.display());
        assert_eq!(*reports.lock().unwrap(), [format!("{name}: it is not JSON; what was known before stays in use")]);

        std::fs::write(&path, json("second")).unwrap();
        assert_eq!(secrets.get(&secret).await.unwrap().password.as_str(), "second");
        assert_eq!(reports.lock().unwrap().last(), Some(&format!("{name} is available again")));
    }

    #[tokio::test]
    async fn a_file_that_was_never_good_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        let (secrets, _) = observed();
        let error = secrets.get(&SecretRef::File(path.clone())).await.unwrap_err();
        assert_eq!(error.to_string(), format!("secret file {}: it does not exist", path.display()));
        std::fs::write(&path, json("one")).unwrap();
        assert!(secrets.get(&SecretRef::File(path)).await.is_ok(), "mended, and noticed at once");
    }

    #[tokio::test]
    async fn a_refused_credential_of_a_file_is_followed_by_a_changed_one_or_by_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.json");
        let secret = SecretRef::File(path.clone());
        let (secrets, _) = observed();
        std::fs::write(&path, json("one")).unwrap();
        let first = secrets.get(&secret).await.unwrap();
        std::fs::write(&path, json("changed")).unwrap();
        let second = secrets.after_refusal(&secret, &first).await.unwrap();
        assert_eq!(second.password.as_str(), "changed");
        assert_eq!(secrets.after_refusal(&secret, &second).await, None);
    }

    #[tokio::test]
    async fn a_rotated_key_is_used_at_once_and_a_broken_one_leaves_the_last_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("arc.pem");
        let secret = SecretRef::File(path.clone());
        let (secrets, reports) = observed();
        let error = secrets.signing_key(&secret).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("secret file {}: it does not exist", path.display()));
        let pem = || rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap().serialize_pem();
        let mut signatures = Vec::new();
        for content in [pem(), pem(), "-----BEGIN half a key".to_owned()] {
            std::fs::write(&path, content).unwrap();
            signatures.push(secrets.signing_key(&secret).await.unwrap().rsa_sha256(b"octets").unwrap());
        }
        assert!(signatures[0] != signatures[1] && signatures[1] == signatures[2]);
        let told = reports.lock().unwrap().last().cloned().unwrap();
        assert!(told.ends_with("it holds no private key in PEM; what was known before stays in use"), "{told}");
    }

    #[tokio::test]
    async fn a_variable_that_is_not_set_is_an_error_that_names_it() {
        let secret = SecretRef::Environment("GATEWAY_TEST_VARIABLE_THAT_NOBODY_SETS".into());
        let error = Secrets::default().get(&secret).await.unwrap_err();
        assert_eq!(error.to_string(), "secret variable GATEWAY_TEST_VARIABLE_THAT_NOBODY_SETS: it is not set");
    }
}
