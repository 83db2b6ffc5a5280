//! What is known of the message and its session: what the operator says, then what the message itself tells.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::{Args, Tls};
use crate::config::{JudgedEndpoint, Rulebook, TlsUse, UsedBy};
use crate::limits::EXPLAINED_MESSAGE_BYTES_MAX;
use crate::message::{
    Analysis, ClientCertificate, Envelope, Fact, FieldKind, FieldValue, Findings, MailboxField, Original, SessionFacts, Text, TlsFacts,
    TlsVersion, Verdict, View,
};
use crate::smtp::{Address, MailTerms, Recipient, ReversePath};
use crate::trial::{Given, Stated, with_line_ends};

/// Something known, and from where.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) what: &'static str,
    pub(super) value: String,
    /// `None`: the operator has said it.
    pub(super) from: Option<&'static str>,
}

/// All that is known.
pub(super) struct Known {
    pub(super) given: Given,
    pub(super) told: Vec<Told>,
    pub(super) assumptions: Vec<String>,
}

const RECEIVED: &str = "the topmost Received field";

pub(super) fn known(args: &Args, rulebook: &Rulebook, endpoint: &JudgedEndpoint) -> Result<Known, String> {
    let mut assumptions = Vec::new();
    let Mail { whole, original, received } = message(args, rulebook, &mut assumptions)?;
    let mut told = Vec::new();
    let mut tell = |what, value: String, from| told.push(Told { what, value, from });

    let from_received = |given: bool| if given { None } else { Some(RECEIVED) };
    let client_ip = args.client_ip.or(received.as_ref().map(|received| received.address));
    let client_ip =
        client_ip.ok_or("say with --client-ip where the message comes from: it has no Received field that tells")?.to_canonical();
    tell("client", client_ip.to_string(), from_received(args.client_ip.is_some()));
    // The name belongs to the address: another client has another name.
    let helo = args.helo.clone().or(received.filter(|_| args.client_ip.is_none()).map(|received| received.helo));
    if let Some(helo) = &helo {
        tell("helo", helo.clone(), from_received(args.helo.is_some()));
    }
    let tls = tls(args, endpoint, &mut assumptions)?;
    let shown = tls
        .as_ref()
        .map_or("plain text".to_owned(), |tls| format!("{}{}", tls.version.as_str(), if tls.wrapped { ", implicit" } else { "" }));
    tell("tls", shown, if args.tls.is_some() { None } else { Some("the endpoint") });
    if let Some(user) = &args.user {
        tell("user", user.clone(), None);
    }

    let view = View::new(&original);
    // Who delivers a message at last puts its Return-Path on top (RFC 5321 §4.4).
    let (reverse_path, from) = sender(args, &View::new(&whole))?;
    tell("mail_from", reverse_path.to_string(), from);
    let (recipients, from) = recipients(args, &view)?;
    tell("recipients", recipients.iter().map(|recipient| recipient.address.as_str()).collect::<Vec<_>>().join(", "), from);

    let session = SessionFacts {
        client_ip,
        client_host: None,
        helo: helo.unwrap_or_default().into(),
        extended: true,
        tls,
        authenticated: args.user.is_some(),
        login: args.user.as_deref().map(Into::into),
    };
    let is_ascii = |path: &ReversePath| path.as_str().is_ascii();
    let smtputf8 = !is_ascii(&reverse_path) || recipients.iter().any(|recipient| !recipient.address.is_ascii());
    let eight_bit = original.has_8bit();
    let envelope = Envelope { reverse_path, recipients, smtputf8, eight_bit, terms: MailTerms::default() };
    let mut findings = Findings::default();
    if let Some(host) = &args.client_host {
        tell("client_host", host.clone(), None);
        findings.client_host = Fact::Known(Some(Arc::from(host.as_str())).filter(|host| &**host != "none"));
    }
    let mut stated = Stated::default();
    for (flag, attribute, word) in args.verdicts() {
        stated.state(attribute, word).map_err(|words| format!("{flag} {word}: there are {}", words.join(", ")))?;
        tell(attribute.name(), word.to_owned(), None);
    }
    assumptions.extend(stated.reveal(&session, &envelope, &mut findings));
    for text in &args.analysis {
        analysis(text, rulebook, &mut findings)?;
        tell("analysis", text.clone(), None);
    }
    let content = original.data().head().clone();
    let given = Given { session, envelope, content, findings, declared_size: args.size, accepted_domains: None };
    Ok(Known { given, told, assumptions })
}

/// What a Received field says of the client.
struct Received {
    helo: String,
    address: IpAddr,
}

