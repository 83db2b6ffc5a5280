//! Traffic policies.

use ipnet::IpNet;
use serde_json::{Value as Json, json};

use super::conditions::{in_list, operator};
use super::{Writer, present};
use crate::config::tree::{Node, Value};

const STATEMENTS_MAX: usize = 20;
const CONDITIONS_MAX: usize = 10;

impl Writer<'_> {
    /// A policy; `None` when it cannot be expressed, which has been reported.
    pub(super) fn policy(&mut self, name: &str, tree: &Node) -> Option<Json> {
        let head = tree.head();
        let is_named = self.is_name(&head, name, 3, 63, "_-");
        let mut written = Vec::new();
        for (key, action) in [("deny", "DENY"), ("allow", "ALLOW")] {
            for statement in tree.get(key).map(Node::items).unwrap_or_default() {
                written.push(self.statement(statement, action));
            }
        }
        let statements: Vec<Json> = written.into_iter().collect::<Option<Vec<_>>>()?.concat();
        if statements.len() > STATEMENTS_MAX {
            let message = format!("Mail Manager takes {STATEMENTS_MAX} statements in a policy, and these would be {}", statements.len());
            return self.refuse(&head, message, &["one about networks of both families becomes two"]);
        }
        let size = match tree.get("max_message_size").map(|node| &node.value) {
            Some(Value::Integer(octets)) => json!(octets),
            Some(Value::Text(text)) => json!(crate::config::formats::size(text).ok()?),
            _ => Json::Null,
        };
        let default = tree.get("default")?.text()?.to_ascii_uppercase();
        is_named.then(|| {
            present(&[
                ("TrafficPolicyName", json!(name)),
                ("DefaultAction", json!(default)),
                ("MaxMessageSizeBytes", size),
                ("PolicyStatements", json!(statements)),
            ])
        })
    }

    /// A statement: two where one of its conditions is about networks of both families, which the service has different conditions for.
    fn statement(&mut self, statement: &Node, action: &str) -> Option<Vec<Json>> {
        let nodes = statement.get("when").map(Node::items).unwrap_or_default();
        if nodes.len() > CONDITIONS_MAX {
            let message = format!("Mail Manager takes {CONDITIONS_MAX} conditions, and here are {}", nodes.len());
            self.refuse::<()>(&statement.head(), message, &[]);
        }
        if let Some(description) = statement.entry("description") {
            self.leave_out(&description.key_span, "Mail Manager has no place for a description");
        }
        let alternatives: Vec<Option<Vec<Json>>> = nodes.iter().map(|node| self.policy_condition(node)).collect();
        let mut statements: Vec<Vec<Json>> = vec![Vec::new()];
        for alternatives in alternatives.into_iter().collect::<Option<Vec<_>>>()? {
            let with = |before: &Vec<Json>| {
                alternatives.iter().map(|one| [before.as_slice(), std::slice::from_ref(one)].concat()).collect::<Vec<_>>()
            };
            statements = statements.iter().flat_map(with).collect();
        }
        Some(statements.into_iter().map(|conditions| json!({ "Action": action, "Conditions": conditions })).collect())
    }

    /// A condition, as the ways to write it of which one must match.
    fn policy_condition(&mut self, node: &Node) -> Option<Vec<Json>> {
        let entry = node.entries().first()?;
        let test = &entry.value;
        match entry.key.as_str() {
            "recipient" => {
                let written = match in_list(test) {
                    Some(_) => self.in_list("RECIPIENT", test, true),
                    None => self.string(json!({ "Attribute": "RECIPIENT" }), test),
                };
                Some(vec![written?])
            }
            "sender_ip" => self.sender_ip(test),
            "tls_protocol" => {
                let entry = operator(test)?;
                let [version] = entry.value.one_or_many() else {
                    return self.refuse(&entry.key_span, "Mail Manager compares with one TLS version", &[]);
                };
                let version = version.text()?.to_ascii_uppercase();
                let evaluate = json!({ "Attribute": "TLS_PROTOCOL" });
                Some(vec![
                    json!({ "TlsExpression": { "Evaluate": evaluate, "Operator": entry.key.to_ascii_uppercase(), "Value": version } }),
                ])
            }
            "analysis" => Some(vec![self.analysis(test, false)?]),
            key => self.refuse(&entry.key_span, format!("Mail Manager's policies have no condition like `{key}`"), &["its rules may have"]),
        }
    }

    fn sender_ip(&mut self, test: &Node) -> Option<Vec<Json>> {
        let entry = operator(test)?;
        if entry.key == "in_list" {
            return self.no_ip_list(entry);
        }
        let networks = self.networks(&entry.value)?;
        let (v4, v6): (Vec<IpNet>, Vec<IpNet>) = networks.into_iter().partition(|network| matches!(network, IpNet::V4(_)));
        if entry.key == "not_cidr_matches" && (v4.is_empty() || v6.is_empty()) {
            let message = "Mail Manager does not say whether a client of the other family matches this";
            self.leave_out(&entry.key_span, message);
        }
        let expression = |kind: &str, attribute: &str, networks: Vec<IpNet>| {
            let values: Vec<String> = networks.iter().map(ToString::to_string).collect();
            json!({ kind: { "Evaluate": { "Attribute": attribute }, "Operator": entry.key.to_ascii_uppercase(), "Values": values } })
        };
        let mut written = Vec::new();
        if !v4.is_empty() {
            written.push(expression("IpExpression", "SENDER_IP", v4));
        }
        if !v6.is_empty() {
            written.push(expression("Ipv6Expression", "SENDER_IPV6", v6));
        }
        if entry.key == "not_cidr_matches" && written.len() > 1 {
            // In none of these and none of those: it takes both, and each is only asked of its own family.
            return self.refuse(
                &entry.key_span,
                "Mail Manager cannot say of both families at once that a client is in none of the networks",
                &["turn the statement around: `cidr_matches` below the other list"],
            );
        }
        Some(written)
    }
}
