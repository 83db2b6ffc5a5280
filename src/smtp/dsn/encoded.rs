//! The encodings of ENVID and ORCPT: xtext (RFC 3461 §4) and utf-8-addr-xtext (RFC 6533 §3).

use std::fmt::Write as _;

/// RFC 5322 §3.2.3; the addr-type of ORCPT is one.
pub(super) fn is_atom(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
}

/// Decodes xtext. What it stands for must be printable ASCII (RFC 3461 §4.2 and §4.4), which `+0D+0A` is not.
pub(super) fn from_xtext(text: &str) -> Option<String> {
    xtext_octets(text)?.into_iter().map(printable).collect()
}

/// Decodes xtext into whatever octets it stands for.
pub(in crate::smtp) fn xtext_octets(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            // RFC 3461 §4: two hexadecimal digits, upper case.
            b'+' => upper_hex(bytes.next()?)?.checked_mul(16)?.checked_add(upper_hex(bytes.next()?)?)?,
            b'=' => return None,
            b'!'..=b'~' => byte,
            _ => return None,
        });
    }
    Some(decoded)
}

/// Encodes ASCII; what is not printable is not there to encode.
pub(super) fn to_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !matches!(byte, b'+' | b'=') => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(encoded, "+{byte:02X}")),
        }
    }
    encoded
}

/// Decodes utf-8-addr-xtext and utf-8-addr-unitext.
pub(super) fn from_utf8_address(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match c {
            '\\' => {
                let (digits, after) = rest.strip_prefix("\\x{")?.split_once('}')?;
                decoded.push(embedded(digits)?);
                rest = after;
            }
            // QCHAR is what is printable without these.
            '+' | '=' => return None,
            c if is_plain(c) => {
                decoded.push(c);
                rest = rest.get(c.len_utf8()..)?;
            }
            _ => return None,
        }
    }
    (!decoded.is_empty()).then_some(decoded)
}

/// Encodes as utf-8-addr-xtext.
pub(super) fn to_utf8_address(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '!'..='~' if !matches!(c, '\\' | '+' | '=') => encoded.push(c),
            // Writing to a String cannot fail.
            c => drop(write!(encoded, "\\x{{{:02X}}}", u32::from(c))),
        }
    }
    encoded
}

/// EmbeddedUnicodeChar: a backslash, a character that xtext or the command line needs otherwise, or one beyond ASCII. The
/// grammar has control characters as well; they have no business in an address.
fn embedded(digits: &str) -> Option<char> {
    let shortest = digits.len() == 2 || !digits.starts_with('0');
    let good = (2..=6).contains(&digits.len()) && shortest && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok().filter(|_| good)?)?;
    (matches!(c, ' ' | '+' | '=' | '\\') || (!c.is_ascii() && is_plain(c))).then_some(c)
}

/// A character that stands for itself: neither white space nor control, nor one of those that end a line for some readers.
fn is_plain(c: char) -> bool {
    c.is_ascii_graphic() || !(c.is_ascii() || c.is_control() || c.is_whitespace())
}

fn printable(byte: u8) -> Option<char> {
    matches!(byte, b' '..=b'~').then_some(char::from(byte))
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'A'..=b'F' => byte.checked_sub(b'A')?.checked_add(10),
        _ => None,
    }
}
