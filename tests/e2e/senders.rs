//! How programs in the field speak, and what they can read: nobody's mail is lost to a habit that means only one thing.

use crate::harness::{Answer, At, Client, Deployment, Gateway, Sink, mail};

const LONG: &str = "reply+000c89caea14b0bf53caf17fd0c9c67fce378f51fd1af05492cf000000011292f3d892a169ce07601530";

#[test]
fn habits_that_mean_only_one_thing_are_put_right() {
    let (sink, _deployment, gateway) = start();
    let long = [format!("MAIL FROM:<{LONG}@example.org>"), format!("RCPT TO:<{LONG}@acme.example>")];
    for (name, mail_line, rcpt_line, sender, recipient) in [
        ("raid-controller", "MAIL FROM:a@example.org", "RCPT TO:bob@acme.example", "a@example.org", "bob@acme.example"),
        ("scanner.", "MAIL FROM: a@example.org SIZE=100", "RCPT TO: bob@acme.example ", "a@example.org", "bob@acme.example"),
        ("my_pc", "mail from: <a@example.org>\t", "rcpt to:  <BOB@Acme.Example> \t", "a@example.org", "BOB@Acme.Example"),
        ("[192.0.2.1]", "MAIL From:<a@example.org>  body=8bitmime ", "RCPT To:<bob@acme.example>", "a@example.org", "bob@acme.example"),
        ("192.0.2.1", "MAIL FROM:<@old.example,@r.example:a@x>", "RCPT TO:<@mx.acme.example:bob@acme.example>", "a@x", "bob@acme.example"),
        (
            "[IPv6:2001:db8::1]",
            "MAIL FROM:<a@[192.0.2.1]>",
            "RCPT TO:<\"b o\\b\"@acme.example>",
            "a@[192.0.2.1]",
            "\"b o\\b\"@acme.example",
        ),
        ("localhost", "MAIL FROM:<> SIZE=0", "RCPT TO:<POSTMASTER>", "", "POSTMASTER@acme.example"),
        ("x", &long[0], &long[1], &long[0][11..long[0].len() - 1], &long[1][9..long[1].len() - 1]),
    ] {
        let mut client = Client::dial(gateway.address());
        client.reply().expect("220 ");
        client.command(&format!("ehlo {name}")).expect("250 ");
        client.command(mail_line).expect("250 2.1.0");
        client.command(rcpt_line).expect("250 2.1.5");
        client.command("data ").expect("354 ");
        client.write(b"Subject: habits\r\n\r\n.\r\n");
        client.reply().expect("250 2.0.0");
        let taken = sink.taken().pop().expect("a message");
        assert_eq!((taken.mail_from.as_str(), taken.recipients), (sender, vec![recipient.to_owned()]));
        client.command("quit\t").expect("221 2.0.0");
    }
}

#[test]
fn what_may_mean_two_things_is_refused() {
    let (sink, _deployment, gateway) = start();
    for (line, begin) in [
        ("MAIL FROM: Alice <a@example.org>", "501 5.5.4"),
        ("MAIL FROM:a@example.org,b@example.org", "501 5.1.7"),
        ("MAIL FROM:<a@example.org> <b@example.org>", "501 5.5.4"),
        ("MAIL FROM:<a@example.org>b@example.org", "501 5.5.2"),
        ("MAIL FROM:<a@example.org>SIZE=1", "501 5.5.2"),
        ("MAIL FROM:<(a)b@example.org>", "501 5.1.7"),
        ("MAIL FROM:<a@[IPv6:fe80::1%eth0]>", "501 5.1.7"),
        ("MAIL FROM:<a@[2001:db8::1]>", "501 5.1.7"),
        ("MAIL FROM:<a@b_c.example>", "501 5.1.7"),
        ("MAIL FROM:<a@example.org> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@example.org> BODY=BINARYMIME", "555 5.5.4"),
        ("MAIL FROM:<\u{fc}@example.org>", "553 5.6.7"),
        ("VRFY bob", "252 2.0.0"),
        ("EXPN all", "502 5.5.1"),
        ("XCLIENT ADDR=192.0.2.1", "500 5.5.2"),
    ] {
        Client::hello(gateway.address()).command(line).expect(begin);
    }
    assert!(sink.taken().is_empty());
}

/// The harness fails for every line of a reply that is longer than 512 octets or not ASCII.
#[test]
fn the_words_of_a_next_hop_reach_the_client_in_lines_that_it_can_read() {
    let words = "w".repeat(3000);
    for (said, begin) in [
        (format!("250 2.0.0 {words}"), "250 2.0.0 Delivered as "),
        (format!("554 5.7.1 {words}"), "554 5.7.1 "),
        ("250 2.0.0 gr\u{fc}\u{df} gott".to_owned(), "250 2.0.0 Delivered as "),
        (format!("554-5.7.1 {words}\r\n554 5.7.1 caf\u{e9}"), "554 5.7.1 "),
    ] {
        let sink = Sink::start(move |at| if matches!(at, At::Dot(_)) { Answer::say(&said) } else { Answer::Ok });
        let deployment = Deployment::new("inline").relay("next", sink.address());
        let gateway = deployment.start();
        let mut client = Client::hello(gateway.address());
        client.send("alice@example.org", &["bob@acme.example"], &mail::small("words")).expect(begin);
        client.command("NOOP").expect("250 ");
    }
}

fn start() -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address());
    let gateway = deployment.start();
    (sink, deployment, gateway)
}
