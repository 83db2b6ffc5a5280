//! A rule set: `rules/NAME.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::actions::Action;
use super::*;

/// A rule set. All rules run in order, for each envelope recipient.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleSetFile {
    /// What happens to a recipient that no rule disposed of.
    #[serde(default)]
    pub(crate) otherwise: Otherwise,
    /// The rules, in order.
    pub(crate) rules: Vec<Rule>,
}

/// What happens to a recipient that no rule disposed of.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Otherwise {
    /// Refused with 550 5.7.1.
    #[default]
    Reject,
    /// Refused for now with 450 4.7.1.
    Defer,
    /// Accepted and forgotten, with a log line.
    Drop,
}

/// One rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Unique in the set; logs, metrics and tests speak of it.
    pub(crate) name: Line,
    /// What it is for; nothing reads it but people.
    pub(crate) description: Option<String>,
    /// Whether the rule acts, is only logged, or is off.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// All of these must match. Without any the rule matches every message.
    #[serde(default)]
    pub(crate) when: Vec<Condition>,
    /// None of these may match.
    #[serde(default)]
    pub(crate) unless: Vec<Condition>,
    /// What is done, in order.
    #[schemars(length(min = 1))]
    pub(crate) actions: Vec<Action>,
}

/// How a rule takes part.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// Judged and carried out.
    #[default]
    Enforce,
    /// Judged and logged; changes nothing.
    Audit,
    /// Not judged.
    Off,
}

/// A condition: one attribute and one test of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    /// The address given in MAIL; empty for bounces.
    MailFrom(AddressTest),
    /// The domain of `mail_from`.
    MailFromDomain(TextTest),
    /// What the client called itself in EHLO or HELO.
    Helo(TextTest),
    /// The envelope recipient.
    Recipient(AddressTest),
    /// The envelope recipient without its `+tag`.
    RecipientBase(AddressTest),
    /// The domain of `recipient`.
    RecipientDomain(TextTest),
    /// The address in the Sender field.
    Sender(AddressTest),
    /// The addresses in the From field; `contains` looks at the display name too.
    From(AddressTest),
    /// The domains of `from`.
    FromDomain(TextTest),
    /// The addresses in the To field; `contains` looks at the display name too.
    To(AddressTest),
    /// The addresses in the Cc field.
    Cc(AddressTest),
    /// The subject, decoded.
    Subject(TextTest),
    /// The client's host name, forward-confirmed.
    ClientHost(TextTest),
    /// The Message-ID field.
    MessageId(TextTest),
    /// A header field by its name.
    Header(HeaderTest),
    /// A property of any attachment.
    Attachment(AttachmentTest),
    /// A field of the verified client certificate; only on `mtls` endpoints.
    ClientCertificate(CertificateTest),
    /// The size of the message in octets.
    MessageSize(SizeTest),
    /// The number of envelope recipients of the transaction.
    RecipientCount(NumberTest),
    /// The client's IP address.
    SourceIp(IpTest),
    /// Whether the message came over TLS.
    Tls(bool),
    /// Whether TLS began with the first byte.
    TlsWrapped(bool),
    /// Whether the sender asks for a read receipt.
    ReadReceiptRequested(bool),
    /// Whether there is an attachment.
    HasAttachments(bool),
    /// Whether the client logged in or showed a verified certificate.
    Authenticated(bool),
    /// Mail Manager's SPF verdict.
    Spf(VerdictTest<Verdict>),
    /// Mail Manager's DKIM verdict.
    Dkim(VerdictTest<Verdict>),
    /// The SPF result (RFC 8601 §2.7.2).
    SpfResult(VerdictTest<SpfResult>),
    /// The DKIM result (RFC 8601 §2.7.1).
    DkimResult(VerdictTest<DkimResult>),
    /// The DMARC result.
    DmarcResult(VerdictTest<DmarcResult>),
    /// The ARC result.
    ArcResult(VerdictTest<ArcResult>),
    /// What the DMARC record of the From domain asks for, whether the message passes or not; `absent`: there is none.
    DmarcPolicy(VerdictTest<DmarcPolicy>),
    /// What an analyzer found.
    Analysis(Box<AnalysisTest>),
    /// At least one of these matches.
    Any(#[schemars(length(min = 1))] Vec<Condition>),
    /// Every one of these matches.
    All(#[schemars(length(min = 1))] Vec<Condition>),
    /// This does not match.
    Not(Box<Condition>),
}

/// A test of a text. Case does not matter. A list is "one of them" for positive operators, "none of them" for negative ones.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TextTest {
    /// The whole text is this.
    Equals(OneOrMany<String>),
    /// The whole text is not this.
    NotEquals(OneOrMany<String>),
    /// The text begins with this.
    StartsWith(OneOrMany<String>),
    /// The text ends with this.
    EndsWith(OneOrMany<String>),
    /// This stands in the text.
    Contains(OneOrMany<String>),
    /// This regular expression finds something.
    Matches(OneOrMany<Pattern>),
    /// Whether there is a value at all.
    Exists(bool),
}

