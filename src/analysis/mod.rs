//! What can be proven about rule sets and policies without a message: what is never reached, what is lost, what comes twice.
//!
//! Pure. Conditions are taken as sets (networks, texts with beginnings and ends, words, numbers). What cannot be taken so (regular
//! expressions, analyzers) is either way: then a finding that stands on it is not made. A finding never rests on a guess, and one about
//! what can happen comes with a [`Witness`] that evaluation confirms.

mod dead;
mod delivery;
pub mod policies;
pub mod recipients;
mod rule_set;
mod sets;
#[cfg(test)]
mod tests;
mod world;

pub use rule_set::{Given, rule_set};

use std::sync::Arc;

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// Where it is to be shown.
    pub at: Place,
    /// In one line, with the names of rules in backticks.
    pub message: String,
    /// Other places that it rests on, with what is there.
    pub others: Vec<(Place, String)>,
    /// A message that shows it, where something can happen.
    pub witness: Option<Witness>,
    /// What was probably meant, or what can be done.
    pub help: Vec<String>,
}

/// What a [`Finding`] is about; `config` gives each a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// A rule, action, statement or value that never counts.
    Dead,
    /// Mail that is accepted and reaches nobody, or that no rule disposes of though nothing says what then.
    Lost,
    /// A recipient who gets a message twice.
    Twice,
    /// A message that can only be answered by a bounce.
    Backscatter,
    /// Mail that is lost without a word when a next hop refuses it.
    Silent,
    /// Recipients that are rewritten in a circle, or mail that comes back.
    Loop,
    /// Mail for strangers that strangers can send.
    OpenRelay,
    /// An order in the file that says something else than is judged.
    Order,
}

/// A place in a rule set or a policy; numbers count from 0 and are those of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The whole.
    Whole,
    /// A rule of a rule set.
    Rule(usize),
    /// A condition below `when` of a rule: its place there, then those below `any`, `all` and `not`.
    When(usize, Vec<usize>),
    /// The same below `unless`.
    Unless(usize, Vec<usize>),
    /// An action of a rule.
    Action(usize, usize),
    /// A statement of a policy, below `deny` or `allow`.
    Statement(List, usize),
    /// A condition of a statement.
    Condition(List, usize, usize),
    /// A value of a condition: the condition's place and the number of the value.
    Value(Box<Place>, usize),
}

/// The two lists of a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum List {
    /// `deny`.
    Deny,
    /// `allow`.
    Allow,
}

/// A message that shows what a finding says: attributes in the words of the rule language, with their values. What is not named does not
/// matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness(pub Vec<(Arc<str>, String)>);

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for (attribute, value) in &self.0 {
            write!(f, "{separator}{attribute}: {value}")?;
            separator = ", ";
        }
        Ok(())
    }
}
