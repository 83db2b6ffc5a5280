//! The recipes for CI systems, `infra/ci/`: their own commands, run by a shell in a clone of the repository as there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value as Json;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipe(name: &str) -> Json {
    serde_yaml::from_str(&fs::read_to_string(repository().join("infra/ci").join(name)).unwrap()).unwrap()
}

/// What a repository of configuration holds: the shipped one.
fn checkout() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["gateway.yaml", "policies", "rules", "lists", "schemas"] {
        let copied = Command::new("cp").arg("-r").arg(repository().join(part)).arg(folder.path()).status().unwrap();
        assert!(copied.success());
    }
    folder
}

/// A command as a CI system runs it: by a shell that ends with the first failure.
fn run(script: &str, folder: &Path) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_gateway"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new("sh").args(["-e", "-c", script]).current_dir(folder).env("PATH", path).env("NO_COLOR", "1").output().unwrap()
}

/// The commands of a recipe, in order.
fn commands(name: &str) -> Vec<String> {
    let texts = |list: &Json, key: Option<&str>| -> Vec<String> {
        let items = list.as_array().unwrap().iter().filter_map(|item| key.map_or(Some(item), |key| item.get(key)));
        items.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let recipe = recipe(name);
    match name {
        "github.yaml" => texts(&recipe["jobs"]["gateway"]["steps"], Some("run")),
        "gitlab.yaml" => texts(&recipe["gateway"]["script"], None),
        _ => texts(&recipe["repos"][0]["hooks"], Some("entry")),
    }
}

#[test]
fn every_recipe_passes_on_the_shipped_files() {
    for (name, count) in [("github.yaml", 3), ("gitlab.yaml", 2), ("pre-commit.yaml", 2)] {
        let folder = checkout();
        let commands = commands(name);
        assert_eq!(commands.len(), count, "{name}");
        for command in commands {
            let output = run(&command, folder.path());
            assert!(output.status.success(), "{name}: {command}\n{}", told(&output));
        }
    }
}

#[test]
fn every_recipe_fails_on_a_mistake_and_says_where() {
    for name in ["github.yaml", "gitlab.yaml", "pre-commit.yaml"] {
        let folder = checkout();
        replace(&folder.path().join("rules/inbound.yaml"), "relay: google", "relay: gogle");
        let output = run(&commands(name)[0], folder.path());
        assert_eq!(output.status.code(), Some(1), "{name}: {}", told(&output));
        assert!(told(&output).contains("rules/inbound.yaml") && told(&output).contains("gogle"), "{}", told(&output));
    }
}

/// Code scanning wants the file most where there are mistakes.
#[test]
fn code_scanning_gets_its_file_whether_there_are_mistakes_or_not() {
    for (to, results) in [("relay: google", 0), ("relay: gogle", 1)] {
        let folder = checkout();
        replace(&folder.path().join("rules/inbound.yaml"), "relay: google", to);
        let output = run(&commands("github.yaml")[1], folder.path());
        assert!(output.status.success(), "{}", told(&output));
        let sarif: Json = serde_json::from_str(&fs::read_to_string(folder.path().join("gateway.sarif")).unwrap()).unwrap();
        let found = sarif["runs"][0]["results"].as_array().unwrap();
        assert_eq!(found.iter().filter(|result| result["level"] == "error").count(), results, "{found:?}");
    }
}

#[test]
fn a_rule_that_does_something_else_fails_the_tests() {
    for name in ["github.yaml", "gitlab.yaml", "pre-commit.yaml"] {
        let folder = checkout();
        replace(&folder.path().join("rules/inbound.yaml"), "relay: google", "relay: m365");
        let output = run(commands(name).last().unwrap(), folder.path());
        assert_eq!(output.status.code(), Some(1), "{name}: {}", told(&output));
    }
    let folder = checkout();
    let output = run(commands("gitlab.yaml").last().unwrap(), folder.path());
    assert!(output.status.success() && fs::read_to_string(folder.path().join("junit.xml")).unwrap().contains("<testsuite"));
}

fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from));
    fs::write(file, text.replace(from, to)).unwrap();
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The recipes name things that are there.
#[test]
fn the_recipes_name_files_that_are_there() {
    for name in ["github.yaml", "gitlab.yaml"] {
        let text = fs::read_to_string(repository().join("infra/ci").join(name)).unwrap();
        assert!(text.contains("infra/oci/Containerfile") && PathBuf::from(repository()).join("infra/oci/Containerfile").is_file());
    }
}
