//! Rule sets from their models.

use std::collections::HashMap;
use std::sync::Arc;

use super::tests_of::{self, Operators};
use super::{Defined, analysis};
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats;
use crate::config::model::{OneOrMany, Size, actions, rules as model};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::limits;
use crate::rules::{
    Action, AttachmentPart, CertificateAttribute, Condition, Flag, MailFrom, MapFrom, MapTo, Mode, NumberAttribute, NumberOperator,
    OnFailure, Otherwise, Replacement, Rule, RuleSet, TextAttribute, VerdictAttribute,
};
use crate::smtp::{Reply, Status};

/// Builds a rule set; `None` when something is wrong, which has been reported.
pub(crate) fn build(name: &str, tree: &Node, defined: Defined<'_>, sink: &mut Sink) -> Option<RuleSet> {
    let otherwise = match tree.get("otherwise") {
        None => Some(model::Otherwise::default()),
        Some(node) => typed(node, sink),
    };
    let mut names = HashMap::new();
    let mut rules = Vec::new();
    for node in tree.get("rules").map(Node::items).unwrap_or_default() {
        unique_name(node, "rule", &mut names, sink);
        rules.push(rule(node, defined, sink));
    }
    let otherwise = match otherwise? {
        model::Otherwise::Reject => Otherwise::Reject,
        model::Otherwise::Defer => Otherwise::Defer,
        model::Otherwise::Drop => Otherwise::Drop,
    };
    Some(RuleSet { name: Arc::from(name), otherwise, rules: rules.into_iter().collect::<Option<_>>()? })
}

/// Reports a name that another rule or statement of the file has.
pub(super) fn unique_name(node: &Node, what: &str, names: &mut HashMap<String, Span>, sink: &mut Sink) {
    let Some(name) = node.get("name") else { return };
    let Some(text) = name.text() else { return };
    if let Some(first) = names.get(text) {
        sink.error(Code::DuplicateName, name.span.clone(), format!("there are two {what}s named `{}`", formats::clip(text)))
            .note(first.clone(), "the first");
    } else {
        names.insert(text.to_owned(), name.span.clone());
    }
}

fn rule(node: &Node, defined: Defined<'_>, sink: &mut Sink) -> Option<Rule> {
    let model: model::Rule = typed(node, sink)?;
    let when = conditions(&model.when, node.get("when"), 1, defined, sink);
    let unless = conditions(&model.unless, node.get("unless"), 1, defined, sink);
    let nodes = node.get("actions").map(Node::items).unwrap_or_default();
    let actions = model.actions.iter().zip(nodes).map(|(model, node)| action(model, node, defined.srs, sink));
    let actions: Vec<Option<Action>> = actions.collect();
    let mode = match model.mode {
        model::Mode::Enforce => Mode::Enforce,
        model::Mode::Audit => Mode::Audit,
        model::Mode::Off => Mode::Off,
    };
    let actions = actions.into_iter().collect::<Option<Vec<_>>>()?;
    Some(Rule { name: Arc::from(model.name.0.as_str()), mode, when: when?, unless: unless?, actions })
}

fn conditions(
    models: &[model::Condition],
    node: Option<&Node>,
    depth: usize,
    defined: Defined<'_>,
    sink: &mut Sink,
) -> Option<Vec<Condition>> {
    let nodes = node.map(Node::items).unwrap_or_default();
    let built: Vec<Option<Condition>> =
        models.iter().zip(nodes).map(|(model, node)| condition(model, node, depth, defined, sink)).collect();
    built.into_iter().collect()
}

