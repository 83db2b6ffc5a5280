//! Tables, and judgement with everything known as the measure of judgement step by step.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::message::{Analysis, Fact, FieldValue, Findings, SpfResult, SpfVerdict};
use crate::rules::{AddressList, AnalysisCondition, FieldTest, Folded, IpSet, IpTest};
use crate::smtp::Address;

fn texts(texts: &[&str]) -> Vec<Folded> {
    texts.iter().map(|text| Folded::new(text)).collect()
}

fn network(network: &str) -> PolicyCondition {
    PolicyCondition::SenderIp(IpTest::CidrMatches(IpSet::new([network.parse().expect("a network")])))
}

fn statement(name: &str, when: Vec<PolicyCondition>) -> Statement {
    Statement { name: name.into(), when }
}

fn policy(default: Effect, deny: Vec<Statement>, allow: Vec<Statement>) -> Policy {
    Policy { name: "edge".into(), default, max_message_size: None, deny, allow }
}

fn at_connect(ip: &str) -> PolicyFacts<'static> {
    let client_ip = ip.parse().expect("an address");
    let findings = &NOTHING;
    PolicyFacts { client_ip, helo: Known::NotYet, tls: Known::NotYet, mail_from: Known::NotYet, recipient: Known::NotYet, findings }
}

/// Nobody has asked for anything.
static NOTHING: LazyLock<Findings> = LazyLock::new(Findings::default);

fn early() -> Verdict {
    Verdict::Undecided { needs: BTreeSet::new() }
}

fn says(effect: Effect, statement: &str) -> Verdict {
    Verdict::Decided(effect, Some(statement.into()))
}

#[test]
fn deny_overrides_allow_and_each_is_said_as_early_as_it_can_be() {
    let recipient = || PolicyCondition::Recipient(TextTest::EndsWith(texts(&["@Acme.example"])));
    let policy = policy(
        Effect::Deny,
        vec![statement("listed", vec![network("198.51.100.0/24")])],
        vec![statement("ours", vec![recipient(), PolicyCondition::TlsProtocol(TlsTest::Minimum(TlsVersion::Tls1_2))])],
    );
    assert_eq!(policy.judge(&at_connect("::ffff:198.51.100.7")), says(Effect::Deny, "listed"));
    let mut facts = at_connect("203.0.113.9");
    assert_eq!(policy.judge(&facts), early());
    facts.recipient = Known::Value("Bob@ACME.example");
    assert_eq!(policy.judge(&facts), early());
    facts.tls = Known::Value(Some(TlsVersion::Tls1_3));
    assert_eq!(policy.judge(&facts), says(Effect::Allow, "ours"));
    facts.tls = Known::Value(None);
    assert_eq!(policy.judge(&facts), Verdict::Decided(Effect::Deny, None), "plain text is below every version");
}

#[test]
fn the_unknown_only_matters_where_it_can_change_the_effect() {
    let unknown = || PolicyCondition::Recipient(TextTest::Exists(true));
    let here = || network("203.0.113.0/24");
    let facts = at_connect("203.0.113.9");
    let none = || Verdict::Decided(Effect::Allow, None);
    for (default, deny, allow, expected) in [
        (Effect::Allow, vec![], vec![statement("a", vec![unknown()])], none()),
        (Effect::Deny, vec![statement("d", vec![unknown()])], vec![], Verdict::Decided(Effect::Deny, None)),
        (Effect::Allow, vec![statement("d", vec![unknown()])], vec![], early()),
        (Effect::Deny, vec![statement("d", vec![unknown()])], vec![statement("a", vec![here()])], early()),
        (Effect::Allow, vec![statement("d", vec![unknown()]), statement("e", vec![here()])], vec![], says(Effect::Deny, "e")),
        (Effect::Allow, vec![statement("d", vec![unknown(), network("10.0.0.0/8")])], vec![], none()),
        (Effect::Deny, vec![], vec![statement("a", vec![])], says(Effect::Allow, "a")),
    ] {
        let policy = policy(default, deny, allow);
        assert_eq!(policy.judge(&facts), expected, "{policy:?}");
    }
}

