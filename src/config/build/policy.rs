//! Traffic policies from their models.

use std::collections::HashMap;
use std::sync::Arc;

use super::tests_of;
use super::{Defined, analysis};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::{Size, policy as model};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::message::TlsVersion;
use crate::policy::{Effect, Policy, PolicyCondition, Statement, TlsTest};

/// Builds a policy; `None` when something is wrong, which has been reported.
pub(crate) fn build(name: &str, tree: &Node, defined: Defined<'_>, sink: &mut Sink) -> Option<Policy> {
    let default = tree.get("default").and_then(|node| typed::<model::Effect>(node, sink));
    let size = tree.get("max_message_size").map(|node| typed::<Size>(node, sink));
    let mut names = HashMap::new();
    let deny = statements(tree.get("deny"), true, defined, &mut names, sink);
    let allow = statements(tree.get("allow"), false, defined, &mut names, sink);
    if default == Some(model::Effect::Deny) && tree.get("allow").is_none_or(|allow| allow.items().is_empty()) {
        let span = tree.entry("default").map_or(0..0, |entry| entry.key_span.start..entry.value.span.end);
        sink.warning(Code::AllowEmpty, span, "this policy takes no mail at all: the default is `deny`, and no statement allows anything")
            .help("add statements under `allow:`");
    }
    let default = match default? {
        model::Effect::Allow => Effect::Allow,
        model::Effect::Deny => Effect::Deny,
    };
    let max_message_size = match size {
        None => None,
        Some(size) => Some(size?.0),
    };
    Some(Policy { name: Arc::from(name), default, max_message_size, deny: deny?, allow: allow? })
}

fn statements(
    node: Option<&Node>,
    deny: bool,
    defined: Defined<'_>,
    names: &mut HashMap<String, Span>,
    sink: &mut Sink,
) -> Option<Vec<Statement>> {
    let Some(node) = node else { return Some(Vec::new()) };
    // Every statement is built even when one before it is wrong, so that all mistakes are found.
    let built: Vec<Option<Statement>> = node.items().iter().map(|item| statement(item, deny, defined, names, sink)).collect();
    built.into_iter().collect()
}

fn statement(node: &Node, deny: bool, defined: Defined<'_>, names: &mut HashMap<String, Span>, sink: &mut Sink) -> Option<Statement> {
    super::rules::unique_name(node, "statement", names, sink);
    let model: model::Statement = typed(node, sink)?;
    let when = node.get("when")?;
    let conditions: Vec<Option<PolicyCondition>> =
        model.when.iter().zip(when.items()).map(|(model, node)| condition(model, node, deny, defined, sink)).collect();
    let when = conditions.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Statement { name: Arc::from(model.name.0.as_str()), when })
}

fn condition(model: &model::PolicyCondition, node: &Node, deny: bool, defined: Defined<'_>, sink: &mut Sink) -> Option<PolicyCondition> {
    let entry = node.entries().first()?;
    Some(match model {
        model::PolicyCondition::SenderIp(test) => PolicyCondition::SenderIp(tests_of::ip(test, defined.lists)),
        model::PolicyCondition::Recipient(test) => PolicyCondition::Recipient(tests_of::address(test, defined.lists)?),
        model::PolicyCondition::MailFrom(test) => PolicyCondition::MailFrom(tests_of::address(test, defined.lists)?),
        model::PolicyCondition::Helo(test) => PolicyCondition::Helo(tests_of::text(test)?),
        model::PolicyCondition::TlsProtocol(test) => PolicyCondition::TlsProtocol(match test {
            model::TlsTest::MinimumTlsVersion(version) => {
                if deny {
                    sink.warning(Code::DenyTlsMinimum, entry.value.head(), "this refuses who uses this TLS version or a later one")
                        .help("put `minimum_tls_version` under `allow:`, with `default: deny`");
                }
                TlsTest::Minimum(tls(*version))
            }
            model::TlsTest::Is(versions) => TlsTest::Is(versions.0.iter().map(|version| tls(*version)).collect()),
        }),
        model::PolicyCondition::ClientHost(test) => PolicyCondition::ClientHost(tests_of::text(test)?),
        model::PolicyCondition::SpfResult(_) => {
            let (negated, values) = tests_of::words(&entry.value)?;
            PolicyCondition::SpfResult { negated, values }
        }
        model::PolicyCondition::Analysis(test) => {
            PolicyCondition::Analysis(analysis::of_policy(test, &entry.value, defined.analyzers, sink)?)
        }
    })
}

fn tls(version: model::TlsVersion) -> TlsVersion {
    match version {
        model::TlsVersion::Tls1_2 => TlsVersion::Tls1_2,
        model::TlsVersion::Tls1_3 => TlsVersion::Tls1_3,
    }
}
