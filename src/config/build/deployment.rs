//! Relays, endpoints and the rest of `gateway.yaml` from their models.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use super::tls::{self, Material};
use super::{acme, analyzers, call_ahead, client_certificate, edge, fields, relays, resolver, srs, submission};
use crate::acme::AcmeConfig;
use crate::analyzers::AnalyzerConfig;
use crate::certificates::{Expiry, Trust};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::deployment as model;
use crate::config::model::{DnsName, FilePath, Line, MailAddress, RelayName};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::config::{CallAhead, DeliveryMode, Domains, EndpointFields, EndpointKind, EndpointTls, Limits, SrsConfig, TlsUse, UsedBy};
use crate::daily_reports::ReportsConfig;
use crate::dns::ResolverConfig;
use crate::message;
use crate::relay::RelayConfig;
use crate::secrets::SecretRef;

/// What `gateway.yaml` says, but for lists, policies and rule sets, which have files of their own.
#[derive(Debug, Default)]
pub(crate) struct Deployment {
    pub(crate) hostname: Option<Arc<str>>,
    pub(crate) domains: Option<Domains>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    pub(crate) relays: BTreeMap<Arc<str>, Arc<RelayConfig>>,
    pub(crate) address_lists: BTreeMap<String, ListPath>,
    pub(crate) ip_lists: BTreeMap<String, ListPath>,
    pub(crate) analyzers: BTreeMap<Arc<str>, AnalyzerConfig>,
    pub(crate) bounce_relay: Option<Arc<str>>,
    pub(crate) acme: Option<AcmeConfig>,
    pub(crate) srs: Option<SrsConfig>,
    pub(crate) dmarc_reports: Option<ReportsConfig>,
    pub(crate) tls_reports: Option<ReportsConfig>,
    pub(crate) spool: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) resolver: ResolverConfig,
    pub(crate) admin: Option<SocketAddr>,
    /// What ends on some date.
    pub(crate) expiries: Vec<Expiry>,
    /// Certificates, keys, CAs and CRLs, as they were before they were used: what changes in between has the checksum of the older content,
    /// so that the next look at the files finds a change.
    pub(crate) files: Vec<(PathBuf, Vec<u8>)>,
}

/// An endpoint whose policy and rule set are still names.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) kind: EndpointKind,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) policy: String,
    pub(crate) rules: String,
    pub(crate) tls: Option<EndpointTls>,
    pub(crate) delivery: DeliveryMode,
    pub(crate) load_balancers: Vec<IpNet>,
    pub(crate) fields: EndpointFields,
    pub(crate) call_ahead: Option<Arc<CallAhead>>,
}

/// What an endpoint is for those who only judge.
#[derive(Debug)]
pub(crate) struct Judging {
    pub(crate) used_by: UsedBy,
    pub(crate) policy: String,
    pub(crate) rules: String,
    pub(crate) delivery: DeliveryMode,
    pub(crate) tls: TlsUse,
    pub(crate) looks_ahead: bool,
}

/// A list's file and where it is named.
#[derive(Debug)]
pub(crate) struct ListPath {
    pub(crate) path: PathBuf,
    pub(crate) named_at: Span,
}

