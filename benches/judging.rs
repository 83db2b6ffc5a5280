//! What judging a message costs: rules, lists, networks, policies. `cargo bench --bench judging`
//!
//! Addresses and messages are taken in turn from many that were made at random from a fixed seed, so that a processor's cache does not
//! flatter. `JUDGING_PROFILE=40` has 40 rules judge a message 10,000 times and does nothing else, to be counted by callgrind.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group};
use gateway::message::{Envelope, Findings, Original, SessionFacts};
use gateway::policy::{Effect, Known, Policy, PolicyCondition, PolicyFacts, Statement, Verdict};
use gateway::rules::{
    Action, AddressList, Condition, Folded, IpSet, IpTest, Judgement, MailFrom, Message, Mode, NumberAttribute, NumberOperator, OnFailure,
    Otherwise, Plan, Rule, RuleSet, TextAttribute, TextTest, evaluate,
};
use gateway::smtp::{Address, MailTerms, ReversePath};
use ipnet::IpNet;

/// Many enough that they do not stay in the fastest cache.
const TURNS: usize = 4096;

/// Numbers from a seed (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

fn main() {
    if let Some(count) = std::env::var("JUDGING_PROFILE").ok().and_then(|count| count.parse().ok()) {
        let (set, mail) = (rule_set(count, None), Mail::new(1, "Minutes"));
        (0..10_000).for_each(|_| drop(black_box(mail.judged(&set))));
        return;
    }
    benches();
}

// ---- rules ----

fn folded(text: String) -> Vec<Folded> {
    vec![Folded::new(&text)]
}

/// One of the conditions that `benches/mta/gateway.sh` has, and lists and a pair of conditions besides; the message meets none of them.
fn condition(number: usize, lists: &[Arc<AddressList>]) -> Vec<Condition> {
    let text = |attribute, test| vec![Condition::Text(attribute, test)];
    match number % 8 {
        0 => text(TextAttribute::Subject, TextTest::Contains(folded(format!("[tag-{number}]")))),
        1 => text(TextAttribute::From, TextTest::EndsWith(folded(format!("@blocked-{number}.example")))),
        2 => vec![Condition::Header("x-campaign".into(), TextTest::Equals(folded(format!("campaign-{number}"))))],
        3 => vec![Condition::Number(NumberAttribute::MessageSize, NumberOperator::GreaterThan, vec![(60 + number as u64) << 20])],
        4 => {
            let networks = [format!("198.51.{}.{}/32", number / 256 % 256, number % 256), format!("2001:db8:{number:x}::/48")];
            let networks = networks.iter().map(|network| network.parse().expect("a network"));
            vec![Condition::SourceIp(IpTest::CidrMatches(IpSet::new(networks)))]
        }
        5 => text(TextAttribute::Recipient, TextTest::Equals(folded(format!("leaver-{number}@acme.example")))),
        6 => text(TextAttribute::Recipient, TextTest::InList(vec![Arc::clone(&lists[number / 8 % lists.len()])])),
        _ => vec![
            Condition::Text(TextAttribute::RecipientDomain, TextTest::Equals(folded("acme.example".to_owned()))),
            Condition::Text(TextAttribute::MailFrom, TextTest::StartsWith(folded(format!("bounce-{number}-")))),
        ],
    }
}

fn deliver() -> Vec<Action> {
    vec![Action::SmtpRelay { relay: "next".into(), mail_from: MailFrom::Preserve, on_failure: OnFailure::Bounce }]
}

/// So many rules, of which the last one, or one in the middle, delivers the message, and no other matches.
fn rule_set(count: usize, middle: Option<usize>) -> RuleSet {
    let lists: Vec<Arc<AddressList>> = (0..16).map(|list| Arc::new(address_list(100, &format!("list-{list}.example")))).collect();
    let rules = (1..=count).map(|number| {
        let (when, actions) = match middle {
            Some(middle) if number == middle => {
                let wanted = TextTest::Contains(folded("[urgent]".to_owned()));
                (vec![Condition::Text(TextAttribute::Subject, wanted)], [deliver(), vec![Action::Stop]].concat())
            }
            _ if number == count => (Vec::new(), deliver()),
            _ => (condition(number, &lists), vec![Action::Drop]),
        };
        Rule { name: format!("rule-{number}").into(), mode: Mode::Enforce, when, unless: Vec::new(), actions }
    });
    let set = RuleSet { name: "inbound".into(), otherwise: Otherwise::Reject, rules: rules.collect() };
    set.make_ready();
    set
}

/// A message as it is when rules judge it.
struct Mail {
    session: SessionFacts,
    envelope: Envelope,
    original: Original,
    findings: Findings,
}

