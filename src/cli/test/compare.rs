//! What is expected, and what came of it: every difference, with what decided.

use std::fmt::Write;

use super::actual::Actual;
use super::because;
use super::judge::{Because, Bench, Mismatch};
use crate::config::{Expectation, ExpectedHeader, ExpectedOutcome, ExpectedReply, ExpectedStep, ReplyOf, RuleTest};
use crate::message::{Original, View};
use crate::rules::{Disposition, MailFrom, OnFailure, Step, StepAction};
use crate::smtp::{Address, Reply};
use crate::trial::{Answer, Trial, fields_after};

pub(super) fn compare(bench: &Bench<'_>, test: &RuleTest, trial: &Trial) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    for (place, (recipient, expectation)) in test.given.envelope.recipients.iter().zip(&test.expect).enumerate() {
        let comparison = Comparison { bench, trial, actual: Actual::new(trial, place), expectation, recipient: recipient.address.as_str() };
        comparison.all(&mut mismatches);
    }
    mismatches.extend(test.reply.as_ref().and_then(|expected| reply_to_data(expected, trial)));
    mismatches
}

struct Comparison<'c> {
    bench: &'c Bench<'c>,
    trial: &'c Trial,
    actual: Actual<'c>,
    expectation: &'c Expectation,
    recipient: &'c str,
}

