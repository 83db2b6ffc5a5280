//! One deployment and the files that belong to it, read and checked together.

mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::advice::Advice;
use super::build::Defined;
use super::build::deployment::{Deployment, Judging, ListPath};
use super::build::lists::Lists;
use super::build::rule_tests::Testable;
use super::build::{self};
use super::diagnostic::{Code, Sink};
use super::document::{Document, Kind};
use super::files::{self, Contents, Reader};
use super::findings::{self, Whole};
use super::formats;
use super::lints;
use super::parallel::{drop_aside, side_by_side};
use super::rule_tests::TestFile;
use super::rulebook::{FilePlaces, RulebookFiles, is_about_serving};
use super::tree::Node;
use super::{Endpoint, JudgedEndpoint, Options, Report, Rulebook, Snapshot};
use crate::limits;
use crate::policy::Policy;
use crate::rules::RuleSet;

/// A file as it was read and checked, for those who carry it elsewhere.
#[derive(Debug)]
pub(crate) struct ReadFile {
    pub(crate) kind: Kind,
    /// The file's stem.
    pub(crate) name: String,
    pub(crate) tree: Node,
    pub(crate) sink: Sink,
}

/// Reads a deployment with its policies and rule sets; what is wrong is in the sinks. Files that cannot be made sense of come as sinks alone.
pub(crate) fn read(gateway_yaml: &Path, now: OffsetDateTime) -> (Vec<ReadFile>, Vec<Sink>) {
    let path = std::path::absolute(gateway_yaml).unwrap_or_else(|_| gateway_yaml.to_owned());
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    let wanted = files::below(&root).unwrap_or_default().into_iter().chain([path]).collect();
    let mut workspace = Workspace::of_files(Some(root), &wanted, Contents::default());
    workspace.build(None, now);
    let (mut read, mut others) = (Vec::new(), workspace.others);
    for document in workspace.gateway.into_iter().chain(workspace.documents) {
        match document {
            Document { kind: Some(kind), name, sink, tree: Some(tree), .. } => read.push(ReadFile { kind, name, tree, sink }),
            Document { sink, .. } => others.push(sink),
        }
    }
    (read, others)
}

/// A deployment with its policies and rule sets.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    reader: Reader,
    /// The folder of `gateway.yaml`.
    root: Option<PathBuf>,
    gateway: Option<Document>,
    documents: Vec<Document>,
    /// Sinks of list files and of what concerns no file that was read.
    others: Vec<Sink>,
    contents: Contents,
}

/// What one file is built into.
enum Judged {
    Policy(Arc<Policy>),
    RuleSet(Arc<RuleSet>),
}

/// What was built of a workspace without errors.
#[derive(Debug, Default)]
struct Built {
    deployment: Deployment,
    policies: BTreeMap<String, Arc<Policy>>,
    rule_sets: BTreeMap<String, Arc<RuleSet>>,
    tests: Vec<TestFile>,
}

/// A deployment's tests, and what they judge by.
#[derive(Debug)]
pub(crate) struct Tested {
    /// What messages are judged by, or the mistakes that stand against it.
    pub(crate) rulebook: Result<Rulebook, Report>,
    /// The tests without mistakes.
    pub(crate) files: Vec<TestFile>,
    /// The mistakes of tests.
    pub(crate) report: Report,
}

impl Workspace {
    /// A deployment with just what it uses.
    pub(crate) fn of_deployment(gateway_yaml: &Path) -> Self {
        let mut workspace = Self::default();
        let path = std::path::absolute(gateway_yaml).unwrap_or_else(|_| gateway_yaml.to_owned());
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        let gateway = workspace.open(&path, true);
        let mut used = BTreeSet::new();
        for reference in &gateway.sink.references {
            let folder = match reference.kind {
                "policy" => "policies",
                "rule-set" => "rules",
                _ => continue,
            };
            let file = root.join(folder).join(format!("{}.yaml", reference.name));
            if is_file_name(&reference.name) && file.is_file() {
                used.insert(file);
            }
        }
        workspace.gateway = Some(gateway);
        workspace.documents = workspace.open_all(used.into_iter().map(|file| (file, true)).collect());
        workspace.root = Some(root);
        workspace
    }

