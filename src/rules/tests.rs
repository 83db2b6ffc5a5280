//! Evaluation in whole: tables, and a second evaluation that judges every recipient alone as the measure of the first.

mod candidates;
mod looked_up;
mod traced;

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::message::{ClientCertificate, Edits, Envelope, Fact, Findings, Original, SessionFacts, TlsFacts, TlsVersion};
use crate::smtp::{MailTerms, ReversePath, Status};

const MAIL: &str = concat!(
    "From: \"Big Gmail Fan\" <a@Gmail.com>\r\nTo: Bob <bob@acme.example>, carol@acme.example\r\nSubject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n",
    "Message-ID: <1@gmail.com>\r\nX-A: one\r\nX-A: two\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\nBody\r\n"
);

fn address(text: &str) -> Address {
    Address::parse(text, true).expect("an address")
}

struct World {
    session: SessionFacts,
    envelope: Envelope,
    original: Original,
    findings: Findings,
}

impl World {
    fn new(recipients: &[&str]) -> Self {
        let session = SessionFacts {
            client_ip: "203.0.113.9".parse().expect("an address"),
            client_host: None,
            helo: "MAIL.gmail.com".into(),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        };
        let recipients = recipients.iter().map(|text| address(text).into()).collect();
        let reverse_path = ReversePath::Address(address("A+tag@Gmail.com"));
        let envelope = Envelope { reverse_path, recipients, smtputf8: false, eight_bit: false, terms: MailTerms::default() };
        let original = Original::parse(Bytes::from_static(MAIL.as_bytes())).expect("small");
        Self {
            session,
            envelope,
            original,
            findings: Findings { client_host: Fact::Known(Some("Mail.Gmail.com".into())), ..Findings::default() },
        }
    }

    fn evaluate(&self, rules: Vec<Rule>) -> Plan {
        let set = RuleSet { name: "inbound".into(), otherwise: Otherwise::Reject, rules: rules.into() };
        self.decided(&set)
    }

    fn message(&self) -> Message<'_> {
        Message { session: &self.session, envelope: &self.envelope, original: &self.original, findings: &self.findings }
    }

    /// The plan with nothing left to be found out.
    fn decided(&self, set: &RuleSet) -> Plan {
        match evaluate(set, &self.message()) {
            Judgement::Decided(plan) => plan,
            Judgement::Needs(needs) => panic!("not decided: {needs:?}"),
        }
    }

    fn holds(&self, condition: Condition) -> bool {
        !self.evaluate(vec![rule("r", vec![condition], vec![Action::Stop])]).matches.is_empty()
    }
}

fn rule(name: &str, when: Vec<Condition>, actions: Vec<Action>) -> Rule {
    Rule { name: name.into(), mode: Mode::Enforce, when, unless: Vec::new(), actions }
}

fn folded(texts: &[&str]) -> Vec<Folded> {
    texts.iter().map(|text| Folded::new(text)).collect()
}

fn equals(text: &str) -> TextTest {
    TextTest::Equals(folded(&[text]))
}

fn to(recipients: &[&str]) -> Condition {
    Condition::Text(TextAttribute::Recipient, TextTest::Equals(folded(recipients)))
}

fn relay(name: &str) -> Action {
    Action::SmtpRelay { relay: name.into(), mail_from: MailFrom::Preserve, on_failure: OnFailure::Bounce }
}

fn add(name: &str, value: &str) -> Action {
    Action::AddHeader { name: name.into(), value: Template::parse(value).expect("a template") }
}

fn reject() -> Action {
    Action::Reject(Reply::fixed(550, Status(5, 7, 1), "no"))
}

/// `relay: address[originals] …` for each step.
fn steps(plan: &Plan) -> Vec<String> {
    let show = |step: &Step| {
        let StepAction::SmtpRelay { relay, .. } = &step.action;
        let recipients = step.recipients.iter().map(|recipient| format!(" {}{:?}", recipient.address, recipient.originals));
        format!("{relay}:{}", recipients.collect::<String>())
    };
    plan.steps.iter().map(show).collect()
}

fn dispositions(plan: &Plan) -> Vec<String> {
    let show = |recipient: &PlannedRecipient| match &recipient.disposition {
        Disposition::Planned => "planned".to_owned(),
        Disposition::Dropped { rule } => format!("dropped by {rule}"),
        Disposition::Rejected { rule, reply } => format!("{} by {rule}", reply.code),
        Disposition::Deferred { rule, reply } => format!("{} by {rule}", reply.code),
    };
    plan.recipients.iter().map(show).collect()
}

