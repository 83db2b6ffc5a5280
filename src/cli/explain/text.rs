//! The explanation for people, in the order in which things happen.

use std::fmt::Write;

use super::Explanation;
use crate::analysis::{List, Place};
use crate::config::FilePlaces;
use crate::limits::EXPLAINED_VALUES_MAX;
use crate::message::{Edits, Original, one_line};
use crate::policy::{Effect, StatementTrace, Verdict};
use crate::rules::{
    ConditionPath, ConditionTrace, Disposition, MailFrom, Mode, OnFailure, Plan, RecipientTrace, RuleTrace, Seen, Step, StepAction,
};
use crate::smtp::Reply;
use crate::trial::{Answer, Changes, Exchange, Judged, StageTrial, changes};

/// A text that is written to, with colours or without.
struct Page {
    text: String,
    color: bool,
}

/// Columns of the longest verdict.
const MARK: usize = 3;
/// So many values with the same end are told one by one.
const FEW: usize = 4;
/// Characters of what was told: a thousand recipients take more.
const VALUE_CHARS_MAX: usize = 1000;

pub(super) fn text(explanation: &Explanation<'_>, color: bool) -> String {
    let mut page = Page { text: String::new(), color };
    page.told(explanation);
    page.dialogue(explanation);
    page.policy(explanation);
    if let Some(judged) = &explanation.trial.judged {
        page.rules(explanation, judged);
        if let (Some(plan), Some(original)) = (&judged.plan, &judged.original) {
            page.plan(explanation, plan, original);
        }
    }
    page.end(explanation);
    page.text
}

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "{:indent$}{}", "", text.trim_end());
    }

    fn title(&mut self, text: &str) {
        self.text.push('\n');
        let text = self.painted("1", text);
        self.line(0, &text);
    }

    fn painted(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn mark(&self, seen: &Seen) -> String {
        let (style, word) = match seen {
            Seen::Holds => ("32", "yes"),
            Seen::Fails => ("31", "no"),
            Seen::Unknown(_) => ("33", "?"),
        };
        self.painted(style, &format!("{word:<MARK$}"))
    }

    /// What is judged, and by what.
    fn told(&mut self, explanation: &Explanation<'_>) {
        let Explanation { rulebook, endpoint, told, trial, .. } = explanation;
        let (policy, rules) = (&endpoint.policy.name, &endpoint.rules.name);
        let file = |files: Option<&FilePlaces>| files.map_or(String::new(), |file| format!(" ({})", file.path().display()));
        let policy = format!("policy {policy}{}", file(rulebook.files.policies.get(&**policy)));
        let rules = format!("rules {rules}{}", file(rulebook.files.rule_sets.get(&**rules)));
        self.line(0, &format!("{:<14}{}: {policy}, {rules}", "endpoint", endpoint.name));
        for one in told {
            let from = one.from.map_or(String::new(), |from| format!("  (from {from})"));
            self.line(0, &format!("{:<14}{}{from}", one.what, one_line(&one.value, VALUE_CHARS_MAX)));
        }
        for assumption in &trial.assumptions {
            self.line(0, &format!("{:<14}{assumption}", "assumed"));
        }
    }

    fn dialogue(&mut self, explanation: &Explanation<'_>) {
        self.title("The dialogue");
        for Exchange { said, reply } in &explanation.trial.dialogue {
            if said == "." {
                self.line(2, "C: (the message)");
            } else if !said.is_empty() {
                self.line(2, &format!("C: {said}"));
            }
            match reply {
                Some(reply) => {
                    let mut lines = reply.text.lines();
                    let first = Reply { text: lines.next().unwrap_or_default().to_owned().into(), ..reply.clone() };
                    let more = lines.count();
                    let more = if more > 0 { format!("  (and {more} more lines)") } else { String::new() };
                    self.line(2, &format!("S: {first}{more}"));
                }
                None => {
                    let answer = explanation.trial.judged.as_ref().and_then(|judged| judged.answer.as_ref());
                    self.line(2, &format!("S: {}", positive(answer)));
                }
            }
        }
    }

    /// What the policy has said, where it has said something.
    fn policy(&mut self, explanation: &Explanation<'_>) {
        let trial = &explanation.trial;
        let name = &explanation.endpoint.policy.name;
        for stage in trial.stages.iter().filter(|stage| stage.refusal.is_some()) {
            self.title(&format!("Policy `{name}` at {}: {}", stage.stage.name(), ruled(stage)));
            self.statements(explanation, stage);
        }
        let mut shown: Vec<(&StageTrial, Vec<&str>)> = Vec::new();
        for recipient in &trial.recipients {
            let Some(asked) = &recipient.policy else { continue };
            // Who fares alike by the same statements is shown once.
            match shown.iter_mut().find(|(known, _)| known.verdict == asked.verdict && is_alike(known, asked)) {
                Some((_, others)) => others.push(recipient.address.as_str()),
                None => shown.push((asked, vec![recipient.address.as_str()])),
            }
        }
        for (asked, addresses) in shown {
            self.title(&format!("Policy `{name}` at rcpt for {}: {}", listed(&addresses), ruled(asked)));
            self.statements(explanation, asked);
        }
        for recipient in &trial.recipients {
            let is_allowed = recipient.policy.as_ref().is_some_and(|asked| asked.refusal.is_none());
            if let Some(reply) = recipient.reply.as_ref().filter(|reply| is_allowed && !reply.is_positive()) {
                self.title(&format!("{} is refused all the same: {reply}", recipient.address));
            }
        }
    }

    fn statements(&mut self, explanation: &Explanation<'_>, stage: &StageTrial) {
        let file = explanation.rulebook.files.policies.get(&*explanation.endpoint.policy.name);
        for (list, word, statements) in [(List::Deny, "deny", &stage.trace.deny), (List::Allow, "allow", &stage.trace.allow)] {
            for (place, statement) in statements.iter().enumerate() {
                let at = position(file, &Place::Statement(list, place));
                if !statement.is_reached {
                    self.line(2, &format!("{:<MARK$} {word} `{}`{at}: not looked at", "-", statement.name));
                    continue;
                }
                let mark = self.mark(&statement.outcome);
                self.line(2, &format!("{mark} {word} `{}`{at}", statement.name));
                let deciding = statement.deciding();
                for (number, condition) in statement.when.iter().enumerate() {
                    self.condition(6, "", condition, deciding.contains(&number));
                }
            }
        }
        if matches!(stage.verdict, Verdict::Decided(_, None)) {
            let default = explanation.endpoint.policy.default;
            self.line(2, &format!("{:<MARK$} default: {}", "", if default == Effect::Allow { "allow" } else { "deny" }));
        }
    }

    fn condition(&mut self, indent: usize, before: &str, condition: &ConditionTrace, decides: bool) {
        let ConditionTrace { attribute, test, saw, outcome, inner } = condition;
        let saw = match (saw.as_slice(), inner.is_empty(), outcome) {
            (_, false, _) => String::new(),
            ([], true, Seen::Unknown(why)) => format!(", {why}"),
            ([], true, _) => ", saw nothing".to_owned(),
            (values, true, _) => format!(", saw {}", values.join(", ")),
        };
        let test = if test.is_empty() { String::new() } else { format!(" {test}") };
        let decides = if decides { self.painted("1", "  <- decides") } else { String::new() };
        let mark = self.mark(outcome);
        self.line(indent, &format!("{mark} {before}{attribute}{test}{saw}{decides}"));
    }

    fn rules(&mut self, explanation: &Explanation<'_>, judged: &Judged) {
        if judged.rules.is_empty() {
            return;
        }
        let name = &explanation.endpoint.rules.name;
        self.title(&format!("Rule set `{name}`"));
        let file = explanation.rulebook.files.rule_sets.get(&**name);
        for rule in &judged.rules {
            let at = position(file, &Place::Rule(rule.index));
            let number = rule.index.saturating_add(1);
            let head = format!("{number}. {}{at}", rule.rule);
            match rule.mode {
                Mode::Off => self.line(2, &format!("{head}: off")),
                _ if rule.recipients.is_empty() => self.line(2, &format!("{head}: not reached")),
                Mode::Audit => self.rule(&format!("{head} (audit: changes nothing)"), rule),
                Mode::Enforce => self.rule(&head, rule),
            }
        }
    }

    fn rule(&mut self, head: &str, rule: &RuleTrace) {
        let mut groups: Vec<(&RecipientTrace, Vec<&str>)> = Vec::new();
        for one in &rule.recipients {
            match groups.iter_mut().find(|(known, _)| fares_like(known, one)) {
                Some((_, others)) => others.push(one.address.as_str()),
                None => groups.push((one, vec![one.address.as_str()])),
            }
        }
        self.line(2, head);
        for (one, addresses) in groups {
            let mark = self.mark(&one.outcome);
            let verb = match &one.outcome {
                Seen::Holds => "matches",
                Seen::Fails => "does not match",
                Seen::Unknown(_) => "it is not known whether it matches",
            };
            self.line(5, &format!("{mark} {verb}: {}", listed(&addresses)));
            let deciding = one.deciding();
            self.conditions(9, false, &one.when, &mut Vec::new(), &deciding);
            self.conditions(9, true, &one.unless, &mut Vec::new(), &deciding);
        }
    }

    fn conditions(
        &mut self,
        indent: usize,
        unless: bool,
        conditions: &[ConditionTrace],
        path: &mut Vec<usize>,
        deciding: &[ConditionPath],
    ) {
        for (place, condition) in conditions.iter().enumerate() {
            path.push(place);
            let decides = deciding.iter().any(|one| one.unless == unless && one.steps == *path);
            self.condition(indent, if unless && path.len() == 1 { "unless " } else { "" }, condition, decides);
            self.conditions(indent.saturating_add(4), unless, &condition.inner, path, deciding);
            path.pop();
        }
    }

    fn plan(&mut self, explanation: &Explanation<'_>, plan: &Plan, original: &Original) {
        self.title("The plan");
        let file = explanation.rulebook.files.rule_sets.get(&*explanation.endpoint.rules.name);
        let place = |rule: &str| explanation.endpoint.rules.rules.iter().position(|one| *one.name == *rule);
        let by = |rule: &str| match place(rule) {
            Some(number) => format!("by `{rule}`{}", position(file, &Place::Rule(number))),
            None => format!("by `{rule}`: no rule has disposed of it"),
        };
        for recipient in &plan.recipients {
            let what = match &recipient.disposition {
                Disposition::Planned => continue,
                Disposition::Dropped { rule } => format!("dropped {}", by(rule)),
                Disposition::Rejected { rule, reply } => format!("rejected {}: {reply}", by(rule)),
                Disposition::Deferred { rule, reply } => format!("deferred {}: {reply}", by(rule)),
            };
            self.line(2, &format!("{}: {what}", recipient.address));
        }
        for step in &plan.steps {
            let Step { rule, action: StepAction::SmtpRelay { relay, mail_from }, recipients, edits, on_failure } = step;
            let to: Vec<String> = recipients.iter().map(|recipient| replaced(plan, recipient)).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            self.line(2, &format!("{}: SMTPRelay to `{relay}` {}", listed(&to), by(rule)));
            match mail_from {
                MailFrom::Preserve => {}
                MailFrom::Replace => self.line(6, "with the gateway's own postmaster as sender"),
                MailFrom::Srs => self.line(6, "with an address of ours in place of the sender (SRS)"),
            }
            match on_failure {
                OnFailure::Bounce => {}
                OnFailure::Continue => self.line(6, "on failure: continue"),
                OnFailure::Drop => self.line(6, "on failure: drop"),
            }
            self.changes(original, edits);
        }
    }

    fn changes(&mut self, original: &Original, edits: &Edits) {
        let Changes { added, removed, replaced } = changes(original, edits);
        added.iter().for_each(|field| self.line(6, &format!("+ {field}")));
        removed.iter().for_each(|field| self.line(6, &format!("- {field}")));
        for (before, after) in &replaced {
            self.line(6, &format!("- {before}"));
            self.line(6, &format!("+ {after}"));
        }
    }

    /// The reply, and what stands in its way.
    fn end(&mut self, explanation: &Explanation<'_>) {
        let trial = &explanation.trial;
        if trial.lacking.is_empty() {
            let answer = trial.judged.as_ref().and_then(|judged| judged.answer.as_ref());
            let reply = trial.reply().map_or_else(|| positive(answer), ToString::to_string);
            self.title(&format!("The reply: {reply}"));
            return;
        }
        let lacking: Vec<String> = trial.lacking.iter().map(ToString::to_string).collect();
        self.title(&format!("Not known, and it matters: {}", lacking.join(", ")));
        // What most values lead to comes last, and is not told value by value.
        let most = explanation.follows.iter().map(|follow| follow.when.len()).max().filter(|most| *most > FEW);
        let mut rest = None;
        for follow in &explanation.follows {
            if Some(follow.when.len()) == most && rest.is_none() {
                rest = Some(follow);
                continue;
            }
            self.line(2, &format!("{}:", follow.when.join(", ")));
            self.line(6, &follow.then);
        }
        if let Some(rest) = rest {
            self.line(2, if explanation.follows.len() == 1 { "whatever it is:" } else { "else:" });
            self.line(6, &rest.then);
        }
        self.line(2, "Give it (see --help), or have DNS and the analyzers asked with --ask.");
    }
}

