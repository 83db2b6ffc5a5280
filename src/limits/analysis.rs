//! How hard proofs about rule sets and policies are tried.

// ---- proofs ----

/// Guesses for one question about a rule set or a policy; beyond it cannot be told.
/// Source: a question about 40 rules takes some dozen; this bounds `gateway validate` to a fraction of a second for each rule.
pub const ANALYSIS_STEPS_MAX: usize = 2_000;
/// Work for one rule set: each look at a condition, and each rule that an example is judged by; beyond it the rest cannot be told.
/// Source: pairs of 40 rules take some hundred thousand; 1,000 rules that all deliver end here, within seconds.
pub const ANALYSIS_WORK_MAX: usize = 3_000_000;
/// Guesses that build on each other.
/// Source: as many conditions as a long rule set has together; bounds the stack.
pub const ANALYSIS_DEPTH_MAX: usize = 400;
/// Values that are tried for one subject, like the addresses of an `equals`.
/// Source: own choice; the largest lists belong into files.
pub const ANALYSIS_VALUES_MAX: usize = 10_000;
/// Combinations of alternative texts of conditions on one subject.
/// Source: own choice: three conditions with half a dozen texts each.
pub const ANALYSIS_CHOICES_MAX: usize = 256;
/// Comparisons of values with texts for one subject.
/// Source: own choice: some milliseconds.
pub const ANALYSIS_COMPARISONS_MAX: usize = 200_000;
/// Largest message that is built to show what a proof says.
/// Source: as large as next hops take (Microsoft 365: 150 MB, encoded); conditions ask for less.
pub const ANALYSIS_MESSAGE_BYTES_MAX: usize = 128 << 20;
/// Most recipients of such a message.
/// Source: `RECIPIENTS_MAX` of a session is of this size.
pub const ANALYSIS_RECIPIENTS_MAX: u64 = 1_000;