fn added(step: &Step) -> String {
    step.edits.added.iter().rev().map(|field| String::from_utf8_lossy(field).replace("\r\n", ";")).collect()
}

#[test]
fn attributes_have_the_values_that_the_rule_language_promises() {
    use TextAttribute as A;
    let mut world = World::new(&["Bob+x@Acme.example"]);
    let contains = |text: &str| TextTest::Contains(folded(&[text]));
    let header = |name: &str, test| Condition::Header(name.into(), test);
    for (condition, expected) in [
        (Condition::Text(A::MailFrom, equals("a+tag@gmail.com")), true),
        (Condition::Text(A::MailFromDomain, equals("gmail.com")), true),
        (Condition::Text(A::Helo, equals("mail.gmail.com")), true),
        (Condition::Text(A::ClientHost, equals("mail.gmail.com")), true),
        (Condition::Text(A::Recipient, equals("bob+x@acme.example")), true),
        (Condition::Text(A::RecipientBase, equals("bob@acme.example")), true),
        (Condition::Text(A::RecipientDomain, equals("acme.example")), true),
        (Condition::Text(A::Sender, TextTest::Exists(false)), true),
        (Condition::Text(A::From, equals("a@gmail.com")), true),
        (Condition::Text(A::From, equals("big gmail fan")), false),
        (Condition::Text(A::From, contains("gmail fan")), true),
        (Condition::Text(A::From, TextTest::EndsWith(folded(&["fan"]))), false),
        (Condition::Text(A::FromDomain, equals("gmail.com")), true),
        (Condition::Text(A::To, equals("carol@acme.example")), true),
        (Condition::Text(A::To, TextTest::NotEquals(folded(&["carol@acme.example"]))), false),
        (Condition::Text(A::Cc, TextTest::NotEquals(folded(&["carol@acme.example"]))), true),
        (Condition::Text(A::Subject, equals("grüße")), true),
        (Condition::Text(A::MessageId, equals("1@gmail.com")), true),
        (header("x-a", equals("two")), true),
        (header("x-a", TextTest::NotEquals(folded(&["two"]))), false),
        (header("x-b", TextTest::NotEquals(folded(&["two"]))), true),
        (header("x-b", equals("")), false),
        (Condition::Attachment(AttachmentPart::Name, equals("A.pdf")), true),
        (Condition::Attachment(AttachmentPart::Type, equals("application/pdf")), true),
        (Condition::Attachment(AttachmentPart::Extension, equals("PDF")), true),
        (Condition::Number(NumberAttribute::MessageSize, NumberOperator::Equals, vec![1, MAIL.len() as u64]), true),
        (Condition::Number(NumberAttribute::RecipientCount, NumberOperator::GreaterThan, vec![1]), false),
        (Condition::SourceIp(IpTest::CidrMatches(IpSet::new(["203.0.113.0/24".parse().expect("a network")]))), true),
        (Condition::SourceIp(IpTest::NotCidrMatches(IpSet::default())), true),
        (Condition::Flag(Flag::HasAttachments, true), true),
        (Condition::Flag(Flag::ReadReceiptRequested, true), false),
        (Condition::Flag(Flag::Tls, false), true),
        (Condition::Flag(Flag::TlsWrapped, true), false),
        (Condition::Flag(Flag::Authenticated, true), false),
        (Condition::ClientCertificate(CertificateAttribute::Cn, equals("partner")), false),
        (Condition::Any(vec![]), false),
        (Condition::All(vec![]), true),
        (Condition::Not(Box::new(to(&["bob+x@acme.example"]))), false),
    ] {
        let text = format!("{condition:?}");
        assert_eq!(world.holds(condition), expected, "{text}");
    }
    let certificate = ClientCertificate { cn: vec!["x".to_owned(), "Partner".to_owned()], ..ClientCertificate::default() };
    let client_certificate = Some(Arc::new(certificate));
    world.session.tls = Some(TlsFacts { version: TlsVersion::Tls1_3, cipher: "C".into(), wrapped: true, client_certificate });
    world.envelope.reverse_path = ReversePath::Null;
    for condition in [
        Condition::ClientCertificate(CertificateAttribute::Cn, equals("partner")),
        Condition::Flag(Flag::Tls, true),
        Condition::Flag(Flag::TlsWrapped, true),
        Condition::Text(A::MailFrom, equals("")),
        Condition::Text(A::MailFromDomain, TextTest::Exists(false)),
    ] {
        let text = format!("{condition:?}");
        assert!(world.holds(condition), "{text}");
    }
}

