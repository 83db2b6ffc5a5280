//! JSON as far as secrets are made of it. Texts wipe themselves, and no error holds a byte of the content: where JSON is broken,
//! a password may stand anywhere.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

/// A value. Members stay in a list, since a map would hide duplicates.
pub(super) enum Json {
    Object(Vec<(Key, Json)>),
    List(Vec<Json>),
    Text(Zeroizing<String>),
    /// A number, a boolean, null, or what is nested too deep to matter.
    Other,
}

/// The keys that mean something in one secret or another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Username,
    Password,
    Users,
    Private,
    Certificate,
    ClientSecret,
    Keys,
    Other,
}

/// Reads one value, objects and lists down to so many levels; deeper ones are skipped, however deep.
///
/// The JSON reader's own scratch buffer, used for texts with escapes only, is not wiped: there is no way to reach it.
pub(super) fn read(json: &str, levels: u32) -> Result<Json, &'static str> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let value = Level(levels).deserialize(&mut reader);
    // The reader's own message would quote what it found.
    match (value, reader.end()) {
        (Ok(value), Ok(())) => Ok(value),
        _ => Err("it is not JSON"),
    }
}

/// The members `username` and `password`, as they came; any other is a mistake.
pub(super) fn credential(members: Vec<(Key, Json)>) -> Result<(Option<Json>, Option<Json>), &'static str> {
    let (mut username, mut password) = (None, None);
    for (key, value) in members {
        let (place, twice) = match key {
            Key::Username => (&mut username, "it has username twice"),
            Key::Password => (&mut password, "it has password twice"),
            _ => return Err("it has a key besides username and password"),
        };
        if place.replace(value).is_some() {
            return Err(twice);
        }
    }
    Ok((username, password))
}

/// The text of a member that must be there.
pub(super) fn text(member: Option<Json>, [missing, no_text, empty, nul]: [&'static str; 4]) -> Result<Zeroizing<String>, &'static str> {
    match member {
        None => Err(missing),
        Some(Json::Text(text)) if text.is_empty() => Err(empty),
        // AUTH PLAIN separates its parts by NUL (RFC 4616 §2).
        Some(Json::Text(text)) if text.contains('\0') => Err(nul),
        Some(Json::Text(text)) => Ok(text),
        Some(_) => Err(no_text),
    }
}

/// What a password lacks, for [`text`].
pub(super) const PASSWORD: [&str; 4] =
    ["it has no password", "its password is not a text", "its password is empty", "its password holds a NUL"];
/// The same of a user name.
pub(super) const USERNAME: [&str; 4] =
    ["it has no username", "its username is not a text", "its username is empty", "its username holds a NUL"];

/// The same of a private key.
pub(super) const PRIVATE_KEY: [&str; 4] =
    ["it has no private_key", "its private_key is not a text", "its private_key is empty", "its private_key holds a NUL"];

/// The same of a certificate.
pub(super) const CERTIFICATE: [&str; 4] =
    ["it has no certificate", "its certificate is not a text", "its certificate is empty", "its certificate holds a NUL"];

/// The same of a client secret.
pub(super) const CLIENT_SECRET: [&str; 4] =
    ["it has no client_secret", "its client_secret is not a text", "its client_secret is empty", "its client_secret holds a NUL"];

/// Levels that are still looked into.
#[derive(Clone, Copy)]
struct Level(u32);

impl<'de> DeserializeSeed<'de> for Level {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let Some(below) = self.0.checked_sub(1) else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Json::Other);
        };
        let mut members = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value_seed(Level(below))?));
        }
        Ok(Json::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let Some(below) = self.0.checked_sub(1) else {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Json::Other);
        };
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Level(below))? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                Ok(match key {
                    "username" => Key::Username,
                    "password" => Key::Password,
                    "users" => Key::Users,
                    "private_key" => Key::Private,
                    "certificate" => Key::Certificate,
                    "client_secret" => Key::ClientSecret,
                    "keys" => Key::Keys,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}
