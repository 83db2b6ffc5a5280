//! What differs between two fates of one recipient, and which rules brought it about.

use std::sync::Arc;

use serde::Serialize;

use super::fare::{Delivery, Ending, Fate};
use crate::rules::{MailFrom, OnFailure};

/// A kind of difference: recipients that fare differently in the same way are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// What differs, the weightiest first.
    pub changes: Vec<Change>,
    /// Who decided by the old rules.
    pub old_by: Vec<String>,
    /// Who decides by the new ones.
    pub new_by: Vec<String>,
    /// Rules that matched by the old rules alone.
    pub only_old: Vec<Arc<str>>,
    /// Rules that match by the new ones alone.
    pub only_new: Vec<Arc<str>>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What.
    pub what: Aspect,
    /// As it was.
    pub old: String,
    /// As it is now.
    pub new: String,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How it ends, and which relay gets it.
    Outcome,
    /// The words of a refusal.
    Reply,
    /// The addresses that it is delivered to.
    Recipients,
    /// Header fields, by name.
    Header,
    /// The text of the same header fields.
    HeaderText,
    /// Which sender the next hop sees.
    MailFrom,
    /// What a failure does.
    OnFailure,
    /// Whether the relay is asked while the client waits.
    ReplyToData,
}

impl Aspect {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Reply => "reply",
            Self::Recipients => "recipients",
            Self::Header => "header",
            Self::HeaderText => "header text",
            Self::MailFrom => "mail_from",
            Self::OnFailure => "on_failure",
            Self::ReplyToData => "reply to DATA",
        }
    }
}

impl Change {
    /// In one line.
    pub fn in_brief(&self) -> String {
        let shown = |text: &str| if text.is_empty() { "none".to_owned() } else { text.to_owned() };
        let what = if self.what == Aspect::Outcome { String::new() } else { format!("{}: ", self.what.name()) };
        format!("{what}{} -> {}", shown(&self.old), shown(&self.new))
    }
}

impl Difference {
    /// What differs between two fates of `recipient`; `None` where it fares the same.
    pub(super) fn between(old: &Fate, new: &Fate, recipient: &crate::smtp::Address) -> Option<Self> {
        let mut changes = Vec::new();
        let mut add = |what, old: String, new: String| {
            if old != new {
                changes.push(Change { what, old, new });
            }
        };
        add(Aspect::Outcome, old.outcome(), new.outcome());
        if old.ending == new.ending {
            let reply = |fate: &Fate| fate.reply.clone().unwrap_or_default();
            add(Aspect::Reply, reply(old), reply(new));
        }
        if old.ending == Ending::Sent && new.ending == Ending::Sent {
            let each = |fate: &Fate, shown: &dyn Fn(&Delivery) -> String| {
                let mut all: Vec<String> = fate.deliveries.iter().map(shown).collect();
                all.sort();
                all.dedup();
                all.join("; ")
            };
            let to = |delivery: &Delivery| match delivery.to.as_slice() {
                [one] if one == recipient => "as given".to_owned(),
                all => all.iter().map(|address| kind_of(address, recipient)).collect::<Vec<_>>().join(", "),
            };
            add(Aspect::Recipients, each(old, &to), each(new, &to));
            let names = |delivery: &Delivery| delivery.header.names();
            let (old_names, new_names) = (each(old, &names), each(new, &names));
            if old_names == new_names {
                let text = |delivery: &Delivery| format!("{:?}", delivery.header);
                let (old_text, new_text) = (each(old, &text), each(new, &text));
                if old_text != new_text {
                    changes.push(Change { what: Aspect::HeaderText, old: old_names, new: "another text".to_owned() });
                }
            } else {
                changes.push(Change { what: Aspect::Header, old: old_names, new: new_names });
            }
            let mut add = |what, old: String, new: String| {
                if old != new {
                    changes.push(Change { what, old, new });
                }
            };
            add(Aspect::MailFrom, each(old, &|one| mail_from(&one.mail_from)), each(new, &|one| mail_from(&one.mail_from)));
            add(Aspect::OnFailure, each(old, &|one| on_failure(one.on_failure)), each(new, &|one| on_failure(one.on_failure)));
            let answered = |fate: &Fate| if fate.is_inline { "what the relay says" } else { "250 from the spool" }.to_owned();
            add(Aspect::ReplyToData, answered(old), answered(new));
        }
        if changes.is_empty() {
            return None;
        }
        let missing = |from: &Fate, of: &Fate| from.rules.iter().filter(|rule| !of.rules.contains(rule)).cloned().collect();
        Some(Self { changes, old_by: old.by.clone(), new_by: new.by.clone(), only_old: missing(old, new), only_new: missing(new, old) })
    }
}

/// Whether the same rules matched, which is of interest where the outcome is the same.
pub(super) fn is_by_same_rules(old: &Fate, new: &Fate) -> bool {
    old.rules == new.rules && old.audits == new.audits && old.by == new.by
}

/// An address as far as it is alike for many recipients.
fn kind_of(address: &crate::smtp::Address, recipient: &crate::smtp::Address) -> String {
    if address == recipient {
        "as given".to_owned()
    } else if address.local_part() == recipient.local_part() {
        format!("*@{}", address.domain())
    } else {
        address.to_string()
    }
}

fn mail_from(mail_from: &MailFrom) -> String {
    match mail_from {
        MailFrom::Preserve => "preserve",
        MailFrom::Replace => "replace",
        MailFrom::Srs => "srs",
    }
    .to_owned()
}

fn on_failure(on_failure: OnFailure) -> String {
    match on_failure {
        OnFailure::Bounce => "bounce",
        OnFailure::Continue => "continue",
        OnFailure::Drop => "drop",
    }
    .to_owned()
}