fn condition(model: &model::Condition, node: &Node, depth: usize, defined: Defined<'_>, sink: &mut Sink) -> Option<Condition> {
    let entry = node.entries().first()?;
    if depth > limits::CONDITION_DEPTH_MAX {
        let message = format!("conditions are nested more than {} levels deep", limits::CONDITION_DEPTH_MAX);
        sink.broken(Code::TooDeep, entry.key_span.clone(), message);
        return None;
    }
    let at = &entry.value;
    let deeper = depth.saturating_add(1);
    let address = |attribute, test| Some(Condition::Text(attribute, tests_of::address(test, defined.lists)?));
    let text = |attribute, test| Some(Condition::Text(attribute, tests_of::text(test)?));
    match model {
        model::Condition::MailFrom(test) => address(TextAttribute::MailFrom, test),
        model::Condition::Recipient(test) => address(TextAttribute::Recipient, test),
        model::Condition::RecipientBase(test) => address(TextAttribute::RecipientBase, test),
        model::Condition::Sender(test) => address(TextAttribute::Sender, test),
        model::Condition::From(test) => address(TextAttribute::From, test),
        model::Condition::To(test) => address(TextAttribute::To, test),
        model::Condition::Cc(test) => address(TextAttribute::Cc, test),
        model::Condition::MailFromDomain(test) => text(TextAttribute::MailFromDomain, test),
        model::Condition::Helo(test) => text(TextAttribute::Helo, test),
        model::Condition::RecipientDomain(test) => text(TextAttribute::RecipientDomain, test),
        model::Condition::FromDomain(test) => text(TextAttribute::FromDomain, test),
        model::Condition::Subject(test) => text(TextAttribute::Subject, test),
        model::Condition::ClientHost(test) => text(TextAttribute::ClientHost, test),
        model::Condition::MessageId(test) => text(TextAttribute::MessageId, test),
        model::Condition::Header(test) => header(test),
        model::Condition::Attachment(test) => attachment(test),
        model::Condition::ClientCertificate(test) => certificate(test),
        model::Condition::MessageSize(test) => Some(size(test)),
        model::Condition::RecipientCount(test) => Some(count(test)),
        model::Condition::SourceIp(test) => Some(Condition::SourceIp(tests_of::ip(test, defined.lists))),
        model::Condition::Tls(wanted) => Some(Condition::Flag(Flag::Tls, *wanted)),
        model::Condition::TlsWrapped(wanted) => Some(Condition::Flag(Flag::TlsWrapped, *wanted)),
        model::Condition::ReadReceiptRequested(wanted) => Some(Condition::Flag(Flag::ReadReceiptRequested, *wanted)),
        model::Condition::HasAttachments(wanted) => Some(Condition::Flag(Flag::HasAttachments, *wanted)),
        model::Condition::Authenticated(wanted) => Some(Condition::Flag(Flag::Authenticated, *wanted)),
        model::Condition::Spf(_) => verdict(VerdictAttribute::Spf, at),
        model::Condition::Dkim(_) => verdict(VerdictAttribute::Dkim, at),
        model::Condition::SpfResult(_) => verdict(VerdictAttribute::SpfResult, at),
        model::Condition::DkimResult(_) => verdict(VerdictAttribute::DkimResult, at),
        model::Condition::DmarcResult(_) => verdict(VerdictAttribute::DmarcResult, at),
        model::Condition::ArcResult(_) => verdict(VerdictAttribute::ArcResult, at),
        model::Condition::DmarcPolicy(_) => verdict(VerdictAttribute::DmarcPolicy, at),
        model::Condition::Analysis(test) => analysis::of_rule(test, at, defined.analyzers, sink).map(Condition::Analysis),
        model::Condition::Any(models) => conditions(models, Some(at), deeper, defined, sink).map(Condition::Any),
        model::Condition::All(models) => conditions(models, Some(at), deeper, defined, sink).map(Condition::All),
        model::Condition::Not(model) => condition(model, at, deeper, defined, sink).map(|inner| Condition::Not(Box::new(inner))),
    }
}

fn header(test: &model::HeaderTest) -> Option<Condition> {
    let model::HeaderTest { name, equals, not_equals, starts_with, ends_with, contains, matches, exists } = test;
    let operators = Operators { equals, not_equals, starts_with, ends_with, contains, matches, exists: *exists };
    Some(Condition::Header(Arc::from(name.0.to_ascii_lowercase()), operators.test()?))
}

fn attachment(test: &model::AttachmentTest) -> Option<Condition> {
    let (part, test) = match test {
        model::AttachmentTest::Name(test) => (AttachmentPart::Name, test),
        model::AttachmentTest::Type(test) => (AttachmentPart::Type, test),
        model::AttachmentTest::Extension(test) => (AttachmentPart::Extension, test),
    };
    Some(Condition::Attachment(part, tests_of::text(test)?))
}

fn certificate(test: &model::CertificateTest) -> Option<Condition> {
    let model::CertificateTest { attribute, equals, not_equals, starts_with, ends_with, contains, matches, exists } = test;
    let operators = Operators { equals, not_equals, starts_with, ends_with, contains, matches, exists: *exists };
    let attribute = match attribute {
        model::CertificateAttribute::Cn => CertificateAttribute::Cn,
        model::CertificateAttribute::SanRfc822Name => CertificateAttribute::SanRfc822Name,
        model::CertificateAttribute::SanDnsName => CertificateAttribute::SanDnsName,
        model::CertificateAttribute::SanDirectoryName => CertificateAttribute::SanDirectoryName,
        model::CertificateAttribute::SanUniformResourceIdentifier => CertificateAttribute::SanUniformResourceIdentifier,
        model::CertificateAttribute::SanIpAddress => CertificateAttribute::SanIpAddress,
        model::CertificateAttribute::SanRegisteredId => CertificateAttribute::SanRegisteredId,
        model::CertificateAttribute::SerialNumber => CertificateAttribute::SerialNumber,
    };
    Some(Condition::ClientCertificate(attribute, operators.test()?))
}

