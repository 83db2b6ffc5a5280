//! Conditions as sets of messages: what can hold together, what cannot, and a message that shows it.
//!
//! A condition is a [`Lit`] about a [`Subject`]: facts that depend on each other are one subject, all others are free of each other. For
//! each subject it can be said of some literals whether a value exists that fits them all ([`Solution`]): yes, with the value; no, which is
//! a proof; or it cannot be told. [`search`] puts them together for formulas.

pub(crate) mod read;
pub(crate) mod search;
mod small;
#[cfg(test)]
mod tests;
mod text;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

pub(crate) use self::search::{Outcome, Search};
use crate::limits::ANALYSIS_WORK_MAX;
use crate::message::{FieldValue, TlsVersion};
use crate::rules::{AnalysisCondition, AttachmentPart, CertificateAttribute, Flag, IpSet, NumberOperator, TextTest};

/// Facts that depend on each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// MAIL FROM and its domain.
    MailFrom,
    /// The envelope recipient, without tag, and its domain.
    Recipient,
    /// HELO or EHLO.
    Helo,
    /// The client's host name.
    ClientHost,
    /// Addresses of a field of the header.
    Sender,
    /// And their domains.
    From,
    /// `To`.
    To,
    /// `Cc`.
    Cc,
    /// Values of a header field, by its lower-case name.
    Header(Arc<str>),
    /// `Message-ID` without its brackets.
    MessageId,
    /// All that is attached.
    Attachments,
    /// Octets.
    Size,
    /// Recipients of the transaction.
    Count,
    /// The client's address.
    ClientIp,
    /// TLS, login and client certificate.
    Session,
    /// Whether a read receipt is asked for.
    ReadReceipt,
    /// The result of SPF, by the place of its word.
    Spf,
    /// The result of DKIM; the last place is a pass that aligns.
    Dkim,
    /// The result of DMARC and the policy.
    Dmarc,
    /// The result of ARC.
    Arc,
    /// What an analyzer says.
    Analysis(Arc<str>),
}

/// What of an address a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of it.
    Whole,
    /// Without `+tag`.
    Base,
    /// Behind the last `@`.
    Domain,
}

