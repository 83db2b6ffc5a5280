//! Relays, endpoints and the rest of `gateway.yaml` from their models.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use time::OffsetDateTime;

use super::tls::{self, Material};
use super::{acme, analyzers, edge, fields, resolver, submission};
use crate::acme::AcmeConfig;
use crate::analyzers::AnalyzerConfig;
use crate::certificates::{Expiry, Trust};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::deployment as model;
use crate::config::model::{DnsName, Domain, FilePath};
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::config::{DeliveryMode, Domains, EndpointFields, EndpointKind, EndpointTls, Limits};
use crate::dmarc_reports::DmarcReportsConfig;
use crate::dns::ResolverConfig;
use crate::limits;
use crate::message;
use crate::relay::{RelayConfig, RetrySchedule, TlsMode};
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
    pub(crate) dmarc_reports: Option<DmarcReportsConfig>,
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
        let built = relay(&entry.key, &entry.value, folder, sink);
        if let Some(file) = built.as_ref().and_then(|relay| relay.ca_file.clone()) {
            deployment.files.push(with_content(file));
        }
        deployment.relays.extend(built.map(|relay| (Arc::clone(&relay.name), Arc::new(relay))));
    }
    deployment.address_lists = lists(tree.get("address_lists"), folder, sink);
    deployment.ip_lists = lists(tree.get("ip_lists"), folder, sink);
    let bounces = tree.get("bounces").and_then(|node| typed::<model::Bounces>(node, sink));
    deployment.bounce_relay = bounces.map(|bounces| Arc::from(bounces.relay.0));
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
    deployment.dmarc_reports = tree.get("dmarc_reports").and_then(|node| dmarc_reports(node, folder, &deployment.spool, sink));
    deployment
}

