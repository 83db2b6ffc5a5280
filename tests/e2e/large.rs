//! Messages that are too large for memory lie in a file while they pass: to the octet the same, in little memory, and nothing of them is
//! left when they do not arrive.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::common::canned_http::CannedHttp;
use crate::common::daemons;
use crate::common::dns::StubDns;
use crate::harness::client::stuffed;
use crate::harness::signatures::Keys;
use crate::harness::{Answer, Client, Deployment, Gateway, Reply, Sink, mail, until};

const BOB: &str = "bob@acme.example";
const KEY: &str = "s1._domainkey.example.org";
const MIB: usize = 1024 * 1024;

/// A message of at least so many octets with all that a careless gateway breaks, in every block of it.
fn awkward(bytes: usize) -> Vec<u8> {
    let mut message = mail::awkward(3000);
    let mut line = 0_u64;
    while message.len() < bytes {
        message.extend_from_slice(format!(".{line:07}\r\n..\r\n\0{line} \r\n\u{e4}\0.\r\n\r\n").as_bytes());
        message.extend(std::iter::repeat_n(b'.', (line % 500) as usize));
        message.extend_from_slice(b"\r\n");
        line += 1;
    }
    message
}

fn in_chunks(client: &mut Client, message: &[u8], chunk_bytes: usize) -> Reply {
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    let mut chunks = message.chunks(chunk_bytes).peekable();
    loop {
        let chunk = chunks.next().expect("the last one ends the loop");
        let is_last = chunks.peek().is_none();
        client.write(format!("BDAT {}{}\r\n", chunk.len(), if is_last { " LAST" } else { "" }).as_bytes());
        client.write(chunk);
        let reply = client.reply();
        if is_last || reply.code != 250 {
            return reply;
        }
    }
}

/// Files of messages that are coming.
fn coming(deployment: &Deployment) -> usize {
    std::fs::read_dir(deployment.path("spool/incoming")).expect("the folder").count()
}

fn wait_none_coming(deployment: &Deployment) {
    until("no file of a message that is coming", || (coming(deployment) == 0).then_some(()));
}

/// Begins a message and waits until there is a file of it.
fn begin(gateway: &Gateway, deployment: &Deployment, message: &[u8]) -> Client {
    let mut client = Client::hello(gateway.address());
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    client.command("DATA").expect("354 ");
    client.write(message);
    until("the file of the message", || (coming(deployment) > 0).then_some(()));
    client
}

#[test]
fn what_is_too_large_for_memory_arrives_as_it_was_sent() {
    let keywords: [&[&'static str]; 2] = [&["8BITMIME"], &["8BITMIME", "CHUNKING"]];
    for (delivery, keywords) in [("inline", keywords[0]), ("inline", keywords[1]), ("queue", keywords[0]), ("queue", keywords[1])] {
        let sink = Sink::offering(keywords, |_| Answer::Ok);
        let deployment = Deployment::new(delivery).relay("next", sink.address());
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        let mut expected = Vec::new();
        // Around the limit, and with ends that fall on both sides of a block's.
        for bytes in [MIB - 20_000, MIB, MIB + 300_000, 3 * MIB + 1] {
            let message = awkward(bytes);
            client.send("a@example.org", &[BOB], &message).expect("250 ");
            expected.push(message.clone());
            // Without a line end behind the last line, which gets one.
            in_chunks(&mut client, &[&message[..], b".no end"].concat(), bytes / 3 + 7).expect("250 ");
            expected.push([&message[..], b".no end\r\n"].concat());
        }
        let taken = sink.wait_taken(expected.len());
        for message in &expected {
            assert!(taken.iter().any(|taken| taken.original() == *message), "a message of {} octets, {delivery}", message.len());
        }
        wait_none_coming(&deployment);
        if delivery == "queue" {
            let (status, said) = gateway.stop();
            assert!(status.success() && said.contains("\"event\":\"stopped\",\"spooled\":0"), "{said}");
        }
    }
}

#[test]
fn many_at_once_take_little_memory() {
    for delivery in ["inline", "queue"] {
        let sink = Sink::accepting();
        let deployment = Deployment::new(delivery).relay("next", sink.address());
        let gateway = deployment.start();
        Client::hello(gateway.address()).send("a@example.org", &[BOB], &mail::small("warm")).expect("250 ");
        let before = gateway.memory_kib("VmHWM");
        let wire = stuffed(&mail::large(24 * MIB));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = Client::hello(gateway.address());
                    client.command("MAIL FROM:<a@example.org>").expect("250 ");
                    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
                    client.command("DATA").expect("354 ");
                    client.write(&wire);
                    client.reply().expect("250 ");
                });
            }
        });
        assert!(sink.wait_taken(5).iter().filter(|taken| taken.data.len() > 24 * MIB).count() == 4);
        let grown = gateway.memory_kib("VmHWM") - before;
        assert!(grown < 24 * 1024, "{delivery}: {grown} KiB more for 96 MiB of mail");
        wait_none_coming(&deployment);
    }
}

