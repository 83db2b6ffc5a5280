//! The syntax of RFC 5322 §3.4, with as much of its obsolete form (§4.4) as all readers understand alike.

use std::str::CharIndices;

use super::super::view::decoded;
use super::is_hidden;

/// An address with what stands beside it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) address: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Atom,
    /// A quoted-string; its text still has the quotes.
    Quoted,
    /// `[…]`.
    Literal,
    Comment,
    /// One of `<>:;@,.`.
    Special(char),
}

#[derive(Clone, Copy, Debug)]
struct Token<'x> {
    kind: Kind,
    text: &'x str,
    /// Whether white space stands before it.
    is_spaced: bool,
}

impl Found {
    pub(super) fn is_ascii(&self) -> bool {
        self.address.as_deref().is_none_or(str::is_ascii)
    }
}

/// The addresses of a field in one line, and whether no reader could find others.
pub(super) fn read(line: &str) -> (Vec<Found>, bool) {
    let Some(tokens) = tokens(line) else { return (Vec::new(), false) };
    let mut found = Vec::new();
    let mut is_certain = true;
    let mut is_in_group = false;
    let mut is_in_angle = false;
    let mut element: Vec<Token<'_>> = Vec::new();
    for token in tokens {
        match token.kind {
            Kind::Special(',' | ';') if !is_in_angle => {
                is_certain &= finish(&mut element, &mut found);
                if token.kind == Kind::Special(';') {
                    is_certain &= std::mem::replace(&mut is_in_group, false);
                }
            }
            // What stands before it is the name of a group.
            Kind::Special(':') if !is_in_angle => {
                is_certain &= !is_in_group && is_phrase(&element);
                is_in_group = true;
                element.clear();
            }
            kind => {
                match kind {
                    Kind::Special('<') => is_in_angle = true,
                    Kind::Special('>') => is_in_angle = false,
                    _ => {}
                }
                element.push(token);
            }
        }
    }
    is_certain &= finish(&mut element, &mut found) && !is_in_group;
    (found, is_certain)
}

/// Reads one address; whether there is nothing wrong with it.
fn finish(element: &mut Vec<Token<'_>>, found: &mut Vec<Found>) -> bool {
    let element = std::mem::take(element);
    let is = |special: char| move |token: &Token<'_>| token.kind == Kind::Special(special);
    // RFC 5322 §4.4: an empty place in a list.
    if element.iter().all(|token| token.kind == Kind::Comment) {
        return true;
    }
    let Some(open) = element.iter().position(is('<')) else {
        let (address, is_certain) = addr_spec(&element);
        let name = comments(&element);
        let is_certain = is_certain && address.is_some();
        found.extend(address.map(|address| Found { address: Some(address), name }));
        return is_certain;
    };
    let (before, rest) = element.split_at(open);
    let rest = rest.get(1..).unwrap_or_default();
    let close = rest.iter().position(is('>'));
    let (inside, after) = rest.split_at(close.unwrap_or(rest.len()));
    let after = after.get(1..).unwrap_or_default();
    let name = phrase(before);
    let name = match (name.is_empty(), comments(before).or_else(|| comments(after))) {
        (true, comment) => comment,
        (false, None) => Some(name),
        (false, Some(comment)) => Some(format!("{name} ({comment})")),
    };
    let is_well_formed = close.is_some() && is_phrase(before) && after.iter().all(|token| token.kind == Kind::Comment);
    let (address, is_certain) = addr_spec(inside);
    let is_empty = inside.is_empty();
    if address.is_some() || is_empty {
        found.push(Found { address, name });
    }
    is_well_formed && (is_certain || is_empty)
}

