//! The limits of the SMTP edge from their model.

use std::time::Duration;

use crate::config::Limits;
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::edge::EdgeLimits;
use crate::config::model::{Size, TimeSpan};
use crate::config::tree::Node;
use crate::config::typed::typed;

/// Less would not hold one message of a usual size.
const MESSAGE_MEMORY_BYTES_LEAST: u64 = 1024 * 1024;

/// The defaults, with what the file says instead.
pub(crate) fn limits(node: &Node, sink: &mut Sink) -> Limits {
    let default = Limits::default();
    least(node, sink);
    let Some(model) = typed::<EdgeLimits>(node, sink) else { return default };
    let count = |value: Option<u32>, default: usize| value.and_then(|n| usize::try_from(n).ok()).unwrap_or(default);
    let limits = Limits {
        connections: count(model.connections, default.connections),
        connections_per_address: count(model.connections_per_address, default.connections_per_address),
        connections_per_network: count(model.connections_per_network, default.connections_per_network),
        connections_per_minute_per_address: model.connections_per_minute_per_address.unwrap_or(default.connections_per_minute_per_address),
        connections_per_minute_per_network: model.connections_per_minute_per_network.unwrap_or(default.connections_per_minute_per_network),
        message_memory_bytes: model
            .message_memory
            .map_or(default.message_memory_bytes, |size| usize::try_from(size.0).unwrap_or(usize::MAX)),
        idle_timeout: model.idle_timeout.map_or(default.idle_timeout, |time| time.0),
        session_timeout: model.session_timeout.map_or(default.session_timeout, |time| time.0),
        recipients: count(model.recipients, default.recipients),
        messages_per_session: model.messages_per_session.unwrap_or(default.messages_per_session),
        errors: model.errors.unwrap_or(default.errors),
        bad_recipients: model.bad_recipients.unwrap_or(default.bad_recipients),
    };
    let minute_address = usize::try_from(limits.connections_per_minute_per_address).unwrap_or(usize::MAX);
    let minute_network = usize::try_from(limits.connections_per_minute_per_network).unwrap_or(usize::MAX);
    let mut reported = None;
    for (part, of_part, whole, of_whole) in [
        ("connections_per_address", limits.connections_per_address, "connections_per_network", limits.connections_per_network),
        ("connections_per_address", limits.connections_per_address, "connections", limits.connections),
        ("connections_per_network", limits.connections_per_network, "connections", limits.connections),
        ("connections_per_minute_per_address", minute_address, "connections_per_minute_per_network", minute_network),
    ] {
        // A default that is never reached does no harm; a number that somebody wrote is meant.
        if of_part > of_whole
            && reported != Some(part)
            && let Some(entry) = node.entry(part)
        {
            let default = if node.get(whole).is_none() { " (the default)" } else { "" };
            let message = format!("`{part}` is never reached: `{whole}` is {of_whole}{default}");
            sink.error(Code::Conflict, entry.value.span.clone(), message).help(format!("raise `{whole}` too, or lower `{part}`"));
            reported = Some(part);
        }
    }
    limits
}

/// Values with a unit have a format, and no range that the shape could check.
fn least(node: &Node, sink: &mut Sink) {
    if let Some(value) = node.get("message_memory")
        && typed::<Size>(value, sink).is_some_and(|size| size.0 < MESSAGE_MEMORY_BYTES_LEAST)
    {
        sink.error(Code::BadValue, value.span.clone(), "`message_memory` is at least 1MiB");
    }
    for key in ["idle_timeout", "session_timeout"] {
        if let Some(value) = node.get(key)
            && typed::<TimeSpan>(value, sink).is_some_and(|time| time.0 < Duration::from_secs(1))
        {
            sink.error(Code::BadValue, value.span.clone(), format!("`{key}` is at least 1s"));
        }
    }
}
