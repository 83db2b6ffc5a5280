//! Percent-encoding of what stands in a path or a form.

/// Upper case is the usual form (RFC 3986 §2.1).
const DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text`, everything but the unreserved characters encoded (RFC 3986 §2.3).
pub(super) fn encode(text: &str, to: &mut Vec<u8>) {
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            to.push(byte);
        } else {
            to.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_unreserved_characters_stay() {
        let mut encoded = Vec::new();
        super::encode("aZ9-._~ /?#@%+&=\u{e4}\u{0}", &mut encoded);
        assert_eq!(String::from_utf8(encoded).unwrap(), "aZ9-._~%20%2F%3F%23%40%25%2B%26%3D%C3%A4%00");
    }
}
