//! What the tests are made with.

pub mod client;
pub mod deployment;
pub mod dns;
pub mod gateway;
pub mod haproxy;
pub mod lines;
pub mod mail;
pub mod pebble;
pub mod pki;
pub mod programs;
pub mod signatures;
pub mod sink;
pub mod tls;

pub use client::{Client, Reply};
pub use deployment::Deployment;
pub use gateway::Gateway;
pub use sink::{Answer, At, Sink};

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{DEADLINE, tool};

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

/// swaks, ready to send one message; it reads nothing unless told.
pub fn swaks(gateway: SocketAddr, from: &str, to: &str) -> Command {
    let mut swaks = tool("swaks");
    swaks.args(["--server", &gateway.ip().to_string(), "--port", &gateway.port().to_string(), "--helo", "client.example"]);
    swaks.args(["--from", from, "--to", to]).stdin(Stdio::null());
    swaks
}
