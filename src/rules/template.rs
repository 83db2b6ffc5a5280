//! Texts with `{{ attribute }}`, read when the rule set is, filled in when a rule acts.

use std::fmt;
use std::sync::Arc;

use super::{Template, TemplatePart, TextAttribute, VerdictAttribute};
use crate::message::Need;

/// Why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Octets from the begin of the text to what is wrong.
    pub position: usize,
    /// What is wrong.
    pub kind: TemplateErrorKind,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateErrorKind {
    /// `{{` without `}}`.
    Unclosed,
    /// No attribute has this name.
    UnknownAttribute(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            TemplateErrorKind::Unclosed => f.write_str("`{{` without `}}`"),
            TemplateErrorKind::UnknownAttribute(name) => write!(f, "unknown attribute `{name}`"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a text. Whatever is not between `{{` and `}}` stands for itself.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        let position_of = |rest: &str| text.len().saturating_sub(rest.len());
        while let Some((before, from)) = rest.split_once("{{") {
            let Some((inside, behind)) = from.split_once("}}") else {
                return Err(TemplateError { position: position_of(from).saturating_sub(2), kind: TemplateErrorKind::Unclosed });
            };
            if !before.is_empty() {
                parts.push(TemplatePart::Text(before.into()));
            }
            let name = inside.trim();
            parts.push(TemplatePart::from_name(name).ok_or_else(|| TemplateError {
                position: position_of(from).saturating_add(inside.len().saturating_sub(inside.trim_start().len())),
                kind: TemplateErrorKind::UnknownAttribute(name.to_owned()),
            })?);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(TemplatePart::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// Names that can stand in a template, in the order of the reference; for suggestions.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let texts = TextAttribute::ALL.iter().map(|attribute| attribute.name());
        texts.chain(VerdictAttribute::ALL.iter().map(|attribute| attribute.name())).chain(["source_ip", "message_size"])
    }

    /// Whether the text differs from one recipient of a message to another.
    pub fn depends_on_recipient(&self) -> bool {
        self.0.iter().any(|part| matches!(part, TemplatePart::Attribute(attribute) if attribute.depends_on_recipient()))
    }

    /// What must be looked up before the text can be written.
    pub fn needs(&self) -> impl Iterator<Item = Need> {
        self.0.iter().filter_map(|part| match part {
            TemplatePart::Attribute(TextAttribute::ClientHost) => Some(Need::ClientHost),
            TemplatePart::Verdict(attribute) => Some(attribute.need()),
            TemplatePart::Text(_) | TemplatePart::Attribute(_) | TemplatePart::SourceIp | TemplatePart::MessageSize => None,
        })
    }

    /// The text with each part replaced by what `fill` writes for it.
    pub(super) fn render(&self, mut fill: impl FnMut(&TemplatePart, &mut String)) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => out.push_str(text),
                part => fill(part, &mut out),
            }
        }
        out
    }
}

impl TemplatePart {
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "source_ip" => Some(Self::SourceIp),
            "message_size" => Some(Self::MessageSize),
            name => TextAttribute::from_name(name).map(Self::Attribute).or_else(|| VerdictAttribute::from_name(name).map(Self::Verdict)),
        }
    }
}

impl From<&str> for Template {
    /// A text that stands for itself, braces included.
    fn from(text: &str) -> Self {
        Self(vec![TemplatePart::Text(Arc::from(text))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_and_mistakes_are_placed() {
        let text = |text: &str| TemplatePart::Text(text.into());
        assert_eq!(
            Template::parse("a {{ subject }}{{source_ip}} } { b"),
            Ok(Template(vec![text("a "), TemplatePart::Attribute(TextAttribute::Subject), TemplatePart::SourceIp, text(" } { b")]))
        );
        assert_eq!(Template::parse(""), Ok(Template(Vec::new())));
        let unknown = TemplateErrorKind::UnknownAttribute("subjct".to_owned());
        assert_eq!(Template::parse("ü {{  subjct }}"), Err(TemplateError { position: 7, kind: unknown }));
        assert_eq!(Template::parse("ab {{ subject }"), Err(TemplateError { position: 3, kind: TemplateErrorKind::Unclosed }));
    }

    #[test]
    fn every_name_reads_back() {
        for name in Template::names() {
            assert!(Template::parse(&format!("{{{{{name}}}}}")).is_ok(), "{name}");
        }
        for attribute in TextAttribute::ALL {
            assert_eq!(TextAttribute::from_name(attribute.name()), Some(attribute));
        }
        for attribute in VerdictAttribute::ALL {
            assert_eq!(VerdictAttribute::from_name(attribute.name()), Some(attribute));
        }
    }
}
