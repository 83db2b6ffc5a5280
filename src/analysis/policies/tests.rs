//! Tables of what is found and what is not, and every judgement over a small world as the measure of the proofs.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::analysis::Witness;
use crate::message::{Analysis, Fact, FieldValue, Findings, SpfResult, SpfVerdict, TlsVersion};
use crate::policy::{Known, PolicyCondition, PolicyFacts, TlsTest, Verdict};
use crate::rules::{AddressList, AnalysisCondition, FieldTest, Folded, IpSet, IpTest, OnError, TextTest};
use crate::smtp::{Address, ReversePath};

fn texts(texts: &[&str]) -> Vec<Folded> {
    texts.iter().map(|text| Folded::new(text)).collect()
}

fn set(networks: &[&str]) -> IpSet {
    IpSet::new(networks.iter().map(|network| network.parse().unwrap()))
}

fn ip(networks: &[&str]) -> PolicyCondition {
    PolicyCondition::SenderIp(IpTest::CidrMatches(set(networks)))
}

fn not_ip(networks: &[&str]) -> PolicyCondition {
    PolicyCondition::SenderIp(IpTest::NotCidrMatches(set(networks)))
}

fn ends(end: &[&str]) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::EndsWith(texts(end)))
}

fn begins(begin: &[&str]) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::StartsWith(texts(begin)))
}

fn is(recipients: &[&str]) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::Equals(texts(recipients)))
}

fn is_not(recipients: &[&str]) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::NotEquals(texts(recipients)))
}

fn expression(pattern: &str) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::Matches(vec![crate::rules::regex(pattern).unwrap()]))
}

fn spf(words: &[&str]) -> PolicyCondition {
    PolicyCondition::SpfResult { negated: false, values: words.iter().map(|word| Box::from(*word)).collect() }
}

fn listed(wanted: bool) -> PolicyCondition {
    analysis("is_listed", FieldTest::Boolean { negated: false, values: vec![wanted] })
}

fn analysis(field: &str, test: FieldTest) -> PolicyCondition {
    PolicyCondition::Analysis(AnalysisCondition { analyzer: "dnsbl".into(), field: field.into(), test, on_error: OnError::Defer })
}

fn tls(version: TlsVersion) -> PolicyCondition {
    PolicyCondition::TlsProtocol(TlsTest::Minimum(version))
}

/// Statements named `d0`, `d1`, … and `a0`, `a1`, ….
fn policy(default: Effect, deny: Vec<Vec<PolicyCondition>>, allow: Vec<Vec<PolicyCondition>>) -> Policy {
    let named = |letter: char, lists: Vec<Vec<PolicyCondition>>| {
        let named = lists.into_iter().enumerate().map(|(number, when)| Statement { name: format!("{letter}{number}").into(), when });
        named.collect::<Vec<_>>()
    };
    Policy { name: "edge".into(), default, max_message_size: None, deny: named('d', deny), allow: named('a', allow) }
}

/// The places of what is dead.
fn dead(policy: &Policy) -> Vec<Place> {
    prove(policy, false).into_iter().filter(|finding| finding.kind == FindingKind::Dead).map(|finding| finding.at).collect()
}

