//! A report for people: each mistake with its line, the other places it has to do with, and the change that would mend it.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Patch, Renderer, Snippet};

use super::super::diagnostic::{Diagnostic, Fix, Note, Severity};
use super::super::report::Report;
use super::super::source::{Source, Span};

/// Longer lines are cut.
const LINE_BYTES_SHOWN: usize = 400;
/// Places so many lines apart do not stand in one picture.
const LINES_APART_MAX: usize = 1000;
/// Of several ways to mend a mistake so many are shown.
const FIXES_SHOWN: usize = 3;

pub(super) fn render(report: &Report, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut out = String::new();
    for diagnostic in &report.diagnostics {
        out.push_str(&one(diagnostic, &renderer));
        out.push_str("\n\n");
    }
    out
}

fn one(diagnostic: &Diagnostic, renderer: &Renderer) -> String {
    let source: &Source = &diagnostic.source;
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (line, _) = source.position(diagnostic.span.start);
    let is_near = |note: &&Note| {
        let (other, _) = note.source.position(note.span.start);
        note.source.path == source.path && fits(source, line.min(other), line.max(other))
    };
    let (near, far): (Vec<&Note>, Vec<&Note>) = diagnostic.notes.iter().partition(is_near);
    let group = Group::with_title(level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.name()));
    let mut group = place(group, source, &diagnostic.span, &near);
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let mut groups = vec![group];
    for note in far {
        groups.push(place(Group::with_title(Level::NOTE.primary_title(note.text.as_str())), &note.source, &note.span, &[]));
    }
    groups.extend(diagnostic.fixes.iter().take(FIXES_SHOWN).map(|fix| change(fix, source)));
    renderer.render(&groups)
}

/// Whether these lines can be shown as they are.
fn fits(source: &Source, first: usize, last: usize) -> bool {
    last <= first.saturating_add(LINES_APART_MAX) && (first..=last).all(|line| source.line(line).len() <= LINE_BYTES_SHOWN)
}

/// A place with its line, and others of the same file beside it.
fn place<'a>(group: Group<'a>, source: &'a Source, span: &Span, notes: &[&'a Note]) -> Group<'a> {
    let path = source.path.display().to_string();
    let (line, column) = source.position(span.start);
    let noted = || notes.iter().map(|note| source.position(note.span.start).0);
    let (first, last) = (noted().fold(line, usize::min), noted().fold(line, usize::max));
    if source.text.is_empty() {
        return group.element(Origin::path(path).line(line).char_column(column));
    }
    if fits(source, first, last) {
        let lines = source.line(first).start..source.line(last).end;
        let shown = source.text.get(lines.clone()).unwrap_or_default();
        let mut snippet = Snippet::source(shown).line_start(first).path(path);
        snippet = snippet.annotation(AnnotationKind::Primary.span(within(span, source, &lines)));
        for note in notes {
            snippet = snippet.annotation(AnnotationKind::Context.span(within(&note.span, source, &lines)).label(note.text.as_str()));
        }
        return group.element(snippet);
    }
    // A line too long to show is cut around the place; line and column still are those of the file.
    let whole = source.line(line);
    let start = source.floor(span.start.saturating_sub(LINE_BYTES_SHOWN / 4).max(whole.start));
    let end = source.floor(start.saturating_add(LINE_BYTES_SHOWN / 2).min(whole.end)).max(start);
    let snippet = Snippet::source(source.text.get(start..end).unwrap_or_default()).line_start(line);
    group.element(Origin::path(path).line(line).char_column(column)).element(snippet.annotation(AnnotationKind::Primary.span(within(
        span,
        source,
        &(start..end),
    ))))
}

/// A place relative to the text that is shown, and only so much of it as stands on its first line.
fn within(span: &Span, source: &Source, shown: &Span) -> Span {
    let (line, _) = source.position(span.start);
    let line_end = source.line(line).end;
    let start = source.floor(span.start).clamp(shown.start, shown.end);
    let end = source.floor(span.end.min(line_end)).clamp(start, shown.end);
    start.saturating_sub(shown.start)..end.saturating_sub(shown.start)
}

/// `help: write …`, with the lines as they would be.
fn change<'a>(fix: &'a Fix, source: &'a Source) -> Group<'a> {
    let title = Level::HELP.primary_title(fix.title.as_str());
    let start = fix.edits.iter().map(|(span, _)| source.floor(span.start)).min().unwrap_or(0);
    let end = fix.edits.iter().map(|(span, _)| source.floor(span.end)).max().unwrap_or(start).max(start);
    let (first, last) = (source.position(start).0, source.position(end).0);
    let shown = source.line(first).start..source.line(last).end.max(end);
    let text = source.text.get(shown.clone()).unwrap_or_default();
    if fix.edits.is_empty() || text.is_empty() || !fits(source, first, last) {
        return Group::with_title(title);
    }
    let patches = fix.edits.iter().map(|(span, text)| {
        let start = source.floor(span.start).clamp(shown.start, shown.end);
        let end = source.floor(span.end).clamp(start, shown.end);
        Patch::new(start.saturating_sub(shown.start)..end.saturating_sub(shown.start), text.as_str())
    });
    Group::with_title(title).element(Snippet::source(text).line_start(first).patches(patches))
}
