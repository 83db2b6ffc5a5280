//! What must be looked up: what is asked for and what is not, what no answer means, and that the order of asking changes nothing.

use super::*;
use crate::message::{
    Analysis, ArcResult, ArcVerdict, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, FieldValue, Need, SpfResult,
    SpfVerdict, Text, Verdict,
};

pub(super) fn spf(result: SpfResult) -> Option<Arc<SpfVerdict>> {
    Some(Arc::new(SpfVerdict::of(result, "x.example")))
}

fn dkim(result: DkimResult, aligned: bool) -> Option<Arc<DkimVerdict>> {
    Some(Arc::new(DkimVerdict { result, aligned, signatures: [].into(), asked: [].into() }))
}

fn dmarc(result: DmarcResult, policy: DmarcPolicy, effective: DmarcPolicy) -> Option<Arc<DmarcVerdict>> {
    let text = || Box::<str>::default();
    let (from_domain, policy_domain, record, reason) = (text(), text(), text(), text());
    let (spf_aligned, dkim_aligned, asked) = (false, false, [].into());
    let verdict = DmarcVerdict { result, policy, effective, from_domain, policy_domain, record, spf_aligned, dkim_aligned, reason, asked };
    Some(Arc::new(verdict))
}

fn arc(result: ArcResult) -> Option<Arc<ArcVerdict>> {
    let verdict = ArcVerdict { result, instances: 0, sealers: [].into(), is_temporary: false, reason: "".into(), asked: [].into() };
    Some(Arc::new(verdict))
}

fn analysis(fields: &[(&str, FieldValue)]) -> Fact<Arc<Analysis>> {
    let fields = fields.iter().map(|(name, value)| (Box::from(*name), value.clone())).collect();
    Fact::Known(Arc::new(Analysis { fields }))
}

pub(super) fn unknown<T>() -> Fact<T> {
    Fact::Unknown("no answer in time".into())
}

fn word(attribute: VerdictAttribute, word: &str) -> Condition {
    Condition::Verdict { attribute, negated: false, values: vec![word.into()] }
}

pub(super) fn spf_fails() -> Condition {
    word(VerdictAttribute::SpfResult, "fail")
}

fn field(analyzer: &str, field: &str, test: FieldTest, on_error: OnError) -> Condition {
    Condition::Analysis(AnalysisCondition { analyzer: analyzer.into(), field: field.into(), test, on_error })
}

pub(super) fn yes(analyzer: &str, on_error: OnError) -> Condition {
    field(analyzer, "is_spam", FieldTest::Boolean { negated: false, values: vec![true] }, on_error)
}

fn host(test: TextTest) -> Condition {
    Condition::Text(TextAttribute::ClientHost, test)
}

pub(super) fn any(conditions: Vec<Condition>) -> Condition {
    Condition::Any(conditions)
}

pub(super) fn all(conditions: Vec<Condition>) -> Condition {
    Condition::All(conditions)
}

pub(super) fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

pub(super) fn set(rules: Vec<Rule>) -> RuleSet {
    RuleSet { name: "inbound".into(), otherwise: Otherwise::Reject, rules: rules.into() }
}

/// The needs as words, or the dispositions.
fn judged(world: &World, set: &RuleSet) -> Vec<String> {
    match evaluate(set, &world.message()) {
        Judgement::Decided(plan) => dispositions(&plan),
        Judgement::Needs(needs) => {
            assert!(!needs.is_empty());
            assert!(needs.is_subset(&set.mentions()) && needs.iter().all(|need| !world.findings.has(need)), "{needs:?}");
            needs.iter().map(|need| format!("{need:?}")).collect()
        }
    }
}

