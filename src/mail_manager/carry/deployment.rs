//! `gateway.yaml` and the files that it names: endpoints, relays, lists, archives.
//!
//! What the service does not say is left out, so that `gateway validate` asks for it, with a comment that shows how it is written.

use std::collections::BTreeMap;

use super::super::model::{
    ArchiveRetention, IngressPoint, IngressPointConfiguration, IngressPointStatus, IngressPointType, IpType, NetworkConfiguration,
    PublicNetworkConfiguration, Relay, RelayAuthentication, TlsPolicy, TrustStore,
};
use super::super::read::{Found, Holdings};
use super::super::yaml::{Comment, Item, Written, Yaml, file};
use super::names::Names;
use super::{Known, MadeFile, notes};
use crate::rules::AddressList;

/// The deployment; lists and certificates go to `files`.
pub(super) fn deployment(
    holdings: &Holdings,
    known: &Known,
    names: &mut Names,
    files: &mut Vec<MadeFile>,
    lost: &mut Vec<String>,
) -> Written {
    let endpoints = endpoints(holdings, names, files);
    let mut root = vec![
        match &known.hostname {
            Some(name) => Item::entry("hostname", Yaml::text(name)),
            None => Item::comment(Comment::remark(
                "The gateway's own name, in DNS with its address: Mail Manager has one of Amazon.\nhostname: mx1.acme.example",
            )),
        },
        if known.domains.is_empty() {
            Item::comment(Comment::remark(
                "The domains that mail is taken for; Mail Manager does not say. `domains: { ses: true }` takes those that SES has verified.\n\
                 domains: [acme.example]",
            ))
        } else {
            Item::entry("domains", Yaml::List(known.domains.iter().map(|domain| Item::of(Yaml::text(domain))).collect()))
        },
        endpoints.apart(),
    ];
    root.extend(relays(holdings, names));
    root.extend(lists(holdings, names, files, lost));
    root.extend(archives(holdings, names));
    root.extend(mailboxes(names));
    root.extend(analyzers(names));
    root.push(Item::entry("spool", Yaml::one("path", Yaml::text("var/spool"))).apart());
    let head = [Comment::plain(
        "Made by `gateway import` from Amazon SES Mail Manager. Comments say what is uncertain or changes; `gateway validate` says what is missing.",
    )];
    file(&head, &root)
}

fn endpoints(holdings: &Holdings, names: &mut Names, files: &mut Vec<MadeFile>) -> Item {
    if holdings.points.is_empty() {
        let first = |names: &[String], other: &str| names.first().cloned().unwrap_or_else(|| other.to_owned());
        let (policy, rules) = (first(&names.of_policies, "edge"), first(&names.of_rule_sets, "inbound"));
        return Item::comment(Comment::remark(format!(
            "Where mail comes in: no ingress point was given.\nendpoints:\n  mx:\n    listen: [\"0.0.0.0:25\", \"[::]:25\"]\n    policy: {policy}\n    \
             rules: {rules}"
        )));
    }
    let mut entries = Vec::new();
    for (number, found) in holdings.points.iter().enumerate() {
        let name = names.of_points.get(number).cloned().unwrap_or_default();
        let entry = endpoint(&name, found, names, files);
        entries.push(if number == 0 { entry } else { entry.apart() });
    }
    Item::entry("endpoints", Yaml::tall(entries))
}

