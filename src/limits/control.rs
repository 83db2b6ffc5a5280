//! Orders of operators.

use std::time::Duration;

// ---- orders of operators ----

/// Orders (`gateway queue …`) that a running gateway carries out at a time; a further one waits.
pub const CONTROL_CONNECTIONS_MAX: usize = 8;
/// An order as it comes over the control socket.
/// Source: room for some thousand ids.
pub const CONTROL_REQUEST_BYTES_MAX: u64 = 256 * 1024;
/// Time from the connection to the end of the order.
/// Source: the sender is a program on the same machine that has the order ready.
pub const CONTROL_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time in which the sender of an order reads on.
/// Source: a pager that is left open; whoever reads slower asks again.
pub const CONTROL_READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Time for one order; what is done until then stays done.
/// Source: a million jobs at a few thousand a second.
pub const CONTROL_ORDER_TIMEOUT: Duration = Duration::from_secs(1800);
/// Answers on their way to whoever gave the order.
pub const CONTROL_ANSWERS_MAX: usize = 64;
/// Jobs that an order looks at in one go.
/// Source: their states are in memory meanwhile, some KiB each at most.
pub const CONTROL_PAGE_JOBS: usize = 500;
/// Changes that an order has under way at a time; they share a sync.
pub const CONTROL_CHANGES_MAX: usize = 64;
/// Octets of a message that are shown in one answer.
pub const CONTROL_CONTENT_BYTES: usize = 48 * 1024;
