//! SMTP as state machines (RFC 5321): syntax, the server's session, the client's session, data decoding.
//!
//! Bytes and a clock go in, bytes and events come out. This room knows no runtime, no socket, no clock of its own
//! and no configuration file; a driver (`ingress`, `relay`) moves the bytes.

mod address;
mod reply;

pub use address::{Address, AddressError, ReversePath};
pub use reply::{Reply, Status};