/// What is asked of a subject, in the positive: negative operators are literals that do not hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test<'a> {
    /// Some value fits.
    Text(Part, &'a TextTest),
    /// Some attachment fits.
    Attachment(AttachmentPart, &'a TextTest),
    /// Some value of the client certificate fits.
    Certificate(CertificateAttribute, &'a TextTest),
    /// As it stands.
    Number(NumberOperator, &'a [u64]),
    /// The address is in the set.
    Network(&'a IpSet),
    /// The address is in one of the lists.
    NetworkList(&'a [Arc<IpSet>]),
    /// The flag is set.
    Flag(Flag),
    /// The TLS version is this or a later one.
    TlsMinimum(TlsVersion),
    /// The TLS version is one of these.
    TlsIs(&'a [TlsVersion]),
    /// The word is one of these, by place.
    Words(u32),
    /// The analyzer has answered, and the condition holds (or, with `false`, it has answered and the condition does not).
    Field(&'a AnalysisCondition, bool),
}

/// One test of one subject.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Atom<'a> {
    /// The variable that it looks at.
    pub(crate) variable: usize,
    /// What is asked.
    pub(crate) test: Test<'a>,
}

/// An atom that holds or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lit {
    /// Place in [`Space::atoms`].
    pub(crate) atom: usize,
    /// Whether it holds.
    pub(crate) holds: bool,
}

/// Literals put together. What must not hold is turned inside out.
#[derive(Clone, Debug)]
pub(crate) enum Formula {
    /// One.
    Lit(Lit),
    /// All; of none: always.
    And(Vec<Formula>),
    /// At least one; of none: never.
    Or(Vec<Formula>),
}

impl Formula {
    /// Always.
    pub(crate) const TRUE: Self = Self::And(Vec::new());

    /// What holds where this does not.
    pub(crate) fn not(&self) -> Self {
        match self {
            Self::Lit(lit) => Self::Lit(Lit { holds: !lit.holds, ..*lit }),
            Self::And(formulas) => Self::Or(formulas.iter().map(Self::not).collect()),
            Self::Or(formulas) => Self::And(formulas.iter().map(Self::not).collect()),
        }
    }

    /// Calls `look` with each literal.
    pub(crate) fn each(&self, look: &mut impl FnMut(Lit)) {
        match self {
            Self::Lit(lit) => look(*lit),
            Self::And(formulas) | Self::Or(formulas) => formulas.iter().for_each(|formula| formula.each(look)),
        }
    }
}

/// A value of a subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// One text, folded, or none.
    Text(Option<String>),
    /// Any number of texts; addresses without names.
    Texts(Vec<String>),
    /// File names and media types.
    Attachments(Vec<(Option<String>, String)>),
    /// A number.
    Number(u64),
    /// An address.
    Ip(IpAddr),
    /// TLS, login, certificate.
    Session(Session),
    /// Yes or no.
    Bool(bool),
    /// The place of a word.
    Word(u32),
    /// The fields of an analysis; `None`: no answer.
    Analysis(Option<BTreeMap<Box<str>, Field>>),
}

/// A field of an analysis, comparable.
#[derive(Clone, Debug)]
pub(crate) struct Field(pub(crate) FieldValue);

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        format!("{:?}", self.0) == format!("{:?}", other.0)
    }
}

/// How a client is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Session {
    /// The version, and whether from the first byte.
    pub(crate) tls: Option<(TlsVersion, bool)>,
    /// Logged in.
    pub(crate) login: bool,
    /// Values of the client certificate; `None` without one.
    pub(crate) certificate: Option<Vec<(CertificateAttribute, String)>>,
}

/// What can be said of literals about one subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Solution<T> {
    /// This value fits all of them.
    Fits(T),
    /// No value does: a proof.
    Never,
    /// It cannot be told.
    Unknown,
}

impl<T> Solution<T> {
    pub(crate) fn map<U>(self, change: impl FnOnce(T) -> U) -> Solution<U> {
        match self {
            Self::Fits(value) => Solution::Fits(change(value)),
            Self::Never => Solution::Never,
            Self::Unknown => Solution::Unknown,
        }
    }
}

/// A subject at a point on the way through a rule set: behind a change it is another.
#[derive(Debug)]
pub(crate) struct Variable {
    /// What it is about.
    pub(crate) subject: Subject,
    /// Number of changes before; 0 is what came in.
    pub(crate) version: u32,
    /// What stands for all that was not asked for.
    pub(crate) usual: Value,
}

/// The subjects and tests of some conditions.
#[derive(Debug, Default)]
pub(crate) struct Space<'a> {
    pub(crate) variables: Vec<Variable>,
    pub(crate) atoms: Vec<Atom<'a>>,
    places: HashMap<(Subject, u32), usize>,
    /// Work that was done, of [`ANALYSIS_WORK_MAX`].
    spent: Cell<usize>,
}

impl<'a> Space<'a> {
    /// Counts work in; `false` when there was too much of it.
    pub(crate) fn spend(&self, work: usize) -> bool {
        self.spent.set(self.spent.get().saturating_add(work));
        !self.is_spent()
    }

    /// Whether there was too much work: what is asked from here on cannot be told.
    pub(crate) fn is_spent(&self) -> bool {
        self.spent.get() > ANALYSIS_WORK_MAX
    }

    /// The variable of a subject in a version.
    pub(crate) fn variable(&mut self, subject: Subject, version: u32) -> usize {
        if let Some(place) = self.places.get(&(subject.clone(), version)) {
            return *place;
        }
        let place = self.variables.len();
        self.variables.push(Variable { usual: usual(&subject), subject: subject.clone(), version });
        self.places.insert((subject, version), place);
        place
    }

    /// An atom, that holds.
    pub(crate) fn atom(&mut self, variable: usize, test: Test<'a>) -> Lit {
        let atom = self.atoms.len();
        self.atoms.push(Atom { variable, test });
        Lit { atom, holds: true }
    }

