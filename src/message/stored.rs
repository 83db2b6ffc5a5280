//! Octets that are too many for memory and lie elsewhere. Who keeps them stands behind these traits; nothing here does I/O.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// Octets that lie elsewhere. They do not change, and are there as long as somebody holds them.
pub trait Stored: Any + fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `length` octets from `at` on; fewer is an error. It may have to wait for a disk.
    fn read(&self, at: usize, length: usize) -> Result<Bytes, StoredError>;
}

/// Takes octets as they come. Dropped before its end, it leaves nothing behind.
pub trait Depository: fmt::Debug + Send + Sync {
    /// Takes more. After an error nothing more may be given. It may have to wait for a disk.
    fn append(&mut self, octets: &[u8]) -> Result<(), StoredError>;

    /// All that was given. They are gone when nobody holds them any more, unless a spool has taken them over.
    fn finish(self: Box<Self>) -> Result<Arc<dyn Stored>, StoredError>;
}

/// Why octets could not be stored or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredError {
    /// No space, or close to none.
    Full,
    /// There is no room in memory for what was to be read.
    NoMemory,
    /// The storage failed; the text is for the operator.
    Failed(Arc<str>),
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the spool has no space left"),
            Self::NoMemory => f.write_str("there is no room in memory for the whole message"),
            Self::Failed(why) => write!(f, "the message could not be read or written: {why}"),
        }
    }
}

impl std::error::Error for StoredError {}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Octets that count as stored and are in memory.
    #[derive(Debug)]
    pub(crate) struct Kept(pub(crate) Bytes);

    impl Stored for Kept {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn read(&self, at: usize, length: usize) -> Result<Bytes, StoredError> {
            let end = at.checked_add(length).filter(|end| *end <= self.0.len());
            end.map(|end| self.0.slice(at..end)).ok_or_else(|| StoredError::Failed("beyond the end".into()))
        }
    }

    /// A depository in memory.
    #[derive(Debug, Default)]
    pub(crate) struct Heap(Vec<u8>);

    impl Depository for Heap {
        fn append(&mut self, octets: &[u8]) -> Result<(), StoredError> {
            self.0.extend_from_slice(octets);
            Ok(())
        }

        fn finish(self: Box<Self>) -> Result<Arc<dyn Stored>, StoredError> {
            Ok(Arc::new(Kept(self.0.into())))
        }
    }
}
