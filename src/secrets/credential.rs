//! The JSON of a credential: an object of exactly `username` and `password`, both texts that are not empty.
//!
//! Errors name the mistake and the key at most, never a byte of the content.

use std::fmt;

use zeroize::Zeroizing;

use super::json::{self, Json};

/// A user name and a password. `Debug` and every error leave them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// User name.
    pub username: Zeroizing<String>,
    /// Password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Credential {
    /// Reads the JSON; the error says what is wrong with it.
    pub(super) fn from_json(json: &str) -> Result<Self, &'static str> {
        let Json::Object(members) = json::read(json, 1)? else {
            return Err("it is JSON, but not an object with username and password");
        };
        let (username, password) = json::credential(members)?;
        Ok(Self { username: json::text(username, json::USERNAME)?, password: json::text(password, json::PASSWORD)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_exactly_username_and_password_is_read() {
        for json in [
            r#"{"username": "relay", "password": "p\u00e4ss\" word"}"#,
            "\n{ \"password\":\"p\u{e4}ss\\\" word\",\r\n\t\"username\":\"relay\" }\n",
        ] {
            let read = Credential::from_json(json).unwrap();
            assert_eq!((read.username.as_str(), read.password.as_str()), ("relay", "päss\" word"));
        }
    }

    #[test]
    fn everything_else_is_refused_without_a_word_of_the_content() {
        let not_json = "it is not JSON";
        let no_object = "it is JSON, but not an object with username and password";
        for (json, problem) in [
            ("", not_json),
            ("hunter2", not_json),
            (r#"{"username": "hunter2", "password": "hunter2""#, not_json),
            (r#"{"username": "hunter2", "password": "hunter2"} hunter2"#, not_json),
            (r#"{"username": "hunter2", "password": "hunter2",}"#, not_json),
            (r#"{'username': 'hunter2', 'password': 'hunter2'}"#, not_json),
            ("\u{feff}{\"username\": \"hunter2\", \"password\": \"hunter2\"}", not_json),
            (r#""hunter2""#, no_object),
            ("17", no_object),
            ("-1.5", no_object),
            ("true", no_object),
            ("null", no_object),
            (r#"["hunter2", {"password": "hunter2"}]"#, no_object),
            ("{}", "it has no username"),
            (r#"{"password": "hunter2"}"#, "it has no username"),
            (r#"{"username": "hunter2"}"#, "it has no password"),
            (r#"{"username": "", "password": "hunter2"}"#, "its username is empty"),
            (r#"{"username": "hunter2", "password": ""}"#, "its password is empty"),
            (r#"{"username": "hunter2", "password": "a\u0000b"}"#, "its password holds a NUL"),
            (r#"{"username": 17, "password": "hunter2"}"#, "its username is not a text"),
            (r#"{"username": "hunter2", "password": null}"#, "its password is not a text"),
            (r#"{"username": "hunter2", "password": ["hunter2"]}"#, "its password is not a text"),
            (r#"{"username": {"hunter2": {}}, "password": "hunter2"}"#, "its username is not a text"),
            (r#"{"username": "a", "username": "hunter2", "password": "b"}"#, "it has username twice"),
            (r#"{"username": "a", "password": "b", "password": "b"}"#, "it has password twice"),
            (r#"{"username": "a", "password": "b", "hunter2": "c"}"#, "it has a key besides username and password"),
            (r#"{"Username": "hunter2", "password": "hunter2"}"#, "it has a key besides username and password"),
        ] {
            assert_eq!(Credential::from_json(json).map(|_| ()), Err(problem), "{json}");
            assert!(!problem.contains("hunter2"));
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_not_a_crash() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (json, problem) in [
            (format!(r#"{{"username": {deep}, "password": "x"}}"#), "its username is not a text"),
            (deep.clone(), "it is JSON, but not an object with username and password"),
            ("[".repeat(100_000), "it is not JSON"),
        ] {
            assert_eq!(Credential::from_json(&json).map(|_| ()), Err(problem));
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let credential = Credential::from_json(r#"{"username": "relay", "password": "hunter2"}"#).unwrap();
        assert_eq!(format!("{credential:?}"), "Credential(..)");
    }
}
