//! TXT records that verdicts are made from: asked for in parallel, each name once.
//!
//! Verdicts are made from [`Texts`] alone; where those come from is a [`Source`], which is DNS outside of tests.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::future::join_all;

use crate::dns::{DnsError, Inquiry, Records};
use crate::limits::VERDICT_REASON_CHARS_MAX;
use crate::message::printable;

/// Where answers come from.
pub(super) trait Source: Sync {
    /// The TXT records of a name.
    fn txt(&self, name: &str) -> impl Future<Output = Answer> + Send;
    /// Whether a name exists (RFC 8020).
    fn exists(&self, name: &str) -> impl Future<Output = Result<bool, DnsError>> + Send;
}

impl Source for Inquiry {
    async fn txt(&self, name: &str) -> Answer {
        Inquiry::txt(self, name).await
    }

    async fn exists(&self, name: &str) -> Result<bool, DnsError> {
        Ok(self.ipv4(name).await?.exists)
    }
}

/// What names hold, as far as it was asked for.
#[derive(Debug, Default)]
pub(super) struct Texts {
    known: BTreeMap<String, Answer>,
}

/// What a name holds.
pub(super) type Answer = Result<Records<Box<[u8]>>, DnsError>;

impl Texts {
    /// Asks for those names that were not asked for yet.
    pub(super) async fn ask(&mut self, source: &impl Source, mut names: Vec<String>) {
        names.sort_unstable();
        names.dedup();
        names.retain(|name| !self.known.contains_key(name));
        let answers = join_all(names.iter().map(|name| source.txt(name))).await;
        self.known.extend(names.into_iter().zip(answers));
    }

    /// The answer; `None` if nobody asked.
    pub(super) fn get(&self, name: &str) -> Option<&Answer> {
        self.known.get(name)
    }

    #[cfg(test)]
    pub(super) fn of(answers: impl IntoIterator<Item = (String, Answer)>) -> Self {
        Self { known: answers.into_iter().collect() }
    }
}

/// As reasons are: what came from outside is cut and masked.
pub(super) fn line(text: &str) -> Box<str> {
    printable(text, VERDICT_REASON_CHARS_MAX).into()
}
