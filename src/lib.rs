//! A self-hosted mail gateway: traffic policies, rule sets in YAML, relays.
//!
//! A message walks through the rooms from left to right; `docs/architecture.md` is the map.
#![forbid(unsafe_code)]
// Futures that wait for the AWS SDK are deep; whether they are `Send` is asked through all their layers.
#![recursion_limit = "256"]
#![warn(missing_docs, unreachable_pub)]

pub mod acme;
pub mod actions;
pub mod admin;
pub mod analysis;
pub mod analyzers;
pub mod authentication;
pub mod aws;
pub mod blocks;
pub mod call_ahead;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod control;
pub mod daily_reports;
pub mod dispatch;
pub mod dmarc_reports;
pub mod dns;
pub mod domains;
pub mod examination;
pub mod failure;
pub mod http;
pub mod http_client;
pub mod ingress;
pub mod limits;
pub mod mail_manager;
pub mod message;
pub mod policy;
pub mod proxy;
pub mod refreshed;
pub mod relay;
pub mod replay;
pub mod rules;
pub mod secrets;
pub mod service;
pub mod smtp;
pub mod socket;
pub mod spool;
pub mod telemetry;
pub mod tls_reports;
pub mod trial;

#[cfg(test)]
#[path = "../tests/common/random.rs"]
mod random;

#[cfg(test)]
#[path = "../tests/common/dns.rs"]
mod stub_dns;
