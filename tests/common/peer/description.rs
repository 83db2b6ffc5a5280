//! A server as its YAML file describes it.

use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub host: String,
    pub greeting: String,
    pub hello: String,
    pub offers: Vec<String>,
    pub login: Option<Login>,
    pub fine: Fine,
    #[serde(default)]
    pub limits: Limits,
    pub replies: Vec<Scripted>,
}

/// A login, after STARTTLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub mechanisms: Vec<String>,
    pub fine: String,
    pub refused: String,
    pub unknown: String,
    pub missing: String,
}

/// Replies when there is nothing against it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fine {
    pub mail: String,
    pub rcpt: String,
    pub data: String,
    pub dot: String,
    pub quit: String,
}

/// What one transaction may have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    pub domains: Option<Limit>,
    pub recipients_of_a_domain: Option<Limit>,
}

/// A limit, and what is said of more; nothing is said: it is taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    pub most: usize,
    pub reply: Option<String>,
}

/// A reply that can be chosen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scripted {
    pub name: String,
    pub at: At,
    pub class: Class,
    /// What the class leads to when it cannot be carried out.
    pub then: Option<Class>,
    /// The class while other recipients of the domain are accepted.
    pub known_domain: Option<Class>,
    pub reply: Vec<String>,
}

/// A point of the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    Connect,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    Dot,
}

/// What a reply must lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Class {
    /// Retry.
    R,
    /// Retry this recipient alone.
    R1,
    /// The relay slows down.
    S,
    /// Another address family or address at once.
    F,
    /// The relay is held.
    H,
    /// Bounce.
    B,
    /// Bounce for the content.
    #[serde(rename = "B*")]
    BContent,
}

impl Class {
    /// Whether the sender is told that it has failed.
    pub fn bounces(self) -> bool {
        matches!(self, Self::B | Self::BContent)
    }
}

impl Description {
    /// Reads `tests/peers/NAME.yaml`.
    pub fn load(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/peers/{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether EHLO offers this keyword.
    pub fn offers(&self, keyword: &str) -> bool {
        self.offers.iter().any(|offer| offer.split(' ').next() == Some(keyword))
    }

    /// The octets that SIZE allows.
    pub fn size(&self) -> Option<usize> {
        self.offers.iter().find_map(|offer| offer.strip_prefix("SIZE ")).map(|size| size.parse().expect("SIZE has a number"))
    }
}
