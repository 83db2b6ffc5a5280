//! What things are called: ids and ARNs of the service become the names of our files.

use std::collections::BTreeMap;

use super::super::read::Holdings;
use super::super::template::REFERENCE;

/// Names of one kind of thing.
#[derive(Debug, Default)]
struct Index {
    /// By id, ARN, and name in a template.
    by_key: BTreeMap<String, String>,
    taken: Taken,
    /// Asked for, and not there.
    missing: BTreeMap<String, String>,
}

impl Index {
    /// Gives a thing a name of its own and remembers what else it goes by.
    fn add(&mut self, name: &str, keys: [Option<&str>; 3]) -> String {
        let name = self.taken.unique(&plain(name));
        for key in keys.into_iter().flatten() {
            self.by_key.entry(last(key).to_owned()).or_insert_with(|| name.clone());
        }
        name
    }

    /// The name of what a key stands for; what is not known gets a name made of the key.
    fn get(&mut self, key: &str) -> String {
        let id = last(key);
        if let Some(name) = self.by_key.get(id) {
            return name.clone();
        }
        // By its name: a rule set may have been written by hand.
        if self.taken.has(id) && !self.missing.contains_key(id) {
            return id.to_owned();
        }
        let name = self.taken.unique(&plain(id.trim_start_matches(REFERENCE)));
        self.by_key.insert(id.to_owned(), name.clone());
        self.missing.insert(name.clone(), key.to_owned());
        name
    }
}

/// All names.
#[derive(Debug, Default)]
pub(super) struct Names {
    rule_sets: Index,
    policies: Index,
    relays: Index,
    points: Index,
    lists: Index,
    archives: Index,
    mailboxes: Index,
    analyzers: Index,
    /// Of each kind, in the order in which they were found.
    pub(super) of_rule_sets: Vec<String>,
    pub(super) of_policies: Vec<String>,
    pub(super) of_relays: Vec<String>,
    pub(super) of_points: Vec<String>,
    pub(super) of_lists: Vec<String>,
    pub(super) of_archives: Vec<String>,
}

impl Names {
    /// Names everything that was found.
    pub(super) fn of(holdings: &Holdings) -> Self {
        let mut names = Self::default();
        let reference = |logical: &Option<String>| logical.as_ref().map(|name| format!("{REFERENCE}{name}"));
        for found in &holdings.rule_sets {
            let (value, token) = (&found.value, reference(&found.logical));
            let keys = [value.rule_set_id.as_deref(), value.rule_set_arn.as_deref(), token.as_deref()];
            names.of_rule_sets.push(names.rule_sets.add(&value.rule_set_name, keys));
        }
        for found in &holdings.policies {
            let (value, token) = (&found.value, reference(&found.logical));
            let keys = [value.traffic_policy_id.as_deref(), value.traffic_policy_arn.as_deref(), token.as_deref()];
            names.of_policies.push(names.policies.add(&value.traffic_policy_name, keys));
        }
        for found in &holdings.relays {
            let (value, token) = (&found.value, reference(&found.logical));
            let name = value.relay_name.as_deref().or(value.relay_id.as_deref()).unwrap_or(&value.server_name);
            let keys = [value.relay_id.as_deref(), value.relay_arn.as_deref(), token.as_deref()];
            names.of_relays.push(names.relays.add(name, keys));
        }
        for found in &holdings.points {
            let name = names.points.add(&found.value.ingress_point_name, [None, None, None]);
            names.of_points.push(name);
        }
        for found in &holdings.lists {
            let (value, token) = (&found.value, reference(&found.logical));
            let keys = [value.address_list_id.as_deref(), value.address_list_arn.as_deref(), token.as_deref()];
            names.of_lists.push(names.lists.add(&value.address_list_name, keys));
        }
        for found in &holdings.archives {
            let (value, token) = (&found.value, reference(&found.logical));
            let keys = [value.archive_id.as_deref(), value.archive_arn.as_deref(), token.as_deref()];
            names.of_archives.push(names.archives.add(&value.archive_name, keys));
        }
        for found in &holdings.addons {
            let (value, token) = (&found.value, reference(&found.logical));
            let name = value.addon_name.as_deref().unwrap_or("addon").to_ascii_lowercase();
            let keys = [value.addon_instance_id.as_deref(), value.addon_instance_arn.as_deref(), token.as_deref()];
            names.analyzers.add(&name, keys);
        }
        names
    }

