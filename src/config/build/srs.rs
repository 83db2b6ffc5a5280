//! The Sender Rewriting Scheme from its model.

use std::path::Path;
use std::sync::Arc;

use super::deployment::secret;
use crate::config::diagnostic::{Code, Sink};
use crate::config::model::srs as model;
use crate::config::tree::Node;
use crate::config::typed::typed;
use crate::config::{SrsConfig, files};
use crate::limits::SECRET_BYTES_MAX;
use crate::secrets::{SecretRef, SrsKeys};

pub(super) fn build(node: &Node, folder: &Path, sink: &mut Sink) -> Option<SrsConfig> {
    let model: model::Srs = typed(node, sink)?;
    let key = secret(&model.key, folder);
    if let SecretRef::File(path) = &key
        && let Err(mistake) = check(path)
    {
        let at = node.get("key").and_then(|key| key.get("file"));
        sink.error(Code::SrsKey, at.map_or_else(|| node.head(), |at| at.span.clone()), format!("`{}`: {mistake}", path.display()))
            .help("make one with `openssl rand -base64 -out srs.key 24`; a relative path begins at the folder of gateway.yaml");
    }
    Some(SrsConfig { domain: Arc::from(model.domain.0), key })
}

/// Whether the file holds keys that can be used. It is read again when they are, and nothing of it is kept here.
fn check(path: &Path) -> Result<(), String> {
    let limit = u64::try_from(SECRET_BYTES_MAX).unwrap_or(u64::MAX);
    let bytes = zeroize::Zeroizing::new(files::bytes(path, limit).map_err(|error| format!("it cannot be read: {}", files::why(&error)))?);
    if bytes.len() > SECRET_BYTES_MAX {
        return Err(format!("it is longer than {SECRET_BYTES_MAX} octets"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not UTF-8")?;
    SrsKeys::from_text(text).map(drop).map_err(str::to_owned)
}
