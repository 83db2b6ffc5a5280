//! Relays from their models.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::deployment::{exists, secret};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::{Domain, relays as model};
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::limits;
use crate::relay::{Auth, IpFamily, OAuthConfig, OAuthProof, Provider, RelayConfig, RelayKind, RelayLimits, RetrySchedule, Route, TlsMode};

/// What is known of a provider.
struct Known {
    /// `None` is made from the domain.
    host: Option<&'static str>,
    port: u16,
    /// Least TLS.
    tls: TlsMode,
    provider: Provider,
    limits: RelayLimits,
}

fn preset(preset: model::Preset) -> Option<Known> {
    let incoming = |host, provider| Known {
        host,
        port: 25,
        tls: TlsMode::Required,
        provider,
        limits: RelayLimits { one_domain_per_message: true, ..RelayLimits::default() },
    };
    match preset {
        model::Preset::GoogleWorkspace => Some(incoming(Some("aspmx.l.google.com"), Provider::Google)),
        model::Preset::Microsoft365 => Some(incoming(None, Provider::Microsoft)),
        model::Preset::Microsoft365Submission
        | model::Preset::Microsoft365Connector
        | model::Preset::Microsoft365DirectSend
        | model::Preset::SesSmtp => None,
    }
}

pub(super) fn relay(name: &str, node: &Node, folder: &Path, sink: &mut Sink) -> Option<RelayConfig> {
    let model: model::Relay = typed(node, sink)?;
    let known = match model.preset {
        Some(provider) => Some(preset(provider)?),
        None => None,
    };
    let route = route(&model, known.as_ref(), node, sink)?;
    let implicit_tls = model.implicit.unwrap_or(false);
    let kind = match model.kind {
        None | Some(model::Kind::Smtp) => RelayKind::Smtp,
        Some(model::Kind::Lmtp) => RelayKind::Lmtp,
        Some(model::Kind::Graph) => RelayKind::Graph,
    };
    let tls = match (model.tls, &known) {
        (Some(tls), _) => tls_mode(tls),
        (None, Some(known)) => known.tls,
        (None, None) if implicit_tls => TlsMode::Required,
        (None, None) => TlsMode::Opportunistic,
    };
    let usual = match (&known, kind) {
        (Some(known), _) => known.port,
        (None, RelayKind::Graph) => 443,
        (None, _) if implicit_tls => 465,
        (None, _) => 25,
    };
    if model.preset.is_none()
        && let Some(entry) = node.entry("domain")
    {
        sink.error(Code::Conflict, entry.key_span.clone(), "`domain` belongs to a preset, and there is none")
            .help("to accept a domain, name it under `domains:`");
    }
    conflicts(&model, node, tls, implicit_tls, &route, sink);
    let ca_file = model.ca.as_ref().map(|path| folder.join(&path.0));
    if let Some(path) = &ca_file {
        exists(node.get("ca"), path, sink);
    }
    let auth = match (&model.auth, &model.oauth) {
        (_, Some(oauth)) => Some(Auth::OAuth(Arc::new(self::oauth(oauth, kind, folder)?))),
        (Some(auth), None) => Some(Auth::Password(secret(auth, folder))),
        (None, None) => None,
    };
    Some(RelayConfig {
        kind,
        port: model.port.unwrap_or(usual),
        tls,
        implicit_tls,
        ca_file,
        client_certificate: model.client_certificate.as_ref().map(|certificate| secret(certificate, folder)),
        auth,
        source_ips: model.source_ip.iter().flat_map(|ips| &ips.0).map(|ip| ip.0).collect(),
        ip_family: match model.ip_family {
            None | Some(model::IpFamily::Any) => IpFamily::Any,
            Some(model::IpFamily::V4) => IpFamily::V4,
            Some(model::IpFamily::V6) => IpFamily::V6,
        },
        limits: relay_limits(model.limits.as_ref(), known.as_ref().map(|known| known.limits.clone()).unwrap_or_default()),
        provider: known.as_ref().map_or(Provider::Other, |known| known.provider),
        retry: retry(model.retry),
        hold_for: model.hold_for.map_or(limits::RELAY_HOLD_TIME, |time| time.0),
        ..RelayConfig::new(name, route)
    })
}

fn tls_mode(tls: model::RelayTls) -> TlsMode {
    match tls {
        model::RelayTls::None => TlsMode::None,
        model::RelayTls::Opportunistic => TlsMode::Opportunistic,
        model::RelayTls::Required => TlsMode::Required,
        model::RelayTls::Verify => TlsMode::Verify,
        model::RelayTls::Dane => TlsMode::Dane,
        model::RelayTls::MtaSts => TlsMode::MtaSts,
    }
}