impl Received {
    /// `from HELO (HOST [ADDRESS])`, as this gateway and most others write it.
    fn read(value: &str) -> Option<Self> {
        let rest = value.trim_start().strip_prefix("from ")?.trim_start();
        let (helo, rest) = rest.split_once(|c: char| c.is_ascii_whitespace())?;
        let (_, rest) = rest.split_once('[')?;
        let (address, _) = rest.split_once(']')?;
        Some(Self { helo: helo.to_owned(), address: address.strip_prefix("IPv6:").unwrap_or(address).parse().ok()? })
    }
}

/// A message that was read.
struct Mail {
    /// As the file has it.
    whole: Original,
    /// As it came here.
    original: Original,
    /// What the field says that was put on top of it then.
    received: Option<Received>,
}

fn message(args: &Args, rulebook: &Rulebook, assumptions: &mut Vec<String>) -> Result<Mail, String> {
    let unreadable = |error: io::Error| format!("{}: {error}", args.message.display());
    let mut content = Vec::new();
    let limit = EXPLAINED_MESSAGE_BYTES_MAX;
    if args.message.as_os_str() == "-" {
        io::stdin().lock().take(limit.saturating_add(1)).read_to_end(&mut content).map_err(unreadable)?;
    } else {
        File::open(&args.message).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut content)).map_err(unreadable)?;
    }
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
        return Err(format!("{}: larger than {limit} octets", args.message.display()));
    }
    let content = Bytes::from(with_line_ends(&content).into_owned());
    let parsed = |content: &Bytes| Original::parse(content.clone()).map_err(|error| format!("{}: {error}", args.message.display()));
    let original = parsed(&content)?;
    let whole = original.clone();
    let fields = original.fields().iter().filter(|field| original.name(field).eq_ignore_ascii_case(b"Received"));
    let ours = fields.clone().find(|field| Original::is_received_by(original.value(field), &rulebook.hostname)).filter(|_| !args.as_is);
    let value = |field: &crate::message::Field| String::from_utf8_lossy(original.value(field)).into_owned();
    let received = ours.or_else(|| fields.clone().next()).and_then(|field| Received::read(&value(field)));
    let Some(ours) = ours else { return Ok(Mail { whole, original, received }) };
    assumptions.push(format!(
        "the message is judged without this gateway's own Received field and what stands above it (--as-is keeps them); what rules of \
         `{}` have added or changed stays",
        rulebook.hostname
    ));
    let came = content.slice(ours.whole.end.min(content.len())..);
    Ok(Mail { whole, original: parsed(&came)?, received })
}

fn tls(args: &Args, endpoint: &JudgedEndpoint, assumptions: &mut Vec<String>) -> Result<Option<TlsFacts>, String> {
    let version = match (args.tls, endpoint.tls) {
        (Some(Tls::None), _) | (None, TlsUse::None) if args.certificate.is_empty() => return Ok(None),
        (Some(Tls::None), _) => return Err("a client shows its certificate over TLS only".to_owned()),
        (Some(Tls::V1_2), _) => TlsVersion::Tls1_2,
        (Some(Tls::V1_3) | None, _) => TlsVersion::Tls1_3,
    };
    let client_certificate = if args.certificate.is_empty() && endpoint.used_by != UsedBy::Partners {
        None
    } else {
        if args.certificate.is_empty() {
            assumptions.push("the client shows a certificate that is trusted here, without any name in it".to_owned());
        }
        Some(Arc::new(certificate(&args.certificate)?))
    };
    let wrapped = endpoint.tls == TlsUse::Implicit;
    Ok(Some(TlsFacts { version, cipher: "".into(), wrapped, client_certificate }))
}

fn certificate(fields: &[String]) -> Result<ClientCertificate, String> {
    let mut certificate = ClientCertificate::default();
    for field in fields {
        let (name, value) = field.split_once('=').ok_or_else(|| format!("--certificate {field}: not FIELD=VALUE"))?;
        let values = match name {
            "cn" => &mut certificate.cn,
            "san_rfc822_name" => &mut certificate.san_rfc822_name,
            "san_dns_name" => &mut certificate.san_dns_name,
            "san_directory_name" => &mut certificate.san_directory_name,
            "san_uniform_resource_identifier" => &mut certificate.san_uniform_resource_identifier,
            "san_ip_address" => &mut certificate.san_ip_address,
            "san_registered_id" => &mut certificate.san_registered_id,
            "serial_number" => &mut certificate.serial_number,
            _ => {
                return Err(format!(
                    "--certificate {field}: there are cn, san_rfc822_name, san_dns_name, san_directory_name, \
                     san_uniform_resource_identifier, san_ip_address, san_registered_id, serial_number"
                ));
            }
        };
        values.push(value.to_owned());
    }
    Ok(certificate)
}

