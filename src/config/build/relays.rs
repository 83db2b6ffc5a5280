//! Relays from their models.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::deployment::{exists, secret};
use super::presets::{self, Facts, Hosts};
use super::relay_checks;
use crate::config::diagnostic::{Code, Sink};
use crate::config::microsoft_host::{Certainty, microsoft_host};
use crate::config::model::{Ip, OneOrMany, relays as model};
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::limits;
use crate::relay::{Auth, IpFamily, OAuthConfig, OAuthProof, Provider, RelayConfig, RelayKind, RelayLimits, RetrySchedule, Route, TlsMode};

pub(super) fn relay(name: &str, node: &Node, folder: &Path, sink: &mut Sink) -> Option<RelayConfig> {
    let model: model::Relay = typed(node, sink)?;
    let facts = match model.preset {
        Some(preset) => Some(presets::facts(preset)?),
        None => None,
    };
    needless_keys(&model, facts, node, sink);
    let route = route(&model, facts, node, sink)?;
    let implicit_tls = model.implicit.unwrap_or(false);
    let kind = match model.kind {
        None | Some(model::Kind::Smtp) => RelayKind::Smtp,
        Some(model::Kind::Lmtp) => RelayKind::Lmtp,
        Some(model::Kind::Graph) => RelayKind::Graph,
    };
    let tls = match (model.tls, facts) {
        (Some(tls), _) => tls_mode(tls),
        (None, Some(facts)) => facts.tls,
        (None, None) if kind == RelayKind::Graph => TlsMode::Verify,
        (None, None) if implicit_tls => TlsMode::Required,
        (None, None) => TlsMode::Opportunistic,
    };
    let usual = match (facts, kind) {
        (_, RelayKind::Graph) => 443,
        (_, RelayKind::Lmtp) => 24,
        _ if implicit_tls => 465,
        (Some(facts), _) => facts.port,
        (None, _) => 25,
    };
    let port = model.port.unwrap_or(usual);
    relay_checks::Relay { model: &model, node, facts, kind, tls, implicit: implicit_tls, port, route: &route }.check(sink);
    sockets(&model, kind, tls, implicit_tls, node, sink);
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
        port,
        tls,
        implicit_tls,
        ca_file,
        pins: model.pins.iter().flat_map(|pins| &pins.0).map(|pin| pin.0).collect(),
        client_certificate: model.client_certificate.as_ref().map(|certificate| secret(certificate, folder)),
        auth,
        chunking: model.chunking == Some(model::RelayChunking::Auto),
        source_ips: addresses(model.source_ip.as_ref()),
        ip_family: ip_family(&model, facts),
        limits: relay_limits(model.limits.as_ref(), facts.map(|facts| (facts.limits)()).unwrap_or_else(|| usual_limits(kind))),
        provider: facts.map_or(Provider::Other, |facts| facts.provider),
        preset: facts.map(|facts| facts.preset),
        domain: model.domain.as_ref().map(|domain| Arc::from(domain.0.as_str())),
        public_ips: addresses(model.public_ip.as_ref()),
        retry: retry(model.retry),
        hold_for: model.hold_for.map_or(limits::RELAY_HOLD_TIME, |time| time.0),
        ..RelayConfig::new(name, route)
    })
}

fn addresses(ips: Option<&OneOrMany<Ip>>) -> Vec<IpAddr> {
    ips.into_iter().flat_map(|ips| &ips.0).map(|ip| ip.0).collect()
}

/// A connector that knows the gateway by its address knows IPv4 addresses only: over IPv6 the gateway would be a stranger.
fn ip_family(model: &model::Relay, facts: Option<&Facts>) -> IpFamily {
    match model.ip_family {
        Some(model::IpFamily::Any) => IpFamily::Any,
        Some(model::IpFamily::V4) => IpFamily::V4,
        Some(model::IpFamily::V6) => IpFamily::V6,
        None if facts.is_some_and(|facts| facts.by_ipv4) && model.client_certificate.is_none() => IpFamily::V4,
        None => IpFamily::Any,
    }
}

/// Keys that nothing would read.
fn needless_keys(model: &model::Relay, facts: Option<&Facts>, node: &Node, sink: &mut Sink) {
    let Some(facts) = facts else {
        for (key, help) in [("domain", "to accept a domain, name it under `domains:`"), ("region", "remove `region`")] {
            if let Some(entry) = node.entry(key) {
                sink.error(Code::Conflict, entry.key_span.clone(), format!("`{key}` belongs to a preset, and there is none")).help(help);
            }
        }
        return;
    };
    let needless = [
        ("domain", model.domain.is_some() && facts.hosts != Hosts::MicrosoftDomain, "this preset has one host for all domains"),
        ("region", model.region.is_some() && facts.hosts != Hosts::SesRegion, "`region` belongs to the preset `ses-smtp`"),
    ];
    for (key, _, message) in needless.into_iter().filter(|(_, is_needless, _)| *is_needless) {
        let span = node.entry(key).map_or_else(|| node.head(), |entry| entry.key_span.clone());
        sink.error(Code::Conflict, span, message).help(format!("remove `{key}`"));
    }
}

