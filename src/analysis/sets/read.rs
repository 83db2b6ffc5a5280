//! Conditions of rules and policies as formulas.

use std::collections::HashMap;
use std::sync::Arc;

use super::small::USUAL_SIZE;
use super::{Field, Formula, Lit, Part, Space, Subject, Test, Value};
use crate::message::{FieldValue, Verdict};
use crate::policy::{PolicyCondition, Statement, TlsTest};
use crate::rules::{
    Action, AnalysisCondition, Condition, FieldTest, Flag, IpTest, Mode, NumberAttribute, Rule, TextAttribute, TextTest, VerdictAttribute,
};

/// Words by place. The last of DKIM is a pass that aligns with From.
pub(crate) const SPF: [&str; 8] = ["none", "neutral", "pass", "fail", "softfail", "policy", "temperror", "permerror"];
pub(crate) const DKIM: [&str; 8] = ["none", "pass", "fail", "policy", "neutral", "temperror", "permerror", "pass"];
pub(crate) const ARC: [&str; 3] = ["none", "pass", "fail"];
pub(crate) const DMARC: [&str; 5] = ["none", "pass", "fail", "temperror", "permerror"];
/// Policies by place; a word of DMARC's subject is its result times four, and the policy.
pub(crate) const POLICIES: [&str; 4] = ["absent", "none", "quarantine", "reject"];
/// No record and no single author have no policy, a record always has one; with trouble there may be one (`docs/semantics.md`).
pub(super) const DMARC_POSSIBLE: u32 = 0b0001 | (0b1110 << 4) | (0b1110 << 8) | (0b1111 << 12) | (0b0001 << 16);

impl<'a> Space<'a> {
    /// For which messages a rule matches, by its conditions: first those of `when`, then those of `unless`, turned. All must hold.
    pub(crate) fn rule(&mut self, rule: &'a Rule, versions: &Versions) -> Vec<Formula> {
        let when = rule.when.iter().map(|condition| self.condition(condition, true, versions)).collect::<Vec<_>>();
        let unless = rule.unless.iter().map(|condition| self.condition(condition, false, versions));
        when.into_iter().chain(unless).collect()
    }

    /// For which sessions a statement of a policy matches, condition by condition.
    #[allow(dead_code, reason = "for proofs about policies")]
    pub(crate) fn statement(&mut self, statement: &'a Statement) -> Vec<Formula> {
        statement.when.iter().map(|condition| self.policy_condition(condition)).collect()
    }

    /// A condition that is to hold, or not to.
    pub(crate) fn condition(&mut self, condition: &'a Condition, wanted: bool, versions: &Versions) -> Formula {
        match condition {
            Condition::All(conditions) | Condition::Any(conditions) => {
                let inner = conditions.iter().map(|condition| self.condition(condition, wanted, versions)).collect();
                if matches!(condition, Condition::All(_)) == wanted { Formula::And(inner) } else { Formula::Or(inner) }
            }
            Condition::Not(condition) => self.condition(condition, !wanted, versions),
            Condition::Analysis(condition) => self.analysis(condition, wanted),
            leaf => {
                let (subject, test, holds) = literal(leaf);
                let version = versions.of(&subject);
                let variable = self.variable(subject, version);
                let lit = self.atom(variable, test);
                Formula::Lit(Lit { holds: holds == wanted, ..lit })
            }
        }
    }

    fn policy_condition(&mut self, condition: &'a PolicyCondition) -> Formula {
        let (subject, test, holds) = match condition {
            PolicyCondition::SenderIp(test) => network(test),
            PolicyCondition::Recipient(test) => text(Subject::Recipient, Part::Whole, test),
            PolicyCondition::MailFrom(test) => text(Subject::MailFrom, Part::Whole, test),
            PolicyCondition::Helo(test) => text(Subject::Helo, Part::Whole, test),
            PolicyCondition::TlsProtocol(TlsTest::Minimum(version)) => (Subject::Session, Test::TlsMinimum(*version), true),
            PolicyCondition::TlsProtocol(TlsTest::Is(versions)) => (Subject::Session, Test::TlsIs(versions), true),
            PolicyCondition::ClientHost(test) => text(Subject::ClientHost, Part::Whole, test),
            PolicyCondition::SpfResult { negated, values } => {
                (Subject::Spf, Test::Words(words(VerdictAttribute::SpfResult, values)), !negated)
            }
            PolicyCondition::Analysis(condition) => return self.analysis(condition, true),
        };
        let variable = self.variable(subject, 0);
        let lit = self.atom(variable, test);
        Formula::Lit(Lit { holds, ..lit })
    }

