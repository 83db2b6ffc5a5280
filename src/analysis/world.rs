//! A message made of values, so that the real evaluation confirms what is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Witness;
use super::sets::read::{ARC, DKIM, DMARC, POLICIES, SPF};
use super::sets::{Session, Space, Subject, Value, usual};
use crate::limits::{ANALYSIS_MESSAGE_BYTES_MAX, ANALYSIS_RECIPIENTS_MAX};
use crate::message::{
    Analysis, ArcResult, ArcVerdict, ClientCertificate, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, Envelope, Fact,
    FieldValue, Findings, Original, SessionFacts, SpfIdentity, SpfResult, SpfVerdict, TlsFacts,
};
use crate::rules::{CertificateAttribute, Judgement, Message, Plan, RuleSet, evaluate};
use crate::smtp::{Address, MailTerms, ReversePath};

const BOUNDARY: &str = "gateway-witness";

/// A message with its connection and all that was found out about it.
#[derive(Debug)]
pub(super) struct World {
    session: SessionFacts,
    envelope: Envelope,
    original: Original,
    findings: Findings,
    witness: Witness,
}

impl World {
    /// The message that has these values, with the usual ones where there is none. `None` when no message has them.
    pub(super) fn build(space: &Space<'_>, values: &[Option<Value>]) -> Option<Self> {
        let facts = Facts { space, values };
        let recipient = text(facts.value(&Subject::Recipient))?;
        let mut recipients = vec![Address::parse(&recipient, true).ok()?.into()];
        let count = number(facts.value(&Subject::Count))?;
        if count > ANALYSIS_RECIPIENTS_MAX {
            return None;
        }
        for other in 1..count {
            recipients.push(Address::parse(&format!("other{other}@example.net"), true).ok()?.into());
        }
        let sender = text(facts.value(&Subject::MailFrom)).unwrap_or_default();
        let reverse_path = if sender.is_empty() { ReversePath::Null } else { ReversePath::Address(Address::parse(&sender, true).ok()?) };
        let envelope = Envelope { reverse_path, recipients, smtputf8: true, eight_bit: true, terms: MailTerms::default() };
        let Value::Session(session) = facts.value(&Subject::Session) else { return None };
        let Value::Ip(client_ip) = facts.value(&Subject::ClientIp) else { return None };
        let helo: Arc<str> = Arc::from(text(facts.value(&Subject::Helo)).unwrap_or_default());
        let session = SessionFacts {
            client_ip,
            client_host: None,
            helo,
            extended: true,
            tls: session.tls.map(|(version, wrapped)| TlsFacts {
                version,
                cipher: Arc::from("TLS_AES_256_GCM_SHA384"),
                wrapped,
                client_certificate: session.certificate.as_deref().map(certificate),
            }),
            authenticated: session.login,
            login: None,
        };
        let original = Original::parse(facts.octets()?).ok()?;
        Some(Self { session, envelope, original, findings: facts.findings()?, witness: facts.witness() })
    }

    /// The same message to these recipients.
    pub(super) fn with_recipients(mut self, recipients: &[&str]) -> Option<Self> {
        let parsed = recipients.iter().map(|recipient| Address::parse(recipient, true).ok().map(Into::into));
        self.envelope.recipients = parsed.collect::<Option<_>>()?;
        Some(self)
    }

    /// The first recipient.
    pub(super) fn recipient(&self) -> String {
        self.envelope.recipients.first().map(|recipient| recipient.address.to_string()).unwrap_or_default()
    }

    /// What becomes of it.
    pub(super) fn judge(&self, set: &RuleSet) -> Option<Plan> {
        let message = Message { session: &self.session, envelope: &self.envelope, original: &self.original, findings: &self.findings };
        match evaluate(set, &message) {
            Judgement::Decided(plan) => Some(plan),
            Judgement::Needs(_) => None,
        }
    }

    /// What of it matters.
    pub(super) fn witness(&self) -> Witness {
        self.witness.clone()
    }
}

struct Facts<'w, 'a> {
    space: &'w Space<'a>,
    values: &'w [Option<Value>],
}

impl Facts<'_, '_> {
    /// What came in.
    fn value(&self, subject: &Subject) -> Value {
        let mut variables = self.space.variables.iter().zip(self.values);
        match variables.find(|(variable, _)| variable.version == 0 && variable.subject == *subject) {
            Some((variable, value)) => value.clone().unwrap_or_else(|| variable.usual.clone()),
            None => usual(subject),
        }
    }

