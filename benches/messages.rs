//! What a message costs on its way through: its octets decoded, its header indexed. `cargo bench --bench messages`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gateway::smtp::Decoder;

/// The content of a message of about this many octets as DATA carries it, end included.
fn data(octets: usize) -> Vec<u8> {
    let line = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\r\n";
    let body: String = std::iter::repeat_n(line, octets / line.len()).collect();
    format!("From: alice@sender.example\r\nTo: bob@acme.example\r\nSubject: Minutes\r\n\r\n{body}.\r\n").into_bytes()
}

fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("data decoding");
    for (name, octets) in [("10 KB", 10_000), ("1 MB", 1_000_000)] {
        let data = data(octets);
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut decoder = Decoder::new(1 << 30, None);
                for piece in black_box(&data).chunks(16 * 1024) {
                    decoder.decode(piece);
                }
                assert!(decoder.is_complete());
                decoder.finish()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, decoding);
criterion_main!(benches);
