//! The section `srs`: the Sender Rewriting Scheme.

use schemars::JsonSchema;
use serde::Deserialize;

use super::deployment::Secret;
use super::*;

/// The Sender Rewriting Scheme, for rules with `mail_from: srs`. The MX records of its domain lead to this gateway, and its SPF record lists
/// whoever delivers for it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Srs {
    /// The domain of rewritten senders. Bounces for them are taken at every endpoint; other mail for it only if it stands in `domains`.
    pub(crate) domain: DnsName,
    /// The keys, of 16 octets at least: one a line, or `{"keys": [NEW, OLD]}`. The first signs, all verify.
    pub(crate) key: Secret,
}
