//! Traces: they say what the judgement has done, and nothing else.

use super::looked_up::{all, answer, any, everything, made_rule, made_set, not, set, spf, spf_fails, unknown, yes};
use super::*;
use crate::message::SpfResult;

fn traced(world: &World, set: &RuleSet) -> Vec<RuleTrace> {
    evaluate_traced(set, &world.message()).1
}

/// `attribute test saw outcome`, those below in brackets.
fn shown(condition: &ConditionTrace) -> String {
    let outcome = match &condition.outcome {
        Seen::Holds => "yes",
        Seen::Fails => "no",
        Seen::Unknown(why) => why,
    };
    let inner: Vec<String> = condition.inner.iter().map(shown).collect();
    let ConditionTrace { attribute, test, saw, .. } = condition;
    if inner.is_empty() {
        format!("{attribute} {test} saw {}: {outcome}", saw.join(" "))
    } else {
        format!("{attribute} [{}]: {outcome}", inner.join("; "))
    }
}

#[test]
fn a_trace_says_what_was_asked_what_was_seen_and_what_decided() {
    let mut world = World::new(&["bob@acme.example", "Carol@acme.example"]);
    world.findings.spf = spf(SpfResult::Softfail);
    let from = Condition::Text(TextAttribute::From, TextTest::EndsWith(folded(&["@gmail.com"])));
    let rules = set(vec![
        rule("mine", vec![from, to(&["carol@acme.example"])], vec![relay("x"), Action::Stop]),
        Rule { mode: Mode::Off, ..rule("off", vec![], vec![Action::Drop]) },
        rule("spf", vec![any(vec![spf_fails(), not(spf_fails())]), all(vec![to(&["eve@acme.example"])])], vec![Action::Drop]),
        rule("all", vec![], vec![Action::Drop]),
        rule("late", vec![], vec![Action::Drop]),
    ]);
    let traces = traced(&world, &rules);
    let whom = |trace: &RuleTrace| trace.recipients.iter().map(|one| format!("{} {:?}", one.address, one.outcome)).collect::<Vec<_>>();
    assert_eq!(whom(&traces[0]), ["bob@acme.example Fails", "Carol@acme.example Holds"]);
    assert_eq!(whom(&traces[2]), ["bob@acme.example Fails"]);
    assert_eq!((traces[1].mode, whom(&traces[1]).len(), whom(&traces[3]).len(), whom(&traces[4]).len()), (Mode::Off, 0, 1, 0));
    let bob = &traces[0].recipients[0];
    assert_eq!(
        bob.when.iter().map(shown).collect::<Vec<_>>(),
        [
            "from ends_with: \"@gmail.com\" saw \"a@Gmail.com\": yes",
            "recipient equals: \"carol@acme.example\" saw \"bob@acme.example\": no",
        ]
    );
    assert_eq!(bob.deciding(), [ConditionPath { unless: false, steps: vec![1] }]);
    assert_eq!(traces[0].recipients[1].deciding(), []);
    let spf = &traces[2].recipients[0];
    assert_eq!(
        shown(&spf.when[0]),
        "any [spf_result equals: fail saw softfail: no; not [spf_result equals: fail saw softfail: no]: yes]: yes"
    );
    assert_eq!(spf.deciding(), [ConditionPath { unless: false, steps: vec![1, 0] }]);
}

#[test]
fn what_is_not_known_is_named() {
    let mut world = World::new(&["bob@acme.example"]);
    world.findings = Findings::default();
    world.findings.analyses.insert("rspamd".into(), unknown());
    let rules = set(vec![
        rule("skipped", vec![yes("rspamd", OnError::Skip)], vec![Action::Drop]),
        rule("spf", vec![any(vec![spf_fails(), to(&["eve@acme.example"])])], vec![Action::Drop]),
        rule("deferred", vec![yes("rspamd", OnError::Defer)], vec![Action::Drop]),
        rule("all", vec![], vec![Action::Drop]),
    ]);
    let traces = traced(&world, &rules);
    assert_eq!(
        shown(&traces[0].recipients[0].when[0]),
        "analysis rspamd.is_spam equals: true, on_error: skip saw no answer (no answer in time), skipped: no"
    );
    let open = &traces[1].recipients[0];
    assert_eq!(
        (&open.outcome, open.deciding()),
        (&Seen::Unknown("SPF is not known".into()), vec![ConditionPath { unless: false, steps: vec![0, 0] }])
    );
    assert_eq!(traces[2].recipients[0].outcome, Seen::Unknown("rspamd: no answer in time".into()));
    assert_eq!(traces[3].recipients, [], "the deferral has ended it");
}

