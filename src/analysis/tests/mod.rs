//! Proofs against brute force: random rule sets, judged for every message of a small world that tells all their conditions apart.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Finding, FindingKind, Given, Place, rule_set};
use crate::message::{
    ArcResult, ArcVerdict, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, Envelope, Fact, Findings, Original,
    SessionFacts, SpfResult, SpfVerdict,
};
use crate::random::{Random, seeds};
use crate::rules::{
    Action, Condition, Disposition, Folded, IpSet, IpTest, Judgement, MailFrom, Message, Mode, NumberAttribute, NumberOperator, OnFailure,
    Otherwise, Plan, Replacement, Rule, RuleSet, Template, TextAttribute, TextTest, VerdictAttribute, evaluate,
};
use crate::smtp::{Address, MailTerms, Reply, ReversePath, Status};

const RECIPIENTS: [&str; 10] = [
    "ann@x.example",
    "bob@x.example",
    "bob+tag@x.example",
    "ann@y.example",
    "zoe@x.example",
    "bob@y.example",
    "zoe@y.example",
    "ann@z.example",
    "bob@z.example",
    "zoe@z.example",
];
const SENDERS: [&str; 4] = ["", "a@m.example", "b@n.example", "c@o.example"];
const SUBJECTS: [&str; 4] = ["", "invoice", "voice", "hello"];
const CLIENTS: [&str; 3] = ["10.0.0.1", "10.200.0.1", "192.0.2.25"];
const RESULTS: [SpfResult; 4] = [SpfResult::None, SpfResult::Pass, SpfResult::Fail, SpfResult::Temperror];
const SIZES: [usize; 2] = [300, 3000];

fn condition(random: &mut Random, depth: u32) -> Condition {
    use TextAttribute as A;
    let equals = |attribute, values: &[&str]| Condition::Text(attribute, TextTest::Equals(folded(values)));
    match random.below(if depth == 0 { 14 } else { 17 }) {
        0 => equals(A::Recipient, &[*random.of(&RECIPIENTS[..4])]),
        1 => equals(A::RecipientDomain, &[*random.of(&["x.example", "y.example"])]),
        2 => Condition::Text(A::Recipient, TextTest::EndsWith(folded(&[*random.of(&["@x.example", "@y.example"])]))),
        3 => Condition::Text(A::Recipient, TextTest::StartsWith(folded(&[*random.of(&["ann@", "bob"])]))),
        4 => equals(A::RecipientBase, &["bob@x.example"]),
        5 => Condition::Text(A::MailFromDomain, TextTest::NotEquals(folded(&[*random.of(&["m.example", "n.example"])]))),
        6 => Condition::Text(A::MailFromDomain, TextTest::Exists(random.percent(50))),
        7 => equals(A::MailFrom, &[*random.of(&SENDERS)]),
        8 => Condition::Text(A::Subject, TextTest::Contains(folded(&[*random.of(&["voice", "invoice"])]))),
        9 => Condition::Text(A::Subject, TextTest::Exists(random.percent(50))),
        10 => {
            let set = IpSet::new([random.of(&["10.0.0.0/8", "10.0.0.0/9"]).parse().unwrap()]);
            Condition::SourceIp(if random.percent(50) { IpTest::CidrMatches(set) } else { IpTest::NotCidrMatches(set) })
        }
        11 | 12 => Condition::Verdict {
            attribute: VerdictAttribute::Spf,
            negated: random.percent(50),
            values: vec![Box::from(*random.of(&["pass", "fail", "gray", "processing_failed"]))],
        },
        13 => {
            let operator = *random.of(&[NumberOperator::LessThan, NumberOperator::GreaterThanOrEqual]);
            Condition::Number(NumberAttribute::MessageSize, operator, vec![1000])
        }
        14 => Condition::Any((0..2).map(|_| condition(random, depth - 1)).collect()),
        15 => Condition::All((0..2).map(|_| condition(random, depth - 1)).collect()),
        _ => Condition::Not(Box::new(condition(random, depth - 1))),
    }
}