#[test]
fn verdicts_have_the_words_of_the_rule_language() {
    use VerdictAttribute as A;
    let mut world = World::new(&["bob@acme.example"]);
    world.findings = Findings {
        client_host: Fact::Known(None),
        spf: spf(SpfResult::Softfail),
        dkim: dkim(DkimResult::Pass, false),
        dmarc: dmarc(DmarcResult::Fail, DmarcPolicy::Reject, DmarcPolicy::Quarantine),
        arc: arc(ArcResult::None),
        ..Findings::default()
    };
    for (attribute, expected) in [
        (A::Spf, "gray"),
        (A::SpfResult, "softfail"),
        (A::Dkim, "gray"),
        (A::DkimResult, "pass"),
        (A::DmarcResult, "fail"),
        (A::DmarcPolicy, "reject"),
        (A::ArcResult, "none"),
    ] {
        let holds = |negated, words: &[&str]| {
            world.holds(Condition::Verdict { attribute, negated, values: words.iter().map(|word| Box::from(*word)).collect() })
        };
        assert!(holds(false, &["x", expected]) && !holds(true, &["x", expected]), "{attribute:?}");
        assert!(!holds(false, &["x"]) && holds(true, &["x"]), "{attribute:?}");
    }
    let words = "{{ spf }} {{ spf_result }} {{ dkim }} {{ dkim_result }} {{ dmarc_result }} {{ dmarc_policy }} {{ arc_result }}";
    let plan = world.evaluate(vec![rule("r", vec![], vec![add("X-Verdicts", words), relay("r")])]);
    assert_eq!(added(&plan.steps[0]), "X-Verdicts: gray softfail gray pass fail reject none;");
    for (test, expected) in [(TextTest::Exists(false), true), (equals(""), false), (TextTest::NotEquals(folded(&["x"])), true)] {
        assert_eq!(world.holds(host(test)), expected, "a client without a name has no value");
    }
    for (result, expected) in [(SpfResult::Permerror, "processing_failed"), (SpfResult::Temperror, "processing_failed")] {
        world.findings.spf = spf(result);
        assert!(world.holds(word(A::Spf, expected)) && world.holds(word(A::SpfResult, result.as_str())));
    }
}

#[test]
fn fields_are_tested_by_their_type() {
    use NumberOperator as N;
    let text = |test| FieldTest::Text(test);
    let symbols = || FieldValue::Texts(vec![Text::new("BAYES_SPAM"), Text::new("R_SPF_FAIL")]);
    let boolean = |negated, value| FieldTest::Boolean { negated, values: vec![value] };
    let verdict = |negated, word| FieldTest::Verdict { negated, words: vec![word, Verdict::Gray] };
    for (test, value, expected) in [
        (text(equals("bayes_spam")), Some(symbols()), true),
        (text(TextTest::StartsWith(folded(&["r_"]))), Some(symbols()), true),
        (text(TextTest::NotEquals(folded(&["BAYES_SPAM"]))), Some(symbols()), false),
        (text(TextTest::Matches(vec![regex("^R_.*FAIL$").expect("valid")])), Some(symbols()), true),
        (text(equals("bayes_spam")), None, false),
        (text(TextTest::NotEquals(folded(&["x"]))), None, true),
        (FieldTest::Number(N::GreaterThanOrEqual, vec![6.0]), Some(FieldValue::Number(6.0)), true),
        (FieldTest::Number(N::LessThan, vec![6.0]), Some(FieldValue::Number(-2.5)), true),
        (FieldTest::Number(N::Equals, vec![1.0, 2.0]), Some(FieldValue::Number(2.0)), true),
        (FieldTest::Number(N::NotEquals, vec![1.0, 2.0]), Some(FieldValue::Number(2.0)), false),
        (FieldTest::Number(N::GreaterThan, vec![0.0]), Some(FieldValue::Number(f64::NAN)), false),
        (FieldTest::Number(N::LessThan, vec![6.0]), None, false),
        (FieldTest::Number(N::NotEquals, vec![6.0]), None, true),
        (boolean(false, true), Some(FieldValue::Boolean(true)), true),
        (boolean(true, true), Some(FieldValue::Boolean(true)), false),
        (boolean(false, false), None, false),
        (boolean(true, false), None, true),
        (verdict(false, Verdict::Fail), Some(FieldValue::Verdict(Verdict::Gray)), true),
        (verdict(true, Verdict::Fail), Some(FieldValue::Verdict(Verdict::Pass)), true),
        (FieldTest::Exists(true), Some(FieldValue::Number(0.0)), true),
        (FieldTest::Exists(true), None, false),
        (FieldTest::Exists(false), None, true),
    ] {
        let mut world = World::new(&["bob@acme.example"]);
        let fields: Vec<_> = value.into_iter().map(|value| ("f", value)).collect();
        world.findings.analyses.insert("a".into(), analysis(&fields));
        let name = format!("{test:?} {fields:?}");
        assert_eq!(world.holds(field("a", "f", test, OnError::Defer)), expected, "{name}");
    }
    // A value of another type is no answer, not the answer that lets the message through.
    let mut world = World::new(&["bob@acme.example"]);
    world.findings.analyses.insert("a".into(), analysis(&[("f", FieldValue::Boolean(false))]));
    let rules = |on_error| set(vec![rule("r", vec![field("a", "f", text(equals("x")), on_error)], vec![Action::Drop])]);
    assert_eq!(judged(&world, &rules(OnError::Defer)), ["451 by r"]);
    assert_eq!(judged(&world, &rules(OnError::Skip)), ["550 by otherwise"]);
}

