//! Tests of rule sets and policies from their models.

mod expect;
mod given;
mod message;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use super::analysis::Analyzers;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;
use crate::config::model::rule_tests as model;
use crate::config::rule_tests::{RuleTest, TestFile};
use crate::config::source::Span;
use crate::config::suggest::suggest;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::policy::Policy;
use crate::rules::RuleSet;
use given::Facts;

/// What tests can be about.
#[derive(Clone, Copy)]
pub(crate) struct Testable<'a> {
    /// By the endpoint's name its policy and rule set.
    pub(crate) endpoints: &'a BTreeMap<String, (String, String)>,
    pub(crate) policies: &'a BTreeMap<String, Arc<Policy>>,
    pub(crate) rule_sets: &'a BTreeMap<String, Arc<RuleSet>>,
    pub(crate) analyzers: &'a Analyzers,
}

/// What the tests of a file are about.
struct Subject<'a> {
    /// Its name, if there is one; what does not exist has been reported.
    policy: Option<String>,
    rules: Option<String>,
    testable: Testable<'a>,
}

/// Builds a file of tests; what is wrong has been reported, and only the tests that are right are in it.
pub(crate) fn build(tree: &Node, folder: &Path, testable: Testable<'_>, sink: &mut Sink) -> Option<TestFile> {
    let name = |key: &str| tree.get(key).and_then(Node::text).map(str::to_owned);
    let (endpoint, policy, rules) = (name("endpoint"), name("policy"), name("rules"));
    let of_endpoint = endpoint.as_ref().and_then(|name| testable.endpoints.get(name)).cloned();
    let (own_policy, own_rules) = of_endpoint.unzip();
    let subject = Subject { policy: policy.clone().or(own_policy), rules: rules.clone().or(own_rules), testable };
    let defaults = Facts::read(tree.get("given"), folder, testable.analyzers, sink);
    let mut names = HashMap::new();
    let mut tests = Vec::new();
    for node in tree.get("tests").map(Node::items).unwrap_or_default() {
        unique_name(node, &mut names, sink);
        if let Some(defaults) = &defaults {
            tests.extend(test(node, defaults, folder, &subject, sink));
        }
    }
    let [endpoint, policy, rules] = [endpoint, policy, rules].map(|name| name.map(Arc::from));
    Some(TestFile { path: sink.source().path.clone(), endpoint, policy, rules, tests })
}

fn test(node: &Node, defaults: &Facts, folder: &Path, subject: &Subject<'_>, sink: &mut Sink) -> Option<RuleTest> {
    let model: model::Test = typed(node, sink)?;
    let facts = Facts::read(node.get("given"), folder, subject.testable.analyzers, sink)?.or(defaults);
    let recipients = facts.recipients.clone().unwrap_or_default();
    let given = facts.finish(node, sink)?;
    let expect = expect::of(model.expect.0, node.get("expect")?, &recipients, subject, sink)?;
    let reply = match (model.reply, node.entry("reply")) {
        (Some(model), Some(entry)) => Some(expect::reply(model, entry, sink)),
        _ => None,
    };
    let line = sink.source().position(node.head().start).0;
    Some(RuleTest { name: Arc::from(model.name.0), line, given, expect, reply })
}

fn unique_name(node: &Node, names: &mut HashMap<String, Span>, sink: &mut Sink) {
    super::rules::unique_name(node, "test", names, sink);
}

impl Subject<'_> {
    /// Whether the tests are about a policy or a rule set at all, where something is expected of it.
    fn has_part(&self, part: &str, keys: &[&str], node: &Node, sink: &mut Sink) -> bool {
        let is_there = if part == "policy" { self.policy.is_some() } else { self.rules.is_some() };
        // An endpoint that does not exist was reported.
        let Some(entry) = node.entries().iter().find(|entry| keys.contains(&entry.key.as_str())).filter(|_| !is_there) else { return true };
        if self.policy.is_none() && self.rules.is_none() {
            return true;
        }
        let what = if part == "policy" { "no policy" } else { "no rule set" };
        sink.error(Code::Conflict, entry.key_span.clone(), format!("`{}` is expected, and {what} is tested here", entry.key))
            .help(format!("name it at the top of the file: `endpoint: …` or `{part}: …`"));
        false
    }

    fn knows_rule(&self, name: &Node, sink: &mut Sink) -> bool {
        let Some((set, rules)) = self.rules.as_ref().and_then(|set| Some((set, self.testable.rule_sets.get(set)?))) else { return true };
        is_known(name, rules.rules.iter().map(|rule| &*rule.name), &format!("the rule set `{}` has no rule", clip(set)), sink)
    }

    fn knows_statement(&self, name: &Node, sink: &mut Sink) -> bool {
        let Some((set, policy)) = self.policy.as_ref().and_then(|name| Some((name, self.testable.policies.get(name)?))) else {
            return true;
        };
        let names = policy.deny.iter().chain(&policy.allow).map(|statement| &*statement.name);
        is_known(name, names, &format!("the policy `{}` has no statement", clip(set)), sink)
    }
}

fn is_known<'n>(node: &Node, names: impl Iterator<Item = &'n str> + Clone, what: &str, sink: &mut Sink) -> bool {
    let Some(text) = node.text().filter(|text| !names.clone().any(|name| name == *text)) else { return true };
    let diagnostic = sink.error(Code::UnknownName, node.span.clone(), format!("{what} `{}`", clip(text)));
    if let Some(meant) = suggest(text, names) {
        diagnostic.help(format!("did you mean `{meant}`?"));
    }
    false
}