fn endpoint(name: &str, found: &Found<IngressPoint>, names: &mut Names, files: &mut Vec<MadeFile>) -> Item {
    let point = &found.value;
    let mut above: Vec<Comment> = notes(&found.notes).collect();
    if let Some(host) = &point.a_record {
        above.push(Comment::plain(format!("MX records lead to {host} there.")));
    }
    if point.status == Some(IngressPointStatus::Closed) || point.status_to_update == Some(IngressPointStatus::Closed) {
        above.push(Comment::remark("This ingress point is closed there; here it would serve."));
    }
    let mut fields = Vec::new();
    let kind = match point.r#type {
        IngressPointType::Open => "open",
        IngressPointType::Auth => "auth",
        IngressPointType::Mtls => "mtls",
    };
    if point.r#type != IngressPointType::Open {
        fields.push(Item::entry("type", Yaml::text(kind)));
    }
    fields.push(listen(point));
    let policy = point.traffic_policy_id.as_deref().map(|key| names.policy(key));
    fields.push(named("policy", policy, names.missing_policies(), "get-traffic-policy"));
    let rules = point.rule_set_id.as_deref().map(|key| names.rule_set(key));
    fields.push(named("rules", rules, names.missing_rule_sets(), "get-rule-set"));
    let mut comments =
        vec![Comment::remark("A certificate of your own: Mail Manager has one of Amazon. Or one from Let's Encrypt, `acme:`.")];
    let mode = match point.tls_policy {
        Some(TlsPolicy::Optional) => "optional",
        Some(TlsPolicy::Required) => "required",
        Some(TlsPolicy::Fips) => {
            comments.push(Comment::remark("TlsPolicy FIPS there: TLS is required here too, without a word on FIPS."));
            "required"
        }
        None => {
            comments.push(Comment::remark(
                "No TlsPolicy is given: FIPS is its default in the USA and Canada, REQUIRED elsewhere. For an MX it should be `optional`: a sender \
                 without TLS is refused.",
            ));
            "required"
        }
    };
    let tls = Yaml::map(vec![
        Item::entry("mode", Yaml::text(mode)),
        Item::entry("certificate", Yaml::text("tls/fullchain.pem")),
        Item::entry("key", Yaml::text("tls/key.pem")),
    ]);
    fields.push(Item::entry("tls", tls).with(comments));
    match point.r#type {
        IngressPointType::Open => {}
        IngressPointType::Auth => fields.push(credentials(name, point)),
        IngressPointType::Mtls => fields.push(trust(name, point, files)),
    }
    Item::entry(name, Yaml::tall(fields)).with(above)
}

/// The ports of the service: 25, and 587 for who logs in and from a VPC. There each ingress point has a host name of its own; here they
/// share addresses, so that who logs in does it at the port that is made for it.
fn listen(point: &IngressPoint) -> Item {
    let is_private = matches!(point.network_configuration, Some(NetworkConfiguration::PrivateNetworkConfiguration(_)));
    let is_dual = matches!(
        point.network_configuration,
        Some(NetworkConfiguration::PublicNetworkConfiguration(PublicNetworkConfiguration { ip_type: IpType::DualStack }))
    );
    let is_for_users = point.r#type == IngressPointType::Auth;
    let mut addresses = Vec::new();
    for (port_is_used, v4, v6) in [(!is_for_users, "0.0.0.0:25", "[::]:25"), (is_private || is_for_users, "0.0.0.0:587", "[::]:587")] {
        addresses.extend(Some(v4).filter(|_| port_is_used));
        addresses.extend(Some(v6).filter(|_| port_is_used && is_dual));
    }
    let item = Item::entry("listen", Yaml::List(addresses.into_iter().map(|address| Item::of(Yaml::text(address))).collect()));
    if is_private {
        return item.with([Comment::remark(
            "Reached from a VPC there: write addresses of a network of your own, if it is not to be reached from everywhere.",
        )]);
    }
    item
}

fn named(key: &str, name: Option<String>, missing: &BTreeMap<String, String>, command: &str) -> Item {
    match name {
        Some(name) => {
            let remark =
                missing.get(&name).map(|id| Comment::remark(format!("{id} was not given; `aws mailmanager {command}` prints it.")));
            Item::entry(key, Yaml::text(name)).with(remark)
        }
        None => Item::comment(Comment::remark(format!("Which one is not said.\n{key}: NAME"))),
    }
}

fn credentials(name: &str, point: &IngressPoint) -> Item {
    let configured = match &point.ingress_point_configuration {
        Some(IngressPointConfiguration::SecretArn(arn)) => Some(arn),
        _ => point.ingress_point_auth_configuration.as_ref().and_then(|auth| auth.secret_arn.as_ref()),
    };
    let user = point.ingress_point_id.as_deref().unwrap_or("the id of the ingress point");
    match configured {
        Some(arn) => Item::entry("credentials", Yaml::one("secret", Yaml::text(arn))).with([Comment::remark(format!(
            "Clients log in as {user} there. With a secret that holds `password` alone it is `{name}` here: add `username` to the secret."
        ))]),
        None => Item::entry("credentials", Yaml::one("file", Yaml::text(format!("secrets/{name}.json")))).with([Comment::remark(format!(
            "The password is not carried over. Write it into this file: {{\"username\": \"{user}\", \"password\": \"…\"}}."
        ))]),
    }
}