    /// The message as it came over the wire.
    fn octets(&self) -> Option<Bytes> {
        let mut header = String::new();
        let mut field = |name: &str, value: &str| {
            let is_line = !value.contains(['\r', '\n']) && value.trim() == value;
            is_line.then(|| header.push_str(&format!("{name}: {value}\r\n")))
        };
        for (name, subject) in [("From", Subject::From), ("Sender", Subject::Sender), ("To", Subject::To), ("Cc", Subject::Cc)] {
            let addresses = texts(self.value(&subject));
            if !addresses.is_empty() {
                field(name, &addresses.join(", "))?;
            }
        }
        for id in texts(self.value(&Subject::MessageId)) {
            field("Message-ID", &format!("<{id}>"))?;
        }
        if self.value(&Subject::ReadReceipt) == Value::Bool(true) {
            field("Disposition-Notification-To", "sender@example.net")?;
        }
        for variable in self.space.variables.iter().filter(|variable| variable.version == 0) {
            if let Subject::Header(name) = &variable.subject {
                for value in texts(self.value(&variable.subject)) {
                    field(name, &value)?;
                }
            }
        }
        let mut body = String::new();
        let Value::Attachments(attachments) = self.value(&Subject::Attachments) else { return None };
        if !attachments.is_empty() {
            field("Content-Type", &format!("multipart/mixed; boundary=\"{BOUNDARY}\""))?;
            for (name, media_type) in attachments {
                let name = name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
                body.push_str(&format!("--{BOUNDARY}\r\nContent-Type: {media_type}\r\nContent-Disposition: attachment{name}\r\n\r\nx\r\n"));
            }
            body.push_str(&format!("--{BOUNDARY}--\r\n"));
        }
        let mut octets = format!("{header}\r\n{body}").into_bytes();
        let is_asked = self.space.variables.iter().any(|variable| variable.subject == Subject::Size);
        if is_asked {
            let wanted = usize::try_from(number(self.value(&Subject::Size))?).ok()?;
            if wanted > ANALYSIS_MESSAGE_BYTES_MAX || wanted < octets.len() {
                return None;
            }
            octets.resize(wanted, b'.');
        }
        Some(octets.into())
    }

    fn findings(&self) -> Option<Findings> {
        let word = |subject: &Subject| if let Value::Word(word) = self.value(subject) { usize::try_from(word).ok() } else { None };
        let spf = *[
            SpfResult::None,
            SpfResult::Neutral,
            SpfResult::Pass,
            SpfResult::Fail,
            SpfResult::Softfail,
            SpfResult::Policy,
            SpfResult::Temperror,
            SpfResult::Permerror,
        ]
        .get(word(&Subject::Spf)?)?;
        let dkim = word(&Subject::Dkim)?;
        let (dkim, aligned) = (
            *[
                DkimResult::None,
                DkimResult::Pass,
                DkimResult::Fail,
                DkimResult::Policy,
                DkimResult::Neutral,
                DkimResult::Temperror,
                DkimResult::Permerror,
                DkimResult::Pass,
            ]
            .get(dkim)?,
            dkim == 7,
        );
        let dmarc = word(&Subject::Dmarc)?;
        let (result, policy) = (
            *[DmarcResult::None, DmarcResult::Pass, DmarcResult::Fail, DmarcResult::Temperror, DmarcResult::Permerror].get(dmarc / 4)?,
            *[DmarcPolicy::Absent, DmarcPolicy::None, DmarcPolicy::Quarantine, DmarcPolicy::Reject].get(dmarc % 4)?,
        );
        let arc = *[ArcResult::None, ArcResult::Pass, ArcResult::Fail].get(word(&Subject::Arc)?)?;
        let (mechanism, reason, explanation) = (None, Box::default(), None);
        let mut analyses = BTreeMap::new();
        for variable in &self.space.variables {
            if let Subject::Analysis(name) = &variable.subject {
                let Value::Analysis(answer) = self.value(&variable.subject) else { continue };
                let mut fields: BTreeMap<Box<str>, FieldValue> = BTreeMap::new();
                if let Value::Analysis(Some(usual)) = &variable.usual {
                    fields.extend(usual.iter().map(|(name, field)| (name.clone(), field.0.clone())));
                }
                fields.extend(answer?.into_iter().map(|(name, field)| (name, field.0)));
                analyses.insert(Arc::clone(name), Fact::Known(Arc::new(Analysis { fields })));
            }
        }
        let none = Box::default;
        Some(Findings {
            client_host: Fact::Known(text(self.value(&Subject::ClientHost)).map(Arc::from)),
            spf: Some(Arc::new(SpfVerdict {
                result: spf,
                identity: SpfIdentity::MailFrom,
                domain: none(),
                mechanism,
                reason,
                explanation,
                asked: Box::default(),
            })),
            dkim: Some(Arc::new(DkimVerdict { result: dkim, aligned, signatures: Box::default(), asked: Box::default() })),
            dmarc: Some(Arc::new(DmarcVerdict {
                result,
                policy,
                effective: if result == DmarcResult::Pass { DmarcPolicy::None } else { policy },
                from_domain: none(),
                policy_domain: none(),
                record: none(),
                spf_aligned: false,
                dkim_aligned: aligned,
                reason: none(),
                asked: Box::default(),
            })),
            arc: Some(Arc::new(ArcVerdict {
                result: arc,
                instances: 0,
                sealers: Box::default(),
                is_temporary: false,
                reason: none(),
                asked: Box::default(),
            })),
            analyses,
        })
    }

