//! moto: AWS on loopback, over real HTTP.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc;

/// Ends when its standard input does, which is when the test process does.
const PROGRAM: &str = "
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
from moto.server import main
main(['-H', '127.0.0.1', '-p', '0'])
";

/// A moto server; it ends when this is dropped.
pub struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        let mut process = super::tool("python")
            .args(["-u", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let stderr = BufReader::new(process.stderr.take().expect("stderr is a pipe"));
        let (announce, announced) = mpsc::channel();
        // Reads to the end, so that the server never waits for its log to be read.
        std::thread::spawn(move || {
            let mut seen = String::new();
            for line in stderr.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    let _ = announce.send(Ok(address.trim().to_owned()));
                    seen.clear();
                }
                seen.push_str(&line);
                seen.push('\n');
                // Only the start is of interest.
                seen.truncate(seen.floor_char_boundary(10_000));
            }
            let _ = announce.send(Err(seen));
        });
        let address = match announced.recv_timeout(super::DEADLINE) {
            Ok(Ok(address)) => address.parse().expect("moto announces an address"),
            Ok(Err(log)) => panic!("moto ended: {log}"),
            Err(_) => panic!("moto did not start within {:?}", super::DEADLINE),
        };
        Self { process, address }
    }

    /// What AWS_ENDPOINT_URL takes.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
