//! What an examination says, one line for each step, with a verdict.

use std::net::SocketAddr;

use super::headers::Found;
use crate::relay::examine::{Examination, Handshake, Looked, Meaning, Talk};
use crate::relay::{Auth, IpFamily, Provider, RelayConfig, RelayKind, Route, TlsMode};

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// Worth knowing; nothing fails for it.
    Note,
    Skipped,
    Problem,
}

impl Verdict {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Note => "note",
            Self::Skipped => "skipped",
            Self::Problem => "problem",
        }
    }
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) verdict: Verdict,
    /// What was looked at: `resolve`, `connect`, …
    pub(super) step: &'static str,
    /// Which host or address.
    pub(super) subject: Option<String>,
    pub(super) text: String,
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add(&mut self, verdict: Verdict, step: &'static str, subject: impl Into<Option<String>>, text: impl Into<String>) {
        self.0.push(Step { verdict, step, subject: subject.into(), text: text.into() });
    }
}

/// All steps in order. `probe` says whether one was asked for.
pub(super) fn steps(relay: &RelayConfig, found: &Examination, probe: bool) -> Vec<Step> {
    let mut steps = Steps::default();
    steps.add(Verdict::Fine, "configuration", None, configuration(relay));
    if let Some(why) = &found.no_hosts {
        steps.add(Verdict::Problem, "resolve", Some(relay.destination().to_owned()), format!("the mail exchangers are not known: {why}"));
    } else if let Route::MailExchangers(domain) = &relay.route {
        let names: Vec<&str> = found.hosts.iter().map(|host| &*host.name).collect();
        steps.add(Verdict::Fine, "resolve", Some(domain.to_string()), format!("mail exchangers: {}", names.join(", ")));
    }
    for host in &found.hosts {
        let subject = Some(host.name.to_string());
        match &host.addresses {
            Err(why) => {
                steps.add(Verdict::Problem, "resolve", subject.clone(), why.clone());
                if relay.provider == Provider::Microsoft && relay.domain.is_some() {
                    // The name was made from the domain, or could have been: it is the first thing to doubt.
                    let text = "domains added since July 2026 are under `mx.microsoft`: the Microsoft 365 admin center shows the name under \
                                Settings, Domains, the domain, DNS records, MX; write it as `host`";
                    steps.add(Verdict::Note, "resolve", subject, text);
                }
            }
            Ok(addresses) => {
                let list: Vec<String> = addresses.iter().map(|looked| looked.address.ip().to_string()).collect();
                steps.add(Verdict::Fine, "resolve", subject.clone(), list.join(", "));
                if addresses.iter().all(|looked| looked.talk.is_none()) {
                    steps.add(Verdict::Problem, "connect", subject, "none of its addresses is of a family that this relay uses");
                }
                for looked in addresses {
                    address(relay, looked, &mut steps);
                }
            }
        }
    }
    session(relay, found, probe, &mut steps);
    steps.0
}

/// What a header from behind the relay says.
pub(super) fn header(relay: &RelayConfig, found: &Found) -> Step {
    let said: Vec<String> = found.judged.iter().map(|(field, address)| format!("{field} {address}")).collect();
    let (verdict, text) = match (found.is_right(), found.sender) {
        (Some(true), Some(sender)) => {
            (Verdict::Fine, format!("the message was judged by its sender's address, {sender}: {}", said.join(", ")))
        }
        (Some(_), Some(sender)) => {
            let own = found.judged.iter().any(|(_, address)| relay.public_ips.contains(address) || relay.source_ips.contains(address));
            let whose = if own { "by the gateway's address" } else { "by another address" };
            (Verdict::Problem, format!("the message came from {sender} and was judged {whose}: {}", said.join(", ")))
        }
        (_, None) => (Verdict::Skipped, "the header has no Received field of this gateway".to_owned()),
        (None, _) => (
            Verdict::Skipped,
            "the header does not say by which address the message was judged (Received-SPF, X-MS-Exchange-…InternetSender)".to_owned(),
        ),
    };
    Step { verdict, step: "headers", subject: None, text }
}