#[test]
fn a_change_is_seen_by_the_group_alone_and_alike_messages_are_one_step() {
    let world = World::new(&["a@x.example", "b@x.example", "c@x.example"]);
    let plan = world.evaluate(vec![
        rule("tag-a", vec![to(&["a@x.example"])], vec![add("X-Tag", "1")]),
        rule("tagged", vec![Condition::Header("x-tag".into(), equals("1"))], vec![relay("tagged")]),
        rule("tag-c", vec![to(&["c@x.example"])], vec![add("X-Tag", "1")]),
        rule("all", vec![], vec![relay("all")]),
        rule("untag", vec![], vec![Action::RemoveHeader { name: "x-tag".into() }, relay("again")]),
    ]);
    assert_eq!(
        steps(&plan),
        [
            "tagged: a@x.example[0]",
            "all: a@x.example[0] c@x.example[2]",
            "all: b@x.example[1]",
            "again: a@x.example[0] b@x.example[1] c@x.example[2]"
        ]
    );
    assert_eq!(plan.steps.iter().map(added).collect::<Vec<_>>(), ["X-Tag: 1;", "X-Tag: 1;", "", ""]);
    assert_eq!(plan.matches[3], RuleMatch { rule: "all".into(), audit: false, recipients: vec![0, 1, 2], actions: vec!["SMTPRelay"] });
    assert_eq!(dispositions(&plan), ["planned"; 3]);
}

#[test]
fn recipients_forked_without_a_change_are_one_step_again() {
    let world = World::new(&["a@x.example", "b@x.example"]);
    let plan = world.evaluate(vec![rule("b", vec![to(&["b@x.example"])], vec![relay("b")]), rule("all", vec![], vec![relay("all")])]);
    assert_eq!(steps(&plan), ["b: b@x.example[1]", "all: a@x.example[0] b@x.example[1]"]);
}

#[test]
fn endings_keep_or_take_back_what_was_planned() {
    for (ending, expected_steps, expected) in [
        (Action::Stop, &["one: a@x.example[0] b@x.example[1]", "two: b@x.example[1]"][..], "planned"),
        (Action::Drop, &["one: a@x.example[0] b@x.example[1]", "two: b@x.example[1]"], "dropped by end"),
        (reject(), &["one: b@x.example[1]", "two: b@x.example[1]"], "550 by end"),
        (Action::Defer(Reply::fixed(451, Status(4, 7, 1), "later")), &["one: b@x.example[1]", "two: b@x.example[1]"], "451 by end"),
    ] {
        let world = World::new(&["a@x.example", "b@x.example"]);
        let plan = world.evaluate(vec![
            rule("one", vec![], vec![relay("one")]),
            rule("end", vec![to(&["A@x.example"])], vec![ending, relay("never")]),
            rule("two", vec![], vec![relay("two")]),
        ]);
        assert_eq!(steps(&plan), expected_steps);
        assert_eq!(dispositions(&plan), [expected, "planned"]);
    }
}

#[test]
fn whom_no_rule_disposed_of_falls_to_otherwise() {
    let world = World::new(&["a@x.example", "b@x.example", "c@x.example"]);
    for (otherwise, expected) in
        [(Otherwise::Reject, "550 by otherwise"), (Otherwise::Defer, "450 by otherwise"), (Otherwise::Drop, "dropped by otherwise")]
    {
        let rules = vec![
            rule("tag", vec![], vec![add("X-A", "1")]),
            rule("stop", vec![to(&["a@x.example"])], vec![Action::Stop]),
            rule("relay", vec![to(&["b@x.example"])], vec![relay("r")]),
        ];
        let set = RuleSet { name: "s".into(), otherwise, rules: rules.into() };
        let plan = world.decided(&set);
        assert_eq!(dispositions(&plan), [expected, "planned", expected]);
    }
}

