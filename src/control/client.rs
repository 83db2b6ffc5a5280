//! The side of the command.

use std::fmt;
use std::io;
use std::path::Path;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::Answers;
use super::place::Short;
use super::protocol::{Answer, Command, Request, VERSION};

/// Why no gateway has answered.
#[derive(Debug)]
pub enum ClientError {
    /// None runs.
    NotRunning,
    /// One may run, but does not speak to us.
    Failed(io::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning => f.write_str("no gateway runs"),
            Self::Failed(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                f.write_str("permission denied: root may give orders, and the user that the gateway runs as")
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ClientError {}

/// Gives an order to the gateway that runs on a spool, and hands its answers on. `NotRunning` means that nothing was done.
pub async fn ask(spool: &Path, command: Command, answers: &Answers) -> Result<(), ClientError> {
    let short = Short::of(spool).map_err(absent)?;
    let mut stream = UnixStream::connect(&short.path).await.map_err(absent)?;
    let mut line = serde_json::to_vec(&Request { version: VERSION, command }).map_err(|error| ClientError::Failed(error.into()))?;
    line.push(b'\n');
    stream.write_all(&line).await.map_err(ClientError::Failed)?;
    // The gateway is believed as to the length of its lines: it has them from its own spool.
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await.map_err(ClientError::Failed)? {
        let answer: Answer = serde_json::from_str(&line).map_err(|error| ClientError::Failed(error.into()))?;
        let is_last = matches!(answer, Answer::Done(_) | Answer::Error(_));
        if answers.send(answer).await.is_err() || is_last {
            return Ok(());
        }
    }
    let end = io::Error::new(io::ErrorKind::UnexpectedEof, "the gateway ended the connection before the order was done");
    Err(ClientError::Failed(end))
}

/// A socket that is not there, or one behind which nobody is.
fn absent(error: io::Error) -> ClientError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NotRunning,
        _ => ClientError::Failed(error),
    }
}