#[test]
fn the_null_path_is_the_empty_text_and_no_helo_is_none() {
    let sender = |test| policy(Effect::Deny, vec![], vec![statement("a", vec![PolicyCondition::MailFrom(test)])]);
    let mut facts = at_connect("203.0.113.9");
    facts.mail_from = Known::Value(&ReversePath::Null);
    assert_eq!(sender(TextTest::Equals(texts(&[""]))).judge(&facts), says(Effect::Allow, "a"));
    let address = ReversePath::Address(Address::parse("A@Gmail.com", false).expect("an address"));
    facts.mail_from = Known::Value(&address);
    let list = Arc::new(AddressList::build(["*@gmail.com"].into_iter()).0);
    assert_eq!(sender(TextTest::InList(vec![list])).judge(&facts), says(Effect::Allow, "a"));
    facts.helo = Known::Value("");
    let helo = policy(Effect::Deny, vec![], vec![statement("a", vec![PolicyCondition::Helo(TextTest::Exists(true))])]);
    assert_eq!(helo.judge(&facts), Verdict::Decided(Effect::Deny, None));
}

#[test]
fn needless_quoting_does_not_evade_a_statement() {
    let sender = || PolicyCondition::MailFrom(TextTest::Equals(texts(&["bob@x.example"])));
    let policy = policy(Effect::Allow, vec![statement("bob", vec![sender()])], vec![]);
    for (text, expected) in [
        ("\"bob\"@x.example", says(Effect::Deny, "bob")),
        ("\"b\\ob\"@x.example", says(Effect::Deny, "bob")),
        ("\"b ob\"@x.example", Verdict::Decided(Effect::Allow, None)),
    ] {
        let mail_from = ReversePath::Address(Address::parse(text, false).expect("an address"));
        let facts = PolicyFacts { mail_from: Known::Value(&mail_from), ..at_connect("203.0.113.9") };
        assert_eq!(policy.judge(&facts), expected, "{text}");
    }
}

#[test]
fn tls_versions_are_ordered() {
    for (test, none, v1_2, v1_3) in [
        (TlsTest::Minimum(TlsVersion::Tls1_2), false, true, true),
        (TlsTest::Minimum(TlsVersion::Tls1_3), false, false, true),
        (TlsTest::Is(vec![TlsVersion::Tls1_2]), false, true, false),
    ] {
        let holds = [None, Some(TlsVersion::Tls1_2), Some(TlsVersion::Tls1_3)].map(|version| test.holds(version));
        assert_eq!(holds, [none, v1_2, v1_3], "{test:?}");
    }
}

fn spf(result: SpfResult) -> Option<Arc<SpfVerdict>> {
    Some(Arc::new(SpfVerdict::of(result, "x.example")))
}

fn listed(is_listed: bool) -> Fact<Arc<Analysis>> {
    Fact::Known(Arc::new(Analysis { fields: [("is_listed".into(), FieldValue::Boolean(is_listed))].into() }))
}

fn unknown<T>() -> Fact<T> {
    Fact::Unknown("no answer in time".into())
}

fn on_list(analyzer: &str, on_error: OnError) -> PolicyCondition {
    let test = FieldTest::Boolean { negated: false, values: vec![true] };
    PolicyCondition::Analysis(AnalysisCondition { analyzer: analyzer.into(), field: "is_listed".into(), test, on_error })
}

fn spf_fails() -> PolicyCondition {
    PolicyCondition::SpfResult { negated: false, values: vec!["fail".into()] }
}

fn to_bob() -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::Equals(texts(&["bob@acme.example"])))
}

/// The verdict in words.
fn shown(verdict: Verdict) -> String {
    match verdict {
        Verdict::Decided(effect, statement) => format!("{effect:?} {}", statement.as_deref().unwrap_or("default")),
        Verdict::Unknown { statement, detail } => format!("{statement} unknown: {detail}"),
        Verdict::Undecided { needs } => needs.iter().map(|need| format!("{need:?} ")).collect(),
    }
}

