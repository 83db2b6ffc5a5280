//! What was seen when a message was judged: each rule, for each recipient, with each condition, its values and its outcome.
//!
//! Nothing is judged here: outcomes come from the code that judges, and values from the code that shows them to the tests.

use std::sync::Arc;

use super::answer::Bounds;
use super::facts::{Bearing, Facts, Look, attachment_values};
use super::group::{Group, Member};
use super::looked_up::OnError;
use super::shown::quoted;
use super::test::Value;
use super::{AnalysisCondition, Condition, Mode, Rule, TextAttribute, Truth};
use crate::limits::EXPLAINED_VALUES_MAX;
use crate::message::{Analysis, Fact, FieldValue, Findings};
use crate::smtp::Address;

/// A rule and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTrace {
    /// Its place in the rule set, from 0.
    pub index: usize,
    /// Its name.
    pub rule: Arc<str>,
    /// How it takes part.
    pub mode: Mode,
    /// Whom it was judged for, in the order of the envelope; nobody where the rule is off, or all had come to their end before.
    pub recipients: Vec<RecipientTrace>,
}

/// A rule and one of those whom it was judged for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientTrace {
    /// The address, as rules before this one have left it.
    pub address: Address,
    /// Positions of the envelope recipients that it stands for.
    pub originals: Vec<usize>,
    /// Whether the rule matches.
    pub outcome: Seen,
    /// The conditions of `when`, all of them.
    pub when: Vec<ConditionTrace>,
    /// The conditions of `unless`, all of them.
    pub unless: Vec<ConditionTrace>,
}

/// A condition and what it saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionTrace {
    /// What it looks at: `from`, `header x-spam`, `analysis rspamd.score`, `any`, `all`, `not`.
    pub attribute: String,
    /// What it asks: `ends_with: "@gmail.com"`; empty where others stand below it.
    pub test: String,
    /// The values that there are, texts in quotes; of many the first ones.
    pub saw: Vec<String>,
    /// Whether it holds.
    pub outcome: Seen,
    /// The conditions below it.
    pub inner: Vec<ConditionTrace>,
}

/// What came of looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// It is not known, and why.
    Unknown(String),
}

/// A condition of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConditionPath {
    /// Below `unless`, not below `when`.
    pub unless: bool,
    /// Its place there, then those below `any`, `all` and `not`.
    pub steps: Vec<usize>,
}

impl RuleTrace {
    /// A rule that nobody has come to.
    pub(super) fn unreached(index: usize, rule: &Rule) -> Self {
        Self { index, rule: Arc::clone(&rule.name), mode: rule.mode, recipients: Vec::new() }
    }
}

impl RecipientTrace {
    /// The conditions that decided against the rule, or that leave it open; none where it matches, for then all of them did.
    pub fn deciding(&self) -> Vec<ConditionPath> {
        let mut deciding = Vec::new();
        let mut look = |unless: bool, wanted: fn(&Seen) -> bool, all: bool| {
            let conditions = if unless { &self.unless } else { &self.when };
            for (place, condition) in conditions.iter().enumerate().filter(|(_, condition)| wanted(&condition.outcome)) {
                let mut found = Vec::new();
                condition.decisive(&mut vec![place], &mut found);
                deciding.extend(found.into_iter().map(|steps| ConditionPath { unless, steps }));
                if !all {
                    return true;
                }
            }
            false
        };
        match self.outcome {
            Seen::Holds => {}
            // Either is enough.
            Seen::Fails => drop(look(false, Seen::fails, false) || look(true, Seen::holds, false)),
            Seen::Unknown(_) => {
                look(false, Seen::is_unknown, true);
                look(true, Seen::is_unknown, true);
            }
        }
        deciding
    }

    /// The condition at this place.
    pub fn condition(&self, path: &ConditionPath) -> Option<&ConditionTrace> {
        let (first, rest) = path.steps.split_first()?;
        let conditions = if path.unless { &self.unless } else { &self.when };
        rest.iter().try_fold(conditions.get(*first)?, |condition, step| condition.inner.get(*step))
    }
}

