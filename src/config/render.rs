//! Reports as text in rustc's look, as JSON, as annotations of GitHub, as SARIF.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::json;

use super::diagnostic::{Code, Diagnostic, Report, Severity};
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
            Format::Text => self.text(color),
            Format::Json => self.json(),
            Format::Github => self.diagnostics.iter().map(github).collect(),
            Format::Sarif => self.sarif(),
        }
    }

    /// `2 errors, 1 warning in 3 files`.
    pub fn summary(&self) -> String {
        let count = |n: usize, one: &str| if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") };
        let (errors, warnings) = (self.errors(), self.warnings());
        let files = count(self.files_checked, "file");
        match (errors, warnings) {
            (0, 0) => format!("{files} checked: no mistakes"),
            (0, _) => format!("{} in {files}", count(warnings, "warning")),
            (_, 0) => format!("{} in {files}", count(errors, "error")),
            _ => format!("{}, {} in {files}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    fn text(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in &self.diagnostics {
            out.push_str(&text(diagnostic, &renderer));
            out.push_str("\n\n");
        }
        out
    }

    fn json(&self) -> String {
        let diagnostics: Vec<_> = self
            .diagnostics
            .iter()
            .map(|d| {
                let (end_line, end_column) = d.source.position(d.span.end);
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
                })
            })
            .collect();
        pretty(&json!({ "errors": self.errors(), "warnings": self.warnings(), "files": self.files_checked, "diagnostics": diagnostics }))
    }

    fn sarif(&self) -> String {
        let rules: Vec<_> =
            Code::ALL.iter().map(|code| json!({ "id": code.name(), "shortDescription": { "text": code.about() } })).collect();
        let results: Vec<_> = self
            .diagnostics
            .iter()
            .map(|d| {
                let (end_line, end_column) = d.source.position(d.span.end);
                json!({
                    "ruleId": d.code.name(),
                    "level": word(d.severity),
                    "message": { "text": one_text(d) },
                    "locations": [{ "physicalLocation": {
                        "artifactLocation": { "uri": d.file.to_string_lossy().replace('\\', "/") },
                        "region": { "startLine": d.line, "startColumn": d.column, "endLine": end_line, "endColumn": end_column },
                    } }],
                })
            })
            .collect();
        pretty(&json!({
            "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": { "name": "gateway", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
                "columnKind": "unicodeCodePoints",
                "results": results,
            }],
        }))
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

fn one_text(diagnostic: &Diagnostic) -> String {
    diagnostic.help.iter().fold(diagnostic.message.clone(), |text, help| format!("{text}; {help}"))
}

/// `::error file=…,line=…,col=…::message`; the characters that would end a field are escaped as GitHub asks.
fn github(diagnostic: &Diagnostic) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let (end_line, end_column) = diagnostic.source.position(diagnostic.span.end);
    format!(
        "::{} file={},line={},col={},endLine={end_line},endColumn={end_column},title={}::{}\n",
        word(diagnostic.severity),
        property(&diagnostic.file.to_string_lossy()),
        diagnostic.line,
        diagnostic.column,
        property(diagnostic.code.name()),
        data(&one_text(diagnostic)),
    )
}

fn text(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let source: &Source = &diagnostic.source;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let path = diagnostic.file.display().to_string();
    let mut group: Group<'_> = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.name()));
    let notes = || diagnostic.notes.iter().filter(|note| note.source.path == source.path);
    let noted = || notes().map(|note| source.position(note.span.start).0);
    let first = noted().fold(diagnostic.line, usize::min);
    let last = noted().fold(diagnostic.line, usize::max);
    let lines = source.line(first).start..source.line(last).end;
    let fits = (first..=last.min(first.saturating_add(1000))).all(|line| source.line(line).len() <= LINE_BYTES_SHOWN)
        && last <= first.saturating_add(1000);
    if source.text.is_empty() {
        group = group.element(Origin::path(path).line(diagnostic.line).char_column(diagnostic.column));
    } else if fits {
        let shown = source.text.get(lines.clone()).unwrap_or_default();
        let mut snippet = Snippet::source(shown).line_start(first).path(path);
        snippet = snippet.annotation(AnnotationKind::Primary.span(within(&diagnostic.span, source, &lines)));
        for note in notes() {
            snippet = snippet.annotation(AnnotationKind::Context.span(within(&note.span, source, &lines)).label(note.text.as_str()));
        }
        group = group.element(snippet);
    } else {
        // A line too long to show is cut around the place; line and column still are those of the file.
        let line = source.line(diagnostic.line);
        let start = source.floor(diagnostic.span.start.saturating_sub(LINE_BYTES_SHOWN / 4).max(line.start));
        let end = source.floor(start.saturating_add(LINE_BYTES_SHOWN / 2).min(line.end)).max(start);
        let shown = source.text.get(start..end).unwrap_or_default();
        let snippet = Snippet::source(shown).line_start(diagnostic.line);
        group = group
            .element(Origin::path(path).line(diagnostic.line).char_column(diagnostic.column))
            .element(snippet.annotation(AnnotationKind::Primary.span(within(&diagnostic.span, source, &(start..end)))));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// Longer lines are cut.
const LINE_BYTES_SHOWN: usize = 400;

/// A place relative to the text that is shown, and only so much of it as stands on its first line.
fn within(span: &Span, source: &Source, shown: &Span) -> Span {
    let (line, _) = source.position(span.start);
    let line_end = source.line(line).end;
    let start = source.floor(span.start).clamp(shown.start, shown.end);
    let end = source.floor(span.end.min(line_end)).clamp(start, shown.end);
    start.saturating_sub(shown.start)..end.saturating_sub(shown.start)
}