#[test]
fn what_must_be_looked_up_is_asked_for_where_it_can_change_the_verdict() {
    let (bob, here, elsewhere) = (to_bob, || network("203.0.113.0/24"), || network("10.0.0.0/8"));
    let zen = || on_list("zen", OnError::Defer);
    for (default, deny, allow, expected) in [
        (Effect::Allow, vec![vec![zen()]], vec![], "Analysis(\"zen\") "),
        (Effect::Allow, vec![vec![spf_fails(), zen()]], vec![], "Spf Analysis(\"zen\") "),
        (Effect::Allow, vec![vec![zen(), elsewhere()]], vec![], "Allow default"),
        (Effect::Allow, vec![vec![zen()], vec![here()]], vec![], "Deny d1"),
        (Effect::Deny, vec![vec![zen()]], vec![], "Deny default"),
        (Effect::Deny, vec![vec![zen()]], vec![vec![bob()]], "Analysis(\"zen\") "),
        (Effect::Deny, vec![vec![zen()]], vec![vec![spf_fails()]], "Spf Analysis(\"zen\") "),
        (Effect::Deny, vec![vec![zen()]], vec![vec![spf_fails()], vec![here()]], "Analysis(\"zen\") "),
        (Effect::Deny, vec![], vec![vec![spf_fails()], vec![here()]], "Allow a1"),
        (Effect::Allow, vec![], vec![vec![spf_fails()]], "Allow default"),
        (Effect::Allow, vec![vec![PolicyCondition::ClientHost(TextTest::Exists(false))]], vec![], "ClientHost "),
    ] {
        let named = |prefix: &str, list: Vec<Vec<PolicyCondition>>| {
            list.into_iter().enumerate().map(|(number, when)| statement(&format!("{prefix}{number}"), when)).collect()
        };
        let policy = policy(default, named("d", deny), named("a", allow));
        let facts = PolicyFacts { recipient: Known::Value("bob@acme.example"), ..at_connect("203.0.113.9") };
        assert_eq!(shown(policy.judge(&facts)), expected, "{policy:?}");
    }
}

#[test]
fn without_an_answer_nobody_is_let_in_and_nobody_sent_away() {
    let bob = to_bob;
    let (defer, skip) = (|| on_list("zen", OnError::Defer), || on_list("zen", OnError::Skip));
    let no_name = || PolicyCondition::ClientHost(TextTest::Exists(false));
    let zen = "unknown: zen: no answer in time";
    for (default, deny, allow, expected) in [
        (Effect::Allow, vec![defer()], vec![], format!("d {zen}")),
        (Effect::Allow, vec![skip()], vec![], "Allow default".into()),
        (Effect::Deny, vec![], vec![defer()], format!("a {zen}")),
        (Effect::Deny, vec![], vec![skip()], "Deny default".into()),
        (Effect::Deny, vec![defer()], vec![bob()], format!("d {zen}")),
        (Effect::Allow, vec![no_name()], vec![], "d unknown: client_host: no answer in time".into()),
        // It does not matter.
        (Effect::Deny, vec![defer()], vec![network("10.0.0.0/8")], "Deny default".into()),
        (Effect::Allow, vec![], vec![defer()], "Allow default".into()),
        (Effect::Allow, vec![defer(), network("10.0.0.0/8")], vec![], "Allow default".into()),
        (Effect::Allow, vec![defer(), skip()], vec![], "Allow default".into()),
        // What was not asked for yet can still make the difference.
        (Effect::Allow, vec![defer(), spf_fails()], vec![], "Spf ".into()),
        // Trouble with SPF is a result.
        (Effect::Allow, vec![PolicyCondition::SpfResult { negated: true, values: vec!["x".into()] }, bob()], vec![], "Spf ".into()),
    ] {
        let list = |name: &str, when: Vec<PolicyCondition>| if when.is_empty() { vec![] } else { vec![statement(name, when)] };
        let policy = policy(default, list("d", deny), list("a", allow));
        let mut findings = Findings { client_host: unknown(), ..Findings::default() };
        findings.analyses.insert("zen".into(), unknown());
        let facts = PolicyFacts { recipient: Known::Value("bob@acme.example"), findings: &findings, ..at_connect("203.0.113.9") };
        assert_eq!(shown(policy.judge(&facts)), expected, "{policy:?}");
    }
    let temporary = Findings { spf: spf(SpfResult::Temperror), ..Findings::default() };
    let facts = PolicyFacts { findings: &temporary, ..at_connect("203.0.113.9") };
    let words = vec!["fail".into(), "temperror".into()];
    let refusing =
        policy(Effect::Allow, vec![statement("spf", vec![PolicyCondition::SpfResult { negated: false, values: words }])], vec![]);
    assert_eq!(shown(refusing.judge(&facts)), "Deny spf");
}

