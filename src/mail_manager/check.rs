//! What the shapes of the API cannot say, or say wrongly: mistakes that the service finds late or never.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::diagnostic::{Code, Sink};
use crate::config::formats;
use crate::config::tree::{Entry, Node};

/// Keeps passwords from being shown, wherever they stand.
pub(super) fn conceal(node: &Node, sink: &mut Sink) {
    for entry in node.entries() {
        if matches!(entry.key.to_ascii_lowercase().as_str(), "password" | "smtppassword" | "secretstring") {
            sink.conceal(entry.value.span.clone());
        }
        conceal(&entry.value, sink);
    }
    for item in node.items() {
        conceal(item, sink);
    }
}

/// Looks at every member, by its name.
pub(super) fn check(node: &Node, sink: &mut Sink) {
    if sink.is_full() {
        return;
    }
    for item in node.items() {
        check(item, sink);
    }
    for entry in node.entries() {
        member(entry, sink);
        check(&entry.value, sink);
    }
    if node.get("TrafficPolicyName").is_some() && node.get("DefaultAction").is_none() {
        sink.error(Code::MissingKey, node.head(), "the key `DefaultAction` is missing")
            .help("`ALLOW` or `DENY`: what happens when no statement matches");
    }
}

fn member(entry: &Entry, sink: &mut Sink) {
    let (at, text) = (entry.value.span.clone(), entry.value.text());
    match (entry.key.as_str(), text) {
        ("MimeHeaderAttribute" | "HeaderName", Some(name)) => {
            if formats::header_name(name).is_err() {
                sink.broken(Code::HeaderName, at, format!("`{}` is not the name of a header field", formats::clip(name)));
            } else if !name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-")) {
                sink.warning(Code::HeaderName, at, "Mail Manager only knows fields whose names begin with `X-`")
                    .help("here every field can be asked for and added");
            }
        }
        ("HeaderValue", Some(value)) => {
            if let Err(mistake) = formats::template(value) {
                sink.broken(mistake.code, at, mistake.message).help("in a value, `{{` begins an attribute here");
            } else if value.contains("{{") {
                sink.warning(Code::Template, at, "`{{ … }}` stands for itself in Mail Manager, and is filled in here");
            }
        }
        ("ServerName", Some(name)) => server(name, &entry.value, sink),
        ("TargetArchive", Some(name)) if name.starts_with("arn:") && !is_reference(name) => {
            sink.warning(Code::BadValue, at, "an ARN, where the service takes the archive's id alone").help(match name.rsplit_once('/') {
                Some((_, id)) => format!("did you mean `{}`?", formats::clip(id)),
                None => "it begins with `a-`".to_owned(),
            });
        }
        ("Sender", Some(address)) => address_of(address, &entry.value, sink),
        ("ReplaceWith", _) => {
            for item in entry.value.items() {
                address_of(item.text().unwrap_or_default(), item, sink);
            }
        }
        ("Password", Some(_)) => {
            sink.error(Code::SecretInline, entry.key_span.clone(), "credentials do not belong into this file")
                .help("a relay names its secret: `SecretArn`");
        }
        ("AddressLists", _) => address_lists(&entry.value, sink),
        ("Bounce", _) => bounce(&entry.value, sink),
        ("IpExpression", _) if entry.value.get("Evaluate").and_then(|e| e.get("Attribute")).and_then(Node::text) == Some("SENDER_IP") => {
            networks(&entry.value, true, sink);
        }
        ("Ipv6Expression", _) => networks(&entry.value, false, sink),
        _ => {}
    }
}

/// What stands for something of the same template.
fn is_reference(text: &str) -> bool {
    text.contains(super::template::REFERENCE)
}

fn server(name: &str, node: &Node, sink: &mut Sink) {
    if let Err(mistake) = formats::relay_host(name) {
        sink.broken(mistake.code, node.span.clone(), mistake.message).help.extend(mistake.help);
        return;
    }
    let is_private = match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
        Err(_) => false,
    };
    if is_private {
        sink.warning(Code::DoubtfulHost, node.span.clone(), "Mail Manager reaches public hosts only, and this address is private")
            .help("this gateway reaches it, if its own network does");
    }
}

fn address_of(text: &str, node: &Node, sink: &mut Sink) {
    if let Err(mistake) = formats::address(text) {
        sink.broken(mistake.code, node.span.clone(), mistake.message).help.extend(mistake.help);
    }
}

fn address_lists(node: &Node, sink: &mut Sink) {
    if let [_, second, ..] = node.items() {
        sink.broken(Code::BadValue, second.span.clone(), "exactly one address list belongs here")
            .help("two conditions ask for both lists, two rules for either");
    }
    for item in node.items() {
        let Some(text) = item.text() else { continue };
        if !text.starts_with("arn:") && !is_reference(text) && !text.starts_with("TODO-") {
            sink.warning(Code::BadValue, item.span.clone(), "an address list is named by its ARN, and this is none")
                .help("it is written `arn:aws:ses:REGION:ACCOUNT:mailmanager-address-list/al-…`");
        }
    }
}

fn bounce(node: &Node, sink: &mut Sink) {
    let text = |key: &str| node.get(key).and_then(Node::text);
    let (Some(code), Some(status)) = (text("SmtpReplyCode"), text("StatusCode")) else { return };
    if let Some(node) = node.get("SmtpReplyCode")
        && !(code.len() == 3 && code.starts_with(['4', '5']) && code.bytes().all(|b| b.is_ascii_digit()))
    {
        sink.broken(Code::ReplyCode, node.span.clone(), format!("`{}` is not a reply code of 4xx or 5xx", formats::clip(code)));
        return;
    }
    let Some(at) = node.get("StatusCode").map(|node| node.span.clone()) else { return };
    if let Err(mistake) = formats::status(status) {
        sink.broken(mistake.code, at, mistake.message).help.extend(mistake.help);
    } else if code.get(..1) != status.get(..1) {
        sink.warning(Code::CodeClass, at, format!("the reply code {code} and the status code {status} contradict each other"));
    }
}

/// Networks of a traffic policy: of one family, and with a prefix.
fn networks(node: &Node, v4: bool, sink: &mut Sink) {
    for item in node.get("Values").map(Node::items).unwrap_or_default() {
        let Some(text) = item.text() else { continue };
        let Ok((net, _)) = formats::cidr(text) else { continue };
        let right = if v4 { "SENDER_IP` of `IpExpression" } else { "SENDER_IPV6` of `Ipv6Expression" };
        let help = match net {
            IpNet::V4(_) if v4 => None,
            IpNet::V6(net) if !v4 && net.network().to_ipv4_mapped().is_some() => {
                Some(format!("`{right}` does not take IPv4 addresses in IPv6's clothes; a client has its IPv4 address: write that network"))
            }
            IpNet::V6(_) if !v4 => None,
            IpNet::V4(_) => Some(format!("`{right}` takes IPv6; IPv4 belongs into `IpExpression` with `SENDER_IP`")),
            IpNet::V6(_) => Some(format!("`{right}` takes IPv4; IPv6 belongs into `Ipv6Expression` with `SENDER_IPV6`")),
        };
        if let Some(help) = help {
            sink.broken(Code::Cidr, item.span.clone(), "a network of another family than the condition is about").help(help);
        } else if !text.contains('/') {
            sink.warning(Code::Cidr, item.span.clone(), "Mail Manager wants the length of the prefix").help(format!("write `{net}`"));
        }
    }
}
