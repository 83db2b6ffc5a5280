//! Endpoints, relays, lists and archives of `gateway.yaml`, and the documents that all of it becomes.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::names::{Names, Resource};
use super::{Made, Writer, present};
use crate::config::tree::{Entry, Node, Value};

impl Writer<'_> {
    /// What `gateway.yaml` defines; the rest of it the service does in its own way.
    pub(super) fn deployment(&mut self, tree: &Node) -> Made {
        let mut made = Made::new();
        let entries = |section: &str| tree.get(section).map(Node::entries).unwrap_or_default();
        for entry in entries("relays") {
            made.extend(self.relay_resource(entry).map(|relay| ((Resource::Relay, entry.key.clone()), relay)));
        }
        for entry in entries("address_lists") {
            if self.is_name(&entry.key_span, &entry.key, 1, 255, "_.-") {
                made.insert((Resource::AddressList, entry.key.clone()), json!({ "AddressListName": entry.key }));
                self.leave_out(&entry.key_span, format!("the members of `{}` are imported by a job of their own", entry.key));
            }
        }
        for entry in entries("archives") {
            made.extend(self.archive(entry).map(|archive| ((Resource::Archive, entry.key.clone()), archive)));
        }
        for entry in entries("endpoints") {
            made.extend(self.ingress_point(entry).map(|point| ((Resource::IngressPoint, entry.key.clone()), point)));
        }
        made
    }

    fn relay_resource(&mut self, entry: &Entry) -> Option<Json> {
        let relay = &entry.value;
        let is_named = self.is_name(&entry.key_span, &entry.key, 1, 100, "-_");
        for (key, message) in [
            ("hosts", "a relay of Mail Manager has one host"),
            ("mx", "a relay of Mail Manager has a host, and does not look up MX records"),
            ("kind", "a relay of Mail Manager speaks SMTP"),
            ("implicit", "a relay of Mail Manager cannot begin with TLS"),
            ("client_certificate", "a relay of Mail Manager shows no certificate"),
            ("oauth", "a relay of Mail Manager logs in with a password"),
            ("pins", "a relay of Mail Manager believes what it believes"),
            ("ca", "a relay of Mail Manager believes what it believes"),
            ("source_ip", "Mail Manager's addresses are those of its region"),
        ] {
            if let Some(entry) = relay.entry(key) {
                self.refuse::<()>(&entry.key_span, message, &[]);
            }
        }
        match relay.get("tls").map(|tls| (tls, tls.text())) {
            Some((tls, Some("dane" | "mta_sts"))) => {
                self.refuse::<()>(&tls.span, "a relay of Mail Manager does not look up who is to be believed", &[]);
            }
            Some((tls, Some("required" | "verify"))) => {
                self.leave_out(
                    &tls.span,
                    "a relay of Mail Manager has no setting for TLS, and does not say that it asks for it or verifies",
                );
            }
            _ => {}
        }
        for key in ["limits", "retry", "hold_for", "public_ip", "ip_family", "chunking"] {
            if let Some(entry) = relay.entry(key) {
                self.leave_out(&entry.key_span, format!("a relay of Mail Manager has no `{key}`"));
            }
        }
        let host = match (relay.get("host"), relay.entry("preset")) {
            (Some(host), _) => host,
            (None, Some(preset)) => {
                return self.refuse(&preset.key_span, "Mail Manager knows no presets", &["write `host:` and `port:`"]);
            }
            _ => return None,
        };
        let server = host.text()?;
        if server.len() > 100 || !server.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)) {
            return self.refuse(&host.span, "Mail Manager takes a host name or an IPv4 address of up to 100 characters", &[]);
        }
        let port = if let Some(Value::Integer(port)) = relay.get("port").map(|port| &port.value) { *port } else { 25 };
        let authentication = match relay.get("auth").map(|auth| (auth, auth.get("secret").and_then(Node::text))) {
            None => json!({ "NoAuthentication": {} }),
            Some((_, Some(arn))) if arn.starts_with("arn:") => json!({ "SecretArn": arn }),
            Some((auth, _)) => {
                return self.refuse(
                    &auth.head(),
                    "Mail Manager wants the ARN of a secret in Secrets Manager",
                    &["`auth: { secret: \"arn:…\" }`"],
                );
            }
        };
        let members = [
            ("RelayName", json!(entry.key)),
            ("ServerName", json!(server)),
            ("ServerPort", json!(port)),
            ("Authentication", authentication),
        ];
        is_named.then(|| present(&members))
    }

    fn archive(&mut self, entry: &Entry) -> Option<Json> {
        let ends = |name: &str| name.starts_with(['-', '_']) || name.ends_with(['-', '_']);
        if !self.is_name(&entry.key_span, &entry.key, 2, 64, "_-") || ends(&entry.key) {
            return None;
        }
        let retention = entry.value.get("retention").and_then(Node::text).map(str::to_ascii_uppercase);
        let retention = retention.map_or(Json::Null, |period| json!({ "RetentionPeriod": period }));
        Some(present(&[("ArchiveName", json!(entry.key)), ("Retention", retention)]))
    }

    fn ingress_point(&mut self, entry: &Entry) -> Option<Json> {
        let endpoint = &entry.value;
        let is_named = self.is_name(&entry.key_span, &entry.key, 3, 63, "_-");
        for key in ["proxy_protocol", "call_ahead", "delivery", "authentication_results", "received_spf", "arc_seal"] {
            if let Some(entry) = endpoint.entry(key) {
                self.leave_out(&entry.key_span, format!("an ingress point of Mail Manager has no `{key}`"));
            }
        }
        let kind = endpoint.get("type").and_then(Node::text).unwrap_or("open");
        let tls = endpoint.get("tls").and_then(|tls| tls.get("mode"));
        if let Some(mode) = tls.filter(|mode| mode.text() == Some("implicit")) {
            return self.refuse(&mode.span, "an ingress point of Mail Manager does not begin with TLS", &[]);
        }
        let configuration = match kind {
            "open" => Json::Null,
            "auth" => match endpoint.get("credentials").and_then(|credentials| credentials.get("secret")).and_then(Node::text) {
                Some(arn) if arn.starts_with("arn:") => json!({ "SecretArn": arn }),
                _ => {
                    let help = ["`credentials: { secret: \"arn:…\" }`, with one password for all"];
                    return self.refuse(&entry.key_span, "Mail Manager wants the ARN of a secret in Secrets Manager", &help);
                }
            },
            _ => {
                let message = "the CAs of an `mtls` endpoint stand in Mail Manager's own configuration";
                return self.refuse(&entry.key_span, message, &["make this ingress point by hand: `TrustStore` takes the PEM files"]);
            }
        };
        // A public endpoint for users has no other policy than the service's own.
        let tls_policy = match (kind, tls.and_then(Node::text)) {
            ("open", Some("required")) => json!("REQUIRED"),
            ("open", _) => json!("OPTIONAL"),
            _ => Json::Null,
        };
        let listens = endpoint.get("listen").map(Node::one_or_many).unwrap_or_default();
        let is_dual = listens.iter().filter_map(Node::text).any(|address| address.starts_with('['));
        let ip_type = if is_dual { "DUAL_STACK" } else { "IPV4" };
        let members = [
            ("IngressPointName", json!(entry.key)),
            ("Type", json!(kind.to_ascii_uppercase())),
            ("TlsPolicy", tls_policy),
            ("RuleSetId", self.names.reference(Resource::RuleSet, endpoint.get("rules")?.text()?)),
            ("TrafficPolicyId", self.names.reference(Resource::TrafficPolicy, endpoint.get("policy")?.text()?)),
            ("IngressPointConfiguration", configuration),
            ("NetworkConfiguration", json!({ "PublicNetworkConfiguration": { "IpType": ip_type } })),
        ];
        is_named.then(|| present(&members))
    }
}