fn usual_limits(kind: RelayKind) -> RelayLimits {
    let usual = RelayLimits::default();
    let connections = if kind == RelayKind::Graph { limits::GRAPH_CONNECTIONS_DEFAULT } else { usual.connections };
    RelayLimits { connections, ..usual }
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

/// What is configured is the truth; a preset only fills in.
fn route(model: &model::Relay, facts: Option<&'static Facts>, node: &Node, sink: &mut Sink) -> Option<Route> {
    let named = match (&model.host, &model.hosts) {
        (Some(host), _) => Some(std::slice::from_ref(host)),
        (None, Some(hosts)) => Some(hosts.as_slice()),
        (None, None) => None,
    };
    match (named, &model.mx, facts) {
        (Some(hosts), _, facts) => {
            if let Some(facts) = facts {
                let nodes = node.get("host").map(std::slice::from_ref).or_else(|| node.get("hosts").map(Node::items)).unwrap_or_default();
                for (host, node) in hosts.iter().zip(nodes) {
                    check_host(&host.0, facts, node, sink);
                }
            }
            Some(Route::Hosts(hosts.iter().map(|host| Arc::from(host.0.as_str())).collect()))
        }
        (None, Some(domain), _) => Some(Route::MailExchangers(Arc::from(domain.0.as_str()))),
        (None, None, Some(facts)) => Some(Route::Hosts(vec![preset_host(model, facts, node, sink)?.into()])),
        (None, None, None) => None,
    }
}

/// Whether a host that was named beside a preset can be one of the provider's.
fn check_host(host: &str, facts: &Facts, node: &Node, sink: &mut Sink) {
    let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if is_address && facts.provider == Provider::Microsoft {
        sink.error(Code::Conflict, node.span.clone(), "Microsoft 365 is reached by a name, never by an address")
            .help("the addresses behind the name change, and its certificate is for the name");
        return;
    }
    let endings = facts.hosts.endings(facts.preset);
    let lower = host.trim_end_matches('.').to_ascii_lowercase();
    if is_address || !endings.iter().any(|ending| lower.ends_with(ending)) {
        let names: Vec<String> = endings.iter().map(|ending| format!("`{ending}`")).collect();
        sink.error(Code::DoubtfulHost, node.span.clone(), format!("this is not a host of the preset `{}`", facts.preset.name()))
            .help(format!("names of its hosts end in {}", names.join(" or ")));
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
        message_bytes: model.max_message_size.map(|size| size.0).or(known.message_bytes),
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

/// The provider's host, fixed or made from the domain or the region.
fn preset_host(model: &model::Relay, facts: &Facts, node: &Node, sink: &mut Sink) -> Option<String> {
    let missing = |key: &str, example: &str, sink: &mut Sink| {
        sink.error(Code::MissingKey, node.head(), format!("this preset makes the host from `{key}`, which is missing"))
            .help(format!("add `{key}: {example}`"));
        None
    };
    let at = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.value.span.clone());
    match &facts.hosts {
        Hosts::Fixed(host) => Some((*host).to_owned()),
        Hosts::MicrosoftDomain => {
            let Some(domain) = &model.domain else { return missing("domain", "acme.example", sink) };
            let derived = microsoft_host(&domain.0);
            match derived.certainty {
                Certainty::Sure => {}
                Certainty::Likely => {
                    let message = format!("the host of a domain with a hyphen is taken to be `{}`", derived.host);
                    sink.error(Code::DoubtfulHost, at("domain"), message).help(WHERE_THE_HOST_IS).help(WRITE_THE_HOST);
                }
                // A guess would send mail to strangers.
                Certainty::Unsure => {
                    sink.error(Code::Conflict, at("domain"), "the host of this domain cannot be derived")
                        .help(WHERE_THE_HOST_IS)
                        .help(WRITE_THE_HOST);
                    return None;
                }
            }
            Some(derived.host)
        }
        Hosts::SesRegion => {
            let Some(region) = &model.region else { return missing("region", "eu-central-1", sink) };
            let host = presets::ses_host(&region.0);
            if host.is_none() {
                sink.error(Code::BadValue, at("region"), "this is not an AWS region").help("a region is written `eu-central-1`");
            }
            host
        }
    }
}

/// Where an operator finds the name that nobody can derive.
const WHERE_THE_HOST_IS: &str = "the Microsoft 365 admin center shows it: Settings, Domains, the domain, DNS records, MX";
const WRITE_THE_HOST: &str = "write it beside the preset: `host: …`";

/// What a socket of this machine cannot be.
fn sockets(model: &model::Relay, kind: RelayKind, tls: TlsMode, implicit: bool, node: &Node, sink: &mut Sink) {
    let hosts = model.host.iter().chain(model.hosts.iter().flatten());
    if !hosts.into_iter().any(|host| host.0.starts_with("unix:")) {
        return;
    }
    let at = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.value.span.clone());
    if kind != RelayKind::Lmtp {
        let key = if model.host.is_some() { "host" } else { "hosts" };
        sink.error(Code::Conflict, at(key), "a socket of this machine is for `kind: lmtp` only").help("add `kind: lmtp`");
    }
    if implicit || !matches!(tls, TlsMode::None | TlsMode::Opportunistic) {
        let key = if implicit { "implicit" } else { "tls" };
        sink.error(Code::Conflict, at(key), "TLS is not spoken over a socket of this machine")
            .help("remove it, nothing leaves the machine");
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
    use crate::relay::Preset;
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
        assert_eq!(&*hosts(&relay.unwrap())[0], "acmecorp-example01b.mail.protection.outlook.com");
        assert_eq!((report.errors(), report.warnings()), (0, 1));
        let (relay, report) = relay_of("preset: microsoft-365\ndomain: acme-corp-europe.example\n");
        assert!(relay.is_none() && report.errors() == 1);
    }

    #[test]
    fn what_each_preset_knows() {
        let built = |yaml: &str| {
            let (relay, report) = relay_of(yaml);
            assert!(report.diagnostics.iter().all(|found| found.code == Code::NotAvailable), "{yaml}: {:?}", report.diagnostics);
            relay.unwrap()
        };
        let submission = built("preset: microsoft-365-submission\nauth: { env: MAILBOX }\n");
        assert_eq!((&*hosts(&submission)[0], submission.port, submission.tls), ("smtp.office365.com", 587, TlsMode::Verify));
        let RelayLimits { connections, messages_per_minute, recipients_per_day, .. } = submission.limits;
        assert_eq!((connections, messages_per_minute, recipients_per_day), (3, Some(30), Some(10_000)));
        assert_eq!((submission.preset, submission.ip_family), (Some(Preset::Microsoft365Submission), IpFamily::Any));

        // A connector knows IPv4 addresses only, unless it knows a certificate.
        for preset in ["microsoft-365", "microsoft-365-connector", "microsoft-365-direct-send"] {
            let plain = built(&format!("preset: {preset}\ndomain: acme.example\n"));
            assert_eq!((&*hosts(&plain)[0], plain.port), ("acme-example.mail.protection.outlook.com", 25));
            assert_eq!((plain.ip_family, plain.limits.one_domain_per_message, plain.provider), (IpFamily::V4, true, Provider::Microsoft));
            let shown = built(&format!("preset: {preset}\ndomain: acme.example\nclient_certificate: {{ file: c.pem }}\n"));
            assert_eq!(shown.ip_family, IpFamily::Any);
            let asked = built(&format!("preset: {preset}\ndomain: acme.example\nip_family: any\nsource_ip: \"2001:db8::1\"\n"));
            assert_eq!(asked.ip_family, IpFamily::Any);
        }
        let named =
            built("preset: microsoft-365\nhost: acme-example.e-v1.mx.microsoft\nlimits: { connections: 2, max_message_size: 35MB }\n");
        assert_eq!(&*hosts(&named)[0], "acme-example.e-v1.mx.microsoft");
        assert_eq!((named.limits.connections, named.limits.message_bytes), (2, Some(35_000_000)));

        let ses = built("preset: ses-smtp\nregion: eu-central-1\nauth: { env: SES }\npublic_ip: [192.0.2.1, 192.0.2.2]\n");
        assert_eq!((&*hosts(&ses)[0], ses.port, ses.tls), ("email-smtp.eu-central-1.amazonaws.com", 587, TlsMode::Verify));
        assert_eq!((ses.limits.recipients_per_message, ses.limits.message_bytes), (50, Some(40 << 20)));
        assert_eq!(ses.public_ips.len(), 2);
        assert_eq!(built("preset: ses-smtp\nregion: eu-west-1\nauth: { env: SES }\nimplicit: true\n").port, 465);
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