/// A test of an address: like a text, and by address lists.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AddressTest {
    /// The whole address is this.
    Equals(OneOrMany<String>),
    /// The whole address is not this.
    NotEquals(OneOrMany<String>),
    /// The address begins with this.
    StartsWith(OneOrMany<String>),
    /// The address ends with this.
    EndsWith(OneOrMany<String>),
    /// This stands in the address.
    Contains(OneOrMany<String>),
    /// This regular expression finds something.
    Matches(OneOrMany<Pattern>),
    /// Whether there is an address at all.
    Exists(bool),
    /// The address is in this list.
    InList(OneOrMany<AddressListName>),
}

/// A test of the header fields of one name: `name` and one operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["equals", "not_equals", "starts_with", "ends_with", "contains", "matches", "exists"]))]
pub(crate) struct HeaderTest {
    /// Name of the field.
    pub(crate) name: HeaderName,
    /// The whole value is this.
    pub(crate) equals: Option<OneOrMany<String>>,
    /// The whole value is not this.
    pub(crate) not_equals: Option<OneOrMany<String>>,
    /// The value begins with this.
    pub(crate) starts_with: Option<OneOrMany<String>>,
    /// The value ends with this.
    pub(crate) ends_with: Option<OneOrMany<String>>,
    /// This stands in the value.
    pub(crate) contains: Option<OneOrMany<String>>,
    /// This regular expression finds something.
    pub(crate) matches: Option<OneOrMany<Pattern>>,
    /// Whether there is such a field.
    pub(crate) exists: Option<bool>,
}

/// A test of attachments: one property and the test of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AttachmentTest {
    /// The file name, decoded.
    Name(TextTest),
    /// The media type: `application/pdf`.
    Type(TextTest),
    /// What follows the last dot of the file name.
    Extension(TextTest),
}

/// A test of the client certificate: `attribute` and one operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["equals", "not_equals", "starts_with", "ends_with", "contains", "matches", "exists"]))]
pub(crate) struct CertificateTest {
    /// Which field of the certificate.
    pub(crate) attribute: CertificateAttribute,
    /// The whole value is this.
    pub(crate) equals: Option<OneOrMany<String>>,
    /// The whole value is not this.
    pub(crate) not_equals: Option<OneOrMany<String>>,
    /// The value begins with this.
    pub(crate) starts_with: Option<OneOrMany<String>>,
    /// The value ends with this.
    pub(crate) ends_with: Option<OneOrMany<String>>,
    /// This stands in the value.
    pub(crate) contains: Option<OneOrMany<String>>,
    /// This regular expression finds something.
    pub(crate) matches: Option<OneOrMany<Pattern>>,
    /// Whether there is such a field.
    pub(crate) exists: Option<bool>,
}

/// A field of a client certificate.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CertificateAttribute {
    /// Common name of the subject.
    Cn,
    /// Mail addresses among the alternative names.
    SanRfc822Name,
    /// Host names among the alternative names.
    SanDnsName,
    /// Directory names among the alternative names.
    SanDirectoryName,
    /// URIs among the alternative names.
    SanUniformResourceIdentifier,
    /// IP addresses among the alternative names.
    SanIpAddress,
    /// Object identifiers among the alternative names.
    SanRegisteredId,
    /// The serial number.
    SerialNumber,
}

