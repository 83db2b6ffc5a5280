//! One message judged by both sides, and by every answer to what is not known and makes a difference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;

use super::difference::{Change, Difference, is_by_same_rules};
use super::fare::{Ending, Fared, Fate};
use super::mask::{ANSWER, Mask, Questions, in_words, is_question};
use super::past::{Known, PassedOver, Past, PastContent, Then};
use super::why::why;
use crate::config::{JudgedEndpoint, Rulebook, TlsUse, UsedBy};
use crate::examination::Examiner;
use crate::limits::{REPLAY_FORMS_KEPT, REPLAY_POSSIBILITIES_MAX};
use crate::message::{Analysis, Fact, FieldValue, Findings, Need, TlsFacts, TlsVersion};
use crate::trial::{self, Given, LookUps};

/// One of the two sets of rules.
#[derive(Debug)]
pub struct Side {
    /// Where it comes from, for people.
    pub label: String,
    /// What it judges by.
    pub rulebook: Rulebook,
    forms: Mutex<Forms>,
}

/// Endpoints with questions in place of what is not known, by what is known.
type Forms = HashMap<(Arc<str>, Known), Arc<JudgedEndpoint>>;

/// Who is asked what is not known.
#[derive(Debug)]
pub struct Asker {
    /// Where the questions are carried out.
    runtime: tokio::runtime::Handle,
    /// Who asks.
    examiner: Examiner,
}

/// What came of a message.
#[derive(Debug)]
pub(super) struct Compared {
    pub(super) past: Box<Past>,
    pub(super) endpoint: Arc<str>,
    /// One for each recipient.
    pub(super) told: Vec<Told>,
    /// Whether the old rules explain what the log says; `None` where no log says anything.
    pub(super) is_explained: Option<bool>,
    /// Whether what is not known was taken so that the old rules delivered the message.
    pub(super) is_assumed: bool,
}

/// What can be told of a recipient.
#[derive(Debug)]
pub(super) enum Told {
    /// It fares the same; perhaps by other rules.
    Same { by_same_rules: bool },
    /// It does not.
    Differs(Box<Difference>, Vec<String>),
    /// That depends on what is not known.
    Open(Open),
}

/// What is not known, and what it could mean.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Open {
    pub(super) possible: Vec<String>,
    pub(super) questions: BTreeSet<String>,
}

impl Side {
    /// A set of rules under a name.
    pub fn new(label: String, rulebook: Rulebook) -> Self {
        Self { label, rulebook, forms: Mutex::default() }
    }

    /// The endpoint with questions in place of what is not known.
    fn form(&self, name: &Arc<str>, known: &Known, questions: &Questions) -> Option<Arc<JudgedEndpoint>> {
        let endpoint = self.rulebook.endpoints.get(name)?;
        let key = (Arc::clone(name), known.clone());
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(form) = forms.get(&key) {
            return Some(Arc::clone(form));
        }
        if forms.len() >= REPLAY_FORMS_KEPT {
            forms.clear();
        }
        let mask = Mask { known, used_by: endpoint.used_by, questions };
        let (policy, rules) = (Arc::new(mask.policy(&endpoint.policy)), Arc::new(mask.rules(&endpoint.rules)));
        let form = Arc::new(JudgedEndpoint { policy, rules, ..endpoint.clone() });
        forms.insert(key, Arc::clone(&form));
        Some(form)
    }
}

/// Judges a message by both sides.
pub(super) fn compare(
    past: Past,
    endpoint: &Arc<str>,
    sides: [&Side; 2],
    questions: &Questions,
    asker: Option<&Asker>,
) -> Result<Compared, PassedOver> {
    let form = |side: &Side| {
        let missing = || PassedOver::new(past.place.clone(), format!("{} has no endpoint `{endpoint}`", side.label));
        side.form(endpoint, &past.known, questions).ok_or_else(missing)
    };
    let [old, new] = sides;
    let forms = [form(old)?, form(new)?];
    let mut leaves = Vec::new();
    let mut left = vec![(past.findings.clone(), BTreeSet::new())];
    let mut unanswerable = BTreeSet::new();
    let mut tried: usize = 0;
    while let Some((findings, asked)) = left.pop() {
        tried = tried.saturating_add(1);
        match judged(&past, [(old, &*forms[0]), (new, &*forms[1])], findings, asker) {
            Ok((old, new)) => leaves.push(Leaf { old, new, asked }),
            Err((needs, findings)) => {
                let question = needs.iter().find(|need| is_question(need) == Some(true));
                match question {
                    Some(Need::Analysis(name)) if tried.saturating_add(left.len()) < REPLAY_POSSIBILITIES_MAX => {
                        let mut asked: BTreeSet<Need> = asked;
                        asked.insert(Need::Analysis(Arc::clone(name)));
                        left.extend([false, true].map(|answer| (answered(&findings, name, answer), asked.clone())));
                    }
                    _ => unanswerable.extend(needs),
                }
            }
        }
    }
    let mut is_explained = None;
    if let Some(then) = &past.then {
        let is_like = |leaf: &Leaf| is_like_then(&leaf.old, &past, then);
        let any = leaves.iter().any(is_like);
        is_explained = Some(any);
        if any {
            leaves.retain(is_like);
        }
    }
    let is_assumed = past.then.is_none() && retain_delivered(&mut leaves);
    let told = (0..past.envelope.recipients.len()).map(|place| told(place, &past, &leaves, &unanswerable, sides)).collect();
    Ok(Compared { endpoint: Arc::clone(endpoint), told, is_explained, is_assumed, past: Box::new(past) })
}

