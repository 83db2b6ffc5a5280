//! Rule sets.

use super::super::model::{Rule, RuleCondition, RuleSet};
use super::super::read::Found;
use super::super::yaml::{Comment, Item, Written, Yaml, file};
use super::names::{Names, Taken};
use super::remarks::Remarks;
use super::{actions, conditions, notes};

/// A rule set as a file.
pub(super) fn rule_set(name: &str, found: &Found<RuleSet>, names: &mut Names, lost: &mut Vec<String>) -> Written {
    let mut remarks = Remarks::default();
    let mut taken = Taken::by_case();
    let set = &found.value;
    let mut head = vec![Comment::plain(match &set.rule_set_id {
        Some(id) => format!("The rule set `{}` of Mail Manager ({id}).", set.rule_set_name),
        None => format!("The rule set `{}` of Mail Manager.", set.rule_set_name),
    })];
    head.extend(notes(&found.notes));
    let otherwise = Item::entry("otherwise", Yaml::text("reject")).with([Comment::remark(
        "What no rule disposes of is accepted by Mail Manager and lost. Here it is refused, so that the sender knows; `otherwise: drop` is as it was.",
    )]);
    let mut rules = Vec::new();
    for (number, rule) in set.rules.iter().enumerate() {
        let item = item(rule, number.saturating_add(1), name, &mut taken, names, &mut remarks, lost);
        rules.push(if number == 0 { item } else { item.apart() });
    }
    file(&head, &[otherwise, Item::entry("rules", Yaml::List(rules)).apart()])
}

fn item(
    rule: &Rule,
    number: usize,
    set: &str,
    taken: &mut Taken,
    names: &mut Names,
    remarks: &mut Remarks,
    lost: &mut Vec<String>,
) -> Item {
    let wanted = rule.name.clone().unwrap_or_else(|| format!("rule-{number}"));
    let name = taken.unique(&wanted);
    let mut comments = Vec::new();
    if rule.name.is_none() {
        comments.push(Comment::remark("This rule has no name there; logs and tests speak of it by its name here."));
    } else if name != wanted {
        comments.push(Comment::remark(format!("`{wanted}` there, as another rule; names are unique here.")));
    }
    let mut broken = Vec::new();
    let mut list = |conditions: &[RuleCondition], what: &str, broken: &mut Vec<String>| {
        let mut items = Vec::new();
        for (place, condition) in conditions.iter().enumerate() {
            match conditions::condition(condition, names, remarks) {
                Ok(item) => items.push(item),
                Err(why) => broken.push(format!("{what} {}: {why}", place.saturating_add(1))),
            }
        }
        items
    };
    let when = list(rule.conditions.as_deref().unwrap_or_default(), "condition", &mut broken);
    let unless = list(rule.unless.as_deref().unwrap_or_default(), "exception", &mut broken);
    let mut actions = Vec::new();
    for (place, action) in rule.actions.iter().enumerate() {
        match actions::action(action, names, remarks) {
            Ok(item) => actions.push(item),
            Err(why) => broken.push(format!("action {}: {why}", place.saturating_add(1))),
        }
    }
    let mut fields = vec![Item::entry("name", Yaml::text(&name))];
    if !broken.is_empty() {
        // Half a rule does what nobody has asked for.
        comments.push(Comment::remark(format!("This rule is off, because not all of it could be carried over. {}.", broken.join("; "))));
        lost.push(format!("rules/{set}.yaml, rule `{name}`: {}", broken.join("; ")));
        fields.push(Item::entry("mode", Yaml::Plain("off".to_owned())));
        if actions.is_empty() {
            actions.push(Item::of(Yaml::text("Stop")));
        }
    }
    for (key, items) in [("when", when), ("unless", unless), ("actions", actions)] {
        if !items.is_empty() {
            fields.push(Item::entry(key, Yaml::List(items)));
        }
    }
    Item::of(Yaml::tall(fields)).with(comments)
}
