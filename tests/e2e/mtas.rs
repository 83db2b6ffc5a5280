//! Real mail servers as senders: each sends by STARTTLS, out of its own queue where it has one, and what it sent arrives unchanged.
//!
//! They are unpacked, not installed, and believe to be root (tests/tools says how), so that no right is needed. OpenSMTPD is here by its
//! client `smtp` alone, which shares its code for SMTP and TLS: the daemon wants to change its root directory.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::common::{temporary_folder, tool, tools};
use crate::harness::tls::Certificate;
use crate::harness::{Deployment, Gateway, Sink, mail, until};

const FROM: &str = "alice@example.org";
const RECIPIENTS: [&str; 3] = ["bob@acme.example", "carol@acme.example", "dave@acme.org"];

#[test]
fn postfix_sends_the_same_octets() {
    let (sink, gateway) = start();
    let postfix = Postfix::start(gateway.address().port());
    let messages = [mail::awkward(900), mail::large(1_000_000)];
    for message in &messages {
        let mut sendmail = postfix.world.tool("postfix-sendmail");
        sendmail.arg("-C").arg(postfix.world.path("etc")).args(["-i", "-f", FROM]).args(RECIPIENTS);
        ran(sendmail, &with_lf(message));
    }
    arrived(&sink, &gateway, &messages, ends_with);
}

#[test]
fn exim_sends_the_same_octets() {
    let (sink, gateway) = start();
    let world = World::new();
    let exim = tools().join("mta-exim/usr/sbin/exim4");
    let configuration = format!(
        "exim_path = {exim}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log-%s\nprimary_hostname = sender.example\n\
         qualify_domain = sender.example\nkeep_environment = *\nno_message_logs\ndisable_ipv6\n\
         begin routers\nall:\n  driver = manualroute\n  route_list = * 127.0.0.1 byname\n  transport = out\n  self = send\n\
         begin transports\nout:\n  driver = smtp\n  port = {port}\n  hosts_require_tls = *\n  tls_verify_certificates =\n  tls_try_verify_hosts =\n",
        exim = exim.display(),
        folder = world.path("").display(),
        port = gateway.address().port(),
    );
    world.write("exim.conf", &configuration);
    let messages = [mail::awkward(900), mail::large(1_000_000)];
    for message in &messages {
        let mut exim = world.tool("exim");
        exim.arg("-C").arg(world.path("exim.conf")).args(["-odf", "-i", "-f", FROM]).args(RECIPIENTS);
        ran(exim, &with_lf(message));
    }
    arrived(&sink, &gateway, &messages, ends_with);
}

/// sendmail writes the header anew, in an order of its own; each field and the whole body are the same.
#[test]
fn sendmail_sends_the_same_octets() {
    let (sink, gateway) = start();
    let world = World::new();
    let macros = tools().join("mta-sendmail/usr/share/sendmail/cf");
    let source = format!(
        "divert(-1)\ninclude(`{macros}/m4/cf.m4')\ndivert(0)\nOSTYPE(`linux')\ndefine(`confDOMAIN_NAME', `sender.example')\n\
         define(`SMART_HOST', `relay:[127.0.0.1]')\ndefine(`QUEUE_DIR', `{folder}/queue')\ndefine(`STATUS_FILE', `{folder}/status')\n\
         define(`confPID_FILE', `{folder}/pid')\ndefine(`confSERVICE_SWITCH_FILE', `{folder}/switch')\ndefine(`confTRUSTED_USER', `root')\n\
         define(`confDONT_BLAME_SENDMAIL', `GroupWritableDirPathSafe')\ndefine(`confTO_IDENT', `0')\n\
         define(`RELAY_MAILER_ARGS', `TCP $h {port}')\nFEATURE(`nocanonify')\nMAILER(`smtp')\n",
        macros = macros.display(),
        folder = world.path("").display(),
        port = gateway.address().port(),
    );
    world.write("sendmail.mc", &source);
    world.write("switch", "hosts files\naliases files\n");
    std::fs::create_dir(world.path("queue")).unwrap();
    let mut m4 = world.tool("m4");
    m4.arg(format!("-D_CF_DIR_={}/", macros.display())).arg(world.path("sendmail.mc"));
    let made = m4.stdin(Stdio::null()).output().unwrap();
    assert!(made.status.success(), "{}", mail::text(&made.stderr));
    world.write("sendmail.cf", &mail::text(&made.stdout));
    let messages = [mail::awkward(900), mail::large(1_000_000)];
    for message in &messages {
        let mut sendmail = world.tool("sendmail");
        sendmail.arg("-C").arg(world.path("sendmail.cf")).args(["-odi", "-i", "-f", FROM]).args(RECIPIENTS);
        ran(sendmail, &with_lf(message));
    }
    arrived(&sink, &gateway, &messages, |actual, expected| {
        let (actual_header, actual_body) = divided(actual);
        let (header, body) = divided(expected);
        mail::assert_same(actual_body, body);
        for field in mail::text(header).lines() {
            assert!(mail::text(actual_header).lines().any(|line| line == field), "{field} is not in {}", mail::text(actual_header));
        }
    });
}

