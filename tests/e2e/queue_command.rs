//! `gateway queue`: on a gateway that runs, and on the spool of one that does not.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::harness::gateway::PROGRAM;
use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

const BOB: &str = "bob@acme.example";
const CAROL: &str = "carol@acme.example";
/// Nothing is tried again while a test runs, unless it is ordered.
const LATE: &str = "retry: { first: 6h, factor: 1, longest: 6h }";

/// A gateway whose next hop is down, with a message for Bob and one for Carol in its spool, each tried once.
struct Waiting {
    sink: Sink,
    bounces: Sink,
    deployment: Deployment,
    gateway: Gateway,
    /// The message for Bob.
    bob: String,
}

impl Waiting {
    fn start() -> Self {
        let (sink, bounces) = (Sink::down(|_| Answer::Ok), Sink::accepting());
        let deployment = Deployment::new("queue")
            .top("domains: [acme.example]\nbounces: { relay: bounces }")
            .relay_with("next", sink.address(), LATE)
            .relay("bounces", bounces.address());
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        client.send("alice@example.org", &[BOB], &mail::small("for bob")).expect("250 ");
        client.send("news@example.org", &[CAROL], &mail::small("for carol")).expect("250 ");
        gateway.wait_events(2, |event| event["event"] == "attempt");
        let attempt = gateway.wait_for(|event| event["event"] == "attempt" && event["recipients"][0]["recipient"] == BOB);
        let bob = attempt["message"].as_str().unwrap().to_owned();
        let waiting = Self { sink, bounces, deployment, gateway, bob };
        // An attempt ends a moment after its line in the log.
        crate::harness::until("both wait", || (waiting.states() == ["waiting", "waiting"]).then_some(()));
        waiting
    }

    fn states(&self) -> Vec<String> {
        let text = |job: &Value| job["state"].as_str().unwrap().to_owned();
        list(&self.deployment, &[]).iter().map(text).collect()
    }
}

