//! The JSON of a credential: an object of exactly `username` and `password`, both texts that are not empty.
//!
//! Errors name the mistake and the key at most, never a byte of the content: where JSON is broken, a password may stand anywhere.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

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
    ///
    /// What is copied here is wiped when it is dropped. The JSON reader's own scratch buffer, used for texts with escapes only, is
    /// not: there is no way to reach it.
    pub(super) fn from_json(json: &str) -> Result<Self, &'static str> {
        let members = match serde_json::from_str(json) {
            Ok(Shape::Object(members)) => members,
            Ok(Shape::Other) => return Err("it is JSON, but not an object with username and password"),
            // The reader's own message would quote what it found.
            Err(_) => return Err("it is not JSON"),
        };
        let (mut username, mut password) = (None, None);
        for (key, value) in members {
            let (place, twice) = match key {
                Key::Username => (&mut username, "it has username twice"),
                Key::Password => (&mut password, "it has password twice"),
                Key::Other => return Err("it has a key besides username and password"),
            };
            if place.replace(value).is_some() {
                return Err(twice);
            }
        }
        Ok(Self {
            username: text(
                username,
                ["it has no username", "its username is not a text", "its username is empty", "its username holds a NUL"],
            )?,
            password: text(
                password,
                ["it has no password", "its password is not a text", "its password is empty", "its password holds a NUL"],
            )?,
        })
    }
}

fn text(member: Option<Member>, [missing, no_text, empty, nul]: [&'static str; 4]) -> Result<Zeroizing<String>, &'static str> {
    match member {
        None => Err(missing),
        Some(Member::Other) => Err(no_text),
        Some(Member::Text(text)) if text.is_empty() => Err(empty),
        // AUTH PLAIN separates its parts by NUL (RFC 4616 §2).
        Some(Member::Text(text)) if text.contains('\0') => Err(nul),
        Some(Member::Text(text)) => Ok(text),
    }
}

/// Any JSON, as far as it matters here. Members stay in a list, since a map would hide duplicates.
enum Shape {
    Object(Vec<(Key, Member)>),
    Other,
}

enum Key {
    Username,
    Password,
    Other,
}

enum Member {
    Text(Zeroizing<String>),
    Other,
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShapeVisitor)
    }
}

struct ShapeVisitor;

impl<'de> Visitor<'de> for ShapeVisitor {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key()? {
            members.push((key, map.next_value()?));
        }
        Ok(Shape::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Shape, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other)
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Other)
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
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl<'de> Visitor<'de> for MemberVisitor {
            type Value = Member;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_str<E>(self, text: &str) -> Result<Member, E> {
                Ok(Member::Text(Zeroizing::new(text.to_owned())))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Member, A::Error> {
                ShapeVisitor.visit_map(map).map(|_| Member::Other)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Member, A::Error> {
                ShapeVisitor.visit_seq(items).map(|_| Member::Other)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Member, E> {
                Ok(Member::Other)
            }

            fn visit_unit<E>(self) -> Result<Member, E> {
                Ok(Member::Other)
            }
        }
        deserializer.deserialize_any(MemberVisitor)
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
