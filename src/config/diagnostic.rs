//! What is reported about a configuration: a code, a place, what is wrong and what was probably meant.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::allowances::Allowance;
use super::source::{Source, Span};
use crate::limits;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, and probably does not do what was meant.
    Warning,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $severity:ident;)+) => {
        /// What kind of mistake it is; each has a name that does not change and an example under `tests/diagnostics`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name between the brackets of `error[…]`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it is about, in one sentence.
            pub fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start(),)+ }
            }

            /// What it is about, why it matters and how it is mended, in Markdown.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("explanations/", $name, ".md")),)+ }
            }

            /// What it is unless the place says otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$variant => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    /// The file cannot be read.
    Unreadable = "unreadable", Error;
    /// The file is not UTF-8.
    Encoding = "encoding", Error;
    /// The file is too large.
    TooLarge = "too-large", Error;
    /// The file is not YAML.
    Syntax = "syntax", Error;
    /// Too many levels of nesting.
    TooDeep = "too-deep", Error;
    /// A key stands twice in one mapping.
    DuplicateKey = "duplicate-key", Error;
    /// Anchors, aliases and merge keys are not allowed.
    Anchor = "anchor", Error;
    /// Tags are not allowed.
    Tag = "tag", Error;
    /// A file holds one document.
    ManyDocuments = "many-documents", Error;
    /// A key is a text.
    KeyType = "key-type", Error;
    /// The file has more mistakes than are shown.
    TooMany = "too-many", Error;
    /// It cannot be told whether the file is a deployment, a policy or a rule set.
    UnknownKind = "unknown-kind", Error;
    /// A key that nothing reads.
    UnknownKey = "unknown-key", Error;
    /// A key that must be there is not.
    MissingKey = "missing-key", Error;
    /// A value of the wrong type.
    WrongType = "wrong-type", Error;
    /// A word that is not one of the possible ones, or a number out of range.
    BadValue = "bad-value", Error;
    /// An item or mapping holds exactly one key of several.
    OneKey = "one-key", Error;
    /// A list that must hold something is empty.
    Empty = "empty", Error;
    /// Not a network in CIDR notation, or not an IP address.
    Cidr = "cidr", Error;
    /// Not a size.
    Size = "size", Error;
    /// Not a length of time.
    Duration = "duration", Error;
    /// Not a host name or domain.
    HostName = "host-name", Error;
    /// Not a URL with `https`.
    Url = "url", Error;
    /// Not an address and port to listen on.
    Listen = "listen", Error;
    /// Not a regular expression, or one that is too large.
    Regex = "regex", Error;
    /// Not an enhanced status code.
    StatusCode = "status-code", Error;
    /// Not a reply code of the right class.
    ReplyCode = "reply-code", Error;
    /// The reply code and the enhanced status code contradict each other.
    CodeClass = "code-class", Error;
    /// Not a mail address.
    Address = "address", Error;
    /// Not the name of a header field.
    HeaderName = "header-name", Error;
    /// Not a text with attributes in double braces.
    Template = "template", Error;
    /// A text with line breaks or control characters.
    ControlCharacter = "control-character", Error;
    /// A name that is not defined anywhere.
    UnknownName = "unknown-name", Error;
    /// A field of an analyzer is asked for something that its type does not have.
    WrongOperator = "wrong-operator", Error;
    /// A policy asks an analyzer that looks at the message.
    NeedsMessage = "needs-message", Error;
    /// A name that must be unique is not.
    DuplicateName = "duplicate-name", Error;
    /// Two endpoints listen on one address.
    DuplicateListen = "duplicate-listen", Error;
    /// A certificate, its key, a CA or a CRL cannot be used.
    TlsFiles = "tls-files", Error;
    /// The key of an ARC seal cannot be used.
    ArcKey = "arc-key", Error;
    /// The keys of rewritten senders cannot be used.
    SrsKey = "srs-key", Error;
    /// An entry of a list file that is none.
    ListEntry = "list-entry", Error;
    /// A secret does not belong into the configuration.
    SecretInline = "secret-inline", Error;
    /// A feature that this version does not have.
    NotAvailable = "not-available", Error;
    /// Keys that exclude or need each other.
    Conflict = "conflict", Error;
    /// A relay that is the gateway itself.
    Loop = "loop", Error;
    /// Recipients that are rewritten in a circle.
    ReplaceLoop = "replace-loop", Error;
    /// Strangers can send mail to strangers.
    OpenRelay = "open-relay", Error;
    /// A document of Amazon SES Mail Manager or CloudFormation.
    MailManagerFile = "mail-manager-file", Error;
    /// Bits behind the prefix length are set and do not count.
    CidrHostBits = "cidr-host-bits", Warning;
    /// Something is defined and never used.
    Unused = "unused", Warning;
    /// A part of a domain also stands in other domains.
    ContainsDomain = "contains-domain", Warning;
    /// A rule that is never reached.
    DeadRule = "dead-rule", Warning;
    /// A recipient that no rule disposes of.
    NoFinal = "no-final", Warning;
    /// Mail that is lost without a word when a next hop refuses it.
    SilentLoss = "silent-loss", Warning;
    /// A recipient that gets a message twice.
    DoubleDelivery = "double-delivery", Warning;
    /// A refusal that can only be told by a bounce.
    Backscatter = "backscatter", Warning;
    /// A header field that belongs to mail systems.
    ReservedHeader = "reserved-header", Warning;
    /// Without a `gateway.yaml` names cannot be checked.
    NamesUnchecked = "names-unchecked", Warning;
    /// The `gateway.yaml` that defines the names has mistakes itself.
    GatewayMistakes = "gateway-mistakes", Warning;
    /// A file whose name keeps it from being read.
    FileName = "file-name", Warning;
    /// A deny statement that asks for a minimum TLS version refuses the good clients.
    DenyTlsMinimum = "deny-tls-min", Warning;
    /// The administrative server listens where others can reach it.
    AdminExposed = "admin-exposed", Warning;
    /// A certificate, a CA or a CRL has expired.
    Expired = "expired", Warning;
    /// A certificate, a CA or a CRL expires soon.
    ExpiresSoon = "expires-soon", Warning;
    /// There are CRLs, but none of this CA.
    CaWithoutCrl = "ca-without-crl", Warning;
    /// A statement of a policy that never decides anything.
    DeadStatement = "dead-statement", Warning;
    /// A value of a list that another value of the list covers.
    DeadValue = "dead-value", Warning;
    /// Allow statements that stand above deny statements, which are looked at first.
    DenyOrder = "deny-order", Warning;
    /// A domain of the gateway that every policy refuses.
    DomainRefused = "domain-refused", Warning;
    /// A domain of the gateway that no rule takes mail for.
    DomainUntaken = "domain-untaken", Warning;
    /// A condition on recipients of a domain that no mail is taken for.
    DomainNotAccepted = "domain-not-accepted", Warning;
    /// Users who log in may claim to be anybody.
    SenderUnchecked = "sender-unchecked", Warning;
    /// A policy that denies everything.
    AllowEmpty = "allow-empty", Warning;
    /// The host of a relay may be another one.
    DoubtfulHost = "doubtful-host", Warning;
    /// Everybody may claim any address.
    TrustsEverybody = "trusts-everybody", Warning;
    /// A comment that allows a diagnostic, and there is none that it allows.
    UnusedAllowance = "unused-allowance", Warning;
    /// An IPv4 network in an IPv6 notation.
    CidrMapped = "cidr-mapped", Warning;
    /// Capitals where matching ignores case.
    Case = "case", Warning;
    /// The end of a domain is also the end of other domains.
    EndsWithDomain = "ends-with-domain", Warning;
    /// A star that was meant as a wildcard.
    Wildcard = "wildcard", Warning;
    /// A value that the attribute never has.
    NeverMatches = "never-matches", Warning;
    /// A regular expression that matches every text.
    AlwaysMatches = "always-matches", Warning;
    /// An unescaped dot in a domain.
    RegexDot = "regex-dot", Warning;
    /// The recipient is compared with its tag.
    PlusTag = "plus-tag", Warning;
    /// A size without its unit.
    SmallSize = "small-size", Warning;
    /// A header field that an attribute knows better.
    HeaderAttribute = "header-attribute", Warning;
    /// A failed check of authentication that leaves out what did not pass either.
    Gray = "gray", Warning;
    /// A DMARC policy that is taken for a result.
    DmarcAmbiguous = "dmarc-ambiguous", Warning;
    /// A bounce to a sender who was probably forged.
    BounceBackscatter = "bounce-backscatter", Warning;
    /// An action that can fail does not say what then; reported with `--strict`.
    FailureImplicit = "failure-implicit", Warning;
    /// More than Mail Manager takes; reported with `--compat mail-manager`.
    LimitAws = "limit-aws", Warning;
    /// What Mail Manager does not have; reported with `--compat mail-manager`.
    NotInMailManager = "not-in-mail-manager", Warning;
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Its kind.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// The file, as shown.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was probably meant.
    pub help: Vec<String>,
    /// Bytes in the file.
    pub(crate) span: Span,
    /// Other places that have to do with it, in this file or in another.
    pub(crate) notes: Vec<Note>,
    /// Changes of the file that would mend it, the best first.
    pub fixes: Vec<Fix>,
    /// The file's text, for the renderers: without its secrets.
    pub(crate) source: Arc<Source>,
}

