//! What the tests are made with.

pub mod client;
pub mod deployment;
pub mod gateway;
pub mod haproxy;
pub mod lines;
pub mod mail;
pub mod pebble;
pub mod pki;
pub mod programs;
pub mod sink;
pub mod tls;

pub use client::{Client, Reply};
pub use deployment::Deployment;
pub use gateway::Gateway;
pub use sink::{Answer, At, Sink};

use std::time::{Duration, Instant};

use crate::common::DEADLINE;

/// Waits for something that nothing announces, such as a file of another program or a process's end.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