    /// The files that are asked for, below one `gateway.yaml` or none.
    pub(crate) fn of_files(root: Option<PathBuf>, wanted: &BTreeSet<PathBuf>, contents: Contents) -> Self {
        let mut workspace = Self { contents, ..Self::default() };
        let gateway = root.as_ref().map(|root| root.join("gateway.yaml"));
        if let Some(gateway) = &gateway {
            workspace.gateway = Some(workspace.open(gateway, wanted.contains(gateway)));
        }
        let asked_for = wanted.iter().filter(|file| Some(*file) != gateway.as_ref());
        let mut files: Vec<(PathBuf, bool)> = asked_for.map(|file| (file.clone(), true)).collect();
        // Whether something of the deployment is used can only be said when all that might use it is read; tests name rules of all sets.
        let has_tests = files.iter().any(|(file, _)| files::is_of_tests(file));
        if let Some(root) = &root
            && (has_tests || gateway.as_ref().is_some_and(|gateway| wanted.contains(gateway)))
        {
            for folder in ["policies", "rules"] {
                let others = files::below(&root.join(folder)).unwrap_or_default();
                files.extend(
                    others.into_iter().filter(|file| !wanted.contains(file) && !files::is_of_tests(file)).map(|file| (file, false)),
                );
            }
        }
        workspace.documents = workspace.open_all(files);
        workspace.root = root;
        workspace
    }

    fn open(&mut self, path: &Path, wanted: bool) -> Document {
        Document::of(path, wanted, self.reader.add(self.contents.yaml(path)))
    }

    /// Reads files side by side; what comes back has their order.
    fn open_all(&mut self, files: Vec<(PathBuf, bool)>) -> Vec<Document> {
        let contents = &self.contents;
        let read = side_by_side(files, |(path, wanted)| {
            let mut reader = Reader::default();
            let document = Document::of(&path, wanted, reader.add(contents.yaml(&path)));
            (reader, document)
        });
        read.into_iter()
            .map(|(reader, document)| {
                self.reader.join(reader);
                document
            })
            .collect()
    }

    /// Checks all that is to be known of the files together, what nothing refers to as well.
    pub(crate) fn check(mut self, options: &Options) -> Vec<Sink> {
        let built = self.build(Some(options), options.now.unwrap_or_else(OffsetDateTime::now_utc));
        drop_aside(built);
        self.into_sinks()
    }

    /// The snapshot, when there is no error.
    pub(crate) fn load(mut self, now: OffsetDateTime) -> Result<(Snapshot, Report), Report> {
        let built = self.build(None, now);
        let files = std::mem::take(&mut self.reader.files);
        let hash = self.reader.hash();
        let report = Report::new(self.into_sinks());
        if report.errors() > 0 {
            return Err(report);
        }
        match snapshot(built, hash, files) {
            Some(snapshot) => Ok((snapshot, report)),
            None => Err(report),
        }
    }

    /// What messages are judged by, when there is no error that matters to it.
    pub(crate) fn rulebook(mut self, now: OffsetDateTime) -> Result<(Rulebook, Report), Report> {
        let built = self.build(None, now);
        self.judged_by(built)
    }

    /// The tests among the files, with what they judge by. Mistakes of one test are no obstacle to the others.
    pub(crate) fn tested(mut self, now: OffsetDateTime) -> Tested {
        let mut built = self.build(None, now);
        let files = std::mem::take(&mut built.tests);
        let (tests, others) = std::mem::take(&mut self.documents).into_iter().partition(|document| document.kind == Some(Kind::Tests));
        self.documents = others;
        let tests: Vec<Document> = tests;
        let report = Report::new(tests.into_iter().filter(|document| document.wanted).map(|document| document.sink));
        Tested { rulebook: self.judged_by(built).map(|(rulebook, _)| rulebook), files, report }
    }

    fn judged_by(mut self, built: Built) -> Result<(Rulebook, Report), Report> {
        let judging = match &mut self.gateway {
            Some(Document { tree: Some(tree), sink, .. }) => build::deployment::judging(tree, sink),
            _ => BTreeMap::new(),
        };
        let hash = self.reader.hash();
        let mut files = RulebookFiles::default();
        for Document { kind, name, sink, tree, .. } in &mut self.documents {
            let of_kind = match kind {
                Some(Kind::Policy) => &mut files.policies,
                Some(Kind::RuleSet) => &mut files.rule_sets,
                Some(Kind::Deployment | Kind::Tests) | None => continue,
            };
            of_kind.extend(tree.take().map(|tree| (name.clone(), FilePlaces::new(tree, sink.source()))));
        }
        let mut report = Report::new(self.into_sinks());
        report.diagnostics.retain(|diagnostic| !is_about_serving(diagnostic.code));
        if report.errors() > 0 {
            return Err(report);
        }
        match rulebook(built, judging, hash, files) {
            Some(rulebook) => Ok((rulebook, report)),
            None => Err(report),
        }
    }