/// One way to take what is not known.
struct Leaf {
    old: Fared,
    new: Fared,
    asked: BTreeSet<Need>,
}

/// Mail that is found in an archive has been delivered: ways to take the unknown in which the old rules refuse or drop it are left out,
/// unless there are no others. Whether any were.
fn retain_delivered(leaves: &mut Vec<Leaf>) -> bool {
    let sent = |leaf: &Leaf| -> Vec<bool> { leaf.old.fates.iter().map(|fate| fate.ending == Ending::Sent).collect() };
    let can_be: Vec<bool> = leaves
        .iter()
        .map(sent)
        .fold(Vec::new(), |all, one| if all.is_empty() { one } else { all.iter().zip(one).map(|(known, one)| *known || one).collect() });
    let is_like = |leaf: &Leaf| sent(leaf) == can_be;
    let before = leaves.len();
    if can_be.contains(&true) && leaves.iter().any(is_like) {
        leaves.retain(is_like);
    }
    leaves.len() < before
}

/// What can be told of the recipient at this place.
fn told(place: usize, past: &Past, leaves: &[Leaf], unanswerable: &BTreeSet<Need>, sides: [&Side; 2]) -> Told {
    let Some(recipient) = past.envelope.recipients.get(place).map(|recipient| &recipient.address) else {
        return Told::Same { by_same_rules: true };
    };
    let fates = |leaf: &Leaf| -> Option<(Fate, Fate)> { Some((leaf.old.fates.get(place)?.clone(), leaf.new.fates.get(place)?.clone())) };
    let mut found: BTreeMap<Option<Difference>, &Leaf> = BTreeMap::new();
    let mut by_same_rules = true;
    for leaf in leaves {
        let Some((old, new)) = fates(leaf) else { continue };
        by_same_rules &= is_by_same_rules(&old, &new);
        found.entry(Difference::between(&old, &new, recipient)).or_insert(leaf);
    }
    let is_whole = unanswerable.is_empty();
    let mut kinds = found.iter();
    match (kinds.next(), kinds.next()) {
        (Some((None, _)), None) if is_whole => Told::Same { by_same_rules },
        (Some((Some(difference), leaf)), None) if is_whole => {
            let names = sides.map(|side| side.label.as_str());
            Told::Differs(Box::new(difference.clone()), why(place, difference, [&leaf.old, &leaf.new], names))
        }
        _ => {
            let mut possible: Vec<String> = found.keys().map(in_brief).collect();
            if !is_whole {
                possible.push("another way".to_owned());
            }
            let questions = leaves.iter().flat_map(|leaf| &leaf.asked).chain(unanswerable).map(in_words).collect();
            Told::Open(Open { possible, questions })
        }
    }
}

fn in_brief(difference: &Option<Difference>) -> String {
    let Some(Difference { changes, new_by, .. }) = difference else { return "the same".to_owned() };
    let change = changes.first().map(Change::in_brief).unwrap_or_default();
    if new_by.is_empty() { change } else { format!("{change} by {}", new_by.join(", ")) }
}

type BothFared = Result<(Fared, Fared), (BTreeSet<Need>, Findings)>;

/// By both sides; what one has found out, the other knows.
fn judged(past: &Past, sides: [(&Side, &JudgedEndpoint); 2], findings: Findings, asker: Option<&Asker>) -> BothFared {
    let [(old, old_form), (new, new_form)] = sides;
    // Where nobody is asked nothing is waited for, so this cannot be; if it were, nothing could be told.
    let stuck = || (BTreeSet::from([Need::Analysis("?!what takes time".into())]), past.findings.clone());
    let mut first = tried(past, old, old_form, findings, asker).ok_or_else(stuck)?;
    let findings = std::mem::take(&mut first.findings);
    let mut second = tried(past, new, new_form, findings, asker).ok_or_else(stuck)?;
    let needs: BTreeSet<Need> = first.lacking.iter().chain(&second.lacking).cloned().collect();
    if !needs.is_empty() {
        return Err((needs, std::mem::take(&mut second.findings)));
    }
    let recipients = past.envelope.recipients.len();
    Ok((Fared::of(first, recipients, old_form.delivery), Fared::of(second, recipients, new_form.delivery)))
}

