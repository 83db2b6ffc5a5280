//! Numbers, networks, words, flags and analyses: few values stand for all, so that what none of them fits is never.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::text::{self, Shape};
use super::{Field, Part, Session, Solution, Test, Value};
use crate::limits::ANALYSIS_VALUES_MAX;
use crate::message::{FieldValue, Text, TlsVersion, Verdict};
use crate::rules::{AnalysisCondition, CertificateAttribute, FieldTest, Flag, IpSet, OnError, TextTest, Value as Compared};

/// An address for documentation (RFC 5737).
pub(super) const USUAL_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 25));
/// Octets of a short message.
pub(super) const USUAL_SIZE: u64 = 4096;

/// Whether a test that is not about texts alone holds for a value.
pub(super) fn holds(test: Test<'_>, value: &Value) -> bool {
    match (test, value) {
        (Test::Number(operator, values), Value::Number(number)) => operator.holds(*number, values),
        (Test::Network(set), Value::Ip(address)) => set.contains(*address),
        (Test::NetworkList(lists), Value::Ip(address)) => lists.iter().any(|list| list.contains(*address)),
        (Test::Flag(Flag::HasAttachments), Value::Attachments(attachments)) => !attachments.is_empty(),
        (Test::Flag(_), Value::Bool(set)) => *set,
        (Test::Flag(flag), Value::Session(session)) => match flag {
            Flag::Tls => session.tls.is_some(),
            Flag::TlsWrapped => session.tls.is_some_and(|(_, wrapped)| wrapped),
            Flag::Authenticated => session.login || session.certificate.is_some(),
            Flag::ReadReceiptRequested | Flag::HasAttachments => false,
        },
        (Test::TlsMinimum(minimum), Value::Session(session)) => session.tls.is_some_and(|(version, _)| version >= minimum),
        (Test::TlsIs(versions), Value::Session(session)) => session.tls.is_some_and(|(version, _)| versions.contains(&version)),
        (Test::Certificate(attribute, test), Value::Session(session)) => {
            let values = session.certificate.iter().flatten().filter(|(of, _)| *of == attribute);
            values.into_iter().any(|(_, text)| test.fits(Compared::Folded(text)))
        }
        (Test::Words(words), Value::Word(word)) => words.checked_shr(*word).is_some_and(|words| words & 1 == 1),
        (Test::Field(condition, wanted), Value::Analysis(Some(fields))) => {
            condition.test.holds(fields.get(&condition.field).map(|field| &field.0)) == Some(wanted)
        }
        _ => false,
    }
}

