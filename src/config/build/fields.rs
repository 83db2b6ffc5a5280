//! The header fields that messages of an endpoint get.

use std::path::Path;
use std::sync::Arc;

use super::deployment::secret;
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::deployment as model;
use crate::config::tree::Node;
use crate::config::{ArcSeal, EndpointFields, files};
use crate::limits::SECRET_BYTES_MAX;
use crate::secrets::{SecretRef, SigningKey};

/// What an endpoint says, and what it gets without a word: who hands in mail of his own has been told who he is by his login.
pub(super) fn endpoint(endpoint: &model::Endpoint, node: &Node, folder: &Path, sink: &mut Sink) -> EndpointFields {
    let is_open = matches!(endpoint.r#type.unwrap_or(model::EndpointType::Open), model::EndpointType::Open);
    let seal = endpoint.arc_seal.as_ref().map(|seal| ArcSeal {
        domain: Arc::from(seal.domain.0.as_str()),
        selector: Arc::from(seal.selector.0.as_str()),
        key: secret(&seal.key, folder),
    });
    if let Some(ArcSeal { key: SecretRef::File(path), .. }) = &seal
        && let Err(mistake) = check(path)
    {
        let at = node.get("arc_seal").and_then(|seal| seal.get("key")).and_then(|key| key.get("file"));
        sink.error(Code::ArcKey, at.map_or_else(|| node.head(), |at| at.span.clone()), format!("`{}`: {mistake}", path.display()))
            .help("make one with `openssl genrsa -out arc.pem 2048`; a relative path begins at the folder of gateway.yaml");
    }
    EndpointFields {
        authentication_results: endpoint.authentication_results.unwrap_or(is_open),
        received_spf: endpoint.received_spf.unwrap_or(false),
        arc_seal: seal.map(Arc::new),
    }
}

/// Whether the file holds a key that can be used. It is read again for every message, and nothing of it is kept here.
fn check(path: &Path) -> Result<(), String> {
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = zeroize::Zeroizing::new(files::bytes(path, limit).map_err(|error| format!("it cannot be read: {}", files::why(&error)))?);
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("it is longer than {SECRET_BYTES_MAX} octets"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it holds no private key in PEM")?;
    SigningKey::from_text(text).map(drop).map_err(str::to_owned)
}
