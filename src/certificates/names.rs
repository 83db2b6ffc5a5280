//! Names of servers, as certificates hold them, and the comparison with what a client asks for.

/// The host names that a certificate is for, with wildcards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames(Vec<String>);

impl ServerNames {
    /// Names as they stand in a certificate's `dNSName` entries: `mx.acme.example` or `*.acme.example`.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self(names.into_iter().map(folded).collect())
    }

    /// As they were given, in lower case.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether there is none: such a certificate can only serve clients that nothing else fits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `name` itself is among them.
    pub(super) fn has(&self, name: &str) -> bool {
        let name = folded(name);
        !name.contains('*') && self.0.contains(&name)
    }

    /// Whether one of the wildcards covers `name`. RFC 6125 §6.4.3: the wildcard is the whole leftmost label and stands for one label.
    pub(super) fn cover(&self, name: &str) -> bool {
        let name = folded(name);
        let Some((leftmost, parent)) = name.split_once('.') else { return false };
        !leftmost.is_empty() && self.0.iter().filter_map(|wildcard| wildcard.strip_prefix("*.")).any(|covered| covered == parent)
    }
}

/// Case does not matter (RFC 4343), nor does the root's dot.
fn folded(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_rfc_6125_says() {
        for (names, asked, has, cover) in [
            (&["mx.acme.example"][..], "mx.acme.example", true, false),
            (&["MX.Acme.Example"], "mx.acme.EXAMPLE.", true, false),
            (&["mx.acme.example"], "mx2.acme.example", false, false),
            (&["*.acme.example"], "mx.acme.example", false, true),
            (&["*.ACME.example"], "Mx.acme.example", false, true),
            (&["*.acme.example"], "acme.example", false, false),
            (&["*.acme.example"], "a.mx.acme.example", false, false),
            (&["*.acme.example"], ".acme.example", false, false),
            (&["*.acme.example"], "*.acme.example", false, true),
            (&["m*.acme.example"], "mx.acme.example", false, false),
            (&["mx.*.example"], "mx.acme.example", false, false),
            (&["*"], "localhost", false, false),
            (&[], "mx.acme.example", false, false),
            (&["a.example", "*.b.example"], "x.b.example", false, true),
        ] {
            let server_names = ServerNames::new(names.iter().copied());
            assert_eq!((server_names.has(asked), server_names.cover(asked)), (has, cover), "{names:?} {asked}");
        }
    }
}