fn all_hold(tests: &[(Test<'_>, bool)], value: &Value) -> bool {
    tests.iter().all(|(test, wanted)| holds(*test, value) == *wanted)
}

fn first<T>(candidates: impl Iterator<Item = T>, is_good: impl Fn(&T) -> bool) -> Solution<T> {
    candidates.into_iter().find(is_good).map_or(Solution::Never, Solution::Fits)
}

/// A number from `least` on. Each operator changes its mind at its values and beside them alone.
pub(super) fn number(tests: &[(Test<'_>, bool)], least: u64) -> Solution<u64> {
    let values = tests.iter().filter_map(|(test, _)| if let Test::Number(_, values) = test { Some(*values) } else { None }).flatten();
    let beside = values.flat_map(|value| [value.saturating_sub(1), *value, value.saturating_add(1)]);
    let usual = if least == 0 { USUAL_SIZE } else { least };
    let candidates: BTreeSet<u64> = beside.chain([least]).filter(|number| *number >= least).collect();
    // The nearest to the usual one: a message cannot be as small as a number can.
    let (below, above): (Vec<u64>, Vec<u64>) = candidates.into_iter().partition(|number| *number < usual);
    first([usual].into_iter().chain(below.into_iter().rev()).chain(above), |number| all_hold(tests, &Value::Number(*number)))
}

/// A client's address. The least address of what is left is the first of a network or stands behind the last of one.
pub(super) fn network(tests: &[(Test<'_>, bool)]) -> Solution<IpAddr> {
    let of = |wanted: bool| tests.iter().filter(move |(_, holds)| *holds == wanted).map(|(test, _)| *test);
    let lists = |wanted: bool| of(wanted).filter_map(|test| if let Test::NetworkList(lists) = test { Some(lists) } else { None });
    let is_within =
        |list: &std::sync::Arc<IpSet>, wider: &[std::sync::Arc<IpSet>]| wider.iter().any(|other| std::sync::Arc::ptr_eq(list, other));
    if lists(true).any(|these| lists(false).any(|wider| these.iter().all(|list| is_within(list, wider)))) {
        return Solution::Never;
    }
    let sets = || tests.iter().filter_map(|(test, wanted)| if let Test::Network(set) = test { Some((*set, *wanted)) } else { None });
    let total: usize = sets().map(|(set, _)| set.len()).fold(0, usize::saturating_add);
    let edges = sets().flat_map(|(set, wanted)| {
        set.ranges()
            .flat_map(move |(first, last)| if wanted { [Some(first), after(first)] } else { [after(last), after(last).and_then(after)] })
    });
    let of_lists = lists(true).flatten().flat_map(|list| list.ranges().take(64)).flat_map(|(first, _)| [Some(first), after(first)]);
    let least = [USUAL_ADDRESS, IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    // A host is more natural than the address of its network.
    let candidates = least.into_iter().chain(edges.flatten().take(ANALYSIS_VALUES_MAX)).chain(of_lists.flatten());
    let mut found: Option<IpAddr> = None;
    for address in candidates {
        if all_hold(tests, &Value::Ip(address)) {
            let is_network = match address {
                IpAddr::V4(v4) => v4.octets().last() == Some(&0),
                IpAddr::V6(v6) => v6.segments().last() == Some(&0),
            };
            found = Some(address);
            if !is_network {
                break;
            }
        } else if found.is_some() {
            break;
        }
    }
    match found {
        Some(address) => Solution::Fits(address),
        // What hangs on the content of a list is no proof.
        None if total.saturating_mul(2) > ANALYSIS_VALUES_MAX => Solution::Unknown,
        None => {
            let plain: Vec<_> = tests.iter().copied().filter(|(test, _)| !matches!(test, Test::NetworkList(_))).collect();
            if plain.len() == tests.len() || network(&plain) == Solution::Never { Solution::Never } else { Solution::Unknown }
        }
    }
}

fn after(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(u32::from(v4).checked_add(1)?)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).checked_add(1)?)),
    })
}

/// A flag that hangs on nothing else.
pub(super) fn flag(tests: &[(Test<'_>, bool)]) -> Solution<bool> {
    first([false, true].into_iter(), |value| all_hold(tests, &Value::Bool(*value)))
}

/// One of the words whose bits are set in `possible`.
pub(super) fn word(tests: &[(Test<'_>, bool)], possible: u32) -> Solution<u32> {
    let words = (0..u32::BITS).filter(|word| possible.checked_shr(*word).is_some_and(|bits| bits & 1 == 1));
    first(words, |word| all_hold(tests, &Value::Word(*word)))
}

/// A certificate needs TLS, and who shows one is authenticated.
pub(super) fn session(tests: &[(Test<'_>, bool)]) -> Solution<Session> {
    let mut values: Vec<(CertificateAttribute, String)> = Vec::new();
    let mut is_known = true;
    for (test, _) in tests.iter().filter(|(_, holds)| *holds) {
        let Test::Certificate(attribute, test) = test else { continue };
        let unwanted: Vec<(Part, &TextTest)> = tests
            .iter()
            .filter_map(|(other, holds)| match other {
                Test::Certificate(of, test) if of == attribute && !holds => Some((Part::Whole, *test)),
                _ => None,
            })
            .collect();
        match text::text(&[(Part::Whole, test)], &unwanted, Shape::Line) {
            Solution::Fits(value) => values.push((*attribute, value)),
            Solution::Never => return Solution::Never,
            Solution::Unknown => is_known = false,
        }
    }
    let versions = [TlsVersion::Tls1_3, TlsVersion::Tls1_2];
    let tls = [None].into_iter().chain([false, true].into_iter().flat_map(|wrapped| versions.map(|version| Some((version, wrapped)))));
    let candidates = tls.flat_map(|tls| {
        let values = &values;
        [(false, false), (true, false), (false, true), (true, true)].into_iter().filter_map(move |(login, shown)| {
            let certificate = shown.then(|| values.clone());
            (tls.is_some() || !shown).then_some(Session { tls, login, certificate })
        })
    });
    if is_known {
        return first(candidates, |session| all_hold(tests, &Value::Session(session.clone())));
    }
    // The flags alone may contradict each other.
    let flags: Vec<_> = tests.iter().copied().filter(|(test, _)| !matches!(test, Test::Certificate(..))).collect();
    match first(candidates.filter(|session| session.certificate.is_some()), |session| all_hold(&flags, &Value::Session(session.clone()))) {
        Solution::Never => Solution::Never,
        _ => Solution::Unknown,
    }
}

/// The fields of an analysis, or no answer. `surely`: it answers, and says something of each field.
pub(super) fn analysis(tests: &[(Test<'_>, bool)], surely: bool) -> Solution<Option<BTreeMap<Box<str>, Field>>> {
    let mut by_field: BTreeMap<&str, Vec<(&AnalysisCondition, bool)>> = BTreeMap::new();
    for (test, holds) in tests {
        if let Test::Field(condition, wanted) = test {
            by_field.entry(&condition.field).or_default().push((condition, wanted == holds));
        }
    }
    let mut fields = BTreeMap::new();
    let mut answer = Solution::Fits(());
    for (name, wanted) in by_field {
        match field(&wanted, surely) {
            Solution::Fits(value) => fields.extend(value.map(|value| (Box::from(name), Field(value)))),
            Solution::Never => {
                answer = Solution::Never;
                break;
            }
            Solution::Unknown => answer = Solution::Unknown,
        }
    }
    match answer {
        Solution::Fits(()) => return Solution::Fits(Some(fields)),
        Solution::Unknown => return Solution::Unknown,
        Solution::Never => {}
    }
    // Without an answer, what is to be skipped neither holds nor does not.
    let may_be_silent =
        |(test, holds): &(Test<'_>, bool)| !holds && matches!(test, Test::Field(condition, _) if condition.on_error == OnError::Skip);
    if !surely && tests.iter().all(may_be_silent) { Solution::Fits(None) } else { Solution::Never }
}

/// A value of a field, or none.
fn field(wanted: &[(&AnalysisCondition, bool)], surely: bool) -> Solution<Option<FieldValue>> {
    let is_good = |value: &Option<FieldValue>| wanted.iter().all(|(condition, holds)| condition.test.holds(value.as_ref()) == Some(*holds));
    let mut candidates: Vec<Option<FieldValue>> = Vec::new();
    let mut is_known = true;
    let texts: Vec<(&TextTest, bool)> = wanted
        .iter()
        .filter_map(|(condition, holds)| if let FieldTest::Text(test) = &condition.test { Some((test, *holds)) } else { None })
        .collect();
    if !texts.is_empty() {
        // What is `not_equals` in the positive is `equals` in the negative.
        let tests: Vec<(Test<'_>, bool)> =
            texts.iter().map(|(test, holds)| (Test::Text(Part::Whole, test), test.outcome(true) == *holds)).collect();
        match text::many(&tests, Shape::Line) {
            Solution::Fits(texts) if texts.is_empty() => candidates.push(Some(FieldValue::Texts(vec![Text::new("text")]))),
            Solution::Fits(texts) => candidates.push(Some(FieldValue::Texts(texts.into_iter().map(Text::new).collect()))),
            Solution::Never => {}
            Solution::Unknown => is_known = false,
        }
    }
    let mut numbers: Vec<f64> = Vec::new();
    for (condition, _) in wanted {
        match &condition.test {
            FieldTest::Number(_, values) => numbers.extend(values),
            FieldTest::Boolean { .. } => candidates.extend([false, true].map(|value| Some(FieldValue::Boolean(value)))),
            FieldTest::Verdict { .. } => {
                let words = [Verdict::Gray, Verdict::Pass, Verdict::Fail, Verdict::ProcessingFailed];
                candidates.extend(words.map(|word| Some(FieldValue::Verdict(word))));
            }
            FieldTest::Exists(_) => candidates.push(Some(FieldValue::Texts(vec![Text::new("text")]))),
            FieldTest::Text(_) => {}
        }
    }
    numbers.sort_by(f64::total_cmp);
    let between = numbers.windows(2).filter_map(|pair| if let [one, other] = pair { Some(f64::midpoint(*one, *other)) } else { None });
    let beside = numbers.iter().flat_map(|number| [number - 1.0, *number, number + 1.0]);
    candidates.extend(beside.chain(between).map(|number| Some(FieldValue::Number(number))));
    let has_exists = wanted.iter().any(|(condition, _)| matches!(condition.test, FieldTest::Exists(_)));
    if !surely || has_exists || !texts.is_empty() {
        candidates.push(None);
    }
    match candidates.into_iter().find(is_good) {
        Some(value) => Solution::Fits(value),
        None if is_known && (!has_exists || texts.is_empty()) => Solution::Never,
        None => Solution::Unknown,
    }
}
