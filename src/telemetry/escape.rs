//! Characters that must not reach a log as they are: some of these texts are a client's, and somebody reads them on a terminal.

use std::io::{self, Write};

use serde_json::ser::{CompactFormatter, Formatter};

use crate::message::is_hostile;

/// Compact JSON in which hostile characters are escaped, DEL and those beyond ASCII too, which JSON would let pass.
pub(super) struct Escaping;

impl Formatter for Escaping {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Nearly all that is logged; and the only hostile character of ASCII that comes here is DEL.
        if is_plain(fragment) {
            return CompactFormatter.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(is_hostile) {
            let (clean, hostile) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, clean)?;
            let mut chars = hostile.chars();
            // All of them are in the first plane: one escape each.
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

/// Whether there is nothing but printable ASCII. All octets are looked at together, which is quicker than to stop at the first other one.
fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[test]
    fn the_text_stays_the_same_and_the_line_is_clean() {
        let text = "a\u{7f}b\u{9b}31m\u{85}\u{2028}\u{202e}\u{2066}\u{200f}\u{61c}\r\n\"\\\0\u{1b}[2J\u{e4}\u{1f600}";
        let mut line = Vec::new();
        text.serialize(&mut serde_json::Serializer::with_formatter(&mut line, Escaping)).unwrap();
        let line = String::from_utf8(line).unwrap();
        assert!(!line.contains(is_hostile), "{line:?}");
        assert!(line.contains('\u{e4}') && line.contains('\u{1f600}'));
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
    }
}
