//! The shipped deployment's mail, judged offline.

use std::path::Path;

use super::*;
use crate::config::{Domains, rulebook};
use crate::message::{SpfResult, SpfVerdict, TlsFacts, TlsVersion};
use crate::policy::Effect;
use crate::rules::{Disposition, Seen, StepAction, VerdictAttribute};
use crate::smtp::{MailTerms, ReversePath};

fn shipped() -> Rulebook {
    rulebook(&Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml")).expect("valid").0
}

fn given(from: &str, to: &[&str], content: &str) -> Given {
    let address = |text: &str| Address::parse(text, true).expect("an address");
    let tls = TlsFacts { version: TlsVersion::Tls1_3, cipher: "".into(), wrapped: false, client_certificate: None };
    Given {
        session: SessionFacts {
            client_ip: "203.0.113.25".parse().expect("an address"),
            client_host: None,
            helo: "mail.partner.example".into(),
            extended: true,
            tls: Some(tls),
            authenticated: false,
            login: None,
        },
        envelope: Envelope {
            reverse_path: if from.is_empty() { ReversePath::Null } else { ReversePath::Address(address(from)) },
            recipients: to.iter().map(|text| address(text).into()).collect(),
            smtputf8: false,
            eight_bit: false,
            terms: MailTerms::default(),
        },
        content: Bytes::from(format!("From: <{from}>\r\n{content}")),
        findings: Findings::default(),
        declared_size: None,
        accepted_domains: None,
    }
}

async fn tried(given: Given) -> Trial {
    let rulebook = shipped();
    run(&rulebook, &rulebook.endpoints["mx"], given, LookUps::NoneGiven).await
}

fn dialogue(trial: &Trial) -> Vec<String> {
    let reply = |reply: &Option<Reply>| reply.as_ref().map_or("?".to_owned(), |reply| reply.to_string().chars().take(40).collect());
    trial.dialogue.iter().map(|exchange| format!("{} -> {}", exchange.said, reply(&exchange.reply))).collect()
}

const SPAM: &str = "newsletter@spam.example";
const BODY: &str = "Subject: s\r\n\r\nHello\r\n";

#[tokio::test]
async fn the_dialogue_is_the_sessions() {
    let trial = tried(given(SPAM, &["bob@acme.example", "x@elsewhere.example", "former.employee@acme.example"], BODY)).await;
    assert_eq!(
        dialogue(&trial),
        [
            " -> 220 mx1.acme.example ESMTP",
            "EHLO mail.partner.example -> 250 mx1.acme.example PIPELINING SIZE 262",
            "STARTTLS -> 220 2.0.0 Ready to start TLS",
            "EHLO mail.partner.example -> 250 mx1.acme.example PIPELINING SIZE 262",
            "MAIL FROM:<newsletter@spam.example> SIZE=54 -> 250 2.1.0 Sender ok",
            "RCPT TO:<bob@acme.example> -> 250 2.1.5 Recipient ok",
            "RCPT TO:<x@elsewhere.example> -> 550 5.7.1 Not accepted by the policy of ",
            "RCPT TO:<former.employee@acme.example> -> 550 5.7.1 Not accepted by the policy of ",
            "DATA -> 354 End data with <CR><LF>.<CR><LF>",
            ". -> ?",
        ]
    );
    let judged = trial.judged.as_ref().expect("it came so far");
    assert_eq!(judged.answer, Some(Answer::Dropped));
    assert_eq!(judged.recipients.len(), 1);
    let plan = judged.plan.as_ref().expect("a plan");
    assert_eq!(plan.recipients[0].disposition, Disposition::Dropped { rule: "denylisted".into() });
    assert!(judged.rules[0].recipients[0].outcome.holds() && judged.rules[1].recipients.is_empty());
    let asked = trial.recipients[1].policy.as_ref().expect("asked");
    assert_eq!(asked.verdict, Verdict::Decided(Effect::Deny, None));
    assert_eq!(asked.trace.allow[0].outcome, Seen::Fails);
    assert_eq!(asked.trace.allow[0].when[0].saw, ["\"x@elsewhere.example\""]);
    assert!(!trial.recipients[2].policy.as_ref().expect("asked").trace.allow[0].is_reached);
    assert_eq!(trial.assumptions, ["the endpoint `mx` offers TLS, though it has no certificate"]);
    assert!(trial.complete().is_ok());
}

#[tokio::test]
async fn what_is_not_given_and_matters_is_named() {
    let mail = || given("alice@partner.example", &["bob@acme.example"], BODY);
    let trial = tried(mail()).await;
    assert_eq!(trial.judged.as_ref().and_then(|judged| judged.answer.clone()), None);
    assert_eq!(trial.complete().map(drop).map_err(|lacking| lacking.to_string()), Err("DMARC".to_owned()));
    // SPF alone says nothing about DMARC, and nobody asks for it here.
    let spf = Some(Arc::new(SpfVerdict::of(SpfResult::Pass, "partner.example")));
    let trial = tried(Given { findings: Findings { spf, ..Findings::default() }, ..mail() }).await;
    assert_eq!(trial.lacking, BTreeSet::from([Need::Dmarc]));
}

#[tokio::test]
async fn refusals_come_as_early_as_in_service() {
    let listed = |mut given: Given| {
        given.session.client_ip = "198.51.100.7".parse().expect("an address");
        given
    };
    let trial = tried(listed(given(SPAM, &["bob@acme.example"], BODY))).await;
    assert_eq!(dialogue(&trial), [" -> 554 5.7.1 Not accepted by the policy of "]);
    assert_eq!(trial.reply().map(|reply| reply.code), Some(554));
    let trial = tried(Given { declared_size: Some(60 << 20), ..given(SPAM, &["bob@acme.example"], BODY) }).await;
    assert_eq!(trial.reply().map(ToString::to_string).as_deref(), Some("552 5.3.4 Message larger than the limit"));
    // RFC 1870: who says nothing of the size learns of it at the end.
    let large = format!("\r\n{}", "x".repeat(70).as_str().to_owned() + "\r\n").repeat(400_000);
    let trial = tried(Given { declared_size: Some(1), ..given(SPAM, &["bob@acme.example"], &large) }).await;
    assert_eq!(trial.reply().map(|reply| reply.code), Some(552));
    assert!(trial.judged.is_none());
    let trial = tried(given(SPAM, &["bob@acme.example"], "\r\na\nb\r\n")).await;
    assert_eq!(trial.reply().map(|reply| reply.code), Some(550));
    let loop_ = "Received: from x by mx1.acme.example with ESMTP; Thu, 1 Jan 1970 00:00:00 +0000\r\n\r\n";
    let trial = tried(given(SPAM, &["bob@acme.example"], loop_)).await;
    assert_eq!(trial.reply().map(ToString::to_string).as_deref(), Some("554 5.4.6 This message has been here before: mail loop"));
}

#[tokio::test]
async fn headers_after_are_those_of_the_step() {
    let rulebook = shipped();
    let mut mail = given("carol@gmail.com", &["bob@acme.example", "dora@acme.org"], "Subject: invoice\r\n\r\nHello\r\n");
    let mut stated = Stated::default();
    stated.state(VerdictAttribute::DmarcResult, "pass").expect("a word");
    assert_eq!(stated.reveal(&mail.session, &mail.envelope, &mut mail.findings), ["dmarc_policy is none: only dmarc_result was given"]);
    let trial = run(&rulebook, &rulebook.endpoints["mx"], mail, LookUps::NoneGiven).await;
    let judged = trial.judged.expect("it came so far");
    assert_eq!(judged.answer, Some(Answer::Spooled));
    let (plan, original) = (judged.plan.expect("a plan"), judged.original.expect("a header"));
    let steps: Vec<_> = plan.steps.iter().map(|step| (step, changes(&original, &step.edits))).collect();
    let StepAction::SmtpRelay { relay, .. } = &steps[0].0.action;
    assert_eq!(&**relay, "RelayToMyExchangeServer");
    assert_eq!(steps[0].1.added, ["X-Acme-Route: exchange", "X-Acme-External: from carol@gmail.com at 203.0.113.25"]);
    assert_eq!(steps[0].1.replaced, [("Subject: invoice".to_owned(), "Subject: [external] invoice".to_owned())]);
    assert_eq!(steps[1].1.added, ["X-Acme-External: from carol@gmail.com at 203.0.113.25"]);
    assert_eq!(fields_after(&original, &steps[1].0.edits).last(), Some(&("Subject".to_owned(), "[external] invoice".to_owned())));
}

#[tokio::test]
async fn domains_of_ses_are_taken_for_granted_unless_they_are_given() {
    let rulebook = Rulebook { domains: Domains::Ses, ..shipped() };
    let mail = || given(SPAM, &["bob@acme.example"], BODY);
    let trial = run(&rulebook, &rulebook.endpoints["mx"], mail(), LookUps::NoneGiven).await;
    assert!(trial.assumptions.contains(&"`acme.example` is a verified identity of the SES account".to_owned()));
    let domains = Some(vec!["acme.org".into()]);
    let trial = run(&rulebook, &rulebook.endpoints["mx"], Given { accepted_domains: domains, ..mail() }, LookUps::NoneGiven).await;
    assert!(trial.recipients[0].reply.as_ref().is_some_and(|reply| reply.text.starts_with("Relaying denied")));
}

#[test]
fn line_ends_become_those_of_smtp() {
    for (file, expected) in
        [("a\nb\n", "a\r\nb\r\n"), ("a\r\nb\r\n", "a\r\nb\r\n"), ("a\rb\r\n\n", "a\r\nb\r\n\r\n"), ("\r", "\r\n"), ("", "")]
    {
        assert_eq!(with_line_ends(file.as_bytes()), expected.as_bytes(), "{file:?}");
    }
}
