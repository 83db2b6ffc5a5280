//! Orders of operators, about many jobs and about few.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::faulty::Faults;
use super::hops::Hops;
use super::setting::{self, BEGIN, Setting};
use crate::control::{Answer, Command, Done, Filter, JobShown, Operate};
use crate::dispatch::job::{JobState, StoredEnvelope};
use crate::message::{Content, MessageId, SessionIds};
use crate::smtp::{Address, MailTerms, ReversePath};
use crate::spool::{NewEntry, NewJob, Spool};
use crate::telemetry::Lines;

const JOBS: u64 = 10_000;

/// A message from sender `number % 10` to a recipient of its own, with a job for each of these lanes.
fn entry(ids: &SessionIds, number: u64, lanes: &[&str]) -> NewEntry {
    let address = |text: String| Address::parse(&text, false).unwrap();
    let (sender, to) = (address(format!("s{}@sender.example", number % 10)), address(format!("r{number}@here.example")));
    let envelope = StoredEnvelope::new(
        ReversePath::Address(sender),
        vec![to.clone().into()],
        false,
        false,
        Bytes::new(),
        "cafe".into(),
        MailTerms::default(),
    );
    let job = |lane: &&str| NewJob {
        lane: (*lane).into(),
        due: BEGIN + 3_600_000,
        state: JobState::notification((*lane).into(), to.clone()).encode(),
    };
    NewEntry {
        id: MessageId { session: ids.next(BEGIN + number), number: 1 },
        envelope: envelope.encode(),
        content: Content::from(Bytes::from_static(b"Subject: one of many\r\n\r\nbody\r\n")),
        jobs: lanes.iter().map(job).collect(),
    }
}

/// A dispatcher that does nothing by itself.
fn idle(folder: &std::path::Path, lines: &Lines) -> Setting {
    Setting::open(folder, BEGIN, 0, Arc::new(setting::usual()), Hops::default(), Faults::new(0, 0), lines)
}

/// All answers to an order, the last one apart.
async fn order(setting: &Setting, command: Command) -> (Vec<Answer>, Result<Done, String>) {
    let (answers, mut answered) = mpsc::channel(1);
    let collect = async {
        let mut all = Vec::new();
        while let Some(answer) = answered.recv().await {
            all.push(answer);
        }
        all
    };
    let ((), mut all) = tokio::join!(setting.dispatcher.operate(command, Some(7), answers), collect);
    let end = match all.pop() {
        Some(Answer::Done(done)) => Ok(done),
        Some(Answer::Error(why)) => Err(why),
        other => panic!("it ends with {other:?}"),
    };
    (all, end)
}

async fn list(setting: &Setting, filter: Filter, most: Option<u64>) -> Vec<JobShown> {
    let (all, end) = order(setting, Command::List { filter, most }).await;
    let jobs: Vec<JobShown> =
        all.into_iter().map(|answer| if let Answer::Job(job) = answer { *job } else { panic!("{answer:?}") }).collect();
    assert_eq!(end.unwrap().matched, jobs.len() as u64);
    jobs
}

