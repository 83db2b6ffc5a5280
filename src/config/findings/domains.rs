//! Domains that mail is taken for, and what policies and rule sets make of them: a name that only one side knows is most often mistyped.
//!
//! Only `open` endpoints are bound to `domains`; what clients of the others may use is left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Whole, is_open};
use crate::analysis::policies;
use crate::analysis::recipients::Applies;
use crate::config::build::deployment::Deployment;
use crate::config::diagnostic::{Code, Sink};
use crate::config::source::{Source, Span};
use crate::config::suggest::suggest;
use crate::config::tree::{Node, Value};
use crate::config::{Domains, formats};
use crate::limits::{FINDING_DOMAINS_MAX, PROOF_CHOICES_MAX};
use crate::message::Text;
use crate::policy::Effect;
use crate::rules::{Action, Folded, Mode, RuleSet, TextTest, Value as Tested};

/// Letters that a mistyped domain differs in.
const TYPING_MISTAKES_MAX: usize = 2;

/// Domains that no endpoint takes mail for after all, or that no rule takes mail for.
pub(super) fn of_deployment(whole: Whole<'_>, sink: &mut Sink) {
    let Some(Domains::List(domains)) = &whole.deployment.domains else { return };
    let open: Vec<_> = whole.deployment.endpoints.iter().filter(|(_, endpoint)| is_open(endpoint)).collect();
    let nodes = whole.tree.get("domains").map(Node::items).unwrap_or_default();
    if open.is_empty() || domains.len() > FINDING_DOMAINS_MAX {
        return;
    }
    let policies: BTreeSet<&str> = open.iter().map(|(_, endpoint)| endpoint.policy.as_str()).collect();
    let Some(policies) = policies.into_iter().map(|name| Some((name, whole.policies.get(name)?))).collect::<Option<Vec<_>>>() else {
        return;
    };
    for (domain, node) in domains.iter().zip(nodes) {
        if policies.iter().all(|(_, policy)| policies::refuses(policy, domain)) {
            refused(domain, node, &policies.iter().map(|(name, _)| *name).collect::<Vec<_>>(), whole, sink);
            continue;
        }
        for (name, endpoint) in &open {
            let Some((policy, rules)) = whole.policies.get(&endpoint.policy).zip(whole.rule_sets.get(&endpoint.rules)) else { continue };
            if !policies::refuses(policy, domain) && takes_nothing(rules, domain) {
                let message = format!(
                    "no rule of `{}` takes mail for `{domain}`, which the endpoint `{name}` lets in",
                    formats::clip(&endpoint.rules)
                );
                let diagnostic = sink.warning(Code::DomainUntaken, node.span.clone(), message);
                if let Some((source, span)) = whole.rule_files.get(&endpoint.rules) {
                    diagnostic.note_in(Arc::clone(source), span.clone(), "the rules");
                }
                diagnostic
                    .help(format!("for example mail to <someone@{domain}> is read to its end, and then it fares as `otherwise` says"))
                    .help("add a rule that delivers it or refuses it, or let the policy refuse the domain at RCPT");
                break;
            }
        }
    }
}

fn refused(domain: &str, node: &Node, policies: &[&str], whole: Whole<'_>, sink: &mut Sink) {
    let names: Vec<String> = policies.iter().map(|name| format!("`{}`", formats::clip(name))).collect();
    let (noun, verb) = if names.len() == 1 { ("the policy", "refuses") } else { ("the policies", "refuse") };
    let message = format!("no mail is taken for `{domain}`: {noun} {} {verb} every recipient there", names.join(", "));
    let diagnostic = sink.warning(Code::DomainRefused, node.span.clone(), message);
    for name in policies {
        if let Some((source, span)) = whole.policy_files.get(*name) {
            let is_open = whole.policies.get(*name).is_some_and(|policy| policy.default == Effect::Allow);
            let why = if is_open { "statements below `deny` match all of them" } else { "nothing below `allow` lets them in" };
            diagnostic.note_in(Arc::clone(source), span.clone(), why);
        }
    }
    diagnostic
        .help(format!("for example RCPT TO:<someone@{domain}> gets 550 5.7.1"))
        .help("add the domain to a statement below `allow`, or take it off `domains`");
}

/// Whether no rule has anything to do with recipients of the domain but to change them or to let them pass.
fn takes_nothing(set: &RuleSet, domain: &str) -> bool {
    set.rules.iter().filter(|rule| rule.mode == Mode::Enforce).all(|rule| {
        let applies = Applies::to_domain(rule, domain);
        applies == Applies::Never
            || rule.actions.iter().all(|action| match action {
                // A rule that refuses or drops everything of the domain says what is to become of it; others are exceptions.
                Action::Drop | Action::Reject(_) | Action::Defer(_) => applies == Applies::Maybe,
                Action::Stop | Action::AddHeader { .. } | Action::RemoveHeader { .. } | Action::PrefixSubject { .. } => true,
                Action::SmtpRelay { .. } | Action::ReplaceRecipient(_) | Action::NotAvailable { .. } => false,
            })
    })
}

