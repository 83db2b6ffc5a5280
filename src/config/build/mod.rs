//! From models to what the other rooms work with, with the checks that need to understand what is meant.

mod acme;
pub(crate) mod analysis;
mod analyzers;
mod call_ahead;
mod client_certificate;
pub(crate) mod deployment;
mod edge;
mod fields;
pub(crate) mod lists;
pub(crate) mod policy;
mod presets;
mod relay_checks;
mod relays;
mod resolver;
pub(crate) mod rule_tests;
pub(crate) mod rules;
mod srs;
mod submission;
mod tests_of;
mod tls;

use analysis::Analyzers;
use lists::Lists;

/// What `gateway.yaml` defines for conditions.
#[derive(Clone, Copy)]
pub(crate) struct Defined<'a> {
    pub(crate) lists: &'a Lists,
    pub(crate) analyzers: &'a Analyzers,
    /// Whether senders can be rewritten; also when there is no `gateway.yaml` that could say so.
    pub(crate) srs: bool,
}