    fn analysis(&mut self, condition: &'a AnalysisCondition, wanted: bool) -> Formula {
        let variable = self.variable(Subject::Analysis(Arc::clone(&condition.analyzer)), 0);
        let usual = match &condition.test {
            FieldTest::Number(..) => Some(FieldValue::Number(0.0)),
            FieldTest::Boolean { .. } => Some(FieldValue::Boolean(false)),
            FieldTest::Verdict { .. } => Some(FieldValue::Verdict(Verdict::Gray)),
            FieldTest::Text(_) | FieldTest::Exists(_) => None,
        };
        if let Some(known) = self.variables.get_mut(variable)
            && let Value::Analysis(Some(fields)) = &mut known.usual
            && let Some(usual) = usual
        {
            fields.entry(condition.field.clone()).or_insert(Field(usual));
        }
        Formula::Lit(self.atom(variable, Test::Field(condition, wanted)))
    }
}

/// How often each subject may have been changed on the way through the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Versions(HashMap<Subject, u32>);

impl Versions {
    /// Counts what a rule may change.
    pub(crate) fn change(&mut self, rule: &Rule) {
        if rule.mode != Mode::Enforce {
            return;
        }
        for action in &rule.actions {
            for subject in changed(action) {
                let version = self.0.entry(subject).or_default();
                *version = version.saturating_add(1);
            }
        }
    }

    fn of(&self, subject: &Subject) -> u32 {
        self.0.get(subject).copied().unwrap_or_default()
    }
}

/// What an action changes that conditions look at.
fn changed(action: &Action) -> Vec<Subject> {
    match action {
        Action::AddHeader { name, .. } | Action::RemoveHeader { name } => {
            let lower = name.to_ascii_lowercase();
            let special = match lower.as_str() {
                "from" => Some(Subject::From),
                "to" => Some(Subject::To),
                "cc" => Some(Subject::Cc),
                "sender" => Some(Subject::Sender),
                "message-id" => Some(Subject::MessageId),
                "disposition-notification-to" => Some(Subject::ReadReceipt),
                _ => None,
            };
            special.into_iter().chain([Subject::Header(lower.into())]).collect()
        }
        Action::PrefixSubject { .. } => vec![Subject::Header("subject".into())],
        Action::ReplaceRecipient(_) => vec![Subject::Recipient],
        _ => Vec::new(),
    }
}