/// One document for each request of the API, in files named by operation and resource.
pub(super) fn requests(made: Made) -> BTreeMap<String, Json> {
    let operation = |resource| match resource {
        Resource::Relay => "create-relay",
        Resource::AddressList => "create-address-list",
        Resource::Archive => "create-archive",
        Resource::RuleSet => "create-rule-set",
        Resource::TrafficPolicy => "create-traffic-policy",
        // Analyzers are subscribed to by hand.
        Resource::IngressPoint | Resource::Analyzer => "create-ingress-point",
    };
    made.into_iter().map(|((resource, name), properties)| (format!("{}.{name}.json", operation(resource)), properties)).collect()
}

/// One template.
pub(super) fn template(names: &mut Names, made: Made) -> BTreeMap<String, Json> {
    let mut resources = Map::new();
    for ((resource, name), properties) in made {
        let kind = match resource {
            Resource::Relay => "Relay",
            Resource::AddressList => "AddressList",
            Resource::Archive => "Archive",
            Resource::RuleSet => "RuleSet",
            Resource::TrafficPolicy => "TrafficPolicy",
            Resource::IngressPoint | Resource::Analyzer => "IngressPoint",
        };
        let id = names.logical(resource, &name);
        resources.insert(id, json!({ "Type": format!("AWS::SES::MailManager{kind}"), "Properties": properties }));
    }
    let mut template = json!({ "AWSTemplateFormatVersion": "2010-09-09", "Resources": resources });
    let parameters: Map<String, Json> = names
        .analyzers()
        .into_iter()
        .map(|(name, id)| (id, json!({ "Type": "String", "Description": format!("ARN of the add-on instance for the analyzer {name}") })))
        .collect();
    if let (false, Some(template)) = (parameters.is_empty(), template.as_object_mut()) {
        template.insert("Parameters".to_owned(), json!(parameters));
    }
    BTreeMap::from([("template.json".to_owned(), template)])
}
