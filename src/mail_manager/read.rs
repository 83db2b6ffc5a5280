//! What the files hold: answers and requests of the API, recognized by their members, and the resources of templates.

use std::any::TypeId;
use std::collections::HashMap;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::check;
use super::model::{
    AddonInstance, AddressList, AddressListImport, AddressListMembers, Archive, IngressPoint, Relay, RuleSet, TrafficPolicy,
};
use super::template::{self, Template};
use crate::config::ForeignFile;
use crate::config::diagnostic::{Code, Sink};
use crate::config::shape::Shape;
use crate::config::tree::Node;
use crate::config::typed::typed;

/// Something that was found, with what it goes by.
#[derive(Debug)]
pub(super) struct Found<T> {
    /// What.
    pub(super) value: T,
    /// The name of the resource in a template.
    pub(super) logical: Option<String>,
    /// What was assumed where the template leaves something open.
    pub(super) notes: Vec<String>,
}

/// Members of an address list, and how the list may be known.
#[derive(Debug)]
pub(super) struct Members {
    /// The members.
    pub(super) addresses: Vec<String>,
    /// Whether there are more, which were not printed.
    pub(super) is_partial: bool,
    /// The file without folder and ending.
    pub(super) stem: String,
    /// The list that stands before them in the same file, by its place among all.
    pub(super) behind: Option<usize>,
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Holdings {
    pub(super) rule_sets: Vec<Found<RuleSet>>,
    pub(super) policies: Vec<Found<TrafficPolicy>>,
    pub(super) relays: Vec<Found<Relay>>,
    pub(super) points: Vec<Found<IngressPoint>>,
    pub(super) lists: Vec<Found<AddressList>>,
    pub(super) members: Vec<Members>,
    pub(super) archives: Vec<Found<Archive>>,
    pub(super) addons: Vec<Found<AddonInstance>>,
    /// Texts that stand for what a template does not say, with what each is.
    pub(super) placeholders: Vec<(String, String)>,
}

impl Holdings {
    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.rule_sets.is_empty()
            && self.policies.is_empty()
            && self.relays.is_empty()
            && self.points.is_empty()
            && self.lists.is_empty()
            && self.members.is_empty()
            && self.archives.is_empty()
            && self.addons.is_empty()
    }
}

/// Reads all files; what is wrong in one is in its sink.
pub(super) fn read(files: &mut [ForeignFile]) -> Holdings {
    let mut reader = Reader { shapes: HashMap::new(), holdings: Holdings::default() };
    for file in files {
        let before = reader.holdings.lists.len();
        for document in std::mem::take(&mut file.documents) {
            check::conceal(&document, &mut file.sink);
            reader.document(&document, &file.stem, before, &mut file.sink);
        }
    }
    reader.holdings
}

struct Reader {
    shapes: HashMap<TypeId, Shape>,
    holdings: Holdings,
}

/// Which members make a document what it is; the first that fits counts.
const KINDS: &[(&str, Kind)] = &[
    ("Resources", Kind::Template),
    ("Rules", Kind::RuleSet),
    ("RuleSetName", Kind::RuleSet),
    ("PolicyStatements", Kind::Policy),
    ("TrafficPolicyName", Kind::Policy),
    ("ServerName", Kind::Relay),
    ("RelayName", Kind::Relay),
    ("IngressPointName", Kind::Point),
    ("Addresses", Kind::Members),
    ("items", Kind::Import),
    ("AddressListName", Kind::List),
    ("ArchiveName", Kind::Archive),
    ("AddonName", Kind::Addon),
    ("AddonInstanceArn", Kind::Addon),
    ("AddressLists", Kind::Lists),
    ("RuleSets", Kind::Summary("get-rule-set")),
    ("TrafficPolicies", Kind::Summary("get-traffic-policy")),
    ("Relays", Kind::Summary("get-relay")),
    ("IngressPoints", Kind::Summary("get-ingress-point")),
    ("Archives", Kind::Summary("get-archive")),
    ("AddonInstances", Kind::Summary("get-addon-instance")),
];