/// A test of a size.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SizeTest {
    /// Exactly this.
    Equals(OneOrMany<Size>),
    /// Not this.
    NotEquals(OneOrMany<Size>),
    /// Less than this.
    LessThan(Size),
    /// More than this.
    GreaterThan(Size),
    /// At most this.
    LessThanOrEqual(Size),
    /// At least this.
    GreaterThanOrEqual(Size),
}

/// A test of a number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NumberTest {
    /// Exactly this.
    Equals(OneOrMany<u32>),
    /// Not this.
    NotEquals(OneOrMany<u32>),
    /// Less than this.
    LessThan(u32),
    /// More than this.
    GreaterThan(u32),
    /// At most this.
    LessThanOrEqual(u32),
    /// At least this.
    GreaterThanOrEqual(u32),
}

/// A test of an IP address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum IpTest {
    /// In one of these networks.
    CidrMatches(OneOrMany<Network>),
    /// In none of these networks.
    NotCidrMatches(OneOrMany<Network>),
    /// In one of these IP lists.
    InList(OneOrMany<IpListName>),
}

/// A test of a verdict.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "{W}Test")]
pub(crate) enum VerdictTest<W> {
    /// One of these.
    Equals(OneOrMany<W>),
    /// None of these.
    NotEquals(OneOrMany<W>),
}

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($word:ident),+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "words of RFC 8601 and Mail Manager")]
        pub(crate) enum $name { $($word),+ }
    )+};
}

words! {
    /// Mail Manager's verdicts.
    Verdict { Pass, Fail, Gray, ProcessingFailed }
    /// SPF results.
    SpfResult { None, Neutral, Pass, Fail, Softfail, Policy, Temperror, Permerror }
    /// DKIM results.
    DkimResult { None, Pass, Fail, Policy, Neutral, Temperror, Permerror }
    /// DMARC results.
    DmarcResult { None, Pass, Fail, Temperror, Permerror }
    /// ARC results.
    ArcResult { None, Pass, Fail }
    /// DMARC policies.
    DmarcPolicy { None, Quarantine, Reject, Absent }
}

/// What an analyzer found: `analyzer`, `field` and one operator that fits the type of the field.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("x-one-of" = [
    "equals", "not_equals", "starts_with", "ends_with", "contains", "matches", "exists", "less_than", "greater_than", "less_than_or_equal",
    "greater_than_or_equal"
]))]
pub(crate) struct AnalysisTest {
    /// An analyzer of `gateway.yaml`.
    pub(crate) analyzer: AnalyzerName,
    /// A field of its result.
    pub(crate) field: Line,
    /// Exactly this.
    pub(crate) equals: Option<OneOrMany<AnyScalar>>,
    /// Not this.
    pub(crate) not_equals: Option<OneOrMany<AnyScalar>>,
    /// The text begins with this.
    pub(crate) starts_with: Option<OneOrMany<String>>,
    /// The text ends with this.
    pub(crate) ends_with: Option<OneOrMany<String>>,
    /// This stands in the text.
    pub(crate) contains: Option<OneOrMany<String>>,
    /// This regular expression finds something in the text.
    pub(crate) matches: Option<OneOrMany<Pattern>>,
    /// Whether the field has a value.
    pub(crate) exists: Option<bool>,
    /// Less than this.
    pub(crate) less_than: Option<f64>,
    /// More than this.
    pub(crate) greater_than: Option<f64>,
    /// At most this.
    pub(crate) less_than_or_equal: Option<f64>,
    /// At least this.
    pub(crate) greater_than_or_equal: Option<f64>,
    /// What happens when the analyzer does not answer, and that matters; `defer` unless said.
    pub(crate) on_error: Option<OnError>,
}

/// What happens when an analyzer does not answer.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnError {
    /// The client is asked to come again: 451 4.7.1.
    Defer,
    /// The statement or rule does not match because of it.
    Skip,
}
