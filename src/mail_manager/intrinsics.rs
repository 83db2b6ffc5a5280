//! The intrinsic functions of CloudFormation, as far as a template can answer them itself.

use std::collections::BTreeMap;

use super::template::REFERENCE;
use crate::config::tree::{Entry, Node, Value};
use crate::limits::{FOREIGN_DEPTH_MAX, FOREIGN_VALUES_MAX};

/// Resolves functions in the properties of one resource.
#[derive(Debug)]
pub(super) struct Resolver<'a> {
    root: &'a Node,
    shared: &'a mut Shared,
    notes: Vec<String>,
    depth: usize,
}

/// What the resources of a template have in common.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Texts that stand for what the template does not say, with what each is.
    pub(super) placeholders: BTreeMap<String, String>,
    /// Functions called and octets made: a few lines can ask for more than there is memory.
    spent: usize,
}

/// Whether a condition of the template holds; `None` when that hangs on something that the template does not say.
pub(super) fn condition_holds(name: &str, resolver: &mut Resolver<'_>) -> Option<bool> {
    let condition = resolver.root.get("Conditions")?.get(name)?;
    resolver.holds(condition)
}

impl<'a> Resolver<'a> {
    pub(super) fn new(root: &'a Node, shared: &'a mut Shared) -> Self {
        Self { root, shared, notes: Vec::new(), depth: 0 }
    }

    /// Says once what was assumed.
    pub(super) fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// The node without functions; `None` when it stands for nothing (`AWS::NoValue`).
    pub(super) fn resolve(&mut self, node: &Node) -> Option<Node> {
        // A condition that names itself, or a default that is very deep, ends here.
        self.shared.spent = self.shared.spent.saturating_add(1);
        if self.depth > FOREIGN_DEPTH_MAX || self.is_spent() {
            return Some(self.placeholder(node, "TODO-nested", "nested too deeply"));
        }
        self.depth = self.depth.saturating_add(1);
        let resolved = self.resolve_one(node);
        self.depth = self.depth.saturating_sub(1);
        resolved
    }

    fn resolve_one(&mut self, node: &Node) -> Option<Node> {
        let value = match &node.value {
            Value::Mapping(entries) => match entries.as_slice() {
                [Entry { key, value: argument, .. }] if key == "Ref" || key.starts_with("Fn::") => {
                    return self.function(key, argument, node);
                }
                entries => {
                    let resolved = entries.iter().filter_map(|entry| {
                        let value = self.resolve(&entry.value)?;
                        Some(Entry { key: entry.key.clone(), key_span: entry.key_span.clone(), value })
                    });
                    Value::Mapping(resolved.collect())
                }
            },
            Value::Sequence(items) => Value::Sequence(items.iter().filter_map(|item| self.resolve(item)).collect()),
            other => other.clone(),
        };
        Some(Node { span: node.span.clone(), value })
    }

