//! The real daemons that analyzers ask, from Debian's packages, with configurations that fetch nothing.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{DEADLINE, free_address, temporary_folder, tool, tools};

/// A daemon; it and its children end when this is dropped, and when the test process does.
pub struct Daemon {
    process: Child,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Daemon {
    /// Ends the program with its standard input; a signal that can be caught lets it end its children.
    fn start(program: &str, arguments: &[String], address: SocketAddr, folder: TempDir, is_up: impl Fn(&Path) -> bool) -> Self {
        let log = std::fs::File::create(folder.path().join("said")).unwrap();
        let path = tool(program).get_program().to_owned();
        let mut process = Command::new("sh")
            .args(["-c", "\"$@\" & cat >/dev/null; kill $!; wait", "sh"])
            .arg(path)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("sh starts");
        let began = Instant::now();
        while !is_up(folder.path()) {
            let said = || std::fs::read_to_string(folder.path().join("said")).unwrap_or_default();
            assert!(began.elapsed() < DEADLINE && process.try_wait().unwrap().is_none(), "{program} does not start:\n{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, address, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

fn open_folder() -> TempDir {
    let folder = temporary_folder();
    // Daemons that are started as root become another user before they read.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// One worker of rspamd, with its own rules, which ask no network here. A message has the score that its header `X-Test-Score` says,
/// on whatever day it is judged.
pub fn rspamd() -> Daemon {
    let (folder, address) = (open_folder(), free_address());
    let (root, share) = (folder.path().display().to_string(), tools().join("scanners/usr/share/rspamd").display().to_string());
    std::fs::write(folder.path().join("tld"), "example\n").unwrap();
    let rule = r#"
        rspamd_config:register_symbol({ name = 'TEST_SCORE', score = 1.0, callback = function(task)
            local score = task:get_header('X-Test-Score')
            if score then return true, tonumber(score) end
        end })
        for _, name in ipairs({ 'DATE_IN_PAST', 'DATE_IN_FUTURE' }) do
            rspamd_config:set_metric_symbol({ name = name, score = 0.0, priority = 10 })
        end
        rspamd_config:register_symbol({ name = 'TEST_FACTS', score = 0.0, callback = function(task)
            local names = { tostring(task:get_ip()), task:get_helo() or '-', task:get_hostname() or '-', task:get_user() or '-',
                (task:get_from('smtp') or {{}})[1].addr or '-', tostring(#(task:get_recipients('smtp') or {})), task:get_queue_id() or '-',
                task:get_request_header('MTA-Name') and tostring(task:get_request_header('MTA-Name')) or '-',
                task:get_request_header('TLS-Version') and tostring(task:get_request_header('TLS-Version')) or '-',
                tostring(task:get_size()) }
            for _, name in ipairs(names) do task:insert_result('TEST_FACT_' .. name, 0.0) end
        end, type = 'callback' })
    "#;
    std::fs::write(folder.path().join("rules.lua"), rule).unwrap();
    let config = format!(
        r#"options {{ pidfile = "{root}/pid"; filters = ""; tempdir = "{root}"; url_tld = "{root}/tld"; hs_cache_dir = "{root}";
            dns {{ nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }} }}
        lang_detection {{ languages = "{share}/languages"; }}
        logging {{ type = "console"; level = "notice"; }}
        actions {{ reject = 15; rewrite_subject = 8; add_header = 6; greylist = 4; }}
        metric {{ name = "default"; unknown_weight = 0.01; }}
        lua = "{share}/rules/rspamd.lua";
        lua = "{root}/rules.lua";
        worker "normal" {{ bind_socket = "{address}"; count = 1; }}
        "#
    );
    std::fs::write(folder.path().join("rspamd.conf"), config).unwrap();
    let mut arguments: Vec<String> = ["-f", "-c"].map(str::to_owned).into();
    arguments.push(format!("{root}/rspamd.conf"));
    arguments.extend([format!("--var=DBDIR={root}"), format!("--var=RUNDIR={root}")]);
    if is_root() {
        arguments.extend(["--insecure", "-u", "root", "-g", "root"].map(str::to_owned));
    }
    Daemon::start("rspamd", &arguments, address, folder, |_| TcpStream::connect(address).is_ok())
}

/// What the signature of [`clamd`] finds.
pub const MARKER: &str = "HARMLESS-MARKER-OF-A-SIGNATURE";

/// clamd with one signature of our own, on TCP and on the socket `clamd.ctl`; it takes streams of 1 MiB.
pub fn clamd() -> Daemon {
    clamd_taking("1M")
}

/// The same, which takes messages of this size.
pub fn clamd_taking(most: &str) -> Daemon {
    let (folder, address) = (open_folder(), free_address());
    let root = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("db")).unwrap();
    let hex: String = MARKER.bytes().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.path().join("db/own.ndb"), format!("Own.Test.Marker:0:*:{hex}\n")).unwrap();
    let (ip, port) = (address.ip(), address.port());
    let config = format!(
        "DatabaseDirectory {root}/db\nLocalSocket {root}/clamd.ctl\nTCPAddr {ip}\nTCPSocket {port}\nForeground true\n\
         StreamMaxLength {most}\nMaxThreads 4\nOfficialDatabaseOnly false\n"
    );
    std::fs::write(folder.path().join("clamd.conf"), config).unwrap();
    let arguments = [format!("--config-file={root}/clamd.conf")];
    Daemon::start("clamd", &arguments, address, folder, |folder| TcpStream::connect(address).is_ok() && folder.join("clamd.ctl").exists())
}

/// rbldnsd with a list of addresses of both families `bl.example` and a list of domains `dbl.example`.
pub fn rbldnsd() -> Daemon {
    let (folder, address) = (open_folder(), free_address());
    for (name, text) in [
        ("ip4", ":127.0.0.2:listed\n127.0.0.2\n192.0.2.0/24\n:127.0.0.4:exploited\n198.51.100.7\n"),
        ("ip6", ":127.0.0.3:listed\n2001:db8:bad::/48\n"),
        ("names", ":127.0.1.2:spam\nbad.example\n.worse.example\nxn--bcher-kva.example\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let root = folder.path().display().to_string();
    let mut arguments: Vec<String> = ["-n", "-f", "-w", &root, "-b"].map(str::to_owned).into();
    arguments.push(format!("{}/{}", address.ip(), address.port()));
    if is_root() {
        arguments.extend(["-u".to_owned(), "nobody".to_owned()]);
    }
    arguments.extend(["bl.example:ip4set:ip4", "bl.example:ip6trie:ip6", "dbl.example:dnset:names"].map(str::to_owned));
    // Any answer will do, even to a question that is none.
    Daemon::start("rbldnsd", &arguments, address, folder, |_| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x02bl\x07example\0\0\x06\0\x01";
        socket.send_to(question, address).is_ok() && socket.recv(&mut [0; 512]).is_ok()
    })
}
