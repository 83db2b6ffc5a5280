//! Policies that need to know more than the client says: what is asked for, when, how often, and what no answer means.

use std::collections::BTreeSet;
use std::pin::Pin;

use super::super::answers::summary;
use super::*;
use crate::examination::{Examine, Subject};
use crate::ingress::found::Found;
use crate::message::{Analysis, Fact, FieldValue, Findings, Need, SpfIdentity, SpfResult, SpfVerdict};
use crate::rules::{AnalysisCondition, FieldTest, OnError};
use crate::telemetry::Lines;

/// Knows everything by the sender's local part: `unknown`, `listed`, `fail`, or none of them. The name of a client is `c.example`.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// What it was asked for, in order: the sender, and the needs of a round.
    asked: Mutex<Vec<(String, Vec<String>)>>,
    /// Nobody answers, and nobody even says so.
    is_mute: bool,
}

impl Examine for Answers {
    fn examine<'a>(
        &'a self,
        needs: &'a BTreeSet<Need>,
        subject: &'a Subject<'a>,
        findings: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let sender = subject.envelope.reverse_path.as_str();
        let needs_shown = needs.iter().map(|need| format!("{need:?}")).collect();
        self.asked.lock().unwrap().push((sender.to_owned(), needs_shown));
        assert!(subject.original.is_none() && subject.id.number > 0 && &*subject.session.helo == "c.example");
        Box::pin(async move {
            tokio::task::yield_now().await;
            for need in needs.iter().filter(|_| !self.is_mute) {
                match need {
                    Need::ClientHost => findings.client_host = Fact::Known(Some("c.example".into())),
                    Need::Analysis(name) => {
                        let is_listed = FieldValue::Boolean(sender.starts_with("listed"));
                        let analysis = Analysis { fields: [("is_listed".into(), is_listed)].into() };
                        let is_unknown = sender.starts_with("unknown");
                        let fact = if is_unknown { Fact::Unknown("no answer in time".into()) } else { Fact::Known(Arc::new(analysis)) };
                        findings.analyses.insert(Arc::clone(name), fact);
                    }
                    _ => {
                        let result = if sender.starts_with("fail") { SpfResult::Fail } else { SpfResult::Pass };
                        let (identity, domain, reason) = (SpfIdentity::MailFrom, "s.example".into(), "".into());
                        let (mechanism, explanation, asked) = (None, None, [].into());
                        findings.spf = Some(Arc::new(SpfVerdict { result, identity, domain, mechanism, reason, explanation, asked }));
                    }
                }
            }
        })
    }
}

fn on_list() -> PolicyCondition {
    let test = FieldTest::Boolean { negated: false, values: vec![true] };
    PolicyCondition::Analysis(AnalysisCondition { analyzer: "zen".into(), field: "is_listed".into(), test, on_error: OnError::Defer })
}

fn spf_fails() -> PolicyCondition {
    PolicyCondition::SpfResult { negated: false, values: vec!["fail".into()] }
}

fn recipient(text: &str) -> PolicyCondition {
    PolicyCondition::Recipient(TextTest::EndsWith(vec![Folded::new(text)]))
}

fn host(text: &str) -> PolicyCondition {
    PolicyCondition::ClientHost(TextTest::Equals(vec![Folded::new(text)]))
}

fn statement(name: &str, when: Vec<PolicyCondition>) -> Statement {
    Statement { name: name.into(), when }
}

/// What the log says of the policy: verdict, statement, detail.
fn verdicts(lines: &Lines) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("null").to_owned();
    let found = lines.events("policy").into_iter();
    found.map(|event| ["verdict", "statement", "detail"].map(|field| text(&event[field])).join(" | ")).collect()
}

