//! Tests of rule sets and policies: `rules/tests/NAME.yaml`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::Deserializer;

use super::actions::{MailFrom, OnFailure};
use super::rules::{ArcResult, DkimResult, DmarcPolicy, DmarcResult, SpfResult};
use super::*;

/// Tests of a policy, of a rule set, or of both together as an endpoint judges by them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend(
    "x-one-of" = ["endpoint", "policy", "rules"],
    "x-together" = [["endpoint", "policy"], ["endpoint", "rules"], ["policy", "rules"]]
))]
pub(crate) struct TestsFile {
    /// The endpoint whose policy and rule set are tested, with all that it does at the SMTP dialogue.
    pub(crate) endpoint: Option<EndpointName>,
    /// The policy that is tested: instead of the endpoint's, or alone.
    pub(crate) policy: Option<PolicyName>,
    /// The rule set that is tested: instead of the endpoint's, or alone.
    pub(crate) rules: Option<RuleSetName>,
    /// What is given in every test that does not say otherwise.
    pub(crate) given: Option<Given>,
    /// The tests.
    #[schemars(length(min = 1))]
    pub(crate) tests: Vec<Test>,
}

/// One message, and what is to become of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Test {
    /// Unique in the file.
    pub(crate) name: Line,
    /// What it is for; nothing reads it but people.
    pub(crate) description: Option<String>,
    /// The message and what is known of it, beside what `given` of the file says.
    pub(crate) given: Option<Given>,
    /// What becomes of each recipient; `"*"` speaks of all that are not named.
    pub(crate) expect: Expectations,
    /// What the final dot of DATA is answered with.
    pub(crate) reply: Option<ReplyTest>,
}

/// A message and what is known of it. What is not given and not needed is not looked at; what is needed and not given fails the test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// The client's IP address; `192.0.2.1` unless said.
    pub(crate) client_ip: Option<Ip>,
    /// The client's host name, forward-confirmed; `none`: it has none, `unknown`: DNS does not answer.
    pub(crate) client_host: Option<Line>,
    /// What the client called itself in EHLO; `client.example` unless said.
    pub(crate) helo: Option<Line>,
    /// The address in MAIL, or nothing, as bounces have it; `""` unless said.
    pub(crate) mail_from: Option<SenderAddress>,
    /// The addresses in RCPT, in order.
    pub(crate) recipients: Option<OneOrMany<MailAddress>>,
    /// The size that the client announces in MAIL; none unless said.
    pub(crate) declared_size: Option<Size>,
    /// The message: a file, whose path begins at the folder of the tests, or what it is made of. A message with nothing in it unless said.
    pub(crate) message: Option<GivenMessage>,
    /// The TLS version of the session; `none` unless said.
    pub(crate) tls: Option<GivenTls>,
    /// Whether TLS began with the first byte; `false` unless said.
    pub(crate) tls_wrapped: Option<bool>,
    /// The user as whom the client has logged in; nobody unless said.
    pub(crate) login: Option<Line>,
    /// The fields of the client's verified certificate; with it, the session has TLS.
    pub(crate) client_certificate: Option<GivenCertificate>,
    /// The SPF result.
    pub(crate) spf_result: Option<SpfResult>,
    /// The DKIM result.
    pub(crate) dkim_result: Option<DkimResult>,
    /// Whether a DKIM signature that passes is of the domain in From; `true` unless said.
    pub(crate) dkim_aligned: Option<bool>,
    /// The DMARC result.
    pub(crate) dmarc_result: Option<DmarcResult>,
    /// What the DMARC record asks for; `none` unless said, and `absent` with `dmarc_result: none`.
    pub(crate) dmarc_policy: Option<DmarcPolicy>,
    /// The ARC result.
    pub(crate) arc_result: Option<ArcResult>,
    /// What analyzers find: by their names the fields with their values, or `error` with the reason why there is no answer.
    pub(crate) analysis: Option<GivenAnalyses>,
    /// What DNS answers: with it, results that are not given are computed as in service. A question is written `acme.example TXT`; its
    /// answer is a record or a list of them, or `nxdomain`, `no_records`, `servfail` or `timeout`. What is asked and has no answer fails the
    /// test; `"*": nxdomain` answers all that has none.
    pub(crate) dns: Option<GivenDns>,
    /// The time at which the message is judged, which the dates of signatures are compared with: `2026-11-22T10:00:00Z`. The present
    /// unless said.
    pub(crate) at: Option<Instant>,
}

