//! Commands and their replies, one at a time: a session of the plainest kind, which keeps every word that is said.

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::limits::{RELAY_EXAMINE_TIMEOUT, RELAY_QUIT_TIMEOUT};
use crate::relay::stream::Stream;
use crate::smtp::{Reply, ReplyParser};

/// A connection on which one command waits for its reply.
#[derive(Debug)]
pub(super) struct Dialogue {
    stream: Stream,
    parser: ReplyParser,
}

impl Dialogue {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, parser: ReplyParser::default() }
    }

    /// The stream, for a handshake. What was said before it is forgotten (RFC 3207 §4.2).
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Sends a command and waits for its reply.
    pub(super) async fn ask(&mut self, command: &str) -> Result<Reply, String> {
        let line = format!("{command}\r\n");
        let written = timeout(RELAY_EXAMINE_TIMEOUT, async {
            self.stream.write_all(line.as_bytes()).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => self.reply(command).await,
            Ok(Err(error)) => Err(format!("{}: {error}", verb(command))),
            Err(_) => Err(format!("{} could not be sent in time", verb(command))),
        }
    }

    /// Waits for the reply to `command`, or for the greeting.
    pub(super) async fn reply(&mut self, command: &str) -> Result<Reply, String> {
        let deadline = Instant::now() + RELAY_EXAMINE_TIMEOUT;
        loop {
            if let Some(reply) = self.parser.next_reply().map_err(|error| format!("{}: {error}", verb(command)))? {
                return Ok(reply);
            }
            let parser = &mut self.parser;
            match timeout_at(deadline, self.stream.read(|piece| parser.feed(piece))).await {
                Ok(Ok(0)) => return Err(format!("the connection was closed before the reply to {}", verb(command))),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(format!("{}: {error}", verb(command))),
                Err(_) => return Err(format!("no reply to {} within {} s", verb(command), RELAY_EXAMINE_TIMEOUT.as_secs())),
            }
        }
    }

    /// Says goodbye.
    pub(super) async fn quit(mut self) {
        let _ = timeout(RELAY_QUIT_TIMEOUT, self.ask("QUIT")).await;
        let _ = timeout(RELAY_QUIT_TIMEOUT, self.stream.shutdown()).await;
    }
}

/// A command without what it carries.
fn verb(command: &str) -> &str {
    command.split([' ', ':']).next().unwrap_or_default()
}