    fn into_sinks(self) -> Vec<Sink> {
        self.gateway
            .into_iter()
            .chain(self.documents)
            .filter(|document| document.wanted)
            .map(|document| document.sink)
            .chain(self.others)
            .collect()
    }

    /// Builds all that can be built. With options somebody asks for mistakes, and all are looked for; without, a gateway starts.
    fn build(&mut self, asked: Option<&Options>, now: OffsetDateTime) -> Built {
        let mut built = Built::default();
        let root = self.root.clone();
        if let (Some(gateway), Some(root)) = (&mut self.gateway, &root)
            && let Some(tree) = &gateway.tree
        {
            built.deployment = build::deployment::build(tree, root, now, &mut gateway.sink);
            if let Some(options) = asked.filter(|_| gateway.wanted) {
                lints::check(Kind::Deployment, &gateway.name, tree, options, &mut gateway.sink);
            }
        }
        self.names(asked.is_some());
        let lists = self.lists(&built.deployment);
        let srs = self.gateway.as_ref().and_then(|gateway| gateway.tree.as_ref()).is_none_or(|tree| tree.get("srs").is_some());
        let defined = Defined { lists: &lists, analyzers: &built.deployment.analyzers, srs };
        let gateway = self.gateway.as_ref().filter(|gateway| !gateway.sink.has_errors());
        let gateway = gateway.and_then(|gateway| Some((gateway.tree.as_ref()?, gateway.sink.source())));
        let gateway = gateway.as_ref().map(|(tree, source)| (*tree, source));
        let advice = asked.map(|options| Advice { options, deployment: &built.deployment, gateway });
        let judged = side_by_side(self.documents.iter_mut().collect(), |document| {
            let Document { kind: Some(kind), name, sink, tree: Some(tree), wanted, .. } = &mut *document else { return None };
            let advice = advice.filter(|_| *wanted);
            if let Some(advice) = advice {
                advice.file(*kind, name, tree, sink);
            }
            let judged = match kind {
                Kind::Policy => build::policy::build(name, tree, defined, sink).map(|policy| {
                    if let Some(advice) = advice {
                        advice.policy(&policy, tree, sink);
                    }
                    (name.clone(), Judged::Policy(Arc::new(policy)))
                }),
                Kind::RuleSet => build::rules::build(name, tree, defined, sink).map(|rules| {
                    if *wanted {
                        findings::rewriting::check(&rules, tree, sink);
                    }
                    if let Some(advice) = advice {
                        advice.rule_set(&rules, tree, sink);
                    }
                    (name.clone(), Judged::RuleSet(Arc::new(rules)))
                }),
                // A second deployment under a name of its own: its shape is all that can be said of it. Tests need all that is built here.
                Kind::Deployment | Kind::Tests => return None,
            };
            if asked.is_some() {
                // Of thousands of files, the trees take longer to give back than to look at: here that is done side by side too.
                document.tree = None;
            }
            judged
        });
        for (name, judged) in judged.into_iter().flatten() {
            match judged {
                Judged::Policy(policy) => drop(built.policies.insert(name, policy)),
                Judged::RuleSet(rules) => drop(built.rule_sets.insert(name, rules)),
            }
        }
        self.tests(&mut built);
        self.find(&built);
        formats::forget_patterns();
        for (file, content) in std::mem::take(&mut built.deployment.files) {
            self.reader.add_file(file, &content);
        }
        built
    }

    /// Builds the tests.
    fn tests(&mut self, built: &mut Built) {
        let endpoints = self.gateway.as_ref().and_then(|gateway| gateway.tree.as_ref()?.get("endpoints")).map(Node::entries);
        let judged = |node: &Node| Some((node.get("policy")?.text()?.to_owned(), node.get("rules")?.text()?.to_owned()));
        let endpoints = endpoints.unwrap_or_default().iter().filter_map(|entry| Some((entry.key.clone(), judged(&entry.value)?))).collect();
        let testable = Testable {
            endpoints: &endpoints,
            policies: &built.policies,
            rule_sets: &built.rule_sets,
            analyzers: &built.deployment.analyzers,
        };
        for document in self.documents.iter_mut().filter(|document| document.kind == Some(Kind::Tests)) {
            let Some(tree) = &document.tree else { continue };
            built.tests.extend(build::rule_tests::build(tree, &document.folder, testable, &mut document.sink));
        }
    }