#[test]
fn a_statement_whose_conditions_exclude_each_other_is_dead() {
    for (when, expected) in [
        (vec![ip(&["10.0.0.0/8"]), ip(&["192.0.2.0/24"])], Some(1)),
        (vec![ip(&["10.0.0.0/8"]), ip(&["10.1.0.0/16"])], None),
        (vec![ip(&["10.1.0.0/16"]), not_ip(&["10.0.0.0/8"])], Some(1)),
        (vec![ip(&["10.0.0.0/8"]), not_ip(&["10.1.0.0/16"])], None),
        (vec![ip(&["10.0.0.0/8"]), not_ip(&["10.0.0.0/9", "10.128.0.0/9"])], Some(1)),
        (vec![ip(&["10.0.0.0/8", "2001:db8::/32"]), not_ip(&["10.0.0.0/8"])], None),
        (vec![ip(&["::ffff:10.0.0.0/104"]), not_ip(&["10.0.0.0/8"])], Some(1)),
        (vec![not_ip(&["0.0.0.0/0", "::/0"])], Some(0)),
        (vec![ends(&["@a.example"]), ends(&["@b.example"])], Some(1)),
        (vec![ends(&["@a.example"]), ends(&["a.example", "@b.example"])], None),
        (vec![begins(&["bob@"]), ends(&["@a.example"])], None),
        (vec![begins(&["bob"]), begins(&["al"])], Some(1)),
        (vec![is(&["bob@a.example"]), ends(&["@b.example"])], Some(1)),
        (vec![is(&["bob@a.example", "bob@b.example"]), ends(&["@b.example"])], None),
        (vec![is(&["bob@a.example"]), is_not(&["bob@a.example"])], Some(1)),
        (vec![is(&["bob"])], Some(0)),
        (vec![PolicyCondition::Recipient(TextTest::Exists(false))], Some(0)),
        (vec![PolicyCondition::Helo(TextTest::Exists(false))], None),
        (vec![PolicyCondition::MailFrom(TextTest::Equals(texts(&[""])))], None),
        (vec![expression("^bob@"), ends(&["@b.example"])], None),
        (vec![is(&["al@b.example"]), expression("^bob@")], None),
        (vec![spf(&["pass"]), spf(&["fail", "softfail"])], Some(1)),
        (vec![listed(true), listed(false)], Some(1)),
        (vec![tls(TlsVersion::Tls1_3), PolicyCondition::TlsProtocol(TlsTest::Is(vec![TlsVersion::Tls1_2]))], Some(1)),
        (vec![ip(&["10.0.0.0/8"]), spf(&["pass"]), ip(&["192.0.2.0/24"])], Some(2)),
    ] {
        let policy = policy(Effect::Deny, vec![when], vec![vec![is(&["z@z.example"])]]);
        let expected: Vec<Place> = expected.map(|condition| Place::Condition(List::Deny, 0, condition)).into_iter().collect();
        assert_eq!(dead(&policy), expected, "{policy:?}");
    }
}

#[test]
fn a_statement_that_others_cover_is_dead() {
    let ours = || ends(&["@a.example"]);
    let at = |list, number| vec![Place::Statement(list, number)];
    for (deny, allow, expected) in [
        (vec![vec![ip(&["10.0.0.0/8"])], vec![ip(&["10.1.0.0/16"])]], vec![vec![ours()]], at(List::Deny, 1)),
        // The narrow one first: the log names it.
        (vec![vec![ip(&["10.1.0.0/16"])], vec![ip(&["10.0.0.0/8"])]], vec![vec![ours()]], vec![]),
        (vec![vec![ip(&["10.0.0.0/8"])], vec![ip(&["10.1.0.0/16"]), listed(true)]], vec![vec![ours()]], at(List::Deny, 1)),
        (vec![vec![ip(&["10.0.0.0/8"]), listed(true)], vec![ip(&["10.1.0.0/16"])]], vec![vec![ours()]], vec![]),
        // Two halves make a whole.
        (vec![vec![ip(&["10.0.0.0/9"])], vec![ip(&["10.128.0.0/9"])], vec![ip(&["10.0.0.0/8"])]], vec![vec![ours()]], at(List::Deny, 2)),
        (vec![vec![expression("^bob@")], vec![expression("^bob@"), spf(&["fail"])]], vec![vec![ours()]], at(List::Deny, 1)),
        // Without an answer of DNS neither of the first two matches, but the third does.
        (
            vec![
                vec![PolicyCondition::ClientHost(TextTest::Equals(texts(&["a.example"])))],
                vec![PolicyCondition::ClientHost(TextTest::NotEquals(texts(&["a.example"])))],
                vec![ip(&["10.0.0.0/8"])],
            ],
            vec![vec![ours()]],
            vec![],
        ),
        (vec![vec![ends(&[".example"])]], vec![vec![ours()], vec![ends(&["@b.test"])]], at(List::Allow, 0)),
        (vec![], vec![vec![ours()], vec![is(&["bob@a.example"])]], at(List::Allow, 1)),
        (vec![vec![begins(&["root@"])]], vec![vec![ours()], vec![is(&["root@b.example"])]], at(List::Allow, 1)),
        // One half is denied, the other allowed before.
        (vec![vec![spf(&["fail"])]], vec![vec![ours()], vec![is(&["al@a.example"]), spf(&["fail", "pass"])]], at(List::Allow, 1)),
    ] {
        let policy = policy(Effect::Deny, deny, allow);
        assert_eq!(dead(&policy), expected, "{policy:?}");
    }
}