#[test]
fn the_client_of_opensmtpd_sends_the_same_octets() {
    let (sink, gateway) = start();
    let world = World::new();
    let messages = [mail::awkward(900), mail::large(1_000_000)];
    for message in &messages {
        let mut smtp = world.tool("opensmtpd-smtp");
        smtp.args(["-C", "-H", "sender.example", "-F", FROM, "-s", &format!("smtp+tls://127.0.0.1:{}", gateway.address().port())]);
        ran(smtp.args(RECIPIENTS), &with_lf(message));
    }
    arrived(&sink, &gateway, &messages, ends_with);
}

/// A gateway that delivers inline and takes mail over TLS only.
fn start() -> (Sink, Gateway) {
    let sink = Sink::accepting();
    let tls = "tls: { mode: required, certificate: tls/cert.pem, key: tls/key.pem }";
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint(tls);
    Certificate::new().write(&deployment.path("tls"));
    let gateway = deployment.start();
    (sink, gateway)
}

/// Each message came once for each recipient, below what the sender put on top of it.
#[track_caller]
fn arrived(sink: &Sink, gateway: &Gateway, messages: &[Vec<u8>], same: fn(&[u8], &[u8])) {
    let all = messages.len() * RECIPIENTS.len();
    until("every recipient's delivery", || {
        (gateway.events(|event| event["event"] == "outcome" && event["outcome"] == "delivered").len() == all).then_some(())
    });
    let taken = sink.taken();
    let mut recipients: Vec<&str> = taken.iter().flat_map(|mail| mail.recipients.iter().map(String::as_str)).collect();
    recipients.sort_unstable();
    let mut expected: Vec<&str> = messages.iter().flat_map(|_| RECIPIENTS).collect();
    expected.sort_unstable();
    assert_eq!(recipients, expected);
    for mail in &taken {
        assert_eq!(mail.mail_from, FROM);
        let is_large = mail.data.len() > 500_000;
        let message = messages.iter().find(|message| (message.len() > 500_000) == is_large).expect("one of both");
        same(mail.original(), message);
    }
    assert!(gateway.events(|event| event["event"] == "message").iter().all(|event| event["tls"].is_string()));
}

/// The sender may have put fields on top.
#[track_caller]
fn ends_with(actual: &[u8], expected: &[u8]) {
    mail::assert_same(&actual[actual.len().saturating_sub(expected.len())..], expected);
}

fn divided(message: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memmem::find(message, b"\r\n\r\n").expect("a header and a body");
    message.split_at(end + 2)
}

/// A folder with the users that a mail server looks for, and a host name.
pub struct World(pub tempfile::TempDir);

