//! The set of names that one certificate is for.

use std::fmt;
use std::sync::Arc;

/// Host names in lower case, sorted, each once: two sets that ask for the same certificate are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names(Arc<[String]>);

impl Names {
    /// Of host names in any case and order.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(str::to_ascii_lowercase).collect();
        names.sort();
        names.dedup();
        Self(names.into())
    }

    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// As the log shows them.
    pub(super) fn as_slice(&self) -> &[String] {
        &self.0
    }

    /// The file that holds the certificate: the first name for people, a checksum of all of them against mix-ups.
    pub(super) fn file(&self) -> String {
        let first: String =
            self.iter().next().unwrap_or("none").chars().filter(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
        format!("{first}-{:08x}.pem", crc32fast::hash(self.0.join("\n").as_bytes()))
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_the_same_in_any_order_and_case() {
        let one = Names::new(["mx.acme.org", "MX1.acme.example", "mx.acme.org"]);
        let other = Names::new(["mx1.acme.example", "mx.acme.org"]);
        assert_eq!((&one, one.file()), (&other, other.file()));
        assert_eq!(one.to_string(), "mx.acme.org, mx1.acme.example");
        assert_ne!(one.file(), Names::new(["mx.acme.org"]).file());
        assert!(!Names::new(["../../etc/passwd"]).file().contains('/'));
    }
}