#[test]
fn others_are_named_as_few_as_suffice() {
    let policy = policy(
        Effect::Deny,
        vec![vec![spf(&["fail"])], vec![ip(&["10.0.0.0/9"])], vec![ip(&["10.128.0.0/9"])], vec![ip(&["10.64.0.0/10", "10.128.0.0/10"])]],
        vec![vec![ends(&["@a.example"])]],
    );
    let found = prove(&policy, false);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].message, "the statement `d3` never decides anything: whenever it matches, one of `d1` and `d2` matches before it");
    assert_eq!(
        found[0].others.iter().map(|(at, _)| at.clone()).collect::<Vec<_>>(),
        [Place::Statement(List::Deny, 1), Place::Statement(List::Deny, 2)]
    );
}

#[test]
fn lists_are_looked_into_where_they_are_read() {
    let all = Arc::new(AddressList::build(["*@a.example", "bob@b.example"].into_iter()).0);
    let in_list = |list: &Arc<AddressList>| PolicyCondition::Recipient(TextTest::InList(vec![Arc::clone(list)]));
    let allow = |when| policy(Effect::Deny, vec![vec![in_list(&all)]], vec![when, vec![ends(&["@c.example"])]]);
    assert_eq!(dead(&allow(vec![is(&["bob@b.example", "al@a.example"])])), [Place::Statement(List::Allow, 0)]);
    assert_eq!(dead(&allow(vec![is(&["bob@b.example", "al@b.example"])])), []);
    assert_eq!(dead(&allow(vec![in_list(&all), spf(&["pass"])])), [Place::Statement(List::Allow, 0)]);
    // What a list holds today is no reason to remove who names it.
    let networks = |sets: &[&str]| PolicyCondition::SenderIp(IpTest::InList(vec![Arc::new(set(sets))]));
    let twice = |one, other| dead(&policy(Effect::Deny, vec![vec![one], vec![other]], vec![vec![ends(&["@c.example"])]]));
    assert_eq!(twice(ip(&["10.0.0.0/8"]), networks(&["10.1.0.0/16"])), []);
    assert_eq!(twice(networks(&["10.0.0.0/8"]), ip(&["10.1.0.0/16"])), [Place::Statement(List::Deny, 1)]);
    assert_eq!(dead(&policy(Effect::Deny, vec![], vec![vec![in_list(&all), is(&["al@b.example"])]])), []);
    // What no file was read for is not taken for empty.
    let unread = Arc::new(AddressList::default());
    assert_eq!(dead(&policy(Effect::Deny, vec![], vec![vec![in_list(&unread)]])), []);
    assert_eq!(dead(&policy(Effect::Deny, vec![], vec![vec![in_list(&unread), is(&["bob@b.example"])]])), []);
    let unread = PolicyCondition::SenderIp(IpTest::InList(vec![Arc::default()]));
    assert_eq!(dead(&policy(Effect::Deny, vec![], vec![vec![unread]])), []);
}

#[test]
fn a_policy_that_takes_nothing_is_found() {
    let nothing = vec![ip(&["10.0.0.0/8"]), ip(&["192.0.2.0/24"])];
    assert!(dead(&policy(Effect::Deny, vec![], vec![nothing])).contains(&Place::Whole));
    let both = vec![vec![ends(&["@a.example"])], vec![PolicyCondition::Recipient(TextTest::NotEquals(texts(&["bob@a.example"])))]];
    assert_eq!(dead(&policy(Effect::Allow, both, vec![])), [Place::Whole]);
    let rest = vec![vec![ends(&["@a.example"])], vec![is_not(&["bob@b.example"])]];
    assert_eq!(dead(&policy(Effect::Allow, rest, vec![])), []);
    assert_eq!(dead(&policy(Effect::Allow, vec![], vec![vec![ends(&["@a.example"])]])), [Place::Statement(List::Allow, 0)]);
}

#[test]
fn the_order_in_the_file_is_shown_with_a_session() {
    let upside_down = |deny| {
        let policy = policy(Effect::Deny, vec![vec![deny]], vec![vec![ends(&["@a.example"]), spf(&["pass"])]]);
        prove(&policy, true).into_iter().find(|finding| finding.kind == FindingKind::Order)
    };
    let found = upside_down(ip(&["198.51.100.0/24"])).unwrap();
    assert_eq!(found.at, Place::Statement(List::Allow, 0));
    assert_eq!(found.witness.unwrap().to_string(), "recipient: someone@a.example, spf_result: pass, sender_ip: 198.51.100.7");
    assert_eq!(upside_down(spf(&["fail"])), None);
    let policy = policy(Effect::Deny, vec![vec![spf(&["pass"])]], vec![vec![ends(&["@a.example"])]]);
    assert_eq!(prove(&policy, false), []);
}

