//! The gateway as a process.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;

use super::lines::Lines;
use super::until;

/// The program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_gateway");

/// A running gateway; it is killed when this is dropped.
pub struct Gateway {
    process: Child,
    log: Lines,
    errors: Lines,
    address: SocketAddr,
    /// Stays for as long as the process needs it.
    _folder: Arc<TempDir>,
}

impl Gateway {
    /// Starts one with the deployment of a folder and waits until it listens. A shell that becomes it runs these commands before.
    pub fn start(folder: Arc<TempDir>, variables: &[(String, String)], before: Option<&str>) -> Self {
        let mut process = command_after(folder.path(), before)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let log = Lines::follow(process.stdout.take().expect("stdout is a pipe"));
        let errors = Lines::follow(process.stderr.take().expect("stderr is a pipe"));
        // Taken into the value first, so that it is killed should the wait fail.
        let mut gateway = Self { process, log, errors, address: ([0, 0, 0, 0], 0).into(), _folder: folder };
        gateway.address = gateway.listening("mx");
        gateway
    }

    /// Where the endpoint `mx` listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where an endpoint listens.
    pub fn listening(&self, endpoint: &str) -> SocketAddr {
        let event = self.wait_for(|event| event["event"] == "listening" && event["endpoint"] == endpoint);
        event["address"].as_str().and_then(|address| address.parse().ok()).expect("an address")
    }

    /// The first event that fits, waited for. An end of the process fails the test at once.
    pub fn wait_for(&self, fits: impl Fn(&Value) -> bool) -> Value {
        self.log.wait("such event", |line| Some(event(line)).filter(&fits))
    }

    /// Waits for what finally became of a recipient.
    pub fn wait_outcome(&self, recipient: &str, outcome: &str) -> Value {
        self.wait_for(|event| event["event"] == "outcome" && event["recipient"] == recipient && event["outcome"] == outcome)
    }

    /// So many events that fit, waited for.
    pub fn wait_events(&self, count: usize, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        until("so many events", || Some(self.events(&fits)).filter(|events| events.len() >= count))
    }

    /// The events so far that fit.
    pub fn events(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.log.all(|line| Some(event(line)).filter(&fits))
    }

    /// Everything that it has said on standard output and standard error.
    pub fn said(&self) -> String {
        self.log.text() + "\n" + &self.errors.text()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it ends");
    }

    /// Sends a signal by its name: TERM, HUP.
    pub fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }

    /// Stops it in its tracks until it is sent CONT: every thread, for the signal alone returns before the last one has stopped.
    pub fn halt(&self) {
        self.signal("STOP");
        until("every thread stands still", || self.threads().iter().all(|state| *state == 'T').then_some(()));
    }

    /// The states of its threads, as proc(5) writes them.
    fn threads(&self) -> Vec<char> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("it runs");
        // A thread that has ended meanwhile stands still as well.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        stats.map(|stat| stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).expect("a state")).collect()
    }

    /// Waits for the end; nothing is sent.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let status = until("the end of the gateway", || self.process.try_wait().expect("a child"));
        self.log.wait_end();
        (status, self.said())
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(self) -> (ExitStatus, String) {
        self.signal("TERM");
        self.wait()
    }

    #[allow(dead_code, reason = "tests/attacks has no use for it")]
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// A figure of /proc/PID/status in KiB, such as VmRSS.
    pub fn memory_kib(&self, figure: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(figure)).expect("the kernel has the figure");
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- the gateway said:\n{}", self.said());
        }
    }
}

/// `gateway run` in a folder, with nothing of this machine's AWS account about it.
pub fn command(folder: &Path) -> Command {
    command_after(folder, None)
}

/// The same after some commands of the shell.
fn command_after(folder: &Path, before: Option<&str>) -> Command {
    let mut command = Command::new(before.map_or(PROGRAM, |_| "sh"));
    if let Some(before) = before {
        command.args(["-ec", &format!("{before}\nexec \"$@\""), "sh", PROGRAM]);
    }
    command.arg("run").arg("--config").arg(folder.join("gateway.yaml")).current_dir(folder);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn event(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("a line of the log is not JSON ({error}): {line}"))
}
