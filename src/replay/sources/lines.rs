//! Reading lines of any length in pieces, and messages with the line ends of the wire.

use std::io::{self, BufRead};

use super::Octets;

/// A longer line comes in several pieces.
const PIECE_BYTES: usize = 64 * 1024;

/// A piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// There is none.
    End,
    /// The line goes on.
    Part,
    /// Its end, the line end included, or the end of the file.
    Last,
}

/// Reads the next piece of a line into an emptied buffer.
pub(super) fn piece(input: &mut impl BufRead, into: &mut Vec<u8>) -> io::Result<Piece> {
    into.clear();
    loop {
        let buffer = match input.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            return Ok(if into.is_empty() { Piece::End } else { Piece::Last });
        }
        let room = buffer.get(..PIECE_BYTES.saturating_sub(into.len())).unwrap_or(buffer);
        let (length, is_end) = match memchr::memchr(b'\n', room) {
            Some(end) => (end.saturating_add(1), true),
            None => (room.len(), false),
        };
        into.extend_from_slice(room.get(..length).unwrap_or_default());
        input.consume(length);
        if is_end {
            return Ok(Piece::Last);
        }
        if into.len() >= PIECE_BYTES {
            return Ok(Piece::Part);
        }
    }
}

/// Appends a piece of a line with CRLF where a bare LF ends it: files have the line ends of their system, mail has those of the wire.
pub(super) fn push_line(content: &mut Octets, piece: &[u8], bytes_max: u64) {
    match piece.strip_suffix(b"\n") {
        Some(line) if !line.ends_with(b"\r") => {
            content.push(line, bytes_max);
            content.push(b"\r\n", bytes_max);
        }
        _ => content.push(piece, bytes_max),
    }
}

/// Reads a message to its end.
pub(super) fn message(input: &mut impl BufRead, bytes_max: u64) -> io::Result<Octets> {
    let mut content = Octets::default();
    let mut line = Vec::new();
    while piece(input, &mut line)? != Piece::End {
        push_line(&mut content, &line, bytes_max);
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_those_of_the_wire() {
        let content = message(&mut &b"A: b\nC: d\r\n\nbare \r stays\nno end"[..], 1000).expect("readable");
        assert_eq!(content.bytes, b"A: b\r\nC: d\r\n\r\nbare \r stays\r\nno end");
        assert!(!content.is_cut());
    }

    #[test]
    fn a_huge_line_and_a_huge_message_take_bounded_memory() {
        let input = io::BufReader::new(io::Read::take(io::repeat(b'x'), 10_000_000));
        let content = message(&mut io::BufReader::new(input), 1000).expect("readable");
        assert_eq!((content.len, content.is_cut()), (10_000_000, true));
        assert!(content.bytes.len() <= 1000);
    }
}
