//! Documents and conditions of Amazon SES Mail Manager where this language is expected: what they are, and how they are written here.

use super::edit::plain;
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::{Entry, Node, Value};

/// A document of Mail Manager or CloudFormation: says so once, in place of all that is wrong with it as one of ours.
pub(crate) fn document(tree: &Node, sink: &mut Sink) -> bool {
    let Some(what) = recognized(tree) else { return false };
    let path = sink.source().path.display().to_string();
    sink.discard();
    conceal(tree, sink);
    let diagnostic = sink.broken(Code::MailManagerFile, tree.head(), format!("this is {what} of Amazon SES Mail Manager"));
    if what == ADDRESSES {
        diagnostic.help("name the file in gateway.yaml: `address_lists: { NAME: { file: … } }`");
    } else {
        diagnostic.help(format!("`gateway import {path}` writes it as a configuration of this gateway"));
    }
    true
}

/// What the line that is shown may hold: passwords of relays and of ingress endpoints. Trees are bounded in depth.
fn conceal(node: &Node, sink: &mut Sink) {
    for entry in node.entries() {
        if entry.key.to_ascii_lowercase().ends_with("password") {
            sink.conceal(entry.value.span.clone());
        }
        conceal(&entry.value, sink);
    }
    node.items().iter().for_each(|item| conceal(item, sink));
}

const ADDRESSES: &str = "a list of addresses";

/// By the keys that only these documents have.
fn recognized(tree: &Node) -> Option<&'static str> {
    let tree = match &tree.value {
        Value::Sequence(items) if items.first()?.text().is_some_and(|text| text.contains('@')) => return Some(ADDRESSES),
        Value::Sequence(items) => items.first()?,
        _ => tree,
    };
    let has = |key: &str| tree.get(key).is_some();
    let is_list = |key: &str| tree.get(key).is_some_and(|node| matches!(node.value, Value::Sequence(_)));
    let resources = tree.get("Resources").map(Node::entries).unwrap_or_default();
    let is_ours =
        |entry: &Entry| entry.value.get("Type").and_then(Node::text).is_some_and(|kind| kind.starts_with("AWS::SES::MailManager"));
    if has("AWSTemplateFormatVersion") || resources.iter().any(is_ours) {
        Some("a CloudFormation template")
    } else if is_list("PolicyStatements") || has("TrafficPolicyName") {
        Some("a traffic policy")
    } else if has("IngressPointName") || has("IngressPointConfiguration") {
        Some("an ingress endpoint")
    } else if has("RuleSetName") || is_list("Rules") || is_list("Actions") && (has("Conditions") || has("Name")) {
        Some("a rule set")
    } else if has("RelayName") || has("ServerName") && has("ServerPort") {
        Some("a relay")
    } else if has("AddressListName") || has("AddressListArn") {
        Some("an address list")
    } else if is_list("Addresses")
        || is_list("Members")
        || is_list("items") && tree.get("items")?.items().iter().all(|i| i.get("address").is_some())
    {
        Some(ADDRESSES)
    } else if has("ArchiveName") || has("ArchiveArn") {
        Some("an archive")
    } else {
        None
    }
}

/// A condition of Mail Manager in our words, where the names of `candidates` are known; what cannot be said there is `None`.
pub(crate) fn translated<'c>(entry: &Entry, candidates: impl Iterator<Item = &'c str> + Clone) -> Option<String> {
    let ip = candidates.clone().find(|name| matches!(*name, "source_ip" | "sender_ip"))?;
    let written = condition(entry, ip)?;
    let attribute = written.split(':').next().unwrap_or_default();
    candidates.into_iter().any(|name| name == attribute).then_some(written)
}

/// Whether it is a condition of Mail Manager at all.
pub(crate) fn is_condition(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("expression")
}

fn condition(entry: &Entry, ip: &str) -> Option<String> {
    let body = &entry.value;
    let operator = || get(body, "Operator").and_then(Node::text).map(str::to_ascii_lowercase);
    let attribute = |possible: &[&str]| word(get(get(body, "Evaluate")?, "Attribute")?, possible);
    match upper_first(&entry.key).as_str() {
        "StringExpression" => string(body, &operator()?),
        "BooleanExpression" => boolean(body),
        "NumberExpression" => {
            let operators = ["equals", "not_equals", "less_than", "greater_than", "less_than_or_equal", "greater_than_or_equal"];
            let operator = operator().filter(|operator| operators.contains(&operator.as_str()))?;
            let Value::Integer(value) = given(body)?.first()?.value else { return None };
            Some(format!("{}: {{ {operator}: {value} }}", attribute(&["message_size"])?))
        }
        "IpExpression" | "Ipv6Expression" => {
            let operator = operator().filter(|operator| matches!(operator.as_str(), "cidr_matches" | "not_cidr_matches"))?;
            Some(format!("{ip}: {{ {operator}: {} }}", values(body)?))
        }
        "VerdictExpression" => {
            let operator = operator().filter(|operator| matches!(operator.as_str(), "equals" | "not_equals"))?;
            let attribute = attribute(&["spf", "dkim"])?;
            if let Some(values) = words(body, &["pass", "fail", "gray", "processing_failed"]) {
                return Some(format!("{attribute}: {{ {operator}: {values} }}"));
            }
            // Words that are none of its verdicts are results.
            let values = words(body, &["none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"])?;
            Some(format!("{attribute}_result: {{ {operator}: {values} }}"))
        }
        "DmarcExpression" => {
            let operator = operator().filter(|operator| matches!(operator.as_str(), "equals" | "not_equals"))?;
            let policy = words(body, &["none", "quarantine", "reject"]).map(|values| format!("dmarc_policy: {{ {operator}: {values} }}"));
            policy.or_else(|| Some(format!("dmarc_result: {{ {operator}: {} }}", words(body, &["pass", "fail"])?)))
        }
        "TlsExpression" => {
            let operator = operator().filter(|operator| matches!(operator.as_str(), "minimum_tls_version" | "is"))?;
            let version = word(given(body)?.first()?, &["tls1_2", "tls1_3"])?;
            Some(format!("tls_protocol: {{ {operator}: {version} }}"))
        }
        _ => None,
    }
}

