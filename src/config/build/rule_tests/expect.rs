//! What is expected of a test, with the names of rules and statements looked up.

use std::collections::BTreeMap;

use super::Subject;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;
use crate::config::model::{OneOrMany, actions, rule_tests as model};
use crate::config::rule_tests::{Expectation, ExpectedHeader, ExpectedOutcome, ExpectedReply, ExpectedStep, PolicyVerdict, ReplyOf, Stage};
use crate::config::suggest::suggest;
use crate::config::tree::{Entry, Node};
use crate::rules::{MailFrom, OnFailure};
use crate::smtp::Address;

/// What stands for every recipient that is not named.
const ALL_OTHERS: &str = "*";

/// One expectation for each recipient; `None` when something is wrong, which has been reported.
pub(super) fn of(
    mut models: BTreeMap<String, model::Expected>,
    node: &Node,
    recipients: &[Address],
    subject: &Subject<'_>,
    sink: &mut Sink,
) -> Option<Vec<Expectation>> {
    let mut by_address: Vec<(Option<&Address>, Expectation)> = Vec::new();
    let mut is_right = true;
    for entry in node.entries() {
        let Some(model) = models.remove(&entry.key) else { continue };
        let same = |address: &&Address| address.as_str().eq_ignore_ascii_case(&entry.key);
        let address = recipients.iter().find(same);
        if address.is_none() && entry.key != ALL_OTHERS {
            let message = format!("`{}` is not one of the recipients of this test", clip(&entry.key));
            let help = match suggest(&entry.key, recipients.iter().map(Address::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "the addresses are those of RCPT; those after a replacement stand under `outcome`, as `to`".to_owned(),
            };
            sink.error(Code::UnknownName, entry.key_span.clone(), message).help(help);
            is_right = false;
        }
        match expectation(model, entry, subject, sink) {
            Some(expectation) => by_address.push((address, expectation)),
            None => is_right = false,
        }
    }
    if !is_right {
        return None;
    }
    let of = |wanted: Option<&Address>| by_address.iter().find(|(address, _)| *address == wanted).map(|(_, found)| found.clone());
    let found: Vec<Option<Expectation>> = recipients.iter().map(|address| of(Some(address)).or_else(|| of(None))).collect();
    if let Some((forgotten, _)) = recipients.iter().zip(&found).find(|(_, found)| found.is_none()) {
        let message = format!("nothing is expected of `{}`", clip(forgotten.as_str()));
        sink.error(Code::MissingKey, node.head(), message).help("name it, or say with `\"*\"` what becomes of all others");
    }
    found.into_iter().collect()
}

fn expectation(model: model::Expected, entry: &Entry, subject: &Subject<'_>, sink: &mut Sink) -> Option<Expectation> {
    let node = &entry.value;
    let mut is_right = subject.has_part("policy", &["policy", "statement"], node, sink) && subject.has_part("rules", RULES, node, sink);
    for key in ["rules", "audit", "by"] {
        for name in node.get(key).map(Node::one_or_many).unwrap_or_default() {
            is_right &= key == "by" && name.text() == Some("otherwise") || subject.knows_rule(name, sink);
        }
    }
    if let Some(name) = node.get("statement").filter(|name| name.text() != Some("default")) {
        is_right &= subject.knows_statement(name, sink);
    }
    let lines = |names: Option<Vec<crate::config::model::Line>>| names.map(|names| names.into_iter().map(|line| line.0).collect());
    let outcomes = model.outcome.map(|outcomes| {
        let nodes = node.get("outcome").map(Node::one_or_many).unwrap_or_default();
        outcomes.0.into_iter().zip(nodes).map(|(outcome, node)| outcome_of(outcome, node)).collect()
    });
    let expectation = Expectation {
        line: sink.source().position(entry.key_span.start).0,
        policy: model.policy.map(|verdict| match verdict {
            model::PolicyVerdict::Allow => PolicyVerdict::Allow,
            model::PolicyVerdict::Deny => PolicyVerdict::Deny,
            model::PolicyVerdict::Defer => PolicyVerdict::Defer,
        }),
        statement: model.statement.map(|line| line.0),
        refused_at: model.refused_at.map(|stage| match stage {
            model::RefusedAt::Connection => Stage::Connection,
            model::RefusedAt::Helo => Stage::Helo,
            model::RefusedAt::Mail => Stage::Mail,
            model::RefusedAt::Rcpt => Stage::Rcpt,
            model::RefusedAt::Data => Stage::Data,
        }),
        rules: lines(model.rules),
        audit: lines(model.audit),
        outcomes,
        by: model.by.map(|line| line.0),
        headers: headers(model.headers, node.get("headers")),
        reply: model.reply.and_then(|model| Some(reply(model, node.entry("reply")?, sink))),
    };
    is_right.then_some(expectation)
}

/// What only a rule set can say.
const RULES: &[&str] = &["rules", "audit", "outcome", "by", "headers"];

fn outcome_of(model: model::Outcome, node: &Node) -> ExpectedOutcome {
    let model = match model {
        model::Outcome::Drop => return ExpectedOutcome::Drop,
        model::Outcome::Reject => return ExpectedOutcome::Reject,
        model::Outcome::Defer => return ExpectedOutcome::Defer,
        model::Outcome::SmtpRelay(relay) => relay.0,
    };
    ExpectedOutcome::Relay(ExpectedStep {
        relay: model.relay.map(|name| name.0),
        to: model.to.map(|OneOrMany(addresses)| addresses.into_iter().map(|address| address.0).collect()),
        mail_from: model.mail_from.map(|word| match word {
            actions::MailFrom::Preserve => MailFrom::Preserve,
            actions::MailFrom::Replace => MailFrom::Replace,
            actions::MailFrom::Srs => MailFrom::Srs,
        }),
        on_failure: model.on_failure.map(|word| match word {
            actions::OnFailure::Bounce => OnFailure::Bounce,
            actions::OnFailure::Continue => OnFailure::Continue,
            actions::OnFailure::Drop => OnFailure::Drop,
        }),
        headers: headers(model.headers, node.get("SMTPRelay").and_then(|step| step.get("headers"))),
    })
}

/// In the order of the file. A list is all values there are; `absent` says that there are none, and in a list is a value like others.
fn headers(model: Option<model::ExpectedHeaders>, node: Option<&Node>) -> Vec<(String, ExpectedHeader)> {
    let mut values = model.map(|headers| headers.0).unwrap_or_default();
    let entries = node.map(Node::entries).unwrap_or_default();
    let read = |entry: &Entry| {
        let OneOrMany(values) = values.remove(&entry.key)?;
        let expected = match entry.value.text() {
            Some("absent") => ExpectedHeader::Absent,
            Some(text) => ExpectedHeader::One(text.to_owned()),
            None => ExpectedHeader::All(values),
        };
        Some((entry.key.clone(), expected))
    };
    entries.iter().filter_map(read).collect()
}

pub(super) fn reply(model: model::ReplyTest, entry: &Entry, sink: &Sink) -> ExpectedReply {
    ExpectedReply {
        line: sink.source().position(entry.key_span.start).0,
        code: model.code,
        status: model.status.map(|status| status.0),
        text: model.text,
        contains: model.contains,
        of: model.of.map(|of| match of {
            model::ReplyOf::Gateway => ReplyOf::Gateway,
            model::ReplyOf::Spool => ReplyOf::Spool,
            model::ReplyOf::Relay => ReplyOf::Relay,
        }),
    }
}
