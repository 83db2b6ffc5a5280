//! The addresses of a header field, as any mail reader may show them.
//!
//! A field that keeps to the syntax of RFC 5322 §3.4 has one reading. For any other, readers differ, and a sender can choose one
//! that shows a stranger's address while a filter sees another. So its reading is the union: what a tolerant parser finds, and all
//! that looks like an address anywhere in the text, before and after encoded-words are read and hidden characters are taken out.

mod strict;
mod tolerant;

use std::borrow::Cow;
use std::collections::HashSet;

use super::domain_name::{a_labels, u_labels};
use super::{Text, view};
use crate::limits::MAILBOXES_MAX;

/// An address of the header, RFC 5322 §3.4.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    /// Without display name and angle brackets.
    pub address: Option<Text>,
    /// Display name, decoded.
    pub name: Option<Text>,
    /// Other spellings of the same address: domain in A-labels and in U-labels, without the last dot; local part without needless
    /// quoting.
    spellings: Box<[Text]>,
}

/// What a field says.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// At most [`MAILBOXES_MAX`].
    pub(super) mailboxes: Vec<Mailbox>,
    /// Whether all readers agree on it.
    pub(super) is_certain: bool,
    /// Whether there are more.
    pub(super) is_cut: bool,
}

impl Mailbox {
    fn new(address: Option<String>, name: Option<String>) -> Self {
        let filled = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let address = filled(address);
        let spellings = address.as_deref().map(spellings).unwrap_or_default();
        Self { address: address.map(Text::new), name: filled(name).map(Text::new), spellings }
    }

    /// The address in all its spellings, beginning with that of the field.
    pub fn addresses(&self) -> impl Iterator<Item = &Text> {
        self.address.iter().chain(&self.spellings)
    }

    /// What stands behind the last `@` of the address, folded.
    pub fn domain(&self) -> Option<&str> {
        domain_of(self.address.as_ref()?)
    }

    /// The domain in all its spellings, beginning with that of the field; some may be the same.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.addresses().filter_map(domain_of)
    }
}

fn domain_of(address: &Text) -> Option<&str> {
    let (_, domain) = address.folded().rsplit_once('@')?;
    (!domain.is_empty()).then_some(domain)
}

/// Reads a field; `value` is all that follows the colon.
pub(super) fn read(value: &[u8]) -> Reading {
    let text = unfolded(value);
    let (found, is_certain) = strict::read(&text.shown);
    let is_certain = is_certain && found.len() <= MAILBOXES_MAX && (text.is_utf8 || found.iter().all(|found| found.is_ascii()));
    let strictly = found.into_iter().map(|found| Mailbox::new(found.address, found.name));
    if is_certain {
        return Reading { mailboxes: strictly.collect(), is_certain, is_cut: false };
    }
    let mut union = Union::default();
    tolerant::parsed(value, |address, name| union.add(Mailbox::new(address, name)));
    strictly.for_each(|mailbox| union.add(mailbox));
    tolerant::anywhere(&text, |address| union.add(Mailbox::new(Some(address), None)));
    // Whatever is lost between the readings: a condition on names sees the whole.
    union.add(Mailbox::new(None, Some(view::decoded(value))));
    Reading { mailboxes: union.mailboxes, is_certain, is_cut: union.is_cut }
}

/// Mailboxes without repetition.
#[derive(Default)]
struct Union {
    mailboxes: Vec<Mailbox>,
    seen: HashSet<String>,
    is_cut: bool,
}

impl Union {
    fn add(&mut self, mailbox: Mailbox) {
        let key = match (&mailbox.address, &mailbox.name) {
            (Some(address), _) => address.plain().to_owned(),
            // No address holds a line end.
            (None, Some(name)) => format!("\n{}", name.plain()),
            (None, None) => return,
        };
        if self.seen.contains(&key) {
            return;
        }
        if self.mailboxes.len() < MAILBOXES_MAX {
            self.seen.insert(key);
            self.mailboxes.push(mailbox);
        } else {
            self.is_cut = true;
        }
    }
}

/// A value in one line.
pub(super) struct Line {
    /// As readers show it: octets that are not UTF-8 as ISO 8859-1.
    shown: String,
    /// Whether it is UTF-8.
    is_utf8: bool,
}

/// Folds are taken out (RFC 5322 §2.2.3); a line end that is no fold stays, and is a control character.
fn unfolded(value: &[u8]) -> Line {
    let value = value.strip_suffix(b"\n").map_or(value, |line| line.strip_suffix(b"\r").unwrap_or(line));
    let (text, is_utf8) = match std::str::from_utf8(value) {
        Ok(text) => (Cow::Borrowed(text), true),
        Err(_) => (value.iter().copied().map(char::from).collect(), false),
    };
    let mut shown = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((line, next)) = rest.split_once('\n') {
        if next.starts_with([' ', '\t']) {
            shown.push_str(line.strip_suffix('\r').unwrap_or(line));
        } else {
            shown.push_str(line);
            shown.push('\n');
        }
        rest = next;
    }
    shown.push_str(rest);
    Line { shown, is_utf8 }
}

fn spellings(address: &str) -> Box<[Text]> {
    let Some((local, domain)) = address.rsplit_once('@') else { return Box::default() };
    let is_odd_domain = !domain.is_ascii() || domain.ends_with('.') || memchr::memmem::find(domain.as_bytes(), b"--").is_some();
    if !is_odd_domain && !local.starts_with('"') {
        return Box::default();
    }
    let ascii = a_labels(domain).map(String::from);
    let unicode = ascii.as_deref().and_then(u_labels);
    let locals = [Some(local.to_owned()), unquoted(local)];
    let domains = [Some(domain.to_owned()), ascii, unicode];
    let mut texts: Vec<String> = Vec::new();
    for local in locals.iter().flatten() {
        for domain in domains.iter().flatten() {
            let spelling = format!("{local}@{domain}");
            if spelling != address && !texts.contains(&spelling) {
                texts.push(spelling);
            }
        }
    }
    texts.into_iter().map(Text::new).collect()
}

/// `"bob"` is `bob` (RFC 5322 §3.2.4); what needs its quotes keeps them.
fn unquoted(local: &str) -> Option<String> {
    let quoted = local.strip_prefix('"')?.strip_suffix('"')?;
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !(c.is_ascii() || is_hidden(c));
    (!plain.is_empty() && plain.chars().all(is_plain)).then_some(plain)
}

/// What does not show, or changes the order of what shows: controls, format characters, fillers, tags.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
                | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
                | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFC}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}'
        )
}

#[cfg(test)]
mod tests;
