//! The blocks of a content: those in memory as they are, those that are stored read ahead, one while the one before is used.
//!
//! What is stored is read on threads for such work, never on those of the runtime.

use std::fmt;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::limits::STORED_BLOCK_BYTES;
use crate::message::{Content, Piece, Stored, StoredError};
use crate::smtp;

/// Gives the blocks of a content one after the other.
#[derive(Debug)]
pub struct Blocks {
    pieces: std::vec::IntoIter<Piece>,
    reading: Option<Reading>,
}

/// A stored piece.
struct Reading {
    stored: Arc<dyn Stored>,
    /// What is not asked for yet.
    rest: Range<usize>,
    /// The next block, on its way.
    ahead: JoinHandle<Result<Bytes, StoredError>>,
}

impl Blocks {
    /// From the beginning of the content.
    pub fn of(content: &Content) -> Self {
        Self { pieces: content.pieces().to_vec().into_iter(), reading: None }
    }

    /// The next block; `None` when there is no more.
    pub async fn next(&mut self) -> Option<Result<Bytes, StoredError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for who polls.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StoredError>>> {
        if self.reading.is_none() {
            let Some(piece) = self.pieces.next() else { return Poll::Ready(None) };
            match piece.stored() {
                None => return Poll::Ready(piece.in_memory().cloned().map(Ok)),
                Some((stored, range)) => self.reading = Some(Reading::begin(stored, range)),
            }
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let block = ready!(Pin::new(&mut reading.ahead).poll(cx)).unwrap_or_else(|_| Err(stopping()));
        if reading.rest.is_empty() || block.is_err() {
            self.reading = None;
        } else {
            reading.ahead = read(&reading.stored, &mut reading.rest);
        }
        Poll::Ready(Some(block))
    }

    /// Whether there is no more.
    pub fn is_exhausted(&self) -> bool {
        self.reading.is_none() && self.pieces.as_slice().is_empty()
    }
}

impl Reading {
    fn begin(stored: &Arc<dyn Stored>, mut rest: Range<usize>) -> Self {
        let ahead = read(stored, &mut rest);
        Self { stored: Arc::clone(stored), rest, ahead }
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("rest", &self.rest).finish_non_exhaustive()
    }
}

/// Begins to read the first block of a range, and takes it off.
fn read(stored: &Arc<dyn Stored>, rest: &mut Range<usize>) -> JoinHandle<Result<Bytes, StoredError>> {
    let (stored, at) = (Arc::clone(stored), rest.start);
    let length = rest.len().min(STORED_BLOCK_BYTES);
    rest.start = at.saturating_add(length);
    spawn_blocking(move || stored.read(at, length))
}

/// [`smtp::line_ends_are_crlf`], without holding up the runtime.
pub async fn line_ends_are_crlf(content: &Content) -> Result<bool, StoredError> {
    if content.pieces().iter().all(|piece| piece.in_memory().is_some() || piece.has_whole_line_ends()) {
        return smtp::line_ends_are_crlf(content);
    }
    let content = content.clone();
    reading(move || smtp::line_ends_are_crlf(&content)).await
}

/// [`smtp::ends_line`], without holding up the runtime.
pub async fn ends_line(content: &Content) -> Result<bool, StoredError> {
    if !content.is_stored() {
        return smtp::ends_line(content);
    }
    let content = content.clone();
    reading(move || smtp::ends_line(&content)).await
}

/// The content in one piece, without holding up the runtime.
pub async fn whole(content: &Content) -> Result<Vec<u8>, StoredError> {
    if !content.is_stored() {
        return content.to_vec();
    }
    let content = content.clone();
    reading(move || content.to_vec()).await
}

/// Runs what reads on a thread for such work.
pub async fn reading<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoredError> + Send + 'static) -> Result<T, StoredError> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(stopping()))
}

fn stopping() -> StoredError {
    StoredError::Failed("the gateway is stopping".into())
}
