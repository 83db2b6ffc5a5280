//! JSON Schema of each kind of file, for editors: made from the models, and told in words that other programs know.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::model::deployment::DeploymentFile;
use super::model::policy::PolicyFile;
use super::model::rule_tests::TestsFile;
use super::model::rules::RuleSetFile;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum FileKind {
    /// `gateway.yaml`.
    Gateway,
    /// `policies/NAME.yaml`.
    Policy,
    /// `rules/NAME.yaml`.
    Rules,
    /// `rules/tests/NAME.yaml`.
    Tests,
}

impl FileKind {
    /// Its JSON Schema, draft 7: the one that editors' YAML servers know best.
    ///
    /// It takes every file that `gateway validate` takes; what needs more than the file itself (names, certificates, what excludes what in
    /// a relay) only `validate` sees.
    pub fn schema(self) -> Json {
        match self {
            Self::Gateway => of::<DeploymentFile>("gateway.yaml of the mail gateway"),
            Self::Policy => of::<PolicyFile>("a traffic policy of the mail gateway"),
            Self::Rules => of::<RuleSetFile>("a rule set of the mail gateway"),
            Self::Tests => of::<TestsFile>("tests of rule sets and policies of the mail gateway"),
        }
    }
}

fn of<T: JsonSchema>(title: &str) -> Json {
    let mut schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value();
    translate(&mut schema);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), json!(title));
    }
    schema
}

/// What only we know becomes what every validator knows, or goes.
fn translate(schema: &mut Json) {
    match schema {
        Json::Array(schemas) => schemas.iter_mut().for_each(translate),
        Json::Object(schema) => {
            if schema.remove("x-not-available").is_some() {
                not_available(schema);
            }
            let keys = words(schema.remove("x-one-of"));
            let together = schema.remove("x-together");
            if !keys.is_empty() {
                one_of(schema, &keys, together.as_ref());
            }
            schema.remove("x-secret");
            // Our formats are no others': `duration` and `regex` would even mean something else.
            if let Some(format) = schema.remove("format")
                && let Some(pattern) = format.as_str().and_then(pattern)
            {
                schema.insert("pattern".to_owned(), json!(pattern));
            }
            without_null(schema);
            if let Some(name) = only_key(schema) {
                schema.insert("title".to_owned(), json!(name));
            }
            schema.values_mut().for_each(translate);
        }
        _ => {}
    }
}

fn not_available(schema: &mut Map<String, Json>) {
    let about = schema.get("description").and_then(Json::as_str).unwrap_or_default();
    let about = format!("{about}\n\nNot available in this version.");
    schema.insert("description".to_owned(), json!(about.trim_start()));
    schema.insert("deprecated".to_owned(), json!(true));
}

/// Exactly one of the keys, but for pairs that may stand together.
fn one_of(schema: &mut Map<String, Json>, keys: &[String], together: Option<&Json>) {
    let pairs: Vec<Vec<String>> = together.and_then(Json::as_array).into_iter().flatten().map(|pair| words(Some(pair.clone()))).collect();
    let exclude = |first: &String, second: &String| !pairs.iter().any(|pair| pair.contains(first) && pair.contains(second));
    let required: Vec<Json> = keys.iter().map(|key| json!({ "required": [key] })).collect();
    if pairs.is_empty() {
        schema.insert("oneOf".to_owned(), json!(required));
        return;
    }
    schema.insert("anyOf".to_owned(), json!(required));
    let excluded = keys.iter().enumerate().flat_map(|(place, first)| {
        keys.iter().skip(place.saturating_add(1)).filter(move |second| exclude(first, second)).map(move |second| (first, second))
    });
    let excluded: Vec<Json> = excluded.map(|(first, second)| json!({ "not": { "required": [first, second] } })).collect();
    if !excluded.is_empty() {
        schema.insert("allOf".to_owned(), json!(excluded));
    }
}

/// The key of one way to write a union: what editors call it in their lists.
fn only_key(schema: &Map<String, Json>) -> Option<String> {
    let properties = schema.get("properties")?.as_object()?;
    let required = words(schema.get("required").cloned());
    (properties.len() == 1 && required.len() == 1).then(|| required.into_iter().next())?
}

fn words(list: Option<Json>) -> Vec<String> {
    let Some(Json::Array(list)) = list else { return Vec::new() };
    list.into_iter().filter_map(|word| if let Json::String(word) = word { Some(word) } else { None }).collect()
}

/// A key without a value is a mistake here, whatever serde would take: no `null` is offered.
fn without_null(schema: &mut Map<String, Json>) {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Json::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
    if let [only] = choices.as_slice() {
        // Draft 7 reads nothing beside a `$ref`.
        let only = only.clone();
        schema.remove("anyOf");
        schema.insert("allOf".to_owned(), json!([only]));
    }
    if schema.get("default").is_some_and(Json::is_null) {
        schema.remove("default");
    }
}

/// Of the formats that a short expression can say.
fn pattern(format: &str) -> Option<&'static str> {
    Some(match format {
        "duration" => "^[0-9]+ ?[smhd]$",
        "size" => "^[0-9]+ ?(B|[kK]B|MB|GB|KiB|MiB|GiB)?$",
        "status-code" => r"^[245]\.[0-9]{1,3}\.[0-9]{1,3}$",
        "https-url" => "^https://",
        "http-url" => "^https?://",
        "listen" => ":[0-9]+$",
        "header-name" => "^[!-9;-~]+$",
        _ => return None,
    })
}
