//! The real program with real clients and servers on loopback.
//!
//! `harness` starts the gateway, scripted next hops and other people's programs; the other modules are the tests, by subject.
//! Every wait is for an event (a line of the log, an answer, an end of a process) and has a deadline.

#[path = "../common/mod.rs"]
mod common;
mod harness;

mod acme;
mod analyzed;
mod auth;
mod call_ahead;
mod chunking;
mod clients;
mod combined;
mod commands;
mod crash;
mod credentials;
mod dead_dns;
mod dns;
mod doctor;
mod dsn;
mod endpoints_tls;
mod fairness;
mod faults;
mod fields;
mod held;
mod hostile;
mod inline;
mod large;
mod laziness;
mod limits;
mod mtas;
mod next_hops;
mod on_the_message;
mod operation;
mod peers;
mod policy;
mod policy_look_ups;
mod proxy;
mod queue;
mod queue_command;
mod relay_addresses;
mod relay_classes;
mod relay_tokens;
mod relays;
mod reloaded;
mod replay;
mod reports;
mod rules;
mod senders;
mod spf;
mod srs;
mod tls;
mod tokens;
mod verdicts;
