//! A bounded number of questions for one purpose, with a record of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::Name;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::answer::Data;
use super::cache::Entry;
use super::question::{Kind, Question};
use super::{Dns, DnsError, Tlsa};
use crate::limits::{DNS_QUESTIONS_OF_ONE_MAX, DNS_TOLD_CHARS_MAX};
use crate::message::Asked;

/// What a name holds of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T> {
    /// In the order of the answer; empty when there are none.
    pub records: Arc<[T]>,
    /// Whether the name exists, or for a CNAME the name at the end of the chain: `false` is NXDOMAIN, and there are no records.
    pub exists: bool,
}

/// Records and what is known of the way to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven<T> {
    /// The records.
    pub records: Records<T>,
    /// The answer, every CNAME on the way included, is authenticated by DNSSEC, says a server that is believed. That there is nothing is
    /// never marked as authenticated, though a server that validates has proof of it.
    pub is_secure: bool,
    /// The name at the end of CNAMEs, if there were any.
    pub canonical: Option<Box<str>>,
}

/// A bounded number of questions for one purpose. Names are given without the last dot, in any case, in A-labels or U-labels, and
/// never looked for in a search list or in /etc/hosts.
///
/// A question costs one of the bounded number whether the answer is remembered or not, so that a verdict does not hang on what was
/// asked before. An answer that is remembered is given even when the time is over.
#[derive(Debug)]
pub struct Inquiry {
    dns: Dns,
    deadline: Instant,
    /// Of the places that all share, one inquiry takes a few: a message that asks for many silent names holds up no other.
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    left: u32,
    asked: Vec<Asked>,
}

impl Inquiry {
    pub(super) fn new(dns: Dns, questions_max: u32, patience: Duration) -> Self {
        let state = State { left: questions_max, asked: Vec::new() };
        let now = Instant::now();
        let places = Semaphore::new(DNS_QUESTIONS_OF_ONE_MAX);
        Self { dns, deadline: now.checked_add(patience).unwrap_or(now), places, state: Mutex::new(state) }
    }

    /// TXT records, each with its strings put together (RFC 7208 §3.3).
    pub async fn txt(&self, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
        self.ask(Kind::Txt, name, |data| if let Data::Txt(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// IPv4 addresses.
    pub async fn ipv4(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        self.ask(Kind::Ipv4, name, |data| if let Data::Ipv4(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// IPv6 addresses.
    pub async fn ipv6(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        self.ask(Kind::Ipv6, name, |data| if let Data::Ipv6(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// Mail exchangers: preference and host, in the order of the answer; the host `.` is the empty text.
    pub async fn mx(&self, name: &str) -> Result<Records<(u16, Box<str>)>, DnsError> {
        self.ask(Kind::Mx, name, |data| if let Data::Mx(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// Mail exchangers, and whether they are authenticated.
    pub async fn proven_mx(&self, name: &str) -> Result<Proven<(u16, Box<str>)>, DnsError> {
        self.prove(Kind::Mx, name, |data| if let Data::Mx(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// IPv4 addresses, and whether they are authenticated.
    pub async fn proven_ipv4(&self, name: &str) -> Result<Proven<Ipv4Addr>, DnsError> {
        self.prove(Kind::Ipv4, name, |data| if let Data::Ipv4(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// IPv6 addresses, and whether they are authenticated.
    pub async fn proven_ipv6(&self, name: &str) -> Result<Proven<Ipv6Addr>, DnsError> {
        self.prove(Kind::Ipv6, name, |data| if let Data::Ipv6(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// TLSA records, and whether they are authenticated.
    pub async fn tlsa(&self, name: &str) -> Result<Proven<Tlsa>, DnsError> {
        self.prove(Kind::Tlsa, name, |data| if let Data::Tlsa(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// The names of an address: lower case, whatever their owner wrote there; octets that are no host name's are escaped.
    pub async fn ptr(&self, address: IpAddr) -> Result<Records<Box<str>>, DnsError> {
        let name = Name::from(address).to_ascii();
        self.ask(Kind::Ptr, &name, |data| if let Data::Ptr(records) = data { Some(Arc::clone(records)) } else { None }).await
    }

    /// What was asked, in order.
    pub fn into_asked(self) -> Box<[Asked]> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).asked.into()
    }

    async fn ask<T>(&self, kind: Kind, name: &str, records: impl Fn(&Data) -> Option<Arc<[T]>>) -> Result<Records<T>, DnsError> {
        self.prove(kind, name, records).await.map(|proven| proven.records)
    }

    async fn prove<T>(&self, kind: Kind, name: &str, records: impl Fn(&Data) -> Option<Arc<[T]>>) -> Result<Proven<T>, DnsError> {
        {
            let mut state = self.state();
            state.left = state.left.checked_sub(1).ok_or(DnsError::TooManyQuestions)?;
        }
        let Some(question) = Question::new(kind, name) else {
            let name: String = name.chars().take(DNS_TOLD_CHARS_MAX).collect();
            self.record(name.into(), kind, &DnsError::NoName.to_string());
            return Err(DnsError::NoName);
        };
        let name = question.name.clone();
        let found = match timeout_at(self.deadline, self.places.acquire()).await {
            Ok(Ok(_place)) => self.dns.answer(question, self.deadline).await,
            // Never closed, so there was no time left.
            _ => Err(DnsError::TooLate),
        };
        match found {
            Ok(entry) => {
                let Entry { result, .. } = &*entry;
                self.record(name, kind, result.as_ref().map_or_else(|trouble| &**trouble, |answer| &answer.told));
                let answer = result.as_ref().map_err(|trouble| DnsError::Trouble(Arc::clone(trouble)))?;
                let found = Records { records: records(&answer.data).unwrap_or_default(), exists: answer.exists };
                Ok(Proven { records: found, is_secure: answer.is_secure, canonical: answer.canonical.clone() })
            }
            Err(error) => {
                self.record(name, kind, &error.to_string());
                Err(error)
            }
        }
    }

    fn record(&self, name: Box<str>, kind: Kind, answer: &str) {
        self.state().asked.push(Asked { name, kind: kind.word(), answer: answer.into() });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
