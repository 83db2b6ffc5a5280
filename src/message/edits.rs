//! Changes of the header, kept apart from the received bytes so that groups of recipients can differ without copying a message.

use bytes::Bytes;

/// Changes in the order in which they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Whole fields, `Name: value CRLF`, in the order of addition; the last one stands on top.
    pub added: Vec<Bytes>,
    /// Positions of original fields that are gone, ascending.
    pub removed: Vec<usize>,
    /// Original fields with another text, ascending by position.
    pub replaced: Vec<(usize, Bytes)>,
}
