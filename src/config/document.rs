//! A file of a deployment: what kind it is, its tree, and its mistakes.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::diagnostic::{Code, Sink};
use super::files;
use super::lints;
use super::model::deployment::DeploymentFile;
use super::model::policy::PolicyFile;
use super::model::rule_tests::TestsFile;
use super::model::rules::RuleSetFile;
use super::shape::Shape;
use super::source::Span;
use super::tree::{self, Node};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Deployment,
    Policy,
    RuleSet,
    Tests,
}

impl Kind {
    fn shape(self) -> &'static Shape {
        static DEPLOYMENT: LazyLock<Shape> = LazyLock::new(Shape::of::<DeploymentFile>);
        static POLICY: LazyLock<Shape> = LazyLock::new(Shape::of::<PolicyFile>);
        static RULE_SET: LazyLock<Shape> = LazyLock::new(Shape::of::<RuleSetFile>);
        static TESTS: LazyLock<Shape> = LazyLock::new(Shape::of::<TestsFile>);
        match self {
            Self::Deployment => &DEPLOYMENT,
            Self::Policy => &POLICY,
            Self::RuleSet => &RULE_SET,
            Self::Tests => &TESTS,
        }
    }

    fn of_path(path: &Path) -> Option<Self> {
        if path.file_name().is_some_and(|name| name == "gateway.yaml") {
            return Some(Self::Deployment);
        }
        let folder = path.parent()?;
        if files::is_folder(folder, "policies") {
            return Some(Self::Policy);
        }
        if files::is_folder(folder, "rules") {
            return Some(Self::RuleSet);
        }
        files::is_of_tests(path).then_some(Self::Tests)
    }

    fn of_content(tree: &Node) -> Option<Self> {
        [("endpoints", Self::Deployment), ("tests", Self::Tests), ("rules", Self::RuleSet), ("default", Self::Policy)]
            .into_iter()
            .find(|(key, _)| tree.get(key).is_some())
            .map(|(_, kind)| kind)
    }
}

/// A file of a workspace.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) kind: Option<Kind>,
    /// The file's stem.
    pub(super) name: String,
    /// Where it is.
    pub(super) folder: PathBuf,
    pub(super) sink: Sink,
    pub(super) tree: Option<Node>,
    /// Where its substance begins: `rules`, or the `default` of a policy.
    pub(super) substance: Option<Span>,
    /// Whether its mistakes are asked for, or only what it defines and uses.
    pub(super) wanted: bool,
}

impl Document {
    /// Of a file that was read.
    pub(super) fn of(path: &Path, wanted: bool, mut sink: Sink) -> Self {
        let tree = if sink.has_errors() { None } else { tree::parse(&mut sink) };
        let kind = Kind::of_path(path).or_else(|| tree.as_ref().and_then(Kind::of_content));
        // A document of another system is no bad one of ours.
        let tree = tree.filter(|tree| !lints::foreign::document(tree, &mut sink));
        if let Some(tree) = &tree {
            match kind {
                Some(kind) => kind.shape().check(tree, &mut sink),
                None => {
                    sink.error(Code::UnknownKind, tree.head(), "it cannot be told what this file is")
                        .help("a rule set has `rules:`, a policy has `default:`, a deployment has `endpoints:`; or put it into `rules/` or `policies/`");
                }
            }
        }
        if path.extension().is_some_and(|extension| extension == "yml") {
            let name = path.with_extension("yaml");
            let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
            sink.warning(Code::FileName, 0..0, "a file that ends with `.yml` is not found by its name")
                .help(format!("rename it to `{name}`"));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let key = if kind == Some(Kind::Policy) { "default" } else { "rules" };
        let substance = tree.as_ref().and_then(|tree| tree.entry(key)).map(|entry| entry.key_span.clone());
        Self { kind, name, folder, sink, tree, substance, wanted }
    }
}
