//! The demonstration's sender: a plain SMTP client that keeps the reply that mattered.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// A message to be sent.
#[derive(Clone, Debug)]
pub(super) struct Mail {
    pub(super) helo: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static [&'static str],
    /// SIZE to declare beyond the real one.
    pub(super) declared: Option<u64>,
    pub(super) text: String,
}

/// Connects from `source`, sends over STARTTLS, and returns the reply that decided: to the banner, MAIL, the last refused RCPT, or the final dot.
pub(super) async fn send(gateway: SocketAddr, source: IpAddr, mail: &Mail, tls: Arc<rustls::ClientConfig>) -> io::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let mut plain = BufReader::new(socket.connect(gateway).await?);
    let banner = reply(&mut plain).await?;
    if !banner.starts_with("220") {
        return Ok(banner);
    }
    ask(&mut plain, &format!("EHLO {}", mail.helo)).await?;
    ask(&mut plain, "STARTTLS").await?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let encrypted = TlsConnector::from(tls).connect(name, plain.into_inner()).await?;
    dialogue(&mut BufReader::new(encrypted), mail).await
}

async fn dialogue<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, mail: &Mail) -> io::Result<String> {
    ask(stream, &format!("EHLO {}", mail.helo)).await?;
    let size = mail.declared.unwrap_or(u64::try_from(mail.text.len()).unwrap_or(u64::MAX));
    let mut decisive = ask(stream, &format!("MAIL FROM:<{}> SIZE={size}", mail.from)).await?;
    let mut taken = 0_usize;
    if decisive.starts_with('2') {
        for to in mail.to {
            let answer = ask(stream, &format!("RCPT TO:<{to}>")).await?;
            if answer.starts_with('2') {
                taken = taken.saturating_add(1);
            } else {
                decisive = answer;
            }
        }
    }
    if taken > 0 {
        ask(stream, "DATA").await?;
        stream.write_all(mail.text.as_bytes()).await?;
        decisive = ask(stream, ".").await?;
    }
    ask(stream, "QUIT").await?;
    Ok(decisive)
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut BufReader<S>, line: &str) -> io::Result<String> {
    stream.write_all(format!("{line}\r\n").as_bytes()).await?;
    stream.flush().await?;
    reply(stream).await
}

/// One reply; of several lines the last.
async fn reply<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<String> {
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(line.trim_end().to_owned());
        }
    }
}
