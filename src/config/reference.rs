//! The tables of `docs/configuration.md`, made from the models: key, value, default, meaning.
//!
//! Each block between `<!-- made from NAME -->` and `<!-- end -->` is rewritten with `BLESS=1`; without it the test fails when
//! the page and the types differ. What this version does not have is named in the tables and not described further.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde_json::Value as Json;

use super::model::deployment::DeploymentFile;
use super::model::policy::PolicyFile;
use super::model::rule_tests::TestsFile;
use super::model::rules::RuleSetFile;
use crate::limits;

#[test]
fn the_reference_says_what_the_models_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut made = page.clone();
    let mut described = BTreeSet::new();
    for (name, tables) in [
        ("gateway.yaml", tables::<DeploymentFile>("gateway.yaml", &mut described)),
        ("policies", tables::<PolicyFile>("policies/NAME.yaml", &mut described)),
        ("rules", tables::<RuleSetFile>("rules/NAME.yaml", &mut described)),
        ("tests", tables::<TestsFile>("rules/tests/NAME.yaml", &mut described)),
    ] {
        made = with_block(&made, name, &tables);
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    let different = page.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(page == made, "docs/configuration.md differs from the models (BLESS=1 rewrites it), first here: {different:#?}");
}

/// The page with another text in the block of that name.
fn with_block(page: &str, name: &str, text: &str) -> String {
    let begin = format!("<!-- made from {name} -->\n");
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("the page has no block {name}"));
    let (_, after) = rest.split_once("<!-- end -->").expect("the block has an end");
    format!("{before}{begin}\n{text}<!-- end -->{after}")
}

/// Headings of types that stand in several places; the others are headed by the first place.
const HEADINGS: &[(&str, &str)] = &[
    ("Secret", "Credentials"),
    ("ListFile", "Lists"),
    ("Statement", "Statements"),
    ("PolicyCondition", "Conditions of a policy"),
    ("IpTest", "Tests of an IP address"),
    ("AddressTest", "Tests of an address"),
    ("TextTest", "Tests of a text"),
    ("TlsTest", "Tests of the TLS version"),
    ("Rule", "Rules"),
    ("Condition", "Conditions of a rule"),
    ("HeaderTest", "Tests of a header field"),
    ("AttachmentTest", "Tests of an attachment"),
    ("CertificateTest", "Tests of a client certificate"),
    ("SizeTest", "Tests of a size"),
    ("NumberTest", "Tests of a number"),
    ("VerdictTest", "Tests of a verdict"),
    ("SpfResultTest", "Tests of an SPF result"),
    ("DkimResultTest", "Tests of a DKIM result"),
    ("DmarcResultTest", "Tests of a DMARC result"),
    ("ArcResultTest", "Tests of an ARC result"),
    ("DmarcPolicyTest", "Tests of a DMARC policy"),
    ("AnalysisTest", "Tests of an analysis"),
    ("Action", "Actions"),
    ("Test", "A test"),
    ("Given", "What is given in a test"),
    ("GivenCertificate", "A client certificate in a test"),
    ("MadeMessage", "A message in a test"),
    ("MadeAttachment", "An attachment in a test"),
    ("Expected", "What is expected of a recipient"),
    ("Outcome", "Outcomes"),
    ("ExpectedStep", "An expected delivery"),
    ("ReplyTest", "An expected reply"),
];

/// Defaults that no type says.
fn default_of(definition: &str, key: &str) -> Option<String> {
    Some(match (definition, key) {
        ("RuleSetFile", "otherwise") => "`reject`".to_owned(),
        ("Endpoint", "authentication_results") => "`true` with `type: open`, else `false`".to_owned(),
        ("Endpoint", "received_spf") => "`false`".to_owned(),
        ("EndpointTls", "mode") => "`optional`; `required` with `type: mtls`".to_owned(),
        ("Rule", "mode") => "`enforce`".to_owned(),
        ("Relay", "implicit") => "`false`".to_owned(),
        ("Spool", "path") => "`var/spool`".to_owned(),
        ("TlsReports", "path") => "`tls-reports` beside the spool's folder".to_owned(),
        ("DmarcReports", "path") => "`dmarc-reports` beside the spool's folder".to_owned(),
        ("Acme", "listen") => "`0.0.0.0:80` and `[::]:80`".to_owned(),
        ("PolicyFile", "max_message_size") => format!("`{}MiB`", limits::MESSAGE_BYTES_DEFAULT >> 20),
        ("EdgeLimits", key) => edge_default(key)?,
        ("Analyzer", "connections") => limits::ANALYZER_CONNECTIONS_DEFAULT.to_string(),
        ("RelayLimits", "connections") => limits::RELAY_CONNECTIONS_DEFAULT.to_string(),
        ("RelayLimits", "recipients_per_message") => limits::RELAY_RECIPIENTS_DEFAULT.to_string(),
        _ => return None,
    })
}