impl ConditionTrace {
    /// Goes down as long as one condition alone makes this one what it is.
    fn decisive(&self, path: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
        let mut same: Vec<usize> = Vec::new();
        for (place, inner) in self.inner.iter().enumerate() {
            let is_alike = match (self.attribute.as_str(), &self.outcome) {
                ("not", _) => true,
                (_, Seen::Unknown(_)) => inner.outcome.is_unknown(),
                (_, Seen::Holds) => inner.outcome == Seen::Holds,
                (_, Seen::Fails) => inner.outcome == Seen::Fails,
            };
            same.extend(is_alike.then_some(place));
        }
        // That any of them holds, or that one of all fails, the first such one decides; else they do it together.
        let alone = match (self.attribute.as_str(), &self.outcome) {
            ("not", _) | ("any", Seen::Holds) | ("all", Seen::Fails) => same.first().copied(),
            (_, Seen::Unknown(_)) => {
                for place in &same {
                    path.push(*place);
                    self.inner.get(*place).into_iter().for_each(|inner| inner.decisive(path, found));
                    path.pop();
                }
                if same.is_empty() {
                    found.push(path.clone());
                }
                return;
            }
            _ if self.inner.len() == 1 => same.first().copied(),
            _ => None,
        };
        match alone.and_then(|place| Some((place, self.inner.get(place)?))) {
            Some((place, inner)) => {
                path.push(place);
                inner.decisive(path, found);
                path.pop();
            }
            None => found.push(path.clone()),
        }
    }
}

impl Seen {
    /// Whether it holds, surely.
    pub fn holds(&self) -> bool {
        *self == Self::Holds
    }

    /// Whether it surely does not hold.
    pub fn fails(&self) -> bool {
        *self == Self::Fails
    }

    /// Whether it is not known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown(_))
    }

    fn of(known: Option<bool>, why: impl FnOnce() -> String) -> Self {
        match known {
            Some(true) => Self::Holds,
            Some(false) => Self::Fails,
            None => Self::Unknown(why()),
        }
    }
}

/// A condition judged for a group; what concerns one member is taken out of it.
struct Judged<'c> {
    condition: &'c Condition,
    bounds: Bounds,
    /// Why it is not known, where it is not.
    why: String,
    /// What all members see; `None` where each sees something else.
    saw: Option<Vec<String>>,
    inner: Vec<Judged<'c>>,
}

impl Facts<'_> {
    /// What a rule sees in those members of a group that it is asked about.
    pub(super) fn traces(&self, rule: &Rule, group: &Group<'_>, is_concerned: impl Fn(usize) -> bool) -> Vec<RecipientTrace> {
        let (with, against) = Bearing::of(rule);
        let when: Vec<Judged<'_>> = rule.when.iter().map(|condition| self.judged(condition, group, with)).collect();
        let unless: Vec<Judged<'_>> = rule.unless.iter().map(|condition| self.judged(condition, group, against)).collect();
        let bounds = self.matching(rule, group);
        let members = group.members.iter().enumerate().filter(|(place, _)| is_concerned(*place));
        members
            .map(|(place, member)| {
                let of = |judged: &[Judged<'_>]| -> Vec<ConditionTrace> {
                    judged.iter().map(|judged| self.trace_of(judged, group, place, member)).collect()
                };
                let (when, unless) = (of(&when), of(&unless));
                let outcome = Seen::of(bounds.known_for(place), || reasons(when.iter().chain(&unless)));
                RecipientTrace { address: member.address.clone(), originals: member.originals.clone(), outcome, when, unless }
            })
            .collect()
    }

    fn judged<'c>(&self, condition: &'c Condition, group: &Group<'_>, bearing: Bearing) -> Judged<'c> {
        let inner = match condition {
            Condition::Any(conditions) | Condition::All(conditions) => {
                conditions.iter().map(|condition| self.judged(condition, group, bearing)).collect()
            }
            Condition::Not(condition) => vec![self.judged(condition, group, bearing.turned())],
            _ => Vec::new(),
        };
        let why = match condition.looked_up(self.message.findings) {
            Some(Truth::NotAsked(need)) => format!("{need} is not known"),
            Some(Truth::NoAnswer { why, .. }) => why,
            Some(Truth::Known(_)) | None => String::new(),
        };
        let differs = matches!(condition, Condition::Text(attribute, _) if attribute.depends_on_recipient());
        let saw = (!differs).then(|| self.saw(condition, group, None));
        Judged { condition, bounds: self.judge(condition, group, bearing), why, saw, inner }
    }

    fn trace_of(&self, judged: &Judged<'_>, group: &Group<'_>, place: usize, member: &Member) -> ConditionTrace {
        let inner: Vec<ConditionTrace> = judged.inner.iter().map(|inner| self.trace_of(inner, group, place, member)).collect();
        ConditionTrace {
            attribute: judged.condition.attribute(),
            test: judged.condition.test(),
            saw: judged.saw.clone().unwrap_or_else(|| self.saw(judged.condition, group, Some(member))),
            outcome: Seen::of(judged.bounds.known_for(place), || if inner.is_empty() { judged.why.clone() } else { reasons(inner.iter()) }),
            inner,
        }
    }

    /// The values that a condition looks at.
    fn saw(&self, condition: &Condition, group: &Group<'_>, member: Option<&Member>) -> Vec<String> {
        let findings = self.message.findings;
        let mut saw = Values::default();
        match condition {
            Condition::Text(TextAttribute::ClientHost, _) => return looked_at(condition, findings),
            Condition::Text(attribute, test) => {
                self.find(*attribute, group, member, Look::of(test), &mut |value| {
                    saw.push(value);
                    false
                });
            }
            Condition::Header(name, _) => group.view.header(name).iter().for_each(|text| saw.push(Value::Text(text))),
            Condition::Attachment(part, _) => attachment_values(*part, group).for_each(|text| saw.push(Value::Text(text))),
            Condition::ClientCertificate(attribute, _) => {
                return shortened(self.certificate_values(*attribute).iter().map(|value| quoted(value)));
            }
            Condition::Number(attribute, ..) => return vec![self.number(*attribute).to_string()],
            Condition::SourceIp(_) => return vec![self.message.session.client_ip.to_string()],
            Condition::Flag(flag, _) => return vec![self.flag(*flag, group).to_string()],
            Condition::Verdict { .. } | Condition::Analysis(_) => return looked_at(condition, findings),
            Condition::Any(_) | Condition::All(_) | Condition::Not(_) => return Vec::new(),
        }
        shortened(saw.0.into_iter().map(|(_, shown)| shown))
    }
}