fn configuration(relay: &RelayConfig) -> String {
    let preset = relay.preset.map(|preset| format!("preset {}, ", preset.name())).unwrap_or_default();
    let kind = match relay.kind {
        RelayKind::Smtp => "",
        RelayKind::Lmtp => "LMTP, ",
        RelayKind::Graph => "Microsoft Graph, ",
    };
    let way = match &relay.route {
        Route::Hosts(hosts) => hosts.join(", "),
        Route::MailExchangers(domain) => format!("the exchangers of {domain}"),
    };
    let tls = match relay.tls {
        TlsMode::None => "none",
        TlsMode::Opportunistic => "opportunistic",
        TlsMode::Required => "required",
        TlsMode::Verify => "verify",
        TlsMode::Dane => "dane",
        TlsMode::MtaSts => "mta_sts",
    };
    let implicit = if relay.implicit_tls { " from the first byte" } else { "" };
    let family = match relay.ip_family {
        IpFamily::Any => "",
        IpFamily::V4 => ", IPv4 only",
        IpFamily::V6 => ", IPv6 only",
    };
    format!("{preset}{kind}{way}, port {}, TLS {tls}{implicit}{family}", relay.port)
}

fn address(relay: &RelayConfig, looked: &Looked, steps: &mut Steps) {
    let subject = Some(looked.address.ip().to_string());
    let from = looked.source.map(|source| format!(" from {source}")).unwrap_or_default();
    match &looked.talk {
        None => steps.add(Verdict::Skipped, "connect", subject, "this relay does not use addresses of this family"),
        Some(Err(why)) => steps.add(Verdict::Problem, "connect", subject, format!("port {}{from}: {why}", relay.port)),
        Some(Ok(talk)) => {
            let greeting = talk.greeting.as_deref().map(|line| format!("; {line}")).unwrap_or_default();
            let text = format!("connected{from} in {} ms{greeting}", talk.connected_in.as_millis());
            steps.add(Verdict::Fine, "connect", subject.clone(), text);
            tls(relay, talk, subject.clone(), steps);
            if !talk.offers.is_empty() {
                steps.add(Verdict::Fine, "ehlo", subject.clone(), talk.offers.join(", "));
            }
            seen_as(relay, talk, subject.clone(), steps);
            if let Some(problem) = &talk.problem {
                steps.add(Verdict::Problem, "session", subject, problem.clone());
            }
        }
    }
}

fn tls(relay: &RelayConfig, talk: &Talk, subject: Option<String>, steps: &mut Steps) {
    let shown = match &talk.tls {
        Some(Ok(shown)) => shown,
        // The session's problem says the same.
        Some(Err(_)) => return,
        None => {
            let (verdict, text) = match relay.tls {
                TlsMode::None => (Verdict::Note, "not asked for (`tls: none`)"),
                _ if talk.problem.is_some() => return,
                TlsMode::Opportunistic | TlsMode::Dane | TlsMode::MtaSts => (Verdict::Note, "not offered; mail goes in plain text"),
                TlsMode::Required | TlsMode::Verify => (Verdict::Problem, "not offered, and the relay asks for it"),
            };
            return steps.add(verdict, "tls", subject, text);
        }
    };
    steps.add(Verdict::Fine, "tls", subject.clone(), format!("{}, {}", shown.version, shown.cipher));
    for (place, certificate) in shown.chain.iter().enumerate() {
        let whose = if place == 0 { "its certificate" } else { "by way of" };
        let text = format!("{whose}: {}; issued by {}; valid until {}", certificate.subject, certificate.issuer, certificate.not_after);
        steps.add(Verdict::Fine, "certificate", subject.clone(), text);
    }
    trust(relay, shown, subject.clone(), steps);
    let text = match (shown.asked_for_certificate, relay.client_certificate.is_some()) {
        (false, false) => return,
        (true, true) => "asked for; deliveries show the relay's `client_certificate`",
        (true, false) => "asked for, and the relay has no `client_certificate`",
        (false, true) => "not asked for: the relay's `client_certificate` is not shown",
    };
    let verdict = if !shown.asked_for_certificate { Verdict::Problem } else { Verdict::Note };
    steps.add(verdict, "client certificate", subject, text);
}

