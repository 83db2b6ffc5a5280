//! Other people's clients and servers: whatever brings a message and whatever takes it, it is the same message.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use crate::common::tool;
use crate::harness::programs::{Aiosmtpd, SmtpSink};
use crate::harness::{Client, Deployment, Sink, mail, swaks};

const RECIPIENT: &str = "bob@acme.example";

#[test]
fn swaks_delivers_the_same_octets() {
    through_both_endpoints(|address, message| {
        let mut swaks = swaks(address, "alice@example.org", RECIPIENT);
        swaks.args(["--no-data-fixup", "--data", "-"]);
        // Without its fixing, swaks wants the message as it goes over the wire.
        ran(swaks, &crate::harness::client::stuffed(message));
    });
}

#[test]
fn smtplib_delivers_the_same_octets() {
    through_both_endpoints(|address, message| {
        let mut python = tool("python");
        python.args(["-c", SMTPLIB, &address.port().to_string()]);
        ran(python, message);
    });
}

const SMTPLIB: &str = "
import smtplib, sys
with smtplib.SMTP('127.0.0.1', int(sys.argv[1]), local_hostname='client.example') as client:
    client.sendmail('alice@example.org', ['bob@acme.example'], sys.stdin.buffer.read())
";

#[test]
fn msmtp_delivers_the_same_octets() {
    through_both_endpoints(|address, message| {
        let mut msmtp = tool("msmtp");
        msmtp.args(["--file=/dev/null", "--host=127.0.0.1", &format!("--port={}", address.port()), "--domain=client.example"]);
        msmtp.args(["--from=alice@example.org", "--timeout=60", RECIPIENT]);
        // A program on Unix: it reads lines that end with LF.
        ran(msmtp, &with_lf(message));
    });
}

#[test]
fn smtp_source_delivers_the_same_octets() {
    through_both_endpoints(|address, message| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        // It ends the last line itself.
        file.write_all(with_lf(message).strip_suffix(b"\n").unwrap()).unwrap();
        let mut source = tool("smtp-source");
        source.args(["-F".as_ref(), file.path().as_os_str()]);
        source.args(["-M", "client.example", "-f", "alice@example.org", "-t", RECIPIENT, &format!("inet:127.0.0.1:{}", address.port())]);
        ran(source, b"");
    });
}

#[test]
fn many_sessions_of_smtp_source_lose_nothing() {
    for delivery in ["inline", "queue"] {
        let sink = Sink::accepting();
        let gateway = Deployment::new(delivery).relay("next", sink.address()).start();
        let mut source = tool("smtp-source");
        source.args(["-s", "20", "-m", "300", "-l", "4096", "-f", "alice@example.org", "-t", RECIPIENT]);
        source.arg(format!("inet:127.0.0.1:{}", gateway.address().port()));
        ran(source, b"");
        assert_eq!(sink.wait_taken(300).len(), 300);
    }
}

#[test]
fn a_message_of_25_mb_arrives_whole() {
    let message = mail::large(25_000_000);
    for delivery in ["inline", "queue"] {
        let sink = Sink::accepting();
        let gateway = Deployment::new(delivery).relay("next", sink.address()).start();
        Client::hello(gateway.address()).send("alice@example.org", &[RECIPIENT], &message).expect("250 ");
        mail::assert_same(sink.only().original(), &message);
    }
}

/// Gives `send` a message with everything in it that breaks, for a gateway that delivers at once and for one that queues, before each
/// kind of next hop.
fn through_both_endpoints(send: impl Fn(SocketAddr, &[u8])) {
    let message = mail::awkward(900);
    for delivery in ["inline", "queue"] {
        let (scripted, sink, server) = (Sink::accepting(), SmtpSink::start(), Aiosmtpd::start());
        for next_hop in [scripted.address(), sink.address(), server.address()] {
            let gateway = Deployment::new(delivery).relay("next", next_hop).start();
            send(gateway.address(), &message);
            let outcome = gateway.wait_outcome(RECIPIENT, "delivered");
            assert_eq!(outcome["relay"], "next");
        }
        let taken = scripted.only();
        assert_eq!((taken.mail_from.as_str(), taken.recipients.as_slice()), ("alice@example.org", &[RECIPIENT.to_owned()][..]));
        mail::assert_same(taken.original(), &message);
        mail::assert_same(mail::below_received(&sink.wait_messages(1)[0]), &message);
        let (envelope, content) = server.wait_message(1);
        assert_eq!((&envelope["mail_from"], &envelope["recipients"][0]), (&"alice@example.org".into(), &RECIPIENT.into()));
        mail::assert_same(mail::below_received(&content), &message);
    }
}

fn with_lf(message: &[u8]) -> Vec<u8> {
    let crlf_less = message.split_inclusive(|byte| *byte == b'\n').flat_map(|line| [line.strip_suffix(b"\r\n").unwrap(), b"\n"].concat());
    crlf_less.collect()
}

/// Runs a client to its good end.
pub fn ran(mut command: Command, input: &[u8]) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the client starts");
    // A client that does not read its input has said why.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let said = mail::text(&output.stdout) + &mail::text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    output
}
