//! What is proven of a traffic policy: statements that never decide anything, and an order in the file that is not the one of judgement.
//!
//! A statement never counts when no session is left for it: because its own conditions exclude each other, because statements before it
//! match whenever it does, or, below `allow`, because those below `deny` do. The search (`search.rs`) looks for such a session, and what it
//! finds is judged like a real one; that there is none is a proof. Where it cannot be told, nothing is said.

mod fields;
mod networks;
mod search;
#[cfg(test)]
mod tests;
mod text;
mod world;

use std::fmt::Write as _;

use self::search::{all_of, find};
use self::world::Literal;
use super::{Finding, FindingKind, List, Place};
use crate::limits::{PROOF_NAMES_MAX, PROOF_STEPS_MAX};
use crate::policy::{Effect, Policy, PolicyCondition, Statement};
use crate::rules::{Folded, TextTest};

/// What a search comes to.
#[derive(Clone, Debug)]
enum Solved<T> {
    /// This fits.
    One(T),
    /// Nothing does.
    Nothing,
    /// It cannot be told.
    Unknown,
}

impl<T> Solved<T> {
    fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }

    /// `None`: nothing fits; `Some(None)`: it cannot be told.
    fn open(self) -> Option<Option<T>> {
        match self {
            Self::One(one) => Some(Some(one)),
            Self::Nothing => None,
            Self::Unknown => Some(None),
        }
    }
}

/// Proves what can be proven of a policy. `is_allow_first`: the file has `allow` above `deny`.
pub fn prove(policy: &Policy, is_allow_first: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let deny = live(&policy.deny, List::Deny, &[], &mut findings);
    let allow = if policy.default == Effect::Allow {
        findings.extend((!policy.allow.is_empty()).then(needless_allow));
        Vec::new()
    } else {
        live(&policy.allow, List::Allow, &deny, &mut findings)
    };
    findings.extend(takes_nothing(policy, &deny, &allow));
    if is_allow_first {
        findings.extend(upside_down(policy, &allow, &deny));
    }
    findings
}

/// Whether some recipient may answer to all of these tests, each to hold or not; `false` is a proof that none does.
pub fn is_possible(tests: &[(&TextTest, bool)]) -> bool {
    !text::solve(text::Kind::Recipient, tests).is_nothing()
}

/// Whether the policy surely lets in nobody of this domain, whatever else there is to say.
pub fn refuses(policy: &Policy, domain: &str) -> bool {
    let end = PolicyCondition::Recipient(TextTest::EndsWith(vec![Folded::new(&format!("@{domain}"))]));
    let recipient = Literal { condition: &end, wanted: true };
    let deny: Vec<&Statement> = policy.deny.iter().collect();
    match policy.default {
        Effect::Allow => find(&[recipient], &deny).is_nothing(),
        Effect::Deny => policy.allow.iter().all(|statement| {
            let mut wanted = all_of(statement);
            wanted.push(recipient);
            find(&wanted, &deny).is_nothing()
        }),
    }
}

/// A statement of a list that can decide something.
type Live<'p> = (usize, &'p Statement);

/// The statements for which some session is left; what is proven of the others is reported.
fn live<'p>(statements: &'p [Statement], list: List, deny: &[Live<'p>], findings: &mut Vec<Finding>) -> Vec<Live<'p>> {
    let mut live: Vec<Live<'p>> = Vec::new();
    for (number, statement) in statements.iter().enumerate() {
        let dead = if find(&all_of(statement), &[]).is_nothing() {
            Some(contradiction(statement, list, number))
        } else {
            covered(statement, list, number, deny, &live)
        };
        match dead {
            Some(finding) => findings.push(finding),
            None => live.push((number, statement)),
        }
    }
    live
}

fn finding(kind: FindingKind, at: Place, message: String) -> Finding {
    Finding { kind, at, message, others: Vec::new(), witness: None, help: Vec::new() }
}

/// The conditions exclude each other: those of them that suffice for it.
fn contradiction(statement: &Statement, list: List, number: usize) -> Finding {
    let name = &statement.name;
    let literals = all_of(statement);
    let place = |condition| Place::Condition(list, number, condition);
    for (place_of_one, one) in literals.iter().enumerate() {
        if find(&[*one], &[]).is_nothing() {
            let mut finding = finding(
                FindingKind::Dead,
                place(place_of_one),
                format!("the statement `{name}` never matches: this condition is true of nothing"),
            );
            finding.help.push("an address has an `@`, and a test of several texts is true when one of them fits".to_owned());
            return finding;
        }
    }
    for (place_of_one, one) in literals.iter().enumerate() {
        for (place_of_other, other) in literals.iter().enumerate().skip(place_of_one.saturating_add(1)) {
            if find(&[*one, *other], &[]).is_nothing() {
                let message = format!("the statement `{name}` never matches: this condition excludes the one above it");
                let mut finding = finding(FindingKind::Dead, place(place_of_other), message);
                finding.others.push((place(place_of_one), "never true together with the other".to_owned()));
                finding.help.push(
                    "all conditions of a statement must match; write two statements, or one condition with a list of values".to_owned(),
                );
                return finding;
            }
        }
    }
    let message = format!("the statement `{name}` never matches: its conditions exclude each other");
    finding(FindingKind::Dead, Place::Statement(list, number), message)
}

/// Others match whenever this one does, and what they say comes first.
fn covered(statement: &Statement, list: List, number: usize, deny: &[Live<'_>], before: &[Live<'_>]) -> Option<Finding> {
    let name = &statement.name;
    let mut rivals: Vec<(List, Live<'_>)> = deny.iter().map(|live| (List::Deny, *live)).collect();
    rivals.extend(before.iter().map(|live| (list, *live)));
    let all: Vec<&Statement> = rivals.iter().map(|(_, (_, statement))| *statement).collect();
    if !find(&all_of(statement), &all).is_nothing() {
        return None;
    }
    let rivals = fewest(statement, rivals);
    let is_denied = list == List::Allow && rivals.iter().all(|(list, _)| *list == List::Deny);
    let names = names(rivals.iter().map(|(_, (_, rival))| *rival));
    let subject = if rivals.len() == 1 { names } else { format!("one of {names}") };
    let message = if is_denied {
        format!(
            "the statement `{name}` never allows anything: whenever it matches, {subject} below `deny` matches too, and deny comes first"
        )
    } else {
        format!("the statement `{name}` never decides anything: whenever it matches, {subject} matches before it")
    };
    let mut finding = finding(FindingKind::Dead, Place::Statement(list, number), message);
    for (rival_list, (rival, _)) in rivals.iter().take(PROOF_NAMES_MAX) {
        let words = if *rival_list == list { "comes first" } else { "denies what is allowed there" };
        finding.others.push((Place::Statement(*rival_list, *rival), words.to_owned()));
    }
    finding.help.push(if is_denied {
        format!("give {subject} a condition that leaves something for `{name}`, or remove `{name}`")
    } else {
        format!("remove `{name}`, or put it first if the log is to name it")
    });
    Some(finding)
}

/// Rivals that suffice to cover the statement: one if one does, else as few as leaving them out one by one comes to.
fn fewest<'p>(statement: &Statement, rivals: Vec<(List, Live<'p>)>) -> Vec<(List, Live<'p>)> {
    let literals = all_of(statement);
    if let Some(one) = rivals.iter().find(|(_, (_, rival))| find(&literals, &[rival]).is_nothing()) {
        return vec![*one];
    }
    let mut rest = rivals;
    // Each round is a search with all that are left; of a long list it is not worth the time.
    if rest.len() > PROOF_STEPS_MAX {
        return rest;
    }
    let mut place = 0_usize;
    while place < rest.len() {
        let others: Vec<&Statement> =
            rest.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, (_, (_, statement)))| *statement).collect();
        if find(&literals, &others).is_nothing() {
            rest.remove(place);
        } else {
            place = place.saturating_add(1);
        }
    }
    rest
}