fn size(test: &model::SizeTest) -> Condition {
    let many = |sizes: &OneOrMany<Size>| sizes.0.iter().map(|size| size.0).collect();
    let (operator, values) = match test {
        model::SizeTest::Equals(sizes) => (NumberOperator::Equals, many(sizes)),
        model::SizeTest::NotEquals(sizes) => (NumberOperator::NotEquals, many(sizes)),
        model::SizeTest::LessThan(size) => (NumberOperator::LessThan, vec![size.0]),
        model::SizeTest::GreaterThan(size) => (NumberOperator::GreaterThan, vec![size.0]),
        model::SizeTest::LessThanOrEqual(size) => (NumberOperator::LessThanOrEqual, vec![size.0]),
        model::SizeTest::GreaterThanOrEqual(size) => (NumberOperator::GreaterThanOrEqual, vec![size.0]),
    };
    Condition::Number(NumberAttribute::MessageSize, operator, values)
}

fn count(test: &model::NumberTest) -> Condition {
    let many = |numbers: &OneOrMany<u32>| numbers.0.iter().map(|number| u64::from(*number)).collect();
    let one = |number: &u32| vec![u64::from(*number)];
    let (operator, values) = match test {
        model::NumberTest::Equals(numbers) => (NumberOperator::Equals, many(numbers)),
        model::NumberTest::NotEquals(numbers) => (NumberOperator::NotEquals, many(numbers)),
        model::NumberTest::LessThan(number) => (NumberOperator::LessThan, one(number)),
        model::NumberTest::GreaterThan(number) => (NumberOperator::GreaterThan, one(number)),
        model::NumberTest::LessThanOrEqual(number) => (NumberOperator::LessThanOrEqual, one(number)),
        model::NumberTest::GreaterThanOrEqual(number) => (NumberOperator::GreaterThanOrEqual, one(number)),
    };
    Condition::Number(NumberAttribute::RecipientCount, operator, values)
}

fn verdict(attribute: VerdictAttribute, node: &Node) -> Option<Condition> {
    let (negated, values) = tests_of::words(node)?;
    Some(Condition::Verdict { attribute, negated, values })
}

/// The action cannot be built: without a domain and a key there is nothing to rewrite to.
fn no_srs(fields: Option<&Node>, sink: &mut Sink) -> Option<Action> {
    let span = fields.and_then(|fields| fields.get("mail_from")).map_or(0..0, |at| at.span.clone());
    sink.error(Code::MissingKey, span, "`mail_from: srs` needs the section `srs` of gateway.yaml")
        .help("write there `srs: { domain: srs.acme.example, key: { file: srs.key } }`, with MX records that lead to this gateway");
    None
}