    fn function(&mut self, function: &str, argument: &Node, node: &Node) -> Option<Node> {
        let resolved = match function {
            "Ref" if argument.text() == Some("AWS::NoValue") => return None,
            "Ref" => self.reference(argument.text().unwrap_or_default(), node),
            "Fn::GetAtt" => {
                let parts: Vec<&str> = match argument.text() {
                    Some(text) => text.splitn(2, '.').collect(),
                    None => argument.items().iter().filter_map(Node::text).collect(),
                };
                self.attribute(parts.first().unwrap_or(&""), parts.get(1).unwrap_or(&""), node)
            }
            "Fn::Sub" => self.substitute(argument, node),
            "Fn::Join" => {
                let (Some(separator), Some(items)) = (argument.items().first().and_then(Node::text), argument.items().get(1)) else {
                    return Some(self.unknown(function, node));
                };
                let items = self.resolve(items)?;
                let texts: Vec<String> = items.items().iter().filter_map(scalar).collect();
                self.text(node, texts.join(separator))
            }
            "Fn::Split" => {
                let parts = (argument.items().first().and_then(Node::text), argument.items().get(1));
                let (Some(separator), Some(whole)) = parts else { return Some(self.unknown(function, node)) };
                let whole = self.resolve(whole).as_ref().and_then(scalar).unwrap_or_default();
                let items = if separator.is_empty() {
                    vec![text(node, whole)]
                } else {
                    whole.split(separator).map(|part| text(node, part.to_owned())).collect()
                };
                Node { span: node.span.clone(), value: Value::Sequence(items) }
            }
            "Fn::Select" => {
                let index = argument.items().first().and_then(|index| self.resolve(index)).as_ref().and_then(scalar);
                let items = argument.items().get(1).and_then(|items| self.resolve(items));
                let index = index.and_then(|index| index.parse::<usize>().ok());
                match (index, items) {
                    (Some(index), Some(items)) => match items.items().get(index) {
                        Some(item) => item.clone(),
                        None => self.unknown(function, node),
                    },
                    _ => self.unknown(function, node),
                }
            }
            "Fn::FindInMap" => {
                let keys: Vec<String> =
                    argument.items().iter().filter_map(|key| self.resolve(key)).filter_map(|key| scalar(&key)).collect();
                let mut found = self.root.get("Mappings");
                for key in &keys {
                    found = found.and_then(|map| map.get(key));
                }
                match found.filter(|found| found.entries().is_empty()) {
                    Some(value) => Node { span: node.span.clone(), value: value.value.clone() },
                    None => self.placeholder(node, &format!("TODO-{}", plain(&keys.join("-"))), "what `Fn::FindInMap` finds"),
                }
            }
            "Fn::If" => return self.choose(argument, node),
            "Fn::ImportValue" => {
                let name = self.resolve(argument).as_ref().and_then(scalar).unwrap_or_default();
                self.placeholder(node, &format!("TODO-{}", plain(&name)), "what another stack exports under this name")
            }
            _ => self.unknown(function, node),
        };
        Some(resolved)
    }

    /// `Fn::If`: one of two values.
    fn choose(&mut self, argument: &Node, node: &Node) -> Option<Node> {
        let [condition, then, otherwise] = argument.items() else { return Some(self.unknown("Fn::If", node)) };
        let name = condition.text().unwrap_or_default();
        let holds = condition_holds(name, self);
        let word = if holds.unwrap_or(true) { "holds" } else { "does not hold" };
        self.note(format!("the condition `{name}` of the template decides here; it was taken that it {word}"));
        self.resolve(if holds.unwrap_or(true) { then } else { otherwise })
    }

