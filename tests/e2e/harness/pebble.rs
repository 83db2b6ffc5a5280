//! Pebble, an ACME server that forgets everything when it ends, and the DNS server beside it that leads every name to loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::lines::Lines;
use super::tls::{self, Certificate};
use super::until;
use crate::common::{free_address, temporary_folder, tool};

/// Where pebble is, and what it shows; it can be started and started again there.
pub struct PebbleHome {
    folder: tempfile::TempDir,
    address: SocketAddr,
    management: SocketAddr,
    challenges: SocketAddr,
}

impl PebbleHome {
    /// A place on loopback that is free now, with a place for the gateway's challenge responder.
    pub fn new() -> Self {
        let folder = temporary_folder();
        Certificate::new().write(folder.path());
        Self { folder, address: free_address(), management: free_address(), challenges: free_address() }
    }

    /// The section `acme` of a gateway that asks here, with more keys in flow style.
    pub fn section(&self, more: &str) -> String {
        let ca = self.folder.path().join("cert.pem");
        format!(
            "acme: {{ contact: postmaster@acme.example, accept_terms: true, directory: \"https://{}/dir\", listen: \"{}\", ca: {}, {more} }}",
            self.address,
            self.challenges,
            ca.display()
        )
    }

    /// Where the gateway answers challenges.
    pub fn challenges(&self) -> SocketAddr {
        self.challenges
    }

    /// Starts it. Its certificates are valid for so many seconds, and challenges are asked for at the responder's port.
    pub fn start(&self, validity_seconds: u64) -> Pebble {
        self.start_asking(validity_seconds, self.challenges.port())
    }

    /// The same, asking for challenges at another port.
    pub fn start_asking(&self, validity_seconds: u64, port: u16) -> Pebble {
        let path = |name: &str| self.folder.path().join(name);
        let config = json!({ "pebble": {
            "listenAddress": self.address.to_string(),
            "managementListenAddress": self.management.to_string(),
            "certificate": path("cert.pem"),
            "privateKey": path("key.pem"),
            "httpPort": port,
            "tlsPort": 1,
            "certificateValidityPeriod": validity_seconds,
        }});
        std::fs::write(path("pebble.json"), config.to_string()).unwrap();
        let (dns, names) = start_dns();
        let mut process = tool("pebble")
            .arg("-config")
            .arg(path("pebble.json"))
            .args(["-strict", "-dnsserver", &names.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pebble starts");
        let said = Lines::follow(process.stdout.take().unwrap());
        let mut pebble = Pebble { process, dns, said, management: self.management };
        for address in [self.address, self.management] {
            until("pebble", || {
                assert!(pebble.process.try_wait().unwrap().is_none(), "pebble has ended:\n{}", pebble.said.text());
                TcpStream::connect(address).ok()
            });
        }
        pebble
    }
}

/// A running pebble; it ends when this is dropped.
pub struct Pebble {
    process: Child,
    dns: Child,
    said: Lines,
    management: SocketAddr,
}

impl Pebble {
    /// The root that its certificates lead to, made anew at each start.
    pub fn root(&self) -> CertificateDer<'static> {
        let tcp = TcpStream::connect(self.management).expect("it runs");
        let mut stream = tls::connect(tcp, &tls::config(None), "localhost").expect("a handshake");
        stream.write_all(b"GET /roots/0 HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // It closes without a goodbye.
        let _ = stream.read_to_end(&mut answer);
        CertificateDer::from_pem_slice(&answer).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer)))
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for process in [&mut self.process, &mut self.dns] {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- pebble said:\n{}", self.said.text());
        }
    }
}

/// A DNS server that says 127.0.0.1 to everything, and where it is.
fn start_dns() -> (Child, SocketAddr) {
    // It cannot be given port 0; should another process be faster, it ends, and another port is tried.
    loop {
        let (names, management) = (free_address(), free_address());
        let mut process = tool("pebble-challtestsrv")
            .args(["-dns01", &names.to_string(), "-management", &management.to_string(), "-defaultIPv4", "127.0.0.1"])
            .args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pebble-challtestsrv starts");
        let is_up = until("pebble-challtestsrv", || match process.try_wait().unwrap() {
            Some(_) => Some(false),
            None => TcpStream::connect(names).and(TcpStream::connect(management)).ok().map(|_| true),
        });
        if is_up {
            return (process, names);
        }
    }
}