/// Of the limits of the SMTP edge.
fn edge_default(key: &str) -> Option<String> {
    let edge = super::Limits::default();
    let time = |time: std::time::Duration| match time.as_secs() {
        hours if hours % 3600 == 0 => format!("`{}h`", hours / 3600),
        minutes => format!("`{}m`", minutes / 60),
    };
    Some(match key {
        "connections" => edge.connections.to_string(),
        "connections_per_address" => edge.connections_per_address.to_string(),
        "connections_per_network" => edge.connections_per_network.to_string(),
        "connections_per_minute_per_address" => edge.connections_per_minute_per_address.to_string(),
        "connections_per_minute_per_network" => edge.connections_per_minute_per_network.to_string(),
        "message_memory" => format!("`{}GiB`", edge.message_memory_bytes >> 30),
        "idle_timeout" => time(edge.idle_timeout),
        "session_timeout" => time(edge.session_timeout),
        "recipients" => edge.recipients.to_string(),
        "messages_per_session" => edge.messages_per_session.to_string(),
        "errors" => edge.errors.to_string(),
        "bad_recipients" => edge.bad_recipients.to_string(),
        _ => return None,
    })
}

/// All tables of a kind of file. `described` holds the types that have a table already, on this page or an earlier part of it.
fn tables<T: JsonSchema>(file: &str, described: &mut BTreeSet<String>) -> String {
    let root = schema_for!(T).to_value();
    let name = root["title"].as_str().unwrap().to_owned();
    let mut page = Page { root: &root, described, waiting: Vec::new(), text: String::new() };
    page.object(&name, file, &root);
    while !page.waiting.is_empty() {
        let (name, place, schema) = page.waiting.remove(0);
        match schema.get("oneOf") {
            Some(_) => page.union(&name, &place, schema),
            None => page.object(&name, &place, schema),
        }
    }
    page.text
}

struct Page<'a> {
    root: &'a Json,
    described: &'a mut BTreeSet<String>,
    waiting: Vec<(String, String, &'a Json)>,
    text: String,
}

impl<'a> Page<'a> {
    fn heading(&mut self, name: &str, place: &str, schema: &Json) {
        let _ = write!(self.text, "### {}\n\n{}\n\n", heading(name, place), paragraph(schema));
    }

    /// A mapping with known keys.
    fn object(&mut self, name: &str, place: &str, schema: &'a Json) {
        self.heading(name, place, schema);
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        self.text.push_str("| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n");
        for (key, property) in schema["properties"].as_object().unwrap() {
            let inner = if place.ends_with(".yaml") { format!("`{key}`") } else { format!("`{}.{key}`", place.trim_matches('`')) };
            let value = if availability(property).is_empty() { self.value(property, &inner) } else { String::new() };
            let (mut meaning, said) = split_default(&paragraph(property));
            for (word, about) in self.words(property) {
                let _ = write!(meaning, " `{word}`: {about}");
            }
            let default = if required.contains(&key.as_str()) { Some("required".to_owned()) } else { default_of(name, key).or(said) };
            let _ = writeln!(self.text, "| `{key}` | {value} | {} | {}{meaning} |", default.unwrap_or_default(), availability(property));
        }
        self.text.push('\n');
    }

    /// The words that a value is one of, each with what it means.
    fn words(&self, schema: &'a Json) -> Vec<(&'a str, String)> {
        let schema = schema["anyOf"].get(0).unwrap_or(schema);
        let target = schema["$ref"].as_str().and_then(|path| self.root["$defs"].get(path.trim_start_matches("#/$defs/")));
        let choices = target.unwrap_or(schema)["oneOf"].as_array().into_iter().flatten();
        let words = choices.filter(|choice| availability(choice).is_empty());
        words.filter_map(|choice| Some((choice["const"].as_str()?, paragraph(choice)))).filter(|(_, about)| !about.is_empty()).collect()
    }

    /// Words, or mappings with one of these keys.
    fn union(&mut self, name: &str, place: &str, schema: &'a Json) {
        self.heading(name, place, schema);
        self.text.push_str("| Key | Value | Meaning |\n| --- | --- | --- |\n");
        for choice in schema["oneOf"].as_array().unwrap() {
            for (key, content) in keys(choice) {
                let place = if name == "Action" { format!("Action `{key}`") } else { format!("`{key}`") };
                let value = match content {
                    Some(content) if availability(choice).is_empty() => self.value(content, &place),
                    Some(_) => String::new(),
                    None => "alone, without a value".to_owned(),
                };
                let _ = writeln!(self.text, "| `{key}` | {value} | {}{} |", availability(choice), paragraph(choice));
            }
        }
        self.text.push('\n');
    }

