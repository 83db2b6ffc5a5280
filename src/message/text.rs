//! A text of a message as conditions need it: as it stands, and folded for comparison without regard to case.

use std::sync::OnceLock;

/// Lower case, character by character, so that the result of a part does not depend on what stands around it; the two
/// small sigmas are one.
pub fn fold(text: &str) -> Box<str> {
    if text.is_ascii() {
        return text.to_ascii_lowercase().into();
    }
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect::<String>().into()
}

/// A text that is folded at most once, and not at all when nobody asks. In the log it is as it stands.
#[derive(Clone, Debug, Default)]
pub struct Text {
    plain: Box<str>,
    folded: OnceLock<Box<str>>,
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.plain)
    }
}

impl Text {
    /// A text.
    pub fn new(plain: impl Into<Box<str>>) -> Self {
        Self { plain: plain.into(), folded: OnceLock::new() }
    }

    /// As it stands.
    pub fn plain(&self) -> &str {
        &self.plain
    }

    /// Folded by [`fold`].
    pub fn folded(&self) -> &str {
        let is_folded = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
        match self.folded.get() {
            Some(folded) => folded,
            None if self.plain.bytes().all(is_folded) => &self.plain,
            None => self.folded.get_or_init(|| fold(&self.plain)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_a_part_gives_a_part_of_the_whole_folded() {
        assert_eq!(&*fold("ΟΔΟΣ"), "οδοσ");
        assert_eq!(&*fold("οδος"), "οδοσ");
        assert_eq!(Text::new("Grüße, WELT").folded(), "grüße, welt");
        assert_eq!(Text::new("plain").folded(), "plain");
    }
}
