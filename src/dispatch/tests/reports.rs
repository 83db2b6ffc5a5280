//! Messages of the gateway's own making.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mail_auth::report::Report;
use tokio_util::sync::CancellationToken;

use super::setting::{self, Setting};
use crate::daily_reports::{Clock, Daily, ReportsConfig, Submit, TxtLookup};
use crate::dmarc_reports::{Collector, DmarcReports, Facts, Handling};
use crate::dns::DnsError;
use crate::message::{DmarcPolicy, DmarcResult, DmarcVerdict};
use crate::smtp::{Address, Notify, ReversePath};
use crate::telemetry::Lines;

struct NoRecords;

impl TxtLookup for NoRecords {
    async fn txt(&self, _: &str) -> Result<Arc<[Box<[u8]>]>, DnsError> {
        Ok(Arc::default())
    }
}

fn address(text: &str) -> Address {
    Address::parse(text, false).unwrap()
}

#[tokio::test]
async fn a_dmarc_report_reaches_its_destination_through_its_relay() {
    let (folder, figures, lines) = (setting::folder(), setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let config = ReportsConfig {
        relay: "beta".into(),
        from: address("reports@mx.gateway.example"),
        organization: "Acme".into(),
        contact: None,
        folder: figures.path().join("dmarc-reports"),
    };
    let verdict = DmarcVerdict {
        result: DmarcResult::Fail,
        policy: DmarcPolicy::None,
        effective: DmarcPolicy::None,
        from_domain: "acme.example".into(),
        policy_domain: "acme.example".into(),
        record: "v=DMARC1; p=none; rua=mailto:dmarc@acme.example".into(),
        spf_aligned: false,
        dkim_aligned: false,
        reason: "".into(),
        asked: Box::default(),
    };
    let facts = Facts {
        client: [192, 0, 2, 7].into(),
        reverse_path: &ReversePath::Null,
        dmarc: &verdict,
        spf: None,
        dkim: None,
        handling: Handling::Delivered,
    };
    let time = Arc::new(AtomicU64::new(1_700_000_000));
    for day in 0..2 {
        time.store(1_700_000_000 + day * 86_400, Ordering::Relaxed);
        let (stopping, of_test) = (CancellationToken::new(), Arc::clone(&time));
        let clock = Clock(Arc::new(move || of_test.load(Ordering::Relaxed)));
        let dispatcher = Arc::clone(&setting.dispatcher);
        let config = Some(Arc::new(config.clone()));
        let collector = Arc::new(Collector::new(config, clock));
        let kind = DmarcReports::new(NoRecords, dispatcher, setting.log.clone());
        let task = Daily::start(kind, Arc::clone(&collector), setting.log.clone(), stopping.clone());
        if day == 0 {
            collector.record(&facts);
        }
        stopping.cancel();
        task.await.unwrap();
    }
    tokio::time::pause();
    setting.settle().await;
    let world = setting.hops.world();
    let [delivered] = &world.delivered[..] else { panic!("{} were delivered", world.delivered.len()) };
    assert_eq!(delivered.relay, "beta");
    let report = Report::parse_rfc5322(delivered.content.as_bytes(), 1 << 20).unwrap();
    assert_eq!((report.domain(), report.records()[0].count()), ("acme.example", 1));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_a_report_that_fails() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    let from = address("reports@mx.gateway.example");
    let content = bytes::Bytes::from_static(b"Subject: report\r\n\r\nreport\r\n");
    for to in ["bad@acme.example", "dead@acme.example", "good@acme.example"] {
        setting.dispatcher.submit("dmarc_reports", "alpha", &from, &address(to), content.clone()).await.unwrap();
    }
    let refused = setting.dispatcher.submit("dmarc_reports", "gone", &from, &address("good@acme.example"), content).await;
    assert_eq!(refused, Err("there is no relay `gone`".to_owned()));
    setting.settle().await;
    {
        let world = setting.hops.world();
        let [delivered] = &world.delivered[..] else { panic!("{} were delivered", world.delivered.len()) };
        assert_eq!((&*delivered.relay, &*delivered.content), ("alpha", "Subject: report\r\n\r\nreport\r\n"));
        assert_eq!(delivered.reverse_path.as_str(), from.as_str());
        assert_eq!(delivered.parameters.notify, Some(Notify { success: false, failure: false, delay: false }));
    }
    setting.log.close();
    let outcomes = lines.events("outcome");
    let mut outcomes: Vec<_> =
        outcomes.iter().map(|event| (event["recipient"].as_str().unwrap(), event["outcome"].as_str().unwrap())).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("bad@acme.example", "dropped"), ("dead@acme.example", "expired"), ("good@acme.example", "delivered")]);
    assert!(lines.events("dsn").iter().all(|event| event["notification"].is_null()));
}
