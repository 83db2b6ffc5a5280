//! SMTP smuggling: a sequence that is the end of the data for one server and content for the next (CVE-2023-51764, -51765, -51766,
//! CVE-2023-52354, CVE-2024-27305).

use crate::harness::{Client, Deployment, mail};
use crate::hop::Careless;
use crate::{ALICE, BOB, begin, start, still_serves};

/// What stands behind the false end: a second message, of somebody else.
const SMUGGLED: &str = "MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@acme.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n";

/// All that can stand around the dot, up to two signs of these on each side, and what scanners try besides.
fn false_ends() -> Vec<String> {
    let mut sides = vec![String::new()];
    for first in ["\r", "\n", "\0"] {
        sides.push(first.to_owned());
        sides.extend(["\r", "\n", "\0"].map(|second| format!("{first}{second}")));
    }
    let pairs = sides.iter().flat_map(|before| sides.iter().map(move |behind| format!("{before}.{behind}")));
    let others = [
        "\r\r\n.\r\r\n",
        "\r\n.\r\r\n",
        "\r\n\r.\r\n",
        "\r\n.\r\n\r",
        "\r\n\n.\n\r\n",
        "\r\n\0.\r\n",
        "\r\n.\0\r\n",
        "\r\n\0\0.\0\0\r\n",
        "\r\n\0.\r",
        "\r\n\0.\n",
        "\r\n\0.\0\n",
        "\n\0.\0\n",
        "\r\n. \r\n",
        "\r\n .\r\n",
        "\r\n.\t\r\n",
        "\r\n..\r\n",
        "\r\n...\r\n",
        "\n..\r\n",
        "\r..\r",
        "\u{85}.\u{85}",
        "\u{2028}.\u{2028}",
        "\u{b}.\u{b}",
        "\u{c}.\u{c}",
        "\r\n\u{ff0e}\r\n",
    ];
    pairs.chain(others.map(str::to_owned)).filter(|end| end != "\r\n.\r\n" && !end.starts_with("\r\n.\r\n")).collect()
}

#[test]
fn no_false_end_lets_a_second_message_in_or_out() {
    for delivery in ["inline", "queue"] {
        let hop = Careless::start();
        let gateway = Deployment::new(delivery).relay("next", hop.address()).start();
        let mut accepted = 0;
        for ends in false_ends().chunks(15) {
            // A session bears less than twenty refusals.
            let mut client = Client::hello(gateway.address());
            for end in ends {
                begin(&mut client);
                client.write(format!("Subject: carrier\r\n\r\nfirst{end}{SMUGGLED}").as_bytes());
                let reply = client.reply();
                let bare = end.replace("\r\n", "").contains(['\r', '\n']);
                assert!(reply.code == 550 || (reply.code == 250 && !bare), "{end:?}: {reply:?}");
                accepted += usize::from(reply.code == 250);
                // One reply, no more: nothing behind the false end was taken for a command.
                client.command("NOOP").expect("250 ");
            }
        }
        assert!(accepted > 20, "those without a bare CR or LF are ordinary content");
        crate::harness::until("all deliveries", || (hop.seen().messages.len() >= accepted).then_some(()));
        let seen = hop.seen();
        assert_eq!(seen.messages.len(), accepted, "one message each");
        assert!(seen.commands.iter().all(|line| !line.contains("evil")), "{:?}", seen.commands);
        assert!(seen.messages.iter().all(|message| mail::text(message).contains("MAIL FROM:<evil@example.org>\n")));
        assert!(gateway.events(|event| event["event"] == "message" && event["mail_from"] != ALICE).is_empty());
    }
}

#[test]
fn the_same_in_the_header_ends_nothing() {
    let hop = Careless::start();
    let gateway = Deployment::new("inline").relay("next", hop.address()).start();
    for ends in false_ends().chunks(15) {
        let mut client = Client::hello(gateway.address());
        for end in ends {
            begin(&mut client);
            client.write(format!("Subject: carrier{end}{SMUGGLED}").as_bytes());
            let reply = client.reply();
            assert!(matches!(reply.code, 250 | 550), "{end:?}: {reply:?}");
            client.command("NOOP").expect("250 ");
        }
    }
    assert!(hop.seen().commands.iter().all(|line| !line.contains("evil")));
}

#[test]
fn dots_are_stuffed_for_the_next_hop_as_they_came() {
    let (sink, gateway) = start();
    let mut message = mail::small("dots");
    message.extend_from_slice(b".\r\n..\r\n...\r\n.a\r\n. \r\n\r\n.\r\nMAIL FROM:<evil@example.org>\r\n.");
    message.extend_from_slice(b"\r\n");
    Client::hello(gateway.address()).send(ALICE, &[BOB], &message).expect("250 ");
    mail::assert_same(sink.only().original(), &message);
    still_serves(&sink, &gateway);
}

/// The end of the data cut by the network at every place.
#[test]
fn the_real_end_is_found_wherever_it_is_cut() {
    let (sink, gateway) = start();
    let message = mail::small("cut");
    let mut client = Client::hello(gateway.address());
    for cut in 1..=5 {
        begin(&mut client);
        let (head, tail) = b"\r\n.\r\n".split_at(cut);
        client.write(&[&message[..message.len() - 2], head].concat());
        // Nagle is off: two segments, which the gateway may or may not read apart. src/smtp/data.rs cuts for certain.
        client.write(&[tail, b"NOOP\r\n"].concat());
        client.reply().expect("250 ");
        client.reply().expect("250 2.0.0 Ok");
    }
    assert!(sink.wait_taken(5).iter().all(|taken| taken.original() == message));
}

#[test]
fn no_line_end_but_crlf_divides_commands() {
    let (sink, gateway) = start();
    let mut client = Client::hello(gateway.address());
    for line in [
        "NOOP\nMAIL FROM:<evil@example.org>",
        "NOOP\rQUIT",
        "NOOP\n",
        "\nNOOP",
        "NOOP\r",
        "\rNOOP",
        "\n",
        "MAIL FROM:<a@x>\nRCPT TO:<bob@acme.example>",
    ] {
        client.command(line).expect("500 5.5.2");
        client.command("NOOP").expect("250 ");
    }
    client.command("RCPT TO:<bob@acme.example>").expect("503 ");
    still_serves(&sink, &gateway);
}
