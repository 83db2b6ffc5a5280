//! Limits, pressure and the figures about them.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;

use crate::common::tool;
use crate::harness::gateway::PROGRAM;
use crate::harness::{Client, Deployment, Gateway, Sink, mail, until};

const BOB: &str = "bob@acme.example";
const BASE: &str = "domains: [acme.example, acme.org]\nadmin: { listen: \"127.0.0.1:0\" }\n";

#[test]
fn a_full_gateway_says_so_to_clients_monitoring_and_load_balancers_and_opens_again() {
    let (_sink, _deployment, gateway) = start("limits: { connections: 5 }");
    let admin = gateway.listening("(admin)");
    assert_eq!(get(admin, "/healthz"), (200, "serving\n".to_owned()));
    let clients: Vec<Client> = (0..5).map(|_| Client::hello(gateway.address())).collect();
    for _ in 0..30 {
        Client::dial(gateway.address()).reply().expect("421 4.3.2 Too many connections");
    }
    assert_eq!(get(admin, "/healthz"), (503, "refusing\n".to_owned()));
    let (_, page) = get(admin, "/metrics");
    for line in ["gateway_connections 5", "gateway_connections_max 5", "gateway_pressure 2", "gateway_connections_total 5"] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(page.contains("gateway_limit_reached_total{limit=\"connections\"} 30\n"), "{page}");
    // Thirty refusals, one line.
    gateway.wait_for(|event| event["event"] == "turned_away");
    let told = gateway.events(|event| event["event"] == "turned_away");
    assert_eq!((told.len(), &told[0]["limit"], &told[0]["client"]), (1, &"connections".into(), &"127.0.0.1".into()));
    drop(clients);
    gateway.wait_for(|event| event["event"] == "pressure" && event["level"] == "normal");
    assert_eq!(get(admin, "/healthz").0, 200);
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("again")).expect("250 ");
    let (_, page) = get(admin, "/metrics");
    for line in ["gateway_messages_total{reply=\"2xx\"} 1", "gateway_outcomes_total{outcome=\"delivered\"} 1", "gateway_pressure 0"] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert_eq!(get(admin, "/nothing").0, 404);
}

#[test]
fn under_pressure_who_waits_goes_first_and_who_sends_is_served() {
    // Ten connections of one client: strain begins with the ninth, and gives each a thirtieth of a minute.
    let (_sink, _deployment, gateway) = start("limits: { connections: 10, idle_timeout: 60s }");
    let mut sending = Client::hello(gateway.address());
    sending.command("MAIL FROM:<alice@example.org>").expect("250 ");
    sending.command("RCPT TO:<bob@acme.example>").expect("250 ");
    sending.command("DATA").expect("354 ");
    let idle: Vec<Client> = (0..8).map(|_| Client::hello(gateway.address())).collect();
    gateway.wait_for(|event| event["event"] == "pressure" && event["level"] == "strained");
    for client in idle {
        assert!(client.rest().starts_with("421 4.4.2 "));
    }
    gateway.wait_for(|event| event["event"] == "pressure" && event["level"] == "normal");
    sending.write(b"Subject: slow\r\n\r\nand served\r\n.\r\n");
    sending.reply().expect("250 ");
    // Nobody else is in a hurry again.
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("after")).expect("250 ");
    let refused = gateway.events(|event| event["event"] == "refused" && event["limit"] == "idle_timeout");
    assert_eq!(refused.len(), 8);
}

#[test]
fn sessions_end_at_their_limits_and_the_log_names_each() {
    let (_sink, _deployment, gateway) =
        start("limits: { bad_recipients: 3, errors: 4, recipients: 2, messages_per_session: 1, idle_timeout: 1s, message_memory: 1MiB }");
    let begin = || {
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<alice@example.org>").expect("250 ");
        client
    };
    let mut guessing = begin();
    for _ in 0..3 {
        guessing.command("RCPT TO:<someone@elsewhere.example>").expect("550 5.7.1");
    }
    guessing.reply().expect("421 4.7.0 Too many recipients that are not accepted");

    let mut confused = begin();
    for _ in 0..4 {
        confused.command("NONSENSE").expect("500 5.5.2");
    }
    confused.reply().expect("421 4.7.0 Too many errors");

    let mut list = begin();
    for (to, code) in
        [("a@acme.example", "250 "), ("b@acme.example", "250 "), ("c@acme.example", "452 4.5.3"), ("d@acme.example", "452 4.5.3")]
    {
        list.command(&format!("RCPT TO:<{to}>")).expect(code);
    }
    list.command("DATA").expect("354 ");
    list.write(b"Subject: two of four\r\n\r\n.\r\n");
    list.reply().expect("250 ");
    list.command("MAIL FROM:<alice@example.org>").expect("421 4.7.0 Too many messages");

    let mut large = begin();
    large.command("RCPT TO:<bob@acme.example>").expect("250 ");
    large.command("DATA").expect("354 ");
    large.write(&crate::harness::client::stuffed(&mail::large(2_000_000)));
    large.reply().expect("452 4.3.1 Not enough memory");

    let silent = Client::hello(gateway.address());
    assert!(silent.rest().starts_with("421 4.4.2 "));
    for limit in ["bad_recipients", "errors", "recipients", "messages_per_session", "message_memory", "idle_timeout"] {
        let refused = gateway.wait_for(|event| event["event"] == "refused" && event["limit"] == limit);
        assert!(refused["reply"]["code"].as_u64().is_some_and(|code| code == 421 || code == 452), "{refused}");
    }
    let (_, page) = get(gateway.listening("(admin)"), "/metrics");
    assert!(page.contains("gateway_limit_reached_total{limit=\"recipients\"} 1\n"), "once for a transaction: {page}");
}

