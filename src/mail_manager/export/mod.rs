//! A deployment of ours as documents of Mail Manager: what its API takes, or a template of CloudFormation.
//!
//! What the service cannot express is refused where it stands, with the reason: nothing is exported that would treat mail otherwise. What
//! it has no setting for and does in its own way (retries, limits of relays) is left out with a warning.

mod actions;
mod conditions;
mod names;
mod policy;
mod resources;
mod rules;

pub use names::{Account, Target};

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value as Json, json};
use time::OffsetDateTime;

use crate::config::diagnostic::{Code, Diagnostic, Severity, Sink};
use crate::config::source::Span;
use crate::config::tree::{Node, Value};
use crate::config::{Kind, Report, read};
use names::{Names, Resource};

/// What was made of a deployment.
#[derive(Debug)]
pub struct Exported {
    /// Documents by the name of their file, without folders.
    pub documents: BTreeMap<String, Json>,
    /// What stands under its name where the service wants an id: `relay/google`.
    pub without_id: Vec<String>,
}

/// Exports the deployment of a `gateway.yaml` with its policies and rule sets; `now` is what certificates' dates are compared with.
///
/// # Errors
/// The report, when something is wrong or cannot be expressed. That an action is not available here does not matter there.
pub fn export(gateway_yaml: &Path, target: Target, now: OffsetDateTime) -> Result<(Exported, Report), Report> {
    let (files, others) = read(gateway_yaml, now);
    let mut names = Names::new(target);
    let mut made = BTreeMap::new();
    let mut sinks: Vec<Sink> = others;
    for file in files {
        let mut sink = file.sink;
        let mut writer = Writer { names: &mut names, sink: &mut sink };
        match file.kind {
            Kind::Deployment => made.extend(writer.deployment(&file.tree)),
            Kind::Policy => made.extend(writer.policy(&file.name, &file.tree).map(|policy| ((Resource::TrafficPolicy, file.name), policy))),
            Kind::RuleSet => made.extend(writer.rule_set(&file.name, &file.tree).map(|rules| ((Resource::RuleSet, file.name), rules))),
            Kind::Tests => {}
        }
        sinks.push(sink);
    }
    let report = refusals(Report::new(sinks));
    if report.errors() > 0 {
        return Err(report);
    }
    let documents = if names.is_template() { resources::template(&mut names, made) } else { resources::requests(made) };
    Ok((Exported { documents, without_id: names.without_id.into_iter().collect() }, report))
}

/// What matters for an export: what cannot be expressed, and errors that are not about us.
fn refusals(mut report: Report) -> Report {
    let about_us =
        |code| matches!(code, Code::NotAvailable | Code::TlsFiles | Code::ArcKey | Code::SrsKey | Code::Expired | Code::ExpiresSoon);
    let matters = |found: &Diagnostic| found.severity == Severity::Error || found.code == Code::NotInMailManager;
    report.diagnostics.retain(|found| !about_us(found.code) && matters(found));
    report
}

/// A resource with the properties that it is made with.
type Made = BTreeMap<(Resource, String), Json>;

/// Writes one file's part.
struct Writer<'a> {
    names: &'a mut Names,
    sink: &'a mut Sink,
}

impl Writer<'_> {
    /// Reports what the service cannot express.
    fn refuse<T>(&mut self, span: &Span, message: impl Into<String>, help: &[&str]) -> Option<T> {
        let diagnostic = self.sink.broken(Code::NotInMailManager, span.clone(), message);
        diagnostic.help.extend(help.iter().map(|help| (*help).to_owned()));
        None
    }

    /// Reports what the service has no setting for.
    fn leave_out(&mut self, span: &Span, message: impl Into<String>) {
        self.sink.warning(Code::NotInMailManager, span.clone(), message);
    }

    /// A name that the service takes: so many characters, of these.
    fn is_name(&mut self, span: &Span, name: &str, least: usize, most: usize, characters: &str) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || characters.contains(c);
        let is_name = (least..=most).contains(&name.len()) && name.chars().all(fits);
        if !is_name {
            let list: Vec<String> = characters.chars().map(|c| format!("`{c}`")).collect();
            let message = format!("Mail Manager takes names of {least} to {most} letters, digits and {}", list.join(", "));
            self.refuse::<()>(span, message, &[]);
        }
        is_name
    }
}

/// A scalar as text: values of conditions may be written as numbers.
fn scalar_text(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A mapping without the members that are null.
fn present(members: &[(&str, Json)]) -> Json {
    json!(
        members
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect::<BTreeMap<_, _>>()
    )
}
