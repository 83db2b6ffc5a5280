//! Rule sets and policies in which conditions on what is not known are set aside.
//!
//! In place of such a condition stands a question of its own, which nobody can answer: judging asks for it exactly where it makes a
//! difference, and may be told either answer. One question stands for the same condition wherever it is found, in the old rules and the new.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use super::past::Known;
use crate::config::UsedBy;
use crate::message::Need;
use crate::policy::{Policy, PolicyCondition, Statement};
use crate::rules::{
    Action, AddressList, AnalysisCondition, Condition, FieldTest, Flag, IpSet, IpTest, Mode, NumberAttribute, OnError, Rule, RuleSet,
    Template, TemplatePart, TextAttribute, TextTest, VerdictAttribute,
};

/// The field of such a question.
pub(super) const ANSWER: &str = "holds";
/// How the name of a question begins; an analyzer of `gateway.yaml` has no such name.
const MARK: char = '?';
/// How the name of a question begins that may have several answers for one message.
const UNSTABLE: &str = "?!";

/// The conditions that questions stand for.
#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Vec<Question>>);

#[derive(Debug)]
struct Question {
    identity: Identity,
    name: Arc<str>,
}

/// What makes two conditions the same.
#[derive(Debug, PartialEq)]
struct Identity {
    text: String,
    detail: String,
    addresses: Vec<Arc<AddressList>>,
    networks: Vec<Arc<IpSet>>,
}

/// A need that is such a question, and whether it has one answer for the whole message.
pub(super) fn is_question(need: &Need) -> Option<bool> {
    match need {
        Need::Analysis(name) if name.starts_with(MARK) => Some(!name.starts_with(UNSTABLE)),
        _ => None,
    }
}

/// The condition behind a need, in words; what is to be looked up where it is no question.
pub(super) fn in_words(need: &Need) -> String {
    match need {
        Need::Analysis(name) if name.starts_with(UNSTABLE) => {
            format!("{} (after rules that change it)", name.trim_start_matches(UNSTABLE))
        }
        Need::Analysis(name) if name.starts_with(MARK) => name.trim_start_matches(MARK).to_owned(),
        need => need.to_string(),
    }
}

impl Questions {
    fn ask(&self, identity: Identity) -> Arc<str> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(question) = known.iter().find(|question| question.identity == identity) {
            return Arc::clone(&question.name);
        }
        let alike = known.iter().filter(|question| question.identity.text == identity.text).count();
        let name: Arc<str> = match alike {
            0 => format!("{MARK}{}", identity.text).into(),
            alike => format!("{MARK}{} ({})", identity.text, alike.saturating_add(1)).into(),
        };
        known.push(Question { identity, name: Arc::clone(&name) });
        name
    }
}

/// What is known, and where questions are kept.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a> {
    pub(super) known: &'a Known,
    pub(super) used_by: UsedBy,
    pub(super) questions: &'a Questions,
}

