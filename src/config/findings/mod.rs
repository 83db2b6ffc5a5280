//! What is found when policies, rule sets and the deployment are looked at for what they do, not for how they are written.
//!
//! Each is certain or not said: a finding that rests on a guess teaches people not to read them. What is proven of one policy comes from
//! `analysis`; what belongs to several files or to the whole deployment is found here.

pub(crate) mod domains;
pub(crate) mod loops;
pub(crate) mod open_relay;
pub(crate) mod rewriting;
pub(crate) mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::build::deployment::{Deployment, Endpoint};
use super::diagnostic::{Code, Sink};
use super::proofs;
use super::source::{Source, Span};
use super::tree::Node;
use crate::analysis::{FindingKind, Place, policies};
use crate::config::EndpointKind;
use crate::policy::Policy;
use crate::rules::RuleSet;

/// What is proven of one policy.
pub(crate) fn policy(policy: &Policy, tree: &Node, sink: &mut Sink) {
    let place = |key| tree.entry(key).map(|entry| entry.key_span.start);
    let is_allow_first = place("allow").zip(place("deny")).is_some_and(|(allow, deny)| allow < deny);
    for finding in policies::prove(policy, is_allow_first) {
        let code = match (finding.kind, &finding.at) {
            (FindingKind::Order, _) => Code::DenyOrder,
            (_, Place::Whole) => Code::AllowEmpty,
            _ => Code::DeadStatement,
        };
        let Some(span) = span(&finding.at, tree) else { continue };
        let diagnostic = sink.warning(code, span, finding.message);
        for (at, text) in finding.others {
            if let Some(span) = self::span(&at, tree) {
                diagnostic.note(span, text);
            }
        }
        if let Some(witness) = finding.witness {
            diagnostic.help(format!("for example {witness}"));
        }
        diagnostic.help.extend(finding.help);
    }
}

/// Where a place stands: a statement by its name, a policy by its default.
fn span(place: &Place, tree: &Node) -> Option<Span> {
    match place {
        Place::Whole => tree.entry("default").map(|entry| entry.key_span.start..entry.value.span.end),
        Place::Statement(list, number) => {
            let key = match list {
                crate::analysis::List::Deny => "deny",
                crate::analysis::List::Allow => "allow",
            };
            let statement = tree.get(key)?.items().get(*number)?;
            Some(statement.get("name").map_or_else(|| statement.head(), |name| name.span.clone()))
        }
        place => proofs::span(place, tree),
    }
}

/// A deployment with all that belongs to it.
#[derive(Clone, Copy)]
pub(crate) struct Whole<'a> {
    /// Of `gateway.yaml`.
    pub(crate) tree: &'a Node,
    pub(crate) deployment: &'a Deployment,
    pub(crate) policies: &'a BTreeMap<String, Arc<Policy>>,
    pub(crate) rule_sets: &'a BTreeMap<String, Arc<RuleSet>>,
    /// The files of policies by name, each with the place to point at.
    pub(crate) policy_files: &'a BTreeMap<String, (Arc<Source>, Span)>,
    /// The same of rule sets.
    pub(crate) rule_files: &'a BTreeMap<String, (Arc<Source>, Span)>,
}

impl Whole<'_> {
    /// Whether every endpoint of the file could be built; what is said of all of them is not said of a part.
    fn is_complete(&self) -> bool {
        self.tree.get("endpoints").map(Node::entries).unwrap_or_default().len() == self.deployment.endpoints.len()
    }
}

/// Reports what is found of the deployment as a whole.
pub(crate) fn deployment(whole: Whole<'_>, sink: &mut Sink) {
    loops::relays(whole.tree, whole.deployment, sink);
    open_relay::domains(whole.tree, sink);
    // With mistakes in it, nobody knows what it will be.
    if whole.is_complete() && !sink.has_errors() {
        domains::of_deployment(whole, sink);
        open_relay::endpoints(whole, sink);
    }
}

fn is_open(endpoint: &Endpoint) -> bool {
    matches!(endpoint.kind, EndpointKind::Open)
}
