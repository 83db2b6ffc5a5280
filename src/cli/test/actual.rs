//! What came of a recipient, in the words of test files.

use crate::config::{PolicyVerdict, Stage};
use crate::policy::{Effect, PolicyTrace, Verdict};
use crate::rules::{Disposition, Plan, Step};
use crate::smtp::{Address, Reply};
use crate::trial::{self, StageTrial, Trial};

/// What came of one recipient of a test.
pub(super) struct Actual<'t> {
    trial: &'t Trial,
    /// Its place among those that were given.
    place: usize,
    /// Its place among those that were taken.
    pub(super) taken: Option<usize>,
}

impl<'t> Actual<'t> {
    pub(super) fn new(trial: &'t Trial, place: usize) -> Self {
        let recipient = trial.recipients.get(place);
        let is_taken = recipient.and_then(|recipient| recipient.reply.as_ref()).is_some_and(Reply::is_positive);
        let same = |one: &Address, other: &Address| one.as_str().eq_ignore_ascii_case(other.as_str());
        let taken = recipient.filter(|_| is_taken).and_then(|recipient| {
            // An address that was given twice is one recipient.
            trial.judged.as_ref()?.recipients.iter().position(|taken| same(taken, &recipient.address))
        });
        Self { trial, place, taken }
    }

    pub(super) fn plan(&self) -> Option<&'t Plan> {
        self.trial.judged.as_ref()?.plan.as_ref()
    }

    /// The policy when it spoke last: at RCPT, or where it ended the session.
    pub(super) fn stage(&self) -> Option<&'t StageTrial> {
        let earlier = self.trial.stages.iter().find(|stage| stage.refusal.is_some());
        earlier.or_else(|| self.trial.recipients.get(self.place)?.policy.as_ref()).or_else(|| self.trial.stages.last())
    }

    pub(super) fn policy_trace(&self) -> Option<&'t PolicyTrace> {
        self.stage().map(|stage| &stage.trace)
    }

    /// What the policy says, and by which statement; `None`: it was not asked to the end.
    pub(super) fn policy(&self) -> Option<(PolicyVerdict, &'t str)> {
        let stage = self.stage()?;
        let is_deferred = stage.refusal.as_ref().is_some_and(|reply| !reply.is_permanent());
        match &stage.verdict {
            Verdict::Decided(effect, statement) => {
                let verdict = match effect {
                    Effect::Allow => PolicyVerdict::Allow,
                    // A refusal for good that hangs on trouble is none.
                    Effect::Deny if is_deferred => PolicyVerdict::Defer,
                    Effect::Deny => PolicyVerdict::Deny,
                };
                Some((verdict, statement.as_deref().unwrap_or("default")))
            }
            Verdict::Unknown { statement, .. } => Some((PolicyVerdict::Defer, statement)),
            Verdict::Undecided { .. } => None,
        }
    }

    /// The first refusal that concerns the recipient, before there is a message.
    fn refusal(&self) -> Option<(Stage, &'t Reply)> {
        for exchange in &self.trial.dialogue {
            let stage = match exchange.said.split([' ', ':']).next().unwrap_or_default() {
                "" => Stage::Connection,
                "EHLO" | "HELO" | "STARTTLS" | "AUTH" => Stage::Helo,
                "MAIL" => Stage::Mail,
                _ => break,
            };
            if let Some(reply) = exchange.reply.as_ref().filter(|reply| !reply.is_positive()) {
                return Some((stage, reply));
            }
        }
        let reply = self.trial.recipients.get(self.place)?.reply.as_ref()?;
        (!reply.is_positive()).then_some((Stage::Rcpt, reply))
    }

    /// Where in the dialogue the recipient is refused.
    pub(super) fn refused_at(&self) -> Option<Stage> {
        let at_data = || self.answer_refuses().then_some(Stage::Data);
        self.refusal().map(|(stage, _)| stage).or_else(at_data)
    }

    fn answer_refuses(&self) -> bool {
        matches!(self.trial.judged.as_ref().and_then(|judged| judged.answer.as_ref()), Some(trial::Answer::Refused(_)))
    }

    /// What refuses the recipient; of several replies the one that is its own.
    pub(super) fn reply(&self) -> Option<&'t Reply> {
        if let Some((_, reply)) = self.refusal() {
            return Some(reply);
        }
        match self.disposition() {
            Some(Disposition::Rejected { reply, .. } | Disposition::Deferred { reply, .. }) => Some(reply),
            _ => match self.trial.judged.as_ref()?.answer.as_ref()? {
                trial::Answer::Refused(reply) => Some(reply),
                _ => None,
            },
        }
    }

    pub(super) fn disposition(&self) -> Option<&'t Disposition> {
        self.plan()?.recipients.get(self.taken?).map(|recipient| &recipient.disposition)
    }

    /// The rule that ended the recipient's way without a delivery.
    pub(super) fn ended_by(&self) -> Option<&'t str> {
        match self.disposition()? {
            Disposition::Planned => None,
            Disposition::Dropped { rule } | Disposition::Rejected { rule, .. } | Disposition::Deferred { rule, .. } => Some(rule),
        }
    }

    /// The names of the rules that match.
    pub(super) fn rules(&self, audit: bool) -> Vec<&'t str> {
        let (Some(plan), Some(place)) = (self.plan(), self.taken) else { return Vec::new() };
        let matches = plan.matches.iter().filter(|found| found.audit == audit && found.recipients.contains(&place));
        matches.map(|found| &*found.rule).collect()
    }

    /// What is planned for the recipient, each step with the addresses that it goes to.
    pub(super) fn steps(&self) -> Vec<(&'t Step, Vec<&'t Address>)> {
        let (Some(plan), Some(place)) = (self.plan(), self.taken) else { return Vec::new() };
        let addresses = |step: &'t Step| -> Vec<&'t Address> {
            let own = step.recipients.iter().filter(|recipient| recipient.originals.contains(&place));
            own.map(|recipient| &recipient.address).collect()
        };
        plan.steps.iter().map(|step| (step, addresses(step))).filter(|(_, addresses)| !addresses.is_empty()).collect()
    }
}
