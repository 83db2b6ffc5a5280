//! The octets of a message: all of them in memory, or their beginning, the whole being stored elsewhere.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::MessageMemory;
use super::stored::{Stored, StoredError};
use crate::limits::STORED_BLOCK_BYTES;
use crate::smtp::LineEnds;

/// The octets of a message.
#[derive(Clone, Default)]
pub struct Data {
    /// From the first octet on; all of them if nothing is stored.
    head: Bytes,
    /// All of them, those of the head included.
    stored: Option<Arc<dyn Stored>>,
    known: Known,
    /// Where room is asked for before stored octets are put into memory.
    memory: Option<MessageMemory>,
}

/// What is known of all octets because somebody has seen them already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Each CR is followed by an LF, and each LF follows a CR.
    pub has_whole_line_ends: bool,
    /// Whether they are all US-ASCII.
    pub is_ascii: Option<bool>,
}

/// Sees all octets go by, and says afterwards what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Witness {
    line_ends: LineEnds,
    has_bare_line_end: bool,
    has_8bit: bool,
}

impl Witness {
    /// The next octets.
    pub fn see(&mut self, octets: &[u8]) {
        self.has_8bit |= !octets.is_ascii();
        self.has_bare_line_end |= !self.line_ends.read(octets);
    }

    /// What is known of all octets now.
    pub fn known(self) -> Known {
        Known { has_whole_line_ends: !self.has_bare_line_end && self.line_ends.is_complete(), is_ascii: Some(!self.has_8bit) }
    }
}

impl Data {
    /// Stored octets, of which `head` is the beginning.
    pub fn stored(head: Bytes, stored: Arc<dyn Stored>) -> Self {
        Self { head, stored: Some(stored), known: Known::default(), memory: None }
    }

    /// The same with what is known of them.
    #[must_use]
    pub fn knowing(self, known: Known) -> Self {
        Self { known, ..self }
    }

    /// The same with a budget for the memory that the whole takes, should somebody need it.
    #[must_use]
    pub fn within(self, memory: MessageMemory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Octets.
    pub fn len(&self) -> usize {
        self.stored.as_ref().map_or(self.head.len(), |stored| stored.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The beginning that is in memory.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// All octets, if they are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        if self.is_stored() { None } else { Some(&self.head) }
    }

    /// Whether there is more of it than its head, which may have to be waited for.
    pub fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// What is known of all octets.
    pub fn known(&self) -> Known {
        self.known
    }

    /// Whether all octets are US-ASCII, if that is known or all of them are in memory.
    pub fn is_ascii(&self) -> Option<bool> {
        self.known.is_ascii.or_else(|| self.in_memory().map(|octets| octets.is_ascii()))
    }

    /// Makes the head so large, or as large as the whole is.
    pub fn read_head(&mut self, bytes: usize) -> Result<(), StoredError> {
        if let Some(stored) = &self.stored
            && bytes > self.head.len()
        {
            self.head = stored.read(0, bytes.min(stored.len()))?;
        }
        Ok(())
    }

    /// The octets of this range, as far as they are there. Those that are stored are read: what is asked for is to be small.
    pub fn read(&self, range: Range<usize>) -> Result<Bytes, StoredError> {
        let (start, end) = (range.start.min(self.len()), range.end.min(self.len()));
        if end <= start {
            return Ok(Bytes::new());
        }
        match &self.stored {
            Some(stored) if end > self.head.len() => stored.read(start, end.saturating_sub(start)),
            _ => Ok(self.head.slice(start..end)),
        }
    }

    /// All octets in memory. Those that are stored are read, if the budget has room for them until the last clone is gone.
    pub fn whole(&self) -> Result<Bytes, StoredError> {
        let Some(stored) = &self.stored else { return Ok(self.head.clone()) };
        let Some(memory) = &self.memory else { return stored.read(0, stored.len()) };
        let mut share = memory.share();
        if !share.resize(stored.len()) {
            return Err(StoredError::NoMemory);
        }
        Ok(share.around(stored.read(0, stored.len())?))
    }

    /// The octets of a range, block by block.
    pub fn blocks(&self, range: Range<usize>) -> impl Iterator<Item = Result<Bytes, StoredError>> {
        self.piece(range).blocks()
    }

    /// A range of it as a piece of a [`super::Content`].
    pub fn piece(&self, range: Range<usize>) -> Piece {
        let (start, end) = (range.start.min(self.len()), range.end.min(self.len()));
        // Where lines are cut in the middle of their ends, what is known of the whole is not true of the piece.
        let begins_line = |at: usize| {
            at == 0 || at == self.len() || at.checked_sub(1).and_then(|before| self.head.get(before)).is_some_and(|octet| *octet == b'\n')
        };
        let has_whole_line_ends = self.known.has_whole_line_ends && begins_line(start) && begins_line(end);
        let place = match &self.stored {
            Some(stored) if end > self.head.len() => Place::Stored(Arc::clone(stored), start..end.max(start)),
            _ => Place::Memory(self.head.slice(start..end.max(start))),
        };
        Piece { place, has_whole_line_ends }
    }
}

impl From<Bytes> for Data {
    fn from(head: Bytes) -> Self {
        Self { head, ..Self::default() }
    }
}

impl From<String> for Data {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Vec<u8>> for Data {
    fn from(octets: Vec<u8>) -> Self {
        Bytes::from(octets).into()
    }
}

impl fmt::Debug for Data {
    /// Without the octets: they are somebody's mail.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Data").field("len", &self.len()).field("is_stored", &self.is_stored()).finish_non_exhaustive()
    }
}

/// A piece of a message, in memory or stored. Cloning it clones a reference.
#[derive(Clone, Debug)]
pub struct Piece {
    place: Place,
    has_whole_line_ends: bool,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Bytes),
    Stored(Arc<dyn Stored>, Range<usize>),
}

impl Piece {
    /// Octets.
    pub fn len(&self) -> usize {
        match &self.place {
            Place::Memory(octets) => octets.len(),
            Place::Stored(_, range) => range.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The octets, if they are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.place {
            Place::Memory(octets) => Some(octets),
            Place::Stored(..) => None,
        }
    }

    /// Where the octets are, if they are stored.
    pub fn stored(&self) -> Option<(&Arc<dyn Stored>, Range<usize>)> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Stored(stored, range) => Some((stored, range.clone())),
        }
    }

