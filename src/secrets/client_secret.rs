//! The secret of an application at a token endpoint: its bare text, or the member `client_secret` of a JSON object.
//!
//! Errors name the mistake, never a byte of the content.

use std::fmt;

use zeroize::Zeroizing;

use super::json::{self, Json, Key};

/// A client secret (RFC 6749 §2.3.1). `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Zeroizing<String>);

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

impl ClientSecret {
    /// Reads either form; the error says what is wrong with it. White space around a bare text is that of the editor.
    pub fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("it is empty");
        }
        if !text.starts_with('{') {
            // RFC 6749 appendix A.2: VSCHAR.
            let is_visible = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
            return if is_visible { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err("it is not one line of ASCII") };
        }
        let Json::Object(members) = json::read(text, 1)? else { return Err("it is JSON, but not an object with client_secret") };
        let mut secret = None;
        for (key, value) in members {
            if key != Key::ClientSecret {
                return Err("it has a key besides client_secret");
            }
            if secret.replace(value).is_some() {
                return Err("it has client_secret twice");
            }
        }
        json::text(secret, json::CLIENT_SECRET).map(Self)
    }

    /// The secret itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        for text in ["abc~8Q.x_y", " abc~8Q.x_y\n", r#"{"client_secret": "abc~8Q.x_y"}"#] {
            let read = ClientSecret::from_text(text).unwrap();
            assert_eq!(read.as_str(), "abc~8Q.x_y");
            assert_eq!(format!("{read:?}"), "ClientSecret(..)");
        }
    }

    #[test]
    fn mistakes_are_named_and_nothing_of_the_content_is() {
        for (text, problem) in [
            ("", "it is empty"),
            (" \n", "it is empty"),
            ("hunter2\nhunter3", "it is not one line of ASCII"),
            ("hünter2", "it is not one line of ASCII"),
            ("{hunter2", "it is not JSON"),
            ("{}", "it has no client_secret"),
            (r#"{"client_secret": 2}"#, "its client_secret is not a text"),
            (r#"{"client_secret": ""}"#, "its client_secret is empty"),
            (r#"{"client_secret": "hunter2", "client_id": "x"}"#, "it has a key besides client_secret"),
            (r#"{"client_secret": "a", "client_secret": "b"}"#, "it has client_secret twice"),
        ] {
            assert_eq!(ClientSecret::from_text(text), Err(problem), "{text}");
        }
    }
}