#[test]
fn audit_is_recorded_and_changes_nothing_and_off_is_not_judged() {
    let world = World::new(&["a@x.example"]);
    let mode = |mode, name: &str, action| Rule { mode, ..rule(name, vec![], vec![action]) };
    let plan =
        world.evaluate(vec![mode(Mode::Audit, "audit", reject()), mode(Mode::Off, "off", reject()), rule("r", vec![], vec![relay("r")])]);
    assert_eq!(plan.matches.iter().map(|found| (&*found.rule, found.audit)).collect::<Vec<_>>(), [("audit", true), ("r", false)]);
    assert_eq!((steps(&plan), dispositions(&plan)), (vec!["r: a@x.example[0]".to_owned()], vec!["planned".to_owned()]));
}

#[test]
fn unless_is_none_of() {
    let world = World::new(&["a@x.example", "b@x.example", "c@x.example"]);
    let unless = vec![to(&["a@x.example"]), to(&["b@x.example"])];
    let plan = world.evaluate(vec![Rule { unless, ..rule("r", vec![], vec![relay("r")]) }]);
    assert_eq!(steps(&plan), ["r: c@x.example[2]"]);
}

#[test]
fn replaced_recipients_are_seen_by_later_rules_and_delivered_once() {
    let world = World::new(&["a@old.example", "B@OLD.example", "c@x.example", "d@x.example"]);
    let map = Replacement::Map(vec![
        (MapFrom::Address(address("b@old.example")), MapTo::Address(address("a@new.example"))),
        (MapFrom::Domain("old.example".into()), MapTo::Domain("new.example".into())),
        (MapFrom::Address(address("c@x.example")), MapTo::Address(address("d@x.example"))),
    ]);
    let plan = world.evaluate(vec![
        rule("map", vec![], vec![Action::ReplaceRecipient(map)]),
        rule("new", vec![Condition::Text(TextAttribute::RecipientDomain, equals("new.example"))], vec![relay("new")]),
        rule("rest", vec![to(&["d@x.example"])], vec![relay("rest")]),
    ]);
    assert_eq!(steps(&plan), ["new: a@new.example[0, 1]", "rest: d@x.example[2, 3]"]);
    assert_eq!(dispositions(&plan), ["planned"; 4]);
}

#[test]
fn one_recipient_can_become_several_and_is_refused_as_a_whole() {
    let world = World::new(&["a@x.example", "b@x.example"]);
    let with = || Action::ReplaceRecipient(Replacement::With(vec![address("y@x.example"), address("z@x.example"), address("y@x.example")]));
    let run = |ending: Action| {
        let plan = world.evaluate(vec![
            rule("with", vec![to(&["a@x.example"])], vec![with()]),
            rule("end", vec![to(&["y@x.example"])], vec![ending]),
            rule("all", vec![], vec![relay("all")]),
        ]);
        (steps(&plan), dispositions(&plan))
    };
    assert_eq!(run(Action::Drop), (vec!["all: z@x.example[0] b@x.example[1]".to_owned()], vec!["planned".to_owned(); 2]));
    assert_eq!(run(reject()), (vec!["all: b@x.example[1]".to_owned()], vec!["550 by end".to_owned(), "planned".to_owned()]));
}

#[test]
fn a_header_with_the_recipient_in_it_never_names_another() {
    let world = World::new(&["a@x.example", "b@x.example"]);
    let plan = world.evaluate(vec![rule("r", vec![], vec![add("X-For", "{{ recipient }}"), add("X-Ip", "{{source_ip}}"), relay("r")])]);
    assert_eq!(steps(&plan), ["r: a@x.example[0]", "r: b@x.example[1]"]);
    assert_eq!(
        plan.steps.iter().map(added).collect::<Vec<_>>(),
        ["X-Ip: 203.0.113.9;X-For: a@x.example;", "X-Ip: 203.0.113.9;X-For: b@x.example;"]
    );
}

#[test]
fn templates_are_filled_with_decoded_values_that_cannot_break_out() {
    let mut world = World::new(&["a@x.example"]);
    world.original = Original::parse(Bytes::from_static(b"Subject: =?UTF-8?Q?a=0D=0ABcc:_x?=\r\nTo: a@b.c, d@e.f\r\n\r\n")).expect("small");
    let plan = world.evaluate(vec![rule("r", vec![], vec![add("X-S", "{{subject}} | {{ to }} | {{cc}} | {{message_size}}"), relay("r")])]);
    assert_eq!(added(&plan.steps[0]), "X-S: a Bcc: x | a@b.c, d@e.f | | 56;");
}

