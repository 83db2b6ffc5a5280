//! Tests of rule sets and policies, read and checked: what `gateway test` runs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use time::OffsetDateTime;

use super::files::Contents;
use super::workspace::{Tested, Workspace};
use super::{CheckError, Report, Rulebook, files};
use crate::dns::GivenAnswers;
use crate::limits::TEST_MESSAGE_BYTES_MAX;
use crate::message::{Envelope, Findings, SessionFacts};
use crate::rules::{MailFrom, OnFailure};
use crate::smtp::{Address, Status};

/// The tests of one deployment.
#[derive(Debug)]
pub struct TestSuite {
    /// The folder of `gateway.yaml`.
    pub root: PathBuf,
    /// What the tests judge by; the report, when it has mistakes.
    pub rulebook: Result<Rulebook, Report>,
    /// The files of tests; tests with mistakes are not in them.
    pub files: Vec<TestFile>,
    /// The mistakes of tests.
    pub report: Report,
}

/// The tests that are in files and below folders, by deployment.
///
/// # Errors
/// A path that cannot be read, or below which there is no test, or no deployment that it could be about.
pub fn tests_below(paths: &[PathBuf]) -> Result<Vec<TestSuite>, CheckError> {
    let mut by_root: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
    for path in paths {
        let unreadable = |error: std::io::Error| CheckError::Unreadable(path.clone(), files::why(&error));
        std::fs::metadata(path).map_err(unreadable)?;
        let is_named = path.is_file();
        let found: Vec<PathBuf> = files::below(path)?.into_iter().filter(|file| is_named || files::is_of_tests(file)).collect();
        if found.is_empty() {
            return Err(CheckError::NoTests(path.clone()));
        }
        for file in found {
            let root = files::root_above(&file).ok_or_else(|| CheckError::NoDeployment(path.clone()))?;
            by_root.entry(root).or_default().insert(file);
        }
    }
    let now = OffsetDateTime::now_utc();
    Ok(by_root.into_iter().map(|(root, tests)| suite(root, tests, now)).collect())
}

fn suite(root: PathBuf, tests: BTreeSet<PathBuf>, now: OffsetDateTime) -> TestSuite {
    let judged_by = files::below(&root).unwrap_or_default().into_iter().filter(|file| !files::is_of_tests(file));
    let wanted = tests.into_iter().chain(judged_by).chain([root.join("gateway.yaml")]).collect();
    let Tested { rulebook, files, report } = Workspace::of_files(Some(root.clone()), &wanted, Contents::default()).tested(now);
    TestSuite { root, rulebook, files, report }
}

/// A file of tests.
#[derive(Debug)]
pub struct TestFile {
    /// As it is shown.
    pub path: PathBuf,
    /// The endpoint that is tested.
    pub endpoint: Option<Arc<str>>,
    /// The policy that is tested: instead of the endpoint's, or alone.
    pub policy: Option<Arc<str>>,
    /// The rule set that is tested: instead of the endpoint's, or alone.
    pub rules: Option<Arc<str>>,
    /// In the order of the file.
    pub tests: Vec<RuleTest>,
}

/// One message, and what is to become of it.
#[derive(Debug)]
pub struct RuleTest {
    /// Unique in its file.
    pub name: Arc<str>,
    /// Where it begins, from 1.
    pub line: usize,
    /// The message and what is known of it.
    pub given: TestGiven,
    /// One for each recipient of the envelope, in its order.
    pub expect: Vec<Expectation>,
    /// The reply to DATA.
    pub reply: Option<ExpectedReply>,
}

/// A message and what is known of it.
#[derive(Clone, Debug)]
pub struct TestGiven {
    /// Who brings it.
    pub session: SessionFacts,
    /// From whom and to whom.
    pub envelope: Envelope,
    /// `SIZE=` of MAIL.
    pub declared_size: Option<u64>,
    /// Where the message comes from.
    pub message: GivenMessage,
    /// What is said of verdicts, host names and analyzers.
    pub findings: Findings,
    /// The answers of DNS, for what is to be found out; `None`: nothing is.
    pub answers: Option<Arc<GivenAnswers>>,
    /// Seconds since 1970; `None`: the present.
    pub at: Option<u64>,
}

