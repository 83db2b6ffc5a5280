//! Certificates from a certificate authority, by ACME (RFC 8555) with HTTP-01 challenges.
//!
//! - One account for each directory, one certificate for each set of names; several endpoints may share one.
//! - One order at a time, never in the way of mail: whatever fails here costs log lines, and the certificate in use stays.
//! - Until the first certificate is there, the slot holds a self-signed one: most senders do not verify, and encrypted beats plain.
//! - What is stored is written whole or not at all, readable by this user alone; what cannot be read back is set aside and ordered anew.

mod certificate;
mod challenges;
mod manager;
mod names;
mod order;
mod responder;
mod schedule;
mod storage;
mod transport;

pub use manager::Manager;
pub use names::Names;
pub use responder::Responder;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

/// Let's Encrypt, the directory unless another is named.
pub const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// How certificates are asked for.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// Where the authority writes to, as `mailto:` URIs.
    pub contact: Vec<String>,
    /// The authority's directory, an https URL (RFC 8555 §7.1.1).
    pub directory: Arc<str>,
    /// Where challenges are answered; the authority comes to port 80 of each name (RFC 8555 §8.3).
    pub listen: Vec<SocketAddr>,
    /// The folder of account keys and certificates, absolute.
    pub storage: PathBuf,
    /// Whom to believe that it is the directory; `None`: the system's CAs.
    pub roots: Option<Arc<RootCertStore>>,
    /// What endpoints ask for.
    pub wanted: Vec<Wanted>,
}

/// Where an endpoint looks for its certificate at each handshake.
pub type Slot = Arc<ArcSwapOption<CertifiedKey>>;

/// A certificate that an endpoint asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The host names that it is to be for.
    pub names: Names,
    /// Where it is put, now and at each renewal.
    pub slot: Slot,
}
