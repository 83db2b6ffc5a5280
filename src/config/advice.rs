//! Advice for those who write the files: what is written correctly and probably does not do what was meant. A gateway that starts is not
//! asked for it; what would treat mail wrongly is an error and found in any case.

use std::sync::Arc;

use super::build::deployment::Deployment;
use super::document::Kind;
use super::findings::domains::Looks;
use super::source::Source;
use super::tree::Node;
use super::{Options, findings, lints, proofs};
use crate::config::diagnostic::Sink;
use crate::policy::Policy;
use crate::rules::RuleSet;

/// What advice on a file rests on.
#[derive(Clone, Copy)]
pub(crate) struct Advice<'a> {
    pub(crate) options: &'a Options,
    pub(crate) deployment: &'a Deployment,
    /// `gateway.yaml`, if it has no mistakes: those leave open what it will be.
    pub(crate) gateway: Option<(&'a Node, &'a Arc<Source>)>,
}

impl Advice<'_> {
    /// On the file as it is written.
    pub(crate) fn file(self, kind: Kind, name: &str, tree: &Node, sink: &mut Sink) {
        let looks = match kind {
            Kind::Policy => Some(Looks::Policy(name)),
            Kind::RuleSet => Some(Looks::RuleSet(name)),
            Kind::Deployment | Kind::Tests => None,
        };
        if let Some((looks, (gateway, source))) = looks.zip(self.gateway) {
            findings::domains::unaccepted(looks, tree, self.deployment, (gateway, source), sink);
        }
        lints::check(kind, name, tree, self.options, sink);
        findings::values::check(kind, tree, sink);
    }

    /// On what a policy means.
    pub(crate) fn policy(self, policy: &Policy, tree: &Node, sink: &mut Sink) {
        findings::policy(policy, tree, sink);
    }

    /// On what a rule set means.
    pub(crate) fn rule_set(self, rules: &RuleSet, tree: &Node, sink: &mut Sink) {
        proofs::rule_set(rules, tree, self.gateway.map(|(gateway, _)| gateway), self.deployment.domains.as_ref(), sink);
    }
}
