//! SARIF 2.1.0 (OASIS), as code scanning reads it.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::super::diagnostic::{Code, Diagnostic, Fix};
use super::super::report::Report;
use super::super::source::{Source, Span};
use super::{Region, one_text, pretty, word};

pub(super) fn render(report: &Report) -> String {
    let rules: Vec<_> = Code::ALL.iter().map(|code| rule(*code)).collect();
    let results: Vec<_> = report.diagnostics.iter().map(result).collect();
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

/// A code (§3.49).
fn rule(code: Code) -> Json {
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.about() },
        "fullDescription": { "text": first_paragraph(code.explanation()) },
        "help": { "text": code.explain(), "markdown": code.explanation() },
        "defaultConfiguration": { "level": word(code.severity()) },
    })
}

/// A mistake (§3.27).
fn result(d: &Diagnostic) -> Json {
    let mut result = json!({
        "ruleId": d.code.name(),
        "level": word(d.severity),
        "message": { "text": one_text(d) },
        "locations": [{ "physicalLocation": physical(&d.source, &d.file, &d.span) }],
    });
    if let Some(index) = Code::ALL.iter().position(|code| *code == d.code) {
        result["ruleIndex"] = index.into();
    }
    let related: Vec<_> = d
        .notes
        .iter()
        .zip(1_usize..)
        .map(|(note, id)| {
            json!({
                "id": id,
                "message": { "text": note.text },
                "physicalLocation": physical(&note.source, &note.source.path, &note.span),
            })
        })
        .collect();
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    let fixes: Vec<_> = d.fixes.iter().map(|fix| fix_of(d, fix)).collect();
    if !fixes.is_empty() {
        result["fixes"] = fixes.into();
    }
    result
}

/// A change (§3.55). Whether it is safe is a property of ours: SARIF has no word for it.
fn fix_of(d: &Diagnostic, fix: &Fix) -> Json {
    let replacements: Vec<_> = fix
        .edits
        .iter()
        .map(|(span, text)| json!({ "deletedRegion": region(&d.source, span), "insertedContent": { "text": text } }))
        .collect();
    json!({
        "description": { "text": fix.title },
        "artifactChanges": [{ "artifactLocation": { "uri": uri(&d.file) }, "replacements": replacements }],
        "properties": { "safe": fix.is_safe },
    })
}

fn physical(source: &Source, path: &Path, span: &Span) -> Json {
    json!({ "artifactLocation": { "uri": uri(path) }, "region": region(source, span) })
}

fn region(source: &Source, span: &Span) -> Json {
    let Region { line, column, end_line, end_column } = Region::of(source, span);
    json!({ "startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column })
}

/// A path as a URI reference (RFC 3986 §4.1): relative to the working directory, or of the whole file system.
fn uri(path: &Path) -> String {
    let mut uri = String::new();
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    if path.is_absolute() { format!("file://{uri}") } else { uri }
}

fn first_paragraph(text: &str) -> String {
    text.split("\n\n").next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri(Path::new("rules/in bound#1.yaml")), "rules/in%20bound%231.yaml");
        assert_eq!(uri(Path::new("/etc/ä.yaml")), "file:///etc/%C3%A4.yaml");
    }
}
