//! Limits of what is done about envelopes: rewritten senders, recipients that are looked up.

use std::time::Duration;

// ---- SRS ----

/// Days that a rewritten sender is good for: what libsrs2 and postsrsd take. Bounces come within a queue's lifetime.
pub const SRS_DAYS_MAX: u64 = 21;
/// Characters of the hash in a rewritten sender. Shevek's draft asks for 4 at least, which are 20 bits where the case of addresses gets
/// lost; 6 are 31.
pub const SRS_HASH_CHARS: usize = 6;
/// Shortest key: less than 128 bits can be guessed by whoever has an address that it made.
pub const SRS_KEY_BYTES_MIN: usize = 16;
/// Keys at a time. One signs, those before it are good for as long as their addresses.
pub const SRS_KEYS_MAX: usize = 8;

// ---- call-ahead ----

/// Time that a known recipient is remembered.
/// Source: Exim's callout_positive_expire, 24 h; Postfix remembers for 31 days and asks again after 7.
pub const CALL_AHEAD_POSITIVE_DEFAULT: Duration = Duration::from_secs(24 * 3600);
/// Longest such time that can be set: Postfix's address_verify_positive_expire_time.
pub const CALL_AHEAD_POSITIVE_MAX: Duration = Duration::from_secs(31 * 24 * 3600);
/// Time that an unknown recipient is remembered. Exim: callout_negative_expire 2 h, Postfix asks again after 3 h; a mailbox that was
/// made just now must not be refused for so long.
pub const CALL_AHEAD_NEGATIVE_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Longest such time that can be set.
pub const CALL_AHEAD_NEGATIVE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Wait for a relay's word about a recipient; then the recipient is accepted.
/// Source: Postfix waits 3 times 3 s (address_verify_poll_delay), Exim 30 s.
pub const CALL_AHEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Longest such wait that can be set: clients wait 5 minutes for the reply to RCPT (RFC 5321 §4.5.3.2.3).
pub const CALL_AHEAD_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Recipients that are remembered, known and unknown; about 20 MB. When it is full, those that expire first are forgotten.
pub const CALL_AHEAD_ENTRIES_MAX: usize = 100_000;
/// Questions to one relay at a time; they use connections that deliveries wait for.
pub const CALL_AHEAD_QUESTIONS_MAX: usize = 4;
/// After a relay could not be asked, recipients are accepted without asking it for so long.
pub const CALL_AHEAD_PAUSE: Duration = Duration::from_secs(30);
/// Characters of a relay's words about a recipient that are repeated to the client and in the log.
pub const CALL_AHEAD_REPLY_CHARS_MAX: usize = 300;