/// `a`, `b` and 3 others.
fn names<'p>(statements: impl ExactSizeIterator<Item = &'p Statement>) -> String {
    let count = statements.len();
    let mut text = String::new();
    for (place, statement) in statements.take(PROOF_NAMES_MAX).enumerate() {
        let before = match place {
            0 => "",
            _ if place.saturating_add(1) == count => " and ",
            _ => ", ",
        };
        let _ = write!(text, "{before}`{}`", statement.name);
    }
    if let Some(others @ 1..) = count.checked_sub(PROOF_NAMES_MAX) {
        let _ = write!(text, " and {others} others");
    }
    text
}

/// Below `default: allow` an allow statement says what is said anyway.
fn needless_allow() -> Finding {
    let message = "with `default: allow` no statement below `allow` changes anything: what they do not match is let in as well".to_owned();
    let mut finding = finding(FindingKind::Dead, Place::Statement(List::Allow, 0), message);
    finding.help.push("write `default: deny` if only these are to be let in, or remove `allow`".to_owned());
    finding
}

/// The policy as a whole lets nothing in.
fn takes_nothing(policy: &Policy, deny: &[Live<'_>], allow: &[Live<'_>]) -> Option<Finding> {
    let (message, help) = match policy.default {
        Effect::Deny if !policy.allow.is_empty() && allow.is_empty() => (
            "this policy takes no mail at all: the default is `deny`, and no statement below `allow` ever lets anything in",
            "see what is said of each of them",
        ),
        Effect::Allow => {
            let deny: Vec<&Statement> = deny.iter().map(|(_, statement)| *statement).collect();
            if deny.is_empty() || !find(&[], &deny).is_nothing() {
                return None;
            }
            (
                "this policy takes no mail at all: whatever comes, a statement below `deny` matches",
                "conditions of one statement must all match, but one statement of the list is enough",
            )
        }
        Effect::Deny => return None,
    };
    let mut finding = finding(FindingKind::Dead, Place::Whole, message.to_owned());
    finding.help.push(help.to_owned());
    Some(finding)
}

/// `allow` stands above `deny`, and who reads from the top takes the first that fits: shown with a session that both match.
fn upside_down(policy: &Policy, allow: &[Live<'_>], deny: &[Live<'_>]) -> Option<Finding> {
    let pairs = allow.iter().flat_map(|allow| deny.iter().map(move |deny| (allow, deny)));
    let (allowed, denied, world) = pairs.take(PROOF_STEPS_MAX).find_map(|(allowed, denied)| {
        let mut both = all_of(allowed.1);
        both.extend(all_of(denied.1));
        match find(&both, &[]) {
            Solved::One(world) => Some((allowed, denied, world)),
            Solved::Nothing | Solved::Unknown => None,
        }
    })?;
    let message = format!(
        "`{}` stands above `{}`, but deny statements are looked at first: what both match is refused",
        allowed.1.name, denied.1.name
    );
    let mut finding = finding(FindingKind::Order, Place::Statement(List::Allow, allowed.0), message);
    finding.others.push((Place::Statement(List::Deny, denied.0), "looked at before it".to_owned()));
    finding.witness = Some(world.witness(&[allowed.1, denied.1]));
    finding.help.push(match policy.default {
        Effect::Deny => "write `deny` above `allow`: the file then reads as it is judged".to_owned(),
        Effect::Allow => "write `deny` above `allow`".to_owned(),
    });
    Some(finding)
}
