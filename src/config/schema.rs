//! The JSON Schema of a model, read once: what `schemars` makes of the models, and the extensions that [`super::model`] lists.
//!
//! Each value of each file is held against it, so nothing is looked up by name that can be looked up once.

use serde_json::Value as Json;

/// The schema of one kind of file.
#[derive(Debug)]
pub(super) struct Schemas {
    /// Of the file as a whole.
    pub(super) root: Schema,
    /// What `$ref` names.
    definitions: Vec<Schema>,
}

/// What a value may be.
#[derive(Debug, Default)]
pub(super) struct Schema {
    /// The place of the definition that says it.
    target: Option<usize>,
    /// Credentials may stand here by mistake.
    pub(super) is_secret: bool,
    /// What is not there in this version, and whether it is an error.
    pub(super) not_available: Option<NotAvailable>,
    pub(super) description: Option<String>,
    pub(super) any_of: Option<Vec<Schema>>,
    /// The ways to write a union.
    pub(super) variants: Option<Vec<Variant>>,
    /// Whether the union is of words alone.
    pub(super) is_words: bool,
    pub(super) types: Option<Vec<Type>>,
    pub(super) format: Option<Format>,
    /// The keys of a structure, in their order.
    pub(super) fields: Option<Vec<(String, Schema)>>,
    pub(super) required: Vec<String>,
    /// Keys of which there is one.
    pub(super) one_of: Vec<String>,
    /// Pairs of these that may stand together.
    pub(super) together: Vec<Vec<String>>,
    /// The format of a map's keys, and what its values are.
    pub(super) keys: Option<Format>,
    pub(super) values: Option<Box<Schema>>,
    pub(super) has_entries: bool,
    pub(super) items: Option<Box<Schema>>,
    pub(super) has_items: bool,
    pub(super) minimum: Option<f64>,
    pub(super) maximum: Option<f64>,
}

/// A feature that this version does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAvailable {
    Error,
    Warning,
}

/// What `type` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Boolean,
    Integer,
    Number,
    String,
    Array,
    Object,
}

/// What `format` names.
#[derive(Debug)]
pub(super) enum Format {
    /// A name that is defined elsewhere, of this kind.
    Reference(&'static str),
    /// A format of [`super::formats`].
    Text(String),
}

/// One way to write a union: a word, or a mapping with this one key.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: String,
    pub(super) content: Option<Schema>,
    pub(super) not_available: Option<NotAvailable>,
}

impl Schemas {
    /// Of a model.
    pub(super) fn of<T: schemars::JsonSchema>() -> Self {
        let json = schemars::schema_for!(T).to_value();
        let definitions: Vec<(&String, &Json)> = json.get("$defs").and_then(Json::as_object).into_iter().flatten().collect();
        let names: Vec<&str> = definitions.iter().map(|(name, _)| name.as_str()).collect();
        Self {
            root: Schema::read(&json, &names),
            definitions: definitions.iter().map(|(_, definition)| Schema::read(definition, &names)).collect(),
        }
    }

