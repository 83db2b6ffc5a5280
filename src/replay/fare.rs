//! How a recipient fares by one set of rules: what a trial says of it, in a form that can be compared.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::dispatch::{Decision, decide};
use crate::message::{Edits, Original};
use crate::policy::Verdict;
use crate::rules::{Disposition, MailFrom, OnFailure, Plan, RuleTrace, StepAction};
use crate::smtp::{Address, Reply};
use crate::trial::{Stage, StageTrial, Trial};

/// How all recipients of a message fare by one side.
#[derive(Debug)]
pub(super) struct Fared {
    /// One for each, in the order of the envelope.
    pub(super) fates: Vec<Fate>,
    /// What each rule saw, if rules were asked.
    pub(super) traces: Vec<RuleTrace>,
    /// Positions in the traces by the position in the envelope.
    pub(super) places: Vec<Option<usize>>,
}

/// How one recipient fares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) ending: Ending,
    /// Who brought that about: a rule, a statement of the policy, or neither.
    pub(super) by: Vec<String>,
    /// What the sender hears, where it is a refusal.
    pub(super) reply: Option<String>,
    pub(super) deliveries: Vec<Delivery>,
    /// Whether the relay is asked while the client waits.
    pub(super) is_inline: bool,
    /// The rules that matched.
    pub(super) rules: Vec<Arc<str>>,
    /// Those in audit mode that did.
    pub(super) audits: Vec<Arc<str>>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ending {
    /// Refused by the policy, at this stage.
    ByPolicy(&'static str),
    /// Refused by the session, for what it is.
    #[default]
    BySession,
    /// Refused, for its domain is not one of the gateway's.
    Relaying,
    /// Refused for the message's header: a loop, or beyond the limits.
    ForItsHeader,
    /// Rejected by a rule, in the dialogue.
    Rejected,
    /// Rejected by a rule where others of the same message are taken: told by a bounce.
    Bounced,
    /// Put off by a rule.
    Deferred,
    /// Put off because another recipient of the message is.
    DeferredWithOthers,
    /// Taken and forgotten.
    Dropped,
    /// Delivered.
    Sent,
}

/// A step for the recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) relay: Arc<str>,
    pub(super) mail_from: MailFrom,
    pub(super) on_failure: OnFailure,
    /// The addresses that stand for the recipient.
    pub(super) to: Vec<Address>,
    pub(super) header: Header,
}

/// Header changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Whole fields, as they stand in the message.
    pub(super) added: Vec<String>,
    /// Names.
    pub(super) removed: BTreeSet<String>,
    /// Whole fields.
    pub(super) replaced: Vec<String>,
}

impl Fared {
    /// Reads a trial in which everything that matters was known.
    pub(super) fn of(trial: Trial, recipients: usize, delivery: crate::config::DeliveryMode) -> Self {
        let mut fates = vec![Fate::default(); recipients];
        let mut places = vec![None; recipients];
        let early = early_refusal(&trial);
        for (place, fate) in fates.iter_mut().enumerate() {
            *fate = match (&early, trial.recipients.get(place)) {
                (Some(refused), _) => refused.clone(),
                (None, Some(tried)) => match (&tried.reply, &tried.policy) {
                    (Some(reply), _) if reply.is_positive() => continue,
                    (_, Some(StageTrial { refusal: Some(refusal), verdict, stage, .. })) => by_policy(*stage, verdict, refusal),
                    (Some(reply), Some(_)) if *reply == crate::ingress::RELAYING_DENIED => {
                        Fate { ending: Ending::Relaying, reply: Some(shown(reply)), ..Fate::default() }
                    }
                    (reply, _) => Fate { reply: reply.as_ref().map(shown), ..Fate::default() },
                },
                (None, None) => Fate::default(),
            };
        }
        let accepted: Vec<(usize, &Address)> = trial
            .recipients
            .iter()
            .enumerate()
            .filter(|(_, tried)| early.is_none() && tried.reply.as_ref().is_some_and(Reply::is_positive))
            .map(|(place, tried)| (place, &tried.address))
            .collect();
        let Some(judged) = &trial.judged else {
            // The dialogue ended between RCPT and the message.
            let reply = trial.reply().filter(|reply| !reply.is_positive()).map(shown);
            for (place, _) in accepted {
                if let Some(fate) = fates.get_mut(place) {
                    *fate = Fate { reply: reply.clone(), ..Fate::default() };
                }
            }
            return Self { fates, traces: Vec::new(), places };
        };
        for (place, address) in accepted {
            let position = judged.recipients.iter().position(|known| known == address);
            let fate = match (&judged.plan, position) {
                (Some(plan), Some(position)) => of_plan(plan, position, delivery, judged.original.as_deref()),
                _ => Fate { ending: Ending::ForItsHeader, reply: trial.reply().map(shown), ..Fate::default() },
            };
            places.iter_mut().skip(place).take(1).for_each(|slot| *slot = position);
            fates.iter_mut().skip(place).take(1).for_each(|slot| *slot = fate.clone());
        }
        Self { fates, traces: trial.judged.map(|judged| judged.rules).unwrap_or_default(), places }
    }
}

