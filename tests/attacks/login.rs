//! AUTH where it is not offered: before TLS, and on an endpoint that takes no logins.

use crate::harness::Client;
use crate::{start_with_tls, still_serves};

#[test]
fn no_login_is_taken_or_asked_for_before_tls() {
    let (sink, gateway) = start_with_tls("optional");
    for login in [
        "AUTH PLAIN AGJvYgBzM2NyM3Q=",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AUTH LOGIN Ym9i",
        "auth cram-md5",
        "AUTH XOAUTH2 dXNlcj1ib2I=",
        "AUTH",
        "AUTH *",
    ] {
        let mut client = Client::hello(gateway.address());
        let reply = client.command(login);
        assert!((500..600).contains(&reply.code), "{login}: {reply:?}");
        // What a client sends that does not wait for the answer is refused as a command, and its password is in no log.
        client.command("AGJvYgBzM2NyM3Q=").expect("500 ");
        client.command("NOOP").expect("250 ");
    }
    let mut client = Client::dial(gateway.address());
    client.reply().expect("220 ");
    assert!(!client.command("EHLO c.example").text.contains("AUTH"));
    assert!(!gateway.said().contains("AGJvYgBzM2NyM3Q"));
    still_serves(&sink, &gateway);
}
