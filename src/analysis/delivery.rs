//! Recipients that nobody disposes of, that get a message twice, that lose it without a word, or whose sender gets a bounce.

use super::rule_set::{Analysed, AnalysedRule, delivers, falls, finding, is_answered};
use super::sets::{Formula, Outcome, Search};
use super::world::World;
use super::{Finding, FindingKind, Place};
use crate::rules::{Action, Disposition, Mode, OnFailure, Otherwise, Plan};

/// Recipients that fall to an `otherwise` nobody has written, or lose their mail to one that drops.
pub(super) fn lost(set: &Analysed<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = stopped(set).collect();
    let drops = set.set.otherwise == Otherwise::Drop;
    let unsettled: Vec<&Formula> = set.rules.iter().filter(|rule| rule.settles()).map(|rule| &rule.misses).collect();
    if drops {
        // What was said to be dropped is dropped; but who changes a message means somebody to get it.
        let changing = |(place, rule): (usize, &AnalysedRule<'_>)| {
            let changes = rule.acts && !rule.settles() && rule.end.is_none() && rule.rule.actions.iter().any(|action| !delivers(action));
            let world = changes.then(|| set.shown(unsettled.iter().copied().chain([&rule.matches]), falls)).flatten()?;
            let message =
                format!("{} changes a message that nobody gets: no other rule delivers it, and `otherwise` drops it", rule.name());
            Some(Finding {
                witness: Some(world.witness()),
                help: vec!["deliver it in this rule or in one behind it, or make `otherwise` a `reject`".to_owned()],
                ..finding(FindingKind::Lost, Place::Rule(place), message)
            })
        };
        findings.extend(set.rules.iter().enumerate().filter_map(changing));
    } else if !set.given.says_otherwise && set.rules.iter().any(|rule| rule.delivery.is_some()) {
        let ends = set.rules.iter().filter(|rule| rule.acts && rule.end.is_some()).map(|rule| &rule.misses);
        if let Some(world) = set.shown(unsettled.into_iter().chain(ends), falls) {
            findings.push(fallen(set, &world));
        }
    }
    findings
}

/// A recipient whom no rule disposes of.
fn fallen(set: &Analysed<'_>, world: &World) -> Finding {
    let message = "no rule disposes of some recipients, and the file does not say what happens to them: they are rejected";
    let mut help = vec!["add a rule without conditions at the end, or write `otherwise: reject` if it is meant".to_owned()];
    let matched = world.judge(set.set).map(|plan| plan.matches).unwrap_or_default();
    let audited = set.rules.iter().enumerate().filter(|(_, rule)| rule.rule.mode == Mode::Audit && rule.delivery.is_some());
    let audited = audited.filter(|(_, rule)| matched.iter().any(|matched| matched.rule == rule.rule.name));
    let others: Vec<_> =
        audited.map(|(place, _)| (Place::Rule(place), "it would deliver, but `mode: audit` only logs".to_owned())).collect();
    if !others.is_empty() {
        help.push("a rule with `mode: audit` is judged and logged, and nothing else".to_owned());
    }
    Finding { others, witness: Some(world.witness()), help, ..finding(FindingKind::Lost, Place::Whole, message.to_owned()) }
}

/// A `Stop` for recipients that have no step: they fall to `otherwise`.
fn stopped<'s>(set: &'s Analysed<'_>) -> impl Iterator<Item = Finding> + 's {
    set.rules.iter().enumerate().filter_map(move |(place, rule)| {
        let end = rule.end.filter(|_| rule.acts && rule.delivery.is_none())?;
        let is_said = set.given.says_otherwise && set.set.otherwise != Otherwise::Drop;
        if is_said || !matches!(rule.rule.actions.get(end), Some(Action::Stop)) {
            return None;
        }
        let before = set.rules.iter().take(place).filter(|rule| rule.settles() || (rule.acts && rule.end.is_some()));
        let world = set.shown(before.map(|rule| &rule.misses).chain([&rule.matches]), falls)?;
        let (fate, help) = match set.set.otherwise {
            Otherwise::Drop => ("dropped", "write `Drop` if it is meant, or deliver before `Stop`"),
            Otherwise::Reject | Otherwise::Defer => ("rejected", "write `Reject` if it is meant, or deliver before `Stop`"),
        };
        Some(Finding {
            witness: Some(world.witness()),
            help: vec![help.to_owned()],
            ..finding(
                FindingKind::Lost,
                Place::Action(place, end),
                format!(
                    "`Stop` in {} ends the set for recipients that nothing was planned for: they are {fate} by `otherwise`",
                    rule.name()
                ),
            )
        })
    })
}

