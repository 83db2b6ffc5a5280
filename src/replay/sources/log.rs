//! The gateway's own event log: who sent what to whom, what was found out, and which rules matched. Not the content.
//!
//! Events of different sessions are mixed; they are put together by their ids until the reply to DATA, or the end of the session.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::BufRead;
use std::net::IpAddr;

use serde_json::Value;

use super::lines::{Piece, piece};
use crate::limits::{RECIPIENTS_MAX, REPLAY_LOG_LINE_BYTES_MAX, REPLAY_OPEN_MAX};
use crate::message::TlsVersion;
use crate::replay::past::PassedOver;

/// Recipients that one transaction can have tried: all that a message may have, and as many that were refused.
const RECIPIENTS_TRIED_MAX: usize = RECIPIENTS_MAX * 2;

/// What a log tells of one transaction.
#[derive(Clone, Debug, Default)]
pub(in crate::replay) struct Logged {
    /// The id of the message.
    pub(in crate::replay) id: String,
    pub(in crate::replay) endpoint: Option<String>,
    pub(in crate::replay) client: Option<IpAddr>,
    pub(in crate::replay) helo: Option<String>,
    /// Empty for the null sender.
    pub(in crate::replay) mail_from: Option<String>,
    /// All that were tried, in order.
    pub(in crate::replay) recipients: Vec<String>,
    /// Who was accepted.
    pub(in crate::replay) accepted: BTreeSet<String>,
    pub(in crate::replay) size: Option<u64>,
    /// Plain text is `Some(None)`.
    pub(in crate::replay) tls: Option<Option<TlsVersion>>,
    pub(in crate::replay) has_login: bool,
    pub(in crate::replay) message_id: Option<String>,
    /// By the name of the verdict, as logged.
    pub(in crate::replay) verdicts: BTreeMap<String, Value>,
    /// By analyzer: the fields, or null where there was no answer.
    pub(in crate::replay) analyses: BTreeMap<String, Value>,
    pub(in crate::replay) rules: BTreeMap<String, BTreeSet<String>>,
    /// Whether it came whole.
    pub(in crate::replay) is_whole: bool,
    /// Whether it was refused for what it is, before any rule.
    pub(in crate::replay) is_unjudged: bool,
}

#[derive(Debug, Default)]
struct Session {
    endpoint: Option<String>,
    client: Option<IpAddr>,
    tls: Option<TlsVersion>,
    has_login: bool,
    messages: Vec<String>,
}

/// A log that is being read.
pub(in crate::replay) struct Log<R> {
    input: R,
    name: String,
    line_number: u64,
    sessions: HashMap<String, Session>,
    open: HashMap<String, Logged>,
    /// Ids in the order of their begin, of those that are open and of some that are not any more.
    begun: VecDeque<String>,
    begun_sessions: VecDeque<String>,
    ready: VecDeque<Result<Logged, PassedOver>>,
    is_over: bool,
}

impl<R: BufRead> Log<R> {
    pub(super) fn new(input: R, name: String) -> Self {
        Self {
            input,
            name,
            line_number: 0,
            sessions: HashMap::new(),
            open: HashMap::new(),
            begun: VecDeque::new(),
            begun_sessions: VecDeque::new(),
            ready: VecDeque::new(),
            is_over: false,
        }
    }