/// The TLS version of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum GivenTls {
    /// Plain text.
    #[serde(rename = "none")]
    Without,
    /// TLS 1.2.
    #[serde(rename = "tls1_2")]
    Tls1_2,
    /// TLS 1.3.
    #[serde(rename = "tls1_3")]
    Tls1_3,
}

/// The fields of a client certificate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenCertificate {
    /// Common names of the subject.
    pub(crate) cn: Option<OneOrMany<String>>,
    /// Mail addresses among the alternative names.
    pub(crate) san_rfc822_name: Option<OneOrMany<String>>,
    /// Host names among the alternative names.
    pub(crate) san_dns_name: Option<OneOrMany<String>>,
    /// Directory names among the alternative names.
    pub(crate) san_directory_name: Option<OneOrMany<String>>,
    /// URIs among the alternative names.
    pub(crate) san_uniform_resource_identifier: Option<OneOrMany<String>>,
    /// IP addresses among the alternative names.
    pub(crate) san_ip_address: Option<OneOrMany<String>>,
    /// Object identifiers among the alternative names.
    pub(crate) san_registered_id: Option<OneOrMany<String>>,
    /// The serial number.
    pub(crate) serial_number: Option<OneOrMany<String>>,
}

/// A message: a file, or what it is made of.
#[derive(Debug)]
pub(crate) enum GivenMessage {
    /// This file.
    File(String),
    /// Made of this.
    Made(Box<MadeMessage>),
}

/// What a message is made of. It has no field that is not said, and no line but those of `body`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeMessage {
    /// The field From.
    pub(crate) from: Option<Line>,
    /// The field To.
    pub(crate) to: Option<Line>,
    /// The field Cc.
    pub(crate) cc: Option<Line>,
    /// The field Subject.
    pub(crate) subject: Option<Line>,
    /// Further fields by their names; a list is a field for each value.
    pub(crate) headers: Option<GivenHeaders>,
    /// The text.
    pub(crate) body: Option<String>,
    /// What is attached.
    pub(crate) attachments: Option<Vec<MadeAttachment>>,
    /// The size of the whole; the text is filled up to it.
    pub(crate) size: Option<Size>,
}

/// Something attached.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MadeAttachment {
    /// The file name.
    pub(crate) name: Line,
    /// The media type; `application/octet-stream` unless said.
    #[serde(rename = "type")]
    pub(crate) media_type: Option<Line>,
    /// What the file holds.
    pub(crate) content: Option<String>,
}

/// What is to become of a recipient. What is not written is not compared.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// What the policy says: `defer`, when it depends on what has no answer.
    pub(crate) policy: Option<PolicyVerdict>,
    /// The statement that decides; `default` when none does.
    pub(crate) statement: Option<Line>,
    /// Where in the dialogue the recipient is refused.
    pub(crate) refused_at: Option<RefusedAt>,
    /// The rules that match, all of them and in order, those in audit mode left out.
    pub(crate) rules: Option<Vec<Line>>,
    /// The rules in audit mode that match, all of them and in order.
    pub(crate) audit: Option<Vec<Line>>,
    /// How the recipient's way through the rules ends: all that is done, in order. Steps planned before a Drop are carried out.
    pub(crate) outcome: Option<OneOrMany<Outcome>>,
    /// The rule that dropped, rejected or deferred; `otherwise` when none did.
    pub(crate) by: Option<Line>,
    /// The header fields that the next hop sees: by name the value of one of them, a list of all their values, or `absent`.
    pub(crate) headers: Option<ExpectedHeaders>,
    /// The reply that refuses the recipient: at RCPT or before it, or the reply of the rule.
    pub(crate) reply: Option<ReplyTest>,
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PolicyVerdict {
    /// The recipient is taken.
    Allow,
    /// The recipient is refused.
    Deny,
    /// The client is asked to come again.
    Defer,
}

/// A place in the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RefusedAt {
    /// When the client connects.
    Connection,
    /// After EHLO.
    Helo,
    /// At MAIL.
    Mail,
    /// At RCPT.
    Rcpt,
    /// At the final dot.
    Data,
}

/// One thing that is done for a recipient.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) enum Outcome {
    /// Delivered through a relay: its name, or more of it.
    #[serde(rename = "SMTPRelay")]
    SmtpRelay(ExpectedRelay),
    /// Accepted and forgotten.
    Drop,
    /// Refused for good.
    Reject,
    /// Refused for now.
    Defer,
}

