//! Names: every one that is used is looked up, and every one that is defined should be used.

use std::collections::{BTreeMap, BTreeSet};

use super::Workspace;
use crate::config::diagnostic::{Code, Sink};
use crate::config::document::{Document, Kind};
use crate::config::scalar;
use crate::config::source::Source;
use crate::config::suggest::suggest;
use crate::config::tree::Node;

impl Workspace {
    /// Looks up every name that is used.
    pub(super) fn names(&mut self, unused: bool) {
        let defined = self.defined();
        if self.gateway.is_none() {
            let used = |document: &&mut Document| {
                document.sink.references.iter().any(|reference| reference.kind != "policy" && reference.kind != "rule-set")
            };
            if let Some(document) = self.documents.iter_mut().find(used)
                && let Some(reference) = document.sink.references.first().cloned()
            {
                document
                    .sink
                    .warning(
                        Code::NamesUnchecked,
                        reference.span,
                        "there is no gateway.yaml above this file: names of relays, lists and analyzers cannot be checked",
                    )
                    .help("validate the folder of the deployment, or put a gateway.yaml into it");
            }
        }
        let hinders = |gateway: &Document| !gateway.wanted && gateway.sink.has_errors();
        if let Some(gateway) = self.gateway.as_ref().filter(|gateway| hinders(gateway)) {
            let mut sink = Sink::new(Source::new(gateway.sink.source().path.clone(), String::new()));
            sink.warning(Code::GatewayMistakes, 0..0, "gateway.yaml, which defines the names, has mistakes itself").help("validate it too");
            self.others.push(sink);
        }
        let Some(defined) = defined else { return };
        for document in self.gateway.iter_mut().chain(&mut self.documents) {
            for reference in document.sink.references.clone() {
                let names = defined.get(reference.kind);
                if names.is_some_and(|names| names.contains(&reference.name)) {
                    continue;
                }
                let what = reference.kind.replace('-', " ");
                let message = format!("there is no {what} `{}`", super::formats::clip(&reference.name));
                let near = names.and_then(|names| suggest(&reference.name, names.iter().map(String::as_str)));
                if let Some(near) = near {
                    let edits = vec![(reference.span.clone(), scalar::written(&document.sink.source(), &reference.span, near))];
                    // Names are the operator's own, and near ones may well be two things: nobody is sure of one.
                    document.sink.error(Code::UnknownName, reference.span, message).suggest(format!("did you mean `{near}`?"), edits);
                    continue;
                }
                let help = match reference.kind {
                    "policy" => format!("it would be the file `policies/{}.yaml`", super::formats::clip(&reference.name)),
                    "rule-set" => format!("it would be the file `rules/{}.yaml`", super::formats::clip(&reference.name)),
                    kind => format!("define it under `{}:` in gateway.yaml", section(kind)),
                };
                document.sink.error(Code::UnknownName, reference.span, message).help(help);
            }
        }
        if unused {
            self.unused();
        }
    }

    /// The names by kind; `None` when there is no deployment that could define any.
    fn defined(&self) -> Option<BTreeMap<&'static str, BTreeSet<String>>> {
        let tree = self.gateway.as_ref()?.tree.as_ref()?;
        let mut defined: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for kind in SECTIONS.iter().map(|(kind, _)| *kind) {
            let entries = tree.get(section(kind)).map(Node::entries).unwrap_or_default();
            defined.insert(kind, entries.iter().map(|entry| entry.key.clone()).collect());
        }
        let root = self.root.as_ref()?;
        for (kind, folder) in [("policy", "policies"), ("rule-set", "rules")] {
            let names = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten().map(|entry| entry.path());
            let names = names.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
            defined.insert(kind, names.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect());
        }
        Some(defined)
    }

    /// Reports relays, lists and analyzers that nothing refers to.
    fn unused(&mut self) {
        let readable = self.documents.iter().all(|document| document.tree.is_some());
        let Some(gateway) = self.gateway.as_mut().filter(|gateway| gateway.wanted && readable) else { return };
        let Some(tree) = &gateway.tree else { return };
        let used: BTreeSet<(&str, &str)> = self
            .documents
            .iter()
            .filter(is_judged_by)
            .flat_map(|document| &document.sink.references)
            .map(|used| (used.kind, used.name.as_str()))
            .collect();
        for (kind, section) in [("relay", "relays"), ("address-list", "address_lists"), ("ip-list", "ip_lists"), ("analyzer", "analyzers")]
        {
            for entry in tree.get(section).map(Node::entries).unwrap_or_default() {
                if !used.contains(&(kind, entry.key.as_str())) {
                    let message = format!("the {} `{}` is never used", kind.replace('-', " "), super::formats::clip(&entry.key));
                    gateway
                        .sink
                        .warning(Code::Unused, entry.key_span.clone(), message)
                        .help("no rule set and no policy of this deployment names it");
                }
            }
        }
    }
}

/// What only a test names is not used.
fn is_judged_by(document: &&Document) -> bool {
    document.kind != Some(Kind::Tests)
}

/// Kinds of names that `gateway.yaml` defines, and under which key.
const SECTIONS: &[(&str, &str)] = &[
    ("endpoint", "endpoints"),
    ("relay", "relays"),
    ("address-list", "address_lists"),
    ("ip-list", "ip_lists"),
    ("archive", "archives"),
    ("analyzer", "analyzers"),
    ("mailbox", "mailboxes"),
];

fn section(kind: &str) -> &'static str {
    SECTIONS.iter().find(|(name, _)| *name == kind).map_or("", |(_, section)| section)
}
