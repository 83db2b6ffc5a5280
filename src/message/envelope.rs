//! What the SMTP session said: who connected, who sends, to whom.

use std::net::IpAddr;
use std::sync::Arc;

use crate::smtp::{MailTerms, Recipient, ReversePath};

/// TLS protocol versions, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "TLSv1.2")]
    Tls1_2,
    /// TLS 1.3.
    #[serde(rename = "TLSv1.3")]
    Tls1_3,
}

impl TlsVersion {
    /// As Received fields and logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls1_2 => "TLSv1.2",
            Self::Tls1_3 => "TLSv1.3",
        }
    }
}

/// The TLS of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// Protocol version.
    pub version: TlsVersion,
    /// Cipher suite, IANA name.
    pub cipher: Arc<str>,
    /// Implicit TLS (RFC 8314), not STARTTLS.
    pub wrapped: bool,
    /// Fields of the verified client certificate; only on `mtls` endpoints.
    pub client_certificate: Option<Arc<ClientCertificate>>,
}

/// The fields of a client certificate that conditions can ask for; each may have several values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Common names of the subject.
    pub cn: Vec<String>,
    /// `rfc822Name` alternative names.
    pub san_rfc822_name: Vec<String>,
    /// `dNSName` alternative names.
    pub san_dns_name: Vec<String>,
    /// `directoryName` alternative names.
    pub san_directory_name: Vec<String>,
    /// `uniformResourceIdentifier` alternative names.
    pub san_uniform_resource_identifier: Vec<String>,
    /// `iPAddress` alternative names.
    pub san_ip_address: Vec<String>,
    /// `registeredID` alternative names.
    pub san_registered_id: Vec<String>,
    /// Serial number, hexadecimal.
    pub serial_number: Vec<String>,
}

/// What is known of the session when a message is judged.
#[derive(Clone, Debug)]
pub struct SessionFacts {
    /// The client's address; v4-mapped IPv6 addresses are plain IPv4.
    pub client_ip: IpAddr,
    /// Forward-confirmed host name, if it was looked up and found.
    pub client_host: Option<Arc<str>>,
    /// The argument of HELO or EHLO, as sent; empty before it.
    pub helo: Arc<str>,
    /// Whether the client said EHLO.
    pub extended: bool,
    /// The session's TLS; `None` is plain text.
    pub tls: Option<TlsFacts>,
    /// Whether the client has logged in.
    pub authenticated: bool,
    /// As whom.
    pub login: Option<Arc<str>>,
}

/// One transaction's envelope.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in order, each address once: what the repetitions ask for is put together ([`crate::smtp::RcptParameters::unite`]).
    pub recipients: Vec<Recipient>,
    /// `SMTPUTF8` was given (RFC 6531).
    pub smtputf8: bool,
    /// `BODY=8BITMIME` was given (RFC 6152).
    pub eight_bit: bool,
    /// What the sender asks of all who pass the message on.
    pub terms: MailTerms,
}

impl Envelope {
    /// Takes a recipient in, or what its repetition asks for.
    pub fn add_recipient(&mut self, recipient: Recipient) {
        match self.recipients.iter_mut().find(|known| known.address == recipient.address) {
            Some(known) => known.parameters.unite(&recipient.parameters),
            None => self.recipients.push(recipient),
        }
    }
}
