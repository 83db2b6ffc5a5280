//! What integration tests share: the programs that tests/tools fetches, ports, stand-ins for AWS and DNS, scanners.
//!
//! Everything started here ends with the test process, even when that is killed.
// Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

pub mod canned_http;
pub mod daemons;
pub mod dns;
pub mod moto;
pub mod peer;
pub mod random;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a test waits for another program before it gives up: long, since a busy machine is no failure.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A program of tests/tools, ready for arguments. A program that is missing fails the test: it must not be skipped in silence.
pub fn tool(name: &str) -> Command {
    let path = tools().join("bin").join(name);
    assert!(path.exists(), "{} is missing; run tests/tools first, or tests/run for everything", path.display());
    Command::new(path)
}

/// The folder that tests/tools has filled.
pub fn tools() -> PathBuf {
    match std::env::var_os("GATEWAY_TEST_TOOLS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/tools"),
    }
}

/// A loopback address with a port that is free now. Give a program port 0 instead where it can say which one it got.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.local_addr().expect("a bound socket has an address")
}

/// A folder that goes away with the returned value.
pub fn temporary_folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}
