//! Reports as text in rustc's look, as JSON, as annotations of GitHub, as SARIF.

mod sarif;
mod text;

use serde_json::json;

use super::diagnostic::{Diagnostic, Severity};
use super::report::Report;
use super::source::{Source, Span};

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// Annotations for GitHub Actions.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

impl Report {
    /// The whole report; `color` only counts for text.
    pub fn render(&self, format: Format, color: bool) -> String {
        match format {
            Format::Text => text::render(self, color),
            Format::Json => self.json(),
            Format::Github => self.diagnostics.iter().map(github).collect(),
            Format::Sarif => sarif::render(self),
        }
    }

    /// `2 errors, 1 warning in 3 files`.
    pub fn summary(&self) -> String {
        let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let (errors, warnings) = (self.errors(), self.warnings());
        let files = count(self.files_checked, "file");
        let summary = match (errors, warnings) {
            (0, 0) => format!("{files} checked: no mistakes"),
            (0, _) => format!("{} in {files}", count(warnings, "warning")),
            (_, 0) => format!("{} in {files}", count(errors, "error")),
            _ => format!("{}, {} in {files}", count(errors, "error"), count(warnings, "warning")),
        };
        match self.left_out() {
            0 => summary,
            left_out => format!("{summary}; {left_out} of them are not shown"),
        }
    }

    fn json(&self) -> String {
        let diagnostics: Vec<_> = self.diagnostics.iter().map(json_of).collect();
        pretty(&json!({
            "errors": self.errors(),
            "warnings": self.warnings(),
            "files": self.files_checked,
            "not_shown": self.left_out(),
            "diagnostics": diagnostics,
        }))
    }
}

fn json_of(d: &Diagnostic) -> serde_json::Value {
    let Region { end_line, end_column, .. } = Region::of(&d.source, &d.span);
    let notes: Vec<_> = d
        .notes
        .iter()
        .map(|note| {
            let region = Region::of(&note.source, &note.span);
            json!({
                "file": note.source.path,
                "line": region.line,
                "column": region.column,
                "end_line": region.end_line,
                "end_column": region.end_column,
                "message": note.text,
            })
        })
        .collect();
    let fixes: Vec<_> = d
        .fixes
        .iter()
        .map(|fix| {
            let edits = fix.edits.iter().map(|(span, text)| {
                let region = Region::of(&d.source, span);
                json!({
                    "line": region.line,
                    "column": region.column,
                    "end_line": region.end_line,
                    "end_column": region.end_column,
                    "text": text,
                })
            });
            json!({ "title": fix.title, "safe": fix.is_safe, "edits": edits.collect::<Vec<_>>() })
        })
        .collect();
    json!({
        "code": d.code.name(),
        "severity": word(d.severity),
        "file": d.file,
        "line": d.line,
        "column": d.column,
        "end_line": end_line,
        "end_column": end_column,
        "message": d.message,
        "help": d.help,
        "notes": notes,
        "fixes": fixes,
    })
}

/// A place as lines and columns, from 1; the end is behind the last character.
struct Region {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

impl Region {
    fn of(source: &Source, span: &Span) -> Self {
        let (line, column) = source.position(span.start);
        let (end_line, end_column) = source.position(span.end.max(span.start));
        Self { line, column, end_line, end_column }
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// All that is said, for readers that show one line: what is wrong, what was meant, how it is mended.
fn one_text(diagnostic: &Diagnostic) -> String {
    let fixes = diagnostic.fixes.iter().map(|fix| fix.title.as_str());
    diagnostic.help.iter().map(String::as_str).chain(fixes).fold(diagnostic.message.clone(), |text, help| format!("{text}; {help}"))
}

/// `::error file=…,line=…,col=…::message`; the characters that would end a field are escaped as GitHub asks.
fn github(diagnostic: &Diagnostic) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let Region { end_line, end_column, .. } = Region::of(&diagnostic.source, &diagnostic.span);
    let mut message = one_text(diagnostic);
    for note in &diagnostic.notes {
        let (line, _) = note.source.position(note.span.start);
        message.push_str(&format!("\n{}:{line}: {}", note.source.path.display(), note.text));
    }
    format!(
        "::{} file={},line={},col={},endLine={end_line},endColumn={end_column},title={}::{}\n",
        word(diagnostic.severity),
        property(&diagnostic.file.to_string_lossy()),
        diagnostic.line,
        diagnostic.column,
        property(diagnostic.code.name()),
        data(&message),
    )
}
