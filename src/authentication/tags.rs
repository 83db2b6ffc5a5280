//! Tag lists, strictly: RFC 6376 §3.2, and UTF-8 in values (RFC 8616 §3).

use std::ops::Range;

/// A list of `name=value` pairs, each name once.
#[derive(Clone, Debug)]
pub(super) struct TagList<'a> {
    tags: Vec<Tag<'a>>,
}

/// One pair.
#[derive(Clone, Debug)]
pub(super) struct Tag<'a> {
    /// Case matters.
    pub(super) name: &'a str,
    /// Without the white space around it; there may be folding inside.
    pub(super) value: &'a str,
    /// All between `=` and `;` in the text that was read, the white space around the value included.
    pub(super) place: Range<usize>,
}

impl<'a> TagList<'a> {
    /// Reads a list; the error says what is wrong with it. One semicolon may stand at the end.
    pub(super) fn parse(text: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "not a tag list: not UTF-8")?;
        let mut tags = Vec::with_capacity(12);
        let mut begin = 0_usize;
        for segment in text.split(';') {
            let end = begin.saturating_add(segment.len());
            if is_blank(segment) && end == text.len() && !tags.is_empty() {
                break;
            }
            let (name, value) = segment.split_once('=').ok_or("not a tag list: a tag without a value")?;
            let place = begin.saturating_add(name.len()).saturating_add(1)..end;
            let tag = Tag { name: trim(name), value: trim(value), place };
            tag.check()?;
            tags.push(tag);
            begin = end.saturating_add(1);
        }
        let list = Self { tags };
        if list.has_duplicates() { Err("not a tag list: a tag stands there twice") } else { Ok(list) }
    }

    /// The value of a tag.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.tag(name).map(|tag| tag.value)
    }

    /// A tag.
    pub(super) fn tag(&self, name: &str) -> Option<&Tag<'a>> {
        self.tags.iter().find(|tag| tag.name == name)
    }

    /// The first tag's name.
    pub(super) fn first(&self) -> Option<&'a str> {
        self.tags.first().map(|tag| tag.name)
    }

    fn has_duplicates(&self) -> bool {
        let mut names: Vec<&str> = self.tags.iter().map(|tag| tag.name).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [one, other] if one == other))
    }
}

impl Tag<'_> {
    fn check(&self) -> Result<(), &'static str> {
        let mut name = self.name.bytes();
        if !name.next().is_some_and(|first| first.is_ascii_alphabetic()) || !name.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("not a tag list: a tag without a proper name");
        }
        if self.value.chars().any(|char| char.is_control() && !matches!(char, ' ' | '\t' | '\r' | '\n')) {
            return Err("not a tag list: a control character in a value");
        }
        Ok(())
    }
}

/// The text without white space and folding, as values in base64 are to be read.
pub(super) fn without_space(text: &str) -> String {
    text.chars().filter(|char| !is_space(*char)).collect()
}

/// Whether there is nothing but white space.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(is_space)
}

/// Without the white space at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

fn is_space(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Result<Vec<(&str, &str)>, &'static str> {
        Ok(TagList::parse(text.as_bytes())?.tags.into_iter().map(|tag| (tag.name, tag.value)).collect())
    }

    #[test]
    fn lists_are_read_by_the_letter() {
        for (text, expected) in [
            ("a=1", vec![("a", "1")]),
            (" a = 1 ;\r\n\tB_2=x y=z; ", vec![("a", "1"), ("B_2", "x y=z")]),
            ("a=;b=\r\n", vec![("a", ""), ("b", "")]),
            ("d=bücher.example", vec![("d", "bücher.example")]),
        ] {
            assert_eq!(shown(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in
            ["", " ", ";", "a=1;;", "a=1;;b=2", ";a=1", "a", "a=1;b", "=1", "1a=1", "a b=1", "_=1", "a-b=1", "a=1;a=1", "a=\u{1}", "ä=1"]
        {
            assert!(shown(text).is_err(), "{text:?}");
        }
        assert!(TagList::parse(b"a=\xff").is_err());
    }

    proptest! {
        #[test]
        fn the_place_of_a_value_holds_it(text in "[ab;=\r\n \t]{0,40}") {
            if let Ok(list) = TagList::parse(text.as_bytes()) {
                for tag in &list.tags {
                    prop_assert_eq!(trim(&text[tag.place.clone()]), tag.value);
                    prop_assert!(text[..tag.place.start].ends_with('='));
                    prop_assert!(text[tag.place.end..].starts_with(';') || tag.place.end == text.len());
                }
            }
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = TagList::parse(&bytes);
        }
    }
}