/// A delivery through a relay: its name, or more of it.
#[derive(Debug, Default)]
pub(crate) struct ExpectedRelay(pub(crate) ExpectedStep);

/// A delivery through a relay.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedStep {
    /// The relay.
    pub(crate) relay: Option<RelayName>,
    /// The addresses it goes to, after every replacement.
    pub(crate) to: Option<OneOrMany<MailAddress>>,
    /// Which reverse-path the next hop sees.
    pub(crate) mail_from: Option<MailFrom>,
    /// What a permanent failure does.
    pub(crate) on_failure: Option<OnFailure>,
    /// The header fields that this next hop sees.
    pub(crate) headers: Option<ExpectedHeaders>,
}

/// A reply. What is not written is not compared.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplyTest {
    /// The three digits.
    #[schemars(range(min = 200, max = 599))]
    pub(crate) code: Option<u16>,
    /// The enhanced status code.
    pub(crate) status: Option<StatusCode>,
    /// The whole text.
    pub(crate) text: Option<String>,
    /// This stands in the text.
    pub(crate) contains: Option<String>,
    /// Whose reply it is: only for the one to DATA.
    pub(crate) of: Option<ReplyOf>,
}

/// Who decides on the reply to DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReplyOf {
    /// The gateway: it refuses, or drops.
    Gateway,
    /// The gateway, once the message is in the spool.
    Spool,
    /// The next hop, which is asked while the client waits.
    Relay,
}

impl<'de> Deserialize<'de> for GivenMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_yaml::Value::deserialize(deserializer)?;
        match value.as_str() {
            Some(path) => Ok(Self::File(path.to_owned())),
            None => nested(value).map(Self::Made),
        }
    }
}

impl JsonSchema for GivenMessage {
    fn schema_name() -> Cow<'static, str> {
        "GivenMessage".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let made = generator.subschema_for::<MadeMessage>();
        json_schema!({ "anyOf": [{ "type": "string", "format": "path" }, made] })
    }
}

impl<'de> Deserialize<'de> for ExpectedRelay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_yaml::Value::deserialize(deserializer)?;
        match value.as_str() {
            Some(relay) => Ok(Self(ExpectedStep { relay: Some(RelayName(relay.to_owned())), ..ExpectedStep::default() })),
            None => nested(value).map(Self),
        }
    }
}

impl JsonSchema for ExpectedRelay {
    fn schema_name() -> Cow<'static, str> {
        "ExpectedRelay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<RelayName>();
        let step = generator.subschema_for::<ExpectedStep>();
        json_schema!({ "anyOf": [name, step] })
    }
}

/// What stands inside a value that was looked at first.
fn nested<T: serde::de::DeserializeOwned, E: serde::de::Error>(value: serde_yaml::Value) -> Result<T, E> {
    serde_yaml::with::singleton_map_recursive::deserialize(value).map_err(E::custom)
}

macro_rules! maps {
    ($($(#[doc = $doc:literal])+ $name:ident: $key:literal => $value:ty, $schema:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) BTreeMap<String, $value>);

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let schema: fn(&mut SchemaGenerator) -> Schema = $schema;
                let value = schema(generator);
                json_schema!({
                    "type": "object",
                    "minProperties": 1,
                    "propertyNames": { "format": $key },
                    "additionalProperties": value,
                })
            }
        }
    )+};
}

maps! {
    /// What becomes of whom.
    Expectations: "expected-recipient" => Expected, |generator| generator.subschema_for::<Expected>();
    /// Header fields of a message that is made.
    GivenHeaders: "header-name" => OneOrMany<String>, |generator| generator.subschema_for::<OneOrMany<String>>();
    /// Header fields that are expected.
    ExpectedHeaders: "header-name" => OneOrMany<String>, |generator| generator.subschema_for::<OneOrMany<String>>();
    /// Findings by analyzer.
    GivenAnalyses: "analyzer-name" => BTreeMap<String, OneOrMany<AnyScalar>>, |generator| {
        let value = generator.subschema_for::<OneOrMany<AnyScalar>>();
        json_schema!({ "type": "object", "minProperties": 1, "additionalProperties": value })
    };
    /// Answers by question.
    GivenDns: "dns-question" => OneOrMany<String>, |generator| generator.subschema_for::<OneOrMany<String>>();
}
