//! What of a message is read, and what is written into it.

// ---- message ----

/// Received fields before a message counts as looping, and gets 554 5.4.6.
/// Source: Postfix hopcount_limit 50; RFC 5321 §6.3 asks for 100, and a loop costs a delivery for each.
/// Metric: hops
pub const HOPS_MAX: usize = 50;
/// Size of the header block; a larger one gets 554 5.6.0.
/// Source: Postfix truncates at 102400; Exchange Online refuses above 256 KB.
/// Metric: header
pub const HEADER_BYTES_MAX: usize = 1024 * 1024;
/// Header fields of one message; more get 554 5.6.0.
/// Source: so many fields of 100 octets fill `HEADER_BYTES_MAX`.
/// Metric: header
pub const HEADER_FIELDS_MAX: usize = 10_000;
/// Addresses of one kind (`From`, `Sender`, `To`, `Cc`) that conditions see; further ones are not looked at, and such a From has no author.
/// Source: ten times the recipients that a message may have by `RECIPIENTS_MAX`.
pub const MAILBOXES_MAX: usize = 10_000;
/// MIME parts that attachment conditions look at.
pub const MIME_PARTS_MAX: usize = 1_000;
/// Nesting of multiparts and of forwarded messages that attachment conditions look into (Postfix: mime_nesting_limit 100).
pub const MIME_DEPTH_MAX: usize = 30;
/// What is read of a Content-Type or Content-Disposition field; file names end far below it (RFC 2231 readers take quadratic time).
pub const MIME_FIELD_BYTES_MAX: usize = 8 * 1024;
/// Headers of all MIME parts of one message; parts behind are not looked at.
pub const MIME_HEADERS_BYTES_MAX: usize = 1024 * 1024;
/// What a Received field repeats of a HELO argument that is no domain and no address literal.
pub const TRACE_HELO_CHARS_MAX: usize = 64;
/// DKIM signatures that an Authentication-Results field speaks of, from the top; so it stays below the 16 KiB that readers take.
pub const RESULTS_SIGNATURES_MAX: usize = 20;
/// Characters of the reason that stands beside a result in Authentication-Results and Received-SPF.
pub const RESULTS_COMMENT_CHARS_MAX: usize = 160;
/// Characters of a value there; a longer one is left out, for half of it would be another one. An address has at most 384.
pub const RESULTS_VALUE_CHARS_MAX: usize = 400;
/// Fields of one name that an ARC seal covers, from the bottom.
/// Source: more are not seen in good mail, and each is a word in `h=`.
pub const ARC_SIGNED_FIELDS_OF_A_NAME_MAX: usize = 20;
/// What of a message is kept in memory while it comes; a larger one goes on in a file of the spool's folder.
/// Source: as much as its header may have (`HEADER_BYTES_MAX`).
pub const MESSAGE_IN_MEMORY_BYTES_MAX: usize = 1024 * 1024;
/// What of a message in a file stays in memory: its beginning, which has the header of nearly every message; a larger header is read.
/// Source: twice the header that a DSN returns of a message.
pub const MESSAGE_HEAD_BYTES: usize = 128 * 1024;
/// What is written to, or read from, the file of a message at a time.
/// Source: what is handed to one write towards a next hop (`RELAY_WRITE_BYTES`); a session with such a message holds two.
pub const STORED_BLOCK_BYTES: usize = 256 * 1024;
