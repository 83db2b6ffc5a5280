//! What must be true of a message for a rule to match, in a form that can be looked up.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use ipnet::IpNet;

use crate::rules::{AddressList, Condition, IpSet, IpTest, Mode, NumberAttribute, NumberOperator, Rule, TextAttribute, TextTest};

/// Of whose values something is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject<'r> {
    Attribute(TextAttribute),
    /// Fields of this name.
    Header(&'r str),
}

/// Where in a value a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Way {
    /// It is the value.
    Whole,
    Begin,
    End,
    Anywhere,
}

/// A fact of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'r> {
    /// A value has the text, which is not empty but for the whole value.
    Text(Subject<'r>, Way, &'r str),
    /// There is a value.
    AnyValue(Subject<'r>),
    /// A value is in the list.
    InList(Subject<'r>, Same<'r, AddressList>),
    /// The client is in the network.
    Network(IpNet),
    /// The client is in the list.
    NetworkList(Same<'r, IpSet>),
    /// The number is so.
    Number(NumberAttribute, NumberOperator, u64),
}

/// A list that is told from others by where it lies, without a look into it.
#[derive(Debug)]
pub(super) struct Same<'r, T>(pub(super) &'r Arc<T>);

/// Chooses for each rule what is looked up: what the fewest rules ask for.
pub(super) struct Chooser<'r> {
    /// How many conditions ask for it.
    askers: HashMap<Key<'r>, u64>,
}

/// Keys of which one at least is true wherever a condition holds.
struct Choice<'r> {
    keys: Vec<Key<'r>>,
    /// How many rules are found by them in vain, roughly.
    weight: u64,
}

impl<'r> Chooser<'r> {
    pub(super) fn new(rules: &'r [Rule]) -> Self {
        let mut askers = HashMap::new();
        let mut conditions: Vec<&Condition> = rules.iter().filter(|rule| rule.mode != Mode::Off).flat_map(|rule| &rule.when).collect();
        while let Some(condition) = conditions.pop() {
            match condition {
                Condition::Any(inner) | Condition::All(inner) => conditions.extend(inner),
                condition => {
                    for key in keys(condition).into_iter().flatten() {
                        let count: &mut u64 = askers.entry(key).or_default();
                        *count = count.saturating_add(1);
                    }
                }
            }
        }
        Self { askers }
    }

    /// Keys of which one at least is true of every message that the rule matches, whoever the recipient; `None` if none are known.
    /// What stands below `unless` cannot be one: it speaks against the rule.
    pub(super) fn keys(&self, rule: &'r Rule) -> Option<Vec<Key<'r>>> {
        self.all(&rule.when).map(|choice| choice.keys)
    }

    fn all(&self, conditions: &'r [Condition]) -> Option<Choice<'r>> {
        conditions.iter().filter_map(|condition| self.of(condition)).min_by_key(|choice| choice.weight)
    }

    fn of(&self, condition: &'r Condition) -> Option<Choice<'r>> {
        match condition {
            Condition::All(conditions) => self.all(conditions),
            Condition::Any(conditions) => {
                let choices: Vec<Choice<'r>> = conditions.iter().map(|condition| self.of(condition)).collect::<Option<_>>()?;
                let weight = choices.iter().fold(0_u64, |weight, choice| weight.saturating_add(choice.weight));
                Some(Choice { keys: choices.into_iter().flat_map(|choice| choice.keys).collect(), weight })
            }
            condition => {
                let keys = keys(condition)?;
                let weight = |key: &Key<'r>| key.weight().saturating_mul(self.askers.get(key).copied().unwrap_or(1));
                let weight = keys.iter().map(weight).fold(0_u64, u64::saturating_add);
                Some(Choice { keys, weight })
            }
        }
    }
}

/// Of a condition that is neither `any` nor `all`. One that must be looked up elsewhere, or that holds where something is missing, has
/// none.
fn keys(condition: &Condition) -> Option<Vec<Key<'_>>> {
    match condition {
        Condition::Text(TextAttribute::ClientHost, _) => None,
        Condition::Text(attribute, test) => of_text(Subject::Attribute(*attribute), test),
        Condition::Header(name, test) => of_text(Subject::Header(name), test),
        Condition::SourceIp(IpTest::CidrMatches(set)) => Some(set.networks().map(Key::Network).collect()),
        Condition::SourceIp(IpTest::InList(lists)) => Some(lists.iter().map(|list| Key::NetworkList(Same(list))).collect()),
        Condition::Number(_, NumberOperator::NotEquals, _) => None,
        Condition::Number(attribute, operator, values) => {
            Some(values.iter().map(|value| Key::Number(*attribute, *operator, *value)).collect())
        }
        _ => None,
    }
}

fn of_text<'r>(subject: Subject<'r>, test: &'r TextTest) -> Option<Vec<Key<'r>>> {
    let (texts, way) = match test {
        TextTest::Equals(texts) => (texts, Way::Whole),
        TextTest::StartsWith(texts) => (texts, Way::Begin),
        TextTest::EndsWith(texts) => (texts, Way::End),
        TextTest::Contains(texts) => (texts, Way::Anywhere),
        TextTest::InList(lists) => return Some(lists.iter().map(|list| Key::InList(subject, Same(list))).collect()),
        TextTest::Matches(_) | TextTest::Exists(true) => return Some(vec![Key::AnyValue(subject)]),
        TextTest::NotEquals(_) | TextTest::Exists(false) => return None,
    };
    let key = |text: &'r str| if text.is_empty() && way != Way::Whole { Key::AnyValue(subject) } else { Key::Text(subject, way, text) };
    Some(texts.iter().map(|text| key(text.as_str())).collect())
}

impl Key<'_> {
    /// How often it is true of a message, and what it costs to find out; only the order of these numbers matters.
    fn weight(&self) -> u64 {
        match self {
            Self::Text(_, Way::Whole, _) => 1,
            Self::Network(_) => 2,
            Self::Text(_, Way::Begin | Way::End, _) => 3,
            Self::Text(_, Way::Anywhere, _) => 6,
            Self::InList(..) | Self::NetworkList(_) => 10,
            Self::Number(..) => 20,
            Self::AnyValue(Subject::Header(_)) => 100,
            Self::AnyValue(Subject::Attribute(_)) => 10_000,
        }
    }
}

impl<T> Clone for Same<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Same<'_, T> {}

impl<T> PartialEq for Same<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.0, other.0)
    }
}

impl<T> Eq for Same<'_, T> {}

impl<T> Hash for Same<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(self.0).hash(state);
    }
}
