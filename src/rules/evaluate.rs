//! Evaluation: all rules, in order, for each recipient; out comes a plan.
//!
//! Recipients that see the same message are judged together. A change forks the message for the recipients that the rule
//! matched; recipients whose messages are alike are put together again after each rule, so that a later action is one step.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::answer::Answer;
use super::candidates::{Candidates, Index};
use super::facts::{Facts, Lack, Message};
use super::group::{Group, Member, originals, united};
use super::plan::{Disposition, Plan, PlannedRecipient, RuleMatch, Step, StepAction, StepRecipient};
use super::trace::RuleTrace;
use super::{Action, Mode, OnFailure, Otherwise, Rule, RuleSet, Template};
use crate::message::{Edits, Need, View};
use crate::smtp::{Reply, Status};

/// Stands for the rule's name where no rule disposed of a recipient.
const OTHERWISE: &str = "otherwise";
/// For a recipient that depends on what has no answer now.
const UNKNOWN: Reply = Reply::fixed(451, Status(4, 7, 1), "Cannot be checked now, try again later");

/// What comes of judging a message with what was found out so far.
#[derive(Debug)]
pub enum Judgement {
    /// What is to happen; nothing that could still be found out would change it.
    Decided(Plan),
    /// It depends on these, which nobody has asked for yet. Never empty; once they are asked for, the message is judged again.
    Needs(BTreeSet<Need>),
}

/// Judges a message and says what is to happen to it.
pub fn evaluate(set: &RuleSet, message: &Message<'_>) -> Judgement {
    Run::new(*message, None).through(set).0
}

/// The same twice: by judging every rule of the set, and by judging those that can match, however few rules there are.
#[cfg(test)]
pub(super) fn evaluate_both(set: &RuleSet, message: &Message<'_>) -> [Judgement; 2] {
    let mut all = Run::new(*message, None);
    all.judge_all(set);
    let index = Index::new(&set.rules);
    let mut candidates = Run::new(*message, None);
    candidates.judge_candidates(set, &index);
    [all, candidates].map(|run| run.judgement(set.otherwise).0)
}

/// The same, with what each rule looked at and saw: one trace for each rule of the set.
pub fn evaluate_traced(set: &RuleSet, message: &Message<'_>) -> (Judgement, Vec<RuleTrace>) {
    let traces = set.rules.iter().enumerate().map(|(index, rule)| RuleTrace::unreached(index, rule)).collect();
    Run::new(*message, Some(traces)).through(set)
}

struct Run<'a> {
    facts: Facts<'a>,
    /// Whoever is still being judged, and never two groups with the same changes.
    groups: Vec<Group<'a>>,
    steps: Vec<Step>,
    matches: Vec<RuleMatch>,
    /// One for each envelope recipient.
    fates: Vec<Fate>,
    /// What must be asked for before there is a plan.
    needs: BTreeSet<Need>,
    /// What was seen, if somebody wants to know.
    traces: Option<Vec<RuleTrace>>,
    /// Which rules can match, if the others are passed over.
    candidates: Option<Candidates<'a>>,
}

/// A rule and whoever is still being judged. Answers are by the place of the group, none of them [`Answer::None`].
#[derive(Default)]
struct Look {
    /// The rule matches these.
    matching: Vec<(usize, Answer)>,
    /// Whether it matches these depends on what was asked for without an answer, and on nothing else.
    unanswered: Vec<(usize, Answer)>,
    /// What nobody has asked for, and can make a difference.
    needs: BTreeSet<Need>,
}

/// What was decided for an envelope recipient so far.
#[derive(Clone, Default)]
struct Fate {
    /// By Reject or Defer: the whole recipient is answered for.
    refused: Option<Disposition>,
    /// By Drop: an address that stands for the recipient.
    dropped_by: Option<Arc<str>>,
    /// An address that stands for the recipient came through without Drop.
    is_kept: bool,
}

impl<'a> Run<'a> {
    fn new(message: Message<'a>, traces: Option<Vec<RuleTrace>>) -> Self {
        let recipients = &message.envelope.recipients;
        let members: Vec<_> =
            recipients.iter().enumerate().map(|(place, recipient)| Member::new(recipient.address.clone(), vec![place])).collect();
        let fates = vec![Fate::default(); members.len()];
        let group = Group { view: View::new(message.original), members };
        let groups = if group.members.is_empty() { Vec::new() } else { vec![group] };
        Self {
            facts: Facts::new(message),
            groups,
            steps: Vec::new(),
            matches: Vec::new(),
            fates,
            needs: BTreeSet::new(),
            traces,
            candidates: None,
        }
    }

