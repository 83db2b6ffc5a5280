//! A dispatcher with everything it needs: configuration, rules, messages, and the log it leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::faulty::{Faults, Faulty};
use super::hops::{self, Hops};
use crate::config::{DeliveryMode, Domains, Endpoint, EndpointFields, EndpointKind, Limits, Snapshot};
use crate::dispatch::{Clock, Dispatcher, Incoming, Intake};
use crate::examination::{Examine, Sealing, Subject as Examined};
use crate::message::{Envelope, Findings, MessageId, Need, Original, SessionFacts, SessionIds};
use crate::policy::{Effect, Policy};
use crate::relay::RelayConfig;
use crate::rules::{
    self, Action, Condition, Folded, Judgement, MailFrom, Mode, OnFailure, Otherwise, Plan, Rule, RuleSet, Template, TextAttribute,
    TextTest,
};
use crate::smtp::{Address, MailTerms, Notify, OriginalRecipient, RcptParameters, Recipient, Reply, ReversePath, Status};
use crate::spool::{LocalSpool, Spool, UnixMillis};
use crate::telemetry::{Format, Lines, Log};

/// When the simulated time begins.
pub(super) const BEGIN: UnixMillis = 1_700_000_000_000;

pub(super) type Subject = Dispatcher<Faulty, Hops>;

/// A dispatcher at work. Its folder outlives it.
pub(super) struct Setting {
    pub(super) dispatcher: Arc<Subject>,
    pub(super) hops: Hops,
    pub(super) faults: Arc<Faults>,
    pub(super) spool: Arc<Faulty>,
    pub(super) clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    pub(super) log: Log,
}

impl Setting {
    /// Opens the spool in `folder` at the time `begin`; what it stores is stamped `age_ms` older than it is.
    pub(super) fn open(
        folder: &Path,
        begin: UnixMillis,
        age_ms: u64,
        snapshot: Arc<Snapshot>,
        hops: Hops,
        faults: Arc<Faults>,
        lines: &Lines,
    ) -> Self {
        let start = Instant::now();
        let elapsed = move || u64::try_from(start.elapsed().as_millis()).unwrap();
        let clock: Arc<dyn Fn() -> UnixMillis + Send + Sync> = Arc::new(move || begin + elapsed());
        let (inner, report) = LocalSpool::open(folder, move || begin + elapsed() - age_ms).unwrap();
        assert!(report.damaged.is_empty());
        let spool = Arc::new(Faulty::new(inner, Arc::clone(&faults)));
        let log = Log::new(Format::Json, lines.clone());
        hops.world().now = Some(Arc::clone(&clock));
        let ids = Arc::new(SessionIds::new(u32::try_from(begin % 1_000_000).unwrap()));
        let own = Clock(Arc::clone(&clock));
        let dispatcher = Dispatcher::with_clock(Arc::clone(&spool), hops.clone(), Sealing::default(), log.clone(), ids, snapshot, own);
        Self { dispatcher, hops, faults, spool, clock, log }
    }

    /// In a new folder, with a scheduler that runs and a spool that works.
    pub(super) fn new(folder: &Path, snapshot: Snapshot, lines: &Lines) -> Self {
        let setting = Self::open(folder, BEGIN, 0, Arc::new(snapshot), Hops::default(), Faults::new(0, 0), lines);
        setting.dispatcher.start();
        setting
    }

    pub(super) async fn take(&self, incoming: Incoming) -> Reply {
        self.dispatcher.take(incoming).await
    }

    /// Lets time pass until the spool is empty and nothing is under way.
    pub(super) async fn settle(&self) {
        let begin = Instant::now();
        loop {
            let entries = self.spool.stats().await.unwrap().entries;
            if entries == 0 && self.dispatcher.tasks.len() <= 1 {
                assert_eq!(self.dispatcher.lanes.busy(), 0, "places that nobody gave back");
                return;
            }
            assert!(begin.elapsed().as_secs() < 30 * 24 * 3600, "{entries} messages are still in the spool after a month");
            tokio::time::sleep(std::time::Duration::from_secs(600)).await;
        }
    }
}

/// A folder in memory where there is one: a sync costs nothing there.
pub(super) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub(super) fn snapshot(relays: Vec<RelayConfig>, bounce_relay: Option<&str>) -> Snapshot {
    Snapshot {
        hash: "cafe0000".into(),
        hostname: "mx.gateway.example".into(),
        domains: Domains::List(vec!["here.example".into()]),
        endpoints: BTreeMap::new(),
        relays: relays.into_iter().map(|relay| (Arc::clone(&relay.name), Arc::new(relay))).collect(),
        analyzers: BTreeMap::new(),
        bounce_relay: bounce_relay.map(Into::into),
        acme: None,
        srs: None,
        dmarc_reports: None,
        tls_reports: None,
        spool: PathBuf::new(),
        limits: Limits::default(),
        resolver: Default::default(),
        admin: None,
        files: Vec::new(),
        expiries: Vec::new(),
    }
}

/// Relays `alpha`, `beta` and `home`, the last of which takes notifications.
pub(super) fn usual() -> Snapshot {
    snapshot(vec![hops::relay("alpha", 4), hops::relay("beta", 1), hops::relay("home", 2)], Some("home"))
}

pub(super) fn endpoint(rules: Arc<RuleSet>, delivery: DeliveryMode) -> Arc<Endpoint> {
    let policy = Policy { name: "all".into(), default: Effect::Allow, max_message_size: None, deny: Vec::new(), allow: Vec::new() };
    Arc::new(Endpoint {
        name: "mx".into(),
        kind: EndpointKind::Open,
        listen: Vec::new(),
        policy: Arc::new(policy),
        rules,
        tls: None,
        delivery,
        load_balancers: Vec::new(),
        fields: EndpointFields::default(),
        call_ahead: None,
    })
}

