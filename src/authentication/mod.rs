//! Who really sent it: SPF, DKIM, DMARC and ARC, from the answers of one resolver.
//!
//! Every verdict has bounded work and bounded time, and says why. Trouble with DNS is a verdict (`temperror`), never a pass.

pub mod seal;
