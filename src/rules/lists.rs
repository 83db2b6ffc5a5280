//! Address lists: built once, asked often.

use std::collections::{HashMap, HashSet};

use crate::limits::{DOMAIN_BYTES_MAX, DOMAIN_LABEL_BYTES_MAX, LIST_DOMAIN_LEVELS_MAX};
use crate::message::fold;
use crate::smtp::Address;

/// A named list of addresses with Mail Manager's wildcard rules.
///
/// An entry is an address, or has one star beside the `@` or at its begin: `*@domain`, `user*@domain`, `local@*.domain`,
/// `*.domain`. A star before a domain stands for one label or more, never for none. Every question costs a few look-ups,
/// however long the list is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AddressList {
    /// Its key in `gateway.yaml`; empty for one that has none.
    name: Box<str>,
    exact: HashSet<Box<str>>,
    /// `user*@domain`, by domain; the empty prefix is `*@domain`.
    prefixes: HashMap<Box<str>, HashSet<Box<str>>>,
    /// `local@*.domain`, by domain.
    locals_below: HashMap<Box<str>, HashSet<Box<str>>>,
    /// `*.domain`.
    below: HashSet<Box<str>>,
}

/// How many entries of each kind stand for a list.
const SAMPLES: usize = 8;

/// Why a list entry is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressListError(pub String);

impl AddressList {
    /// Builds the list; every entry that is wrong is reported with its position.
    pub fn build<'a>(entries: impl Iterator<Item = &'a str>) -> (Self, Vec<(usize, AddressListError)>) {
        let mut list = Self::default();
        let errors = entries.enumerate().filter_map(|(position, entry)| list.add(entry).err().map(|error| (position, error)));
        let errors = errors.collect();
        (list, errors)
    }

    /// The same list under a name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Its name; empty for a list that has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is no entry at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty() && self.locals_below.is_empty() && self.below.is_empty()
    }

    /// Whether the address is in the list, without regard to case.
    pub fn contains(&self, address: &str) -> bool {
        let folded;
        let address = if address.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
            address
        } else {
            folded = fold(address);
            &folded
        };
        if self.exact.contains(address) {
            return true;
        }
        let Some((local, domain)) = address.rsplit_once('@') else { return false };
        let has_prefix = |prefixes: &HashSet<Box<str>>| {
            let ends = local.char_indices().map(|(position, _)| position).chain([local.len()]);
            ends.filter_map(|end| local.get(..end)).any(|prefix| prefixes.contains(prefix))
        };
        self.prefixes.get(domain).is_some_and(has_prefix)
            || parents(domain)
                .any(|parent| self.below.contains(parent) || self.locals_below.get(parent).is_some_and(|locals| locals.contains(local)))
    }

    /// A few addresses that are in the list, of each kind of entry; none when it is empty.
    pub fn samples(&self) -> impl Iterator<Item = String> {
        let exact = self.exact.iter().map(|address| address.to_string());
        let prefixes = self.prefixes.iter().flat_map(|(domain, prefixes)| prefixes.iter().map(move |prefix| format!("{prefix}x@{domain}")));
        let locals = self.locals_below.iter().flat_map(|(domain, locals)| locals.iter().map(move |local| format!("{local}@x.{domain}")));
        let below = self.below.iter().map(|domain| format!("x@x.{domain}"));
        exact.take(SAMPLES).chain(prefixes.take(SAMPLES)).chain(locals.take(SAMPLES)).chain(below.take(SAMPLES))
    }

    fn add(&mut self, entry: &str) -> Result<(), AddressListError> {
        let entry = &*fold(entry.trim());
        if entry.matches('*').count() > 1 {
            return wrong("more than one `*`");
        }
        let Some((local, domain)) = entry.rsplit_once('@') else {
            return match entry.strip_prefix("*.") {
                Some(parent) => {
                    check_parent(parent)?;
                    self.below.insert(parent.into());
                    Ok(())
                }
                // The guide does not say what a bare domain matches, so nobody should have to guess.
                None if is_domain(entry) => wrong(&format!("a domain alone; write `*@{entry}` for all its addresses")),
                None => wrong("no `@`"),
            };
        };
        if local.is_empty() || local.chars().any(|c| c.is_control() || (c == ' ' && !local.starts_with('"'))) {
            return wrong("the part before the `@` is not a local part");
        }
        if let Some(parent) = domain.strip_prefix("*.") {
            check_parent(parent)?;
            self.locals_below.entry(parent.into()).or_default().insert(local.into());
        } else if !is_domain(domain) && !is_literal(domain) {
            return wrong("the part behind the `@` is not a domain");
        } else if let Some(prefix) = local.strip_suffix('*') {
            self.prefixes.entry(domain.into()).or_default().insert(prefix.into());
        } else if local.contains('*') {
            return wrong("a `*` may only stand directly before or behind the `@`, or before `.domain`");
        } else {
            // Questions come without needless quoting, so the entry stands without it.
            let plain = Address::parse(entry, true).map(|address| address.canonical().into_owned());
            self.exact.insert(plain.unwrap_or_else(|_| entry.to_owned()).into());
        }
        Ok(())
    }
}

