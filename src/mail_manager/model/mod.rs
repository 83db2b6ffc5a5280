//! The shapes of Mail Manager's API, version 2023-10-17, as its own model (botocore's `service-2.json`) has them.
//!
//! A union is an enum: exactly one key. One type stands for what `Create…` takes, `Get…` answers and CloudFormation's resources have as
//! properties; what only some of them know is optional. What the files of the service are checked against is the JSON Schema of these
//! types, as it is for our own files.

mod actions;
mod conditions;
mod policy;
mod resources;

pub use actions::*;
pub use conditions::*;
pub use policy::*;
pub use resources::*;

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// Structures whose members have names in Pascal case; those behind the semicolon may be absent.
macro_rules! structures {
    ($($(#[$meta:meta])* $name:ident {
        $($(#[$required_meta:meta])* $required:ident: $required_type:ty,)*
        $(; $($(#[$optional_meta:meta])* $optional:ident: $optional_type:ty,)+)?
    })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct $name {
            $($(#[$required_meta])* pub $required: $required_type,)*
            $($(#[serde(default, skip_serializing_if = "Option::is_none")] $(#[$optional_meta])* pub $optional: Option<$optional_type>,)+)?
        }
    )+};
}

/// Words in capital letters.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$word_meta:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$word_meta])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// As the API writes it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    )+};
}

/// Unions: a mapping with exactly one of these keys.
macro_rules! unions {
    ($($(#[$meta:meta])* $name:ident { $($(#[$member_meta:meta])* $member:ident($content:ty),)+ })+) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name { $($(#[$member_meta])* $member($content),)+ }
    )+};
}

pub(crate) use {structures, unions, words};

structures! {
    /// What an add-on found.
    Analysis {
        /// ARN of the add-on's instance.
        analyzer: String,
        /// A field of its result.
        result_field: String,
    }
    /// A label of a resource.
    Tag {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    }
}

words! {
    /// Operators of texts.
    StringOperator {
        /// The whole text is one of the values.
        Equals = "EQUALS",
        /// The whole text is none of the values.
        NotEquals = "NOT_EQUALS",
        /// The text begins with one of them.
        StartsWith = "STARTS_WITH",
        /// The text ends with one of them.
        EndsWith = "ENDS_WITH",
        /// One of them stands in the text.
        Contains = "CONTAINS",
    }
    /// Operators of what is or is not.
    BooleanOperator {
        /// It is.
        IsTrue = "IS_TRUE",
        /// It is not.
        IsFalse = "IS_FALSE",
    }
    /// Operators of addresses.
    IpOperator {
        /// In one of the networks.
        CidrMatches = "CIDR_MATCHES",
        /// In none of the networks.
        NotCidrMatches = "NOT_CIDR_MATCHES",
    }
}

/// What nothing is made of: times, for example, which the command line of the service prints as text or number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl Serialize for Ignored {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl JsonSchema for Ignored {
    fn schema_name() -> Cow<'static, str> {
        "Ignored".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// The format of a network in CIDR notation: a real one, where the service's own pattern lets anything pass.
#[derive(Clone, Copy, Debug)]
pub struct Network;

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "cidr" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The service's own answer, and the same again: nothing of it is lost but times, which nothing is made of.
    #[test]
    fn what_the_service_prints_is_read_and_written_as_it_was() {
        fn round<T: serde::de::DeserializeOwned + Serialize>(text: &str) {
            // A number is a double there.
            let text = &text.replace("26214400", "26214400.0");
            let mut printed: serde_json::Value = serde_json::from_str(text).unwrap();
            let read: T = serde_json::from_str(text).unwrap();
            let written = serde_json::to_value(read).unwrap();
            for (key, value) in printed.as_object_mut().unwrap() {
                if written[key].is_null() {
                    *value = serde_json::Value::Null;
                }
            }
            assert_eq!(printed, written);
        }
        round::<RuleSet>(include_str!("../../../tests/import/full/rule-set.json"));
        round::<TrafficPolicy>(include_str!("../../../tests/import/full/traffic-policy.json"));
        round::<Relay>(include_str!("../../../tests/import/full/relay.json"));
        round::<IngressPoint>(include_str!("../../../tests/import/full/ingress-point.json"));
    }
}
