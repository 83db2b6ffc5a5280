//! The scripted servers of providers themselves: they offer what their files say, every reply can be had, and a client that misbehaves is
//! recorded. Without this an empty list of violations would say nothing.

use crate::common::peer::{At, Peer};
use crate::harness::{Client, mail};

const PEERS: [&str; 3] = ["peer-google", "peer-exchange-online", "peer-microsoft-submission"];

#[test]
fn each_peer_offers_what_the_provider_does() {
    let google = ["SIZE 157286400", "8BITMIME", "STARTTLS", "ENHANCEDSTATUSCODES", "PIPELINING", "CHUNKING", "SMTPUTF8"];
    let microsoft = [&google[..], &["BINARYMIME", "DSN"]].concat();
    for (name, hello, mut offers, login) in [
        ("peer-google", "mx.google.com at your service, [127.0.0.1]", google.to_vec(), None),
        ("peer-exchange-online", "AM7EUR06FT041.mail.protection.outlook.com Hello [127.0.0.1]", microsoft.clone(), None),
        ("peer-microsoft-submission", "AM0PR10CA0102.outlook.office365.com Hello [127.0.0.1]", microsoft, Some("AUTH LOGIN XOAUTH2")),
    ] {
        let peer = Peer::start(name);
        let mut client = Client::dial(peer.address());
        client.reply().expect("220 ");
        let offered = |reply: &str| {
            let mut lines: Vec<String> = reply.lines().map(str::to_owned).collect();
            assert_eq!(lines.remove(0), hello);
            lines.sort_unstable();
            lines
        };
        let plain = client.command("EHLO client.example");
        offers.sort_unstable();
        assert_eq!(offered(&plain.expect("250 ").text), offers, "{name}");
        client.start_tls();
        let tls = client.command("EHLO client.example");
        offers.retain(|offer| *offer != "STARTTLS");
        offers.extend(login);
        offers.sort_unstable();
        assert_eq!(offered(&tls.expect("250 ").text), offers, "{name}");
        assert_eq!(peer.violations(), [""; 0]);
    }
}

#[test]
fn every_reply_of_every_peer_can_be_had() {
    for name in PEERS {
        let peer = Peer::start(name);
        peer.accept_secrets(&["good"]);
        let replies = peer.replies().to_vec();
        assert!(!replies.is_empty());
        for scripted in &replies {
            let session_wide = matches!(scripted.at, At::Connect | At::Ehlo | At::Auth);
            if session_wide {
                peer.choose(&scripted.name);
            }
            let reply = provoke(&peer, scripted.at, &scripted.name);
            peer.unchoose(&scripted.name);
            let (code, text) = (reply.code.to_string(), reply.text.replace("127.0.0.1", "{client}"));
            let said: Vec<String> = scripted.reply.iter().map(|line| line[4..].replace("{id}", "")).collect();
            assert!(scripted.reply.iter().all(|line| line.starts_with(&code)), "{scripted:?}: {reply:?}");
            for (line, said) in text.lines().zip(&said) {
                assert!(line.len() >= said.len() && said.split("  ").all(|part| line.contains(part)), "{line:?}, {said:?}");
            }
            assert_eq!(text.lines().count(), said.len());
        }
        peer.be_scripted(false);
        for scripted in &replies {
            assert_eq!(provoke(&peer, At::Dot, &scripted.name).code, 250, "{}", scripted.name);
        }
        assert_eq!(peer.violations(), [""; 0], "{name}");
    }
}

/// The reply at this point of a dialogue that has nothing wrong.
fn provoke(peer: &Peer, at: At, name: &str) -> crate::harness::Reply {
    let mut client = Client::dial(peer.address());
    let greeting = client.reply();
    if at == At::Connect {
        return greeting;
    }
    greeting.expect("220 ");
    let hello = client.command("EHLO client.example");
    if at == At::Ehlo {
        return hello;
    }
    client.start_tls();
    let hello = client.command("EHLO client.example");
    if hello.text.contains("AUTH ") {
        client.command("AUTH LOGIN").expect("334 VXNlcm5hbWU6");
        client.command("cm9ib3Q=").expect("334 UGFzc3dvcmQ6");
        let login = client.command("Z29vZA==");
        if at == At::Auth {
            return login;
        }
        login.expect("235 ");
    }
    let reply = client.command(&format!("MAIL FROM:<{name}@example.org>"));
    if at == At::Mail {
        return reply;
    }
    reply.expect("250 ");
    let reply = client.command(&format!("RCPT TO:<{name}@acme.example>"));
    if at == At::Rcpt {
        return reply;
    }
    reply.expect("250 ");
    let reply = client.command("DATA");
    if at == At::Data {
        return reply;
    }
    reply.expect("354 ");
    client.write(&crate::harness::client::stuffed(&mail::small("provoked")));
    client.reply()
}