    /// Follows a reference; a schema without one is its own.
    pub(super) fn resolve<'a>(&'a self, schema: &'a Schema) -> &'a Schema {
        let mut schema = schema;
        // References of references do not occur; the bound keeps a circle from hanging.
        for _ in 0..8 {
            match schema.target.and_then(|target| self.definitions.get(target)) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }
}

impl Schema {
    fn read(json: &Json, names: &[&str]) -> Self {
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let texts = |json: Option<&Json>| -> Vec<String> {
            json.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
        };
        let read = |json: &Json| Box::new(Self::read(json, names));
        let target = text("$ref").and_then(|path| path.strip_prefix("#/$defs/"));
        let is_words = json.get("enum").is_some() || json.get("const").is_some();
        let variants = match json.get("oneOf").and_then(Json::as_array) {
            Some(choices) => Some(choices.iter().flat_map(|choice| variants(choice, names)).collect()),
            None => is_words.then(|| variants(json, names)),
        };
        let fields = json.get("properties").and_then(Json::as_object);
        Self {
            target: target.and_then(|target| names.iter().position(|name| *name == target)),
            is_secret: json.get("x-secret").is_some(),
            not_available: not_available(json),
            description: text("description").map(str::to_owned),
            any_of: json
                .get("anyOf")
                .and_then(Json::as_array)
                .map(|choices| choices.iter().map(|choice| Self::read(choice, names)).collect()),
            variants,
            is_words,
            types: types(json),
            format: text("format").map(Format::of),
            fields: fields.map(|fields| fields.iter().map(|(name, field)| (name.clone(), Self::read(field, names))).collect()),
            required: texts(json.get("required")),
            one_of: texts(json.get("x-one-of")),
            together: json.get("x-together").and_then(Json::as_array).into_iter().flatten().map(|pair| texts(Some(pair))).collect(),
            keys: json.get("propertyNames").and_then(|names| names.get("format")).and_then(Json::as_str).map(Format::of),
            values: json.get("additionalProperties").filter(|values| values.is_object()).map(read),
            has_entries: json.get("minProperties").is_some(),
            items: json.get("items").map(read),
            has_items: json.get("minItems").and_then(Json::as_u64).unwrap_or(0) > 0,
            minimum: json.get("minimum").and_then(Json::as_f64),
            maximum: json.get("maximum").and_then(Json::as_f64),
        }
    }

    /// The schema of a key.
    pub(super) fn field(&self, key: &str) -> Option<&Self> {
        self.fields.as_ref()?.iter().find(|(name, _)| name == key).map(|(_, field)| field)
    }

    /// The names of the keys.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().flatten().map(|(name, _)| name.as_str())
    }

    /// Whether `type` says so of itself and of nothing else.
    pub(super) fn is_null(&self) -> bool {
        self.types.as_deref() == Some(&[Type::Null])
    }
}

impl Format {
    fn of(name: &str) -> Self {
        let kinds = ["endpoint", "relay", "address-list", "ip-list", "archive", "analyzer", "mailbox", "policy", "rule-set"];
        match kinds.into_iter().find(|kind| name.strip_suffix("-name") == Some(*kind)) {
            Some(kind) => Self::Reference(kind),
            None => Self::Text(name.to_owned()),
        }
    }

    /// The name of a format of texts.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(name) = self { Some(name) } else { None }
    }
}

fn not_available(json: &Json) -> Option<NotAvailable> {
    json.get("x-not-available").and_then(Json::as_str).map(|level| match level {
        "warning" => NotAvailable::Warning,
        _ => NotAvailable::Error,
    })
}

fn types(json: &Json) -> Option<Vec<Type>> {
    let one = |name: &str| match name {
        "null" => Some(Type::Null),
        "boolean" => Some(Type::Boolean),
        "integer" => Some(Type::Integer),
        "number" => Some(Type::Number),
        "string" => Some(Type::String),
        "array" => Some(Type::Array),
        "object" => Some(Type::Object),
        _ => None,
    };
    match json.get("type")? {
        Json::String(name) => Some(one(name).into_iter().collect()),
        Json::Array(names) => Some(names.iter().filter_map(Json::as_str).filter_map(one).collect()),
        _ => None,
    }
}

/// The ways that one member of `oneOf`, or an `enum`, offers.
fn variants(json: &Json, names: &[&str]) -> Vec<Variant> {
    let not_available = not_available(json);
    let word = |word: &str| Variant { name: word.to_owned(), content: None, not_available };
    if let Some(only) = json.get("const").and_then(Json::as_str) {
        return vec![word(only)];
    }
    if let Some(words) = json.get("enum").and_then(Json::as_array) {
        return words.iter().filter_map(Json::as_str).map(word).collect();
    }
    let fields = json.get("properties").and_then(Json::as_object);
    let variant =
        |(name, content): (&String, &Json)| Variant { name: name.clone(), content: Some(Schema::read(content, names)), not_available };
    fields.into_iter().flatten().map(variant).collect()
}
