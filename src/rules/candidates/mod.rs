//! Which rules of a set a message can match, found without judging them all.
//!
//! For every rule one condition is chosen that must hold wherever the rule matches ([`key`]). The values of a message say for which rules
//! it can hold; all others are passed over, for judged they would match nobody, need nothing and change nothing. What is found may be too
//! much and never too little, and whoever is found is judged by the ordinary code, in order. So the plan is that of judging all, which
//! `tests/candidates.rs` compares.

mod key;
mod marks;
mod networks;
mod numbers;
mod texts;

use std::collections::HashMap;

use self::key::{Chooser, Key, Subject};
use self::marks::Marks;
use self::networks::Networks;
use self::numbers::Numbers;
use self::texts::{Hashed, Texts, name_hash};
use super::facts::{Facts, Look};
use super::group::{Group, Member};
use super::{Action, Mode, NumberAttribute, Rule, TextAttribute};
use crate::message::is_field_name;

/// The rules of a set by what they ask for. Its size is in proportion to that of the rules.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Of rules for which nothing can be said.
    always: Marks,
    attributes: HashMap<TextAttribute, Texts>,
    /// By the hash of the name; where two names share one, each finds the rules of both.
    headers: HashMap<u64, Texts, Hashed>,
    networks: Networks,
    numbers: HashMap<NumberAttribute, Numbers>,
}

/// The rules that a message can match.
#[derive(Debug)]
pub(super) struct Candidates<'i> {
    index: &'i Index,
    marks: Marks,
}

impl Index {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self { always: Marks::none_of(rules.len()), ..Self::default() };
        let chooser = Chooser::new(rules);
        for (place, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode != Mode::Off) {
            match chooser.keys(rule) {
                Some(keys) => keys.into_iter().for_each(|key| index.add(key, place)),
                None => index.always.set(place),
            }
        }
        let texts = index.attributes.values_mut().chain(index.headers.values_mut());
        texts.for_each(Texts::finish);
        index.numbers.values_mut().for_each(Numbers::finish);
        index
    }

    fn add(&mut self, key: Key<'_>, rule: usize) {
        match key {
            Key::Text(subject, way, text) => self.texts(subject).add(way, text, rule),
            Key::AnyValue(subject) => self.texts(subject).add_any(rule),
            Key::InList(subject, list) => self.texts(subject).add_list(list.0, rule),
            Key::Network(network) => self.networks.add(network, rule),
            Key::NetworkList(list) => self.networks.add_list(list.0, rule),
            Key::Number(attribute, operator, value) => self.numbers.entry(attribute).or_default().add(operator, value, rule),
        }
    }

    fn texts(&mut self, subject: Subject<'_>) -> &mut Texts {
        match subject {
            Subject::Attribute(attribute) => self.attributes.entry(attribute).or_default(),
            Subject::Header(name) => self.headers.entry(name_hash(name.as_bytes())).or_default(),
        }
    }

    /// The rules that the message can match as it came in.
    pub(super) fn candidates(&self, facts: &Facts<'_>, groups: &[Group<'_>]) -> Candidates<'_> {
        let mut candidates = Candidates { index: self, marks: self.always.clone() };
        self.networks.mark(facts.message.session.client_ip, &mut candidates.marks);
        for (attribute, numbers) in &self.numbers {
            numbers.mark(facts.number(*attribute), &mut candidates.marks);
        }
        for group in groups {
            candidates.add_attributes(facts, group, |_| true);
            candidates.add_headers(group, |_| true);
        }
        candidates
    }
}

impl Candidates<'_> {
    /// The first one from this place on.
    pub(super) fn next_from(&self, place: usize) -> Option<usize> {
        self.marks.next_from(place)
    }

    /// Adds those that can match since the action has changed what these groups see.
    pub(super) fn add_changed(&mut self, action: &Action, facts: &Facts<'_>, groups: &[Group<'_>]) {
        for group in groups {
            match action {
                Action::AddHeader { name, .. } | Action::RemoveHeader { name } => self.add_field(name, facts, group),
                Action::PrefixSubject { .. } => self.add_field("Subject", facts, group),
                Action::ReplaceRecipient(_) => self.add_attributes(facts, group, TextAttribute::depends_on_recipient),
                Action::SmtpRelay { .. }
                | Action::Drop
                | Action::Reject(_)
                | Action::Defer(_)
                | Action::Stop
                | Action::NotAvailable { .. } => {}
            }
        }
    }

    fn add_field(&mut self, name: &str, facts: &Facts<'_>, group: &Group<'_>) {
        // A name that is none is not the name that the field got.
        let is_name = is_field_name(name);
        self.add_attributes(facts, group, |attribute| !is_name || field(attribute).is_some_and(|field| field.eq_ignore_ascii_case(name)));
        self.add_headers(group, |field| !is_name || field.eq_ignore_ascii_case(name.as_bytes()));
    }

    fn add_attributes(&mut self, facts: &Facts<'_>, group: &Group<'_>, is_wanted: impl Fn(TextAttribute) -> bool) {
        for (attribute, texts) in self.index.attributes.iter().filter(|(attribute, _)| is_wanted(**attribute)) {
            let mut mark = |member: Option<&Member>| {
                // Names beside addresses are more than some tests look at.
                facts.find(*attribute, group, member, Look::AddressesAndNames, &mut |value| {
                    texts.mark(value.folded(), &mut self.marks);
                    false
                });
            };
            if attribute.depends_on_recipient() {
                group.members.iter().for_each(|member| mark(Some(member)));
            } else {
                mark(None);
            }
        }
    }

    fn add_headers(&mut self, group: &Group<'_>, is_wanted: impl Fn(&[u8]) -> bool) {
        if self.index.headers.is_empty() {
            return;
        }
        let mut seen = Vec::new();
        for (name, _) in group.view.edits().fields(group.view.original()).filter(|(name, _)| is_wanted(name)) {
            let hash = name_hash(name);
            if let Some(texts) = self.index.headers.get(&hash)
                && let Ok(name) = std::str::from_utf8(name)
                && !seen.contains(&hash)
            {
                seen.push(hash);
                group.view.header(name).iter().for_each(|value| texts.mark(value.folded(), &mut self.marks));
            }
        }
    }
}

/// The header field that an attribute is read from.
fn field(attribute: TextAttribute) -> Option<&'static str> {
    match attribute {
        TextAttribute::Sender => Some("Sender"),
        TextAttribute::From | TextAttribute::FromDomain => Some("From"),
        TextAttribute::To => Some("To"),
        TextAttribute::Cc => Some("Cc"),
        TextAttribute::Subject => Some("Subject"),
        TextAttribute::MessageId => Some("Message-ID"),
        TextAttribute::MailFrom
        | TextAttribute::MailFromDomain
        | TextAttribute::Helo
        | TextAttribute::Recipient
        | TextAttribute::RecipientBase
        | TextAttribute::RecipientDomain
        | TextAttribute::ClientHost => None,
    }
}
