//! Mistakes in what is written correctly: single conditions, values and actions that surely do not do what was meant.
//!
//! They are looked for in trees, since what stands where counts for the changes that mend them. What spans several rules is proven by
//! [`crate::analysis`]. A lint speaks only where the mistake is sure: one that cries wolf is worse than none.

mod addresses;
mod bounces;
mod case;
mod domains;
mod edit;
mod failure;
pub(crate) mod foreign;
mod headers;
mod mail_manager;
mod never;
mod patterns;
mod plus_tag;
mod sizes;
mod verdicts;
mod walk;
mod wildcards;

pub(crate) use addresses::unmapped;

use super::diagnostic::{Code, Sink};
use super::document::Kind;
use super::report::{Compat, Options};
use super::tree::Node;

/// Looks for all of them in a file; `name` is the file's stem.
pub(crate) fn check(kind: Kind, name: &str, tree: &Node, options: &Options, sink: &mut Sink) {
    match kind {
        Kind::RuleSet => rule_set(name, tree, options, sink),
        Kind::Policy => policy(name, tree, options, sink),
        Kind::Deployment => {
            if is_for_mail_manager(options) {
                mail_manager::deployment(tree, sink);
            }
        }
        Kind::Tests => {}
    }
}

fn rule_set(name: &str, tree: &Node, options: &Options, sink: &mut Sink) {
    let rules = tree.get("rules").map(Node::items).unwrap_or_default();
    let considered = verdicts::considered(rules);
    for rule in rules.iter().filter(|rule| walk::is_mapping(rule)) {
        let tests = walk::tests(rule, sink);
        for test in &tests {
            each(test, sink);
            plus_tag::check(test, sink);
            verdicts::gray(test, &considered, sink);
        }
        verdicts::ambiguous(rule, &tests, sink);
        bounces::check(rule, &tests, sink);
        if options.strict || options.deny.contains(&Code::FailureImplicit) {
            failure::check(rule, sink);
        }
    }
    if is_for_mail_manager(options) {
        mail_manager::rule_set(name, tree, sink);
    }
}

fn policy(name: &str, tree: &Node, options: &Options, sink: &mut Sink) {
    for list in ["deny", "allow"] {
        for statement in tree.get(list).map(Node::items).unwrap_or_default() {
            walk::tests(statement, sink).iter().for_each(|test| each(test, sink));
        }
    }
    sizes::policy(tree, sink);
    if is_for_mail_manager(options) {
        mail_manager::policy(name, tree, sink);
    }
}

/// What is looked for in every condition, of rules and of policies.
fn each(test: &walk::Test<'_>, sink: &mut Sink) {
    // Each says whether it found the mistake that explains all others of the same value.
    let found = never::check(test, sink) || wildcards::check(test, sink) || domains::check(test, sink) || patterns::check(test, sink);
    if !found {
        case::check(test, sink);
    }
    addresses::check(test, sink);
    headers::check(test, sink);
    sizes::check(test, sink);
}

fn is_for_mail_manager(options: &Options) -> bool {
    options.compat == Some(Compat::MailManager)
}