    /// Reads on until something is ready, or to the end.
    fn read(&mut self) -> std::io::Result<()> {
        let (mut part, mut line) = (Vec::new(), Vec::new());
        while self.ready.is_empty() {
            line.clear();
            let mut is_too_long = false;
            loop {
                match piece(&mut self.input, &mut part)? {
                    Piece::End if line.is_empty() => {
                        self.close();
                        return Ok(());
                    }
                    read => {
                        is_too_long |= line.len().saturating_add(part.len()) > REPLAY_LOG_LINE_BYTES_MAX;
                        if !is_too_long {
                            line.extend_from_slice(&part);
                        }
                        if read != Piece::Part {
                            break;
                        }
                    }
                }
            }
            self.line_number = self.line_number.saturating_add(1);
            if is_too_long {
                self.pass_over("the line is too long");
                continue;
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(event) => self.event(&event),
                Err(_) if line.trim_ascii().is_empty() => {}
                Err(_) => self.pass_over("the line is no JSON"),
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, why: &str) {
        self.ready.push_back(Err(PassedOver::new(format!("{}:{}", self.name, self.line_number), why)));
    }

    /// What is left open when the log ends.
    fn close(&mut self) {
        self.is_over = true;
        for id in std::mem::take(&mut self.begun) {
            self.finish(&id);
        }
    }

    fn finish(&mut self, id: &str) {
        let Some(logged) = self.open.remove(id) else { return };
        let refused = logged.is_unjudged.then_some("it was refused for its header or as a loop, before any rule");
        match refused {
            Some(why) => self.ready.push_back(Err(PassedOver::new(format!("message {}", logged.id), why))),
            None if logged.recipients.is_empty() => {}
            None => self.ready.push_back(Ok(logged)),
        }
    }

    fn event(&mut self, event: &Value) {
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let owned = |key: &str| text(key).map(str::to_owned);
        let (Some(kind), Some(session)) = (text("event"), text("session")) else { return };
        match kind {
            "connected" => {
                let (endpoint, client) = (owned("endpoint"), text("client").and_then(|client| client.parse().ok()));
                self.sessions.insert(session.to_owned(), Session { endpoint, client, ..Session::default() });
                self.begun_sessions.push_back(session.to_owned());
                while self.begun_sessions.len() > REPLAY_OPEN_MAX {
                    self.begun_sessions.pop_front().into_iter().for_each(|oldest| self.end_session(&oldest));
                }
            }
            "tls" => {
                if let (Some(session), Some(version)) = (self.sessions.get_mut(session), text("version").and_then(tls_version)) {
                    session.tls = Some(version);
                }
            }
            "login" if text("result") == Some("accepted") => {
                self.sessions.get_mut(session).into_iter().for_each(|session| session.has_login = true);
            }
            "disconnected" => self.end_session(session),
            _ => {
                if let Some(id) = text("message") {
                    self.message_event(kind, session, id, event);
                }
            }
        }
    }

    fn end_session(&mut self, session: &str) {
        for id in self.sessions.remove(session).map(|session| session.messages).unwrap_or_default() {
            self.finish(&id);
        }
    }

    fn message_event(&mut self, kind: &str, session: &str, id: &str, event: &Value) {
        if !matches!(kind, "policy" | "refused" | "call_ahead" | "verdicts" | "analysis" | "message" | "rule" | "outcome" | "replied") {
            return;
        }
        // What comes later than the reply (a delivery from the spool) opens nothing again.
        if !self.open.contains_key(id) && !matches!(kind, "policy" | "refused" | "verdicts" | "analysis" | "message") {
            return;
        }
        let logged = self.opened(session, id);
        let text = |key: &str| event.get(key).and_then(Value::as_str);
        let texts = |key: &str| {
            let items = event.get(key).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
        };
        match kind {
            "policy" => {
                logged.client = logged.client.or_else(|| text("client")?.parse().ok());
                logged.mail_from = logged.mail_from.take().or_else(|| text("mail_from").map(str::to_owned));
                if let Some(recipient) = text("recipient") {
                    logged.tried(recipient);
                }
            }
            "refused" => text("recipient").into_iter().for_each(|recipient| logged.tried(recipient)),
            "call_ahead" if text("result") == Some("unknown") => {
                // Neither rule set has a say in it.
                logged.recipients.retain(|tried| Some(tried.as_str()) != text("recipient"));
            }
            "verdicts" => {
                for name in ["client_host", "spf", "dkim", "dmarc", "arc"] {
                    if let Some(verdict) = event.get(name).filter(|verdict| !verdict.is_null()) {
                        logged.verdicts.insert(name.to_owned(), verdict.clone());
                    }
                }
            }
            "analysis" => {
                if let Some(analyzer) = text("analyzer") {
                    let fields = event.get("fields").cloned().unwrap_or_default();
                    logged.analyses.insert(analyzer.to_owned(), fields);
                }
            }
            "message" => {
                logged.endpoint = text("endpoint").map(str::to_owned);
                logged.client = text("client").and_then(|client| client.parse().ok());
                logged.helo = text("helo").map(str::to_owned);
                logged.mail_from = text("mail_from").map(str::to_owned);
                logged.message_id = text("message_id").map(str::to_owned);
                logged.size = event.get("size").and_then(Value::as_u64);
                logged.tls = Some(text("tls").and_then(tls_version));
                logged.accepted = texts("recipients").into_iter().collect();
                texts("recipients").iter().for_each(|recipient| logged.tried(recipient));
                logged.is_whole = true;
            }
            "rule" => {
                if let Some(rule) = text("rule") {
                    logged.rules.entry(rule.to_owned()).or_default().extend(texts("recipients"));
                }
            }
            "outcome" => logged.is_unjudged |= text("outcome") == Some("rejected") && text("rule").is_none(),
            "replied" => self.finish(id),
            _ => {}
        }
    }

    /// The message with this id, begun now if nobody has heard of it.
    fn opened(&mut self, session: &str, id: &str) -> &mut Logged {
        if !self.open.contains_key(id) {
            while self.open.len() >= REPLAY_OPEN_MAX {
                match self.begun.pop_front() {
                    Some(oldest) => self.finish(&oldest),
                    None => break,
                }
            }
            // Ids of what has ended are dropped now and then, so that the queue stays in proportion.
            if self.begun.len() > REPLAY_OPEN_MAX.saturating_mul(2) {
                let open = &self.open;
                self.begun.retain(|id| open.contains_key(id));
            }
            self.begun.push_back(id.to_owned());
            let mut logged = Logged { id: id.to_owned(), ..Logged::default() };
            if let Some(session) = self.sessions.get_mut(session) {
                session.messages.push(id.to_owned());
                logged.endpoint.clone_from(&session.endpoint);
                logged.client = session.client;
                logged.tls = Some(session.tls);
                logged.has_login = session.has_login;
            }
            self.open.insert(id.to_owned(), logged);
        }
        self.open.entry(id.to_owned()).or_default()
    }
}

impl Logged {
    fn tried(&mut self, recipient: &str) {
        if self.recipients.len() < RECIPIENTS_TRIED_MAX && !self.recipients.iter().any(|known| known == recipient) {
            self.recipients.push(recipient.to_owned());
        }
    }
}

impl<R: BufRead> Iterator for Log<R> {
    type Item = Result<Logged, PassedOver>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && !self.is_over
            && let Err(error) = self.read()
        {
            self.close();
            self.ready.push_back(Err(PassedOver::new(format!("{}:{}", self.name, self.line_number), error.to_string())));
        }
        self.ready.pop_front()
    }
}

fn tls_version(word: &str) -> Option<TlsVersion> {
    [TlsVersion::Tls1_2, TlsVersion::Tls1_3].into_iter().find(|version| version.as_str() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = include_str!("events.jsonl");

    #[test]
    fn events_of_a_message_are_put_together() {
        let mut log = Log::new(LOG.as_bytes(), "events".to_owned());
        let passed = log.next().expect("one").expect_err("no JSON");
        assert_eq!((passed.place.as_str(), passed.why.as_str()), ("events:7", "the line is no JSON"));
        let first = log.next().expect("one").expect("a message");
        assert_eq!((first.id.as_str(), first.size, first.tls), ("s1-1", Some(97), Some(Some(TlsVersion::Tls1_3))));
        assert_eq!(first.verdicts.keys().collect::<Vec<_>>(), ["spf"]);
        assert_eq!(first.rules.keys().collect::<Vec<_>>(), ["all"]);
        let second = log.next().expect("one").expect("a transaction");
        assert_eq!((second.is_whole, second.recipients), (false, vec!["old@acme.example".to_owned()]));
        assert_eq!((second.mail_from.as_deref(), second.tls), (Some(""), Some(None)));
        assert!(log.next().is_none());
    }

    #[test]
    fn messages_without_an_end_take_bounded_memory() {
        let lines: String = (0..REPLAY_OPEN_MAX + 10)
            .map(|number| {
                format!("{{\"event\":\"message\",\"session\":\"s\",\"message\":\"s-{number}\",\"recipients\":[\"a@b.example\"]}}\n")
            })
            .collect();
        let log = Log::new(lines.as_bytes(), "x".to_owned());
        assert_eq!(log.filter(Result::is_ok).count(), REPLAY_OPEN_MAX + 10);
        let long = format!("{{\"event\":\"{}\"}}\n{{}}\n", "x".repeat(REPLAY_LOG_LINE_BYTES_MAX));
        assert_eq!(Log::new(long.as_bytes(), "x".to_owned()).filter(Result::is_err).count(), 1);
    }
}