#[test]
fn a_running_gateway_shows_its_queue_and_tries_what_it_is_told_to() {
    let Waiting { sink, deployment, gateway, bob, .. } = &Waiting::start();
    let jobs = list(deployment, &["--recipient", "@ACME.example"]);
    assert_eq!(jobs.len(), 2, "{jobs:?}");
    let job = list(deployment, &["--sender", "alice@*"]).remove(0);
    assert_eq!(job["id"], format!("{bob}/0"));
    assert_eq!((&job["relay"], &job["rule"], &job["sender"]), (&"next".into(), &"all".into(), &"alice@example.org".into()));
    assert_eq!((&job["attempts"], &job["state"]), (&1.into(), &"waiting".into()));
    assert_eq!(job["recipients"][0]["address"], BOB);
    assert!(job["recipients"][0]["reply"].as_str().unwrap().starts_with("451 4.4.1 "), "{job}");
    assert!(job["next_attempt"].as_str().unwrap() > job["stored"].as_str().unwrap(), "{job}");
    assert!(job["bytes"].as_u64().unwrap() >= mail::small("for bob").len() as u64);

    // Each filter takes something away, and what nothing fits is exit code 1.
    for (arguments, expected) in [
        (&["--reply", "CANNOT be reached"][..], 2),
        (&["--reply", "nonsense"], 0),
        (&["--recipient", CAROL], 1),
        (&["--recipient", "@acme.org"], 0),
        (&["--sender", "<>"], 0),
        (&["--older-than", "1h"], 0),
        (&["--older-than", "0s", "--relay", "next"], 2),
        (&["--relay", "bounces"], 0),
        (&[bob], 1),
        (&[bob, &format!("{bob}/0")], 1),
        (&[&format!("{bob}/1")], 0),
        (&["--limit", "1"], 1),
    ] {
        assert_eq!(list(deployment, arguments).len(), expected, "{arguments:?}");
    }
    assert_eq!(queue(deployment, &["list", "no-id"]).status.code(), Some(2));
    assert_eq!(queue(deployment, &["retry"]).status.code(), Some(2), "it must be said which");

    let shown = text(&queue(deployment, &["show", bob]));
    for part in ["from    <alice@example.org>", "to      <bob@acme.example>", "rule    all", "1 attempt", "451 4.4.1", "Subject: for bob"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert!(!shown.contains("Hello"), "the header and not the body: {shown}");
    let content = queue(deployment, &["show", bob, "--content"]).stdout;
    mail::assert_same(&content, &mail::small("for bob"));
    assert_eq!(queue(deployment, &["show", "06gzz8xjr8fwqj8m-1"]).status.code(), Some(1));

    // Bob's alone is tried, at once.
    sink.come_up();
    assert!(text(&queue(deployment, &["retry", "--recipient", BOB])).contains("1 job is tried now"));
    gateway.wait_outcome(BOB, "delivered");
    let order = gateway.wait_for(|event| event["event"] == "operator");
    assert_eq!((&order["order"], &order["matched"], &order["changed"]), (&"retry".into(), &1.into(), &1.into()), "{order}");
    assert!(order["user"].is_u64() && order["filter"] == format!("recipient={BOB}"), "{order}");
    assert_eq!(sink.wait_taken(1).len(), 1);
    assert!(gateway.events(|event| event["event"] == "outcome" && event["recipient"] == CAROL).is_empty());
}

#[test]
fn what_is_held_stays_so_over_restarts_until_it_is_released() {
    let Waiting { sink, deployment, gateway, .. } = Waiting::start();
    assert!(text(&queue(&deployment, &["hold", "--sender", "news@example.org"])).contains("1 job was set aside"));
    sink.come_up();
    // What is held is not tried, whatever is ordered for all.
    assert!(text(&queue(&deployment, &["retry", "--all"])).contains("1 job is set aside"));
    gateway.wait_outcome(BOB, "delivered");
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    let gateway = deployment.start();
    let job = list(&deployment, &[]).remove(0);
    assert_eq!((&job["state"], &job["next_attempt"]), (&"held".into(), &Value::Null), "{job}");
    assert!(text(&queue(&deployment, &["release", "--recipient", CAROL])).contains("1 job is released"));
    gateway.wait_outcome(CAROL, "delivered");
    assert_eq!(sink.wait_taken(2).len(), 2);
    assert_eq!(queue(&deployment, &["list"]).status.code(), Some(1), "nothing is left");
}

#[test]
fn what_is_dropped_is_gone_and_its_sender_is_told_if_that_was_said() {
    let Waiting { sink, bounces, deployment, gateway, bob } = Waiting::start();
    let refused = queue(&deployment, &["drop", "--all"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(mail::text(&refused.stderr).contains("2 jobs would be dropped for good"), "{refused:?}");
    assert!(text(&queue(&deployment, &["drop", &bob, "--bounce", "--yes"])).contains("1 job was dropped; the senders get a bounce"));
    let outcome = gateway.wait_outcome(BOB, "dropped");
    assert_eq!((&outcome["detail"], &outcome["reply"]["code"]), (&"by an operator".into(), &451.into()));
    let bounce = bounces.only();
    assert_eq!(bounce.recipients, ["alice@example.org"]);
    assert!(mail::text(&bounce.data).contains("Final-Recipient: rfc822; bob@acme.example"));
    assert!(text(&queue(&deployment, &["drop", "--recipient", CAROL, "--yes"])).contains("nobody is told"));
    gateway.wait_outcome(CAROL, "dropped");
    assert_eq!(queue(&deployment, &["drop", "--all", "--yes"]).status.code(), Some(1));
    sink.come_up();
    let (_, said) = gateway.stop();
    assert!(said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
    assert_eq!((sink.taken().len(), bounces.taken().len()), (0, 1));
}

#[test]
fn the_queue_of_a_stopped_gateway_takes_the_same_orders() {
    let Waiting { sink, deployment, gateway, bob, .. } = Waiting::start();
    let running = queue(&deployment, &["list"]).stdout;
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    assert!(!deployment.path("spool/control.sock").exists());
    let stopped = queue(&deployment, &["list"]).stdout;
    let ids = |output: &[u8]| {
        mail::text(output).lines().filter(|line| line.contains("/0  next")).map(|line| line[..20].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&running), ids(&stopped));
    assert_eq!(ids(&stopped).len(), 2, "{}", mail::text(&stopped));
    assert!(text(&queue(&deployment, &["show", &bob])).contains("Subject: for bob"));
    let stats: Value = serde_json::from_str(text(&queue(&deployment, &["stats", "--json"])).lines().nth(1).unwrap()).unwrap();
    assert_eq!((&stats["relay"], &stats["queued"], &stats["state"]), (&"next".into(), &2.into(), &"open".into()), "{stats}");
    assert!(text(&queue(&deployment, &["hold", &bob])).contains("1 job was set aside"));
    let dropped = queue(&deployment, &["drop", "--sender", "news@*", "--yes"]);
    assert!(text(&dropped).contains("1 job was dropped"));
    let events = mail::text(&dropped.stderr);
    assert!(events.contains("\"event\":\"outcome\"") && events.contains("\"event\":\"operator\""), "{events}");
    // A dead gateway leaves its socket.
    let gateway = deployment.start();
    assert!(deployment.path("spool/control.sock").exists());
    gateway.kill();
    assert!(text(&queue(&deployment, &["release", "--all"])).contains("1 job is released"));
    sink.come_up();
    let gateway = deployment.start();
    gateway.wait_outcome(BOB, "delivered");
    assert_eq!(sink.wait_taken(1).len(), 1);
}

#[test]
fn stats_count_what_waits_for_each_relay() {
    let Waiting { deployment, .. } = &Waiting::start();
    let lines: Vec<Value> =
        text(&queue(deployment, &["stats", "--json"])).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["relay"]).collect::<Vec<_>>(), ["bounces", "next"]);
    assert_eq!((&lines[1]["queued"], &lines[1]["held_jobs"], &lines[1]["due"]), (&2.into(), &0.into(), &0.into()), "{}", lines[1]);
    assert!(lines[1]["next_attempt"].is_string() && lines[1]["oldest_seconds"].is_u64(), "{}", lines[1]);
    assert!(text(&queue(deployment, &["stats"])).contains("next  open  2 queued, 0 held, 0 due"));
    assert_eq!(queue(deployment, &["hold", "--relay", "nobody"]).status.code(), Some(2));
}

#[test]
fn a_held_relay_keeps_what_comes_new_until_it_is_released() {
    let Waiting { sink, deployment, gateway, .. } = Waiting::start();
    let next = |deployment: &Deployment| -> Value {
        let stats = text(&queue(deployment, &["stats", "--json"]));
        serde_json::from_str(stats.lines().find(|line| line.contains("\"relay\":\"next\"")).unwrap()).unwrap()
    };
    assert!(text(&queue(&deployment, &["hold", "--relay", "next"])).contains("relay next is held; 2 jobs wait for it"));
    sink.come_up();
    Client::hello(gateway.address()).send("alice@example.org", &["dave@acme.example"], &mail::small("new")).expect("250 ");
    assert!(text(&queue(&deployment, &["retry", "--all"])).contains("relay next is held: what waits for it is not tried"));
    let stats = next(&deployment);
    assert_eq!((&stats["state"], &stats["queued"], &stats["held_jobs"]), (&"held".into(), &3.into(), &0.into()), "{stats}");
    assert!(stats["since"].is_string() && stats["reason"].is_string(), "{stats}");
    let (status, said) = gateway.stop();
    assert!(status.success(), "{said}");
    assert_eq!(next(&deployment)["state"], "held");
    assert_eq!(sink.connections(), 0);
    assert!(text(&queue(&deployment, &["release", "--relay", "next"])).contains("relay next is released; 3 jobs are tried now"));
    assert_eq!(next(&deployment)["state"], "open");
    let gateway = deployment.start();
    assert_eq!(sink.wait_taken(3).len(), 3);
    gateway.wait_outcome("dave@acme.example", "delivered");
}

#[test]
fn what_is_being_tried_is_left_alone() {
    let sink = Sink::start(|at| if matches!(at, At::Dot(_)) { Answer::Hang } else { Answer::Ok });
    let deployment = Deployment::new("queue").relay_with("next", sink.address(), LATE);
    let gateway = deployment.start();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("slow")).expect("250 ");
    sink.wait_hanging(1);
    crate::harness::until("it is being tried", || (list(&deployment, &[])[0]["state"] == "trying").then_some(()));
    for order in [&["drop", "--all", "--yes"][..], &["hold", "--all"], &["retry", "--all"]] {
        assert!(text(&queue(&deployment, order)).contains("1 job is being tried just now, and left alone"), "{order:?}");
    }
    assert_eq!(list(&deployment, &[]).len(), 1);
    gateway.kill();
}

#[test]
fn the_socket_is_for_its_owner_and_survives_nonsense() {
    let Waiting { deployment, gateway, .. } = &Waiting::start();
    let path = deployment.path("spool/control.sock");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let say = |what: &[u8]| {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may have closed already.
        let _ = stream.write_all(what);
        let mut answer = String::new();
        let _ = BufReader::new(stream).read_line(&mut answer);
        answer
    };
    for (what, answer) in [
        (&b"\n"[..], "not understood"),
        (b"GET / HTTP/1.1\r\n\r\n", "not understood"),
        (b"\xff\xfe\n", "not understood"),
        (b"{\"version\":1,\"command\":\"flood\"}\n", "not understood"),
        (b"{\"version\":2,\"command\":\"stats\"}\n", "speaks version 1"),
        (b"{\"version\":1,\"command\":\"stats\"}\n", "\"relay\""),
    ] {
        assert!(say(what).contains(answer), "{what:?}");
    }
    // A line without an end is not read to its end.
    let endless = vec![b'x'; 4 << 20];
    let _ = say(&endless);
    // As many as there are places, silent; others wait for them, and mail does not.
    let idle: Vec<UnixStream> = (0..8).map(|_| UnixStream::connect(&path).unwrap()).collect();
    Client::hello(gateway.address()).send("alice@example.org", &[BOB], &mail::small("meanwhile")).expect("250 ");
    assert!(say(b"{\"version\":1,\"command\":\"stats\"}\n").contains("\"relay\""), "the silent ones are sent away");
    for mut stream in idle {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    }
}

pub(crate) fn queue(deployment: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("queue").args(arguments).arg("--config").arg(deployment.path("gateway.yaml")).current_dir(deployment.folder());
    command.output().expect("it runs")
}

/// What it printed, if it did what was asked.
fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}{}", mail::text(&output.stdout), mail::text(&output.stderr));
    mail::text(&output.stdout)
}

fn list(deployment: &Deployment, arguments: &[&str]) -> Vec<Value> {
    let output = queue(deployment, &[&["list", "--json"], arguments].concat());
    assert!(output.status.code().is_some_and(|code| code <= 1), "{}", mail::text(&output.stderr));
    let jobs: Vec<Value> = mail::text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(output.status.code(), Some(i32::from(jobs.is_empty())));
    jobs
}