/// A rule for the recipients that begin with `word`; the empty word is everybody.
pub(super) fn rule(word: &str, actions: Vec<Action>) -> Rule {
    let test = TextTest::StartsWith(vec![Folded::new(word)]);
    let name = if word.is_empty() { "everybody" } else { word };
    let when = vec![Condition::Text(TextAttribute::Recipient, test)];
    Rule { name: name.into(), mode: Mode::Enforce, when, unless: Vec::new(), actions }
}

pub(super) fn to(relay: &str, on_failure: OnFailure) -> Action {
    Action::SmtpRelay { relay: relay.into(), mail_from: MailFrom::Preserve, on_failure }
}

/// By the first word of the recipient; everybody else goes to `alpha`.
pub(super) fn rule_set() -> Arc<RuleSet> {
    let address = |text: &str| Address::parse(text, false).unwrap();
    let group = |value: &str| Action::AddHeader { name: "X-Group".into(), value: Template::parse(value).unwrap() };
    let team = crate::rules::Replacement::With(vec![address("team@there.example"), address("boss.grey@there.example")]);
    let anonymous = Action::SmtpRelay { relay: "alpha".into(), mail_from: MailFrom::Replace, on_failure: OnFailure::Bounce };
    let rules = vec![
        rule("drop", vec![Action::Drop]),
        rule("reject", vec![Action::Reject(Reply::fixed(550, Status(5, 7, 1), "Not wanted"))]),
        rule("defer", vec![Action::Defer(Reply::fixed(450, Status(4, 7, 1), "Not now"))]),
        rule("tag", vec![group("tag")]),
        rule("own", vec![group("own {{ recipient }}")]),
        rule("bare", vec![Action::RemoveHeader { name: "X-Secret".into() }]),
        rule("rep", vec![Action::ReplaceRecipient(team)]),
        rule("copy", vec![to("beta", OnFailure::Continue)]),
        rule("cont", vec![to("alpha", OnFailure::Continue), Action::Stop]),
        rule("quiet", vec![to("alpha", OnFailure::Drop), Action::Stop]),
        rule("gone", vec![to("gone", OnFailure::Bounce), Action::Stop]),
        rule("beta", vec![to("beta", OnFailure::Bounce), Action::Stop]),
        rule("anon", vec![anonymous, Action::Stop]),
        rule("", vec![to("alpha", OnFailure::Bounce)]),
    ];
    Arc::new(RuleSet { name: "simulated".into(), otherwise: Otherwise::Reject, rules: rules.into() })
}

/// A recipient with what its words ask for: `never`, `success` alone, `all`, and `named` for an ORCPT.
pub(super) fn asked(address: Address) -> Recipient {
    let notify = |success, rest| Some(Notify { success, failure: rest, delay: rest });
    let asks = [("never", notify(false, false)), ("success", notify(true, false)), ("all", notify(true, true))];
    let notify = asks.into_iter().find_map(|(word, notify)| hops::is(&address, word).then_some(notify).flatten());
    let name = Address::parse("Old+Name@here.example", false).unwrap();
    let original = hops::is(&address, "named").then(|| OriginalRecipient::of(&name));
    Recipient { address, parameters: RcptParameters { notify, original } }
}

/// Message number `number`, whose header says so.
pub(super) fn incoming(number: u32, sender: &str, recipients: &[&str], snapshot: &Arc<Snapshot>, endpoint: &Arc<Endpoint>) -> Incoming {
    let recipients: Vec<Recipient> = recipients.iter().map(|text| asked(Address::parse(text, true).unwrap())).collect();
    let reverse_path = Address::parse(sender, true).map_or(ReversePath::Null, ReversePath::Address);
    let data = format!("From: {sender}\r\nX-Msg: <{number}>\r\nX-Secret: s\r\nSubject: hello\r\n\r\nbody of {number}\r\n");
    Incoming {
        id: MessageId { session: SessionIds::new(number).next(BEGIN), number: 1 },
        snapshot: Arc::clone(snapshot),
        endpoint: Arc::clone(endpoint),
        session: SessionFacts {
            client_ip: [192, 0, 2, 7].into(),
            client_host: None,
            helo: "client.example".into(),
            extended: true,
            tls: None,
            authenticated: false,
            login: None,
        },
        envelope: Envelope {
            reverse_path,
            smtputf8: recipients.iter().any(|one| !one.address.is_ascii()),
            recipients,
            eight_bit: false,
            terms: MailTerms::default(),
        },
        returns: Vec::new(),
        examiner: Arc::new(Nobody),
        findings: Findings::default(),
        data: data.into(),
    }
}

/// Knows nothing: what these rules need stands in the message.
#[derive(Debug)]
struct Nobody;

impl Examine for Nobody {
    fn examine<'a>(
        &'a self,
        _: &'a BTreeSet<Need>,
        _: &'a Examined<'a>,
        _: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(std::future::ready(()))
    }
}

/// The plan for a message about which nothing needs to be found out.
pub(super) fn plan(incoming: &Incoming, original: &Original) -> Plan {
    let Incoming { session, envelope, findings, .. } = incoming;
    match rules::evaluate(&incoming.endpoint.rules, &rules::Message { session, envelope, original, findings }) {
        Judgement::Decided(plan) => plan,
        Judgement::Needs(needs) => panic!("not decided: {needs:?}"),
    }
}