    fn through(mut self, set: &'a RuleSet) -> (Judgement, Vec<RuleTrace>) {
        // A trace tells of every rule.
        match set.rules.index().filter(|_| self.traces.is_none()) {
            Some(index) => self.judge_candidates(set, index),
            None => self.judge_all(set),
        }
        self.judgement(set.otherwise)
    }

    fn judgement(mut self, otherwise: Otherwise) -> (Judgement, Vec<RuleTrace>) {
        let traces = self.traces.take().unwrap_or_default();
        (if self.needs.is_empty() { Judgement::Decided(self.finish(otherwise)) } else { Judgement::Needs(self.needs) }, traces)
    }

    fn judge_all(&mut self, set: &RuleSet) {
        for (index, rule) in set.rules.iter().enumerate() {
            if self.groups.is_empty() {
                break;
            }
            if rule.mode != Mode::Off {
                self.judge(index, rule);
            }
        }
    }

    /// Passes over the rules that can match nobody.
    fn judge_candidates(&mut self, set: &RuleSet, index: &'a Index) {
        self.candidates = Some(index.candidates(&self.facts, &self.groups));
        let mut next = 0;
        while !self.groups.is_empty()
            && let Some(place) = self.candidates.as_ref().and_then(|candidates| candidates.next_from(next))
            && let Some(rule) = set.rules.get(place)
        {
            self.judge(place, rule);
            next = place.saturating_add(1);
        }
    }

    fn judge(&mut self, index: usize, rule: &Rule) {
        let (answers, needs) = loop {
            let Look { matching, unanswered, needs } = self.look(rule);
            if unanswered.is_empty() {
                self.trace(index, rule, None);
                break (matching, needs);
            }
            self.trace(index, rule, Some(&unanswered));
            self.defer(rule, unanswered);
        };
        // For whom it is not known whether the rule matches, the next ones are judged as if it did not: only to hear what they
        // need, so that it can be asked for at the same time.
        if !needs.is_empty() {
            self.needs.extend(needs);
        }
        if answers.is_empty() {
            return;
        }
        let is_audit = rule.mode == Mode::Audit;
        let mut matched = self.take_out(answers);
        matched.sort_by_key(Group::first_original);
        self.matches.push(RuleMatch {
            rule: Arc::clone(&rule.name),
            audit: is_audit,
            recipients: originals(matched.iter().flat_map(|group| &group.members)),
            actions: rule.actions.iter().map(Action::name).collect(),
        });
        if !is_audit {
            for action in &rule.actions {
                matched = self.act(rule, action, matched);
            }
            if let Some(candidates) = &mut self.candidates {
                rule.actions.iter().for_each(|action| candidates.add_changed(action, &self.facts, &matched));
            }
        }
        self.put_back(matched);
    }

    /// Notes what the rule sees in those who are judged by it, or only in some of them. The answers are by the place of the group.
    fn trace(&mut self, index: usize, rule: &Rule, some: Option<&[(usize, Answer)]>) {
        let Some(trace) = self.traces.as_mut().and_then(|traces| traces.get_mut(index)) else { return };
        for (place, group) in self.groups.iter().enumerate() {
            let is_concerned = |member| {
                some.is_none_or(|answers| answers.iter().any(|(concerned, answer)| *concerned == place && answer.holds_for(member)))
            };
            trace.recipients.extend(self.facts.traces(rule, group, is_concerned));
        }
        trace.recipients.sort_by_key(|recipient| recipient.originals.first().copied());
    }

    /// For whom the rule matches, and for whom that cannot be said.
    fn look(&self, rule: &Rule) -> Look {
        let mut look = Look::default();
        for (place, group) in self.groups.iter().enumerate() {
            let bounds = self.facts.matching(rule, group);
            let open = bounds.open();
            if open != Answer::None {
                let Lack { needs, waiting } = self.facts.lack(rule, group, &open);
                look.needs.extend(needs);
                look.unanswered.extend(Some((place, open.and(waiting.not()))).filter(|(_, answer)| *answer != Answer::None));
            }
            look.matching.extend(Some((place, bounds.surely())).filter(|(_, answer)| *answer != Answer::None));
        }
        look
    }

