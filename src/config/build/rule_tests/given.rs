//! What is given in a test: the message, the session, and what is known without asking.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use super::message;
use crate::config::build::analysis::Analyzers;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;
use crate::config::model::{OneOrMany, rule_tests as model, rules as words};
use crate::config::rule_tests::{GivenMessage, MadeMessage, TestGiven};
use crate::config::suggest::suggest;
use crate::config::tree::{Node, Value};
use crate::config::typed::typed;
use crate::dns::{GivenAnswer, GivenAnswers};
use crate::message::{
    Analysis, ArcResult, ArcVerdict, ClientCertificate, DkimResult, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, Envelope, Fact,
    FieldKind, FieldValue, Findings, SessionFacts, SpfIdentity, SpfResult, SpfVerdict, Text, TlsFacts, TlsVersion, Verdict,
};
use crate::smtp::{Address, MailTerms, RcptParameters, Recipient, ReversePath};

/// Who connects where a test does not say: an address for documentation (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// What it calls itself then.
const HELO: &str = "client.example";
/// The cipher of a session with TLS 1.2 and 1.3; no condition asks for it.
const CIPHERS: [&str; 2] = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"];
/// The reason of a verdict that nobody has computed.
const BY_THE_TEST: &str = "as the test says";

/// What one `given` says.
#[derive(Clone, Default)]
pub(super) struct Facts {
    client_ip: Option<IpAddr>,
    client_host: Option<String>,
    helo: Option<String>,
    mail_from: Option<ReversePath>,
    pub(super) recipients: Option<Vec<Address>>,
    declared_size: Option<u64>,
    message: Option<GivenMessage>,
    tls: Option<model::GivenTls>,
    tls_wrapped: Option<bool>,
    login: Option<String>,
    client_certificate: Option<Arc<ClientCertificate>>,
    spf: Option<SpfResult>,
    dkim: Option<DkimResult>,
    dkim_aligned: Option<bool>,
    dmarc: Option<DmarcResult>,
    dmarc_policy: Option<DmarcPolicy>,
    arc: Option<ArcResult>,
    analyses: BTreeMap<Arc<str>, Fact<Arc<Analysis>>>,
    answers: Option<BTreeMap<String, GivenAnswer>>,
    at: Option<u64>,
}

impl Facts {
    /// Reads them; `None` when something is wrong, which has been reported.
    pub(super) fn read(node: Option<&Node>, folder: &Path, analyzers: &Analyzers, sink: &mut Sink) -> Option<Self> {
        let Some(node) = node else { return Some(Self::default()) };
        let model: model::Given = typed(node, sink)?;
        let message = match (model.message, node.get("message")) {
            (Some(model), Some(node)) => Some(message::of(model, node, folder, sink)?),
            _ => None,
        };
        Some(Self {
            client_ip: model.client_ip.map(|ip| ip.0.to_canonical()),
            client_host: model.client_host.map(|line| line.0),
            helo: model.helo.map(|line| line.0),
            mail_from: model.mail_from.map(|path| path.0),
            recipients: model.recipients.map(|recipients| recipients.0.into_iter().map(|address| address.0).collect()),
            declared_size: model.declared_size.map(|size| size.0),
            message,
            tls: model.tls,
            tls_wrapped: model.tls_wrapped,
            login: model.login.map(|line| line.0),
            client_certificate: model.client_certificate.map(|certificate| Arc::new(certificate_of(certificate))),
            spf: model.spf_result.map(spf_result),
            dkim: model.dkim_result.map(dkim_result),
            dkim_aligned: model.dkim_aligned,
            dmarc: model.dmarc_result.map(dmarc_result),
            dmarc_policy: model.dmarc_policy.map(dmarc_policy),
            arc: model.arc_result.map(arc_result),
            analyses: analyses(node.get("analysis"), analyzers, sink)?,
            answers: answers(node.get("dns"), sink)?,
            at: model.at.and_then(|time| u64::try_from(time.0.unix_timestamp()).ok()),
        })
    }

