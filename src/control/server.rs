//! The side of the gateway.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::place::{self, Short};
use super::protocol::{Answer, Command, Request, VERSION};
use super::{Answers, Operate};
use crate::limits;

/// The socket of a running gateway; it is gone when this is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Takes the place in the spool's folder. The caller has the spool's lock, so that a socket that lies there is a dead process's.
    pub fn bind(spool: &Path) -> io::Result<Self> {
        let path = place::of(spool);
        if fs::symlink_metadata(&path).is_ok_and(|found| found.file_type().is_socket()) {
            fs::remove_file(&path)?;
        }
        let socket = UnixListener::bind(Short::of(spool)?.path)?;
        let listener = Self { socket, path };
        fs::set_permissions(&listener.path, Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // What stays is replaced at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes orders until `stop`.
pub async fn serve<O: Operate>(listener: Listener, operator: Arc<O>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
    loop {
        // Whoever comes when all places are taken waits in the backlog of the system.
        let place = tokio::select! {
            () = stop.cancelled() => return,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let operator = Arc::clone(&operator);
                tokio::spawn(async move {
                    connection(stream, &*operator).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely.
            Err(_) => sleep(limits::ACCEPT_ERROR_PAUSE).await,
        }
    }
}

async fn connection<O: Operate>(stream: UnixStream, operator: &O) {
    // The mode of the socket keeps others out, but for the moment before it is set.
    let Some(user) = stream.peer_cred().ok().map(|who| who.uid()).filter(|user| is_allowed(*user)) else { return };
    let (reading, mut writing) = stream.into_split();
    let command = match timeout(limits::CONTROL_REQUEST_TIMEOUT, read(reading)).await {
        Ok(Ok(command)) => command,
        Ok(Err(why)) => {
            // Who does not read it has no use for it.
            let _ = write(&mut writing, &[Answer::Error(why)]).await;
            return;
        }
        Err(_) => return,
    };
    let (answers, answered) = mpsc::channel(limits::CONTROL_ANSWERS_MAX);
    let (_, ()) = tokio::join!(forward(answered, &mut writing), within_time(operator, command, user, answers));
}

fn is_allowed(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

async fn within_time<O: Operate>(operator: &O, command: Command, user: u32, answers: Answers) {
    let work = operator.operate(command, Some(user), answers.clone());
    if timeout(limits::CONTROL_ORDER_TIMEOUT, work).await.is_err() {
        let _ = answers.try_send(Answer::Error("it took too long; what was done until now stays done".to_owned()));
    }
}

/// The order; the error is for whoever sent it.
async fn read(reading: OwnedReadHalf) -> Result<Command, String> {
    let mut line = Vec::new();
    let mut reading = BufReader::new(reading.take(limits::CONTROL_REQUEST_BYTES_MAX));
    reading.read_until(b'\n', &mut line).await.map_err(|error| error.to_string())?;
    if line.pop() != Some(b'\n') {
        return Err(format!("not one line of at most {} octets", limits::CONTROL_REQUEST_BYTES_MAX));
    }
    let Versioned { version } = serde_json::from_slice(&line).map_err(|error| format!("not understood: {error}"))?;
    if version != VERSION {
        return Err(format!("the running gateway speaks version {VERSION} of the control protocol, not {version}: use its own program"));
    }
    let request: Request = serde_json::from_slice(&line).map_err(|error| format!("not understood: {error}"))?;
    Ok(request.command)
}

/// What all versions have.
#[derive(serde::Deserialize)]
struct Versioned {
    version: u32,
}

/// Sends answers on until the last. What is ready goes in one piece.
async fn forward(mut answered: mpsc::Receiver<Answer>, writing: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut ready = Vec::new();
    while answered.recv_many(&mut ready, limits::CONTROL_ANSWERS_MAX).await > 0 {
        write(writing, &ready).await?;
        ready.clear();
    }
    writing.shutdown().await
}

async fn write(writing: &mut OwnedWriteHalf, answers: &[Answer]) -> io::Result<()> {
    let mut lines = Vec::new();
    for answer in answers {
        serde_json::to_writer(&mut lines, answer)?;
        lines.push(b'\n');
    }
    timeout(limits::CONTROL_READ_TIMEOUT, writing.write_all(&lines)).await?
}
