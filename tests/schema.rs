//! The schemas for editors: those in `schemas/` are what `gateway schema` prints, and another program reads them as we mean them.
//!
//! `BLESS=1` rewrites the files.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gateway::config::{self, Code};
use serde_json::{Value as Json, json};

const KINDS: [(&str, &str); 4] = [("gateway", "gateway.yaml"), ("policy", "policies"), ("rules", "rules"), ("tests", "rules/tests")];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn gateway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway")).args(arguments).output().unwrap()
}

#[test]
fn the_shipped_schemas_are_what_the_command_prints() {
    for (kind, _) in KINDS {
        let printed = gateway(&["schema", kind]);
        assert!(printed.status.success(), "{printed:?}");
        let printed = String::from_utf8(printed.stdout).unwrap();
        let file = repository().join(format!("schemas/{kind}.json"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, &printed).unwrap();
        }
        let shipped = fs::read_to_string(&file).unwrap_or_default();
        assert!(printed == shipped, "{} differs (BLESS=1 rewrites it)", file.display());
    }
    assert_eq!(gateway(&["schema", "nonsense"]).status.code(), Some(2));
}

#[test]
fn shipped_files_name_the_schema_that_editors_are_to_use() {
    for (kind, at) in KINDS {
        for file in yaml_below(&repository().join(at)) {
            let text = fs::read_to_string(&file).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("# yaml-language-server: $schema="));
            let named = line.unwrap_or_else(|| panic!("{} names no schema", file.display()));
            let named = file.parent().unwrap().join(named);
            assert_eq!(named.canonicalize().unwrap(), repository().join(format!("schemas/{kind}.json")).canonicalize().unwrap());
        }
    }
}

/// Python's `jsonschema` takes the shipped files, and refuses every example of a wrong shape.
#[test]
fn the_schemas_take_what_validate_takes_and_refuse_wrong_shapes() {
    let mut documents = Vec::new();
    let mut add = |kind: &str, file: &Path, valid: bool| {
        let Ok(text) = fs::read_to_string(file) else { return };
        let Ok(value) = serde_yaml::from_str::<Json>(&text) else { return };
        documents.push(json!({ "kind": kind, "file": file, "valid": valid, "value": value }));
    };
    for (kind, at) in KINDS {
        yaml_below(&repository().join(at)).iter().for_each(|file| add(kind, file, true));
    }
    for case in fs::read_dir(repository().join("tests/diagnostics")).unwrap() {
        let case = case.unwrap().path();
        let Ok(report) = config::check(std::slice::from_ref(&case)) else { continue };
        let errors: BTreeSet<(PathBuf, Code)> =
            report.diagnostics.iter().filter(|d| d.severity == config::Severity::Error).map(|d| (d.file.clone(), d.code)).collect();
        for (kind, at) in KINDS {
            for file in yaml_below(&case.join(at)) {
                let of_file = || errors.iter().filter(|(path, _)| file.ends_with(path) || path.ends_with(&file)).map(|(_, code)| *code);
                // Of wrong keys a schema surely knows; of one that another key asks for it does not. A file without any error it surely takes.
                let is_plain = ["unknown-key", "missing-key", "one-key"].iter().any(|code| case.ends_with(code));
                if is_plain || of_file().any(|code| code == Code::UnknownKey) {
                    add(kind, &file, false);
                } else if of_file().next().is_none() {
                    add(kind, &file, true);
                }
            }
        }
    }
    let (valid, wrong): (Vec<_>, Vec<_>) = documents.iter().partition(|document| document["valid"] == true);
    assert!(valid.len() > 50 && wrong.len() > 3, "{} and {}", valid.len(), wrong.len());
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("documents.json");
    fs::write(&list, serde_json::to_string(&documents).unwrap()).unwrap();
    let tools = std::env::var_os("GATEWAY_TEST_TOOLS").map_or_else(|| repository().join(".cache/tools"), PathBuf::from);
    let judged = Command::new(tools.join("venv/bin/python"))
        .arg("-c")
        .arg(JUDGE)
        .args([&list, &repository().join("schemas")])
        .output()
        .expect("Python of tests/tools");
    assert!(judged.status.success(), "{}{}", String::from_utf8_lossy(&judged.stdout), String::from_utf8_lossy(&judged.stderr));
}

const JUDGE: &str = r#"
import json, sys
from jsonschema import Draft7Validator
documents, folder = json.load(open(sys.argv[1])), sys.argv[2]
validators, wrong = {}, 0
for document in documents:
    kind = document["kind"]
    if kind not in validators:
        schema = json.load(open(f"{folder}/{kind}.json"))
        Draft7Validator.check_schema(schema)
        validators[kind] = Draft7Validator(schema)
    error = next(validators[kind].iter_errors(document["value"]), None)
    if (error is None) != document["valid"]:
        wrong += 1
        print(document["file"], "is", "valid" if document["valid"] else "wrong", "and the schema says:", error and f"{error.json_path}: {error.message:.300}")
sys.exit(wrong > 0)
"#;

fn yaml_below(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    files
}
