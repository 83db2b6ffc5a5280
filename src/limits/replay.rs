//! Past mail judged again.

// ---- replay ----

/// Folders below the one that `gateway replay` is given; what lies deeper is passed over.
/// Source: archives are sorted by year, month and day; eight folders deep nobody keeps mail, and four times that costs nothing.
pub const REPLAY_DEPTH_MAX: usize = 32;
/// Messages that are in memory at a time.
pub const REPLAY_BATCH_MESSAGES: usize = 256;
/// Octets of messages that are in memory at a time, before the last of them.
pub const REPLAY_BATCH_BYTES: usize = 32 * 1024 * 1024;
/// Line of an event log; a longer one is passed over.
/// Source: a message for `RECIPIENTS_MAX` recipients with the longest addresses takes less than half of it.
pub const REPLAY_LOG_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Messages and sessions of an event log that have begun and not ended; of more the oldest is given up.
/// Source: twice the default of `connections` in a large installation.
pub const REPLAY_OPEN_MAX: usize = 20_000;
/// Ways to take what is not known that are tried for one message; where that is not enough, it cannot be told how it fares.
/// Source: eight conditions, each of which holds or does not.
pub const REPLAY_POSSIBILITIES_MAX: usize = 256;
/// Forms of a rule set, by what is known of a message, that are kept; after so many they are made anew.
pub const REPLAY_FORMS_KEPT: usize = 256;
/// Kinds of difference that are told apart; what differs in yet another way is counted as `other`.
pub const REPLAY_GROUPS_MAX: usize = 1000;
/// Messages that were passed over and are named; of more only the number is known.
pub const REPLAY_PASSED_OVER_SHOWN: usize = 10;
/// Files that are taken from a git revision.
/// Source: a repository of configuration has hundreds; of a larger one only the folder of `gateway.yaml` is taken.
pub const REPLAY_REVISION_FILES_MAX: usize = 20_000;
/// Octets that are taken from a git revision.
pub const REPLAY_REVISION_BYTES_MAX: u64 = 512 * 1024 * 1024;
