//! One field of an analyzer and what is asked of it.

use super::Solved;
use crate::message::{FieldValue, Verdict};
use crate::rules::{AnalysisCondition, FieldTest};

/// A condition and whether it is to hold.
pub(super) type Demand<'t> = (&'t AnalysisCondition, bool);

/// What an analyzer says in one field.
#[derive(Clone, Debug)]
pub(super) enum Said<'t> {
    /// There is no answer: no condition on it matches.
    Nothing,
    /// An answer without this field.
    Absent,
    /// This.
    Value(FieldValue),
    /// Something of which this test is true; what is not known.
    Fitting(&'t FieldTest),
}

impl Said<'_> {
    /// Whether the condition matches; `None`: that cannot be told.
    pub(super) fn fits(&self, condition: &AnalysisCondition) -> Option<bool> {
        match self {
            Self::Nothing => Some(false),
            Self::Absent => Some(condition.test.holds(None) == Some(true)),
            Self::Value(value) => Some(condition.test.holds(Some(value)) == Some(true)),
            Self::Fitting(test) => is_same(test, &condition.test).then_some(true),
        }
    }
}

/// What the analyzer can say, so that all demands are true.
pub(super) fn solve<'t>(demands: &[Demand<'t>]) -> Solved<Said<'t>> {
    if demands.iter().any(|(condition, _)| matches!(condition.test, FieldTest::Text(_))) {
        return text(demands);
    }
    let is_fitting = |said: &Said<'_>| demands.iter().all(|(condition, wanted)| said.fits(condition) == Some(*wanted));
    let found = values(demands).into_iter().map(Said::Value).chain([Said::Absent, Said::Nothing]).find(is_fitting);
    found.map_or(Solved::Nothing, Solved::One)
}

/// Values of which each is treated otherwise by some demand, and all kinds of treatment are among them.
fn values(demands: &[Demand<'_>]) -> Vec<FieldValue> {
    let mut numbers: Vec<f64> = Vec::new();
    let mut words = false;
    for (condition, _) in demands {
        match &condition.test {
            FieldTest::Number(_, values) => numbers.extend(values),
            FieldTest::Verdict { .. } => words = true,
            FieldTest::Boolean { .. } | FieldTest::Text(_) | FieldTest::Exists(_) => {}
        }
    }
    if words {
        return [Verdict::Pass, Verdict::Fail, Verdict::Gray, Verdict::ProcessingFailed].map(FieldValue::Verdict).into();
    }
    if numbers.is_empty() {
        return [true, false].map(FieldValue::Boolean).into();
    }
    numbers.sort_by(f64::total_cmp);
    let between = numbers.iter().zip(numbers.iter().skip(1)).map(|(low, high)| f64::midpoint(*low, *high));
    let ends = numbers.first().map(|low| low - 1.0).into_iter().chain(numbers.last().map(|high| high + 1.0));
    let all: Vec<f64> = between.chain(ends).chain(numbers.iter().copied()).collect();
    all.into_iter().map(FieldValue::Number).collect()
}

/// Texts of analyzers may be many, and nobody knows which there can be: a test is true or not, and that is all.
fn text<'t>(demands: &[Demand<'t>]) -> Solved<Said<'t>> {
    let Some((first, _)) = demands.iter().find(|(_, wanted)| *wanted) else { return Solved::One(Said::Nothing) };
    let is_refused = |(condition, wanted): &Demand<'_>| {
        !wanted && demands.iter().any(|(other, wanted)| *wanted && is_same(&condition.test, &other.test))
    };
    if demands.iter().any(is_refused) {
        return Solved::Nothing;
    }
    if demands.iter().all(|(condition, _)| is_same(&condition.test, &first.test)) {
        return Solved::One(Said::Fitting(&first.test));
    }
    Solved::Unknown
}

/// Whether both are written alike; no test of a field names a list, so what is written is short.
fn is_same(one: &FieldTest, other: &FieldTest) -> bool {
    std::ptr::eq(one, other) || format!("{one:?}") == format!("{other:?}")
}
