//! A disk that takes no more, a folder that cannot be written, a clock that jumps: mail is put off with 4xx, nothing that was acknowledged
//! is lost, and all is well again when the fault is over, without a restart.

use std::process::Command;

use crate::common::tools;
use crate::harness::{Answer, Client, Deployment, Gateway, Reply, Sink, mail, until};

const BOB: &str = "bob@acme.example";

/// A message from a sender of this number.
fn send(gateway: &Gateway, number: usize, message: &[u8]) -> Reply {
    let mut client = Client::hello(gateway.address());
    let mail = client.command(&format!("MAIL FROM:<m{number}@example.org>"));
    if mail.code != 250 {
        return mail;
    }
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    let data = client.command("DATA");
    if data.code != 354 {
        return data;
    }
    client.write(&crate::harness::client::stuffed(message));
    client.reply()
}

/// Everything acknowledged comes once, as it was.
fn arrive(sink: &Sink, acknowledged: &[(usize, Vec<u8>)]) {
    let taken = sink.wait_taken(acknowledged.len());
    assert_eq!(taken.len(), acknowledged.len());
    for (number, message) in acknowledged {
        let sender = format!("m{number}@example.org");
        let mail = taken.iter().find(|mail| mail.mail_from == sender).unwrap_or_else(|| panic!("{sender} is lost"));
        mail::assert_same(mail.original(), message);
    }
}

/// No file may grow beyond 512 KiB, so a write ends in the middle of a record, as it does on a full disk.
#[test]
fn a_full_disk_puts_mail_off_and_nothing_is_lost() {
    let sink = Sink::down(|_| Answer::Ok);
    // A signal for it would end the process; a full disk sends none.
    let deployment = Deployment::new("queue").relay("next", sink.address()).before("trap '' XFSZ\nulimit -S -f 1024");
    let gateway = deployment.start();
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    let message = |number: usize| if number.is_multiple_of(10) { mail::large(700_000) } else { mail::large(30_000) };
    for number in 0..60 {
        let reply = send(&gateway, number, &message(number));
        match reply.code {
            250 => acknowledged.push((number, message(number))),
            451 | 452 => refused += 1,
            _ => panic!("{reply:?}"),
        }
    }
    assert!(!acknowledged.is_empty() && refused > 0, "{} acknowledged, {refused} refused", acknowledged.len());
    // The disk is enlarged under the running gateway.
    let raised = Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &gateway.pid().to_string()]).status().expect("prlimit runs");
    assert!(raised.success());
    for number in 60..70 {
        until("mail to be taken again", || {
            let reply = send(&gateway, number, &message(number));
            assert!(matches!(reply.code, 250 | 451 | 452), "{reply:?}");
            (reply.code == 250).then_some(())
        });
        acknowledged.push((number, message(number)));
    }
    // What is on disk is whole: another process reads it.
    gateway.kill();
    let gateway = deployment.start();
    sink.come_up();
    arrive(&sink, &acknowledged);
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
}

/// Large contents are files of a folder, which goes away and comes back.
#[test]
fn a_folder_that_cannot_be_written_puts_off_what_would_be_written_there() {
    let sink = Sink::down(|_| Answer::Ok);
    let deployment = Deployment::new("queue").relay("next", sink.address());
    let gateway = deployment.start();
    let (small, large) = (mail::small("small"), mail::large(500_000));
    send(&gateway, 0, &large).expect("250 ");
    let (bodies, away) = (deployment.path("spool/bodies"), deployment.path("spool/away"));
    std::fs::rename(&bodies, &away).unwrap();
    send(&gateway, 1, &large).expect("451 4.3.0");
    send(&gateway, 2, &small).expect("250 ");
    std::fs::rename(&away, &bodies).unwrap();
    send(&gateway, 3, &large).expect("250 ");
    sink.come_up();
    arrive(&sink, &[(0, large.clone()), (2, small), (3, large)]);
    let (status, said) = gateway.stop();
    assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
}

/// The clock of the wall, as libfaketime shows it; what measures spans of time goes on as it does.
struct Clock(tempfile::TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(crate::common::temporary_folder());
        clock.set("+0");
        clock
    }

    /// So much later or earlier than it is: `+5d`, `-3d`.
    fn set(&self, offset: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, offset).unwrap();
        std::fs::rename(new, self.0.path().join("offset")).unwrap();
    }

    fn worn_by(&self, deployment: Deployment) -> Deployment {
        let library = std::fs::read_dir(tools().join("debian/usr/lib")).unwrap().filter_map(|entry| {
            let library = entry.ok()?.path().join("faketime/libfaketime.so.1");
            library.exists().then_some(library)
        });
        let library = library.into_iter().next().expect("tests/tools has fetched libfaketime");
        deployment.before(&format!(
            "export LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DONT_RESET=1",
            library.display(),
            self.0.path().join("offset").display()
        ))
    }
}

#[test]
fn a_clock_that_jumps_loses_nothing_and_holds_nothing_up() {
    for jump in ["-3d", "+2h"] {
        let sink = Sink::down(|_| Answer::Ok);
        let clock = Clock::new();
        let deployment = clock.worn_by(Deployment::new("queue").relay("next", sink.address()));
        let gateway = deployment.start();
        send(&gateway, 0, &mail::small("before")).expect("250 ");
        gateway.wait_for(|event| event["event"] == "attempt");
        clock.set(jump);
        send(&gateway, 1, &mail::small("after")).expect("250 ");
        // Its clock is the one that jumps.
        let hours = |event: &serde_json::Value| event["ts"].as_str().unwrap()[..13].to_owned();
        let of = |number: usize| {
            let sender = format!("m{number}@example.org");
            gateway.wait_for(|event| event["event"] == "message" && event["mail_from"] == sender)
        };
        assert_ne!(hours(&of(0)), hours(&of(1)));
        sink.come_up();
        arrive(&sink, &[(0, mail::small("before")), (1, mail::small("after"))]);
        let (status, said) = gateway.stop();
        assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{jump}: {said}");
    }
}
