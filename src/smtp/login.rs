//! What a client sends to log in: PLAIN (RFC 4616), and LOGIN, which has no RFC and many clients.
//!
//! Names and passwords are compared octet by octet later, so nothing is normalized here. Whatever holds a password wipes itself,
//! and no `Debug` shows one.

use std::fmt;

use zeroize::Zeroizing;

use super::base64::{self, Secret};
use super::{Mechanism, Reply, replies};
use crate::limits::{LOGIN_PASSWORD_BYTES_MAX, LOGIN_USERNAME_BYTES_MAX};

/// A name and a password as a client claims them: UTF-8, no NUL, neither empty nor over its limit. Who they belong to is open.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// How they came.
    pub mechanism: Mechanism,
    /// The name. The client's word: it may hold anything but NUL, and be a password typed into the wrong field.
    pub username: Zeroizing<String>,
    /// The password.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", self.mechanism.as_str())
    }
}

impl Login {
    /// Reads the message of PLAIN, `[authzid] NUL authcid NUL passwd` (RFC 4616 §2).
    pub(super) fn from_plain(message: &[u8]) -> Result<Self, Reply> {
        let text = std::str::from_utf8(message).map_err(|_| replies::AUTH_MALFORMED)?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(username), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return Err(replies::AUTH_MALFORMED);
        };
        // Nobody acts for another here, and whether that other exists is not said (RFC 4616 §2).
        if !authzid.is_empty() && authzid != username {
            return Err(replies::AUTH_REFUSED);
        }
        Self::new(Mechanism::Plain, username, password)
    }

    /// Takes the two answers of LOGIN.
    pub(super) fn from_answers(username: &str, password: &[u8]) -> Result<Self, Reply> {
        Self::new(Mechanism::Login, username, answer(password)?)
    }

    fn new(mechanism: Mechanism, username: &str, password: &str) -> Result<Self, Reply> {
        // No such login can be right, and to say why would tell a guesser about the rules.
        let possible = |part: &str, bytes_max: usize| (1..=bytes_max).contains(&part.len());
        if !possible(username, LOGIN_USERNAME_BYTES_MAX) || !possible(password, LOGIN_PASSWORD_BYTES_MAX) {
            return Err(replies::AUTH_REFUSED);
        }
        let own = |part: &str| Zeroizing::new(part.to_owned());
        Ok(Self { mechanism, username: own(username), password: own(password) })
    }
}

/// One answer of LOGIN as text; NUL is as wrong in it as in PLAIN.
pub(super) fn answer(message: &[u8]) -> Result<&str, Reply> {
    std::str::from_utf8(message).ok().filter(|text| !text.contains('\0')).ok_or(replies::AUTH_MALFORMED)
}

/// The argument of AUTH as it came, initial response included.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthArgument(Zeroizing<String>);

impl fmt::Debug for AuthArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthArgument(..)")
    }
}

impl AuthArgument {
    pub(super) fn new(argument: &str) -> Self {
        Self(Zeroizing::new(argument.to_owned()))
    }

    /// Mechanism and initial response (RFC 4954 §4): nothing, or decoded, where `=` is the empty one.
    pub(super) fn read(&self) -> Result<(Mechanism, Option<Secret>), Reply> {
        let (name, initial) = self.0.split_once(' ').unwrap_or((&self.0, ""));
        if name.is_empty() {
            return Err(replies::ARGUMENT_MISSING);
        }
        let mechanism = [Mechanism::Plain, Mechanism::Login].into_iter().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(name));
        let mechanism = mechanism.ok_or(replies::MECHANISM_UNKNOWN)?;
        let initial = match initial.trim_start_matches(' ') {
            "" => None,
            "=" => Some(Zeroizing::default()),
            encoded => Some(base64::decode(encoded.as_bytes()).ok_or(replies::AUTH_NOT_BASE64)?),
        };
        Ok((mechanism, initial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Result<(String, String), u16> {
        Login::from_plain(message.as_bytes())
            .map(|login| (login.username.to_string(), login.password.to_string()))
            .map_err(|reply| reply.code)
    }

    /// RFC 4616 §2 and its examples in §4.
    #[test]
    fn plain_has_three_parts() {
        let tim = Ok(("tim".to_owned(), "tanstaaf tanstaaf".to_owned()));
        let (longest_name, longest_password) = ("n".repeat(LOGIN_USERNAME_BYTES_MAX), "p".repeat(LOGIN_PASSWORD_BYTES_MAX));
        for (message, expected) in [
            ("\0tim\0tanstaaf tanstaaf", tim.clone()),
            ("tim\0tim\0tanstaaf tanstaaf", tim),
            ("\0tïm\0pässwörd", Ok(("tïm".to_owned(), "pässwörd".to_owned()))),
            ("Ursel\0tim\0x", Err(535)),
            ("TIM\0tim\0x", Err(535)),
            ("\0\0x", Err(535)),
            ("\0tim\0", Err(535)),
            (&format!("\0{longest_name}\0{longest_password}"), Ok((longest_name.clone(), longest_password.clone()))),
            (&format!("\0{longest_name}n\0x"), Err(535)),
            (&format!("\0tim\0{longest_password}p"), Err(535)),
            ("", Err(501)),
            ("tim", Err(501)),
            ("\0tim", Err(501)),
            ("tim\0x", Err(501)),
            ("\0tim\0x\0", Err(501)),
            ("\0tim\0x\0y", Err(501)),
            ("\0\0\0\0", Err(501)),
        ] {
            assert_eq!(read(message), expected, "{message:?}");
        }
        assert_eq!(Login::from_plain(b"\0tim\0\xff").unwrap_err().code, 501, "RFC 4616 §2: UTF-8");
    }

    #[test]
    fn debug_shows_neither_name_nor_password() {
        let login = Login::from_plain(b"\0tim\0hunter2").unwrap();
        assert_eq!(format!("{login:?}"), "Login(PLAIN)");
        assert_eq!(format!("{:?}", AuthArgument::new("PLAIN hunter2")), "AuthArgument(..)");
    }

    proptest::proptest! {
        #[test]
        fn no_message_makes_it_panic(message: Vec<u8>, parts in "[a\0é]{0,9}") {
            let _ = Login::from_plain(&message);
            let _ = Login::from_answers(&parts, &message);
            if let Ok(login) = Login::from_plain(parts.as_bytes()) {
                proptest::prop_assert!(!login.username.contains('\0') && !login.password.contains('\0'));
            }
        }
    }
}