impl Mail {
    fn new(recipients: usize, subject: &str) -> Self {
        let session = SessionFacts {
            client_ip: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)),
            client_host: None,
            helo: "mail.sender.example".into(),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        };
        let address = |text: &str| Address::parse(text, true).expect("an address");
        let envelope = Envelope {
            reverse_path: ReversePath::Address(address("alice@sender.example")),
            recipients: (0..recipients).map(|number| address(&format!("colleague-{number}@acme.example")).into()).collect(),
            smtputf8: false,
            eight_bit: false,
            terms: MailTerms::default(),
        };
        let body = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\r\n".repeat(130);
        let original = format!(
            "Received: from a.sender.example (a.sender.example [192.0.2.1])\r\n\tby mail.sender.example (Postfix) with ESMTPS id 4XyZ\r\n\
             \tfor <colleague-0@acme.example>; Sun, 1 Nov 2026 10:00:00 +0000 (UTC)\r\n\
             DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.example; s=s1;\r\n\th=from:to:subject:date; bh=abc=;\r\n\tb=def\r\n\
             From: Alice Sender <alice@sender.example>\r\nTo: \"Colleague, The First\" <colleague-0@acme.example>\r\nSubject: {subject}\r\n\
             Date: Sun, 1 Nov 2026 10:00:00 +0000\r\nMessage-ID: <20261101100000.4XyZ@mail.sender.example>\r\nMIME-Version: 1.0\r\n\
             X-Mailer: Example 1.0\r\nX-Campaign: autumn\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\nList-Unsubscribe: <https://sender.example/unsubscribe>\r\n\r\n{body}"
        );
        let original = Original::parse(Bytes::from(original)).expect("a small header");
        Self { session, envelope, original, findings: Findings::default() }
    }

    fn judged(&self, set: &RuleSet) -> Plan {
        let message = Message { session: &self.session, envelope: &self.envelope, original: &self.original, findings: &self.findings };
        match evaluate(set, black_box(&message)) {
            Judgement::Decided(plan) => plan,
            Judgement::Needs(needs) => panic!("nothing is to be asked for: {needs:?}"),
        }
    }
}

fn rules(c: &mut Criterion) {
    let mut group = c.benchmark_group("rules");
    for count in [4, 8, 16, 40, 1_000, 10_000] {
        let set = rule_set(count, None);
        for recipients in [1, 10, 100] {
            let mail = Mail::new(recipients, "Minutes of the meeting on Tuesday, with an agenda for the next one");
            assert_eq!(mail.judged(&set).matches.len(), 1);
            let name = format!("{count}, the last one matches, recipients: {recipients}");
            group.bench_function(name, |b| b.iter(|| mail.judged(&set)));
        }
        if count >= 40 {
            let (set, mail) = (rule_set(count, Some(count / 2)), Mail::new(1, "[urgent] Minutes"));
            assert_eq!(&*mail.judged(&set).matches[0].rule, format!("rule-{}", count / 2).as_str());
            group.bench_function(format!("{count}, one in the middle matches, recipients: 1"), |b| b.iter(|| mail.judged(&set)));
        }
    }
    for count in [40, 1_000, 10_000] {
        let set = rule_set(count, None);
        let name = format!("{count}, made ready");
        // A copy is not ready.
        group.bench_function(name, |b| b.iter_batched_ref(|| set.clone(), |set| set.make_ready(), criterion::BatchSize::LargeInput));
    }
    group.finish();
}

// ---- lists ----

fn address_list(entries: usize, domain: &str) -> AddressList {
    let entries: Vec<String> = (0..entries).map(|number| format!("user{number}@customer{}.{domain}", number % 1_000)).collect();
    let (list, errors) = AddressList::build(entries.iter().map(String::as_str));
    assert!(errors.is_empty());
    list
}

fn lists(c: &mut Criterion) {
    let list = address_list(100_000, "example");
    assert!(list.contains("user7@customer7.example") && !list.contains("user7@customer8.example"));
    let mut random = Random(7);
    let mut numbers = || (random.next() % 100_000) as usize;
    let mut group = c.benchmark_group("address list, 100,000 entries");
    for (name, off) in [("in it", 0), ("not in it", 1)] {
        let address = |number: usize| format!("user{number}@customer{}.example", (number + off) % 1_000);
        let addresses: Vec<String> = (0..TURNS).map(|_| address(numbers())).collect();
        assert!(addresses.iter().all(|address| list.contains(address) == (off == 0)));
        let mut turn = addresses.iter().cycle();
        group.bench_function(name, |b| b.iter(|| turn.next().is_some_and(|address| list.contains(black_box(address)))));
    }
    group.finish();
}

// ---- networks ----

fn v4(random: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits((random >> 32) as u32)
}

/// As they are given out: few different beginnings.
fn v6(random: u64) -> Ipv6Addr {
    const BEGINS: [u128; 8] = [0x2001, 0x2003, 0x2400, 0x2600, 0x2605, 0x2804, 0x2a00, 0x2a02];
    let begin = BEGINS[(random % 8) as usize];
    Ipv6Addr::from_bits((begin << 112) | (u128::from(random >> 8) << 56))
}