/// A refusal before RCPT, by the policy or the session.
fn early_refusal(trial: &Trial) -> Option<Fate> {
    let by_policy = trial.stages.iter().find_map(|asked| Some(by_policy(asked.stage, &asked.verdict, asked.refusal.as_ref()?)));
    by_policy.or_else(|| {
        let before = trial.dialogue.iter().take_while(|exchange| !exchange.said.starts_with("RCPT "));
        // Whoever gets no answer is refused as well: the session has ended.
        let refused = |reply: &Reply| !reply.is_positive();
        let reply = before.filter_map(|exchange| exchange.reply.as_ref()).find(|reply| refused(reply))?;
        Some(Fate { reply: Some(shown(reply)), ..Fate::default() })
    })
}

fn by_policy(stage: Stage, verdict: &Verdict, refusal: &Reply) -> Fate {
    let statement = match verdict {
        Verdict::Decided(_, Some(statement)) | Verdict::Unknown { statement, .. } => format!("statement `{statement}`"),
        Verdict::Decided(_, None) | Verdict::Undecided { .. } => "the policy's default".to_owned(),
    };
    Fate { ending: Ending::ByPolicy(stage.name()), by: vec![statement], reply: Some(shown(refusal)), ..Fate::default() }
}

fn of_plan(plan: &Plan, position: usize, mode: crate::config::DeliveryMode, original: Option<&Original>) -> Fate {
    let mut fate = Fate::default();
    for matched in plan.matches.iter().filter(|matched| matched.recipients.binary_search(&position).is_ok()) {
        if matched.audit { &mut fate.audits } else { &mut fate.rules }.push(Arc::clone(&matched.rule));
    }
    let decision = decide(plan, mode);
    fate.is_inline = matches!(decision, Decision::Inline(_));
    for step in &plan.steps {
        let StepAction::SmtpRelay { relay, mail_from } = &step.action;
        let to: Vec<Address> =
            step.recipients.iter().filter(|one| one.originals.contains(&position)).map(|one| one.address.clone()).collect();
        if to.is_empty() {
            continue;
        }
        push_new(&mut fate.by, format!("rule `{}`", step.rule));
        fate.deliveries.push(Delivery {
            relay: Arc::clone(relay),
            mail_from: mail_from.clone(),
            on_failure: step.on_failure,
            to,
            header: Header::of(original, &step.edits),
        });
    }
    let by = |rule: &Arc<str>| if **rule == *"otherwise" { "`otherwise`".to_owned() } else { format!("rule `{rule}`") };
    let disposition = plan.recipients.get(position).map(|recipient| &recipient.disposition);
    match disposition {
        Some(Disposition::Rejected { rule, reply }) => {
            let is_refused = matches!(decision, Decision::Refuse(_));
            fate.ending = if is_refused { Ending::Rejected } else { Ending::Bounced };
            (fate.by, fate.reply) = (vec![by(rule)], Some(shown(reply)));
        }
        Some(Disposition::Deferred { rule, reply }) => {
            (fate.ending, fate.by, fate.reply) = (Ending::Deferred, vec![by(rule)], Some(shown(reply)));
        }
        Some(Disposition::Dropped { rule }) => {
            fate.ending = if fate.deliveries.is_empty() { Ending::Dropped } else { Ending::Sent };
            push_new(&mut fate.by, by(rule));
        }
        Some(Disposition::Planned) | None => fate.ending = Ending::Sent,
    }
    if let (Decision::Refuse(reply), Ending::Sent | Ending::Dropped) = (&decision, fate.ending) {
        fate.ending = Ending::DeferredWithOthers;
        fate.reply = Some(shown(reply));
        fate.deliveries.clear();
        fate.by = plan
            .recipients
            .iter()
            .find_map(|one| if let Disposition::Deferred { rule, .. } = &one.disposition { Some(by(rule)) } else { None })
            .into_iter()
            .collect();
    }
    fate
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// A reply in one line, without the id that differs each time.
fn shown(reply: &Reply) -> String {
    let status = reply.status.map_or_else(String::new, |status| format!(" {status}"));
    let text: String = reply.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{}{status} {text}", reply.code)
}

impl Header {
    fn of(original: Option<&Original>, edits: &Edits) -> Self {
        let text = |field: &[u8]| String::from_utf8_lossy(field).trim_end().to_owned();
        // The claims to be ours are taken off by no rule.
        let is_rules = |place: &&usize| original.is_none_or(|original| original.disbelieved().binary_search(place).is_err());
        let name = |place: &usize| {
            let original = original?;
            let field = original.fields().get(*place)?;
            Some(String::from_utf8_lossy(original.name(field)).to_ascii_lowercase())
        };
        Self {
            added: edits.added.iter().map(|field| text(field)).collect(),
            removed: edits.removed.iter().filter(is_rules).filter_map(name).collect(),
            replaced: edits.replaced.iter().map(|(_, field)| text(field)).collect(),
        }
    }

    /// The names of what is changed, with a sign each: `+X-Route`, `-X-Spam`, `~Subject`.
    pub(super) fn names(&self) -> String {
        let name = |field: &String| field.split(':').next().unwrap_or_default().to_owned();
        let mut names: Vec<String> = self.added.iter().map(|field| format!("+{}", name(field))).collect();
        names.extend(self.removed.iter().map(|name| format!("-{name}")));
        names.extend(self.replaced.iter().map(|field| format!("~{}", name(field))));
        names.sort();
        names.dedup();
        if names.is_empty() { "unchanged".to_owned() } else { names.join(" ") }
    }
}

impl Fate {
    /// In a few words, alike for all messages that fare alike.
    pub(super) fn outcome(&self) -> String {
        match self.ending {
            Ending::ByPolicy(stage) => format!("refused by the policy at {stage}"),
            Ending::BySession => "refused by the session".to_owned(),
            Ending::Relaying => "refused: not a domain of the gateway".to_owned(),
            Ending::ForItsHeader => "refused for its header".to_owned(),
            Ending::Rejected => "rejected".to_owned(),
            Ending::Bounced => "rejected by a bounce".to_owned(),
            Ending::Deferred => "deferred".to_owned(),
            Ending::DeferredWithOthers => "deferred with others of its message".to_owned(),
            Ending::Dropped => "dropped".to_owned(),
            Ending::Sent => {
                let mut relays: Vec<&str> = self.deliveries.iter().map(|delivery| &*delivery.relay).collect();
                relays.sort_unstable();
                let word = if relays.len() == 1 { "relay" } else { "relays" };
                format!("{word} {}", relays.join(", "))
            }
        }
    }
}
