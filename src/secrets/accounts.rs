//! Who may log in at an endpoint: the JSON that says so, and the comparison with what a client claims.
//!
//! One of three shapes, read strictly: `{"username": …, "password": …}`, `{"password": …}` for a user whose name the endpoint
//! gives, or `{"users": [{"username": …, "password": …}, …]}`. A name may stand there more than once, each time with another
//! password: all of them are valid, so that a file can be rotated without an interruption.
//!
//! - No password is kept: what is kept of it is its HMAC-SHA-256 under a random key that lives as long as this version, and a digest
//!   of the whole text, to tell one version from the next.
//! - A comparison takes the same work whether the name is unknown, the password wrong, or both right.

use std::collections::HashSet;
use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256, Tag};
use aws_lc_rs::rand::SystemRandom;

use super::json::{self, Json, Key};
use crate::limits::{LOGIN_PASSWORD_BYTES_MAX, LOGIN_USERNAME_BYTES_MAX};

/// The accounts of one version of a secret. `Debug` shows none of them.
pub struct Accounts {
    key: hmac::Key,
    list: Vec<Account>,
    /// Of the whole JSON.
    digest: Digest,
}

struct Account {
    /// `None`: the name that the endpoint gives.
    name_tag: Option<Tag>,
    password_tag: Tag,
}

/// How a claim compares with the accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Name and password belong together.
    Right,
    /// The name is there, the password is another one.
    WrongPassword,
    /// Nobody has that name.
    UnknownUser,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts(..)")
    }
}

impl Accounts {
    /// Reads the JSON; the error says what is wrong with it, without a word of the content.
    pub(super) fn from_json(json: &str) -> Result<Self, &'static str> {
        // Object, list, object: what is deeper is wrong, whatever it is.
        let Json::Object(members) = json::read(json, 3)? else {
            return Err("it is JSON, but not an object with password or users");
        };
        let key = hmac::Key::generate(HMAC_SHA256, &SystemRandom::new()).map_err(|_| "the system gives no random numbers")?;
        let mut list = Vec::new();
        if members.iter().any(|(key, _)| *key == Key::Users) {
            let mut members = members.into_iter();
            let (Some((Key::Users, users)), None) = (members.next(), members.next()) else {
                return Err("it has a key besides users");
            };
            let Json::List(users) = users else { return Err("its users are not a list") };
            for user in users {
                let Json::Object(members) = user else { return Err("one of its users is not an object with username and password") };
                list.push(account(&key, members, true)?);
            }
        } else {
            list.push(account(&key, members, false)?);
        }
        if list.is_empty() {
            return Err("its list of users is empty");
        }
        let accounts = Self { key, list, digest: digest(&SHA256, json.as_bytes()) };
        accounts.no_duplicates()?;
        Ok(accounts)
    }

    /// Compares; `own_name` is the name of the account that has none. All accounts are looked at, whatever is found.
    pub fn compare(&self, username: &str, password: &str, own_name: &str) -> Claim {
        let [name, password, own_name] = [username, password, own_name].map(|part| hmac::sign(&self.key, part.as_bytes()));
        let (mut known, mut right) = (false, false);
        for account in &self.list {
            let name_fits = same(account.name_tag.as_ref().unwrap_or(&own_name), &name);
            let password_fits = same(&account.password_tag, &password);
            known |= name_fits;
            right |= name_fits & password_fits;
        }
        match (known, right) {
            (_, true) => Claim::Right,
            (true, false) => Claim::WrongPassword,
            (false, false) => Claim::UnknownUser,
        }
    }

    /// Whether it was made from the same text.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.digest.as_ref() == other.digest.as_ref()
    }

    /// A line that stands there twice is a mistake of whoever wrote it.
    fn no_duplicates(&self) -> Result<(), &'static str> {
        let mut seen = HashSet::new();
        let unique =
            self.list.iter().all(|account| seen.insert((account.name_tag.as_ref().map(Tag::as_ref), account.password_tag.as_ref())));
        if unique { Ok(()) } else { Err("one of its users stands there twice with the same password") }
    }
}

fn account(key: &hmac::Key, members: Vec<(Key, Json)>, named: bool) -> Result<Account, &'static str> {
    let (username, password) = json::credential(members)?;
    let username = match username {
        None if !named => None,
        username => Some(json::text(username, json::USERNAME)?),
    };
    let password = json::text(password, json::PASSWORD)?;
    // Nobody could log in with it: a session takes no more.
    if username.as_ref().is_some_and(|name| name.len() > LOGIN_USERNAME_BYTES_MAX) {
        return Err("its username is longer than 255 octets");
    }
    if password.len() > LOGIN_PASSWORD_BYTES_MAX {
        return Err("its password is longer than 1024 octets");
    }
    Ok(Account {
        name_tag: username.as_ref().map(|name| hmac::sign(key, name.as_bytes())),
        password_tag: hmac::sign(key, password.as_bytes()),
    })
}

