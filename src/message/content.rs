//! What is sent to a next hop: slices of the received bytes and of what the gateway adds, never a copy of the body.

use bytes::Bytes;

/// A message as a rope. Cloning it clones references.
#[derive(Clone, Debug, Default)]
pub struct Content {
    segments: Vec<Bytes>,
    len: usize,
}

impl Content {
    /// Appends a slice; empty ones are left out.
    pub fn push(&mut self, segment: Bytes) {
        self.len = self.len.saturating_add(segment.len());
        if !segment.is_empty() {
            self.segments.push(segment);
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

    /// The slices in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// One contiguous copy; for tests, DSNs and small content.
    pub fn to_vec(&self) -> Vec<u8> {
        self.segments.concat()
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        let mut content = Self::default();
        content.push(bytes);
        content
    }
}