#[test]
fn what_is_refused_or_given_up_leaves_no_file() {
    let sink = Sink::accepting();
    let policy = format!("default: allow\nmax_message_size: {}\n", 4 * MIB);
    let deployment = Deployment::new("inline").relay("next", sink.address()).policy(&policy);
    let gateway = deployment.start();
    let (half, rest) = (mail::large(2 * MIB), mail::large(300_000));
    // The client is gone in the middle.
    drop(begin(&gateway, &deployment, &half));
    wait_none_coming(&deployment);
    // A line end that is none, a line that would be the end to who throws NULs away, and too much: the file goes at once, or with the end.
    for (more, reply) in [(&b"a\nb\r\n"[..], "550 5.5.2"), (b"\0.\r\n", "550 5.6.0"), (&mail::large(3 * MIB), "552 5.3.4")] {
        let mut client = begin(&gateway, &deployment, &half);
        client.write(more);
        client.write(&stuffed(&rest));
        client.reply().expect(reply);
        client.command("NOOP").expect("250 ");
        wait_none_coming(&deployment);
    }
    // A line that begins in one block and is known for what it is in another.
    let mut client = begin(&gateway, &deployment, &[&half[..], b"\0"].concat());
    client.write(b".\r\nx\r\n.\r\n");
    client.reply().expect("550 5.6.0");
    // Chunks that are given up.
    client.command("MAIL FROM:<a@example.org>").expect("250 ");
    client.command(&format!("RCPT TO:<{BOB}>")).expect("250 ");
    client.write(format!("BDAT {}\r\n", half.len()).as_bytes());
    client.write(&half);
    client.reply().expect("250 ");
    assert_eq!(coming(&deployment), 1);
    // In one go with the next message, which has nothing of them.
    let small = mail::small("next");
    let mut next = format!("RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<{BOB}>\r\nBDAT {} LAST\r\n", small.len()).into_bytes();
    next.extend_from_slice(&small);
    client.write(&next);
    for _ in 0..4 {
        client.reply().expect("250 ");
    }
    wait_none_coming(&deployment);
    assert_eq!(sink.only().original(), small);
}

#[test]
fn a_disk_that_takes_no_more_puts_it_off_and_a_crash_leaves_nothing() {
    let sink = Sink::accepting();
    // A signal for a file that grows too large would end the process; a full disk sends none.
    let deployment = Deployment::new("inline").relay("next", sink.address()).before("trap '' XFSZ\nulimit -S -f 4096");
    let gateway = deployment.start();
    let large = mail::large(5 * MIB);
    let mut client = Client::hello(gateway.address());
    let reply = client.send("a@example.org", &[BOB], &large);
    assert!(matches!(reply.code, 451 | 452), "{reply:?}");
    gateway.wait_for(|event| event["event"] == "problem" && event["what"] == "spool");
    wait_none_coming(&deployment);
    // What fits goes on in the same session, and so does the large one when there is room.
    client.send("a@example.org", &[BOB], &mail::large(MIB + 400_000)).expect("250 ");
    let raised = std::process::Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &gateway.pid().to_string()]).status();
    assert!(raised.expect("prlimit runs").success());
    client.send("a@example.org", &[BOB], &large).expect("250 ");
    // Killed in the middle, it leaves a file, which the next start takes away.
    let _client = begin(&gateway, &deployment, &large);
    gateway.kill();
    assert_eq!(coming(&deployment), 1);
    let gateway = deployment.start();
    assert_eq!(coming(&deployment), 0);
    assert_eq!(sink.taken().len(), 2);
    drop(gateway);
}

#[test]
fn a_queue_of_them_is_read_where_it_lies() {
    let sink = Sink::down(|_| Answer::Ok);
    let deployment = Deployment::new("queue").relay("next", sink.address());
    let gateway = deployment.start();
    let messages: Vec<Vec<u8>> = (0..3).map(|number| [&mail::small(&format!("n{number}"))[..], &awkward(8 * MIB)].concat()).collect();
    for message in &messages {
        Client::hello(gateway.address()).send("a@example.org", &[BOB], message).expect("250 ");
    }
    gateway.kill();
    sink.come_up();
    let gateway = deployment.start();
    let before = gateway.memory_kib("VmHWM");
    let taken = sink.wait_taken(3);
    for message in &messages {
        assert!(taken.iter().any(|taken| taken.original() == *message));
    }
    let grown = gateway.memory_kib("VmHWM").saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB more");
}