impl Comparison<'_> {
    fn all(&self, mismatches: &mut Vec<Mismatch>) {
        let Expectation { policy, statement, refused_at, rules, audit, outcomes, by, headers, reply, .. } = self.expectation;
        let (verdict, decided_by) = self.actual.policy().unzip();
        if let Some(expected) = policy.filter(|expected| Some(*expected) != verdict) {
            let shown = verdict.map_or("not asked", |verdict| verdict.word());
            mismatches.push(self.mismatch("policy", expected.word(), shown, self.policy()));
        }
        if let Some(expected) = statement.as_deref().filter(|expected| Some(*expected) != decided_by) {
            mismatches.push(self.mismatch("statement", expected, decided_by.unwrap_or("none"), self.policy()));
        }
        let at = self.actual.refused_at();
        if let Some(expected) = refused_at.filter(|expected| Some(*expected) != at) {
            mismatches.push(self.mismatch("refused_at", expected.word(), at.map_or("not refused", |at| at.word()), self.ended()));
        }
        for (what, expected, is_audit) in [("rules", rules, false), ("audit", audit, true)] {
            let Some(expected) = expected else { continue };
            let actual = self.actual.rules(is_audit);
            if *expected != actual {
                let because = self.rules(expected, &actual);
                mismatches.push(self.mismatch(what, list(expected), list(&actual), because));
            }
        }
        if let Some(expected) = outcomes {
            self.outcomes(expected, mismatches);
        }
        let ended_by = self.actual.ended_by();
        if let Some(expected) = by.as_deref().filter(|expected| Some(*expected) != ended_by) {
            mismatches.push(self.mismatch("by", expected, ended_by.unwrap_or("no rule"), self.ended()));
        }
        let steps = self.actual.steps();
        if steps.is_empty() && !headers.is_empty() {
            mismatches.push(self.mismatch("headers", "a next hop that sees them", "there is none", self.ended()));
        }
        for (step, _) in steps {
            self.headers(headers, step, mismatches);
        }
        if let Some(expected) = reply {
            let actual = self.actual.reply();
            if let Some((expected, shown)) = differs(expected, actual) {
                mismatches.push(Mismatch { line: reply_line(self.expectation), ..self.mismatch("reply", expected, shown, self.ended()) });
            }
        }
    }

    fn mismatch(&self, what: &'static str, expected: impl Into<String>, actual: impl Into<String>, because: Vec<Because>) -> Mismatch {
        let (expected, actual) = (expected.into(), actual.into());
        Mismatch { recipient: Some(self.recipient.to_owned()), what, line: self.expectation.line, expected, actual, because }
    }

    fn policy(&self) -> Vec<Because> {
        let statement = self.actual.policy().map(|(_, statement)| statement);
        because::policy(self.bench, self.actual.policy_trace(), self.expectation.statement.as_deref(), statement)
    }

    fn rules(&self, expected: &[String], actual: &[&str]) -> Vec<Because> {
        match self.actual.taken {
            Some(place) => because::rules(self.bench, self.trial, place, expected, actual),
            None => self.ended(),
        }
    }

    /// Why the recipient's way ended where it did.
    fn ended(&self) -> Vec<Because> {
        match self.actual.taken {
            Some(place) => because::matching(self.bench, self.trial, place),
            None => self.policy(),
        }
    }

    fn outcomes(&self, expected: &[ExpectedOutcome], mismatches: &mut Vec<Mismatch>) {
        let steps = self.actual.steps();
        let ending = match self.actual.disposition() {
            None if self.actual.refused_at().is_some() => Some("refused before there is a message"),
            None => Some("nothing"),
            Some(Disposition::Planned) => None,
            Some(Disposition::Dropped { .. }) => Some("Drop"),
            Some(Disposition::Rejected { .. }) => Some("Reject"),
            Some(Disposition::Deferred { .. }) => Some("Defer"),
        };
        let (relays, endings): (Vec<_>, Vec<_>) = expected.iter().partition(|outcome| matches!(outcome, ExpectedOutcome::Relay(_)));
        let word = |outcome: &&ExpectedOutcome| match outcome {
            ExpectedOutcome::Drop => "Drop",
            ExpectedOutcome::Reject => "Reject",
            ExpectedOutcome::Defer => "Defer",
            ExpectedOutcome::Relay(_) => "SMTPRelay",
        };
        let same_end = endings.iter().map(word).eq(ending);
        let fits = |(outcome, (step, to)): (&&ExpectedOutcome, &(&Step, Vec<&Address>))| match outcome {
            ExpectedOutcome::Relay(expected) => step_fits(expected, step, to),
            _ => false,
        };
        if !same_end || relays.len() != steps.len() || !relays.iter().zip(&steps).all(fits) {
            let shown = steps.iter().map(|(step, to)| shown_step(step, to)).chain(ending.map(str::to_owned)).collect::<Vec<_>>();
            let wanted = expected.iter().map(shown_outcome).collect::<Vec<_>>();
            mismatches.push(self.mismatch("outcome", wanted.join(", then "), shown.join(", then "), self.ended()));
            return;
        }
        for (outcome, (step, _)) in relays.iter().zip(steps) {
            if let ExpectedOutcome::Relay(expected) = outcome {
                self.headers(&expected.headers, step, mismatches);
            }
        }
    }

    fn headers(&self, expected: &[(String, ExpectedHeader)], step: &Step, mismatches: &mut Vec<Mismatch>) {
        let Some(original) = self.trial.judged.as_ref().and_then(|judged| judged.original.as_deref()) else { return };
        if expected.is_empty() {
            return;
        }
        let after = fields_after(original, &step.edits);
        for (name, expected) in expected {
            let values: Vec<&str> = after.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| &**value).collect();
            let fits = |wanted: &String, value: &&str| *wanted == **value || *wanted == decoded(value);
            let is_right = match expected {
                ExpectedHeader::Absent => values.is_empty(),
                ExpectedHeader::One(wanted) => values.iter().any(|value| fits(wanted, value)),
                ExpectedHeader::All(wanted) => {
                    wanted.len() == values.len() && wanted.iter().zip(&values).all(|(wanted, value)| fits(wanted, value))
                }
            };
            if !is_right {
                let wanted = match expected {
                    ExpectedHeader::Absent => format!("no {name}"),
                    ExpectedHeader::One(value) => format!("{name}: {value}"),
                    ExpectedHeader::All(values) => format!("{name}: {}", values.join(&format!(" | {name}: "))),
                };
                let shown = if values.is_empty() {
                    format!("no {name}")
                } else {
                    values.iter().map(|value| format!("{name}: {}", decoded(value))).collect::<Vec<_>>().join(" | ")
                };
                mismatches.push(self.mismatch("headers", wanted, shown, self.ended()));
            }
        }
    }
}

fn reply_line(expectation: &Expectation) -> usize {
    expectation.reply.as_ref().map_or(expectation.line, |reply| reply.line)
}

/// A value as people read it (RFC 2047).
fn decoded(value: &str) -> String {
    let Ok(original) = Original::parse(format!("Subject: {value}\r\n\r\n").into()) else { return value.to_owned() };
    View::new(&original).header("Subject").first().map_or_else(|| value.to_owned(), |text| text.plain().to_owned())
}

