//! From what a source has to what is known of a message: its envelope, its session, the verdicts of then.
//!
//! A message that came through this gateway tells it in its header: everything down to our Received field was put there after it came,
//! and is read and taken off. What another server wrote about its client is a guess.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::fields::{MethodResult, Received, authentication_results};
use super::past::{Guesses, Known, PassedOver, Past, PastContent, Then};
use super::sources::log::Logged;
use super::sources::{Found, Mail};
use super::words;
use super::{Defaults, Setting};
use crate::limits::{LOG_MESSAGE_ID_CHARS_MAX, RECIPIENTS_MAX};
use crate::message::{
    Analysis, DkimResult, Envelope, Fact, FieldKind, FieldValue, Findings, MailboxField, Need, Original, SessionFacts, Text, TlsFacts,
    TlsVersion, Verdict, View,
};
use crate::smtp::{Address, MailTerms, Recipient, ReversePath};

/// What is known of a message that was found.
pub(super) fn recall(found: Found, setting: &Setting, defaults: &Defaults) -> Result<Past, PassedOver> {
    match found {
        Found::Mail(mail) => of_mail(mail, setting, defaults),
        Found::Logged(logged) => of_log(*logged, setting, defaults),
    }
}

fn session() -> SessionFacts {
    SessionFacts {
        client_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        client_host: None,
        helo: "".into(),
        extended: true,
        tls: None,
        authenticated: false,
        login: None,
    }
}

fn tls(version: TlsVersion) -> TlsFacts {
    TlsFacts { version, cipher: "".into(), wrapped: false, client_certificate: None }
}

fn envelope(reverse_path: ReversePath, recipients: Vec<Address>) -> Envelope {
    let recipients = recipients.into_iter().map(Recipient::from).collect();
    Envelope { reverse_path, recipients, smtputf8: true, eight_bit: true, terms: MailTerms::default() }
}

fn reverse_path(text: &str) -> Option<ReversePath> {
    let text = text.trim().trim_start_matches('<').trim_end_matches('>');
    if text.is_empty() { Some(ReversePath::Null) } else { Address::parse(text, true).ok().map(ReversePath::Address) }
}