    fn holds(&mut self, condition: &Node) -> Option<bool> {
        self.shared.spent = self.shared.spent.saturating_add(1);
        if self.depth > FOREIGN_DEPTH_MAX || self.is_spent() {
            return None;
        }
        self.depth = self.depth.saturating_add(1);
        let holds = match condition.entries() {
            [Entry { key, value, .. }] => match key.as_str() {
                "Condition" => value.text().and_then(|name| condition_holds(name, self)),
                "Fn::Not" => value.items().first().and_then(|inner| self.holds(inner)).map(|holds| !holds),
                "Fn::And" => {
                    value.items().iter().map(|inner| self.holds(inner)).collect::<Option<Vec<_>>>().map(|all| !all.contains(&false))
                }
                "Fn::Or" => value.items().iter().map(|inner| self.holds(inner)).collect::<Option<Vec<_>>>().map(|all| all.contains(&true)),
                "Fn::Equals" => {
                    let sides: Vec<String> =
                        value.items().iter().filter_map(|side| self.resolve(side)).filter_map(|side| scalar(&side)).collect();
                    match sides.as_slice() {
                        [one, other] if !one.contains("TODO-") && !other.contains("TODO-") => Some(one == other),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        };
        self.depth = self.depth.saturating_sub(1);
        holds
    }

    fn reference(&mut self, name: &str, node: &Node) -> Node {
        if let Some(pseudo) = name.strip_prefix("AWS::") {
            return match pseudo {
                "Partition" => text(node, "aws".to_owned()),
                "URLSuffix" => text(node, "amazonaws.com".to_owned()),
                _ => self.placeholder(node, &format!("TODO-{}", plain(pseudo)), "of the stack"),
            };
        }
        if let Some(parameter) = self.root.get("Parameters").and_then(|parameters| parameters.get(name)) {
            let kind = parameter.get("Type").and_then(Node::text).unwrap_or_default();
            let Some(default) = parameter.get("Default").and_then(scalar) else {
                return self.placeholder(node, &format!("TODO-{}", plain(name)), "a parameter of the template, which has no default");
            };
            self.note(format!("the parameter `{name}` of the template has its default `{default}` here"));
            let is_list = kind == "CommaDelimitedList" || kind.starts_with("List<");
            return if is_list {
                self.shared.spent = self.shared.spent.saturating_add(default.len());
                let items = default.split(',').map(|item| text(node, item.trim().to_owned())).collect();
                Node { span: node.span.clone(), value: Value::Sequence(items) }
            } else {
                self.text(node, default)
            };
        }
        self.attribute(name, "Id", node)
    }

    /// An attribute of a resource: of one of Mail Manager's its id or ARN, which names it.
    fn attribute(&mut self, logical: &str, attribute: &str, node: &Node) -> Node {
        let kind = self.root.get("Resources").and_then(|all| all.get(logical)).and_then(|one| one.get("Type")).and_then(Node::text);
        if kind.is_some_and(|kind| kind.starts_with("AWS::SES::MailManager")) {
            let id = format!("{REFERENCE}{}", plain(logical));
            let is_arn = attribute.ends_with("Arn");
            return self.text(node, if is_arn { format!("arn:aws:ses:region:account:mailmanager/{id}") } else { id });
        }
        let about = if kind.is_some() { "of another resource of the template" } else { "of a resource that the template does not have" };
        self.placeholder(node, &format!("TODO-{}-of-{}", plain(attribute), plain(logical)), about)
    }

    fn substitute(&mut self, argument: &Node, node: &Node) -> Node {
        let (pattern, values) = match argument.items() {
            [] => (argument.text(), None),
            [pattern, values, ..] => (pattern.text(), Some(values)),
            [pattern] => (pattern.text(), None),
        };
        let Some(mut rest) = pattern else { return self.unknown("Fn::Sub", node) };
        let mut written = String::new();
        while let Some((before, behind)) = rest.split_once("${") {
            if self.is_spent() || written.len() > FOREIGN_VALUES_MAX {
                return self.unknown("Fn::Sub", node);
            }
            written.push_str(before);
            let Some((name, after)) = behind.split_once('}') else {
                rest = behind;
                continue;
            };
            rest = after;
            if let Some(literal) = name.strip_prefix('!') {
                written.push_str(&format!("${{{literal}}}"));
                continue;
            }
            let value = match values.and_then(|values| values.get(name)) {
                Some(value) => self.resolve(value),
                None => Some(match name.split_once('.') {
                    Some((logical, attribute)) => self.attribute(logical, attribute, node),
                    None => self.reference(name, node),
                }),
            };
            written.push_str(&value.as_ref().and_then(scalar).unwrap_or_default());
        }
        written.push_str(rest);
        self.text(node, written)
    }

    fn is_spent(&self) -> bool {
        self.shared.spent > FOREIGN_VALUES_MAX
    }

    /// A text that a function made.
    fn text(&mut self, node: &Node, made: String) -> Node {
        self.shared.spent = self.shared.spent.saturating_add(made.len());
        text(node, made)
    }

    fn unknown(&mut self, function: &str, node: &Node) -> Node {
        let name = function.trim_start_matches("Fn::");
        self.placeholder(node, &format!("TODO-{}", plain(name)), "what this function of the template gives")
    }

    fn placeholder(&mut self, node: &Node, name: &str, about: &str) -> Node {
        self.shared.placeholders.insert(name.to_owned(), about.to_owned());
        text(node, name.to_owned())
    }
}

fn text(node: &Node, text: String) -> Node {
    Node { span: node.span.clone(), value: Value::Text(text) }
}

/// The text of a scalar.
fn scalar(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => None,
    }
}

/// Letters, digits and hyphens of a name, so that what is made of it is a name too.
fn plain(name: &str) -> String {
    name.chars().take(100).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