#[test]
fn only_what_can_change_the_plan_is_asked_for() {
    let ham = |conditions| rule("r", conditions, vec![relay("r")]);
    let unless = |conditions, unless| Rule { unless, ..ham(conditions) };
    let drop_bob = || rule("bob", vec![to(&["bob@acme.example"])], vec![Action::Drop]);
    let other = || to(&["other@acme.example"]);
    let spam = || yes("rspamd", OnError::Defer);
    let (planned, dropped, otherwise) = ("planned", "dropped by bob", "550 by otherwise");
    for (rules, expected) in [
        (vec![ham(vec![])], &[planned][..]),
        (vec![ham(vec![spf_fails()])], &["Spf"]),
        (vec![ham(vec![spf_fails(), spam()])], &["Spf", "Analysis(\"rspamd\")"]),
        (vec![ham(vec![not(not(spf_fails()))])], &["Spf"]),
        (vec![unless(vec![], vec![spf_fails()])], &["Spf"]),
        (vec![ham(vec![host(TextTest::Exists(true)), word(VerdictAttribute::Dkim, "pass")])], &["ClientHost", "Dkim"]),
        (vec![ham(vec![word(VerdictAttribute::DmarcPolicy, "none"), word(VerdictAttribute::ArcResult, "pass")])], &["Dmarc", "Arc"]),
        // Decided without it.
        (vec![ham(vec![spf_fails(), other()])], &[otherwise]),
        (vec![ham(vec![any(vec![spf_fails(), not(other())])])], &[planned]),
        (vec![ham(vec![any(vec![all(vec![spf_fails(), other()]), spam()])])], &["Analysis(\"rspamd\")"]),
        (vec![unless(vec![other()], vec![spf_fails()])], &[otherwise]),
        (vec![unless(vec![spf_fails()], vec![not(other())])], &[otherwise]),
        (vec![Rule { mode: Mode::Off, ..ham(vec![spf_fails()]) }], &[otherwise]),
        // Nobody is left to be judged.
        (vec![drop_bob(), ham(vec![spf_fails()])], &[dropped]),
        // What a later rule asks is asked at once.
        (vec![rule("reject", vec![spf_fails()], vec![reject()]), ham(vec![spam()])], &["Spf", "Analysis(\"rspamd\")"]),
        // The log of a rule on trial is to be right.
        (vec![Rule { mode: Mode::Audit, ..ham(vec![spf_fails()]) }], &["Spf"]),
        (vec![rule("tag", vec![], vec![add("X-Host", "{{ client_host }}")])], &["ClientHost"]),
        (vec![rule("tag", vec![other()], vec![add("X-Host", "{{ client_host }}")])], &[otherwise]),
        (vec![rule("tag", vec![], vec![add("X-Auth", "{{ spf_result }}/{{ dkim }}/{{ dmarc_policy }}")])], &["Spf", "Dkim", "Dmarc"]),
        (vec![Rule { mode: Mode::Audit, ..rule("tag", vec![], vec![add("X-Auth", "{{ arc_result }}")]) }], &[otherwise]),
    ] {
        let mut world = World::new(&["bob@acme.example"]);
        world.findings = Findings::default();
        let set = set(rules);
        assert_eq!(judged(&world, &set), expected, "{set:?}");
    }
}

#[test]
fn what_matters_to_one_recipient_is_asked_for_him_alone() {
    let mut world = World::new(&["bob@acme.example", "eve@acme.example"]);
    world.findings = Findings::default();
    let bob = || to(&["bob@acme.example"]);
    let eve = || to(&["eve@acme.example"]);
    let both = |first: Condition, second: Condition| any(vec![all(vec![bob(), first]), all(vec![eve(), second])]);
    let spam = || yes("rspamd", OnError::Defer);
    // The list as a whole is open for both, the rule for bob alone.
    let rules = set(vec![rule("r", vec![both(spf_fails(), spam()), bob()], vec![relay("r")])]);
    assert_eq!(judged(&world, &rules), ["Spf"]);
    // No answer for the one, none asked for yet for the other.
    world.findings.analyses.insert("rspamd".into(), unknown());
    let rules = set(vec![rule("r", vec![both(spf_fails(), spam())], vec![relay("r")])]);
    assert_eq!(judged(&world, &rules), ["Spf"]);
    world.findings.spf = spf(SpfResult::Fail);
    assert_eq!(judged(&world, &rules), ["planned", "451 by r"]);
}