    /// The recipient, and what was asked for.
    fn witness(&self) -> Witness {
        let mut shown: Vec<(Arc<str>, String)> = Vec::new();
        let mut show = |name: &str, value: String| shown.push((Arc::from(name), value));
        show("recipient", text(self.value(&Subject::Recipient)).unwrap_or_default());
        for (variable, value) in self.space.variables.iter().zip(self.values) {
            let Some(value) = value.as_ref().filter(|_| variable.version == 0) else { continue };
            describe(&variable.subject, value, &mut show);
        }
        Witness(shown)
    }
}

/// A value in the words of the rule language.
fn describe(subject: &Subject, value: &Value, show: &mut impl FnMut(&str, String)) {
    let place = |word: &u32| usize::try_from(*word).unwrap_or_default();
    let said = |words: &[&str], place: usize| words.get(place).copied().unwrap_or_default().to_owned();
    match (subject, value) {
        (Subject::Recipient, _) => {}
        (Subject::MailFrom, Value::Text(text)) => {
            show("mail_from", text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "<>".into()))
        }
        (Subject::Helo, Value::Text(text)) => show("helo", text.clone().unwrap_or_else(|| "none".into())),
        (Subject::ClientHost, Value::Text(text)) => show("client_host", text.clone().unwrap_or_else(|| "none".into())),
        (subject, Value::Texts(texts)) => {
            let name = match subject {
                Subject::Sender => "sender".to_owned(),
                Subject::From => "from".to_owned(),
                Subject::To => "to".to_owned(),
                Subject::Cc => "cc".to_owned(),
                Subject::MessageId => "message_id".to_owned(),
                Subject::Header(name) if **name == *"subject" => "subject".to_owned(),
                Subject::Header(name) => format!("header {name}"),
                _ => return,
            };
            show(&name, if texts.is_empty() { "none".to_owned() } else { texts.join(", ") });
        }
        (_, Value::Attachments(attachments)) => {
            let names = attachments.iter().map(|(name, media_type)| name.clone().unwrap_or_else(|| media_type.clone())).collect::<Vec<_>>();
            show("attachment", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
        }
        (Subject::Size, Value::Number(number)) => show("message_size", number.to_string()),
        (Subject::Count, Value::Number(number)) => show("recipient_count", number.to_string()),
        (_, Value::Ip(address)) => show("source_ip", address.to_string()),
        (_, Value::Session(Session { tls, login, certificate })) => {
            show("tls", tls.is_some().to_string());
            if tls.is_some_and(|(_, wrapped)| wrapped) {
                show("tls_wrapped", "true".to_owned());
            }
            show("authenticated", (*login || certificate.is_some()).to_string());
            for (_, value) in certificate.iter().flatten() {
                show("client_certificate", value.clone());
            }
        }
        (_, Value::Bool(flag)) => show("read_receipt_requested", flag.to_string()),
        (Subject::Spf, Value::Word(word)) => show("spf_result", said(&SPF, place(word))),
        (Subject::Dkim, Value::Word(word)) => {
            let aligned = if *word == 7 { " (aligned with From)" } else { "" };
            show("dkim_result", said(&DKIM, place(word)) + aligned);
        }
        (Subject::Dmarc, Value::Word(word)) => {
            show("dmarc_result", said(&DMARC, place(word) / 4));
            show("dmarc_policy", said(&POLICIES, place(word) % 4));
        }
        (Subject::Arc, Value::Word(word)) => show("arc_result", said(&ARC, place(word))),
        (Subject::Analysis(analyzer), Value::Analysis(Some(fields))) => {
            for (name, field) in fields {
                let value = match &field.0 {
                    FieldValue::Texts(texts) => texts.iter().map(crate::message::Text::plain).collect::<Vec<_>>().join(", "),
                    FieldValue::Number(number) => number.to_string(),
                    FieldValue::Boolean(flag) => flag.to_string(),
                    FieldValue::Verdict(verdict) => verdict.as_str().to_owned(),
                };
                show(&format!("{analyzer} {name}"), value);
            }
        }
        _ => {}
    }
}

fn text(value: Value) -> Option<String> {
    if let Value::Text(text) = value { text } else { None }
}

fn texts(value: Value) -> Vec<String> {
    if let Value::Texts(texts) = value { texts } else { Vec::new() }
}

fn number(value: Value) -> Option<u64> {
    if let Value::Number(number) = value { Some(number) } else { None }
}

fn certificate(values: &[(CertificateAttribute, String)]) -> Arc<ClientCertificate> {
    let mut certificate = ClientCertificate::default();
    for (attribute, value) in values {
        let list = match attribute {
            CertificateAttribute::Cn => &mut certificate.cn,
            CertificateAttribute::SanRfc822Name => &mut certificate.san_rfc822_name,
            CertificateAttribute::SanDnsName => &mut certificate.san_dns_name,
            CertificateAttribute::SanDirectoryName => &mut certificate.san_directory_name,
            CertificateAttribute::SanUniformResourceIdentifier => &mut certificate.san_uniform_resource_identifier,
            CertificateAttribute::SanIpAddress => &mut certificate.san_ip_address,
            CertificateAttribute::SanRegisteredId => &mut certificate.san_registered_id,
            CertificateAttribute::SerialNumber => &mut certificate.serial_number,
        };
        list.push(value.clone());
    }
    Arc::new(certificate)
}
