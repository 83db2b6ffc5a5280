//! Who is told of what: NOTIFY by outcome by what the next hop offers, inline and out of the queue.

use super::hops::Delivered;
use super::setting::{self, Setting};
use crate::config::DeliveryMode;
use crate::dispatch::Incoming;
use crate::dispatch::job::{JobState, StoredEnvelope};
use crate::message::MessageId;
use crate::smtp::{MailTerms, Recipient, Return};
use crate::spool::{NewEntry, NewJob, Spool, SpoolError};
use crate::telemetry::Lines;

/// The actions that the sender is told of in the end, in order.
fn told(setting: &Setting) -> Vec<String> {
    let world = setting.hops.world();
    let notices = world.delivered.iter().filter(|one| one.relay == "home");
    notices.flat_map(|one| one.content.lines().filter_map(|line| line.strip_prefix("Action: ").map(ToOwned::to_owned))).collect()
}

fn incoming(setting: &Setting, mode: DeliveryMode, recipients: &[&str]) -> Incoming {
    let endpoint = setting::endpoint(setting::rule_set(), mode);
    setting::incoming(1, "s@sender.example", recipients, &setting.dispatcher.snapshot.load_full(), &endpoint)
}

fn taken(setting: &Setting, relay: &str) -> Vec<Delivered> {
    setting.hops.world().delivered.iter().filter(|one| one.relay == relay).cloned().collect()
}

