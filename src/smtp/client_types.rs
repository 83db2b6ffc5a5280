//! What goes in and out of the client's session: the envelope, what EHLO offered, events, verdicts and the ways in which it ends.

use std::fmt;

use super::address::ReversePath;
use super::client_auth::Mechanism;
use super::dsn::{EnvelopeId, Recipient, Return};
use super::reply::Reply;
use super::reply_parser::ReplyError;

/// What a next hop's EHLO offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 1870; 0 stands for no fixed limit.
    pub size: Option<u64>,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 6531.
    pub smtputf8: bool,
    /// RFC 3207.
    pub starttls: bool,
    /// RFC 3030.
    pub chunking: bool,
    /// RFC 2034.
    pub enhanced_status_codes: bool,
    /// RFC 3461.
    pub dsn: bool,
    /// RFC 8689.
    pub require_tls: bool,
    /// RFC 9422 §3.1: transactions in one session, `None` when it is not said.
    pub mail_max: Option<u32>,
    /// RFC 9422 §3.2: recipients of one transaction.
    pub rcpt_max: Option<usize>,
    /// RFC 9422 §3.3: domains of the recipients of one transaction.
    pub rcpt_domain_max: Option<usize>,
    /// RFC 4954: PLAIN is offered.
    pub auth_plain: bool,
    /// RFC 4954: LOGIN is offered.
    pub auth_login: bool,
    /// XOAUTH2 is offered.
    pub auth_xoauth2: bool,
    /// The mechanisms of AUTH as they were offered, for people.
    pub auth_offered: String,
}

/// Names of mechanisms that are kept to be shown; the rest is left out.
const AUTH_OFFERED_BYTES_MAX: usize = 200;

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing: it was refused here, for what the next hop does not offer.
    Unsent,
    /// The connection.
    Greeting,
    /// EHLO, or LHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// STARTTLS.
    StartTls,
    /// AUTH and its answers.
    Auth,
    /// RSET.
    Rset,
    /// MAIL.
    Mail,
    /// RCPT, by its place in the transaction.
    Rcpt(usize),
    /// DATA.
    Data,
    /// The final dot, or the last octet of the last chunk.
    FinalDot,
    /// QUIT.
    Quit,
}

/// One transaction's envelope.
#[derive(Clone, Debug)]
pub struct Transaction<'a> {
    /// MAIL FROM.
    pub reverse_path: &'a ReversePath,
    /// RCPT TO.
    pub recipients: Vec<&'a Recipient>,
    /// Octets of the content, dots not doubled (RFC 1870 §6.1).
    pub content_bytes: u64,
    /// The content has 8-bit bytes. When the next hop does not offer 8BITMIME they are sent all the same: to encode them
    /// again would break DKIM signatures, and next hops in use pass them.
    pub eight_bit: bool,
    /// SMTPUTF8 is needed.
    pub smtputf8: bool,
    /// REQUIRETLS is wanted.
    pub require_tls: RequireTls,
    /// How much of the message a notification returns, for a next hop with DSN.
    pub ret: Option<Return>,
    /// The sender's name for the transaction, for a next hop with DSN.
    pub envelope_id: Option<&'a EnvelopeId>,
    /// The content goes by BDAT where CHUNKING is offered (RFC 3030).
    pub chunking: bool,
}

/// What is spoken to a next hop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// SMTP.
    #[default]
    Smtp,
    /// LMTP (RFC 2033): LHLO, and after the content one reply for each recipient that was accepted.
    Lmtp,
}

/// Whether MAIL says REQUIRETLS (RFC 8689). The connection is the driver's business: it has TLS unless this says no, and a verified
/// certificate if it must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequireTls {
    /// It does not.
    #[default]
    No,
    /// If the next hop offers it: a notification must not be lost for it (RFC 8689 §5).
    IfOffered,
    /// Without it the next hop gets nothing.
    Must,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not known: the session ended before.
    Pending,
    /// RCPT was accepted; what became of the content is not known.
    RecipientAccepted,
    /// The final dot got 2xx: the next hop is responsible.
    Taken(Reply),
    /// Refused, by the reply to a command or by one of ours.
    Refused(Stage, Reply),
}

/// What the driver has to know or to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// EHLO or HELO is done.
    Ready,
    /// Do the handshake, then call [`super::Client::tls_established`].
    StartTls,
    /// STARTTLS was refused; the session goes on in plain text if the driver wants it.
    StartTlsRefused(Reply),
    /// AUTH succeeded.
    Authenticated,
    /// AUTH was refused.
    AuthRefused(Reply),
    /// Write the content through [`super::WireForm::data`], then call [`super::Client::content_sent`].
    SendContent,
    /// Write the content through [`super::WireForm::last_chunk`], then call [`super::Client::content_sent`].
    SendChunk,
    /// Every recipient has its verdict.
    TransactionDone,
    /// QUIT was answered.
    Closed,
}

