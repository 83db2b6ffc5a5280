//! Results for people: a line for each test, and for a failure what was expected, what came, and what decided.

use std::fmt::Write;

use super::coverage::{Covered, percent_of};
use super::judge::{Because, Mismatch};
use super::{Results, TestResult};
use crate::config;

const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

struct Page {
    text: String,
    color: bool,
}

pub(super) fn render(results: &Results<'_>, color: bool) -> String {
    let mut page = Page { text: String::new(), color };
    for report in &results.mistakes {
        page.text.push_str(&report.render(config::Format::Text, color));
    }
    for file in &results.files {
        page.line(&file.file.path.display().to_string());
        for test in &file.tests {
            page.test(test);
        }
    }
    if let Some(coverage) = &results.coverage {
        page.coverage(coverage);
    }
    page.text
}

/// `21 tests in 7 files: 20 as expected, 1 failed (12 ms)`.
pub(super) fn summary(results: &Results<'_>) -> String {
    let count = |number: usize, one: &str| if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") };
    let (all, failed) = (results.tests().count(), results.failed());
    let mut text = format!("{} in {}: ", count(all, "test"), count(results.files.len(), "file"));
    match (failed, all.saturating_sub(failed)) {
        (0, _) => text.push_str("all as expected"),
        (failed, passed) => add(&mut text, format_args!("{passed} as expected, {failed} failed")),
    }
    if results.errors() > 0 {
        add(&mut text, format_args!("; {} kept tests from running", count(results.errors(), "mistake")));
    }
    add(&mut text, format_args!(" ({} ms)", results.took.as_millis()));
    text
}

fn add(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a text cannot fail.
    let _ = text.write_fmt(more);
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn colored(&self, color: &str, text: &str) -> String {
        if self.color { format!("{color}{text}{RESET}") } else { text.to_owned() }
    }

    fn test(&mut self, result: &TestResult<'_>) {
        if result.mismatches.is_empty() {
            let ok = self.colored(GREEN, "ok    ");
            return self.line(&format!("  {ok}  {}", result.test.name));
        }
        let failed = self.colored(RED, "FAILED");
        self.line(&format!("  {failed}  {} (line {})", result.test.name, result.test.line));
        let mut of: Option<&Option<String>> = None;
        // What decided one thing decides others too, and is said once.
        let mut said: Vec<&Because> = Vec::new();
        for mismatch in &result.mismatches {
            if of != Some(&mismatch.recipient) {
                let whose = mismatch.recipient.as_deref().unwrap_or("the message");
                self.line(&format!("          {whose}"));
                of = Some(&mismatch.recipient);
                said.clear();
            }
            self.mismatch(mismatch, &said);
            said.extend(&mismatch.because);
        }
    }

    fn mismatch(&mut self, mismatch: &Mismatch, said: &[&Because]) {
        let Mismatch { what, line, expected, actual, because, .. } = mismatch;
        let actual = self.colored(RED, actual);
        if expected.is_empty() {
            self.line(&format!("            {what:<10} {actual}"));
        } else {
            let expected = self.colored(GREEN, expected);
            self.line(&format!("            {what:<10} expected  {expected}  (line {line})"));
            self.line(&format!("                       actual    {actual}"));
        }
        let mut label = "because";
        for Because { text, place } in because.iter().filter(|because| !said.contains(because)) {
            let place = place.as_ref().map_or_else(String::new, |(file, line)| format!("  {}:{line}", file.display()));
            let place = self.colored(DIM, &place);
            self.line(&format!("                       {label:<9} {text}{place}"));
            label = "";
        }
    }

    fn coverage(&mut self, files: &[Covered]) {
        self.line("");
        self.line(&format!("covered {:>3} %", percent_of(files)));
        for file in files {
            let Covered { file: path, matched, matchable, seen, possible, .. } = file;
            let what = format!("{matched} of {matchable} matched, {seen} of {possible} outcomes of conditions");
            self.line(&format!("  {:>3} %  {}  {}", file.percent(), path.display(), self.colored(DIM, &what)));
            for gap in &file.gaps {
                self.line(&format!("         {}:{}: {}", path.display(), gap.line, gap.text));
            }
        }
    }
}