#[test]
fn a_thousand_policies_take_little_time() {
    let statement = |number: usize| vec![ip(&[&format!("10.{number}.0.0/16")]), ends(&[&format!("@d{number}.example")]), spf(&["fail"])];
    let deny = (0..10).map(statement).collect();
    let policy = policy(Effect::Deny, deny, (10..20).map(statement).collect());
    let start = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(prove(&policy, true), []);
    }
    eprintln!("100 policies of 20 statements: {:?}", start.elapsed());
    let million = IpSet::new(
        (0..1_000_000_u32)
            .map(|number| ipnet::IpNet::V4(ipnet::Ipv4Net::new_assert(std::net::Ipv4Addr::from_bits(number.wrapping_mul(4096)), 28))),
    );
    let million = Arc::new(million);
    let list = || PolicyCondition::SenderIp(IpTest::InList(vec![Arc::clone(&million)]));
    let policy = self::policy(Effect::Deny, vec![vec![list()], vec![list(), spf(&["fail"])]], vec![vec![ends(&["@a.example"])]]);
    let start = std::time::Instant::now();
    assert_eq!(dead(&policy), [Place::Statement(List::Deny, 1)]);
    eprintln!("a million networks: {:?}", start.elapsed());
}

// ---- every session of a small world ----

const IPS: [&str; 4] = ["10.0.0.1", "10.200.0.1", "192.0.2.1", "2001:db8::1"];
const RECIPIENTS: [&str; 4] = ["bob@a.example", "al@a.example", "bob@b.example", "al@c.test"];
const SENDERS: [&str; 3] = ["", "x@a.example", "y@d.test"];
const HOSTS: [Option<Option<&str>>; 4] = [None, Some(None), Some(Some("mail.d.test")), Some(Some("other.test"))];

#[derive(Clone, Debug)]
struct Session {
    ip: usize,
    recipient: usize,
    sender: usize,
    host: usize,
    spf: SpfResult,
    tls: Option<TlsVersion>,
    listed: Option<bool>,
}

fn sessions() -> Vec<Session> {
    let mut sessions = Vec::new();
    for ip in 0..IPS.len() {
        for recipient in 0..RECIPIENTS.len() {
            for sender in 0..SENDERS.len() {
                for host in 0..HOSTS.len() {
                    for spf in [SpfResult::Pass, SpfResult::Fail, SpfResult::None] {
                        for tls in [None, Some(TlsVersion::Tls1_3)] {
                            for listed in [None, Some(true), Some(false)] {
                                sessions.push(Session { ip, recipient, sender, host, spf, tls, listed });
                            }
                        }
                    }
                }
            }
        }
    }
    sessions
}

fn judge(policy: &Policy, session: &Session) -> Verdict {
    let mut findings = Findings { spf: Some(Arc::new(SpfVerdict::of(session.spf, "d.test"))), ..Findings::default() };
    findings.client_host = match HOSTS[session.host] {
        None => Fact::Unknown("SERVFAIL".into()),
        Some(host) => Fact::Known(host.map(Arc::from)),
    };
    let said = match session.listed {
        None => Fact::Unknown("timeout".into()),
        Some(listed) => {
            let mut analysis = Analysis::default();
            analysis.fields.insert("is_listed".into(), FieldValue::Boolean(listed));
            Fact::Known(Arc::new(analysis))
        }
    };
    findings.analyses.insert("dnsbl".into(), said);
    let sender = SENDERS[session.sender];
    let path = if sender.is_empty() { ReversePath::Null } else { ReversePath::Address(Address::parse(sender, false).unwrap()) };
    policy.judge(&PolicyFacts {
        client_ip: IPS[session.ip].parse().unwrap(),
        helo: Known::Value("mail.d.test"),
        tls: Known::Value(session.tls),
        mail_from: Known::Value(&path),
        recipient: Known::Value(RECIPIENTS[session.recipient]),
        findings: &findings,
    })
}

