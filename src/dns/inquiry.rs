//! A bounded number of questions for one purpose, with a record of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::proto::rr::{Name, RData, RecordType};
use tokio::time::Instant;

use super::{Dns, DnsError};
use crate::message::Asked;

/// What a name holds of one type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<T> {
    /// In the order of the answer; empty when there are none.
    pub records: Arc<[T]>,
    /// Whether the name exists: `false` is NXDOMAIN (RFC 8020), and there are no records.
    pub exists: bool,
}

/// A bounded number of questions for one purpose. Names are given without the last dot, and never looked for in a search list.
#[derive(Debug)]
pub struct Inquiry {
    dns: Dns,
    deadline: Instant,
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
        Self { dns, deadline: Instant::now() + patience, state: Mutex::new(state) }
    }

    /// TXT records, each with its strings put together (RFC 7208 §3.3).
    pub async fn txt(&self, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
        self.ask(name, RecordType::TXT, "TXT", |data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat().into()),
            _ => None,
        })
        .await
    }

    /// IPv4 addresses.
    pub async fn ipv4(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        self.ask(name, RecordType::A, "A", |data| if let RData::A(a) = data { Some(a.0) } else { None }).await
    }

    /// IPv6 addresses.
    pub async fn ipv6(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        self.ask(name, RecordType::AAAA, "AAAA", |data| if let RData::AAAA(aaaa) = data { Some(aaaa.0) } else { None }).await
    }

    /// Mail exchangers: preference and host, in the order of the answer; the host `.` is the empty text.
    pub async fn mx(&self, name: &str) -> Result<Records<(u16, Box<str>)>, DnsError> {
        self.ask(name, RecordType::MX, "MX", |data| match data {
            RData::MX(mx) => Some((mx.preference, without_dot(&mx.exchange))),
            _ => None,
        })
        .await
    }

    /// The names of an address.
    pub async fn ptr(&self, address: IpAddr) -> Result<Records<Box<str>>, DnsError> {
        let name = Name::from(address).to_ascii();
        self.ask(&name, RecordType::PTR, "PTR", |data| if let RData::PTR(ptr) = data { Some(without_dot(&ptr.0)) } else { None }).await
    }

    /// What was asked, in order.
    pub fn into_asked(self) -> Box<[Asked]> {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner).asked.into()
    }

    async fn ask<T: std::fmt::Debug>(
        &self,
        name: &str,
        kind: RecordType,
        word: &'static str,
        read: impl Fn(&RData) -> Option<T>,
    ) -> Result<Records<T>, DnsError> {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.left = state.left.checked_sub(1).ok_or(DnsError::TooManyQuestions)?;
        }
        let answer = self.look_up(name, kind, read).await;
        let told = match &answer {
            Ok(Records { exists: false, .. }) => "NXDOMAIN".to_owned(),
            Ok(Records { records, .. }) if records.is_empty() => "no records".to_owned(),
            Ok(Records { records, .. }) => format!("{} records", records.len()),
            Err(error) => error.to_string(),
        };
        let asked = Asked { name: name.trim_end_matches('.').into(), kind: word, answer: told.into() };
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.push(asked);
        answer
    }

    async fn look_up<T>(&self, name: &str, kind: RecordType, read: impl Fn(&RData) -> Option<T>) -> Result<Records<T>, DnsError> {
        let mut name = Name::from_utf8(name).map_err(|_| DnsError::NoName)?;
        name.set_fqdn(true);
        let lookup = tokio::time::timeout_at(self.deadline, self.dns.resolver.lookup(name, kind)).await;
        match lookup.map_err(|_| DnsError::TooLate)? {
            Ok(lookup) => Ok(Records { records: lookup.answers().iter().filter_map(|record| read(&record.data)).collect(), exists: true }),
            Err(error) if error.is_nx_domain() => Ok(Records { records: Arc::default(), exists: false }),
            Err(error) if error.is_no_records_found() => Ok(Records { records: Arc::default(), exists: true }),
            Err(error) => Err(DnsError::Trouble(error.to_string().into())),
        }
    }
}

fn without_dot(name: &Name) -> Box<str> {
    let mut name = name.to_ascii();
    name.make_ascii_lowercase();
    name.trim_end_matches('.').into()
}