impl Diagnostic {
    /// Adds what was probably meant.
    pub(crate) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help.push(text.into());
        self
    }

    /// Adds another place in the same file.
    pub(crate) fn note(&mut self, span: Span, text: impl Into<String>) -> &mut Self {
        let source = Arc::clone(&self.source);
        self.note_in(source, span, text)
    }

    /// Adds a place in any file.
    pub(crate) fn note_in(&mut self, source: Arc<Source>, span: Span, text: impl Into<String>) -> &mut Self {
        self.notes.push(Note { source, span, text: text.into() });
        self
    }

    /// Adds a change that surely does what was meant: `--fix` makes it.
    pub(crate) fn fix(&mut self, title: impl Into<String>, edits: Vec<(Span, String)>) -> &mut Self {
        self.fixes.push(Fix { title: title.into(), edits, is_safe: true });
        self
    }

    /// Adds a change that a person should decide on.
    pub(crate) fn suggest(&mut self, title: impl Into<String>, edits: Vec<(Span, String)>) -> &mut Self {
        self.fixes.push(Fix { title: title.into(), edits, is_safe: false });
        self
    }
}

/// Ends a chain of calls that has nothing more to say.
pub(super) fn drop_diagnostic(_: &mut Diagnostic) {}

/// A place that has to do with a mistake elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    /// The file.
    pub(crate) source: Arc<Source>,
    /// Bytes in it.
    pub(crate) span: Span,
    /// What is there.
    pub(crate) text: String,
}

