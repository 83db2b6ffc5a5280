//! Every limit and default of the gateway: one place, unit in the name, source beside it.
//!
//! A limit that an operator can change is a default here and a key in `gateway.yaml`; the others are fixed.
//!
//! Two kinds of lines end a limit's documentation, for `docs/limits.md`: `Source:` says where the value comes from, unless the text
//! does, and `Metric:` which [`Limit`] counts what it refuses, or which other metric shows it. A line `// ---- subject ----` begins a
//! table there.

mod analysis;
mod control;
mod delivery;
mod deployment;
mod envelope;
mod load;
mod message;
mod name;
mod replay;
mod session;
mod verdicts;

pub use analysis::*;
pub use control::*;
pub use delivery::*;
pub use deployment::*;
pub use envelope::*;
pub use load::*;
pub use message::*;
pub use name::Limit;
pub use replay::*;
pub use session::*;
pub use verdicts::*;
