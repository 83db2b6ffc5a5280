//! Address forms that smuggle a second address: what one reader takes for the recipient must be what every reader takes for it.

use crate::harness::{Client, Deployment, Gateway};
use crate::hop::Careless;

/// An argument of RCPT TO, in a session for acme.example, and the begin of its reply.
const REFUSED: &[(&str, &str)] = &[
    // two addresses in one path
    ("<bob@acme.example>victim@evil.example>", "501 5.5.2"),
    ("<bob@acme.example,victim@evil.example>", "501 5.1.3"),
    ("<bob@acme.example;victim@evil.example>", "501 5.1.3"),
    ("<bob@acme.example victim@evil.example>", "501 5.1.3"),
    ("<bob@acme.example><victim@evil.example>", "501 5.5.2"),
    ("<bob@acme.example> <victim@evil.example>", "501 5.5.4"),
    ("<victim@evil.example@acme.example>", "501 5.1.3"),
    ("<@acme.example>", "501 5.1.3"),
    ("<bob@acme.example@>", "501 5.1.3"),
    ("<<bob@acme.example>>", "501 5.5.2"),
    ("<<victim@evil.example>bob@acme.example>", "501 5.5.2"),
    ("bob@acme.example,victim@evil.example", "501 5.1.3"),
    ("bob <victim@evil.example>", "501 5."),
    ("\"bob@acme.example\" <victim@evil.example>", "501 5."),
    ("bob@acme.example>", "501 5."),
    ("victim@evil.example@acme.example", "501 5.1.3"),
    // routes in the local part
    ("<victim%evil.example@acme.example>", "553 5.1.3"),
    ("<victim%evil.example%acme.example@acme.example>", "553 5.1.3"),
    ("<evil.example!victim@acme.example>", "553 5.1.3"),
    ("<\"victim@evil.example\"@acme.example>", "553 5.1.3"),
    ("<\"victim\\@evil.example\"@acme.example>", "553 5.1.3"),
    ("<\"victim%evil.example\"@acme.example>", "553 5.1.3"),
    ("<victim%40evil.example@acme.example>", "553 5.1.3"),
    ("<=?utf-8?q?victim=40evil.example=3e?=@acme.example>", "553 5.1.3"),
    ("<x=?x?b?dmljdGltQGV2aWwuZXhhbXBsZQ==?=@acme.example>", "553 5.1.3"),
    // source routes are ignored (RFC 5321 §3.3), so the last domain counts
    ("<@acme.example:victim@evil.example>", "550 5.7.1"),
    ("<@acme.example,@acme.org:victim@evil.example>", "550 5.7.1"),
    ("<@evil.example:bob@acme.example:25>", "501 5.1.3"),
    ("<@evil.example bob@acme.example>", "501 5.1.3"),
    ("<acme.example:victim@evil.example>", "501 5.1.3"),
    // comments, white space, missing and doubled parts
    ("<bob(victim@evil.example)@acme.example>", "501 5.1.3"),
    ("<(acme.example)victim@evil.example>", "501 5.1.3"),
    ("<bob@acme.example(evil)>", "501 5.1.3"),
    ("<bob @acme.example>", "501 5.1.3"),
    ("< bob@acme.example>", "501 5.1.3"),
    ("<bob@ acme.example>", "501 5.1.3"),
    ("<bob@acme.example >", "501 5.1.3"),
    ("<\"bob\"victim@acme.example>", "501 5.1.3"),
    ("<\"bob\".\"x\"@acme.example>", "501 5.1.3"),
    ("<\"bob@acme.example>", "501 5.5.2"),
    ("<\"bob\\\"@acme.example>", "501 5.5.2"),
    ("<bob\\@evil@acme.example>", "501 5.1.3"),
    // domains that are nearly ours
    ("<bob@acme.example.>", "501 5.1.3"),
    ("<bob@acme.example..>", "501 5.1.3"),
    ("<bob@.acme.example>", "501 5.1.3"),
    ("<bob@acme..example>", "501 5.1.3"),
    ("<bob@acme.example.evil.example>", "550 5.7.1"),
    ("<bob@evil-acme.example>", "550 5.7.1"),
    ("<bob@sub.acme.example>", "550 5.7.1"),
    ("<bob@acme.example/evil.example>", "501 5.1.3"),
    ("<bob@acme.example:25>", "501 5.1.3"),
    ("<bob@acme.example#evil>", "501 5.1.3"),
    ("<bob@acme.example?evil>", "501 5.1.3"),
    ("<bob@acme.example%00.evil.example>", "501 5.1.3"),
    ("<bob@acme%2eexample>", "501 5.1.3"),
    ("<bob@acme+AC4-example>", "501 5.1.3"),
    ("<bob@=?utf-8?q?acme.example?=>", "501 5.1.3"),
    ("<bob@xn--acme-example>", "550 5.7.1"),
    ("<bob@[127.0.0.1]>", "550 5.7.1"),
    ("<bob@[IPv6:::1]>", "550 5.7.1"),
    ("<bob@[acme.example]>", "501 5.1.3"),
    ("<bob@127.0.0.1>", "550 5.7.1"),
    // parameters glued to the path
    ("<bob@acme.example>ORCPT=rfc822;victim@evil.example", "501 5.5.2"),
    ("<bob@acme.example>,<victim@evil.example>", "501 5.5.2"),
    ("<bob@acme.example> X\u{7f}=1", "500 5.5.2"),
    // who is nobody
    ("<>", "501 5.1.3"),
    ("<bob>", "501 5.1.3"),
    ("<@>", "501 5.1.3"),
    ("", "501 5.5.2"),
    // without SMTPUTF8
    ("<b\u{f6}b@acme.example>", "553 5.6.7"),
    ("<bob@acme\u{3002}example>", "553 5.6.7"),
];

