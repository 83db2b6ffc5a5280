//! Which rules, statements and conditions the tests have reached, and which outcomes of them were never seen.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::analysis::{List, Place};
use crate::config::{FilePlaces, JudgedEndpoint, Rulebook};
use crate::policy::PolicyTrace;
use crate::rules::{Condition, ConditionTrace, Mode, RuleSet, RuleTrace, Seen};
use crate::trial::Trial;

/// What was seen of one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sight {
    held: bool,
    failed: bool,
}

impl Sight {
    fn see(&mut self, outcome: &Seen) {
        match outcome {
            Seen::Holds => self.held = true,
            Seen::Fails => self.failed = true,
            Seen::Unknown(_) => {}
        }
    }

    fn and(&mut self, other: Self) {
        self.held |= other.held;
        self.failed |= other.failed;
    }
}

/// What was seen, by policy and rule set.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    policies: BTreeMap<String, BTreeMap<Place, Sight>>,
    rule_sets: BTreeMap<String, BTreeMap<Place, Sight>>,
}

/// How much of a file was seen.
#[derive(Debug)]
pub(super) struct Covered {
    pub(super) file: PathBuf,
    /// Rules or statements that have matched.
    pub(super) matched: usize,
    /// Rules or statements.
    pub(super) matchable: usize,
    /// Outcomes of conditions that were seen.
    pub(super) seen: usize,
    /// Outcomes that there are: two of each condition.
    pub(super) possible: usize,
    pub(super) gaps: Vec<Gap>,
}

/// What was never seen.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Covered {
    fn new(file: PathBuf) -> Self {
        Self { file, matched: 0, matchable: 0, seen: 0, possible: 0, gaps: Vec::new() }
    }

    /// Of 100, rounded down, so that only all of it is 100.
    pub(super) fn percent(&self) -> usize {
        percent(self.matched.saturating_add(self.seen), self.matchable.saturating_add(self.possible))
    }
}

/// Of all files together.
pub(super) fn percent_of(files: &[Covered]) -> usize {
    let sum = |number: fn(&Covered) -> usize| files.iter().map(number).fold(0, usize::saturating_add);
    let seen = sum(|file| file.matched.saturating_add(file.seen));
    percent(seen, sum(|file| file.matchable.saturating_add(file.possible)))
}

fn percent(part: usize, whole: usize) -> usize {
    part.saturating_mul(100).checked_div(whole).unwrap_or(100)
}

impl Coverage {
    /// Counts what one trial has seen.
    pub(super) fn add(&mut self, endpoint: &JudgedEndpoint, trial: &Trial) {
        if !endpoint.policy.name.is_empty() {
            let sights = self.policies.entry(endpoint.policy.name.to_string()).or_default();
            let stages = trial.stages.iter().chain(trial.recipients.iter().filter_map(|recipient| recipient.policy.as_ref()));
            stages.for_each(|stage| add_policy(sights, &stage.trace));
        }
        if !endpoint.rules.name.is_empty() {
            let sights = self.rule_sets.entry(endpoint.rules.name.to_string()).or_default();
            trial.judged.iter().flat_map(|judged| &judged.rules).for_each(|trace| add_rule(sights, trace));
        }
    }

    /// Both together.
    pub(super) fn merge(&mut self, other: Self) {
        for (all, more) in [(&mut self.policies, other.policies), (&mut self.rule_sets, other.rule_sets)] {
            for (name, sights) in more {
                let known = all.entry(name).or_default();
                sights.into_iter().for_each(|(place, sight)| known.entry(place).or_default().and(sight));
            }
        }
    }

    /// File by file; with `all` also of those that no test is about.
    pub(super) fn files(&self, rulebook: &Rulebook, all: bool) -> Vec<Covered> {
        let none = BTreeMap::new();
        let mut covered = Vec::new();
        for (name, policy) in &rulebook.policies {
            let (Some(places), sights) = (rulebook.files.policies.get(name), self.policies.get(name)) else { continue };
            if sights.is_none() && !all {
                continue;
            }
            let mut file = Seeing { covered: Covered::new(places.path().to_owned()), places, sights: sights.unwrap_or(&none) };
            for (list, statements) in [(List::Deny, &policy.deny), (List::Allow, &policy.allow)] {
                for (number, statement) in statements.iter().enumerate() {
                    if !file.matchable(&Place::Statement(list, number), &format!("statement `{}`", statement.name)) {
                        statement.when.iter().for_each(|_| file.count_condition());
                        continue;
                    }
                    for (place, condition) in statement.when.iter().enumerate() {
                        file.condition(&Place::Condition(list, number, place), &condition.attribute(), &condition.test());
                    }
                }
            }
            covered.push(file.covered);
        }
        for (name, rules) in &rulebook.rule_sets {
            let (Some(places), sights) = (rulebook.files.rule_sets.get(name), self.rule_sets.get(name)) else { continue };
            if sights.is_some() || all {
                let file = Seeing { covered: Covered::new(places.path().to_owned()), places, sights: sights.unwrap_or(&none) };
                covered.push(file.rule_set(rules));
            }
        }
        covered
    }
}

