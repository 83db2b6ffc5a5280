//! A rule set, and its rules with what is found out about them once.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::candidates::Index;
use super::{Otherwise, Rule};

/// A set with fewer rules is judged rule by rule, which is faster than to look up which of them can match (`benches/judging.rs`).
const INDEXED_RULES_MIN: usize = 12;

/// A rule set: `rules/NAME.yaml`.
#[derive(Clone, Debug)]
pub struct RuleSet {
    /// The file's stem.
    pub name: Arc<str>,
    /// What happens to a recipient that no rule disposed of.
    pub otherwise: Otherwise,
    /// In the order of the file.
    pub rules: Rules,
}

/// Rules in their order. They never change, so that what a message is looked up in can be made once.
#[derive(Default)]
pub struct Rules {
    rules: Vec<Rule>,
    index: OnceLock<Option<Box<Index>>>,
}

impl RuleSet {
    /// Makes what lets many messages be judged faster. A message or two are judged sooner without.
    pub fn make_ready(&self) {
        let index = || (self.rules.len() >= INDEXED_RULES_MIN).then(|| Box::new(Index::new(&self.rules)));
        self.rules.index.get_or_init(index);
    }
}

impl Rules {
    /// Which rules a message can match; `None` where all are to be judged.
    pub(super) fn index(&self) -> Option<&Index> {
        self.index.get()?.as_deref()
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.rules
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        Self { rules, index: OnceLock::new() }
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Vec::from_iter(rules).into()
    }
}

impl<'r> IntoIterator for &'r Rules {
    type Item = &'r Rule;
    type IntoIter = std::slice::Iter<'r, Rule>;

    fn into_iter(self) -> Self::IntoIter {
        self.rules.iter()
    }
}

impl Clone for Rules {
    fn clone(&self) -> Self {
        self.rules.clone().into()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.fmt(f)
    }
}