    /// Whether it is known that in it CR and LF stand together or not at all.
    pub fn has_whole_line_ends(&self) -> bool {
        self.has_whole_line_ends
    }

    /// The octets of a range of it, as far as they are there.
    pub fn read(&self, range: Range<usize>) -> Result<Bytes, StoredError> {
        let (start, end) = (range.start.min(self.len()), range.end.min(self.len()));
        let length = end.saturating_sub(start);
        match &self.place {
            Place::Memory(octets) => Ok(octets.slice(start..start.saturating_add(length))),
            Place::Stored(stored, range) => stored.read(range.start.saturating_add(start), length),
        }
    }

    /// The octets one after the other: in one block if they are in memory, in blocks of [`STORED_BLOCK_BYTES`] if they must be read.
    pub fn blocks(&self) -> impl Iterator<Item = Result<Bytes, StoredError>> + use<> {
        let place = self.place.clone();
        let mut at: usize = 0;
        std::iter::from_fn(move || match &place {
            Place::Memory(octets) => {
                let block = (at == 0 && !octets.is_empty()).then(|| octets.clone());
                at = octets.len();
                block.map(Ok)
            }
            Place::Stored(stored, range) => {
                let start = range.start.saturating_add(at);
                let length = range.end.saturating_sub(start).min(STORED_BLOCK_BYTES);
                at = at.saturating_add(length);
                (length > 0).then(|| stored.read(start, length))
            }
        })
    }
}

impl From<Bytes> for Piece {
    fn from(octets: Bytes) -> Self {
        Self { place: Place::Memory(octets), has_whole_line_ends: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::stored::tests::Kept;
    use super::*;

    fn stored(octets: &'static [u8], head: usize) -> Data {
        let octets = Bytes::from_static(octets);
        Data::stored(octets.slice(..head), Arc::new(Kept(octets)))
    }

    #[test]
    fn pieces_are_the_same_wherever_the_octets_are() {
        let octets = b"Subject: x\r\n\r\nbody\r\nend";
        for head in 0..octets.len() {
            let data = stored(octets, head);
            for start in 0..octets.len() {
                for end in start..=octets.len() {
                    let expected = &octets[start..end];
                    assert_eq!(data.read(start..end).unwrap(), expected);
                    let blocks: Result<Vec<Bytes>, _> = data.blocks(start..end).collect();
                    assert_eq!(blocks.unwrap().concat(), expected);
                    assert_eq!(data.piece(start..end).len(), expected.len());
                }
            }
            assert_eq!((data.len(), data.whole().unwrap()), (octets.len(), Bytes::from_static(octets)));
        }
    }

    #[test]
    fn what_is_known_of_the_whole_is_not_said_of_a_piece_that_cuts_a_line_end() {
        let data = stored(b"a\r\nb\r\nc", 6).knowing(Known { has_whole_line_ends: true, is_ascii: None });
        for (range, known) in [(0..7, true), (3..7, true), (0..3, true), (0..2, false), (2..7, false), (3..6, true), (4..7, false)] {
            assert_eq!(data.piece(range.clone()).has_whole_line_ends(), known, "{range:?}");
        }
        assert!(!stored(b"a\r\n", 1).piece(0..3).has_whole_line_ends());
    }

    #[test]
    fn the_whole_takes_its_room_from_the_budget() {
        let memory = MessageMemory::new(5);
        let data = stored(b"1234", 1).within(memory.clone());
        let whole = data.whole().unwrap();
        assert_eq!((memory.used(), data.whole()), (4, Err(StoredError::NoMemory)));
        drop(whole);
        assert_eq!(memory.used(), 0);
    }
}