fn actions(random: &mut Random, changes: bool) -> Vec<Action> {
    let relay = |on_failure| Action::SmtpRelay { relay: "r".into(), mail_from: MailFrom::Preserve, on_failure };
    let reply = || Reply::fixed(550, Status(5, 7, 1), "no");
    match random.below(if changes { 11 } else { 8 }) {
        0 => vec![Action::Drop],
        1 => vec![Action::Reject(reply())],
        2 | 3 => vec![relay(OnFailure::Bounce), Action::Stop],
        4 => vec![Action::Stop],
        5 => vec![relay(OnFailure::Continue)],
        6 | 7 => vec![relay(OnFailure::Bounce)],
        8 => vec![Action::PrefixSubject { text: "invoice ".into() }],
        9 => vec![Action::AddHeader { name: "Subject".into(), value: Template::from("voice") }],
        _ => {
            let with = ["ann@x.example", "zoe@z.example"].map(address);
            vec![Action::ReplaceRecipient(Replacement::With(with.to_vec()))]
        }
    }
}

fn random_set(random: &mut Random, changes: bool) -> RuleSet {
    let rules = (0..2 + random.below(5)).map(|number| Rule {
        name: format!("r{number}").into(),
        mode: if random.percent(8) { Mode::Audit } else { Mode::Enforce },
        when: (0..random.below(3)).map(|_| condition(random, 2)).collect(),
        unless: (0..random.below(4) / 2).map(|_| condition(random, 1)).collect(),
        actions: actions(random, changes),
    });
    let rules = rules.collect();
    RuleSet { name: "random".into(), otherwise: Otherwise::Reject, rules }
}

fn folded(texts: &[&str]) -> Vec<Folded> {
    texts.iter().map(|text| Folded::new(text)).collect()
}

fn address(text: &str) -> Address {
    Address::parse(text, true).unwrap()
}

/// Judges every message of the world.
fn all_plans(set: &RuleSet) -> Vec<Plan> {
    let mut plans = Vec::new();
    for subject in SUBJECTS {
        for size in SIZES {
            let subject = if subject.is_empty() { String::new() } else { format!("Subject: {subject}\r\n") };
            let mut octets = format!("From: a@m.example\r\n{subject}\r\n").into_bytes();
            octets.resize(size, b'.');
            let original = Original::parse(Bytes::from(octets)).unwrap();
            for result in RESULTS {
                let findings = found(result);
                for client in CLIENTS {
                    let session = SessionFacts {
                        client_ip: client.parse().unwrap(),
                        client_host: None,
                        helo: "mail.example.net".into(),
                        extended: true,
                        tls: None,
                        authenticated: false,
                        login: None,
                    };
                    for sender in SENDERS {
                        let reverse_path = if sender.is_empty() { ReversePath::Null } else { ReversePath::Address(address(sender)) };
                        for recipient in RECIPIENTS {
                            let envelope = Envelope {
                                reverse_path: reverse_path.clone(),
                                recipients: vec![address(recipient).into()],
                                smtputf8: false,
                                eight_bit: false,
                                terms: MailTerms::default(),
                            };
                            let message = Message { session: &session, envelope: &envelope, original: &original, findings: &findings };
                            let Judgement::Decided(plan) = evaluate(set, &message) else { panic!("not decided") };
                            plans.push(plan);
                        }
                    }
                }
            }
        }
    }
    plans
}

fn found(result: SpfResult) -> Findings {
    Findings {
        client_host: Fact::Known(None),
        spf: Some(Arc::new(SpfVerdict::of(result, "m.example"))),
        dkim: Some(Arc::new(DkimVerdict { result: DkimResult::None, aligned: false, signatures: Box::default(), asked: Box::default() })),
        dmarc: Some(Arc::new(DmarcVerdict {
            result: DmarcResult::None,
            policy: DmarcPolicy::Absent,
            effective: DmarcPolicy::Absent,
            from_domain: Box::default(),
            policy_domain: Box::default(),
            record: Box::default(),
            spf_aligned: false,
            dkim_aligned: false,
            reason: Box::default(),
            asked: Box::default(),
        })),
        arc: Some(Arc::new(ArcVerdict {
            result: ArcResult::None,
            instances: 0,
            sealers: Box::default(),
            is_temporary: false,
            reason: Box::default(),
            asked: Box::default(),
        })),
        analyses: Default::default(),
    }
}

