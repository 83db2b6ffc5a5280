//! From what was found to files of ours.

mod actions;
mod conditions;
mod deployment;
mod names;
mod policy;
mod remarks;
mod rules;

use super::read::Holdings;
use super::yaml::{Comment, Written, Yaml};
use names::Names;

use crate::config::formats;

/// A file that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeFile {
    /// Its path below the folder of the deployment, with slashes.
    pub path: String,
    /// What it holds.
    pub text: String,
    /// What should be looked at: the line, from 1, and why.
    pub remarks: Vec<(usize, String)>,
}

/// What an operator knows and the service does not say.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The gateway's own name.
    pub hostname: Option<String>,
    /// The domains that it takes mail for.
    pub domains: Vec<String>,
}

/// All files, and what could not be carried over.
pub(super) fn carry(holdings: &Holdings, known: &Known) -> (Vec<MadeFile>, Vec<String>) {
    let mut names = Names::of(holdings);
    let mut lost = Vec::new();
    let mut files = Vec::new();
    for (number, found) in holdings.policies.iter().enumerate() {
        let name = names.of_policies.get(number).cloned().unwrap_or_default();
        let written = policy::policy(&name, found, &mut names, &mut lost);
        files.push(made(format!("policies/{name}.yaml"), written, holdings));
    }
    for (number, found) in holdings.rule_sets.iter().enumerate() {
        let name = names.of_rule_sets.get(number).cloned().unwrap_or_default();
        let written = rules::rule_set(&name, found, &mut names, &mut lost);
        files.push(made(format!("rules/{name}.yaml"), written, holdings));
    }
    let mut others = Vec::new();
    let written = deployment::deployment(holdings, known, &mut names, &mut others, &mut lost);
    files.insert(0, made("gateway.yaml".to_owned(), written, holdings));
    files.extend(others);
    (files, lost)
}

/// A written file; each line with a placeholder of a template is one to look at.
fn made(path: String, written: Written, holdings: &Holdings) -> MadeFile {
    let Written { text, mut remarks, .. } = written;
    for (number, line) in text.lines().enumerate() {
        let is_comment = line.trim_start().starts_with('#');
        let open = holdings.placeholders.iter().filter(|(name, _)| !is_comment && line.contains(name.as_str()));
        // The longest: one may begin with another.
        if let Some((name, about)) = open.max_by_key(|(name, _)| name.len()) {
            remarks.push((number.saturating_add(1), format!("`{name}` stands for something that the template does not say: {about}.")));
        }
    }
    remarks.sort_by_key(|(line, _)| *line);
    MadeFile { path, text, remarks }
}

/// A size: with its unit where it is a round one.
fn size(octets: u64) -> Yaml {
    let unit =
        [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")].into_iter().find(|(unit, _)| octets > 0 && octets.is_multiple_of(*unit));
    Yaml::Plain(match unit {
        Some((unit, name)) => format!("{}{name}", octets / unit),
        None => octets.to_string(),
    })
}

/// A network without the bits behind its prefix; one that is none was reported when it was read.
fn network(text: &str) -> String {
    match formats::cidr(text) {
        Ok((_, None)) | Err(_) => text.to_owned(),
        Ok((net, Some(_))) => net.to_string(),
    }
}

/// Comments for what was assumed where the template leaves something open.
fn notes(notes: &[String]) -> impl Iterator<Item = Comment> {
    notes.iter().map(|note| Comment::remark(sentence(note)))
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first: String = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}