    /// These, and what they do not say as `others` say it; of analyzers and DNS one by one.
    pub(super) fn or(self, others: &Self) -> Self {
        let mut analyses = others.analyses.clone();
        analyses.extend(self.analyses);
        let answers = match (self.answers, &others.answers) {
            (None, answers) => answers.clone(),
            (answers, None) => answers,
            (Some(own), Some(answers)) => {
                let mut answers = answers.clone();
                answers.extend(own);
                Some(answers)
            }
        };
        Self {
            client_ip: self.client_ip.or(others.client_ip),
            client_host: self.client_host.or_else(|| others.client_host.clone()),
            helo: self.helo.or_else(|| others.helo.clone()),
            mail_from: self.mail_from.or_else(|| others.mail_from.clone()),
            recipients: self.recipients.or_else(|| others.recipients.clone()),
            declared_size: self.declared_size.or(others.declared_size),
            message: self.message.or_else(|| others.message.clone()),
            tls: self.tls.or(others.tls),
            tls_wrapped: self.tls_wrapped.or(others.tls_wrapped),
            login: self.login.or_else(|| others.login.clone()),
            client_certificate: self.client_certificate.or_else(|| others.client_certificate.clone()),
            spf: self.spf.or(others.spf),
            dkim: self.dkim.or(others.dkim),
            dkim_aligned: self.dkim_aligned.or(others.dkim_aligned),
            dmarc: self.dmarc.or(others.dmarc),
            dmarc_policy: self.dmarc_policy.or(others.dmarc_policy),
            arc: self.arc.or(others.arc),
            analyses,
            answers,
            at: self.at.or(others.at),
        }
    }

    /// All that a message is judged by; `test` is where a mistake is shown that has no place of its own.
    pub(super) fn finish(self, test: &Node, sink: &mut Sink) -> Option<TestGiven> {
        let Some(recipients) = self.recipients.clone() else {
            sink.error(Code::MissingKey, test.head(), "`recipients` is missing in what is given")
                .help("the addresses of RCPT: `given: { recipients: [bob@acme.example] }`");
            return None;
        };
        if self.dmarc_policy.is_some() && self.dmarc.is_none() {
            sink.error(Code::MissingKey, test.head(), "`dmarc_policy` is given without `dmarc_result`")
                .help("the policy does not say whether the message passes");
            return None;
        }
        let needs_tls = self.tls_wrapped == Some(true) || self.client_certificate.is_some();
        if needs_tls && self.tls == Some(model::GivenTls::Without) {
            sink.error(Code::Conflict, test.head(), "`tls: none`, and `tls_wrapped` or `client_certificate`, which need TLS");
            return None;
        }
        let answers = match &self.answers {
            None => None,
            Some(given) => {
                let mut answers = GivenAnswers::default();
                for (question, answer) in given {
                    // Checked where it was read.
                    answers.add(question, answer.clone()).ok()?;
                }
                Some(Arc::new(answers))
            }
        };
        let findings = self.findings();
        let reverse_path = self.mail_from.unwrap_or(ReversePath::Null);
        let is_foreign = |address: &Address| !address.is_ascii();
        let envelope = Envelope {
            smtputf8: recipients.iter().any(is_foreign) || matches!(&reverse_path, ReversePath::Address(address) if is_foreign(address)),
            reverse_path,
            recipients: recipients.into_iter().map(|address| Recipient { address, parameters: RcptParameters::default() }).collect(),
            eight_bit: true,
            terms: MailTerms::default(),
        };
        let version = match self.tls {
            None if needs_tls => Some(TlsVersion::Tls1_3),
            None | Some(model::GivenTls::Without) => None,
            Some(model::GivenTls::Tls1_2) => Some(TlsVersion::Tls1_2),
            Some(model::GivenTls::Tls1_3) => Some(TlsVersion::Tls1_3),
        };
        let [cipher_1_2, cipher_1_3] = CIPHERS;
        let session = SessionFacts {
            client_ip: self.client_ip.unwrap_or(CLIENT),
            client_host: findings.client_host.known().cloned().flatten(),
            helo: self.helo.as_deref().unwrap_or(HELO).into(),
            extended: true,
            tls: version.map(|version| TlsFacts {
                version,
                cipher: if version == TlsVersion::Tls1_2 { cipher_1_2 } else { cipher_1_3 }.into(),
                wrapped: self.tls_wrapped == Some(true),
                client_certificate: self.client_certificate,
            }),
            authenticated: self.login.is_some(),
            login: self.login.map(Into::into),
        };
        let message = self.message.unwrap_or_else(|| GivenMessage::Made(Arc::new(MadeMessage::default())));
        Some(TestGiven { session, envelope, declared_size: self.declared_size, message, findings, answers, at: self.at })
    }