fn list(names: &[impl AsRef<str>]) -> String {
    format!("[{}]", names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
}

fn step_fits(expected: &ExpectedStep, step: &Step, to: &[&Address]) -> bool {
    let StepAction::SmtpRelay { relay, mail_from } = &step.action;
    expected.relay.as_deref().is_none_or(|wanted| wanted == &**relay)
        && expected.mail_from.as_ref().is_none_or(|wanted| wanted == mail_from)
        && expected.on_failure.is_none_or(|wanted| wanted == step.on_failure)
        && expected.to.as_ref().is_none_or(|wanted| {
            let same = |(one, other): (&Address, &&Address)| one.as_str().eq_ignore_ascii_case(other.as_str());
            wanted.len() == to.len() && wanted.iter().zip(to).all(same)
        })
}

fn shown_outcome(outcome: &ExpectedOutcome) -> String {
    let step = match outcome {
        ExpectedOutcome::Drop => return "Drop".to_owned(),
        ExpectedOutcome::Reject => return "Reject".to_owned(),
        ExpectedOutcome::Defer => return "Defer".to_owned(),
        ExpectedOutcome::Relay(step) => step,
    };
    let mut text = format!("SMTPRelay {}", step.relay.as_deref().unwrap_or("(any)"));
    if let Some(to) = &step.to {
        add(&mut text, "to", &addresses(to.iter()));
    }
    if let Some(mail_from) = &step.mail_from {
        add(&mut text, "mail_from", mail_from_word(mail_from));
    }
    if let Some(on_failure) = step.on_failure {
        add(&mut text, "on_failure", on_failure_word(on_failure));
    }
    text
}

fn shown_step(step: &Step, to: &[&Address]) -> String {
    let StepAction::SmtpRelay { relay, mail_from } = &step.action;
    let mut text = format!("SMTPRelay {relay}");
    add(&mut text, "to", &addresses(to.iter().copied()));
    add(&mut text, "mail_from", mail_from_word(mail_from));
    add(&mut text, "on_failure", on_failure_word(step.on_failure));
    text
}

fn add(text: &mut String, key: &str, value: &str) {
    // Writing to a text cannot fail.
    let _ = write!(text, " {key}: {value}");
}

fn addresses<'a>(addresses: impl Iterator<Item = &'a Address>) -> String {
    addresses.map(Address::as_str).collect::<Vec<_>>().join(" ")
}

fn mail_from_word(mail_from: &MailFrom) -> &'static str {
    match mail_from {
        MailFrom::Preserve => "preserve",
        MailFrom::Replace => "replace",
        MailFrom::Srs => "srs",
    }
}

fn on_failure_word(on_failure: OnFailure) -> &'static str {
    match on_failure {
        OnFailure::Bounce => "bounce",
        OnFailure::Continue => "continue",
        OnFailure::Drop => "drop",
    }
}

fn reply_to_data(expected: &ExpectedReply, trial: &Trial) -> Option<Mismatch> {
    let accepted = Reply::new(250, None, "");
    let (of, reply, about) = match trial.judged.as_ref().and_then(|judged| judged.answer.as_ref()) {
        Some(Answer::Refused(reply)) => (ReplyOf::Gateway, Some(reply), String::new()),
        Some(Answer::Dropped) => (ReplyOf::Gateway, Some(&accepted), String::new()),
        Some(Answer::Spooled) => (ReplyOf::Spool, Some(&accepted), String::new()),
        Some(Answer::AskedOf(relay)) => (ReplyOf::Relay, None, format!("what `{relay}` says")),
        None => (ReplyOf::Gateway, trial.reply(), String::new()),
    };
    let mismatch = |expected: String, actual: String, line| {
        Some(Mismatch { recipient: None, what: "reply", line, expected, actual, because: Vec::new() })
    };
    if let Some(wanted) = expected.of.filter(|wanted| *wanted != of) {
        return mismatch(format!("of: {}", wanted.word()), format!("of: {}", of.word()), expected.line);
    }
    let asks_for_more = expected.code.is_some() || expected.status.is_some() || expected.text.is_some() || expected.contains.is_some();
    if of == ReplyOf::Relay {
        return if asks_for_more { mismatch(shown_expected(expected), about, expected.line) } else { None };
    }
    let (wanted, shown) = differs(expected, reply)?;
    mismatch(wanted, shown, expected.line)
}

/// What is expected and what is, where they differ.
fn differs(expected: &ExpectedReply, actual: Option<&Reply>) -> Option<(String, String)> {
    let Some(reply) = actual else { return Some((shown_expected(expected), "not refused".to_owned())) };
    let is_same = expected.code.is_none_or(|code| code == reply.code)
        && expected.status.is_none_or(|status| Some(status) == reply.status)
        && expected.text.as_ref().is_none_or(|text| *text == reply.text)
        && expected.contains.as_ref().is_none_or(|part| reply.text.contains(part.as_str()));
    (!is_same).then(|| (shown_expected(expected), reply.to_string()))
}

fn shown_expected(expected: &ExpectedReply) -> String {
    let mut parts = Vec::new();
    parts.extend(expected.code.map(|code| code.to_string()));
    parts.extend(expected.status.map(|status| status.to_string()));
    parts.extend(expected.text.clone());
    parts.extend(expected.contains.as_ref().map(|part| format!("… {part} …")));
    parts.join(" ")
}