fn networks(count: usize) -> Vec<IpNet> {
    let mut random = Random(11);
    let network = |number: usize| match number % 2 {
        0 => IpNet::new(v4(random.next()).into(), 24 + (number / 2 % 9) as u8).expect("a length").trunc(),
        _ => IpNet::new(v6(random.next()).into(), 40 + (number / 2 % 25) as u8).expect("a length").trunc(),
    };
    (0..count).map(network).collect()
}

/// Addresses outside of the networks, nearly all of them, or inside.
fn addresses(networks: &[IpNet], inside: bool, is_v4: bool) -> Vec<IpAddr> {
    let mut random = Random(13);
    let outside = |number: u64| if is_v4 { IpAddr::V4(v4(number)) } else { IpAddr::V6(v6(number)) };
    let mut within = networks.iter().filter(|network| network.addr().is_ipv4() == is_v4).map(IpNet::broadcast).cycle();
    let mut within = || within.nth((random.next() % 1_000) as usize).expect("it has no end");
    let inside: Vec<IpAddr> = if inside { (0..TURNS * 8).map(|_| within()).collect() } else { Vec::new() };
    let mut random = Random(17);
    if inside.is_empty() { (0..TURNS * 8).map(|_| outside(random.next())).collect() } else { inside }
}

fn ip_sets(c: &mut Criterion) {
    for count in [1_000, 1_000_000] {
        let networks = networks(count);
        let set = IpSet::new(networks.iter().copied());
        let mut group = c.benchmark_group(format!("ip set, {count} prefixes"));
        for (name, inside, is_v4) in
            [("v4, inside", true, true), ("v4, random", false, true), ("v6, inside", true, false), ("v6, random", false, false)]
        {
            let addresses = addresses(&networks, inside, is_v4);
            assert!(!inside || addresses.iter().all(|address| set.contains(*address)));
            let mut turn = addresses.iter().cycle();
            group.throughput(Throughput::Elements(1));
            group.bench_function(name, |b| b.iter(|| turn.next().is_some_and(|address| set.contains(black_box(*address)))));
        }
        group.sample_size(10).bench_function("made", |b| b.iter(|| IpSet::new(black_box(&networks).iter().copied())));
        group.finish();
    }
}

// ---- policies ----

/// A policy of an open endpoint with an IP list of 1,000,000 prefixes, an address list of 100,000 and so many statements.
fn policy(statements: usize, listed: &Arc<IpSet>, senders: &Arc<AddressList>) -> Policy {
    let statement = |name: String, when| Statement { name: name.into(), when };
    let mut deny = vec![
        statement("networks".to_owned(), vec![PolicyCondition::SenderIp(IpTest::InList(vec![Arc::clone(listed)]))]),
        statement("senders".to_owned(), vec![PolicyCondition::MailFrom(TextTest::InList(vec![Arc::clone(senders)]))]),
    ];
    deny.extend((0..statements).map(|number| {
        let condition = match number % 3 {
            0 => PolicyCondition::Recipient(TextTest::Equals(folded(format!("leaver-{number}@acme.example")))),
            1 => PolicyCondition::MailFrom(TextTest::EndsWith(folded(format!("@blocked-{number}.example")))),
            _ => PolicyCondition::Helo(TextTest::StartsWith(folded(format!("bot-{number}.")))),
        };
        statement(format!("deny-{number}"), vec![condition])
    }));
    let ours = PolicyCondition::Recipient(TextTest::EndsWith(folded("@acme.example".to_owned())));
    Policy {
        name: "edge".into(),
        default: Effect::Deny,
        max_message_size: None,
        deny,
        allow: vec![statement("ours".to_owned(), vec![ours])],
    }
}

fn policies(c: &mut Criterion) {
    let networks = networks(1_000_000);
    let listed = Arc::new(IpSet::new(networks.iter().copied()));
    let senders = Arc::new(address_list(100_000, "example"));
    let outside: Vec<IpAddr> = addresses(&networks, false, true).into_iter().filter(|address| !listed.contains(*address)).collect();
    let mail = Mail::new(1, "Minutes");
    let mut group = c.benchmark_group("policy at RCPT, a list of 1,000,000 prefixes and one of 100,000 addresses");
    for statements in [0, 10, 100, 1_000] {
        let policy = policy(statements, &listed, &senders);
        let mut turn = outside.iter().cycle();
        group.bench_function(format!("{statements} more statements"), |b| {
            b.iter(|| {
                let facts = PolicyFacts {
                    client_ip: *turn.next().expect("it has no end"),
                    helo: Known::Value(&mail.session.helo),
                    tls: Known::Value(None),
                    mail_from: Known::Value(&mail.envelope.reverse_path),
                    recipient: Known::Value(black_box("colleague-0@acme.example")),
                    findings: &mail.findings,
                };
                assert!(matches!(policy.judge(&facts), Verdict::Decided(Effect::Allow, _)));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, rules, lists, ip_sets, policies);