impl Mask<'_> {
    pub(super) fn policy(&self, policy: &Policy) -> Policy {
        let statement = |statement: &Statement| Statement {
            name: Arc::clone(&statement.name),
            when: statement.when.iter().map(|condition| self.policy_condition(condition)).collect(),
        };
        Policy {
            name: Arc::clone(&policy.name),
            default: policy.default,
            max_message_size: policy.max_message_size,
            deny: policy.deny.iter().map(statement).collect(),
            allow: policy.allow.iter().map(statement).collect(),
        }
    }

    fn policy_condition(&self, condition: &PolicyCondition) -> PolicyCondition {
        let known = self.known;
        let is_known = match condition {
            PolicyCondition::SenderIp(_) => known.client_ip,
            PolicyCondition::Recipient(_) => true,
            PolicyCondition::MailFrom(_) => known.mail_from,
            PolicyCondition::Helo(_) => known.helo,
            PolicyCondition::TlsProtocol(_) => known.tls,
            PolicyCondition::ClientHost(_) => self.can_be_had(&Need::ClientHost),
            PolicyCondition::SpfResult { .. } => self.can_be_had(&Need::Spf),
            PolicyCondition::Analysis(condition) => self.can_be_had(&Need::Analysis(Arc::clone(&condition.analyzer))),
        };
        if is_known {
            return condition.clone();
        }
        let (addresses, networks) = match condition {
            PolicyCondition::SenderIp(IpTest::InList(sets)) => (Vec::new(), sets.clone()),
            PolicyCondition::MailFrom(test) | PolicyCondition::Helo(test) | PolicyCondition::ClientHost(test) => (lists(test), Vec::new()),
            _ => (Vec::new(), Vec::new()),
        };
        let text = format!("{} {}", condition.attribute(), condition.test());
        let detail = if addresses.is_empty() && networks.is_empty() { format!("{condition:?}") } else { String::new() };
        PolicyCondition::Analysis(question(self.questions.ask(Identity { text, detail, addresses, networks })))
    }

    pub(super) fn rules(&self, set: &RuleSet) -> RuleSet {
        let mut changed = Changed::default();
        let rules = set.rules.iter().map(|rule| {
            let masked = Rule {
                name: Arc::clone(&rule.name),
                mode: rule.mode,
                when: rule.when.iter().map(|condition| self.condition(condition, &changed)).collect(),
                unless: rule.unless.iter().map(|condition| self.condition(condition, &changed)).collect(),
                actions: rule.actions.iter().map(|action| self.action(action)).collect(),
            };
            if rule.mode == Mode::Enforce {
                rule.actions.iter().for_each(|action| changed.by(action));
            }
            masked
        });
        RuleSet { name: Arc::clone(&set.name), otherwise: set.otherwise, rules: rules.collect() }
    }

    fn condition(&self, condition: &Condition, changed: &Changed) -> Condition {
        match condition {
            Condition::Any(inner) => Condition::Any(inner.iter().map(|one| self.condition(one, changed)).collect()),
            Condition::All(inner) => Condition::All(inner.iter().map(|one| self.condition(one, changed)).collect()),
            Condition::Not(inner) => Condition::Not(Box::new(self.condition(inner, changed))),
            condition if self.is_known(condition) => condition.clone(),
            condition => {
                let (addresses, networks) = match condition {
                    Condition::SourceIp(IpTest::InList(sets)) => (Vec::new(), sets.clone()),
                    Condition::Text(_, test) | Condition::Header(_, test) | Condition::Attachment(_, test) => (lists(test), Vec::new()),
                    _ => (Vec::new(), Vec::new()),
                };
                let text = format!("{} {}", condition.attribute(), condition.test());
                if changed.concerns(condition) {
                    return Condition::Analysis(question(format!("{UNSTABLE}{text}").into()));
                }
                let detail = if addresses.is_empty() && networks.is_empty() { format!("{condition:?}") } else { String::new() };
                Condition::Analysis(question(self.questions.ask(Identity { text, detail, addresses, networks })))
            }
        }
    }

    fn is_known(&self, condition: &Condition) -> bool {
        let known = self.known;
        match condition {
            Condition::Text(attribute, _) => self.has_text(*attribute),
            Condition::Header(..) | Condition::Attachment(..) => known.content,
            Condition::ClientCertificate(..) => self.used_by != UsedBy::Partners || known.certificate,
            Condition::Number(NumberAttribute::MessageSize, ..) => known.size,
            Condition::SourceIp(_) => known.client_ip,
            Condition::Flag(Flag::Tls, _) => known.tls,
            Condition::Flag(Flag::TlsWrapped, _) => known.tls_wrapped,
            Condition::Flag(Flag::ReadReceiptRequested | Flag::HasAttachments, _) => known.content,
            Condition::Verdict { attribute, .. } => self.can_be_had(&need_of(*attribute)),
            Condition::Analysis(condition) => self.can_be_had(&Need::Analysis(Arc::clone(&condition.analyzer))),
            Condition::Number(NumberAttribute::RecipientCount, ..)
            | Condition::Flag(Flag::Authenticated, _)
            | Condition::Any(_)
            | Condition::All(_)
            | Condition::Not(_) => true,
        }
    }

    fn has_text(&self, attribute: TextAttribute) -> bool {
        match attribute {
            TextAttribute::MailFrom | TextAttribute::MailFromDomain => self.known.mail_from,
            TextAttribute::Helo => self.known.helo,
            TextAttribute::ClientHost => self.can_be_had(&Need::ClientHost),
            TextAttribute::Recipient | TextAttribute::RecipientBase | TextAttribute::RecipientDomain => true,
            TextAttribute::MessageId => self.known.message_id,
            TextAttribute::Sender
            | TextAttribute::From
            | TextAttribute::FromDomain
            | TextAttribute::To
            | TextAttribute::Cc
            | TextAttribute::Subject => self.known.content,
        }
    }

    /// Whether this was found out then, or can be now.
    fn can_be_had(&self, need: &Need) -> bool {
        let known = self.known;
        let can_be_asked = match need {
            Need::ClientHost => known.client_ip,
            Need::Spf => known.client_ip && known.mail_from,
            Need::Dmarc => known.client_ip && known.mail_from && known.content,
            Need::Dkim | Need::Arc => known.content,
            Need::Analysis(_) => known.client_ip && known.content,
        };
        known.found.contains(need) || (known.is_asked && can_be_asked)
    }

    fn action(&self, action: &Action) -> Action {
        let Action::AddHeader { name, value: Template(parts) } = action else { return action.clone() };
        let part = |part: &TemplatePart| {
            let (is_known, written) = match part {
                TemplatePart::Text(_) => (true, String::new()),
                TemplatePart::Attribute(attribute) => (self.has_text(*attribute), attribute.name().to_owned()),
                TemplatePart::Verdict(attribute) => (self.can_be_had(&need_of(*attribute)), attribute.name().to_owned()),
                TemplatePart::SourceIp => (self.known.client_ip, "source_ip".to_owned()),
                TemplatePart::MessageSize => (self.known.size, "message_size".to_owned()),
            };
            if is_known { part.clone() } else { TemplatePart::Text(format!("{{{{ {written} }}}}").into()) }
        };
        Action::AddHeader { name: Arc::clone(name), value: Template(parts.iter().map(part).collect()) }
    }
}

