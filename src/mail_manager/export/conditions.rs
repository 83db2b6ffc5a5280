//! Conditions of rules and statements.

use serde_json::{Value as Json, json};

use super::names::Resource;
use super::{Writer, scalar_text};
use crate::config::tree::{Entry, Node, Value};

/// How many values a condition of a rule takes, and how long each may be.
const RULE_VALUES_MAX: usize = 10;
const RULE_VALUE_CHARS_MAX: usize = 4096;

impl Writer<'_> {
    /// A condition of a rule; `None` when the service has no such thing, which has been reported.
    pub(super) fn rule_condition(&mut self, node: &Node) -> Option<Json> {
        let entry = node.entries().first()?;
        let test = &entry.value;
        match entry.key.as_str() {
            "mail_from" | "helo" | "recipient" | "sender" | "from" | "subject" | "to" | "cc" => {
                let attribute = entry.key.to_ascii_uppercase();
                match in_list(test) {
                    Some(_) => self.in_list(&attribute, test, true),
                    None => self.string(json!({ "Attribute": attribute }), test),
                }
            }
            // Where both ask for the whole domain, the end of the address says the same.
            "recipient_domain" | "mail_from_domain" => self.domain(entry),
            "header" => {
                let name = test.get("name")?;
                let text = name.text()?;
                if !is_x_header(text, 258) {
                    return self.refuse(&name.span, "Mail Manager looks at header fields whose name begins with `X-` alone", &[]);
                }
                self.string(json!({ "MimeHeaderAttribute": text }), test)
            }
            "client_certificate" => {
                let attribute = test.get("attribute")?.text()?.to_ascii_uppercase();
                self.string(json!({ "ClientCertificateAttribute": attribute }), test)
            }
            "message_size" => self.number(test),
            "source_ip" => self.source_ip(test),
            "tls" | "tls_wrapped" | "read_receipt_requested" => {
                let attribute = entry.key.to_ascii_uppercase();
                Some(json!({ "BooleanExpression": { "Evaluate": { "Attribute": attribute }, "Operator": is_true(test) } }))
            }
            "spf" | "dkim" => {
                let (operator, values) = self.words(test)?;
                let evaluate = json!({ "Attribute": entry.key.to_ascii_uppercase() });
                Some(json!({ "VerdictExpression": { "Evaluate": evaluate, "Operator": operator, "Values": values } }))
            }
            "dmarc_policy" => {
                if let Some(absent) = operator(test)?.value.one_or_many().iter().find(|value| value.text() == Some("absent")) {
                    return self.refuse(&absent.span, "Mail Manager has no word for a domain without a DMARC record", &[]);
                }
                let (operator, values) = self.words(test)?;
                Some(json!({ "DmarcExpression": { "Operator": operator, "Values": values } }))
            }
            "analysis" => self.analysis(test, true),
            "not" => self.negated(test),
            key => {
                let help: &[&str] = match key {
                    "any" => &["write a rule for each of them"],
                    "all" => &["write its conditions beside the others: all of them must match"],
                    "spf_result" => &["`spf` has Mail Manager's words"],
                    "dkim_result" => &["`dkim` has Mail Manager's words"],
                    "recipient_base" => &["`recipient` looks at the address with its tag"],
                    "from_domain" => &["`from: { ends_with: \"@acme.example\" }` is the nearest"],
                    _ => &[],
                };
                self.refuse(&entry.key_span, format!("Mail Manager has no condition like `{key}`"), help)
            }
        }
    }

    /// `not` of what is or is not has a word of its own.
    fn negated(&mut self, inner: &Node) -> Option<Json> {
        let entry = inner.entries().first()?;
        if in_list(&entry.value).is_some() && matches!(entry.key.as_str(), "mail_from" | "recipient" | "sender" | "from" | "to" | "cc") {
            return self.in_list(&entry.key.to_ascii_uppercase(), &entry.value, false);
        }
        self.refuse(&entry.key_span, "Mail Manager has no `not`", &["put the condition below `unless`"])
    }

    pub(super) fn in_list(&mut self, attribute: &str, test: &Node, wanted: bool) -> Option<Json> {
        let lists = in_list(test)?;
        let [list] = lists.value.one_or_many() else {
            return self.refuse(&lists.key_span, "Mail Manager asks for one address list at a time", &["write a rule for each list"]);
        };
        let list = self.names.reference(Resource::AddressList, list.text()?);
        let evaluate = json!({ "IsInAddressList": { "Attribute": attribute, "AddressLists": [list] } });
        let operator = if wanted { "IS_TRUE" } else { "IS_FALSE" };
        Some(json!({ "BooleanExpression": { "Evaluate": evaluate, "Operator": operator } }))
    }

    /// A test of a text by the operator that is there.
    pub(super) fn string(&mut self, evaluate: Json, test: &Node) -> Option<Json> {
        let entry = operator(test)?;
        match entry.key.as_str() {
            "equals" | "not_equals" | "starts_with" | "ends_with" | "contains" => {
                let values = self.values(&entry.value)?;
                Some(json!({ "StringExpression": { "Evaluate": evaluate, "Operator": entry.key.to_ascii_uppercase(), "Values": values } }))
            }
            key => {
                let help: &[&str] = if key == "matches" { &["it has no regular expressions"] } else { &[] };
                self.refuse(&entry.key_span, format!("Mail Manager has no operator like `{key}`"), help)
            }
        }
    }

    fn domain(&mut self, condition: &Entry) -> Option<Json> {
        let test = operator(&condition.value)?;
        if test.key != "equals" {
            let message = format!("Mail Manager has no condition like `{}`", condition.key);
            return self.refuse(&condition.key_span, message, &["with `equals` it can be said of the address"]);
        }
        let domains: Vec<String> = test.value.one_or_many().iter().filter_map(Node::text).map(|domain| format!("@{domain}")).collect();
        let attribute = condition.key.trim_end_matches("_domain").to_ascii_uppercase();
        let evaluate = json!({ "Attribute": attribute });
        Some(json!({ "StringExpression": { "Evaluate": evaluate, "Operator": "ENDS_WITH", "Values": domains } }))
    }

    fn values(&mut self, node: &Node) -> Option<Vec<String>> {
        let nodes = node.one_or_many();
        if nodes.len() > RULE_VALUES_MAX {
            let message = format!("Mail Manager takes {RULE_VALUES_MAX} values, and here are {}", nodes.len());
            return self.refuse(&node.head(), message, &["an address list holds 100,000"]);
        }
        let mut values = Vec::new();
        for node in nodes {
            let text = scalar_text(node)?;
            if text.is_empty() || text.chars().count() > RULE_VALUE_CHARS_MAX {
                let message = format!("Mail Manager takes values of 1 to {RULE_VALUE_CHARS_MAX} characters");
                return self.refuse(&node.span, message, &[]);
            }
            values.push(text);
        }
        Some(values)
    }

    fn number(&mut self, test: &Node) -> Option<Json> {
        let entry = operator(test)?;
        let [value] = entry.value.one_or_many() else {
            return self.refuse(&entry.key_span, "Mail Manager compares with one number", &[]);
        };
        let octets = match &value.value {
            Value::Integer(number) => u64::try_from(*number).ok()?,
            Value::Text(text) => crate::config::formats::size(text).ok()?,
            _ => return None,
        };
        let evaluate = json!({ "Attribute": "MESSAGE_SIZE" });
        Some(json!({ "NumberExpression": { "Evaluate": evaluate, "Operator": entry.key.to_ascii_uppercase(), "Value": octets } }))
    }

    fn source_ip(&mut self, test: &Node) -> Option<Json> {
        let entry = operator(test)?;
        if entry.key == "in_list" {
            return self.no_ip_list(entry);
        }
        let networks = self.networks(&entry.value)?;
        if networks.len() > RULE_VALUES_MAX {
            let message = format!("Mail Manager takes {RULE_VALUES_MAX} networks, and here are {}", networks.len());
            return self.refuse(&entry.value.head(), message, &["a traffic policy takes more"]);
        }
        let values: Vec<String> = networks.iter().map(ToString::to_string).collect();
        let evaluate = json!({ "Attribute": "SOURCE_IP" });
        Some(json!({ "IpExpression": { "Evaluate": evaluate, "Operator": entry.key.to_ascii_uppercase(), "Values": values } }))
    }

    pub(super) fn no_ip_list<T>(&mut self, entry: &Entry) -> Option<T> {
        self.refuse(&entry.key_span, "Mail Manager has no lists of networks", &["write the networks here: `cidr_matches: [...]`"])
    }

    pub(super) fn networks(&mut self, node: &Node) -> Option<Vec<ipnet::IpNet>> {
        node.one_or_many().iter().map(|node| crate::config::formats::cidr(node.text()?).ok().map(|(network, _)| network)).collect()
    }

    fn words(&mut self, test: &Node) -> Option<(String, Vec<String>)> {
        let entry = operator(test)?;
        let words = entry.value.one_or_many().iter().filter_map(Node::text).map(str::to_ascii_uppercase).collect();
        Some((entry.key.to_ascii_uppercase(), words))
    }

    /// What an add-on found; of its types a statement has fewer than a rule.
    pub(super) fn analysis(&mut self, test: &Node, in_rule: bool) -> Option<Json> {
        let (analyzer, field) = (test.get("analyzer")?.text()?.to_owned(), test.get("field")?.text()?.to_owned());
        let entry = operator(test)?;
        let first = entry.value.one_or_many().first()?;
        if let Some(on_error) = test.entry("on_error") {
            self.leave_out(&on_error.key_span, "Mail Manager does not say what happens when an add-on does not answer");
        }
        let evaluate = json!({ "Analysis": { "Analyzer": self.names.reference(Resource::Analyzer, &analyzer), "ResultField": field } });
        match (entry.key.as_str(), &first.value) {
            ("equals" | "not_equals", Value::Boolean(value)) if entry.value.one_or_many().len() == 1 => {
                let wanted = *value == (entry.key == "equals");
                let operator = if wanted { "IS_TRUE" } else { "IS_FALSE" };
                Some(json!({ "BooleanExpression": { "Evaluate": evaluate, "Operator": operator } }))
            }
            ("equals" | "not_equals", Value::Text(word)) if in_rule && is_verdict(word) => {
                let (operator, values) = self.words(test)?;
                Some(json!({ "VerdictExpression": { "Evaluate": evaluate, "Operator": operator, "Values": values } }))
            }
            (_, Value::Text(_)) => self.string(evaluate, test),
            _ => self.refuse(&entry.key_span, "Mail Manager does not compare an add-on's field so", &[]),
        }
    }
}

fn is_verdict(word: &str) -> bool {
    matches!(word, "pass" | "fail" | "gray" | "processing_failed")
}

fn is_true(node: &Node) -> &'static str {
    if matches!(node.value, Value::Boolean(true)) { "IS_TRUE" } else { "IS_FALSE" }
}

pub(super) fn in_list(test: &Node) -> Option<&Entry> {
    test.entry("in_list")
}

/// The operator of a test; what else stands beside it names what is tested.
pub(super) fn operator(test: &Node) -> Option<&Entry> {
    test.entries().iter().find(|entry| !matches!(entry.key.as_str(), "name" | "attribute" | "analyzer" | "field" | "on_error"))
}

/// Whether it is a name that the service takes for a header field.
pub(super) fn is_x_header(name: &str, chars_max: usize) -> bool {
    let rest = name.strip_prefix(['x', 'X']).and_then(|rest| rest.strip_prefix('-'));
    name.len() <= chars_max && rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}