fn dmarc_reports(node: &Node, folder: &Path, spool: &Path, sink: &mut Sink) -> Option<DmarcReportsConfig> {
    let model: model::DmarcReports = typed(node, sink)?;
    let from = model.from.0;
    // The submitter is a name that readers of reports look up, and a report must come from a domain that can be authenticated.
    if message::a_labels(from.domain()).is_none_or(|name| !from.is_ascii() || *name != *from.domain().to_ascii_lowercase()) {
        let span = node.get("from").map_or_else(|| node.head(), |from| from.span.clone());
        sink.error(Code::BadValue, span, "reports come from an address in ASCII of a domain")
            .help("write for example `dmarc-reports@acme.example`");
        return None;
    }
    Some(DmarcReportsConfig {
        relay: Arc::from(model.relay.0),
        from,
        organization: Arc::from(model.organization.0),
        contact: model.contact.map(|contact| Arc::from(contact.0)),
        folder: model.path.map_or_else(|| spool.parent().unwrap_or(folder).join("dmarc-reports"), |path| folder.join(path.0)),
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
        delivery: match model.delivery {
            model::Delivery::Inline => DeliveryMode::Inline,
            model::Delivery::Queue => DeliveryMode::Queue,
        },
        load_balancers: load_balancers(model.proxy_protocol.as_ref(), node, sink),
        fields,
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
fn exists(node: Option<&Node>, path: &Path, sink: &mut Sink) -> bool {
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

/// A provider: host (`None` is made from the domain), port, least TLS.
fn preset(preset: model::Preset) -> Option<(Option<&'static str>, u16, TlsMode)> {
    match preset {
        model::Preset::GoogleWorkspace => Some((Some("aspmx.l.google.com"), 25, TlsMode::Required)),
        model::Preset::Microsoft365 => Some((None, 25, TlsMode::Required)),
        model::Preset::GoogleRelay | model::Preset::AmazonSes => None,
    }
}

fn relay(name: &str, node: &Node, folder: &Path, sink: &mut Sink) -> Option<RelayConfig> {
    let model: model::Relay = typed(node, sink)?;
    let implicit_tls = model.implicit.unwrap_or(false);
    let asked = model.tls.map(|tls| match tls {
        model::RelayTls::None => Some(TlsMode::None),
        model::RelayTls::Opportunistic => Some(TlsMode::Opportunistic),
        model::RelayTls::Required => Some(TlsMode::Required),
        model::RelayTls::Verify => Some(TlsMode::Verify),
        model::RelayTls::Dane | model::RelayTls::MtaSts => None,
    });
    let mut tls = match asked {
        Some(tls) => tls?,
        None if implicit_tls => TlsMode::Required,
        None => TlsMode::Opportunistic,
    };
    let mut port = if implicit_tls { 465 } else { 25 };
    let hosts: Vec<Arc<str>> = match (&model.host, &model.hosts, model.preset) {
        (Some(host), _, _) => vec![Arc::from(host.0.as_str())],
        (_, Some(hosts), _) => hosts.iter().map(|host| Arc::from(host.0.as_str())).collect(),
        (_, _, Some(provider)) => {
            let (host, preset_port, least) = preset(provider)?;
            port = preset_port;
            if asked.is_none() {
                tls = least;
            }
            vec![preset_host(host, model.domain.as_ref(), node, sink)?]
        }
        // Only `mx` is left, which was reported as not available.
        (None, None, None) => return None,
    };
    if model.preset.is_none()
        && let Some(entry) = node.entry("domain")
    {
        sink.error(Code::Conflict, entry.key_span.clone(), "`domain` belongs to a preset, and there is none")
            .help("to accept a domain, name it under `domains:`");
    }
    conflicts(&model, node, tls, implicit_tls, &hosts, sink);
    let ca_file = model.ca.as_ref().map(|path| folder.join(&path.0));
    if let Some(path) = &ca_file {
        exists(node.get("ca"), path, sink);
    }
    let recipients = model.limits.as_ref().and_then(|limits| limits.recipients_per_message);
    Some(RelayConfig {
        name: Arc::from(name),
        hosts,
        port: model.port.unwrap_or(port),
        tls,
        implicit_tls,
        ca_file,
        auth: model.auth.as_ref().map(|auth| secret(auth, folder)),
        source_ip: model.source_ip.map(|ip| ip.0),
        connections_max: model.limits.as_ref().and_then(|limits| limits.connections).unwrap_or(limits::RELAY_CONNECTIONS_DEFAULT),
        recipients_per_message_max: recipients.and_then(|n| usize::try_from(n).ok()).unwrap_or(limits::RELAY_RECIPIENTS_DEFAULT),
        retry: retry(model.retry),
    })
}

/// The provider's host, fixed or made from the domain.
fn preset_host(host: Option<&str>, domain: Option<&Domain>, node: &Node, sink: &mut Sink) -> Option<Arc<str>> {
    let entry = node.entry("domain");
    match (host, domain) {
        (Some(host), None) => Some(Arc::from(host)),
        (Some(_), Some(_)) => {
            let span = entry.map_or_else(|| node.head(), |entry| entry.key_span.clone());
            sink.error(Code::Conflict, span, "this preset has one host for all domains").help("remove `domain`");
            None
        }
        (None, None) => {
            sink.error(Code::MissingKey, node.head(), "this preset makes the host from `domain`, which is missing")
                .help("add `domain: acme.example`");
            None
        }
        // Hyphens get a suffix that nobody documents, and new domains are under `mx.microsoft`: a guess would send mail to strangers.
        (None, Some(domain)) if domain.0.contains('-') => {
            let span = entry.map_or_else(|| node.head(), |entry| entry.value.span.clone());
            sink.error(Code::Conflict, span, "the host of a domain with a hyphen cannot be derived")
                .help("take the host from the admin center (Settings, Domains, MX record) and write `host: …` and `tls: required` instead of the preset");
            None
        }
        (None, Some(domain)) => Some(Arc::from(format!("{}.mail.protection.outlook.com", domain.0.replace('.', "-")))),
    }
}

fn conflicts(model: &model::Relay, node: &Node, tls: TlsMode, implicit: bool, hosts: &[Arc<str>], sink: &mut Sink) {
    let at = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.value.span.clone());
    if tls == TlsMode::None && implicit {
        sink.error(Code::Conflict, at("tls"), "`tls: none` and `implicit: true` exclude each other");
    }
    if model.preset.is_some() && matches!(tls, TlsMode::None | TlsMode::Opportunistic) {
        sink.error(Code::Conflict, at("tls"), "this provider is only spoken to over TLS")
            .help("remove `tls`, or write `required` or `verify`");
    }
    let loopback = |host: &Arc<str>| host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if tls == TlsMode::None && !implicit && model.auth.is_some() && !hosts.iter().all(loopback) {
        sink.error(Code::Conflict, at("tls"), "credentials are only sent over TLS, or to this machine").help("write `tls: verify`");
    }
    if let Some(retry) = &model.retry
        && let (Some(first), Some(longest)) = (&retry.first, &retry.longest)
        && first.0 > longest.0
    {
        sink.error(Code::Conflict, at("retry"), "`first` is longer than `longest`");
    }
}

pub(super) fn secret(secret: &model::Secret, folder: &Path) -> SecretRef {
    match secret {
        model::Secret::Secret(name) => SecretRef::SecretsManager(Arc::from(name.0.as_str())),
        model::Secret::File(FilePath(path)) => SecretRef::File(folder.join(path)),
        model::Secret::Env(name) => SecretRef::Environment(Arc::from(name.0.as_str())),
    }
}

fn retry(model: Option<model::Retry>) -> RetrySchedule {
    let (first, factor, longest, give_up) = match model {
        Some(retry) => (retry.first, retry.factor, retry.longest, retry.give_up),
        None => (None, None, None, None),
    };
    let first = first.map_or(limits::RETRY_FIRST, |time| time.0);
    RetrySchedule {
        first,
        factor: factor.unwrap_or(limits::RETRY_FACTOR),
        longest: longest.map_or(limits::RETRY_LONGEST, |time| time.0).max(first),
        give_up: give_up.map_or(limits::RETRY_GIVE_UP, |time| time.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay_of(yaml: &str) -> (Option<RelayConfig>, crate::config::Report) {
        let mut sink = Sink::new(crate::config::source::Source::new("relay.yaml".into(), yaml.into()));
        let tree = crate::config::tree::parse(&mut sink).unwrap();
        crate::config::shape::Shape::of::<model::Relay>().check(&tree, &mut sink);
        let built = relay("r", &tree, Path::new("/etc/gateway"), &mut sink);
        (built, crate::config::Report::new([sink]))
    }

    #[test]
    fn presets_fill_in_host_port_and_tls() {
        let (relay, _) = relay_of("preset: microsoft-365\ndomain: acme.co.example\n");
        let relay = relay.unwrap();
        assert_eq!(&*relay.hosts[0], "acme-co-example.mail.protection.outlook.com");
        assert_eq!((relay.port, relay.tls), (25, TlsMode::Required));
        let (relay, _) = relay_of("preset: google-workspace\ntls: verify\n");
        let relay = relay.unwrap();
        assert_eq!((&*relay.hosts[0], relay.tls), ("aspmx.l.google.com", TlsMode::Verify));
        let (relay, report) = relay_of("preset: microsoft-365\ndomain: acme-corp.example\n");
        assert!(relay.is_none() && report.errors() == 1);
    }

    #[test]
    fn everything_a_relay_can_say() {
        let (relay, report) = relay_of(
            "hosts: [a.example, 192.0.2.1]\nport: 2525\ntls: verify\nsource_ip: 192.0.2.25\nauth: { file: secret.json }\n\
             limits: { connections: 3, recipients_per_message: 7 }\nretry: { first: 30s, factor: 1.5, longest: 2h, give_up: 5d }\n",
        );
        assert_eq!(report.diagnostics.len(), 0, "{:?}", report.diagnostics);
        let relay = relay.unwrap();
        assert_eq!((relay.hosts.len(), relay.port, relay.connections_max, relay.recipients_per_message_max), (2, 2525, 3, 7));
        assert_eq!(relay.auth, Some(SecretRef::File("/etc/gateway/secret.json".into())));
        assert_eq!(relay.retry.give_up.as_secs(), 5 * 86_400);
    }
}
