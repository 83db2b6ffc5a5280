//! What is found out about a message or a session by asking elsewhere: DNS, keys, scanners. Data only; the rooms that ask fill it in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::Text;
use crate::limits::{ANALYSIS_LOGGED_CHARS_MAX, ANALYSIS_LOGGED_TEXTS_MAX};

/// Something that must be looked up before a condition or a header field can be made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// The client's forward-confirmed host name.
    ClientHost,
    /// SPF of MAIL FROM, or of HELO for the null sender.
    Spf,
    /// All DKIM signatures.
    Dkim,
    /// DMARC of the From domain; includes SPF and DKIM.
    Dmarc,
    /// The ARC chain.
    Arc,
    /// What this analyzer finds.
    Analysis(Arc<str>),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientHost => f.write_str("client_host"),
            Self::Spf => f.write_str("SPF"),
            Self::Dkim => f.write_str("DKIM"),
            Self::Dmarc => f.write_str("DMARC"),
            Self::Arc => f.write_str("ARC"),
            Self::Analysis(name) => write!(f, "the analyzer `{name}`"),
        }
    }
}

/// A fact that must be looked up.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Fact<T> {
    /// Nobody has asked yet.
    #[default]
    NotAsked,
    /// It was asked for and there is no answer now; why.
    Unknown(Arc<str>),
    /// The answer.
    Known(T),
}

impl<T> Fact<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        if let Self::Known(value) = self { Some(value) } else { None }
    }

    /// Whether nobody has asked yet.
    pub fn is_open(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

/// All that was found out. What is `None` or [`Fact::NotAsked`] was not asked for.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The client's forward-confirmed host name; `None`: it has none.
    pub client_host: Fact<Option<Arc<str>>>,
    /// SPF; trouble with DNS is a verdict too (`temperror`).
    pub spf: Option<Arc<SpfVerdict>>,
    /// DKIM.
    pub dkim: Option<Arc<DkimVerdict>>,
    /// DMARC.
    pub dmarc: Option<Arc<DmarcVerdict>>,
    /// ARC.
    pub arc: Option<Arc<ArcVerdict>>,
    /// By the analyzer's name.
    pub analyses: BTreeMap<Arc<str>, Fact<Arc<Analysis>>>,
}

impl Findings {
    /// Whether this was asked for, with an answer or without.
    pub fn has(&self, need: &Need) -> bool {
        match need {
            Need::ClientHost => !self.client_host.is_open(),
            Need::Spf => self.spf.is_some(),
            Need::Dkim => self.dkim.is_some(),
            Need::Dmarc => self.dmarc.is_some(),
            Need::Arc => self.arc.is_some(),
            Need::Analysis(name) => self.analyses.get(name).is_some_and(|fact| !fact.is_open()),
        }
    }
}

/// One DNS question and what came of it, for explanations and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name, without the last dot.
    pub name: Box<str>,
    /// `TXT`, `A`, `AAAA`, `MX`, `PTR`.
    pub kind: &'static str,
    /// The records shortened, or `NXDOMAIN`, `no records`, or the trouble.
    pub answer: Box<str>,
}

macro_rules! words {
    ($($(#[doc = $doc:literal])+ $name:ident { $($word:ident = $text:literal),+ $(,)? })+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        #[allow(missing_docs, reason = "the words are those of the RFC")]
        pub enum $name { $(#[serde(rename = $text)] $word),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The inverse of [`Self::as_str`].
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.as_str() == word)
            }

            /// As header fields, rules and the log write it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text),+ }
            }
        }
    )+};
}

words! {
    /// SPF results (RFC 8601 §2.7.2).
    SpfResult { None = "none", Neutral = "neutral", Pass = "pass", Fail = "fail", Softfail = "softfail", Policy = "policy", Temperror = "temperror", Permerror = "permerror" }
    /// DKIM results (RFC 8601 §2.7.1).
    DkimResult { None = "none", Pass = "pass", Fail = "fail", Policy = "policy", Neutral = "neutral", Temperror = "temperror", Permerror = "permerror" }
    /// DMARC results (RFC 9989).
    DmarcResult { None = "none", Pass = "pass", Fail = "fail", Temperror = "temperror", Permerror = "permerror" }
    /// ARC results (RFC 8617 §4.4; `temperror` is reported as `fail`, its reason says so).
    ArcResult { None = "none", Pass = "pass", Fail = "fail" }
    /// What a DMARC record asks for.
    DmarcPolicy { Absent = "absent", None = "none", Quarantine = "quarantine", Reject = "reject" }
    /// Mail Manager's words for the results of SPF and DKIM (`docs/semantics.md`).
    Verdict { Pass = "pass", Fail = "fail", Gray = "gray", ProcessingFailed = "processing_failed" }
}

/// Which name SPF was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpfIdentity {
    /// The domain of MAIL FROM.
    MailFrom,
    /// The name in HELO, for the null sender (RFC 7208 §2.4).
    Helo,
}

/// The verdict of SPF.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SpfVerdict {
    /// The result.
    pub result: SpfResult,
    /// Which name was asked for.
    pub identity: SpfIdentity,
    /// The domain whose record was judged; empty when there was none to ask for.
    pub domain: Box<str>,
    /// The directive that matched, as its record writes it.
    pub mechanism: Option<Box<str>>,
    /// Why, in one line of ASCII without control characters.
    pub reason: Box<str>,
    /// What the domain's owner says to a `fail` (`exp=`), printable ASCII; a stranger's words.
    pub explanation: Option<Box<str>>,
    /// The DNS questions.
    #[serde(skip)]
    pub asked: Box<[Asked]>,
}

