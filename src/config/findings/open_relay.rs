//! Mail for strangers that strangers can send.
//!
//! An `open` endpoint takes mail for `domains` alone, whatever policies and rules say, and the others ask who their clients are. What
//! remains: a domain among `domains` that is everybody's, an authority that gives a certificate to everybody, and users who may
//! claim to be anybody.

use super::Whole;
use crate::analysis::recipients::Applies;
use crate::certificates::Dated;
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::Node;
use crate::config::{EndpointKind, formats};
use crate::policy::{Policy, PolicyCondition};
use crate::rules::{Action, Condition, Mode, Rule, RuleSet, TextAttribute};

/// Providers whose domains everybody can have an address at.
const PROVIDERS: &[&str] = &[
    "126.com",
    "163.com",
    "aol.com",
    "comcast.net",
    "fastmail.com",
    "free.fr",
    "gmail.com",
    "gmx.at",
    "gmx.ch",
    "gmx.com",
    "gmx.de",
    "gmx.net",
    "googlemail.com",
    "hotmail.co.uk",
    "hotmail.com",
    "hotmail.de",
    "hotmail.fr",
    "icloud.com",
    "laposte.net",
    "libero.it",
    "live.com",
    "mac.com",
    "mail.ru",
    "me.com",
    "msn.com",
    "orange.fr",
    "outlook.com",
    "outlook.de",
    "proton.me",
    "protonmail.com",
    "qq.com",
    "t-online.de",
    "tuta.com",
    "tutanota.com",
    "web.de",
    "yahoo.co.jp",
    "yahoo.co.uk",
    "yahoo.com",
    "yahoo.de",
    "yahoo.fr",
    "yandex.com",
    "yandex.ru",
    "zoho.com",
];

/// Authorities of the web, by the common names of their roots: they give a certificate to whoever proves to have a name of his own. The
/// largest of the list that browsers have; a name of this kind that is not among them is not taken for one.
const AUTHORITIES: &[&str] = &[
    "AAA Certificate Services",
    "Actalis Authentication Root CA",
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Baltimore CyberTrust Root",
    "Buypass Class 2 Root CA",
    "Buypass Class 3 Root CA",
    "COMODO ECC Certification Authority",
    "COMODO RSA Certification Authority",
    "Certainly Root E1",
    "Certainly Root R1",
    "Certum Trusted Network CA",
    "Certum Trusted Network CA 2",
    "DigiCert Assured ID Root CA",
    "DigiCert Assured ID Root G2",
    "DigiCert Assured ID Root G3",
    "DigiCert Global Root CA",
    "DigiCert Global Root G2",
    "DigiCert Global Root G3",
    "DigiCert High Assurance EV Root CA",
    "DigiCert TLS ECC P384 Root G5",
    "DigiCert TLS RSA4096 Root G5",
    "DigiCert Trusted Root G4",
    "Entrust Root Certification Authority - EC1",
    "Entrust Root Certification Authority - G2",
    "GTS Root R1",
    "GTS Root R2",
    "GTS Root R3",
    "GTS Root R4",
    "GlobalSign",
    "GlobalSign Root CA",
    "GlobalSign Root E46",
    "GlobalSign Root R46",
    "Go Daddy Root Certificate Authority - G2",
    "HARICA TLS ECC Root CA 2021",
    "HARICA TLS RSA Root CA 2021",
    "ISRG Root X1",
    "ISRG Root X2",
    "IdenTrust Commercial Root CA 1",
    "Microsoft ECC Root Certificate Authority 2017",
    "Microsoft RSA Root Certificate Authority 2017",
    "QuoVadis Root CA 1 G3",
    "QuoVadis Root CA 2 G3",
    "QuoVadis Root CA 3 G3",
    "SSL.com Root Certification Authority ECC",
    "SSL.com Root Certification Authority RSA",
    "Sectigo Public Server Authentication Root E46",
    "Sectigo Public Server Authentication Root R46",
    "Starfield Root Certificate Authority - G2",
    "Starfield Services Root Certificate Authority - G2",
    "SwissSign Gold CA - G2",
    "T-TeleSec GlobalRoot Class 2",
    "T-TeleSec GlobalRoot Class 3",
    "USERTrust ECC Certification Authority",
    "USERTrust RSA Certification Authority",
];

/// Domains that are not the operator's.
pub(super) fn domains(tree: &Node, sink: &mut Sink) {
    for node in tree.get("domains").map(Node::items).unwrap_or_default() {
        let Some(domain) = node.text().map(str::to_lowercase).filter(|domain| PROVIDERS.contains(&domain.as_str())) else { continue };
        let message = format!("everybody can have an address at `{domain}`: strangers could send to strangers through this gateway");
        sink.error(Code::OpenRelay, node.span.clone(), message)
            .help(format!("for example from <anybody@other.example> to <anybody@{domain}>, and the receiver sees it come from here"))
            .help("`domains` are those whose mailboxes are behind this gateway; who may send to others belongs to an `auth` endpoint");
    }
}

