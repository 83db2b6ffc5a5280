//! HAProxy, as a load balancer in front of the gateway.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use tempfile::TempDir;

use super::lines::Lines;
use super::tls::Certificate;
use super::until;
use crate::common::{free_address, temporary_folder, tool};

/// A running HAProxy; it ends when this is dropped.
pub struct Haproxy {
    process: Child,
    /// Where it listens: one address for each way.
    pub addresses: Vec<SocketAddr>,
    said: Lines,
    _folder: TempDir,
}

/// One way through it to the gateway.
pub struct Way {
    /// What stands behind `bind ADDRESS`.
    pub bind: &'static str,
    /// Further lines of the frontend.
    pub frontend: &'static [&'static str],
    /// What stands behind `server mx1 ADDRESS`.
    pub server: &'static str,
}

impl Haproxy {
    /// Starts it with these ways and waits until it listens. `PEM` in a way is a file with certificate and key.
    pub fn start(gateway: SocketAddr, ways: &[Way]) -> Self {
        // It cannot be given port 0; should another process be faster, it ends, and other ports are tried.
        loop {
            let folder = temporary_folder();
            let addresses: Vec<_> = ways.iter().map(|_| free_address()).collect();
            let (certificate, key) = Certificate::new().write(folder.path());
            let pem = folder.path().join("both.pem");
            std::fs::write(&pem, [std::fs::read(certificate).unwrap(), std::fs::read(key).unwrap()].concat()).unwrap();
            let config = config(gateway, ways, &addresses).replace("PEM", pem.to_str().unwrap());
            let path = folder.path().join("haproxy.cfg");
            std::fs::write(&path, config).unwrap();
            let mut process =
                tool("haproxy").args(["-db", "-f"]).arg(&path).stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("haproxy starts");
            let said = Lines::follow(process.stderr.take().unwrap());
            let mut haproxy = Self { process, addresses, said, _folder: folder };
            let up = until("haproxy", || match haproxy.process.try_wait().unwrap() {
                Some(_) => Some(false),
                None => haproxy.addresses.iter().all(|at| TcpStream::connect((Ipv4Addr::LOCALHOST, at.port())).is_ok()).then_some(true),
            });
            if up {
                return haproxy;
            }
            assert!(!haproxy.said.text().contains("parsing"), "{}", haproxy.said.text());
        }
    }
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- haproxy said:\n{}", self.said.text());
        }
    }
}

fn config(gateway: SocketAddr, ways: &[Way], addresses: &[SocketAddr]) -> String {
    let mut config = String::from("defaults\n    mode tcp\n    timeout connect 10s\n    timeout client 1m\n    timeout server 1m\n");
    for (n, (way, address)) in ways.iter().zip(addresses).enumerate() {
        write!(config, "frontend in{n}\n    bind {address} {}\n    default_backend out{n}\n", way.bind).unwrap();
        way.frontend.iter().for_each(|line| writeln!(config, "    {line}").unwrap());
        writeln!(config, "backend out{n}\n    option smtpchk EHLO haproxy.acme.example\n    server mx1 {gateway} {}", way.server).unwrap();
    }
    config
}
