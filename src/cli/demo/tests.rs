//! What is explained is what happens: each mail of the demonstration, sent to a whole gateway over SMTP, and judged offline.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use super::*;
use crate::config::{Rulebook, rulebook};
use crate::dns::ResolverConfig;
use crate::message::{Envelope, Findings, SessionFacts, TlsFacts, TlsVersion};
use crate::policy::{Effect, Verdict};
use crate::rules::StepAction;
use crate::smtp::{Address, MailTerms, ReversePath};
use crate::trial::{self, Answer, Given, LookUps, Stage, Trial};

fn given(scenario: &Scenario) -> Given {
    let address = |text: &str| Address::parse(text, false).expect("an address");
    let mail = &scenario.mail;
    Given {
        session: SessionFacts {
            client_ip: scenario.client,
            client_host: None,
            helo: mail.helo.into(),
            extended: true,
            tls: Some(TlsFacts { version: TlsVersion::Tls1_3, cipher: "".into(), wrapped: false, client_certificate: None }),
            authenticated: false,
            login: None,
        },
        envelope: Envelope {
            reverse_path: ReversePath::Address(address(mail.from)),
            recipients: mail.to.iter().map(|to| address(to).into()).collect(),
            smtputf8: false,
            eight_bit: false,
            terms: MailTerms::default(),
        },
        content: mail.text.clone().into(),
        findings: Findings::default(),
        declared_size: mail.declared,
        accepted_domains: None,
    }
}

/// How the reply begins, or what it is.
fn foretold(trial: &Trial) -> Vec<String> {
    if let Some(reply) = trial.reply() {
        return vec![reply.to_string()];
    }
    match trial.judged.as_ref().and_then(|judged| judged.answer.as_ref()) {
        Some(Answer::Dropped) => vec!["250 2.0.0 Taken as ".to_owned()],
        Some(Answer::Spooled) => vec!["250 2.0.0 Queued as ".to_owned()],
        // Whether it takes the message is the relay's to say.
        Some(Answer::AskedOf(_)) => {
            vec!["250 2.0.0 Delivered as ".to_owned(), "250 2.0.0 Queued as ".to_owned(), "550 5.1.1 The next hop refused it: ".to_owned()]
        }
        other => panic!("{other:?}"),
    }
}

/// The rules that matched and the deliveries that were planned, as the log tells them.
fn logged(trail: &Trail) -> (Vec<String>, Vec<String>) {
    let list = |value: &Value| value.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" ");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let rules = trail.of("rule").map(|event| format!("{}: {}", text(&event["rule"]), list(&event["recipients"])));
    let relayed = trail.of("action").filter(|event| event["relay"].is_string());
    let mut steps: Vec<String> =
        relayed.map(|event| format!("{} {}: {}", text(&event["rule"]), text(&event["relay"]), list(&event["recipients"]))).collect();
    // Each attempt is told.
    steps.sort();
    steps.dedup();
    (rules.collect(), steps)
}

/// The same, as the trial foretells it.
fn planned(trial: &Trial) -> (Vec<String>, Vec<String>) {
    let Some(judged) = &trial.judged else { return Default::default() };
    let plan = judged.plan.as_ref().expect("everything is known");
    let addresses = |places: &[usize]| places.iter().map(|place| judged.recipients[*place].as_str()).collect::<Vec<_>>().join(" ");
    let rules = plan.matches.iter().map(|one| format!("{}: {}", one.rule, addresses(&one.recipients)));
    let mut steps: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let StepAction::SmtpRelay { relay, .. } = &step.action;
            let to: Vec<&str> = step.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
            format!("{} {relay}: {}", step.rule, to.join(" "))
        })
        .collect();
    steps.sort();
    (rules.collect(), steps)
}

/// `stage verdict statement` of the policy, as far as it has said something.
fn ruled(trial: &Trial) -> Vec<String> {
    let asked = trial.recipients.iter().filter_map(|recipient| recipient.policy.as_ref());
    let of = trial.stages.iter().chain(asked).filter_map(|asked| match &asked.verdict {
        Verdict::Decided(effect, by) if *effect == Effect::Deny || asked.stage == Stage::Rcpt => {
            let word = if *effect == Effect::Deny { "deny" } else { "allow" };
            Some(format!("{} {word} {}", asked.stage.name(), by.as_deref().unwrap_or("default")))
        }
        _ => None,
    });
    of.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mail_fares_as_its_explanation_says() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway.yaml");
    let (mut world, mut events) = World::start(&config).await.expect("it starts");
    let rules = rulebook(&config).expect("valid").0;
    let resolver = ResolverConfig { servers: vec![names::start().await.expect("a socket")], ..rules.resolver.clone() };
    let rules = Rulebook { resolver, ..rules };
    let examiner = trial::examiner(&rules).expect("a resolver");
    let id = Regex::new(r"\([0-9a-z]{16}\)").expect("valid");
    let mut refused = 0;
    for scenario in mails::scenarios() {
        let reply = world.send(&scenario).await.expect("a reply");
        let trail = follow(&mut events).await;
        let trial = trial::run(&rules, &rules.endpoints["mx"], given(&scenario), LookUps::Examiner(&examiner)).await;
        assert!(trial.lacking.is_empty(), "{}: {:?}", scenario.title, trial.lacking);
        let (reply, foretold) = (id.replace(&reply, "(ID)"), foretold(&trial));
        assert!(foretold.iter().any(|begin| reply.starts_with(begin)), "{}: {reply} and not {foretold:?}", scenario.title);
        if trial.reply().is_some() {
            assert_eq!(reply, foretold[0], "{}", scenario.title);
            refused += 1;
        }
        assert_eq!(logged(&trail), planned(&trial), "{}", scenario.title);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said: Vec<String> = trail
            .of("policy")
            .map(|event| format!("{} {} {}", text(&event["stage"]), text(&event["verdict"]), text(&event["statement"])))
            .collect();
        assert_eq!(said, ruled(&trial), "{}", scenario.title);
    }
    assert_eq!(refused, 6, "refusals are compared to the letter");
    world.stop().await;
}