/// A change of a file that mends a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What it does, as an order: `write the value in lower case`.
    pub title: String,
    /// What is put in place of which bytes of the file; none overlaps another.
    pub(crate) edits: Vec<(Span, String)>,
    /// Whether it can be made without asking: nothing is judged otherwise than before, or only as was surely meant.
    pub is_safe: bool,
}

/// Where the mistakes of one file go, with what a walk through it finds besides.
#[derive(Debug)]
pub(crate) struct Sink {
    source: Arc<Source>,
    diagnostics: Vec<Diagnostic>,
    errors: usize,
    /// What there is no room for is written here and forgotten.
    spare: Option<Diagnostic>,
    /// Names that were used, to be looked up when all files are read.
    pub(crate) references: Vec<Reference>,
    /// Where what is wrong begins; units that hold one of these places are not built.
    broken: BTreeSet<usize>,
    /// Secrets that stand in the file; no output shows them.
    secrets: Vec<Span>,
    /// Comments that allow diagnostics.
    pub(super) allowances: Vec<Allowance>,
}

/// A name that was used.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    /// What it names, as the model's format says: `relay`, `address-list`, …
    pub(crate) kind: &'static str,
    /// The name.
    pub(crate) name: String,
    /// Where it stands.
    pub(crate) span: Span,
}