fn route(model: &model::Relay, known: Option<&Known>, node: &Node, sink: &mut Sink) -> Option<Route> {
    match (&model.host, &model.hosts, &model.mx, known) {
        (Some(host), _, _, _) => Some(Route::Hosts(vec![Arc::from(host.0.as_str())])),
        (_, Some(hosts), _, _) => Some(Route::Hosts(hosts.iter().map(|host| Arc::from(host.0.as_str())).collect())),
        (_, _, Some(domain), _) => Some(Route::MailExchangers(Arc::from(domain.0.as_str()))),
        (_, _, _, Some(known)) => Some(Route::Hosts(vec![preset_host(known.host, model.domain.as_ref(), node, sink)?])),
        (None, None, None, None) => None,
    }
}

fn relay_limits(model: Option<&model::RelayLimits>, known: RelayLimits) -> RelayLimits {
    let Some(model) = model else { return known };
    let recipients = model.recipients_per_message.and_then(|number| usize::try_from(number).ok());
    RelayLimits {
        connections: model.connections.unwrap_or(known.connections),
        messages_per_connection: model.messages_per_connection.unwrap_or(known.messages_per_connection),
        connection_age: model.connection_age.as_ref().map_or(known.connection_age, |time| time.0),
        recipients_per_message: recipients.unwrap_or(known.recipients_per_message),
        one_domain_per_message: model.one_domain_per_message.unwrap_or(known.one_domain_per_message),
        messages_per_minute: model.messages_per_minute.or(known.messages_per_minute),
        recipients_per_day: model.recipients_per_day.or(known.recipients_per_day),
        message_bytes: known.message_bytes,
    }
}

/// Where tokens come from. `None`: what says so is missing, which was reported.
fn oauth(model: &model::OAuth, kind: RelayKind, folder: &Path) -> Option<OAuthConfig> {
    let token_url = match (&model.token_url, &model.tenant) {
        (Some(url), _) => url.0.clone(),
        (None, Some(tenant)) => format!("https://login.microsoftonline.com/{}/oauth2/v2.0/token", tenant.0),
        (None, None) => return None,
    };
    let proof = match (&model.client_secret, &model.certificate) {
        (_, Some(certificate)) => OAuthProof::Certificate(secret(certificate, folder)),
        (Some(client_secret), None) => OAuthProof::Secret(secret(client_secret, folder)),
        (None, None) => return None,
    };
    let usual = if kind == RelayKind::Graph { "https://graph.microsoft.com/.default" } else { "https://outlook.office365.com/.default" };
    Some(OAuthConfig {
        token_url: token_url.into(),
        client_id: Arc::from(model.client_id.0.as_str()),
        user: Arc::from(model.user.0.as_str()),
        scope: model.scope.as_ref().map_or_else(|| usual.into(), |scope| Arc::from(scope.0.as_str())),
        proof,
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

fn conflicts(model: &model::Relay, node: &Node, tls: TlsMode, implicit: bool, route: &Route, sink: &mut Sink) {
    let at = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.value.span.clone());
    if tls == TlsMode::None && implicit {
        sink.error(Code::Conflict, at("tls"), "`tls: none` and `implicit: true` exclude each other");
    }
    if model.preset.is_some() && matches!(tls, TlsMode::None | TlsMode::Opportunistic) {
        sink.error(Code::Conflict, at("tls"), "this provider is only spoken to over TLS")
            .help("remove `tls`, or write `required` or `verify`");
    }
    let loopback = |host: &Arc<str>| host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let near = matches!(route, Route::Hosts(hosts) if hosts.iter().all(loopback));
    if tls == TlsMode::None && !implicit && model.auth.is_some() && !near {
        sink.error(Code::Conflict, at("tls"), "credentials are only sent over TLS, or to this machine").help("write `tls: verify`");
    }
    if let Some(retry) = &model.retry
        && let (Some(first), Some(longest)) = (&retry.first, &retry.longest)
        && first.0 > longest.0
    {
        sink.error(Code::Conflict, at("retry"), "`first` is longer than `longest`");
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
    use crate::secrets::SecretRef;

    fn hosts(relay: &RelayConfig) -> &[Arc<str>] {
        let Route::Hosts(hosts) = &relay.route else { panic!("{:?}", relay.route) };
        hosts
    }

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
        assert_eq!(&*hosts(&relay)[0], "acme-co-example.mail.protection.outlook.com");
        assert_eq!((relay.port, relay.tls), (25, TlsMode::Required));
        let (relay, _) = relay_of("preset: google-workspace\ntls: verify\n");
        let relay = relay.unwrap();
        assert_eq!((&*hosts(&relay)[0], relay.tls), ("aspmx.l.google.com", TlsMode::Verify));
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
        assert_eq!((hosts(&relay).len(), relay.port, relay.limits.connections, relay.limits.recipients_per_message), (2, 2525, 3, 7));
        assert_eq!(relay.auth, Some(Auth::Password(SecretRef::File("/etc/gateway/secret.json".into()))));
        assert_eq!(relay.retry.give_up.as_secs(), 5 * 86_400);
    }
}
