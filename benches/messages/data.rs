//! The content of a message, by DATA and by BDAT.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use gateway::smtp::{Chunks, Decoder};

use super::{LINE, message};

/// What a socket is read into.
const PIECE: usize = 16 * 1024;
const MIB: usize = 1024 * 1024;

/// The content as DATA carries it, with dots doubled and the end.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(content.to_vec()).expect("ASCII");
    let mut data = text.replace("\r\n.", "\r\n..").into_bytes();
    data.extend_from_slice(b".\r\n");
    data
}

fn decoded(data: &[u8]) -> Decoder {
    let mut decoder = Decoder::new(1 << 30, None);
    let taken: usize = data.chunks(PIECE).map(|piece| decoder.decode(piece)).sum();
    assert!(decoder.is_complete() && taken == data.len());
    decoder
}

pub(super) fn decoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("data decoding");
    for (name, content) in [
        ("10 KB", message(10_000, LINE)),
        ("1 MiB", message(MIB, LINE)),
        ("25 MiB", message(25 * MIB, LINE)),
        ("1 MiB, a dot before each line", message(MIB, &format!(".{LINE}"))),
    ] {
        let data = stuffed(&content);
        assert_eq!(decoded(&data).finish().expect("a good message"), content, "{name}");
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.sample_size(if content.len() > 10 * MIB { 10 } else { 100 });
        group.bench_function(name, |b| b.iter(|| decoded(black_box(&data)).finish()));
    }
    group.finish();
}

pub(super) fn chunks(c: &mut Criterion) {
    let mut group = c.benchmark_group("chunks");
    for (name, content) in [("10 KB", message(10_000, LINE)), ("1 MiB", message(MIB, LINE))] {
        let read = |content: &[u8]| {
            let mut chunks = Chunks::new(1 << 30, None);
            content.chunks(PIECE).for_each(|piece| chunks.read(piece));
            chunks.finish()
        };
        assert_eq!(read(&content).expect("a good message"), content, "{name}");
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_function(name, |b| b.iter(|| read(black_box(&content))));
    }
    group.finish();
}
