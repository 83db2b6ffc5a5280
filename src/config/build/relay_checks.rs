//! What keys of a relay ask of each other.

use std::net::IpAddr;
use std::sync::Arc;

use super::presets::{Facts, Login};
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::relays as model;
use crate::config::source::Span;
use crate::config::tree::Node;
use crate::config::{formats, relay_formats};
use crate::relay::{RelayKind, Route, TlsMode};

/// What there is to look at.
pub(super) struct Relay<'a> {
    pub(super) model: &'a model::Relay,
    pub(super) node: &'a Node,
    pub(super) facts: Option<&'static Facts>,
    pub(super) kind: RelayKind,
    pub(super) tls: TlsMode,
    pub(super) implicit: bool,
    pub(super) port: u16,
    pub(super) route: &'a Route,
}

impl Relay<'_> {
    /// Reports everything that contradicts.
    pub(super) fn check(&self, sink: &mut Sink) {
        self.kind(sink);
        self.tls(sink);
        self.login(sink);
        if let Some(oauth) = &self.model.oauth {
            self.oauth(oauth, sink);
        }
        self.addresses(sink);
        if let Some(retry) = &self.model.retry
            && let (Some(first), Some(longest)) = (&retry.first, &retry.longest)
            && first.0 > longest.0
        {
            sink.error(Code::Conflict, self.at("retry"), "`first` is longer than `longest`");
        }
    }

    fn at(&self, key: &str) -> Span {
        self.node.entry(key).map_or_else(|| self.node.head(), |entry| entry.value.span.clone())
    }

    /// What the protocol has no place for.
    fn kind(&self, sink: &mut Sink) {
        let name = match self.kind {
            RelayKind::Smtp => return,
            RelayKind::Lmtp => "lmtp",
            RelayKind::Graph => "graph",
        };
        if self.facts.is_some() {
            sink.error(Code::Conflict, self.at("kind"), format!("`{name}` is not spoken by the provider of `preset`"))
                .help("write `host` instead of `preset`");
        }
        let mut needless: Vec<&str> = Vec::new();
        if self.model.mx.is_some() {
            // MX records name hosts for SMTP (RFC 5321 §5.1).
            needless.push("mx");
        }
        if self.kind == RelayKind::Graph {
            needless.extend(["tls", "auth"].into_iter().filter(|key| self.node.get(key).is_some()));
        }
        if self.implicit {
            needless.push("implicit");
        }
        for key in needless {
            let diagnostic = sink.error(Code::Conflict, self.at(key), format!("`{key}` has no meaning with `kind: {name}`"));
            match (key, self.kind) {
                ("tls", _) => diagnostic.help("HTTPS is always spoken, with a certificate for the host's name; remove `tls`"),
                ("auth", _) => diagnostic.help("a token lets the gateway in; write `oauth`"),
                ("implicit", RelayKind::Graph) => diagnostic.help("HTTPS is always spoken; remove `implicit`"),
                ("implicit", _) => diagnostic.help("write `tls: required` or `tls: verify`, which use STARTTLS"),
                _ => diagnostic.help("write `host` or `hosts`"),
            };
        }
        if self.kind == RelayKind::Graph && self.model.oauth.is_none() && self.model.auth.is_none() {
            sink.error(Code::MissingKey, self.node.head(), "`oauth` is missing, without which Microsoft Graph takes nothing")
                .help("write `oauth: { tenant: …, client_id: …, user: …, client_secret: { file: … } }`");
        }
        if self.kind == RelayKind::Lmtp && self.port == 25 {
            // RFC 2033 §5.
            sink.error(Code::Conflict, self.at("port"), "LMTP is not spoken on port 25")
                .help("remove `port`, or write that of the LMTP server");
        }
    }

    fn tls(&self, sink: &mut Sink) {
        let at = self.at("tls");
        if self.tls == TlsMode::None && self.implicit {
            sink.error(Code::Conflict, at.clone(), "`tls: none` and `implicit: true` exclude each other");
        }
        let by_mx = matches!(self.route, Route::MailExchangers(_));
        let of_domains = match self.tls {
            TlsMode::Dane => Some(("dane", "TLSA records are looked for at the exchangers that secure MX records name (RFC 7672)")),
            TlsMode::MtaSts => {
                // The policy is that of a domain whose MX is asked for: for a domain whose mail comes here first, that of this gateway.
                Some(("mta_sts", "a policy is one of a domain and its MX records (RFC 8461); a host that is configured has none"))
            }
            _ => None,
        };
        if let Some((word, why)) = of_domains {
            if self.implicit {
                sink.error(Code::Conflict, at.clone(), format!("`tls: {word}` is for STARTTLS on port 25, `implicit` for another port"))
                    .help("remove `implicit`");
            }
            if !by_mx {
                sink.error(Code::Conflict, at, format!("`tls: {word}` is for relays with `mx` only"))
                    .help(why)
                    .help("write `tls: verify`, which asks for a certificate for the host's name");
            }
            return;
        }
        if let Some(facts) = self.facts {
            if strength(self.tls) < strength(facts.tls) {
                let (message, help) = match facts.tls {
                    TlsMode::Verify => ("this provider's host is asked for a valid certificate before the login", "remove `tls`"),
                    _ => ("this provider is only spoken to over TLS", "remove `tls`, or write `required` or `verify`"),
                };
                sink.error(Code::Conflict, at.clone(), message).help(help);
            }
            if self.implicit && !facts.implicit {
                sink.error(Code::Conflict, self.at("implicit"), "this provider takes TLS by STARTTLS only").help("remove `implicit`");
            }
        }
        if self.tls == TlsMode::None && !self.implicit {
            let without = [("client_certificate", "a certificate is"), ("pins", "keys are"), ("ca", "certificates are")];
            for (key, what) in without.into_iter().filter(|(key, _)| self.node.get(key).is_some()) {
                sink.error(Code::Conflict, self.at(key), format!("{what} only shown over TLS, and `tls` is `none`"))
                    .help("write `tls: required` or `tls: verify`");
            }
        }
    }

    fn login(&self, sink: &mut Sink) {
        let (auth, oauth) = (self.model.auth.is_some(), self.model.oauth.is_some());
        if auth && oauth && self.kind != RelayKind::Graph {
            let first = self.node.entry("auth").map(|entry| entry.key_span.clone());
            let at = self.node.entry("oauth").map_or_else(|| self.node.head(), |entry| entry.key_span.clone());
            let diagnostic = sink.error(Code::Conflict, at, "`auth` and `oauth` exclude each other");
            if let Some(first) = first {
                diagnostic.note(first, "the other");
            }
        }
        let near = matches!(self.route, Route::Hosts(hosts) if hosts.iter().all(is_loopback));
        if self.tls == TlsMode::None && !self.implicit && (auth || oauth) && !near && self.kind != RelayKind::Graph {
            sink.error(Code::Conflict, self.at("tls"), "credentials are only sent over TLS, or to this machine")
                .help("write `tls: verify`");
        }
        let Some(facts) = self.facts else { return };
        let key = |key: &str| self.node.entry(key).map_or_else(|| self.node.head(), |entry| entry.key_span.clone());
        match facts.login {
            Login::Never => {
                for there in ["auth", "oauth"].into_iter().filter(|key| self.node.get(key).is_some()) {
                    sink.error(
                        Code::Conflict,
                        key(there),
                        "the hosts of this preset take no login; they know the gateway by its address or certificate",
                    )
                    .help(format!("remove `{there}`"));
                }
            }
            Login::Password => {
                if oauth {
                    sink.error(Code::Conflict, key("oauth"), "the hosts of this preset take a user name and a password, not a token")
                        .help("write `auth` instead");
                } else if !auth {
                    sink.error(Code::MissingKey, self.node.head(), "`auth` is missing, without which this provider takes nothing")
                        .help("write `auth: { file: PATH }` or `auth: { secret: NAME }`, with the SMTP credentials of SES");
                }
            }
            Login::PasswordOrToken if !auth && !oauth => {
                sink.error(Code::MissingKey, self.node.head(), "`auth` or `oauth` is missing, without which this provider takes nothing")
                    .help("write `oauth: { tenant: …, client_id: …, user: …, client_secret: { file: … } }`")
                    .help("or `auth: { file: PATH }` with a mailbox and its password, as long as the tenant allows that");
            }
            Login::PasswordOrToken => {}
        }
    }

    fn oauth(&self, oauth: &model::OAuth, sink: &mut Sink) {
        let Some(node) = self.node.get("oauth") else { return };
        let pairs = [
            ("tenant", oauth.tenant.is_some(), "token_url", oauth.token_url.is_some(), "says from whom tokens are had"),
            (
                "client_secret",
                oauth.client_secret.is_some(),
                "certificate",
                oauth.certificate.is_some(),
                "proves that the gateway is the application",
            ),
        ];
        for (first, has_first, second, has_second, what) in pairs {
            let at = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.key_span.clone());
            match (has_first, has_second) {
                (true, true) => {
                    sink.error(Code::OneKey, at(second), format!("`{first}` and `{second}` exclude each other"))
                        .note(at(first), "the first");
                }
                (false, false) => {
                    sink.error(Code::OneKey, node.head(), format!("a key is missing that {what}"))
                        .help(format!("one of `{first}`, `{second}`"));
                }
                _ => {}
            }
        }
        let value = |key: &str| node.entry(key).map_or_else(|| node.head(), |entry| entry.value.span.clone());
        if let Some(url) = &oauth.token_url
            && let Err(mistake) = relay_formats::token_url(&url.0)
        {
            let diagnostic = sink.error(mistake.code, value("token_url"), mistake.message);
            if let Some(help) = mistake.help {
                diagnostic.help(help);
            }
        }
        // It becomes a part of a path.
        let is_tenant =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        if let Some(tenant) = &oauth.tenant
            && !is_tenant(&tenant.0)
        {
            sink.error(Code::BadValue, value("tenant"), format!("`{}` is not a tenant", formats::clip(&tenant.0)))
                .help("write its id, `11111111-2222-3333-4444-555555555555`, or a domain of it, `acme.onmicrosoft.com`");
        }
    }

    /// Where connections come from and go to.
    fn addresses(&self, sink: &mut Sink) {
        let sources: &[_] = self.model.source_ip.as_ref().map_or(&[], |ips| &ips.0);
        let (four, six) = sources.iter().fold((0_usize, 0_usize), |(four, six), ip| match ip.0 {
            IpAddr::V4(_) => (four.saturating_add(1), six),
            IpAddr::V6(_) => (four, six.saturating_add(1)),
        });
        for (count, family) in [(four, "IPv4"), (six, "IPv6")] {
            if count > 1 {
                sink.error(
                    Code::Conflict,
                    self.at("source_ip"),
                    format!("connections come from one {family} address, and there are {count}"),
                )
                .help("a relay for each address spreads mail over several");
            }
        }
        let (asked, lacking) = match self.model.ip_family {
            Some(model::IpFamily::V4) => ("ip_family: v4", four == 0),
            Some(model::IpFamily::V6) => ("ip_family: v6", six == 0),
            Some(model::IpFamily::Any) => return,
            None if self.facts.is_some_and(|facts| facts.by_ipv4) && self.model.client_certificate.is_none() => {
                if four == 0 && six > 0 {
                    sink.error(Code::Conflict, self.at("source_ip"), "Microsoft 365 knows gateways by IPv4 addresses, and this is none")
                        .help("write an IPv4 address, or `ip_family: any` if no connector is to know the gateway by its address");
                }
                return;
            }
            None => return,
        };
        if lacking && !sources.is_empty() {
            sink.error(Code::Conflict, self.at("source_ip"), format!("`{asked}` leaves no address to connect from"));
        }
    }
}

/// How much a kind of TLS asks for, where none depends on what DNS says.
fn strength(tls: TlsMode) -> u8 {
    match tls {
        TlsMode::None => 0,
        TlsMode::Opportunistic => 1,
        TlsMode::Required | TlsMode::Dane | TlsMode::MtaSts => 2,
        TlsMode::Verify => 3,
    }
}

fn is_loopback(host: &Arc<str>) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