#[test]
fn without_an_answer_a_recipient_is_deferred_unless_it_does_not_matter() {
    let mut world = World::new(&["bob@acme.example"]);
    world.findings = Findings { client_host: unknown(), spf: spf(SpfResult::Fail), ..Findings::default() };
    world.findings.analyses.insert("rspamd".into(), unknown());
    let other = || to(&["other@acme.example"]);
    let (defer, skip) = (|| yes("rspamd", OnError::Defer), || yes("rspamd", OnError::Skip));
    let dropping = |when, unless| Rule { unless, ..rule("r", when, vec![Action::Drop]) };
    for (rule, expected) in [
        (dropping(vec![defer()], vec![]), "451 by r"),
        (dropping(vec![], vec![defer()]), "451 by r"),
        (dropping(vec![not(defer())], vec![]), "451 by r"),
        (dropping(vec![host(TextTest::Exists(false))], vec![]), "451 by r"),
        (dropping(vec![defer(), other()], vec![]), "550 by otherwise"),
        (dropping(vec![any(vec![defer(), spf_fails()])], vec![]), "dropped by r"),
        // To be skipped: the rule does not match, whichever way it asks.
        (dropping(vec![skip()], vec![]), "550 by otherwise"),
        (dropping(vec![not(skip())], vec![]), "550 by otherwise"),
        (dropping(vec![], vec![skip()]), "550 by otherwise"),
        (dropping(vec![], vec![not(skip())]), "550 by otherwise"),
        (dropping(vec![skip(), defer()], vec![]), "550 by otherwise"),
        (dropping(vec![any(vec![skip(), defer()])], vec![]), "451 by r"),
        // Only logged: nobody is held up by it.
        (Rule { mode: Mode::Audit, ..dropping(vec![defer()], vec![]) }, "550 by otherwise"),
        (Rule { mode: Mode::Audit, ..dropping(vec![], vec![defer()]) }, "550 by otherwise"),
    ] {
        let set = set(vec![rule]);
        assert_eq!(judged(&world, &set), [expected], "{set:?}");
        let matched = evaluate(&set, &world.message());
        let Judgement::Decided(plan) = matched else { panic!("decided above") };
        assert_eq!(plan.matches.len(), usize::from(expected == "dropped by r"));
    }
    // In a text it is no value, like the name of a client that has none.
    let plan = world.evaluate(vec![rule("r", vec![], vec![add("X-Host", "[{{client_host}}]"), relay("r")])]);
    assert_eq!(added(&plan.steps[0]), "X-Host: [];");
}

#[test]
fn who_is_deferred_is_no_longer_judged_and_not_delivered_under_another_address() {
    let mut world = World::new(&["bob@acme.example", "eve@acme.example"]);
    world.findings = Findings::default();
    world.findings.analyses.insert("rspamd".into(), unknown());
    let with = Action::ReplaceRecipient(Replacement::With(vec![address("y@x.example"), address("z@x.example")]));
    let rules = set(vec![
        rule("with", vec![to(&["bob@acme.example"])], vec![with, relay("early")]),
        rule("check", vec![to(&["y@x.example"]), yes("rspamd", OnError::Defer)], vec![Action::Drop]),
        rule("late", vec![any(vec![to(&["eve@acme.example"]), spf_fails()])], vec![relay("late")]),
    ]);
    let Judgement::Decided(plan) = evaluate(&rules, &world.message()) else { panic!("nothing is needed for eve") };
    assert_eq!(dispositions(&plan), ["451 by check", "planned"]);
    assert_eq!(steps(&plan), ["late: eve@acme.example[1]"]);
}

// ---- lazily or all at once ----

/// A condition by kind, argument and what is below it; made of numbers, for it cannot be cloned.
#[derive(Clone, Debug)]
pub(super) enum Made {
    Leaf(u8, usize),
    Not(Box<Made>),
    Any(Vec<Made>),
    All(Vec<Made>),
}

impl Made {
    fn condition(&self) -> Condition {
        match self {
            Self::Leaf(kind, argument) => {
                let on_error = if argument % 2 == 0 { OnError::Defer } else { OnError::Skip };
                match kind {
                    0 => small_condition((0, *argument)),
                    1 => small_condition((2, *argument)),
                    2 => host(if *argument == 0 { TextTest::Exists(true) } else { equals("a.example") }),
                    3 => spf_fails(),
                    4 => Condition::Verdict { attribute: VerdictAttribute::Dkim, negated: *argument > 2, values: vec!["pass".into()] },
                    5 => word(VerdictAttribute::DmarcPolicy, ["none", "reject"][argument % 2]),
                    6 => yes("one", on_error),
                    _ => field("two", "score", FieldTest::Number(NumberOperator::GreaterThan, vec![2.0]), on_error),
                }
            }
            Self::Not(made) => not(made.condition()),
            Self::Any(made) => any(made.iter().map(Self::condition).collect()),
            Self::All(made) => all(made.iter().map(Self::condition).collect()),
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    (0..8_u8, 0..5_usize).prop_map(|(kind, argument)| Made::Leaf(kind, argument)).prop_recursive(3, 10, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|made| Made::Not(Box::new(made))),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(Made::Any),
            proptest::collection::vec(inner, 1..4).prop_map(Made::All),
        ]
    })
}

