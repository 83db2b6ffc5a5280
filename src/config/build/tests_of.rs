//! The tests that conditions make: of texts, addresses, networks. Policies and rule sets share them.

use std::sync::Arc;

use ipnet::IpNet;

use super::lists::Lists;
use crate::config::formats;
use crate::config::lints::unmapped;
use crate::config::model::rules as model;
use crate::config::model::{OneOrMany, Pattern};
use crate::config::tree::Node;
use crate::rules::{AddressList, Folded, IpSet, IpTest, TextTest};

/// A test of a text; `None` when an expression is wrong, which has been reported.
pub(super) fn text(test: &model::TextTest) -> Option<TextTest> {
    Some(match test {
        model::TextTest::Equals(values) => TextTest::Equals(folded(values)),
        model::TextTest::NotEquals(values) => TextTest::NotEquals(folded(values)),
        model::TextTest::StartsWith(values) => TextTest::StartsWith(folded(values)),
        model::TextTest::EndsWith(values) => TextTest::EndsWith(folded(values)),
        model::TextTest::Contains(values) => TextTest::Contains(folded(values)),
        model::TextTest::Matches(patterns) => TextTest::Matches(expressions(patterns)?),
        model::TextTest::Exists(wanted) => TextTest::Exists(*wanted),
    })
}

/// A test of an address.
pub(super) fn address(test: &model::AddressTest, lists: &Lists) -> Option<TextTest> {
    Some(match test {
        model::AddressTest::Equals(values) => TextTest::Equals(folded(values)),
        model::AddressTest::NotEquals(values) => TextTest::NotEquals(folded(values)),
        model::AddressTest::StartsWith(values) => TextTest::StartsWith(folded(values)),
        model::AddressTest::EndsWith(values) => TextTest::EndsWith(folded(values)),
        model::AddressTest::Contains(values) => TextTest::Contains(folded(values)),
        model::AddressTest::Matches(patterns) => TextTest::Matches(expressions(patterns)?),
        model::AddressTest::Exists(wanted) => TextTest::Exists(*wanted),
        model::AddressTest::InList(names) => {
            TextTest::InList(names.0.iter().map(|name| lists.addresses(&name.0)).collect::<Vec<Arc<AddressList>>>())
        }
    })
}

/// A test of an IP address.
pub(super) fn ip(test: &model::IpTest, lists: &Lists) -> IpTest {
    match test {
        model::IpTest::CidrMatches(networks) => IpTest::CidrMatches(set(networks.0.iter().map(|n| n.0))),
        model::IpTest::NotCidrMatches(networks) => IpTest::NotCidrMatches(set(networks.0.iter().map(|n| n.0))),
        model::IpTest::InList(names) => IpTest::InList(names.0.iter().map(|name| lists.networks(&name.0)).collect()),
    }
}

/// A test of a verdict: whether it is negated, and the words as they stand: the shape has seen that each is one of the attribute's.
pub(super) fn words(node: &Node) -> Option<(bool, Vec<Box<str>>)> {
    let entry = node.entries().first()?;
    let values = entry.value.one_or_many().iter().filter_map(Node::text).map(Box::from).collect();
    Some((entry.key == "not_equals", values))
}

/// Networks as a set; v4-mapped ones become plain IPv4, as the addresses that are looked up do.
pub(super) fn set(networks: impl Iterator<Item = IpNet>) -> IpSet {
    IpSet::new(networks.map(|net| unmapped(net).map_or(net, IpNet::V4)))
}

fn folded(values: &OneOrMany<String>) -> Vec<Folded> {
    values.0.iter().map(|text| Folded::new(text)).collect()
}

/// Compiled expressions; `None` when one of them is wrong, which has been reported.
pub(super) fn expressions(patterns: &OneOrMany<Pattern>) -> Option<Vec<regex::Regex>> {
    patterns.0.iter().map(|pattern| formats::pattern(&pattern.0).ok()).collect()
}

/// Helps [`text`] with the struct forms, where the operator stands beside other keys.
pub(super) struct Operators<'a> {
    pub(super) equals: &'a Option<OneOrMany<String>>,
    pub(super) not_equals: &'a Option<OneOrMany<String>>,
    pub(super) starts_with: &'a Option<OneOrMany<String>>,
    pub(super) ends_with: &'a Option<OneOrMany<String>>,
    pub(super) contains: &'a Option<OneOrMany<String>>,
    pub(super) matches: &'a Option<OneOrMany<Pattern>>,
    pub(super) exists: Option<bool>,
}

impl Operators<'_> {
    /// The one test that is there.
    pub(super) fn test(self) -> Option<TextTest> {
        type Make = fn(Vec<Folded>) -> TextTest;
        let texts: [(&Option<OneOrMany<String>>, Make); 5] = [
            (self.equals, TextTest::Equals),
            (self.not_equals, TextTest::NotEquals),
            (self.starts_with, TextTest::StartsWith),
            (self.ends_with, TextTest::EndsWith),
            (self.contains, TextTest::Contains),
        ];
        if let Some((values, make)) = texts.into_iter().find_map(|(values, make)| values.as_ref().map(|values| (values, make))) {
            return Some(make(folded(values)));
        }
        match self.matches {
            Some(patterns) => expressions(patterns).map(TextTest::Matches),
            None => self.exists.map(TextTest::Exists),
        }
    }
}
