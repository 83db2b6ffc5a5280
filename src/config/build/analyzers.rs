//! Analyzers from their models: each type has keys of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::tls::{self, Material};
use crate::analyzers::{
    AnalyzerConfig, AnalyzerKind, ClamavConfig, ClamdAddress, Code as ListCode, DnsblConfig, HookConfig, HookSends, HttpTarget,
    ListedIdentity, RspamdConfig, Zone,
};
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::{self, ServiceAddress, clip};
use crate::config::model::ListCodes;
use crate::config::model::analyzers as model;
use crate::config::source::Span;
use crate::config::suggest::suggest;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::limits;
use crate::message::FieldKind;

/// Keys besides `type` and `timeout`.
fn keys(kind: model::AnalyzerType) -> (&'static str, &'static [&'static str]) {
    match kind {
        model::AnalyzerType::Dnsbl => ("dnsbl", &["zone", "zones", "of", "codes", "weight", "weights"]),
        model::AnalyzerType::Rspamd => ("rspamd", &["url", "ca", "max_message_size", "connections"]),
        model::AnalyzerType::Clamav => ("clamav", &["address", "max_message_size", "connections"]),
        model::AnalyzerType::Http => ("http", &["url", "ca", "send", "fields", "max_message_size", "connections"]),
    }
}

/// The section; what is wrong has been reported and is left out.
pub(super) fn build(tree: &Node, material: &mut Material<'_>, sink: &mut Sink) -> BTreeMap<Arc<str>, AnalyzerConfig> {
    let mut analyzers = BTreeMap::new();
    for entry in tree.get("analyzers").map(Node::entries).unwrap_or_default() {
        if let Some(config) = analyzer(&entry.value, material, sink) {
            analyzers.insert(Arc::from(entry.key.as_str()), config);
        }
    }
    analyzers
}

fn analyzer(node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<AnalyzerConfig> {
    let model: model::Analyzer = typed(node, sink)?;
    let (word, keys) = keys(model.r#type);
    let mut fits = true;
    for entry in node.entries().iter().filter(|entry| !["type", "timeout"].contains(&&*entry.key) && !keys.contains(&&*entry.key)) {
        let message = format!("`{}` does not belong to an analyzer of `type: {word}`", entry.key);
        sink.error(Code::Conflict, entry.key_span.clone(), message).help(format!("it takes `timeout`, `{}`", keys.join("`, `")));
        fits = false;
    }
    let (kind, timeout) = match model.r#type {
        model::AnalyzerType::Dnsbl => (AnalyzerKind::Dnsbl(dnsbl(&model, node, sink)?), limits::DNSBL_TIMEOUT_DEFAULT),
        model::AnalyzerType::Rspamd => {
            let target = target(&model, node, material, sink)?;
            let message_bytes_max = size(&model, node, limits::RSPAMD_MESSAGE_BYTES_DEFAULT, sink);
            (AnalyzerKind::Rspamd(RspamdConfig { target, message_bytes_max }), limits::RSPAMD_TIMEOUT_DEFAULT)
        }
        model::AnalyzerType::Clamav => (AnalyzerKind::Clamav(clamav(&model, node, sink)?), limits::CLAMAV_TIMEOUT_DEFAULT),
        model::AnalyzerType::Http => (AnalyzerKind::Http(hook(&model, node, material, sink)?), limits::HOOK_TIMEOUT_DEFAULT),
    };
    let timeout = timeout_of(&model, node, timeout, sink);
    fits.then_some(AnalyzerConfig { kind, timeout })
}

/// Reports a key that the type needs, and that is not there.
fn missing(word: &str, key: &str, about: &str, node: &Node, sink: &mut Sink) {
    sink.error(Code::MissingKey, node.head(), format!("an analyzer of `type: {word}` needs the key `{key}`"))
        .help(format!("`{key}`: {about}"));
}

fn at(node: &Node, key: &str) -> Span {
    node.get(key).map_or_else(|| node.head(), |at| at.span.clone())
}

fn timeout_of(model: &model::Analyzer, node: &Node, default: Duration, sink: &mut Sink) -> Duration {
    let Some(timeout) = model.timeout.as_ref().map(|time| time.0) else { return default };
    if timeout.is_zero() || timeout > limits::ANALYZER_TIMEOUT_MAX {
        sink.error(Code::BadValue, at(node, "timeout"), format!("{} s is out of range", timeout.as_secs()))
            .help(format!("from `1s` to `{}s`: the client waits for its reply meanwhile", limits::ANALYZER_TIMEOUT_MAX.as_secs()));
    }
    timeout
}

fn size(model: &model::Analyzer, node: &Node, default: u64, sink: &mut Sink) -> u64 {
    let size = model.max_message_size.map_or(default, |size| size.0);
    if size == 0 {
        sink.error(Code::BadValue, at(node, "max_message_size"), "no message has no octets: nothing would be asked about");
    }
    size
}

fn connections(model: &model::Analyzer) -> u32 {
    model.connections.unwrap_or(limits::ANALYZER_CONNECTIONS_DEFAULT)
}

fn dnsbl(model: &model::Analyzer, node: &Node, sink: &mut Sink) -> Option<DnsblConfig> {
    let of = match model.of.unwrap_or(model::Identity::ClientIp) {
        model::Identity::ClientIp => ListedIdentity::ClientIp,
        model::Identity::MailFrom => ListedIdentity::MailFrom,
        model::Identity::Helo => ListedIdentity::Helo,
    };
    let zones = match (&model.zone, &model.zones) {
        (Some(name), None) => {
            vec![zone(&name.0, model.codes.as_ref(), model.weight, model.weights.as_ref(), node, sink)?]
        }
        (None, Some(zones)) => {
            let inner = node.entries().iter().find(|entry| ["codes", "weight", "weights"].contains(&&*entry.key));
            if let Some(entry) = inner {
                sink.error(Code::Conflict, entry.key_span.clone(), format!("`{}` belongs to one of the `zones`", entry.key))
                    .help(format!("write it there: `zones: [{{ zone: …, {}: … }}]`", entry.key));
                return None;
            }
            if zones.len() > limits::DNSBL_ZONES_MAX {
                let message = format!("{} lists at most are asked together", limits::DNSBL_ZONES_MAX);
                sink.error(Code::BadValue, at(node, "zones"), message).help("define several analyzers");
                return None;
            }
            let nodes = node.get("zones").map(Node::items).unwrap_or_default();
            let built = zones
                .iter()
                .zip(nodes)
                .map(|(model, node)| zone(&model.zone.0, model.codes.as_ref(), model.weight, model.weights.as_ref(), node, sink));
            built.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()?
        }
        (Some(_), Some(_)) => {
            let span = node.entry("zones").map_or_else(|| node.head(), |entry| entry.key_span.clone());
            sink.error(Code::Conflict, span, "`zone` and `zones` exclude each other").help("put it into `zones` too");
            return None;
        }
        (None, None) => {
            missing("dnsbl", "zone", "the domain under which the list answers: `zen.spamhaus.org`", node, sink);
            return None;
        }
    };
    Some(DnsblConfig { of, zones })
}

fn zone(
    name: &str,
    codes: Option<&ListCodes>,
    weight: Option<f64>,
    weights: Option<&BTreeMap<String, f64>>,
    node: &Node,
    sink: &mut Sink,
) -> Option<Zone> {
    let weight = weight.unwrap_or(1.0);
    let mut built: Vec<ListCode> = Vec::new();
    for (answers, name) in codes.iter().flat_map(|codes| &codes.0) {
        let own = weights.and_then(|weights| weights.get(&name.0)).copied();
        built.push(ListCode {
            answers: formats::list_code(answers).ok()?,
            name: Arc::from(name.0.as_str()),
            weight: own.unwrap_or(weight),
        });
    }
    let mut is_good = true;
    for entry in node.get("weights").map(Node::entries).unwrap_or_default() {
        if weights.and_then(|weights| weights.get(&entry.key)).is_none_or(|weight| !(-1000.0..=1000.0).contains(weight)) {
            sink.error(Code::BadValue, entry.value.span.clone(), "a weight is a number from -1000 to 1000");
            is_good = false;
        }
        if !built.iter().any(|code| *code.name == *entry.key) {
            let message = format!("`codes` has no name `{}`", clip(&entry.key));
            let diagnostic = sink.error(Code::UnknownName, entry.key_span.clone(), message);
            match suggest(&entry.key, built.iter().map(|code| &*code.name)) {
                Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
                None => diagnostic.help("`weights` are for the names that `codes` gives to answers"),
            };
            is_good = false;
        }
    }
    is_good.then(|| Zone { name: Arc::from(name), codes: built, weight })
}

fn target(model: &model::Analyzer, node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<HttpTarget> {
    let Some(url) = &model.url else {
        let (word, _) = keys(model.r#type);
        missing(word, "url", "where it answers: `http://127.0.0.1:11333`", node, sink);
        return None;
    };
    let ca = match &model.ca {
        None => None,
        Some(path) => {
            let named = tls::named(path, node, "ca");
            if url.0.starts_with("http:") {
                sink.error(Code::Conflict, named.span, "`ca` has no use with `http`: nobody shows a certificate").help("write `https://…`");
                return None;
            }
            let (_, pem) = material.read(&named, sink)?;
            match certificates(&pem) {
                Ok(certificates) => Some(certificates),
                Err(why) => {
                    sink.error(Code::TlsFiles, named.span, format!("the CAs of the analyzer cannot be used: {why}"));
                    return None;
                }
            }
        }
    };
    Some(HttpTarget { url: Arc::from(url.0.as_str()), ca, connections: connections(model) })
}

fn certificates(pem: &[u8]) -> Result<Arc<[CertificateDer<'static>]>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = read.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("there is no certificate in the file".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    Ok(certificates.into())
}

fn clamav(model: &model::Analyzer, node: &Node, sink: &mut Sink) -> Option<ClamavConfig> {
    let Some(address) = &model.address else {
        missing("clamav", "address", "where clamd answers: `127.0.0.1:3310` or `unix:/run/clamav/clamd.ctl`", node, sink);
        return None;
    };
    let address = match &address.0 {
        ServiceAddress::Tcp(host, port) => ClamdAddress::Tcp(Arc::from(host.as_str()), *port),
        ServiceAddress::Unix(path) => ClamdAddress::Unix(path.into()),
    };
    let message_bytes_max = size(model, node, limits::CLAMAV_MESSAGE_BYTES_DEFAULT, sink);
    Some(ClamavConfig { address, message_bytes_max, connections: connections(model) })
}

fn hook(model: &model::Analyzer, node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<HookConfig> {
    let target = target(model, node, material, sink)?;
    let Some(declared) = &model.fields else {
        missing("http", "fields", "what it answers: `{ category: string, score: number }`", node, sink);
        return None;
    };
    for entry in node.get("fields").map(Node::entries).unwrap_or_default() {
        let is_name = !entry.key.is_empty() && entry.key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
        if !is_name || entry.key == "fields" || entry.key.len() > 64 {
            sink.error(Code::BadValue, entry.key_span.clone(), format!("`{}` cannot be the name of a field", clip(&entry.key)))
                .help("1 to 64 letters, digits, `_`, `-` and `.`; `fields` itself is what stands around them in an answer");
            return None;
        }
    }
    let send = match model.send.unwrap_or(model::HookSends::Facts) {
        model::HookSends::Facts => HookSends::Facts,
        model::HookSends::Headers => HookSends::Headers,
        model::HookSends::Message => HookSends::Message,
    };
    if send != HookSends::Message
        && let Some(entry) = node.entry("max_message_size")
    {
        sink.error(Code::Conflict, entry.key_span.clone(), "`max_message_size` is for a hook that gets the message")
            .help("write `send: message`, or remove it");
        return None;
    }
    let kind = |kind: &model::FieldType| match kind {
        model::FieldType::String => FieldKind::Text,
        model::FieldType::Number => FieldKind::Number,
        model::FieldType::Boolean => FieldKind::Boolean,
        model::FieldType::Verdict => FieldKind::Verdict,
    };
    let fields = declared.iter().map(|(name, declared)| (Arc::from(name.as_str()), kind(declared))).collect();
    let message_bytes_max = size(model, node, limits::HOOK_MESSAGE_BYTES_DEFAULT, sink);
    Some(HookConfig { target, send, fields, message_bytes_max })
}