/// The same in a transaction with SMTPUTF8.
const REFUSED_UTF8: &[(&str, &str)] = &[
    ("<bob@acme\u{3002}example>", "501 5.1.3"),
    ("<bob@acme\u{ff0e}example>", "501 5.1.3"),
    ("<bob@acme\u{ff61}example>", "501 5.1.3"),
    ("<bob@acme\u{2024}example>", "501 5.1.3"),
    ("<bob@\u{ff41}cme.example>", "501 5.1.3"),
    ("<bob@\u{1d41a}cme.example>", "501 5.1.3"),
    ("<bob@evil.example\u{2100}cme.example>", "501 5.1.3"),
    ("<bob@evil.example\u{ff0f}.acme.example>", "501 5.1.3"),
    ("<bob@acme.exam\u{ad}ple>", "501 5.1.3"),
    ("<bob@acme.exam\u{200b}ple>", "501 5.1.3"),
    ("<bob@acme.example\u{202e}>", "501 5.1.3"),
    ("<bob\u{feff}@acme.example>", "501 5.1.3"),
    ("<bob\u{2028}@acme.example>", "501 5.1.3"),
    ("<bob\u{a0}@acme.example>", "501 5.1.3"),
    ("<bob\u{85}@acme.example>", "500 5.5.2"),
    ("<victim\u{ff20}evil.example@acme.example>", "553 5.1.3"),
    ("<victim\u{fe6b}evil.example@acme.example>", "553 5.1.3"),
    ("<victim\u{ff05}evil.example@acme.example>", "553 5.1.3"),
    ("<bob\u{ff20}acme.example>", "501 5.1.3"),
    // homographs are other domains: Cyrillic a, Greek omicron
    ("<bob@\u{430}cme.example>", "550 5.7.1"),
    ("<bob@acme.\u{3bf}rg>", "550 5.7.1"),
];

/// What is accepted, and the command that the next hop must then see: the same address, nothing else.
const ACCEPTED: &[(&str, &str)] = &[
    ("<bob@acme.example>", "<bob@acme.example>"),
    (" <bob@acme.example>", "<bob@acme.example>"),
    ("bob@acme.example", "<bob@acme.example>"),
    ("<Bob@ACME.Example>", "<Bob@ACME.Example>"),
    ("<@evil.example:bob@acme.example>", "<bob@acme.example>"),
    ("<@evil.example,@other.example:bob@acme.example>", "<bob@acme.example>"),
    ("<\"bob\"@acme.example>", "<\"bob\"@acme.example>"),
    ("<\"b ob\"@acme.example>", "<\"b ob\"@acme.example>"),
    ("<\"b>ob\"@acme.example>", "<\"b>ob\"@acme.example>"),
    ("<\"b<ob>,x\"@acme.example>", "<\"b<ob>,x\"@acme.example>"),
    ("<\"b\\\"ob\"@acme.example>", "<\"b\\\"ob\"@acme.example>"),
    ("<\"\"@acme.example>", "<\"\"@acme.example>"),
    ("<\"..\"@acme.example>", "<\"..\"@acme.example>"),
    ("<$A12345@acme.example>", "<$A12345@acme.example>"),
    ("<customer/department=shipping@acme.example>", "<customer/department=shipping@acme.example>"),
    ("<_somename@acme.example>", "<_somename@acme.example>"),
    ("<-f@acme.example>", "<-f@acme.example>"),
    ("<|cat@acme.example>", "<|cat@acme.example>"),
    ("<a+AEA-b@acme.example>", "<a+AEA-b@acme.example>"),
    ("<#$&'*+-/=?^_`{|}~@acme.example>", "<#$&'*+-/=?^_`{|}~@acme.example>"),
    ("<postmaster>", "<postmaster@acme.example>"),
    ("<PostMaster>", "<PostMaster@acme.example>"),
];

#[test]
fn an_address_is_one_address_to_every_reader() {
    let (hop, gateway) = start();
    check(&gateway, "", REFUSED);
    check(&gateway, " SMTPUTF8", REFUSED_UTF8);
    assert!(hop.seen().commands.is_empty(), "nothing has gone out");
    for (number, (argument, sent)) in ACCEPTED.iter().enumerate() {
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<alice@example.org>").expect("250 ");
        client.command(&format!("RCPT TO:{argument}")).expect("250 2.1.5");
        client.command("DATA").expect("354 ");
        client.write(b"Subject: x\r\n\r\nx\r\n.\r\n");
        client.reply().expect("250 ");
        let recipients = hop.commands("RCPT");
        assert_eq!(recipients.len(), number + 1, "{argument}");
        assert_eq!(recipients[number], format!("RCPT TO:{sent}"));
    }
}

