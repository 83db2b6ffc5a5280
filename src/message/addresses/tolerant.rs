//! All that a reader might take for an address in a field that breaks the syntax.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, HeaderValue};

use super::super::view::{decoded, with_line_end};
use super::{Line, is_hidden};

/// What a parser finds that reads as far as it can: address and decoded name.
pub(super) fn parsed(value: &[u8], mut found: impl FnMut(Option<String>, Option<String>)) {
    let value = with_line_end(value);
    let text = |value: &Option<Cow<'_, str>>| value.as_deref().map(str::to_owned);
    if let HeaderValue::Address(list) = MessageStream::new(&value).parse_address() {
        list.iter().for_each(|addr: &Addr<'_>| found(text(&addr.address), text(&addr.name)));
    }
}

/// What stands in angle brackets or around an `@`, quoted or not: in the text as it stands, with its encoded-words read, and each
/// of them without hidden characters.
pub(super) fn anywhere(line: &Line, mut found: impl FnMut(String)) {
    let mut texts = vec![Cow::Borrowed(&*line.shown)];
    if line.shown.contains("=?") {
        texts.push(Cow::Owned(with_words_read(&line.shown)));
    }
    if !line.is_utf8 {
        let ascii = |c: char| if c.is_ascii() { c } else { char::REPLACEMENT_CHARACTER };
        texts.push(Cow::Owned(line.shown.chars().map(ascii).collect()));
    }
    let mut look_at = |text: &str| in_angles(text).chain(around_ats(text)).for_each(&mut found);
    for text in &texts {
        look_at(text);
        if text.contains(is_hidden) {
            look_at(&text.chars().filter(|c| !is_hidden(*c)).collect::<String>());
        }
    }
}

/// `<…>`, or what follows `<` when nothing closes it; a route before the address is left out (RFC 5322 §4.4).
fn in_angles(text: &str) -> impl Iterator<Item = String> {
    text.split('<').skip(1).filter_map(|rest| {
        let inside: String = rest.split('>').next()?.chars().filter(|c| !c.is_whitespace()).collect();
        let address = match inside.split_once(':') {
            Some((_, address)) if inside.starts_with('@') => address,
            _ => &inside,
        };
        let (local, domain) = address.rsplit_once('@')?;
        let is_address = !local.is_empty() && !domain.is_empty() && !address.contains(is_hidden) && !address.contains(['"', ',', ';']);
        is_address.then(|| address.to_owned())
    })
}

/// The word before an `@` and the name behind it.
fn around_ats(text: &str) -> impl Iterator<Item = String> {
    let is_boundary = |c: char| c.is_whitespace() || is_hidden(c) || "<>(),;:\"[]\\".contains(c);
    let is_name =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') || !(c.is_ascii() || c.is_whitespace() || is_hidden(c));
    let parts = text.split('@');
    parts.clone().zip(parts.skip(1)).filter_map(move |(before, behind)| {
        let local = before.rsplit(is_boundary).next()?;
        let length = behind.find(|c| !is_name(c)).unwrap_or(behind.len());
        let literal = || behind.starts_with('[').then(|| behind.split_inclusive(']').next()).flatten();
        let domain = behind.get(..length).filter(|domain| !domain.is_empty()).or_else(literal)?;
        (!local.is_empty()).then(|| format!("{local}@{domain}"))
    })
}

/// The text with its encoded-words read (RFC 2047), wherever they stand.
fn with_words_read(text: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, word)) = rest.split_once("=?") {
        read.push_str(before);
        match word_len(word) {
            Some(length) => {
                let word = word.get(..length).unwrap_or_default();
                read.push_str(&decoded(format!("=?{word}").as_bytes()));
            }
            None => read.push_str("=?"),
        }
        rest = word_len(word).and_then(|length| word.get(length..)).unwrap_or(word);
    }
    read.push_str(rest);
    read
}

/// Length of `charset?encoding?text?=`, of which no part holds a question mark.
fn word_len(word: &str) -> Option<usize> {
    let mut parts = word.splitn(4, '?');
    let (charset, encoding, text, end) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_word = !charset.is_empty() && encoding.len() == 1 && end.starts_with('=');
    is_word.then(|| charset.len().saturating_add(encoding.len()).saturating_add(text.len()).saturating_add(4))
}
