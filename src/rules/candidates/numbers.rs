//! Rules by the number that they ask for.

use super::marks::Marks;
use crate::rules::NumberOperator;

/// Rules by the values of a number that lie just inside of what they want.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// This number or a greater one, ascending.
    least: Vec<(u64, usize)>,
    /// This number or a smaller one, descending.
    most: Vec<(u64, usize)>,
    equal: Vec<(u64, usize)>,
}

impl Numbers {
    /// Every operator that is not a negation.
    pub(super) fn add(&mut self, operator: NumberOperator, value: u64, rule: usize) {
        match operator {
            NumberOperator::GreaterThanOrEqual | NumberOperator::GreaterThan => self.least.push((value, rule)),
            NumberOperator::LessThanOrEqual | NumberOperator::LessThan => self.most.push((value, rule)),
            NumberOperator::Equals => self.equal.push((value, rule)),
            // It has no key; if it had, any number could be the right one.
            NumberOperator::NotEquals => self.least.push((0, rule)),
        }
    }

    pub(super) fn finish(&mut self) {
        self.least.sort_unstable();
        self.most.sort_unstable_by(|one, other| other.cmp(one));
        self.equal.sort_unstable();
    }

    /// Marks the rules that may want this number: for those that want a greater one or a smaller one, the bound itself is taken as good.
    pub(super) fn mark(&self, number: u64, marks: &mut Marks) {
        self.least.iter().take_while(|(least, _)| *least <= number).for_each(|(_, rule)| marks.set(*rule));
        self.most.iter().take_while(|(most, _)| *most >= number).for_each(|(_, rule)| marks.set(*rule));
        let first = self.equal.partition_point(|(value, _)| *value < number);
        self.equal.iter().skip(first).take_while(|(value, _)| *value == number).for_each(|(_, rule)| marks.set(*rule));
    }
}
