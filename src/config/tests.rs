//! Hostile and broken texts: quick, clean errors, whatever stands in a file.

use std::collections::BTreeMap;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::build::lists::Lists;
use super::diagnostic::Sink;
use super::model::deployment::DeploymentFile;
use super::model::policy::PolicyFile;
use super::model::rules::RuleSetFile;
use super::shape::Shape;
use super::source::Source;
use super::{Format, Report, build, tree};

const RULES: &str = include_str!("../../rules/inbound.yaml");
const POLICY: &str = include_str!("../../policies/edge.yaml");
const DEPLOYMENT: &str = include_str!("../../gateway.yaml");

/// The way of a text as all three kinds of files; what can be built of it, and the report.
fn judge(text: &str) -> [(bool, Report); 3] {
    let folder = std::path::Path::new("/nowhere");
    let read = |shape: Shape| {
        let mut sink = Sink::new(Source::new("x.yaml".into(), text.to_owned()));
        let tree = tree::parse(&mut sink);
        if let Some(tree) = &tree {
            shape.check(tree, &mut sink);
        }
        (sink, tree)
    };
    let (lists, analyzers) = (Lists::default(), BTreeMap::new());
    let defined = build::Defined { lists: &lists, analyzers: &analyzers, srs: true };
    let (mut sink, tree) = read(Shape::of::<RuleSetFile>());
    let rules = tree.is_some_and(|tree| build::rules::build("x", &tree, defined, &mut sink).is_some());
    let rules = (rules, Report::new([sink]));
    let (mut sink, tree) = read(Shape::of::<PolicyFile>());
    let policy = tree.is_some_and(|tree| build::policy::build("x", &tree, defined, &mut sink).is_some());
    let policy = (policy, Report::new([sink]));
    let (mut sink, tree) = read(Shape::of::<DeploymentFile>());
    let deployment =
        tree.is_some_and(|tree| build::deployment::build(&tree, folder, time::OffsetDateTime::UNIX_EPOCH, &mut sink).hostname.is_some());
    [rules, policy, (deployment, Report::new([sink]))]
}

/// Judges and renders; what is not built has an error that says why.
fn judge_strictly(text: &str) {
    let judged = judge(text);
    for (built, report) in &judged[..2] {
        assert!(*built || report.errors() > 0, "{text:?}\n{}", report.render(Format::Text, false));
    }
    for (_, report) in &judged {
        for format in [Format::Text, Format::Json, Format::Github, Format::Sarif] {
            report.render(format, true);
        }
    }
}

#[test]
fn shipped_files_are_built() {
    assert!(judge(RULES)[0].0 && judge(POLICY)[1].0 && judge(DEPLOYMENT)[2].0);
}

#[test]
fn bombs_end_quickly() {
    let aliases = (1..30)
        .fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    let long_key = format!("{}: 1\n", "k".repeat(1_000_000));
    let texts = [
        aliases,
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(100_000),
        "rules:\n".to_owned() + &" - name: x\n".repeat(100_000),
        "? ".repeat(50_000),
        "&a ".repeat(100_000),
        "!".repeat(100_000),
        "x".repeat(3_000_000),
        format!("rules: {}", "[x] ".repeat(100_000)),
        format!("rules: [{}]", "drop, ".repeat(100_000)),
        (0..50_000).map(|n| format!("k{n}: 1\n")).collect(),
        long_key,
        "\u{feff}rules: []\n".to_owned(),
        "\0\u{1}\u{7f}\u{85}\u{2028}".repeat(1000),
        "a: |\n".to_owned() + &" x\n".repeat(200_000),
        "#".repeat(2_000_000),
    ];
    for text in texts {
        let begin = Instant::now();
        judge_strictly(&text);
        let elapsed = begin.elapsed();
        // Generous, since test machines are slow and this is not optimized: quadratic work on these takes minutes.
        assert!(elapsed < Duration::from_secs(30), "{:?}… took {elapsed:?}", text.chars().take(20).collect::<String>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_judged(text in any::<String>()) {
        judge_strictly(&text);
    }

    #[test]
    fn yaml_like_text_is_judged(text in "([ a-c:\\-\\[\\]{}&*!|>'\"#,\n\t?%@]|rules|name|when|actions|: |\n  - ){0,60}") {
        judge_strictly(&text);
    }

    #[test]
    fn broken_copies_of_good_files_are_judged(
        which in 0usize..3,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0usize..12, "[ -~\n]{0,6}"), 1..4),
    ) {
        let mut text: Vec<char> = [RULES, POLICY, DEPLOYMENT][which].chars().collect();
        for (at, length, piece) in cuts {
            let start = at.index(text.len().max(1)).min(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, piece.chars());
        }
        judge_strictly(&text.into_iter().collect::<String>());
    }
}
