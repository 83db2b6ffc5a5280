//! The server's own replies, each with its source; what a policy or a next hop says comes from elsewhere.
//!
//! A limit that refuses something has a reply that nothing else uses: [`limit_of`] tells which it is.

use std::borrow::Cow;

use super::{Reply, Status};
use crate::limits::Limit;

/// The limit that a reply of the session speaks of.
pub fn limit_of(reply: &Reply) -> Option<Limit> {
    const REPLIES: &[(&Reply, Limit)] = &[
        (&TOO_MANY_ERRORS, Limit::Errors),
        (&TOO_MANY_BAD_RECIPIENTS, Limit::BadRecipients),
        (&TOO_MANY_LOGINS, Limit::LoginsPerSession),
        (&TOO_MUCH_JUNK, Limit::JunkCommands),
        (&TOO_MANY_MESSAGES, Limit::MessagesPerSession),
        (&TIMEOUT, Limit::IdleTimeout),
        (&SESSION_TOO_LONG, Limit::SessionTimeout),
        (&LINE_TOO_LONG, Limit::CommandLine),
        (&AUTH_LINE_TOO_LONG, Limit::CommandLine),
        (&TOO_MANY_RECIPIENTS, Limit::Recipients),
        (&MESSAGE_TOO_LARGE, Limit::MessageSize),
        (&NOT_ENOUGH_MEMORY, Limit::MessageMemory),
        (&NOT_ENOUGH_STORAGE, Limit::SpoolFree),
    ];
    REPLIES.iter().find(|(known, _)| *known == reply).map(|(_, limit)| *limit)
}

// ---- positive ----

/// RFC 5321 §4.3.2; RFC 2034 §4 has no status of class 3.
pub(super) const START_MAIL_INPUT: Reply = Reply { code: 354, status: None, text: Cow::Borrowed("End data with <CR><LF>.<CR><LF>") };
pub(super) const SENDER_OK: Reply = Reply::fixed(250, Status(2, 1, 0), "Sender ok");
pub(super) const RECIPIENT_OK: Reply = Reply::fixed(250, Status(2, 1, 5), "Recipient ok");
pub(super) const OK: Reply = Reply::fixed(250, Status(2, 0, 0), "Ok");
pub(super) const HELP: Reply = Reply::fixed(214, Status(2, 0, 0), "See RFC 5321");
pub(super) const BYE: Reply = Reply::fixed(221, Status(2, 0, 0), "Bye");
pub(super) const READY_FOR_TLS: Reply = Reply::fixed(220, Status(2, 0, 0), "Ready to start TLS");
/// RFC 5321 §7.3 lets a server keep its users to itself.
pub(super) const NOT_VERIFIED: Reply = Reply::fixed(252, Status(2, 0, 0), "Cannot verify; send mail to find out");

// ---- AUTH (RFC 4954 §4, §6; the codes of 334, 235 and the rest are there) ----

/// A challenge is base64 and nothing else, so it has no status.
pub(super) const CHALLENGE_EMPTY: Reply = Reply { code: 334, status: None, text: Cow::Borrowed("") };
/// `Username:`, which is what clients of LOGIN look for.
pub(super) const CHALLENGE_USERNAME: Reply = Reply { code: 334, status: None, text: Cow::Borrowed("VXNlcm5hbWU6") };
/// `Password:`.
pub(super) const CHALLENGE_PASSWORD: Reply = Reply { code: 334, status: None, text: Cow::Borrowed("UGFzc3dvcmQ6") };
pub(super) const AUTH_OK: Reply = Reply::fixed(235, Status(2, 7, 0), "Authentication succeeded");
pub(super) const AUTH_REQUIRED: Reply = Reply::fixed(530, Status(5, 7, 0), "Authentication required");
pub(super) const AUTH_REFUSED: Reply = Reply::fixed(535, Status(5, 7, 8), "Authentication credentials invalid");
pub(super) const AUTH_NEEDS_TLS: Reply = Reply::fixed(538, Status(5, 7, 11), "Encryption required; issue a STARTTLS command first");
pub(super) const AUTH_ALREADY: Reply = Reply::fixed(503, Status(5, 5, 1), "Already authenticated");
pub(super) const AUTH_CANCELLED: Reply = Reply::fixed(501, Status(5, 7, 0), "Authentication cancelled");
pub(super) const AUTH_NOT_BASE64: Reply = Reply::fixed(501, Status(5, 5, 2), "Not valid base64");
pub(super) const AUTH_MALFORMED: Reply = Reply::fixed(501, Status(5, 5, 2), "Not a response of this mechanism");
pub(super) const MECHANISM_UNKNOWN: Reply = Reply::fixed(504, Status(5, 5, 4), "Authentication mechanism not supported");

