//! ARC seals with the key that an endpoint names: for each form in which a message goes out, one seal.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::authentication::seal::{BodyHash, Sealed, Sealer};
use crate::config::ArcSeal;
use crate::message::{Edits, Findings, Original, SessionFacts, arc_authentication_results};
use crate::secrets::{SecretError, SecretRef, Secrets, SrsKeys};

/// Makes seals.
#[derive(Debug, Default)]
pub struct Sealing {
    secrets: Arc<Secrets>,
}

/// What is sealed: a message, with what was found out about it.
#[derive(Clone, Debug)]
pub struct ToSeal {
    /// The message as it came.
    pub original: Arc<Original>,
    /// Our own name.
    pub hostname: Arc<str>,
    /// Who brought it.
    pub session: SessionFacts,
    /// What was found out; of its ARC chain above all.
    pub findings: Findings,
    /// Seconds since the epoch.
    pub unix_seconds: u64,
}

/// Why a message that must be sealed is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    /// There is no key.
    Key(SecretError),
    /// The key could not sign, or the work was interrupted.
    Sign,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => write!(f, "the message cannot be sealed: {error}"),
            Self::Sign => f.write_str("the message cannot be sealed: the key does not sign"),
        }
    }
}

impl std::error::Error for SealError {}

impl Sealing {
    /// With keys from these secrets.
    pub fn new(secrets: Arc<Secrets>) -> Self {
        Self { secrets }
    }

    /// The keys of rewritten senders.
    pub async fn srs_keys(&self, secret: &SecretRef) -> Result<Arc<SrsKeys>, SecretError> {
        self.secrets.srs_keys(secret).await
    }

    /// The seals of a message, one for each of `forms`, its header changes; `None` for a form that gets none (see
    /// [`crate::authentication::seal::Unsealed`]).
    ///
    /// Bodies may be large and a signature takes a millisecond, so that the work is done on a thread of its own.
    pub async fn seals(&self, seal: Arc<ArcSeal>, message: ToSeal, forms: Vec<Arc<Edits>>) -> Result<Vec<Option<Bytes>>, SealError> {
        let key = self.secrets.signing_key(&seal.key).await.map_err(SealError::Key)?;
        let work = move || {
            let results = |instance| arc_authentication_results(instance, &message.hostname, &message.session, &message.findings);
            let sealer = Sealer {
                domain: &seal.domain,
                selector: &seal.selector,
                unix_seconds: message.unix_seconds,
                sign: &|octets| key.rsa_sha256(octets),
                results: &results,
            };
            let body = BodyHash::of(&message.original);
            let mut made: Vec<(&Edits, Option<Bytes>)> = Vec::new();
            let mut seals = Vec::with_capacity(forms.len());
            for edits in &forms {
                // Steps to several relays often have the same message.
                let known = made.iter().find(|(form, _)| *form == &**edits).map(|(_, seal)| seal.clone());
                let seal = match known {
                    Some(seal) => seal,
                    None => match sealer.seal(&message.original, edits, body, message.findings.arc.as_deref()) {
                        Sealed::Fields(fields) => Some(fields),
                        Sealed::Unsealed(_) => None,
                        Sealed::Failed => return Err(SealError::Sign),
                    },
                };
                made.push((edits, seal.clone()));
                seals.push(seal);
            }
            Ok(seals)
        };
        tokio::task::spawn_blocking(work).await.unwrap_or(Err(SealError::Sign))
    }
}