#[test]
fn what_outlives_an_evaluation_can_be_shared_between_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Original>();
    is_shared::<Plan>();
    is_shared::<RuleSet>();
    is_shared::<crate::policy::Policy>();
}

// ---- the second evaluation ----

const ADDRESSES: [&str; 5] = ["a@x.example", "b@x.example", "c@y.example", "d@y.example", "e@z.example"];

/// A condition of the small world, by kind and argument; made twice, for it cannot be cloned.
fn small_condition((kind, argument): (u8, usize)) -> Condition {
    let text = ADDRESSES[argument];
    match kind {
        0 => to(&[text]),
        1 => Condition::Text(TextAttribute::RecipientDomain, equals(["x.example", "y.example", "z.example", "q", "r"][argument])),
        2 => Condition::Header("x-t".into(), equals(&argument.to_string())),
        3 => Condition::Text(TextAttribute::Subject, TextTest::StartsWith(folded(&[&format!("[{argument}]")]))),
        4 => Condition::Not(Box::new(to(&[text]))),
        5 => Condition::Any(vec![to(&[text]), small_condition((2, argument))]),
        6 => Condition::All(vec![small_condition((4, argument)), small_condition((1, 0))]),
        _ => Condition::Header("x-r".into(), equals(text)),
    }
}

/// The same condition, for one address and the text of its message.
fn small_holds((kind, argument): (u8, usize), address: &str, message: &str) -> bool {
    let text = ADDRESSES[argument];
    let header = message.split("\r\n\r\n").next().unwrap_or_default();
    let has_line = |line: &str| header.split("\r\n").any(|one| one == line);
    match kind {
        0 => address == text,
        1 => address.split('@').nth(1) == Some(["x.example", "y.example", "z.example", "q", "r"][argument]),
        2 => has_line(&format!("X-T: {argument}")),
        3 => header.contains(&format!("Subject: [{argument}]")),
        4 => address != text,
        5 => address == text || small_holds((2, argument), address, message),
        6 => address != text && small_holds((1, 0), address, message),
        _ => has_line(&format!("X-R: {text}")),
    }
}

fn small_action((kind, argument): (u8, usize), unique: usize) -> Action {
    match kind {
        0..=2 => relay(&unique.to_string()),
        3 => add("X-T", &argument.to_string()),
        4 => add("X-R", "{{recipient}}"),
        5 => Action::RemoveHeader { name: "X-T".into() },
        6 => Action::PrefixSubject { text: format!("[{argument}] ").into() },
        7 => Action::ReplaceRecipient(Replacement::With(vec![address(ADDRESSES[argument]), address("z@z.example")])),
        8 => Action::ReplaceRecipient(Replacement::Map(vec![(
            MapFrom::Domain("x.example".into()),
            if argument == 0 { MapTo::Domain("y.example".into()) } else { MapTo::Address(address(ADDRESSES[argument])) },
        )])),
        9 => Action::Drop,
        10 => reject(),
        11 => Action::Defer(Reply::fixed(450, Status(4, 7, 1), "later")),
        _ => Action::Stop,
    }
}

type SmallRule = (Vec<(u8, usize)>, Vec<(u8, usize)>);