const TEXTS: [&str; 3] = ["", "a@x.example", "b@y.example"];

fn condition(kind: u8, test: u8, text: usize) -> PolicyCondition {
    let list = texts(&[TEXTS[text]]);
    let test = match test {
        0 => TextTest::Equals(list),
        1 => TextTest::NotEquals(list),
        2 => TextTest::Contains(list),
        3 => TextTest::Exists(text == 0),
        _ => TextTest::EndsWith(list),
    };
    match kind {
        0 => network(["0.0.0.0/0", "192.0.2.1/32", "10.0.0.0/8"][text]),
        1 => PolicyCondition::Recipient(test),
        2 => PolicyCondition::MailFrom(test),
        3 => PolicyCondition::Helo(test),
        5 => PolicyCondition::ClientHost(if text == 0 { TextTest::Exists(true) } else { test }),
        6 => spf_fails(),
        7 => on_list("one", if text == 0 { OnError::Skip } else { OnError::Defer }),
        8 => on_list("two", if text == 0 { OnError::Skip } else { OnError::Defer }),
        _ => PolicyCondition::TlsProtocol(TlsTest::Minimum(if text == 0 { TlsVersion::Tls1_2 } else { TlsVersion::Tls1_3 })),
    }
}

fn statements(kinds: u8) -> impl Strategy<Value = Vec<Statement>> {
    let conditions = proptest::collection::vec((0..kinds, 0..5_u8, 0..3_usize), 0..3);
    proptest::collection::vec(conditions, 0..4).prop_map(|statements| {
        let named = statements.into_iter().enumerate();
        let condition = |(kind, test, text)| condition(kind, test, text);
        named.map(|(number, when)| statement(&number.to_string(), when.into_iter().map(condition).collect())).collect()
    })
}

/// Judgement with everything known that can be, as the page about policies says it; `None` where the effect depends on what has no
/// answer. Each such condition is taken to hold and not to hold, in all combinations.
fn plainly(policy: &Policy, facts: &PolicyFacts<'_>) -> Option<Effect> {
    let texts = Texts::new(facts);
    let mut unknown = 0_u32;
    let mut listed = |statements: &[Statement]| -> Vec<Vec<Result<bool, u32>>> {
        let mut one = |condition: &PolicyCondition| match condition.holds(&texts).expect("the client has said everything") {
            Truth::Known(holds) => Ok(holds),
            Truth::NoAnswer { on_error: OnError::Skip, .. } => Ok(false),
            Truth::NoAnswer { .. } => {
                unknown += 1;
                Err(unknown - 1)
            }
            Truth::NotAsked(need) => panic!("{need:?} is known"),
        };
        statements.iter().map(|statement| statement.when.iter().map(&mut one).collect()).collect()
    };
    let (deny, allow) = (listed(&policy.deny), listed(&policy.allow));
    let effects = (0..1_u32 << unknown).map(|combination| {
        let holds = |condition: &Result<bool, u32>| condition.unwrap_or_else(|place| combination >> place & 1 > 0);
        let matches = |list: &[Vec<Result<bool, u32>>]| list.iter().any(|when| when.iter().all(holds));
        if matches(&deny) {
            Effect::Deny
        } else if matches(&allow) {
            Effect::Allow
        } else {
            policy.default
        }
    });
    let effects: Vec<Effect> = effects.collect();
    effects.iter().all(|effect| *effect == effects[0]).then(|| effects[0])
}

