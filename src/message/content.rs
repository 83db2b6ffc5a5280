//! What is sent to a next hop: pieces of the received message and what the gateway adds, never a copy of the body.

use std::ops::Range;

use bytes::Bytes;

use super::data::{Data, Piece};
use super::stored::StoredError;

/// A message as a rope. Cloning it clones references.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pieces: Vec<Piece>,
    len: usize,
}

impl Content {
    /// Appends octets.
    pub fn push(&mut self, octets: Bytes) {
        self.push_piece(octets.into());
    }

    /// Appends a range of a message.
    pub fn push_range(&mut self, data: &Data, range: Range<usize>) {
        self.push_piece(data.piece(range));
    }

    /// Appends a piece; an empty one is left out.
    pub fn push_piece(&mut self, piece: Piece) {
        self.len = self.len.saturating_add(piece.len());
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// Octets in all.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Whether some of it must be read before it can be sent.
    pub fn is_stored(&self) -> bool {
        self.pieces.iter().any(|piece| piece.in_memory().is_none())
    }

    /// The octets one after the other, as [`Piece::blocks`] gives them.
    pub fn blocks(&self) -> impl Iterator<Item = Result<Bytes, StoredError>> + use<> {
        self.pieces.clone().into_iter().flat_map(|piece| piece.blocks())
    }

    /// One contiguous copy, for small content; what is stored is read.
    pub fn to_vec(&self) -> Result<Vec<u8>, StoredError> {
        let mut octets = Vec::with_capacity(self.len);
        for block in self.blocks() {
            octets.extend_from_slice(&block?);
        }
        Ok(octets)
    }
}

impl From<Bytes> for Content {
    fn from(octets: Bytes) -> Self {
        let mut content = Self::default();
        content.push(octets);
        content
    }
}

impl From<Vec<u8>> for Content {
    fn from(octets: Vec<u8>) -> Self {
        Bytes::from(octets).into()
    }
}

impl From<&Data> for Content {
    fn from(data: &Data) -> Self {
        let mut content = Self::default();
        content.push_range(data, 0..data.len());
        content
    }
}
