use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;
use mail_auth::report::{ActionDisposition, DmarcResult as Aligned, PolicyOverride, Report};
use tokio_util::sync::CancellationToken;

use super::destinations::{accepts, destinations};
use super::*;
use crate::daily_reports::stage::{Outbox, Zone};
use crate::daily_reports::{Clock, DAY_SECONDS, Daily, Day, Quota, ReportsConfig, due_at};
use crate::dns::DnsError;
use crate::limits::{
    DAILY_REPORT_DAYS_KEPT, DAILY_REPORT_DESTINATIONS_MAX, DAILY_REPORT_RETRY_INTERVAL, DAILY_REPORT_ROWS_PENDING_MAX,
    DAILY_REPORT_ROWS_PER_DOMAIN_MAX,
};
use crate::message::{DkimResult, DkimSignature, DmarcPolicy, DmarcResult, SpfIdentity, SpfResult};
use crate::smtp::Address;
use crate::telemetry::{Format, Lines, Log};

/// The begin of 2023-11-14, and a time of that day.
const DAY: Day = Day(19_675);
type Journal = crate::daily_reports::Journal<row::Row>;
const NOON: u64 = 19_675 * DAY_SECONDS + 43_200;
const RECORD: &str = "v=DMARC1; p=reject; sp=quarantine; adkim=s; rua=mailto:dmarc@acme.example";

fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}

struct World {
    folder: tempfile::TempDir,
    time: Arc<AtomicU64>,
    zone: Zone,
    outbox: Arc<Outbox>,
    lines: Lines,
    log: Log,
}

impl World {
    fn new(zone: Zone) -> Self {
        let lines = Lines::default();
        let log = Log::new(Format::Json, lines.clone());
        let folder = tempfile::tempdir().unwrap();
        Self { folder, time: Arc::new(AtomicU64::new(NOON)), zone, outbox: Arc::default(), lines, log }
    }

    fn config(&self) -> Arc<ReportsConfig> {
        Arc::new(ReportsConfig {
            relay: "out".into(),
            from: address("reports@mx.gateway.example"),
            // With spaces around the sign, the reader that reads it here would lose them.
            organization: "Acme&Söhne".into(),
            contact: Some("https://acme.example/<help>".into()),
            folder: self.path(),
        })
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("var/dmarc-reports")
    }

    fn clock(&self) -> Clock {
        let time = Arc::clone(&self.time);
        Clock(Arc::new(move || time.load(Ordering::Relaxed)))
    }

    /// A process that begins.
    fn reports(&self) -> Daily<DmarcReports<Zone, Outbox>> {
        Daily::new(self.kind(), self.collector(), self.log.clone())
    }

    fn kind(&self) -> DmarcReports<Zone, Outbox> {
        DmarcReports::new(self.zone.clone(), Arc::clone(&self.outbox), self.log.clone())
    }

    fn collector(&self) -> Arc<Collector> {
        Arc::new(Collector::new(Some(self.config()), self.clock()))
    }

    fn at(&self, seconds: u64) {
        self.time.store(seconds, Ordering::Relaxed);
    }

    fn outcomes(&self) -> Vec<String> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        self.log.close();
        self.lines.events("dmarc_report").iter().map(|event| format!("{} {}", text(&event["to"]), text(&event["outcome"]))).collect()
    }
}

/// The verdicts on one message.
#[derive(Clone)]
struct Mail {
    client: IpAddr,
    reverse_path: ReversePath,
    dmarc: DmarcVerdict,
    spf: SpfVerdict,
    dkim: DkimVerdict,
    handling: Handling,
}

fn mail(domain: &str, record: &str) -> Mail {
    let signature = DkimSignature {
        result: DkimResult::Fail,
        domain: domain.into(),
        selector: "s<1>\u{7}".into(),
        identity: None,
        algorithm: "rsa-sha256".into(),
        signature: "abcdefgh".into(),
        aligned: true,
        reason: "broken".into(),
    };
    Mail {
        client: [192, 0, 2, 7].into(),
        reverse_path: ReversePath::Address(address(&format!("s@bounce.{domain}"))),
        dmarc: DmarcVerdict {
            result: DmarcResult::Fail,
            policy: DmarcPolicy::Reject,
            effective: DmarcPolicy::Reject,
            from_domain: domain.into(),
            policy_domain: domain.into(),
            record: record.into(),
            spf_aligned: false,
            dkim_aligned: false,
            reason: "".into(),
            asked: Box::default(),
        },
        spf: SpfVerdict::of(SpfResult::Softfail, &format!("bounce.{domain}")),
        dkim: DkimVerdict { result: DkimResult::Fail, aligned: false, signatures: Box::new([signature]), asked: Box::default() },
        handling: Handling::Refused,
    }
}

