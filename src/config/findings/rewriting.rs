//! Recipients that are rewritten in a circle: `ReplaceRecipient` makes of an address another one, and a later one makes it back.

use std::collections::BTreeSet;

use crate::analysis::recipients::Applies;
use crate::config::diagnostic::{Code, Sink};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::limits::{PROOF_CHOICES_MAX, PROOF_STEPS_MAX};
use crate::rules::{Action, MapFrom, MapTo, Mode, Replacement, Rule, RuleSet};
use crate::smtp::Address;

/// Looks at all rewriting of a rule set. What hangs on more than the recipient is left out: whether two such rules meet cannot be told.
pub(crate) fn check(set: &RuleSet, tree: &Node, sink: &mut Sink) {
    let rules = tree.get("rules").map(Node::items).unwrap_or_default();
    let mut reported = BTreeSet::new();
    let mut steps = PROOF_CHOICES_MAX;
    for start in starts(set) {
        let Some(rest) = steps.checked_sub(set.rules.len()) else { return };
        steps = rest;
        let Some(circle) = follow(set, &start) else { continue };
        let (Some(first), Some(last)) = (action(rules, circle.first), action(rules, circle.last)) else { continue };
        if !reported.insert((circle.first, circle.last)) {
            continue;
        }
        let message =
            format!("recipients are rewritten in a circle: `{start}` becomes `{}`, and that becomes `{start}` again", circle.through);
        sink.error(Code::ReplaceLoop, last, message)
            .note(first, format!("`{start}` becomes `{}` here", circle.through))
            .help("later rules see the recipient as it was rewritten before; put both into one `map`, of which an address takes one entry")
            .help("or end the first rule with `Stop`, so that no later rule sees what it made");
    }
}

/// The action that leads away from an address and the one that leads back, each by the numbers of its rule and of its place there.
struct Circle {
    first: (usize, usize),
    last: (usize, usize),
    through: String,
}

/// Addresses that stand for all that entries name.
fn starts(set: &RuleSet) -> Vec<String> {
    let actions = set.rules.iter().filter(|rule| rule.mode == Mode::Enforce).flat_map(|rule| &rule.actions);
    let replacements = actions.filter_map(|action| match action {
        Action::ReplaceRecipient(replacement) => Some(replacement),
        _ => None,
    });
    let mut starts = BTreeSet::new();
    for replacement in replacements {
        match replacement {
            Replacement::With(addresses) => starts.extend(addresses.iter().map(plain)),
            Replacement::Map(entries) => starts.extend(entries.iter().map(|(from, _)| match from {
                MapFrom::Address(address) => plain(address),
                MapFrom::Domain(domain) => format!("someone@{domain}"),
            })),
        }
    }
    starts.into_iter().take(PROOF_STEPS_MAX).collect()
}

fn plain(address: &Address) -> String {
    address.canonical().to_lowercase()
}

/// Follows one recipient through the rules; `None`: it does not come back, or that cannot be told.
fn follow(set: &RuleSet, start: &str) -> Option<Circle> {
    let mut now = start.to_owned();
    let mut left: Option<((usize, usize), String)> = None;
    for (number, rule) in set.rules.iter().enumerate().filter(|(_, rule)| rule.mode == Mode::Enforce) {
        if applies(rule, &now)? == Applies::Never {
            continue;
        }
        for (place, action) in rule.actions.iter().enumerate() {
            match action {
                Action::ReplaceRecipient(replacement) => {
                    let next = replaced(replacement, &now)?;
                    if next == now {
                        continue;
                    }
                    match &left {
                        Some((first, through)) if next == start => {
                            return Some(Circle { first: *first, last: (number, place), through: through.clone() });
                        }
                        Some(_) => {}
                        None => left = Some(((number, place), next.clone())),
                    }
                    now = next;
                }
                Action::Drop | Action::Stop | Action::Reject(_) | Action::Defer(_) => return None,
                _ => {}
            }
        }
    }
    None
}

/// Whether the rule is carried out for the recipient. `None`: it rewrites or ends, and that hangs on more than the recipient.
fn applies(rule: &Rule, recipient: &str) -> Option<Applies> {
    let applies = Applies::of(rule, recipient);
    let is_harmless = |action: &Action| !matches!(action, Action::ReplaceRecipient(_));
    match applies {
        Applies::Maybe if rule.actions.iter().all(is_harmless) => Some(Applies::Never),
        Applies::Maybe => None,
        certain => Some(certain),
    }
}

/// The one address that comes of it; `None`: there are several.
fn replaced(replacement: &Replacement, now: &str) -> Option<String> {
    match replacement {
        Replacement::With(addresses) => match addresses.as_slice() {
            [] => Some(now.to_owned()),
            [one] => Some(plain(one)),
            _ => None,
        },
        Replacement::Map(entries) => {
            let (local_part, domain) = now.rsplit_once('@')?;
            let fits = |from: &MapFrom| match from {
                MapFrom::Address(from) => plain(from) == now,
                MapFrom::Domain(from) => from.eq_ignore_ascii_case(domain),
            };
            Some(match entries.iter().find(|(from, _)| fits(from)) {
                None => now.to_owned(),
                Some((_, MapTo::Address(to))) => plain(to),
                Some((_, MapTo::Domain(to))) => format!("{local_part}@{}", to.to_lowercase()),
            })
        }
    }
}

fn action(rules: &[Node], (rule, place): (usize, usize)) -> Option<Span> {
    rules.get(rule)?.get("actions")?.items().get(place).map(Node::head)
}
