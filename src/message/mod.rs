//! The message: ids, envelope, header index, edits, content, and the facts that conditions ask for.
//!
//! A message is parsed once and borrowed from then on. No I/O here: what of a large message lies in a file is read behind [`Stored`].

mod addresses;
mod author;
mod claims;
mod content;
mod data;
mod domain_name;
mod edits;
mod encode;
mod envelope;
mod findings;
mod id;
mod memory;
mod mime;
mod original;
mod results;
mod srs;
mod stated;
pub(crate) mod stored;
mod strangers;
mod text;
mod trace;
mod view;

pub use addresses::Mailbox;
pub use author::Author;
pub use content::Content;
pub use data::{Data, Known, Piece, Witness};
pub use domain_name::a_labels;
pub use edits::Edits;
pub use envelope::{ClientCertificate, Envelope, SessionFacts, TlsFacts, TlsVersion};
pub use findings::{
    Analysis, ArcResult, ArcVerdict, Asked, DkimResult, DkimSignature, DkimVerdict, DmarcPolicy, DmarcResult, DmarcVerdict, Fact,
    FieldKind, FieldValue, Findings, Need, SpfIdentity, SpfResult, SpfVerdict, Verdict,
};
pub use id::{MessageId, NotAnId, SessionId, SessionIds};
pub use memory::{MessageMemory, Share};
pub use mime::Attachment;
pub use original::{Field, HeaderError, Original, is_field_name};
pub use results::{arc_authentication_results, authentication_results, received_spf};
pub use srs::{Rewritten, Srs, SrsError, is_srs};
pub use stated::stated_recipients;
pub use stored::{Depository, Stored, StoredError};
pub use strangers::{is_hostile, one_line, printable};
pub use text::{Text, fold};
pub use trace::received;
pub use view::{MailboxField, View};
