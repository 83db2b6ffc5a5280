//! What happens, as events of one schema. Everything else emits them; this room turns them into lines.
//!
//! - Every event of a connection carries its `session` id, every event of a message also its `message` id, `SESSION-N`.
//! - No event holds a body or a secret.
//! - Emitting never waits for a disk or a terminal and never grows without bound: lines that the sink cannot take are counted and reported.

mod escape;
mod event;
mod human;
#[cfg(test)]
mod lines;
mod metrics;
mod sink;
mod timestamp;

pub use event::{Announced, AttemptRecipient, Event, HostShown, Try};
pub use human::line as human_line;
#[cfg(test)]
pub(crate) use lines::Lines;
pub use metrics::{Counts, Gauge, Metrics};
pub use sink::{Format, Log};
