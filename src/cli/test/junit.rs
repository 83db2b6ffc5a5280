//! Results as the XML of JUnit, with what GitLab, Jenkins and GitHub's reporters read: suites by file, `classname`, `time`, `file`, and the
//! text of a failure.

use std::fmt::Write;

use super::judge::Mismatch;
use super::{FileResult, Results, TestResult};
use crate::config::{Format, Report};

pub(super) fn render(results: &Results<'_>) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let tests = results.tests().count().saturating_add(results.mistakes.len());
    element(
        &mut out,
        "testsuites",
        &[
            ("name", "gateway test".to_owned()),
            ("tests", tests.to_string()),
            ("failures", results.failed().to_string()),
            ("errors", results.mistakes.len().to_string()),
            ("time", format!("{:.3}", results.took.as_secs_f64())),
        ],
        ">\n",
    );
    results.mistakes.iter().for_each(|report| mistakes(&mut out, report));
    results.files.iter().for_each(|file| suite(&mut out, file));
    out.push_str("</testsuites>\n");
    out
}

fn suite(out: &mut String, file: &FileResult<'_>) {
    let path = file.file.path.display().to_string();
    let failed = file.tests.iter().filter(|test| !test.mismatches.is_empty()).count();
    let time = file.tests.iter().map(|test| test.took.as_secs_f64()).sum::<f64>();
    let attributes = [
        ("name", path.clone()),
        ("tests", file.tests.len().to_string()),
        ("failures", failed.to_string()),
        ("errors", "0".to_owned()),
        ("skipped", "0".to_owned()),
        ("time", format!("{time:.3}")),
        ("file", path.clone()),
    ];
    element(out, "  <testsuite", &attributes, ">\n");
    file.tests.iter().for_each(|result| case(out, &path, result));
    out.push_str("  </testsuite>\n");
}

fn case(out: &mut String, path: &str, result: &TestResult<'_>) {
    let attributes = [
        ("name", result.test.name.to_string()),
        // Readers make a tree of the dots.
        ("classname", path.trim_end_matches(".yaml").replace('.', "_").replace('/', ".")),
        ("file", path.to_owned()),
        ("line", result.test.line.to_string()),
        ("time", format!("{:.3}", result.took.as_secs_f64())),
    ];
    let Some(first) = result.mismatches.first() else { return element(out, "    <testcase", &attributes, "/>\n") };
    element(out, "    <testcase", &attributes, ">\n");
    let message = format!("{}: {}: {}", whose(first), first.what, difference(first, ", "));
    element(out, "      <failure", &[("message", message), ("type", first.what.to_owned())], ">");
    let text: String = result.mismatches.iter().map(|mismatch| one_text(path, mismatch)).collect();
    out.push_str(&escaped(&text));
    out.push_str("</failure>\n    </testcase>\n");
}

fn whose(mismatch: &Mismatch) -> &str {
    mismatch.recipient.as_deref().unwrap_or("the message")
}

fn difference(mismatch: &Mismatch, between: &str) -> String {
    let Mismatch { expected, actual, .. } = mismatch;
    if expected.is_empty() { actual.clone() } else { format!("expected {expected}{between}actual {actual}") }
}

fn one_text(path: &str, mismatch: &Mismatch) -> String {
    let Mismatch { what, line, because, .. } = mismatch;
    let mut text = format!("{path}:{line}: {}: {what}\n  {}\n", whose(mismatch), difference(mismatch, "\n  "));
    for one in because {
        let place = one.place.as_ref().map_or_else(String::new, |(file, line)| format!(" ({}:{line})", file.display()));
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  because  {}{place}", one.text);
    }
    text
}

/// Tests that could not run are an error of their own, or a reader would take them for passed.
fn mistakes(out: &mut String, report: &Report) {
    let attributes = [("name", "mistakes".to_owned()), ("tests", "1".to_owned()), ("failures", "0".to_owned()), ("errors", "1".to_owned())];
    element(out, "  <testsuite", &attributes, ">\n");
    element(out, "    <testcase", &[("name", "files without mistakes".to_owned()), ("classname", "mistakes".to_owned())], ">\n");
    element(out, "      <error", &[("message", report.summary()), ("type", "mistake".to_owned())], ">");
    out.push_str(&escaped(&report.render(Format::Text, false)));
    out.push_str("</error>\n    </testcase>\n  </testsuite>\n");
}

fn element(out: &mut String, name: &str, attributes: &[(&str, String)], end: &str) {
    if !name.contains('<') {
        out.push('<');
    }
    out.push_str(name);
    for (name, value) in attributes {
        // Writing to a text cannot fail.
        let _ = write!(out, " {name}=\"{}\"", escaped(value).replace('\n', "&#10;"));
    }
    out.push_str(end);
}

/// XML 1.0 §2.2 and §2.4: characters that it has no place for become `?`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(char),
            '\u{fffe}' | '\u{ffff}' => out.push('?'),
            char if char.is_control() => out.push('?'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_ends_an_element() {
        assert_eq!(escaped("a<b> & \"c\"\u{0}\u{1b}[31m\u{ffff}\n"), "a&lt;b&gt; &amp; &quot;c&quot;??[31m?\n");
        let mut out = String::new();
        element(&mut out, "e", &[("a", "1\n\"2".to_owned())], "/>");
        assert_eq!(out, "<e a=\"1&#10;&quot;2\"/>");
    }
}
