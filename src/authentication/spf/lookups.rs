//! The five questions of SPF, so that records can be judged against tables as well as against DNS.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::dns::{DnsError, Inquiry, Records};

/// Who answers them. Names are given without the last dot.
pub(super) trait Lookups: Sync {
    fn txt(&self, name: &str) -> impl Future<Output = Result<Records<Box<[u8]>>, DnsError>> + Send;
    fn ipv4(&self, name: &str) -> impl Future<Output = Result<Records<Ipv4Addr>, DnsError>> + Send;
    fn ipv6(&self, name: &str) -> impl Future<Output = Result<Records<Ipv6Addr>, DnsError>> + Send;
    fn mx(&self, name: &str) -> impl Future<Output = Result<Records<(u16, Box<str>)>, DnsError>> + Send;
    fn ptr(&self, address: IpAddr) -> impl Future<Output = Result<Records<Box<str>>, DnsError>> + Send;
}

impl Lookups for Inquiry {
    async fn txt(&self, name: &str) -> Result<Records<Box<[u8]>>, DnsError> {
        Self::txt(self, name).await
    }

    async fn ipv4(&self, name: &str) -> Result<Records<Ipv4Addr>, DnsError> {
        Self::ipv4(self, name).await
    }

    async fn ipv6(&self, name: &str) -> Result<Records<Ipv6Addr>, DnsError> {
        Self::ipv6(self, name).await
    }

    async fn mx(&self, name: &str) -> Result<Records<(u16, Box<str>)>, DnsError> {
        Self::mx(self, name).await
    }

    async fn ptr(&self, address: IpAddr) -> Result<Records<Box<str>>, DnsError> {
        Self::ptr(self, address).await
    }
}
