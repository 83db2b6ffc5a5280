//! Load balancers: the address in their PROXY header is the client's, everywhere, and only theirs is believed.

use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::haproxy::{Haproxy, Way};
use crate::harness::{Client, Deployment, Gateway, Sink, mail, swaks};

const BOB: &str = "bob@acme.example";
const ADDRESSES: [&str; 4] = ["203.0.113.9", "192.0.2.25", "2001:db8::9", "2001:db8::25"];
/// 203.0.113.9:4711 to 192.0.2.25:25.
const INET: &[u8] = &[203, 0, 113, 9, 192, 0, 2, 25, 0x12, 0x67, 0, 25];

#[test]
fn swaks_in_both_versions_and_families_is_the_client_that_it_says() {
    let [source4, destination4, source6, destination6] = ADDRESSES;
    for (version, family, source, destination) in [
        ("1", "TCP4", source4, destination4),
        ("1", "TCP6", source6, destination6),
        ("2", "AF_INET", source4, destination4),
        ("2", "AF_INET6", source6, destination6),
    ] {
        let (sink, _deployment, gateway) = start("127.0.0.0/8", "default: allow\n");
        let mut swaks = swaks(gateway.address(), "alice@example.org", BOB);
        swaks.args(["--proxy-version", version, "--proxy-family", family, "--proxy-source", source, "--proxy-source-port", "4711"]);
        swaks.args(["--proxy-dest", destination, "--proxy-dest-port", "25"]);
        let said = swaks.output().expect("swaks starts");
        assert!(said.status.success(), "{}", mail::text(&said.stdout));
        let connected = is_client(&gateway, source, 4711);
        assert_eq!(connected["proxy"]["command"], "proxy");
        let peer: SocketAddr = connected["proxy"]["peer"].as_str().unwrap().parse().unwrap();
        assert!(peer.ip().is_loopback());
        let to: SocketAddr = connected["proxy"]["destination"].as_str().unwrap().parse().unwrap();
        assert_eq!(to, SocketAddr::new(destination.parse().unwrap(), 25));
        assert_eq!(gateway.wait_for(|event| event["event"] == "message")["client"], source);
        assert_trace(&sink, source);
    }
}

#[test]
fn swaks_speaks_tls_behind_the_header() {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint("proxy_protocol: { trusted: 127.0.0.1 }");
    let certificate = crate::harness::tls::Certificate::new();
    certificate.write(deployment.folder());
    let gateway = deployment.endpoint("tls: { mode: required, certificate: cert.pem, key: key.pem }").start();
    let mut swaks = swaks(gateway.address(), "alice@example.org", BOB);
    swaks.args(["--tls", "--proxy-version", "2", "--proxy-family", "AF_INET", "--proxy-source", "203.0.113.9"]);
    swaks.args(["--proxy-source-port", "4711", "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25"]);
    let said = swaks.output().expect("swaks starts");
    assert!(said.status.success(), "{}", mail::text(&said.stdout));
    is_client(&gateway, "203.0.113.9", 4711);
    assert_trace(&sink, "203.0.113.9");
}

