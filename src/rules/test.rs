//! Text tests: any-of for positive operators, none-of for negative ones.

use regex::{Regex, RegexBuilder};

use super::TextTest;
use crate::limits::REGEX_BYTES_MAX;
use crate::message::Text;

/// A value that a test looks at.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    /// With its own letter case; folded when asked for.
    Text(&'v Text),
    /// Folded already.
    Folded(&'v str),
}

impl<'v> Value<'v> {
    /// As it stands.
    pub fn plain(self) -> &'v str {
        match self {
            Self::Text(text) => text.plain(),
            Self::Folded(text) => text,
        }
    }

    /// Without regard to case.
    pub fn folded(self) -> &'v str {
        match self {
            Self::Text(text) => text.folded(),
            Self::Folded(text) => text,
        }
    }
}

impl TextTest {
    /// Whether the test holds for an attribute with these values.
    pub fn holds<'v>(&self, mut values: impl Iterator<Item = Value<'v>>) -> bool {
        self.outcome(values.any(|value| self.fits(value)))
    }

    /// Whether one value fits; for negative tests, whether it is one of those that must not be.
    pub fn fits(&self, value: Value<'_>) -> bool {
        match self {
            Self::Equals(texts) | Self::NotEquals(texts) => texts.iter().any(|text| value.folded() == text.as_str()),
            Self::StartsWith(texts) => texts.iter().any(|text| value.folded().starts_with(text.as_str())),
            Self::EndsWith(texts) => texts.iter().any(|text| value.folded().ends_with(text.as_str())),
            Self::Contains(texts) => texts.iter().any(|text| value.folded().contains(text.as_str())),
            Self::Matches(expressions) => expressions.iter().any(|expression| expression.is_match(value.plain())),
            Self::Exists(_) => true,
            Self::InList(lists) => lists.iter().any(|list| list.contains(value.folded())),
        }
    }

    /// The result, given whether any value fits.
    pub fn outcome(&self, any_fits: bool) -> bool {
        match self {
            Self::NotEquals(_) => !any_fits,
            Self::Exists(wanted) => any_fits == *wanted,
            _ => any_fits,
        }
    }

    /// Whether display names of addresses are looked at too.
    pub(super) fn reads_display_names(&self) -> bool {
        matches!(self, Self::Contains(_) | Self::Matches(_) | Self::Exists(_))
    }
}

/// Compiles an expression of a rule: it ignores case unless it says otherwise, and its size is bounded.
pub fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).case_insensitive(true).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rules::{AddressList, Folded};

    #[test]
    fn operators_are_any_of_and_none_of() {
        let texts = |texts: &[&str]| texts.iter().map(|text| Folded::new(text)).collect::<Vec<_>>();
        let list = Arc::new(AddressList::build(["*@gmail.com"].into_iter()).0);
        for (test, values, expected) in [
            (TextTest::Equals(texts(&["A", "b"])), &["x", "B"][..], true),
            (TextTest::Equals(texts(&["a"])), &["ab"], false),
            (TextTest::Equals(texts(&["a"])), &[], false),
            (TextTest::NotEquals(texts(&["a", "b"])), &["x", "B"], false),
            (TextTest::NotEquals(texts(&["a", "b"])), &["x"], true),
            (TextTest::NotEquals(texts(&["a"])), &[], true),
            (TextTest::StartsWith(texts(&["AB"])), &["abc"], true),
            (TextTest::StartsWith(texts(&["bc"])), &["abc"], false),
            (TextTest::EndsWith(texts(&["x", "BC"])), &["abc"], true),
            (TextTest::EndsWith(texts(&["ab"])), &["abc"], false),
            (TextTest::Contains(texts(&["GRÜ"])), &["viele grüße"], true),
            (TextTest::Contains(texts(&[""])), &[], false),
            (TextTest::Matches(vec![regex("^a.c$").expect("valid")]), &["ABC"], true),
            (TextTest::Matches(vec![regex("(?-i)^a.c$").expect("valid")]), &["ABC"], false),
            (TextTest::Exists(true), &[], false),
            (TextTest::Exists(true), &[""], true),
            (TextTest::Exists(false), &[], true),
            (TextTest::Exists(false), &[""], false),
            (TextTest::InList(vec![Arc::clone(&list)]), &["a@x.example", "B@Gmail.com"], true),
            (TextTest::InList(vec![list]), &["a@x.example"], false),
        ] {
            let values: Vec<Text> = values.iter().map(|value| Text::new(*value)).collect();
            assert_eq!(test.holds(values.iter().map(Value::Text)), expected, "{test:?} {values:?}");
        }
    }

    #[test]
    fn a_huge_expression_is_refused() {
        assert!(regex("(").is_err());
        assert!(regex(r"\pL{1000}{1000}").is_err());
    }
}