/// What a message is answered with that is not refused. `ID` stands for the message's id.
fn positive(answer: Option<&Answer>) -> String {
    match answer {
        Some(Answer::Refused(reply)) => reply.to_string(),
        Some(Answer::Dropped) => "250 2.0.0 Taken as ID".to_owned(),
        Some(Answer::Spooled) => "250 2.0.0 Queued as ID".to_owned(),
        Some(Answer::AskedOf(relay)) => {
            format!("what `{relay}` says: it is asked while the client waits; 250 2.0.0 Queued as ID where it cannot take it now")
        }
        None => "not known".to_owned(),
    }
}

/// The verdict with whoever decided.
fn ruled(stage: &StageTrial) -> String {
    match (&stage.verdict, &stage.refusal) {
        (Verdict::Decided(Effect::Allow, by), _) => format!("allowed by {}", statement(by.as_deref())),
        (Verdict::Decided(Effect::Deny, by), Some(reply)) => format!("refused by {}: {reply}", statement(by.as_deref())),
        (Verdict::Decided(Effect::Deny, by), None) => format!("refused by {}", statement(by.as_deref())),
        (Verdict::Unknown { statement, detail }, _) => format!("deferred, `{statement}` depends on what has no answer: {detail}"),
        (Verdict::Undecided { .. }, _) => "not decided".to_owned(),
    }
}