/// Where a message comes from.
#[derive(Clone, Debug)]
pub enum GivenMessage {
    /// A file.
    File(PathBuf),
    /// The test itself.
    Made(Arc<MadeMessage>),
}

/// A message that a test is made of.
#[derive(Clone, Debug, Default)]
pub struct MadeMessage {
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Name, media type, content.
    pub(super) attachments: Vec<(String, String, String)>,
    pub(super) size: Option<u64>,
}

impl GivenMessage {
    /// The message; the lines of a file end as they end there.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn read(&self) -> Result<Bytes, String> {
        match self {
            Self::Made(made) => Ok(made.write().into()),
            Self::File(path) => {
                let shown = files::shown(path);
                let bytes =
                    files::bytes(path, TEST_MESSAGE_BYTES_MAX).map_err(|error| format!("{}: {}", shown.display(), files::why(&error)))?;
                if u64::try_from(bytes.len()).is_ok_and(|length| length > TEST_MESSAGE_BYTES_MAX) {
                    return Err(format!("{}: larger than {} MiB", shown.display(), TEST_MESSAGE_BYTES_MAX >> 20));
                }
                Ok(bytes.into())
            }
        }
    }
}

/// What is to become of a recipient; what is `None` is not compared.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    /// Where it is written, from 1.
    pub line: usize,
    /// What the policy says.
    pub policy: Option<PolicyVerdict>,
    /// The statement that decides, or `default`.
    pub statement: Option<String>,
    /// Where in the dialogue the recipient is refused.
    pub refused_at: Option<Stage>,
    /// The rules that match, but for those in audit mode.
    pub rules: Option<Vec<String>>,
    /// The rules in audit mode that match.
    pub audit: Option<Vec<String>>,
    /// All that is done.
    pub outcomes: Option<Vec<ExpectedOutcome>>,
    /// The rule that dropped, rejected or deferred, or `otherwise`.
    pub by: Option<String>,
    /// Header fields at every next hop.
    pub headers: Vec<(String, ExpectedHeader)>,
    /// What refuses the recipient.
    pub reply: Option<ExpectedReply>,
}

/// What a policy says of a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the words of the test files")]
pub enum PolicyVerdict {
    Allow,
    Deny,
    Defer,
}

/// A place in the dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words of the test files")]
pub enum Stage {
    Connection,
    Helo,
    Mail,
    Rcpt,
    Data,
}

/// One thing that is done for a recipient.
#[derive(Clone, Debug)]
pub enum ExpectedOutcome {
    /// Delivered through a relay.
    Relay(ExpectedStep),
    /// Accepted and forgotten.
    Drop,
    /// Refused for good.
    Reject,
    /// Refused for now.
    Defer,
}

/// A delivery; what is `None` is not compared.
#[derive(Clone, Debug, Default)]
pub struct ExpectedStep {
    /// The relay.
    pub relay: Option<String>,
    /// The addresses after replacement.
    pub to: Option<Vec<Address>>,
    /// Which reverse-path the next hop sees.
    pub mail_from: Option<MailFrom>,
    /// What a permanent failure does.
    pub on_failure: Option<OnFailure>,
    /// Header fields that this next hop sees.
    pub headers: Vec<(String, ExpectedHeader)>,
}

/// The fields of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectedHeader {
    /// There is none.
    Absent,
    /// One of them has this value.
    One(String),
    /// These are their values, from the top.
    All(Vec<String>),
}

/// A reply; what is `None` is not compared.
#[derive(Clone, Debug, Default)]
pub struct ExpectedReply {
    /// Where it is written, from 1.
    pub line: usize,
    /// The three digits.
    pub code: Option<u16>,
    /// The enhanced status code.
    pub status: Option<Status>,
    /// The whole text.
    pub text: Option<String>,
    /// A part of the text.
    pub contains: Option<String>,
    /// Who decides on it.
    pub of: Option<ReplyOf>,
}

/// Who decides on the reply to DATA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyOf {
    /// The gateway, which refuses or drops.
    Gateway,
    /// The gateway, once the message is in the spool.
    Spool,
    /// The next hop.
    Relay,
}

impl PolicyVerdict {
    /// As test files write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Defer => "defer",
        }
    }
}

impl Stage {
    /// As test files write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
        }
    }
}

impl ReplyOf {
    /// As test files write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Spool => "spool",
            Self::Relay => "relay",
        }
    }
}
