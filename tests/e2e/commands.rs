//! The commands beside `run`.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::gateway::PROGRAM;
use crate::harness::{Deployment, mail};

#[test]
fn validate_says_by_its_exit_code_how_it_went() {
    let deployment = Deployment::new("inline").relay("next", ([127, 0, 0, 1], 25).into());
    deployment.write("gateway.yaml", &deployment.yaml());
    let good = gateway(deployment.folder(), &["validate"]);
    assert_eq!(good.status.code(), Some(0), "{}", said(&good));
    assert_eq!(gateway(deployment.folder(), &["validate", "rules/", "policies/edge.yaml"]).status.code(), Some(0));

    deployment.write("rules/inbound.yaml", "rules:\n  - name: x\n    actions:\n      - SMTPRelay: { relay: nxet }\n");
    let bad = gateway(deployment.folder(), &["validate", "rules/"]);
    assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
    assert!(mail::text(&bad.stdout).contains("inbound.yaml:4:"), "{}", said(&bad));
    assert!(mail::text(&bad.stdout).contains("`next`"), "{}", said(&bad));

    for missing in ["nowhere/", "rules/nothing.yaml"] {
        let output = gateway(deployment.folder(), &["validate", missing]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(mail::text(&output.stderr).contains(missing), "{}", said(&output));
    }
}

#[test]
fn the_shipped_deployment_is_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = gateway(root, &["validate", "gateway.yaml", "rules/", "policies/"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn help_completions_and_the_manual_are_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (arguments, expected) in [
        (&["--help"][..], "validate"),
        (&["run", "--help"], "Example:"),
        (&["validate", "--help"], "Examples:"),
        (&["demo", "--help"], "Example"),
        (&["doctor", "--help"], "Examples:"),
        (&["queue", "--help"], "Examples:"),
        (&["replay", "--help"], "Examples:"),
        (&["queue", "drop", "--help"], "Examples:"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["completions", "bash"], "complete -F"),
        (&["completions", "zsh"], "#compdef gateway"),
        (&["man"], ".TH gateway 1"),
    ] {
        let output = gateway(root, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        assert!(mail::text(&output.stdout).contains(expected), "{arguments:?}: {}", said(&output));
    }
    let unknown = gateway(root, &["rnu"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(mail::text(&unknown.stderr).contains("'rnu'"), "{}", said(&unknown));
}

fn gateway(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).current_dir(folder).output().expect("it runs")
}

fn said(output: &Output) -> String {
    mail::text(&output.stdout) + &mail::text(&output.stderr)
}
