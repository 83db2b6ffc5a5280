//! Texts of rules that have a grammar of their own: expressions, field names, templates.

use std::sync::Arc;

use crate::limits;
use crate::rules::{Template, TemplatePart, TextAttribute};

/// A regular expression as conditions use it: without regard to case, bounded in size.
pub(super) fn regex(pattern: &str) -> Result<regex::Regex, regex::Error> {
    regex::RegexBuilder::new(pattern).case_insensitive(true).size_limit(limits::REGEX_BYTES_MAX).build()
}

/// Whether the text is the name of a header field (RFC 5322 §2.2).
pub(super) fn is_field_name(text: &str) -> bool {
    (1..=77).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b':')
}

/// Reads a template; the error says what is wrong with it.
pub(super) fn template(text: &str) -> Result<Template, String> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        if !before.is_empty() {
            parts.push(TemplatePart::Text(Arc::from(before)));
        }
        let (name, behind) = after.split_once("}}").ok_or("`{{` without `}}`")?;
        parts.push(attribute(name.trim()).ok_or_else(|| format!("`{}` is not an attribute", super::formats::clip(name.trim())))?);
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Text(Arc::from(rest)));
    }
    Ok(Template(parts))
}

fn attribute(name: &str) -> Option<TemplatePart> {
    Some(TemplatePart::Attribute(match name {
        "mail_from" => TextAttribute::MailFrom,
        "mail_from_domain" => TextAttribute::MailFromDomain,
        "helo" => TextAttribute::Helo,
        "recipient" => TextAttribute::Recipient,
        "recipient_base" => TextAttribute::RecipientBase,
        "recipient_domain" => TextAttribute::RecipientDomain,
        "sender" => TextAttribute::Sender,
        "from" => TextAttribute::From,
        "from_domain" => TextAttribute::FromDomain,
        "to" => TextAttribute::To,
        "cc" => TextAttribute::Cc,
        "subject" => TextAttribute::Subject,
        "client_host" => TextAttribute::ClientHost,
        "message_id" => TextAttribute::MessageId,
        "source_ip" => return Some(TemplatePart::SourceIp),
        "message_size" => return Some(TemplatePart::MessageSize),
        _ => return None,
    }))
}