    /// What may stand as a value; types with tables of their own are put on the list.
    fn value(&mut self, schema: &'a Json, place: &str) -> String {
        if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
            let target = &self.root["$defs"][name];
            return match is_table(target) {
                true if availability(schema).is_empty() => self.link(name, place, target),
                true => String::new(),
                false => self.value(target, place),
            };
        }
        if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
            let choices: Vec<String> = choices
                .iter()
                .filter(|choice| choice["type"] != "null" && availability(choice).is_empty())
                .map(|choice| self.value(choice, place))
                .collect();
            let one_or_many = matches!(choices.as_slice(), [one, many] if *many == format!("list of {one}"));
            let between = if schema.get("anyOf").is_some() { " or " } else { ", " };
            return if one_or_many { format!("{}, or a list", choices[0]) } else { choices.join(between) };
        }
        if let Some(word) = schema["const"].as_str() {
            return format!("`{word}`");
        }
        if let Some(words) = schema["enum"].as_array() {
            return words.iter().filter_map(Json::as_str).map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
        }
        let of_type = |name: &str| schema["type"] == name || schema["type"].as_array().is_some_and(|types| types.contains(&name.into()));
        if of_type("array") {
            return format!("list of {}", self.value(&schema["items"], place));
        }
        if of_type("object") {
            return match schema["additionalProperties"].as_object() {
                Some(_) => format!(
                    "map of name to {}",
                    self.value(&schema["additionalProperties"], &format!("`{}.NAME`", place.trim_matches('`')))
                ),
                None => self.fields(schema, place),
            };
        }
        if of_type("string") && of_type("boolean") {
            return "text, number, `true`, `false`".to_owned();
        }
        match schema["format"].as_str() {
            Some("map-address") => "address or `*@domain`".to_owned(),
            Some(format) if of_type("string") => format.replace('-', " "),
            _ if of_type("boolean") => "`true`, `false`".to_owned(),
            _ if of_type("integer") || of_type("number") => range(schema),
            _ => "text".to_owned(),
        }
    }

    /// A small mapping that needs no table: `{ ses: true }`.
    fn fields(&mut self, schema: &'a Json, place: &str) -> String {
        let fields = schema["properties"].as_object().unwrap();
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("`{key}`: {}", self.value(value, place))).collect();
        format!("map with {}", fields.join("; "))
    }

    fn link(&mut self, name: &str, place: &str, target: &'a Json) -> String {
        let known = self.described.iter().find_map(|known| known.strip_prefix(&format!("{name}\n")));
        let heading = match known {
            Some(heading) => heading.to_owned(),
            None => {
                let heading = heading(name, place);
                self.described.insert(format!("{name}\n{heading}"));
                self.waiting.push((name.to_owned(), place.to_owned(), target));
                heading
            }
        };
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter_map(|c| if c == ' ' { Some('-') } else { (c.is_alphanumeric() || c == '_' || c == '-').then_some(c) })
            .collect();
        format!("[{heading}](#{anchor})")
    }
}

fn heading(name: &str, place: &str) -> String {
    if place.ends_with(".yaml") {
        return format!("Keys of `{place}`");
    }
    HEADINGS.iter().find(|(known, _)| *known == name).map_or_else(|| place.to_owned(), |(_, heading)| (*heading).to_owned())
}

/// Whether a type is described by a table of its own: a mapping, or a union with mappings in it.
fn is_table(schema: &Json) -> bool {
    let has_mapping = |choices: &Vec<Json>| choices.iter().any(|choice| choice["type"] == "object");
    match schema["oneOf"].as_array() {
        Some(choices) => has_mapping(choices),
        None => schema["properties"].as_object().is_some_and(|properties| properties.len() > 1 || properties.contains_key("file")),
    }
}

/// The keys of one choice of a union: words, or the key of a mapping with its value.
fn keys(choice: &Json) -> Vec<(&str, Option<&Json>)> {
    if let Some(properties) = choice["properties"].as_object() {
        return properties.iter().map(|(key, value)| (key.as_str(), Some(value))).collect();
    }
    let words = choice["enum"].as_array().map_or_else(|| vec![&choice["const"]], |words| words.iter().collect());
    words.into_iter().filter_map(Json::as_str).map(|word| (word, None)).collect()
}

fn availability(schema: &Json) -> &'static str {
    match schema["x-not-available"].as_str() {
        Some("warning") => "*Not in this version, no effect.* ",
        Some(_) => "*Not in this version.* ",
        None => "",
    }
}

fn range(schema: &Json) -> String {
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) if least > 0.0 => format!("number from {least}"),
        _ => "number".to_owned(),
    }
}

/// The documentation on one line of a table.
fn paragraph(schema: &Json) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}

/// `…; X unless said.` is a default.
fn split_default(text: &str) -> (String, Option<String>) {
    let found = text.split_once("; ").and_then(|(meaning, rest)| Some((meaning, rest.split_once(" unless said")?)));
    match found {
        Some((meaning, (default, rest))) => (format!("{meaning}."), Some(format!("{default}{}", rest.trim_end_matches('.')))),
        None => (text.to_owned(), None),
    }
}
