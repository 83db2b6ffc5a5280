//! DNS: one resolver with one cache for all who ask (authentication, analyzers, mail exchangers, host names of clients).
//!
//! - Whoever asks does it through an [`Inquiry`], which bounds questions and time and remembers what was asked.
//! - That a name or a record does not exist is an answer; trouble is an error, and never the same.

mod inquiry;
#[cfg(test)]
mod tests;

pub use inquiry::{Inquiry, Records};

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig as Servers};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// Which servers are asked: `resolver:` of `gateway.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolverConfig {
    /// These, over UDP and TCP; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// One question to one server.
    pub timeout: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DnsError {
    /// The servers did not answer, or said that they cannot now.
    Trouble(Arc<str>),
    /// The inquiry has used up its questions.
    TooManyQuestions,
    /// The inquiry has used up its time.
    TooLate,
    /// The text is no domain name: it cannot be asked for.
    NoName,
}

impl fmt::Display for DnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trouble(why) => f.write_str(why),
            Self::TooManyQuestions => f.write_str("too many DNS questions"),
            Self::TooLate => f.write_str("no time left for DNS questions"),
            Self::NoName => f.write_str("not a domain name"),
        }
    }
}

impl std::error::Error for DnsError {}

/// The resolver. Its clones share one cache.
#[derive(Clone, Debug)]
pub struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// A resolver with an empty cache; asks nothing yet.
    pub fn new(config: &ResolverConfig) -> Result<Self, DnsError> {
        let trouble = |error: &dyn fmt::Display| DnsError::Trouble(error.to_string().into());
        let mut builder = if config.servers.is_empty() {
            TokioResolver::builder_tokio().map_err(|error| trouble(&error))?
        } else {
            let servers = config.servers.iter().map(|server| {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                NameServerConfig::new(server.ip(), true, connections.into())
            });
            let servers = Servers::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        };
        builder.options_mut().timeout = config.timeout;
        Ok(Self { resolver: builder.build().map_err(|error| trouble(&error))? })
    }

    /// Begins an inquiry of at most `questions_max` questions that ends after `patience`.
    pub fn inquiry(&self, questions_max: u32, patience: Duration) -> Inquiry {
        Inquiry::new(self.clone(), questions_max, patience)
    }
}