impl Mail {
    fn facts(&self) -> Facts<'_> {
        let Self { client, reverse_path, dmarc, spf, dkim, handling } = self;
        Facts { client: *client, reverse_path, dmarc, spf: Some(spf), dkim: Some(dkim), handling: *handling }
    }
}

fn read(message: &[u8]) -> Report {
    Report::parse_rfc5322(message, 1 << 20).unwrap()
}

#[tokio::test]
async fn a_day_passes_and_its_report_is_sent() {
    let world = World::new(Zone::default());
    let reports = world.reports();
    let failing = mail("acme.example", RECORD);
    let mut passing = mail("acme.example", RECORD);
    passing.client = "2001:db8::7".parse().unwrap();
    passing.handling = Handling::Delivered;
    passing.dmarc = DmarcVerdict { result: DmarcResult::Pass, spf_aligned: true, effective: DmarcPolicy::None, ..passing.dmarc };
    passing.reverse_path = ReversePath::Null;
    passing.spf.identity = SpfIdentity::Helo;
    for _ in 0..3 {
        reports.counter().record(&failing.facts());
    }
    reports.counter().record(&passing.facts());
    reports.tick().await;
    // What comes later in the day is added.
    reports.counter().record(&failing.facts());
    world.at(due_at(DAY, "acme.example", "mx.gateway.example") - 1);
    // What comes on the next day is of the next report.
    reports.counter().record(&failing.facts());
    reports.tick().await;
    assert_eq!(world.outbox.to(), Vec::<String>::new());
    world.at(due_at(DAY, "acme.example", "mx.gateway.example"));
    reports.tick().await;
    reports.tick().await;
    assert_eq!(world.outbox.to(), ["dmarc@acme.example"]);
    let (relay, _, message) = world.outbox.sent.lock().unwrap()[0].clone();
    assert_eq!(relay, "out");
    let text = String::from_utf8(message.to_vec()).unwrap();
    for part in [
        "To: <dmarc@acme.example>\r\n",
        "<reports@mx.gateway.example>\r\n",
        "Subject: Report Domain: acme.example Submitter: mx.gateway.example",
        "Report-ID:\r\n <1699920000.dedfde9a>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "application/gzip",
        "mx.gateway.example!acme.example!1699920000!1700006399!1699920000.dedfde9a.xml.gz",
        "\r\nDate: Wed, 15 Nov 2023 ",
        "\r\nMessage-ID: <1699920000.dedfde9a.",
        "\r\nMIME-Version: 1.0\r\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998), "{text}");
    let report = read(&message);
    assert_eq!((report.domain(), report.org_name(), report.email()), ("acme.example", "Acme&Söhne", "reports@mx.gateway.example"));
    assert_eq!((report.date_range_begin(), report.date_range_end()), (DAY.begin(), DAY.begin() + DAY_SECONDS - 1));
    assert_eq!(report.extra_contact_info(), Some("https://acme.example/<help>"));
    let counts: Vec<u32> = report.records().iter().map(|record| record.count()).collect();
    assert_eq!(counts, [4, 1]);
    let [failed, passed] = report.records() else { panic!("{report:?}") };
    assert_eq!(failed.source_ip(), Some([192, 0, 2, 7].into()));
    assert_eq!((failed.header_from(), failed.envelope_from()), ("acme.example", "bounce.acme.example"));
    assert_eq!((failed.action_disposition(), failed.policy_override_reason().len()), (ActionDisposition::Reject, 0));
    assert_eq!((failed.dmarc_dkim_result(), failed.dmarc_spf_result()), (Aligned::Fail, Aligned::Fail));
    assert_eq!((failed.dkim_auth_result()[0].selector(), failed.dkim_auth_result()[0].domain()), ("s<1>?", "acme.example"));
    assert_eq!(failed.spf_auth_result()[0].result(), mail_auth::report::SpfResult::SoftFail);
    assert_eq!((passed.action_disposition(), passed.dmarc_spf_result()), (ActionDisposition::Pass, Aligned::Pass));
    assert_eq!(passed.envelope_from(), "");
    // The day is forgotten; the next one waits for its turn.
    assert_eq!(Journal::new(&world.path()).days().unwrap(), [Day(DAY.0 + 1)]);
    assert_eq!(world.outcomes(), ["dmarc@acme.example queued"]);
}

#[tokio::test]
async fn what_was_counted_outlives_a_restart_and_is_sent_once() {
    let world = World::new(Zone::new(&[("acme.example._report._dmarc.second.example", "v=DMARC1")]));
    let record = "v=DMARC1; p=none; rua=mailto:a@acme.example,mailto:b@second.example,mailto:c@third.example";
    let (collector, task) = {
        let stopping = CancellationToken::new();
        let collector = world.collector();
        let task = Daily::start(world.kind(), Arc::clone(&collector), world.log.clone(), stopping.clone());
        collector.record(&mail("acme.example", record).facts());
        stopping.cancel();
        (collector, task)
    };
    task.await.unwrap();
    drop(collector);
    // What a crash may have left at the end of the file.
    let rows = world.path().join("2023-11-14.rows");
    let mut torn = std::fs::read(&rows).unwrap();
    torn.extend_from_slice(b"[7,{\"domain\":\"acme.ex");
    std::fs::write(&rows, torn).unwrap();
    let reports = world.reports();
    reports.counter().record(&mail("acme.example", record).facts());
    reports.tick().await;
    world.at(NOON + DAY_SECONDS);
    // Two of three are sent, and the process ends before it knows.
    world.outbox.refuses.store(true, Ordering::Relaxed);
    world.reports().tick().await;
    world.outbox.refuses.store(false, Ordering::Relaxed);
    Journal::new(&world.path()).mark(DAY, "acme.example a@acme.example").unwrap();
    world.reports().tick().await;
    world.reports().tick().await;
    assert_eq!(world.outbox.to(), ["b@second.example"]);
    assert_eq!(read(&world.outbox.sent.lock().unwrap()[0].2).records()[0].count(), 2);
    assert!(Journal::new(&world.path()).days().unwrap().is_empty());
    assert_eq!(
        world.outcomes(),
        [
            "a@acme.example postponed",
            "b@second.example postponed",
            "c@third.example not_wanted",
            "b@second.example queued",
            "c@third.example not_wanted"
        ]
    );
}

#[tokio::test]
async fn trouble_postpones_a_report_and_time_ends_it() {
    let world = World::new(Zone::default());
    world.zone.is_down.store(true, Ordering::Relaxed);
    let reports = world.reports();
    reports.counter().record(&mail("acme.example", "v=DMARC1; p=none; rua=mailto:x@elsewhere.example").facts());
    reports.tick().await;
    let morning = NOON + DAY_SECONDS;
    world.at(morning);
    reports.tick().await;
    reports.tick().await;
    world.at(morning + DAILY_REPORT_RETRY_INTERVAL.as_secs());
    reports.tick().await;
    world.at(NOON + DAY_SECONDS * (DAILY_REPORT_DAYS_KEPT + 1));
    reports.tick().await;
    assert!(Journal::new(&world.path()).days().unwrap().is_empty());
    assert_eq!(world.outbox.to(), Vec::<String>::new());
    assert_eq!(world.outcomes(), ["x@elsewhere.example postponed", "x@elsewhere.example postponed"]);
}

#[tokio::test]
async fn a_destination_sets_the_size() {
    let world = World::new(Zone::default());
    let reports = world.reports();
    reports
        .counter()
        .record(&mail("acme.example", "v=DMARC1; p=none; rua=mailto:big@acme.example!10m,mailto:small@acme.example!1k").facts());
    reports.counter().record(&mail("bare.example", "v=DMARC1; p=none; rua=https://bare.example").facts());
    reports.tick().await;
    world.at(NOON + DAY_SECONDS);
    reports.tick().await;
    assert_eq!(world.outbox.to(), ["big@acme.example"]);
    let mut outcomes = world.outcomes();
    outcomes.sort();
    assert_eq!(outcomes, ["- no_destination", "big@acme.example queued", "small@acme.example too_large"]);
}

#[test]
fn what_was_done_is_told_beside_what_was_asked() {
    use DmarcPolicy::{None as Nothing, Quarantine, Reject};
    use Handling::{Delivered, Refused};
    for (policy, effective, handling, done, reason) in [
        (Reject, Reject, Refused, ActionDisposition::Reject, None),
        (Reject, Reject, Delivered, ActionDisposition::None, Some(PolicyOverride::LocalPolicy)),
        (Reject, Quarantine, Refused, ActionDisposition::Reject, Some(PolicyOverride::LocalPolicy)),
        (Quarantine, Nothing, Delivered, ActionDisposition::None, Some(PolicyOverride::PolicyTestMode)),
        (Quarantine, Quarantine, Refused, ActionDisposition::Reject, Some(PolicyOverride::LocalPolicy)),
        (Nothing, Nothing, Delivered, ActionDisposition::None, None),
        (Nothing, Nothing, Refused, ActionDisposition::Reject, Some(PolicyOverride::LocalPolicy)),
    ] {
        let mut mail = mail("acme.example", RECORD);
        (mail.dmarc.policy, mail.dmarc.effective, mail.handling) = (policy, effective, handling);
        let record = row::Row::of(&mail.facts()).unwrap().record(1);
        let reasons: Vec<PolicyOverride> = record.policy_override_reason().iter().map(|reason| reason.policy_override()).collect();
        assert_eq!((record.action_disposition(), reasons), (done, reason.into_iter().collect()), "{policy:?} {effective:?} {handling:?}");
    }
}

#[tokio::test]
async fn what_nobody_asks_for_is_not_counted() {
    let world = World::new(Zone::default());
    let reports = world.reports();
    let collector = reports.counter();
    let usual = mail("acme.example", RECORD);
    let with = |change: fn(&mut Mail)| {
        let mut mail = usual.clone();
        change(&mut mail);
        collector.record(&mail.facts());
    };
    with(|mail| mail.dmarc.record = "v=DMARC1; p=reject".into());
    with(|mail| mail.dmarc.record = format!("v=DMARC1; p=none; rua=mailto:{}@acme.example", "a".repeat(3000)).into());
    with(|mail| mail.dmarc.result = DmarcResult::None);
    with(|mail| mail.dmarc.result = DmarcResult::Temperror);
    with(|mail| mail.dmarc.policy_domain = "".into());
    with(|mail| mail.reverse_path = ReversePath::Address(address("reports@MX.gateway.example")));
    assert!(collector.take().rows.is_empty());
    with(|_| ());
    assert_eq!(collector.take().rows.len(), 1);
    collector.reconfigure(None);
    with(|_| ());
    assert!(collector.take().rows.is_empty());
}

#[test]
fn a_flood_of_rows_is_counted_and_dropped() {
    let world = World::new(Zone::default());
    let reports = world.reports();
    let collector = reports.counter();
    let mut mail = mail("acme.example", RECORD);
    for number in 0..DAILY_REPORT_ROWS_PENDING_MAX + 5 {
        mail.client = std::net::Ipv4Addr::from_bits(u32::try_from(number).unwrap()).into();
        collector.record(&mail.facts());
    }
    let pending = collector.take();
    assert_eq!((pending.rows.len(), pending.dropped), (DAILY_REPORT_ROWS_PENDING_MAX, 5));
    // One domain does not take the room of all.
    let (journal, mut quota) = (Journal::new(&world.path()), Quota::default());
    assert_eq!(journal.append(pending, &mut quota).unwrap(), 5);
    collector.record(&mail.facts());
    assert_eq!(journal.append(collector.take(), &mut quota).unwrap(), 1);
    assert_eq!(journal.domains(DAY).unwrap().0.len(), 1);
    let domains = journal.domains(DAY).unwrap().0;
    assert_eq!(journal.figures(DAY, &domains).unwrap()["acme.example"].rows.len(), DAILY_REPORT_ROWS_PER_DOMAIN_MAX);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&world.path()), mode(&world.path().join("2023-11-14.rows"))), (0o700, 0o600));
}