/// The rules that findings of a kind stand at.
fn places(findings: &[Finding], kind: FindingKind) -> BTreeSet<usize> {
    let rule = |finding: &Finding| match &finding.at {
        Place::Rule(rule) | Place::When(rule, _) | Place::Unless(rule, _) => Some(*rule),
        Place::Action(rule, _) if kind != FindingKind::Dead => Some(*rule),
        _ => None,
    };
    findings.iter().filter(|finding| finding.kind == kind).filter_map(rule).collect()
}

fn matched(plans: &[Plan], rule: &Rule) -> bool {
    plans.iter().any(|plan| plan.matches.iter().any(|matched| matched.rule == rule.name))
}

fn is_fallen(plan: &Plan) -> bool {
    matches!(&plan.recipients[0].disposition, Disposition::Rejected { rule, .. } if **rule == *"otherwise")
}

/// Rules whose recipients a later rule delivers to as well.
fn doubled(set: &RuleSet, plans: &[Plan]) -> BTreeSet<usize> {
    let place = |name: &str| set.rules.iter().position(|rule| *rule.name == *name).unwrap();
    let mut first = BTreeSet::new();
    for plan in plans {
        let steps: BTreeSet<usize> =
            plan.steps.iter().filter(|step| step.on_failure == OnFailure::Bounce).map(|step| place(&step.rule)).collect();
        first.extend(steps.iter().rev().skip(1));
    }
    first
}

#[test]
fn what_is_said_is_what_brute_force_finds() {
    for seed in seeds(40) {
        let random = &mut Random(seed);
        let set = random_set(random, false);
        let (plans, findings) = (all_plans(&set), rule_set(&set, &Given::default()));
        let dead: BTreeSet<usize> = (0..set.rules.len()).filter(|rule| !matched(&plans, &set.rules[*rule])).collect();
        assert_eq!(places(&findings, FindingKind::Dead), dead, "seed {seed}: dead\n{set:#?}\n{findings:#?}");
        assert_eq!(places(&findings, FindingKind::Twice), doubled(&set, &plans), "seed {seed}: twice\n{set:#?}\n{findings:#?}");
        let is_lost = findings.iter().any(|finding| finding.kind == FindingKind::Lost);
        // A set that delivers nothing says nothing of who is left.
        let delivers = set.rules.iter().any(|rule| matches!(rule.actions.first(), Some(Action::SmtpRelay { .. })));
        assert!(is_lost || !delivers || !plans.iter().any(is_fallen), "seed {seed}: not lost\n{set:#?}\n{findings:#?}");
        assert!(!is_lost || plans.iter().any(is_fallen), "seed {seed}: lost\n{set:#?}\n{findings:#?}");
        let is_silent = |plan: &Plan| !plan.steps.is_empty() && plan.steps.iter().all(|step| step.on_failure == OnFailure::Continue);
        let says_silent = findings.iter().any(|finding| finding.kind == FindingKind::Silent);
        assert_eq!(says_silent, plans.iter().any(is_silent), "seed {seed}: silent\n{set:#?}\n{findings:#?}");
    }
}

/// Behind changes not everything is found, but what is said is true.
#[test]
fn changes_make_no_proof_wrong() {
    for seed in seeds(40) {
        let random = &mut Random(seed ^ 0x5eed_0000);
        let set = random_set(random, true);
        let (plans, findings) = (all_plans(&set), rule_set(&set, &Given::default()));
        for rule in places(&findings, FindingKind::Dead) {
            assert!(!matched(&plans, &set.rules[rule]), "seed {seed}: r{rule} is not dead\n{set:#?}\n{findings:#?}");
        }
        let said = places(&findings, FindingKind::Twice);
        assert!(said.is_subset(&doubled(&set, &plans)), "seed {seed}: twice\n{set:#?}\n{findings:#?}");
        if findings.iter().any(|finding| finding.kind == FindingKind::Lost) {
            assert!(plans.iter().any(is_fallen), "seed {seed}: lost\n{set:#?}\n{findings:#?}");
        }
    }
}
