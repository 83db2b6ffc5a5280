//! The client's side of the dialogue, with the real session on the other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::judged::judge;
use super::{Exchange, Given, LookUps, RcptTrial, StageTrial, Trial};
use crate::config::{Domains, JudgedEndpoint, Rulebook, TlsUse, UsedBy};
use crate::domains::AcceptedDomains;
use crate::examination::Subject;
use crate::ingress::{RELAYING_DENIED, Ruling, Stage, known, may_relay, with_domain};
use crate::message::{Envelope, Fact, Findings, MessageId, Need, Original, SessionFacts, SessionIds, is_srs};
use crate::policy::Verdict;
use crate::smtp::{Address, Event, Recipient, Reply, ReplyParser, Session, SessionConfig};

/// Stands in replies for the id that joins them with the log.
const ID: &str = "ID";

/// A client that sends one message.
pub(super) struct Client<'t> {
    pub(super) rulebook: &'t Rulebook,
    pub(super) endpoint: &'t JudgedEndpoint,
    pub(super) given: Given,
    look_ups: LookUps<'t>,
    session: Session,
    now: Instant,
    /// What the gateway has heard so far.
    pub(super) facts: SessionFacts,
    pub(super) envelope: Option<Envelope>,
    /// What was found out so far.
    pub(super) found: Findings,
    id: MessageId,
    is_closed: bool,
    message: Option<Bytes>,
    trial: Trial,
}

impl<'t> Client<'t> {
    pub(super) fn new(rulebook: &'t Rulebook, endpoint: &'t JudgedEndpoint, given: Given, look_ups: LookUps<'t>) -> Self {
        let mut assumptions = Vec::new();
        let (mut given, name) = (given, &endpoint.name);
        if given.session.helo.is_empty() {
            let literal = match given.session.client_ip {
                std::net::IpAddr::V4(address) => format!("[{address}]"),
                std::net::IpAddr::V6(address) => format!("[IPv6:{address}]"),
            };
            assumptions.push(format!("the client says EHLO {literal}: no name was given"));
            given.session.helo = literal.into();
        }
        let tls = given.session.tls.as_ref();
        match (endpoint.tls, tls.map(|tls| tls.wrapped)) {
            (TlsUse::None, Some(_)) => assumptions.push(format!("the endpoint `{name}` offers TLS, though it has no certificate")),
            (TlsUse::Implicit, Some(false)) => {
                assumptions.push(format!("the endpoint `{name}` offers STARTTLS, though its TLS is implicit"))
            }
            (TlsUse::Implicit, None) => {
                assumptions.push(format!("the endpoint `{name}` takes a client without TLS, though its TLS is implicit"))
            }
            (TlsUse::Optional | TlsUse::Required, Some(true)) => {
                assumptions.push(format!("the endpoint `{name}` has implicit TLS, though it offers STARTTLS"));
            }
            _ => {}
        }
        if endpoint.looks_ahead {
            assumptions.push("the relays that are asked for recipients at RCPT know all of them".to_owned());
        }
        let mut config = rulebook.limits.of_session(SessionConfig::new(Arc::clone(&rulebook.hostname)));
        config.starttls = tls.map_or(matches!(endpoint.tls, TlsUse::Optional | TlsUse::Required), |tls| !tls.wrapped);
        config.tls_required = endpoint.tls == TlsUse::Required;
        config.auth = endpoint.used_by == UsedBy::Users;
        config.message_bytes_max = endpoint.policy.max_message_size.unwrap_or(config.message_bytes_max);
        let now = Instant::now();
        let facts =
            SessionFacts { helo: "".into(), extended: false, tls: None, authenticated: false, login: None, ..given.session.clone() };
        Self {
            session: Session::new(Arc::new(config), now),
            now,
            facts,
            envelope: None,
            found: Findings::default(),
            id: MessageId { session: SessionIds::new(0).next(0), number: 1 },
            is_closed: false,
            message: None,
            trial: Trial {
                dialogue: Vec::new(),
                stages: Vec::new(),
                recipients: given.envelope.recipients.iter().map(RcptTrial::unasked).collect(),
                judged: None,
                lacking: BTreeSet::new(),
                assumptions,
                findings: Findings::default(),
            },
            rulebook,
            endpoint,
            given,
            look_ups,
        }
    }