#[test]
fn damage_costs_lines() {
    let world = World::new(Zone::default());
    let journal = Journal::new(&world.path());
    std::fs::create_dir_all(world.path()).unwrap();
    let junk = [b"\xff\xfe\n[1]\n{}\n[1,{\"domain\":1}]\n".as_slice(), &b"x".repeat(100_000), b"\n\n\n[\n"].concat();
    std::fs::write(world.path().join("2023-11-14.rows"), junk).unwrap();
    std::fs::write(world.path().join("2023-13-14.rows"), b"").unwrap();
    std::fs::write(world.path().join("notes.txt"), b"").unwrap();
    let reports = world.reports();
    reports.counter().record(&mail("acme.example", RECORD).facts());
    journal.append(reports.counter().take(), &mut Quota::default()).unwrap();
    assert_eq!(journal.days().unwrap(), [DAY]);
    assert_eq!(journal.domains(DAY).unwrap().0.len(), 1);
}

#[test]
fn destinations_are_sound_addresses_and_few() {
    for (rua, expected) in [
        ("mailto:a@x.example", &["a@x.example"][..]),
        ("mailto:a@x.example, mailto:B@Y.example!5m", &["a@x.example", "b@y.example"]),
        ("mailto:a@x.example?subject=hello", &["a@x.example"]),
        ("https://x.example/report", &[]),
        (
            "mailto:a@x.example%0d%0aRCPT, mailto:b@[192.0.2.1], mailto:c%40d@x.example, mailto:e, mailto:f%25g@x.example",
            &["a@x.examplercpt"],
        ),
        ("mailto:a@x.example,mailto:a@x.example", &["a@x.example"]),
    ] {
        let record = Dmarc::parse(format!("v=DMARC1; p=none; rua={rua}").as_bytes()).unwrap();
        let found = destinations(&record);
        assert_eq!(found.iter().map(|one| one.address.to_string()).collect::<Vec<_>>(), expected, "{rua}");
    }
    let many: Vec<String> = (0..20).map(|n| format!("mailto:a{n}@x.example")).collect();
    let record = Dmarc::parse(format!("v=DMARC1; p=none; rua={}", many.join(",")).as_bytes()).unwrap();
    assert_eq!(destinations(&record).len(), DAILY_REPORT_DESTINATIONS_MAX);
}