    fn findings(&self) -> Findings {
        let spf = self.spf.map(|result| {
            let (identity, domain) = match &self.mail_from {
                Some(ReversePath::Address(address)) => (SpfIdentity::MailFrom, address.domain()),
                _ => (SpfIdentity::Helo, self.helo.as_deref().unwrap_or(HELO)),
            };
            let (mechanism, explanation, asked) = (None, None, Box::default());
            SpfVerdict { result, identity, domain: domain.into(), mechanism, reason: BY_THE_TEST.into(), explanation, asked }
        });
        let dkim = self.dkim.map(|result| {
            let aligned = result == DkimResult::Pass && self.dkim_aligned.unwrap_or(true);
            DkimVerdict { result, aligned, signatures: Box::default(), asked: Box::default() }
        });
        let dmarc = self.dmarc.map(|result| {
            let unsaid = if result == DmarcResult::None { DmarcPolicy::Absent } else { DmarcPolicy::None };
            let policy = self.dmarc_policy.unwrap_or(unsaid);
            DmarcVerdict {
                result,
                policy,
                effective: if result == DmarcResult::Pass { DmarcPolicy::None } else { policy },
                from_domain: Box::default(),
                policy_domain: Box::default(),
                record: Box::default(),
                spf_aligned: false,
                dkim_aligned: false,
                reason: BY_THE_TEST.into(),
                asked: Box::default(),
            }
        });
        let arc = self.arc.map(|result| ArcVerdict {
            result,
            instances: u32::from(result != ArcResult::None),
            sealers: Box::default(),
            is_temporary: false,
            reason: BY_THE_TEST.into(),
            asked: Box::default(),
        });
        let client_host = match self.client_host.as_deref() {
            None => Fact::NotAsked,
            Some("none") => Fact::Known(None),
            Some("unknown") => Fact::Unknown(BY_THE_TEST.into()),
            Some(host) => Fact::Known(Some(host.into())),
        };
        let (spf, dkim, dmarc, arc) = (spf.map(Arc::new), dkim.map(Arc::new), dmarc.map(Arc::new), arc.map(Arc::new));
        Findings { client_host, spf, dkim, dmarc, arc, analyses: self.analyses.clone() }
    }
}

fn certificate_of(model: model::GivenCertificate) -> ClientCertificate {
    let all = |values: Option<OneOrMany<String>>| values.map(|values| values.0).unwrap_or_default();
    ClientCertificate {
        cn: all(model.cn),
        san_rfc822_name: all(model.san_rfc822_name),
        san_dns_name: all(model.san_dns_name),
        san_directory_name: all(model.san_directory_name),
        san_uniform_resource_identifier: all(model.san_uniform_resource_identifier),
        san_ip_address: all(model.san_ip_address),
        san_registered_id: all(model.san_registered_id),
        serial_number: all(model.serial_number),
    }
}

/// What analyzers find: fields of the types that they have.
fn analyses(node: Option<&Node>, analyzers: &Analyzers, sink: &mut Sink) -> Option<BTreeMap<Arc<str>, Fact<Arc<Analysis>>>> {
    let mut found = BTreeMap::new();
    let mut is_right = true;
    for entry in node.map(Node::entries).unwrap_or_default() {
        let config = analyzers.get(entry.key.as_str());
        if let [error] = entry.value.entries()
            && error.key == "error"
            && config.is_none_or(|config| config.field("error").is_none())
        {
            let why = error.value.text().unwrap_or(BY_THE_TEST);
            found.insert(Arc::from(entry.key.as_str()), Fact::Unknown(why.into()));
            continue;
        }
        let mut fields = BTreeMap::new();
        for field in entry.value.entries() {
            let kind = match config {
                None => guess(&field.value),
                Some(config) => match config.field(&field.key) {
                    Some(kind) => kind,
                    None => {
                        let names = config.fields().into_iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
                        let help = match suggest(&field.key, names.iter().map(String::as_str)) {
                            Some(meant) => format!("did you mean `{meant}`?"),
                            None => format!("it has {}; `error` alone says why there is no answer", listed(&names)),
                        };
                        let message = format!("the analyzer `{}` has no field `{}`", clip(&entry.key), clip(&field.key));
                        sink.error(Code::UnknownName, field.key_span.clone(), message).help(help);
                        is_right = false;
                        continue;
                    }
                },
            };
            match field_value(kind, &field.value) {
                Some(value) => drop(fields.insert(field.key.as_str().into(), value)),
                None => {
                    let message = format!("{} is expected here, the type of `{}`", expected(kind), clip(&field.key));
                    sink.error(Code::WrongType, field.value.head(), message);
                    is_right = false;
                }
            }
        }
        found.insert(Arc::from(entry.key.as_str()), Fact::Known(Arc::new(Analysis { fields })));
    }
    is_right.then_some(found)
}

