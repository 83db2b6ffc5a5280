//! One test: its message judged, and what came of it compared with what is expected.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use super::because;
use super::compare::compare;
use crate::analyzers::AnalyzerKind;
use crate::config::{JudgedEndpoint, RuleTest, Rulebook, TestFile, TlsUse, UsedBy};
use crate::dns::Dns;
use crate::examination::{Examine, Examiner, Subject};
use crate::message::{Findings, Need};
use crate::policy::{Effect, Policy};
use crate::rules::{Otherwise, RuleSet, Rules};
use crate::smtp::Address;
use crate::telemetry::Log;
use crate::trial::{self, Given, LookUps, Trial};

/// What is not as expected.
#[derive(Clone, Debug)]
pub(super) struct Mismatch {
    /// Of whom; `None`: of the message.
    pub(super) recipient: Option<String>,
    /// Of what, as the test's key says it.
    pub(super) what: &'static str,
    /// Where it is expected, from 1.
    pub(super) line: usize,
    /// What is expected; empty where something is lacking to judge at all.
    pub(super) expected: String,
    /// What is.
    pub(super) actual: String,
    /// What decided.
    pub(super) because: Vec<Because>,
}

/// Something that decided, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Because {
    pub(super) text: String,
    pub(super) place: Option<(PathBuf, usize)>,
}

/// How a file's tests are judged.
pub(super) struct Bench<'s> {
    pub(super) rulebook: &'s Rulebook,
    pub(super) file: &'s TestFile,
    pub(super) endpoint: JudgedEndpoint,
    log: Log,
}

impl<'s> Bench<'s> {
    /// `None`: the file names what does not exist, which was reported.
    pub(super) fn new(rulebook: &'s Rulebook, file: &'s TestFile, log: &Log) -> Option<Self> {
        let endpoint = match &file.endpoint {
            Some(name) => rulebook.endpoints.get(name)?.clone(),
            None => bare_endpoint(),
        };
        let policy = match &file.policy {
            Some(name) => Arc::clone(rulebook.policies.get(&**name)?),
            None => Arc::clone(&endpoint.policy),
        };
        let rules = match &file.rules {
            Some(name) => Arc::clone(rulebook.rule_sets.get(&**name)?),
            None => Arc::clone(&endpoint.rules),
        };
        Some(Self { rulebook, file, endpoint: JudgedEndpoint { policy, rules, ..endpoint }, log: log.clone() })
    }

    /// Judges one test; also what was seen, unless there was nothing to judge.
    pub(super) async fn run(&self, test: &RuleTest) -> (Vec<Mismatch>, Option<Trial>) {
        let given = &test.given;
        let content = match given.message.read() {
            Ok(content) => content,
            Err(why) => return (vec![lacking(test, why, Vec::new())], None),
        };
        // Where no endpoint is tested, nobody asks whose domain a recipient's is.
        let domain = |address: &Address| Arc::from(address.domain().to_ascii_lowercase());
        let own = || given.envelope.recipients.iter().map(|recipient| domain(&recipient.address)).collect();
        let message = Given {
            session: given.session.clone(),
            envelope: given.envelope.clone(),
            content: trial::with_line_ends(&content).into_owned().into(),
            findings: given.findings.clone(),
            declared_size: given.declared_size,
            accepted_domains: self.file.endpoint.is_none().then(own),
        };
        let asked = given.answers.as_ref().map(|answers| {
            let analyzers = self.rulebook.analyzers.iter().filter(|(_, config)| matches!(config.kind, AnalyzerKind::Dnsbl(_)));
            let analyzers = analyzers.map(|(name, config)| (Arc::clone(name), config.clone())).collect();
            let examiner = Examiner::new(Dns::of_answers(Arc::clone(answers)), analyzers, self.log.clone());
            AnsweredByTest {
                examiner: match given.at {
                    Some(at) => examiner.at(at),
                    None => examiner,
                },
                rulebook: self.rulebook,
            }
        });
        let look_ups = asked.as_ref().map_or(LookUps::NoneGiven, |asked| LookUps::Examiner(asked));
        let trial = trial::run(self.rulebook, &self.endpoint, message, look_ups).await;
        let unanswered = given.answers.as_ref().map(|answers| answers.unanswered()).unwrap_or_default();
        let mut mismatches: Vec<Mismatch> =
            unanswered.iter().map(|question| lacking(test, format!("`dns` has no answer to `{question}`"), Vec::new())).collect();
        if !trial.lacking.is_empty() {
            let needs: Vec<String> = trial.lacking.iter().map(|need| way_to_give(need, given.answers.is_some())).collect();
            let why = format!("it matters, and is not given: {}", needs.join("; "));
            mismatches.push(lacking(test, why, because::unknown(self, &trial)));
        }
        // What would follow if the unknown did not matter is no verdict about the rules.
        if mismatches.is_empty() {
            mismatches = compare(self, test, &trial);
        }
        (mismatches, Some(trial))
    }
}

fn lacking(test: &RuleTest, actual: String, because: Vec<Because>) -> Mismatch {
    Mismatch { recipient: None, what: "given", line: test.line, expected: String::new(), actual, because }
}

/// The key of `given` that says it.
fn way_to_give(need: &Need, has_dns: bool) -> String {
    let key = match need {
        Need::ClientHost => "client_host",
        Need::Spf => "spf_result",
        Need::Dkim => "dkim_result",
        Need::Dmarc => "dmarc_result",
        Need::Arc => "arc_result",
        Need::Analysis(name) => return format!("`analysis: {{ {name}: … }}`"),
    };
    if has_dns { format!("`{key}`") } else { format!("`{key}`, or `dns` to compute it") }
}

/// Asks the answers that stand in the test, and nobody else: what scanners and services find is for the test to say.
#[derive(Debug)]
struct AnsweredByTest<'s> {
    examiner: Examiner,
    rulebook: &'s Rulebook,
}

impl Examine for AnsweredByTest<'_> {
    fn examine<'a>(
        &'a self,
        needs: &'a BTreeSet<Need>,
        subject: &'a Subject<'a>,
        findings: &'a mut Findings,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            let is_dns =
                |name: &Arc<str>| self.rulebook.analyzers.get(name).is_some_and(|config| matches!(config.kind, AnalyzerKind::Dnsbl(_)));
            let of_dns = |need: &&Need| !matches!(need, Need::Analysis(name) if !is_dns(name));
            let needs: BTreeSet<Need> = needs.iter().filter(of_dns).cloned().collect();
            self.examiner.examine(&needs, subject, findings).await;
        })
    }
}

/// Where a policy or a rule set is tested without an endpoint, nothing else has a say.
fn bare_endpoint() -> JudgedEndpoint {
    let policy = Policy { name: "".into(), default: Effect::Allow, max_message_size: None, deny: Vec::new(), allow: Vec::new() };
    let rules = RuleSet { name: "".into(), otherwise: Otherwise::Drop, rules: Rules::default() };
    JudgedEndpoint {
        name: "".into(),
        used_by: UsedBy::Everybody,
        policy: Arc::new(policy),
        rules: Arc::new(rules),
        delivery: crate::config::DeliveryMode::Inline,
        tls: TlsUse::Optional,
        looks_ahead: false,
    }
}