fn action(model: &actions::Action, node: &Node, srs: bool, sink: &mut Sink) -> Option<Action> {
    let fields = node.entries().first().map(|entry| &entry.value);
    match model {
        actions::Action::SmtpRelay(relay) => Some(Action::SmtpRelay {
            relay: Arc::from(relay.relay.0.as_str()),
            mail_from: match relay.mail_from {
                None | Some(actions::MailFrom::Preserve) => MailFrom::Preserve,
                Some(actions::MailFrom::Replace) => MailFrom::Replace,
                Some(actions::MailFrom::Srs) if !srs => return no_srs(fields, sink),
                Some(actions::MailFrom::Srs) => MailFrom::Srs,
            },
            on_failure: match relay.on_failure {
                None | Some(actions::OnFailure::Bounce) => OnFailure::Bounce,
                Some(actions::OnFailure::Continue) => OnFailure::Continue,
                Some(actions::OnFailure::Drop) => OnFailure::Drop,
            },
        }),
        actions::Action::AddHeader(header) => {
            reserved(&header.name.0, fields, sink);
            Some(Action::AddHeader { name: Arc::from(header.name.0.as_str()), value: header.value.0.clone() })
        }
        actions::Action::RemoveHeader(header) => {
            reserved(&header.name.0, fields, sink);
            Some(Action::RemoveHeader { name: Arc::from(header.name.0.as_str()) })
        }
        actions::Action::PrefixSubject(prefix) => Some(Action::PrefixSubject { text: Arc::from(prefix.text.0.as_str()) }),
        actions::Action::ReplaceRecipient(replace) => replacement(replace, fields).map(Action::ReplaceRecipient),
        actions::Action::Drop => Some(Action::Drop),
        actions::Action::Stop => Some(Action::Stop),
        actions::Action::Reject(reject) => {
            let status = reject.status.as_ref().map_or(Status(5, 7, 1), |status| status.0);
            let text = reject.text.as_ref().map_or("Message refused by policy", |text| &text.0);
            reply(reject.code.unwrap_or(550), status, text, fields, sink).map(Action::Reject)
        }
        actions::Action::Defer(defer) => {
            let status = defer.status.as_ref().map_or(Status(4, 7, 1), |status| status.0);
            let text = defer.text.as_ref().map_or("Message deferred by policy, try again later", |text| &text.0);
            reply(defer.code.unwrap_or(450), status, text, fields, sink).map(Action::Defer)
        }
        // Reported as not available when the shape was checked.
        actions::Action::Archive(_) => not_available("Archive", true),
        actions::Action::WriteToS3(_) => not_available("WriteToS3", true),
        actions::Action::PublishToSns(_) => not_available("PublishToSns", false),
        actions::Action::InvokeLambda(_) => not_available("InvokeLambda", false),
        actions::Action::Send(_) => not_available("Send", true),
        actions::Action::DeliverToMailbox(_) => not_available("DeliverToMailbox", true),
        actions::Action::DeliverToQBusiness(_) => not_available("DeliverToQBusiness", false),
        actions::Action::Bounce(_) => not_available("Bounce", true),
        actions::Action::Quarantine(_) => not_available("Quarantine", true),
    }
}

/// For proofs about the rule set, which go on where it cannot be carried out.
fn not_available(name: &'static str, disposes: bool) -> Option<Action> {
    Some(Action::NotAvailable { name, disposes })
}

/// The first digits of both codes agree (RFC 3463 §2).
fn reply(code: u16, status: Status, text: &str, fields: Option<&Node>, sink: &mut Sink) -> Option<Reply> {
    if code / 100 == u16::from(status.0) {
        return Some(Reply::new(code, Some(status), text));
    }
    let span = fields
        .map_or(0..0, |fields| fields.get("status").or_else(|| fields.get("code")).map_or_else(|| fields.head(), |node| node.span.clone()));
    sink.error(Code::CodeClass, span, format!("the reply code {code} and the status code {status} contradict each other")).help(format!(
        "the status code of a {}xx reply begins with {}",
        code / 100,
        code / 100
    ));
    None
}

fn replacement(model: &actions::ReplaceRecipient, fields: Option<&Node>) -> Option<Replacement> {
    if let Some(with) = &model.with {
        return Some(Replacement::With(with.0.iter().map(|address| address.0.clone()).collect()));
    }
    let map = fields?.get("map")?.entries().iter().map(|entry| {
        let from = match formats::map_address(&entry.key).ok()? {
            Ok(address) => MapFrom::Address(address),
            Err(domain) => MapFrom::Domain(Arc::from(domain)),
        };
        let to = match formats::map_address(entry.value.text()?).ok()? {
            Ok(address) => MapTo::Address(address),
            Err(domain) => MapTo::Domain(Arc::from(domain)),
        };
        Some((from, to))
    });
    map.collect::<Option<Vec<_>>>().map(Replacement::Map)
}

/// Fields that say how a message travelled or who vouches for it.
fn reserved(name: &str, fields: Option<&Node>, sink: &mut Sink) {
    const NAMES: &[&str] = &[
        "received",
        "return-path",
        "dkim-signature",
        "authentication-results",
        "arc-seal",
        "arc-message-signature",
        "arc-authentication-results",
        "received-spf",
        "message-id",
        "from",
        "date",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
    ];
    const PREFIXES: &[&str] = &["x-ms-exchange-", "x-microsoft-", "x-forefront-", "x-gm-", "x-google-", "x-ses-", "resent-"];
    let lower = name.to_ascii_lowercase();
    if !NAMES.contains(&lower.as_str()) && !PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return;
    }
    let span = fields.and_then(|fields| fields.get("name")).map_or(0..0, |node| node.span.clone());
    sink.warning(
        Code::ReservedHeader,
        span,
        format!("`{name}` belongs to mail systems; they may act on it, remove it or refuse the message"),
    )
    .help("choose a name of your own, like `X-Acme-Route`");
}