fn listed(names: &[String]) -> String {
    names.iter().map(|name| format!("`{}`", clip(name))).collect::<Vec<_>>().join(", ")
}

fn expected(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "a text",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Verdict => "one of `pass`, `fail`, `gray` and `processing_failed`",
    }
}

fn guess(node: &Node) -> FieldKind {
    match &node.value {
        Value::Integer(_) | Value::Float(_) => FieldKind::Number,
        Value::Boolean(_) => FieldKind::Boolean,
        _ => FieldKind::Text,
    }
}

#[allow(clippy::cast_precision_loss, reason = "nobody compares a score with a number of 2^53")]
fn field_value(kind: FieldKind, node: &Node) -> Option<FieldValue> {
    Some(match (kind, &node.value) {
        (FieldKind::Text, _) => FieldValue::Texts(node.one_or_many().iter().map(|node| node.text().map(Text::new)).collect::<Option<_>>()?),
        (FieldKind::Number, Value::Integer(number)) => FieldValue::Number(*number as f64),
        (FieldKind::Number, Value::Float(number)) => FieldValue::Number(*number),
        (FieldKind::Boolean, Value::Boolean(value)) => FieldValue::Boolean(*value),
        (FieldKind::Verdict, Value::Text(text)) => {
            let all = [Verdict::Pass, Verdict::Fail, Verdict::Gray, Verdict::ProcessingFailed];
            FieldValue::Verdict(all.into_iter().find(|word| word.as_str() == text)?)
        }
        _ => return None,
    })
}

/// The answers of DNS. A word that is no record stands alone; in a list all are records.
fn answers(node: Option<&Node>, sink: &mut Sink) -> Option<Option<BTreeMap<String, GivenAnswer>>> {
    let Some(node) = node else { return Some(None) };
    let (mut answers, mut is_right) = (BTreeMap::new(), true);
    for entry in node.entries() {
        let answer = match entry.value.text() {
            Some("nxdomain") => GivenAnswer::NoName,
            Some("no_records") => GivenAnswer::NoRecords,
            Some("servfail") => GivenAnswer::ServerFailure,
            Some("timeout") => GivenAnswer::Timeout,
            _ => GivenAnswer::Records(entry.value.one_or_many().iter().filter_map(|node| node.text().map(str::to_owned)).collect()),
        };
        if let Err(why) = GivenAnswers::default().add(&entry.key, answer.clone()) {
            sink.error(Code::BadValue, entry.value.head(), why)
                .help("a record or a list of them, or one of `nxdomain`, `no_records`, `servfail` and `timeout`");
            is_right = false;
        }
        answers.insert(entry.key.clone(), answer);
    }
    is_right.then_some(Some(answers))
}

macro_rules! same_words {
    ($($function:ident: $name:ident { $($word:ident),+ })+) => {$(
        fn $function(word: words::$name) -> $name {
            match word { $(words::$name::$word => $name::$word),+ }
        }
    )+};
}

same_words! {
    spf_result: SpfResult { None, Neutral, Pass, Fail, Softfail, Policy, Temperror, Permerror }
    dkim_result: DkimResult { None, Pass, Fail, Policy, Neutral, Temperror, Permerror }
    dmarc_result: DmarcResult { None, Pass, Fail, Temperror, Permerror }
    arc_result: ArcResult { None, Pass, Fail }
    dmarc_policy: DmarcPolicy { None, Quarantine, Reject, Absent }
}
