//! Who really sent it: SPF, DKIM, DMARC and ARC, from the answers of one resolver.
//!
//! Every verdict has bounded work and bounded time, and says why. Trouble with DNS is a verdict (`temperror`), never a pass.
//!
//! A message is read once ([`Signed`]); then DNS is asked for all names that are known to be needed, in parallel; then the verdict is
//! made without asking anything. Only who belongs to whose organization (RFC 9989) can need a second round.

pub mod arc;
mod canonical;
pub mod dkim;
pub mod dmarc;
mod keys;
mod names;
pub mod seal;
mod signature;
mod signed;
pub mod spf;
mod tags;
mod texts;
mod walk;

pub use signed::Signed;

#[cfg(test)]
mod tests;
