//! Examination: what conditions and header fields need to know beyond the message is asked for here, at most once and in parallel.

mod sealing;

pub use sealing::{SealError, Sealing, ToSeal};
