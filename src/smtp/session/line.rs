//! Command lines in the input: only CRLF ends one, and none is longer than its reader allows.

use bytes::{Buf, BytesMut};
use memchr::{memchr_iter, memmem};
use zeroize::Zeroize;

/// What the input starts with.
pub(super) enum Line<'a> {
    /// A line.
    Complete {
        /// Without CRLF.
        line: &'a [u8],
        /// With CRLF.
        length: usize,
    },
    /// Too little to say.
    Partial,
    /// More bytes than a line may have; the start of them.
    TooLong(&'a [u8]),
}

/// Looks at the first line, of `bytes_max` with its CRLF at most. A CR or LF apart belongs to the line, where the parser of commands refuses it.
pub(super) fn find(input: &[u8], bytes_max: usize) -> Line<'_> {
    let start = input.get(..bytes_max).unwrap_or(input);
    match crlf(start).and_then(|at| Some((start.get(..at)?, at.saturating_add(2)))) {
        Some((line, length)) => Line::Complete { line, length },
        None if start.len() == bytes_max => Line::TooLong(start),
        None => Line::Partial,
    }
}

/// Throws away the rest of a line, CRLF included; `false` when its end has not come yet. It may be a password's.
pub(super) fn skip(input: &mut BytesMut) -> bool {
    let end = crlf(input).map(|at| at.saturating_add(2));
    // A final CR stays: the LF may be on its way.
    let kept = usize::from(input.ends_with(b"\r"));
    let length = end.unwrap_or_else(|| input.len().saturating_sub(kept));
    input.get_mut(..length).unwrap_or_default().zeroize();
    input.advance(length);
    end.is_some()
}

/// Whether a client speaks HTTP: browsers and forged requests are sent to mail ports to have a body's lines taken for commands.
pub(super) fn is_http(line: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"TRACE "];
    METHODS.iter().any(|method| line.starts_with(method)) || memmem::find(line, b" HTTP/").is_some()
}

fn crlf(text: &[u8]) -> Option<usize> {
    memchr_iter(b'\n', text).filter_map(|lf| lf.checked_sub(1)).find(|cr| text.get(*cr) == Some(&b'\r'))
}