/// The verdict on all DKIM signatures.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DkimVerdict {
    /// The best of the signatures' results.
    pub result: DkimResult,
    /// Whether a signature that passes has a domain that aligns with From (RFC 9989, relaxed).
    pub aligned: bool,
    /// Each that was looked at, from the top of the header.
    pub signatures: Box<[DkimSignature]>,
    /// The DNS questions.
    #[serde(skip)]
    pub asked: Box<[Asked]>,
}

/// One DKIM signature.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DkimSignature {
    /// Its result.
    pub result: DkimResult,
    /// `d=`, lower case; empty when it cannot be read, like the following.
    pub domain: Box<str>,
    /// `s=`.
    pub selector: Box<str>,
    /// `i=` if given.
    pub identity: Option<Box<str>>,
    /// `a=`.
    pub algorithm: Box<str>,
    /// The first eight characters of `b=` (RFC 6008).
    pub signature: Box<str>,
    /// Whether the domain aligns with From (relaxed).
    pub aligned: bool,
    /// Why, in one line of ASCII without control characters; empty for a pass.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: Box<str>,
}

/// The verdict of DMARC.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DmarcVerdict {
    /// The result.
    pub result: DmarcResult,
    /// What the record asks for mail of this From domain that fails (`p`, `sp` or `np`); `Absent` without a record.
    pub policy: DmarcPolicy,
    /// What is asked for this message: `None` when it passes; one step less than `policy` in test mode (`t=y`).
    pub effective: DmarcPolicy,
    /// The domain of From, A-labels, lower case; empty when there is not exactly one.
    pub from_domain: Box<str>,
    /// Where the record was found; empty without one.
    pub policy_domain: Box<str>,
    /// The record's text; empty without one.
    #[serde(skip)]
    pub record: Box<str>,
    /// SPF passes and aligns.
    pub spf_aligned: bool,
    /// A DKIM signature passes and aligns.
    pub dkim_aligned: bool,
    /// Why, in one line of ASCII without control characters.
    pub reason: Box<str>,
    /// The DNS questions.
    #[serde(skip)]
    pub asked: Box<[Asked]>,
}

/// The verdict on the ARC chain.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ArcVerdict {
    /// The result.
    pub result: ArcResult,
    /// ARC sets in the message.
    pub instances: u32,
    /// Who sealed, from the first to the last, as the seals say.
    pub sealers: Box<[Box<str>]>,
    /// Whether only DNS stood in the way.
    pub is_temporary: bool,
    /// Why, in one line of ASCII without control characters.
    pub reason: Box<str>,
    /// The DNS questions.
    #[serde(skip)]
    pub asked: Box<[Asked]>,
}

/// What an analyzer found, by field. For the log its texts are cut short: a scanner may say a megabyte of each message.
#[derive(Clone, Debug, Default, serde::Serialize)]
#[serde(transparent)]
pub struct Analysis {
    /// Fields without a value are not there.
    pub fields: BTreeMap<Box<str>, FieldValue>,
}

/// The value of a field of an analysis.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// One text or several.
    #[serde(serialize_with = "shortened")]
    Texts(Vec<Text>),
    /// A number.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// One of Mail Manager's verdicts.
    Verdict(Verdict),
}

fn shortened<S: serde::Serializer>(texts: &[Text], serializer: S) -> Result<S::Ok, S::Error> {
    let short = |text: &Text| {
        let plain = text.plain();
        let end = plain.char_indices().nth(ANALYSIS_LOGGED_CHARS_MAX).map(|(end, _)| end);
        end.and_then(|end| plain.get(..end)).map_or_else(|| plain.to_owned(), |begin| format!("{begin}…"))
    };
    let shown = texts.iter().take(ANALYSIS_LOGGED_TEXTS_MAX).map(short);
    let surplus = texts.len().saturating_sub(ANALYSIS_LOGGED_TEXTS_MAX);
    serializer.collect_seq(shown.chain((surplus > 0).then(|| format!("… {surplus} more"))))
}

/// The type of a field of an analysis, so that conditions on it are checked before they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text operators.
    Text,
    /// Number operators.
    Number,
    /// `equals: true`, `equals: false`.
    Boolean,
    /// `equals` and `not_equals` of Mail Manager's verdicts.
    Verdict,
}

#[cfg(test)]
impl SpfVerdict {
    /// One of MAIL FROM with nothing more to say, for tests of what others make of it.
    pub(crate) fn of(result: SpfResult, domain: &str) -> Self {
        let (mechanism, reason, explanation, asked) = (None, Box::default(), None, Box::default());
        Self { result, identity: SpfIdentity::MailFrom, domain: domain.into(), mechanism, reason, explanation, asked }
    }
}

impl SpfVerdict {
    /// In Mail Manager's words.
    pub fn verdict(&self) -> Verdict {
        match self.result {
            SpfResult::Pass => Verdict::Pass,
            SpfResult::Fail => Verdict::Fail,
            SpfResult::None | SpfResult::Neutral | SpfResult::Softfail | SpfResult::Policy => Verdict::Gray,
            SpfResult::Temperror | SpfResult::Permerror => Verdict::ProcessingFailed,
        }
    }
}

impl DkimVerdict {
    /// In Mail Manager's words: a valid signature of a stranger is `gray`.
    pub fn verdict(&self) -> Verdict {
        match self.result {
            DkimResult::Pass if self.aligned => Verdict::Pass,
            DkimResult::Fail => Verdict::Fail,
            DkimResult::Pass | DkimResult::None | DkimResult::Neutral | DkimResult::Policy => Verdict::Gray,
            DkimResult::Temperror | DkimResult::Permerror => Verdict::ProcessingFailed,
        }
    }
}
