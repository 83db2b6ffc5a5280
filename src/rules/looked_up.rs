//! Conditions on what must be looked up: they hold, they do not, or it is not known, and why.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::test::Value;
use super::{Action, Condition, Mode, Rule, RuleSet, TextAttribute, TextTest, VerdictAttribute};
use crate::message::{ArcResult, DkimResult, DmarcPolicy, DmarcResult, Fact, FieldValue, Findings, Need, SpfResult, Text, Verdict};

/// A test of what an analyzer found.
#[derive(Clone, Debug)]
pub struct AnalysisCondition {
    /// An analyzer of `gateway.yaml`.
    pub analyzer: Arc<str>,
    /// A field of its result.
    pub field: Box<str>,
    /// Of the field's type.
    pub test: FieldTest,
    /// What it means when the analyzer does not answer.
    pub on_error: OnError,
}

/// How a field of an analysis is tested. A field without a value fails the positive tests and passes the negative ones.
#[derive(Clone, Debug)]
pub enum FieldTest {
    /// Texts.
    Text(TextTest),
    /// A number: any of the values, and for `NotEquals` none.
    Number(super::NumberOperator, Vec<f64>),
    /// A yes or no; `negated` for `not_equals`.
    Boolean {
        /// `not_equals`.
        negated: bool,
        /// The values.
        values: Vec<bool>,
    },
    /// One of Mail Manager's verdicts; `negated` for `not_equals`.
    Verdict {
        /// `not_equals`.
        negated: bool,
        /// The words.
        words: Vec<Verdict>,
    },
    /// Whether the field has a value, of whatever type.
    Exists(bool),
}

/// What it means when there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The client is asked to come again, unless the answer does not matter.
    Defer,
    /// What asked does not match.
    Skip,
}

/// Whether a condition holds, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Whether it holds.
    Known(bool),
    /// Nobody has asked for this yet.
    NotAsked(Need),
    /// It was asked for, and there is no answer now.
    NoAnswer {
        /// What that means.
        on_error: OnError,
        /// Who did not answer and why, for the log.
        why: String,
    },
}

impl AnalysisCondition {
    /// Whether the condition holds.
    pub fn truth(&self, findings: &Findings) -> Truth {
        let no_answer = |why: &str| Truth::NoAnswer { on_error: self.on_error, why: format!("{}: {why}", self.analyzer) };
        match findings.analyses.get(&self.analyzer) {
            None | Some(Fact::NotAsked) => Truth::NotAsked(Need::Analysis(Arc::clone(&self.analyzer))),
            Some(Fact::Unknown(why)) => no_answer(why),
            Some(Fact::Known(analysis)) => match self.test.holds(analysis.fields.get(&self.field)) {
                Some(holds) => Truth::Known(holds),
                // Never taken for the value that lets a message through.
                None => no_answer("the field has another type"),
            },
        }
    }
}

impl FieldTest {
    /// Whether the test holds for this value; `None` when it is of another type.
    pub fn holds(&self, value: Option<&FieldValue>) -> Option<bool> {
        Some(match (self, value) {
            (Self::Exists(wanted), value) => value.is_some() == *wanted,
            (Self::Text(test), None) => test.outcome(false),
            (Self::Text(test), Some(FieldValue::Texts(texts))) => test.holds(texts.iter().map(Value::Text)),
            (Self::Number(operator, _), None) => *operator == super::NumberOperator::NotEquals,
            (Self::Number(operator, values), Some(FieldValue::Number(number))) => operator.holds(*number, values),
            (Self::Boolean { negated, .. } | Self::Verdict { negated, .. }, None) => *negated,
            (Self::Boolean { negated, values }, Some(FieldValue::Boolean(value))) => values.contains(value) != *negated,
            (Self::Verdict { negated, words }, Some(FieldValue::Verdict(verdict))) => words.contains(verdict) != *negated,
            _ => return None,
        })
    }
}

/// Whether the client's host name fits. A client without one has no value, not an empty one.
pub fn client_host(test: &TextTest, findings: &Findings) -> Truth {
    match &findings.client_host {
        Fact::NotAsked => Truth::NotAsked(Need::ClientHost),
        Fact::Unknown(why) => Truth::NoAnswer { on_error: OnError::Defer, why: format!("client_host: {why}") },
        Fact::Known(None) => Truth::Known(test.outcome(false)),
        Fact::Known(Some(host)) => Truth::Known(test.holds(std::iter::once(Value::Text(&Text::new(&**host))))),
    }
}