/// A condition that is neither a combination nor about an analyzer: its subject, its test, and whether that is to hold.
fn literal(condition: &Condition) -> (Subject, Test<'_>, bool) {
    match condition {
        Condition::Text(attribute, test) => {
            let (subject, part) = match attribute {
                TextAttribute::MailFrom => (Subject::MailFrom, Part::Whole),
                TextAttribute::MailFromDomain => (Subject::MailFrom, Part::Domain),
                TextAttribute::Helo => (Subject::Helo, Part::Whole),
                TextAttribute::Recipient => (Subject::Recipient, Part::Whole),
                TextAttribute::RecipientBase => (Subject::Recipient, Part::Base),
                TextAttribute::RecipientDomain => (Subject::Recipient, Part::Domain),
                TextAttribute::Sender => (Subject::Sender, Part::Whole),
                TextAttribute::From => (Subject::From, Part::Whole),
                TextAttribute::FromDomain => (Subject::From, Part::Domain),
                TextAttribute::To => (Subject::To, Part::Whole),
                TextAttribute::Cc => (Subject::Cc, Part::Whole),
                TextAttribute::Subject => (Subject::Header("subject".into()), Part::Whole),
                TextAttribute::ClientHost => (Subject::ClientHost, Part::Whole),
                TextAttribute::MessageId => (Subject::MessageId, Part::Whole),
            };
            text(subject, part, test)
        }
        Condition::Header(name, test) => text(Subject::Header(Arc::clone(name)), Part::Whole, test),
        Condition::Attachment(part, test) => (Subject::Attachments, Test::Attachment(*part, test), test.outcome(true)),
        Condition::ClientCertificate(attribute, test) => (Subject::Session, Test::Certificate(*attribute, test), test.outcome(true)),
        Condition::Number(attribute, operator, values) => {
            let subject = match attribute {
                NumberAttribute::MessageSize => Subject::Size,
                NumberAttribute::RecipientCount => Subject::Count,
            };
            (subject, Test::Number(*operator, values), true)
        }
        Condition::SourceIp(test) => network(test),
        Condition::Flag(flag, wanted) => {
            let subject = match flag {
                Flag::Tls | Flag::TlsWrapped | Flag::Authenticated => Subject::Session,
                Flag::ReadReceiptRequested => Subject::ReadReceipt,
                Flag::HasAttachments => Subject::Attachments,
            };
            (subject, Test::Flag(*flag), *wanted)
        }
        Condition::Verdict { attribute, negated, values } => {
            let subject = match attribute {
                VerdictAttribute::Spf | VerdictAttribute::SpfResult => Subject::Spf,
                VerdictAttribute::Dkim | VerdictAttribute::DkimResult => Subject::Dkim,
                VerdictAttribute::DmarcResult | VerdictAttribute::DmarcPolicy => Subject::Dmarc,
                VerdictAttribute::ArcResult => Subject::Arc,
            };
            (subject, Test::Words(words(*attribute, values)), !negated)
        }
        // Handled where combinations are.
        Condition::Analysis(_) | Condition::Any(_) | Condition::All(_) | Condition::Not(_) => {
            (Subject::Size, Test::Number(crate::rules::NumberOperator::NotEquals, &[USUAL_SIZE]), true)
        }
    }
}

/// Negative operators are positive ones that are not to hold.
fn text(subject: Subject, part: Part, test: &TextTest) -> (Subject, Test<'_>, bool) {
    (subject, Test::Text(part, test), test.outcome(true))
}

fn network(test: &IpTest) -> (Subject, Test<'_>, bool) {
    match test {
        IpTest::CidrMatches(set) => (Subject::ClientIp, Test::Network(set), true),
        IpTest::NotCidrMatches(set) => (Subject::ClientIp, Test::Network(set), false),
        IpTest::InList(lists) => (Subject::ClientIp, Test::NetworkList(lists), true),
    }
}

/// The places of words among those of the subject.
fn words(attribute: VerdictAttribute, values: &[Box<str>]) -> u32 {
    let has = |word: &str| values.iter().any(|value| **value == *word);
    let places = |words: &[&str]| bits(words.iter().map(|word| has(word)));
    match attribute {
        VerdictAttribute::SpfResult => places(&SPF),
        VerdictAttribute::DkimResult => places(&DKIM),
        VerdictAttribute::ArcResult => places(&ARC),
        VerdictAttribute::Spf => places(&["gray", "gray", "pass", "fail", "gray", "gray", "processing_failed", "processing_failed"]),
        VerdictAttribute::Dkim => places(&["gray", "gray", "fail", "gray", "gray", "processing_failed", "processing_failed", "pass"]),
        VerdictAttribute::DmarcResult => bits(DMARC.iter().flat_map(|word| [has(word); 4])),
        VerdictAttribute::DmarcPolicy => bits(DMARC.iter().flat_map(|_| POLICIES.iter().map(|word| has(word)))),
    }
}

fn bits(flags: impl DoubleEndedIterator<Item = bool> + Clone) -> u32 {
    flags.rev().fold(0, |bits, flag| bits << 1 | u32::from(flag))
}