/// Builds what can be built; what is wrong has been reported. `folder` is that of `gateway.yaml`, `now` what dates are compared with.
pub(crate) fn build(tree: &Node, folder: &Path, now: OffsetDateTime, sink: &mut Sink) -> Deployment {
    let mut deployment = Deployment { spool: folder.join("var/spool"), ..Deployment::default() };
    deployment.hostname = tree.get("hostname").and_then(|node| typed::<DnsName>(node, sink)).map(|name| Arc::from(name.0));
    deployment.domains = tree.get("domains").and_then(|node| domains(node, sink));
    let mut listening = HashMap::new();
    let mut material = Material { folder, now, files: Vec::new(), expiries: Vec::new(), wanted: Vec::new() };
    for entry in tree.get("endpoints").map(Node::entries).unwrap_or_default() {
        let built = endpoint(&entry.value, &mut listening, &mut material, sink);
        deployment.endpoints.extend(built.map(|endpoint| (entry.key.clone(), endpoint)));
    }
    deployment.acme = acme::build(tree, &mut listening, &mut material, sink);
    deployment.analyzers = analyzers::build(tree, &mut material, sink);
    (deployment.files, deployment.expiries) = (material.files, material.expiries);
    for entry in tree.get("relays").map(Node::entries).unwrap_or_default() {
        let built = relays::relay(&entry.key, &entry.value, folder, sink);
        if let Some(file) = built.as_ref().and_then(|relay| relay.ca_file.clone()) {
            deployment.files.push(with_content(file));
        }
        deployment.expiries.extend(built.as_ref().and_then(|relay| client_certificate::look(relay, &entry.value, now, sink)));
        deployment.relays.extend(built.map(|relay| (Arc::clone(&relay.name), Arc::new(relay))));
    }
    deployment.address_lists = lists(tree.get("address_lists"), folder, sink);
    deployment.ip_lists = lists(tree.get("ip_lists"), folder, sink);
    let bounces = tree.get("bounces").and_then(|node| typed::<model::Bounces>(node, sink));
    deployment.bounce_relay = bounces.map(|bounces| Arc::from(bounces.relay.0));
    deployment.srs = tree.get("srs").and_then(|node| srs::build(node, folder, sink));
    if let Some(node) = tree.get("limits") {
        deployment.limits = edge::limits(node, sink);
    }
    if let Some(node) = tree.get("resolver") {
        deployment.resolver = resolver::resolver(node, sink);
    }
    deployment.admin = tree.get("admin").and_then(|node| admin(node, sink));
    if let Some(node) = tree.get("spool")
        && let Some(model::Spool { path: Some(path), .. }) = typed::<model::Spool>(node, sink)
    {
        deployment.spool = folder.join(path.0);
    }
    deployment.dmarc_reports =
        tree.get("dmarc_reports").and_then(|node| reports::<model::DmarcReports>(node, folder, &deployment.spool, sink));
    deployment.tls_reports = tree.get("tls_reports").and_then(|node| reports::<model::TlsReports>(node, folder, &deployment.spool, sink));
    deployment
}

/// The endpoints for those who only judge; nothing they would be served with is looked at. What is wrong has been reported by [`build`].
pub(crate) fn judging(tree: &Node, sink: &mut Sink) -> BTreeMap<String, Judging> {
    let endpoints = tree.get("endpoints").map(Node::entries).unwrap_or_default();
    let read = endpoints.iter().filter_map(|entry| Some((entry.key.clone(), typed::<model::Endpoint>(&entry.value, sink)?)));
    let judging = read.map(|(name, model)| {
        let used_by = match model.r#type.unwrap_or(model::EndpointType::Open) {
            model::EndpointType::Open => UsedBy::Everybody,
            model::EndpointType::Auth => UsedBy::Users,
            model::EndpointType::Mtls => UsedBy::Partners,
        };
        let tls = match model.tls.as_ref().map(|tls| tls.mode) {
            None => TlsUse::None,
            Some(Some(model::EndpointTlsMode::Implicit)) => TlsUse::Implicit,
            Some(Some(model::EndpointTlsMode::Required)) => TlsUse::Required,
            // Who must show a certificate must begin TLS.
            Some(None) if used_by == UsedBy::Partners => TlsUse::Required,
            Some(Some(model::EndpointTlsMode::Optional) | None) => TlsUse::Optional,
        };
        let (delivery, looks_ahead) = (delivery(model.delivery), model.call_ahead.is_some());
        (name, Judging { used_by, policy: model.policy.0, rules: model.rules.0, delivery, tls, looks_ahead })
    });
    judging.collect()
}

fn delivery(model: model::Delivery) -> DeliveryMode {
    match model {
        model::Delivery::Inline => DeliveryMode::Inline,
        model::Delivery::Queue => DeliveryMode::Queue,
    }
}

/// `dmarc_reports` and `tls_reports`.
trait Reports {
    /// Below which name the figures lie, and who might send reports.
    const NAME: &'static str;

    fn parts(self) -> (RelayName, MailAddress, Line, Option<Line>, Option<FilePath>);
}

