//! The accounts of an endpoint as their source has them: the current version, and the one before it, which stays valid until the
//! next rotation.
//!
//! - A version of which nothing is known is an error, never a wrong password.
//! - A claim that does not fit makes the source be asked again at most once in [`SECRET_REFUSAL_INTERVAL`], whoever claims what.

use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::manager::Stage;
use super::{Accounts, Claim, Held, SecretError, SecretRef, Secrets, local, patience};
use crate::limits::SECRET_REFUSAL_INTERVAL;
use crate::refreshed::{Patience, Refreshed};

/// A secret's place in the cache.
pub(super) type Door = Refreshed<AccountVersions>;

/// The accounts that are valid now.
#[derive(Clone)]
pub struct AccountVersions {
    current: Held<Accounts>,
    previous: Option<Arc<Accounts>>,
    /// The source does not give the previous version.
    from_memory: bool,
}

impl AccountVersions {
    /// Compares with both versions, the same work whatever is found. Says whether the previous version is the one that fits.
    pub fn compare(&self, username: &str, password: &str, own_name: &str) -> (Claim, bool) {
        let current = self.current.value.compare(username, password, own_name);
        let previous = self.previous.as_ref().map(|accounts| accounts.compare(username, password, own_name));
        match (current, previous) {
            (Claim::Right, _) => (Claim::Right, false),
            (_, Some(Claim::Right)) => (Claim::Right, true),
            (Claim::UnknownUser, Some(claim)) => (claim, false),
            (claim, _) => (claim, false),
        }
    }
}

impl Secrets {
    /// Who may log in, as of now or of the last few minutes.
    pub async fn accounts(&self, secret: &SecretRef) -> Result<AccountVersions, SecretError> {
        self.accounts_with(secret, patience(secret)).await
    }

    /// The same after a claim did not fit: it may be that of a rotation that is not known yet.
    pub async fn accounts_again(&self, secret: &SecretRef) -> Result<AccountVersions, SecretError> {
        let usual = patience(secret);
        let fresh_for = usual.fresh_for.min(SECRET_REFUSAL_INTERVAL);
        // Ten clients that are told of the new password at once all wait for the one answer.
        self.accounts_with(secret, Patience { fresh_for, wait: fresh_for > Duration::ZERO, ..usual }).await
    }

    async fn accounts_with(&self, secret: &SecretRef, patience: Patience) -> Result<AccountVersions, SecretError> {
        let door = self.door(secret);
        door.get(patience, |older| self.fetch_accounts(secret, older)).await.map_err(SecretError)
    }

    async fn fetch_accounts(&self, secret: &SecretRef, older: Option<AccountVersions>) -> Result<AccountVersions, Arc<str>> {
        let parse = Accounts::from_json;
        let alone = |current| AccountVersions { current, previous: None, from_memory: false };
        let found = match secret {
            SecretRef::SecretsManager(id) => match self.manager.fetch(id, Stage::Current, parse).await {
                Ok(Some(current)) => Ok(self.with_previous(id, Held { value: Arc::new(current), stamp: None }, older).await),
                Ok(None) => Err("it does not exist".into()),
                Err(problem) => Err(problem),
            },
            SecretRef::File(path) => local::file(path.clone(), older.map(|older| older.current), parse).await.map(alone),
            SecretRef::Environment(variable) => {
                local::environment(variable, parse).map(|current| alone(Held { value: Arc::new(current), stamp: None }))
            }
        };
        found.map_err(|problem| format!("{secret}: {problem}").into())
    }

    /// The previous version is asked for after the current one: a rotation in between then gives one version twice, where the other
    /// order would lose one.
    async fn with_previous(&self, id: &Arc<str>, current: Held<Accounts>, older: Option<AccountVersions>) -> AccountVersions {
        match self.manager.fetch(id, Stage::Previous, Accounts::from_json).await {
            Ok(previous) => AccountVersions { current, previous: previous.map(Arc::new), from_memory: false },
            Err(problem) => {
                if let (Some(observer), false) = (&self.observer, older.as_ref().is_some_and(|older| older.from_memory)) {
                    observer(&format!("secret {id}: the previous version cannot be had: {problem}"));
                }
                current_with_memory(current, older)
            }
        }
    }

    fn door(&self, secret: &SecretRef) -> Arc<Door> {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        match doors.entry(secret.clone()) {
            Entry::Occupied(door) => Arc::clone(door.get()),
            Entry::Vacant(place) => Arc::clone(place.insert(Arc::new(Refreshed::new(secret.to_string(), self.observer.clone())))),
        }
    }
}

/// Without the source's word on the previous version, what was current before is the previous one. The current one counts in any case:
/// it may be what the operator mended.
fn current_with_memory(current: Held<Accounts>, older: Option<AccountVersions>) -> AccountVersions {
    let previous = older.and_then(|older| {
        let unchanged = older.current.value.is_same_as(&current.value);
        if unchanged { older.previous } else { Some(older.current.value) }
    });
    AccountVersions { current, previous, from_memory: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(password: &str) -> Arc<Accounts> {
        Arc::new(Accounts::from_json(&format!(r#"{{"username": "tim", "password": "{password}"}}"#)).unwrap())
    }

    #[test]
    fn both_versions_are_valid_during_a_rotation() {
        let versions =
            AccountVersions { current: Held { value: accounts("new"), stamp: None }, previous: Some(accounts("old")), from_memory: false };
        for (username, password, expected) in [
            ("tim", "new", (Claim::Right, false)),
            ("tim", "old", (Claim::Right, true)),
            ("tim", "older", (Claim::WrongPassword, false)),
            ("tom", "new", (Claim::UnknownUser, false)),
        ] {
            assert_eq!(versions.compare(username, password, "x"), expected, "{username} {password}");
        }
    }

    #[test]
    fn a_previous_version_that_cannot_be_had_is_remembered() {
        let held = |password: &str| Held { value: accounts(password), stamp: None };
        let right =
            |versions: &AccountVersions| ["one", "two", "three"].map(|password| versions.compare("tim", password, "x").0 == Claim::Right);
        let first = current_with_memory(held("one"), None);
        assert_eq!(right(&first), [true, false, false]);
        let rotated = current_with_memory(held("two"), Some(first));
        assert_eq!(right(&rotated), [true, true, false]);
        let again = current_with_memory(held("two"), Some(rotated));
        assert_eq!(right(&again), [true, true, false], "nothing has changed");
        let twice = current_with_memory(held("three"), Some(again));
        assert_eq!(right(&twice), [false, true, true], "two rotations end the first");
    }

    #[tokio::test]
    async fn a_file_is_followed_at_once_and_a_broken_one_leaves_the_old_accounts_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.json");
        let (secrets, secret) = (Secrets::default(), SecretRef::File(path.clone()));
        let error = secrets.accounts(&secret).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), format!("secret file {}: it does not exist", path.display()));
        for (content, right) in [
            (r#"{"username": "tim", "password": "one"}"#, "one"),
            (r#"{"username": "tim", "password": "second"}"#, "second"),
            ("half a fi", "second"),
        ] {
            std::fs::write(&path, content).unwrap();
            let versions = secrets.accounts(&secret).await.unwrap();
            assert_eq!(versions.compare("tim", right, "x"), (Claim::Right, false), "{content}");
            assert_eq!(versions.compare("tim", "other", "x").0, Claim::WrongPassword);
        }
    }
}