#[tokio::test]
async fn ten_thousand_messages_are_listed_in_order_and_changed_at_once() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let (setting, ids) = (idle(folder.path(), &lines), SessionIds::new(0));
    let appends = futures_util::stream::iter(0..JOBS).map(|number| setting.spool.append(entry(&ids, number, &["alpha"])));
    let stored: Vec<_> = appends.buffer_unordered(500).collect().await;
    assert!(stored.iter().all(Result::is_ok));

    let all = list(&setting, Filter::default(), None).await;
    assert_eq!(all.len() as u64, JOBS);
    assert!(all.windows(2).all(|pair| pair[0].id < pair[1].id), "in the order of their ids, each once");
    assert_eq!(all[42].sender.as_deref(), Some("s2@sender.example"));
    assert_eq!((all[42].state.as_str(), all[42].attempts), ("waiting", 0));
    assert_eq!(list(&setting, Filter::default(), Some(1_234)).await.len(), 1_234);
    let of_seven = Filter { sender: Some("S7@*".to_owned()), ..Filter::default() };
    assert_eq!(list(&setting, of_seven.clone(), None).await.len() as u64, JOBS / 10);

    let (_, held) = order(&setting, Command::Hold { filter: of_seven.clone() }).await;
    assert_eq!(held, Ok(Done { matched: 1_000, messages: 1_000, changed: 1_000, ..Done::default() }));
    let (_, again) = order(&setting, Command::Hold { filter: of_seven.clone() }).await;
    assert_eq!(again, Ok(Done { matched: 1_000, messages: 1_000, unchanged: 1_000, ..Done::default() }));
    let (_, tried) = order(&setting, Command::Retry { filter: Filter::default() }).await;
    assert_eq!(tried.map(|done| (done.changed, done.unchanged)), Ok((9_000, 1_000)));
    let (stats, _) = order(&setting, Command::Stats).await;
    let alpha =
        stats.iter().find_map(|answer| if let Answer::Relay(relay) = answer { (relay.relay == "alpha").then_some(relay) } else { None });
    assert_eq!(alpha.map(|alpha| (alpha.queued, alpha.held_jobs, alpha.due)), Some((JOBS, 1_000, 9_000)));
    let (_, dropped) = order(&setting, Command::Drop { filter: of_seven, bounce: false }).await;
    assert_eq!(dropped.map(|done| done.changed), Ok(1_000));
    assert_eq!(setting.spool.stats().await.unwrap().jobs, 9_000);
    setting.log.close();
    let outcomes = lines.events("outcome");
    assert_eq!(outcomes.len(), 1_000);
    assert!(outcomes.iter().all(|outcome| outcome["outcome"] == "dropped" && outcome["detail"] == "by an operator"));
    let orders: Vec<_> = lines.events("operator").into_iter().map(|event| (event["order"].clone(), event["user"].clone())).collect();
    assert_eq!(orders, ["hold", "hold", "retry", "drop"].map(|order| (order.into(), 7.into())));
}

#[tokio::test]
async fn a_message_ends_with_its_last_job_and_ids_name_each_once() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let (setting, ids) = (idle(folder.path(), &lines), SessionIds::new(0));
    let [first, second] = [0, 1].map(|number| entry(&ids, number, &["alpha", "beta"]));
    let (message, other) = (first.id.to_string(), second.id);
    for entry in [first, second] {
        setting.spool.append(entry).await.unwrap();
    }
    let ids_of = |texts: &[&str]| Filter { ids: texts.iter().map(|text| format!("{message}{text}")).collect(), ..Filter::default() };
    for (texts, expected) in [(&["", "/1", ""][..], 2), (&["/1", "/1"], 1), (&["/1", "/0"], 2), (&["/2"], 0)] {
        assert_eq!(list(&setting, ids_of(texts), None).await.len(), expected, "{texts:?}");
    }
    let by_relay = Filter { relay: Some("beta".to_owned()), ..Filter::default() };
    let (_, dropped) = order(&setting, Command::Drop { filter: by_relay, bounce: false }).await;
    assert_eq!(dropped.map(|done| (done.changed, done.messages)), Ok((2, 2)));
    let (shown, _) = order(&setting, Command::Show { id: message.clone(), content: false }).await;
    assert!(
        matches!(&shown[..], [Answer::Message(shown)] if shown.jobs.len() == 1 && shown.header == "Subject: one of many\r\n"),
        "{shown:?}"
    );
    let (_, dropped) = order(&setting, Command::Drop { filter: ids_of(&[""]), bounce: true }).await;
    assert_eq!(dropped.map(|done| done.changed), Ok(1));
    let (shown, end) = order(&setting, Command::Show { id: message.clone(), content: true }).await;
    assert!(shown.is_empty() && end == Ok(Done::default()));
    // The other message, and the notification for the sender of this one.
    assert_eq!(setting.spool.stats().await.unwrap().entries, 2);
    let left = list(&setting, Filter::default(), None).await;
    assert!(left.iter().any(|job| job.id == format!("{other}/0")));
    let notice = left.iter().find(|job| job.relay == "home").unwrap();
    assert_eq!((notice.sender.as_deref(), notice.recipients[0].address.as_str()), (Some(""), "s0@sender.example"));
    // A relay that nobody knows is not held, and neither is one whose next hop cannot be: these simulated ones.
    for (relay, why) in [("gone", "there is no relay `gone`"), ("alpha", "relay `alpha` cannot be held")] {
        assert_eq!(order(&setting, Command::HoldRelay { relay: relay.to_owned() }).await.1, Err(why.to_owned()));
    }
}