/// What a client says after EHLO, and what is recorded of it.
const MISBEHAVIOUR: &[(&str, &str, &str)] = &[
    ("peer-google", "MAIL FROM:<a@b> RET=HDRS\r\n", "RET=HDRS of MAIL, where DSN is not offered"),
    ("peer-google", "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "BODY=BINARYMIME"),
    ("peer-exchange-online", "MAIL FROM:<a@b> BODY=BINARYMIME\r\n", "BODY=BINARYMIME"),
    ("peer-google", "MAIL FROM:<a@b> SIZE=157286401\r\n", "MAIL with a SIZE above what is offered"),
    ("peer-google", "MAIL FROM:<\u{e4}@b>\r\n", "an address outside of ASCII without SMTPUTF8"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\n", "NOTIFY=NEVER of RCPT, where DSN is not offered"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@e>\r\n", "two recipient domains in one transaction"),
    ("peer-exchange-online", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<c@e>\r\n", "two recipient domains in one transaction"),
    ("peer-google", "MAIL FROM:<a@b>\nNOOP\r\n", "a command that ends with a bare LF"),
    ("peer-google", "NOOP a\rb\r\n", "a bare CR in a command"),
    ("peer-google", "XCLIENT NAME=a\r\n", "a command that is not offered: XCLIENT NAME=a"),
    ("peer-google", "AUTH LOGIN\r\n", "AUTH where it is not offered"),
    ("peer-microsoft-submission", "AUTH LOGIN\r\n", "AUTH in plain text"),
    ("peer-google", "MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n", "MAIL within a transaction"),
    ("peer-google", "STARTTLS\r\nRSET\r\n", "more was sent before the reply to STARTTLS"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na\nb\r\n.\r\n", "a bare LF in the content"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na\rb\r\n.\r\n", "a bare CR in the content"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n\u{e4}\r\n.\r\n", "8-bit content without BODY=8BITMIME"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\na: b\r\n.\r\n", "more was sent before the reply to DATA"),
    ("peer-google", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3 LAST\r\na\nb", "a bare LF in the content"),
];

#[test]
fn a_client_that_misbehaves_is_recorded() {
    for (name, said, expected) in MISBEHAVIOUR {
        let peer = Peer::start(name);
        let mut client = Client::hello(peer.address());
        client.write(said.as_bytes());
        client.half_close();
        // Whatever the replies are: the end of the session is the end of what can be recorded.
        let rest = client.rest();
        let violations = peer.violations();
        assert!(violations.iter().any(|violation| violation.ends_with(expected)), "{said:?}: {violations:?}\n{rest}");
    }
    let peer = Peer::start("peer-google");
    let mut hasty = Client::dial(peer.address());
    hasty.write(b"MAIL FROM:<a@b>\r\n");
    hasty.half_close();
    hasty.rest();
    assert!(peer.violations().iter().any(|violation| violation.ends_with("MAIL before EHLO")), "{:?}", peer.violations());
}

#[test]
fn a_mechanism_in_lower_case_is_refused_and_recorded() {
    let peer = Peer::start("peer-microsoft-submission");
    let mut client = Client::hello(peer.address());
    client.start_tls();
    client.command("EHLO client.example").expect("250 ");
    client.command("MAIL FROM:<a@b>").expect("530 5.7.57");
    client.command("AUTH login").expect("504 5.7.4");
    client.command("AUTH PLAIN AGEAYg==").expect("504 5.7.4");
    assert_eq!(peer.violations().len(), 2);
    peer.accept_secrets(&["token"]);
    // user=robot ^A auth=Bearer token ^A ^A
    client.command("AUTH XOAUTH2 dXNlcj1yb2JvdAFhdXRoPUJlYXJlciB0b2tlbgEB").expect("235 ");
    client.command("MAIL FROM:<a@b>").expect("250 ");
    assert_eq!(peer.violations().len(), 2);
}
