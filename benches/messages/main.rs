//! What a message costs on its way through, without sockets, disks and DNS: octets decoded, sessions on both sides, the header indexed, the
//! message put together again, the log's lines. `cargo bench --bench messages`; `-- PART` for those alone that have PART in their name.
//!
//! Before anything is measured, it is seen that it gives what it should. `benches/judging.rs` measures rules, `benches/verdicts.rs` SPF,
//! DKIM, DMARC and ARC, `benches/spool.rs` the spool.

mod client;
mod data;
mod header;
mod log;
mod outgoing;
mod session;

use criterion::{criterion_group, criterion_main};

/// A line of a body, its end included.
const LINE: &str = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\r\n";

/// A message of about this many octets, with these lines as its body.
fn message(octets: usize, line: &str) -> Vec<u8> {
    let body: String = std::iter::repeat_n(line, octets / line.len()).collect();
    format!("From: alice@sender.example\r\nTo: bob@acme.example\r\nSubject: Minutes\r\n\r\n{body}").into_bytes()
}

criterion_group!(
    benches,
    data::decoding,
    data::chunks,
    session::sessions,
    header::indexing,
    header::looking,
    outgoing::rendering,
    outgoing::on_the_wire,
    client::transactions,
    log::lines
);
criterion_main!(benches);