#[tokio::test]
async fn strangers_must_have_agreed() {
    let zone = Zone::new(&[
        ("acme.example._report._dmarc.agreed.example", "v=DMARC1;"),
        ("acme.example._report._dmarc.other.example", "v=spf1 -all"),
        ("_dmarc.acme.example", "v=DMARC1; p=none"),
        ("_dmarc.co.example", "v=DMARC1; p=none; psd=y"),
    ]);
    for (domain, record, to, expected) in [
        ("acme.example", "v=DMARC1; p=none", "acme.example", true),
        ("acme.example", "v=DMARC1; p=none", "ACME.example", true),
        ("acme.example", "v=DMARC1; p=none", "deep.sub.acme.example", true),
        ("acme.example", "v=DMARC1; p=none", "notacme.example", false),
        ("acme.example", "v=DMARC1; p=none", "agreed.example", true),
        ("acme.example", "v=DMARC1; p=none", "other.example", false),
        ("acme.example", "v=DMARC1; p=none", "example", false),
        ("news.acme.example", "v=DMARC1; p=none", "acme.example", true),
        ("news.acme.example", "v=DMARC1; p=none", "reports.acme.example", true),
        ("news.acme.example", "v=DMARC1; p=none; psd=n", "acme.example", false),
        ("news.acme.example", "v=DMARC1; p=none", "agreed.example", false),
        ("one.co.example", "v=DMARC1; p=none", "two.co.example", false),
    ] {
        let record = Dmarc::parse(record.as_bytes()).unwrap();
        assert_eq!(accepts(&zone, domain, &record, to).await, Ok(expected), "{domain} {to}");
    }
    zone.is_down.store(true, Ordering::Relaxed);
    let record = Dmarc::parse(b"v=DMARC1; p=none").unwrap();
    assert_eq!(accepts(&zone, "acme.example", &record, "agreed.example").await, Err(DnsError::TooLate));
}

#[test]
fn reports_are_spread_over_hours() {
    let hours: std::collections::BTreeSet<u64> =
        (0..500).map(|n| (due_at(DAY, &format!("d{n}.example"), "mx") - DAY.begin() - DAY_SECONDS) / 900).collect();
    assert_eq!((hours.len(), hours.first(), hours.last()), (16, Some(&1), Some(&16)));
}