/// Conditions that divide the small world, by number.
fn condition(number: usize) -> PolicyCondition {
    match number {
        0 => ip(&["10.0.0.0/8"]),
        1 => ip(&["10.0.0.0/9"]),
        2 => ip(&["10.128.0.0/9", "192.0.2.0/24"]),
        3 => not_ip(&["10.0.0.0/8", "2001:db8::/32"]),
        4 => ip(&["::/0"]),
        5 => ends(&["@a.example"]),
        6 => ends(&[".example", "@c.test"]),
        7 => begins(&["bob@"]),
        8 => is(&["bob@a.example", "al@c.test"]),
        9 => is_not(&["bob@a.example", "bob@b.example"]),
        10 => PolicyCondition::Recipient(TextTest::Contains(texts(&["l@"]))),
        11 => expression("^b"),
        12 => spf(&["pass"]),
        13 => PolicyCondition::SpfResult { negated: true, values: vec!["pass".into(), "fail".into()] },
        14 => listed(true),
        15 => analysis("is_listed", FieldTest::Boolean { negated: true, values: vec![true] }),
        16 => tls(TlsVersion::Tls1_2),
        17 => PolicyCondition::MailFrom(TextTest::Equals(texts(&[""]))),
        18 => PolicyCondition::MailFrom(TextTest::EndsWith(texts(&["@d.test"]))),
        19 => PolicyCondition::ClientHost(TextTest::EndsWith(texts(&[".d.test"]))),
        20 => PolicyCondition::ClientHost(TextTest::NotEquals(texts(&["mail.d.test"]))),
        21 => PolicyCondition::ClientHost(TextTest::Exists(true)),
        _ => PolicyCondition::Recipient(TextTest::InList(vec![Arc::new(AddressList::build(["*@a.example"].into_iter()).0)])),
    }
}

fn lists() -> impl Strategy<Value = Vec<Vec<usize>>> {
    proptest::collection::vec(proptest::collection::vec(0..23_usize, 1..4), 0..5)
}

fn built(lists: &[Vec<usize>]) -> Vec<Vec<PolicyCondition>> {
    lists.iter().map(|numbers| numbers.iter().copied().map(condition).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn what_is_proven_holds_of_every_session(deny in lists(), allow in lists(), allows in any::<bool>()) {
        let default = if allows { Effect::Allow } else { Effect::Deny };
        let policy = policy(default, built(&deny), built(&allow));
        let findings = prove(&policy, true);
        let sessions = sessions();
        let verdicts: Vec<Verdict> = sessions.iter().map(|session| judge(&policy, session)).collect();
        for finding in &findings {
            match (&finding.at, finding.kind) {
                (Place::Statement(List::Allow, 0), FindingKind::Dead) if allows => {
                    let without = self::policy(default, built(&deny), vec![]);
                    for (session, verdict) in sessions.iter().zip(&verdicts) {
                        let effect = |verdict: &Verdict| match verdict { Verdict::Decided(effect, _) => Some(*effect), _ => None };
                        prop_assert_eq!(effect(verdict), effect(&judge(&without, session)));
                    }
                }
                (Place::Statement(list, number) | Place::Condition(list, number, _), FindingKind::Dead) => {
                    let name = match list { List::Deny => &policy.deny[*number].name, List::Allow => &policy.allow[*number].name };
                    let decides = verdicts.iter().position(|verdict| matches!(verdict, Verdict::Decided(_, Some(by)) if by == name));
                    prop_assert!(decides.is_none(), "{} decides {:?}: {}", name, sessions[decides.unwrap_or(0)], finding.message);
                }
                (Place::Whole, FindingKind::Dead) => {
                    prop_assert!(!verdicts.iter().any(|verdict| matches!(verdict, Verdict::Decided(Effect::Allow, _))));
                }
                (Place::Statement(..), FindingKind::Order) => prop_assert!(finding.witness != Some(Witness::default())),
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }

    /// The other way round: what decides nothing in a world with a session of every kind is found. Conditions that cannot be taken apart
    /// (expressions, lists) are left out, and so are those for which the small world lacks sessions.
    #[test]
    fn what_holds_of_every_session_is_proven(
        networks in proptest::collection::vec((prop::sample::select(vec![0_usize, 1, 2, 12, 14, 16, 17]), prop::sample::select(vec![0_usize, 1, 2, 12, 14, 16, 17])), 1..5),
    ) {
        let lists: Vec<Vec<usize>> = networks.into_iter().map(|(one, other)| vec![one, other]).collect();
        let policy = policy(Effect::Deny, built(&lists), vec![vec![begins(&["bob@"])]]);
        let found = dead(&policy);
        let verdicts: Vec<Verdict> = sessions().iter().map(|session| judge(&policy, session)).collect();
        for (number, statement) in policy.deny.iter().enumerate() {
            let decides = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Decided(_, Some(by)) if *by == statement.name));
            let is_found = found.iter().any(|at| matches!(at, Place::Statement(List::Deny, at) | Place::Condition(List::Deny, at, _) if *at == number));
            prop_assert_eq!(decides, !is_found, "{}", statement.name);
        }
    }
}
