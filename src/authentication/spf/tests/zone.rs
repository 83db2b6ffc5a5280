//! What DNS holds, as a table.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;

use crate::authentication::spf::lookups::Lookups;
use crate::dns::{DnsError, Records};

/// Records by name. Beside records of DNS there is `TROUBLE` (no question about the name is answered) and `TROUBLE A`.
/// Of a PTR record the name is the address itself.
#[derive(Debug, Default)]
pub(super) struct Zone {
    records: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    asked: Mutex<Vec<String>>,
}

impl Zone {
    pub(super) fn new(records: &[(&str, &str)]) -> Self {
        let mut zone = Self::default();
        for (name, record) in records {
            let (kind, data) = record.split_once(' ').unwrap_or((record, ""));
            zone.add(name, kind, data.as_bytes());
        }
        zone
    }

    pub(super) fn add(&mut self, name: &str, kind: &str, data: &[u8]) {
        self.records.entry(name.to_ascii_lowercase()).or_default().push((kind.to_owned(), data.to_owned()));
    }

    /// How often it was asked.
    pub(super) fn questions(&self) -> u32 {
        self.asked().len().try_into().unwrap()
    }

    /// What it was asked: `A mail.example.com`.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn look_up<T>(&self, kind: &str, name: &str, read: impl Fn(&str, &[u8]) -> T) -> Result<Records<T>, DnsError> {
        assert!(super::is_name(name), "{name:?} was asked for");
        self.asked.lock().unwrap().push(format!("{kind} {name}"));
        let mut name = name.to_ascii_lowercase();
        for _ in 0..8 {
            let Some(records) = self.records.get(&name) else { return Ok(Records { records: [].into(), exists: false }) };
            let texts = records.iter().filter(|(other, _)| other == kind).map(|(_, data)| read(&String::from_utf8_lossy(data), data));
            let found: Vec<T> = texts.collect();
            if found.is_empty() && records.iter().any(|(other, data)| other == "TROUBLE" && (data.is_empty() || data == kind.as_bytes())) {
                return Err(DnsError::Trouble("no answer".into()));
            }
            match records.iter().find(|(other, _)| other == "CNAME") {
                Some((_, target)) => name = String::from_utf8_lossy(target).to_ascii_lowercase(),
                None => return Ok(Records { records: found.into(), exists: true }),
            }
        }
        Err(DnsError::Trouble("a CNAME loop".into()))
    }
}

impl Lookups for Zone {
    async fn txt(&self, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
        self.look_up("TXT", name, |_, data| data.into())
    }

    async fn ipv4(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        self.look_up("A", name, |text, _| text.parse().unwrap())
    }

    async fn ipv6(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        self.look_up("AAAA", name, |text, _| text.parse().unwrap())
    }

    async fn mx(&self, name: &str) -> Result<Records<(u16, Box<str>)>, DnsError> {
        self.look_up("MX", name, |text, _| {
            let (preference, host) = text.split_once(' ').unwrap();
            (preference.parse().unwrap(), host.into())
        })
    }

    async fn ptr(&self, address: IpAddr) -> Result<Records<Box<str>>, DnsError> {
        self.look_up("PTR", &address.to_string(), |text, _| text.into())
    }
}
