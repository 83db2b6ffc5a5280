//! Base64 of RFC 4648 §4, with padding and without line ends. It is read strictly: only the one spelling that encoding gives.

use zeroize::Zeroizing;

/// Octets that may be a password, plain or encoded, so they wipe themselves.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Encodes.
pub(super) fn encode(bytes: &[u8]) -> Secret {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len().div_ceil(3).saturating_mul(4)));
    for group in bytes.chunks(3) {
        let octet = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = (octet(0) << 16) | (octet(1) << 8) | octet(2);
        for place in 0..4_usize {
            let digit = (bits >> (18 - place * 6)) & 63;
            let char = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit)).copied().unwrap_or(b'=');
            out.push(if place <= group.len() { char } else { b'=' });
        }
    }
    out
}

/// Base64 of octets that are no secret.
pub fn base64_text(bytes: &[u8]) -> String {
    encode(bytes).iter().copied().map(char::from).collect()
}

/// Decodes; nothing for anything but the one encoding of some bytes.
pub(super) fn decode(text: &[u8]) -> Option<Secret> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len().div_ceil(4).saturating_mul(3)));
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    let digits = text.get(..text.len().saturating_sub(padding))?;
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            bits = bits << 6 | group.get(place).map_or(Some(0), |digit| value(*digit))?;
        }
        let [_, octets @ ..] = bits.to_be_bytes();
        // Four digits are three octets, three are two, two are one; one is none, which the padding rules out.
        let (octets, left_over) = octets.split_at_checked(group.len().saturating_sub(1))?;
        // RFC 4648 §3.5: bits that belong to no octet are zero; otherwise one secret would have many spellings.
        if left_over.iter().any(|octet| *octet != 0) {
            return None;
        }
        out.extend_from_slice(octets);
    }
    Some(out)
}

fn value(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit.wrapping_sub(b'A'),
        b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(26),
        b'0'..=b'9' => digit.wrapping_sub(b'0').wrapping_add(52),
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_4648_section_10() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(*encode(plain.as_bytes()), encoded.as_bytes());
            assert_eq!(decode(encoded.as_bytes()).expect(encoded).as_slice(), plain.as_bytes());
        }
        assert_eq!(decode(b"+/+/").unwrap().as_slice(), [0xfb, 0xff, 0xbf]);
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "=", "==", "====", "Zg", "Zg=", "Zg===", "Z===", "Zm9", "Z", "Zh==", "Zm9=", "Zm9v=", "Zm 9", "Zm9v\n", "Zm-_", "Z=g=",
            "Zg==Zg==", "*", "\0\0\0\0",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn there_is_one_spelling(text in "[A-C=/+]{0,12}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                let again = encode(&bytes);
                proptest::prop_assert_eq!(again.as_slice(), text.as_bytes());
            }
        }
    }
}
