//! Judgement with what is known: true, false or undecided, and a verdict as soon as the undecided cannot change it.

use std::cell::OnceCell;

use super::{Effect, Known, Policy, PolicyCondition, PolicyFacts, Statement, TlsTest, Verdict};
use crate::message::{Text, TlsVersion};
use crate::rules::{TextTest, Value};
use crate::smtp::ReversePath;

impl Policy {
    /// Judges the session. The effect of a verdict is final: no fact that becomes known later changes it. With every fact
    /// known there always is a verdict.
    pub fn judge(&self, facts: &PolicyFacts<'_>) -> Verdict {
        let facts = &Texts::new(facts);
        let denied = find(&self.deny, facts);
        if let Found::Matching(statement) = denied {
            return decided(Effect::Deny, Some(statement));
        }
        let rest = match find(&self.allow, facts) {
            Found::Matching(statement) => decided(Effect::Allow, Some(statement)),
            // Whether one of them matches does not matter where the default says the same.
            Found::Undecided if self.default == Effect::Allow => decided(Effect::Allow, None),
            Found::Undecided => Verdict::Undecided,
            Found::Nothing => decided(self.default, None),
        };
        match (denied, &rest) {
            (Found::Undecided, Verdict::Decided(Effect::Deny, _)) => rest,
            (Found::Undecided, _) => Verdict::Undecided,
            _ => rest,
        }
    }
}

/// What is known of a list of statements, of which any can match.
#[derive(Clone, Copy)]
enum Found<'p> {
    /// This one matches.
    Matching(&'p Statement),
    /// None matches yet, but one may.
    Undecided,
    /// None matches, whatever becomes known.
    Nothing,
}

/// The facts, with texts that are folded at most once.
struct Texts<'f> {
    facts: &'f PolicyFacts<'f>,
    helo: OnceCell<Text>,
    mail_from: OnceCell<Text>,
    recipient: OnceCell<Text>,
}

fn find<'p>(statements: &'p [Statement], facts: &Texts<'_>) -> Found<'p> {
    let mut found = Found::Nothing;
    for statement in statements {
        match statement.holds(facts) {
            Some(true) => return Found::Matching(statement),
            None => found = Found::Undecided,
            Some(false) => {}
        }
    }
    found
}

fn decided(effect: Effect, statement: Option<&Statement>) -> Verdict {
    Verdict::Decided(effect, statement.map(|statement| statement.name.clone()))
}

impl Statement {
    /// Whether all conditions hold; a single one that does not decides, whatever else is unknown.
    fn holds(&self, facts: &Texts<'_>) -> Option<bool> {
        let mut holds = Some(true);
        for condition in &self.when {
            match condition.holds(facts) {
                Some(true) => {}
                Some(false) => return Some(false),
                None => holds = None,
            }
        }
        holds
    }
}

impl PolicyCondition {
    fn holds(&self, texts: &Texts<'_>) -> Option<bool> {
        match self {
            Self::SenderIp(test) => Some(test.holds(texts.facts.client_ip)),
            Self::Recipient(test) => Some(is_fitting(test, &texts.recipient, known(texts.facts.recipient)?)),
            Self::MailFrom(test) => Some(match known(texts.facts.mail_from)? {
                ReversePath::Null => is_fitting(test, &texts.mail_from, ""),
                ReversePath::Address(address) => is_fitting(test, &texts.mail_from, &address.canonical()),
            }),
            // No HELO is no value, not an empty one.
            Self::Helo(test) => match known(texts.facts.helo)? {
                "" => Some(test.holds(std::iter::empty())),
                helo => Some(is_fitting(test, &texts.helo, helo)),
            },
            Self::TlsProtocol(test) => known(texts.facts.tls).map(|version| test.holds(version)),
        }
    }
}

impl TlsTest {
    /// Whether the test holds for this version; plain text is below every version.
    pub fn holds(&self, version: Option<TlsVersion>) -> bool {
        match self {
            Self::Minimum(minimum) => version.is_some_and(|version| version >= *minimum),
            Self::Is(versions) => version.is_some_and(|version| versions.contains(&version)),
        }
    }
}