#[test]
fn limits_change_while_it_runs() {
    let (_sink, deployment, gateway) = start("");
    let mut old = Client::hello(gateway.address());
    let yaml = std::fs::read_to_string(deployment.path("gateway.yaml")).unwrap();
    deployment.write("gateway.yaml", &format!("{yaml}limits: {{ connections: 2, errors: 1 }}\n"));
    gateway.signal("HUP");
    gateway.wait_for(|event| event["event"] == "reloaded");
    let mut new = Client::hello(gateway.address());
    Client::dial(gateway.address()).reply().expect("421 4.3.2");
    new.command("NONSENSE").expect("500 ");
    new.reply().expect("421 4.7.0");
    drop(new);
    // Full again or not: the session that was there before keeps its own number, or under strain at least its one.
    gateway.wait_for(|event| event["event"] == "pressure" && event["level"] == "normal");
    for _ in 0..3 {
        old.command("NONSENSE").expect("500 ");
    }
    old.send("alice@example.org", &[BOB], &mail::small("old")).expect("250 ");
}

#[test]
fn thousands_of_idle_sessions_are_no_pressure() {
    const SESSIONS: usize = 3_000;
    raise_file_limit();
    let (_sink, _deployment, gateway) = start("");
    let before = gateway.memory_kib("VmRSS:");
    let idle: Vec<Client> = (0..SESSIONS)
        .map(|_| {
            let mut client = Client::dial(gateway.address());
            client.reply().expect("220 ");
            client
        })
        .collect();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("beside")).expect("250 ");
    let each = gateway.memory_kib("VmRSS:").saturating_sub(before) / u64::try_from(SESSIONS).unwrap();
    assert!(each < 16, "{each} KiB for each idle session");
    let (_, page) = get(gateway.listening("(admin)"), "/metrics");
    assert!(page.contains("gateway_pressure 0\n"), "{page}");
    drop(idle);
    until("an end of all sessions", || get(gateway.listening("(admin)"), "/metrics").1.contains("gateway_connections 0\n").then_some(()));
}

#[test]
fn connections_leave_files_for_everything_else() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    deployment.write("gateway.yaml", &deployment.yaml());
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$0\" run --config \"$1\"", PROGRAM]).arg(deployment.path("gateway.yaml"));
    let mut process = Ended(limited.stdout(std::process::Stdio::piped()).spawn().expect("sh runs"));
    let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let problem = lines.find(|line| line.contains("\"problem\"") || line.contains("\"listening\"")).unwrap();
    let listening = lines.find(|line| line.contains("\"listening\"")).unwrap_or_default();
    let address = serde_json::from_str::<serde_json::Value>(&listening).unwrap()["address"].as_str().unwrap().parse().unwrap();
    let mut clients: Vec<Client> = (0..75).map(|_| Client::hello(address)).collect();
    Client::dial(address).reply().expect("421 4.3.2");
    // All places are taken, and a message still finds its way.
    clients[0].send("alice@example.org", &[BOB], &mail::small("full")).expect("250 ");
    assert!(problem.contains("the system allows 100 open files, so there are 75 connections and not 12000"), "{problem}");
}

/// A process that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both ends of a connection on this machine are file descriptors, ours in this process.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// What Python's HTTP client makes of the answer: status and content.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    const ASK: &str = "import sys, urllib.request, urllib.error
try:
    answer = urllib.request.urlopen(sys.argv[1], timeout=30)
except urllib.error.HTTPError as error:
    answer = error
print(answer.status)
sys.stdout.write(answer.read().decode())";
    let output = tool("python").args(["-c", ASK, &format!("http://{address}{path}")]).output().expect("python runs");
    let said = String::from_utf8(output.stdout).unwrap();
    let (status, body) = said.split_once('\n').unwrap_or_else(|| panic!("{}", mail::text(&output.stderr)));
    (status.parse().expect("a status"), body.to_owned())
}

fn start(limits: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").top(&format!("{BASE}{limits}")).relay("next", sink.address());
    let gateway = deployment.start();
    (sink, deployment, gateway)
}
