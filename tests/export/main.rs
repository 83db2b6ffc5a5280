//! `gateway export`: what it writes is what the service's own model takes, by botocore and cfn-lint; what cannot be expressed is told.
//!
//! The folders of `deployments/` are exported whole; `BLESS=1` rewrites their documents in `expected/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn export(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gateway"))
        .arg("export")
        .args(arguments)
        .current_dir(repository())
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Python of tests/tools, with botocore and cfn-lint.
fn check(folder: &Path) {
    let tools = std::env::var_os("GATEWAY_TEST_TOOLS").map_or_else(|| repository().join(".cache/tools"), PathBuf::from);
    let documents: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!documents.is_empty());
    let judged = Command::new(tools.join("venv/bin/python"))
        .arg(repository().join("tests/export/check.py"))
        .args(&documents)
        .output()
        .expect("Python of tests/tools");
    assert!(judged.status.success(), "{}:\n{}{}", folder.display(), text(&judged.stdout), text(&judged.stderr));
}

#[test]
fn what_is_written_is_what_the_service_takes() {
    for deployment in fs::read_dir(repository().join("tests/export/deployments")).unwrap() {
        let deployment = deployment.unwrap().path();
        let config = deployment.join("gateway.yaml");
        for format in ["api", "cloudformation"] {
            let folder = tempfile::tempdir().unwrap();
            let (config, output) = (config.to_str().unwrap(), folder.path().to_str().unwrap());
            let mut arguments = vec!["--config", config, "--format", format, "--output", output];
            if format == "api" {
                arguments.extend(["--region", "eu-west-1", "--account", "111122223333", "--id", "relay/google=r-0f1e2d3c4b5a"]);
            }
            let exported = export(&arguments);
            assert!(exported.status.success(), "{}:\n{}", deployment.display(), text(&exported.stderr));
            check(folder.path());
            compare(folder.path(), &deployment.join("expected").join(format));
        }
    }
}

/// What is exported, imported and exported again is the same: nothing is lost or changed on the way.
#[test]
fn import_of_an_export_is_the_identity() {
    for format in ["api", "cloudformation"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (first, imported, second) = (path("first"), path("imported"), path("second"));
        let documents = |config: &str, output: &str| {
            let mut arguments = vec!["--config", config, "--format", format, "--output", output];
            if format == "api" {
                arguments.extend(["--region", "eu-west-1", "--account", "111122223333"]);
            }
            let exported = export(&arguments);
            assert!(exported.status.success(), "{}", text(&exported.stderr));
        };
        documents("tests/export/deployments/all/gateway.yaml", &first);
        let files: Vec<PathBuf> = fs::read_dir(&first).unwrap().map(|entry| entry.unwrap().path()).collect();
        let import = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .args(["import", "--output", &imported, "--hostname", "mx1.acme.example", "--domain", "acme.example"])
            .args(&files)
            .output()
            .unwrap();
        assert!(import.status.success(), "{}", text(&import.stderr));
        // Add-ons are subscribed to there; which analyzer stands for one here is the operator's to say.
        let config = format!("{imported}/gateway.yaml");
        let text = fs::read_to_string(&config).unwrap() + "\nanalyzers: { scanner: { type: rspamd, url: \"http://127.0.0.1:11333\" } }\n";
        fs::write(&config, text).unwrap();
        // In a template the add-on is a parameter, and an import marks what the operator fills in.
        let rules = format!("{imported}/rules/inbound-main.yaml");
        fs::write(&rules, fs::read_to_string(&rules).unwrap().replace("TODO-AnalyzerScanner", "scanner")).unwrap();
        documents(&config, &second);
        compare(Path::new(&second), Path::new(&first));
    }
}

fn compare(made: &Path, expected: &Path) {
    if std::env::var_os("BLESS").is_some() {
        let _ = fs::remove_dir_all(expected);
        fs::create_dir_all(expected).unwrap();
        for entry in fs::read_dir(made).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), expected.join(entry.file_name())).unwrap();
        }
    }
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(made), names(expected));
    for name in names(made) {
        let (made, expected) = (fs::read_to_string(made.join(&name)).unwrap(), fs::read_to_string(expected.join(&name)).unwrap());
        assert_eq!(made, expected, "{name:?} (BLESS=1 rewrites it)");
    }
}

/// The shipped deployment uses what the service lacks: each thing is named with its place, and nothing is written.
#[test]
fn what_the_service_cannot_express_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let exported = export(&["--output", folder.path().to_str().unwrap()]);
    let told = text(&exported.stderr);
    assert_eq!(exported.status.code(), Some(1), "{told}");
    for (place, what) in [
        ("rules/inbound.yaml", "Mail Manager has no action like `Reject`"),
        ("rules/inbound.yaml", "Mail Manager has no condition like `attachment`"),
        ("rules/inbound.yaml", "Mail Manager has no action like `Stop`"),
        ("policies/edge.yaml", "Mail Manager has no lists of networks"),
        ("gateway.yaml", "Mail Manager knows no presets"),
        ("gateway.yaml", "Mail Manager wants the ARN of a secret in Secrets Manager"),
    ] {
        let block = told.split("\n\n").find(|block| block.contains(what) && block.contains(place));
        assert!(block.is_some_and(|block| block.starts_with("error[not-in-mail-manager]")), "{what}:\n{told}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn wrong_arguments_are_told() {
    for (arguments, code, told) in [
        (&["--config", "no/gateway.yaml"][..], 2, "there is no such file"),
        (&["--account", "12"], 2, "an account has 12 digits"),
        (&["--id", "relais/x=y"], 2, "is none of relay"),
    ] {
        let exported = export(arguments);
        assert_eq!(exported.status.code(), Some(code));
        assert!(text(&exported.stderr).contains(told), "{}", text(&exported.stderr));
    }
}