    /// Looks at the deployment as a whole.
    fn find(&mut self, built: &Built) {
        let files = |wanted: Kind| {
            let documents = self.documents.iter().filter(|document| document.kind == Some(wanted));
            let placed =
                documents.filter_map(|document| Some((document.name.clone(), (document.sink.source(), document.substance.clone()?))));
            placed.collect::<BTreeMap<_, _>>()
        };
        let (policy_files, rule_files) = (files(Kind::Policy), files(Kind::RuleSet));
        let Some(Document { tree: Some(tree), sink, wanted: true, .. }) = &mut self.gateway else { return };
        let Built { deployment, policies, rule_sets, .. } = built;
        let whole = Whole { tree, deployment, policies, rule_sets, policy_files: &policy_files, rule_files: &rule_files };
        findings::deployment(whole, sink);
    }

    /// Reads the lists, when the deployment itself is asked for.
    fn lists(&mut self, deployment: &Deployment) -> Lists {
        let mut lists = Lists::default();
        let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.wanted) else { return lists };
        let mut read = |path: &ListPath| {
            if let Err(error) = files::is_readable(&path.path) {
                let message = format!("`{}` cannot be read: {}", files::shown(&path.path).display(), files::why(&error));
                gateway
                    .sink
                    .error(Code::Unreadable, path.named_at.clone(), message)
                    .help("a relative path begins at the folder of gateway.yaml");
                self.reader.files.push(path.path.clone());
                return None;
            }
            Some(self.reader.add(self.contents.read(&path.path, limits::LIST_FILE_BYTES_MAX)))
        };
        for (name, path) in &deployment.address_lists {
            if let Some(mut sink) = read(path) {
                if !sink.has_errors() {
                    lists.address.insert(name.clone(), Arc::new(build::lists::addresses(&mut sink).named(name)));
                }
                self.others.push(sink);
            }
        }
        for (name, path) in &deployment.ip_lists {
            if let Some(mut sink) = read(path) {
                if !sink.has_errors() {
                    lists.ip.insert(name.clone(), Arc::new(build::lists::networks(&mut sink).named(name)));
                }
                self.others.push(sink);
            }
        }
        lists
    }
}

/// Whether a name is just a name, so that it cannot lead out of the folder.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['/', '\\', '\0']) && name != "." && name != ".."
}

fn rulebook(built: Built, judging: BTreeMap<String, Judging>, hash: String, files: RulebookFiles) -> Option<Rulebook> {
    let Built { deployment, policies, rule_sets, .. } = built;
    let mut endpoints = BTreeMap::new();
    for (name, Judging { used_by, policy, rules, delivery, tls, looks_ahead }) in judging {
        let name: Arc<str> = Arc::from(name);
        let (policy, rules) = (Arc::clone(policies.get(&policy)?), Arc::clone(rule_sets.get(&rules)?));
        endpoints.insert(Arc::clone(&name), JudgedEndpoint { name, used_by, policy, rules, delivery, tls, looks_ahead });
    }
    Some(Rulebook {
        hash: Arc::from(hash),
        hostname: deployment.hostname?,
        domains: deployment.domains?,
        endpoints,
        policies,
        rule_sets,
        relays: deployment.relays,
        analyzers: deployment.analyzers,
        resolver: deployment.resolver,
        limits: deployment.limits,
        srs_domain: deployment.srs.map(|srs| srs.domain),
        files,
    })
}

fn snapshot(built: Built, hash: String, files: Vec<PathBuf>) -> Option<Snapshot> {
    let Built { deployment, policies, rule_sets, .. } = built;
    let mut endpoints = BTreeMap::new();
    for (name, endpoint) in deployment.endpoints {
        let name: Arc<str> = Arc::from(name);
        let policy = Arc::clone(policies.get(&endpoint.policy)?);
        let rules = Arc::clone(rule_sets.get(&endpoint.rules)?);
        let endpoint = Endpoint {
            name: Arc::clone(&name),
            kind: endpoint.kind,
            listen: endpoint.listen,
            policy,
            rules,
            tls: endpoint.tls,
            delivery: endpoint.delivery,
            load_balancers: endpoint.load_balancers,
            fields: endpoint.fields,
            call_ahead: endpoint.call_ahead,
        };
        endpoints.insert(name, Arc::new(endpoint));
    }
    Some(Snapshot {
        analyzers: deployment.analyzers,
        bounce_relay: deployment.bounce_relay,
        srs: deployment.srs.map(Arc::new),
        acme: deployment.acme.map(Arc::new),
        dmarc_reports: deployment.dmarc_reports.map(Arc::new),
        tls_reports: deployment.tls_reports.map(Arc::new),
        hash: Arc::from(hash),
        hostname: deployment.hostname?,
        domains: deployment.domains?,
        endpoints,
        relays: deployment.relays,
        spool: deployment.spool,
        limits: deployment.limits,
        resolver: deployment.resolver,
        admin: deployment.admin,
        files,
        expiries: deployment.expiries,
    })
}