fn trust(name: &str, point: &IngressPoint, files: &mut Vec<MadeFile>) -> Item {
    let configured = match &point.ingress_point_configuration {
        Some(IngressPointConfiguration::TlsAuthConfiguration(tls)) => tls.trust_store.as_ref(),
        _ => None,
    };
    let read = || point.ingress_point_auth_configuration.as_ref()?.tls_auth_configuration.as_ref()?.trust_store.as_ref();
    let (ca, crl) = (format!("tls/{name}-ca.pem"), format!("tls/{name}-crl.pem"));
    let mut fields = vec![Item::entry("ca", Yaml::text(&ca))];
    let mut file = |path: String, text: &str| files.push(MadeFile { path, text: text.to_owned(), remarks: Vec::new() });
    let mut comment = None;
    match configured.or_else(read) {
        Some(TrustStore { ca_content, crl_content, .. }) => {
            file(ca, ca_content);
            if let Some(content) = crl_content {
                fields.push(Item::entry("crl", Yaml::text(&crl)));
                file(crl, content);
            }
        }
        None => comment = Some(Comment::remark("The CAs are not said: put them into this file.")),
    }
    Item::entry("trust", Yaml::map(fields)).with(comment)
}

fn relays(holdings: &Holdings, names: &Names) -> Option<Item> {
    let mut entries: Vec<Item> = Vec::new();
    for (number, found) in holdings.relays.iter().enumerate() {
        let name = names.of_relays.get(number).cloned().unwrap_or_default();
        let entry = Item::entry(&name, Yaml::tall(relay(&found.value))).with(notes(&found.notes));
        entries.push(if number == 0 { entry } else { entry.apart() });
    }
    for (name, key) in names.missing_relays() {
        entries.push(Item::comment(Comment::remark(format!(
            "The relay {key} was not given; `aws mailmanager get-relay` prints it.\n{name}:\n  host: HOST"
        ))));
    }
    section("relays", entries)
}

fn relay(relay: &Relay) -> Vec<Item> {
    let mut fields = vec![Item::entry("host", Yaml::text(&relay.server_name))];
    if relay.server_port != 25 {
        fields.push(Item::entry("port", Yaml::Plain(relay.server_port.to_string())));
    }
    let (tls, why) = match &relay.authentication {
        RelayAuthentication::SecretArn(_) => {
            ("verify", "A relay there has no word for TLS. With credentials, the certificate should be the host's own.")
        }
        RelayAuthentication::NoAuthentication(_) => (
            "opportunistic",
            "A relay there has no word for TLS. This takes what the host offers; Google and Microsoft offer it: `required` is better.",
        ),
    };
    fields.push(Item::entry("tls", Yaml::text(tls)).with([Comment::remark(why)]));
    if let RelayAuthentication::SecretArn(arn) = &relay.authentication {
        fields.push(Item::entry("auth", Yaml::one("secret", Yaml::text(arn))));
    }
    fields
}