/// The header fields that rules further up may have changed, so that a condition on them is not the same for all recipients.
#[derive(Default)]
struct Changed(BTreeSet<String>);

impl Changed {
    fn by(&mut self, action: &Action) {
        match action {
            Action::AddHeader { name, .. } | Action::RemoveHeader { name } => drop(self.0.insert(name.to_ascii_lowercase())),
            Action::PrefixSubject { .. } => drop(self.0.insert("subject".to_owned())),
            _ => {}
        }
    }

    fn concerns(&self, condition: &Condition) -> bool {
        let field = match condition {
            Condition::Header(name, _) => name,
            Condition::Text(TextAttribute::From | TextAttribute::FromDomain, _) => "from",
            Condition::Text(TextAttribute::Sender, _) => "sender",
            Condition::Text(TextAttribute::To, _) => "to",
            Condition::Text(TextAttribute::Cc, _) => "cc",
            Condition::Text(TextAttribute::Subject, _) => "subject",
            Condition::Text(TextAttribute::MessageId, _) => "message-id",
            Condition::Flag(Flag::ReadReceiptRequested, _) => "disposition-notification-to",
            _ => return false,
        };
        self.0.contains(&field.to_ascii_lowercase())
    }
}

fn question(name: Arc<str>) -> AnalysisCondition {
    let test = FieldTest::Boolean { negated: false, values: vec![true] };
    AnalysisCondition { analyzer: name, field: ANSWER.into(), test, on_error: OnError::Defer }
}

fn lists(test: &TextTest) -> Vec<Arc<AddressList>> {
    if let TextTest::InList(lists) = test { lists.clone() } else { Vec::new() }
}

fn need_of(attribute: VerdictAttribute) -> Need {
    match attribute {
        VerdictAttribute::Spf | VerdictAttribute::SpfResult => Need::Spf,
        VerdictAttribute::Dkim | VerdictAttribute::DkimResult => Need::Dkim,
        VerdictAttribute::DmarcResult | VerdictAttribute::DmarcPolicy => Need::Dmarc,
        VerdictAttribute::ArcResult => Need::Arc,
    }
}
