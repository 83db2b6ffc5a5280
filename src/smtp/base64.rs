//! Base64 of RFC 4648 §4 for what may be a secret: with padding and without line ends. It is read strictly: only the one spelling that
//! encoding gives, for otherwise one secret would have many (RFC 4648 §3.5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Octets that may be a password, plain or encoded, so they wipe themselves.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Encodes.
pub(super) fn encode(bytes: &[u8]) -> Secret {
    // As long as it will be from the begin: a vector that grows leaves octets behind that nobody wipes.
    let mut out = Zeroizing::new(vec![0; bytes.len().div_ceil(3).saturating_mul(4)]);
    let length = STANDARD.encode_slice(bytes, out.as_mut_slice()).unwrap_or(0);
    out.truncate(length);
    out
}

/// Decodes; nothing for anything but the one encoding of some bytes.
pub(super) fn decode(text: &[u8]) -> Option<Secret> {
    let mut out = Zeroizing::new(vec![0; text.len().div_ceil(4).saturating_mul(3)]);
    let length = STANDARD.decode_slice(text, out.as_mut_slice()).ok()?;
    out.truncate(length);
    Some(out)
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