/// What a list of outcomes comes to when all must hold, as Kleene has it.
fn every(outcomes: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let outcomes: Vec<Option<bool>> = outcomes.collect();
    if outcomes.contains(&Some(false)) {
        return Some(false);
    }
    outcomes.iter().all(Option::is_some).then_some(true)
}

fn known(seen: &Seen) -> Option<bool> {
    match seen {
        Seen::Holds => Some(true),
        Seen::Fails => Some(false),
        Seen::Unknown(_) => None,
    }
}

/// Whether a condition is what those below it make of it.
fn is_sound(condition: &ConditionTrace) -> bool {
    let inner = || condition.inner.iter().map(|inner| known(&inner.outcome));
    let expected = match condition.attribute.as_str() {
        "any" => every(inner().map(|one| one.map(|holds| !holds))).map(|none| !none),
        "all" => every(inner()),
        "not" => inner().next().flatten().map(|holds| !holds),
        _ => known(&condition.outcome),
    };
    expected == known(&condition.outcome) && condition.inner.iter().all(is_sound)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Whatever is known and whatever is not: a trace is the judgement's, and each of its outcomes follows from those below it.
    #[test]
    fn a_trace_is_what_was_judged(
        rules in proptest::collection::vec(made_rule(), 0..6),
        facts in (0..3_u8, 0..3_u8, 0..3_u8, 0..2_u8, 0..3_u8, 0..3_u8),
        asked in proptest::collection::vec(0..2_u8, 6),
        count in 1..=4_usize,
    ) {
        let set = made_set(&rules);
        let full = everything(facts);
        let mut world = World::new(&ADDRESSES[..count]);
        world.original = Original::parse(Bytes::from_static(b"Subject: s\r\nX-T: 2\r\n\r\nBody\r\n")).expect("small");
        world.findings = Findings::default();
        for (need, _) in set.mentions().iter().zip(&asked).filter(|(_, asked)| **asked == 1) {
            answer(need, &full, &mut world.findings);
        }
        let (judgement, traces) = evaluate_traced(&set, &world.message());
        prop_assert_eq!(format!("{judgement:?}"), format!("{:?}", evaluate(&set, &world.message())));
        prop_assert_eq!(traces.len(), set.rules.len());
        if let Judgement::Decided(plan) = &judgement {
            for trace in &traces {
                let matching = trace.recipients.iter().filter(|one| one.outcome.holds());
                let mut matching: Vec<usize> = matching.flat_map(|one| one.originals.iter().copied()).collect();
                matching.sort_unstable();
                matching.dedup();
                let planned = plan.matches.iter().find(|found| found.rule == trace.rule).map(|found| found.recipients.clone());
                prop_assert_eq!(matching, planned.unwrap_or_default(), "{}", trace.rule);
            }
        }
        for one in traces.iter().flat_map(|trace| &trace.recipients) {
            let unless = one.unless.iter().map(|condition| known(&condition.outcome).map(|holds| !holds));
            let expected = every(one.when.iter().map(|condition| known(&condition.outcome)).chain(unless));
            prop_assert_eq!(known(&one.outcome), expected, "{:?}", one);
            prop_assert!(one.when.iter().chain(&one.unless).all(is_sound), "{:?}", one);
            let deciding = one.deciding();
            prop_assert_eq!(deciding.is_empty(), one.outcome.holds());
            prop_assert!(deciding.iter().all(|path| one.condition(path).is_some()), "{:?}", deciding);
            if let Seen::Unknown(why) = &one.outcome {
                prop_assert!(!why.is_empty());
            }
        }
    }
}
