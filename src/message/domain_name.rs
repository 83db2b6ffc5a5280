//! One form for a domain name, however a header writes it.

use crate::limits::{DNS_NAME_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX};

/// The domain in lower case and A-labels (RFC 5890 §2.3.2.1) without the last dot, as DNS is asked for it; `None` if it is no
/// name that DNS could hold: empty labels, too long, characters other than letters, digits, `-` and `_`, an address literal.
pub fn a_labels(domain: &str) -> Option<Box<str>> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    // Mapping makes a name longer than its letters at most; what is far too long is not looked at.
    if domain.len() > DNS_NAME_BYTES_MAX.saturating_mul(4) {
        return None;
    }
    let name: Box<str> = if domain.is_ascii() {
        domain.to_ascii_lowercase().into()
    } else {
        idna::domain_to_ascii_cow(domain.as_bytes(), idna::AsciiDenyList::URL).ok()?.trim_end_matches('.').into()
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_label = |label: &str| (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len()) && label.bytes().all(is_letter);
    (name.len() <= DNS_NAME_BYTES_MAX && name.split('.').all(is_label)).then_some(name)
}

/// The domain as people read it, in U-labels (RFC 5890 §2.3.2.1); `None` if there is no other form than that of [`a_labels`].
pub(super) fn u_labels(name: &str) -> Option<String> {
    if !name.starts_with("xn--") && !name.contains(".xn--") {
        return None;
    }
    let (text, result) = idna::domain_to_unicode(name);
    result.is_ok().then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_has_one_form() {
        let label = "a".repeat(63);
        let long = format!("{0}.{0}.{0}.{1}", label, "a".repeat(61));
        for (domain, expected) in [
            ("Acme.EXAMPLE", Some("acme.example")),
            ("acme.example.", Some("acme.example")),
            ("bücher.example", Some("xn--bcher-kva.example")),
            ("BÜCHER.example.", Some("xn--bcher-kva.example")),
            ("XN--Bcher-KVA.example", Some("xn--bcher-kva.example")),
            ("acme。example", Some("acme.example")),
            ("ａcme.example", Some("acme.example")),
            ("acme\u{ad}.bücher.example", Some("acme.xn--bcher-kva.example")),
            ("_x.acme.example", Some("_x.acme.example")),
            ("localhost", Some("localhost")),
            ("xn--a.example", Some("xn--a.example")),
            ("", None),
            (".", None),
            ("a..b", None),
            (".a", None),
            ("a b", None),
            ("[192.0.2.1]", None),
            ("a%b", None),
            ("a@b", None),
            ("a/b", None),
            ("a\0b", None),
            ("\u{202e}ü.example", None),
            ("\u{fffd}.example", None),
            (&format!("{label}a.example"), None),
            (&long, Some(&*long)),
            (&format!("{long}a"), None),
            (&"ü".repeat(5000), None),
        ] {
            assert_eq!(a_labels(domain).as_deref(), expected, "{domain}");
        }
        assert_eq!(u_labels("xn--bcher-kva.example").as_deref(), Some("bücher.example"));
        assert_eq!(u_labels("xn--a.example"), None);
        assert_eq!(u_labels("acme.example"), None);
    }
}
