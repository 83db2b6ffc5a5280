//! How one resource names another: by id or ARN in the API, by its logical id in a template.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

/// Which document is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// What the operations `Create…` take.
    Api(Account),
    /// A template of CloudFormation.
    CloudFormation,
}

/// Where the resources live, and the ids that they have there. A resource without an id stands under its name, to be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The region.
    pub region: Option<String>,
    /// The 12 digits of the account.
    pub account: Option<String>,
    /// Ids or ARNs by `relay/NAME`, `address-list/NAME`, `archive/NAME`, `analyzer/NAME`, `rule-set/NAME`, `traffic-policy/NAME`.
    pub ids: BTreeMap<String, String>,
}

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    Relay,
    AddressList,
    Archive,
    Analyzer,
    RuleSet,
    TrafficPolicy,
    IngressPoint,
}

impl Resource {
    /// As names of ids and ARNs have it.
    fn word(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::AddressList => "address-list",
            Self::Archive => "archive",
            Self::Analyzer => "analyzer",
            Self::RuleSet => "rule-set",
            Self::TrafficPolicy => "traffic-policy",
            Self::IngressPoint => "ingress-point",
        }
    }

    fn logical(self) -> &'static str {
        match self {
            Self::Relay => "Relay",
            Self::AddressList => "List",
            Self::Archive => "Archive",
            Self::Analyzer => "Analyzer",
            Self::RuleSet => "Rules",
            Self::TrafficPolicy => "Policy",
            Self::IngressPoint => "Ingress",
        }
    }
}

/// The names of one export.
#[derive(Debug)]
pub(crate) struct Names {
    target: Target,
    logical: BTreeMap<(Resource, String), String>,
    taken: BTreeSet<String>,
    /// What stands under its name where an id belongs: `relay/google`.
    pub(crate) without_id: BTreeSet<String>,
}

impl Names {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, logical: BTreeMap::new(), taken: BTreeSet::new(), without_id: BTreeSet::new() }
    }

    /// Whether a template is written.
    pub(crate) fn is_template(&self) -> bool {
        self.target == Target::CloudFormation
    }

    /// The logical id in a template: letters and digits alone, and each once.
    pub(crate) fn logical(&mut self, resource: Resource, name: &str) -> String {
        let key = (resource, name.to_owned());
        if let Some(known) = self.logical.get(&key) {
            return known.clone();
        }
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let camel: String =
            words.flat_map(|word| word.chars().enumerate().map(|(at, c)| if at == 0 { c.to_ascii_uppercase() } else { c })).collect();
        let first = format!("{}{camel}", resource.logical());
        let numbered = (2_usize..).map(|number| format!("{first}{number}"));
        let free = std::iter::once(first.clone()).chain(numbered).find(|id| !self.taken.contains(id)).unwrap_or(first);
        self.taken.insert(free.clone());
        self.logical.insert(key, free.clone());
        free
    }

    /// How another resource names this one.
    pub(crate) fn reference(&mut self, resource: Resource, name: &str) -> Json {
        if let Target::Api(account) = self.target.clone() {
            return json!(self.id(&account, resource, name));
        }
        let id = self.logical(resource, name);
        match resource {
            Resource::Relay => json!({ "Fn::GetAtt": [id, "RelayId"] }),
            Resource::AddressList => json!({ "Fn::GetAtt": [id, "AddressListArn"] }),
            // The attribute `ArchiveId` is the ARN, and the action wants the id.
            Resource::Archive => json!({ "Fn::Select": [1, { "Fn::Split": ["/", { "Fn::GetAtt": [id, "ArchiveArn"] }] }] }),
            Resource::Analyzer => json!({ "Ref": id }),
            Resource::RuleSet => json!({ "Fn::GetAtt": [id, "RuleSetId"] }),
            Resource::TrafficPolicy => json!({ "Fn::GetAtt": [id, "TrafficPolicyId"] }),
            Resource::IngressPoint => json!({ "Fn::GetAtt": [id, "IngressPointId"] }),
        }
    }

    fn id(&mut self, account: &Account, resource: Resource, name: &str) -> String {
        let key = format!("{}/{name}", resource.word());
        let id = account.ids.get(&key).cloned().unwrap_or_else(|| {
            self.without_id.insert(key);
            name.to_owned()
        });
        let Account { region: Some(region), account: Some(number), .. } = account else { return id };
        if resource != Resource::AddressList || id.starts_with("arn:") {
            return id;
        }
        format!("arn:aws:ses:{region}:{number}:mailmanager-address-list/{id}")
    }

    /// The analyzers that conditions name: parameters of a template.
    pub(crate) fn analyzers(&self) -> Vec<(String, String)> {
        self.logical
            .iter()
            .filter(|((resource, _), _)| *resource == Resource::Analyzer)
            .map(|((_, name), id)| (name.clone(), id.clone()))
            .collect()
    }
}
