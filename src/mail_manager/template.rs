//! Templates of CloudFormation: the resources of Mail Manager with what intrinsic functions make of the rest.
//!
//! What the template itself knows is filled in: other resources, defaults of parameters, mappings, conditions. What only a stack knows
//! becomes a text that begins with `TODO-` and says what belongs there.

use std::collections::BTreeMap;

use super::intrinsics::{Resolver, Shared, condition_holds};
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::{Entry, Node, Value};

/// What stands before the logical name of a resource, where its id is meant.
pub(super) const REFERENCE: &str = "resource-of-template-";

/// Resources that something is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    RuleSet,
    TrafficPolicy,
    Relay,
    IngressPoint,
    AddressList,
    Archive,
    Addon,
}

impl Kind {
    fn of(kind: &str) -> Option<Self> {
        Some(match kind.strip_prefix("AWS::SES::MailManager")? {
            "RuleSet" => Self::RuleSet,
            "TrafficPolicy" => Self::TrafficPolicy,
            "Relay" => Self::Relay,
            "IngressPoint" => Self::IngressPoint,
            "AddressList" => Self::AddressList,
            "Archive" => Self::Archive,
            "AddonInstance" => Self::Addon,
            _ => return None,
        })
    }

    /// The property that names it, and may be left out.
    fn name_key(self) -> Option<&'static str> {
        match self {
            Self::RuleSet => Some("RuleSetName"),
            Self::TrafficPolicy => Some("TrafficPolicyName"),
            Self::Relay => Some("RelayName"),
            Self::IngressPoint => Some("IngressPointName"),
            Self::AddressList => Some("AddressListName"),
            Self::Archive => Some("ArchiveName"),
            Self::Addon => None,
        }
    }
}

/// A resource of Mail Manager.
#[derive(Debug)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    pub(super) logical: String,
    /// Without functions.
    pub(super) properties: Node,
    /// What was assumed.
    pub(super) notes: Vec<String>,
}

/// A template.
#[derive(Debug)]
pub(super) struct Template<'a> {
    root: &'a Node,
    shared: Shared,
}

impl<'a> Template<'a> {
    /// Takes a document with `Resources`.
    pub(super) fn new(root: &'a Node) -> Self {
        Self { root, shared: Shared::default() }
    }

    /// Its resources of Mail Manager; others are left alone.
    pub(super) fn resources(&mut self, sink: &mut Sink) -> Vec<Resource> {
        let root = self.root;
        let mut found = Vec::new();
        let resources = root.get("Resources").map(Node::entries).unwrap_or_default();
        for Entry { key: logical, key_span, value: resource } in resources {
            let Some(named) = resource.get("Type").and_then(Node::text) else { continue };
            let Some(kind) = Kind::of(named) else {
                if named.starts_with("AWS::SES::MailManager") && named != "AWS::SES::MailManagerAddonSubscription" {
                    sink.warning(Code::UnknownKind, key_span.clone(), format!("`{logical}` is of a type that is not known here"));
                }
                continue;
            };
            let mut resolver = Resolver::new(root, &mut self.shared);
            if let Some(condition) = resource.get("Condition").and_then(Node::text) {
                let holds = condition_holds(condition, &mut resolver);
                let word = if holds.unwrap_or(true) { "is" } else { "is not" };
                resolver.note(format!("the template has `{logical}` if `{condition}` holds, which {word} assumed"));
                if holds == Some(false) {
                    continue;
                }
            }
            let empty = Node { span: key_span.clone(), value: Value::Mapping(Vec::new()) };
            let Some(mut properties) = resolver.resolve(resource.get("Properties").unwrap_or(&empty)) else { continue };
            let notes = resolver.into_notes();
            coerce(&mut properties, "", sink);
            if let (Some(key), Value::Mapping(entries)) = (kind.name_key(), &mut properties.value)
                && entries.iter().all(|entry| entry.key != key)
            {
                let value = Node { span: key_span.clone(), value: Value::Text(logical.clone()) };
                entries.push(Entry { key: key.to_owned(), key_span: key_span.clone(), value });
            }
            found.push(Resource { kind, logical: logical.clone(), properties, notes });
        }
        if found.is_empty() {
            sink.error(Code::UnknownKind, root.head(), "this template has no resource of Mail Manager")
                .help("their types begin with `AWS::SES::MailManager`");
        }
        found
    }

    /// Texts that stand for what the template does not say, with what each is.
    pub(super) fn into_placeholders(self) -> BTreeMap<String, String> {
        self.shared.placeholders
    }
}

/// Properties that are numbers; all other scalars are texts. CloudFormation turns one into the other as the property asks for it.
const NUMBERS: &[&str] = &["ServerPort", "MaxMessageSizeBytes", "Value", "RetryTimeMinutes"];

fn coerce(node: &mut Node, key: &str, sink: &Sink) {
    let written = sink.source();
    let is_number = NUMBERS.contains(&key);
    let coerced = match &mut node.value {
        Value::Mapping(entries) => {
            for entry in entries {
                coerce(&mut entry.value, &entry.key, sink);
            }
            return;
        }
        Value::Sequence(items) => {
            for item in items {
                coerce(item, "", sink);
            }
            return;
        }
        Value::Text(text) if is_number => match (text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), _) => Value::Integer(number),
            (_, Ok(number)) if number.is_finite() => Value::Float(number),
            _ => return,
        },
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) if !is_number => {
            Value::Text(written.text.get(node.span.clone()).unwrap_or_default().to_owned())
        }
        _ => return,
    };
    node.value = coerced;
}
