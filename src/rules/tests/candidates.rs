//! Rules that are passed over make no difference: judging all of them gives the same plan, the same matches and the same needs.

use super::looked_up::{answer, everything};
use super::*;
use crate::rules::evaluate::evaluate_both;

/// Pieces of which texts of rules and of messages are made, so that they meet.
const WORDS: [&str; 16] = [
    "",
    "a",
    "A@X.example",
    "@x.example",
    "x.example",
    "b+t@y.example",
    "b@y.example",
    "bücher",
    "ẞ",
    "[1]",
    "[1] a",
    "1",
    "2",
    "0a@x.example",
    "\"b\"@y.example",
    "xn--bcher-kva.example",
];
const NAMES: [&str; 10] = ["x-t", "x-r", "subject", "from", "to", "cc", "sender", "message-id", "x-unknown", "received"];
const RECIPIENTS: [&str; 6] =
    ["a@x.example", "B+t@Y.example", "\"b\"@y.example", "\"a b\"@x.example", "ü@bücher.example", "c@xn--bcher-kva.example"];
const NETWORKS: [&str; 8] =
    ["203.0.113.0/24", "203.0.113.9/32", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::9/128", "10.0.0.0/8", "203.0.112.0/23"];
const CLIENTS: [&str; 3] = ["203.0.113.9", "2001:db8::9", "::ffff:203.0.113.9"];

/// A condition, made of numbers.
#[derive(Clone, Debug)]
enum Made {
    Text(usize, u8, Vec<usize>),
    Header(usize, u8, Vec<usize>),
    Network(u8, Vec<usize>),
    Number(bool, u8, Vec<u64>),
    Flag(bool),
    /// Something that must be looked up.
    Open(u8),
    Not(Box<Made>),
    Any(Vec<Made>),
    All(Vec<Made>),
}

/// What all sets of a world share.
struct Shared {
    lists: Vec<Arc<AddressList>>,
    networks: Vec<Arc<IpSet>>,
}

impl Shared {
    fn new() -> Self {
        let list = |entries: &[&str]| Arc::new(AddressList::build(entries.iter().copied()).0);
        let lists = vec![list(&["a@x.example", "*@bücher.example"]), list(&["b*@y.example"]), list(&[]), list(&["*.example"])];
        let networks = NETWORKS.iter().map(|network| Arc::new(IpSet::new([network.parse().expect("a network")]))).collect();
        Self { lists, networks }
    }

    fn test(&self, kind: u8, words: &[usize]) -> TextTest {
        let texts = || words.iter().map(|word| Folded::new(WORDS[word % WORDS.len()])).collect();
        match kind {
            0 => TextTest::Equals(texts()),
            1 => TextTest::NotEquals(texts()),
            2 => TextTest::StartsWith(texts()),
            3 => TextTest::EndsWith(texts()),
            4 => TextTest::Contains(texts()),
            5 => TextTest::Matches(words.iter().map(|word| regex(&regex::escape(WORDS[word % WORDS.len()])).expect("valid")).collect()),
            6 => TextTest::Exists(words.len().is_multiple_of(2)),
            _ => TextTest::InList(words.iter().map(|word| Arc::clone(&self.lists[word % self.lists.len()])).collect()),
        }
    }

    fn condition(&self, made: &Made) -> Condition {
        match made {
            Made::Text(attribute, kind, words) => {
                Condition::Text(TextAttribute::ALL[attribute % TextAttribute::ALL.len()], self.test(*kind, words))
            }
            Made::Header(name, kind, words) => Condition::Header(NAMES[name % NAMES.len()].into(), self.test(*kind, words)),
            Made::Network(kind, networks) => {
                let networks = networks.iter().map(|network| network % NETWORKS.len());
                let set = |networks: &mut dyn Iterator<Item = usize>| {
                    IpSet::new(networks.map(|network| NETWORKS[network].parse().expect("a network")))
                };
                Condition::SourceIp(match kind {
                    0 => IpTest::CidrMatches(set(&mut { networks })),
                    1 => IpTest::NotCidrMatches(set(&mut { networks })),
                    _ => IpTest::InList(networks.map(|network| Arc::clone(&self.networks[network])).collect()),
                })
            }
            Made::Number(is_size, operator, values) => {
                use NumberOperator as N;
                let attribute = if *is_size { NumberAttribute::MessageSize } else { NumberAttribute::RecipientCount };
                let operators = [N::Equals, N::NotEquals, N::LessThan, N::GreaterThan, N::LessThanOrEqual, N::GreaterThanOrEqual];
                Condition::Number(attribute, operators[usize::from(*operator)], values.clone())
            }
            Made::Flag(wanted) => Condition::Flag(Flag::ReadReceiptRequested, *wanted),
            Made::Open(kind) => match kind {
                0 => Condition::Text(TextAttribute::ClientHost, equals("a.example")),
                1 => Condition::Verdict { attribute: VerdictAttribute::SpfResult, negated: false, values: vec!["fail".into()] },
                _ => Condition::Analysis(AnalysisCondition {
                    analyzer: "one".into(),
                    field: "is_spam".into(),
                    test: FieldTest::Boolean { negated: false, values: vec![true] },
                    on_error: if *kind == 2 { OnError::Defer } else { OnError::Skip },
                }),
            },
            Made::Not(made) => Condition::Not(Box::new(self.condition(made))),
            Made::Any(made) => Condition::Any(made.iter().map(|made| self.condition(made)).collect()),
            Made::All(made) => Condition::All(made.iter().map(|made| self.condition(made)).collect()),
        }
    }

    fn action(kind: u8, argument: usize, unique: usize) -> Action {
        let word = WORDS[argument % WORDS.len()];
        let name = NAMES[argument / WORDS.len() % NAMES.len()];
        match kind {
            0..=2 => relay(&unique.to_string()),
            3 => add(name, word),
            4 => add(name, "{{recipient}}"),
            // A name that is none, and becomes one.
            5 => add(&format!("{name} : "), word),
            6 => Action::RemoveHeader { name: name.to_uppercase().into() },
            7 => Action::PrefixSubject { text: format!("{word} ").into() },
            8 => {
                Action::ReplaceRecipient(Replacement::With(vec![address(RECIPIENTS[argument % RECIPIENTS.len()]), address("0a@x.example")]))
            }
            9 => Action::ReplaceRecipient(Replacement::Map(vec![(MapFrom::Domain("x.example".into()), MapTo::Domain("y.example".into()))])),
            10 => add("X-T", "{{client_host}}"),
            11 => Action::Drop,
            12 => reject(),
            _ => Action::Stop,
        }
    }
}

/// Rules that are passed over at first come back when an earlier one changes what they look at.
#[test]
fn a_change_brings_back_the_rules_that_ask_for_it() {
    let header = |name: &str, text: &str| Condition::Header(name.into(), equals(text));
    let text = |attribute, text: &str| Condition::Text(attribute, equals(text));
    let replace = || Action::ReplaceRecipient(Replacement::With(vec![address("new+t@y.example")]));
    use TextAttribute as A;
    for (action, condition) in [
        (add("X-New", "1"), header("x-new", "1")),
        (add("X-New : ", "1"), header("x-new", "1")),
        (add("From", "Ann <new@y.example>"), text(A::From, "new@y.example")),
        (add("From", "Ann <new@y.example>"), text(A::FromDomain, "y.example")),
        (add("From", "Ann <new@y.example>"), Condition::Text(A::From, TextTest::Contains(folded(&["ANN"])))),
        (add("From", "Ann <new@y.example>"), header("from", "ann <new@y.example>")),
        (add("sender", "new@y.example"), text(A::Sender, "new@y.example")),
        (add("to", "new@y.example"), text(A::To, "new@y.example")),
        (add("CC", "new@y.example"), text(A::Cc, "new@y.example")),
        (add("Message-Id", "<new@y.example>"), text(A::MessageId, "new@y.example")),
        (add("Subject", "new"), text(A::Subject, "new")),
        (Action::PrefixSubject { text: "[new] ".into() }, Condition::Text(A::Subject, TextTest::StartsWith(folded(&["[new]"])))),
        (Action::PrefixSubject { text: "[new] ".into() }, Condition::Header("subject".into(), TextTest::Contains(folded(&["[new]"])))),
        (replace(), text(A::Recipient, "new+t@y.example")),
        (replace(), text(A::RecipientBase, "new@y.example")),
        (replace(), text(A::RecipientDomain, "y.example")),
    ] {
        let world = World::new(&["bob@acme.example"]);
        let name = format!("{action:?} {condition:?}");
        let rules = vec![rule("changes", vec![], vec![action]), rule("asks", vec![condition], vec![Action::Stop])];
        let set = RuleSet { name: "s".into(), otherwise: Otherwise::Reject, rules: rules.into() };
        for judgement in evaluate_both(&set, &world.message()) {
            let Judgement::Decided(plan) = judgement else { panic!("nothing is to be asked for") };
            assert_eq!(plan.matches.len(), 2, "{name}");
        }
    }
}

fn words() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..64_usize, 0..3)
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        4 => (3..6_usize, 0..8_u8, words()).prop_map(|(attribute, kind, words)| Made::Text(attribute, kind, words)),
        6 => (0..14_usize, 0..8_u8, words()).prop_map(|(attribute, kind, words)| Made::Text(attribute, kind, words)),
        4 => (0..10_usize, 0..8_u8, words()).prop_map(|(name, kind, words)| Made::Header(name, kind, words)),
        2 => (0..3_u8, words()).prop_map(|(kind, networks)| Made::Network(kind, networks)),
        2 => (any::<bool>(), 0..6_u8, proptest::collection::vec(0..200_u64, 0..3)).prop_map(|(size, operator, values)| Made::Number(size, operator, values)),
        1 => any::<bool>().prop_map(Made::Flag),
        1 => (0..4_u8).prop_map(Made::Open),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|made| Made::Not(Box::new(made))),
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Made::Any),
            proptest::collection::vec(inner, 0..3).prop_map(Made::All),
        ]
    })
}

