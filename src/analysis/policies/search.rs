//! The search for a session that some statements match and others do not.

use super::Solved;
use super::world::{Literal, World, solve};
use crate::limits::PROOF_STEPS_MAX;
use crate::policy::Statement;

/// A session that has all of `wanted` and that none of `avoided` matches. `Nothing` is a proof that there is none; a statement whose
/// answer is not known counts as one that may not match.
pub(super) fn find<'p>(wanted: &[Literal<'p>], avoided: &[&'p Statement]) -> Solved<World<'p>> {
    let mut search = Search { avoided, literals: wanted.to_vec(), steps: PROOF_STEPS_MAX };
    search.go()
}

/// What is to be true when the statement matches.
pub(super) fn all_of(statement: &Statement) -> Vec<Literal<'_>> {
    statement.when.iter().map(|condition| Literal { condition, wanted: true }).collect()
}

struct Search<'p, 's> {
    avoided: &'s [&'p Statement],
    /// What is to be true so far.
    literals: Vec<Literal<'p>>,
    steps: usize,
}

impl<'p> Search<'p, '_> {
    fn go(&mut self) -> Solved<World<'p>> {
        let Some(steps) = self.steps.checked_sub(1) else { return Solved::Unknown };
        self.steps = steps;
        match solve(&self.literals) {
            Solved::Nothing => Solved::Nothing,
            Solved::One(world) => match self.avoided.iter().find(|statement| world.holds(statement) != Some(false)) {
                None => Solved::One(world),
                Some(hit) => self.avoid(hit),
            },
            // Without an example there still may be a statement that surely matches.
            Solved::Unknown => {
                for statement in self.avoided {
                    if self.is_surely_hit(statement) {
                        return Solved::Nothing;
                    }
                }
                Solved::Unknown
            }
        }
    }

    /// Goes on with each of the ways in which the statement does not match.
    fn avoid(&mut self, statement: &'p Statement) -> Solved<World<'p>> {
        let mut is_known = true;
        for condition in &statement.when {
            // It is to match already: what is the same cannot be otherwise.
            if self.literals.iter().any(|literal| literal.wanted && std::ptr::eq(literal.condition, condition)) {
                continue;
            }
            self.literals.push(Literal { condition, wanted: false });
            let found = self.go();
            self.literals.pop();
            match found {
                Solved::One(world) => return Solved::One(world),
                Solved::Nothing => {}
                Solved::Unknown => is_known = false,
            }
        }
        if is_known { Solved::Nothing } else { Solved::Unknown }
    }

    fn is_surely_hit(&mut self, statement: &'p Statement) -> bool {
        statement.when.iter().all(|condition| {
            let Some(steps) = self.steps.checked_sub(1) else { return false };
            self.steps = steps;
            self.literals.push(Literal { condition, wanted: false });
            let solved = solve(&self.literals);
            self.literals.pop();
            solved.is_nothing()
        })
    }
}
