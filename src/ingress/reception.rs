//! A message that is too large for memory, on its way into a file: a block is written while the next one is read from the client.

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::limits::MESSAGE_HEAD_BYTES;
use crate::message::{Data, Depository, Known, MessageMemory, Share, Stored, StoredError};

/// What has come of such a message. Dropped, it leaves no file.
#[derive(Debug)]
pub(super) struct Reception {
    /// What stays in memory.
    head: Bytes,
    state: State,
    /// Octets of the block that is being written.
    writing: usize,
}

#[derive(Debug)]
enum State {
    Waiting(Written),
    Writing(JoinHandle<Result<Written, StoredError>>),
    /// The storage has failed.
    Failed(StoredError),
}

/// A file with what was written.
#[derive(Debug)]
struct Written {
    depository: Box<dyn Depository>,
    is_ascii: bool,
}

impl Written {
    fn append(mut self, block: &[u8]) -> Result<Self, StoredError> {
        self.is_ascii &= block.is_ascii();
        self.depository.append(block)?;
        Ok(self)
    }

    fn finish(self, last: &[u8]) -> Result<(Arc<dyn Stored>, bool), StoredError> {
        let written = self.append(last)?;
        Ok((written.depository.finish()?, written.is_ascii))
    }
}

impl Reception {
    /// Begins with the first block.
    pub(super) fn new(depository: Box<dyn Depository>, first: Bytes) -> Self {
        // A copy, so that it does not keep the block.
        let head = Bytes::copy_from_slice(first.get(..MESSAGE_HEAD_BYTES).unwrap_or(&first));
        let mut reception = Self { head, state: State::Waiting(Written { depository, is_ascii: true }), writing: 0 };
        reception.write(first);
        reception
    }

    /// Memory held.
    pub(super) fn bytes_held(&self) -> usize {
        self.head.len().saturating_add(self.writing)
    }

    /// Has a block written; waits for the one before.
    pub(super) async fn append(&mut self, block: Bytes) -> Result<(), StoredError> {
        self.settle().await?;
        self.write(block);
        Ok(())
    }

    /// The message with its last block; `share` is for what stays in memory, and `memory` for what somebody may need of the rest.
    pub(super) async fn finish(mut self, last: Bytes, mut share: Share, memory: MessageMemory) -> Result<Data, StoredError> {
        self.settle().await?;
        let State::Waiting(written) = self.state else { return Err(stopping()) };
        let (stored, is_ascii) = spawn_blocking(move || written.finish(&last)).await.unwrap_or_else(|_| Err(stopping()))?;
        // Smaller than it was, so there is room.
        let _ = share.resize(self.head.len());
        // The session lets no bare line end pass.
        let known = Known { has_whole_line_ends: true, is_ascii: Some(is_ascii) };
        Ok(Data::stored(share.around(self.head), stored).knowing(known).within(memory))
    }

    fn write(&mut self, block: Bytes) {
        self.writing = block.len();
        self.state = match std::mem::replace(&mut self.state, State::Failed(stopping())) {
            State::Waiting(written) => State::Writing(spawn_blocking(move || written.append(&block))),
            other => other,
        };
    }

    /// Waits for the block that is being written.
    async fn settle(&mut self) -> Result<(), StoredError> {
        if let State::Writing(written) = &mut self.state {
            self.state = match written.await.unwrap_or_else(|_| Err(stopping())) {
                Ok(written) => State::Waiting(written),
                Err(error) => State::Failed(error),
            };
            self.writing = 0;
        }
        match &self.state {
            State::Failed(error) => Err(error.clone()),
            _ => Ok(()),
        }
    }
}

fn stopping() -> StoredError {
    StoredError::Failed("the gateway is stopping".into())
}
