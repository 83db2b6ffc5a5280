//! Orders of operators: taken by a running gateway over its socket, and carried out on the spool of one that does not run.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::relay_memory::RelayMemory;
use super::{open_spool, random_seed, relays_of};
use crate::config::Snapshot;
use crate::control::{self, Answers, ClientError, Command, Listener, Operate};
use crate::dispatch::Dispatcher;
use crate::dns::DnsError;
use crate::examination::Sealing;
use crate::message::SessionIds;
use crate::relay::Relays;
use crate::spool::{LocalSpool, Spool, SpoolError};
use crate::telemetry::{Event, Log};

/// Takes orders until `stop`. A gateway whose socket cannot be made serves mail all the same.
pub(super) fn take(spool: &Path, dispatcher: &Arc<Dispatcher<LocalSpool, Relays>>, log: &Log, stop: CancellationToken) {
    match Listener::bind(spool) {
        Ok(listener) => drop(tokio::spawn(control::serve(listener, Arc::clone(dispatcher), stop))),
        Err(error) => {
            let detail = format!("`gateway queue` cannot reach this gateway: the socket in {}: {error}", spool.display());
            log.emit(&Event::Problem { what: "control", detail: &detail });
        }
    }
}

/// Why an order was not carried out.
#[derive(Debug)]
pub enum OrderError {
    /// There is no such folder.
    NoSpool(PathBuf),
    /// A gateway runs, but did not answer.
    Running(ClientError),
    /// No gateway runs, and its spool cannot be opened.
    Spool(PathBuf, SpoolError),
    /// The resolver cannot be made.
    Dns(DnsError),
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpool(path) => write!(f, "there is no spool at {}", path.display()),
            Self::Running(error) => write!(f, "the running gateway: {error}"),
            Self::Spool(path, error) => write!(f, "no gateway answers, and the spool at {} cannot be opened: {error}", path.display()),
            Self::Dns(error) => write!(f, "DNS cannot be asked: {error}"),
        }
    }
}

impl std::error::Error for OrderError {}

/// Has an order carried out: by the gateway that runs on the spool, else on the spool itself, and then `log` has the events.
pub async fn order(snapshot: Snapshot, command: Command, log: &Log, answers: Answers) -> Result<(), OrderError> {
    let path = snapshot.spool.clone();
    let Ok(owner) = fs::metadata(&path) else { return Err(OrderError::NoSpool(path)) };
    match control::ask(&path, command.clone(), &answers).await {
        Err(ClientError::NotRunning) => {}
        came => return came.map_err(OrderError::Running),
    }
    let spool = open_spool(&path, log).await.map_err(|error| OrderError::Spool(path.clone(), error))?;
    let relays = relays_of(&snapshot).map_err(OrderError::Dns)?;
    // What holds them outlives the process.
    let recalled = spool.recall().await.map_err(|error| OrderError::Spool(path.clone(), error))?;
    relays.remember_in(Arc::new(RelayMemory(Arc::clone(&spool))), recalled, log.clone());
    let ids = Arc::new(SessionIds::new(random_seed()));
    // It is not started: nothing is delivered here.
    let dispatcher = Dispatcher::new(Arc::clone(&spool), relays, Sealing::default(), log.clone(), ids, Arc::new(snapshot));
    dispatcher.operate(command, Some(rustix::process::getuid().as_raw()), answers).await;
    dispatcher.drain(Duration::ZERO).await;
    spool.close().await;
    if rustix::process::geteuid().is_root() {
        leave_to(&path, owner.uid(), owner.gid()).map_err(|error| OrderError::Spool(path, SpoolError::Io(error.to_string().into())))?;
    }
    Ok(())
}

/// What root has made in the spool belongs to the user of the gateway, which could not open it otherwise.
fn leave_to(folder: &Path, user: u32, group: u32) -> io::Result<()> {
    if user == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.uid() != user {
            lchown(entry.path(), Some(user), Some(group))?;
        }
        if metadata.is_dir() {
            leave_to(&entry.path(), user, group)?;
        }
    }
    Ok(())
}