fn add_policy(sights: &mut BTreeMap<Place, Sight>, trace: &PolicyTrace) {
    for (list, statements) in [(List::Deny, &trace.deny), (List::Allow, &trace.allow)] {
        // What was not looked at has shown nothing.
        for (number, statement) in statements.iter().enumerate().filter(|(_, statement)| statement.is_reached) {
            sights.entry(Place::Statement(list, number)).or_default().see(&statement.outcome);
            for (place, condition) in statement.when.iter().enumerate() {
                sights.entry(Place::Condition(list, number, place)).or_default().see(&condition.outcome);
            }
        }
    }
}

fn add_rule(sights: &mut BTreeMap<Place, Sight>, trace: &RuleTrace) {
    for recipient in &trace.recipients {
        sights.entry(Place::Rule(trace.index)).or_default().see(&recipient.outcome);
        let when = |path: &[usize]| Place::When(trace.index, path.to_vec());
        let unless = |path: &[usize]| Place::Unless(trace.index, path.to_vec());
        add_conditions(sights, &recipient.when, &mut Vec::new(), &when);
        add_conditions(sights, &recipient.unless, &mut Vec::new(), &unless);
    }
}

fn add_conditions(
    sights: &mut BTreeMap<Place, Sight>,
    conditions: &[ConditionTrace],
    path: &mut Vec<usize>,
    place: &dyn Fn(&[usize]) -> Place,
) {
    for (number, condition) in conditions.iter().enumerate() {
        path.push(number);
        if condition.inner.is_empty() {
            sights.entry(place(path)).or_default().see(&condition.outcome);
        } else {
            add_conditions(sights, &condition.inner, path, place);
        }
        path.pop();
    }
}

/// A file and what was seen of it.
struct Seeing<'s> {
    covered: Covered,
    places: &'s FilePlaces,
    sights: &'s BTreeMap<Place, Sight>,
}

impl Seeing<'_> {
    fn rule_set(mut self, set: &RuleSet) -> Covered {
        for (index, rule) in set.rules.iter().enumerate().filter(|(_, rule)| rule.mode != Mode::Off) {
            if !self.matchable(&Place::Rule(index), &format!("rule `{}`", rule.name)) {
                self.count_unseen(&rule.when);
                self.count_unseen(&rule.unless);
                continue;
            }
            self.conditions(&rule.when, &mut Vec::new(), &|path| Place::When(index, path.to_vec()));
            self.conditions(&rule.unless, &mut Vec::new(), &|path| Place::Unless(index, path.to_vec()));
        }
        self.covered
    }

    fn conditions(&mut self, conditions: &[Condition], path: &mut Vec<usize>, place: &dyn Fn(&[usize]) -> Place) {
        for (number, condition) in conditions.iter().enumerate() {
            path.push(number);
            match condition {
                Condition::Any(inner) | Condition::All(inner) => self.conditions(inner, path, place),
                Condition::Not(inner) => self.conditions(std::slice::from_ref(&**inner), path, place),
                condition => self.condition(&place(path), &condition.attribute(), &condition.test()),
            }
            path.pop();
        }
    }

    /// Of a rule that no message has come to, its conditions are not named as well.
    fn count_unseen(&mut self, conditions: &[Condition]) {
        for condition in conditions {
            match condition {
                Condition::Any(inner) | Condition::All(inner) => self.count_unseen(inner),
                Condition::Not(inner) => self.count_unseen(std::slice::from_ref(&**inner)),
                _ => self.count_condition(),
            }
        }
    }

    /// A condition can hold, and it can fail.
    fn count_condition(&mut self) {
        self.covered.possible = self.covered.possible.saturating_add(2);
    }

    /// Counts a rule or a statement; whether any message has come to it.
    fn matchable(&mut self, place: &Place, what: &str) -> bool {
        self.covered.matchable = self.covered.matchable.saturating_add(1);
        let sight = self.sights.get(place).copied();
        match sight {
            Some(Sight { held: true, .. }) => self.covered.matched = self.covered.matched.saturating_add(1),
            Some(_) => self.gap(place, format!("{what} has never matched")),
            None => self.gap(place, format!("{what} was never reached")),
        }
        sight.is_some()
    }

    fn condition(&mut self, place: &Place, attribute: &str, test: &str) {
        let Sight { held, failed } = self.sights.get(place).copied().unwrap_or_default();
        self.count_condition();
        self.covered.seen = self.covered.seen.saturating_add(usize::from(held)).saturating_add(usize::from(failed));
        let never = match (held, failed) {
            (true, true) => return,
            (true, false) => "has never failed",
            (false, true) => "has never held",
            (false, false) => "was never judged",
        };
        self.gap(place, format!("condition `{attribute} {test}` {never}"));
    }

    fn gap(&mut self, place: &Place, text: String) {
        let line = self.places.line(place).unwrap_or(0);
        self.covered.gaps.push(Gap { line, text });
    }
}

/// The files that are shown, in the order of their names.
pub(super) fn sorted(mut files: Vec<Covered>) -> Vec<Covered> {
    let mut seen = BTreeSet::new();
    files.sort_by(|one, other| one.file.cmp(&other.file));
    files.retain(|file| seen.insert(file.file.clone()));
    files
}
