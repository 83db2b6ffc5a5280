//! Conditions in words: attributes and tests as rule files write them, for explanations and reports.

use super::{
    AnalysisCondition, AttachmentPart, CertificateAttribute, Condition, FieldTest, Flag, IpTest, NumberAttribute, NumberOperator, OnError,
    TextTest,
};
use crate::limits::{EXPLAINED_CHARS_MAX, EXPLAINED_VALUES_MAX};

impl Condition {
    /// What it looks at: `from`, `header X-Spam`, `analysis rspamd.score`; `any`, `all` or `not` where others stand below it.
    pub fn attribute(&self) -> String {
        match self {
            Self::Text(attribute, _) => attribute.name().to_owned(),
            Self::Header(name, _) => format!("header {name}"),
            Self::Attachment(part, _) => format!("attachment {}", part.name()),
            Self::ClientCertificate(attribute, _) => format!("client_certificate {}", attribute.name()),
            Self::Number(attribute, ..) => attribute.name().to_owned(),
            Self::SourceIp(_) => "source_ip".to_owned(),
            Self::Flag(flag, _) => flag.name().to_owned(),
            Self::Verdict { attribute, .. } => attribute.name().to_owned(),
            Self::Analysis(condition) => condition.attribute(),
            Self::Any(_) => "any".to_owned(),
            Self::All(_) => "all".to_owned(),
            Self::Not(_) => "not".to_owned(),
        }
    }

    /// What it asks: `ends_with: "@gmail.com"`; empty where others stand below it.
    pub fn test(&self) -> String {
        match self {
            Self::Text(_, test) | Self::Header(_, test) | Self::Attachment(_, test) | Self::ClientCertificate(_, test) => test.shown(),
            Self::Number(_, operator, values) => operator.shown(values),
            Self::SourceIp(test) => test.shown(),
            Self::Flag(_, wanted) => wanted.to_string(),
            Self::Verdict { negated, values, .. } => words(*negated, values),
            Self::Analysis(condition) => condition.shown(),
            Self::Any(_) | Self::All(_) | Self::Not(_) => String::new(),
        }
    }
}

impl TextTest {
    /// As rule files write it.
    pub fn shown(&self) -> String {
        let folded = |operator, texts: &[super::Folded]| listed(operator, texts.iter().map(|text| quoted(text.as_str())));
        match self {
            Self::Equals(texts) => folded("equals", texts),
            Self::NotEquals(texts) => folded("not_equals", texts),
            Self::StartsWith(texts) => folded("starts_with", texts),
            Self::EndsWith(texts) => folded("ends_with", texts),
            Self::Contains(texts) => folded("contains", texts),
            Self::Matches(expressions) => listed("matches", expressions.iter().map(|expression| quoted(expression.as_str()))),
            Self::Exists(wanted) => format!("exists: {wanted}"),
            Self::InList(lists) => listed("in_list", lists.iter().map(|list| list.name().to_owned())),
        }
    }
}

impl IpTest {
    /// As rule files write it; networks that overlap have become one.
    pub fn shown(&self) -> String {
        match self {
            Self::CidrMatches(set) => listed("cidr_matches", set.networks().map(|network| network.to_string())),
            Self::NotCidrMatches(set) => listed("not_cidr_matches", set.networks().map(|network| network.to_string())),
            Self::InList(sets) => listed("in_list", sets.iter().map(|set| set.name().to_owned())),
        }
    }
}

impl AnalysisCondition {
    /// What it looks at: `analysis ANALYZER.FIELD`.
    pub fn attribute(&self) -> String {
        format!("analysis {}.{}", self.analyzer, self.field)
    }

    /// What it asks, with `on_error` where that is not the default.
    pub fn shown(&self) -> String {
        let test = match &self.test {
            FieldTest::Text(test) => test.shown(),
            FieldTest::Number(operator, values) => operator.shown(values),
            FieldTest::Boolean { negated, values } => words(*negated, values),
            FieldTest::Verdict { negated, words: verdicts } => words(*negated, verdicts.iter().map(|word| word.as_str())),
            FieldTest::Exists(wanted) => format!("exists: {wanted}"),
        };
        if self.on_error == OnError::Skip { format!("{test}, on_error: skip") } else { test }
    }
}

impl NumberOperator {
    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "not_equals",
            Self::LessThan => "less_than",
            Self::GreaterThan => "greater_than",
            Self::LessThanOrEqual => "less_than_or_equal",
            Self::GreaterThanOrEqual => "greater_than_or_equal",
        }
    }

    fn shown<N: ToString>(self, values: &[N]) -> String {
        listed(self.name(), values.iter().map(ToString::to_string))
    }
}

impl AttachmentPart {
    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Type => "type",
            Self::Extension => "extension",
        }
    }
}

impl CertificateAttribute {
    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cn => "cn",
            Self::SanRfc822Name => "san_rfc822_name",
            Self::SanDnsName => "san_dns_name",
            Self::SanDirectoryName => "san_directory_name",
            Self::SanUniformResourceIdentifier => "san_uniform_resource_identifier",
            Self::SanIpAddress => "san_ip_address",
            Self::SanRegisteredId => "san_registered_id",
            Self::SerialNumber => "serial_number",
        }
    }
}

impl NumberAttribute {
    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::MessageSize => "message_size",
            Self::RecipientCount => "recipient_count",
        }
    }
}

impl Flag {
    /// As rule files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::TlsWrapped => "tls_wrapped",
            Self::ReadReceiptRequested => "read_receipt_requested",
            Self::HasAttachments => "has_attachments",
            Self::Authenticated => "authenticated",
        }
    }
}

/// `equals` or `not_equals` of words.
pub fn words<W: ToString>(negated: bool, words: impl IntoIterator<Item = W>) -> String {
    listed(if negated { "not_equals" } else { "equals" }, words.into_iter().map(|word| word.to_string()))
}

/// `operator: value`, or `operator: [value, value]`; of many values the first ones.
pub fn listed(operator: &str, values: impl Iterator<Item = String>) -> String {
    let mut values = values.fuse();
    let mut shown: Vec<String> = values.by_ref().take(EXPLAINED_VALUES_MAX).collect();
    let more = values.count();
    if more > 0 {
        shown.push(format!("… {more} more"));
    }
    match shown.as_slice() {
        [value] => format!("{operator}: {value}"),
        values => format!("{operator}: [{}]", values.join(", ")),
    }
}

/// A text in quotes, so that its begin and end are seen; long ones are cut, control characters are shown as such.
pub fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(EXPLAINED_CHARS_MAX).flat_map(shown_char).collect();
    if text.chars().nth(EXPLAINED_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn shown_char(c: char) -> Box<dyn Iterator<Item = char>> {
    if c.is_control() || matches!(c, '"' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}') {
        Box::new(c.escape_default())
    } else {
        Box::new(std::iter::once(c))
    }
}
