//! Whether formulas can hold together: a message is guessed, and what it does not fit is asked for, until it fits or nothing is left.

use super::{Formula, Lit, Solution, Space, Value};
use crate::limits::{ANALYSIS_DEPTH_MAX, ANALYSIS_STEPS_MAX};

/// What came of a search.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// All hold for these values, by the place of the variable. `None` is the usual value.
    Fits(Vec<Option<Value>>),
    /// They never hold together; the places of those that the proof used.
    Never(Vec<usize>),
    /// It cannot be told.
    Unknown,
}

/// Looks for a message for which formulas hold.
#[derive(Debug)]
pub(crate) struct Search<'s, 'a> {
    space: &'s Space<'a>,
    formulas: Vec<&'s Formula>,
    /// Analyzers answer, and say something of each field.
    surely: bool,
    /// What was asked for of each variable.
    asked: Vec<Asked>,
    used: Vec<bool>,
    steps: usize,
    is_unknown: bool,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    lits: Vec<Lit>,
    value: State,
}

/// What is known of a variable's value.
#[derive(Clone, Debug, Default)]
enum State {
    /// The usual one.
    #[default]
    Usual,
    /// This one.
    Value(Value),
    /// One that could not be found.
    Unknown,
}

impl<'s, 'a> Search<'s, 'a> {
    /// A search with analyzers that may be silent: what it proves holds in any case.
    pub(crate) fn new(space: &'s Space<'a>) -> Self {
        let asked = vec![Asked::default(); space.variables.len()];
        Self { space, formulas: Vec::new(), surely: false, asked, used: Vec::new(), steps: 0, is_unknown: false }
    }

    /// For messages that are to be shown: analyzers answer, and each field has a value.
    pub(crate) fn to_show(space: &'s Space<'a>) -> Self {
        Self { surely: true, ..Self::new(space) }
    }

    /// Whether all these can hold together.
    pub(crate) fn all(mut self, formulas: impl IntoIterator<Item = &'s Formula>) -> Outcome {
        self.formulas = formulas.into_iter().collect();
        self.used = vec![false; self.formulas.len()];
        if self.step(0) {
            let value = |asked: Asked| match asked.value {
                State::Usual => Some(None),
                State::Value(value) => Some(Some(value)),
                State::Unknown => None,
            };
            // With a value that could not be found, the rest fits; whether the whole does cannot be told.
            return self.asked.into_iter().map(value).collect::<Option<_>>().map_or(Outcome::Unknown, Outcome::Fits);
        }
        if self.is_unknown {
            return Outcome::Unknown;
        }
        Outcome::Never(self.used.iter().enumerate().filter(|(_, used)| **used).map(|(place, _)| place).collect())
    }

    /// Whether the message that is guessed can be made to fit.
    fn step(&mut self, depth: usize) -> bool {
        if !self.space.spend(self.formulas.len()) {
            self.is_unknown = true;
            return false;
        }
        let violated = self.formulas.iter().position(|formula| !self.holds(formula));
        let Some(place) = violated else { return true };
        let Some(formula) = self.formulas.get(place).copied() else { return true };
        if let Some(used) = self.used.get_mut(place) {
            *used = true;
        }
        self.branch(formula, depth)
    }

    /// Makes a formula hold that does not, in each way there is.
    fn branch(&mut self, formula: &'s Formula, depth: usize) -> bool {
        match formula {
            Formula::Lit(lit) => self.ask(*lit, depth),
            Formula::And(formulas) => {
                let violated = formulas.iter().find(|formula| !self.holds(formula));
                violated.is_none_or(|formula| self.branch(formula, depth))
            }
            Formula::Or(formulas) => formulas.iter().any(|formula| self.branch(formula, depth)),
        }
    }

    fn ask(&mut self, lit: Lit, depth: usize) -> bool {
        self.steps = self.steps.saturating_add(1);
        if self.steps > ANALYSIS_STEPS_MAX || depth > ANALYSIS_DEPTH_MAX {
            self.is_unknown = true;
            return false;
        }
        let Some(variable) = self.space.atoms.get(lit.atom).map(|atom| atom.variable) else { return false };
        let Some(asked) = self.asked.get_mut(variable) else { return false };
        if asked.lits.contains(&Lit { holds: !lit.holds, ..lit }) {
            return false;
        }
        asked.lits.push(lit);
        let value = match self.space.solve(variable, &asked.lits, self.surely) {
            Solution::Fits(value) => State::Value(value),
            // What is to be shown must be there in full; another way may lead to it.
            Solution::Unknown if self.surely => {
                asked.lits.pop();
                self.is_unknown = true;
                return false;
            }
            Solution::Unknown => State::Unknown,
            Solution::Never => {
                asked.lits.pop();
                return false;
            }
        };
        let before = std::mem::replace(&mut asked.value, value);
        if self.step(depth.saturating_add(1)) {
            return true;
        }
        if let Some(asked) = self.asked.get_mut(variable) {
            asked.lits.pop();
            asked.value = before;
        }
        false
    }

    fn holds(&self, formula: &Formula) -> bool {
        match formula {
            Formula::And(formulas) => formulas.iter().all(|formula| self.holds(formula)),
            Formula::Or(formulas) => formulas.iter().any(|formula| self.holds(formula)),
            Formula::Lit(lit) => {
                let Some(atom) = self.space.atoms.get(lit.atom) else { return true };
                let (Some(asked), Some(variable)) = (self.asked.get(atom.variable), self.space.variables.get(atom.variable)) else {
                    return true;
                };
                match &asked.value {
                    State::Usual => self.space.holds(atom, &variable.usual) == lit.holds,
                    State::Value(value) => self.space.holds(atom, value) == lit.holds,
                    // What was not asked for is asked for, so that a contradiction shows.
                    State::Unknown => asked.lits.contains(lit),
                }
            }
        }
    }
}
