//! `gateway explain` by the shipped rules: each folder of `tests/explain` holds the arguments and what comes out. `BLESS=1` rewrites that.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn explain(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.arg("explain").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn shown(args: &[&str]) -> String {
    let output = explain(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn error(args: &[&str]) -> String {
    let output = explain(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn explanations_are_as_expected() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain");
    let (mut count, mut mistakes) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let case = entry.unwrap().path();
        let Ok(args) = std::fs::read_to_string(case.join("args")) else { continue };
        count += 1;
        let shown = shown(&args.split_whitespace().collect::<Vec<_>>());
        let expected = case.join("expected.txt");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&expected, &shown).unwrap();
        }
        if std::fs::read_to_string(&expected).unwrap_or_default() != shown {
            mistakes.push(format!("== {}\n{shown}", case.display()));
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(count >= 5, "the cases were not found");
}

#[test]
fn json_says_the_same() {
    let args = ["tests/explain/minutes.eml", "--client-ip", "203.0.113.25", "--dmarc-result", "none", "--format", "json"];
    let value: Value = serde_json::from_str(&shown(&args)).unwrap();
    let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    for key in ["config", "endpoint", "given", "assumed", "dialogue", "policy", "rules", "plan", "answer", "reply", "not_known", "follows"]
    {
        assert!(keys.contains(&key), "{key} is not in {keys:?}");
    }
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules-as-code.md")).unwrap();
    for key in keys {
        assert!(page.contains(&format!("`{key}`")), "the page does not speak of `{key}`");
    }
    assert_eq!(value["answer"]["kind"], "spooled");
    assert_eq!(value["policy"]["recipients"][2]["policy"]["verdict"], "deny");
    assert_eq!(value["policy"]["recipients"][2]["policy"]["statement"], "default");
    let rules = value["rules"]["rules"].as_array().unwrap();
    let microsoft = rules.iter().find(|rule| rule["name"] == "acme-org-to-microsoft-365").unwrap();
    assert!(microsoft["line"].is_u64());
    let outcomes: Vec<&Value> = microsoft["recipients"].as_array().unwrap().iter().map(|one| &one["outcome"]).collect();
    assert_eq!(outcomes, ["no", "yes"]);
    let decides = &microsoft["recipients"][0]["when"][0];
    assert_eq!((decides["decides"].as_bool(), decides["saw"][0].as_str()), (Some(true), Some("\"acme.example\"")));
    assert_eq!(value["plan"]["steps"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_judged_is_said() {
    let mail = "tests/explain/minutes.eml";
    for (args, expected) in [
        (vec![mail], "--client-ip"),
        (vec!["nothing.eml", "--client-ip", "203.0.113.25"], "nothing.eml"),
        (vec![mail, "--client-ip", "203.0.113.25", "--endpoint", "my"], "there is no endpoint `my`; there are `mx`"),
        (vec![mail, "--client-ip", "203.0.113.25", "--spf-result", "good"], "--spf-result good: there are none, neutral, pass"),
        (vec![mail, "--client-ip", "203.0.113.25", "--rcpt", "bob"], "--rcpt bob: not a mail address"),
        (vec![mail, "--client-ip", "203.0.113.25", "--analysis", "rspamd.score=1"], "there is no analyzer `rspamd`"),
        (vec![mail, "--client-ip", "203.0.113.25", "--config", "rules/inbound.yaml"], "nothing to judge by"),
    ] {
        let error = error(&args);
        assert!(error.contains(expected), "{args:?}: `{expected}` is not in {error}");
    }
}

#[test]
fn whoever_reads_no_further_does_no_harm() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
        .args(["explain", "tests/explain/minutes.eml", "--client-ip", "203.0.113.25"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