fn lists(holdings: &Holdings, names: &Names, files: &mut Vec<MadeFile>, lost: &mut Vec<String>) -> Option<Item> {
    let mut members: Vec<(Vec<&str>, bool, bool)> = holdings.lists.iter().map(|_| (Vec::new(), false, false)).collect();
    for found in &holdings.members {
        let called = names.list_called(&found.stem).and_then(|name| names.of_lists.iter().position(|other| other == name));
        let only = (holdings.lists.len() == 1).then_some(0);
        match found.behind.or(called).or(only).and_then(|place| members.get_mut(place)) {
            Some((all, is_known, is_partial)) => {
                all.extend(found.addresses.iter().map(String::as_str));
                *is_known = true;
                *is_partial |= found.is_partial;
            }
            None => lost.push(format!(
                "{}: it cannot be told which address list these members belong to; name the file like the list or its id, and give what \
                 `get-address-list` prints too",
                found.stem
            )),
        }
    }
    let mut entries = Vec::new();
    for (number, ((all, is_known, is_partial), found)) in members.into_iter().zip(&holdings.lists).enumerate() {
        let name = names.of_lists.get(number).cloned().unwrap_or_default();
        let path = format!("lists/{name}.csv");
        let mut comments: Vec<Comment> = notes(&found.notes).collect();
        if !is_known {
            comments.push(Comment::remark("Its members were not given: `aws mailmanager list-members-of-address-list` prints them."));
        }
        if is_partial {
            comments.push(Comment::remark("Not all members were given: there is a NextToken."));
            lost.push(format!("{path}: not all members were given, there is a NextToken"));
        }
        let (_, mistakes) = AddressList::build(all.iter().copied());
        let mut wrong: Vec<usize> = mistakes.iter().map(|(place, _)| *place).collect();
        wrong.sort_unstable();
        for (place, why) in &mistakes {
            lost.push(format!("{path}: `{}` is no entry here: {}", all.get(*place).unwrap_or(&""), why.0));
        }
        if !mistakes.is_empty() {
            comments.push(Comment::remark(format!("{} of its members are no entries here, and are left out.", mistakes.len())));
        }
        let right = all.iter().enumerate().filter(|(place, _)| wrong.binary_search(place).is_err());
        let text = std::iter::once("address\n".to_owned()).chain(right.map(|(_, address)| field(address))).collect();
        files.push(MadeFile { path: path.clone(), text, remarks: Vec::new() });
        entries.push(Item::entry(&name, Yaml::one("file", Yaml::text(path))).with(comments));
    }
    for (name, key) in names.missing_lists() {
        entries.push(Item::comment(Comment::remark(format!(
            "The address list {key} was not given; `aws mailmanager get-address-list` and `list-members-of-address-list` print it.\n{name}: {{ file: \
             lists/{name}.csv }}"
        ))));
    }
    section("address_lists", entries)
}

/// A line of CSV (RFC 4180 §2).
fn field(address: &str) -> String {
    if address.contains(['"', ',']) { format!("\"{}\"\n", address.replace('"', "\"\"")) } else { format!("{address}\n") }
}

fn archives(holdings: &Holdings, names: &Names) -> Option<Item> {
    let mut entries = Vec::new();
    for (number, found) in holdings.archives.iter().enumerate() {
        let name = names.of_archives.get(number).cloned().unwrap_or_default();
        let retention = found.value.retention.as_ref().map(|ArchiveRetention::RetentionPeriod(period)| period.word().to_ascii_lowercase());
        let fields = retention.map(|period| Item::entry("retention", Yaml::text(period))).into_iter().collect();
        let mut comments: Vec<Comment> = notes(&found.notes).collect();
        if number == 0 {
            comments.insert(0, Comment::remark("This version keeps no archives yet."));
        }
        entries.push(Item::entry(&name, Yaml::map(fields)).with(comments));
    }
    for (name, key) in names.missing_archives() {
        entries.push(Item::comment(Comment::remark(format!(
            "The archive {key} was not given; `aws mailmanager get-archive` prints it.\n{name}: {{ retention: seven_years }}"
        ))));
    }
    section("archives", entries)
}

fn mailboxes(names: &Names) -> Option<Item> {
    let entries = names.missing_mailboxes().iter().map(|(name, key)| {
        Item::comment(Comment::remark(format!(
            "{key} there: where this mail goes is not said.\n{name}: {{ lmtp: \"unix:/run/dovecot/lmtp\" }}"
        )))
    });
    section("mailboxes", entries.collect())
}

fn analyzers(names: &Names) -> Option<Item> {
    let entries = names.analyzers().iter().map(|(name, key)| {
        Item::comment(Comment::remark(format!(
            "The add-on {key} there: which analyzer takes its place is for you to say.\n{name}: {{ type: dnsbl, zone: zen.spamhaus.org }}"
        )))
    });
    section("analyzers", entries.collect())
}

/// A section; one of comments alone is a comment itself, since a key with nothing behind it is a mistake.
fn section(key: &str, entries: Vec<Item>) -> Option<Item> {
    if entries.is_empty() {
        return None;
    }
    if entries.iter().any(|entry| entry.key().is_some()) {
        return Some(Item::entry(key, Yaml::tall(entries)).apart());
    }
    let mut section = Item::comment(Comment::plain(format!("{key}:"))).apart();
    for entry in entries {
        section = section.with(entry.comments.into_iter().map(|comment| Comment { text: comment.text.replace('\n', "\n  "), ..comment }));
    }
    Some(section)
}