/// What one recipient gets when it is judged alone: deliveries of relay, address and message, and the end of its way.
fn alone(rules: &[SmallRule], recipient: &str, original: &Original) -> (Vec<(String, String, String)>, String) {
    let text = |edits: &Edits| String::from_utf8_lossy(&edits.render(original, Bytes::new()).to_vec().unwrap()).into_owned();
    let mut copies = vec![(recipient.to_owned(), Edits::default())];
    let (mut deliveries, mut dropped, mut kept) = (Vec::new(), None, false);
    for (number, (conditions, actions)) in rules.iter().enumerate() {
        let matches =
            |(address, edits): &(String, Edits)| conditions.iter().all(|condition| small_holds(*condition, address, &text(edits)));
        let (mut matched, others): (Vec<_>, Vec<_>) = copies.into_iter().partition(matches);
        for (place, (kind, argument)) in actions.iter().enumerate() {
            if matched.is_empty() {
                break;
            }
            match kind {
                0..=2 => {
                    let relay = (number * 10 + place).to_string();
                    let mut new: Vec<_> = matched.iter().map(|(address, edits)| (relay.clone(), address.clone(), text(edits))).collect();
                    new.sort();
                    new.dedup();
                    deliveries.extend(new);
                }
                3 => matched.iter_mut().for_each(|(_, edits)| edits.add_header("X-T", &argument.to_string())),
                4 => matched.iter_mut().for_each(|(address, edits)| edits.add_header("X-R", address)),
                5 => matched.iter_mut().for_each(|(_, edits)| edits.remove_header(original, "X-T")),
                6 => matched.iter_mut().for_each(|(_, edits)| edits.prefix_subject(original, &format!("[{argument}] "))),
                7 => {
                    let new = [ADDRESSES[*argument], "z@z.example"];
                    let both = |(_, edits): (String, Edits)| new.map(|address| (address.to_owned(), edits.clone()));
                    matched = matched.into_iter().flat_map(both).collect();
                }
                8 => matched.iter_mut().filter(|(address, _)| address.ends_with("@x.example")).for_each(|(address, _)| {
                    *address = if *argument == 0 { address.replace("@x.", "@y.") } else { ADDRESSES[*argument].to_owned() };
                }),
                9 => {
                    dropped = Some(format!("dropped by {number}"));
                    matched.clear();
                }
                10 => return (Vec::new(), format!("550 by {number}")),
                11 => return (Vec::new(), format!("450 by {number}")),
                _ => {
                    kept = true;
                    matched.clear();
                }
            }
        }
        copies = [matched, others].concat();
    }
    let kept = kept || !copies.is_empty();
    let end = match dropped {
        Some(dropped) if deliveries.is_empty() || !kept => dropped,
        _ if deliveries.is_empty() => "550 by otherwise".to_owned(),
        _ => "planned".to_owned(),
    };
    deliveries.sort();
    (deliveries, end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn together_every_recipient_fares_as_if_it_were_alone(
        rules in proptest::collection::vec(
            (proptest::collection::vec((0..8_u8, 0..5_usize), 0..3), proptest::collection::vec((0..13_u8, 0..5_usize), 1..4)),
            0..8,
        ),
        count in 1..=5_usize,
    ) {
        let mut world = World::new(&ADDRESSES[..count]);
        world.original = Original::parse(Bytes::from_static(b"Subject: s\r\nX-T: 2\r\n\r\nBody\r\n")).expect("small");
        let real = rules.iter().enumerate().map(|(number, (conditions, actions))| {
            let actions = actions.iter().enumerate().map(|(place, action)| small_action(*action, number * 10 + place));
            rule(&number.to_string(), conditions.iter().map(|condition| small_condition(*condition)).collect(), actions.collect())
        });
        let plan = world.evaluate(real.collect());
        let ends = dispositions(&plan);
        for (place, recipient) in ADDRESSES[..count].iter().enumerate() {
            let mut deliveries = Vec::new();
            for step in &plan.steps {
                let StepAction::SmtpRelay { relay, .. } = &step.action;
                let message = String::from_utf8_lossy(&step.edits.render(&world.original, Bytes::new()).to_vec().unwrap()).into_owned();
                for found in step.recipients.iter().filter(|found| found.originals.contains(&place)) {
                    deliveries.push((relay.to_string(), found.address.to_string(), message.clone()));
                }
            }
            deliveries.sort();
            let (expected, end) = alone(&rules, recipient, &world.original);
            prop_assert_eq!(&deliveries, &expected, "{}", recipient);
            prop_assert_eq!(&ends[place], &end, "{}", recipient);
        }
        // No step more than messages differ, and no address twice in one.
        for (number, step) in plan.steps.iter().enumerate() {
            prop_assert!(!step.recipients.is_empty());
            for other in &plan.steps[..number] {
                prop_assert!(step.action != other.action || step.edits != other.edits);
            }
            for (place, recipient) in step.recipients.iter().enumerate() {
                prop_assert!(step.recipients[..place].iter().all(|other| other.address != recipient.address));
            }
        }
    }

    #[test]
    fn hostile_messages_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), value in "[ -~\r\n\t]{0,60}") {
        use TextAttribute as A;
        let typed = [b"Subject: =?".as_slice(), value.as_bytes(), b"\r\nFrom: ", value.as_bytes(), b"\r\nTo: ", &bytes].concat();
        for message in [bytes, typed] {
            let mut world = World::new(&["a@x.example", "b@x.example"]);
            world.original = Original::parse(message.into()).expect("small");
            let conditions = [A::Subject, A::From, A::FromDomain, A::To, A::Cc, A::Sender, A::MessageId];
            let mut rules: Vec<_> = conditions
                .map(|attribute| rule(attribute.name(), vec![Condition::Text(attribute, TextTest::Exists(true))], vec![
                    add("X-V", &format!("{{{{{}}}}}", attribute.name())),
                    Action::PrefixSubject { text: "[x] ".into() },
                ]))
                .into();
            rules.push(rule("r", vec![Condition::Not(Box::new(Condition::Flag(Flag::HasAttachments, true)))], vec![relay("r")]));
            let body = world.original.slice(world.original.body_offset()..world.original.len()).to_vec();
            for step in world.evaluate(rules).steps {
                let out = step.edits.render(&world.original, Bytes::from_static(b"T: t\r\n")).to_vec().unwrap();
                prop_assert!(out.ends_with(&body));
            }
        }
    }
}