/// Whether a verdict is one of the words. That it could not be reached is a verdict as well.
pub fn verdict(attribute: VerdictAttribute, negated: bool, words: &[Box<str>], findings: &Findings) -> Truth {
    match attribute.word(findings) {
        Some(word) => Truth::Known(words.iter().any(|one| **one == *word) != negated),
        None => Truth::NotAsked(attribute.need()),
    }
}

impl VerdictAttribute {
    /// What must be looked up for it.
    pub fn need(self) -> Need {
        match self {
            Self::Spf | Self::SpfResult => Need::Spf,
            Self::Dkim | Self::DkimResult => Need::Dkim,
            Self::DmarcResult | Self::DmarcPolicy => Need::Dmarc,
            Self::ArcResult => Need::Arc,
        }
    }

    /// The words that it can have.
    pub fn words(self) -> Vec<&'static str> {
        match self {
            Self::Spf | Self::Dkim => Verdict::ALL.iter().map(|word| word.as_str()).collect(),
            Self::SpfResult => SpfResult::ALL.iter().map(|word| word.as_str()).collect(),
            Self::DkimResult => DkimResult::ALL.iter().map(|word| word.as_str()).collect(),
            Self::DmarcResult => DmarcResult::ALL.iter().map(|word| word.as_str()).collect(),
            Self::DmarcPolicy => DmarcPolicy::ALL.iter().map(|word| word.as_str()).collect(),
            Self::ArcResult => ArcResult::ALL.iter().map(|word| word.as_str()).collect(),
        }
    }

    /// As rule files write it; `None` when nobody has asked.
    pub fn word(self, findings: &Findings) -> Option<&'static str> {
        let Findings { spf, dkim, dmarc, arc, .. } = findings;
        match self {
            Self::Spf => spf.as_ref().map(|spf| spf.verdict().as_str()),
            Self::SpfResult => spf.as_ref().map(|spf| spf.result.as_str()),
            Self::Dkim => dkim.as_ref().map(|dkim| dkim.verdict().as_str()),
            Self::DkimResult => dkim.as_ref().map(|dkim| dkim.result.as_str()),
            Self::DmarcResult => dmarc.as_ref().map(|dmarc| dmarc.result.as_str()),
            // What the domain publishes: whether the message passes is what `dmarc_result` says.
            Self::DmarcPolicy => dmarc.as_ref().map(|dmarc| dmarc.policy.as_str()),
            Self::ArcResult => arc.as_ref().map(|arc| arc.result.as_str()),
        }
    }
}

impl Condition {
    /// Whether a condition on something that must be looked up holds; `None` for every other.
    pub(super) fn looked_up(&self, findings: &Findings) -> Option<Truth> {
        match self {
            Self::Text(TextAttribute::ClientHost, test) => Some(client_host(test, findings)),
            Self::Verdict { attribute, negated, values } => Some(verdict(*attribute, *negated, values, findings)),
            Self::Analysis(condition) => Some(condition.truth(findings)),
            _ => None,
        }
    }

    fn add_needs(&self, needs: &mut BTreeSet<Need>) {
        match self {
            Self::Any(conditions) | Self::All(conditions) => conditions.iter().for_each(|condition| condition.add_needs(needs)),
            Self::Not(condition) => condition.add_needs(needs),
            Self::Text(TextAttribute::ClientHost, _) => drop(needs.insert(Need::ClientHost)),
            Self::Verdict { attribute, .. } => drop(needs.insert(attribute.need())),
            Self::Analysis(condition) => drop(needs.insert(Need::Analysis(Arc::clone(&condition.analyzer)))),
            _ => {}
        }
    }
}

impl RuleSet {
    /// All that the rules can ask for, whatever the message.
    pub fn mentions(&self) -> BTreeSet<Need> {
        let mut needs = BTreeSet::new();
        for Rule { when, unless, actions, .. } in self.rules.iter().filter(|rule| rule.mode != Mode::Off) {
            when.iter().chain(unless).for_each(|condition| condition.add_needs(&mut needs));
            for action in actions {
                if let Action::AddHeader { value, .. } = action {
                    needs.extend(value.needs());
                }
            }
        }
        needs
    }
}
