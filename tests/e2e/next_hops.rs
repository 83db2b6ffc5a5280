//! Real mail servers as next hops: what is handed to them is in the mailbox, octet by octet, over STARTTLS, and connections that they
//! have closed meanwhile cost nothing.
//!
//! They are unpacked, not installed, and believe to be root (tests/tools says how).

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::common::{free_address, temporary_folder, tool, tools};
use crate::harness::lines::Lines;
use crate::harness::programs::Aiosmtpd;
use crate::harness::tls::Certificate;
use crate::harness::{Client, Deployment, Gateway, mail, until};
use crate::mtas::{MASTER_CF, Postfix, World, main_cf, with_lf};

const FROM: &str = "alice@example.org";
const RECIPIENTS: usize = 60;

/// A program that is a next hop, and where its mail goes.
trait NextHop {
    fn address(&self) -> SocketAddr;
    /// Every message of a recipient, lines ended by LF, below whatever the server has put on top.
    fn mailbox(&self, recipient: usize) -> Vec<Vec<u8>>;
    /// Whether it has closed a connection because nothing came for too long.
    fn has_hung_up(&self) -> bool;
}

#[test]
fn postfix_has_what_it_was_given() {
    let hop = PostfixHop::start();
    deliveries(&hop, &[mail::awkward(900), mail::small("second"), mail::large(10_000_000)]);
}

#[test]
fn exim_has_what_it_was_given() {
    let hop = EximHop::start();
    deliveries(&hop, &[mail::awkward(900), mail::small("second"), mail::large(10_000_000)]);
}

/// Many recipients, a large message, and in between as long a pause as makes the server hang up.
fn deliveries(hop: &dyn NextHop, messages: &[Vec<u8>]) {
    let deployment = Deployment::new("inline").relay_with("next", hop.address(), "tls: required");
    let gateway = deployment.start();
    let recipients: Vec<String> = (0..RECIPIENTS).map(|at| format!("r{at}@acme.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for (number, message) in messages.iter().enumerate() {
        let to = if message.len() > 1_000_000 { &recipients[..2] } else { &recipients[..] };
        Client::hello(gateway.address()).send(FROM, to, message).expect("250 ");
        for at in 0..to.len() {
            let wanted = with_lf(message);
            until("the message in its mailbox", || {
                let mailbox = hop.mailbox(at);
                let there = mailbox.iter().any(|there| there.ends_with(&wanted));
                assert!(
                    there || mailbox.len() <= number,
                    "r{at} has another message: {:?}",
                    mailbox.last().map(|there| mail::text(&there[..there.len().min(3000)]))
                );
                there.then_some(())
            });
        }
    }
    let outcomes = gateway.events(|event| event["event"] == "outcome");
    assert!(outcomes.iter().all(|event| event["outcome"] == "delivered"), "{outcomes:?}");
    let attempts = gateway.events(|event| event["event"] == "attempt");
    assert!(attempts.iter().all(|event| event["tls"].is_string()), "{attempts:?}");
    assert!(gateway.events(|event| event["event"] == "replied").iter().all(|event| event["spooled"] == false));
    idle_and_again(&gateway, hop, messages.len());
}

/// Both servers close a connection that is idle for a second.
fn idle_and_again(gateway: &Gateway, hop: &dyn NextHop, before: usize) {
    let message = mail::small("after a pause");
    until("the server to hang up", || hop.has_hung_up().then_some(()));
    let reply = Client::hello(gateway.address()).send(FROM, &["r0@acme.example"], &message);
    reply.expect("250 ");
    until("the message in its mailbox", || (hop.mailbox(0).len() > before).then_some(()));
    assert!(hop.mailbox(0).iter().any(|there| there.ends_with(&with_lf(&message))));
    let replied = gateway.events(|event| event["event"] == "replied");
    assert!(replied.iter().all(|event| event["spooled"] == false), "{replied:?}");
}

/// The files of a Maildir.
fn maildir(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder.join("new")) else { return Vec::new() };
    files.filter_map(|file| std::fs::read(file.ok()?.path()).ok()).collect()
}

struct PostfixHop {
    postfix: Postfix,
    address: SocketAddr,
}

