//! A message read once for its signatures: DKIM and ARC.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mail_auth::dkim::Canonicalization;
use tokio::sync::OnceCell;

use super::arc::{Broken, Chain};
use super::canonical::{BodyForm, BodyHash, BodyHashes, push_field, push_signature};
use super::dkim::DkimSignatures;
use super::signature::{Coverage, Signer};
use crate::limits::BODY_HASH_INLINE_BYTES_MAX;
use crate::message::Original;

/// A message read once for verification, with bounded work: [`crate::limits::DKIM_SIGNATURES_MAX`] signatures are looked at, the body
/// is hashed at most twice.
#[derive(Debug)]
pub struct Signed<'o> {
    pub(super) original: &'o Original,
    pub(super) dkim: DkimSignatures,
    /// `None`: nothing of ARC is there.
    pub(super) arc: Option<Result<Chain, Broken>>,
    fields: Fields,
    hashes: OnceCell<BodyHashes>,
}

/// The fields of each name (lower case) from the bottom up, as signatures choose them (RFC 6376 §5.4.2).
type Fields = HashMap<Box<[u8]>, Vec<usize>>;

impl<'o> Signed<'o> {
    /// Reads the fields of DKIM and ARC. What is wrong with them is part of the verdicts.
    pub fn parse(original: &'o Original) -> Self {
        let (dkim, arc) = (DkimSignatures::read(original), Chain::read(original));
        let mut fields = Fields::new();
        if !dkim.is_empty() || arc.is_some() {
            for (at, field) in original.fields().iter().enumerate().rev() {
                fields.entry(original.name(field).to_ascii_lowercase().into()).or_default().push(at);
            }
        }
        Self { original, dkim, arc, fields, hashes: OnceCell::new() }
    }

    /// Hashes the body for all signatures, once; a large one on a thread for such work.
    pub(super) async fn body_hashes(&self) -> &BodyHashes {
        self.hashes
            .get_or_init(|| async {
                let forms = self.body_forms();
                let body = self.original.body();
                if (body.len() <= BODY_HASH_INLINE_BYTES_MAX && body.in_memory().is_some()) || forms.is_empty() {
                    return self.original.noting(BodyHashes::of(&body, &forms));
                }
                let forms: Arc<[BodyForm]> = forms.into();
                let (on_thread, its_forms) = (body.clone(), Arc::clone(&forms));
                let hashed = tokio::task::spawn_blocking(move || BodyHashes::of(&on_thread, &its_forms)).await;
                // A runtime that is going down takes no more such work.
                self.original.noting(hashed.unwrap_or_else(|_| BodyHashes::of(&body, &forms)))
            })
            .await
    }

    fn body_forms(&self) -> Vec<BodyForm> {
        let arc = self.arc.iter().flatten().map(|chain| &chain.message.coverage);
        let mut forms: Vec<BodyForm> = Vec::new();
        for (_, form) in self.dkim.coverages().chain(arc).flat_map(|coverage| &coverage.forms) {
            if !forms.contains(form) {
                forms.push(*form);
            }
        }
        forms
    }

    /// The header as this signature has signed it, in one of its forms.
    pub(super) fn signed_header(&self, signer: &Signer, coverage: &Coverage, form: Canonicalization) -> Vec<u8> {
        let mut data = Vec::with_capacity(2048);
        let mut used: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &coverage.names {
            let Some(fields) = self.fields.get(name.as_bytes()) else { continue };
            let used = used.entry(name).or_default();
            // A signature does not sign itself (RFC 6376 §3.5, `h=`).
            if fields.get(*used) == Some(&signer.field) {
                *used = used.saturating_add(1);
            }
            if let Some(field) = fields.get(*used) {
                push_field(&mut data, self.original, *field, form);
                *used = used.saturating_add(1);
            }
        }
        push_signature(&mut data, self.original, signer.field, &signer.hole, form);
        data
    }

    /// A field that may stand once (RFC 5322 §3.6, RFC 2045 §3), of which there are more than the signature covers: whoever added the
    /// others chooses what a reader is shown (RFC 6376 §8.15).
    pub(super) fn surplus(&self, coverage: &Coverage) -> Option<&'static str> {
        SHOWN_ONCE.into_iter().find(|name| {
            let covered = coverage.names.iter().filter(|covered| ***covered == **name).count();
            covered > 0 && self.fields.get(name.as_bytes()).is_some_and(|fields| fields.len() > covered)
        })
    }

    /// Where body and signature agree: the form of the header, and the hash of the body. The error says why they do not.
    pub(super) fn agreed_form(coverage: &Coverage, hashes: &BodyHashes) -> Result<(Canonicalization, BodyHash), Disagreement> {
        let mut is_short = false;
        for (header, body) in &coverage.forms {
            let Some(hash) = hashes.get(*body) else { continue };
            is_short |= hash.digest.is_none();
            if hash.digest.is_some_and(|digest| digest == *coverage.body_hash) {
                return Ok((*header, hash));
            }
        }
        Err(if is_short { Disagreement::BodyTooShort } else { Disagreement::OtherBody })
    }
}

/// What readers are shown, and what tells how the body is to be read.
const SHOWN_ONCE: [&str; 9] = ["from", "sender", "reply-to", "to", "cc", "subject", "date", "content-type", "content-transfer-encoding"];

/// Why a signature does not fit the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// `l=` is more than there is.
    BodyTooShort,
    /// The hash is another.
    OtherBody,
}
