//! Endpoints that ask for a login: what `type: auth` needs, and what belongs to it alone.

use std::path::Path;

use super::deployment::secret;
use crate::config::EndpointKind;
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::deployment as model;
use crate::config::tree::Node;

/// Who may use an endpoint of `type: auth`; says everything that is missing.
pub(super) fn kind(endpoint: &model::Endpoint, node: &Node, folder: &Path, sink: &mut Sink) -> Option<EndpointKind> {
    match &endpoint.tls {
        None => {
            sink.error(Code::MissingKey, node.head(), "an `auth` endpoint needs `tls`: passwords are only taken over TLS")
                .help("add `tls: { certificate: tls/fullchain.pem, key: tls/key.pem }`");
        }
        Some(tls) if tls.mode == Some(model::EndpointTlsMode::Optional) => {
            let span = node.get("tls").and_then(|tls| tls.get("mode")).map_or_else(|| node.head(), |mode| mode.span.clone());
            sink.error(Code::Conflict, span, "TLS is not optional on an `auth` endpoint: passwords are only taken over TLS")
                .help("remove `mode`, which is then `required`, or write `mode: implicit`");
        }
        Some(_) => {}
    }
    let Some(credentials) = &endpoint.credentials else {
        sink.error(Code::MissingKey, node.head(), "an `auth` endpoint needs `credentials`, which say who may log in")
            .help("add `credentials: { secret: NAME }`, or `file` or `env` instead of `secret`");
        return None;
    };
    Some(EndpointKind::Auth(secret(credentials, folder)))
}

/// Says that an endpoint without logins has no use for credentials.
pub(super) fn no_credentials(node: &Node, sink: &mut Sink) {
    if let Some(entry) = node.entry("credentials") {
        sink.error(Code::Conflict, entry.key_span.clone(), "`credentials` belong to an endpoint of `type: auth`")
            .help("add `type: auth`, or remove `credentials`");
    }
}
