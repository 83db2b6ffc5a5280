//! The verified domains of an SES account, all of them listed at once and kept in memory.
//!
//! A listing answers for every domain, so that the cost does not grow with the questions: the SES API takes about one call a
//! second, and RCPT commands come by the thousand.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::types::{IdentityInfo, IdentityType, VerificationStatus};
use tokio::sync::OnceCell;

use crate::aws::{Aws, NO_REGION, describe};
use crate::limits::{
    AWS_CALL_TIMEOUT, SES_IDENTITY_NEGATIVE_TTL, SES_IDENTITY_STALE_MAX, SES_IDENTITY_TTL, SES_PAGE_IDENTITIES, SES_PAGES_MAX,
};
use crate::refreshed::{Observer, Patience, Refreshed};

/// The identities of one account and region.
pub(super) struct Identities {
    aws: Arc<Aws>,
    client: OnceCell<Client>,
    verified: Refreshed<Arc<HashSet<Box<str>>>>,
}

impl Identities {
    pub(super) fn new(aws: Arc<Aws>, observer: Option<Observer>) -> Self {
        Self { aws, client: OnceCell::new(), verified: Refreshed::new("list of SES identities", observer) }
    }

    /// A first listing.
    pub(super) async fn prepare(&self) -> Result<(), Arc<str>> {
        self.listed(SES_IDENTITY_TTL, true).await.map(|_| ())
    }

    /// Whether a domain, in lower case, is a verified identity.
    ///
    /// A listing is believed for long when it has the domain. When it has not, the domain may have been verified since, and a no
    /// is a bounce: then the listing must be a recent one, and a caller rather waits for it than be told an old no.
    pub(super) async fn verified(&self, domain: &str) -> Result<bool, Arc<str>> {
        if self.listed(SES_IDENTITY_TTL, false).await?.contains(domain) {
            return Ok(true);
        }
        Ok(self.listed(SES_IDENTITY_NEGATIVE_TTL, true).await?.contains(domain))
    }

    async fn listed(&self, fresh_for: Duration, wait: bool) -> Result<Arc<HashSet<Box<str>>>, Arc<str>> {
        let patience = Patience { fresh_for, stale_max: SES_IDENTITY_STALE_MAX, wait, back_off: true };
        self.verified.get(patience, |_| self.list()).await
    }

    async fn list(&self) -> Result<Arc<HashSet<Box<str>>>, Arc<str>> {
        let failed = |problem: &str| Arc::from(format!("list of SES identities: {problem}"));
        let mut verified = HashSet::new();
        let mut next_page = None;
        for _ in 0..SES_PAGES_MAX {
            // The SDK's own limit does not cover the search for region and credentials.
            let page = match tokio::time::timeout(AWS_CALL_TIMEOUT, self.page(next_page)).await {
                Ok(page) => page.map_err(|problem| failed(&problem))?,
                Err(_) => return Err(failed(&format!("no answer within {} s", AWS_CALL_TIMEOUT.as_secs()))),
            };
            verified.extend(page.identities.iter().filter_map(verified_domain));
            if page.next.is_none() {
                return Ok(Arc::new(verified));
            }
            next_page = page.next;
        }
        Err(failed("it has no end"))
    }

    async fn page(&self, token: Option<String>) -> Result<Page, Arc<str>> {
        let client = self.client.get_or_try_init(|| async {
            let config = self.aws.config().await;
            if config.region().is_some() { Ok(Client::new(&config)) } else { Err(Arc::from(NO_REGION)) }
        });
        let client = client.await?;
        let request = client.list_email_identities().page_size(SES_PAGE_IDENTITIES).set_next_token(token);
        let answer = request.send().await.map_err(|error| Arc::from(describe(&error)))?;
        Ok(Page { identities: answer.email_identities.unwrap_or_default(), next: answer.next_token.filter(|token| !token.is_empty()) })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities(..)")
    }
}

struct Page {
    identities: Vec<IdentityInfo>,
    next: Option<String>,
}

/// The domain of an identity that proves whose domain it is.
///
/// `VerificationStatus` says that the owner has shown control of the domain, which is the question here. `SendingEnabled` and
/// `VerifiedForSendingStatus` are about sending through SES: an account may pause its sending and receive mail all the same.
/// An identity of a single address says nothing about its domain.
fn verified_domain(identity: &IdentityInfo) -> Option<Box<str>> {
    let verified =
        identity.identity_type == Some(IdentityType::Domain) && identity.verification_status == Some(VerificationStatus::Success);
    let name = identity.identity_name.as_deref().filter(|_| verified)?;
    Some(super::lower_case(name).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_verified_domain_counts() {
        let identity = |kind: IdentityType, status: VerificationStatus| {
            let identity = IdentityInfo::builder().identity_type(kind).identity_name("Acme.Example").verification_status(status);
            verified_domain(&identity.sending_enabled(false).build())
        };
        assert_eq!(identity(IdentityType::Domain, VerificationStatus::Success), Some("acme.example".into()));
        for status in
            [VerificationStatus::Pending, VerificationStatus::Failed, VerificationStatus::TemporaryFailure, VerificationStatus::NotStarted]
        {
            assert_eq!(identity(IdentityType::Domain, status), None);
        }
        assert_eq!(identity(IdentityType::EmailAddress, VerificationStatus::Success), None);
        assert_eq!(verified_domain(&IdentityInfo::builder().identity_name("acme.example").build()), None);
    }
}
