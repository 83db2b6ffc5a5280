//! What a client says after AUTH (RFC 4954): PLAIN (RFC 4616), and LOGIN, which has no RFC and many servers.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::base64;

/// A mechanism this gateway can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616; preferred.
    Plain,
    /// User name and password, each after a challenge.
    Login,
}

impl Mechanism {
    /// Its name in AUTH and EHLO.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// A line that holds something of a secret.
pub(super) type SecretLine = Zeroizing<Vec<u8>>;

/// The AUTH command and the answers to the challenges that follow it.
pub(super) fn exchange(mechanism: Mechanism, username: &str, password: &str) -> (SecretLine, VecDeque<SecretLine>) {
    match mechanism {
        Mechanism::Plain => {
            let mut message = Zeroizing::new(Vec::with_capacity(username.len().saturating_add(password.len()).saturating_add(2)));
            for part in ["\0", username, "\0", password] {
                message.extend_from_slice(part.as_bytes());
            }
            // RFC 4954 §4: a server that does not take the initial response asks for it with an empty challenge.
            (line("AUTH PLAIN ", &message), VecDeque::from([line("", &message)]))
        }
        Mechanism::Login => {
            let answers = VecDeque::from([line("", username.as_bytes()), line("", password.as_bytes())]);
            (Zeroizing::new(b"AUTH LOGIN\r\n".to_vec()), answers)
        }
    }
}

/// How a login looks on the wire, so that a driver can keep a next hop that repeats it from getting it into a log.
pub fn auth_encodings(username: &str, password: &str) -> [Zeroizing<String>; 2] {
    let text = |bytes: &[u8]| Zeroizing::new(String::from_utf8_lossy(&base64::encode(bytes)).into_owned());
    let message = Zeroizing::new(format!("\0{username}\0{password}"));
    [text(password.as_bytes()), text(message.as_bytes())]
}

fn line(command: &str, message: &[u8]) -> SecretLine {
    let encoded = base64::encode(message);
    let mut line = Zeroizing::new(Vec::with_capacity(command.len().saturating_add(encoded.len()).saturating_add(2)));
    line.extend_from_slice(command.as_bytes());
    line.extend_from_slice(&encoded);
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_the_example_of_rfc_4616() {
        let (command, answers) = exchange(Mechanism::Plain, "tim", "tanstaaftanstaaf");
        assert_eq!(*command, b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
        assert_eq!(answers.len(), 1);
    }
}
