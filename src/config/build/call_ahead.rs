//! Where the recipients of an endpoint are looked up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::diagnostic::{Code, Sink};
use crate::config::model::TimeSpan;
use crate::config::model::deployment as model;
use crate::config::tree::Node;
use crate::config::{CallAhead, CallAheadRelays, formats};
use crate::limits::{
    CALL_AHEAD_NEGATIVE_DEFAULT, CALL_AHEAD_NEGATIVE_MAX, CALL_AHEAD_POSITIVE_DEFAULT, CALL_AHEAD_POSITIVE_MAX, CALL_AHEAD_TIMEOUT_DEFAULT,
    CALL_AHEAD_TIMEOUT_MAX,
};

/// Nothing for an endpoint that does not ask for it, or that may not.
pub(super) fn build(endpoint: &model::Endpoint, node: &Node, sink: &mut Sink) -> Option<Arc<CallAhead>> {
    let (model, entry) = endpoint.call_ahead.as_ref().zip(node.entry("call_ahead"))?;
    if !matches!(endpoint.r#type.unwrap_or(model::EndpointType::Open), model::EndpointType::Open) {
        sink.error(Code::Conflict, entry.key_span.clone(), "`call_ahead` belongs to an endpoint of `type: open`")
            .help("who logs in or shows a certificate may send to any domain, and no relay knows all recipients");
        return None;
    }
    let node = &entry.value;
    let relays = match (&model.relay, &model.relays) {
        (Some(relay), _) => CallAheadRelays::One(Arc::from(relay.0.as_str())),
        (None, relays) => {
            let mut by_domain = BTreeMap::new();
            let entries = node.get("relays").map(Node::entries).unwrap_or_default();
            for ((domain, relay), entry) in relays.iter().flatten().zip(entries.iter().map(Some).chain(std::iter::repeat(None))) {
                match formats::domain(domain) {
                    Ok(domain) => {
                        by_domain.insert(domain, Arc::from(relay.0.as_str()));
                    }
                    Err(mistake) => {
                        let span = entry.map_or_else(|| node.head(), |entry| entry.key_span.clone());
                        sink.error(Code::HostName, span, mistake.message);
                    }
                }
            }
            CallAheadRelays::ByDomain(by_domain)
        }
    };
    let mut time = |key, value: &Option<TimeSpan>, default: Duration, least: u64, most: Duration| {
        let time = value.as_ref().map_or(default, |time| time.0);
        if time < Duration::from_secs(least) || time > most {
            let span = node.get(key).map_or_else(|| node.head(), |at| at.span.clone());
            sink.error(Code::BadValue, span, format!("`{key}` is {least} s to {} s", most.as_secs()));
        }
        time
    };
    Some(Arc::new(CallAhead {
        positive: time("positive", &model.positive, CALL_AHEAD_POSITIVE_DEFAULT, 60, CALL_AHEAD_POSITIVE_MAX),
        negative: time("negative", &model.negative, CALL_AHEAD_NEGATIVE_DEFAULT, 1, CALL_AHEAD_NEGATIVE_MAX),
        timeout: time("timeout", &model.timeout, CALL_AHEAD_TIMEOUT_DEFAULT, 1, CALL_AHEAD_TIMEOUT_MAX),
        relays,
    }))
}