/// A message of more than `bytes` whose only attachment comes last, behind a great many lines that look like delimiters.
fn with_attachment(bytes: usize, name: &str) -> Vec<u8> {
    let mut message = b"From: alice@example.org\r\nTo: bob@acme.example\r\nSubject: attached\r\nMIME-Version: 1.0\r\n\
                        Content-Type: multipart/mixed; boundary=\"limit\"\r\n\r\n--limit\r\nContent-Type: text/plain\r\n\r\n"
        .to_vec();
    while message.len() < bytes {
        message.extend_from_slice(b"--limited\r\nnone of it\r\n");
    }
    message.extend_from_slice(
        format!("--limit  \r\nContent-Type: application/octet-stream; name=\"{name}\"\r\n\r\nTVo=\r\n--limit--\r\n").as_bytes(),
    );
    message
}

#[test]
fn rules_services_and_signatures_see_all_of_it() {
    let told = Arc::new(Mutex::new(Vec::<(String, usize)>::new()));
    let kept = Arc::clone(&told);
    let service = CannedHttp::start(move |path, body| {
        let octets = match serde_json::from_str::<Value>(body) {
            Ok(question) => STANDARD.decode(question["message"]["raw_base64"].as_str().expect("the message")).expect("base64"),
            Err(_) => body.as_bytes().to_vec(),
        };
        kept.lock().unwrap().push((path.to_owned(), octets.len()));
        let found = octets.windows(6).rev().take(2000).any(|window| window == b"MARKED");
        let action = if found { "reject" } else { "no action" };
        (200, format!("{{ \"found\": {found}, \"action\": \"{action}\", \"score\": 1.0, \"required_score\": 5.0 }}"))
    });
    let keys = Keys::new(&[KEY]);
    let dns = StubDns::launch();
    keys.publish(&dns);
    let clamd = daemons::clamd_taking("16M");
    let analyzers = format!(
        "domains: [acme.example]\nanalyzers:\n  hook: {{ type: http, url: \"{0}/hook\", send: message, max_message_size: 16MiB, fields: {{ found: boolean }} }}\n  \
         rspamd: {{ type: rspamd, url: \"{0}\", max_message_size: 16MiB }}\n  clamd: {{ type: clamav, address: \"{1}\", timeout: 60s, max_message_size: 16MiB }}",
        service.url(),
        clamd.address
    );
    let rule = |name: &str, when: &str| {
        format!("  - name: {name}\n    when: [{{ {when} }}]\n    actions: [{{ AddHeader: {{ name: X-{name}, value: \"yes\" }} }}]\n")
    };
    let rules = [
        rule("attached", "attachment: { extension: { equals: exe } }"),
        rule("hooked", "analysis: { analyzer: hook, field: found, equals: true }"),
        rule("spam", "analysis: { analyzer: rspamd, field: action, equals: reject }"),
        rule("virus", "analysis: { analyzer: clamd, field: infected, equals: true }"),
    ]
    .concat();
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").names(&dns).top(&analyzers).relay("next", sink.address());
    let deployment = deployment
        .rules(&format!("rules:\n{rules}  - name: all\n    actions: [{{ SMTPRelay: {{ relay: next }} }}]\n"))
        .endpoint("authentication_results: true");
    let gateway = deployment.start();
    let before = gateway.memory_kib("VmHWM");
    for (name, canonicalize, end, expected) in [
        ("a.exe", "relaxed/relaxed", format!("MARKED {}\r\n", daemons::MARKER), true),
        ("a.txt", "simple/simple", "nothing\r\n \r\n\r\n".to_owned(), false),
    ] {
        let message = [with_attachment(3 * MIB, name), end.into_bytes()].concat();
        let signed = keys.sign(&message, "example.org", "s1", canonicalize, &["from", "to", "subject"]);
        let mut broken = signed.clone();
        let middle = broken.len() - 2 * MIB;
        broken[middle] ^= 1;
        let is_line_end = |at: usize| matches!(signed[at], b'\r' | b'\n');
        assert!(!is_line_end(middle));
        for (message, dkim) in [(&signed, "dkim=pass"), (&broken, "dkim=fail")] {
            told.lock().unwrap().clear();
            Client::hello(gateway.address()).send("alice@example.org", &[BOB], message).expect("250 ");
            let taken = sink.taken().pop().expect("a message");
            let begin = mail::text(&taken.data[..taken.data.len().min(8000)]);
            assert!(begin.contains(dkim), "{begin}");
            for name in ["attached", "hooked", "spam", "virus"] {
                assert_eq!(begin.contains(&format!("X-{name}: yes")), expected, "{name}: {begin}");
            }
            let mut lengths = told.lock().unwrap().clone();
            lengths.sort();
            assert_eq!(lengths, [("/checkv2".to_owned(), message.len()), ("/hook".to_owned(), message.len())]);
            assert!(taken.data.ends_with(message));
        }
    }
    // The JSON service alone is given a copy, in base64.
    let grown = gateway.memory_kib("VmHWM") - before;
    assert!(grown < 40 * 1024, "{grown} KiB more");
    wait_none_coming(&deployment);
}
