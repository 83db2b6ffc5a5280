//! Certificates by ACME: the section `acme` of `gateway.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{FilePath, HttpsUrl, Listen, MailAddress, OneOrMany};

/// Certificates from an authority by ACME (RFC 8555), for the endpoints that name theirs under `tls: { acme: … }`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acme {
    /// Where the authority may write to.
    pub(crate) contact: Option<OneOrMany<MailAddress>>,
    /// `true` says that you have read the authority's terms of service and agree to them; without that nobody issues certificates.
    pub(crate) accept_terms: bool,
    /// The authority's directory; Let's Encrypt's unless said.
    pub(crate) directory: Option<HttpsUrl>,
    /// Addresses and ports on which the authority's challenges are answered (HTTP-01). It asks at port 80 of each name.
    pub(crate) listen: Option<OneOrMany<Listen>>,
    /// The folder of account keys and certificates; `var/acme` unless said.
    pub(crate) storage: Option<FilePath>,
    /// PEM file with the CAs to believe for the directory itself, instead of the system's: for an authority of your own.
    pub(crate) ca: Option<FilePath>,
}