#[tokio::test]
async fn what_can_change_the_verdict_is_asked_for_once_in_a_transaction() {
    let answers = Arc::new(Answers::default());
    let lines = Lines::default();
    let deny = vec![
        statement("spf", vec![recipient("@here.example"), spf_fails()]),
        statement("listed", vec![recipient("@here.example"), on_list(), host("c.example")]),
    ];
    let house = Plan { deny, examiner: answers.clone(), passes: 9, ..Plan::default() }.build(lines.clone());
    let mut client = Client::connect(&house).await;
    for (line, code) in [
        ("EHLO c.example", "250"),
        ("MAIL FROM:<good@s.example>", "250"),
        // Denied without it, and not one of our domains, and at last one to ask for.
        ("RCPT TO:<bob@here.example>", "550"),
        ("RCPT TO:<a@there.example>", "550"),
        ("RCPT TO:<a@here.example>", "250"),
        ("RCPT TO:<b@here.example>", "250"),
        ("RSET", "250"),
        ("MAIL FROM:<fail@s.example>", "250"),
        ("RCPT TO:<a@here.example>", "550"),
        ("RCPT TO:<b@here.example>", "550"),
        ("RSET", "250"),
        ("MAIL FROM:<unknown@s.example>", "250"),
        ("RCPT TO:<a@here.example>", "451"),
        ("RCPT TO:<b@here.example>", "451"),
        ("MAIL FROM:<x@s.example>", "503"),
        ("RSET", "250"),
        ("MAIL FROM:<listed@s.example>", "250"),
        ("RCPT TO:<a@here.example>", "550"),
    ] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
    let all = |sender: &str| (sender.to_owned(), ["ClientHost", "Spf", "Analysis(\"zen\")"].map(str::to_owned).to_vec());
    let anew = |sender: &str| (sender.to_owned(), ["Spf", "Analysis(\"zen\")"].map(str::to_owned).to_vec());
    let expected = [all("good@s.example"), anew("fail@s.example"), anew("unknown@s.example"), anew("listed@s.example")];
    assert_eq!(*answers.asked.lock().unwrap(), expected);
    let good = "allow | default | client_host c.example; spf pass; zen answered";
    let fail = "deny | spf | client_host c.example; spf fail; zen answered";
    let unknown = "defer | listed | zen: no answer in time";
    let listed = "deny | listed | client_host c.example; spf pass; zen answered";
    until(|| verdicts(&lines).len() >= 9).await;
    assert_eq!(verdicts(&lines), ["deny | bob | null", "allow | default | null", good, good, fail, fail, unknown, unknown, listed]);
}

#[tokio::test]
async fn a_client_that_does_not_wait_is_answered_in_order_and_its_message_keeps_what_was_found() {
    let house = Plan { deny: vec![statement("spf", vec![spf_fails(), host("c.example")])], ..Plan::default() }.build(std::io::sink());
    let mut client = Client::connect(&house).await;
    let lines = ["EHLO c.example", "MAIL FROM:<s@s.example>", "RCPT TO:<a@here.example>", "RCPT TO:<bob@here.example>", "DATA"];
    client.0.write_all(format!("{}\r\n", lines.join("\r\n")).as_bytes()).await.unwrap();
    for code in ["250", "250", "250", "550", "354"] {
        assert_eq!(client.reply().await, code);
    }
    assert_eq!(client.say("Subject: x\r\n\r\nbody\r\n.").await, "250");
    until(|| house.gate.found.lock().unwrap().len() == 1).await;
    let found = house.gate.found.lock().unwrap();
    let (session_host, findings) = &found[0];
    assert_eq!(session_host.as_deref(), Some("c.example"), "for the Received field");
    assert_eq!(findings.client_host, Fact::Known(Some("c.example".into())));
    assert_eq!(findings.spf.as_ref().map(|spf| spf.result), Some(SpfResult::Pass));
}

#[tokio::test]
async fn what_nobody_can_find_out_lets_nobody_in() {
    let answers = Arc::new(Answers { is_mute: true, ..Answers::default() });
    let lines = Lines::default();
    let deny = vec![statement("spf", vec![spf_fails()])];
    let house = Plan { deny, examiner: answers.clone(), ..Plan::default() }.build(lines.clone());
    let mut client = Client::connect(&house).await;
    for (line, code) in [("EHLO c.example", "250"), ("MAIL FROM:<s@s.example>", "250"), ("RCPT TO:<a@here.example>", "451")] {
        assert_eq!(client.say(line).await, code, "{line}");
    }
    assert_eq!(answers.asked.lock().unwrap().len(), 1);
    until(|| !verdicts(&lines).is_empty()).await;
    assert_eq!(verdicts(&lines), ["defer | default | nobody can find out {Spf}"]);
}

#[test]
fn of_another_transaction_nothing_is_kept_but_the_name_of_the_client() {
    let mut found = Found::default();
    assert!(found.hand_over().client_host.is_open() && summary(found.get()).is_none());
    found.get_mut().client_host = Fact::Unknown("no answer".into());
    found.get_mut().analyses.insert("zen".into(), Fact::Unknown("no answer".into()));
    assert_eq!(summary(found.get()).as_deref(), Some("client_host: no answer; zen: no answer"));
    found.begin_transaction();
    assert!(found.get().client_host.is_open() && found.get().analyses.is_empty(), "it may be answered now");
    found.get_mut().client_host = Fact::Known(None);
    found.get_mut().analyses.insert("zen".into(), Fact::Unknown("no answer".into()));
    assert_eq!(found.hand_over().analyses.len(), 1);
    assert_eq!((&found.get().client_host, found.get().analyses.len()), (&Fact::Known(None), 0));
}