/// The trial of one side, with all findings that were given kept.
fn tried(past: &Past, side: &Side, form: &JudgedEndpoint, findings: Findings, asker: Option<&Asker>) -> Option<trial::Trial> {
    let given = given(past, form, findings.clone());
    let mut trial = match asker.filter(|_| past.known.is_asked) {
        Some(Asker { runtime, examiner }) => runtime.block_on(trial::run(&side.rulebook, form, given, LookUps::Examiner(examiner))),
        None => trial::run(&side.rulebook, form, given, LookUps::NoneGiven).now_or_never()?,
    };
    let found = std::mem::replace(&mut trial.findings, findings);
    let all = &mut trial.findings;
    if all.client_host.is_open() {
        all.client_host = found.client_host;
    }
    all.spf = all.spf.take().or(found.spf);
    all.dkim = all.dkim.take().or(found.dkim);
    all.dmarc = all.dmarc.take().or(found.dmarc);
    all.arc = all.arc.take().or(found.arc);
    for (name, fact) in found.analyses {
        all.analyses.entry(name).or_insert(fact);
    }
    Some(trial)
}

/// What is given to the trial. Where a client's part is not known, it does what the endpoint asks for: nothing depends on it, for
/// conditions on it are questions.
fn given(past: &Past, form: &JudgedEndpoint, findings: Findings) -> Given {
    let mut session = past.session.clone();
    session.client_host = findings.client_host.known().cloned().flatten();
    let unknown_tls = || TlsFacts { version: TlsVersion::Tls1_3, cipher: "".into(), wrapped: false, client_certificate: None };
    if !past.known.tls && session.tls.is_none() && matches!(form.tls, TlsUse::Required | TlsUse::Implicit) {
        session.tls = Some(unknown_tls());
    }
    match form.used_by {
        UsedBy::Everybody => {}
        UsedBy::Users => {
            session.authenticated |= !past.known.authenticated;
            session.tls.get_or_insert_with(unknown_tls);
        }
        UsedBy::Partners => session.tls.get_or_insert_with(unknown_tls).client_certificate = Some(Arc::default()),
    }
    if let Some(tls) = &mut session.tls
        && !past.known.tls_wrapped
    {
        tls.wrapped = form.tls == TlsUse::Implicit;
    }
    let (content, declared_size) = match &past.content {
        PastContent::Whole(bytes) => (bytes.clone(), None),
        PastContent::Octets(size, header) => {
            let max = form.policy.max_message_size.unwrap_or(crate::limits::MESSAGE_BYTES_DEFAULT);
            (stand_in(header, (*size).min(max), form), Some(*size))
        }
        PastContent::Unknown => (stand_in(b"", 0, form), None),
    };
    Given { session, envelope: past.envelope.clone(), content, findings, declared_size, accepted_domains: None }
}

/// A message of so many octets, with this header and a field for each that a rule may remove, as far as there is room.
fn stand_in(header: &[u8], size: u64, form: &JudgedEndpoint) -> Bytes {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let mut content = BytesMut::with_capacity(size);
    content.extend_from_slice(header);
    for action in form.rules.rules.iter().flat_map(|rule| &rule.actions) {
        if let crate::rules::Action::RemoveHeader { name } = action
            && (size == 0 || content.len().saturating_add(name.len()).saturating_add(8) < size)
        {
            content.extend_from_slice(format!("{name}: x\r\n").as_bytes());
        }
    }
    if content.len().saturating_add(4) <= size {
        content.extend_from_slice(b"\r\n");
        content.resize(size.saturating_sub(2), b'x');
        content.extend_from_slice(b"\r\n");
    }
    content.freeze()
}

fn answered(findings: &Findings, name: &Arc<str>, answer: bool) -> Findings {
    let mut findings = findings.clone();
    let fields = BTreeMap::from([(ANSWER.into(), FieldValue::Boolean(answer))]);
    findings.analyses.insert(Arc::clone(name), Fact::Known(Arc::new(Analysis { fields })));
    findings
}

/// Whether the old rules do what was done then.
fn is_like_then(fared: &Fared, past: &Past, then: &Then) -> bool {
    let mut rules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut accepted = BTreeSet::new();
    for (fate, recipient) in fared.fates.iter().zip(&past.envelope.recipients) {
        let address = recipient.address.as_str().to_owned();
        if !matches!(fate.ending, Ending::ByPolicy(_) | Ending::BySession | Ending::Relaying) {
            accepted.insert(address.clone());
        }
        for rule in fate.rules.iter().chain(&fate.audits) {
            rules.entry(rule.to_string()).or_default().insert(address.clone());
        }
    }
    accepted == then.accepted && (!then.is_judged || rules == then.rules)
}

impl Asker {
    /// Asks the DNS servers and analyzers that a rulebook names.
    ///
    /// # Errors
    /// Where the servers of the system are not known.
    pub fn new(rulebook: &Rulebook, runtime: tokio::runtime::Handle) -> Result<Self, String> {
        Ok(Self { runtime, examiner: trial::examiner(rulebook)? })
    }
}