fn statement(name: Option<&str>) -> String {
    name.map_or("the default".to_owned(), |name| format!("`{name}`"))
}

fn position(file: Option<&FilePlaces>, place: &Place) -> String {
    let line = file.and_then(|file| Some((file.path().display(), file.line(place)?)));
    line.map_or(String::new(), |(path, line)| format!(" ({path}:{line})"))
}

/// The address, and behind it those of the envelope that it stands for, where they are others.
fn replaced(plan: &Plan, recipient: &crate::rules::StepRecipient) -> String {
    let originals = recipient.originals.iter().filter_map(|original| plan.recipients.get(*original)).map(|original| &original.address);
    let others: Vec<&str> = originals.filter(|original| **original != recipient.address).map(|original| original.as_str()).collect();
    if others.is_empty() { recipient.address.to_string() } else { format!("{} (for {})", recipient.address, listed(&others)) }
}

/// Addresses, of many the first ones.
fn listed(addresses: &[&str]) -> String {
    let shown: Vec<&str> = addresses.iter().take(EXPLAINED_VALUES_MAX).copied().collect();
    let more = addresses.len().saturating_sub(shown.len());
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

/// Whether each statement came to the same.
fn is_alike(one: &StageTrial, other: &StageTrial) -> bool {
    let alike = |one: &[StatementTrace], other: &[StatementTrace]| {
        one.iter().zip(other).all(|(one, other)| one.outcome == other.outcome && one.deciding() == other.deciding())
    };
    alike(&one.trace.deny, &other.trace.deny) && alike(&one.trace.allow, &other.trace.allow)
}

/// Whether each condition came to the same, whatever values it saw.
fn fares_like(one: &RecipientTrace, other: &RecipientTrace) -> bool {
    fn alike(one: &[ConditionTrace], other: &[ConditionTrace]) -> bool {
        one.iter().zip(other).all(|(one, other)| one.outcome == other.outcome && alike(&one.inner, &other.inner))
    }
    one.outcome == other.outcome && alike(&one.when, &other.when) && alike(&one.unless, &other.unless)
}