/// A sender that imitates two is refused the same way, and one that is accepted goes out as it came.
#[test]
fn a_sender_is_one_address_too() {
    let (hop, gateway) = start();
    for (argument, reply) in [
        ("<a@example.org>b@evil.example>", "501 5.5.2"),
        ("<a@example.org,b@evil.example>", "501 5.1.7"),
        ("<a@b@example.org>", "501 5.1.7"),
        ("<a@example.org> <b@evil.example>", "501 5.5.4"),
        ("<a@example.org>SIZE=10", "501 5.5.2"),
        ("<a@example.org> SIZE=10,BODY=8BITMIME", "501 5.5.4"),
        ("<a@example.org.>", "501 5.1.7"),
        ("<postmaster>", "501 5.1.7"),
        ("<(c)a@example.org>", "501 5.1.7"),
        ("<a@example.org> RET=FULL RET=FULL", "5"),
    ] {
        let mut client = Client::hello(gateway.address());
        client.command(&format!("MAIL FROM:{argument}")).expect(reply);
        client.command("RCPT TO:<bob@acme.example>").expect("503 ");
    }
    for (number, (argument, sent)) in [
        ("<>", "<>"),
        ("<@relay.example:a@example.org>", "<a@example.org>"),
        ("<a%b@example.org>", "<a%b@example.org>"),
        ("<\"a@b>c\"@example.org>", "<\"a@b>c\"@example.org>"),
        ("<SRS0=x=y=example.net=a@example.org>", "<SRS0=x=y=example.net=a@example.org>"),
        ("<a@[IPv6:2001:db8::1]>", "<a@[IPv6:2001:db8::1]>"),
    ]
    .iter()
    .enumerate()
    {
        let mut client = Client::hello(gateway.address());
        client.command(&format!("MAIL FROM:{argument}")).expect("250 2.1.0");
        client.command("RCPT TO:<bob@acme.example>").expect("250 ");
        client.command("DATA").expect("354 ");
        client.write(b"Subject: x\r\n\r\nx\r\n.\r\n");
        client.reply().expect("250 ");
        let senders = hop.commands("MAIL");
        let line = &senders[number];
        assert!(senders.len() == number + 1 && line.starts_with(&format!("MAIL FROM:{sent}")), "{line}");
    }
}

/// RFC 5321 §4.5.3.1: as long as the limits allow and one octet more.
#[test]
fn lengths_end_where_the_standard_says() {
    let (_hop, gateway) = start();
    let label = "d".repeat(63);
    let domain = [label.as_str(), &label, &label, &label].join(".");
    for (command, reply) in [
        (format!("RCPT TO:<{}@acme.example>", "a".repeat(128)), "250 "),
        (format!("RCPT TO:<{}@acme.example>", "a".repeat(129)), "501 5.1.3"),
        (format!("RCPT TO:<\"{}\"@acme.example>", "a".repeat(126)), "250 "),
        (format!("RCPT TO:<\"{}\"@acme.example>", "a".repeat(127)), "501 5.1.3"),
        (format!("RCPT TO:<a@{domain}>"), "550 5.7.1"),
        (format!("RCPT TO:<a@{domain}.d>"), "501 5.1.3"),
        (format!("RCPT TO:<a@{}.example>", "d".repeat(64)), "501 5.1.3"),
        (format!("RCPT TO:<@{domain}:bob@acme.example>"), "250 "),
        (format!("RCPT TO:<{}bob@acme.example>", "@a.example,".repeat(170) + "@b.example:"), "250 "),
        (format!("RCPT TO:<{}bob@acme.example>", "@a.example,".repeat(190) + "@b.example:"), "500 5.5.2"),
    ] {
        let mut client = Client::hello(gateway.address());
        client.command("MAIL FROM:<alice@example.org>").expect("250 ");
        client.command(&command).expect(reply);
        client.command("NOOP").expect("250 ");
    }
}

#[track_caller]
fn check(gateway: &Gateway, parameter: &str, cases: &[(&str, &str)]) {
    for cases in cases.chunks(15) {
        // A session bears less than twenty refusals.
        let mut client = Client::hello(gateway.address());
        client.command(&format!("MAIL FROM:<alice@example.org>{parameter}")).expect("250 ");
        for (argument, reply) in cases {
            let got = client.command(&format!("RCPT TO:{argument}"));
            let got = format!("{} {}", got.code, got.text);
            assert!(got.starts_with(reply), "RCPT TO:{argument}: {reply} was expected, and not {got}");
        }
        let data = client.command("DATA");
        assert!(matches!(data.code, 503 | 554), "{data:?}");
    }
}

fn start() -> (Careless, Gateway) {
    let hop = Careless::start();
    let gateway = Deployment::new("inline").relay("next", hop.address()).start();
    (hop, gateway)
}