    /// Goes on as far as it is let.
    pub(super) async fn run(mut self) -> Trial {
        self.talk().await;
        if let Some(message) = self.message.take() {
            let judged = judge(&mut self, message).await;
            let reply = judged.reply();
            if let Some(last) = self.trial.dialogue.last_mut() {
                last.reply = reply;
            }
            self.trial.lacking.extend(judged.lacking.iter().cloned());
            self.trial.judged = Some(judged);
        }
        self.trial.findings = self.found;
        self.trial
    }

    async fn talk(&mut self) {
        let tls = self.given.session.tls.clone();
        if tls.as_ref().is_some_and(|tls| tls.wrapped) {
            self.facts.tls.clone_from(&tls);
            self.session.tls_established();
        }
        match self.stage(Stage::Connect) {
            Err(refusal) => self.session.refuse_connection(&refusal),
            Ok(()) => self.session.greet(),
        }
        self.listen("", None).await;
        // Who is refused goes no further: what a client pipelines behind it is answered with 503.
        if !self.introduce(tls.is_some_and(|tls| !tls.wrapped)).await || !self.say(&self.mail_command(), None).await {
            return;
        }
        for (place, recipient) in self.given.envelope.recipients.clone().into_iter().enumerate() {
            self.say(&format!("RCPT TO:<{}>", recipient.address), Some(place)).await;
        }
        if self.is_closed || !self.say("DATA", None).await {
            return;
        }
        self.session.input().extend_from_slice(&stuffed(&self.given.content));
        self.listen(".", None).await;
    }

    /// All that comes before MAIL.
    async fn introduce(&mut self, starts_tls: bool) -> bool {
        let hello = format!("{} {}", if self.given.session.extended { "EHLO" } else { "HELO" }, self.given.session.helo);
        if !self.say(&hello, None).await || starts_tls && !(self.say("STARTTLS", None).await && self.say(&hello, None).await) {
            return false;
        }
        if !self.given.session.authenticated || self.endpoint.used_by != UsedBy::Users {
            return true;
        }
        let login = self.given.session.login.clone().unwrap_or_else(|| "user".into());
        // The password is not judged here.
        self.say(&format!("AUTH PLAIN {}", plain(&login)), None).await
    }

    /// MAIL as most clients say it.
    fn mail_command(&self) -> String {
        let Given { session, envelope, content, declared_size, .. } = &self.given;
        let mut line = format!("MAIL FROM:{}", envelope.reverse_path);
        // Who says HELO knows no extensions.
        if session.extended {
            let size = declared_size.unwrap_or_else(|| u64::try_from(content.len()).unwrap_or(u64::MAX));
            line.push_str(&format!(" SIZE={size}"));
            let parameters =
                [(envelope.eight_bit, " BODY=8BITMIME"), (envelope.smtputf8, " SMTPUTF8"), (envelope.terms.require_tls, " REQUIRETLS")];
            parameters.iter().filter(|(wanted, _)| *wanted).for_each(|(_, parameter)| line.push_str(parameter));
        }
        line
    }

    /// Says a line and listens; whether the answer was positive.
    async fn say(&mut self, line: &str, rcpt: Option<usize>) -> bool {
        if self.is_closed {
            return false;
        }
        self.session.input().extend_from_slice(line.as_bytes());
        self.session.input().extend_from_slice(b"\r\n");
        self.listen(line, rcpt).await
    }

