//! Large contents: one file each, durable before the record that refers to it is written.

use std::any::Any;
use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use super::super::SpoolError;
use super::incoming::{self, Received};
use super::io::DiskFile;
use super::record::Body;
use super::shared::{Shared, failed};
use crate::limits::MESSAGE_HEAD_BYTES;
use crate::message::{Content, Data, MessageId, Piece, Stored, StoredError, Witness};

/// A body file without a record yet; it goes away again unless [`BodyFile::keep`] is called.
pub(super) struct BodyFile {
    id: MessageId,
    body: Body,
    shared: Option<Arc<Shared>>,
}

impl BodyFile {
    /// Makes a content and its name durable. Blocking; many may run at once.
    ///
    /// A content that came into a file of this spool gets a name here; any other is written.
    pub(super) fn store(shared: &Arc<Shared>, id: MessageId, content: &Content) -> Result<Self, SpoolError> {
        shared.check_space()?;
        let stored = match received(shared, content) {
            Some(received) => Self::take_over(shared, id, received)?,
            None => Self::write(shared, id, content)?,
        };
        shared.disk.sync_dir(&shared.folders.bodies).map_err(|error| failed("syncing the bodies' folder", &error))?;
        Ok(stored)
    }

    fn write(shared: &Arc<Shared>, id: MessageId, content: &Content) -> Result<Self, SpoolError> {
        let file = shared.disk.create(&shared.folders.body(id)).map_err(|error| failed("creating a body", &error))?;
        let body = Body { bytes: content.len() as u64, crc: 0 };
        let mut written = Self { id, body, shared: Some(shared.clone()) };
        let mut hasher = crc32fast::Hasher::new();
        let writing = |error: &std::io::Error| failed("writing a body", error);
        if let Some(octets) = content.pieces().iter().map(Piece::in_memory).collect::<Option<Vec<_>>>() {
            octets.iter().for_each(|octets| hasher.update(octets));
            let mut slices: Vec<_> = octets.iter().map(|octets| IoSlice::new(octets)).collect();
            file.write_all(&mut slices).map_err(|error| writing(&error))?;
        } else {
            for block in content.blocks() {
                let block = block.map_err(|error| SpoolError::Io(error.to_string().into()))?;
                hasher.update(&block);
                file.write_all(&mut [IoSlice::new(&block)]).map_err(|error| writing(&error))?;
            }
        }
        written.body.crc = hasher.finalize();
        file.sync().map_err(|error| failed("syncing a body", &error))?;
        Ok(written)
    }

    fn take_over(shared: &Arc<Shared>, id: MessageId, received: &Received) -> Result<Self, SpoolError> {
        let body = received.name(&shared.folders.body(id))?;
        Ok(Self { id, body, shared: Some(shared.clone()) })
    }

    /// Its size and checksum.
    pub(super) fn body(&self) -> Body {
        self.body
    }

    /// A durable record refers to it now.
    pub(super) fn keep(mut self) {
        self.shared = None;
    }
}

impl Drop for BodyFile {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            remove(&shared, self.id);
        }
    }
}

/// Takes a body away. Should that fail, the next start does it, as no entry refers to it.
pub(super) fn remove(shared: &Shared, id: MessageId) {
    let _ = shared.disk.remove(&shared.folders.body(id));
}

/// The file of this spool that the whole content came into, if there is one.
fn received<'c>(shared: &Arc<Shared>, content: &'c Content) -> Option<&'c Received> {
    let [piece] = content.pieces() else { return None };
    let (stored, range) = piece.stored()?;
    let received = (&**stored as &dyn Any).downcast_ref::<Received>()?;
    (range == (0..stored.len()) && received.is_of(shared)).then_some(received)
}

/// Reads a body back and checks it: into memory, or if it is large block by block. Blocking.
pub(super) fn read(shared: &Shared, id: MessageId, body: Body) -> Result<Data, SpoolError> {
    let path = shared.folders.body(id);
    let file = shared.disk.open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => SpoolError::Corrupt(format!("{} is missing", path.display()).into()),
        _ => failed("opening a body", &error),
    })?;
    let reading = |error: &std::io::Error| failed("reading a body", error);
    let is_large = usize::try_from(body.bytes).is_ok_and(|bytes| bytes > shared.sizes.content_memory_bytes_max);
    if is_large && file.bytes().map_err(|error| reading(&error))? == body.bytes {
        let opened = Arc::new(Opened { bytes: usize::try_from(body.bytes).unwrap_or(usize::MAX), file });
        let (mut hasher, mut witness, mut head) = (crc32fast::Hasher::new(), Witness::default(), Bytes::new());
        for block in Data::stored(Bytes::new(), opened.clone()).blocks(0..opened.bytes) {
            let block = block.map_err(|error| SpoolError::Io(error.to_string().into()))?;
            hasher.update(&block);
            witness.see(&block);
            if head.is_empty() {
                head = Bytes::copy_from_slice(block.get(..MESSAGE_HEAD_BYTES).unwrap_or(&block));
            }
        }
        if hasher.finalize() == body.crc {
            return Ok(Data::stored(head, opened).knowing(witness.known()));
        }
        let bytes = opened.file.read_all().map_err(|error| reading(&error))?;
        return Err(shared.set_aside(&opened.file, 0, &bytes));
    }
    let bytes = file.read_all().map_err(|error| reading(&error))?;
    if bytes.len() as u64 != body.bytes || crc32fast::hash(&bytes) != body.crc {
        return Err(shared.set_aside(&file, 0, &bytes));
    }
    Ok(bytes.into())
}

/// A body that was checked and is read where it lies.
#[derive(Debug)]
struct Opened {
    file: DiskFile,
    bytes: usize,
}

impl Stored for Opened {
    fn len(&self) -> usize {
        self.bytes
    }

    fn read(&self, at: usize, length: usize) -> Result<Bytes, StoredError> {
        incoming::read(&self.file, at, length)
    }
}
