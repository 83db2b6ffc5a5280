//! What would follow from what is not known, where it has few values.

use crate::config::{JudgedEndpoint, Rulebook};
use crate::message::{Fact, Need};
use crate::rules::{Disposition, StepAction, VerdictAttribute};
use crate::trial::{self, Answer, Given, LookUps, Stated, Trial};

/// What would be, and then what happens.
#[derive(Debug)]
pub(super) struct Follow {
    /// Values with the same end.
    pub(super) when: Vec<String>,
    pub(super) then: String,
}

/// For the first that is not known; those behind it may not matter then.
pub(super) async fn follows(rulebook: &Rulebook, endpoint: &JudgedEndpoint, given: &Given, trial: &Trial) -> Vec<Follow> {
    let mut follows: Vec<Follow> = Vec::new();
    let Some(need) = trial.lacking.first() else { return follows };
    for (when, given) in variants(need, given) {
        let then = ends(&trial::run(rulebook, endpoint, given, LookUps::NoneGiven).await);
        match follows.iter_mut().find(|follow| follow.then == then) {
            Some(follow) => follow.when.push(when),
            None => follows.push(Follow { when: vec![when], then }),
        }
    }
    follows
}

fn variants(need: &Need, given: &Given) -> Vec<(String, Given)> {
    let of =
        |attribute: VerdictAttribute| attribute.words().into_iter().map(|word| stated(given, &[(attribute, word)])).collect::<Vec<_>>();
    match need {
        Need::Spf => of(VerdictAttribute::SpfResult),
        Need::Dkim => of(VerdictAttribute::DkimResult),
        Need::Arc => of(VerdictAttribute::ArcResult),
        Need::Dmarc => {
            let mut all = Vec::new();
            for word in VerdictAttribute::DmarcResult.words() {
                // Where there is no record, there is no policy, and the other way round.
                let policies = VerdictAttribute::DmarcPolicy.words().into_iter().filter(|policy| (*policy == "absent") == (word == "none"));
                all.extend(policies.map(|policy| {
                    let pair = [(VerdictAttribute::DmarcResult, word), (VerdictAttribute::DmarcPolicy, policy)];
                    stated(given, &pair)
                }));
            }
            all
        }
        Need::ClientHost => {
            let mut without = given.clone();
            without.findings.client_host = Fact::Known(None);
            vec![("client_host none".to_owned(), without)]
        }
        // What an analyzer may find is beyond counting; that it does not answer is one more case.
        Need::Analysis(name) => {
            let mut without = given.clone();
            without.findings.analyses.insert(name.clone(), Fact::Unknown("no answer".into()));
            vec![(format!("{name} without an answer"), without)]
        }
    }
}

fn stated(given: &Given, words: &[(VerdictAttribute, &'static str)]) -> (String, Given) {
    let mut stated = Stated::default();
    for (attribute, word) in words {
        // The words are the attribute's own.
        let _ = stated.state(*attribute, word);
    }
    let mut given = given.clone();
    stated.reveal(&given.session, &given.envelope, &mut given.findings);
    let shown: Vec<String> = words.iter().map(|(attribute, word)| format!("{} {word}", attribute.name())).collect();
    (shown.join(" with "), given)
}

/// How it ends, in a line.
fn ends(trial: &Trial) -> String {
    if let Some(need) = trial.lacking.first() {
        return format!("{need} must be known, too");
    }
    let Some(judged) = &trial.judged else {
        return trial.reply().map_or_else(String::new, |reply| format!("refused before its content: {reply}"));
    };
    let mut ends = match &judged.answer {
        Some(Answer::Refused(reply)) => format!("refused: {reply}"),
        Some(Answer::Dropped) => "accepted and dropped".to_owned(),
        Some(Answer::AskedOf(relay)) => format!("the relay `{relay}` is asked"),
        Some(Answer::Spooled) => "accepted into the spool".to_owned(),
        None => "not known".to_owned(),
    };
    if let Some(plan) = judged.plan.as_ref().filter(|_| !matches!(judged.answer, Some(Answer::Refused(_)))) {
        let mut parts: Vec<String> = Vec::new();
        for step in &plan.steps {
            let StepAction::SmtpRelay { relay, .. } = &step.action;
            let to: Vec<&str> = step.recipients.iter().map(|recipient| recipient.address.as_str()).collect();
            parts.push(format!("{} to `{relay}` by `{}`", to.join(", "), step.rule));
        }
        for recipient in &plan.recipients {
            match &recipient.disposition {
                Disposition::Planned => {}
                Disposition::Dropped { rule } => parts.push(format!("{} dropped by `{rule}`", recipient.address)),
                Disposition::Rejected { rule, .. } => parts.push(format!("{} bounced by `{rule}`", recipient.address)),
                Disposition::Deferred { rule, .. } => parts.push(format!("{} deferred by `{rule}`", recipient.address)),
            }
        }
        ends = format!("{ends}: {}", parts.join("; "));
    }
    let refused: Vec<&str> = trial
        .recipients
        .iter()
        .filter(|one| one.reply.as_ref().is_some_and(|reply| !reply.is_positive()))
        .map(|one| one.address.as_str())
        .collect();
    if refused.is_empty() { ends } else { format!("{ends}; refused at RCPT: {}", refused.join(", ")) }
}
