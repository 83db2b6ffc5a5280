//! A file's text with its path: places in it as line and column, both from 1, the column in characters.

use std::ops::Range;
use std::path::PathBuf;

/// A range of bytes in a [`Source`].
pub(crate) type Span = Range<usize>;

/// A file that was read.
#[derive(Debug)]
pub(crate) struct Source {
    /// As it is shown to the operator.
    pub(crate) path: PathBuf,
    /// Its text; empty when it could not be read.
    pub(crate) text: String,
    /// Byte position at which each line begins.
    line_starts: Vec<usize>,
}

impl Source {
    /// Takes a text and finds its lines.
    pub(crate) fn new(path: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at.saturating_add(1))).collect();
        Self { path, text, line_starts }
    }

    /// Line and column of a byte position, both from 1; a position behind the end is the end.
    pub(crate) fn position(&self, offset: usize) -> (usize, usize) {
        let offset = self.floor(offset);
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line, column.saturating_add(1))
    }

    /// The bytes of a line (from 1) without its line ending.
    pub(crate) fn line(&self, line: usize) -> Span {
        let start = self.line_starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next.saturating_sub(1));
        let end = if end > start && self.text.as_bytes().get(end.saturating_sub(1)) == Some(&b'\r') { end.saturating_sub(1) } else { end };
        start..end.max(start)
    }

    /// The same text with stars in these places.
    pub(crate) fn conceal(&self, places: &[Span]) -> Self {
        let mut text = self.text.clone();
        for place in places {
            let (start, end) = (self.floor(place.start), self.floor(place.end));
            // As many bytes as before, so that all places stay where they are; line ends stay line ends.
            let stars: String = text.get(start..end).unwrap_or_default().bytes().map(|b| if b == b'\n' { '\n' } else { '*' }).collect();
            if start < end {
                text.replace_range(start..end, &stars);
            }
        }
        Self::new(self.path.clone(), text)
    }

    /// The nearest position at or before `offset` that divides two characters.
    pub(crate) fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset = offset.saturating_sub(1);
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("x".into(), "äö: 1\r\nb: ü\n".into());
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(4), (1, 3));
        assert_eq!(source.position(3), (1, 2));
        assert_eq!(source.position(9), (2, 1));
        assert_eq!(source.position(999), (3, 1));
        assert_eq!(source.text.get(source.line(1)), Some("äö: 1"));
        assert_eq!(source.text.get(source.line(3)), Some(""));
    }
}
