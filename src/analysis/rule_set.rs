//! What is proven of a rule set: for one recipient, all rules in their order.

use super::sets::read::Versions;
use super::sets::{Formula, Lit, Outcome, Part, Search, Space, Subject, Test};
use super::world::World;
use super::{Finding, FindingKind, Place, dead, delivery};
use crate::rules::{Action, Disposition, Mode, OnFailure, Plan, Rule, RuleSet, TextTest};

/// What is known besides the rule set itself.
#[derive(Debug, Default)]
pub struct Given {
    /// Whether the file says what `otherwise` is.
    pub says_otherwise: bool,
    /// The recipients' domains, when mail for others never gets so far: a test of [`TextTest::Equals`].
    pub domains: Option<TextTest>,
}

/// All that can be said of a rule set.
pub fn rule_set(set: &RuleSet, given: &Given) -> Vec<Finding> {
    let set = Analysed::new(set, given);
    let mut findings = dead::actions(&set);
    findings.extend(dead::rules(&set));
    findings.extend(delivery::lost(&set));
    findings.extend(delivery::twice(&set));
    findings.extend(delivery::silent(&set));
    findings.extend(delivery::bounced(&set));
    findings
}

/// A rule set as formulas.
pub(super) struct Analysed<'a> {
    pub(super) set: &'a RuleSet,
    pub(super) given: &'a Given,
    pub(super) space: Space<'a>,
    pub(super) rules: Vec<AnalysedRule<'a>>,
    /// The recipient is one that mail is taken for.
    pub(super) taken: Formula,
}

/// A rule as formulas.
pub(super) struct AnalysedRule<'a> {
    pub(super) rule: &'a Rule,
    /// One for each condition: of `when`, then of `unless`. All hold when the rule matches.
    pub(super) conditions: Vec<Formula>,
    /// The rule matches.
    pub(super) matches: Formula,
    /// It does not.
    pub(super) misses: Formula,
    /// The place of the action that ends the set.
    pub(super) end: Option<usize>,
    /// The place of the first action that delivers.
    pub(super) delivery: Option<usize>,
    /// It is carried out.
    pub(super) acts: bool,
}

impl<'a> Analysed<'a> {
    fn new(set: &'a RuleSet, given: &'a Given) -> Self {
        let (mut space, mut versions) = (Space::default(), Versions::default());
        let mut rules = Vec::with_capacity(set.rules.len());
        for rule in &set.rules {
            let conditions = space.rule(rule, &versions);
            let matches = Formula::And(conditions.clone());
            let acts = rule.mode == Mode::Enforce;
            let end = rule.actions.iter().position(ends);
            let reached = rule.actions.iter().take(end.map_or(usize::MAX, |end| end.saturating_add(1)));
            let delivery = reached.clone().position(delivers);
            rules.push(AnalysedRule { rule, conditions, misses: matches.not(), matches, end, delivery, acts });
            versions.change(rule);
        }
        let taken = match &given.domains {
            Some(test) => {
                let variable = space.variable(Subject::Recipient, 0);
                Formula::Lit(space.atom(variable, Test::Text(Part::Domain, test)))
            }
            None => Formula::TRUE,
        };
        Self { set, given, space, rules, taken }
    }

    /// Rules that end the set, with their places.
    pub(super) fn ending(&self) -> impl Iterator<Item = (usize, &AnalysedRule<'a>)> {
        self.rules.iter().enumerate().filter(|(_, rule)| rule.acts && rule.end.is_some())
    }

    /// Nobody takes back what was planned by the rule at this place: each rule behind it that refuses misses, or another has ended the set.
    pub(super) fn kept(&self, place: usize) -> Vec<Formula> {
        let mut ended: Vec<Formula> = Vec::new();
        let mut kept = Vec::new();
        if self.rules.get(place).is_some_and(|rule| rule.end.is_some()) {
            return kept;
        }
        for (_, rule) in self.ending().filter(|(other, _)| *other > place) {
            if rule.refuses() {
                if !self.space.spend(ended.len()) {
                    break;
                }
                kept.push(Formula::Or([rule.misses.clone()].into_iter().chain(ended.iter().cloned()).collect()));
            } else {
                ended.push(rule.matches.clone());
            }
        }
        kept
    }

    /// A message for which the formulas hold, and what becomes of it, if that is as expected.
    pub(super) fn shown<'f>(
        &'f self,
        formulas: impl IntoIterator<Item = &'f Formula>,
        is_expected: impl FnOnce(&Plan) -> bool,
    ) -> Option<World> {
        if self.space.is_spent() {
            return None;
        }
        let formulas = formulas.into_iter().chain([&self.taken]);
        let Outcome::Fits(values) = Search::to_show(&self.space).all(formulas) else { return None };
        let world = World::build(&self.space, &values)?;
        // Each rule may change what all behind it look at.
        let rules = self.set.rules.len();
        if !self.space.spend(rules.saturating_mul(rules)) {
            return None;
        }
        is_expected(&world.judge(self.set)?).then_some(world)
    }
}

impl AnalysedRule<'_> {
    /// The name with its quotes.
    pub(super) fn name(&self) -> String {
        format!("`{}`", self.rule.name)
    }

    /// Whether it takes back what was planned.
    pub(super) fn refuses(&self) -> bool {
        self.acts
            && self
                .end
                .and_then(|end| self.rule.actions.get(end))
                .is_some_and(|action| matches!(action, Action::Reject(_) | Action::Defer(_)))
    }

    /// Whether a recipient that it matches has been disposed of.
    pub(super) fn settles(&self) -> bool {
        let stops = self.end.and_then(|end| self.rule.actions.get(end)).is_some_and(|action| !matches!(action, Action::Stop));
        self.acts && (self.delivery.is_some() || stops)
    }

    /// Whether it looks at the envelope's recipient as it came in, and at nothing else.
    pub(super) fn is_about_recipients(&self, space: &Space<'_>) -> bool {
        let mut only = !self.conditions.is_empty();
        self.matches.each(&mut |lit: Lit| {
            let variable = space.atoms.get(lit.atom).and_then(|atom| space.variables.get(atom.variable));
            only &= variable.is_some_and(|variable| variable.subject == Subject::Recipient && variable.version == 0);
        });
        only
    }
}

/// Whether an action ends the rule set.
pub(super) fn ends(action: &Action) -> bool {
    matches!(action, Action::Drop | Action::Stop | Action::Reject(_) | Action::Defer(_))
}

/// Whether an action gives the message to somebody.
pub(super) fn delivers(action: &Action) -> bool {
    matches!(action, Action::SmtpRelay { .. } | Action::NotAvailable { disposes: true, .. })
}

/// Whether somebody learns of it when the next hop refuses for good, or it was said that nobody should.
pub(super) fn is_answered(action: &Action) -> bool {
    !matches!(action, Action::SmtpRelay { on_failure: OnFailure::Continue, .. })
}

/// Whether the first recipient falls to `otherwise`.
pub(super) fn falls(plan: &Plan) -> bool {
    let Some(first) = plan.recipients.first() else { return false };
    match &first.disposition {
        Disposition::Planned => false,
        Disposition::Dropped { rule } | Disposition::Rejected { rule, .. } | Disposition::Deferred { rule, .. } => **rule == *"otherwise",
    }
}

/// A finding with its places.
pub(super) fn finding(kind: FindingKind, at: Place, message: String) -> Finding {
    Finding { kind, at, message, others: Vec::new(), witness: None, help: Vec::new() }
}