pub(super) type MadeRule = (u8, Vec<Made>, Vec<Made>, Vec<(u8, usize)>);

pub(super) fn made_rule() -> impl Strategy<Value = MadeRule> {
    let conditions = || proptest::collection::vec(made(), 0..3);
    (0..5_u8, conditions(), conditions(), proptest::collection::vec((0..14_u8, 0..5_usize), 1..3))
}

pub(super) fn everything((host, spf_result, dkim_result, policy, one, two): (u8, u8, u8, u8, u8, u8)) -> Findings {
    let analyses = [
        ("one".into(), if one == 2 { unknown() } else { analysis(&[("is_spam", FieldValue::Boolean(one == 1))]) }),
        ("two".into(), if two == 2 { unknown() } else { analysis(&[("score", FieldValue::Number(f64::from(two) * 4.0))]) }),
    ];
    Findings {
        client_host: [Fact::Known(None), Fact::Known(Some("a.example".into())), unknown()][usize::from(host)].clone(),
        spf: spf([SpfResult::Fail, SpfResult::Pass, SpfResult::Temperror][usize::from(spf_result)]),
        dkim: dkim([DkimResult::Fail, DkimResult::Pass, DkimResult::Temperror][usize::from(dkim_result)], true),
        dmarc: dmarc(DmarcResult::Fail, [DmarcPolicy::None, DmarcPolicy::Reject][usize::from(policy)], DmarcPolicy::None),
        arc: arc(ArcResult::None),
        analyses: analyses.into(),
    }
}

/// The rule set that the numbers stand for.
pub(super) fn made_set(rules: &[MadeRule]) -> RuleSet {
    let rules = rules.iter().enumerate().map(|(number, (mode, when, unless, actions))| {
        let actions = actions.iter().enumerate().map(|(place, action)| match action {
            (13, _) => add("X-T", "{{client_host}}"),
            action => small_action(*action, number * 10 + place),
        });
        let conditions = |made: &[Made]| made.iter().map(Made::condition).collect();
        Rule {
            mode: if *mode == 0 { Mode::Audit } else { Mode::Enforce },
            unless: conditions(unless),
            ..rule(&number.to_string(), conditions(when), actions.collect())
        }
    });
    set(rules.collect())
}

/// Answers one need.
pub(super) fn answer(need: &Need, from: &Findings, to: &mut Findings) {
    match need {
        Need::ClientHost => to.client_host = from.client_host.clone(),
        Need::Spf => to.spf = from.spf.clone(),
        Need::Dkim => to.dkim = from.dkim.clone(),
        Need::Dmarc => to.dmarc = from.dmarc.clone(),
        Need::Arc => to.arc = from.arc.clone(),
        Need::Analysis(name) => to.analyses.extend(from.analyses.get(name).map(|fact| (Arc::clone(name), fact.clone()))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn asking_only_for_what_is_needed_gives_the_plan_of_knowing_everything(
        rules in proptest::collection::vec(made_rule(), 0..6),
        facts in (0..3_u8, 0..3_u8, 0..3_u8, 0..2_u8, 0..3_u8, 0..3_u8),
        count in 1..=4_usize,
    ) {
        let set = made_set(&rules);
        let full = everything(facts);
        let mut world = World::new(&ADDRESSES[..count]);
        world.original = Original::parse(Bytes::from_static(b"Subject: s\r\nX-T: 2\r\n\r\nBody\r\n")).expect("small");
        world.findings = Findings::default();
        let mut rounds = 0;
        let lazy = loop {
            match evaluate(&set, &world.message()) {
                Judgement::Decided(plan) => break plan,
                Judgement::Needs(needs) => {
                    prop_assert!(!needs.is_empty());
                    prop_assert!(needs.is_subset(&set.mentions()));
                    for need in &needs {
                        prop_assert!(!world.findings.has(need), "asked twice: {need:?}");
                        answer(need, &full, &mut world.findings);
                    }
                    rounds += 1;
                }
            }
        };
        prop_assert!(rounds <= set.mentions().len());
        world.findings = full;
        prop_assert_eq!(format!("{lazy:?}"), format!("{:?}", world.decided(&set)));
    }
}