/// Endpoints that let in more than they seem to.
pub(super) fn endpoints(whole: Whole<'_>, sink: &mut Sink) {
    for entry in whole.tree.get("endpoints").map(Node::entries).unwrap_or_default() {
        let Some(endpoint) = whole.deployment.endpoints.get(&entry.key) else { continue };
        let Some((policy, rules)) = whole.policies.get(&endpoint.policy).zip(whole.rule_sets.get(&endpoint.rules)) else { continue };
        match endpoint.kind {
            EndpointKind::Open => {}
            EndpointKind::Auth(_) => unchecked_senders(&entry.key, &entry.value, policy, rules, sink),
            EndpointKind::Mtls => public_authority(&entry.key, &entry.value, whole, rules, sink),
        }
    }
}

/// Users log in, and then nothing looks at the sender that they claim.
fn unchecked_senders(name: &str, node: &Node, policy: &Policy, rules: &RuleSet, sink: &mut Sink) {
    let Some(at) = node.get("policy") else { return };
    if checks_sender(policy) || rules.rules.iter().filter(|rule| rule.mode == Mode::Enforce).any(reads_sender) {
        return;
    }
    let message = format!(
        "whoever logs in at `{}` may send as anybody: neither the policy `{}` nor the rule set `{}` looks at the sender",
        formats::clip(name),
        formats::clip(&policy.name),
        formats::clip(&rules.name)
    );
    sink.warning(Code::SenderUnchecked, at.span.clone(), message)
        .help("for example MAIL FROM:<president@bank.example>, by one stolen password")
        .help("allow your own senders alone: `default: deny`, and below `allow` a statement with `mail_from: { ends_with: \"@acme.example\" }`");
}

fn checks_sender(policy: &Policy) -> bool {
    policy.deny.iter().chain(&policy.allow).flat_map(|statement| &statement.when).any(|condition| {
        matches!(condition, PolicyCondition::MailFrom(_) | PolicyCondition::SpfResult { .. } | PolicyCondition::Analysis(_))
    })
}

fn reads_sender(rule: &Rule) -> bool {
    rule.when.iter().chain(&rule.unless).any(is_about_sender)
}

fn is_about_sender(condition: &Condition) -> bool {
    match condition {
        Condition::Text(attribute, _) => matches!(
            attribute,
            TextAttribute::MailFrom
                | TextAttribute::MailFromDomain
                | TextAttribute::From
                | TextAttribute::FromDomain
                | TextAttribute::Sender
        ),
        // An analyzer may be there for just this.
        Condition::Verdict { .. } | Condition::Analysis(_) => true,
        Condition::Any(conditions) | Condition::All(conditions) => conditions.iter().any(is_about_sender),
        Condition::Not(condition) => is_about_sender(condition),
        _ => false,
    }
}

/// The endpoint believes an authority that everybody has certificates of, and no rule looks at whose it is.
fn public_authority(name: &str, node: &Node, whole: Whole<'_>, rules: &RuleSet, sink: &mut Sink) {
    let Some(trust) = node.get("trust") else { return };
    if rules.rules.iter().any(|rule| rule.mode == Mode::Enforce && reads_certificate(rule)) || !relays_strangers(rules) {
        return;
    }
    for set in trust.one_or_many() {
        let Some((ca, text)) = set.get("ca").and_then(|ca| Some((ca, ca.text()?))) else { continue };
        let public = whole.deployment.expiries.iter().filter(|expiry| expiry.kind == Dated::Ca && expiry.file.ends_with(text));
        let Some(authority) = public.map(|expiry| expiry.name.as_str()).find(|name| AUTHORITIES.contains(name)) else { continue };
        let message = format!(
            "everybody can have a certificate of `{}`, and whoever shows one may send to any domain through `{}`",
            formats::clip(authority),
            formats::clip(name)
        );
        sink.error(Code::OpenRelay, ca.span.clone(), message)
            .help("for example a client with a certificate for a name of its own, to <anybody@other.example>")
            .help("believe an authority that only your partners have certificates of, or let the rules look at `client_certificate`");
    }
}

fn reads_certificate(rule: &Rule) -> bool {
    fn is_about_it(condition: &Condition) -> bool {
        match condition {
            Condition::ClientCertificate(..) => true,
            Condition::Any(conditions) | Condition::All(conditions) => conditions.iter().any(is_about_it),
            Condition::Not(condition) => is_about_it(condition),
            _ => false,
        }
    }
    rule.when.iter().chain(&rule.unless).any(is_about_it)
}

/// Whether mail for a domain that nobody has heard of goes out by a relay.
fn relays_strangers(rules: &RuleSet) -> bool {
    rules.rules.iter().filter(|rule| rule.mode == Mode::Enforce).any(|rule| {
        rule.actions.iter().any(|action| matches!(action, Action::SmtpRelay { .. }))
            && Applies::of(rule, "anybody@other.example") != Applies::Never
    })
}
