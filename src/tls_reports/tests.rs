use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail_auth::report::tlsrpt::{PolicyType, ResultType, TlsReport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::destinations::destinations;
use super::https::{Posted, is_public, post};
use super::*;
use crate::daily_reports::stage::{Outbox, Zone};
use crate::daily_reports::{Clock, DAY_SECONDS, Daily, Day, Journal, ReportsConfig, due_at};
use crate::http_client::{HttpClient, HttpSettings};
use crate::limits::{DAILY_REPORT_DESTINATIONS_MAX, DAILY_REPORT_RETRY_INTERVAL, TLS_REPORT_POLICY_BYTES_MAX};
use crate::relay::{TlsFault, TlsNoted, TlsPolicy, TlsPolicyKind, TlsSession};
use crate::smtp::Address;
use crate::telemetry::{Format, Lines, Log};

/// The begin of 2023-11-14, and a time of that day.
const DAY: Day = Day(19_675);
const NOON: u64 = 19_675 * DAY_SECONDS + 43_200;

struct World {
    folder: tempfile::TempDir,
    time: Arc<AtomicU64>,
    zone: Zone,
    outbox: Arc<Outbox>,
    lines: Lines,
    log: Log,
}

impl World {
    fn new(records: &[(&'static str, &'static str)]) -> Self {
        let lines = Lines::default();
        let log = Log::new(Format::Json, lines.clone());
        let (folder, time) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(NOON)));
        Self { folder, time, zone: Zone::new(records), outbox: Arc::default(), lines, log }
    }

    fn collector(&self) -> Arc<Collector> {
        let config = ReportsConfig {
            relay: "out".into(),
            from: Address::parse("reports@mx.gateway.example", false).unwrap(),
            organization: "Acme & Söhne".into(),
            contact: None,
            folder: self.folder.path().join("var/tls-reports"),
        };
        let time = Arc::clone(&self.time);
        Arc::new(Collector::new(Some(Arc::new(config)), Clock(Arc::new(move || time.load(Ordering::Relaxed)))))
    }

    fn kind(&self) -> TlsReports<Zone, Outbox> {
        TlsReports::new(self.zone.clone(), Arc::clone(&self.outbox), web(), self.log.clone())
    }

    /// A process that begins.
    fn reports(&self) -> Daily<TlsReports<Zone, Outbox>> {
        Daily::new(self.kind(), self.collector(), self.log.clone())
    }

    fn at(&self, seconds: u64) {
        self.time.store(seconds, Ordering::Relaxed);
    }

    fn days(&self) -> Vec<Day> {
        Journal::<row::Row>::new(&self.folder.path().join("var/tls-reports")).days().unwrap()
    }

    fn outcomes(&self) -> Vec<String> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
        self.log.close();
        self.lines.events("tls_report").iter().map(|event| format!("{} {}", text(&event["to"]), text(&event["outcome"]))).collect()
    }
}

fn session(domain: &str, policy: TlsPolicyKind, fault: Option<TlsFault>) -> TlsSession {
    let lines: &[&str] = if policy == TlsPolicyKind::Sts { &["version: STSv1", "mode: testing", "mx: *.acme.example"] } else { &[] };
    let exchangers: &[&str] = if policy == TlsPolicyKind::Sts { &["*.acme.example"] } else { &[] };
    TlsSession {
        domain: domain.into(),
        host: "mx1.acme.example".into(),
        address: Some([192, 0, 2, 25].into()),
        policy: TlsPolicy {
            kind: policy,
            lines: lines.iter().map(|&line| line.into()).collect(),
            exchangers: exchangers.iter().map(|&line| line.into()).collect(),
        },
        fault: fault.map(|fault| TlsNoted { fault, detail: "at 1700000000".into() }),
    }
}