/// RFC 5322 §3.4.1, with white space and comments where §4.4 allows them: then readers do not agree.
fn addr_spec(tokens: &[Token<'_>]) -> (Option<String>, bool) {
    let mut address = String::new();
    let (mut has_local, mut has_at, mut has_domain) = (false, false, false);
    let mut is_certain = true;
    let mut may_follow_word = true;
    let mut words: usize = 0;
    let mut is_quoted = false;
    let mut is_apart = false;
    for token in tokens {
        if token.kind == Kind::Comment {
            is_apart = true;
            continue;
        }
        if std::mem::replace(&mut is_apart, false) | token.is_spaced && !address.is_empty() {
            is_certain = false;
        }
        match token.kind {
            Kind::Special('.') => may_follow_word = true,
            Kind::Special('@') if has_local && !has_at => {
                has_at = true;
                may_follow_word = true;
            }
            Kind::Quoted if !has_at && may_follow_word => {
                is_quoted = true;
                has_local = true;
                may_follow_word = false;
                words = words.saturating_add(1);
            }
            Kind::Atom if may_follow_word => {
                may_follow_word = false;
                has_local |= !has_at;
                has_domain |= has_at;
                words = words.saturating_add(usize::from(!has_at));
            }
            Kind::Literal if has_at && !has_domain => {
                has_domain = true;
                may_follow_word = false;
            }
            _ => return (None, false),
        }
        address.push_str(token.text);
    }
    if !has_domain {
        return (None, false);
    }
    // RFC 2047 §5 forbids encoded-words in addresses; some readers read them all the same.
    is_certain &= !(is_quoted && words > 1 || address.contains("=?") || address.contains(is_hidden));
    (Some(address), is_certain)
}

fn is_phrase(tokens: &[Token<'_>]) -> bool {
    let is_word = |token: &Token<'_>| match token.kind {
        Kind::Atom | Kind::Quoted | Kind::Comment | Kind::Special('.') => true,
        // No word of the syntax, but `[List] Bob <b@x.example>` is shown alike by all.
        Kind::Literal => !token.text.contains(['@', '<']),
        Kind::Special(_) => false,
    };
    tokens.iter().all(is_word)
}

/// A display name, decoded.
fn phrase(tokens: &[Token<'_>]) -> String {
    let mut name = String::new();
    for token in tokens.iter().filter(|token| token.kind != Kind::Comment) {
        if token.is_spaced && !name.is_empty() {
            name.push(' ');
        }
        match token.kind {
            Kind::Quoted => unescape(token.text, &mut name),
            _ => name.push_str(token.text),
        }
    }
    decoded(name.as_bytes())
}

/// What comments say: in old messages they hold the name.
fn comments(tokens: &[Token<'_>]) -> Option<String> {
    let mut name = String::new();
    for token in tokens.iter().filter(|token| token.kind == Kind::Comment) {
        if !name.is_empty() {
            name.push(' ');
        }
        unescape(token.text, &mut name);
    }
    let name = decoded(name.as_bytes());
    (!name.is_empty()).then_some(name)
}

/// Without the characters at both ends and the backslashes of quoted-pairs.
fn unescape(text: &str, out: &mut String) {
    let mut inner = text.chars();
    inner.next();
    inner.next_back();
    while let Some(c) = inner.next() {
        out.extend(if c == '\\' { inner.next() } else { Some(c) });
    }
}

/// Nothing if a control character, an end that is not there, or a stray sign makes readers divide the text each in its own way.
fn tokens(line: &str) -> Option<Vec<Token<'_>>> {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return None;
    }
    let mut tokens = Vec::new();
    let mut chars = line.char_indices();
    let mut is_spaced = false;
    loop {
        let rest = chars.as_str();
        let Some((_, first)) = chars.next() else { return Some(tokens) };
        let kind = match first {
            ' ' | '\t' => {
                is_spaced = true;
                continue;
            }
            '"' => {
                close(&mut chars, None, '"')?;
                Kind::Quoted
            }
            '(' => {
                close(&mut chars, Some('('), ')')?;
                Kind::Comment
            }
            '[' => {
                close(&mut chars, None, ']')?;
                Kind::Literal
            }
            '<' | '>' | ':' | ';' | '@' | ',' | '.' => Kind::Special(first),
            ')' | ']' | '\\' => return None,
            _ => {
                while chars.as_str().chars().next().is_some_and(is_atext) {
                    chars.next();
                }
                Kind::Atom
            }
        };
        let length = rest.len().saturating_sub(chars.as_str().len());
        tokens.push(Token { kind, text: rest.get(..length)?, is_spaced: std::mem::replace(&mut is_spaced, false) });
    }
}

/// Goes on behind the sign that closes what was opened.
fn close(chars: &mut CharIndices<'_>, opens: Option<char>, closes: char) -> Option<()> {
    let mut depth: usize = 1;
    loop {
        let (_, c) = chars.next()?;
        if c == '\\' {
            chars.next()?;
        } else if c == closes {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return Some(());
            }
        } else if Some(c) == opens {
            depth = depth.saturating_add(1);
        }
    }
}

fn is_atext(c: char) -> bool {
    !matches!(c, ' ' | '\t' | '"' | '(' | ')' | '[' | ']' | '<' | '>' | ':' | ';' | '@' | ',' | '.' | '\\')
}