proptest! {
    #[test]
    fn an_early_verdict_is_the_one_with_everything_known(
        allow_by_default in any::<bool>(),
        deny in statements(5),
        allow in statements(5),
        (recipient, helo, tls) in (0..3_usize, 0..3_usize, 0..3_u8),
        mail_from in 0..3_usize,
        hidden in 0..16_u8,
    ) {
        let default = if allow_by_default { Effect::Allow } else { Effect::Deny };
        let policy = policy(default, deny, allow);
        let mail_from = Address::parse(TEXTS[mail_from], false).map_or(ReversePath::Null, ReversePath::Address);
        let all = PolicyFacts {
            client_ip: IpAddr::from([192, 0, 2, 1]),
            helo: Known::Value(TEXTS[helo]),
            tls: Known::Value([None, Some(TlsVersion::Tls1_2), Some(TlsVersion::Tls1_3)][usize::from(tls)]),
            mail_from: Known::Value(&mail_from),
            recipient: Known::Value(TEXTS[recipient]),
            findings: &NOTHING,
        };
        let mut some = all;
        if hidden & 1 > 0 { some.helo = Known::NotYet; }
        if hidden & 2 > 0 { some.tls = Known::NotYet; }
        if hidden & 4 > 0 { some.mail_from = Known::NotYet; }
        if hidden & 8 > 0 { some.recipient = Known::NotYet; }
        let expected = plainly(&policy, &all).expect("nothing is asked for");
        match policy.judge(&some) {
            Verdict::Decided(effect, name) => {
                prop_assert_eq!(effect, expected);
                let statements = if effect == Effect::Deny { &policy.deny } else { &policy.allow };
                let texts = Texts::new(&all);
                let named = name.and_then(|name| statements.iter().find(|statement| statement.name == name));
                prop_assert!(named.is_none_or(|statement| matches!(statement.holds(&texts), Held::Yes)));
            }
            Verdict::Undecided { needs } => prop_assert!(hidden > 0 && needs.is_empty()),
                Verdict::Unknown { .. } => prop_assert!(false, "nothing was asked for"),
        }
    }

    #[test]
    fn asking_only_for_what_is_needed_gives_the_verdict_of_knowing_everything(
        allow_by_default in any::<bool>(),
        deny in statements(9),
        allow in statements(9),
        said in 0..3_usize,
        (host, spf_result, one, two) in (0..3_usize, 0..3_usize, 0..3_u8, 0..3_u8),
    ) {
        let policy = policy(if allow_by_default { Effect::Allow } else { Effect::Deny }, deny, allow);
        let analysis = |answer: u8| if answer == 2 { unknown() } else { listed(answer == 1) };
        let full = Findings {
            client_host: [Fact::Known(None), Fact::Known(Some("a@x.example".into())), unknown()][host].clone(),
            spf: spf([SpfResult::Fail, SpfResult::Pass, SpfResult::Temperror][spf_result]),
            analyses: [("one".into(), analysis(one)), ("two".into(), analysis(two))].into(),
            ..Findings::default()
        };
        let mail_from = Address::parse(TEXTS[said], false).map_or(ReversePath::Null, ReversePath::Address);
        let all = PolicyFacts {
            client_ip: IpAddr::from([192, 0, 2, 1]),
            helo: Known::Value(TEXTS[said]),
            tls: Known::Value(None),
            mail_from: Known::Value(&mail_from),
            recipient: Known::Value(TEXTS[said]),
            findings: &full,
        };
        let expected = plainly(&policy, &all);
        let early = PolicyFacts { mail_from: Known::NotYet, recipient: Known::NotYet, findings: &NOTHING, ..all };
        if let Verdict::Decided(effect, _) = policy.judge(&early) {
            prop_assert_eq!(Some(effect), expected, "before anything was asked for");
        }
        let mut found = Findings::default();
        let lazy = loop {
            match policy.judge(&PolicyFacts { findings: &found, ..all }) {
                Verdict::Undecided { needs } => {
                    prop_assert!(!needs.is_empty());
                    for need in needs {
                        prop_assert!(!found.has(&need), "asked twice: {need:?}");
                        match need {
                            Need::ClientHost => found.client_host = full.client_host.clone(),
                            Need::Spf => found.spf = full.spf.clone(),
                            Need::Analysis(name) => drop(found.analyses.insert(Arc::clone(&name), full.analyses[&name].clone())),
                            other => prop_assert!(false, "no condition of a policy asks for {other:?}"),
                        }
                    }
                }
                Verdict::Decided(effect, _) => break Some(effect),
                Verdict::Unknown { .. } => break None,
            }
        };
        prop_assert_eq!(lazy, expected);
        let eager = match policy.judge(&all) {
            Verdict::Decided(effect, _) => Some(effect),
            _ => None,
        };
        prop_assert_eq!(eager, expected);
    }
}