fn of_mail(mail: Mail, setting: &Setting, defaults: &Defaults) -> Result<Past, PassedOver> {
    let Mail { place, content, from_line } = mail;
    let (is_cut, len) = (content.is_cut(), content.len);
    let whole = Bytes::from(content.bytes);
    let original = Original::parse(whole.clone()).map_err(|error| PassedOver::new(place.clone(), error.to_string()))?;
    let is = |place: usize, name: &str| {
        original.fields().get(place).is_some_and(|field| original.name(field).eq_ignore_ascii_case(name.as_bytes()))
    };
    let received: Vec<(usize, Received)> = (0..original.fields().len())
        .filter(|place| is(*place, "Received"))
        .map(|place| (place, Received::parse(original.fields().get(place).map(|field| original.value(field)).unwrap_or_default())))
        .collect();
    let ours = received.iter().find(|(_, field)| field.by.as_ref().is_some_and(|by| setting.hostnames.contains(by)));
    // What was put on the message after it came: down to our Received field, else what stands above the first one.
    let top = ours.or(received.first()).map_or(original.fields().len(), |(place, _)| *place);
    let in_top = |name: &str| {
        let fields = original.fields().iter().take(top).filter(|field| original.name(field).eq_ignore_ascii_case(name.as_bytes()));
        fields.map(|field| String::from_utf8_lossy(original.value(field)).trim().to_owned()).collect::<Vec<_>>()
    };
    let mut past = Past {
        message_id: original
            .fields()
            .iter()
            .find(|field| original.name(field).eq_ignore_ascii_case(b"Message-ID"))
            .map(|field| String::from_utf8_lossy(original.value(field)).trim().chars().take(LOG_MESSAGE_ID_CHARS_MAX).collect()),
        place,
        endpoint: None,
        session: session(),
        envelope: envelope(ReversePath::Null, Vec::new()),
        content: PastContent::Unknown,
        findings: Findings::default(),
        known: Known { size: true, is_asked: setting.is_asked, ..Known::default() },
        then: None,
        guesses: Guesses::default(),
    };
    let begin = ours.and_then(|(place, _)| original.fields().get(*place)).map_or(0, |field| field.whole.end);
    past.content = if is_cut {
        PastContent::Octets(len.saturating_sub(u64::try_from(begin).unwrap_or(0)), Bytes::new())
    } else {
        past.known.content = true;
        past.known.message_id = true;
        PastContent::Whole(whole.slice(begin..))
    };
    client(&mut past, ours.map(|(_, field)| field), received.first().map(|(_, field)| field), defaults);
    if ours.is_some() {
        for value in original.fields().iter().take(top).filter(|field| original.name(field).eq_ignore_ascii_case(b"Authentication-Results"))
        {
            let (id, results) = authentication_results(original.value(value));
            if setting.hostnames.contains(&id) {
                results.iter().for_each(|result| remember(&mut past, result));
                aligned(&mut past, &results);
                break;
            }
        }
    }
    let original = match &past.content {
        PastContent::Whole(bytes) => Original::parse(bytes.clone()).unwrap_or(original.clone()),
        _ => original.clone(),
    };
    let view = View::new(&original);
    sender(&mut past, in_top("Return-Path").last().cloned().or(from_line), &view, defaults);
    let mut to: Vec<String> =
        ["X-Original-To", "X-Envelope-To", "Envelope-To"].into_iter().find_map(|name| in_top(name).pop()).into_iter().collect();
    if to.is_empty() {
        to.extend(ours.and_then(|(_, field)| field.recipient.clone()));
    }
    if to.is_empty() {
        to.extend(in_top("Delivered-To").pop());
    }
    let mut addresses: Vec<Address> = Vec::new();
    let mut add = |text: &str| {
        let address = Address::parse(text.trim().trim_start_matches('<').trim_end_matches('>'), true);
        if let Ok(address) = address
            && addresses.len() < RECIPIENTS_MAX
            && !addresses.contains(&address)
        {
            addresses.push(address);
        }
    };
    to.iter().flat_map(|text| text.split(',')).for_each(&mut add);
    if to.is_empty() {
        defaults.recipients.iter().for_each(|address| add(address.as_str()));
        if defaults.recipients.is_empty() {
            past.guesses.recipients = true;
            let mailboxes = view.mailboxes(MailboxField::To).iter().chain(view.mailboxes(MailboxField::Cc));
            mailboxes.filter_map(|mailbox| mailbox.address.as_ref()).map(Text::plain).filter(|to| setting.is_ours(to)).for_each(add);
        }
    }
    if addresses.is_empty() {
        let why = "it does not say for whom it was: name recipients with --rcpt";
        return Err(PassedOver::new(past.place, why));
    }
    past.envelope.recipients = addresses.into_iter().map(Recipient::from).collect();
    Ok(past)
}

/// Who brought it: by our own Received field, else as the operator says, else by somebody else's field.
fn client(past: &mut Past, ours: Option<&Received>, first: Option<&Received>, defaults: &Defaults) {
    let (session, known) = (&mut past.session, &mut past.known);
    let read = ours.or(first.filter(|_| defaults.client_ip.is_none() && defaults.helo.is_none()));
    let is_guess = ours.is_none();
    if let Some(field) = read {
        if let Some(client) = field.client {
            (session.client_ip, known.client_ip) = (client, true);
            past.guesses.client |= is_guess;
        }
        if let Some(helo) = &field.helo {
            (session.helo, known.helo) = (helo.as_str().into(), true);
            past.guesses.client |= is_guess;
        }
        if let Some(version) = field.tls {
            (session.tls, known.tls) = (Some(tls(version)), true);
        } else if !field.is_tls() && !field.with.is_empty() {
            (known.tls, known.tls_wrapped) = (true, true);
        }
        if ours.is_some() {
            session.authenticated = field.is_authenticated();
            known.authenticated = true;
        }
    }
    if let Some(client) = defaults.client_ip.filter(|_| !known.client_ip) {
        (session.client_ip, known.client_ip) = (client.to_canonical(), true);
    }
    if let Some(helo) = defaults.helo.as_deref().filter(|_| !known.helo) {
        (session.helo, known.helo) = (helo.into(), true);
    }
}

