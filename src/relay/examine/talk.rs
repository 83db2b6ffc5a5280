//! What one address says and shows: greeting, TLS, EHLO.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::dialogue::Dialogue;
use super::elapsed;
use super::trust::{self, Handshake};
use crate::limits::RELAY_CONNECT_TIMEOUT;
use crate::relay::stream::Stream;
use crate::relay::{RelayConfig, RelayKind, TlsMode};
use crate::smtp::Reply;

/// What was said and shown on a connection that could be made.
#[derive(Clone, Debug)]
pub struct Talk {
    /// Time until the connection was there.
    pub connected_in: Duration,
    /// The first line of the next hop. `None`: it does not speak first, or came no further.
    pub greeting: Option<String>,
    /// The handshake, or why there was none although STARTTLS is offered. `None`: TLS is not offered, or not asked for.
    pub tls: Option<Result<Handshake, String>>,
    /// The lines of the last reply to EHLO but for its first.
    pub offers: Vec<String>,
    /// The address that the next hop says this connection comes from.
    pub seen_as: Option<IpAddr>,
    /// What went wrong after connecting.
    pub problem: Option<String>,
}

/// Talks to one address; an error is one of connecting.
pub(super) async fn talk(
    relay: &RelayConfig,
    hostname: &str,
    host: &str,
    address: SocketAddr,
    source: Option<IpAddr>,
) -> Result<Talk, String> {
    let begun = Instant::now();
    let tcp = connect(address, source).await?;
    let mut talk = Talk { connected_in: elapsed(begun), greeting: None, tls: None, offers: Vec::new(), seen_as: None, problem: None };
    if let Err(problem) = speak(relay, hostname, host, tcp, &mut talk).await {
        talk.problem = Some(problem);
    }
    Ok(talk)
}

async fn connect(address: SocketAddr, source: Option<IpAddr>) -> Result<TcpStream, String> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.map_err(|error| error.to_string())?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0)).map_err(|error| format!("from {source}: {error}"))?;
    }
    match timeout(RELAY_CONNECT_TIMEOUT, socket.connect(address)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", RELAY_CONNECT_TIMEOUT.as_secs())),
    }
}

async fn speak(relay: &RelayConfig, hostname: &str, host: &str, tcp: TcpStream, talk: &mut Talk) -> Result<(), String> {
    // RFC 2033 §4.1.
    let hello = if relay.kind == RelayKind::Lmtp { "LHLO" } else { "EHLO" };
    let hello = format!("{hello} {hostname}");
    let is_graph = relay.kind == RelayKind::Graph;
    let mut stream = Stream::Plain(tcp);
    if relay.implicit_tls || is_graph {
        stream = handshake(relay, host, stream, talk).await?;
    }
    if is_graph {
        return Ok(());
    }
    let mut dialogue = Dialogue::new(stream);
    let greeting = dialogue.reply("the connection").await?;
    talk.greeting = greeting.text.lines().next().map(|line| format!("{} {line}", greeting.code));
    if !greeting.is_positive() {
        return Err(format!("the greeting is {greeting}"));
    }
    let mut offered = positive(dialogue.ask(&hello).await?, "EHLO")?;
    note(&offered, talk);
    let may = relay.tls != TlsMode::None && !relay.implicit_tls;
    if may && offers(&offered, "STARTTLS") {
        positive(dialogue.ask("STARTTLS").await?, "STARTTLS")?;
        let stream = handshake(relay, host, dialogue.into_stream(), talk).await?;
        dialogue = Dialogue::new(stream);
        offered = positive(dialogue.ask(&hello).await?, "EHLO after STARTTLS")?;
        note(&offered, talk);
    }
    dialogue.quit().await;
    Ok(())
}

async fn handshake(relay: &RelayConfig, host: &str, stream: Stream, talk: &mut Talk) -> Result<Stream, String> {
    let Stream::Plain(tcp) = stream else { return Ok(stream) };
    match trust::handshake(relay, host, tcp).await {
        Ok((stream, found)) => {
            talk.tls = Some(Ok(found));
            Ok(stream)
        }
        Err(why) => {
            talk.tls = Some(Err(why.clone()));
            Err(format!("the TLS handshake: {why}"))
        }
    }
}

fn positive(reply: Reply, to: &str) -> Result<Reply, String> {
    if reply.is_positive() { Ok(reply) } else { Err(format!("the reply to {to} is {reply}")) }
}

fn note(reply: &Reply, talk: &mut Talk) {
    talk.offers = reply.text.lines().skip(1).map(str::to_owned).collect();
    talk.seen_as = seen_as(reply.text.lines().next().unwrap_or_default()).or(talk.seen_as);
}

fn offers(reply: &Reply, keyword: &str) -> bool {
    reply.text.lines().skip(1).any(|line| line.split_ascii_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)))
}

/// The address in brackets that Google (`at your service, [192.0.2.1]`) and Microsoft (`Hello [192.0.2.1]`) put into the first line.
fn seen_as(line: &str) -> Option<IpAddr> {
    let (_, rest) = line.rsplit_once('[')?;
    let (address, _) = rest.split_once(']')?;
    let address = address.strip_prefix("IPv6:").unwrap_or(address);
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_a_next_hop_sees() {
        for (line, expected) in [
            ("mx.google.com at your service, [203.0.113.5]", Some("203.0.113.5")),
            ("mx.google.com at your service, [2001:db8::5]", Some("2001:db8::5")),
            ("DB5EUR01FT045.mail.protection.outlook.com Hello [203.0.113.5]", Some("203.0.113.5")),
            ("AM0PR01CA0101.outlook.office365.com Hello [IPv6:2001:db8::5]", Some("2001:db8::5")),
            ("mail.example Hello [::ffff:203.0.113.5], pleased to meet you", Some("203.0.113.5")),
            ("mail.example", None),
            ("mail.example [mx1.acme.example]", None),
            ("mail.example [203.0.113.5", None),
            ("[]", None),
        ] {
            assert_eq!(seen_as(line).map(|address| address.to_string()).as_deref(), expected, "{line}");
        }
    }
}