    async fn listen(&mut self, said: &str, rcpt: Option<usize>) -> bool {
        loop {
            match self.session.poll(self.now) {
                Event::Helo { name, extended } => {
                    let before = (Arc::clone(&self.facts.helo), self.facts.extended);
                    (self.facts.helo, self.facts.extended) = (name, extended);
                    let decision = self.stage(Stage::Helo);
                    if decision.is_err() {
                        (self.facts.helo, self.facts.extended) = before;
                    }
                    self.session.answer(decision);
                }
                Event::Auth { .. } => {
                    self.facts.authenticated = true;
                    self.facts.login.clone_from(&self.given.session.login);
                    self.session.answer(Ok(()));
                }
                Event::Mail { reverse_path, parameters } => {
                    let terms = self.given.envelope.terms.clone();
                    let (smtputf8, eight_bit) = (parameters.smtputf8, parameters.eight_bit);
                    self.envelope = Some(Envelope { reverse_path, recipients: Vec::new(), smtputf8, eight_bit, terms });
                    let decision = self.stage(Stage::Mail);
                    if decision.is_err() {
                        self.envelope = None;
                    }
                    self.session.answer(decision);
                }
                Event::Rcpt { address, .. } => {
                    let decision = self.recipient(address, rcpt.unwrap_or_default()).await;
                    self.session.answer(decision);
                }
                Event::Data => self.session.answer(Ok(())),
                Event::Message { data, .. } => {
                    self.message = Some(data);
                    break;
                }
                Event::StartTls => {
                    let reply = self.hear(said, rcpt);
                    // RFC 3207 §4.2: what was said before TLS is forgotten.
                    self.session.tls_established();
                    self.facts.tls.clone_from(&self.given.session.tls);
                    self.facts.helo = "".into();
                    return reply;
                }
                Event::Reset | Event::Refused { .. } => {}
                Event::NeedInput => break,
                Event::Close => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        self.hear(said, rcpt)
    }

    /// Takes down what was said and answered.
    fn hear(&mut self, said: &str, rcpt: Option<usize>) -> bool {
        let mut parser = ReplyParser::default();
        parser.feed(&self.session.output().split());
        let reply = parser.next_reply().ok().flatten();
        if let Some(recipient) = rcpt.and_then(|place| self.trial.recipients.get_mut(place)) {
            recipient.reply.clone_from(&reply);
        }
        let is_positive = reply.as_ref().is_some_and(Reply::is_positive);
        self.trial.dialogue.push(Exchange { said: said.to_owned(), reply });
        is_positive
    }

    /// Asks the policy before RCPT.
    fn stage(&mut self, stage: Stage) -> Result<(), Reply> {
        let trial = self.asked(stage, None);
        let refusal = trial.refusal.clone();
        self.trial.stages.push(trial);
        refusal.map_or(Ok(()), Err)
    }

    fn asked(&self, stage: Stage, recipient: Option<&str>) -> StageTrial {
        let reverse_path = self.envelope.as_ref().map(|envelope| &envelope.reverse_path);
        let facts = known(&self.facts, reverse_path, recipient, &self.found);
        let (verdict, trace) = self.endpoint.policy.judge_traced(&facts);
        let refusal = Ruling::of(stage, verdict.clone(), &self.endpoint.policy, &facts, &ID).and_then(|ruling| ruling.refusal);
        StageTrial { stage, trace, verdict, refusal }
    }

    async fn recipient(&mut self, address: Address, place: usize) -> Result<(), Reply> {
        let address = with_domain(address, &self.rulebook.domains, &self.rulebook.hostname);
        let canonical = address.canonical().into_owned();
        let mut asked = self.asked(Stage::Rcpt, Some(&canonical));
        let mut lacking = BTreeSet::new();
        while let Verdict::Undecided { needs } = &asked.verdict {
            if needs.is_empty() {
                break;
            }
            lacking = self.look_up(&needs.clone(), None).await;
            if !lacking.is_empty() {
                break;
            }
            asked = self.asked(Stage::Rcpt, Some(&canonical));
        }
        // What is not known stands in nobody's way here: the rest is worth seeing, and that it is not known is said.
        let refusal = asked.refusal.clone().filter(|_| lacking.is_empty());
        self.trial.lacking.extend(lacking.iter().cloned());
        if let Some(trial) = self.trial.recipients.get_mut(place) {
            trial.policy = Some(asked);
            trial.lacking = lacking;
        }
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        if self.rulebook.srs_domain.as_ref().is_some_and(|domain| is_srs(&address, domain)) {
            self.assume(format!("<{address}> was made here for a sender; whether that is true takes a key, and no rule is asked"));
            return Ok(());
        }
        self.check_domain(&address).await?;
        let parameters = self.given.envelope.recipients.get(place).map(|recipient| recipient.parameters.clone()).unwrap_or_default();
        if let Some(envelope) = &mut self.envelope {
            envelope.add_recipient(Recipient { address, parameters });
        }
        Ok(())
    }

    async fn check_domain(&mut self, address: &Address) -> Result<(), Reply> {
        if may_relay(self.endpoint.used_by, &self.facts) {
            return Ok(());
        }
        let list = match (&self.rulebook.domains, &self.given.accepted_domains) {
            (_, Some(domains)) => Domains::List(domains.clone()),
            (Domains::List(_), None) => self.rulebook.domains.clone(),
            (Domains::Ses, None) => {
                self.assume(format!("`{}` is a verified identity of the SES account", address.domain()));
                return Ok(());
            }
        };
        // A list is answered from memory.
        let accepted = AcceptedDomains::new(&list, Arc::default(), None).accepts(address.domain()).await;
        if accepted == Ok(true) { Ok(()) } else { Err(RELAYING_DENIED) }
    }

    fn assume(&mut self, assumption: String) {
        if !self.trial.assumptions.contains(&assumption) {
            self.trial.assumptions.push(assumption);
        }
    }

    /// Finds out what is needed; what nobody can say.
    pub(super) async fn look_up(&mut self, needs: &BTreeSet<Need>, original: Option<&Original>) -> BTreeSet<Need> {
        for need in needs {
            reveal(need, &self.given.findings, &mut self.found);
        }
        if let (LookUps::Examiner(examiner), Some(envelope)) = (self.look_ups, &self.envelope) {
            let hostname = &self.rulebook.hostname;
            let subject = Subject { hostname, id: self.id, session: &self.facts, envelope, original };
            examiner.examine(needs, &subject, &mut self.found).await;
        }
        self.facts.client_host = self.found.client_host.known().cloned().flatten();
        needs.iter().filter(|need| !self.found.has(need)).cloned().collect()
    }

    /// For the rules all that is given is known: what they do not need changes nothing.
    pub(super) fn reveal_all(&mut self) {
        let given = &self.given.findings;
        let names = given.analyses.keys().map(|name| Need::Analysis(Arc::clone(name)));
        for need in [Need::ClientHost, Need::Spf, Need::Dkim, Need::Dmarc, Need::Arc].into_iter().chain(names) {
            reveal(&need, given, &mut self.found);
        }
    }
}

impl RcptTrial {
    fn unasked(recipient: &Recipient) -> Self {
        Self { address: recipient.address.clone(), policy: None, reply: None, lacking: BTreeSet::new() }
    }
}

/// Makes known what is given.
fn reveal(need: &Need, given: &Findings, found: &mut Findings) {
    if found.has(need) || !given.has(need) {
        return;
    }
    match need {
        Need::ClientHost => found.client_host = given.client_host.clone(),
        Need::Spf => found.spf.clone_from(&given.spf),
        Need::Dkim => found.dkim.clone_from(&given.dkim),
        Need::Dmarc => found.dmarc.clone_from(&given.dmarc),
        Need::Arc => found.arc.clone_from(&given.arc),
        Need::Analysis(name) => {
            let fact = given.analyses.get(name).cloned().unwrap_or(Fact::NotAsked);
            found.analyses.insert(Arc::clone(name), fact);
        }
    }
}

/// The initial response of AUTH PLAIN (RFC 4616): this user and a password of one character.
fn plain(login: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(format!("\0{login}\0-"))
}

/// A message as it goes over the wire (RFC 5321 §4.5.2).
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len().saturating_add(8));
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
