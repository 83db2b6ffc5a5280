//! Bounces: codes that contradict each other, and mail to people who never wrote.

use super::walk::{self, Test};
use crate::config::diagnostic::{Code, Sink};
use crate::config::tree::{Node, Value};

/// Looks at the action `Bounce` of a rule.
pub(super) fn check(rule: &Node, tests: &[Test<'_>], sink: &mut Sink) {
    for (name, fields, item) in walk::actions(rule) {
        let Some(fields) = fields.filter(|_| name == "Bounce") else { continue };
        if !sink.is_sound(&item.span) {
            continue;
        }
        codes(fields, sink);
        if let Some(forged) = tests.iter().find(|test| is_failed_authentication(test)) {
            let key = item.head();
            sink.error(Code::BounceBackscatter, key, "this bounce goes to whoever is named as the sender, who was probably forged")
                .note(forged.condition.key_span.clone(), "because authentication failed")
                .help("`Reject` refuses in the SMTP dialogue: no message is sent to a stranger");
        }
    }
}

/// The first digits of both codes agree (RFC 3463 §2), and both speak of a failure.
fn codes(fields: &Node, sink: &mut Sink) {
    let (Some(code), Some(status)) = (fields.get("smtp_reply_code"), fields.get("status_code")) else { return };
    let (Value::Integer(number), Some(text)) = (&code.value, status.text()) else { return };
    if !(400..=599).contains(number) {
        sink.error(Code::ReplyCode, code.span.clone(), format!("{number} is out of range")).help("from 400 to 599 is possible");
    } else if text.split('.').next() != Some((number / 100).to_string().as_str()) {
        sink.error(
            Code::CodeClass,
            status.span.clone(),
            format!("the reply code {number} and the status code {text} contradict each other"),
        )
        .note(code.span.clone(), "the reply code")
        .help(format!("the status code of a {0}xx reply begins with {0}", number / 100));
    }
}

/// Whether a test asks for a sender that is not proven to be who it says.
fn is_failed_authentication(test: &Test<'_>) -> bool {
    if !matches!(test.attribute, "spf" | "dkim" | "spf_result" | "dkim_result" | "dmarc_result") {
        return false;
    }
    let has = |words: &[&str]| test.texts().any(|(_, word)| words.contains(&word));
    match (test.operator(), test.is_for) {
        ("equals", true) => has(&["fail", "softfail"]),
        ("not_equals", true) | ("equals", false) => has(&["pass"]),
        _ => false,
    }
}