/// A sender chooses the quoting; what it means is the same (RFC 5321 §4.1.2).
#[test]
fn needless_quoting_evades_no_condition_list_or_map() {
    let list = || TextTest::InList(vec![Arc::new(AddressList::build(["bob@acme.example", "\"eve\"@acme.example"].into_iter()).0)]);
    let mut world = World::new(&["\"bob\"@acme.example"]);
    world.envelope.reverse_path = ReversePath::Address(address("\"e\\ve\"@acme.example"));
    assert!(world.holds(to(&["bob@acme.example"])));
    assert!(world.holds(Condition::Text(TextAttribute::Recipient, list())));
    assert!(world.holds(Condition::Text(TextAttribute::MailFrom, equals("eve@acme.example"))));
    assert!(world.holds(Condition::Text(TextAttribute::MailFrom, list())));
    world.envelope.recipients = vec![address("\"bob+tag\"@acme.example").into()];
    assert!(world.holds(Condition::Text(TextAttribute::RecipientBase, equals("bob@acme.example"))));
    world.envelope.recipients = vec![address("\"b ob\"@acme.example").into()];
    assert!(!world.holds(to(&["bob@acme.example"])));
    let map = Replacement::Map(vec![(MapFrom::Address(address("bob@acme.example")), MapTo::Address(address("robert@acme.example")))]);
    world.envelope.recipients = vec![address("\"Bob\"@acme.example").into()];
    let plan = world.evaluate(vec![rule("r", vec![], vec![Action::ReplaceRecipient(map), relay("google")])]);
    assert_eq!(steps(&plan), ["google: robert@acme.example[0]"]);
}

/// The tricks themselves are those of `message/addresses/tests.rs`.
#[test]
fn no_trick_in_from_hides_an_address_from_a_rule() {
    for from in [
        "a@b\u{fc}cher.example",
        "A@B\u{dc}CHER.example.",
        "a@xn--bcher-kva.example",
        "\"a\"@XN--BCHER-KVA.example",
        "<x@y.example> <a@b\u{fc}cher.example>",
        "=?utf-8?q?a?=@b\u{fc}cher.example",
        "\"open <a@b\u{fc}cher.example>, x@y.example",
        "x@y.example\r\nFrom: a@xn--bcher-kva.example",
    ] {
        let mut world = World::new(&["bob@acme.example"]);
        world.original = Original::parse(Bytes::from(format!("From: {from}\r\n\r\n"))).expect("small");
        for domain in ["b\u{fc}cher.example", "xn--bcher-kva.example"] {
            let list = Arc::new(AddressList::build([format!("a@{domain}").as_str()].into_iter()).0);
            assert!(world.holds(Condition::Text(TextAttribute::FromDomain, equals(domain))), "{from}");
            assert!(!world.holds(Condition::Text(TextAttribute::FromDomain, TextTest::NotEquals(folded(&[domain])))), "{from}");
            assert!(world.holds(Condition::Text(TextAttribute::From, equals(&format!("a@{domain}")))), "{from}");
            assert!(world.holds(Condition::Text(TextAttribute::From, TextTest::InList(vec![list]))), "{from}");
        }
    }
    let mut world = World::new(&["bob@acme.example"]);
    world.original = Original::parse(Bytes::from_static("From: a@b\u{fc}cher.example\r\n\r\n".as_bytes())).expect("small");
    let plan = world.evaluate(vec![rule("r", vec![], vec![add("X-From", "{{from}} {{from_domain}}"), relay("next")])]);
    let added = &plan.steps[0].edits.added[0];
    assert!(!String::from_utf8_lossy(added).contains("xn--"), "{added:?}");
}