fn sender(args: &Args, view: &View<'_>) -> Result<(ReversePath, Option<&'static str>), String> {
    let path = |text: &str| {
        let text = text.trim().trim_start_matches('<').trim_end_matches('>');
        if text.is_empty() { Ok(ReversePath::Null) } else { Address::parse(text, true).map(ReversePath::Address) }
    };
    if let Some(text) = &args.mail_from {
        return path(text).map(|path| (path, None)).map_err(|_| format!("--mail-from {text}: not a mail address"));
    }
    if let Some(Ok(path)) = view.header("Return-Path").first().map(|text| path(text.plain())) {
        return Ok((path, Some("Return-Path")));
    }
    let from = view.mailboxes(MailboxField::From).iter().find_map(|mailbox| mailbox.address.as_ref());
    match from.map(|address| path(address.plain())) {
        Some(Ok(path)) => Ok((path, Some("From"))),
        _ => Err("say with --mail-from who sends the message: neither its Return-Path nor its From tells".to_owned()),
    }
}

fn recipients(args: &Args, view: &View<'_>) -> Result<(Vec<Recipient>, Option<&'static str>), String> {
    if !args.rcpt.is_empty() {
        let all = args
            .rcpt
            .iter()
            .map(|text| Address::parse(text, true).map(Recipient::from).map_err(|_| format!("--rcpt {text}: not a mail address")));
        return Ok((all.collect::<Result<_, _>>()?, None));
    }
    let mut recipients: Vec<Recipient> = Vec::new();
    for mailbox in view.mailboxes(MailboxField::To).iter().chain(view.mailboxes(MailboxField::Cc)) {
        let address = mailbox.address.as_ref().and_then(|text| Address::parse(text.plain(), true).ok());
        recipients.extend(address.map(Recipient::from).filter(|new| recipients.iter().all(|known| known.address != new.address)));
    }
    if recipients.is_empty() {
        Err("say with --rcpt who is to get the message: neither To nor Cc tells".to_owned())
    } else {
        Ok((recipients, Some("To and Cc")))
    }
}

/// `ANALYZER.FIELD=VALUE` or `ANALYZER=no-answer`.
fn analysis(text: &str, rulebook: &Rulebook, findings: &mut Findings) -> Result<(), String> {
    let (left, value) = text.split_once('=').ok_or_else(|| format!("--analysis {text}: not ANALYZER.FIELD=VALUE"))?;
    let (name, field) = left.split_once('.').map_or((left, None), |(name, field)| (name, Some(field)));
    let (name, config) = rulebook.analyzers.get_key_value(name).ok_or_else(|| {
        let names: Vec<&str> = rulebook.analyzers.keys().map(|name| &**name).collect();
        format!(
            "--analysis {text}: there is no analyzer `{name}`{}",
            if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
        )
    })?;
    let Some(field) = field else {
        if value != "no-answer" {
            return Err(format!("--analysis {text}: say which field, as in {name}.FIELD=VALUE, or {name}=no-answer"));
        }
        findings.analyses.insert(Arc::clone(name), Fact::Unknown("no answer".into()));
        return Ok(());
    };
    let kind = config.field(field).ok_or_else(|| {
        let fields: Vec<&str> = config.fields().into_iter().map(|(field, _)| field).collect();
        format!("--analysis {text}: `{name}` has the fields {}", fields.join(", "))
    })?;
    let wrong = |what: &str| format!("--analysis {text}: `{field}` is {what}");
    let value = match kind {
        FieldKind::Text => FieldValue::Texts(value.split(',').map(|text| Text::new(text.trim())).collect()),
        FieldKind::Number => FieldValue::Number(value.parse().map_err(|_| wrong("a number"))?),
        FieldKind::Boolean => FieldValue::Boolean(value.parse().map_err(|_| wrong("true or false"))?),
        FieldKind::Verdict => FieldValue::Verdict(Verdict::from_word(value).ok_or_else(|| wrong("pass, fail, gray or processing_failed"))?),
    };
    let mut fields = match findings.analyses.get(name) {
        Some(Fact::Known(analysis)) => analysis.fields.clone(),
        _ => BTreeMap::new(),
    };
    fields.insert(field.into(), value);
    findings.analyses.insert(Arc::clone(name), Fact::Known(Arc::new(Analysis { fields })));
    Ok(())
}