impl World {
    pub fn new() -> Self {
        let world = Self(temporary_folder());
        let users = ["postfix", "postdrop", "nobody", "Debian-exim", "smmta", "smmsp", "mail", "mailnull"];
        let (mut passwd, mut group) = ("root:x:0:0::/:/bin/sh\n".to_owned(), "root:x:0:\nnogroup:x:65534:\n".to_owned());
        for (number, user) in (1001..).zip(users) {
            passwd += &format!("{user}:x:{number}:{number}::/:/bin/false\n");
            group += &format!("{user}:x:{number}:\n");
        }
        world.write("passwd", &passwd);
        world.write("group", &group);
        world.write("hosts", "127.0.0.1 localhost\n127.0.1.1 sender.example sender\n");
        world
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    pub fn write(&self, path: &str, text: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), text).unwrap();
    }

    pub fn tool(&self, name: &str) -> Command {
        let mut command = tool(name);
        command.current_dir(self.0.path()).env("NSS_WRAPPER_HOSTNAME", "sender.example");
        for (variable, file) in [("PASSWD", "passwd"), ("GROUP", "group"), ("HOSTS", "hosts")] {
            command.env(format!("NSS_WRAPPER_{variable}"), self.path(file));
        }
        command
    }
}

/// Postfix with its queue manager, without a port of its own; it ends when this is dropped, and by itself after a while.
pub struct Postfix {
    pub world: World,
    process: Child,
}

impl Postfix {
    fn start(port: u16) -> Self {
        let world = World::new();
        let main = main_cf(world.0.path(), port);
        Self::with(world, &main, MASTER_CF)
    }

    /// One with these configurations.
    pub fn with(world: World, main: &str, services: &str) -> Self {
        world.write("etc/main.cf", main);
        world.write("etc/master.cf", services);
        world.write("etc/dynamicmaps.cf", "");
        for queue in
            ["active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private", "public"]
        {
            std::fs::create_dir_all(world.path("queue").join(queue)).unwrap();
        }
        std::fs::create_dir(world.path("data")).unwrap();
        let mut master = world.tool("postfix-master");
        master.args(["-d", "-e", "300", "-c"]).arg(world.path("etc"));
        let process = master.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Postfix starts");
        let postfix = Self { world, process };
        until("Postfix's start", || postfix.world.path("queue/public/pickup").exists().then_some(()));
        postfix
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- Postfix said:\n{}", std::fs::read_to_string(self.world.path("log")).unwrap_or_default());
        }
        if let Ok(pid) = std::fs::read_to_string(self.world.path("queue/pid/master.pid")) {
            let _ = Command::new("kill").arg(pid.trim()).status();
        } else {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

pub fn main_cf(folder: &Path, port: u16) -> String {
    let (folder, tree) = (folder.display(), tools().join("debian"));
    let tree = tree.display();
    let environment = "LD_LIBRARY_PATH LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP NSS_WRAPPER_HOSTS NSS_WRAPPER_HOSTNAME \
                       FAKEROOTKEY FAKED_MODE TZ MAIL_CONFIG PATH";
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/queue\ndata_directory = {folder}/data\nmaillog_file = {folder}/log\n\
         maillog_file_prefixes = {folder}\ndaemon_directory = {tree}/usr/lib/postfix/sbin\ncommand_directory = {tree}/usr/sbin\n\
         shlib_directory = {tree}/usr/lib/postfix\nmeta_directory = {tree}/etc/postfix\nmail_owner = postfix\nsetgid_group = postdrop\n\
         myhostname = sender.example\nmydestination =\nrelayhost = [127.0.0.1]:{port}\ndisable_dns_lookups = yes\n\
         smtp_host_lookup = native\ninet_protocols = ipv4\ninet_interfaces = 127.0.0.1\nalias_maps =\nalias_database =\n\
         local_recipient_maps =\nsmtp_tls_security_level = encrypt\n\
         import_environment = {environment}\nexport_environment = {environment}\n"
    )
}

pub const MASTER_CF: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// Programs on Unix read lines that end with LF.
pub fn with_lf(message: &[u8]) -> Vec<u8> {
    message.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [line.strip_suffix(b"\r\n").unwrap(), b"\n"].concat()).collect()
}

/// Runs a sender to its good end.
#[track_caller]
fn ran(mut command: impl std::borrow::BorrowMut<Command>, input: &[u8]) {
    let command = command.borrow_mut();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the sender starts");
    // One that does not read its input has said why.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let said = mail::text(&output.stdout) + &mail::text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
}
