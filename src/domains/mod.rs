//! Accepted domains: whom open endpoints take mail for.
//!
//! - A domain is accepted by its exact name, without regard to case. A subdomain is another domain; an address literal is none.
//! - Verified SES identities are listed as a whole and answered from memory: a hostile client that names a million domains
//!   causes one listing in five minutes.
//! - What is not known is an error (the client gets 451), never a yes and never a no.

mod ses;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use self::ses::Identities;
use crate::aws::Aws;
use crate::config::Domains;
use crate::refreshed::Observer;

/// The domains that open endpoints take mail for.
#[derive(Debug)]
pub struct AcceptedDomains {
    source: Source,
}

/// Nobody can say now whether the domain is accepted; the text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainsUnknown(pub Arc<str>);

impl fmt::Display for DomainsUnknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DomainsUnknown {}

#[derive(Debug)]
enum Source {
    List(HashSet<Box<str>>),
    Ses(Identities),
}

impl AcceptedDomains {
    /// As configured; nothing is asked of AWS yet. `observer` hears when SES cannot be reached and when it can again.
    pub fn new(domains: &Domains, aws: Arc<Aws>, observer: Option<Observer>) -> Self {
        let source = match domains {
            Domains::List(names) => Source::List(names.iter().map(|name| lower_case(name).into()).collect()),
            Domains::Ses => Source::Ses(Identities::new(aws, observer)),
        };
        Self { source }
    }

    /// Makes sure that questions can be answered: an account that cannot be listed is found at start-up and not by the first sender.
    pub async fn prepare(&self) -> Result<(), DomainsUnknown> {
        match &self.source {
            Source::List(_) => Ok(()),
            Source::Ses(identities) => identities.prepare().await.map_err(DomainsUnknown),
        }
    }

    /// Whether mail for this domain is taken.
    pub async fn accepts(&self, domain: &str) -> Result<bool, DomainsUnknown> {
        // An address literal (RFC 5321 §4.1.3) is no domain, and nothing that was configured can make it one.
        if domain.is_empty() || domain.starts_with('[') {
            return Ok(false);
        }
        let domain = lower_case(domain);
        match &self.source {
            Source::List(names) => Ok(names.contains(domain.as_ref())),
            Source::Ses(identities) => identities.verified(&domain).await.map_err(DomainsUnknown),
        }
    }
}

/// Domains compare without regard to case (RFC 5321 §2.3.11), internationalized ones as well.
fn lower_case(domain: &str) -> Cow<'_, str> {
    if domain.bytes().any(|b| b.is_ascii_uppercase() || !b.is_ascii()) { Cow::Owned(domain.to_lowercase()) } else { Cow::Borrowed(domain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_list_accepts_its_very_domains_in_any_case() {
        let list = Domains::List(vec!["acme.example".into(), "Acme.ORG".into(), "bücher.example".into()]);
        let domains = AcceptedDomains::new(&list, Arc::default(), None);
        assert_eq!(domains.prepare().await, Ok(()));
        for (domain, accepted) in [
            ("acme.example", true),
            ("ACME.Example", true),
            ("acme.org", true),
            ("BÜCHER.example", true),
            ("mail.acme.example", false),
            ("acme.example.evil.example", false),
            ("xacme.example", false),
            ("example", false),
            ("[127.0.0.1]", false),
            ("", false),
        ] {
            assert_eq!(domains.accepts(domain).await, Ok(accepted), "{domain}");
        }
    }

    #[tokio::test]
    async fn an_address_literal_is_never_accepted() {
        let domains = AcceptedDomains::new(&Domains::List(vec!["[192.0.2.1]".into()]), Arc::default(), None);
        assert_eq!(domains.accepts("[192.0.2.1]").await, Ok(false));
    }
}