fn trust(relay: &RelayConfig, shown: &Handshake, subject: Option<String>, steps: &mut Steps) {
    let wanted = relay.tls == TlsMode::Verify || relay.kind == RelayKind::Graph;
    match &shown.verified {
        Ok(()) => steps.add(Verdict::Fine, "trust", subject.clone(), "valid, for this name, from a CA that is believed"),
        Err(why) => {
            let name = if shown.name_matches { "it is for this name" } else { "it is not for this name" };
            let text = if wanted { format!("{why}; {name}") } else { format!("{why}; {name}; this relay's `tls` does not ask for that") };
            steps.add(if wanted { Verdict::Problem } else { Verdict::Note }, "trust", subject.clone(), text);
        }
    }
    if let Some(pin) = &shown.pin {
        match shown.pinned {
            None => steps.add(Verdict::Note, "pin", subject, format!("none is configured; this key is {pin}")),
            Some(true) => steps.add(Verdict::Fine, "pin", subject, format!("{pin} is one of the relay's")),
            Some(false) => steps.add(Verdict::Problem, "pin", subject, format!("{pin} is none of the relay's")),
        }
    }
}

/// The address that the next hop sees, against the declared ones: a connector or an SPF record with another one does not work.
fn seen_as(relay: &RelayConfig, talk: &Talk, subject: Option<String>, steps: &mut Steps) {
    let declared: Vec<String> = relay.public_ips.iter().map(ToString::to_string).collect();
    match talk.seen_as {
        None if declared.is_empty() => {}
        None => steps.add(Verdict::Skipped, "public address", subject, "the next hop does not say which address it sees"),
        Some(seen) if declared.is_empty() => {
            let text = format!("the next hop sees {seen}; write `public_ip: {seen}` to have that watched");
            steps.add(Verdict::Note, "public address", subject, text);
        }
        Some(seen) if relay.public_ips.contains(&seen) => {
            steps.add(Verdict::Fine, "public address", subject, format!("the next hop sees {seen}, as declared"));
        }
        Some(seen) => {
            let text = format!("the next hop sees {seen}, and `public_ip` declares {}", declared.join(", "));
            steps.add(Verdict::Problem, "public address", subject, text);
        }
    }
}

fn session(relay: &RelayConfig, found: &Examination, probe: bool, steps: &mut Steps) {
    let login = match &relay.auth {
        None => "",
        Some(Auth::Password(_)) => ", logged in with a password",
        Some(Auth::OAuth(_)) => ", logged in with a token",
    };
    let label = |address: &SocketAddr| Some(address.ip().to_string());
    match &found.session {
        Some((address, Ok(()))) => {
            steps.add(Verdict::Fine, "session", label(address), format!("opened as for a delivery{login}"));
        }
        Some((address, Err(why))) => steps.add(Verdict::Problem, "session", label(address), why.clone()),
        None if relay.kind != RelayKind::Smtp => {
            steps.add(Verdict::Skipped, "session", None, "sessions and logins are tried for SMTP relays only");
        }
        // Why that is so was a problem already.
        None => steps.add(Verdict::Skipped, "session", None, "no address can be reached"),
    }
    match &found.probe {
        Some(Ok(probed)) => {
            let (verdict, meaning) = match probed.meaning {
                Meaning::Taken => (Verdict::Fine, "mail is taken"),
                Meaning::TriedAgain => (Verdict::Problem, "mail is tried again"),
                Meaning::Waits => (Verdict::Problem, "mail waits until this is mended"),
                Meaning::Returned => (Verdict::Problem, "mail is returned to its sender"),
            };
            let detail = if probed.detail.is_empty() { String::new() } else { format!(" ({})", probed.detail) };
            steps.add(verdict, "probe", None, format!("{meaning}{detail}: {}", probed.reply));
        }
        Some(Err(why)) => steps.add(Verdict::Problem, "probe", None, why.clone()),
        None if probe => steps.add(Verdict::Skipped, "probe", None, "there is no session to try it on"),
        None => {}
    }
}
