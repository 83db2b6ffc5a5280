//! Values that are written as text and are more than text: each has a format that is checked where it stands.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::config::formats;
use crate::smtp::Status;

macro_rules! text_format {
    ($($(#[doc = $doc:literal])+ $name:ident($inner:ty) = $format:literal, $parse:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let parse: fn(&str) -> Result<$inner, formats::Mistake> = $parse;
                parse(&text).map(Self).map_err(|mistake| de::Error::custom(mistake.message))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format })
            }
        }
    )+};
}

fn text(text: &str) -> Result<String, formats::Mistake> {
    Ok(text.to_owned())
}

text_format! {
    /// A length of time: `30s`, `5m`, `2h`, `4d`.
    TimeSpan(Duration) = "duration", formats::duration;
    /// A network: `192.0.2.0/24`, `2001:db8::/32`, or one address.
    Network(IpNet) = "cidr", |text| formats::cidr(text).map(|(net, _)| net);
    /// An IP address.
    Ip(IpAddr) = "ip", formats::ip;
    /// An address and port: `0.0.0.0:25`, `[::]:25`.
    Listen(SocketAddr) = "listen", formats::listen;
    /// The address of a DNS server: `192.0.2.53`, `127.0.0.1:5353`, `[2001:db8::53]:53`.
    NameServer(SocketAddr) = "name-server", formats::name_server;
    /// A domain: `acme.example`.
    Domain(String) = "domain", formats::domain;
    /// A name as it stands in DNS.
    DnsName(String) = "dns-name", formats::dns_name;
    /// A host name that a certificate can be issued for.
    CertificateName(String) = "certificate-name", formats::certificate_name;
    /// A URL with `https`.
    HttpsUrl(String) = "https-url", formats::https_url;
    /// A URL with `http` or `https`.
    HttpUrl(String) = "http-url", formats::http_url;
    /// The domain of a DNS list.
    ListZone(String) = "list-zone", formats::list_zone;
    /// `127.0.0.1:3310`, `clamd.example:3310` or `unix:/run/clamav/clamd.ctl`.
    ServiceAddress(formats::ServiceAddress) = "service-address", formats::service_address;
    /// A host name, an IP address, or `unix:/run/dovecot/lmtp`.
    RelayHost(String) = "relay-host", formats::relay_host;
    /// A path; a relative one begins at the folder of `gateway.yaml`.
    FilePath(String) = "path", formats::line;
    /// A regular expression; it ignores case unless it says otherwise.
    Pattern(String) = "regex", |text| formats::pattern(text).map(|_| text.to_owned());
    /// An enhanced status code: `5.7.1`.
    StatusCode(Status) = "status-code", formats::status;
    /// A mail address.
    MailAddress(crate::smtp::Address) = "address", formats::address;
    /// A mail address, or nothing: the sender of bounces.
    SenderAddress(crate::smtp::ReversePath) = "sender-address", crate::config::test_formats::sender_address;
    /// A date and time: `2026-11-22T10:00:00Z`.
    Instant(time::OffsetDateTime) = "date-time", crate::config::test_formats::date_time;
    /// The name of a header field.
    HeaderName(String) = "header-name", |text| formats::header_name(text).map(|()| text.to_owned());
    /// A text that may hold `{{ attribute }}`.
    TemplateText(crate::rules::Template) = "template", formats::template;
    /// The checksum of a public key.
    Pin([u8; 32]) = "pin", crate::config::relay_formats::pin;
    /// A text without line breaks.
    Line(String) = "line", formats::line;
    /// An endpoint of `gateway.yaml`.
    EndpointName(String) = "endpoint-name", text;
    /// A relay of `gateway.yaml`.
    RelayName(String) = "relay-name", text;
    /// An address list of `gateway.yaml`.
    AddressListName(String) = "address-list-name", text;
    /// An IP list of `gateway.yaml`.
    IpListName(String) = "ip-list-name", text;
    /// An archive of `gateway.yaml`.
    ArchiveName(String) = "archive-name", text;
    /// An analyzer of `gateway.yaml`.
    AnalyzerName(String) = "analyzer-name", text;
    /// A mailbox of `gateway.yaml`.
    MailboxName(String) = "mailbox-name", text;
    /// A policy: `policies/NAME.yaml`.
    PolicyName(String) = "policy-name", text;
    /// A rule set: `rules/NAME.yaml`.
    RuleSetName(String) = "rule-set-name", text;
}

/// A size in octets: `40MiB`, `25MB`, or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Size;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a size")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Size, E> {
                Ok(Size(value))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Size, E> {
                u64::try_from(value).map(Size).map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                formats::size(text).map(Size).map_err(|mistake| E::custom(mistake.message))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "size", "minimum": 0 })
    }
}

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = OneOrMany<T>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value or a list of values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = items.next_element()? {
                    values.push(value);
                }
                Ok(OneOrMany(values))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(de::value::MapAccessDeserializer::new(map)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
                T::deserialize(de::value::U64Deserializer::new(value)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
                T::deserialize(de::value::I64Deserializer::new(value)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                T::deserialize(de::value::F64Deserializer::new(value)).map(|value| OneOrMany(vec![value]))
            }
            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                T::deserialize(de::value::BoolDeserializer::new(value)).map(|value| OneOrMany(vec![value]))
            }
        }
        deserializer.deserialize_any(Reader(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// A value whose type the analyzer's field decides.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct AnyScalar(serde_yaml::Value);

impl JsonSchema for AnyScalar {
    fn schema_name() -> Cow<'static, str> {
        "AnyScalar".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// New addresses for old, in the order of the file.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct AddressMap(std::collections::BTreeMap<String, String>);

impl JsonSchema for AddressMap {
    fn schema_name() -> Cow<'static, str> {
        "AddressMap".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "format": "map-address" },
            "additionalProperties": { "type": "string", "format": "map-address" },
        })
    }
}

/// Answers of a DNS list and their names.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct ListCodes(pub(crate) std::collections::BTreeMap<String, Line>);

impl JsonSchema for ListCodes {
    fn schema_name() -> Cow<'static, str> {
        "ListCodes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "format": "list-code" },
            "additionalProperties": { "type": "string", "format": "line" },
        })
    }
}