#[test]
fn haproxy_announces_its_clients() {
    let (sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    let haproxy = Haproxy::start(
        gateway.address(),
        &[
            Way { bind: "", frontend: &["tcp-request connection set-src ipv4(203.0.113.9)"], server: "send-proxy" },
            Way { bind: "", frontend: &["tcp-request connection set-src ipv6(2001:db8::9)"], server: "send-proxy" },
            Way { bind: "", frontend: &["tcp-request connection set-src ipv6(2001:db8::10)"], server: "send-proxy-v2" },
            Way {
                bind: "ssl crt PEM",
                frontend: &["tcp-request connection set-src ipv4(203.0.113.10)", "unique-id-format lb-%fp"],
                server: "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher,cert-sig,cert-key",
            },
        ],
    );
    for (at, address) in haproxy.addresses.iter().zip(["203.0.113.9", "2001:db8::9", "2001:db8::10"]) {
        Client::hello(*at).send("a@example.org", &[BOB], &mail::small("plain")).expect("250 ");
        let connected = gateway.wait_for(|event| event["event"] == "connected" && event["client"] == address);
        // An IPv6 client of an IPv4 address: HAProxy maps the one into the other, and it is plain again here.
        assert_eq!(connected["proxy"]["destination"], at.to_string());
        assert!(mail::text(&sink.taken().last().unwrap().data).contains(address));
    }
    let at = haproxy.addresses[3];
    let mut client = Client::dial(at);
    client.handshake();
    client.reply().expect("220 ");
    client.command("EHLO client.example").expect("250 ");
    let proxy = gateway.wait_for(|event| event["event"] == "connected" && event["client"] == "203.0.113.10")["proxy"].clone();
    assert_eq!((&proxy["tls"], &proxy["server_name"]), (&"TLSv1.3".into(), &"localhost".into()));
    assert_eq!((&proxy["unique_id"], &proxy["destination"]), (&format!("lb-{}", at.port()).into(), &at.to_string().into()));
}

#[test]
fn health_checks_of_haproxy_are_served_and_nothing_to_worry_about() {
    let (_sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    let _haproxy = Haproxy::start(
        gateway.address(),
        &[
            Way { bind: "", frontend: &[], server: "send-proxy-v2 check check-send-proxy inter 1s" },
            Way { bind: "", frontend: &[], server: "send-proxy check check-send-proxy inter 1s" },
        ],
    );
    for command in ["local", "proxy"] {
        // HAProxy of itself, and not of whoever looked whether it listens.
        let of_itself = |event: &Value| event["proxy"]["peer"] == format!("127.0.0.1:{}", event["port"]);
        let fits = |event: &Value| event["event"] == "connected" && event["proxy"]["command"] == command && of_itself(event);
        let session = gateway.wait_events(2, fits)[0]["session"].clone();
        let end = gateway.wait_for(|event| event["event"] == "disconnected" && event["session"] == session);
        assert_eq!((&end["reason"], &end["messages"]), (&"closed".into(), &0.into()));
    }
    assert!(gateway.events(|event| event["event"] == "refused").is_empty());
}

#[test]
fn policies_and_rules_see_the_client() {
    let policy = "default: allow\ndeny:\n  - name: listed\n    when:\n      - sender_ip: { cidr_matches: [203.0.113.0/24, \"2001:db8:bad::/48\"] }\n\
                  \x20 - name: balancer\n    when:\n      - sender_ip: { cidr_matches: 127.0.0.0/8 }\n";
    let rules = "rules:\n  - name: partner\n    when:\n      - source_ip: { cidr_matches: 198.51.100.0/24 }\n    actions:\n      \
                 - PrefixSubject: { text: \"[partner] \" }\n  - name: all\n    actions:\n      - SMTPRelay: { relay: next }\n";
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).endpoint("proxy_protocol: { trusted: 127.0.0.1 }");
    let gateway = deployment.policy(policy).rules(rules).start();
    for denied in [
        "PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n",
        "PROXY TCP6 2001:db8:bad::1 2001:db8::25 4711 25\r\n",
        "PROXY TCP6 ::ffff:203.0.113.9 2001:db8::25 4711 25\r\n",
    ] {
        let mut client = dial(&gateway, denied.as_bytes());
        client.reply().expect("554 5.7.1");
    }
    let events = gateway.wait_events(3, |event| event["event"] == "policy" && event["statement"] == "listed");
    let clients: Vec<_> = events.iter().map(|event| event["client"].as_str().unwrap()).collect();
    assert_eq!(clients, ["203.0.113.9", "2001:db8:bad::1", "203.0.113.9"]);
    // The load balancer itself is another one, and is judged as well.
    dial(&gateway, b"PROXY UNKNOWN\r\n").reply().expect("554 5.7.1");
    gateway.wait_for(|event| event["event"] == "policy" && event["statement"] == "balancer" && event["client"] == "127.0.0.1");
    hello(&gateway, b"PROXY TCP4 198.51.100.7 192.0.2.25 4711 25\r\n").send("a@example.org", &[BOB], &mail::small("one")).expect("250 ");
    assert!(mail::text(&sink.only().data).contains("Subject: [partner] one"));
}

#[test]
fn what_names_no_client_is_served_as_the_load_balancer() {
    let unix = [b'/'; 216];
    for (header, command) in [
        (v2(0x20, 0x00, b""), "local"),
        (v2(0x20, 0x11, INET), "local"),
        (summed(v2(0x20, 0x00, &tlv(3, &[0; 4]))), "local"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "proxy"),
        (b"PROXY UNKNOWN 203.0.113.9 192.0.2.25 4711 25\r\n".to_vec(), "proxy"),
        (v2(0x21, 0x00, INET), "proxy"),
        (v2(0x21, 0x12, INET), "proxy"),
        (v2(0x21, 0x31, &unix), "proxy"),
    ] {
        let (sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
        hello(&gateway, &header).send("a@example.org", &[BOB], &mail::small("one")).expect("250 ");
        let connected = gateway.wait_for(|event| event["event"] == "connected");
        let proxy = &connected["proxy"];
        let end = format!("127.0.0.1:{}", connected["port"]);
        assert_eq!((&connected["client"], proxy["peer"].as_str()), (&"127.0.0.1".into(), Some(&*end)), "{}", header.escape_ascii());
        assert_eq!((&proxy["command"], &proxy["destination"]), (&command.into(), &Value::Null));
        assert_trace(&sink, "127.0.0.1");
    }
}

#[test]
fn tlvs_are_verified_and_told_in_the_log() {
    let ssl = [&[1, 0, 0, 0, 1][..], &tlv(0x21, b"TLSv1.3")].concat();
    let inet6: Vec<u8> = ["2001:db8::9", "2001:db8::25"]
        .iter()
        .flat_map(|address| address.parse::<std::net::Ipv6Addr>().unwrap().octets())
        .chain([0x12, 0x67, 0, 25])
        .collect();
    let tlvs =
        [tlv(2, b"mx1.acme.example"), tlv(5, b"c0ffee-1"), tlv(0x20, &ssl), tlv(0xEA, b"\x01vpce-1"), tlv(4, b"\0"), tlv(3, &[0; 4])];
    let header = summed(v2(0x21, 0x21, &[inet6, tlvs.concat()].concat()));
    let (sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    hello(&gateway, &header).send("a@example.org", &[BOB], &mail::small("one")).expect("250 ");
    let proxy = is_client(&gateway, "2001:db8::9", 4711)["proxy"].clone();
    assert_eq!((&proxy["server_name"], &proxy["unique_id"]), (&"mx1.acme.example".into(), &"c0ffee-1".into()));
    assert_eq!(proxy["tls"], "TLSv1.3");
    assert_trace(&sink, "2001:db8::9");
    // TLS that ended before is not this session's.
    assert_eq!(gateway.wait_for(|event| event["event"] == "message")["tls"], Value::Null);

    let mut damaged = header;
    damaged[20] ^= 1;
    assert_eq!(dial(&gateway, &damaged).rest(), "");
    failed(&gateway, "checksum");
    // An id that is no text is shown as one, and breaks no line of the log.
    drop(dial(&gateway, &v2(0x21, 0x11, &[INET, &tlv(5, b"\x1b[2J\r\n"), &tlv(2, b"a\r\nb")].concat())));
    let odd = is_client(&gateway, "203.0.113.9", 4711);
    assert_eq!((&odd["proxy"]["unique_id"], &odd["proxy"]["server_name"]), (&"1b5b324a0d0a".into(), &"a\r\nb".into()));
}

#[test]
fn who_is_trusted_and_sends_no_good_header_gets_no_banner() {
    let (_sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    for (sent, why) in [
        (&b"EHLO client.example\r\n"[..], "no PROXY header"),
        (b"GET / HTTP/1.1\r\n\r\n", "no PROXY header"),
        (b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\n", "part of a CRLF"),
        (b"PROXY TCP4 203.0.113.09 192.0.2.25 4711 25\r\n", "an address is wrong"),
        (b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 65536\r\n", "a port is wrong"),
        (b"PROXY TCP4 203.0.113.9 192.0.2.25 4711\r\n", "not two addresses and two ports"),
        (b"PROXY UDP4 203.0.113.9 192.0.2.25 4711 25\r\n", "neither TCP4, TCP6 nor UNKNOWN"),
        (b"PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", "0.0.0.0 is no address of a client"),
        (&[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(), "no CRLF within 107 octets"),
        (&v2(0x22, 0x00, b""), "unknown command 2"),
        (&v2(0x31, 0x11, INET), "version 3"),
        (&v2(0x21, 0x51, INET), "0x51"),
        (&v2(0x21, 0x21, INET), "too short for the addresses"),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", "65551 octets, at most 4096"),
        (&v2(0x21, 0x11, &[INET, b"\x04\0\x09"].concat()), "a TLV has a wrong length"),
    ] {
        assert_eq!(dial(&gateway, sent).rest(), "", "{}", sent.escape_ascii());
        failed(&gateway, why);
    }
    for (sent, why) in [(&b""[..], "closed without"), (b"PROXY TCP4 203", "closed after 14 octets")] {
        let client = dial(&gateway, sent);
        client.half_close();
        assert_eq!(client.rest(), "");
        failed(&gateway, why);
    }
    assert!(gateway.events(|event| event["event"] == "connected").is_empty(), "nobody was served");
    hello(&gateway, b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n").command("NOOP").expect("250 ");
}

#[test]
fn who_is_trusted_and_says_nothing_is_not_waited_for() {
    let (_sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    let silent = dial(&gateway, b"");
    let half = dial(&gateway, &v2(0x21, 0x11, INET)[..20]);
    // Nobody waits behind them.
    hello(&gateway, b"PROXY UNKNOWN\r\n").command("NOOP").expect("250 ");
    assert_eq!((silent.rest(), half.rest()), (String::new(), String::new()));
    failed(&gateway, "within 5 seconds");
    gateway.wait_events(2, |event| event["event"] == "proxy_failed");
}

#[test]
fn what_the_client_says_before_the_banner_is_early_whatever_stood_before_it() {
    let (_sink, _deployment, gateway) = start("127.0.0.1", "default: allow\n");
    let header = b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n";
    // A header of the client's own behind that of the load balancer is the client's, too.
    for early in [&b"EHLO early.example\r\n"[..], b"\r\n", header, &v2(0x21, 0x11, &[198, 51, 100, 1, 0, 0, 0, 0, 0, 0, 0, 0])] {
        dial(&gateway, &[header, early].concat()).reply().expect("554 5.5.1");
    }
    let connected = gateway.wait_events(4, |event| event["event"] == "connected");
    assert!(connected.iter().all(|event| event["client"] == "203.0.113.9"), "{connected:?}");
}

#[test]
fn from_who_is_not_trusted_a_header_is_not_read() {
    let (sink, _deployment, gateway) = start("10.0.0.0/8", "default: allow\n");
    let lines = [&b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n"[..], b"PROXY UNKNOWN\r\n", &v2(0x21, 0x11, INET), &v2(0x20, 0, b"")];
    for header in lines {
        // Before the banner: early talking, as from anybody.
        gateway.halt();
        let mut early = dial(&gateway, header);
        gateway.signal("CONT");
        early.reply().expect("554 5.5.1");
        // Behind it: no command.
        let mut client = Client::dial(gateway.address());
        client.reply().expect("220 ");
        client.write(header);
        assert_eq!(client.reply().code / 100, 5, "{}", header.escape_ascii());
    }
    Client::hello(gateway.address()).send("a@example.org", &[BOB], &mail::small("one")).expect("250 ");
    assert_trace(&sink, "127.0.0.1");
    let connected = gateway.wait_events(9, |event| event["event"] == "connected");
    assert!(connected.iter().all(|event| event["client"] == "127.0.0.1" && event["proxy"].is_null()), "{connected:?}");
}

fn start(trusted: &str, policy: &str) -> (Sink, Deployment, Gateway) {
    let sink = Sink::accepting();
    let deployment = Deployment::new("inline").relay("next", sink.address()).policy(policy);
    let deployment = deployment.endpoint(&format!("proxy_protocol: {{ trusted: [{trusted}] }}"));
    let gateway = deployment.start();
    (sink, deployment, gateway)
}

/// A connection that begins like this.
fn dial(gateway: &Gateway, begin: &[u8]) -> Client {
    let mut client = Client::dial(gateway.address());
    client.write(begin);
    client
}

/// The same as far as EHLO.
fn hello(gateway: &Gateway, header: &[u8]) -> Client {
    let mut client = dial(gateway, header);
    client.reply().expect("220 ");
    client.command("EHLO client.example").expect("250 ");
    client
}

/// The event that says so.
fn is_client(gateway: &Gateway, address: &str, port: u16) -> Value {
    gateway.wait_for(|event| event["event"] == "connected" && event["client"] == address && event["port"] == port)
}

/// Waits for the event that says why a load balancer was not served.
fn failed(gateway: &Gateway, why: &str) {
    let event = gateway.wait_for(|event| event["event"] == "proxy_failed" && event["detail"].as_str().unwrap().contains(why));
    assert_eq!(event["endpoint"], "mx");
    assert!(event["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{event}");
}

/// The Received field of the only message says that it came from there.
#[track_caller]
fn assert_trace(sink: &Sink, address: &str) {
    let data = sink.only().data;
    let field = mail::received_field(&data);
    let literal = if address.contains(':') { format!("[IPv6:{address}]") } else { format!("[{address}]") };
    assert!(field.starts_with("Received: from client.example ") && field.contains(&literal), "{field}");
    assert!(address == "127.0.0.1" || !field.contains("127.0.0.1"), "{field}");
}

/// A header of version 2 with this command and family octet.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &length, block].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind], &u16::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

/// The same header with its checksum in the CRC32C TLV that it ends with.
fn summed(mut header: Vec<u8>) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    let at = header.len() - 4;
    header[at..].copy_from_slice(&(!crc).to_be_bytes());
    header
}
