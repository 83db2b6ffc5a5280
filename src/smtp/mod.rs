//! SMTP as state machines (RFC 5321): syntax, the server's session, the client's session, data decoding.
//!
//! Bytes and a clock go in, bytes and events come out. This room knows no runtime, no socket, no clock of its own
//! and no configuration file; a driver (`ingress`, `relay`) moves the bytes.

mod address;
#[cfg(test)]
mod address_lists;
mod base64;
mod body;
mod chunks;
mod client;
mod client_auth;
mod client_data;
mod client_types;
mod command;
mod data;
mod dsn;
mod false_end;
mod line_ends;
mod login;
mod replies;
mod reply;
mod reply_parser;
mod session;

pub use address::{Address, AddressError, ReversePath};
pub use chunks::Chunks;
pub use client::Client;
pub use client_auth::{Mechanism, auth_encodings, token_encoding};
pub use client_data::{WireForm, ends_line, line_ends_are_crlf};
pub use client_types::{ClientError, Event as ClientEvent, Extensions, Protocol, RequireTls, Stage, Transaction, Verdict};
pub use command::{Command, MailParameters};
pub use data::Decoder;
pub use dsn::{EnvelopeId, MailTerms, Notify, OriginalRecipient, RcptParameters, Recipient, Return};
pub use line_ends::LineEnds;
pub use login::{AuthArgument, Login};
pub use replies::{NOT_ENOUGH_MEMORY, NOT_ENOUGH_STORAGE, NOT_STORED, limit_of};
pub use reply::{Reply, Status};
pub use reply_parser::{ReplyError, ReplyParser};
pub use session::{Event, Session, SessionConfig, Strain};