/// Values of a text attribute, each once: spellings that differ in nothing but case are one.
#[derive(Default)]
struct Values(Vec<(String, String)>);

impl Values {
    fn push(&mut self, value: Value<'_>) {
        if !self.0.iter().any(|(folded, _)| folded == value.folded()) {
            self.0.push((value.folded().to_owned(), quoted(value.plain())));
        }
    }
}

/// What a condition on something that must be looked up sees; nothing for every other condition, and where nobody has asked.
fn looked_at(condition: &Condition, findings: &Findings) -> Vec<String> {
    match condition {
        Condition::Text(TextAttribute::ClientHost, _) => host_looked_at(findings),
        Condition::Verdict { attribute, .. } => attribute.word(findings).map(str::to_owned).into_iter().collect(),
        Condition::Analysis(condition) => analysis_looked_at(condition, findings),
        _ => Vec::new(),
    }
}

/// What a condition on the client's host name sees.
pub fn host_looked_at(findings: &Findings) -> Vec<String> {
    match &findings.client_host {
        Fact::NotAsked | Fact::Known(None) => Vec::new(),
        Fact::Unknown(why) => vec![format!("no answer ({why})")],
        Fact::Known(Some(host)) => vec![quoted(host)],
    }
}

/// What a condition on an analyzer's field sees.
pub fn analysis_looked_at(condition: &AnalysisCondition, findings: &Findings) -> Vec<String> {
    match findings.analyses.get(&condition.analyzer) {
        None | Some(Fact::NotAsked) => Vec::new(),
        Some(Fact::Unknown(why)) => {
            let skipped = if condition.on_error == OnError::Skip { ", skipped" } else { "" };
            vec![format!("no answer ({why}){skipped}")]
        }
        Some(Fact::Known(analysis)) => field(analysis, &condition.field),
    }
}

fn field(analysis: &Analysis, name: &str) -> Vec<String> {
    match analysis.fields.get(name) {
        None => Vec::new(),
        Some(FieldValue::Texts(texts)) => shortened(texts.iter().map(|text| quoted(text.plain()))),
        Some(FieldValue::Number(number)) => vec![number.to_string()],
        Some(FieldValue::Boolean(value)) => vec![value.to_string()],
        Some(FieldValue::Verdict(verdict)) => vec![verdict.as_str().to_owned()],
    }
}

fn shortened(values: impl Iterator<Item = String>) -> Vec<String> {
    let mut values = values.fuse();
    let mut shown: Vec<String> = values.by_ref().take(EXPLAINED_VALUES_MAX).collect();
    let more = values.count();
    shown.extend((more > 0).then(|| format!("… {more} more")));
    shown
}

/// Why something that stands on these is not known.
fn reasons<'t>(conditions: impl Iterator<Item = &'t ConditionTrace>) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for condition in conditions {
        if let Seen::Unknown(why) = &condition.outcome
            && !reasons.contains(&why.as_str())
        {
            reasons.push(why);
        }
    }
    reasons.join("; ")
}
