//! The keys of SRS addresses: one a line, or the member `keys` of a JSON object. The first signs, all verify.
//!
//! Errors name the mistake, never a byte of the content. Keys are held by the crypto library alone.

use std::fmt;

use aws_lc_rs::hmac;

use super::json::{self, Json, Key};
use crate::limits::{SRS_KEY_BYTES_MIN, SRS_KEYS_MAX};

/// Keys for HMAC-SHA1, which is what other implementations of SRS use. `Debug` shows nothing of them.
pub struct SrsKeys(Vec<hmac::Key>);

impl fmt::Debug for SrsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrsKeys(..)")
    }
}

impl SrsKeys {
    /// Reads the keys; the error says what is wrong with them.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if !text.starts_with('{') {
            return Self::of(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::as_bytes));
        }
        let Json::Object(members) = json::read(text, 2)? else { return Err("it is JSON, but not an object with keys") };
        let mut keys = None;
        for (key, value) in members {
            if key != Key::Keys {
                return Err("it has a key besides keys");
            }
            if keys.replace(value).is_some() {
                return Err("it has keys twice");
            }
        }
        let Some(Json::List(keys)) = keys else { return Err("its keys are not a list of texts") };
        let mut texts = Vec::with_capacity(keys.len());
        for key in &keys {
            let Json::Text(key) = key else { return Err("its keys are not a list of texts") };
            texts.push(key.as_bytes());
        }
        Self::of(texts.into_iter())
    }

    fn of<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Result<Self, &'static str> {
        let mut made = Vec::new();
        for key in keys {
            if key.len() < SRS_KEY_BYTES_MIN {
                return Err("it has a key of less than 16 octets");
            }
            if made.len() >= SRS_KEYS_MAX {
                return Err("it has more than 8 keys");
            }
            made.push(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
        }
        if made.is_empty() { Err("it holds no key") } else { Ok(Self(made)) }
    }

    /// The HMAC of these octets under each key, the signing one first.
    pub fn macs(&self, octets: &[u8]) -> Vec<[u8; 20]> {
        let mac = |key| <[u8; 20]>::try_from(hmac::sign(key, octets).as_ref()).ok();
        self.0.iter().filter_map(mac).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_json_are_read_alike() {
        let (new, old) = ("a key of many octets", "the key that was before it");
        let lines = SrsKeys::from_text(&format!("{new}\n\n {old}\r\n")).unwrap();
        let json = SrsKeys::from_text(&serde_json::json!({ "keys": [new, old] }).to_string()).unwrap();
        assert_eq!(lines.macs(b"octets"), json.macs(b"octets"));
        assert_eq!(lines.macs(b"octets").len(), 2);
        assert_eq!(SrsKeys::from_text(new).unwrap().macs(b"octets"), lines.macs(b"octets")[..1]);
        assert_eq!(format!("{lines:?}"), "SrsKeys(..)");
    }

    #[test]
    fn mistakes_are_named_and_nothing_of_the_content_is() {
        let json = |value: serde_json::Value| value.to_string();
        for (text, problem) in [
            (String::new(), "it holds no key"),
            ("hunter2".to_owned(), "it has a key of less than 16 octets"),
            ("a key of many octets\nhunter2".to_owned(), "it has a key of less than 16 octets"),
            ("a key of many octets\n".repeat(9), "it has more than 8 keys"),
            ("{hunter2".to_owned(), "it is not JSON"),
            ("{}".to_owned(), "its keys are not a list of texts"),
            (json(serde_json::json!({ "keys": "a key of many octets" })), "its keys are not a list of texts"),
            (json(serde_json::json!({ "keys": [2] })), "its keys are not a list of texts"),
            (json(serde_json::json!({ "keys": [] })), "it holds no key"),
            (json(serde_json::json!({ "keys": ["a key of many octets"], "hunter2": 1 })), "it has a key besides keys"),
            ("{\"keys\": [], \"keys\": []}".to_owned(), "it has keys twice"),
        ] {
            assert_eq!(SrsKeys::from_text(&text).map(|_| ()), Err(problem), "{text}");
        }
    }
}