impl Reports for model::DmarcReports {
    const NAME: &'static str = "dmarc-reports";

    fn parts(self) -> (RelayName, MailAddress, Line, Option<Line>, Option<FilePath>) {
        (self.relay, self.from, self.organization, self.contact, self.path)
    }
}

impl Reports for model::TlsReports {
    const NAME: &'static str = "tls-reports";

    fn parts(self) -> (RelayName, MailAddress, Line, Option<Line>, Option<FilePath>) {
        (self.relay, self.from, self.organization, self.contact, self.path)
    }
}

fn reports<M: Reports + DeserializeOwned>(node: &Node, folder: &Path, spool: &Path, sink: &mut Sink) -> Option<ReportsConfig> {
    let (relay, from, organization, contact, path) = typed::<M>(node, sink)?.parts();
    let from = from.0;
    // The submitter is a name that readers of reports look up, and a report must come from a domain that can be authenticated.
    if message::a_labels(from.domain()).is_none_or(|name| !from.is_ascii() || *name != *from.domain().to_ascii_lowercase()) {
        let span = node.get("from").map_or_else(|| node.head(), |from| from.span.clone());
        sink.error(Code::BadValue, span, "reports come from an address in ASCII of a domain")
            .help(format!("write for example `{}@acme.example`", M::NAME));
        return None;
    }
    Some(ReportsConfig {
        relay: Arc::from(relay.0),
        from,
        organization: Arc::from(organization.0),
        contact: contact.map(|contact| Arc::from(contact.0)),
        folder: path.map_or_else(|| spool.parent().unwrap_or(folder).join(M::NAME), |path| folder.join(path.0)),
    })
}

fn domains(node: &Node, sink: &mut Sink) -> Option<Domains> {
    Some(match typed::<model::Domains>(node, sink)? {
        model::Domains::List(names) => Domains::List(names.into_iter().map(|name| Arc::from(name.0)).collect()),
        model::Domains::Ses => Domains::Ses,
    })
}

fn admin(node: &Node, sink: &mut Sink) -> Option<SocketAddr> {
    let address = typed::<model::Admin>(node, sink)?.listen.0;
    if !address.ip().is_loopback() {
        let span = node.get("listen").map_or_else(|| node.head(), |listen| listen.span.clone());
        sink.warning(
            Code::AdminExposed,
            span,
            format!("{address} can be reached from elsewhere, and the administrative server asks nobody who he is"),
        )
        .help("listen on `127.0.0.1:8025`, or see to it that only monitoring reaches the port");
    }
    Some(address)
}

fn lists(node: Option<&Node>, folder: &Path, sink: &mut Sink) -> BTreeMap<String, ListPath> {
    let mut lists = BTreeMap::new();
    for entry in node.map(Node::entries).unwrap_or_default() {
        if let Some(model) = typed::<model::ListFile>(&entry.value, sink) {
            let named_at = entry.value.get("file").map_or_else(|| entry.key_span.clone(), |file| file.span.clone());
            lists.insert(entry.key.clone(), ListPath { path: folder.join(model.file.0), named_at });
        }
    }
    lists
}

