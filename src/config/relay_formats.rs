//! The formats that only relays have.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::diagnostic::Code;
use super::formats::{Mistake, clip, http_url, https_url};

/// The checksum of a public key (SubjectPublicKeyInfo), in base64 as RFC 7469 §2.4 writes it or in hexadecimal digits.
pub(crate) fn pin(text: &str) -> Result<[u8; 32], Mistake> {
    let digest = text.strip_prefix("sha256:").map(str::trim);
    let bytes = digest.and_then(|digest| if digest.len() == 64 { hexadecimal(digest) } else { STANDARD.decode(digest).ok() });
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        Mistake::new(Code::BadValue, format!("`{}` is not the checksum of a public key", clip(text)))
            .help("write `sha256:` and the SHA-256 of the key, 44 characters of base64 or 64 hexadecimal digits")
    })
}

/// Pairs of digits.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    // The parser of numbers takes a sign.
    let pairs = text.as_bytes().chunks_exact(2).filter(|_| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    pairs.map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())).collect()
}

/// Where access tokens are had: secrets go there, so `http` leads to this machine only.
pub(crate) fn token_url(text: &str) -> Result<String, Mistake> {
    let host = text.parse::<hyper::Uri>().ok().and_then(|url| url.host().map(|host| host.trim_matches(['[', ']']).to_owned()));
    let near = host.is_some_and(|host| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()));
    if near { http_url(text) } else { https_url(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_endpoints() {
        for good in ["https://login.example/token", "http://127.0.0.1:8080/token", "http://[::1]:1/", "http://localhost/"] {
            assert!(token_url(good).is_ok(), "{good}");
        }
        for bad in
            ["http://login.example/token", "http://192.0.2.1/", "http://localhost.example/", "login.example", "https://a:b@login.example/"]
        {
            assert!(token_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pins() {
        let digest = [0xa5_u8; 32];
        let hexadecimal = "a5".repeat(32);
        for good in [format!("sha256:{}", STANDARD.encode(digest)), format!("sha256:{hexadecimal}"), format!("sha256: {hexadecimal}")] {
            assert_eq!(pin(&good).ok(), Some(digest), "{good}");
        }
        for bad in [
            "",
            "sha256:",
            "sha256:abc",
            "sha1:da39a3ee",
            &hexadecimal,
            &format!("sha256:{}", "+1".repeat(32)),
            &format!("sha256:{hexadecimal}00"),
        ] {
            assert!(pin(bad).is_err(), "{bad}");
        }
    }
}