/// Why the session is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// Bytes that are no reply.
    Nonsense(ReplyError),
    /// A reply of a class that cannot answer the command.
    Unexpected(Stage, Reply),
    /// A reply to nothing.
    Unsolicited(Reply),
    /// Plain text between the reply to STARTTLS and the handshake: someone tries to put words into the encrypted session.
    Injection,
    /// The next hop does not want to talk: greeting or EHLO refused, or 421 to anything (RFC 5321 §3.8).
    Refused(Stage, Reply),
}

impl Extensions {
    /// Reads the reply to EHLO (RFC 5321 §4.1.1.1): keywords in any case, the first line is the greeting.
    pub(super) fn parse(reply: &Reply) -> Self {
        let mut offered = Self::default();
        for line in reply.text.split('\n').skip(1) {
            let mut words = line.split_ascii_whitespace();
            let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
            match keyword.as_str() {
                // A number that cannot be read says as much as none (RFC 1870 §4).
                "SIZE" => offered.size = Some(words.next().and_then(|digits| digits.parse().ok()).unwrap_or(0)),
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtputf8 = true,
                "STARTTLS" => offered.starttls = true,
                "CHUNKING" => offered.chunking = true,
                "ENHANCEDSTATUSCODES" => offered.enhanced_status_codes = true,
                "DSN" => offered.dsn = true,
                "REQUIRETLS" => offered.require_tls = true,
                "LIMITS" => words.for_each(|limit| offered.note_limit(limit)),
                "AUTH" => words.for_each(|mechanism| offered.note_mechanism(mechanism)),
                // Old servers write the keyword and the first mechanism as one word.
                _ => {
                    if let Some(first) = keyword.strip_prefix("AUTH=") {
                        offered.note_mechanism(first);
                        words.for_each(|mechanism| offered.note_mechanism(mechanism));
                    }
                }
            }
        }
        offered
    }

    /// PLAIN before LOGIN, for a password; `None` when neither is offered.
    pub fn mechanism(&self) -> Option<Mechanism> {
        if self.auth_plain {
            Some(Mechanism::Plain)
        } else if self.auth_login {
            Some(Mechanism::Login)
        } else {
            None
        }
    }

    /// RFC 9422 §4: `NAME=value`; what is not understood is not heeded, and a limit of nothing would say that nothing is taken at all.
    fn note_limit(&mut self, limit: &str) {
        let Some((name, number)) = limit.split_once('=') else { return };
        let Some(number) = number.parse::<u32>().ok().filter(|number| *number > 0) else { return };
        let wide = usize::try_from(number).ok();
        match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => self.mail_max = Some(number),
            "RCPTMAX" => self.rcpt_max = wide,
            "RCPTDOMAINMAX" => self.rcpt_domain_max = wide,
            _ => {}
        }
    }

    fn note_mechanism(&mut self, mechanism: &str) {
        let length = self.auth_offered.len().saturating_add(mechanism.len());
        if length < AUTH_OFFERED_BYTES_MAX && mechanism.bytes().all(|byte| byte.is_ascii_graphic()) {
            self.auth_offered.push_str(if self.auth_offered.is_empty() { "" } else { " " });
            self.auth_offered.push_str(mechanism);
        }
        self.auth_xoauth2 |= mechanism.eq_ignore_ascii_case("XOAUTH2");
        self.auth_plain |= mechanism.eq_ignore_ascii_case("PLAIN");
        self.auth_login |= mechanism.eq_ignore_ascii_case("LOGIN");
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsent => "nothing",
            Self::Greeting => "the connection",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Rset => "RSET",
            Self::Mail => "MAIL",
            Self::Rcpt(_) => "RCPT",
            Self::Data => "DATA",
            Self::FinalDot => "the final dot",
            Self::Quit => "QUIT",
        })
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nonsense(error) => write!(f, "nonsense from the next hop: {error}"),
            Self::Unexpected(stage, reply) => write!(f, "a reply that cannot answer {stage}: {reply}"),
            Self::Unsolicited(reply) => write!(f, "a reply to nothing: {reply}"),
            Self::Injection => f.write_str("plain text after the reply to STARTTLS"),
            Self::Refused(stage, reply) => write!(f, "the next hop refused {stage}: {reply}"),
        }
    }
}
