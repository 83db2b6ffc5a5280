//! Actions of rules.

use serde_json::{Value as Json, json};

use super::conditions::is_x_header;
use super::names::Resource;
use super::rules::name_of;
use super::{Writer, present, scalar_text};
use crate::config::tree::Node;

impl Writer<'_> {
    /// An action; `None` when the service has no such thing, which has been reported.
    pub(super) fn action(&mut self, action: &Node) -> Option<Json> {
        let head = action.head();
        let name = name_of(action);
        let Some(fields) = action.entries().first().map(|entry| &entry.value) else {
            if name == "Drop" {
                return Some(json!({ "Drop": {} }));
            }
            return self.refuse(
                &head,
                format!("Mail Manager has no action like `{name}`"),
                &["it has `Drop`; all other rules run to the end"],
            );
        };
        let text = |key: &str| fields.get(key).and_then(scalar_text).map_or(Json::Null, Json::from);
        let (policy, role) = (on_failure(fields), text("role"));
        let needs_role = !matches!(name, "SMTPRelay" | "AddHeader" | "ReplaceRecipient" | "Archive");
        match name {
            "RemoveHeader" | "PrefixSubject" | "Reject" | "Defer" | "Quarantine" => {
                self.refuse(&head, format!("Mail Manager has no action like `{name}`"), &[])
            }
            "Bounce" => self.refuse(&head, "Mail Manager's `Bounce` wants the ARN of a role, and `Bounce` has none here", &[]),
            "DeliverToMailbox" => self.refuse(&head, "Mail Manager delivers to mailboxes of WorkMail alone", &[]),
            _ if needs_role && role.is_null() => {
                self.refuse(&head, format!("Mail Manager wants the ARN of a role for `{name}`: `role: …`"), &[])
            }
            "SMTPRelay" => self.relay(fields, policy),
            "AddHeader" => self.add_header(fields),
            "ReplaceRecipient" => self.replace_recipient(fields),
            "Archive" => {
                let archive = self.names.reference(Resource::Archive, fields.get("archive")?.text()?);
                Some(json!({ "Archive": present(&[("TargetArchive", archive), ("ActionFailurePolicy", policy)]) }))
            }
            "WriteToS3" => {
                let members = [
                    ("RoleArn", role),
                    ("S3Bucket", text("bucket")),
                    ("S3Prefix", text("prefix")),
                    ("S3SseKmsKeyId", text("kms_key")),
                    ("ActionFailurePolicy", policy),
                ];
                Some(json!({ "WriteToS3": present(&members) }))
            }
            "PublishToSns" => {
                let capitals = |key: &str| fields.get(key).and_then(Node::text).map_or(Json::Null, |word| json!(word.to_ascii_uppercase()));
                let members = [
                    ("RoleArn", role),
                    ("TopicArn", text("topic")),
                    ("PayloadType", capitals("payload")),
                    ("Encoding", capitals("encoding")),
                    ("ActionFailurePolicy", policy),
                ];
                Some(json!({ "PublishToSns": present(&members) }))
            }
            "InvokeLambda" => {
                let invocation = fields.get("invocation").and_then(Node::text).unwrap_or("event").to_ascii_uppercase();
                let retry = fields.get("retry_minutes").and_then(scalar_text).and_then(|minutes| minutes.parse::<u32>().ok());
                let members = [
                    ("RoleArn", role),
                    ("FunctionArn", text("function")),
                    ("InvocationType", json!(invocation)),
                    ("RetryTimeMinutes", json!(retry)),
                    ("ActionFailurePolicy", policy),
                ];
                Some(json!({ "InvokeLambda": present(&members) }))
            }
            "Send" => Some(json!({ "Send": present(&[("RoleArn", role), ("ActionFailurePolicy", policy)]) })),
            "DeliverToQBusiness" => {
                let members = [
                    ("ApplicationId", text("application")),
                    ("IndexId", text("index")),
                    ("RoleArn", role),
                    ("ActionFailurePolicy", policy),
                ];
                Some(json!({ "DeliverToQBusiness": present(&members) }))
            }
            other => self.refuse(&head, format!("Mail Manager has no action like `{other}`"), &[]),
        }
    }

    fn relay(&mut self, fields: &Node, policy: Json) -> Option<Json> {
        let mail_from = match fields.get("mail_from").map(|node| (node, node.text())) {
            None => json!("PRESERVE"),
            Some((node, Some("srs"))) => return self.refuse(&node.span, "Mail Manager does not rewrite senders by SRS", &[]),
            Some((_, word)) => json!(word?.to_ascii_uppercase()),
        };
        let relay = self.names.reference(Resource::Relay, fields.get("relay")?.text()?);
        Some(json!({ "Relay": present(&[("Relay", relay), ("MailFrom", mail_from), ("ActionFailurePolicy", policy)]) }))
    }

    fn add_header(&mut self, fields: &Node) -> Option<Json> {
        let (name, value) = (fields.get("name")?, fields.get("value")?);
        let (name_text, value_text) = (name.text()?, scalar_text(value)?);
        let is_named = is_x_header(name_text, 64);
        if !is_named {
            self.refuse::<()>(
                &name.span,
                "Mail Manager adds fields whose name is `X-` with letters, digits and hyphens, up to 64 characters",
                &[],
            );
        }
        if value_text.contains("{{") {
            return self.refuse(&value.span, "Mail Manager fills nothing into texts", &[]);
        }
        if value_text.is_empty() || value_text.chars().count() > 128 {
            return self.refuse(&value.span, "Mail Manager takes values of 1 to 128 characters", &[]);
        }
        is_named.then(|| json!({ "AddHeader": { "HeaderName": name_text, "HeaderValue": value_text } }))
    }

    fn replace_recipient(&mut self, fields: &Node) -> Option<Json> {
        let Some(with) = fields.get("with") else {
            let help = ["write a rule for each address, with `recipient: { equals: … }` and `with:`"];
            return self.refuse(&fields.head(), "Mail Manager has no map of recipients", &help);
        };
        let nodes = with.one_or_many();
        if nodes.len() > 100 {
            return self.refuse(&with.head(), format!("Mail Manager takes 100 addresses, and here are {}", nodes.len()), &[]);
        }
        let fits = |address: &str| address.len() <= 254 && address.chars().all(|c| c.is_ascii_alphanumeric() || "._+-@".contains(c));
        if let Some(node) = nodes.iter().find(|node| !node.text().is_some_and(fits)) {
            return self.refuse(&node.span, "Mail Manager takes addresses of letters, digits and `._+-` here", &[]);
        }
        let addresses: Vec<&str> = nodes.iter().filter_map(Node::text).collect();
        Some(json!({ "ReplaceRecipient": { "ReplaceWith": addresses } }))
    }
}

/// A permanent failure: without a word, and with `bounce`, the service does what it does.
fn on_failure(fields: &Node) -> Json {
    match fields.get("on_failure").and_then(Node::text) {
        Some("continue") => json!("CONTINUE"),
        Some("drop") => json!("DROP"),
        _ => Json::Null,
    }
}
