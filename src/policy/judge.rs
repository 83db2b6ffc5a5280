//! Judgement with what is known: true, false or undecided, and a verdict as soon as the undecided cannot change it.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::trace::PolicyTrace;
use super::{Effect, Known, Policy, PolicyCondition, PolicyFacts, Statement, TlsTest, Verdict};
use crate::message::{Need, Text, TlsVersion};
use crate::rules::{OnError, TextTest, Truth, Value, VerdictAttribute, client_host, verdict};
use crate::smtp::ReversePath;

impl Policy {
    /// Judges the session. The effect of a verdict is final: no fact that becomes known later changes it. With every fact
    /// known, and an answer to all that was looked up, there always is a verdict.
    pub fn judge(&self, facts: &PolicyFacts<'_>) -> Verdict {
        self.judge_texts(&Texts::new(facts))
    }

    /// The same, with what each statement looked at and saw.
    pub fn judge_traced(&self, facts: &PolicyFacts<'_>) -> (Verdict, PolicyTrace) {
        let texts = &Texts::new(facts);
        (self.judge_texts(texts), self.trace(texts))
    }

    fn judge_texts(&self, facts: &Texts<'_>) -> Verdict {
        let denied = match find(&self.deny, facts) {
            Found::Matching(statement) => return decided(Effect::Deny, Some(statement)),
            Found::Open(lack) => Some(lack),
            Found::Nothing => None,
        };
        let (rest, allowed) = match find(&self.allow, facts) {
            Found::Matching(statement) => (decided(Effect::Allow, Some(statement)), None),
            // Whether one of them matches does not matter where the default says the same.
            Found::Open(lack) if self.default == Effect::Deny => (decided(Effect::Deny, None), Some(lack)),
            Found::Open(_) | Found::Nothing => (decided(self.default, None), None),
        };
        match (denied, allowed) {
            (Some(denied), Some(allowed)) => denied.and(allowed).verdict(),
            (None, Some(allowed)) => allowed.verdict(),
            (Some(denied), None) if !matches!(rest, Verdict::Decided(Effect::Deny, _)) => denied.verdict(),
            _ => rest,
        }
    }
}

/// What is known of a list of statements, of which any can match.
enum Found<'p> {
    /// This one matches.
    Matching(&'p Statement),
    /// None matches yet, but one may.
    Open(Lack<'p>),
    /// None matches, whatever becomes known.
    Nothing,
}

/// What is missing to say whether a statement matches.
#[derive(Default)]
pub(super) struct Lack<'p> {
    /// The client has not come so far in the dialogue.
    is_early: bool,
    /// What nobody has asked for.
    needs: BTreeSet<Need>,
    /// What has no answer, with the statement that asks.
    unanswered: Option<(&'p Statement, String)>,
}

impl Lack<'_> {
    fn and(mut self, other: Self) -> Self {
        self.needs.extend(other.needs);
        Self { is_early: self.is_early || other.is_early, needs: self.needs, unanswered: self.unanswered.or(other.unanswered) }
    }

    fn verdict(self) -> Verdict {
        match self.unanswered {
            Some((statement, detail)) if !self.is_early && self.needs.is_empty() => {
                Verdict::Unknown { statement: Arc::clone(&statement.name), detail }
            }
            _ => Verdict::Undecided { needs: self.needs },
        }
    }
}

/// The facts, with texts that are folded at most once.
pub(super) struct Texts<'f> {
    pub(super) facts: &'f PolicyFacts<'f>,
    helo: OnceCell<Text>,
    mail_from: OnceCell<Text>,
    recipient: OnceCell<Text>,
}

fn find<'p>(statements: &'p [Statement], facts: &Texts<'_>) -> Found<'p> {
    let mut open: Option<Lack<'p>> = None;
    for statement in statements {
        match statement.holds(facts) {
            Held::Yes => return Found::Matching(statement),
            Held::No => {}
            Held::Open(lack) => open = Some(open.unwrap_or_default().and(lack)),
        }
    }
    open.map_or(Found::Nothing, Found::Open)
}

fn decided(effect: Effect, statement: Option<&Statement>) -> Verdict {
    Verdict::Decided(effect, statement.map(|statement| statement.name.clone()))
}

/// Whether a statement matches.
pub(super) enum Held<'p> {
    Yes,
    No,
    Open(Lack<'p>),
}

impl Statement {
    /// Whether all conditions hold; a single one that does not decides, whatever else is unknown.
    pub(super) fn holds(&self, facts: &Texts<'_>) -> Held<'_> {
        let mut open: Option<Lack<'_>> = None;
        for condition in &self.when {
            let lack = match condition.holds(facts) {
                Some(Truth::Known(true)) => continue,
                Some(Truth::Known(false) | Truth::NoAnswer { on_error: OnError::Skip, .. }) => return Held::No,
                Some(Truth::NoAnswer { on_error: OnError::Defer, why }) => Lack { unanswered: Some((self, why)), ..Lack::default() },
                Some(Truth::NotAsked(need)) => Lack { needs: BTreeSet::from([need]), ..Lack::default() },
                None => Lack { is_early: true, ..Lack::default() },
            };
            open = Some(open.unwrap_or_default().and(lack));
        }
        open.map_or(Held::Yes, Held::Open)
    }
}

impl PolicyCondition {
    /// `None`: the client has not said yet what this is about.
    pub(super) fn holds(&self, texts: &Texts<'_>) -> Option<Truth> {
        let findings = texts.facts.findings;
        Some(Truth::Known(match self {
            Self::SenderIp(test) => test.holds(texts.facts.client_ip),
            Self::Recipient(test) => is_fitting(test, &texts.recipient, known(texts.facts.recipient)?),
            Self::MailFrom(test) => match known(texts.facts.mail_from)? {
                ReversePath::Null => is_fitting(test, &texts.mail_from, ""),
                ReversePath::Address(address) => is_fitting(test, &texts.mail_from, &address.canonical()),
            },
            // No HELO is no value, not an empty one.
            Self::Helo(test) => match known(texts.facts.helo)? {
                "" => test.holds(std::iter::empty()),
                helo => is_fitting(test, &texts.helo, helo),
            },
            Self::TlsProtocol(test) => test.holds(known(texts.facts.tls)?),
            Self::ClientHost(test) => return Some(client_host(test, findings)),
            Self::SpfResult { negated, values } => return Some(verdict(VerdictAttribute::SpfResult, *negated, values, findings)),
            Self::Analysis(condition) => return Some(condition.truth(findings)),
        }))
    }
}

impl TlsTest {
    /// Whether the test holds for this version; plain text is below every version.
    pub fn holds(&self, version: Option<TlsVersion>) -> bool {
        match self {
            Self::Minimum(minimum) => version.is_some_and(|version| version >= *minimum),
            Self::Is(versions) => version.is_some_and(|version| versions.contains(&version)),
        }
    }
}

impl<'f> Texts<'f> {
    fn new(facts: &'f PolicyFacts<'f>) -> Self {
        Self { facts, helo: OnceCell::new(), mail_from: OnceCell::new(), recipient: OnceCell::new() }
    }
}

fn known<T>(fact: Known<T>) -> Option<T> {
    match fact {
        Known::NotYet => None,
        Known::Value(value) => Some(value),
    }
}

fn is_fitting(test: &TextTest, text: &OnceCell<Text>, value: &str) -> bool {
    test.holds(std::iter::once(Value::Text(text.get_or_init(|| Text::new(value)))))
}

#[cfg(test)]
mod tests;