    /// Whether the test of an atom holds for a value of its subject.
    pub(crate) fn holds(&self, atom: &Atom<'a>, value: &Value) -> bool {
        match (atom.test, value) {
            (Test::Text(part, test), Value::Text(text)) => text.as_deref().is_some_and(|text| text::fits(part, test, text)),
            (Test::Text(part, test), Value::Texts(texts)) => texts.iter().any(|text| text::fits(part, test, text)),
            (Test::Attachment(part, test), Value::Attachments(attachments)) => {
                attachments.iter().any(|attachment| text::attachment_fits(part, test, attachment))
            }
            (test, value) => small::holds(test, value),
        }
    }

    /// A value that fits all of these literals, which are all about this variable. `surely`: an analyzer answers, with a value for each field.
    pub(crate) fn solve(&self, variable: usize, lits: &[Lit], surely: bool) -> Solution<Value> {
        let Some(known) = self.variables.get(variable) else { return Solution::Unknown };
        let tests: Vec<(Test<'a>, bool)> =
            lits.iter().filter_map(|lit| self.atoms.get(lit.atom).map(|atom| (atom.test, lit.holds))).collect();
        match &known.subject {
            Subject::MailFrom => text::one(&tests, text::Shape::Sender).map(Value::Text),
            Subject::Recipient => text::one(&tests, text::Shape::Recipient).map(Value::Text),
            Subject::Helo | Subject::ClientHost => text::one(&tests, text::Shape::Name).map(Value::Text),
            Subject::Sender | Subject::From | Subject::To | Subject::Cc => text::many(&tests, text::Shape::Mailbox).map(Value::Texts),
            Subject::Header(_) | Subject::MessageId => text::many(&tests, text::Shape::Line).map(Value::Texts),
            Subject::Attachments => text::attachments(&tests).map(Value::Attachments),
            Subject::Size => small::number(&tests, 0).map(Value::Number),
            Subject::Count => small::number(&tests, 1).map(Value::Number),
            Subject::ClientIp => small::network(&tests).map(Value::Ip),
            Subject::Session => small::session(&tests).map(Value::Session),
            Subject::ReadReceipt => small::flag(&tests).map(Value::Bool),
            Subject::Spf => small::word(&tests, 0xff).map(Value::Word),
            Subject::Dkim => small::word(&tests, 0xff).map(Value::Word),
            Subject::Dmarc => small::word(&tests, read::DMARC_POSSIBLE).map(Value::Word),
            Subject::Arc => small::word(&tests, 0b111).map(Value::Word),
            Subject::Analysis(_) => small::analysis(&tests, surely).map(Value::Analysis),
        }
    }
}

/// A value that few conditions ask for.
pub(crate) fn usual(subject: &Subject) -> Value {
    match subject {
        Subject::MailFrom => Value::Text(Some("sender@example.net".to_owned())),
        Subject::Recipient => Value::Text(Some("someone@example.net".to_owned())),
        Subject::Helo | Subject::ClientHost => Value::Text(Some("mail.example.net".to_owned())),
        Subject::Sender | Subject::Cc | Subject::Header(_) => Value::Texts(Vec::new()),
        Subject::From => Value::Texts(vec!["sender@example.net".to_owned()]),
        Subject::To => Value::Texts(vec!["someone@example.net".to_owned()]),
        Subject::MessageId => Value::Texts(vec!["1@example.net".to_owned()]),
        Subject::Attachments => Value::Attachments(Vec::new()),
        Subject::Size => Value::Number(small::USUAL_SIZE),
        Subject::Count => Value::Number(1),
        Subject::ClientIp => Value::Ip(small::USUAL_ADDRESS),
        Subject::Session => Value::Session(Session::default()),
        Subject::ReadReceipt => Value::Bool(false),
        Subject::Spf | Subject::Dkim | Subject::Dmarc | Subject::Arc => Value::Word(0),
        Subject::Analysis(_) => Value::Analysis(Some(BTreeMap::new())),
    }
}