fn sender(past: &mut Past, said: Option<String>, view: &View<'_>, defaults: &Defaults) {
    let said = said.and_then(|text| reverse_path(&text)).or_else(|| defaults.mail_from.clone());
    let guessed = || {
        let from = view.mailboxes(MailboxField::From).first()?.address.as_ref()?;
        reverse_path(from.plain())
    };
    past.guesses.mail_from = said.is_none();
    match said.or_else(guessed) {
        Some(path) => (past.envelope.reverse_path, past.known.mail_from) = (path, true),
        None => past.guesses.mail_from = false,
    }
}

/// Takes a recorded result for a finding.
fn remember(past: &mut Past, one: &MethodResult) {
    let (findings, found) = (&mut past.findings, &mut past.known.found);
    match one.method.as_str() {
        "spf" if findings.spf.is_none() => {
            let domain = one.property("smtp.mailfrom").or(one.property("smtp.helo")).unwrap_or_default();
            findings.spf = words::spf(&one.result, domain);
            found.extend(findings.spf.as_ref().map(|_| Need::Spf));
        }
        "dmarc" if findings.dmarc.is_none() => {
            let policy = one.noted("p").unwrap_or("absent");
            findings.dmarc = words::dmarc(&one.result, policy, one.property("header.from").unwrap_or_default());
            found.extend(findings.dmarc.as_ref().map(|_| Need::Dmarc));
        }
        "arc" if findings.arc.is_none() => {
            findings.arc = words::arc(&one.result, 0);
            found.extend(findings.arc.as_ref().map(|_| Need::Arc));
        }
        "iprev" => {
            findings.client_host = match one.result.as_str() {
                "pass" => one.comments.first().map_or(Fact::NotAsked, |host| Fact::Known(Some(host.as_str().into()))),
                "fail" => Fact::Known(None),
                _ => Fact::NotAsked,
            };
            if !findings.client_host.is_open() {
                found.insert(Need::ClientHost);
            }
        }
        _ => {}
    }
}

/// DKIM: the best of the signatures' results, and whether a good one is of the author's domain or one above or below it.
fn aligned(past: &mut Past, results: &[MethodResult]) {
    let signatures: Vec<_> = results.iter().filter(|one| one.method == "dkim").collect();
    let Some(first) = signatures.first().and_then(|one| words::dkim_result(&one.result)) else { return };
    let author = results.iter().find(|one| one.method == "dmarc").and_then(|one| one.property("header.from"));
    let good: Vec<_> = signatures.iter().filter(|one| one.result == "pass").collect();
    let is_below = |a: &str, b: &str| a.strip_suffix(b).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let is_aligned = |domain: &str| author.is_some_and(|author| is_below(author, domain) || is_below(domain, author));
    let is_aligned = good.iter().filter_map(|one| one.property("header.d")).any(is_aligned);
    let result = if good.is_empty() { first } else { DkimResult::Pass };
    past.findings.dkim = Some(words::dkim(result, is_aligned));
    past.known.found.insert(Need::Dkim);
}

