//! What a rule does for one recipient, or for all of a domain, whatever else there is to say about the message.

use crate::analysis::policies;
use crate::message::Text;
use crate::rules::{Condition, Folded, Rule, TextAttribute, TextTest, Value};

/// Whether a rule is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// For every message.
    Always,
    /// For none.
    Never,
    /// That hangs on the message, or cannot be told.
    Maybe,
}

impl Applies {
    /// For this recipient, in lower case.
    pub fn of(rule: &Rule, recipient: &str) -> Self {
        Self::to(rule, &|attribute, test| {
            let (local_part, domain) = recipient.rsplit_once('@')?;
            let base = local_part.split_once('+').map_or(local_part, |(base, _)| base);
            let text = match attribute {
                TextAttribute::Recipient => recipient.to_owned(),
                TextAttribute::RecipientDomain => domain.to_owned(),
                // A quoted local part has no tag.
                TextAttribute::RecipientBase if base.is_empty() || local_part.starts_with('"') => recipient.to_owned(),
                TextAttribute::RecipientBase => format!("{base}@{domain}"),
                _ => return None,
            };
            Some(holds(test, &text))
        })
    }

    /// For the recipients of this domain, in lower case; `Always` and `Never` are true of each of them.
    pub fn to_domain(rule: &Rule, domain: &str) -> Self {
        let end = TextTest::EndsWith(vec![Folded::new(&format!("@{domain}"))]);
        Self::to(rule, &|attribute, test| match attribute {
            TextAttribute::RecipientDomain => Some(holds(test, domain)),
            TextAttribute::Recipient if !policies::is_possible(&[(&end, true), (test, true)]) => Some(false),
            TextAttribute::Recipient if !policies::is_possible(&[(&end, true), (test, false)]) => Some(true),
            // The base of an address is an address of the same domain, and may be any.
            TextAttribute::RecipientBase if !policies::is_possible(&[(&end, true), (test, true)]) => Some(false),
            _ => None,
        })
    }

    fn to(rule: &Rule, known: &dyn Fn(TextAttribute, &TextTest) -> Option<bool>) -> Self {
        let when = rule.when.iter().map(|condition| truth(condition, known));
        let unless = rule.unless.iter().map(|condition| truth(condition, known).map(|truth| !truth));
        match all(when.chain(unless)) {
            Some(true) => Self::Always,
            Some(false) => Self::Never,
            None => Self::Maybe,
        }
    }
}

/// Whether a condition holds; `None`: that cannot be told.
fn truth(condition: &Condition, known: &dyn Fn(TextAttribute, &TextTest) -> Option<bool>) -> Option<bool> {
    match condition {
        Condition::Text(attribute, test) if attribute.depends_on_recipient() => known(*attribute, test),
        Condition::Any(conditions) => all(conditions.iter().map(|condition| truth(condition, known).map(|truth| !truth))).map(|none| !none),
        Condition::All(conditions) => all(conditions.iter().map(|condition| truth(condition, known))),
        Condition::Not(condition) => truth(condition, known).map(|truth| !truth),
        _ => None,
    }
}

fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut is_known = true;
    for truth in truths {
        match truth {
            Some(true) => {}
            Some(false) => return Some(false),
            None => is_known = false,
        }
    }
    is_known.then_some(true)
}

fn holds(test: &TextTest, text: &str) -> bool {
    test.holds(std::iter::once(Value::Text(&Text::new(text))))
}
