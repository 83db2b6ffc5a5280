//! The report for people: the summary first, then each kind of difference with examples.

use std::fmt::Write as _;

use super::Replayed;
use crate::message::is_hostile;
use crate::replay::{Change, Difference, Example, Group, Tally};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// Writes the report.
pub(super) fn report(replayed: &Replayed<'_>, color: bool) -> String {
    let mut report = Report { text: String::new(), color };
    let tally = &replayed.tally;
    report.head(replayed);
    report.summary(tally);
    let many_endpoints = tally.endpoints.len() > 1;
    for different in tally.differences() {
        let title = different.difference.changes.first().map(Change::in_brief).unwrap_or_default();
        report.title(different.group, &title, many_endpoints.then_some(different.endpoint));
        report.by(different.difference);
        report.examples(different.group);
    }
    for untold in tally.untold() {
        let title = format!("cannot be told: {}", untold.possible.join(", or "));
        report.title(untold.group, &title, many_endpoints.then_some(untold.endpoint));
        for question in untold.questions {
            report.line(7, &format!("depends on {question}"));
        }
        report.examples(untold.group);
    }
    if !tally.passed_over_shown.is_empty() {
        report.line(0, "");
        report.line(0, "Passed over:");
        for passed in &tally.passed_over_shown {
            report.line(2, &format!("{}: {}", passed.place, passed.why));
        }
        let more = tally.passed_over.saturating_sub(u64::try_from(tally.passed_over_shown.len()).unwrap_or(0));
        if more > 0 {
            report.line(2, &format!("and {more} more"));
        }
    }
    report.text
}

struct Report {
    text: String,
    color: bool,
}

impl Report {
    fn line(&mut self, indent: usize, text: &str) {
        let text = harmless(text);
        let indent = if text.is_empty() { 0 } else { indent };
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }

    fn head(&mut self, replayed: &Replayed<'_>) {
        let Replayed { replay, sources, tally } = replayed;
        self.line(0, &format!("old   {}", replay.old.label));
        self.line(0, &format!("new   {}", replay.new.label));
        for (path, kind) in sources {
            self.line(0, &format!("from  {} ({kind})", path.display()));
        }
        let endpoints: Vec<String> = tally.endpoints.iter().map(|(name, count)| format!("{} at {name}", messages(*count))).collect();
        self.line(6, &format!("{}; {}", endpoints.join(", "), recipients(tally.recipients)));
        self.line(0, "");
    }

    fn summary(&mut self, tally: &Tally) {
        let mut count = |number: u64, text: &str| {
            let _ = writeln!(self.text, "{number:>5}  {text}");
        };
        let in_messages = if tally.differ > 0 { format!(", in {}", messages(tally.messages_that_differ)) } else { String::new() };
        count(tally.differ, &format!("fare differently{in_messages}"));
        let by_others = match tally.same_by_other_rules {
            0 => String::new(),
            number => format!(", {number} of them by other rules"),
        };
        count(tally.same, &format!("fare the same{by_others}"));
        if tally.open > 0 {
            count(tally.open, "cannot be told: it depends on what is not known");
        }
        if tally.passed_over > 0 {
            count(tally.passed_over, "passed over, not judged");
        }
        if tally.other > 0 {
            self.line(7, &format!("({} of these in yet other ways, which are not listed)", tally.other));
        }
        let [client, sender, recipients] = tally.guessed;
        for (number, what) in [
            (client, "the client is taken from a Received field that another server wrote"),
            (sender, "the sender is taken from the From field"),
            (recipients, "the recipients are taken from To and Cc"),
        ] {
            if number > 0 {
                self.line(7, &format!("guessed: in {} {what}", messages(number)));
            }
        }
        if tally.assumed > 0 {
            let text = "what is not known is taken so that the old rules delivered the message";
            self.line(7, &format!("assumed: in {} {text}", messages(tally.assumed)));
        }
        let [logged, explained] = tally.logged;
        if logged > explained {
            let text = format!(
                "the old rules do not match as the log says they did for {} of {}: they were others then, or lists have changed",
                logged.saturating_sub(explained),
                messages(logged)
            );
            self.line(7, &text);
        }
    }

    fn title(&mut self, group: &Group, title: &str, endpoint: Option<&str>) {
        let at = endpoint.map(|endpoint| format!(" at {endpoint}")).unwrap_or_default();
        let (bold, plain) = if self.color { (BOLD, PLAIN) } else { ("", "") };
        let _ = writeln!(self.text, "\n{bold}{:>5}  {}{plain}", group.recipients, harmless(&format!("{title}{at}")));
    }

    fn by(&mut self, difference: &Difference) {
        let Difference { changes, old_by, new_by, .. } = difference;
        for change in changes.iter().skip(1) {
            self.line(7, &change.in_brief());
        }
        let name = |by: &[String]| if by.is_empty() { "no rule".to_owned() } else { by.join(", ") };
        if old_by == new_by {
            self.line(7, &format!("by {} in both", name(old_by)));
        } else {
            self.line(7, &format!("by {}, before by {}", name(new_by), name(old_by)));
        }
    }

    fn examples(&mut self, group: &Group) {
        for Example { place, message_id, mail_from, recipient, why, .. } in &group.examples {
            let id = message_id.as_deref().map(|id| format!(" {id}")).unwrap_or_default();
            let from = mail_from.as_deref().map(|from| format!(" from <{from}>")).unwrap_or_default();
            let (dim, plain) = if self.color { (DIM, PLAIN) } else { ("", "") };
            let _ = writeln!(self.text, "       - {}", harmless(&format!("to <{recipient}>{from}{id}")));
            let _ = writeln!(self.text, "         {dim}{}{plain}", harmless(place));
            for reason in why {
                self.line(9, reason);
            }
        }
    }
}

/// Mail is a stranger's: nothing of it may move the cursor.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_hostile(c) { ' ' } else { c }).collect()
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

fn recipients(count: u64) -> String {
    if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") }
}