impl Sink {
    /// For the mistakes of this file.
    pub(crate) fn new(source: Source) -> Self {
        Self {
            source: Arc::new(source),
            diagnostics: Vec::new(),
            errors: 0,
            spare: None,
            references: Vec::new(),
            broken: BTreeSet::new(),
            secrets: Vec::new(),
            allowances: Vec::new(),
        }
    }

    /// The file.
    pub(crate) fn source(&self) -> Arc<Source> {
        Arc::clone(&self.source)
    }

    /// Whether there was an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Reports with the code's own severity.
    pub(crate) fn error(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(code, code.severity(), span, message.into())
    }

    /// Reports as a warning, whatever the code's own severity.
    pub(crate) fn warning(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.report(code, Severity::Warning, span, message.into())
    }

    /// Reports an error in the shape of what stands at `span`: nothing is built from it.
    pub(crate) fn broken(&mut self, code: Code, span: Span, message: impl Into<String>) -> &mut Diagnostic {
        self.broken.insert(span.start);
        self.report(code, Severity::Error, span, message.into())
    }

    /// Whether the shape is right within `span`.
    pub(crate) fn is_sound(&self, span: &Span) -> bool {
        self.broken.range(span.start..=span.end.max(span.start)).next().is_none()
    }

    /// Whether there is no room for more.
    pub(crate) fn is_full(&self) -> bool {
        self.diagnostics.len() >= limits::DIAGNOSTICS_PER_FILE_MAX
    }

    /// Whether what begins at `span` has been reported.
    pub(crate) fn is_broken_at(&self, span: &Span) -> bool {
        self.broken.contains(&span.start)
    }

    /// Forgets what was reported and what was used: the file is something else.
    pub(crate) fn discard(&mut self) {
        self.diagnostics.clear();
        self.references.clear();
        self.spare = None;
        self.errors = 0;
    }

    /// Keeps what stands at `span` from being shown.
    pub(crate) fn conceal(&mut self, span: Span) {
        self.secrets.push(span);
    }

    fn report(&mut self, code: Code, severity: Severity, span: Span, message: String) -> &mut Diagnostic {
        if severity == Severity::Error {
            self.errors = self.errors.saturating_add(1);
        }
        let full = self.is_full();
        // Finding the column walks the line: not for what is never shown.
        let (line, column) = if full { (0, 0) } else { self.source.position(span.start) };
        let (file, source) = (self.source.path.clone(), Arc::clone(&self.source));
        let diagnostic = Diagnostic {
            code,
            severity,
            message,
            file,
            line,
            column,
            help: Vec::new(),
            span,
            notes: Vec::new(),
            fixes: Vec::new(),
            source,
        };
        if full { self.spare.insert(diagnostic) } else { self.diagnostics.push_mut(diagnostic) }
    }

    /// The file without its secrets, if it has any.
    pub(super) fn concealed(&self) -> Option<Arc<Source>> {
        (!self.secrets.is_empty()).then(|| Arc::new(self.source.conceal(&self.secrets)))
    }

    /// What was found, but for what the file's comments allow. `whole`: everything was checked, so that an allowance without use is one.
    pub(super) fn into_diagnostics(mut self, whole: bool) -> Vec<Diagnostic> {
        let allowances = std::mem::take(&mut self.allowances);
        let unused = super::allowances::apply(&allowances, &mut self.diagnostics, whole && self.spare.is_none());
        for (span, message, fix) in unused {
            let diagnostic = self.warning(Code::UnusedAllowance, span, message);
            fix.into_iter().for_each(|(title, edits)| drop_diagnostic(diagnostic.fix(title, edits)));
        }
        if self.spare.is_some() {
            let end = self.source.text.len();
            let (line, column) = self.source.position(end);
            self.diagnostics.push(Diagnostic {
                code: Code::TooMany,
                severity: if self.errors > 0 { Severity::Error } else { Severity::Warning },
                message: "further mistakes in this file are not shown".to_owned(),
                file: self.source.path.clone(),
                line,
                column,
                help: Vec::new(),
                span: end..end,
                notes: Vec::new(),
                fixes: Vec::new(),
                source: Arc::clone(&self.source),
            });
        }
        self.diagnostics
    }
}
