//! Whole addresses that leave out the same mailbox with a tag.

use super::walk::Test;
use crate::config::diagnostic::{Code, Sink};
use crate::config::formats::clip;

/// Mailboxes of roles (RFC 2142), to which nobody writes with a tag.
const ROLES: &[&str] = &[
    "abuse",
    "hostmaster",
    "info",
    "mailer-daemon",
    "marketing",
    "news",
    "no-reply",
    "noc",
    "noreply",
    "postmaster",
    "sales",
    "security",
    "support",
    "usenet",
    "webmaster",
    "www",
];

/// `recipient: { equals: … }`; policies have no `recipient_base`, so they are not asked.
pub(super) fn check(test: &Test<'_>, sink: &mut Sink) {
    if test.attribute != "recipient" || test.operator() != "equals" {
        return;
    }
    let is_tagged = |text: &str| text.contains('+');
    // Who writes a tag in one of them knows of tags.
    if test.texts().any(|(_, text)| is_tagged(text)) {
        return;
    }
    let is_person =
        |text: &str| text.split_once('@').is_some_and(|(local_part, _)| !is_role(local_part) && !local_part.contains(['*', '"']));
    let Some((node, text)) = test.texts().find(|(_, text)| is_person(text)) else { return };
    let (local_part, domain) = text.rsplit_once('@').unwrap_or((text, ""));
    let message = format!("mail to `{}+tag@{domain}` does not count as mail to `{}`", clip(local_part), clip(text));
    sink.error(Code::PlusTag, node.span.clone(), message).suggest(
        "write `recipient_base`, which is the recipient without its tag",
        vec![(test.condition.key_span.clone(), "recipient_base".to_owned())],
    );
}

fn is_role(local_part: &str) -> bool {
    ROLES.contains(&local_part.to_ascii_lowercase().as_str())
}