fn string(body: &Node, operator: &str) -> Option<String> {
    let (operator, is_negated) = match operator {
        "equals" | "not_equals" | "starts_with" | "ends_with" | "contains" => (operator, false),
        // It has none of these, and people write them.
        "matches" | "regex" => ("matches", false),
        "not_starts_with" | "not_ends_with" | "not_contains" => (operator.get(4..)?, true),
        _ => return None,
    };
    let test = format!("{operator}: {}", values(body)?);
    let evaluate = get(body, "Evaluate")?;
    let written = if let Some(name) = get(evaluate, "MimeHeaderAttribute").and_then(Node::text) {
        format!("header: {{ name: {}, {test} }}", plain(name))
    } else if let Some(node) = get(evaluate, "ClientCertificateAttribute") {
        let name = word(node, CERTIFICATE)?;
        format!("client_certificate: {{ attribute: {name}, {test} }}")
    } else {
        let attribute = word(get(evaluate, "Attribute")?, &["mail_from", "helo", "recipient", "sender", "from", "subject", "to", "cc"])?;
        format!("{attribute}: {{ {test} }}")
    };
    Some(if is_negated { format!("not: {{ {written} }}") } else { written })
}

/// Fields of certificates.
const CERTIFICATE: &[&str] = &[
    "cn",
    "san_rfc822_name",
    "san_dns_name",
    "san_directory_name",
    "san_uniform_resource_identifier",
    "san_ip_address",
    "san_registered_id",
    "serial_number",
];

fn boolean(body: &Node) -> Option<String> {
    let is_true = match get(body, "Operator")?.text()? {
        "IS_TRUE" => true,
        "IS_FALSE" => false,
        _ => return None,
    };
    let evaluate = get(body, "Evaluate")?;
    let Some(list) = get(evaluate, "IsInAddressList") else {
        let attribute = word(get(evaluate, "Attribute")?, &["read_receipt_requested", "tls", "tls_wrapped"])?;
        return Some(format!("{attribute}: {is_true}"));
    };
    let attribute = word(get(list, "Attribute")?, &["recipient", "mail_from", "sender", "from", "to", "cc"])?;
    let names = get(list, "AddressLists")?.one_or_many().iter().map(|node| node.text().map(last_part).map(plain));
    let test = format!("{attribute}: {{ in_list: {} }}", one_or_many(&names.collect::<Option<Vec<_>>>()?)?);
    Some(if is_true { test } else { format!("not: {{ {test} }}") })
}

/// The action `Relay` in our words.
pub(crate) fn translated_relay(entry: &Entry) -> Option<String> {
    if upper_first(&entry.key) != "Relay" {
        return None;
    }
    let mut fields = vec![format!("relay: {}", plain(last_part(get(&entry.value, "Relay")?.text()?)))];
    if let Some(node) = get(&entry.value, "MailFrom") {
        fields.push(format!("mail_from: {}", word(node, &["preserve", "replace"])?));
    }
    if let Some(node) = get(&entry.value, "ActionFailurePolicy") {
        fields.push(format!("on_failure: {}", word(node, &["continue", "drop"])?));
    }
    Some(format!("SMTPRelay: {{ {} }}", fields.join(", ")))
}

/// `stringExpression` is how the CDK writes it.
fn upper_first(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    node.entries().iter().find(|entry| upper_first(&entry.key) == key).map(|entry| &entry.value)
}

/// The right side: `Values` and `Value` are easily mixed up.
fn given(body: &Node) -> Option<&[Node]> {
    get(body, "Values").or_else(|| get(body, "Value")).map(Node::one_or_many)
}

/// One of these words, in lower case as we write it.
fn word(node: &Node, possible: &[&str]) -> Option<String> {
    let text = node.text()?.to_ascii_lowercase();
    possible.contains(&text.as_str()).then_some(text)
}

fn values(body: &Node) -> Option<String> {
    let written: Vec<String> = given(body)?.iter().map(|value| value.text().map(plain)).collect::<Option<_>>()?;
    one_or_many(&written)
}

/// Words of which each is one of these.
fn words(body: &Node, possible: &[&str]) -> Option<String> {
    let written: Vec<String> = given(body)?.iter().map(|value| value.text().map(str::to_ascii_lowercase)).collect::<Option<_>>()?;
    written.iter().all(|word| possible.contains(&word.as_str())).then(|| one_or_many(&written)).flatten()
}

fn one_or_many(written: &[String]) -> Option<String> {
    match written {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// `al-1234567890ab` of an ARN.
fn last_part(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}
