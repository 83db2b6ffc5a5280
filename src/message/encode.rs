//! Writing of header values: clean, folded, and RFC 2047 where they are not US-ASCII.

/// RFC 5322 §2.1.1: lines should not be longer, line end not counted.
const LINE_CHARS: usize = 78;
/// A word longer than this could not stand on a line of 998 (RFC 5322 §2.1.1) and is cut into encoded-words.
const WORD_CHARS_MAX: usize = 900;
/// RFC 2047 §2: an encoded-word has at most 75 characters; `=?UTF-8?Q?` and `?=` are 12 of them.
const ENCODED_CHARS_MAX: usize = 75 - 12;

/// A whole field, line end included. Control characters become spaces and runs of white space one space, so that nothing in
/// name or value can begin a line of its own. A name without a single valid character gives nothing.
pub(super) fn field(name: &str, value: &str) -> Option<String> {
    let mut out: String = name.bytes().filter(|byte| super::original::is_ftext(*byte)).map(char::from).collect();
    if out.is_empty() {
        return None;
    }
    out.push(':');
    let mut column = out.len();
    for word in words(value) {
        let length = word.len().saturating_add(1);
        if column.saturating_add(length) > LINE_CHARS && column > name.len().saturating_add(1) {
            out.push_str("\r\n");
            column = 0;
        }
        out.push(' ');
        out.push_str(&word);
        column = column.saturating_add(length);
    }
    out.push_str("\r\n");
    Some(out)
}

/// Encoded-words for the whole text, white space included, separated by single spaces, which a reader drops (RFC 2047 §6.2).
pub(super) fn encoded_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut encoded = String::new();
    for char in text.chars() {
        let mut bytes = [0; 4];
        let mut piece = String::new();
        for byte in char.encode_utf8(&mut bytes).bytes() {
            match byte {
                b' ' => piece.push('_'),
                // RFC 2047 §5 (3): what may stand in an encoded-word wherever it is.
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'!' | b'*' | b'+' | b'-' | b'/' => piece.push(char::from(byte)),
                _ => piece.push_str(&format!("={byte:02X}")),
            }
        }
        // A character is never divided between two words (RFC 2047 §5).
        if encoded.len().saturating_add(piece.len()) > ENCODED_CHARS_MAX {
            words.push(format!("=?UTF-8?Q?{}?=", std::mem::take(&mut encoded)));
        }
        encoded.push_str(&piece);
    }
    if !encoded.is_empty() {
        words.push(format!("=?UTF-8?Q?{encoded}?="));
    }
    words
}

/// Control characters out, line separators of Unicode too.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// Words to be written with single spaces between them. From the first to the last word that needs it, all is encoded.
fn words(value: &str) -> Vec<String> {
    let value = clean(value);
    let words: Vec<&str> = value.split_whitespace().collect();
    let needs_encoding = |word: &&str| !word.is_ascii() || word.len() > WORD_CHARS_MAX;
    let Some(first) = words.iter().position(needs_encoding) else {
        return words.into_iter().map(str::to_owned).collect();
    };
    let last = words.iter().rposition(needs_encoding).unwrap_or(first);
    let (head, rest) = words.split_at(first);
    let (middle, tail) = rest.split_at(last.saturating_sub(first).saturating_add(1).min(rest.len()));
    let plain = |part: &[&str]| part.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    [plain(head), encoded_words(&middle.join(" ")), plain(tail)].concat()
}