impl PostfixHop {
    fn start() -> Self {
        let (world, address) = (World::new(), free_address());
        Certificate::new().write(&world.path("tls"));
        let folder = world.path("");
        let folder = folder.display();
        // The service on a port of its own; everything else is as for a sender.
        let main = main_cf(world.0.path(), 9)
            + &format!(
                "virtual_mailbox_domains = acme.example\nvirtual_mailbox_base = {folder}\nvirtual_mailbox_maps = texthash:{folder}/boxes\n\
                 virtual_uid_maps = static:1001\nvirtual_gid_maps = static:1001\nvirtual_mailbox_limit = 0\nmessage_size_limit = 0\n\
                 smtpd_tls_security_level = encrypt\nsmtpd_tls_chain_files = {folder}/tls/key.pem, {folder}/tls/cert.pem\n\
                 smtpd_timeout = 1s\nsmtpd_relay_restrictions = reject_unauth_destination\nlmtp_tls_security_level = none\n\
                 tls_random_source = dev:/dev/urandom\nsmtpd_client_connection_rate_limit = 0\nline_length_limit = 10000\n"
            );
        let boxes: String = (0..RECIPIENTS).map(|at| format!("r{at}@acme.example box/r{at}/\n")).collect();
        world.write("boxes", &boxes);
        std::fs::create_dir(world.path("box")).unwrap();
        let services = format!(
            "127.0.0.1:{} inet n - n - - smtpd\nvirtual unix - n n - - virtual\nanvil unix - - n - 1 anvil\nproxymap unix - - n - - proxymap\n{MASTER_CF}",
            address.port()
        );
        let postfix = Postfix::with(world, &main, &services);
        until("Postfix's port", || std::net::TcpStream::connect(address).ok().map(drop));
        Self { postfix, address }
    }
}

impl NextHop for PostfixHop {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn mailbox(&self, recipient: usize) -> Vec<Vec<u8>> {
        maildir(&self.postfix.world.path(&format!("box/r{recipient}")))
    }

    fn has_hung_up(&self) -> bool {
        std::fs::read_to_string(self.postfix.world.path("log")).is_ok_and(|log| log.contains("timeout after"))
    }
}

/// Exim; it ends when this is dropped.
struct EximHop {
    world: World,
    process: Child,
    address: SocketAddr,
}

impl EximHop {
    fn start() -> Self {
        let (world, address) = (World::new(), free_address());
        Certificate::new().write(&world.path("tls"));
        let configuration = format!(
            "exim_path = {exim}\nspool_directory = {folder}/spool\nlog_file_path = {folder}/log-%s\nprimary_hostname = next.example\n\
             keep_environment = *\nno_message_logs\ndisable_ipv6\nmessage_size_limit = 0\n\
             tls_advertise_hosts = *\ntls_certificate = {folder}/tls/cert.pem\ntls_privatekey = {folder}/tls/key.pem\n\
             smtp_receive_timeout = 1s\nsmtp_accept_max = 50\nqueue_run_max = 5\nchunking_advertise_hosts = *\nsmtputf8_advertise_hosts = *\n\
             dsn_advertise_hosts = *\nacl_smtp_rcpt = all\nacl_smtp_data = all\n\
             begin acl\nall:\n  accept encrypted = *\n  deny\n\
             begin routers\nall:\n  driver = accept\n  local_parts = lsearch;{folder}/boxes\n  transport = box\n\
             begin transports\nbox:\n  driver = appendfile\n  directory = {folder}/box/$local_part_data\n  maildir_format\n  create_directory\n  user = mail\n",
            exim = tools().join("mta-exim/usr/sbin/exim4").display(),
            folder = world.path("").display(),
        );
        let boxes: String = (0..RECIPIENTS).map(|at| format!("r{at}: r{at}\n")).collect();
        world.write("boxes", &boxes);
        world.write("exim.conf", &configuration);
        let mut exim = world.tool("exim");
        exim.arg("-C").arg(world.path("exim.conf")).args(["-bdf", "-oX", &format!("[127.0.0.1]:{}", address.port())]);
        let process = exim.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Exim starts");
        let hop = Self { world, process, address };
        until("Exim's port", || std::net::TcpStream::connect(address).ok().map(drop));
        hop
    }
}

impl NextHop for EximHop {
    fn address(&self) -> SocketAddr {
        self.address
    }

    fn mailbox(&self, recipient: usize) -> Vec<Vec<u8>> {
        maildir(&self.world.path(&format!("box/r{recipient}")))
    }

    fn has_hung_up(&self) -> bool {
        std::fs::read_to_string(self.world.path("log-main")).is_ok_and(|log| log.contains("SMTP command timeout"))
    }
}

