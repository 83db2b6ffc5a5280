//! The report for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Looked;
use super::steps::{Step, Verdict};

/// For people.
pub(super) fn human(all: &[Looked], color: bool) -> String {
    let mut text = String::new();
    for (place, looked) in all.iter().enumerate() {
        if place > 0 {
            text.push('\n');
        }
        // Writing to a text does not fail.
        let _ = writeln!(text, "{}", bold(&format!("relay {}", looked.relay.name), color));
        for step in &looked.steps {
            let subject = step.subject.as_deref().map(|subject| format!("{subject}: ")).unwrap_or_default();
            let _ = writeln!(text, "  {}  {}: {subject}{}", mark(step.verdict, color), step.step, shown(&step.text));
        }
        for setup in &looked.setup {
            let _ = writeln!(text, "\n{}\n", bold(&setup.title, color));
            for line in setup.text.lines() {
                let _ = writeln!(text, "{}", if line.is_empty() { String::new() } else { format!("  {line}") });
            }
        }
    }
    let problems = problems(all.iter().flat_map(|looked| &looked.steps));
    let _ = match problems {
        0 => writeln!(text, "\nno problems"),
        1 => writeln!(text, "\n1 problem"),
        many => writeln!(text, "\n{many} problems"),
    };
    text
}

/// For programs.
pub(super) fn json(all: &[Looked]) -> String {
    let step = |step: &Step| json!({ "verdict": step.verdict.name(), "step": step.step, "subject": step.subject, "text": step.text });
    let relays: Vec<Value> = all
        .iter()
        .map(|looked| {
            let setup: Vec<Value> = looked.setup.iter().map(|setup| json!({ "title": setup.title, "text": setup.text })).collect();
            json!({
                "relay": &*looked.relay.name,
                "problems": problems(&looked.steps),
                "steps": looked.steps.iter().map(step).collect::<Vec<_>>(),
                "setup": setup,
            })
        })
        .collect();
    format!("{:#}\n", json!({ "relays": relays }))
}

fn problems<'a>(steps: impl IntoIterator<Item = &'a Step>) -> usize {
    steps.into_iter().filter(|step| step.verdict == Verdict::Problem).count()
}

/// Without what would move a terminal's cursor: certificates say whatever their owners like.
fn shown(text: &str) -> String {
    text.replace('\n', " / ").chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn bold(text: &str, color: bool) -> String {
    if color { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

fn mark(verdict: Verdict, color: bool) -> String {
    let word = format!("{:7}", verdict.name());
    let code = match verdict {
        Verdict::Fine => "32",
        Verdict::Note => "36",
        Verdict::Skipped => "2",
        Verdict::Problem => "31",
    };
    if color { format!("\x1b[{code}m{word}\x1b[0m") } else { word }
}