/// Recipients that two rules deliver to.
pub(super) fn twice(set: &Analysed<'_>) -> Vec<Finding> {
    let delivering: Vec<(usize, &AnalysedRule<'_>, usize)> = set
        .rules
        .iter()
        .enumerate()
        .filter(|(_, rule)| rule.acts)
        .filter_map(|(place, rule)| Some((place, rule, rule.rule.actions.iter().take(rule.reached()).position(is_meant_alone)?)))
        .collect();
    let mut findings = Vec::new();
    for (number, (first, rule, action)) in delivering.iter().enumerate().filter(|(_, (_, rule, _))| rule.end.is_none()) {
        let later = delivering.iter().skip(number.saturating_add(1));
        if let Some((world, second)) = later.into_iter().find_map(|second| Some((both(set, *first, rule, second)?, second))) {
            let (other, other_rule, other_action) = second;
            let message = format!("a recipient of {} gets the message again from {}", rule.name(), other_rule.name());
            findings.push(Finding {
                others: vec![(Place::Action(*other, *other_action), "the second time".to_owned())],
                witness: Some(world.witness()),
                help: vec![format!("add `Stop` behind the first, if it is to end there; a copy that is meant says `on_failure: continue`")],
                ..finding(FindingKind::Twice, Place::Action(*first, *action), message)
            });
        }
    }
    findings
}

/// A delivery that decides; one that says `continue` or `drop` may be a copy beside it.
fn is_meant_alone(action: &Action) -> bool {
    matches!(action, Action::SmtpRelay { on_failure: OnFailure::Bounce, .. })
}

/// A message that both rules deliver.
fn both(
    set: &Analysed<'_>,
    first: usize,
    rule: &AnalysedRule<'_>,
    (second, other, _): &(usize, &AnalysedRule<'_>, usize),
) -> Option<World> {
    if set.space.is_spent() || matches!(Search::new(&set.space).all([&rule.matches, &other.matches]), Outcome::Never(_)) {
        return None;
    }
    let before = set.ending().filter(|(place, _)| place < second).map(|(_, rule)| &rule.misses);
    let kept = set.kept(*second);
    let formulas = [&rule.matches, &other.matches].into_iter().chain(before).chain(&kept);
    set.shown(formulas, |plan| {
        let has = |place: usize| set.rules.get(place).is_some_and(|rule| steps_of_first(plan).any(|step| step.rule == rule.rule.name));
        has(first) && has(*second)
    })
}

fn steps_of_first(plan: &Plan) -> impl Iterator<Item = &crate::rules::Step> {
    plan.steps.iter().filter(|step| step.recipients.iter().any(|recipient| recipient.originals.contains(&0)))
}

/// Deliveries whose failure nobody hears of.
pub(super) fn silent(set: &Analysed<'_>) -> Vec<Finding> {
    let silent = |(place, rule): (usize, &AnalysedRule<'_>)| {
        let actions = || rule.rule.actions.iter().take(rule.reached());
        let action = rule.acts.then(|| actions().position(|action| !is_answered(action))).flatten()?;
        if actions().any(|action| delivers(action) && is_answered(action)) {
            return None;
        }
        let answered =
            |other: &&AnalysedRule<'_>| other.acts && other.rule.actions.iter().any(|action| delivers(action) && is_answered(action));
        let others = set.rules.iter().filter(answered).map(|rule| &rule.misses);
        let ends = set.ending().filter(|(other, rule)| *other != place && (*other < place || rule.refuses()));
        let formulas = [&rule.matches].into_iter().chain(others).chain(ends.map(|(_, rule)| &rule.misses));
        let world = set.shown(formulas, |plan| {
            let mut steps = steps_of_first(plan).peekable();
            steps.peek().is_some() && steps.all(|step| step.on_failure == OnFailure::Continue)
        })?;
        let message = format!("if the relay refuses the message for good, it is lost and nobody is told: only {} delivers it", rule.name());
        Some(Finding {
            witness: Some(world.witness()),
            help: vec!["write `on_failure: bounce`, so that the sender is told, or `on_failure: drop` if nobody should be".to_owned()],
            ..finding(FindingKind::Silent, Place::Action(place, action), message)
        })
    };
    set.rules.iter().enumerate().filter_map(silent).collect()
}

/// Rules that refuse some recipients of a message that others get: the reply to DATA is one for all, so the sender gets a bounce.
pub(super) fn bounced(set: &Analysed<'_>) -> Vec<Finding> {
    let refusing = |(place, rule): (usize, &AnalysedRule<'_>)| {
        let end = rule.end.filter(|_| rule.acts)?;
        if !matches!(rule.rule.actions.get(end), Some(Action::Reject(_))) || !rule.is_about_recipients(&set.space) {
            return None;
        }
        let before = set.ending().filter(|(other, _)| *other < place).map(|(_, rule)| &rule.misses);
        let is_refused = |plan: &Plan, number: usize| {
            let recipient = plan.recipients.get(number).map(|recipient| &recipient.disposition);
            matches!(recipient, Some(Disposition::Rejected { rule: by, .. }) if *by == rule.rule.name)
        };
        let refused = set.shown([&rule.matches].into_iter().chain(before), |plan| is_refused(plan, 0))?.recipient();
        let delivering = set.rules.iter().filter(|other| other.acts && other.delivery.is_some());
        let is_planned = |plan: &Plan| plan.recipients.first().is_some_and(|first| first.disposition == Disposition::Planned);
        let world = delivering.into_iter().find_map(|other| {
            let ends = set.ending().filter(|(_, end)| !std::ptr::eq(*end, other)).map(|(_, rule)| &rule.misses);
            set.shown([&other.matches].into_iter().chain(ends), is_planned)
        })?;
        let (delivered, mut witness) = (world.recipient(), world.witness());
        let world = world.with_recipients(&[&delivered, &refused])?;
        let plan = world.judge(set.set)?;
        if !is_planned(&plan) || !is_refused(&plan, 1) {
            return None;
        }
        if let Some((_, recipients)) = witness.0.first_mut() {
            *recipients = format!("{delivered} and {refused}");
        }
        let message =
            format!("a message to others too is accepted, and its sender gets a bounce for the recipients that {} refuses", rule.name());
        Some(Finding {
            witness: Some(witness),
            help: vec!["refuse them in the policy, with `deny` and `recipient`: there each recipient has a reply of its own".to_owned()],
            ..finding(FindingKind::Backscatter, Place::Action(place, end), message)
        })
    };
    set.rules.iter().enumerate().filter_map(refusing).collect()
}

impl AnalysedRule<'_> {
    /// Number of actions that are carried out.
    fn reached(&self) -> usize {
        self.end.map_or(usize::MAX, |end| end.saturating_add(1))
    }
}
