//! Actions that can fail and do not say what then; looked for with `--strict` alone, since the defaults lose no mail.

use super::edit;
use super::walk;
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::Node;

/// What a permanent failure does where nothing is said.
fn default_of(action: &str) -> Option<&'static str> {
    match action {
        "SMTPRelay" | "Send" | "DeliverToMailbox" => Some("bounce"),
        "Archive" | "WriteToS3" | "PublishToSns" | "InvokeLambda" | "DeliverToQBusiness" | "Bounce" => Some("continue"),
        _ => None,
    }
}

/// Every action of a rule.
pub(super) fn check(rule: &Node, sink: &mut Sink) {
    for (name, fields, item) in walk::actions(rule) {
        let Some((default, fields)) = default_of(name).zip(fields) else { continue };
        if fields.get("on_failure").is_some() || !sink.is_sound(&item.span) {
            continue;
        }
        let pair = format!("on_failure: {default}");
        let edit = edit::key_behind(fields, &pair, sink);
        let message = format!("`{name}` does not say what a permanent failure does");
        let diagnostic = sink.error(Code::FailureImplicit, item.head(), message);
        match edit {
            Some(edit) => diagnostic.fix(format!("write `{pair}`, which is what happens now"), vec![edit]),
            None => diagnostic.help(format!("what happens now is `{pair}`")),
        };
    }
}