#[tokio::test]
async fn a_day_outlives_a_restart_and_its_report_is_sent_when_it_is_due() {
    let world = World::new(&[("_smtp._tls.acme.example", "v=TLSRPTv1; rua=mailto:tls@acme.example,mailto:b@other.example")]);
    let stopping = CancellationToken::new();
    let collector = world.collector();
    let task = Daily::start(world.kind(), Arc::clone(&collector), world.log.clone(), stopping.clone());
    for _ in 0..3 {
        collector.session(&session("acme.example", TlsPolicyKind::Sts, None));
    }
    collector.session(&session("ACME.example", TlsPolicyKind::Sts, Some(TlsFault::CertificateExpired)));
    stopping.cancel();
    task.await.unwrap();

    let reports = world.reports();
    reports.counter().session(&session("acme.example", TlsPolicyKind::Sts, Some(TlsFault::CertificateExpired)));
    reports.counter().session(&session("acme.example", TlsPolicyKind::NoPolicyFound, None));
    // Wants no report.
    reports.counter().session(&session("quiet.example", TlsPolicyKind::NoPolicyFound, None));
    let due = due_at(DAY, "acme.example", "mx.gateway.example");
    world.at(due - 1);
    reports.tick().await;
    assert_eq!(world.outbox.to(), Vec::<String>::new());
    world.at(due.max(due_at(DAY, "quiet.example", "mx.gateway.example")));
    reports.tick().await;
    reports.tick().await;
    assert_eq!(world.outbox.to(), ["tls@acme.example", "b@other.example"]);
    assert!(world.days().is_empty() || world.days() == [Day(DAY.0 + 1)], "{:?}", world.days());

    let message = world.outbox.sent.lock().unwrap()[0].2.clone();
    let text = String::from_utf8(message.to_vec()).unwrap();
    for part in [
        "To: <tls@acme.example>\r\n",
        "TLS-Report-Domain: acme.example\r\n",
        "TLS-Report-Submitter: mx.gateway.example\r\n",
        "multipart/report; report-type=\"tlsrpt\"",
        "application/tlsrpt+gzip",
        "mx.gateway.example!acme.example!1699920000!1700006399!1699920000.dedfde9a.json.gz",
        "Auto-Submitted: auto-generated\r\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 998), "{text}");
    // As another program reads it.
    let report = TlsReport::parse_rfc5322(&message, 1 << 20).unwrap();
    assert_eq!(report.organization_name.as_deref(), Some("Acme & Söhne"));
    assert_eq!((report.contact_info.as_deref(), &*report.report_id), (Some("reports@mx.gateway.example"), "1699920000.dedfde9a"));
    assert_eq!(report.date_range.start_datetime.to_timestamp(), i64::try_from(DAY.begin()).unwrap());
    let [none, sts] = &report.policies[..] else { panic!("{report:?}") };
    assert_eq!((none.policy.policy_type, none.summary.total_success, none.summary.total_failure), (PolicyType::NoPolicyFound, 1, 0));
    assert!(none.failure_details.is_empty());
    assert_eq!((sts.policy.policy_type, sts.summary.total_success, sts.summary.total_failure), (PolicyType::Sts, 3, 2));
    assert_eq!(
        (&*sts.policy.policy_domain, &*sts.policy.policy_string[1], &*sts.policy.mx_host[0]),
        ("acme.example", "mode: testing", "*.acme.example")
    );
    let [failed] = &sts.failure_details[..] else { panic!("{sts:?}") };
    assert_eq!((failed.result_type, failed.failed_session_count), (ResultType::CertificateExpired, 2));
    assert_eq!((failed.receiving_mx_hostname.as_deref(), failed.receiving_ip), (Some("mx1.acme.example"), Some([192, 0, 2, 25].into())));
    assert_eq!(world.outcomes(), ["tls@acme.example queued", "b@other.example queued"]);
}

#[tokio::test]
async fn trouble_postpones_a_report() {
    let world = World::new(&[("_smtp._tls.acme.example", "v=TLSRPTv1;rua=mailto:tls@acme.example")]);
    let reports = world.reports();
    reports.counter().session(&session("acme.example", TlsPolicyKind::Tlsa, None));
    reports.tick().await;
    world.at(NOON + DAY_SECONDS);
    world.zone.is_down.store(true, Ordering::Relaxed);
    reports.tick().await;
    world.zone.is_down.store(false, Ordering::Relaxed);
    world.outbox.refuses.store(true, Ordering::Relaxed);
    // Not before an hour has passed.
    reports.tick().await;
    world.at(NOON + DAY_SECONDS + DAILY_REPORT_RETRY_INTERVAL.as_secs());
    reports.tick().await;
    world.outbox.refuses.store(false, Ordering::Relaxed);
    world.at(NOON + DAY_SECONDS + 2 * DAILY_REPORT_RETRY_INTERVAL.as_secs());
    reports.tick().await;
    assert_eq!(world.outcomes(), ["- postponed", "tls@acme.example postponed", "tls@acme.example queued"]);
    assert!(world.days().is_empty());
}

#[test]
fn only_what_is_configured_and_bounded_is_counted() {
    let world = World::new(&[]);
    let collector = world.collector();
    let mut long = session("acme.example", TlsPolicyKind::Sts, None);
    long.policy.lines = [Box::from("x".repeat(TLS_REPORT_POLICY_BYTES_MAX + 1))].into();
    collector.session(&long);
    collector.session(&session("not a domain", TlsPolicyKind::Sts, None));
    let rows: Vec<_> = collector.take().rows.into_keys().collect();
    assert!(matches!(&rows[..], [(_, row)] if row.policy.lines.is_empty() && &*row.policy.kind == "sts"), "{rows:?}");
    collector.reconfigure(None);
    collector.session(&long);
    assert!(collector.take().rows.is_empty());
}

#[test]
fn a_record_names_few_and_sound_destinations() {
    for (records, expected) in [
        (&["v=TLSRPTv1; rua=mailto:a@x.example"][..], &["a@x.example"][..]),
        (&["v=spf1 -all", "v=TLSRPTv1;rua=mailto:a@x.example, https://x.example/r?a=b;"], &["a@x.example", "https://x.example/r?a=b"]),
        // RFC 8460 §3: two records are none.
        (&["v=TLSRPTv1;rua=mailto:a@x.example", "v=TLSRPTv1;rua=mailto:b@x.example"], &[]),
        (&["v=TLSRPTv10;rua=mailto:a@x.example"], &[]),
        (&["v=TLSRPTv1"], &[]),
        (&["v=TLSRPTv1;rua=http://x.example/,mailto:e,mailto:b@[192.0.2.1],mailto:c%40d@x.example,https:"], &[]),
        (&["v=TLSRPTv1;rua=mailto:a@x.example,mailto:a@x.example"], &["a@x.example"]),
    ] {
        let records: Vec<Box<[u8]>> = records.iter().map(|text| Box::from(text.as_bytes())).collect();
        let found = destinations(&records);
        assert_eq!(found.iter().map(|one| one.as_str()).collect::<Vec<_>>(), expected, "{records:?}");
    }
    let many: Vec<String> = (0..20).map(|n| format!("mailto:a{n}@x.example")).collect();
    let record = Box::from(format!("v=TLSRPTv1; rua={}", many.join(",")).as_bytes());
    assert_eq!(destinations(&[record]).len(), DAILY_REPORT_DESTINATIONS_MAX);
}

/// What a server makes of a report that it answers so, and the octets that it got.
async fn posted(answer: &'static str) -> (Posted, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://localhost:{}/report", listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut got, mut octets) = (Vec::new(), [0; 4096]);
        while !got.ends_with(b"packed") {
            let count = stream.read(&mut octets).await.unwrap();
            assert!(count > 0, "{got:?}");
            got.extend_from_slice(&octets[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        got
    });
    let timeout = std::time::Duration::from_secs(10);
    let client = HttpClient::new(HttpSettings { ca: None, tls: false, connections: 1, timeout, response_bytes_max: 1024 });
    let result = post(&client, &uri, bytes::Bytes::from_static(b"packed")).await;
    (result, server.await.unwrap())
}

#[tokio::test]
async fn a_server_takes_a_report_or_refuses_it_or_has_it_later() {
    let (result, got) = posted("HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await;
    let got = String::from_utf8(got).unwrap();
    assert!(matches!(result, Posted::Taken) && got.starts_with("POST /report HTTP/1.1\r\n"), "{got}");
    assert!(got.contains("content-type: application/tlsrpt+gzip\r\n"), "{got}");
    let (result, _) = posted("HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n").await;
    assert!(matches!(&result, Posted::Refused(reason) if reason.contains("410")));
    for answer in ["HTTP/1.1 503 Later\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 429 Slow\r\ncontent-length: 0\r\n\r\n", "nonsense"] {
        assert!(matches!(posted(answer).await.0, Posted::Postponed(_)), "{answer}");
    }
}

#[tokio::test]
async fn a_record_reaches_no_server_within() {
    for uri in ["https://127.0.0.1/", "https://[::1]/", "https://192.0.2.1:8443/x"] {
        assert!(matches!(post(&web(), uri, bytes::Bytes::new()).await, Posted::Refused(_)), "{uri}");
    }
    let Posted::Postponed(reason) = post(&web(), "https://localhost/", bytes::Bytes::new()).await else { panic!("it was asked") };
    assert!(reason.contains("no address in the public net"), "{reason}");
    for (address, expected) in [
        ("10.1.2.3", false),
        ("100.64.0.1", false),
        ("169.254.169.254", false),
        ("::ffff:127.0.0.1", false),
        ("fd00::1", false),
        ("fe80::1", false),
        ("8.8.8.8", true),
        ("2606:4700::1111", true),
    ] {
        assert_eq!(is_public(address.parse().unwrap()), expected, "{address}");
    }
}
