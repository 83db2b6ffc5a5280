//! The message: ids, envelope, header index, edits, content, and the facts that conditions ask for.
//!
//! A message is parsed once and borrowed from then on. No I/O here.

mod content;
mod edits;
mod envelope;
mod id;

pub use content::Content;
pub use edits::Edits;
pub use envelope::{ClientCertificate, Envelope, SessionFacts, TlsFacts, TlsVersion};
pub use id::{MessageId, NotAnId, SessionId, SessionIds};