fn of_log(logged: Logged, setting: &Setting, defaults: &Defaults) -> Result<Past, PassedOver> {
    let place = format!("message {}", logged.id);
    let recipients: Vec<Address> = logged.recipients.iter().filter_map(|text| Address::parse(text, true).ok()).collect();
    if recipients.is_empty() {
        return Err(PassedOver::new(place, "none of its recipients is an address"));
    }
    let mut known = Known { is_asked: false, ..Known::default() };
    let mut facts = session();
    if let Some(client) = logged.client.or(defaults.client_ip) {
        (facts.client_ip, known.client_ip) = (client.to_canonical(), true);
    }
    if let Some(helo) = logged.helo.as_deref().or(defaults.helo.as_deref()) {
        (facts.helo, known.helo) = (helo.into(), true);
    }
    if let Some(version) = logged.tls {
        (facts.tls, known.tls, known.tls_wrapped) = (version.map(tls), true, version.is_none());
    }
    (facts.authenticated, known.authenticated) = (logged.has_login, logged.has_login);
    let path = logged.mail_from.as_deref().and_then(reverse_path);
    known.mail_from = path.is_some();
    known.size = logged.size.is_some();
    known.message_id = logged.is_whole;
    let header = logged.message_id.as_ref().map(|id| format!("Message-ID: {}\r\n", id.replace(['\r', '\n'], " ")));
    let header = Bytes::from(header.unwrap_or_default());
    let mut past = Past {
        place,
        message_id: logged.message_id.clone(),
        endpoint: logged.endpoint.as_deref().map(Arc::from),
        session: facts,
        envelope: envelope(path.unwrap_or(ReversePath::Null), recipients),
        content: logged.size.map_or(PastContent::Unknown, |size| PastContent::Octets(size, header)),
        findings: Findings::default(),
        known,
        then: Some(Then { accepted: logged.accepted, is_judged: logged.is_whole, rules: logged.rules }),
        guesses: Guesses::default(),
    };
    for (name, value) in &logged.verdicts {
        verdict(&mut past, name, value);
    }
    for (analyzer, fields) in &logged.analyses {
        if let Some(analysis) = analysis(setting, analyzer, fields) {
            let name: Arc<str> = analyzer.as_str().into();
            past.findings.analyses.insert(Arc::clone(&name), Fact::Known(Arc::new(analysis)));
            past.known.found.insert(Need::Analysis(name));
        }
    }
    Ok(past)
}

/// A verdict as the log has it.
fn verdict(past: &mut Past, name: &str, value: &Value) {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let findings = &mut past.findings;
    let need = match name {
        "client_host" => {
            findings.client_host = match (value.get("name").and_then(Value::as_str), value.get("error").and_then(Value::as_str)) {
                (Some(host), _) => Fact::Known(Some(host.into())),
                (None, None) => Fact::Known(None),
                (None, Some(why)) => Fact::Unknown(why.into()),
            };
            Some(Need::ClientHost)
        }
        "spf" => {
            findings.spf = words::spf(text("result"), text("domain"));
            findings.spf.as_ref().map(|_| Need::Spf)
        }
        "dkim" => {
            let aligned = value.get("aligned").and_then(Value::as_bool).unwrap_or_default();
            findings.dkim = words::dkim_result(text("result")).map(|result| words::dkim(result, aligned));
            findings.dkim.as_ref().map(|_| Need::Dkim)
        }
        "dmarc" => {
            findings.dmarc = words::dmarc(text("result"), text("policy"), text("from_domain"));
            findings.dmarc.as_ref().map(|_| Need::Dmarc)
        }
        "arc" => {
            let instances = value.get("instances").and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
            findings.arc = words::arc(text("result"), instances.unwrap_or_default());
            findings.arc.as_ref().map(|_| Need::Arc)
        }
        _ => None,
    };
    past.known.found.extend(need);
}

/// What an analyzer found; `None` when it had no answer, is not configured any more, or the log has cut its words.
fn analysis(setting: &Setting, analyzer: &str, fields: &Value) -> Option<Analysis> {
    let kinds = setting.analyzers.get(analyzer)?;
    let mut analysis = Analysis::default();
    for (name, value) in fields.as_object()? {
        let value = match (value, kinds.get(name.as_str())) {
            (Value::Bool(value), _) => FieldValue::Boolean(*value),
            (Value::Number(number), _) => FieldValue::Number(number.as_f64()?),
            (Value::String(word), Some(FieldKind::Verdict)) => FieldValue::Verdict(mail_manager_verdict(word)?),
            (Value::Array(texts), _) => {
                let texts: Option<Vec<Text>> = texts.iter().map(|text| Some(Text::new(whole(text.as_str()?)?))).collect();
                FieldValue::Texts(texts?)
            }
            _ => return None,
        };
        analysis.fields.insert(name.as_str().into(), value);
    }
    Some(analysis)
}

/// A text that the log has not cut.
fn whole(text: &str) -> Option<&str> {
    let is_cut = text.ends_with('…') || text.starts_with("… ") && text.ends_with(" more");
    (!is_cut).then_some(text)
}

fn mail_manager_verdict(word: &str) -> Option<Verdict> {
    [Verdict::Pass, Verdict::Fail, Verdict::Gray, Verdict::ProcessingFailed].into_iter().find(|verdict| verdict.as_str() == word)
}