/// Whose recipients a file looks at.
#[derive(Clone, Copy)]
pub(crate) enum Looks<'a> {
    /// A policy of this name.
    Policy(&'a str),
    /// A rule set of this name.
    RuleSet(&'a str),
}

/// Recipients in conditions of a policy or a rule set that can never come, because no endpoint takes mail for their domain.
pub(crate) fn unaccepted(looks: Looks<'_>, tree: &Node, deployment: &Deployment, gateway: (&Node, &Arc<Source>), sink: &mut Sink) {
    let Some(Domains::List(domains)) = &deployment.domains else { return };
    if gateway.0.get("endpoints").map(Node::entries).unwrap_or_default().len() != deployment.endpoints.len() {
        return;
    }
    let mut users = deployment.endpoints.values().filter(|endpoint| match looks {
        Looks::Policy(name) => endpoint.policy == name,
        Looks::RuleSet(name) => endpoint.rules == name,
    });
    let Some(first) = users.next() else { return };
    if domains.len() > FINDING_DOMAINS_MAX || !is_open(first) || !users.all(is_open) {
        return;
    }
    let span = gateway.0.entry("domains").map_or(0..0, |entry| entry.key_span.clone());
    let mut known: Vec<Box<str>> = domains.iter().map(|domain| domain.to_lowercase().into()).collect();
    let mut search = Search { domains, source: gateway.1, span, steps: PROOF_CHOICES_MAX, sink };
    match looks {
        Looks::Policy(_) => {
            for list in ["deny", "allow"] {
                for statement in tree.get(list).map(Node::items).unwrap_or_default() {
                    statement.get("when").map(Node::items).unwrap_or_default().iter().for_each(|node| search.condition(node, &known));
                }
            }
        }
        Looks::RuleSet(_) => {
            for rule in tree.get("rules").map(Node::items).unwrap_or_default() {
                for key in ["when", "unless"] {
                    rule.get(key).map(Node::items).unwrap_or_default().iter().for_each(|node| search.condition(node, &known));
                }
                // Later rules see the recipients that this one makes.
                rule.get("actions").map(Node::items).unwrap_or_default().iter().for_each(|action| known.extend(made(action)));
            }
        }
    }
}

/// Domains of the addresses that an action makes.
fn made(action: &Node) -> Vec<Box<str>> {
    let Some(replace) = action.get("ReplaceRecipient") else { return Vec::new() };
    let with = replace.get("with").map(Node::one_or_many).unwrap_or_default().iter();
    let map = replace.get("map").map(Node::entries).unwrap_or_default().iter().map(|entry| &entry.value);
    let texts = with.chain(map).filter_map(Node::text);
    texts.filter_map(|text| text.rsplit_once('@')).map(|(_, domain)| domain.to_lowercase().into()).collect()
}

struct Search<'a> {
    domains: &'a [Arc<str>],
    source: &'a Arc<Source>,
    /// Where `domains` stands in it.
    span: Span,
    /// Values that are still looked at.
    steps: usize,
    sink: &'a mut Sink,
}

impl Search<'_> {
    fn condition(&mut self, node: &Node, known: &[Box<str>]) {
        let Some(entry) = node.entries().first() else { return };
        match entry.key.as_str() {
            "any" | "all" => entry.value.items().iter().for_each(|node| self.condition(node, known)),
            "not" => self.condition(&entry.value, known),
            "recipient" | "recipient_base" | "recipient_domain" => {
                for operator in entry.value.entries() {
                    let make = match operator.key.as_str() {
                        "equals" | "not_equals" => TextTest::Equals as fn(Vec<Folded>) -> TextTest,
                        "starts_with" => TextTest::StartsWith,
                        "ends_with" => TextTest::EndsWith,
                        "contains" => TextTest::Contains,
                        _ => continue,
                    };
                    for value in operator.value.one_or_many() {
                        self.value(entry.key == "recipient_domain", make, value, known);
                    }
                }
            }
            _ => {}
        }
    }

    fn value(&mut self, is_domain: bool, make: fn(Vec<Folded>) -> TextTest, value: &Node, known: &[Box<str>]) {
        let Value::Text(text) = &value.value else { return };
        let Some(steps) = self.steps.checked_sub(known.len().max(1)) else { return };
        self.steps = steps;
        let test = make(vec![Folded::new(text)]);
        let is_possible = |domain: &str| {
            if is_domain {
                return test.holds(std::iter::once(Tested::Text(&Text::new(domain))));
            }
            let end = TextTest::EndsWith(vec![Folded::new(&format!("@{domain}"))]);
            policies::is_possible(&[(&end, true), (&test, true)])
        };
        if known.iter().any(|domain| is_possible(domain)) {
            return;
        }
        // Without a domain in it, the value is wrong in another way.
        let domain = if is_domain { Some(text.as_str()) } else { text.rsplit_once('@').map(|(_, domain)| domain) };
        let Some(domain) = domain.filter(|domain| domain.contains('.') && !domain.starts_with('.')) else { return };
        let message = format!("no mail comes in for `{}`: it is not one of `domains`", formats::clip(domain));
        // A subdomain is no typing mistake.
        let near = suggest(domain, self.domains.iter().map(|domain| &**domain));
        let near = near.filter(|near| strsim::damerau_levenshtein(near, &domain.to_lowercase()) <= TYPING_MISTAKES_MAX);
        let diagnostic = self.sink.warning(Code::DomainNotAccepted, value.span.clone(), message);
        diagnostic.note_in(Arc::clone(self.source), self.span.clone(), "the domains that mail is taken for");
        match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("add it to `domains` in gateway.yaml, or remove it here; a subdomain is a domain of its own"),
        };
    }
}