#[tokio::test(start_paused = true)]
async fn the_sender_is_told_of_what_he_asked_for_once() {
    // Words for NOTIFY; what is told of a delivery, of one by a next hop with DSN, of a failure, of four days in vain.
    type Told = &'static [&'static str];
    let table: &[(&str, Told, Told, Told, Told)] = &[
        ("plain", &[], &[], &["failed"], &["delayed", "failed"]),
        ("plain.all", &["relayed"], &[], &["failed"], &["delayed", "failed"]),
        ("plain.success", &["relayed"], &[], &[], &[]),
        ("plain.never", &[], &[], &[], &[]),
        // The reverse-path is replaced: what the next hop tells, the sender does not hear.
        ("anon.all", &["relayed"], &["relayed"], &["failed"], &["delayed", "failed"]),
        ("anon.never", &[], &[], &[], &[]),
        // What rules do besides is not his business.
        ("cont.all", &[], &[], &[], &[]),
        ("quiet.all", &[], &[], &[], &[]),
    ];
    for (words, delivered, delivered_with_dsn, failed, expired) in table {
        for (mood, expected) in [("ok", delivered), ("ok.dsn", delivered_with_dsn), ("bad", failed), ("dead", expired)] {
            let (folder, lines) = (setting::folder(), Lines::default());
            let setting = Setting::new(folder.path(), setting::usual(), &lines);
            let recipient = format!("{words}.{mood}@here.example");
            let reply = setting.take(incoming(&setting, DeliveryMode::Queue, &[&recipient])).await;
            assert_eq!(reply.code, 250);
            setting.settle().await;
            assert_eq!(told(&setting), *expected, "{recipient}");
            setting.log.close();
            let unwanted = lines.events("dsn").iter().filter(|event| event["notification"].is_null()).count();
            let silent = words.ends_with("never") || words.ends_with("success");
            let due = match (silent, mood) {
                (true, "bad") => 1,
                (true, "dead") => 2,
                _ => 0,
            };
            assert_eq!(unwanted, due, "{recipient}: what is held back is in the log");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_inline_delivery_tells_what_the_dialogue_does_not() {
    let table: &[(&[&str], u16, &[&str])] = &[
        (&["all@here.example"], 250, &["relayed"]),
        (&["all.dsn@here.example"], 250, &[]),
        (&["never@here.example"], 250, &[]),
        // Said in the dialogue.
        (&["all.bad@here.example"], 550, &[]),
        (&["all@here.example", "all.bad@here.example"], 250, &["relayed", "failed"]),
        (&["all@here.example", "never.bad@here.example"], 250, &["relayed"]),
        (&["never@here.example", "success.bad@here.example"], 250, &[]),
        (&["all.grey@here.example"], 250, &["relayed"]),
        // Rejected by rule beside others.
        (&["ok@here.example", "reject.never@here.example"], 250, &[]),
        (&["ok@here.example", "reject.all@here.example"], 250, &["failed"]),
    ];
    for (recipients, code, expected) in table {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        let reply = setting.take(incoming(&setting, DeliveryMode::Inline, recipients)).await;
        assert_eq!(reply.code, *code, "{recipients:?}");
        setting.settle().await;
        let (mut found, mut expected) = (told(&setting), expected.to_vec());
        found.sort();
        expected.sort_unstable();
        assert_eq!(found, expected, "{recipients:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_a_delivery_although_its_notification_cannot_be_stored() {
    let (folder, lines) = (setting::folder(), Lines::default());
    let setting = Setting::new(folder.path(), setting::usual(), &lines);
    setting.faults.fail("append", 1, SpoolError::Full);
    assert_eq!(setting.take(incoming(&setting, DeliveryMode::Inline, &["all@here.example"])).await.code, 250);
    setting.settle().await;
    assert_eq!((taken(&setting, "alpha").len(), told(&setting).len()), (1, 0));
    setting.log.close();
    assert_eq!(lines.events("problem")[0]["what"], "dsn");
}

#[tokio::test(start_paused = true)]
async fn the_next_hop_gets_what_the_sender_said() {
    let terms: MailTerms = serde_json::from_value(serde_json::json!({ "require_tls": true, "ret": "FULL", "envid": "QQ+2B1" })).unwrap();
    for mode in [DeliveryMode::Inline, DeliveryMode::Queue] {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        let mut incoming = incoming(&setting, mode, &["all.named@here.example", "never@here.example", "grey@here.example"]);
        incoming.envelope.terms = terms.clone();
        let mut expected: Vec<Recipient> = incoming.envelope.recipients.clone();
        expected[1].parameters.original = Some(crate::smtp::OriginalRecipient::of(&expected[1].address));
        expected[2].parameters.original = Some(crate::smtp::OriginalRecipient::of(&expected[2].address));
        assert_eq!(setting.take(incoming).await.code, 250);
        setting.settle().await;
        let taken = taken(&setting, "alpha");
        assert!(taken.iter().all(|one| one.terms == terms));
        let found: Vec<Recipient> = taken.into_iter().map(|one| Recipient { address: one.recipient, parameters: one.parameters }).collect();
        assert_eq!(found, expected, "{mode:?}");
    }
}

/// RFC 3461 §5.2.1: the name that the sender knows stays with a recipient that a rule replaces.
#[tokio::test(start_paused = true)]
async fn a_replaced_recipient_keeps_its_name_and_what_was_asked_for_it() {
    for (recipients, notify, orcpt) in [
        (&["rep.all.named@here.example"][..], Some("SUCCESS,FAILURE,DELAY"), "rfc822;Old+2BName@here.example"),
        (&["rep@here.example"], None, "rfc822;rep@here.example"),
        (&["rep.never@here.example"], Some("NEVER"), "rfc822;rep.never@here.example"),
        // Two become one: what either asks for is passed on.
        (&["rep.never@here.example", "rep.success@here.example"], Some("SUCCESS"), "rfc822;rep.never@here.example"),
        (&["rep@here.example", "rep.success@here.example"], Some("SUCCESS,FAILURE,DELAY"), "rfc822;rep@here.example"),
    ] {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        assert_eq!(setting.take(incoming(&setting, DeliveryMode::Queue, recipients)).await.code, 250);
        setting.settle().await;
        let taken = taken(&setting, "alpha");
        assert_eq!(taken.len(), 2, "team and boss");
        for one in taken {
            assert!(one.recipient.as_str().ends_with("@there.example"));
            assert_eq!(one.parameters.notify.map(|notify| notify.to_string()).as_deref(), notify, "{recipients:?}");
            assert_eq!(one.parameters.original.unwrap().for_rcpt(false), orcpt);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_returns_as_much_as_was_asked_for() {
    for (ret, require_tls, whole, subject) in [
        (None, false, false, true),
        (Some(Return::Headers), false, false, true),
        (Some(Return::Full), false, true, true),
        (Some(Return::Full), true, false, false),
    ] {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        let mut incoming = incoming(&setting, DeliveryMode::Queue, &["bad@here.example"]);
        incoming.envelope.terms = MailTerms { ret, require_tls, envelope_id: None };
        assert_eq!(setting.take(incoming).await.code, 250);
        setting.settle().await;
        let notices = taken(&setting, "home");
        assert_eq!(notices.len(), 1);
        assert_eq!(notices[0].terms, MailTerms { require_tls, ..MailTerms::default() }, "RFC 8689 §5");
        assert_eq!(notices[0].content.contains("body of 1"), whole, "{ret:?}");
        assert_eq!(notices[0].content.contains("Subject: hello"), subject, "{ret:?}");
    }
}

/// RFC 6531 §3.4: what goes out decides, not what came in.
#[tokio::test(start_paused = true)]
async fn smtputf8_is_needed_by_what_goes_out() {
    let part = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; name=ü.txt\r\n\r\nx\r\n--b--\r\n";
    for (recipient, message, declared, needed) in [
        ("bob@here.example", "Subject: x\r\n\r\nx\r\n", true, false),
        ("bob@here.example", "Subject: x\r\n\r\nü\r\n", true, false),
        ("bob@here.example", "Subject: ü\r\n\r\nx\r\n", true, true),
        ("bob@here.example", part, true, true),
        // Old mail with 8 bits in its header, that nobody called UTF-8, goes as it always went.
        ("bob@here.example", "Subject: ü\r\n\r\nx\r\n", false, false),
        // The rules take away what needed it.
        ("bare@here.example", "X-Secret: ü\r\nSubject: x\r\n\r\nx\r\n", true, false),
        ("rep.ü@here.example", "Subject: x\r\n\r\nx\r\n", true, false),
    ] {
        let folder = setting::folder();
        let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
        let mut incoming = incoming(&setting, DeliveryMode::Queue, &[recipient]);
        incoming.envelope.smtputf8 = declared;
        incoming.data = message.to_owned().into();
        assert_eq!(setting.take(incoming).await.code, 250);
        setting.settle().await;
        let taken = taken(&setting, "alpha");
        assert!(!taken.is_empty() && taken.iter().all(|one| one.smtputf8 == needed), "{recipient} {message}");
        assert!(!recipient.starts_with("rep") || taken.iter().all(|one| one.content.is_ascii()), "our own field needs it no more");
    }
}

/// As the program stored them before senders could ask for anything.
const OLD_ENVELOPE: &str = r#"{"version":1,"reverse_path":"s@sender.example","recipients":["bad@here.example","ok@here.example"],"smtputf8":false,"eight_bit":false,"trace":"Received: from a by b; now\r\n","config":"cafe0000"}"#;
const OLD_STATE: &str = r#"{"version":1,"rule":"everybody","relay":"alpha","mail_from":"preserve","on_failure":"bounce","added":[],"removed":[],"replaced":[],"recipients":[{"address":"bad@here.example","originals":[0],"last":null},{"address":"ok@here.example","originals":[1],"last":{"side":"relay","retry":"later","reply":{"code":451,"status":"4.7.1","text":"Come back later"},"detail":"simulated"}}],"attempts":1,"delay_notified":false}"#;

#[tokio::test(start_paused = true)]
async fn what_an_earlier_program_stored_is_delivered() {
    let folder = setting::folder();
    let setting = Setting::new(folder.path(), setting::usual(), &Lines::default());
    let entry = NewEntry {
        id: MessageId { number: 7, ..incoming(&setting, DeliveryMode::Queue, &[]).id },
        envelope: OLD_ENVELOPE.into(),
        content: bytes::Bytes::from_static(b"X-Msg: <7>\r\n\r\nbody of 7\r\n").into(),
        jobs: vec![NewJob { lane: "alpha".into(), due: setting::BEGIN, state: OLD_STATE.into() }],
    };
    setting.spool.append(entry).await.unwrap();
    setting.settle().await;
    let taken = taken(&setting, "alpha");
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].recipient.as_str(), taken[0].parameters.notify), ("ok@here.example", None));
    assert_eq!(told(&setting), ["failed"]);
}

/// And as it is stored now: a message that asks for nothing as before, so that an earlier program could read it.
#[test]
fn the_stored_form_of_what_is_asked_for() {
    let old = StoredEnvelope::decode(OLD_ENVELOPE.as_bytes()).unwrap();
    let again: serde_json::Value = serde_json::from_slice(&old.encode()).unwrap();
    let mut expected: serde_json::Value = serde_json::from_str(OLD_ENVELOPE).unwrap();
    assert_eq!(again, expected);
    assert_eq!(
        serde_json::from_slice::<serde_json::Value>(&JobState::decode(OLD_STATE.as_bytes()).unwrap().encode()).unwrap(),
        serde_json::from_str::<serde_json::Value>(OLD_STATE).unwrap()
    );
    let terms = serde_json::json!({ "require_tls": true, "ret": "HDRS", "envid": "QQ+2B1" });
    let recipient = serde_json::json!({ "address": "b@here.example", "notify": "NEVER", "orcpt": "rfc822;a+2Bb@here.example" });
    expected["terms"] = terms;
    expected["recipients"] = serde_json::json!([recipient, "ok@here.example"]);
    let read = StoredEnvelope::decode(expected.to_string().as_bytes()).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&read.encode()).unwrap(), expected);
}
