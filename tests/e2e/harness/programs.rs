//! Other people's servers.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::lines::Lines;
use super::tls::Certificate;
use super::until;
use crate::common::{free_address, temporary_folder, tool};

/// aiosmtpd; it ends when this is dropped.
pub struct Aiosmtpd {
    process: Child,
    folder: tempfile::TempDir,
    events: Lines,
    errors: Lines,
    address: SocketAddr,
}

impl Aiosmtpd {
    /// One that takes everything.
    pub fn start() -> Self {
        Self::with(temporary_folder(), &json!({}))
    }

    /// One with STARTTLS that asks for a login by one of these mechanisms.
    pub fn with_login(mechanisms: &[&str], user: &str, password: &str) -> Self {
        let folder = temporary_folder();
        let tls = Certificate::new().write(folder.path());
        std::fs::write(folder.path().join("users.json"), json!({ user: password }).to_string()).unwrap();
        Self::with(folder, &json!({ "tls": tls, "mechanisms": mechanisms, "login_required": true }))
    }

    fn with(folder: tempfile::TempDir, options: &Value) -> Self {
        let mut process = tool("python")
            .args(["-u", "-c", include_str!("aiosmtpd_server.py")])
            .arg(folder.path())
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("python starts");
        let events = Lines::follow(process.stdout.take().unwrap());
        let errors = Lines::follow(process.stderr.take().unwrap());
        let mut server = Self { process, folder, events, errors, address: ([127, 0, 0, 1], 0).into() };
        let listening = server.wait_for(|event| event["event"] == "listening");
        server.address.set_port(u16::try_from(listening["port"].as_u64().unwrap()).unwrap());
        server
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// PEM file with its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// From now on this is the only user.
    pub fn set_user(&self, user: &str, password: &str) {
        let (path, new) = (self.folder.path().join("users.json"), self.folder.path().join("users.new"));
        std::fs::write(&new, json!({ user: password }).to_string()).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Ends the connection on which messages came.
    pub fn hang_up(&self) {
        self.process.stdin.as_ref().unwrap().write_all(b"hang up\n").expect("it reads");
        self.wait_for(|event| event["event"] == "hung up");
    }

    /// The message number `number`, from 1 on, waited for: its envelope and its octets.
    pub fn wait_message(&self, number: usize) -> (Value, Vec<u8>) {
        let mut seen = 0;
        let event = self.wait_for(|event| {
            seen += usize::from(event["event"] == "message");
            seen == number
        });
        let content = std::fs::read(event["path"].as_str().unwrap()).unwrap();
        (event, content)
    }

    /// The logins that were tried so far: mechanism, and whether it was good.
    pub fn logins(&self) -> Vec<(String, bool)> {
        self.events.all(|line| {
            let event: Value = serde_json::from_str(line).unwrap();
            (event["event"] == "login").then(|| (event["mechanism"].as_str().unwrap().to_owned(), event["good"].as_bool().unwrap()))
        })
    }

    fn wait_for(&self, mut fits: impl FnMut(&Value) -> bool) -> Value {
        self.events.wait("such event of aiosmtpd", |line| serde_json::from_str(line).ok().filter(&mut fits))
    }
}

impl Drop for Aiosmtpd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- aiosmtpd said:\n{}\n{}", self.events.text(), self.errors.text());
        }
    }
}

/// Postfix's smtp-sink, which writes each message to a file; it ends when this is dropped.
pub struct SmtpSink {
    process: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl SmtpSink {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        // It cannot be given port 0; should another process be faster, it ends, and another port is tried.
        loop {
            let (folder, address) = (temporary_folder(), free_address());
            let mut command = tool("smtp-sink");
            command.arg("-d").arg(format!("{}/%M.", folder.path().display()));
            // It gives up root's rights by itself, and then must still write.
            if let Some(user) = unprivileged_owner(folder.path()) {
                command.args(["-u", user]);
            }
            command.args([address.to_string(), "100".to_owned()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn().expect("smtp-sink starts");
            let mut sink = Self { process, folder, address };
            let up = until("smtp-sink", || match sink.process.try_wait().unwrap() {
                Some(_) => Some(false),
                None => TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).ok().map(|_| true),
            });
            if up {
                return sink;
            }
        }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The messages so far when there are `count`: the content with CRLF, which smtp-sink writes as LF.
    pub fn wait_messages(&self, count: usize) -> Vec<Vec<u8>> {
        until("smtp-sink's files", || {
            let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
            let messages: Vec<Vec<u8>> = files.filter_map(|file| without_its_header(&file)).collect();
            (messages.len() >= count).then_some(messages)
        })
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// smtp-sink writes X- fields about the session on top, then a Received field of three lines, then the message and an empty line.
/// `None` while it is still writing.
fn without_its_header(file: &[u8]) -> Option<Vec<u8>> {
    let mut rest = file.strip_suffix(b"\n")?;
    while rest.starts_with(b"X-") {
        rest = &rest[memchr::memchr(b'\n', rest)? + 1..];
    }
    for _ in 0..3 {
        rest = &rest[memchr::memchr(b'\n', rest)? + 1..];
    }
    let lines = rest.split_inclusive(|byte| *byte == b'\n');
    Some(lines.flat_map(|line| [line.strip_suffix(b"\n").unwrap_or(line), b"\r\n"].concat()).collect())
}

/// As root smtp-sink wants to become somebody else, who must be able to write into the folder.
fn unprivileged_owner(folder: &Path) -> Option<&'static str> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0);
    if root {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    root.then_some("nobody")
}