fn same(one: &Tag, other: &Tag) -> bool {
    verify_slices_are_equal(one.as_ref(), other.as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> &'static str {
        Accounts::from_json(json).map(|_| ()).expect_err(json)
    }

    #[test]
    fn each_shape_lets_its_users_in() {
        let one = Accounts::from_json(r#"{"username": "tim", "password": "p\u00e4ss"}"#).unwrap();
        let nameless = Accounts::from_json(r#"{"password": "secret"}"#).unwrap();
        let users =
            r#"{"users": [{"username": "a", "password": "1"}, {"username": "b", "password": "2"}, {"username": "a", "password": "3"}]}"#;
        let several = Accounts::from_json(users).unwrap();
        for (accounts, username, password, claim) in [
            (&one, "tim", "päss", Claim::Right),
            (&one, "tim", "pass", Claim::WrongPassword),
            (&one, "Tim", "päss", Claim::UnknownUser),
            (&one, "submission", "päss", Claim::UnknownUser),
            (&nameless, "submission", "secret", Claim::Right),
            (&nameless, "submission", "", Claim::WrongPassword),
            (&nameless, "", "secret", Claim::UnknownUser),
            (&several, "a", "1", Claim::Right),
            (&several, "a", "3", Claim::Right),
            (&several, "b", "2", Claim::Right),
            (&several, "a", "2", Claim::WrongPassword),
            (&several, "b", "1", Claim::WrongPassword),
            (&several, "c", "1", Claim::UnknownUser),
        ] {
            assert_eq!(accounts.compare(username, password, "submission"), claim, "{username} {password}");
        }
    }

    #[test]
    fn everything_else_is_refused_without_a_word_of_the_content() {
        let no_object = "it is JSON, but not an object with password or users";
        let deep = format!(r#"{{"users": [{{"username": "a", "password": {}{}}}]}}"#, "[".repeat(100_000), "]".repeat(100_000));
        let long = |bytes: usize| "x".repeat(bytes);
        for (json, expected) in [
            ("hunter2", "it is not JSON"),
            (r#"{"password": "hunter2"} x"#, "it is not JSON"),
            (r#"["hunter2"]"#, no_object),
            (r#""hunter2""#, no_object),
            ("{}", "it has no password"),
            (r#"{"username": "a"}"#, "it has no password"),
            (r#"{"password": 17}"#, "its password is not a text"),
            (r#"{"password": ""}"#, "its password is empty"),
            (r#"{"password": "a\u0000"}"#, "its password holds a NUL"),
            (r#"{"username": null, "password": "x"}"#, "its username is not a text"),
            (r#"{"username": "", "password": "x"}"#, "its username is empty"),
            (r#"{"password": "x", "host": "hunter2"}"#, "it has a key besides username and password"),
            (r#"{"password": "x", "password": "x"}"#, "it has password twice"),
            (r#"{"users": []}"#, "its list of users is empty"),
            (r#"{"users": {}}"#, "its users are not a list"),
            (r#"{"users": [], "users": []}"#, "it has a key besides users"),
            (r#"{"users": [], "password": "hunter2"}"#, "it has a key besides users"),
            (r#"{"users": ["hunter2"]}"#, "one of its users is not an object with username and password"),
            (r#"{"users": [{"password": "hunter2"}]}"#, "it has no username"),
            (r#"{"users": [{"username": "a", "password": "x", "users": []}]}"#, "it has a key besides username and password"),
            (
                r#"{"users": [{"username": "a", "password": "x"}, {"username": "a", "password": "x"}]}"#,
                "one of its users stands there twice with the same password",
            ),
            (&deep, "its password is not a text"),
            (&format!(r#"{{"password": "{}"}}"#, long(LOGIN_PASSWORD_BYTES_MAX + 1)), "its password is longer than 1024 octets"),
            (
                &format!(r#"{{"username": "{}", "password": "x"}}"#, long(LOGIN_USERNAME_BYTES_MAX + 1)),
                "its username is longer than 255 octets",
            ),
        ] {
            assert_eq!(problem(json), expected, "{}", json.get(..60).unwrap_or(json));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let accounts = Accounts::from_json(r#"{"username": "tim", "password": "hunter2"}"#).unwrap();
        assert_eq!(format!("{accounts:?}"), "Accounts(..)");
    }
}
