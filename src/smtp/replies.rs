//! The server's own replies, each with its source; what a policy or a next hop says comes from elsewhere.

use std::borrow::Cow;

use super::{Reply, Status};

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
pub(super) const NOT_VERIFIED: Reply = Reply::fixed(252, Status(2, 1, 5), "Cannot verify; send mail to find out");

// ---- the session ends (RFC 5321 §3.8: 421 may answer any command) ----

pub(super) const TOO_MANY_ERRORS: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many errors");
pub(super) const TOO_MUCH_JUNK: Reply = Reply::fixed(421, Status(4, 7, 0), "Too many commands without mail");
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
pub(super) const LINE_TOO_LONG: Reply = Reply::fixed(500, Status(5, 5, 6), "Line too long");
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

// ---- order of commands (RFC 5321 §4.1.4) ----

pub(super) const NEED_HELO: Reply = Reply::fixed(503, Status(5, 5, 1), "Send EHLO or HELO first");
pub(super) const NEED_MAIL: Reply = Reply::fixed(503, Status(5, 5, 1), "Send MAIL first");
pub(super) const NEED_RCPT: Reply = Reply::fixed(503, Status(5, 5, 1), "Send RCPT first");
pub(super) const NESTED_MAIL: Reply = Reply::fixed(503, Status(5, 5, 1), "Sender already given");
pub(super) const NO_VALID_RECIPIENTS: Reply = Reply::fixed(554, Status(5, 5, 1), "No valid recipients");
/// RFC 5321 §4.5.3.1.10.
pub(super) const TOO_MANY_RECIPIENTS: Reply =
    Reply::fixed(452, Status(4, 5, 3), "Too many recipients; send the rest in another transaction");
pub(super) const TLS_ALREADY: Reply = Reply::fixed(503, Status(5, 5, 1), "TLS is already active");
/// RFC 3207 §4.
pub(super) const TLS_REQUIRED: Reply = Reply::fixed(530, Status(5, 7, 0), "Must issue a STARTTLS command first");

// ---- after the data ----

/// RFC 5321 §2.3.8 forbids CR and LF apart; only refusing them closes SMTP smuggling.
pub(super) const BARE_LINE_ENDING: Reply = Reply::fixed(550, Status(5, 6, 11), "Message with bare CR or LF; lines must end with CRLF");
/// A line of one dot and NULs: RFC 2045 §2.7 and §2.8 allow no NUL, and a next hop that throws them away would see CRLF.CRLF.
pub(super) const FALSE_END: Reply = Reply::fixed(550, Status(5, 6, 11), "Message with a line of a dot and NULs");