// ---- the session ends (RFC 5321 §3.8: 421 may answer any command) ----

pub(super) const TOO_MANY_ERRORS: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many errors");
/// Who tries out addresses learns no more of them (RFC 5321 §7.3 knows the attack).
pub(super) const TOO_MANY_BAD_RECIPIENTS: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many recipients that are not accepted");
pub(super) const TOO_MUCH_JUNK: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many commands without mail");
pub(super) const TOO_MANY_LOGINS: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many failed logins");
pub(super) const TOO_MANY_MESSAGES: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many messages in this session; connect again");
pub(super) const TIMEOUT: Reply = Reply::fixed(421, Status(4, 4, 2), "Timeout");
pub(super) const SESSION_TOO_LONG: Reply = Reply::fixed(421, Status(4, 4, 2), "Session too long; connect again");
pub(super) const SHUTTING_DOWN: Reply = Reply::fixed(421, Status(4, 3, 2), "Shutting down; connect again");
pub(super) const NOT_HTTP: Reply = Reply::fixed(554, Status(5, 5, 1), "This is SMTP, not HTTP");
/// RFC 5321 §4.3.1: the client waits for the greeting.
pub(super) const EARLY_TALKER: Reply = Reply::fixed(554, Status(5, 5, 1), "You spoke before the greeting");

// ---- commands refused ----

pub(super) const UNKNOWN_COMMAND: Reply = Reply::fixed(500, Status(5, 5, 2), "Command not recognized");
pub(super) const BAD_CHARACTERS: Reply = Reply::fixed(500, Status(5, 5, 2), "Command with control or non-ASCII characters");
pub(super) static LINE_TOO_LONG: Reply = Reply::fixed(500, Status(5, 5, 2), "Line too long");
/// RFC 4954 §6.
pub(super) static AUTH_LINE_TOO_LONG: Reply = Reply::fixed(500, Status(5, 5, 6), "Line too long");
pub(super) const NOT_IMPLEMENTED: Reply = Reply::fixed(502, Status(5, 5, 1), "Command not implemented");
pub(super) const ARGUMENT_MISSING: Reply = Reply::fixed(501, Status(5, 5, 4), "Argument required");
pub(super) const ARGUMENT_UNEXPECTED: Reply = Reply::fixed(501, Status(5, 5, 4), "No argument allowed");
pub(super) const HELO_INVALID: Reply = Reply::fixed(501, Status(5, 5, 2), "Argument must be a domain or an address literal");
pub(super) const MAIL_SYNTAX: Reply = Reply::fixed(501, Status(5, 5, 2), "Syntax: MAIL FROM:<address>");
pub(super) const RCPT_SYNTAX: Reply = Reply::fixed(501, Status(5, 5, 2), "Syntax: RCPT TO:<address>");
pub(super) const SENDER_INVALID: Reply = Reply::fixed(501, Status(5, 1, 7), "Not a sender address of RFC 5321");
pub(super) const SENDER_TOO_LONG: Reply = Reply::fixed(501, Status(5, 1, 7), "Sender address too long");
pub(super) const RECIPIENT_INVALID: Reply = Reply::fixed(501, Status(5, 1, 3), "Not a recipient address of RFC 5321");
pub(super) const RECIPIENT_TOO_LONG: Reply = Reply::fixed(501, Status(5, 1, 3), "Recipient address too long");
pub(super) const RECIPIENT_ROUTED: Reply = Reply::fixed(553, Status(5, 1, 3), "Routing in the local part is not allowed");
/// RFC 6531 §3.5.
pub(super) const ADDRESS_NEEDS_SMTPUTF8: Reply = Reply::fixed(553, Status(5, 6, 7), "Non-ASCII address needs SMTPUTF8");
pub(super) const PARAMETER_SYNTAX: Reply = Reply::fixed(501, Status(5, 5, 4), "Parameter malformed or repeated");
/// RFC 5321 §4.1.1.11.
pub(super) const PARAMETER_UNKNOWN: Reply = Reply::fixed(555, Status(5, 5, 4), "Parameter not recognized");
/// RFC 1870 §6.1; also the reply after too much data.
pub(super) const MESSAGE_TOO_LARGE: Reply = Reply::fixed(552, Status(5, 3, 4), "Message larger than the limit");