    pub(super) fn rule_set(&mut self, key: &str) -> String {
        self.rule_sets.get(key)
    }

    pub(super) fn policy(&mut self, key: &str) -> String {
        self.policies.get(key)
    }

    pub(super) fn relay(&mut self, key: &str) -> String {
        self.relays.get(key)
    }

    pub(super) fn address_list(&mut self, key: &str) -> String {
        self.lists.get(key)
    }

    pub(super) fn archive(&mut self, key: &str) -> String {
        self.archives.get(key)
    }

    pub(super) fn mailbox(&mut self, key: &str) -> String {
        self.mailboxes.get(key)
    }

    /// Nothing of an add-on is carried over but its name.
    pub(super) fn analyzer(&mut self, key: &str) -> String {
        let name = self.analyzers.get(key);
        self.analyzers.missing.entry(name.clone()).or_insert_with(|| key.to_owned());
        name
    }

    /// Relays that rules use and no file describes: name and what it stands for.
    pub(super) fn missing_relays(&self) -> &BTreeMap<String, String> {
        &self.relays.missing
    }

    pub(super) fn missing_lists(&self) -> &BTreeMap<String, String> {
        &self.lists.missing
    }

    pub(super) fn missing_archives(&self) -> &BTreeMap<String, String> {
        &self.archives.missing
    }

    pub(super) fn missing_mailboxes(&self) -> &BTreeMap<String, String> {
        &self.mailboxes.missing
    }

    pub(super) fn analyzers(&self) -> &BTreeMap<String, String> {
        &self.analyzers.missing
    }

    pub(super) fn missing_policies(&self) -> &BTreeMap<String, String> {
        &self.policies.missing
    }

    pub(super) fn missing_rule_sets(&self) -> &BTreeMap<String, String> {
        &self.rule_sets.missing
    }

    /// The list that a text names, as id or as name.
    pub(super) fn list_called(&self, text: &str) -> Option<&str> {
        let by_id = self.lists.by_key.get(text).map(String::as_str);
        by_id.or_else(|| self.of_lists.iter().map(String::as_str).find(|name| *name == text))
    }
}

/// The id in an ARN, or the id itself.
fn last(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// A name that may be a file's, too: letters, digits, `_`, `.` and `-`, and no dot in front.
fn plain(name: &str) -> String {
    let clean: String =
        name.chars().take(100).map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') { c } else { '-' }).collect();
    let clean = clean.trim_start_matches('.');
    if clean.is_empty() { "unnamed".to_owned() } else { clean.to_owned() }
}

/// Names that are given; some file systems take upper and lower case for one.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// With the number that the next thing of this name gets.
    names: BTreeMap<String, usize>,
    /// Whether upper and lower case make two names.
    by_case: bool,
}

impl Taken {
    /// For names that are no files.
    pub(super) fn by_case() -> Self {
        Self { by_case: true, ..Self::default() }
    }

    fn key(&self, name: &str) -> String {
        if self.by_case { name.to_owned() } else { name.to_ascii_lowercase() }
    }

    /// The name, with a number behind it when it is taken.
    pub(super) fn unique(&mut self, name: &str) -> String {
        let key = self.key(name);
        let mut number = self.names.get(&key).copied().unwrap_or(1);
        let mut unique = name.to_owned();
        while self.has(&unique) {
            number = number.saturating_add(1);
            unique = format!("{name}-{number}");
        }
        self.names.insert(key, number);
        self.names.entry(self.key(&unique)).or_insert(1);
        unique
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains_key(&self.key(name))
    }
}
