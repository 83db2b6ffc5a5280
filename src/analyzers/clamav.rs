//! ClamAV's clamd: the message in chunks over a socket (`INSTREAM`, clamd(8)), one word back.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::gate::Gate;
use super::{Subject, Trouble, analysis, trouble, within};
use crate::blocks::Blocks;
use crate::limits::{CLAMAV_CHUNK_BYTES, CLAMAV_REPLY_BYTES_MAX};
use crate::message::{Analysis, Content, FieldKind, FieldValue, Text};

pub(super) const FIELDS: [(&str, FieldKind); 2] = [("infected", FieldKind::Boolean), ("signature", FieldKind::Text)];

/// A clamd.
#[derive(Clone, Debug, PartialEq)]
pub struct ClamavConfig {
    /// Its socket.
    pub address: ClamdAddress,
    /// A larger message is not asked about.
    pub message_bytes_max: u64,
    /// Scans at a time.
    pub connections: u32,
}

/// The socket of a clamd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClamdAddress {
    /// Host name or address, and port.
    Tcp(Arc<str>, u16),
    /// A socket of this machine.
    Unix(PathBuf),
}

#[derive(Debug)]
pub(super) struct Clamav {
    config: ClamavConfig,
    gate: Gate,
}

impl Clamav {
    pub(super) fn new(config: ClamavConfig, timeout: Duration) -> Self {
        let gate = Gate::new(usize::try_from(config.connections).unwrap_or(usize::MAX), timeout);
        Self { config, gate }
    }

    pub(super) async fn ask(&self, subject: &Subject<'_>, deadline: Instant) -> Result<Analysis, Trouble> {
        let original = subject.original.ok_or_else(|| trouble("there is no message yet"))?;
        within(original, self.config.message_bytes_max)?;
        let message = &Content::from(original.data());
        let reply = self.gate.pass(deadline, async {
            let reply = match &self.config.address {
                ClamdAddress::Tcp(host, port) => match TcpStream::connect((&**host, *port)).await {
                    // What is left of a message must not wait for an acknowledgement of what went before.
                    Ok(stream) => match stream.set_nodelay(true) {
                        Ok(()) => converse(stream, message).await,
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error),
                },
                ClamdAddress::Unix(path) => match UnixStream::connect(path).await {
                    Ok(stream) => converse(stream, message).await,
                    Err(error) => Err(error),
                },
            };
            reply.map_err(|error| trouble(error.to_string()))
        });
        read(&reply.await?)
    }
}

/// Sends the message while listening: clamd answers before the end when it has enough.
async fn converse(stream: impl AsyncRead + AsyncWrite, message: &Content) -> io::Result<Vec<u8>> {
    let (reader, writer) = tokio::io::split(stream);
    let (listen, speak) = (listen(reader), speak(writer, message));
    tokio::pin!(listen, speak);
    let (said, spoken) = tokio::select! {
        biased;
        reply = &mut listen => return reply.and_then(not_silent),
        spoken = &mut speak => (listen.await, spoken),
    };
    match (said, spoken) {
        // What clamd said counts, even if it did not want to hear it all; else what hindered the sending says more.
        (Ok(reply), Err(error)) if reply.is_empty() => Err(error),
        (Err(_), Err(error)) => Err(error),
        (said, _) => said.and_then(not_silent),
    }
}

fn not_silent(reply: Vec<u8>) -> io::Result<Vec<u8>> {
    if reply.is_empty() {
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "clamd closed the connection without an answer"))
    } else {
        Ok(reply)
    }
}

/// The answer without the zero behind it; empty when there is none. What is cut off is no answer.
async fn listen(reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    BufReader::new(reader.take(CLAMAV_REPLY_BYTES_MAX)).read_until(0, &mut reply).await?;
    if !reply.is_empty() && reply.pop_if(|last| *last == 0).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer of clamd has no end"));
    }
    Ok(reply)
}

/// `z` before the command: it ends with a zero, and so does the answer.
async fn speak(mut writer: impl AsyncWrite + Unpin, message: &Content) -> io::Result<()> {
    writer.write_all(b"zINSTREAM\0").await?;
    let mut blocks = Blocks::of(message);
    while let Some(block) = blocks.next().await {
        for chunk in block.map_err(io::Error::other)?.chunks(CLAMAV_CHUNK_BYTES) {
            let length = u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes();
            writer.write_all_buf(&mut Buf::chain(length.as_slice(), chunk)).await?;
        }
    }
    writer.write_all(&0_u32.to_be_bytes()).await?;
    writer.flush().await
}

fn read(reply: &[u8]) -> Result<Analysis, Trouble> {
    let reply = String::from_utf8_lossy(reply);
    let reply = reply.trim();
    if reply == "stream: OK" {
        return Ok(analysis([("infected", FieldValue::Boolean(false))]));
    }
    if let Some(name) = reply.strip_prefix("stream: ").and_then(|rest| rest.strip_suffix(" FOUND")) {
        let signature = Text::new(&*trouble(name));
        return Ok(analysis([("infected", FieldValue::Boolean(true)), ("signature", FieldValue::Texts(vec![signature]))]));
    }
    // Among them "INSTREAM size limit exceeded. ERROR": what clamd has not seen whole it has not judged.
    Err(trouble(format!("clamd: {reply}")))
}