type MadeRule = (u8, Vec<Made>, Vec<Made>, Vec<(u8, usize)>);

fn made_rule() -> impl Strategy<Value = MadeRule> {
    let unless = prop_oneof![3 => Just(Vec::new()), 1 => proptest::collection::vec(made(), 1..3)];
    (0..8_u8, proptest::collection::vec(made(), 0..3), unless, proptest::collection::vec((0..14_u8, 0..160_usize), 1..4))
}

fn rules_of(shared: &Shared, rules: &[MadeRule]) -> Rules {
    let rules = rules.iter().enumerate().map(|(number, (mode, when, unless, actions))| Rule {
        name: number.to_string().into(),
        mode: [Mode::Off, Mode::Audit].get(usize::from(*mode)).copied().unwrap_or(Mode::Enforce),
        when: when.iter().map(|made| shared.condition(made)).collect(),
        unless: unless.iter().map(|made| shared.condition(made)).collect(),
        actions: actions
            .iter()
            .enumerate()
            .map(|(place, (kind, argument))| Shared::action(*kind, *argument, number * 10 + place))
            .collect(),
    });
    rules.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn passing_over_rules_changes_nothing(
        rules in proptest::collection::vec(made_rule(), 0..10),
        fields in proptest::collection::vec((0..10_usize, 0..16_usize, 0..16_usize), 0..8),
        recipients in proptest::collection::vec(0..6_usize, 1..5),
        (client, sender) in (0..3_usize, 0..7_usize),
        facts in (0..3_u8, 0..3_u8, 0..3_u8, 0..2_u8, 0..3_u8, 0..3_u8),
    ) {
        let set = RuleSet { name: "made".into(), otherwise: Otherwise::Reject, rules: rules_of(&Shared::new(), &rules) };
        let mut recipients: Vec<&str> = recipients.into_iter().map(|recipient| RECIPIENTS[recipient]).collect();
        recipients.sort_unstable();
        recipients.dedup();
        let mut world = World::new(&recipients);
        world.session.client_ip = CLIENTS[client].parse().expect("an address");
        world.session.helo = WORDS[client].into();
        world.envelope.reverse_path = RECIPIENTS.get(sender).map_or(ReversePath::Null, |sender| ReversePath::Address(address(sender)));
        let fields = fields.iter().map(|(name, one, other)| format!("{}: {} {}\r\n", NAMES[*name].to_uppercase(), WORDS[*one], WORDS[*other]));
        world.original = Original::parse(format!("{}\r\nBody\r\n", fields.collect::<String>()).into()).expect("small");
        world.findings = Findings::default();
        let full = everything(facts);
        loop {
            let [all, candidates] = evaluate_both(&set, &world.message());
            prop_assert_eq!(format!("{all:?}"), format!("{candidates:?}"));
            let Judgement::Needs(needs) = all else { break };
            needs.iter().for_each(|need| answer(need, &full, &mut world.findings));
        }
    }
}