impl<'f> Texts<'f> {
    fn new(facts: &'f PolicyFacts<'f>) -> Self {
        Self { facts, helo: OnceCell::new(), mail_from: OnceCell::new(), recipient: OnceCell::new() }
    }
}

fn known<T>(fact: Known<T>) -> Option<T> {
    match fact {
        Known::NotYet => None,
        Known::Value(value) => Some(value),
    }
}

fn is_fitting(test: &TextTest, text: &OnceCell<Text>, value: &str) -> bool {
    test.holds(std::iter::once(Value::Text(text.get_or_init(|| Text::new(value)))))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::rules::{AddressList, Folded, IpSet, IpTest};
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
        PolicyFacts { client_ip, helo: Known::NotYet, tls: Known::NotYet, mail_from: Known::NotYet, recipient: Known::NotYet }
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
        assert_eq!(policy.judge(&facts), Verdict::Undecided);
        facts.recipient = Known::Value("Bob@ACME.example");
        assert_eq!(policy.judge(&facts), Verdict::Undecided);
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
            (Effect::Allow, vec![statement("d", vec![unknown()])], vec![], Verdict::Undecided),
            (Effect::Deny, vec![statement("d", vec![unknown()])], vec![statement("a", vec![here()])], Verdict::Undecided),
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

    const TEXTS: [&str; 3] = ["", "a@x.example", "b@y.example"];

    fn text_test() -> impl Strategy<Value = u8> {
        0..5_u8
    }

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
            _ => PolicyCondition::TlsProtocol(TlsTest::Minimum(if text == 0 { TlsVersion::Tls1_2 } else { TlsVersion::Tls1_3 })),
        }
    }

    fn statements() -> impl Strategy<Value = Vec<Statement>> {
        let conditions = proptest::collection::vec((0..5_u8, text_test(), 0..3_usize), 0..3);
        proptest::collection::vec(conditions, 0..4).prop_map(|statements| {
            let named = statements.into_iter().enumerate();
            let condition = |(kind, test, text)| condition(kind, test, text);
            named.map(|(number, when)| statement(&number.to_string(), when.into_iter().map(condition).collect())).collect()
        })
    }

    /// Judgement with everything known, as the page about policies says it.
    fn plainly(policy: &Policy, facts: &PolicyFacts<'_>) -> Effect {
        let matches = |statements: &[Statement]| {
            let texts = Texts::new(facts);
            statements.iter().any(|statement| statement.when.iter().all(|condition| condition.holds(&texts) == Some(true)))
        };
        if matches(&policy.deny) {
            Effect::Deny
        } else if matches(&policy.allow) {
            Effect::Allow
        } else {
            policy.default
        }
    }

    proptest! {
        #[test]
        fn an_early_verdict_is_the_one_with_everything_known(
            allow_by_default in any::<bool>(),
            deny in statements(),
            allow in statements(),
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
            };
            let mut some = all;
            if hidden & 1 > 0 { some.helo = Known::NotYet; }
            if hidden & 2 > 0 { some.tls = Known::NotYet; }
            if hidden & 4 > 0 { some.mail_from = Known::NotYet; }
            if hidden & 8 > 0 { some.recipient = Known::NotYet; }
            let expected = plainly(&policy, &all);
            match policy.judge(&some) {
                Verdict::Decided(effect, name) => {
                    prop_assert_eq!(effect, expected);
                    let statements = if effect == Effect::Deny { &policy.deny } else { &policy.allow };
                    let texts = Texts::new(&all);
                    let named = name.and_then(|name| statements.iter().find(|statement| statement.name == name));
                    prop_assert!(named.is_none_or(|statement| statement.holds(&texts) == Some(true)));
                }
                Verdict::Undecided => prop_assert!(hidden > 0),
            }
        }
    }
}