/// The domains above this one, nearest first.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    domain.match_indices('.').filter_map(|(dot, _)| domain.get(dot.saturating_add(1)..))
}

fn check_parent(domain: &str) -> Result<(), AddressListError> {
    let levels = domain.split('.').count();
    if !is_domain(domain) {
        return wrong("what follows `*.` is not a domain");
    }
    if !(2..=LIST_DOMAIN_LEVELS_MAX).contains(&levels) {
        return wrong(&format!("the domain behind `*.` must have 2 to {LIST_DOMAIN_LEVELS_MAX} levels"));
    }
    Ok(())
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=DOMAIN_LABEL_BYTES_MAX).contains(&label.len())
            && label.chars().all(|c| !c.is_ascii() || c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    text.len() <= DOMAIN_BYTES_MAX && text.split('.').all(is_label)
}

fn is_literal(text: &str) -> bool {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).is_some_and(|inner| !inner.contains('*'))
}

fn wrong<T>(text: &str) -> Result<T, AddressListError> {
    Err(AddressListError(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_guide_says() {
        let entries =
            ["Exact@Acme.example", "*@all.example", "sales*@acme.example", "post@*.acme.example", "*.deep.example", "ü@x.example"];
        let (list, errors) = AddressList::build(entries.into_iter());
        assert_eq!(errors, []);
        for (address, expected) in [
            ("exact@acme.example", true),
            ("EXACT@ACME.EXAMPLE", true),
            ("exact2@acme.example", false),
            ("any@all.example", true),
            ("any@sub.all.example", false),
            ("sales@acme.example", true),
            ("Sales-emea@acme.example", true),
            ("presales@acme.example", false),
            ("post@a.acme.example", true),
            ("post@a.b.acme.example", true),
            ("post@acme.example", false),
            ("other@a.acme.example", false),
            ("x@a.deep.example", true),
            ("x@deep.example", false),
            ("x@notdeep.example", false),
            ("Ü@x.example", true),
            ("\"a@all.example\"@x.example", false),
            ("", false),
            ("all.example", false),
        ] {
            assert_eq!(list.contains(address), expected, "{address}");
        }
    }

    #[test]
    fn wrong_entries_are_reported_where_they_stand() {
        let entries =
            ["a@b.example", "*@*.b.example", "acme.example", "a*b@c.example", "*.example", "x", "@b.example", "a@", "", "a b@c.d"];
        let (_, errors) = AddressList::build(entries.into_iter());
        assert_eq!(errors.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(errors[1].1.0, "a domain alone; write `*@acme.example` for all its addresses");
    }
}