impl Drop for EximHop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in ["log-main", "log-panic", "log-reject"] {
                eprintln!("---- Exim's {log}:\n{}", std::fs::read_to_string(self.world.path(log)).unwrap_or_default());
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn aiosmtpd_has_what_it_was_given_after_a_login() {
    let (user, password) = ("relay-user", "correct-horse-42");
    let server = Aiosmtpd::with_login(&["LOGIN"], user, password);
    let secret = serde_json::json!({ "username": user, "password": password }).to_string();
    let deployment = Deployment::new("inline").file("secret.json", &secret);
    let gateway = deployment.relay_with("next", server.address(), "tls: required, auth: { file: secret.json }").start();
    let recipients: Vec<String> = (0..RECIPIENTS).map(|at| format!("r{at}@acme.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for (number, message) in [mail::awkward(900), mail::large(10_000_000), mail::small("after the end")].iter().enumerate() {
        if number == 2 {
            server.hang_up();
        }
        Client::hello(gateway.address()).send(FROM, &recipients, message).expect("250 ");
        let (envelope, content) = server.wait_message(number + 1);
        mail::assert_same(mail::below_received(&content), message);
        assert_eq!(envelope["recipients"].as_array().map(Vec::len), Some(RECIPIENTS));
        assert_eq!((&envelope["tls"], &envelope["login"]), (&true.into(), &user.into()));
    }
    assert!(gateway.events(|event| event["event"] == "replied").iter().all(|event| event["spooled"] == false));
}

#[test]
fn the_server_of_nodemailer_has_what_it_was_given_after_a_login() {
    let (user, password) = ("relay-user", "correct-horse-42");
    let server = Nodemailer::start(user, password);
    let secret = serde_json::json!({ "username": user, "password": password }).to_string();
    let deployment = Deployment::new("inline").file("secret.json", &secret);
    let gateway = deployment.relay_with("next", server.address, "tls: required, auth: { file: secret.json }").start();
    let recipients: Vec<String> = (0..RECIPIENTS).map(|at| format!("r{at}@acme.example")).collect();
    let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
    for (number, message) in [mail::awkward(900), mail::large(10_000_000), mail::small("after a pause")].iter().enumerate() {
        if number == 2 {
            server.wait(|event| (event["event"] == "closed").then_some(()));
        }
        Client::hello(gateway.address()).send(FROM, &recipients, message).expect("250 ");
        let name = format!("/{}.eml", number + 1);
        let envelope = server.wait(|event| event["path"].as_str().is_some_and(|path| path.ends_with(&name)).then(|| event.clone()));
        let content = std::fs::read(envelope["path"].as_str().unwrap()).unwrap();
        mail::assert_same(mail::below_received(&content), message);
        assert_eq!(envelope["recipients"].as_array().map(Vec::len), Some(RECIPIENTS));
        assert_eq!((&envelope["tls"], &envelope["login"]), (&true.into(), &user.into()));
    }
    assert!(gateway.events(|event| event["event"] == "replied").iter().all(|event| event["spooled"] == false));
}

/// nodemailer's smtp-server; it ends when this is dropped, and when the test process does.
struct Nodemailer {
    process: Child,
    events: Lines,
    errors: Lines,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Nodemailer {
    fn start(user: &str, password: &str) -> Self {
        let folder = temporary_folder();
        let (certificate, key) = Certificate::new().write(folder.path());
        let mut node = tool("node");
        node.args(["-e", include_str!("harness/nodemailer_server.js"), "--"]).arg(folder.path()).args([certificate, key]);
        let node = node.args([user, password]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = node.spawn().expect("node starts");
        let events = Lines::follow(process.stdout.take().unwrap());
        let errors = Lines::follow(process.stderr.take().unwrap());
        let mut server = Self { process, events, errors, address: ([127, 0, 0, 1], 0).into(), _folder: folder };
        let port = server.wait(|event| if event["event"] == "listening" { event["port"].as_u64() } else { None });
        server.address.set_port(u16::try_from(port).unwrap());
        server
    }

    fn wait<T>(&self, mut pick: impl FnMut(&Value) -> Option<T>) -> T {
        self.events.wait("such event of smtp-server", |line| pick(&serde_json::from_str(line).ok()?))
    }
}

impl Drop for Nodemailer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- smtp-server said:\n{}\n{}", self.events.text(), self.errors.text());
        }
    }
}
