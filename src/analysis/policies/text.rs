//! One text and what is asked of it: whether there is a text of which all of it is true.
//!
//! A text is put together from the beginning, the parts and the end that are asked for, with something between that the negative tests
//! leave room for. That there is none is said only where two demands exclude each other; where nothing is found without that, it cannot
//! be told.

use std::iter;

use super::Solved;
use crate::limits::PROOF_CHOICES_MAX;
use crate::message::Text;
use crate::rules::{Folded, TextTest, Value};
use crate::smtp::Address;

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An address.
    Recipient,
    /// An address, or the empty text of the null path.
    MailFrom,
    /// A name; there may be none.
    Name,
}

/// A test and whether it is to hold.
pub(super) type Demand<'t> = (&'t TextTest, bool);

/// A text of which all demands are true; `None` in it is no text at all.
pub(super) fn solve(kind: Kind, demands: &[Demand<'_>]) -> Solved<Option<String>> {
    if demands.is_empty() {
        return Solved::One(if kind == Kind::Name { None } else { Some("someone@x7.example".to_owned()) });
    }
    if is_refused_by_itself(demands) {
        return Solved::Nothing;
    }
    let present = present(kind, demands);
    if let Solved::One(text) = present {
        return Solved::One(Some(text));
    }
    if kind == Kind::Name && demands.iter().all(|(test, wanted)| test.holds(iter::empty()) == *wanted) {
        return Solved::One(None);
    }
    if matches!(present, Solved::Nothing) { Solved::Nothing } else { Solved::Unknown }
}

/// Whether a test of lists or expressions is to hold while one that asks for at least the same is not.
fn is_refused_by_itself(demands: &[Demand<'_>]) -> bool {
    let wanted = demands.iter().filter(|(_, wanted)| *wanted);
    wanted.clone().any(|(wanted, _)| demands.iter().any(|(refused, is_wanted)| !is_wanted && implies(wanted, refused)))
}

/// Whether the one follows from the other, of tests that are not taken apart.
fn implies(test: &TextTest, other: &TextTest) -> bool {
    match (test, other) {
        (TextTest::Matches(one), TextTest::Matches(other)) => {
            one.iter().all(|expression| other.iter().any(|other| other.as_str() == expression.as_str()))
        }
        (TextTest::InList(one), TextTest::InList(other)) => {
            one.iter().all(|list| other.iter().any(|other| std::sync::Arc::ptr_eq(list, other)))
        }
        _ => false,
    }
}

/// Where in a text something stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spot {
    Whole,
    Begin,
    End,
    Within,
}

/// The demands by what they ask for: one of these texts, none of these.
struct Demands<'t> {
    any_of: Vec<(Spot, &'t [Folded])>,
    none_of: Vec<(Spot, &'t [Folded])>,
}

fn present(kind: Kind, demands: &[Demand<'_>]) -> Solved<String> {
    let (mut any_of, mut none_of) = (Vec::new(), Vec::new());
    for (test, wanted) in demands {
        let (spot, texts) = match test {
            TextTest::Equals(texts) | TextTest::NotEquals(texts) => (Spot::Whole, texts),
            TextTest::StartsWith(texts) => (Spot::Begin, texts),
            TextTest::EndsWith(texts) => (Spot::End, texts),
            TextTest::Contains(texts) => (Spot::Within, texts),
            TextTest::Exists(exists) if exists != wanted => return Solved::Nothing,
            TextTest::Exists(_) | TextTest::Matches(_) | TextTest::InList(_) => continue,
        };
        let is_positive = *wanted != matches!(test, TextTest::NotEquals(_));
        if is_positive { any_of.push((spot, texts.as_slice())) } else { none_of.push((spot, texts.as_slice())) }
    }
    let whole = any_of.iter().filter(|(spot, _)| *spot == Spot::Whole).min_by_key(|(_, texts)| texts.len());
    match whole {
        Some((_, texts)) => listed(kind, texts, demands),
        None => Demands { any_of, none_of }.composed(kind, demands),
    }
}

/// Whether a proof may rest on the answer. Expressions may look at the letter case, which is not known here. A list lives: that an address
/// is not in it today says nothing of the statement that names it; and one without entries may be one that was not read.
fn is_known(test: &TextTest, wanted: bool) -> bool {
    match test {
        TextTest::Matches(_) => false,
        TextTest::InList(lists) => !wanted && lists.iter().all(|list| !list.is_empty()),
        _ => true,
    }
}

/// One of these, which are all that there can be.
fn listed(kind: Kind, texts: &[Folded], demands: &[Demand<'_>]) -> Solved<String> {
    let mut unknown = false;
    for text in texts.iter().map(Folded::as_str) {
        if is_one(kind, text) && hold(demands, text) {
            return Solved::One(text.to_owned());
        }
        let excluded = demands.iter().any(|(test, wanted)| is_known(test, *wanted) && holds(test, text) != *wanted);
        unknown |= !excluded && !is_surely_none(kind, text);
    }
    if unknown { Solved::Unknown } else { Solved::Nothing }
}

impl Demands<'_> {
    fn composed(&self, kind: Kind, demands: &[Demand<'_>]) -> Solved<String> {
        let ways = self.any_of.iter().try_fold(1_usize, |ways, (_, texts)| ways.checked_mul(texts.len()));
        let Some(ways) = ways.filter(|ways| *ways <= PROOF_CHOICES_MAX) else { return Solved::Unknown };
        let mut unknown = false;
        for way in 0..ways {
            let mut rest = way;
            let chosen: Vec<(Spot, &str)> = self
                .any_of
                .iter()
                .filter_map(|(spot, texts)| {
                    let text = texts.get(rest.checked_rem(texts.len())?)?;
                    rest = rest.checked_div(texts.len())?;
                    Some((*spot, text.as_str()))
                })
                .collect();
            let Some(parts) = Parts::of(&chosen).filter(|parts| !self.exclude(parts, kind)) else { continue };
            match parts.texts().find(|text| is_one(kind, text) && hold(demands, text)) {
                Some(text) => return Solved::One(text),
                None => unknown = true,
            }
        }
        if unknown { Solved::Unknown } else { Solved::Nothing }
    }

    /// Whether no text with these parts is let through.
    fn exclude(&self, parts: &Parts<'_>, kind: Kind) -> bool {
        let is_forced = |spot: Spot, text: &str| match spot {
            Spot::Whole => false,
            Spot::Begin => parts.begin.starts_with(text),
            Spot::End => parts.end.ends_with(text),
            Spot::Within => {
                parts.begin.contains(text)
                    || parts.end.contains(text)
                    || parts.within.iter().any(|part| part.contains(text))
                    || (kind == Kind::Recipient && text == "@")
            }
        };
        self.none_of.iter().any(|(spot, texts)| texts.iter().any(|text| is_forced(*spot, text.as_str())))
    }
}

/// What a text begins with, ends with and holds.
struct Parts<'t> {
    begin: &'t str,
    end: &'t str,
    within: Vec<&'t str>,
}

impl<'t> Parts<'t> {
    /// `None`: two beginnings, or two ends, exclude each other.
    fn of(chosen: &[(Spot, &'t str)]) -> Option<Self> {
        let (mut begin, mut end, mut within) = ("", "", Vec::new());
        for (spot, text) in chosen.iter().copied() {
            match spot {
                Spot::Begin if text.starts_with(begin) => begin = text,
                Spot::Begin if begin.starts_with(text) => {}
                Spot::End if text.ends_with(end) => end = text,
                Spot::End if end.ends_with(text) => {}
                Spot::Begin | Spot::End => return None,
                Spot::Within | Spot::Whole => within.push(text),
            }
        }
        within.retain(|part| !begin.contains(part) && !end.contains(part));
        Some(Self { begin, end, within })
    }

    /// Texts with these parts, the plainest first.
    fn texts(&self) -> impl Iterator<Item = String> {
        const LEFT: [&str; 4] = ["someone", "", "x7", "q"];
        const RIGHT: [&str; 9] = ["", "@", "@mail.", "@sub.x7.", "@other.example", "other.example", ".example", "@x7.example", "q"];
        let Self { begin, end, within } = self;
        let middle = within.concat();
        let overlapping = end.char_indices().map(|(at, _)| at).chain([end.len()]).filter_map(|at| end.split_at_checked(at));
        let joined = overlapping.filter(|(head, _)| within.is_empty() && begin.ends_with(head)).map(|(_, tail)| format!("{begin}{tail}"));
        let joined: Vec<String> = joined.collect();
        let filled = LEFT.into_iter().flat_map(move |left| RIGHT.into_iter().map(move |right| (left, right)));
        let (begin, end) = ((*begin).to_owned(), (*end).to_owned());
        let filled = filled.flat_map(move |(left, right)| {
            let before = format!("{begin}{left}{middle}{right}{end}");
            let behind = (!middle.is_empty()).then(|| format!("{begin}{left}{right}{middle}{end}"));
            iter::once(before).chain(behind)
        });
        // The plain ones first: a whole address, else what the parts make when they are pushed together.
        joined.into_iter().chain(filled)
    }
}

fn hold(demands: &[Demand<'_>], text: &str) -> bool {
    demands.iter().all(|(test, wanted)| holds(test, text) == *wanted)
}

/// Whether the test holds for this text.
pub(super) fn holds(test: &TextTest, text: &str) -> bool {
    test.holds(iter::once(Value::Text(&Text::new(text))))
}

/// Whether a client can give this.
fn is_one(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Name => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()),
        Kind::MailFrom if text.is_empty() => true,
        Kind::Recipient | Kind::MailFrom => {
            Address::parse(text, true).is_ok_and(|address| !address.domain().is_empty() && *address.canonical() == *text)
        }
    }
}

/// Whether no client can give this.
fn is_surely_none(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::Name => text.is_empty(),
        Kind::MailFrom => !text.is_empty() && !text.contains('@'),
        Kind::Recipient => !text.contains('@'),
    }
}
