//! Rule sets: conditions, evaluation for each recipient, and the plan that comes of it.
//!
//! Pure: what a condition asks is a fact, time is not one of them. `config` builds the types from YAML.

mod answer;
mod candidates;
mod condition;
mod evaluate;
mod facts;
mod group;
mod ip_set;
mod lists;
mod looked_up;
mod plan;
mod rule_set;
mod shown;
mod template;
mod test;
#[cfg(test)]
mod tests;
mod trace;

pub use condition::{
    AttachmentPart, CertificateAttribute, Condition, Flag, Folded, IpTest, NumberAttribute, NumberOperator, TextAttribute, TextTest,
    VerdictAttribute,
};
pub use evaluate::{Judgement, evaluate, evaluate_traced};
pub use facts::Message;
pub use ip_set::IpSet;
pub use lists::{AddressList, AddressListError};
pub use looked_up::{AnalysisCondition, FieldTest, OnError, Truth, client_host, verdict};
pub use plan::{Disposition, Plan, PlannedRecipient, RuleMatch, Step, StepAction, StepRecipient};
pub use rule_set::{RuleSet, Rules};
pub use shown::{listed, quoted, words};
pub use template::{TemplateError, TemplateErrorKind};
pub use test::{Value, regex};
pub use trace::{ConditionPath, ConditionTrace, RecipientTrace, RuleTrace, Seen, analysis_looked_at, host_looked_at};

use std::sync::Arc;

use crate::smtp::{Address, Reply};

/// For a recipient that no rule disposed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// 550 5.7.1.
    Reject,
    /// 450 4.7.1.
    Defer,
    /// Accepted and forgotten, with a log line.
    Drop,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its set.
    pub name: Arc<str>,
    /// Whether it acts, is only logged, or is off.
    pub mode: Mode,
    /// All must match.
    pub when: Vec<Condition>,
    /// None may match.
    pub unless: Vec<Condition>,
    /// In order, for the recipients that match.
    pub actions: Vec<Action>,
}

/// How a rule takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Judged and carried out.
    Enforce,
    /// Judged and logged; changes nothing.
    Audit,
    /// Not judged.
    Off,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Delivers through a relay.
    SmtpRelay {
        /// A relay of `gateway.yaml`.
        relay: Arc<str>,
        /// Which reverse-path the next hop sees.
        mail_from: MailFrom,
        /// What a permanent failure does.
        on_failure: OnFailure,
    },
    /// Adds a header field on top.
    AddHeader {
        /// Field name.
        name: Arc<str>,
        /// Field value, with `{{ attribute }}` to be filled in.
        value: Template,
    },
    /// Removes all fields of a name.
    RemoveHeader {
        /// Field name; case does not matter.
        name: Arc<str>,
    },
    /// Puts a text before the Subject, unless it begins with it already.
    PrefixSubject {
        /// The text; the space behind it is part of it.
        text: Arc<str>,
    },
    /// Replaces the envelope recipients that matched.
    ReplaceRecipient(Replacement),
    /// Ends the set; what was planned before stays planned.
    Drop,
    /// Ends the set with a 5xx; what was planned for these recipients is taken back.
    Reject(Reply),
    /// Ends the set with a 4xx; what was planned for these recipients is taken back.
    Defer(Reply),
    /// Ends the set; what was planned stays planned.
    Stop,
    /// One that this version cannot carry out. A configuration with it is refused, so no message meets it; it stands here for those who
    /// look at rule sets as such.
    NotAvailable {
        /// As rule files write it.
        name: &'static str,
        /// Whether it gives the message to somebody or keeps it, so that it is not lost.
        disposes: bool,
    },
}

impl Action {
    /// As rule files and logs write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::SmtpRelay { .. } => "SMTPRelay",
            Self::AddHeader { .. } => "AddHeader",
            Self::RemoveHeader { .. } => "RemoveHeader",
            Self::PrefixSubject { .. } => "PrefixSubject",
            Self::ReplaceRecipient(_) => "ReplaceRecipient",
            Self::Drop => "Drop",
            Self::Reject(_) => "Reject",
            Self::Defer(_) => "Defer",
            Self::Stop => "Stop",
            Self::NotAvailable { name, .. } => name,
        }
    }
}

/// Which reverse-path the next hop sees.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailFrom {
    /// The sender's own.
    Preserve,
    /// `postmaster@HOSTNAME` of this gateway; the null path stays null.
    Replace,
    /// An address of ours that stands for the sender's (SRS); the null path stays null.
    Srs,
}

/// What a permanent failure of a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// The sender gets a DSN.
    Bounce,
    /// Logged; the other steps decide.
    Continue,
    /// Logged; nothing more for these recipients.
    Drop,
}

/// New recipients for old.
#[derive(Clone, Debug)]
pub enum Replacement {
    /// These instead of whoever matched.
    With(Vec<Address>),
    /// By the first entry that fits; an address without one stays.
    Map(Vec<(MapFrom, MapTo)>),
}

/// Left side of a map entry.
#[derive(Clone, Debug)]
pub enum MapFrom {
    /// One address, without regard to ASCII case.
    Address(Address),
    /// `*@domain`: every address of the domain, lower case.
    Domain(Arc<str>),
}

/// Right side of a map entry.
#[derive(Clone, Debug)]
pub enum MapTo {
    /// This address.
    Address(Address),
    /// `*@domain`: the same local part in this domain.
    Domain(Arc<str>),
}

/// A text with attributes to be filled in: `{{ subject }}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub Vec<TemplatePart>);

/// A piece of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplatePart {
    /// As it stands.
    Text(Arc<str>),
    /// The attribute's value; several are joined by `, `.
    Attribute(TextAttribute),
    /// The verdict's word.
    Verdict(VerdictAttribute),
    /// The client's address.
    SourceIp,
    /// Octets of the message.
    MessageSize,
}