fn endpoint(node: &Node, listening: &mut HashMap<SocketAddr, Span>, material: &mut Material<'_>, sink: &mut Sink) -> Option<Endpoint> {
    let model: model::Endpoint = typed(node, sink)?;
    let nodes = node.get("listen").map(Node::one_or_many).unwrap_or_default();
    for (address, node) in model.listen.0.iter().zip(nodes) {
        match listening.get(&address.0) {
            Some(first) => {
                let message = format!("{} is listened on twice", address.0);
                sink.error(Code::DuplicateListen, node.span.clone(), message).note(first.clone(), "the first");
            }
            None => {
                listening.insert(address.0, node.span.clone());
            }
        }
    }
    let call_ahead = call_ahead::build(&model, node, sink);
    let kind = kind(&model, node, material, sink);
    let tls = match &model.tls {
        None => None,
        Some(tls) => {
            let trust = kind.as_ref().and_then(|(_, trust)| trust.clone());
            let asks_for_login = matches!(model.r#type, Some(model::EndpointType::Auth));
            let tls = tls::endpoint(tls, node.get("tls")?, trust, material, sink)?;
            Some(EndpointTls { required: tls.required || asks_for_login, ..tls })
        }
    };
    let fields = fields::endpoint(&model, node, material.folder, sink);
    let (kind, _) = kind?;
    Some(Endpoint {
        kind,
        listen: model.listen.0.iter().map(|address| address.0).collect(),
        policy: model.policy.0,
        rules: model.rules.0,
        tls,
        delivery: delivery(model.delivery),
        load_balancers: load_balancers(model.proxy_protocol.as_ref(), node, sink),
        fields,
        call_ahead,
    })
}

fn load_balancers(model: Option<&model::ProxyProtocol>, node: &Node, sink: &mut Sink) -> Vec<IpNet> {
    let trusted = node.get("proxy_protocol").and_then(|node| node.get("trusted")).map(Node::one_or_many).unwrap_or_default();
    let networks = model.map(|model| model.trusted.0.iter().map(|network| network.0)).into_iter().flatten();
    for (network, node) in networks.clone().zip(trusted).filter(|(network, _)| network.prefix_len() == 0) {
        let message = format!("{network} is everybody: whoever reaches this endpoint can claim any address as its own");
        sink.warning(Code::TrustsEverybody, node.span.clone(), message).help("name the networks of the load balancers alone");
    }
    networks.collect()
}

/// Who may use an endpoint, and with `mtls` whose certificates: the two belong together.
fn kind(model: &model::Endpoint, node: &Node, material: &mut Material<'_>, sink: &mut Sink) -> Option<(EndpointKind, Option<Arc<Trust>>)> {
    let kind = match model.r#type.unwrap_or(model::EndpointType::Open) {
        model::EndpointType::Open => EndpointKind::Open,
        model::EndpointType::Mtls => EndpointKind::Mtls,
        model::EndpointType::Auth => submission::kind(model, node, material.folder, sink)?,
    };
    if !matches!(kind, EndpointKind::Auth(_)) {
        submission::no_credentials(node, sink);
    }
    let is_mtls = matches!(kind, EndpointKind::Mtls);
    for (key, about) in [("trust", "whose clients are let in"), ("tls", "the certificate that clients are shown")] {
        if is_mtls && node.entry(key).is_none() {
            let span = node.get("type").map_or_else(|| node.head(), |at| at.span.clone());
            sink.error(Code::MissingKey, span, format!("an `mtls` endpoint needs the key `{key}`")).help(format!("`{key}`: {about}"));
            return None;
        }
    }
    let Some((sets, entry)) = model.trust.as_ref().zip(node.entry("trust")) else { return Some((kind, None)) };
    if !is_mtls {
        sink.error(Code::Conflict, entry.key_span.clone(), "`trust` belongs to an endpoint of `type: mtls`")
            .help("without that type no client is asked for a certificate");
        return None;
    }
    Some((kind, Some(tls::trust(&sets.0, &entry.value, material, sink)?)))
}

/// A file that cannot be read has no content; whoever needs it reports that.
fn with_content(path: PathBuf) -> (PathBuf, Vec<u8>) {
    let content = std::fs::read(&path).unwrap_or_default();
    (path, content)
}

/// Reports a file that cannot be opened.
pub(super) fn exists(node: Option<&Node>, path: &Path, sink: &mut Sink) -> bool {
    match std::fs::File::open(path) {
        Ok(_) => true,
        Err(error) => {
            let span = node.map_or(0..0, |node| node.span.clone());
            sink.error(Code::TlsFiles, span, format!("`{}` cannot be read: {}", path.display(), super::super::files::why(&error)))
                .help("a relative path begins at the folder of gateway.yaml");
            false
        }
    }
}

pub(super) fn secret(secret: &model::Secret, folder: &Path) -> SecretRef {
    match secret {
        model::Secret::Secret(name) => SecretRef::SecretsManager(Arc::from(name.0.as_str())),
        model::Secret::File(FilePath(path)) => SecretRef::File(folder.join(path)),
        model::Secret::Env(name) => SecretRef::Environment(Arc::from(name.0.as_str())),
    }
}
