//! Control: orders of operators about the queue, and a Unix socket over which a running gateway takes them.
//!
//! - The socket lies in the spool's folder; whoever holds the spool's lock may replace one that a dead process left.
//! - Root and the user that the gateway runs as may give orders. The system says who it is, and the log keeps it.
//! - One order a connection, one line of JSON; the answers are lines of JSON, the last one is `done` or `error`.
//! - Orders are bounded in number, size and time. A reader that does not read ends its own order and delays nothing else.
//!
//! What an order means is the dispatcher's business, behind [`Operate`].

mod client;
mod place;
mod protocol;
mod server;

use std::future::Future;

use tokio::sync::mpsc;

pub use client::{ClientError, ask};
pub use protocol::{Answer, Command, Done, Filter, JobShown, MessageShown, Octets, RecipientShown, RelayShown};
pub use server::{Listener, serve};

/// Where the answers to an order go. Whoever has gone away does not want the rest.
pub type Answers = mpsc::Sender<Answer>;

/// Whoever carries out orders: the dispatcher.
pub trait Operate: Send + Sync + 'static {
    /// Carries out an order of the user with this id; the last answer is `Done` or `Error`.
    fn operate(&self, command: Command, user: Option<u32>, answers: Answers) -> impl Future<Output = ()> + Send;
}
