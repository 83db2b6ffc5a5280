//! What may stand in the files, as types: the documentation of a field is the reference, and the JSON Schema made from the
//! types is what files are checked against.
//!
//! Three extensions of the schema carry what JSON Schema has no word for: `x-one-of` names keys of which exactly one must be there,
//! `x-together` pairs of these that may stand side by side all the same, `x-not-available` marks what this version does not have
//! (`error` or `warning`). Formats are listed in [`super::formats`].
#![allow(dead_code, reason = "files are read unit by unit, and of some fields only serde and the schema have a use")]

pub(crate) mod acme;
pub(crate) mod actions;
pub(crate) mod analyzers;
pub(crate) mod call_ahead;
pub(crate) mod deployment;
pub(crate) mod edge;
pub(crate) mod policy;
pub(crate) mod relays;
pub(crate) mod rule_tests;
pub(crate) mod rules;
pub(crate) mod srs;
mod values;

pub(crate) use values::*;