/// After it nobody knows where the client's chunk ends; see RFC 3030 §2.
pub(super) const BDAT_SYNTAX: Reply = Reply::fixed(501, Status(5, 5, 4), "Syntax: BDAT octets [LAST]; closing");

// ---- order of commands (RFC 5321 §4.1.4) ----

pub(super) const NEED_HELO: Reply = Reply::fixed(503, Status(5, 5, 1), "Send EHLO or HELO first");
pub(super) const NEED_MAIL: Reply = Reply::fixed(503, Status(5, 5, 1), "Send MAIL first");
pub(super) const NEED_RCPT: Reply = Reply::fixed(503, Status(5, 5, 1), "Send RCPT first");
pub(super) const NESTED_MAIL: Reply = Reply::fixed(503, Status(5, 5, 1), "Sender already given");
pub(super) const NO_VALID_RECIPIENTS: Reply = Reply::fixed(554, Status(5, 5, 1), "No valid recipients");
/// RFC 5321 §4.5.3.1.10.
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    Reply::fixed(452, Status(4, 5, 3), "Too many recipients; send the rest in another transaction");
/// RFC 3030 §2: DATA and BDAT exclude each other in one transaction, and recipients come before both.
pub(super) const IN_CHUNKS: Reply = Reply::fixed(503, Status(5, 5, 1), "Not between chunks; go on with BDAT or send RSET");
/// RFC 3030 §2: RSET clears the state that a refused chunk leaves.
pub(super) const CHUNK_REFUSED: Reply = Reply::fixed(503, Status(5, 5, 1), "An earlier chunk was refused; send RSET");
pub(super) const TLS_ALREADY: Reply = Reply::fixed(503, Status(5, 5, 1), "TLS is already active");
/// RFC 3207 §4.
pub(super) const TLS_REQUIRED: Reply = Reply::fixed(530, Status(5, 7, 0), "Must issue a STARTTLS command first");
/// RFC 8689 §2: the parameter is for sessions with TLS.
pub(super) const REQUIRETLS_NEEDS_TLS: Reply = Reply::fixed(530, Status(5, 7, 10), "REQUIRETLS needs TLS in this session, too");

// ---- after the data ----

/// What a driver sheds a message with that it has no room for (RFC 3463 §3.4: 4.3.1 is a mail system that is full).
pub const NOT_ENOUGH_MEMORY: Reply = Reply::fixed(452, Status(4, 3, 1), "Not enough memory, try again later");
/// What a message gets that the spool has no space for.
pub const NOT_ENOUGH_STORAGE: Reply = Reply::fixed(452, Status(4, 3, 1), "Not enough storage, try again later");
/// What a message gets that the spool could not store for another reason.
pub const NOT_STORED: Reply = Reply::fixed(451, Status(4, 3, 0), "Could not be stored, try again later");

/// RFC 5321 §2.3.8 forbids CR and LF apart; only refusing them closes SMTP smuggling. Code and status are Postfix's; the
/// 5.6.11 of Exchange is not registered.
pub(super) const BARE_LINE_ENDING: Reply = Reply::fixed(550, Status(5, 5, 2), "Message with bare CR or LF; lines must end with CRLF");
/// A line of one dot and NULs: RFC 2045 §2.7 and §2.8 allow no NUL, and a next hop that throws them away would see CRLF.CRLF.
pub(super) const FALSE_END: Reply = Reply::fixed(550, Status(5, 6, 0), "Message with a line of a dot and NULs");
