//! Conditions as typed data. Attributes and operators are named as in the rule files.

use std::sync::Arc;

use regex::Regex;

use super::AnalysisCondition;
use super::ip_set::IpSet;
use super::lists::AddressList;

/// A text made ready for comparison without regard to case: as [`crate::message::fold`] makes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Folded(Box<str>);

impl Folded {
    /// Folds `text`.
    pub fn new(text: &str) -> Self {
        Self(crate::message::fold(text))
    }

    /// The folded text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One condition; what it holds was checked when the rule set was read.
#[derive(Clone, Debug)]
pub enum Condition {
    /// A text attribute.
    Text(TextAttribute, TextTest),
    /// All values of the header fields of this name (lower case).
    Header(Arc<str>, TextTest),
    /// A property of any attachment.
    Attachment(AttachmentPart, TextTest),
    /// A field of the client certificate.
    ClientCertificate(CertificateAttribute, TextTest),
    /// A number: any of the values for `Equals`, none for `NotEquals`.
    Number(NumberAttribute, NumberOperator, Vec<u64>),
    /// The client's address.
    SourceIp(IpTest),
    /// A yes or no.
    Flag(Flag, bool),
    /// A verdict of authentication, by its RFC 8601 or Mail Manager word; `negated` for `not_equals`.
    Verdict {
        /// Which.
        attribute: VerdictAttribute,
        /// `not_equals`.
        negated: bool,
        /// The words.
        values: Vec<Box<str>>,
    },
    /// What an analyzer found.
    Analysis(AnalysisCondition),
    /// At least one holds.
    Any(Vec<Condition>),
    /// Every one holds.
    All(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
}

/// How a set of texts is tested: positive tests want any value to fit any text, negative ones want none to fit. No value at all fails
/// the positive and passes the negative.
#[derive(Clone, Debug)]
pub enum TextTest {
    /// The whole value is one of these.
    Equals(Vec<Folded>),
    /// The whole value is none of these.
    NotEquals(Vec<Folded>),
    /// The value begins with one of these.
    StartsWith(Vec<Folded>),
    /// The value ends with one of these.
    EndsWith(Vec<Folded>),
    /// One of these stands in the value.
    Contains(Vec<Folded>),
    /// One of these expressions finds something in the value; they ignore case unless they say otherwise.
    Matches(Vec<Regex>),
    /// There is a value (true) or none (false).
    Exists(bool),
    /// The address is in one of these lists.
    InList(Vec<Arc<AddressList>>),
}

/// Attributes with text values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the rule language")]
pub enum TextAttribute {
    MailFrom,
    MailFromDomain,
    Helo,
    Recipient,
    RecipientBase,
    RecipientDomain,
    Sender,
    From,
    FromDomain,
    To,
    Cc,
    Subject,
    ClientHost,
    MessageId,
}

impl TextAttribute {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 14] = [
        Self::MailFrom,
        Self::MailFromDomain,
        Self::Helo,
        Self::Recipient,
        Self::RecipientBase,
        Self::RecipientDomain,
        Self::Sender,
        Self::From,
        Self::FromDomain,
        Self::To,
        Self::Cc,
        Self::Subject,
        Self::ClientHost,
        Self::MessageId,
    ];

    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MailFrom => "mail_from",
            Self::MailFromDomain => "mail_from_domain",
            Self::Helo => "helo",
            Self::Recipient => "recipient",
            Self::RecipientBase => "recipient_base",
            Self::RecipientDomain => "recipient_domain",
            Self::Sender => "sender",
            Self::From => "from",
            Self::FromDomain => "from_domain",
            Self::To => "to",
            Self::Cc => "cc",
            Self::Subject => "subject",
            Self::ClientHost => "client_host",
            Self::MessageId => "message_id",
        }
    }

    /// The inverse of [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }

    /// Whether the value differs from one recipient of a message to another.
    pub fn depends_on_recipient(self) -> bool {
        matches!(self, Self::Recipient | Self::RecipientBase | Self::RecipientDomain)
    }
}

/// What an `attachment` condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachmentPart {
    /// File name, decoded.
    Name,
    /// Media type, `application/pdf`.
    Type,
    /// What follows the last dot of the file name.
    Extension,
}

/// What a `client_certificate` condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the rule language")]
pub enum CertificateAttribute {
    Cn,
    SanRfc822Name,
    SanDnsName,
    SanDirectoryName,
    SanUniformResourceIdentifier,
    SanIpAddress,
    SanRegisteredId,
    SerialNumber,
}

/// Attributes with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NumberAttribute {
    /// Octets, as received after dot-unstuffing, without the gateway's own fields.
    MessageSize,
    /// Envelope recipients of the transaction.
    RecipientCount,
}

/// Operators on numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the rule language")]
pub enum NumberOperator {
    Equals,
    NotEquals,
    LessThan,
    GreaterThan,
    LessThanOrEqual,
    GreaterThanOrEqual,
}

/// A test of an IP address.
#[derive(Clone, Debug)]
pub enum IpTest {
    /// In one of the networks.
    CidrMatches(IpSet),
    /// In none of the networks.
    NotCidrMatches(IpSet),
    /// In one of the named lists.
    InList(Vec<Arc<IpSet>>),
}

/// Attributes that are true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the rule language")]
pub enum Flag {
    Tls,
    TlsWrapped,
    ReadReceiptRequested,
    HasAttachments,
    Authenticated,
}

/// Verdicts of authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the rule language")]
pub enum VerdictAttribute {
    Spf,
    Dkim,
    SpfResult,
    DkimResult,
    DmarcResult,
    ArcResult,
    DmarcPolicy,
}

impl VerdictAttribute {
    /// All of them, in the order of the reference.
    pub const ALL: [Self; 7] =
        [Self::Spf, Self::Dkim, Self::SpfResult, Self::DkimResult, Self::DmarcResult, Self::ArcResult, Self::DmarcPolicy];

    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::SpfResult => "spf_result",
            Self::DkimResult => "dkim_result",
            Self::DmarcResult => "dmarc_result",
            Self::ArcResult => "arc_result",
            Self::DmarcPolicy => "dmarc_policy",
        }
    }

    /// The inverse of [`Self::name`].
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attribute| attribute.name() == name)
    }
}
