//! Results as one JSON document; `docs/rules-as-code.md` names its keys.

use serde_json::{Value, json};

use super::coverage::{Covered, percent_of};
use super::judge::{Because, Mismatch};
use super::{Results, TestResult};

pub(super) fn render(results: &Results<'_>) -> String {
    let files: Vec<Value> = results
        .files
        .iter()
        .map(|file| json!({ "file": file.file.path, "tests": file.tests.iter().map(test).collect::<Vec<_>>() }))
        .collect();
    let mistakes = results.mistakes.iter().flat_map(|report| &report.diagnostics);
    let mistakes: Vec<Value> = mistakes
        .map(|found| json!({ "code": found.code.name(), "file": found.file, "line": found.line, "column": found.column, "message": found.message }))
        .collect();
    let mut document = json!({
        "tests": results.tests().count(),
        "failed": results.failed(),
        "mistakes": mistakes,
        "files": files,
    });
    if let (Some(coverage), Some(document)) = (&results.coverage, document.as_object_mut()) {
        let files: Vec<Value> = coverage.iter().map(covered).collect();
        document.insert("coverage".to_owned(), json!({ "percent": percent_of(coverage), "files": files }));
    }
    format!("{document:#}\n")
}

fn test(result: &TestResult<'_>) -> Value {
    json!({
        "name": result.test.name,
        "line": result.test.line,
        "passed": result.mismatches.is_empty(),
        "seconds": result.took.as_secs_f64(),
        "differences": result.mismatches.iter().map(mismatch).collect::<Vec<_>>(),
    })
}

fn mismatch(mismatch: &Mismatch) -> Value {
    let Mismatch { recipient, what, line, expected, actual, because } = mismatch;
    let because: Vec<Value> = because
        .iter()
        .map(|Because { text, place }| {
            let (file, line) = place.as_ref().map(|(file, line)| (file, line)).unzip();
            json!({ "text": text, "file": file, "line": line })
        })
        .collect();
    json!({ "recipient": recipient, "what": what, "line": line, "expected": expected, "actual": actual, "because": because })
}

fn covered(file: &Covered) -> Value {
    let gaps: Vec<Value> = file.gaps.iter().map(|gap| json!({ "line": gap.line, "text": gap.text })).collect();
    json!({
        "file": file.file,
        "percent": file.percent(),
        "matched": file.matched,
        "matchable": file.matchable,
        "outcomes_seen": file.seen,
        "outcomes_possible": file.possible,
        "gaps": gaps,
    })
}
