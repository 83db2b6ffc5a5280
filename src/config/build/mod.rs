//! From models to what the other rooms work with, with the checks that need to understand what is meant.

mod acme;
mod analyzers;
pub(crate) mod deployment;
mod edge;
pub(crate) mod lists;
pub(crate) mod policy;
pub(crate) mod rules;
mod submission;
mod tests_of;
mod tls;
