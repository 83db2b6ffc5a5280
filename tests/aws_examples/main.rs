//! Mail Manager's own examples, right and wrong, as `gateway validate` meets them.
//!
//! Whole documents are recognized: what they are is said once, with the way to carry them over. Conditions and actions that somebody
//! pastes into a file of this gateway lead to its own words: `pasted/NAME.json` is made a rule set or a policy by the names of its keys
//! alone, and `pasted/NAME.txt` is what is reported. `BLESS=1` rewrites the expectations; read the difference before you commit it.

use std::fs;
use std::path::{Path, PathBuf};

use gateway::config::{self, Code, Format, Severity};
use serde_json::Value;

fn examples(folder: &str) -> Vec<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_examples").join(folder);
    let mut found: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Validates a file in a folder of its own.
fn validate(name: &str, text: &str) -> (config::Report, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    let report = config::check(&[path]).unwrap();
    let shown = report.render(Format::Text, false).replace(&format!("{}/", root.display()), "");
    (report, shown)
}

#[test]
fn whole_documents_are_recognized_and_reported_once() {
    let documents = examples("right").into_iter().chain(examples("wrong")).filter(|path| path.extension().is_none_or(|e| e != "csv"));
    for path in documents {
        let name = name(&path);
        let (report, shown) = validate(&name, &fs::read_to_string(&path).unwrap());
        let what = match name.as_str() {
            _ if name.contains("address-list-import") || name.contains("members-of") => "a list of addresses",
            _ if name.contains("address-list.") => "an address list",
            _ if name.contains("rule") => "a rule set",
            _ if name.contains("policy") => "a traffic policy",
            _ if name.contains("relay") => "a relay",
            _ if name.contains("ingress") => "an ingress endpoint",
            _ if name.contains("archive") => "an archive",
            _ => "a CloudFormation template",
        };
        assert_eq!(report.diagnostics.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::MailManagerFile], "{name}:\n{shown}");
        assert!(shown.contains(&format!("this is {what} of Amazon SES Mail Manager")), "{name}:\n{shown}");
        let help = if what == "a list of addresses" { "address_lists" } else { "gateway import" };
        assert!(shown.contains(help), "{name}:\n{shown}");
    }
}

#[test]
fn passwords_of_theirs_are_not_shown() {
    let text = r#"{"RelayName": "r", "ServerName": "a.example", "ServerPort": 25, "Authentication": {"Password": "hunter2"}}"#;
    let (report, shown) = validate("relay.json", text);
    assert_eq!(report.diagnostics[0].code, Code::MailManagerFile);
    for format in [Format::Text, Format::Json, Format::Github, Format::Sarif] {
        assert!(!report.render(format, false).contains("hunter2"), "{shown}");
    }
}

/// Somebody writes our keys, and copies conditions and actions from there.
#[test]
fn pasted_conditions_and_actions_lead_to_our_words() {
    let mut different = Vec::new();
    let all = examples("right").into_iter().chain(examples("wrong")).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut count = 0;
    for path in all {
        let document: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let Some((folder, text)) = pasted(&document) else { continue };
        count += 1;
        let (report, shown) = validate(&format!("{folder}/pasted.yaml"), &text);
        assert!(report.errors() > 0, "{}:\n{text}", path.display());
        // Each condition is answered: by ours in its place, or by what is on offer.
        let answered = |d: &&config::Diagnostic| d.severity == Severity::Error && d.help.is_empty() && d.fixes.is_empty();
        let silent: Vec<_> = report.diagnostics.iter().filter(answered).filter(|d| d.code == Code::UnknownKey).collect();
        assert!(silent.is_empty(), "{}: {silent:?}", path.display());
        let lines = |d: &config::Diagnostic| {
            let changes = d.fixes.iter().map(|fix| format!("    = {}\n", fix.title)).collect::<String>();
            let help = d.help.iter().map(|help| format!("    = {help}\n")).collect::<String>();
            format!("{}: {}\n{help}{changes}", d.code.name(), d.message)
        };
        let told = report.diagnostics.iter().filter(|d| d.code != Code::NamesUnchecked).map(lines).collect::<String>();
        let expected = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws_examples/pasted").join(name(&path).replace(".json", ".txt"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &told).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != told {
            different.push(format!("== {}\n{told}\n{shown}", expected.display()));
        }
    }
    assert!(count > 25, "{count}");
    assert!(different.is_empty(), "these differ (BLESS=1 rewrites them):\n{}", different.join("\n"));
}

/// The document with our keys around its conditions and actions; `None` when it has none.
fn pasted(document: &Value) -> Option<(&'static str, String)> {
    let json = |value: &Value| serde_json::to_string(value).unwrap();
    if let Some(rules) = document.get("Rules").and_then(Value::as_array) {
        let mut text = "rules:\n".to_owned();
        for (number, rule) in rules.iter().enumerate() {
            text.push_str(&format!("  - name: rule-{number}\n"));
            for (theirs, ours) in [("Conditions", "when"), ("Unless", "unless"), ("Actions", "actions")] {
                let Some(items) = rule.get(theirs).or_else(|| rule.get(theirs.to_lowercase())) else { continue };
                let items = items.as_array().unwrap();
                let lines: String = items.iter().map(|item| format!("      - {}\n", json(item))).collect();
                text.push_str(&if items.is_empty() { format!("    {ours}: []\n") } else { format!("    {ours}:\n{lines}") });
            }
        }
        return Some(("rules", text));
    }
    let statements = document.get("PolicyStatements")?.as_array()?;
    let mut text = "default: deny\n".to_owned();
    for (action, ours) in [("DENY", "deny"), ("ALLOW", "allow")] {
        let chosen: Vec<_> = statements.iter().filter(|s| s["Action"] == action || ours == "allow" && s["Action"] != "DENY").collect();
        if chosen.is_empty() {
            continue;
        }
        text.push_str(&format!("{ours}:\n"));
        for (number, statement) in chosen.iter().enumerate() {
            let items = statement["Conditions"].as_array().unwrap();
            let lines: String = items.iter().map(|item| format!("      - {}\n", json(item))).collect();
            let when = if items.is_empty() { "    when: []\n".to_owned() } else { format!("    when:\n{lines}") };
            text.push_str(&format!("  - name: {ours}-{number}\n{when}"));
        }
    }
    Some(("policies", text))
}