    /// Whether the rule matches them depends on what has no answer now: the sender is to try again.
    fn defer(&mut self, rule: &Rule, unanswered: Vec<(usize, Answer)>) {
        let deferred = self.take_out(unanswered);
        self.refuse(&deferred, &Disposition::Deferred { rule: Arc::clone(&rule.name), reply: UNKNOWN });
    }

    /// Takes the members for whom the answers hold out of those who are judged. The answers are by the place of the group, ascending.
    fn take_out(&mut self, answers: Vec<(usize, Answer)>) -> Vec<Group<'a>> {
        let mut answers = answers.into_iter().peekable();
        let (mut taken, mut others) = (Vec::new(), Vec::new());
        for (place, group) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            let answer = answers.next_if(|(concerned, _)| *concerned == place).map_or(Answer::None, |(_, answer)| answer);
            let (yes, no) = group.split(answer);
            taken.extend(yes);
            others.extend(no);
        }
        self.groups = others;
        taken
    }

    /// Carries out an action for the groups that matched; gives back those that go on.
    fn act(&mut self, rule: &Rule, action: &Action, mut groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
        match action {
            Action::SmtpRelay { relay, mail_from, on_failure } => {
                let action = StepAction::SmtpRelay { relay: Arc::clone(relay), mail_from: mail_from.clone() };
                self.plan(rule, &action, *on_failure, &groups);
            }
            Action::AddHeader { name, value } => groups = self.add_header(name, value, groups),
            Action::RemoveHeader { name } => groups.iter_mut().for_each(|group| group.view.remove_header(name)),
            Action::PrefixSubject { text } => groups.iter_mut().for_each(|group| group.view.prefix_subject(text)),
            Action::ReplaceRecipient(replacement) => groups.iter_mut().for_each(|group| group.replace(replacement)),
            Action::Drop => {
                for fate in self.fates_of(&groups) {
                    fate.dropped_by = Some(Arc::clone(&rule.name));
                }
                groups.clear();
            }
            Action::Stop => {
                self.fates_of(&groups).for_each(|fate| fate.is_kept = true);
                groups.clear();
            }
            Action::NotAvailable { .. } => {}
            Action::Reject(reply) => {
                self.refuse(&groups, &Disposition::Rejected { rule: Arc::clone(&rule.name), reply: reply.clone() });
                groups.clear();
            }
            Action::Defer(reply) => {
                self.refuse(&groups, &Disposition::Deferred { rule: Arc::clone(&rule.name), reply: reply.clone() });
                groups.clear();
            }
        }
        groups
    }

    /// A text with a recipient in it forks the message for each of them, so that none learns of another.
    fn add_header(&mut self, name: &str, value: &Template, groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
        self.needs.extend(value.needs().filter(|need| !self.facts.message.findings.has(need)));
        let mut groups: Vec<Group<'a>> =
            if value.depends_on_recipient() { groups.into_iter().flat_map(Group::into_singles).collect() } else { groups };
        for group in &mut groups {
            let value = self.facts.render(value, group);
            group.view.add_header(name, &value);
        }
        groups
    }

    /// One step for all of them, or, where their messages differ, one for each message.
    fn plan(&mut self, rule: &Rule, action: &StepAction, on_failure: OnFailure, groups: &[Group<'a>]) {
        let mut messages: Vec<(&Arc<Edits>, Vec<&Member>)> = Vec::new();
        let mut places: HashMap<&Edits, usize> = HashMap::new();
        for group in groups {
            let place = *places.entry(group.view.edits()).or_insert(messages.len());
            match messages.get_mut(place) {
                Some((_, members)) => members.extend(&group.members),
                None => messages.push((group.view.edits(), group.members.iter().collect())),
            }
        }
        for (edits, members) in messages {
            self.steps.push(Step {
                rule: Arc::clone(&rule.name),
                action: action.clone(),
                recipients: step_recipients(members),
                edits: Arc::clone(edits),
                on_failure,
            });
        }
    }

    /// Answers for the envelope recipients behind these groups as a whole: a recipient that is refused must not be delivered
    /// as well, under whatever address.
    fn refuse(&mut self, groups: &[Group<'a>], disposition: &Disposition) {
        for fate in self.fates_of(groups) {
            fate.refused = Some(disposition.clone());
        }
        let fates = &self.fates;
        let stays = |original: &usize| fates.get(*original).is_none_or(|fate| fate.refused.is_none());
        for step in &mut self.steps {
            step.recipients.iter_mut().for_each(|recipient| recipient.originals.retain(stays));
            step.recipients.retain(|recipient| !recipient.originals.is_empty());
        }
        self.steps.retain(|step| !step.recipients.is_empty());
        for group in &mut self.groups {
            group.members.iter_mut().for_each(|member| member.originals.retain(stays));
            group.members.retain(|member| !member.originals.is_empty());
        }
        self.groups.retain(|group| !group.members.is_empty());
    }

    fn fates_of(&mut self, groups: &[Group<'a>]) -> impl Iterator<Item = &mut Fate> {
        let concerned = originals(groups.iter().flat_map(|group| &group.members));
        let is_concerned = move |place: &usize| concerned.binary_search(place).is_ok();
        self.fates.iter_mut().enumerate().filter(move |(place, _)| is_concerned(place)).map(|(_, fate)| fate)
    }

    /// Puts groups back among those that are still judged; groups with the same changes become one.
    fn put_back(&mut self, groups: Vec<Group<'a>>) {
        if self.groups.is_empty() && groups.len() <= 1 {
            self.groups = groups;
            return;
        }
        let known = self.groups.iter().enumerate().map(|(place, group)| (Arc::clone(group.view.edits()), place));
        let mut places: HashMap<Arc<Edits>, usize> = known.collect();
        for group in groups {
            let place = *places.entry(Arc::clone(group.view.edits())).or_insert(self.groups.len());
            match self.groups.get_mut(place) {
                Some(known) => known.members.extend(group.members),
                None => self.groups.push(group),
            }
        }
    }

    fn finish(mut self, otherwise: Otherwise) -> Plan {
        let left = std::mem::take(&mut self.groups);
        self.fates_of(&left).for_each(|fate| fate.is_kept = true);
        let mut has_step = vec![false; self.fates.len()];
        for original in self.steps.iter().flat_map(|step| &step.recipients).flat_map(|recipient| &recipient.originals) {
            has_step.iter_mut().skip(*original).take(1).for_each(|flag| *flag = true);
        }
        let addresses = self.facts.message.envelope.recipients.iter().map(|recipient| recipient.address.clone());
        let fates = self.fates.into_iter().zip(has_step).map(|(fate, has_step)| fate.disposition(has_step, otherwise));
        let recipients = addresses.zip(fates).map(|(address, disposition)| PlannedRecipient { address, disposition }).collect();
        Plan { recipients, steps: self.steps, matches: self.matches }
    }
}

impl Fate {
    fn disposition(self, has_step: bool, otherwise: Otherwise) -> Disposition {
        match (self.refused, self.dropped_by) {
            (Some(refused), _) => refused,
            (None, None) if has_step => Disposition::Planned,
            (None, Some(_)) if has_step && self.is_kept => Disposition::Planned,
            (None, Some(rule)) => Disposition::Dropped { rule },
            (None, None) => otherwise.disposition(),
        }
    }
}

impl Otherwise {
    fn disposition(self) -> Disposition {
        const TEXT: &str = "No rule accepts mail for this recipient";
        let rule = Arc::from(OTHERWISE);
        match self {
            Self::Reject => Disposition::Rejected { rule, reply: Reply::fixed(550, Status(5, 7, 1), TEXT) },
            Self::Defer => Disposition::Deferred { rule, reply: Reply::fixed(450, Status(4, 7, 1), TEXT) },
            Self::Drop => Disposition::Dropped { rule },
        }
    }
}

/// The members as recipients of a step, in the order of the envelope, each address once.
fn step_recipients(mut members: Vec<&Member>) -> Vec<StepRecipient> {
    let recipient = |member: Member| StepRecipient { address: member.address, originals: member.originals };
    if let [member] = members.as_slice() {
        return vec![recipient((*member).clone())];
    }
    members.sort_by_key(|member| member.originals.first().copied());
    united(members.into_iter().cloned()).into_iter().map(recipient).collect()
}
