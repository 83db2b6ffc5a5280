//! What a client says after AUTH (RFC 4954): PLAIN (RFC 4616), and LOGIN and XOAUTH2, which have no RFC and many servers.
//!
//! Names of mechanisms go out in upper case: some servers of Exchange Online refuse others, whatever RFC 4422 §3.1 says.

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

/// The same for XOAUTH2, as Google and Microsoft take it: a user name and an access token.
pub(super) fn exchange_token(user: &str, token: &str) -> (SecretLine, VecDeque<SecretLine>) {
    // A challenge after the initial response says what is wrong with the token; the empty line asks for the final code.
    (line("AUTH XOAUTH2 ", &bearer(user, token)), VecDeque::from([line("", b"")]))
}

/// `user=USER^Aauth=Bearer TOKEN^A^A`, with 0x01 for `^A`.
fn bearer(user: &str, token: &str) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(user.len().saturating_add(token.len()).saturating_add(20)));
    for part in ["user=", user, "\u{1}auth=Bearer ", token, "\u{1}\u{1}"] {
        message.extend_from_slice(part.as_bytes());
    }
    message
}

/// How a login looks on the wire, so that a driver can keep a next hop that repeats it from getting it into a log.
pub fn auth_encodings(username: &str, password: &str) -> [Zeroizing<String>; 2] {
    let message = Zeroizing::new(format!("\0{username}\0{password}"));
    [encoded(password.as_bytes()), encoded(message.as_bytes())]
}

/// The same of a login with a token.
pub fn token_encoding(user: &str, token: &str) -> Zeroizing<String> {
    encoded(&bearer(user, token))
}

fn encoded(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(String::from_utf8_lossy(&base64::encode(bytes)).into_owned())
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

    #[test]
    fn xoauth2_is_the_example_of_its_makers() {
        let token = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";
        let (command, answers) = exchange_token("someuser@example.com", token);
        let expected = "AUTH XOAUTH2 dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMj\
                        l0Q2cBAQ==\r\n";
        assert_eq!(*command, expected.as_bytes());
        assert_eq!(answers.iter().map(|line| &***line).collect::<Vec<_>>(), [b"\r\n"]);
    }
}
