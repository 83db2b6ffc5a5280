//! Actions.

use super::{limit, none};
use crate::config::diagnostic::Sink;
use crate::config::formats::clip;
use crate::config::tree::{Node, Value};

/// Characters of the name of a field that is added, and of its value.
const HEADER_NAME_CHARS_MAX: usize = 64;
const HEADER_VALUE_CHARS_MAX: usize = 128;

/// New recipients of one action, and characters of an address.
const RECIPIENTS_MAX: usize = 100;
const ADDRESS_CHARS_MAX: usize = 254;

/// Characters of the names of buckets and of prefixes.
const S3_CHARS_MAX: usize = 62;

/// 36 hours.
const RETRY_MINUTES_MAX: i64 = 2160;

/// Characters of the texts of a bounce.
const DIAGNOSTIC_CHARS_MAX: usize = 256;
const MESSAGE_CHARS_MAX: usize = 500;

/// Looks at an action whose shape is right.
pub(super) fn check(action: &str, fields: Option<&Node>, item: &Node, sink: &mut Sink) {
    let head = item.head();
    let field = |key: &str| fields.and_then(|fields| fields.get(key)).and_then(|node| Some((node, node.text()?)));
    match action {
        "SMTPRelay" => {
            if let Some((node, "srs")) = field("mail_from") {
                none(sink, node.span.clone(), "`mail_from: srs`", "`replace` and `preserve` are all there is");
            }
        }
        "AddHeader" => {
            if let Some((node, name)) = field("name") {
                added_name(node, name, sink);
            }
            if let Some((node, value)) = field("value") {
                if value.contains("{{") {
                    none(sink, node.span.clone(), "attributes in texts", "the value would stand there as it is written, braces included");
                } else {
                    length(node, value, HEADER_VALUE_CHARS_MAX, "values of fields", sink);
                }
            }
        }
        "ReplaceRecipient" => recipients(fields, sink),
        "WriteToS3" => {
            if let Some((node, bucket)) = field("bucket") {
                length(node, bucket, S3_CHARS_MAX, "names of buckets", sink);
            }
            if let Some((node, prefix)) = field("prefix") {
                length(node, prefix, S3_CHARS_MAX, "prefixes", sink);
            }
        }
        "InvokeLambda" => {
            if let Some(node) = fields.and_then(|fields| fields.get("retry_minutes"))
                && let Value::Integer(minutes) = node.value
                && minutes > RETRY_MINUTES_MAX
            {
                limit(sink, node.span.clone(), format!("Mail Manager tries for {RETRY_MINUTES_MAX} minutes at most"));
            }
        }
        "Bounce" => {
            for (key, most) in [("sender", ADDRESS_CHARS_MAX), ("diagnostic_message", DIAGNOSTIC_CHARS_MAX), ("message", MESSAGE_CHARS_MAX)]
            {
                let Some((node, text)) = field(key) else { continue };
                length(node, text, most, &format!("`{key}`"), sink);
                if !text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n')) {
                    limit(sink, node.span.clone(), format!("Mail Manager takes printable ASCII alone in `{key}`"));
                }
            }
        }
        "Reject" | "Defer" => {
            none(
                sink,
                head,
                &format!("`{action}`"),
                "everything is accepted there: its nearest is `Bounce` and then `Drop`, mail to a sender who may be forged",
            );
        }
        "Stop" => {
            none(sink, head, "`Stop`", "all rules run there, and a later one may deliver again: put its conditions below `unless` of those")
        }
        "RemoveHeader" | "PrefixSubject" => none(sink, head, &format!("`{action}`"), "fields can only be added there"),
        "Quarantine" => none(sink, head, "`Quarantine`", "its nearest is `Archive` and then `Drop`"),
        _ => {}
    }
    let needs_role = matches!(action, "WriteToS3" | "PublishToSns" | "InvokeLambda" | "Send" | "DeliverToQBusiness");
    if needs_role && fields.is_some_and(|fields| fields.get("role").is_none()) {
        limit(sink, item.head(), format!("Mail Manager asks for a role in `{action}`")).help("add `role:` with its ARN");
    }
}

fn added_name(node: &Node, name: &str, sink: &mut Sink) {
    let rest = name.strip_prefix(['X', 'x']).and_then(|rest| rest.strip_prefix('-'));
    match rest {
        None => {
            let becomes = format!("only fields that begin with `X-` can be added, like `X-{}`", clip(name));
            none(sink, node.span.clone(), &format!("way to add `{}`", clip(name)), becomes);
        }
        Some(rest) if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
            limit(sink, node.span.clone(), "Mail Manager takes letters, digits and hyphens in names of fields");
        }
        Some(_) => length(node, name, HEADER_NAME_CHARS_MAX, "names of fields", sink),
    }
}

fn recipients(fields: Option<&Node>, sink: &mut Sink) {
    let Some(fields) = fields else { return };
    if let Some(entry) = fields.entry("map") {
        none(sink, entry.key_span.clone(), "`map`", "it takes one rule for each old address, with `recipient: { equals: … }` and `with`");
    }
    let with = fields.get("with").map(Node::one_or_many).unwrap_or_default();
    super::count(sink, with, RECIPIENTS_MAX, "new recipients in an action");
    for (node, address) in with.iter().filter_map(|node| Some((node, node.text()?))) {
        length(node, address, ADDRESS_CHARS_MAX, "addresses", sink);
        let (local_part, domain) = address.rsplit_once('@').unwrap_or((address, ""));
        let fits = local_part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'+' | b'-'))
            && domain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
        if !fits {
            limit(sink, node.span.clone(), "Mail Manager takes letters, digits and `._+-` in addresses");
        }
    }
}

fn length(node: &Node, text: &str, most: usize, what: &str, sink: &mut Sink) {
    let length = text.chars().count();
    if length > most {
        limit(sink, node.span.clone(), format!("Mail Manager takes {what} of {most} characters, and this has {length}"));
    }
}
