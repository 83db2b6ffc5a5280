//! Clients behind a load balancer on loopback.

use std::io;

use super::*;
use crate::limits::{CONNECTIONS_PER_CLIENT_MAX, PROXY_HEADER_TIMEOUT};

const HEADER: &[u8] = b"PROXY TCP4 203.0.113.9 192.0.2.25 4711 25\r\n";

fn behind_loopback() -> House {
    house_behind(&["127.0.0.0/8"])
}

/// A connection that begins like this.
async fn dial(house: &House, begin: &[u8]) -> Client {
    let mut client = Client(TcpStream::connect(house.address).await.unwrap());
    client.0.write_all(begin).await.unwrap();
    client
}

/// What comes until the end; a reset counts as one.
async fn rest(mut client: Client) -> String {
    let mut rest = Vec::new();
    match client.0.read_to_end(&mut rest).await {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8(rest).unwrap(),
    }
}

fn line_from(source: &str) -> String {
    let (family, destination) = if source.contains(':') { ("TCP6", "2001:db8::25") } else { ("TCP4", "192.0.2.25") };
    format!("PROXY {family} {source} {destination} 4711 25\r\n")
}

#[tokio::test]
async fn places_are_counted_for_the_clients_and_not_for_the_load_balancer() {
    let house = behind_loopback();
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS_PER_CLIENT_MAX {
        // One network of IPv6 is one client.
        let mut client = dial(&house, line_from(&format!("2001:db8:0:1::{n:x}")).as_bytes()).await;
        assert_eq!(client.reply().await, "220");
        clients.push(client);
    }
    let mut refused = dial(&house, line_from("2001:db8:0:1::ffff").as_bytes()).await;
    assert_eq!(refused.reply().await, "421");
    for other in [line_from("2001:db8:0:2::1"), line_from("203.0.113.9"), "PROXY UNKNOWN\r\n".to_owned()] {
        let mut client = dial(&house, other.as_bytes()).await;
        assert_eq!(client.reply().await, "220", "{other}");
    }
    drop(clients);
    until(|| house.ingress.admission.total() == 0).await;
    let mut again = dial(&house, line_from("2001:db8:0:1::ffff").as_bytes()).await;
    assert_eq!(again.reply().await, "220");
}

#[tokio::test]
async fn connections_without_a_client_are_counted_in_total_alone() {
    let house = behind_loopback();
    let mut checks = Vec::new();
    for _ in 0..=CONNECTIONS_PER_CLIENT_MAX {
        let mut check = dial(&house, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0").await;
        assert_eq!(check.reply().await, "220");
        checks.push(check);
    }
    assert_eq!(house.ingress.admission.total(), CONNECTIONS_PER_CLIENT_MAX + 1);
    drop(checks);
    until(|| house.ingress.admission.total() == 0).await;
}

#[tokio::test]
async fn a_header_holds_a_place_from_its_first_octet_and_gives_it_back() {
    let house = behind_loopback();
    let client = dial(&house, b"PROXY").await;
    until(|| house.ingress.admission.total() == 1).await;
    drop(client);
    until(|| house.ingress.admission.total() == 0).await;
    assert_eq!(rest(dial(&house, b"EHLO x\r\n").await).await, "");
    until(|| house.ingress.admission.total() == 0).await;
}

#[tokio::test]
async fn a_header_in_pieces_is_a_header() {
    let house = behind_loopback();
    let tlvs = [&b"\x04\x02\0"[..], &[0; 512]].concat();
    let long = [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\x0f\xcb\0\x71\x09\xc0\0\x02\x19\x12\x67\0\x19"[..], &tlvs].concat();
    for header in [HEADER, &long] {
        let mut client = dial(&house, b"").await;
        client.0.set_nodelay(true).unwrap();
        for piece in header.chunks(7) {
            client.0.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(client.reply().await, "220");
        assert_eq!(client.say("EHLO c.example").await, "250");
    }
}

#[tokio::test]
async fn what_follows_the_header_is_early_talking() {
    let house = behind_loopback();
    let mut client = dial(&house, &[HEADER, b"EHLO early.example\r\n"].concat()).await;
    assert_eq!(client.reply().await, "554");
    // A header in the header is the client's own, and no line of SMTP.
    let mut client = dial(&house, &[HEADER, HEADER].concat()).await;
    assert_eq!(client.reply().await, "554");
}

#[tokio::test]
async fn from_others_a_header_is_never_read() {
    let house = house_behind(&["192.0.2.0/24", "::1/128"]);
    let mut client = Client::connect(&house).await;
    assert_eq!(client.say("PROXY TCP4 203.0.113.9 192.0.2.25 4711 25").await, "500");
    assert_eq!(client.say("EHLO c.example").await, "250");
}

#[tokio::test(start_paused = true)]
async fn octets_that_trickle_in_get_no_more_time() {
    let house = behind_loopback();
    let began = tokio::time::Instant::now();
    let (mut read, mut write) = dial(&house, b"").await.0.into_split();
    let trickle = tokio::spawn(async move {
        for byte in HEADER.iter().chain(b"EHLO x\r\n".iter().cycle()) {
            if write.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut said = Vec::new();
    let _ = read.read_to_end(&mut said).await;
    assert_eq!(said, b"");
    let took = began.elapsed();
    assert!(took >= PROXY_HEADER_TIMEOUT && took <= PROXY_HEADER_TIMEOUT + Duration::from_secs(2), "{took:?}");
    trickle.abort();
}