/// What a document is.
#[derive(Clone, Copy)]
enum Kind {
    Template,
    RuleSet,
    Policy,
    Relay,
    Point,
    Members,
    Import,
    List,
    Lists,
    Archive,
    Addon,
    /// A listing of names, and what prints the whole.
    Summary(&'static str),
}

impl Reader {
    fn document(&mut self, node: &Node, stem: &str, lists_before: usize, sink: &mut Sink) {
        if !node.items().is_empty() {
            for item in node.items() {
                if item.entries().is_empty() {
                    return unknown(item, sink);
                }
                self.document(item, stem, lists_before, sink);
            }
            return;
        }
        let Some((_, kind)) = KINDS.iter().find(|(member, _)| node.get(member).is_some()) else { return unknown(node, sink) };
        match kind {
            Kind::Template => self.template(node, sink),
            Kind::RuleSet => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.rule_sets.extend(found);
            }
            Kind::Policy => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.policies.extend(found);
            }
            Kind::Relay => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.relays.extend(found);
            }
            Kind::Point => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.points.extend(found);
            }
            Kind::List => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.lists.extend(found);
            }
            Kind::Archive => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.archives.extend(found);
            }
            Kind::Addon => {
                let found = self.found(node, None, Vec::new(), sink);
                self.holdings.addons.extend(found);
            }
            Kind::Lists => {
                for item in node.get("AddressLists").map(Node::items).unwrap_or_default() {
                    let found = self.found(item, None, Vec::new(), sink);
                    self.holdings.lists.extend(found);
                }
            }
            Kind::Members => {
                if let Some(members) = self.decode::<AddressListMembers>(node, sink) {
                    let addresses = members.addresses.into_iter().map(|member| member.address).collect();
                    self.members(addresses, members.next_token.is_some(), stem, lists_before);
                }
            }
            Kind::Import => {
                if let Some(import) = self.decode::<AddressListImport>(node, sink) {
                    self.members(import.items.into_iter().map(|item| item.address).collect(), false, stem, lists_before);
                }
            }
            Kind::Summary(command) => {
                sink.error(Code::UnknownKind, node.head(), "a listing of names alone, from which nothing can be made")
                    .help(format!("`aws mailmanager {command}` prints the whole of one"));
            }
        }
    }

    fn members(&mut self, addresses: Vec<String>, is_partial: bool, stem: &str, lists_before: usize) {
        let behind = self.holdings.lists.len().checked_sub(1).filter(|last| *last >= lists_before);
        self.holdings.members.push(Members { addresses, is_partial, stem: stem.to_owned(), behind });
    }

    fn template(&mut self, node: &Node, sink: &mut Sink) {
        let mut template = Template::new(node);
        for resource in template.resources(sink) {
            let template::Resource { kind, logical, properties, notes } = resource;
            let logical = Some(logical);
            match kind {
                template::Kind::RuleSet => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.rule_sets.extend(found);
                }
                template::Kind::TrafficPolicy => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.policies.extend(found);
                }
                template::Kind::Relay => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.relays.extend(found);
                }
                template::Kind::IngressPoint => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.points.extend(found);
                }
                template::Kind::AddressList => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.lists.extend(found);
                }
                template::Kind::Archive => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.archives.extend(found);
                }
                template::Kind::Addon => {
                    let found = self.found(&properties, logical, notes, sink);
                    self.holdings.addons.extend(found);
                }
            }
        }
        self.holdings.placeholders.extend(template.into_placeholders());
    }

    fn found<T: DeserializeOwned + JsonSchema + 'static>(
        &mut self,
        node: &Node,
        logical: Option<String>,
        notes: Vec<String>,
        sink: &mut Sink,
    ) -> Option<Found<T>> {
        let value = self.decode(node, sink)?;
        Some(Found { value, logical, notes })
    }

    fn decode<T: DeserializeOwned + JsonSchema + 'static>(&mut self, node: &Node, sink: &mut Sink) -> Option<T> {
        let shape = self.shapes.entry(TypeId::of::<T>()).or_insert_with(Shape::tolerant_of::<T>);
        shape.check(node, sink);
        check::check(node, sink);
        typed(node, sink)
    }
}

fn unknown(node: &Node, sink: &mut Sink) {
    sink.error(Code::UnknownKind, node.head(), "it cannot be told what this is").help(
        "what `aws mailmanager get-rule-set`, `get-traffic-policy`, `get-relay`, `get-ingress-point`, `get-address-list`, \
         `list-members-of-address-list`, `get-archive` and `get-addon-instance` print can be read, what `create-…` takes, and templates of \
         CloudFormation",
    );
}
